//! The stand-in on a socket: a WebSocket server around [`Core`].
//!
//! The market runs on the given clock. Its quarter seconds are seconds of that clock,
//! so at 60 times the speed an underlying makes 240 steps a second; what is sent is
//! bounded by [`Config::poll_every`], which is real time, to one packet per instrument
//! and poll. Pings every 10 s and the limit of 40 s on silence are real time too.

mod connection;
#[cfg(test)]
mod tests;

use core::fmt;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use strikewire_dhan::wire::{Header, length_of};
use strikewire_registry::Registry;
use strikewire_types::{Clock, InstrumentKey, Price};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::Config;
use crate::core::{Core, LogEntry, ModeSet, Output, SessionId};
use crate::counters::Report;

/// A stand-in that listens.
#[derive(Debug)]
pub struct SimServer {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What connections, the market's timer and handles share.
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Counts calls of `drop_all_connections`.
    drops: watch::Sender<u64>,
}

struct State {
    core: Core,
    lines: HashMap<SessionId, mpsc::Sender<Bytes>>,
    out: Vec<(SessionId, Output)>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl SimServer {
    /// Listens on `address` and opens the market. Nobody is answered before
    /// [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is left listening.
    pub async fn bind(
        address: SocketAddr,
        registry: Arc<Registry>,
        clock: Clock,
        config: Config,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            shared: Arc::new(Shared::new(registry, clock, config)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL a client is given, without the query it adds.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// To look into it and to interfere while it runs.
    #[must_use]
    pub fn handle(&self) -> SimHandle {
        SimHandle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Serves until `shutdown` is done; then all connections are dropped.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping it stops listening and drops all connections.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener, shared, ..
        } = self;
        let mut connections = JoinSet::new();
        let mut polls = interval(shared.poll_every());
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = polls.tick() => shared.poll(),
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        // Ticks are small and must not wait for each other.
                        if let Err(error) = socket.set_nodelay(true) {
                            tracing::debug!(%error, "cannot set no-delay");
                        }
                        connections.spawn(connection::serve(socket, Arc::clone(&shared)));
                    }
                    // Out of file descriptors, or the peer was gone before it was
                    // taken: neither ends the listener.
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(shared.poll_every()).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        // Dropping the set ends every connection.
    }
}

impl Shared {
    fn new(registry: Arc<Registry>, clock: Clock, config: Config) -> Self {
        Self {
            clock,
            state: Mutex::new(State {
                core: Core::new(registry, config, clock.now()),
                lines: HashMap::new(),
                out: Vec::new(),
            }),
            drops: watch::Sender::new(0),
        }
    }

    fn poll_every(&self) -> core::time::Duration {
        self.state
            .lock()
            .core
            .config()
            .poll_every
            .max(core::time::Duration::from_millis(1))
    }

    /// Brings the market to the clock's time and hands out the ticks.
    fn poll(&self) {
        let now = self.clock.now();
        self.with(|state| state.core.poll(now, &mut state.out));
    }

    /// Does something with the core, and hands out the answers. Ticks wait for the next
    /// poll, or a fast clock would have a burst of them at every message.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let state = &mut *state;
        let done = act(state);
        state.core.flush(&mut state.out);
        for (id, output) in state.out.drain(..) {
            match output {
                Output::Frame(frame) => {
                    let Some(line) = state.lines.get(&id) else {
                        continue;
                    };
                    // A full queue belongs to a client that reads too slowly: it must
                    // not slow the others.
                    if let Err(mpsc::error::TrySendError::Full(frame)) = line.try_send(frame) {
                        state.core.count_dropped(id, packets_in(&frame));
                    }
                }
                // The connection closes when it has written what is queued.
                Output::Close => {
                    state.lines.remove(&id);
                }
            }
        }
        done
    }
}

/// Packets of a frame made here.
fn packets_in(mut frame: &[u8]) -> u64 {
    let mut packets = 0;
    while frame.len() >= Header::LEN {
        let length = length_of(frame[0]).unwrap_or(frame.len()).min(frame.len());
        frame = &frame[length.max(1)..];
        packets += 1;
    }
    packets
}

/// Looks into a [`SimServer`] and interferes with it.
#[derive(Debug, Clone)]
pub struct SimHandle {
    shared: Arc<Shared>,
}

impl SimHandle {
    /// What every connection holds, see [`Core::wire_state`].
    #[must_use]
    pub fn wire_state(&self) -> BTreeMap<SessionId, BTreeMap<InstrumentKey, ModeSet>> {
        self.shared.state.lock().core.wire_state()
    }

    /// What was counted so far, see [`Core::counters`].
    #[must_use]
    pub fn counters(&self) -> Report {
        self.shared.state.lock().core.counters()
    }

    /// The latest things that happened, see [`Core::log`].
    #[must_use]
    pub fn log(&self) -> Vec<LogEntry> {
        self.shared.state.lock().core.log().cloned().collect()
    }

    /// Moves an underlying, see [`Market::set_price`](crate::market::Market::set_price).
    pub fn set_price(&self, key: InstrumentKey, price: Price) -> bool {
        self.shared.with(|state| state.core.set_price(key, price))
    }

    /// Moves all underlyings at once, see [`Core::move_prices`]: 1.02 is a gap of 2 %.
    pub fn move_prices(&self, factor: f64) -> bool {
        let now = self.shared.clock.now();
        self.shared
            .with(|state| state.core.move_prices(now, factor))
    }

    /// Changes to another master while it runs, see [`Core::set_registry`].
    pub fn set_registry(&self, registry: Arc<Registry>) {
        let now = self.shared.clock.now();
        self.shared
            .with(|state| state.core.set_registry(now, registry));
    }

    /// Drops every connection without a word, as a network does.
    pub fn drop_all_connections(&self) {
        self.shared.drops.send_modify(|drops| *drops += 1);
    }
}
