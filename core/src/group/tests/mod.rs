//! Groups of machines in one simulated network.
