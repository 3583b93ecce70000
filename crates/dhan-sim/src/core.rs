//! The protocol, without sockets: what connections ask for and what they are sent.
//!
//! Time and text go in, frames come out. Feed it in the order things happen;
//! afterwards [`flush`](Core::flush), and at regular times [`poll`](Core::poll), and
//! write what they give. How often it is polled bounds what is sent: an instrument is
//! sent once per poll at most, however much of the market's time has passed.
//!
//! ```
//! # use std::sync::Arc;
//! # use strikewire_dhan_sim::{Config, core::{Core, Output}, generate::{Spec, generate}};
//! # use strikewire_registry::{LoadOptions, Registry};
//! # use strikewire_types::{ClockSpec, Now};
//! # let as_of = "2026-02-09".parse()?;
//! # let mut master = Vec::new();
//! # generate(&Spec { rows: 2_000, ..Spec::new(as_of) }, &mut master)?;
//! # let registry = Arc::new(Registry::from_reader(&master[..], &LoadOptions::new(as_of))?);
//! let start: ClockSpec = "2026-02-09T10:00:00+05:30".parse()?;
//! let now = Now { utc: start.start, ..Now::default() };
//! let mut core = Core::new(registry, Config::default(), now);
//! let session = core.handle_connect(now, "version=2&token=t&clientId=1&authType=2")?;
//! core.handle_text(now, session, r#"{"RequestCode":15,"InstrumentCount":1,
//!     "InstrumentList":[{"ExchangeSegment":"IDX_I","SecurityId":"13"}]}"#);
//! let mut out = Vec::new();
//! core.poll(now, &mut out);
//! // The previous close and the last price, in one frame.
//! let [(to, Output::Frame(frame))] = &out[..] else { panic!("one frame") };
//! assert_eq!((*to, frame.len()), (session, 16 + 16));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where the real broker is silent
//!
//! The documentation does not say what becomes of bad requests. This one is strict,
//! so that clients which work with it make none:
//!
//! | request | answer |
//! |---|---|
//! | not JSON, no request code, an unknown code or segment, a count that is not the list's | disconnected with 814 |
//! | a security id that is no number | disconnected with 813 |
//! | more than 100 instruments in a message, more than 5,000 on a connection | disconnected with 804 |
//! | an instrument that is not in the master | held and counted, never sent |
//! | an instrument already held in that mode | counted; its state is sent again |
//! | unsubscribing what is not held in that mode | counted |
//! | code 11, of the first version | ignored |
//!
//! Modes of an instrument are a set; what is sent follows the highest one.

mod packets;
mod session;
#[cfg(test)]
mod tests;
mod wheel;

use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use strikewire_dhan::wire::{Reason, RequestCode, SubscribeRequest};
use strikewire_registry::Registry;
use strikewire_types::{InstrumentKey, Mode, Now, Price, Segment};

use crate::Config;
use crate::counters::Report;
use crate::market::Market;
pub use session::ModeSet;
use session::Session;
use wheel::{Due, Wheel};

/// A connection, numbered from 1 in the order they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What to do with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a binary frame.
    Frame(Bytes),
    /// Close it; nothing follows.
    Close,
}

/// A connection that is not taken, answered with an HTTP status instead of the
/// upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("refused with status {status}: {reason}")]
pub struct Refusal {
    /// 400 or 401.
    pub status: u16,
    /// What is missing.
    pub reason: &'static str,
}

/// Something a client did or that was done to it, for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub at: Now,
    /// To which connection.
    pub session: SessionId,
    /// What.
    pub event: Event,
}

/// What a [`LogEntry`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It connected.
    Connected,
    /// It asked for or let go of instruments.
    Request {
        /// Which of the six.
        code: RequestCode,
        /// Of which, in the order of the message.
        keys: Vec<InstrumentKey>,
    },
    /// It said that it leaves.
    Left,
    /// It was disconnected.
    Disconnected(Reason),
    /// Its connection ended.
    Closed,
}

/// The protocol and the market behind it.
#[derive(Debug)]
pub struct Core {
    config: Config,
    market: Market,
    sessions: BTreeMap<SessionId, Session>,
    next: u64,
    generation: u64,
    wheel: Wheel,
    /// For connections that are gone from `sessions`, or frames finished early.
    queue: Vec<(SessionId, Output)>,
    report: Report,
    log: VecDeque<LogEntry>,
}

impl Core {
    /// A stand-in for the instruments of `registry` whose market opens now.
    #[must_use]
    pub fn new(registry: Arc<Registry>, config: Config, now: Now) -> Self {
        let market = Market::new(registry, config.market.clone(), now.utc);
        let wheel = Wheel::starting_at(market.step());
        Self {
            config,
            market,
            sessions: BTreeMap::new(),
            next: 1,
            generation: 0,
            wheel,
            queue: Vec::new(),
            report: Report::default(),
            log: VecDeque::new(),
        }
    }

