//! What links and sessions share of cryptography, each with a toy of equal sizes for simulations.

pub(crate) mod dh;
pub(crate) mod kdf;
pub(crate) mod kem;
