//! Whether the peer of a link answers.

use crate::time::Instant;

/// Whether the peer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// No answer is owed.
    Well,
    /// An answer is owed since then.
    Probing(Instant),
    /// Probes went unanswered, and no packet came since. An answer is owed since then, unless a handshake came.
    Suspected(Option<Instant>),
}

impl Health {
    pub(super) fn owed_since(self) -> Option<Instant> {
        match self {
            Self::Well => None,
            Self::Probing(since) => Some(since),
            Self::Suspected(since) => since,
        }
    }

    /// A packet that asks for an answer left.
    pub(super) fn asked(&mut self, now: Instant) {
        *self = match *self {
            Self::Well => Self::Probing(now),
            Self::Suspected(None) => Self::Suspected(Some(now)),
            Self::Probing(_) | Self::Suspected(Some(_)) => return,
        };
    }

    /// The peer proved that it is there.
    pub(super) fn answered(&mut self) {
        *self = match *self {
            Self::Well | Self::Probing(_) => Self::Well,
            Self::Suspected(_) => Self::Suspected(None),
        };
    }

    /// A packet of this link came: true if that ends a suspicion.
    pub(super) fn recovered(&mut self) -> bool {
        matches!(core::mem::replace(self, Self::Well), Self::Suspected(_))
    }

    /// Probes go unanswered: true if that begins a suspicion.
    pub(super) fn suspect(&mut self) -> bool {
        let begins = !matches!(self, Self::Suspected(_));
        *self = Self::Suspected(self.owed_since());
        begins
    }
}
