use core::time::Duration;

use strikewire_calendar::{Calendar, Class, Session};
use strikewire_types::{IST_OFFSET_SECONDS, Price, Utc};

use crate::Bar;

/// How long after its end a minute still takes its ticks.
pub const GRACE: Duration = Duration::from_secs(1);

const MINUTE: Duration = Duration::from_secs(60);

/// The clock comes several times a second. When neither it nor a tick was heard of for so
/// long, it jumped or the process stood still: ticks may be missing.
const JUMP: Duration = Duration::from_secs(600);

const NEVER: Utc = Utc::from_nanos(i64::MIN);

/// What a packet says of the last trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Price of the last trade.
    pub ltp: Price,
    /// When that was, by the exchange.
    pub ltt: Utc,
    /// Quantity traded so far on that day; absent where the packet does not say.
    pub volume: Option<u64>,
    /// Open interest; absent where the packet does not say.
    pub oi: Option<u64>,
}

/// Makes minute bars of the ticks of one instrument.
///
/// - A minute is final when it ended [`GRACE`] ago; until then it takes ticks, also when
///   the next one has begun. What comes later is counted and dropped, and the minute is
///   named ([`tick`](Self::tick)): it is not what was traded.
/// - The packet that repeats a trade because something else changed (the book, the open
///   interest) changes nothing and is never late.
/// - A bar's volume is what the day's volume grew by with its ticks. A lower volume with a
///   later time is a correction: the bar keeps what it has, and growth counts from there.
/// - The first bar after the start or a gap is incomplete.
///
/// No call allocates. Bars come out in order, no minute twice, whatever clock and ticks do.
#[derive(Debug, Clone)]
pub struct MinuteBuilder {
    /// A tick in here belongs to `current`, without further thought. Empty when there is
    /// none, and when the next tick needs thought.
    from: Utc,
    to: Utc,
    current: Option<Forming>,
    /// Time and price of the newest trade, in whatever minute or phase.
    newest: Utc,
    price: Price,
    /// Volume of the day with it.
    total: Option<u64>,
    /// The minute before `current`, while it has its grace.
    previous: Option<Forming>,
    class: Class,
    /// The last one that had a tick.
    session: Option<Session>,
    /// The day in India of `total`, in days since 1970-01-01.
    day: i64,
    /// The next tick is the first after the start or a gap.
    is_first: bool,
    /// The last gap. What starts before its end is incomplete.
    gap_from: Utc,
    gap_to: Utc,
    /// Start of the last bar that was given out.
    emitted: Utc,
    clock: Utc,
    grace: Duration,
    late: u64,
    /// The minute of the last late tick.
    lost: Utc,
    out_of_session: u64,
}

/// A minute that takes ticks.
#[derive(Debug, Clone, Copy)]
struct Forming {
    start: Utc,
    /// Times of the trades that are `open` and `close`.
    first: Utc,
    last: Utc,
    open: Price,
    high: Price,
    low: Price,
    close: Price,
    volume: Option<u64>,
    /// The volume of the day before its first trade; the greatest number while that is not
    /// known.
    base: u64,
    oi: Option<u64>,
    complete: bool,
}

impl Forming {
    fn new(start: Utc, tick: &Tick, complete: bool) -> Self {
        Self {
            start,
            first: tick.ltt,
            last: tick.ltt,
            open: tick.ltp,
            high: tick.ltp,
            low: tick.ltp,
            close: tick.ltp,
            volume: None,
            base: u64::MAX,
            oi: tick.oi,
            complete,
        }
    }

    fn end(&self) -> Utc {
        self.start + MINUTE
    }

    #[inline]
    fn add(&mut self, tick: &Tick) {
        self.high = self.high.max(tick.ltp);
        self.low = self.low.min(tick.ltp);
        if tick.ltt >= self.last {
            self.last = tick.ltt;
            self.close = tick.ltp;
            self.oi = tick.oi.or(self.oi);
        } else {
            if tick.ltt < self.first {
                self.first = tick.ltt;
                self.open = tick.ltp;
            }
            self.oi = self.oi.or(tick.oi);
        }
    }

    #[inline]
    fn grow(&mut self, growth: Option<Growth>) {
        match growth {
            None => {}
            Some(Growth::By(quantity)) => {
                self.volume = Some(self.volume.unwrap_or(0).saturating_add(quantity));
            }
            Some(Growth::Unknown) => {
                self.volume = self.volume.or(Some(0));
                self.complete = false;
            }
        }
    }

    fn bar(&self) -> Bar {
        Bar {
            start: self.start,
            end: self.end(),
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume,
            oi: self.oi,
            complete: self.complete,
        }
    }
}

/// What a tick adds to the volume of its bar.
#[derive(Debug, Clone, Copy)]
enum Growth {
    By(u64),
    /// The first volume that is known: what it was before the tick is not.
    Unknown,
}

