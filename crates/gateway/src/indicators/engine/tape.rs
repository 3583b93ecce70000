//! The minutes of one instrument that may still change.

use core::cmp::Ordering;
use std::collections::VecDeque;

use strikewire_indicators::Bar;
use strikewire_types::{Now, Utc};

use super::history::{MINUTE, minute_after, minute_of};

/// Minutes that stay open to repair however well known: a gap is told after the first
/// packet that ends it.
const KEPT: usize = 3;

/// Minutes kept at most, when a hole cannot be repaired: more than a session at NSE.
pub(super) const MOST: usize = 600;

/// A time of which minutes are not known, or not to the last trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) from: Utc,
    pub(super) to: Utc,
    /// Only the volume is uncertain: prices are known from a candle that had not ended and
    /// ticks that began before it was asked for.
    pub(super) volume_only: bool,
    /// When ticks came again, if that is in its last minute: a candle that is asked for
    /// later has everything before.
    pub(super) since: Option<Utc>,
    /// How often its candles were asked for and were not there yet.
    pub(super) tries: u8,
}

impl Hole {
    pub(super) const fn new(from: Utc, to: Utc) -> Self {
        Self {
            from,
            to,
            volume_only: false,
            since: None,
            tries: 0,
        }
    }

    /// That it ends in the minute in which ticks came again.
    pub(super) const fn since(self, since: Utc) -> Self {
        Self {
            since: Some(since),
            ..self
        }
    }

    /// Whether it is only that minute, and its beginning is not known yet.
    pub(super) fn wants_seam(&self, now: Utc) -> Option<Utc> {
        let is_now = self.from == minute_of(now) && self.to == self.from + MINUTE;
        self.since.filter(|_| is_now && !self.volume_only)
    }
}

/// Whether ticks come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// None so far, or not any more. Minutes before `known_to` are known, from candles or
    /// from before.
    Off { known_to: Option<Utc> },
    /// Since a moment.
    On {
        /// The first minute of which every tick came.
        from: Utc,
        /// When that was noticed.
        since: Utc,
    },
}

#[derive(Debug)]
pub(super) struct Tape {
    /// Minutes that ended, in order; none before `at`.
    pub(super) minutes: VecDeque<Bar>,
    /// Up to here the series' settled states are; absent before the first minute.
    pub(super) at: Option<Utc>,
    /// One, or for a moment two: minutes that have not ended.
    forming: Vec<Bar>,
    /// In order, none touching another.
    pub(super) holes: Vec<Hole>,
    /// Candles of minutes that had not ended when they were asked for: the beginning of
    /// those that ticks came of only later.
    seams: Vec<Bar>,
    pub(super) flow: Flow,
}

impl Tape {
    pub(super) const fn new() -> Self {
        Self {
            minutes: VecDeque::new(),
            at: None,
            forming: Vec::new(),
            holes: Vec::new(),
            seams: Vec::new(),
            flow: Flow::Off { known_to: None },
        }
    }

    /// Takes a minute that ended; gives it back as it counts, or nothing when it does not.
    pub(super) fn close(&mut self, minute: Bar) -> Option<Bar> {
        self.forming.retain(|forming| forming.start > minute.start);
        let behind = self.minutes.back().map(|last| last.start);
        let at = *self.at.get_or_insert(minute.start);
        if minute.start < at || behind.is_some_and(|last| minute.start <= last) {
            return None;
        }
        let minute = self.joined(minute);
        self.seams.retain(|seam| seam.start > minute.start);
        self.minutes.push_back(minute);
        Some(minute)
    }

    /// A minute with what a candle says of its beginning.
    fn joined(&self, minute: Bar) -> Bar {
        let seam = self.seams.iter().find(|seam| seam.start == minute.start);
        let Some(seam) = seam.filter(|_| !minute.complete) else {
            return minute;
        };
        Bar {
            open: seam.open,
            high: seam.high.max(minute.high),
            low: seam.low.min(minute.low),
            // What came between the first tick and the candle counts twice: the volume is
            // not trusted until the minute is asked for again.
            volume: match (seam.volume, minute.volume) {
                (Some(one), Some(other)) => Some(one.saturating_add(other)),
                (one, other) => one.or(other),
            },
            oi: minute.oi.or(seam.oi),
            complete: self.prices_known(minute.start),
            ..minute
        }
    }

