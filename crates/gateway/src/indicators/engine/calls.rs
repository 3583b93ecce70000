//! Candles that are asked for: each once, however many want them.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use strikewire_broker::{Candle, CandleRequest, InstrumentClass, Interval, ReferenceError};
use strikewire_types::{ExchangeTime, InstrumentKey, Mono, Now, PriceStep, Utc};

/// Calls under way at a time: the broker's limit is shared with others.
const AT_ONCE: usize = 2;

/// An answer is given again for this long.
const REUSED_FOR: Duration = Duration::from_secs(60);

/// Candles kept for that at most, of all answers together.
const KEPT: usize = 500_000;

/// After a call that failed for a reason that may pass, the same is asked again this much
/// later; twice as much after each further one.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The same for a reason that does not pass by itself.
const REFUSED_FOR: Duration = Duration::from_secs(900);

/// At most one call in this time, and one under way, looks after what is silent: there may
/// be thousands that do not trade, and what the account may ask in a day is limited.
const CATCH_UP_EVERY: Duration = Duration::from_secs(1);

/// What goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Somebody watches.
    Streamed,
    /// Somebody waits for values.
    WarmUp,
    /// Minutes to repair.
    Repair,
    /// What may have traded while no ticks come.
    CatchUp,
}

/// Which candles.
pub(super) type What = (InstrumentKey, Interval);

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) what: What,
    pub(super) class: InstrumentClass,
    pub(super) step: PriceStep,
    pub(super) from: Utc,
    /// An older answer is of no use.
    pub(super) not_before: Utc,
    pub(super) urgency: Urgency,
}

/// Candles and when they were asked for.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) asked: Now,
    pub(super) candles: Arc<[Candle]>,
}

#[derive(Debug)]
pub(super) enum Reply {
    Ready(Answer),
    /// It is waited for.
    Pending,
    /// It failed, and is not asked again before.
    Failed {
        until: Mono,
        /// The broker does not take such a question.
        refused: bool,
    },
    /// The broker has no candles at all.
    Never,
}

#[derive(Debug)]
enum Slot {
    Waiting(Ask, Place),
    UnderWay {
        number: u64,
        from: Utc,
        asked: Now,
        tries: u32,
    },
    Answered {
        from: Utc,
        answer: Answer,
    },
    Failed {
        until: Mono,
        tries: u32,
        refused: bool,
    },
}

type Place = (Urgency, u64);

#[derive(Debug, Default)]
pub(super) struct Calls {
    slots: HashMap<What, Slot>,
    order: BTreeMap<Place, What>,
    /// How often those that wait have failed before.
    tries: HashMap<What, u32>,
    /// What may be forgotten, and when.
    ends: BTreeMap<(Mono, u64), What>,
    under_way: usize,
    kept: usize,
    last: u64,
    rests_until: Mono,
    unsupported: bool,
    /// The account may not ask before then.
    refused_until: Mono,
    /// The call under way that looks after what is silent.
    catching_up: Option<u64>,
    catch_up_at: Mono,
}

impl Calls {
    /// Whether there is anybody to ask.
    pub(super) fn are_possible(&self, now: Now) -> bool {
        !self.unsupported && self.refused_until <= now.mono
    }

    /// When there will be, if there is nobody now.
    pub(super) fn possible_at(&self) -> Option<Mono> {
        (!self.unsupported).then_some(self.refused_until)
    }

    /// Asks for candles, or for what came of it.
    pub(super) fn ask(&mut self, now: Now, mut ask: Ask) -> Reply {
        if self.unsupported {
            return Reply::Never;
        }
        let place = match self.slots.get_mut(&ask.what) {
            Some(Slot::Answered { from, answer })
                if *from <= ask.from
                    && answer.asked.utc >= ask.not_before
                    && now.mono.since(answer.asked.mono) <= REUSED_FOR =>
            {
                return Reply::Ready(answer.clone());
            }
            Some(Slot::UnderWay { .. }) => return Reply::Pending,
            Some(Slot::Failed { until, refused, .. }) if now.mono < *until => {
                return Reply::Failed {
                    until: *until,
                    refused: *refused,
                };
            }
            Some(Slot::Waiting(waiting, place)) => {
                waiting.from = waiting.from.min(ask.from);
                if ask.urgency >= place.0 {
                    return Reply::Pending;
                }
                waiting.urgency = ask.urgency;
                let before = *place;
                place.0 = ask.urgency;
                let place = *place;
                self.order.remove(&before);
                self.order.insert(place, ask.what);
                return Reply::Pending;
            }
            Some(Slot::Answered { from, answer }) => {
                // Whoever shared the old answer can share the new one.
                if now.mono.since(answer.asked.mono) <= REUSED_FOR {
                    ask.from = ask.from.min(*from);
                }
                self.kept -= answer.candles.len();
                self.next_place(ask.urgency)
            }
            Some(Slot::Failed { tries, .. }) => {
                let tries = *tries;
                self.tries.insert(ask.what, tries);
                self.next_place(ask.urgency)
            }
            None => self.next_place(ask.urgency),
        };
        self.slots.insert(ask.what, Slot::Waiting(ask, place));
        self.order.insert(place, ask.what);
        Reply::Pending
    }

    fn next_place(&mut self, urgency: Urgency) -> Place {
        self.last += 1;
        (urgency, self.last)
    }