impl MinuteBuilder {
    /// One for an instrument of `class`. Tell it the time ([`advance`](Self::advance))
    /// before its first tick: a subscription begins with the last trade, however long ago
    /// that was, and a trade of a minute that is over makes no bar.
    #[must_use]
    pub fn new(class: Class) -> Self {
        Self {
            from: NEVER,
            to: NEVER,
            current: None,
            newest: NEVER,
            price: Price::ZERO,
            total: None,
            previous: None,
            class,
            session: None,
            day: i64::MIN,
            is_first: true,
            gap_from: NEVER,
            gap_to: NEVER,
            emitted: NEVER,
            clock: NEVER,
            grace: GRACE,
            late: 0,
            lost: NEVER,
            out_of_session: 0,
        }
    }

    /// Another time than [`GRACE`].
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Takes a tick; gives out the minute that can no longer have its grace because the
    /// one after the next has begun. The calendar is only asked for the first tick of a
    /// session, and for those outside.
    ///
    /// Gives back the start of a minute that is over and misses this tick, whether it had a
    /// bar or not; of several ticks in a row only with the first.
    #[inline]
    pub fn tick(
        &mut self,
        tick: &Tick,
        calendar: &Calendar,
        out: &mut impl FnMut(Bar),
    ) -> Option<Utc> {
        if self.from <= tick.ltt
            && tick.ltt < self.to
            && let Some(current) = &mut self.current
        {
            current.add(tick);
            let growth = grow(&mut self.total, tick, self.newest);
            current.grow(growth);
            if tick.ltt >= self.newest {
                self.newest = tick.ltt;
                self.price = tick.ltp;
            }
            None
        } else {
            self.turn(tick, calendar, out)
        }
    }

    /// A tick that is not simply one more of the current minute.
    fn turn(&mut self, tick: &Tick, calendar: &Calendar, out: &mut impl FnMut(Bar)) -> Option<Utc> {
        let is_first = core::mem::take(&mut self.is_first);
        let is_repeat = tick.ltt == self.newest
            && tick.ltp == self.price
            && tick.volume.is_none_or(|volume| self.total == Some(volume));
        // The volume of a day that is over says nothing.
        let is_today = self.is_today(tick.ltt);
        let tick = &Tick {
            volume: tick.volume.filter(|_| is_today),
            ..*tick
        };
        let session = match self.session.filter(|session| session.covers(tick.ltt)) {
            Some(session) => Some(session),
            None => calendar.session(self.class, tick.ltt),
        };
        let Some(session) = session else {
            self.out_of_session += u64::from(!is_repeat);
            self.pass_over(tick, is_first);
            return None;
        };
        self.session = Some(session);

        let start = minute_of(tick.ltt);
        let is_open = self.open_at(start).is_some();
        let is_over = start <= self.emitted
            || start + MINUTE + self.grace <= self.clock
            || self.previous.is_some_and(|minute| start < minute.start);
        if !is_open && is_over {
            let mut lost = None;
            if !is_first && !is_repeat {
                self.late += 1;
                // Where the clock is wrong, the minute may yet have a bar.
                self.gap_to = self.gap_to.max(start + MINUTE);
                self.taken_back(start, tick);
                let before = core::mem::replace(&mut self.lost, start);
                lost = (before != start).then_some(start);
            }
            self.pass_over(tick, is_first);
            return lost;
        }
        if !is_open {
            let complete = !is_first && start >= self.gap_to;
            self.open(Forming::new(start, tick, complete), out);
        }
        if is_first && (!is_open || tick.volume.is_none()) {
            self.total = tick.volume;
        }
        let moved = self.taken_back(start, tick);
        let base = self.total;
        let growth = grow(&mut self.total, tick, self.newest);
        if let Some(minute) = self.open_at(start) {
            if is_open {
                minute.add(tick);
            } else {
                minute.base = base.unwrap_or(u64::MAX);
            }
            minute.grow(growth);
            if moved > 0 {
                minute.grow(Some(Growth::By(moved)));
            }
        }
        self.note(tick);
        if let Some(current) = self.current {
            (self.from, self.to) = (current.start, current.end());
        }
        None
    }

    /// A tick of an earlier minute that comes after the first of a later one: what was
    /// traded up to it was counted there, and is taken back.
    fn taken_back(&mut self, start: Utc, tick: &Tick) -> u64 {
        let later = [&mut self.previous, &mut self.current]
            .into_iter()
            .flatten()
            .find(|minute| minute.start > start);
        let (Some(later), Some(volume)) = (later, tick.volume) else {
            return 0;
        };
        let moved = volume.saturating_sub(later.base);
        match &mut later.volume {
            Some(counted) if moved <= *counted => {
                *counted -= moved;
                later.base = later.base.max(volume);
                moved
            }
            _ => 0,
        }
    }

