use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use strikewire_broker::{Packed, PackedQuote, Target, Update};
use strikewire_calendar::{Calendar, Class};
use strikewire_indicators::{Bar, GRACE, MinuteBuilder, Tick};
use strikewire_quotes::{Interest, Table};
use strikewire_types::{ExchangeTime, InstrumentKey, Price, Segment, Slot, Utc};

use super::{BarBatch, BarCommand, Era};

/// Instruments whose minutes are closed, or taken, before the feed has its turn again.
const PER_TURN: usize = 512;

/// How often is said that packets of an instrument come.
const HEARD_EVERY: Duration = Duration::from_secs(30);

/// Later than every bar.
const FAR: Utc = Utc::from_nanos(i64::MAX);

const MINUTE: i64 = 60_000_000_000;

/// Builds the minutes of every instrument that is watched, inside the tick path.
#[derive(Debug)]
pub(crate) struct Tap {
    table: Arc<Table>,
    calendar: Arc<Calendar>,
    grace: Duration,
    era: Era,
    /// The instrument master that everything below is of.
    master: u64,
    /// All its memory is asked for with the first, and used as they come: to move so many
    /// would hold up the feed.
    watched: Vec<Watch>,
    /// Where in `watched` an instrument is.
    by_key: HashMap<InstrumentKey, u32>,
    /// Where it was when its slot last had a packet: to be checked by its key.
    by_slot: Box<[u32]>,
    /// Those of `watched` that changed.
    changed: Vec<u32>,
    /// Those of them that are left of what is being taken.
    taking: Vec<u32>,
    closed: Vec<(InstrumentKey, Bar)>,
    /// Those that were found to get no packets, and since when.
    missing: Vec<(InstrumentKey, Utc)>,
    /// Minutes that miss a tick that came too late.
    lost: Vec<(InstrumentKey, Utc)>,
    /// Those of which packets come.
    on_wire: Vec<InstrumentKey>,
    /// The minute whose end all were last looked at after, and who is next.
    looked: Option<i64>,
    next: usize,
}

/// An instrument that is watched.
#[derive(Debug)]
struct Watch {
    key: InstrumentKey,
    builder: MinuteBuilder,
    last: Said,
    /// When its latest packet was received.
    heard: Option<Utc>,
    /// When it was last said that some come, since the start or the last gap.
    told: Option<Utc>,
    /// Since when it gets no packets, as far as is known.
    missing: Option<Utc>,
    /// Whether its next tick is the first after the start or a gap, to be told even if it
    /// repeats the last trade.
    is_first: bool,
    /// Whether it is among those that changed.
    changed: bool,
    /// What was counted of its late ticks, and of those out of session.
    counted: (u64, u64),
}

impl Watch {
    fn gap(&mut self, from: Utc, to: Utc) {
        self.builder.gap(from, to);
        self.is_first = true;
        self.told = None;
    }

    /// A packet came at `at`; whether that is to be told.
    fn hear(&mut self, at: Utc) -> bool {
        self.heard = Some(at);
        let is_due = (self.told).is_none_or(|told| at < told || told + HEARD_EVERY <= at);
        if is_due {
            self.told = Some(at);
        }
        is_due
    }
}

/// What packets said of an instrument; absent what none has said yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Said {
    ltp: Option<Price>,
    ltt: Option<ExchangeTime>,
    volume: Option<u32>,
    oi: Option<u32>,
}

impl Said {
    fn last(ltp: Option<Price>, ltt: Option<ExchangeTime>) -> Self {
        // A price without its time is no trade, nor is a time without a price.
        let traded = ltp.is_some() && ltt.is_some();
        Self {
            ltp: ltp.filter(|_| traded),
            ltt: ltt.filter(|_| traded),
            ..Self::default()
        }
    }

    /// Whether the last trade is in it: only then all that was traded before it is told.
    const fn has_trade(&self) -> bool {
        self.ltp.is_some()
    }

