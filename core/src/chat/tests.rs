//! The chat machine as a whole.
