//! donp-runtime
