//! The life of a node: the DONP document's `NodeState` and which changes are allowed.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Where a node is in its life (DONP document, "Node State Model").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NodeState {
    /// Made, not told to join yet.
    Initializing,
    /// Looking for a node that answers.
    Discovering,
    /// A link is open; asking to be taken as a neighbour.
    Connecting,
    /// In the network: at least one neighbour, or first here and ready for others.
    Active,
    /// Had neighbours, has none now, and is looking for them.
    Degraded,
    /// A link is back after `Degraded`; catching up.
    Recovering,
    /// Said goodbye.
    Leaving,
}

/// What moves a node from state to state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trigger {
    /// Told to join through somebody.
    Join,
    /// Told to begin with nobody to join through: the first node of a network.
    Begin,
    /// A link opened.
    LinkUp,
    /// A neighbour agreed.
    Neighbour,
    /// The last link is gone.
    Alone,
    /// Told to leave.
    Leave,
}

impl NodeState {
    /// Every state, in the document's order.
    pub const ALL: [Self; 7] = [
        Self::Initializing,
        Self::Discovering,
        Self::Connecting,
        Self::Active,
        Self::Degraded,
        Self::Recovering,
        Self::Leaving,
    ];

    /// The document's name, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Discovering => "DISCOVERING",
            Self::Connecting => "CONNECTING",
            Self::Active => "ACTIVE",
            Self::Degraded => "DEGRADED",
            Self::Recovering => "RECOVERING",
            Self::Leaving => "LEAVING",
        }
    }

    /// The transition table; `self` where a trigger changes nothing.
    pub(crate) const fn after(self, trigger: Trigger) -> Self {
        match (self, trigger) {
            (_, Trigger::Leave) => Self::Leaving,
            (Self::Initializing | Self::Leaving, Trigger::Join) => Self::Discovering,
            (Self::Initializing | Self::Leaving, Trigger::Begin) => Self::Active,
            (Self::Discovering, Trigger::LinkUp) => Self::Connecting,
            (Self::Degraded, Trigger::LinkUp) => Self::Recovering,
            (Self::Discovering | Self::Connecting | Self::Recovering | Self::Degraded, Trigger::Neighbour) => {
                Self::Active
            }
            (Self::Connecting, Trigger::Alone) => Self::Discovering,
            (Self::Active | Self::Recovering, Trigger::Alone) => Self::Degraded,
            (state, _) => state,
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn the_transition_table_is_this_one() {
        let triggers =
            [Trigger::Join, Trigger::Begin, Trigger::LinkUp, Trigger::Neighbour, Trigger::Alone, Trigger::Leave];
        let mut table = String::new();
        for state in NodeState::ALL {
            for trigger in triggers {
                let next = state.after(trigger);
                if next != state {
                    table += &alloc::format!("{state} --{trigger:?}--> {next}\n");
                }
            }
        }
        let expected = "\
INITIALIZING --Join--> DISCOVERING
INITIALIZING --Begin--> ACTIVE
INITIALIZING --Leave--> LEAVING
DISCOVERING --LinkUp--> CONNECTING
DISCOVERING --Neighbour--> ACTIVE
DISCOVERING --Leave--> LEAVING
CONNECTING --Neighbour--> ACTIVE
CONNECTING --Alone--> DISCOVERING
CONNECTING --Leave--> LEAVING
ACTIVE --Alone--> DEGRADED
ACTIVE --Leave--> LEAVING
DEGRADED --LinkUp--> RECOVERING
DEGRADED --Neighbour--> ACTIVE
DEGRADED --Leave--> LEAVING
RECOVERING --Neighbour--> ACTIVE
RECOVERING --Alone--> DEGRADED
RECOVERING --Leave--> LEAVING
LEAVING --Join--> DISCOVERING
LEAVING --Begin--> ACTIVE
";
        assert_eq!(table, expected);
    }
}
