//! A network of real [`Engine`](donp_core::Engine)s in virtual time: seeded, replayable, and doing
//! nothing that a dumb socket and a disk would not.
//!
//! ```
//! use donp_sim::{Faults, Sim};
//!
//! let mut sim = Sim::new(7);
//! let alice = sim.add_node();
//! let bob = sim.add_node();
//! sim.faults = Faults { loss: 0.2, ..Faults::default() };
//! sim.start(alice, &[]);
//! sim.start(bob, &[alice]);
//! assert!(sim.run_until(60, |sim| sim.linked(bob) == 1), "{}", sim.replay());
//! sim.broadcast(alice, "hello").unwrap();
//! assert!(sim.run_until(60, |sim| sim.texts(bob) == ["hello"]), "{}", sim.replay());
//! ```

pub mod adversary;
pub mod clock;
pub mod compare;
pub mod faults;
pub mod graph;
pub mod laws;
pub mod measure;
pub mod net;
mod node;
pub mod output;
#[cfg(donp_planted)]
pub mod planted;
mod queue;
pub mod report;
mod rng;
pub mod run;
pub mod scenario;
mod sim;
pub mod witness;

pub use net::link::{Burst, Faults, Rate};
pub use net::nat::{Filtering, Mapping, NatConfig};
pub use node::{Disk, Node};
pub use rng::SimRng;
pub use sim::{CrashAt, Logged, SECOND, Seen, Sim};
