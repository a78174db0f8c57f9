//! Whole-system tests of DONP, through its public faces only. See `tests/`.
