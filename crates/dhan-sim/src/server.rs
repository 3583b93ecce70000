//! The stand-in on a socket: a server around [`Core`]. Requests that ask to become a
//! WebSocket are for the feed, all others for the REST side.
//!
//! The market runs on the given clock. Its quarter seconds are seconds of that clock,
//! so at 60 times the speed an underlying makes 240 steps a second; what is sent is
//! bounded by [`Config::poll_every`], which is real time, to one packet per instrument
//! and poll. Pings every 10 s and the limit of 40 s on silence are real time too.
//! Faults begin and end at a poll, or when a client connects or asks for something.

mod connection;
#[cfg(test)]
mod tests;
mod wire;

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use strikewire_registry::Registry;
use strikewire_types::{Clock, InstrumentKey, Now, Price};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Config;
use crate::core::{Core, Holder, LogEntry, ModeSet, Output, SessionId, packets_in};
use crate::counters::Report;
use crate::faults::Incident;
use wire::Control;

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
    /// Locked before `state` where both are.
    rest: Mutex<crate::rest::State>,
    /// When it was made, for the limits of the REST side.
    opened: Instant,
}

struct State {
    core: Core,
    lines: HashMap<SessionId, Line>,
    out: Vec<(SessionId, Output)>,
}

/// The way to a connection's task. Dropping it lets that write what waits, and close.
struct Line {
    frames: mpsc::Sender<Bytes>,
    control: Arc<Control>,
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

    /// Where its REST calls are.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.address)
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
            rest: Mutex::default(),
            opened: Instant::now(),
        }
    }

    fn poll_every(&self) -> Duration {
        self.state
            .lock()
            .core
            .config()
            .poll_every
            .max(Duration::from_millis(1))
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
            let Some(line) = state.lines.get(&id) else {
                continue;
            };
            match output {
                // A full queue belongs to a client that reads too slowly: it must not
                // slow the others.
                Output::Frame(frame) => {
                    if let Err(mpsc::error::TrySendError::Full(frame)) = line.frames.try_send(frame)
                    {
                        state.core.count_dropped(id, packets_in(&frame));
                    }
                    continue;
                }
                Output::Transport(transport) => {
                    line.control.set_transport(transport);
                    continue;
                }
                Output::Close => {}
                Output::CloseFrame { code, reason } => line.control.set_farewell(code, reason),
                Output::Reset => line.control.reset(),
            }
            // The connection closes when it has written what is queued.
            state.lines.remove(&id);
        }
        done
    }
}

/// What answers to REST requests are made from: the broker behind the feed, and the
/// time.
#[derive(Debug, Clone)]
pub(crate) struct RestState {
    shared: Arc<Shared>,
}

impl RestState {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The time of the stand-in's clock.
    pub(crate) fn now(&self) -> Now {
        self.shared.clock.now()
    }

    /// Does something with the core, under the lock. Do not keep others waiting.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        self.shared.with(|state| act(&mut state.core))
    }

    /// What the REST side remembers. Lock it before the core.
    pub(crate) fn rest(&self) -> &Mutex<crate::rest::State> {
        &self.shared.rest
    }

    /// Real time since the stand-in was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.opened.elapsed()
    }
}

/// Looks into a [`SimServer`] and interferes with it.
#[derive(Debug, Clone)]
pub struct SimHandle {
    shared: Arc<Shared>,
}

impl SimHandle {
    /// The REST side, and what it answers from.
    pub(crate) fn rest_state(&self) -> RestState {
        RestState::new(Arc::clone(&self.shared))
    }

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

    /// How many packets about an instrument were sent, see [`Core::sent`].
    #[must_use]
    pub fn sent(&self, key: InstrumentKey) -> u64 {
        self.shared.state.lock().core.sent(key)
    }

    /// Who holds an instrument since when, see [`Core::holders`].
    #[must_use]
    pub fn holders(&self, key: InstrumentKey) -> Vec<Holder> {
        self.shared.state.lock().core.holders(key)
    }

    /// Brings a fault about, now, see [`Core::inject`].
    pub fn inject(&self, incident: impl Into<Incident>) -> usize {
        let now = self.shared.clock.now();
        self.shared.with(|state| state.core.inject(now, incident))
    }

    /// Ends every fault that lasts, see [`Core::clear_faults`].
    pub fn clear_faults(&self) {
        let now = self.shared.clock.now();
        self.shared.with(|state| state.core.clear_faults(now));
    }

    /// From now on `token` is valid, see [`Core::set_token`].
    pub fn set_token(&self, token: &str, grace: Duration) {
        let now = self.shared.clock.now();
        self.shared
            .with(|state| state.core.set_token(now, token, grace));
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
