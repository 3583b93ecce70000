//! Whether what is subscribed really comes. The broker acknowledges nothing: the only
//! evidence of a subscription is data. What stays silent while its neighbours tick, and
//! what goes on in the old mode after a change, is noticed, shown, and asked for once
//! more.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use strikewire_broker::Link;
use strikewire_calendar::Class;
use strikewire_registry::Instrument;
use strikewire_subscriptions::State;
use strikewire_types::{ConnId, InstrumentKey, Mode, Mono, Now, Segment, Utc};

use super::Owner;
use crate::status::{MissingView, MissingWhat};

/// How often some of the instruments are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// All of them are looked at in so many looks: every five seconds.
const LOOKS: usize = 10;

/// How long after a subscription its mode must be seen in the data.
const MODE_AFTER: Duration = Duration::from_secs(5);

/// How long after a subscription the first data must have come.
const FIRST_AFTER: Duration = Duration::from_secs(15);

/// How long one that has ticked may be silent.
const LATER_AFTER: Duration = Duration::from_secs(60);

/// Neighbours tick if they did within this time.
const LATELY: Duration = Duration::from_secs(10);

/// So many neighbours must tick for silence to mean something.
const NEIGHBOURS: usize = 3;

/// Strikes on either side that count as neighbours.
const STRIKES: usize = 2;

/// Data is expected on a connection from this weight of open instruments on: what
/// trades all the time has all of it, a contract has one.
const EXPECTED_FROM: u32 = 50;

/// What is missing of an instrument.
#[derive(Debug)]
struct Missing {
    what: MissingWhat,
    since: Utc,
    resent: bool,
}

/// What is looked at, and what was found.
#[derive(Debug)]
pub(super) struct Watch {
    next_look: Mono,
    /// What is left of this sweep.
    left: Vec<InstrumentKey>,
    per_look: usize,
    missing: HashMap<InstrumentKey, Missing>,
    /// By segment: what is no contract of a chain and ticked lately, as the last whole
    /// sweep found it, and so far in this one.
    ticking: [usize; Segment::ALL.len()],
    counting: [usize; Segment::ALL.len()],
    /// By connection: the weight of open instruments, in this sweep so far.
    weights: Vec<u32>,
}

impl Watch {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            next_look: Mono::default(),
            left: Vec::new(),
            per_look: 0,
            missing: HashMap::new(),
            ticking: [0; Segment::ALL.len()],
            counting: [0; Segment::ALL.len()],
            weights: vec![0; connections],
        }
    }

    /// What is missing of an instrument.
    pub(super) fn missing(&self, key: InstrumentKey) -> Option<MissingView> {
        self.missing.get(&key).map(|missing| MissingView {
            what: missing.what,
            since: missing.since,
            resent: missing.resent,
        })
    }

    /// How many are silent, and how many go on in another mode.
    pub(super) fn counts(&self) -> (usize, usize) {
        let silent = self
            .missing
            .values()
            .filter(|missing| missing.what == MissingWhat::Data)
            .count();
        (silent, self.missing.len() - silent)
    }

    /// Takes note of a verdict; whether the instrument is to be asked for once more.
    fn note(&mut self, now: Now, key: InstrumentKey, found: Verdict) -> bool {
        let what = match found {
            Verdict::Lacks(what) => what,
            Verdict::Comes => {
                self.forget(key);
                return false;
            }
            Verdict::Unknown => return false,
        };
        let missing = self.missing.entry(key).or_insert_with(|| {
            tracing::debug!(%key, ?what, "Nothing comes of a subscription");
            Missing {
                what,
                since: now.utc,
                resent: false,
            }
        });
        missing.what = what;
        !missing.resent
    }

    /// It is not subscribed any more.
    pub(super) fn forget(&mut self, key: InstrumentKey) {
        self.missing.remove(&key);
    }
}

/// What is known of the data of a subscription.
#[derive(Debug, Clone, Copy)]
struct Evidence {
    wanted: Mode,
    /// Whether the broker may answer in any mode.
    any_mode: bool,
    /// How long ago it was asked for.
    asked: Duration,
    /// How long ago data last came; absent when never.
    heard: Option<Duration>,
    /// The mode of that data.
    got: Option<Mode>,
}

