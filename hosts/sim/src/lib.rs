//! donp-sim
