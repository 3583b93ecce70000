//! The stand-in for Dhan, with what it counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use strikewire_dhan_sim::core::{Event, LogEntry};
use strikewire_dhan_sim::{Config, Report, SimHandle, SimServer};
use strikewire_types::{Clock, InstrumentKey};
use tokio::sync::oneshot;

use crate::harness::{CLOCK, Master, master};

/// A stand-in on a thread of its own, until dropped.
pub(crate) struct StandIn {
    pub(crate) master: &'static Master,
    pub(crate) handle: SimHandle,
    pub(crate) addr: SocketAddr,
    pub(crate) clock: Clock,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StandIn {
    pub(crate) fn start(addr: SocketAddr, config: Config) -> Self {
        Self::start_with(master(), addr, config)
    }

    /// With the instruments of `master`.
    pub(crate) fn start_with(master: &'static Master, addr: SocketAddr, config: Config) -> Self {
        Self::start_at(CLOCK, master, addr, config)
    }

    /// On a clock that starts at `start`. A gateway's goes by it too, unless a test says
    /// otherwise.
    pub(crate) fn start_at(
        start: &str,
        master: &'static Master,
        addr: SocketAddr,
        config: Config,
    ) -> Self {
        let clock = Clock::simulated(start.parse().expect("a clock"));
        let (stop_tx, stop_rx) = oneshot::channel();
        let (up_tx, up_rx) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let server = SimServer::bind(addr, master.registry.clone(), clock, config)
                    .await
                    .expect("the stand-in's address is free");
                up_tx
                    .send((server.handle(), server.local_addr()))
                    .expect("the test waits");
                server
                    .run(async {
                        let _ = stop_rx.await;
                    })
                    .await;
            });
        });
        let (handle, addr) = up_rx.recv().expect("the stand-in starts");
        Self {
            master,
            handle,
            addr,
            clock,
            stop: Some(stop_tx),
            thread: Some(thread),
        }
    }

    pub(crate) fn any() -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), quiet())
    }

    /// Everything on the wire, and on how many connections each instrument is.
    pub(crate) fn on_wire(&self) -> BTreeMap<InstrumentKey, usize> {
        let mut keys = BTreeMap::new();
        for session in self.handle.wire_state().into_values() {
            for key in session.into_keys() {
                *keys.entry(key).or_default() += 1;
            }
        }
        keys
    }

    /// The sizes of the connections.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.handle
            .wire_state()
            .values()
            .map(BTreeMap::len)
            .collect()
    }

    pub(crate) fn report(&self) -> Report {
        self.handle.counters()
    }

    /// Messages that subscribed or unsubscribed something, so far.
    pub(crate) fn messages(&self) -> u64 {
        self.report().total().messages
    }

    /// Instruments asked for, so far, however often.
    pub(crate) fn subscribed(&self) -> usize {
        let asked = |entry: LogEntry| match entry.event {
            Event::Request { code, keys } if code.is_subscribe() => keys.len(),
            _ => 0,
        };
        self.handle.log().into_iter().map(asked).sum()
    }

    /// How many instruments are on the wire, counted by connection.
    pub(crate) fn held(&self) -> usize {
        self.report().total().instruments
    }

    /// Connections there were so far.
    pub(crate) fn connected(&self) -> u64 {
        self.report().connected
    }

    /// How often each instrument was asked for on the connections after the first
    /// `connected`.
    pub(crate) fn asked_since(&self, connected: u64) -> BTreeMap<InstrumentKey, usize> {
        let mut asked = BTreeMap::new();
        for entry in self.handle.log() {
            if let Event::Request { code, keys } = entry.event
                && code.is_subscribe()
                && entry.session.number() > connected
            {
                for key in keys {
                    *asked.entry(key).or_default() += 1;
                }
            }
        }
        asked
    }

    /// Connections that said that they leave.
    pub(crate) fn goodbyes(&self) -> usize {
        self.handle
            .log()
            .iter()
            .filter(|entry| entry.event == Event::Left)
            .count()
    }

    pub(crate) fn stop(mut self) -> SocketAddr {
        self.end();
        self.addr
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stand-in did not panic");
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.end();
    }
}

/// A market whose prices do not move by themselves, so that tests move them.
pub(crate) fn quiet() -> Config {
    let mut config = Config::default();
    config.market.volatility = 0.0;
    config.log = 100_000;
    config
}