    fn packed(target: &Target, ltp: i32, ltt: u32) -> Self {
        let price = (ltp != 0).then(|| Price::from_raw(i64::from(ltp) * target.step.unit()));
        let time = (ltt != 0).then(|| ExchangeTime::from_seconds(ltt.into()));
        Self::last(price, time)
    }

    fn packed_quote(target: &Target, quote: &PackedQuote) -> Self {
        Self {
            volume: Some(quote.volume),
            ..Self::packed(target, quote.ticker.ltp, quote.ticker.ltt)
        }
    }

    /// What of it means something for an instrument: nothing of an index itself is traded.
    fn of(self, key: InstrumentKey) -> Self {
        match key.segment {
            Segment::IdxI => Self::last(self.ltp, self.ltt),
            _ => self,
        }
    }

    /// This, and what was said before where this says nothing.
    fn over(self, before: Self) -> Self {
        Self {
            ltp: self.ltp.or(before.ltp),
            ltt: self.ltt.or(before.ltt),
            volume: self.volume.or(before.volume),
            oi: self.oi.or(before.oi),
        }
    }
}

impl Tap {
    /// Builds nothing yet. Minutes are closed `grace` after their end.
    pub(crate) fn new(
        table: Arc<Table>,
        calendar: Arc<Calendar>,
        era: Era,
        grace: Duration,
    ) -> Self {
        Self {
            by_slot: vec![0; table.capacity()].into(),
            table,
            calendar,
            grace,
            master: era.get(),
            era,
            watched: Vec::new(),
            by_key: HashMap::new(),
            changed: Vec::new(),
            taking: Vec::new(),
            closed: Vec::new(),
            missing: Vec::new(),
            lost: Vec::new(),
            on_wire: Vec::new(),
            looked: None,
            next: 0,
        }
    }

    /// One that nobody can ask for anything.
    pub(crate) fn of_nobody(table: Arc<Table>) -> Self {
        let calendar = Arc::new(Calendar::endless());
        Self::new(table, calendar, Era::default(), GRACE)
    }

    /// A packet that came at `at`; the first after a gap if `resumed`.
    // Out of line: most packets are of instruments that nobody wants bars of.
    #[inline(never)]
    pub(crate) fn packed(&mut self, target: &Target, at: Utc, resumed: bool, packed: &Packed) {
        let said = match packed {
            Packed::Ticker(said) => Said::packed(target, said.ltp, said.ltt),
            Packed::Quote(said) => Said::packed_quote(target, said),
            Packed::Full(said) => Said {
                oi: Some(said.oi[0]),
                ..Said::packed_quote(target, &said.quote)
            },
        };
        self.take_in(target.slot, target.key, at, resumed, said.of(target.key));
    }

    /// The same for an update.
    #[inline(never)]
    pub(crate) fn update(&mut self, target: &Target, at: Utc, resumed: bool, update: &Update) {
        let said = match update {
            Update::Ticker(said) => Said::last(said.ltp, said.ltt),
            Update::Quote(said) => Said {
                volume: Some(said.volume),
                ..Said::last(said.ticker.ltp, said.ticker.ltt)
            },
            Update::Full(said) => Said {
                volume: Some(said.quote.volume),
                oi: Some(said.oi.oi),
                ..Said::last(said.quote.ticker.ltp, said.quote.ticker.ltt)
            },
            Update::Oi(said) => Said {
                oi: Some(said.oi),
                ..Said::default()
            },
            // It says nothing of today; kinds that are yet to come neither.
            _ => Said::default(),
        };
        self.take_in(target.slot, target.key, at, resumed, said.of(target.key));
    }

    /// The answer to a request ended the gap of a row. It says nothing of what was traded
    /// meanwhile, so it is no tick, and the gap of the bars ends with the next packet.
    pub(crate) fn answered(&mut self, slot: Slot, key: InstrumentKey) {
        if let Some(index) = self.find(slot, key) {
            let watch = &mut self.watched[index];
            watch.missing = watch.missing.or(watch.heard);
        }
    }

