use core::future::Future;

use bytes::Bytes;
use strikewire_types::{ConnId, InstrumentKey, Mode, Now, PriceStep, Segment, Slot};

use crate::{DownCause, MarketState, Packed, Port, Update};

/// What a broker allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Connections at a time.
    pub connections: usize,
    /// Instruments on one connection.
    pub per_connection: usize,
    /// Instruments in one message.
    pub per_batch: usize,
}

/// Where the updates of an instrument go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Whose updates.
    pub key: InstrumentKey,
    /// The row they are kept in.
    pub slot: Slot,
    /// The tick size, to round the numbers of the wire with.
    pub step: PriceStep,
}

/// A time without data on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// When the last data arrived.
    pub from: Now,
    /// When data arrived again.
    pub to: Now,
    /// What brought the connection down; the first cause when several attempts failed.
    pub cause: DownCause,
}

/// The receiving end of a feed. Called on the feed's own thread only; nothing in it
/// blocks or waits.
pub trait Sink {
    /// What time it is, asked once per read.
    fn now(&self) -> Now;

    /// Where the updates of `key` go; none when nobody wants it any more.
    fn resolve(&self, key: InstrumentKey) -> Option<Target>;

    /// A packet of `mode` for `target` is next but a few: whoever has to fetch memory for
    /// it may begin.
    fn prepare(&self, _target: &Target, _mode: Mode) {}

    /// Takes one update of a resolved instrument, received on `conn` at `at`.
    fn apply(&mut self, conn: ConnId, target: &Target, at: Now, update: &Update);

    /// Takes the same of a packet whose prices fit into 32 bits. An adapter calls this or
    /// [`apply`](Self::apply) for a packet, never both.
    fn apply_packed(&mut self, conn: ConnId, target: &Target, at: Now, packed: &Packed) {
        self.apply(conn, target, at, &packed.to_update(target.step));
    }

    /// Takes note of what the broker says about a segment of the market.
    fn market_state(&mut self, conn: ConnId, at: Now, segment: Segment, state: MarketState);

    /// Takes note that `conn` had no data for a while.
    fn gap(&mut self, conn: ConnId, gap: Gap);

    /// Sees every frame as it arrived, before it is decoded.
    fn frame(&mut self, conn: ConnId, at: Now, frame: &Bytes);

    /// Takes note of a part of a frame that could not be decoded or is unknown: the
    /// broker's packet code and the bytes from there on.
    fn undecoded(&mut self, conn: ConnId, at: Now, code: u8, bytes: &[u8]);

    /// The packets that were waiting have all been applied. What follows from them
    /// happens now at the latest, so a feed calls this whenever it has applied some and
    /// before it waits.
    fn turn_done(&mut self, at: Now);
}

/// A feed that cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("the {broker} feed cannot run: {reason}")]
#[non_exhaustive]
pub struct Error {
    /// Which adapter.
    pub broker: &'static str,
    /// Why, without secrets.
    pub reason: String,
    /// What caused it, where there is more to say.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `broker` for `reason`.
    pub fn new(broker: &'static str, reason: impl Into<String>) -> Self {
        Self {
            broker,
            reason: reason.into(),
            source: None,
        }
    }
}

/// The market-data side of a broker adapter.
pub trait Feed {
    /// What the broker allows. Does not change while it runs.
    fn capabilities(&self) -> Capabilities;

    /// Keeps the connections alive, writes what `port` asks and pushes what arrives
    /// into `sink`, until the other end of the port is dropped; then says goodbye to
    /// the broker and returns.
    ///
    /// # Errors
    ///
    /// Only when it can never work, such as an address that is not one. Everything
    /// that may pass is retried and reported through the port.
    fn run(self, port: Port, sink: impl Sink) -> impl Future<Output = Result<(), Error>>;
}
