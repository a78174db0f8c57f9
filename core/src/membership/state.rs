//! The states of a node: the DONP document's `NodeState` and which changes are allowed.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Where a node is in its life (DONP document, "Node State Model").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NodeState {
    /// Made, and not in a network yet.
    Initializing,
    /// Looking for a node that answers.
    Discovering,
    /// A link is open; asking to be taken as a neighbour.
    Connecting,
    /// In the network: at least one neighbour, or first here and ready for others.
    Active,
    /// Lost its neighbours, or a good part of all peers at once, and is looking for them.
    Degraded,
    /// Linked again after `Degraded`; catching up.
    Recovering,
    /// Left, or about to.
    Leaving,
}

/// What moves a node from state to state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trigger {
    /// The application joins through known nodes.
    Join,
    /// The application begins a network: there is no node to join through.
    Begin,
    /// A link opened.
    LinkUp,
    /// A peer became a neighbour.
    Neighbour,
    /// The last link is gone.
    Alone,
    /// Too many peers are lost at once.
    Lost,
    /// Enough of those are back, or given up.
    Restored,
    /// The history here has all that a neighbour's has.
    Compared,
    /// The application leaves.
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
    pub(super) const fn after(self, trigger: Trigger) -> Self {
        match (self, trigger) {
            (_, Trigger::Leave) => Self::Leaving,
            (Self::Initializing | Self::Leaving, Trigger::Join) => Self::Discovering,
            (Self::Initializing | Self::Leaving, Trigger::Begin) => Self::Active,
            (Self::Discovering, Trigger::LinkUp) => Self::Connecting,
            (Self::Degraded, Trigger::LinkUp | Trigger::Neighbour | Trigger::Restored) => Self::Recovering,
            (Self::Discovering | Self::Connecting, Trigger::Neighbour) => Self::Active,
            (Self::Recovering, Trigger::Compared) => Self::Active,
            (Self::Connecting, Trigger::Alone) => Self::Discovering,
            (Self::Active | Self::Recovering, Trigger::Alone) | (Self::Active, Trigger::Lost) => Self::Degraded,
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
        let triggers = [
            Trigger::Join,
            Trigger::Begin,
            Trigger::LinkUp,
            Trigger::Neighbour,
            Trigger::Alone,
            Trigger::Lost,
            Trigger::Restored,
            Trigger::Compared,
            Trigger::Leave,
        ];
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
ACTIVE --Lost--> DEGRADED
ACTIVE --Leave--> LEAVING
DEGRADED --LinkUp--> RECOVERING
DEGRADED --Neighbour--> RECOVERING
DEGRADED --Restored--> RECOVERING
DEGRADED --Leave--> LEAVING
RECOVERING --Alone--> DEGRADED
RECOVERING --Compared--> ACTIVE
RECOVERING --Leave--> LEAVING
LEAVING --Join--> DISCOVERING
LEAVING --Begin--> ACTIVE
";
        assert_eq!(table, expected);
    }
}
