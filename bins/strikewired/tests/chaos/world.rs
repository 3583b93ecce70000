//! The clock, the way of messages, and what a seed stands for.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::prelude::*;
use rand_pcg::Pcg64;
use strikewire_broker::{ConnEvent, WireBatch};
use strikewire_dhan_sim::ModeSemantics;
use strikewire_dhan_sim::script::Script;
use strikewire_types::{ClockSpec, ConnId, Epoch, InstrumentKey, Mono, Now, Slot};

use crate::broker::{Broker, ToBroker};
use crate::client::{Client, ToClient};
use crate::mishaps::Mishap;
use crate::owner::Desk;
use crate::seen::Seen;
use crate::users::{DAY, Master};

/// What a seed stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) connections: usize,
    pub(crate) per_connection: usize,
    pub(crate) total: usize,
    pub(crate) per_batch: usize,
    pub(crate) modes: ModeSemantics,
    /// What the broker really gives on a connection.
    pub(crate) given: usize,
    /// Whether the broker does not take one of the instruments.
    pub(crate) has_bad_instrument: bool,
    pub(crate) is_large: bool,
    pub(crate) rounds: usize,
}

impl Setting {
    fn of(seed: u64) -> Self {
        let modes = ModeSemantics::ALL[(seed % 3) as usize];
        if seed % 20 == 9 {
            return Self {
                connections: 5,
                per_connection: 5_000,
                total: 25_000,
                per_batch: 100,
                modes,
                given: 5_000,
                has_bad_instrument: false,
                is_large: true,
                rounds: 1,
            };
        }
        Self {
            connections: 3,
            per_connection: 7,
            total: if seed % 4 == 1 { 18 } else { 21 },
            per_batch: 2,
            modes,
            given: if seed % 10 == 4 { 5 } else { 7 },
            has_bad_instrument: matches!(seed % 5, 2 | 4),
            is_large: false,
            rounds: 2,
        }
    }

    pub(crate) fn master(&self) -> &'static Master {
        if self.is_large {
            Master::large()
        } else {
            Master::small()
        }
    }
}

/// What happens at some time.
#[derive(Debug)]
pub(crate) enum What {
    ToBroker(usize, ToBroker),
    ToClient(usize, ToClient),
    /// To the owner of the book.
    Event(ConnEvent),
    FirstPacket(Slot, ConnId, InstrumentKey),
    /// To the driver.
    Batch(WireBatch),
    Written(ConnId, Epoch),
    LookAtToken,
    LookForSilence,
    Ping,
    Poll,
    User,
    Fault,
    Mishap(Mishap),
    /// Once a second, nothing by itself.
    Beat,
}

/// What happened, in words.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<String>,
    keep: bool,
    print: bool,
}

impl Log {
    pub(crate) fn kept(print: bool) -> Self {
        Self {
            keep: true,
            print,
            ..Self::default()
        }
    }

    pub(crate) const fn is_kept(&self) -> bool {
        self.keep
    }

    pub(crate) fn show(&self, last: usize) {
        let from = self.events.len().saturating_sub(last);
        for event in &self.events[from..] {
            eprintln!("{event}");
        }
    }
}

pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) rng: Pcg64,
    pub(crate) now: Now,
    pub(crate) log: Log,
    pub(crate) seen: Seen,
    queue: BTreeMap<(Mono, u64), What>,
    queued: u64,
    pub(crate) desk: Desk,
    pub(crate) client: Client,
    pub(crate) broker: Broker,
    /// Until when things may go wrong.
    pub(crate) troubled_until: Mono,
    /// How long the latest fault is to be left alone.
    pub(crate) left_alone: Duration,
    /// Events to the owner and batches to the driver keep their order.
    to_owner: Mono,
}

impl World {
    pub(crate) fn new(seed: u64, log: Log) -> Self {
        Self::with(Setting::of(seed), seed, "10:00:00", Script::default(), log)
    }

    /// Five connections of a few instruments, on which nothing goes wrong but what the
    /// script says.
    pub(crate) fn scene(script: Script, at: &str) -> Self {
        let setting = Setting {
            connections: 5,
            total: 35,
            per_batch: 10,
            given: 7,
            has_bad_instrument: false,
            rounds: 0,
            ..Setting::of(0)
        };
        Self::with(setting, 1, at, script, Log::kept(false))
    }

    fn with(setting: Setting, seed: u64, at: &str, script: Script, log: Log) -> Self {
        let start: ClockSpec = format!("{DAY}T{at}+05:30").parse().unwrap();
        let now = Now {
            mono: Mono::from_nanos(1_000_000_000),
            utc: start.start,
        };
        let mut world = Self {
            setting,
            rng: Pcg64::seed_from_u64(seed),
            now,
            log,
            seen: Seen::default(),
            queue: BTreeMap::new(),
            queued: 0,
            desk: Desk::new(setting),
            client: Client::new(setting, seed, None, now),
            broker: Broker::new(setting, seed, script, now),
            troubled_until: Mono::default(),
            left_alone: Duration::ZERO,
            to_owner: Mono::default(),
        };
        world.broker.choose_bad_instrument(&mut world.rng);
        for (what, every) in [
            (What::Poll, 0),
            (What::Ping, 0),
            (What::LookAtToken, 0),
            (What::LookForSilence, 0),
            (What::Beat, 1_000),
        ] {
            world.after(Duration::from_millis(every), what);
        }
        world
    }

