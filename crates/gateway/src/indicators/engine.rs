//! Computes what is wanted: bars of minutes, studies of bars, values of studies.
//!
//! [`Engine`] decides and does no IO, [`run`] is its task. Per instrument
//! ([`instrument`]) there are the minutes that may still change ([`tape`]), and per
//! timeframe a [`series`]: an aggregator and the studies that are wanted.
//!
//! Every series has two states. The *settled* one has seen the minutes that will not change
//! any more and lags some behind; the *live* one has seen all. Minutes that are known
//! incompletely are *holes*. Nothing settles beyond a hole; when its candles are there, the
//! live state is made again from the settled one.
//!
//! A key that is new begins with the broker's candles ([`history`]), which are asked for
//! once whoever wants them ([`calls`]). Until then, and while holes are open that concern
//! it, its values say `warm: false`.

mod calls;
mod claim;
mod handle;
mod history;
mod instrument;
mod machine;
mod meters;
mod run;
mod series;
mod tape;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use handle::{ComputeSpec, ComputeState, Computing, Published, Sink};
pub(crate) use machine::{Engine, Settings};
pub(crate) use run::{Outside, run};
pub(crate) use value::Latest;
