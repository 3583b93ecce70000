//! The stand-in's core behind its sockets, and what it counts.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::prelude::*;
use rand_pcg::Pcg64;
use strikewire_dhan_sim::Config;
use strikewire_dhan_sim::core::{Core, Output, SessionId, Transport};
use strikewire_dhan_sim::faults::{Fault, Sockets};
use strikewire_dhan_sim::market::MarketConfig;
use strikewire_dhan_sim::script::Script;
use strikewire_types::{InstrumentKey, Now};

use crate::client::ToClient;
use crate::world::{Setting, What, World};

/// Bytes of a message beside its text, headers of TCP included.
const OVERHEAD: usize = 60;

/// What arrives on a socket.
#[derive(Debug)]
pub(crate) enum ToBroker {
    Upgrade(String),
    Text(String),
    Gone,
}

pub(crate) struct Broker {
    pub(crate) core: Core,
    setting: Setting,
    sockets: BTreeMap<SessionId, usize>,
    pub(crate) sessions: BTreeMap<usize, SessionId>,
    /// An instrument for which the broker ends the connection.
    pub(crate) bad: Option<InstrumentKey>,
    /// The latest token.
    pub(crate) token: String,
    /// Messages in all.
    pub(crate) messages: u64,
}

impl Broker {
    pub(crate) fn new(setting: Setting, seed: u64, script: Script, now: Now) -> Self {
        let config = Config {
            market: MarketConfig {
                seed,
                // Busy enough that silence means something.
                rate: if setting.is_large { 4.0 } else { 25.0 },
                ..MarketConfig::default()
            },
            connections: setting.connections,
            instruments: setting.given,
            per_message: setting.per_batch,
            modes: setting.modes,
            script,
            ..Config::default()
        };
        let registry = std::sync::Arc::clone(&setting.master().registry);
        Self {
            core: Core::new(registry, config, now),
            setting,
            sockets: BTreeMap::new(),
            sessions: BTreeMap::new(),
            bad: None,
            token: String::new(),
            messages: 0,
        }
    }

    pub(crate) fn choose_bad_instrument(&mut self, rng: &mut Pcg64) {
        if self.setting.has_bad_instrument {
            self.bad = Some(self.setting.master().any_contract(rng));
        }
    }

    /// How long a socket takes to read a text, beyond what the network takes.
    pub(crate) fn time_to_read(&self, socket: usize, text: &str) -> Duration {
        let session = self.sessions.get(&socket);
        let transport = session.and_then(|id| self.core.transport(*id));
        match transport.and_then(|transport| transport.bytes_per_s) {
            Some(bytes) => {
                let length = text.len() + OVERHEAD;
                Duration::from_secs_f64(length as f64 / f64::from(bytes))
            }
            None => Duration::ZERO,
        }
    }
}

impl World {
    pub(crate) fn broker_hears(&mut self, socket: usize, message: ToBroker) {
        let now = self.now;
        match message {
            ToBroker::Upgrade(query) => match self.broker.core.handle_connect(now, &query) {
                Ok(session) => {
                    self.broker.sockets.insert(session, socket);
                    self.broker.sessions.insert(socket, session);
                    self.note(|| format!("broker: session {session} on socket {socket}"));
                    self.receive(socket, ToClient::Accepted);
                }
                Err(refusal) if refusal.is_answered() => {
                    match refusal.status {
                        429 => self.seen.refuse_429 += 1,
                        401 => self.seen.refuse_401 += 1,
                        503 => self.seen.refuse_503 += 1,
                        _ => {}
                    }
                    let told = ToClient::Refused(refusal.status, refusal.retry_after);
                    self.receive(socket, told);
                }
                Err(_) => self.seen.hang += 1,
            },
            ToBroker::Text(text) => {
                if let Some(&session) = self.broker.sessions.get(&socket) {
                    self.note(|| format!("broker: session {session} hears {text}"));
                    self.broker_is_asked(session, &text);
                }
            }
            // Who is deaf does not notice.
            ToBroker::Gone if self.is_deaf(socket) => {
                let again = What::ToBroker(socket, ToBroker::Gone);
                self.after(Duration::from_secs(5), again);
            }
            ToBroker::Gone => {
                if let Some(session) = self.broker.sessions.remove(&socket) {
                    self.note(|| format!("broker: session {session} is gone"));
                    self.broker.sockets.remove(&session);
                    self.broker.core.handle_close(now, session);
                }
            }
        }
        self.flush_broker();
    }

    pub(crate) fn is_deaf(&self, socket: usize) -> bool {
        let session = self.broker.sessions.get(&socket);
        let transport = session.and_then(|id| self.broker.core.transport(*id));
        transport.is_some_and(|transport| transport.deaf)
    }

    fn broker_is_asked(&mut self, session: SessionId, text: &str) {
        self.broker.messages += 1;
        let subscribes = ["15", "17", "21"]
            .iter()
            .any(|code| text.starts_with(&format!("{{\"RequestCode\":{code},")));
        if subscribes && self.broker.bad.is_some_and(|bad| names(text, bad)) {
            self.seen.bad_request += 1;
            let goodbye = Fault::Disconnect { code: 814 };
            let only = Sockets::Sessions(vec![session]);
            self.broker.core.inject(self.now, goodbye.on(only));
        } else {
            self.broker.core.handle_text(self.now, session, text);
            self.check_caps();
        }
    }

    pub(crate) fn poll_broker(&mut self) {
        let mut out = Vec::new();
        self.broker.core.poll(self.now, &mut out);
        self.pass_on(out);
    }

    pub(crate) fn flush_broker(&mut self) {
        let mut out = Vec::new();
        self.broker.core.flush(&mut out);
        self.pass_on(out);
    }

    fn pass_on(&mut self, out: Vec<(SessionId, Output)>) {
        for (session, output) in out {
            let Some(&socket) = self.broker.sockets.get(&session) else {
                continue;
            };
            let ended = match output {
                Output::Frame(frame) => {
                    self.receive(socket, ToClient::Frame(frame));
                    continue;
                }
                Output::Close => "the end of the stream",
                Output::CloseFrame { .. } => "a close frame",
                Output::Reset => {
                    // What is under way may get lost.
                    if self.rng.random() {
                        self.lose(socket);
                    }
                    "reset by peer"
                }
                _ => continue,
            };
            self.note(|| format!("broker: session {session} ends, {ended}"));
            self.broker.sockets.remove(&session);
            self.broker.sessions.remove(&socket);
            self.receive(socket, ToClient::Ended(ended));
        }
    }

    pub(crate) fn ping_all(&mut self) {
        let pinged: Vec<usize> = self
            .broker
            .sockets
            .iter()
            .filter(|(id, _)| {
                self.broker
                    .core
                    .transport(**id)
                    .is_some_and(Transport::pings)
            })
            .map(|(_, socket)| *socket)
            .collect();
        for socket in pinged {
            self.receive(socket, ToClient::Ping);
        }
    }
}

/// Whether a message names an instrument, by its text.
fn names(text: &str, key: InstrumentKey) -> bool {
    let name = format!(
        r#"{{"ExchangeSegment":"{}","SecurityId":"{}"}}"#,
        key.segment, key.id
    );
    text.contains(&name)
}
