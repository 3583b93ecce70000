//! When a request may be sent, as a machine without IO.
//!
//! The broker counts requests by family. A request waits in one line with all others
//! and goes when every limit that it counts against is free, in order of arrival; one
//! that waits for something that others do not need holds nobody up.

use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};

use jiff::civil::Date;
use strikewire_types::{Expiry, InstrumentKey, Mono, Now, Utc, ist_date};

use super::config::RestLimits;

/// What is asked, as far as limits go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// Quotes.
    Quotes,
    /// A chain, or without an expiry the list of expiries. The same one may not be
    /// asked again for a while; others may.
    Chain(InstrumentKey, Option<Expiry>),
    /// Candles.
    Candles,
}

/// What is counted together and rests together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    Quote,
    Data,
    Chain,
    Unique(InstrumentKey, Option<Expiry>),
}

impl Question {
    fn lanes(self) -> impl Iterator<Item = Lane> {
        let (first, more) = match self {
            Self::Quotes => (Lane::Quote, [None, None]),
            Self::Candles => (Lane::Data, [None, None]),
            Self::Chain(underlying, expiry) => (
                Lane::Unique(underlying, expiry),
                [Some(Lane::Data), Some(Lane::Chain)],
            ),
        };
        core::iter::once(first).chain(more.into_iter().flatten())
    }

    /// The lane that rests when the broker has had enough of such questions.
    const fn family(self) -> Lane {
        match self {
            Self::Quotes => Lane::Quote,
            Self::Chain(..) => Lane::Chain,
            Self::Candles => Lane::Data,
        }
    }
}

/// A place in the line; lower ones came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// It would have to wait for longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// For so long.
    pub(super) wait: Duration,
    /// Whether the day's requests are used up.
    pub(super) is_for_today: bool,
}

/// What a place in the line is worth now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be sent now.
    Go,
    /// Nothing changes before.
    Wait(Mono),
    /// It is out of the line.
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: Ticket,
    question: Question,
    /// It does not wait beyond.
    latest: Mono,
}

/// How a family that was asked too often is doing.
#[derive(Debug, Clone, Copy, Default)]
struct Health {
    /// Rests in a row.
    rests: u32,
    /// When it was last told to rest.
    told: Mono,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Limiter {
    limits: RestLimits,
    /// In order of tickets.
    line: VecDeque<Waiting>,
    /// When a lane can be used again; one that is not here is free.
    free_at: HashMap<Lane, Mono>,
    health: HashMap<Lane, Health>,
    /// Admitted, but not told yet.
    admitted: HashSet<Ticket>,
    /// Turned away while waiting, but not told yet.
    refused: HashMap<Ticket, Refusal>,
    next_ticket: u64,
    /// The date in India and its requests of the data family.
    today: (Date, u32),
}

impl Limiter {
    pub(super) fn new(limits: RestLimits) -> Self {
        Self {
            limits,
            line: VecDeque::new(),
            free_at: HashMap::new(),
            health: HashMap::new(),
            admitted: HashSet::new(),
            refused: HashMap::new(),
            next_ticket: 0,
            today: (Date::ZERO, 0),
        }
    }

    /// Gets in line. A request that is made again keeps its place.
    pub(super) fn enter(
        &mut self,
        now: Now,
        question: Question,
        again: Option<Ticket>,
    ) -> Result<Ticket, Refusal> {
        self.advance(now);
        if let Some(wait) = self.until_tomorrow(now, question) {
            return Err(Refusal {
                wait,
                is_for_today: true,
            });
        }
        let ticket = again.unwrap_or_else(|| {
            self.next_ticket += 1;
            Ticket(self.next_ticket)
        });
        let at = self.line.partition_point(|other| other.ticket < ticket);
        let latest = now.mono + self.limits.max_wait;
        let waiting = Waiting {
            ticket,
            question,
            latest,
        };
        self.line.insert(at, waiting);
        let starts = self.forecast(now);
        // The one that gets in may push back who is behind it by one turn: that they
        // bear. Only itself is refused.
        match starts.get(&ticket) {
            Some(&start) if start > latest => {
                self.leave(ticket);
                Err(Refusal {
                    wait: start.since(now.mono),
                    is_for_today: false,
                })
            }
            _ => Ok(ticket),
        }
    }

    /// What became of a place in the line.
    pub(super) fn poll(&mut self, now: Now, ticket: Ticket) -> Verdict {
        self.turn_away(now);
        self.advance(now);
        if self.admitted.remove(&ticket) {
            return Verdict::Go;
        }
        if let Some(refusal) = self.refused.remove(&ticket) {
            return Verdict::Refused(refusal);
        }
        let mut line = self.line.iter();
        match line.find(|waiting| waiting.ticket == ticket) {
            Some(waiting) => Verdict::Wait(self.free(waiting.question)),
            // Nobody waits with a ticket that was never given.
            None => Verdict::Go,
        }
    }

    /// Gives up a place. One that was admitted has used up its share.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.line.retain(|waiting| waiting.ticket != ticket);
        self.admitted.remove(&ticket);
        self.refused.remove(&ticket);
    }