    /// Whether a minute that began without ticks has its prices from a candle.
    fn prices_known(&self, start: Utc) -> bool {
        self.holes
            .iter()
            .any(|hole| hole.volume_only && hole.from <= start && start < hole.to)
    }

    /// Takes the minutes that have not ended; none of a single call is older than the one
    /// before it.
    pub(super) fn form(&mut self, minutes: &[Bar]) {
        self.forming.clear();
        let last = self.minutes.back().map(|last| last.start);
        let newer = |bar: &&Bar| last.is_none_or(|last| bar.start > last);
        self.forming.extend(minutes.iter().filter(newer));
    }

    /// The minutes that have not ended, as they count.
    pub(super) fn forming(&self, into: &mut Vec<Bar>) {
        into.clear();
        into.extend(self.forming.iter().map(|bar| self.joined(*bar)));
    }

    /// A tick came: minutes are whole from the next one on.
    pub(super) fn begin_flow(&mut self, now: Utc) {
        let Flow::Off { known_to } = self.flow else {
            return;
        };
        let newest = self.forming.last().map(|bar| bar.end);
        let from = newest.map_or(minute_of(now) + MINUTE, |end| end.max(minute_after(now)));
        self.flow = Flow::On { from, since: now };
        if let Some(known_to) = known_to {
            self.miss(Hole::new(known_to, from).since(now));
        }
    }

    /// No ticks come since `at`.
    pub(super) fn end_flow(&mut self, at: Utc) {
        // Of two reasons the earlier one counts.
        let is_earlier = match self.flow {
            Flow::On { .. } => true,
            Flow::Off { known_to } => known_to.is_some_and(|known_to| minute_of(at) < known_to),
        };
        if is_earlier {
            let known_to = minute_of(at);
            self.flow = Flow::Off {
                known_to: Some(known_to),
            };
            // The end of that minute is missing too.
            for hole in &mut self.holes {
                hole.volume_only &= hole.to <= known_to;
            }
        }
    }

    /// No ticks come since `at`, and what had not ended is lost.
    pub(super) fn stop(&mut self, at: Utc) {
        let oldest = self.forming.first().map(|bar| bar.start);
        self.forming.clear();
        let at = oldest.map_or(at, |oldest| oldest.min(at));
        if let Flow::On { .. } = self.flow {
            self.flow = Flow::Off {
                known_to: Some(minute_of(at)),
            };
        }
    }

    /// Takes note that minutes are uncertain.
    pub(super) fn miss(&mut self, mut hole: Hole) {
        // What is settled is known.
        hole.from = minute_of(self.at.map_or(hole.from, |at| at.max(hole.from)));
        hole.to = minute_after(hole.to);
        if hole.to <= hole.from {
            return;
        }
        self.holes.retain(|other| {
            let apart = other.to < hole.from || hole.to < other.from;
            if !apart {
                hole.since = match (hole.to.cmp(&other.to), hole.since, other.since) {
                    (Ordering::Less, _, since) | (Ordering::Greater, since, _) => since,
                    (Ordering::Equal, one, other) => one.max(other),
                };
                hole.volume_only &= other.volume_only;
                hole.from = hole.from.min(other.from);
                hole.to = hole.to.max(other.to);
            }
            apart
        });
        let place = self.holes.partition_point(|other| other.from < hole.from);
        self.holes.insert(place, hole);
    }

    /// Whether candles and ticks together make the minute that begins at `start`.
    fn begins(&self, seams: &[Bar], start: Utc) -> bool {
        seams.iter().any(|seam| seam.start == start)
            && self.forming.iter().any(|bar| bar.start == start)
    }

