//! What the book does in situations that were thought of, as data.

mod claims;
mod desk;
mod eviction;
mod moves;
mod rolls;
mod wire;
