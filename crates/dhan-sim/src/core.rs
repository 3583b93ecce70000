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
//! What several modes of an instrument mean is also unknown, see
//! [`ModeSemantics`](crate::ModeSemantics).
//!
//! # Faults
//!
//! The core plays the faults of its script and those that are [injected](Core::inject).
//! What cannot be seen in frames is said in [`Output`]s: a reset, a close frame, and
//! [`Transport`], how the bytes go. Pings are the caller's, every ten seconds, as long
//! as [`Transport::pings`] says so. Faults begin and end when the core is called; call
//! it at [`poll_timeout`](Core::poll_timeout) where that matters.

mod agenda;
mod connect;
mod effects;
mod incidents;
mod output;
mod packets;
mod requests;
mod session;
#[cfg(test)]
mod tests;
mod tokens;
mod wheel;

use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::SeedableRng;
use rand_pcg::Pcg64;
use strikewire_dhan::wire::{Reason, RequestCode};
use strikewire_registry::Registry;
use strikewire_types::{InstrumentKey, Mode, Mono, Now, Price, Segment};
use zerocopy::{Immutable, IntoBytes};

use crate::Config;
use crate::counters::Report;
use crate::faults::Fault;
use crate::market::{Market, Quote};
use agenda::Agenda;
pub use connect::Refusal;
use effects::Effects;
pub use output::{Output, Transport};
pub(crate) use packets::packets_in;
pub use session::ModeSet;
use session::Session;
use tokens::Tokens;
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

/// Who holds an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// On which connection.
    pub session: SessionId,
    /// In which modes.
    pub modes: ModeSet,
    /// Since when, without a break.
    pub since: Now,
}

/// Something a client did or that was done to it, for tests.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// When.
    pub at: Now,
    /// To which connection.
    pub session: SessionId,
    /// What.
    pub event: Event,
}

/// What a [`LogEntry`] is about.
#[derive(Debug, Clone, PartialEq)]
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
    /// A fault befell it.
    Fault(Fault),
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
    /// Packets sent, by instrument and in all.
    sent: hashbrown::HashMap<InstrumentKey, u64, foldhash::fast::RandomState>,
    packets: u64,
    start: Mono,
    /// The latest time it was told.
    now: Mono,
    rng: Pcg64,
    agenda: Agenda,
    tokens: Tokens,
    /// Faults that befall whoever connects.
    common: Effects,
    /// Faults of the account.
    account: Effects,
    /// When the agenda, a fault or a token asks for attention.
    next_event: Option<Mono>,
}

impl Core {
    /// A stand-in for the instruments of `registry` whose market opens now.
    #[must_use]
    pub fn new(registry: Arc<Registry>, config: Config, now: Now) -> Self {
        let market = Market::new(registry, config.market.clone(), now.utc);
        let wheel = Wheel::starting_at(market.step());
        let mut core = Self {
            market,
            sessions: BTreeMap::new(),
            next: 1,
            generation: 0,
            wheel,
            queue: Vec::new(),
            report: Report::default(),
            log: VecDeque::new(),
            sent: hashbrown::HashMap::default(),
            packets: 0,
            start: now.mono,
            now: now.mono,
            rng: Pcg64::seed_from_u64(config.script.seed),
            agenda: Agenda::new(&config.script, now),
            tokens: Tokens::new(config.credentials.as_ref()),
            common: Effects::default(),
            account: Effects::default(),
            next_event: None,
            config,
        };
        core.plan();
        core
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
        self.catch_up(now);
        let step = self.market.advance(now);
        for due in self.wheel.take_until(step) {
            let Some(session) = self.sessions.get_mut(&due.session) else {
                continue;
            };
            let Some(modes) = session.modes_of(due.key, due.generation) else {
                continue;
            };
            if !session.behaviour.out_of_hours
                && let Some(quote) = self.market.quote(due.key)
            {
                self.send_quote(now, due.session, quote, modes);
            }
            if let Some(at) = self.market.next_trade(due.key) {
                self.wheel.push(Due { at, ..due });
            }
        }
        self.make_noise();
        self.flush(out);
    }

