//! Small programs that link Strikewire's crates as another service would; see
//! `examples/`.
