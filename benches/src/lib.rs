//! Benchmarks of Strikewire.