    /// Where an instrument is in `watched`.
    fn find(&mut self, slot: Slot, key: InstrumentKey) -> Option<usize> {
        if self.era.get() != self.master {
            self.forget();
            return None;
        }
        let at = self.by_slot.get_mut(slot.index())?;
        if let Some(watch) = self.watched.get(*at as usize)
            && watch.key == key
        {
            return Some(*at as usize);
        }
        *at = *self.by_key.get(&key)?;
        Some(*at as usize)
    }

    fn take_in(&mut self, slot: Slot, key: InstrumentKey, at: Utc, resumed: bool, said: Said) {
        let Some(index) = self.find(slot, key) else {
            return;
        };
        let watch = &mut self.watched[index];
        let before = watch.last;
        watch.last = said.over(before);
        if resumed || watch.missing.is_some() {
            let from = watch.missing.or(watch.heard);
            if said.has_trade() {
                watch.missing = None;
                if let Some(from) = from {
                    watch.gap(from, at);
                }
            } else {
                // The price of yesterday, or open interest alone: what was traded
                // meanwhile is not in it.
                watch.missing = from;
            }
        }
        if watch.hear(at) {
            self.on_wire.push(key);
        }
        // Most packets of a book that moves repeat the last trade.
        if watch.last == before && !watch.is_first {
            return;
        }
        if watch.is_first && !said.has_trade() {
            return;
        }
        let Some((ltp, ltt)) = watch.last.ltp.zip(watch.last.ltt) else {
            return;
        };
        let tick = Tick {
            ltp,
            ltt: ltt.to_utc(),
            volume: said.volume.map(u64::from),
            oi: watch.last.oi.map(u64::from),
        };
        watch.is_first = false;
        let closed = &mut self.closed;
        let mut out = |bar| closed.push((key, bar));
        if let Some(start) = watch.builder.tick(&tick, &self.calendar, &mut out) {
            self.lost.push((key, start));
        }
        self.mark_changed(index);
    }

    fn mark_changed(&mut self, index: usize) {
        let watch = &mut self.watched[index];
        if !watch.changed {
            watch.changed = true;
            self.changed.push(index as u32);
        }
    }

    /// Does what is asked at `now`. What is said of an instrument master that is gone is
    /// left out.
    pub(crate) fn handle(&mut self, now: Utc, command: &BarCommand) {
        if self.era.get() != self.master {
            self.forget();
        }
        match *command {
            BarCommand::Watch { master, key, class } if master == self.master => {
                self.watch(now, key, class);
            }
            BarCommand::Unwatch { master, key } if master == self.master => self.unwatch(key),
            _ => {}
        }
    }

    fn watch(&mut self, now: Utc, key: InstrumentKey, class: Class) {
        if self.by_key.contains_key(&key) {
            return;
        }
        let mut builder = MinuteBuilder::new(class).grace(self.grace);
        // What traded before now is no bar of it: a subscription begins with the last trade.
        builder.advance(now, &mut |_| {});
        if self.watched.capacity() == 0 {
            self.watched.reserve_exact(self.table.capacity());
            self.by_key.reserve(self.table.capacity());
        }
        self.by_key.insert(key, self.watched.len() as u32);
        self.watched.push(Watch {
            key,
            builder,
            last: Said::default(),
            heard: None,
            told: None,
            missing: None,
            is_first: true,
            changed: false,
            counted: (0, 0),
        });
    }

    fn unwatch(&mut self, key: InstrumentKey) {
        let Some(index) = self.by_key.remove(&key) else {
            return;
        };
        let gone = self.watched.swap_remove(index as usize);
        if let Some(moved) = self.watched.get(index as usize) {
            self.by_key.insert(moved.key, index);
            if moved.changed {
                self.changed.push(index);
            }
        }
        self.closed.retain(|(key, _)| *key != gone.key);
        self.missing.retain(|(key, _)| *key != gone.key);
        self.lost.retain(|(key, _)| *key != gone.key);
        self.on_wire.retain(|key| *key != gone.key);
        // Nobody is left out of the look that is under way; some may be looked at twice.
        self.next = self.next.min(index as usize);
    }