    /// A tick that no bar takes still says what the volume is. After a gap without one it
    /// is not known any more.
    fn pass_over(&mut self, tick: &Tick, is_first: bool) {
        if is_first {
            self.total = tick.volume;
        } else {
            grow(&mut self.total, tick, self.newest);
        }
        self.note(tick);
    }

    fn note(&mut self, tick: &Tick) {
        if tick.ltt >= self.newest {
            self.newest = tick.ltt;
            self.price = tick.ltp;
        }
    }

    /// Whether `at` does not lie before the day of the volume. A new day begins with 0, if
    /// the one before was seen.
    fn is_today(&mut self, at: Utc) -> bool {
        let day = (at.as_seconds() + i64::from(IST_OFFSET_SECONDS)).div_euclid(86_400);
        if day > self.day {
            self.total = (self.day != i64::MIN).then_some(0);
            self.day = day;
        }
        day == self.day
    }

    fn open_at(&mut self, start: Utc) -> Option<&mut Forming> {
        [&mut self.current, &mut self.previous]
            .into_iter()
            .flatten()
            .find(|minute| minute.start == start)
    }

    /// Puts a new minute in its place, which is not before two that are open.
    fn open(&mut self, minute: Forming, out: &mut impl FnMut(Bar)) {
        match &self.current {
            Some(current) if minute.start < current.start => {
                self.emit_previous(out);
                self.previous = Some(minute);
            }
            _ => {
                if self.current.is_some() {
                    self.emit_previous(out);
                    self.previous = self.current.take();
                }
                self.current = Some(minute);
            }
        }
    }

    fn emit_previous(&mut self, out: &mut impl FnMut(Bar)) {
        if let Some(previous) = self.previous.take() {
            self.emitted = previous.start;
            out(previous.bar());
        }
    }

    /// It is `now`: gives out the minutes that ended long enough ago. Without any further
    /// tick, a session's last one too.
    pub fn advance(&mut self, now: Utc, out: &mut impl FnMut(Bar)) {
        let before = core::mem::replace(&mut self.clock, now);
        let heard = before.max(self.newest);
        if heard != NEVER && now.since(heard) > JUMP {
            for minute in [&mut self.current, &mut self.previous]
                .into_iter()
                .flatten()
            {
                minute.complete &= minute.end() <= heard;
            }
        }
        let until = now - self.grace;
        if self.previous.is_some_and(|minute| minute.end() <= until) {
            self.emit_previous(out);
        }
        if self.current.is_some_and(|minute| minute.end() <= until) {
            self.emit_previous(out);
            self.previous = self.current.take();
            self.emit_previous(out);
            self.to = self.from;
        }
    }

    /// Packets may be missing between `from` and `to`: bars that overlap are marked
    /// incomplete. Either told once, when it is over, or already when the feed falls, with
    /// a `to` far away, and again with the same `from` when it is back.
    pub fn gap(&mut self, from: Utc, to: Utc) {
        for minute in [&mut self.current, &mut self.previous]
            .into_iter()
            .flatten()
        {
            // What was on its way when it began is missing too.
            minute.complete &= to <= minute.start || minute.end() + self.grace <= from;
        }
        if from == self.gap_from {
            self.gap_to = to;
        } else {
            self.gap_from = from;
            self.gap_to = self.gap_to.max(to);
        }
        // Told late, the first tick after it has been here.
        if self.newest <= from {
            self.is_first = true;
            self.to = self.from;
        }
    }

    /// The minute that is open, or the earlier of two: while one has its grace it is what
    /// comes next.
    #[must_use]
    pub fn forming(&self) -> Option<Bar> {
        self.previous.or(self.current).map(|minute| minute.bar())
    }

    /// The later one, where two minutes are open.
    #[must_use]
    pub fn newest(&self) -> Option<Bar> {
        self.previous.and(self.current).map(|minute| minute.bar())
    }

    /// How many ticks came after their minute was given out.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }

    /// How many trades lay outside of continuous trading.
    #[must_use]
    pub fn out_of_session(&self) -> u64 {
        self.out_of_session
    }
}

/// Takes the volume of a tick; `newest` is the time of the newest trade so far.
#[inline]
fn grow(total: &mut Option<u64>, tick: &Tick, newest: Utc) -> Option<Growth> {
    let volume = tick.volume?;
    let Some(known) = *total else {
        *total = Some(volume);
        return Some(Growth::Unknown);
    };
    if volume >= known {
        *total = Some(volume);
        return Some(Growth::By(volume - known));
    }
    // A lower volume of the same second or before is an old packet, of a later second a
    // correction.
    if tick.ltt > newest {
        *total = Some(volume);
    }
    Some(Growth::By(0))
}

/// Sessions open at whole minutes, and India's offset is one of whole minutes.
fn minute_of(at: Utc) -> Utc {
    let nanos = at.as_nanos();
    Utc::from_nanos(nanos.saturating_sub(nanos.rem_euclid(60_000_000_000)))
}

#[cfg(test)]
mod tests;
