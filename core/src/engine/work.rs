//! What waits to be done: inputs and facts for the machines, outputs that wait for the disk.

use alloc::boxed::Box;

use crate::engine::event::Durable;
use crate::engine::list::list;
use crate::fact::Fact;

macro_rules! work {
    ($($field:ident: $Machine:ident,)+) => {
        /// One step of the pump: an input for one machine, or a fact for all of them.
        pub(super) enum Work {
            Fact(Box<Fact>),
            $($Machine(crate::$field::In),)+
        }

        /// An output that waits for the disk.
        pub(super) enum Effect {
            /// A durable event, by its number.
            Event(u64, Durable),
            $($Machine(crate::$field::Out),)+
        }

        /// The owner of the read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Reader {
            /// The event queue.
            Events,
            $(#[allow(dead_code, reason = "not every machine reads")] $Machine,)+
        }

        $(
            impl From<crate::$field::In> for Work {
                fn from(input: crate::$field::In) -> Self {
                    Self::$Machine(input)
                }
            }

            impl From<crate::$field::Out> for Effect {
                fn from(out: crate::$field::Out) -> Self {
                    Self::$Machine(out)
                }
            }
        )+
    };
}

list!(work);