    /// Candles that were asked for when ticks came again in the only minute of `hole`: if
    /// they have its beginning, its prices are known from now on.
    pub(super) fn seam(&mut self, hole: Hole, seams: Vec<Bar>) -> bool {
        let begins = self.begins(&seams, hole.from);
        self.seams = seams;
        if let Some(known) = self.holes.iter_mut().find(|other| **other == hole) {
            known.since = None;
            known.volume_only = begins;
        }
        begins
    }

    /// Whether everything that traded up to the end of `bar` is known, its volume too if
    /// `with_volume`.
    pub(super) fn is_known(&self, bar: &Bar, with_volume: bool) -> bool {
        let has_come = match self.flow {
            Flow::On { .. } => true,
            Flow::Off { known_to } => known_to.is_some_and(|known_to| bar.end <= known_to),
        };
        has_come
            && (self.holes.iter())
                .all(|hole| bar.end <= hole.from || (hole.volume_only && !with_volume))
    }

    /// Candles of minutes from `known_to` on, which had not ended when they were asked for
    /// at `asked`. Whatever ticks do not cover is uncertain.
    pub(super) fn join(&mut self, seams: Vec<Bar>, known_to: Utc, asked: Now) {
        let begins = self.begins(&seams, known_to);
        match &mut self.flow {
            Flow::Off { known_to: known } => {
                *known = Some(known_to.max(known.unwrap_or(known_to)));
            }
            Flow::On { from, since } => {
                let is_seam = begins && known_to + MINUTE == *from && *since <= asked.utc;
                let hole = Hole {
                    volume_only: is_seam,
                    ..Hole::new(known_to, *from).since(*since)
                };
                self.miss(hole);
            }
        }
        self.seams = seams;
    }

    /// Puts candles in the place of the minutes of a hole, which ends with that. A minute
    /// that traded and of which there is no candle stays as it is.
    pub(super) fn repair(&mut self, hole: Hole, candles: impl Iterator<Item = Bar>) {
        let at = self.at.unwrap_or(hole.from);
        self.at = Some(at);
        let inside = |bar: &Bar| hole.from <= bar.start && bar.start < hole.to;
        let mut fresh: Vec<Bar> = candles.filter(|bar| bar.start >= at).collect();
        let kept: Vec<Bar> = self
            .minutes
            .iter()
            .filter(|bar| inside(bar))
            .copied()
            .collect();
        for bar in kept {
            match fresh.iter_mut().find(|candle| candle.start == bar.start) {
                Some(candle) => candle.oi = candle.oi.or(bar.oi),
                None => fresh.push(Bar {
                    complete: true,
                    ..bar
                }),
            }
        }
        fresh.sort_by_key(|bar| bar.start);
        self.minutes.retain(|bar| !inside(bar));
        let place = self.minutes.partition_point(|bar| bar.start < hole.from);
        let after = self.minutes.split_off(place);
        self.minutes.extend(fresh);
        self.minutes.extend(after);
        self.holes.retain(|other| *other != hole);
        self.seams.retain(|seam| seam.start >= hole.to);
    }

    /// Minutes in a hole that traded, as far as ticks tell, and have no candle.
    pub(super) fn unconfirmed(&self, hole: &Hole, candles: &[Bar]) -> bool {
        (self.minutes.iter())
            .filter(|bar| hole.from <= bar.start && bar.start < hole.to)
            .any(|bar| candles.iter().all(|candle| candle.start != bar.start))
    }

    /// Up to where minutes will not change any more. `waiting`: candles of the past are
    /// awaited, which must meet the minutes that are kept.
    pub(super) fn settles_to(&self, waiting: bool) -> Option<Utc> {
        let at = self.at?;
        let kept = self.minutes.len().checked_sub(KEPT)?;
        let mut to = self.minutes.get(kept)?.start;
        if let Some(hole) = self.holes.first() {
            to = to.min(hole.from);
        }
        if let Flow::Off {
            known_to: Some(known_to),
        } = self.flow
        {
            to = to.min(known_to);
        }
        if waiting {
            to = at;
        }
        if self.minutes.len() > MOST {
            to = to.max(self.minutes[self.minutes.len() - MOST].start);
        }
        (to > at).then_some(to)
    }
}