    /// What waits to be sent goes to `out`, in order for each connection. The market
    /// stays as it is: these are answers, not ticks.
    pub fn flush(&mut self, out: &mut Vec<(SessionId, Output)>) {
        for (id, session) in &mut self.sessions {
            session.flush(*id, self.now, &mut self.queue);
        }
        out.append(&mut self.queue);
    }

    /// Sends what the highest of `modes` asks for.
    fn send_quote(&mut self, now: Now, id: SessionId, mut quote: Quote, modes: ModeSet) {
        if let Some(session) = self.sessions.get(&id) {
            quote.traded_at = quote.traded_at.saturating_add(session.behaviour.skew);
        }
        let key = quote.key;
        let is_index = key.segment == Segment::IdxI;
        match modes.highest() {
            None => {}
            Some(Mode::Ticker) => self.send(now, id, key, &packets::ticker(&quote)),
            Some(Mode::Full) if !is_index => self.send(now, id, key, &packets::full(&quote)),
            Some(Mode::Quote | Mode::Full) => {
                self.send(now, id, key, &packets::quote(&quote));
                if let Some(oi) = packets::oi(&quote) {
                    self.send(now, id, key, &oi);
                }
            }
        }
    }

    /// Sends a packet about `key`, unless a fault keeps it back.
    fn send(
        &mut self,
        now: Now,
        id: SessionId,
        key: InstrumentKey,
        packet: &(impl IntoBytes + Immutable),
    ) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        if session.is_counted_out() || self.agenda.is_counted_out(self.packets) {
            self.trip(now, id);
        }
        // It may be gone now.
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.send(id, self.now, packet.as_bytes(), &mut self.queue) {
            self.packets += 1;
            *self.sent.entry(key).or_default() += 1;
        }
    }

    /// Says goodbye with a reason and closes.
    fn disconnect(&mut self, now: Now, id: SessionId, reason: Reason) {
        let is_silent = self.is_silent(id);
        self.finish(id);
        if !is_silent {
            self.queue
                .push((id, Output::Frame(packets::disconnect(reason))));
        }
        self.queue.push((id, Output::Close));
        self.note(now, id, Event::Disconnected(reason));
    }

    fn is_silent(&self, id: SessionId) -> bool {
        let session = self.sessions.get(&id);
        session.is_some_and(|session| session.behaviour.is_silent())
    }

    /// Takes the session out; what was to be sent stays queued.
    fn finish(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && !session.behaviour.is_silent()
        {
            session.flush_all(id, self.now, &mut self.queue);
        }
        self.drop_session(id);
    }

    /// Takes the session out, and what was to be sent with it.
    fn drop_session(&mut self, id: SessionId) {
        if let Some(mut session) = self.sessions.remove(&id) {
            session.counters.instruments = 0;
            self.report.ended(id, session.counters);
            self.agenda.end(id);
        }
    }

    /// After instruments were added.
    fn note_peak(&mut self) {
        let held = self.sessions.values().map(|session| session.held.len());
        self.report.peak_instruments = self.report.peak_instruments.max(held.sum());
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

    /// How the bytes of a connection go now; none once it has ended.
    #[must_use]
    pub fn transport(&self, id: SessionId) -> Option<Transport> {
        let session = self.sessions.get(&id)?;
        Some(session.behaviour.transport)
    }

    /// Ends every fault that lasts, also those of the account. What a script has in
    /// store still comes, and tokens stay as they are.
    pub fn clear_faults(&mut self, now: Now) {
        self.catch_up(now);
        self.common.clear();
        self.account.clear();
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.effects.clear();
                self.renew(now, id);
            }
        }
        self.plan();
    }

    /// How many packets about an instrument were sent, to all connections together.
    #[must_use]
    pub fn sent(&self, key: InstrumentKey) -> u64 {
        self.sent.get(&key).copied().unwrap_or(0)
    }

    /// Who holds an instrument, the oldest connection first.
    #[must_use]
    pub fn holders(&self, key: InstrumentKey) -> Vec<Holder> {
        self.sessions
            .iter()
            .filter_map(|(id, session)| {
                let (modes, since) = session.held_since(key)?;
                Some(Holder {
                    session: *id,
                    modes,
                    since,
                })
            })
            .collect()
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
