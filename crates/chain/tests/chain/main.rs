//! At the money, windows, bands and followers against a naive model and, where
//! `STRIKEWIRE_REAL_DATA` names a folder with a master, over every ladder of it.

mod fixture;
mod follower;
mod view;
mod window;