/// What evidence says of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It comes as it should.
    Comes,
    /// It has time to come, or nobody around it trades.
    Unknown,
    /// Something is missing.
    Lacks(MissingWhat),
}

fn judge(evidence: Evidence, neighbours_tick: impl Fn() -> bool) -> Verdict {
    let Evidence {
        wanted,
        any_mode,
        asked,
        heard,
        got,
    } = evidence;
    match heard.filter(|heard| *heard < asked) {
        Some(_) if !any_mode && got.is_some_and(|got| got != wanted) => {
            if asked >= MODE_AFTER {
                Verdict::Lacks(MissingWhat::Mode)
            } else {
                Verdict::Unknown
            }
        }
        Some(heard) if heard >= LATER_AFTER && neighbours_tick() => {
            Verdict::Lacks(MissingWhat::Data)
        }
        Some(_) => Verdict::Comes,
        None if asked >= FIRST_AFTER && neighbours_tick() => Verdict::Lacks(MissingWhat::Data),
        None => Verdict::Unknown,
    }
}

impl Owner {
    /// Looks at some of the instruments when it is time to.
    pub(super) fn look_for_silence(&mut self, now: Now, link: &Link) {
        if now.mono < self.watch.next_look {
            return;
        }
        // Data comes in real time, however fast the clock runs.
        self.watch.next_look = now.mono + LOOK_EVERY.mul_f64(self.speed);
        if self.watch.left.is_empty() {
            self.end_sweep(link);
            let desired = self.book.instruments();
            let desired = desired.filter(|view| view.state == State::Desired);
            self.watch.left.extend(desired.map(|view| view.key));
            self.watch.per_look = self.watch.left.len().div_ceil(LOOKS).max(1);
        }
        let from = self.watch.left.len().saturating_sub(self.watch.per_look);
        for key in self.watch.left.split_off(from) {
            if self.look_at(now, key) {
                self.resend(now, key);
            }
        }
        self.settle(now);
    }

    /// A sweep has come to its end: what it counted holds until the next one has.
    fn end_sweep(&mut self, link: &Link) {
        let watch = &mut self.watch;
        watch.ticking = core::mem::take(&mut watch.counting);
        for (at, weight) in watch.weights.iter_mut().enumerate() {
            link.expect_traffic(ConnId::from_index(at), *weight >= EXPECTED_FROM);
            *weight = 0;
        }
        let (silent, mode) = watch.counts();
        metrics::gauge!("strikewire_silent_instruments").set(silent as f64);
        metrics::gauge!("strikewire_unconfirmed_modes").set(mode as f64);
    }

    /// Whether it is to be asked for once more.
    fn look_at(&mut self, now: Now, key: InstrumentKey) -> bool {
        let Some((on_wire, instrument)) = self
            .book
            .instrument(key)
            .and_then(|view| self.book.on_wire(view.slot))
            .zip(self.registry.by_key(key))
        else {
            // It is not on a wire: there is nothing to be missed.
            self.watch.forget(key);
            return false;
        };
        let class = self
            .calendar
            .class_of(instrument.exchange(), key.segment, instrument.symbol());
        let is_contract = instrument.option_type().is_some();
        let heard = self.heard(now, key);
        let lately = heard.is_some_and(|(heard, _)| heard <= LATELY);
        if self.calendar.expects_traffic(class, now.utc) {
            self.watch.weights[on_wire.conn.index()] += if is_contract { 1 } else { EXPECTED_FROM };
            if lately && !is_contract {
                self.watch.counting[key.segment as usize] += 1;
            }
        }
        let evidence = Evidence {
            wanted: on_wire.mode,
            any_mode: key.segment == Segment::IdxI,
            asked: self.real(now.mono.since(on_wire.since)),
            heard: heard.map(|(heard, _)| heard),
            got: heard.and_then(|(_, mode)| mode),
        };
        let found = judge(evidence, || self.neighbours_tick(now, class, &instrument));
        self.watch.note(now, key, found)
    }
    /// Asks once more for what is missing of an instrument.
    fn resend(&mut self, now: Now, key: InstrumentKey) {
        let Some(slot) = self.book.instrument(key).map(|view| view.slot) else {
            return;
        };
        let cause = Arc::clone(&self.records.causes.ordered);
        if self.change(&cause, |book, effects| book.resend(now, slot, effects)) {
            metrics::counter!("strikewire_resends_total").increment(1);
            if let Some(missing) = self.watch.missing.get_mut(&key) {
                missing.resent = true;
            }
        }
    }

