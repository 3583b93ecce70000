//! What the book does in situations that were thought of, as data.

mod claims;
mod desk;
mod eviction;
mod faults;
mod forecast;
mod handover;
mod letting_go;
mod moves;
mod quota;
mod rolls;
mod wire;
