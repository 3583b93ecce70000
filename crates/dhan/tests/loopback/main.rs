//! The feed against a hand-written broker on a loopback socket. Nothing here shares
//! code with the stand-in.

mod data;
mod encrypted;
mod faults;
mod life;
mod secrets;
mod support;