    /// The next call to make, and its number.
    pub(super) fn next(&mut self, now: Now) -> Option<(u64, CandleRequest)> {
        let rests_until = self.rests_until.max(self.refused_until);
        if self.under_way >= AT_ONCE || now.mono < rests_until {
            return None;
        }
        let (&(urgency, _), _) = self.order.first_key_value()?;
        // Nothing comes after those.
        let catches_up = urgency == Urgency::CatchUp;
        if catches_up && (self.catching_up.is_some() || now.mono < self.catch_up_at) {
            return None;
        }
        let (_, what) = self.order.pop_first()?;
        let Some(Slot::Waiting(ask, _)) = self.slots.get(&what) else {
            return None;
        };
        let ask = *ask;
        self.last += 1;
        let number = self.last;
        if catches_up {
            self.catching_up = Some(number);
            self.catch_up_at = now.mono + CATCH_UP_EVERY;
        }
        self.under_way += 1;
        let slot = Slot::UnderWay {
            number,
            from: ask.from,
            asked: now,
            tries: self.tries.remove(&what).unwrap_or(0),
        };
        self.slots.insert(what, slot);
        let request = CandleRequest {
            key: what.0,
            class: ask.class,
            step: ask.step,
            interval: what.1,
            from: ExchangeTime::from_seconds(ask.from.as_seconds()),
            // The one that has just begun is wanted too.
            to: ExchangeTime::from_seconds(now.utc.as_seconds() + 1),
        };
        Some((number, request))
    }

    /// What came of a call. The instrument that it was for, unless nobody knows of the call
    /// any more.
    pub(super) fn answered(
        &mut self,
        now: Now,
        what: What,
        number: u64,
        result: Result<Vec<Candle>, ReferenceError>,
    ) -> Option<InstrumentKey> {
        self.under_way = self.under_way.saturating_sub(1);
        self.catching_up = self.catching_up.filter(|known| *known != number);
        let (from, asked, tries) = match self.slots.get(&what) {
            Some(&Slot::UnderWay {
                number: known,
                from,
                asked,
                tries,
            }) if known == number => (from, asked, tries),
            _ => return None,
        };
        let result = match result {
            Err(ReferenceError::NoData { .. }) => Ok(Vec::new()),
            other => other,
        };
        let slot = match result {
            Ok(candles) => {
                self.kept += candles.len();
                self.end(now.mono + REUSED_FOR, what);
                let candles = candles.into();
                let answer = Answer { asked, candles };
                Slot::Answered { from, answer }
            }
            Err(error) => self.failed(now, what, tries, &error),
        };
        self.slots.insert(what, slot);
        Some(what.0)
    }

    fn failed(&mut self, now: Now, what: What, tries: u32, error: &ReferenceError) -> Slot {
        let (instrument, interval) = what;
        if tries == 0 {
            tracing::warn!(%error, %instrument, ?interval, "Candles could not be asked for");
        } else {
            tracing::debug!(%error, %instrument, ?interval, tries, "Candles could not be asked for");
        }
        let backoff = REST
            .saturating_mul(2_u32.saturating_pow(tries))
            .min(LONGEST_REST);
        let refused = match error {
            ReferenceError::Unsupported { .. } => {
                self.unsupported = true;
                true
            }
            ReferenceError::Rejected { .. } => true,
            // That is said of the account: no other call would fare better.
            ReferenceError::NotEntitled { .. } => {
                let until = now.mono + REFUSED_FOR;
                self.refused_until = until;
                self.end(until + LONGEST_REST, what);
                return Slot::Failed {
                    until,
                    tries: tries.saturating_add(1),
                    refused: false,
                };
            }
            ReferenceError::Limited { retry_after, .. } => {
                let rest = backoff.max(retry_after.unwrap_or_default());
                self.rests_until = self.rests_until.max(now.mono + rest);
                false
            }
            _ => false,
        };
        let until = now.mono + if refused { REFUSED_FOR } else { backoff };
        // Whoever still wants it asks again before that.
        self.end(until + LONGEST_REST, what);
        Slot::Failed {
            until,
            tries: tries.saturating_add(1),
            refused,
        }
    }

    /// Nobody wants anything of an instrument any more. What was answered stays for a
    /// while, for who comes back.
    pub(super) fn drop_waiting(&mut self, key: InstrumentKey) {
        let dropped: Vec<What> = (self.order.values())
            .filter(|what| what.0 == key)
            .copied()
            .collect();
        self.order.retain(|_, what| what.0 != key);
        for what in dropped {
            self.slots.remove(&what);
            self.tries.remove(&what);
        }
    }

    fn end(&mut self, at: Mono, what: What) {
        self.last += 1;
        self.ends.insert((at, self.last), what);
    }

    /// Forgets what is of no use any more, and answers beyond what is kept.
    pub(super) fn expire(&mut self, now: Now) {
        while let Some((&(end, _), &what)) = self.ends.first_key_value()
            && end <= now.mono
        {
            self.ends.pop_first();
            // One that has come again since has another end.
            let is_over = match self.slots.get(&what) {
                Some(Slot::Answered { answer, .. }) => {
                    now.mono.since(answer.asked.mono) >= REUSED_FOR
                }
                Some(Slot::Failed { until, .. }) => *until < now.mono,
                _ => false,
            };
            if is_over && let Some(Slot::Answered { answer, .. }) = self.slots.remove(&what) {
                self.kept -= answer.candles.len();
            }
        }
        while self.kept > KEPT {
            let oldest = self.ends.iter().find_map(|(end, what)| {
                let slot = self.slots.get(what);
                matches!(slot, Some(Slot::Answered { .. })).then_some((*end, *what))
            });
            let Some((end, what)) = oldest else { return };
            self.ends.remove(&end);
            if let Some(Slot::Answered { answer, .. }) = self.slots.remove(&what) {
                self.kept -= answer.candles.len();
            }
        }
    }

    /// Another instrument master, or another time: what was asked for means something else.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.order.clear();
        self.tries.clear();
        self.ends.clear();
        self.kept = 0;
    }

    /// How much is remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len() + self.order.len() + self.tries.len() + self.ends.len()
    }
}