    /// The broker has had enough of a question that was sent at `sent`: its whole
    /// family rests, for how long is told. `jitter`, from 0 to 1, lengthens it by up to
    /// a tenth, so that several processes do not come back in step.
    pub(super) fn limited(
        &mut self,
        now: Now,
        question: Question,
        sent: Mono,
        asked_for: Option<Duration>,
        jitter: f64,
    ) -> Duration {
        let family = question.family();
        let health = self.health.entry(family).or_default();
        // Answers to what was sent before the last rest began are no news.
        if sent >= health.told {
            health.rests = health.rests.saturating_add(1);
        }
        health.told = now.mono;
        let doublings = health.rests.saturating_sub(1).min(16);
        let usual = self.limits.rest_first.saturating_mul(1 << doublings);
        let rest = asked_for.unwrap_or(usual.min(self.limits.rest_longest));
        let rest = rest.saturating_add(rest.mul_f64(jitter / 10.0));
        let free_at = self.free_at.entry(family).or_default();
        *free_at = (*free_at).max(now.mono + rest);
        let rest = free_at.since(now.mono);
        // Some have no time for that.
        let starts = self.forecast(now);
        let refused = &mut self.refused;
        self.line.retain(|waiting| {
            let start = starts.get(&waiting.ticket).copied().unwrap_or_default();
            if start > waiting.latest {
                let refusal = Refusal {
                    wait: start.since(now.mono),
                    is_for_today: false,
                };
                refused.insert(waiting.ticket, refusal);
            }
            start <= waiting.latest
        });
        rest
    }

    /// The broker has answered a question that was sent at `sent`.
    pub(super) fn answered(&mut self, question: Question, sent: Mono) {
        if let Some(health) = self.health.get_mut(&question.family())
            && sent >= health.told
        {
            health.rests = 0;
        }
    }

    /// Turns away whoever has waited for too long: those ahead went later than was
    /// forecast, as timers are never early.
    fn turn_away(&mut self, now: Now) {
        let (max_wait, refused) = (self.limits.max_wait, &mut self.refused);
        self.line.retain(|waiting| {
            let in_time = now.mono <= waiting.latest;
            if !in_time {
                let refusal = Refusal {
                    wait: max_wait + now.mono.since(waiting.latest),
                    is_for_today: false,
                };
                refused.insert(waiting.ticket, refusal);
            }
            in_time
        });
    }

    /// Admits whoever can go, in the order of the line.
    fn advance(&mut self, now: Now) {
        self.free_at.retain(|_, at| *at > now.mono);
        let date = ist_date(now.utc);
        if self.today.0 != date {
            self.today = (date, 0);
        }
        let mut at = 0;
        while let Some(&waiting) = self.line.get(at) {
            if waiting
                .question
                .lanes()
                .any(|lane| self.free_at.contains_key(&lane))
            {
                at += 1;
                continue;
            }
            for lane in waiting.question.lanes() {
                let every = match lane {
                    Lane::Quote => self.limits.quote_every,
                    Lane::Data => {
                        self.today.1 += 1;
                        self.limits.data_every
                    }
                    Lane::Unique(..) => self.limits.chain_every,
                    Lane::Chain => Duration::ZERO,
                };
                if !every.is_zero() {
                    self.free_at.insert(lane, now.mono + every);
                }
            }
            self.line.remove(at);
            self.admitted.insert(waiting.ticket);
        }
    }

    /// When a question's lanes are free, for all that is known now.
    fn free(&self, question: Question) -> Mono {
        let at = |lane| self.free_at.get(&lane).copied().unwrap_or_default();
        question.lanes().map(at).max().unwrap_or_default()
    }

    /// When everybody in the line will start, if nothing happens.
    fn forecast(&self, now: Now) -> HashMap<Ticket, Mono> {
        let mut ahead = self.clone();
        let mut starts = HashMap::new();
        let mut time = now;
        loop {
            ahead.admitted.clear();
            ahead.advance(time);
            starts.extend(ahead.admitted.iter().map(|&ticket| (ticket, time.mono)));
            let next = ahead
                .line
                .iter()
                .map(|waiting| ahead.free(waiting.question));
            // Later than now: whoever is in the line still waits for something.
            let Some(next) = next.min() else {
                return starts;
            };
            time.mono = next;
        }
    }

    /// How long it is until tomorrow, when the requests of today are used up.
    fn until_tomorrow(&self, now: Now, question: Question) -> Option<Duration> {
        let counts = |question: Question| question.lanes().any(|lane| lane == Lane::Data);
        let waiting = self
            .line
            .iter()
            .filter(|other| counts(other.question))
            .count();
        let used = self.today.1 as usize + waiting;
        (counts(question) && used >= self.limits.data_per_day as usize)
            .then(|| until_midnight(now.utc))
    }
}

/// How long it is until the date in India changes.
fn until_midnight(utc: Utc) -> Duration {
    const DAY: i64 = 86_400;
    let wall_clock = utc.as_seconds() + i64::from(strikewire_types::IST_OFFSET_SECONDS);
    Duration::from_secs((DAY - wall_clock.rem_euclid(DAY)).unsigned_abs())
}

#[cfg(test)]
mod tests;