    /// How long ago an instrument's last packet came, in real time, and in which mode.
    fn heard(&self, now: Now, key: InstrumentKey) -> Option<(Duration, Option<Mode>)> {
        let (recv, mode) = self.table.heard(key)?;
        Some((self.real(now.utc.since(recv)), mode))
    }

    /// Whether those next to an instrument tick: the strikes around a contract, others
    /// of the segment otherwise.
    fn neighbours_tick(&self, now: Now, class: Class, instrument: &Instrument<'_>) -> bool {
        if !self.calendar.expects_traffic(class, now.utc) {
            return false;
        }
        let key = instrument.key();
        let ladder = instrument
            .expiry()
            .and_then(|expiry| {
                self.registry
                    .ladder(instrument.exchange(), instrument.symbol(), expiry)
            })
            .zip(instrument.strike());
        let Some((ladder, strike)) = ladder else {
            return self.watch.ticking[key.segment as usize] >= NEIGHBOURS;
        };
        let rungs = ladder.rungs();
        let at = rungs.partition_point(|rung| rung.strike < strike);
        let around = &rungs[at.saturating_sub(STRIKES)..rungs.len().min(at + STRIKES + 1)];
        around
            .iter()
            .flat_map(|rung| [rung.call(), rung.put()])
            .flatten()
            .map(|idx| self.registry.instrument(idx).key())
            .filter(|other| *other != key)
            .filter_map(|other| self.heard(now, other))
            .filter(|(heard, _)| *heard <= LATELY)
            .nth(NEIGHBOURS - 1)
            .is_some()
    }

    /// A time of the clock in real time.
    fn real(&self, time: Duration) -> Duration {
        time.div_f64(self.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn what_is_missing_and_from_when_on() {
        use Verdict::{Comes, Unknown};
        let [data, other_mode] = [MissingWhat::Data, MissingWhat::Mode].map(Verdict::Lacks);
        let full = Some(Mode::Full);
        let quote = Some(Mode::Quote);
        // (asked, heard, got, neighbours tick) -> what is missing of one asked for in full
        for (asked, heard, got, neighbours, expected) in [
            // Nothing yet, and time to come.
            (1, None, None, true, Unknown),
            (14, None, None, true, Unknown),
            (15, None, None, true, data),
            // Nobody around trades either.
            (3_600, None, None, false, Unknown),
            // What came before it was asked for is no evidence.
            (15, Some(20), full, true, data),
            (14, Some(20), full, true, Unknown),
            // It comes.
            (3_600, Some(1), full, true, Comes),
            (3_600, Some(59), full, true, Comes),
            (3_600, Some(60), full, true, data),
            (3_600, Some(60), full, false, Comes),
            // It comes in another mode.
            (4, Some(1), quote, false, Unknown),
            (5, Some(1), quote, false, other_mode),
            // By a packet that has no mode, such as open interest alone.
            (60, Some(1), None, true, Comes),
        ] {
            let evidence = Evidence {
                wanted: Mode::Full,
                any_mode: false,
                asked: secs(asked),
                heard: heard.map(secs),
                got,
            };
            assert_eq!(
                judge(evidence, || neighbours),
                expected,
                "{evidence:?}, neighbours {neighbours}"
            );
        }
    }

    #[test]
    fn an_index_may_answer_in_any_mode() {
        let evidence = Evidence {
            wanted: Mode::Quote,
            any_mode: true,
            asked: secs(60),
            heard: Some(secs(1)),
            got: Some(Mode::Ticker),
        };
        assert_eq!(judge(evidence, || true), Verdict::Comes);
    }
}
