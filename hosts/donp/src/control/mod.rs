//! The control socket: JSON-RPC 2.0, one message a line, on a Unix socket that only its owner can
//! open.

pub mod client;
pub mod server;

/// The longest line either side reads. The largest message text, escaped in the worst way, fits a
/// page of history only in part: pages are bounded by their writer.
pub const MAX_LINE: usize = 2 << 20;