    /// Another instrument master is in force: an id may mean another contract.
    #[cold]
    fn forget(&mut self) {
        self.master = self.era.get();
        self.watched.clear();
        self.by_key.clear();
        self.changed.clear();
        self.taking.clear();
        self.closed.clear();
        self.missing.clear();
        self.lost.clear();
        self.on_wire.clear();
        self.looked = None;
        self.next = 0;
    }

    /// Closes minutes that ended before `now`, of some of the instruments; true when that
    /// was all of them. Once a minute there is something to close.
    pub(crate) fn close_some(&mut self, now: Utc) -> bool {
        if self.era.get() != self.master {
            self.forget();
        }
        let minute = (now - self.grace).as_nanos().div_euclid(MINUTE);
        if self.looked == Some(minute) {
            return true;
        }
        let end = self.watched.len().min(self.next + PER_TURN);
        for index in self.next..end {
            self.close(index, now);
        }
        self.next = end;
        if end < self.watched.len() {
            return false;
        }
        self.looked = Some(minute);
        self.next = 0;
        true
    }

    fn close(&mut self, index: usize, now: Utc) {
        let watch = &mut self.watched[index];
        let key = watch.key;
        // One whose feed fell, or that has left the wire, has no say in its minute's end.
        let table = &self.table;
        let misses = (table.resolve(key))
            .is_none_or(|(slot, _)| table.interest(slot).contains(Interest::GAP));
        if misses && watch.missing.is_none() {
            let from = watch.heard.unwrap_or(now);
            watch.missing = Some(from);
            watch.gap(from, FAR);
            // Of one that has not been heard of yet nothing is missed.
            if watch.heard.is_some() {
                self.missing.push((key, from));
            }
        } else if !misses && let Some(from) = watch.missing.take() {
            watch.gap(from, now);
        }
        let mut ended = false;
        let closed = &mut self.closed;
        let mut out = |bar| {
            ended = true;
            closed.push((key, bar));
        };
        watch.builder.advance(now, &mut out);
        if ended {
            self.mark_changed(index);
        }
    }

    /// Begins to take what was built since the last time, in the memory of `batch`.
    pub(crate) fn begin(&mut self, batch: &mut BarBatch) {
        batch.clear();
        batch.master = self.master;
        core::mem::swap(&mut self.taking, &mut self.changed);
    }

    /// Takes of some of the instruments; true when that was all.
    pub(crate) fn take_some(&mut self, batch: &mut BarBatch) -> bool {
        let left = self.taking.len().saturating_sub(PER_TURN);
        for index in self.taking.drain(left..) {
            // Numbers of those that were moved since lead to others, or to nobody.
            let Some(watch) = self.watched.get_mut(index as usize) else {
                continue;
            };
            if !core::mem::take(&mut watch.changed) {
                continue;
            }
            let bars = [watch.builder.forming(), watch.builder.newest()];
            let bars = bars.into_iter().flatten();
            batch.forming.extend(bars.map(|bar| (watch.key, bar)));
            let counts = (watch.builder.late(), watch.builder.out_of_session());
            batch.late += counts.0 - watch.counted.0;
            batch.out_of_session += counts.1 - watch.counted.1;
            watch.counted = counts;
        }
        if left > 0 {
            return false;
        }
        // There may be another master since the first turn.
        if batch.master != self.master {
            batch.clear();
            batch.master = self.master;
        }
        // Last, so that no minute is given as forming after one that is not given yet.
        core::mem::swap(&mut batch.closed, &mut self.closed);
        core::mem::swap(&mut batch.missing, &mut self.missing);
        core::mem::swap(&mut batch.lost, &mut self.lost);
        core::mem::swap(&mut batch.heard, &mut self.on_wire);
        true
    }

    /// All at once.
    #[cfg(test)]
    pub(crate) fn take(&mut self, mut batch: BarBatch) -> BarBatch {
        self.begin(&mut batch);
        while !self.take_some(&mut batch) {}
        batch
    }

    /// How many instruments are watched.
    #[cfg(test)]
    pub(crate) fn watched(&self) -> usize {
        self.watched.len()
    }
}