    /// Somebody connects; `query` is what follows the `?`.
    ///
    /// Beyond the limit of connections of this client id the oldest one is
    /// disconnected with 805.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] when parameters are missing or wrong.
    pub fn handle_connect(&mut self, now: Now, query: &str) -> Result<SessionId, Refusal> {
        let client = match self.admit(query) {
            Ok(client) => client,
            Err(refusal) => {
                self.report.refused += 1;
                return Err(refusal);
            }
        };
        let same: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.client == client)
            .map(|(id, _)| *id)
            .collect();
        let beyond = (same.len() + 1).saturating_sub(self.config.connections.max(1));
        for oldest in same.into_iter().take(beyond) {
            self.report.displaced += 1;
            self.disconnect(now, oldest, Reason::TooManyConnections);
        }
        let id = SessionId(self.next);
        self.next += 1;
        self.report.connected += 1;
        self.sessions.insert(id, Session::new(client));
        self.note(now, id, Event::Connected);
        Ok(id)
    }

    /// The client id of a query that is complete.
    fn admit(&self, query: &str) -> Result<String, Refusal> {
        let refuse = |status, reason| Err(Refusal { status, reason });
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            parameters.insert(name.into_owned(), value.into_owned());
        }
        let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        if get("version") != "2" {
            return refuse(400, "version must be 2");
        }
        if get("authType") != "2" {
            return refuse(400, "authType must be 2");
        }
        if get("token").is_empty() {
            return refuse(401, "token is missing");
        }
        if get("clientId").is_empty() {
            return refuse(401, "clientId is missing");
        }
        if let Some(wanted) = &self.config.credentials
            && (wanted.client_id != get("clientId") || wanted.token != get("token"))
        {
            return refuse(401, "clientId and token are not the expected ones");
        }
        Ok(get("clientId").to_owned())
    }

    /// A text message from a connection. Whatever it is, it is answered or counted.
    pub fn handle_text(&mut self, now: Now, id: SessionId, text: &str) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.counters.messages += 1;
        self.market.advance(now);
        match self.request(now, id, text) {
            Ok(()) => {}
            Err(reason) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.counters.invalid += 1;
                }
                self.disconnect(now, id, reason);
            }
        }
    }

    fn request(&mut self, now: Now, id: SessionId, text: &str) -> Result<(), Reason> {
        let request: SubscribeRequest =
            serde_json::from_str(text).map_err(|_| Reason::InvalidRequest)?;
        let code = RequestCode::from_code(request.request_code).ok_or(Reason::InvalidRequest)?;
        let Some(mode) = code.mode() else {
            if code == RequestCode::Disconnect {
                self.note(now, id, Event::Left);
                self.finish(id);
                self.queue.push((id, Output::Close));
            }
            return Ok(());
        };
        let list = &request.instrument_list;
        if list.is_empty() || request.instrument_count != list.len() {
            return Err(Reason::InvalidRequest);
        }
        let mut keys = Vec::with_capacity(list.len());
        for instrument in list {
            if instrument.exchange_segment.parse::<Segment>().is_err() {
                return Err(Reason::InvalidRequest);
            }
            keys.push(instrument.key().ok_or(Reason::InvalidSecurityId)?);
        }
        if self.config.log > 0 {
            self.note(
                now,
                id,
                Event::Request {
                    code,
                    keys: keys.clone(),
                },
            );
        }
        if keys.len() > self.config.per_message {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.counters.oversized += 1;
            }
            return Err(Reason::TooManyInstruments);
        }
        if code.is_subscribe() {
            self.subscribe(id, mode, &keys)
        } else {
            self.unsubscribe(id, mode, &keys);
            Ok(())
        }
    }

    fn subscribe(
        &mut self,
        id: SessionId,
        mode: Mode,
        keys: &[InstrumentKey],
    ) -> Result<(), Reason> {
        for &key in keys {
            let Some(session) = self.sessions.get_mut(&id) else {
                return Ok(());
            };
            if session.held.len() >= self.config.instruments && !session.held.contains_key(&key) {
                return Err(Reason::TooManyInstruments);
            }
            self.generation += 1;
            let (modes, is_new) = session.add(key, mode, self.generation);
            let Some(quote) = self.market.quote(key) else {
                continue;
            };
            let size = self.config.packets_per_frame;
            if key.segment == Segment::IdxI {
                session.send(id, &packets::prev_close(&quote), size, &mut self.queue);
            }
            session.send_quote(id, &quote, modes, size, &mut self.queue);
            if is_new && let Some(at) = self.market.next_trade(key) {
                self.wheel.push(Due {
                    at,
                    session: id,
                    key,
                    generation: self.generation,
                });
            }
        }
        Ok(())
    }

    fn unsubscribe(&mut self, id: SessionId, mode: Mode, keys: &[InstrumentKey]) {
        if let Some(session) = self.sessions.get_mut(&id) {
            for &key in keys {
                session.remove(key, mode);
            }
        }
    }

    /// The connection is gone.
    pub fn handle_close(&mut self, now: Now, id: SessionId) {
        if self.sessions.contains_key(&id) {
            self.finish(id);
            self.note(now, id, Event::Closed);
        }
    }

    /// Brings the market to `now`: every instrument that traded since the last call is
    /// sent once, as it is now, to whom holds it. What waits to be sent goes to `out`,
    /// in order for each connection.
    pub fn poll(&mut self, now: Now, out: &mut Vec<(SessionId, Output)>) {
        let step = self.market.advance(now);
        for due in self.wheel.take_until(step) {
            let Some(session) = self.sessions.get_mut(&due.session) else {
                continue;
            };
            let Some(modes) = session.modes_of(due.key, due.generation) else {
                continue;
            };
            if let Some(quote) = self.market.quote(due.key) {
                let size = self.config.packets_per_frame;
                session.send_quote(due.session, &quote, modes, size, &mut self.queue);
            }
            if let Some(at) = self.market.next_trade(due.key) {
                self.wheel.push(Due { at, ..due });
            }
        }
        self.flush(out);
    }

    /// What waits to be sent goes to `out`, in order for each connection. The market
    /// stays as it is: these are answers, not ticks.
    pub fn flush(&mut self, out: &mut Vec<(SessionId, Output)>) {
        for (id, session) in &mut self.sessions {
            session.flush(*id, &mut self.queue);
        }
        out.append(&mut self.queue);
    }

    /// Says goodbye with a reason and closes.
    fn disconnect(&mut self, now: Now, id: SessionId, reason: Reason) {
        self.finish(id);
        self.queue
            .push((id, Output::Frame(packets::disconnect(reason))));
        self.queue.push((id, Output::Close));
        self.note(now, id, Event::Disconnected(reason));
    }

    /// Takes the session out; what was to be sent stays queued.
    fn finish(&mut self, id: SessionId) {
        if let Some(mut session) = self.sessions.remove(&id) {
            session.flush(id, &mut self.queue);
            session.counters.instruments = 0;
            self.report.ended(id, session.counters);
        }
    }

    fn note(&mut self, at: Now, session: SessionId, event: Event) {
        if self.config.log == 0 {
            return;
        }
        if self.log.len() >= self.config.log {
            self.log.pop_front();
        }
        self.log.push_back(LogEntry { at, session, event });
    }

    /// Notes packets that were never written because the connection was too slow.
    pub fn count_dropped(&mut self, id: SessionId, packets: u64) {
        match self.sessions.get_mut(&id) {
            Some(session) => session.counters.dropped += packets,
            None => self.report.ended_counters(id).dropped += packets,
        }
    }

    /// What every connection holds, unknown instruments included.
    #[must_use]
    pub fn wire_state(&self) -> BTreeMap<SessionId, BTreeMap<InstrumentKey, ModeSet>> {
        self.sessions
            .iter()
            .map(|(id, session)| (*id, session.state()))
            .collect()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Report {
        let mut report = self.report.clone();
        for (id, session) in &self.sessions {
            report.live(*id, session.counters);
        }
        report
    }

    /// The latest things that happened, the oldest first; empty unless
    /// [`Config::log`] is set.
    pub fn log(&self) -> impl Iterator<Item = &LogEntry> {
        self.log.iter()
    }

    /// Moves an underlying, see [`Market::set_price`].
    pub fn set_price(&mut self, key: InstrumentKey, price: Price) -> bool {
        self.market.set_price(key, price)
    }

    /// Moves all underlyings at once, see [`Market::move_prices`].
    pub fn move_prices(&mut self, now: Now, factor: f64) -> bool {
        self.market.advance(now);
        self.market.move_prices(factor)
    }

    /// Changes to another master, see [`Market::set_registry`]. Connections and their
    /// subscriptions stay, by segment and id as the broker knows them: an id that means
    /// another contract now ticks as that one, one that is not listed any more is
    /// silent.
    pub fn set_registry(&mut self, now: Now, registry: Arc<Registry>) {
        let step = self.market.advance(now);
        self.market.set_registry(registry);
        self.wheel = Wheel::starting_at(step);
        self.generation += 1;
        let generation = self.generation;
        for (id, session) in &mut self.sessions {
            for key in session.renew(generation) {
                if let Some(at) = self.market.next_trade(key) {
                    self.wheel.push(Due {
                        at,
                        session: *id,
                        key,
                        generation,
                    });
                }
            }
        }
    }

    /// The market behind it.
    pub fn market(&mut self) -> &mut Market {
        &mut self.market
    }

    /// How it is configured.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }
}
