//! Nothing but benchmarks: see `nodes/` and docs/benchmarks.md.
