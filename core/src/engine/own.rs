//! Tables of the engine itself.

use crate::store::Table;

/// Single values: the node's id, the last acknowledged event.
pub(super) const META: Table = Table::hot(1);
/// Durable events that the application has not acknowledged.
pub(super) const EVENTS: Table = Table::expendable(2);
pub(super) const TABLES: &[(&str, Table)] = &[("meta", META), ("events", EVENTS)];