    /// Trouble, quiet, and again.
    pub(crate) fn drive(&mut self) {
        for round in 0..self.setting.rounds {
            let trouble = self.between(40_000, 100_000);
            self.troubled_until = self.now.mono + trouble;
            self.note(|| format!("== round {round}: trouble for {} s", trouble.as_secs()));
            self.after(Duration::ZERO, What::User);
            self.after(Duration::from_secs(2), What::Fault);
            self.run_until(self.now.mono + trouble);
            self.be_quiet();
            self.check_rest();
        }
    }

    pub(crate) fn is_troubled(&self) -> bool {
        self.now.mono < self.troubled_until
    }

    pub(crate) fn run_until(&mut self, end: Mono) {
        let (mut since, mut turns) = (self.now.mono, 0);
        loop {
            turns = if since == self.now.mono { turns + 1 } else { 0 };
            since = self.now.mono;
            let queued = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let timers = [
                queued,
                self.client.fleet.poll_timeout(),
                self.desk.book.poll_timeout(),
                self.broker.core.poll_timeout(),
            ];
            assert!(turns < 10_000, "time stands still: {timers:?} at {since:?}");
            // The end is always there.
            let next = timers.into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.go_to(end);
                return;
            }
            self.go_to(next);
            if self.broker.core.poll_timeout().is_some_and(|at| at <= next) {
                self.poll_broker();
            }
            if self
                .client
                .fleet
                .poll_timeout()
                .is_some_and(|at| at <= next)
            {
                self.client.fleet.handle_timeout(self.now);
                self.act();
            }
            if self.desk.book.poll_timeout().is_some_and(|at| at <= next) {
                let mut effects = Vec::new();
                self.desk.book.handle_timeout(self.now, &mut effects);
                self.settle(effects);
            }
            while let Some(entry) = self.queue.first_entry() {
                if entry.key().0 > self.now.mono {
                    break;
                }
                let what = entry.remove();
                self.happen(what);
            }
        }
    }

    fn go_to(&mut self, at: Mono) {
        let passed = at.since(self.now.mono);
        self.now = self.now + passed;
    }

    fn happen(&mut self, what: What) {
        match what {
            What::ToBroker(socket, message) => self.broker_hears(socket, message),
            What::ToClient(socket, message) => self.client_hears(socket, message),
            What::Event(event) => self.owner_hears(&event),
            What::FirstPacket(slot, conn, key) => self.owner_hears_of_packet(slot, conn, key),
            What::Batch(batch) => self.client_writes(&batch),
            What::Written(conn, epoch) => self.client_has_written(conn, epoch),
            What::LookAtToken => {
                self.look_at_token();
                self.after(Duration::from_secs(5), What::LookAtToken);
            }
            What::LookForSilence => {
                self.look_for_silence();
                self.after(Duration::from_secs(1), What::LookForSilence);
            }
            What::Ping => {
                self.ping_all();
                self.after(Duration::from_secs(10), What::Ping);
            }
            What::Poll => {
                self.poll_broker();
                let every = if self.setting.is_large { 1_000 } else { 400 };
                self.after(Duration::from_millis(every), What::Poll);
            }
            What::User => {
                if self.is_troubled() {
                    self.user_acts();
                    let wait = self.between(20, 2_000);
                    self.after(wait, What::User);
                }
            }
            What::Fault => {
                if self.is_troubled() {
                    self.something_goes_wrong();
                    let wait = self
                        .between(500, 12_000)
                        .max(core::mem::take(&mut self.left_alone));
                    self.after(wait, What::Fault);
                }
            }
            What::Mishap(mishap) => self.mishap_ends(mishap),
            What::Beat => {
                self.set_expectations();
                self.after(Duration::from_secs(1), What::Beat);
            }
        }
    }

    pub(crate) fn at(&mut self, at: Mono, what: What) {
        self.queued += 1;
        self.queue.insert((at, self.queued), what);
    }

    pub(crate) fn after(&mut self, wait: Duration, what: What) {
        self.at(self.now.mono + wait, what);
    }

    /// To the owner of the book or from it, in order.
    pub(crate) fn tell_owner(&mut self, what: What) {
        let delay = self.between(0, 4);
        self.to_owner = self.to_owner.max(self.now.mono + delay);
        let at = self.to_owner;
        self.at(at, what);
    }

    /// What is under way inside of the process is gone with it.
    pub(crate) fn forget_the_process(&mut self) {
        self.queue.retain(|_, what| {
            !matches!(
                what,
                What::Event(_) | What::FirstPacket(..) | What::Batch(_) | What::Written(..)
            )
        });
    }

    /// Drops what is under way to the client on a socket.
    pub(crate) fn lose(&mut self, socket: usize) {
        self.queue
            .retain(|_, what| !matches!(what, What::ToClient(to, _) if *to == socket));
    }

    /// Instruments in messages that the broker has not heard yet.
    pub(crate) fn under_way(&self) -> usize {
        let texts = self.queue.values().filter_map(|what| match what {
            What::ToBroker(_, ToBroker::Text(text)) => Some(text),
            _ => None,
        });
        texts.map(|text| text.matches("SecurityId").count()).sum()
    }

    /// A random time, in milliseconds.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(least..=most))
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.log.keep {
            let event = format!("{:10.3} {}", self.now.mono.as_nanos() as f64 / 1e9, text());
            if self.log.print {
                eprintln!("{event}");
            }
            self.log.events.push(event);
        }
    }
}
