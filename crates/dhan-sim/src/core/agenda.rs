//! When the entries of a script are due.

use core::time::Duration;

use rand::Rng;
use strikewire_types::{Mono, Now, ist_time};

use super::SessionId;
use crate::script::{Entry, MAX_ENTRIES, SHORTEST, Script, When};

/// An entry that is due, and on which connection if it is about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) entry: usize,
    pub(super) session: Option<SessionId>,
}

#[derive(Debug)]
struct Due {
    at: Mono,
    turn: Turn,
    /// How often still, this time included; for ever when absent.
    left: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Agenda {
    entries: Vec<Entry>,
    due: Vec<Due>,
    /// Of the account, by packets sent in all.
    counted: Vec<(u64, usize)>,
}

impl Agenda {
    pub(super) fn new(script: &Script, now: Now) -> Self {
        let entries: Vec<Entry> = script.entries.iter().take(MAX_ENTRIES).cloned().collect();
        let mut due = Vec::new();
        let mut counted = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let mut push = |at| {
                let turn = Turn {
                    entry: number,
                    session: None,
                };
                let left = entry.times;
                due.push(Due { at, turn, left });
            };
            match entry.when {
                When::At(time) => {
                    let ahead = ist_time(now.utc).duration_until(time).as_nanos();
                    // Signed and less than a day; a time that has passed is tomorrow's.
                    let ahead = ahead.rem_euclid(86_400_000_000_000);
                    let ahead = Duration::from_nanos(u64::try_from(ahead).unwrap_or(0));
                    push(now.mono + ahead);
                }
                When::After(after) => push(now.mono + after),
                When::AfterPackets(packets) if entry.incident.fault.is_of_account() => {
                    counted.push((packets, number));
                }
                When::AfterPackets(_) | When::Age { .. } => {}
            }
        }
        Self {
            entries,
            due,
            counted,
        }
    }

    pub(super) fn entry(&self, number: usize) -> Option<&Entry> {
        self.entries.get(number)
    }

    /// A connection begins: its ages are awaited. After how many packets which entries
    /// befall it.
    pub(super) fn begin(
        &mut self,
        session: SessionId,
        now: Mono,
        rng: &mut impl Rng,
    ) -> Vec<(u64, usize)> {
        let mut counted = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if entry.incident.fault.is_of_account() {
                continue;
            }
            match entry.when {
                When::Age { after, jitter } => {
                    let later = jitter.mul_f64(rng.random_range(0.0..1.0));
                    let turn = Turn {
                        entry: number,
                        session: Some(session),
                    };
                    let (at, left) = (now + after + later, entry.times);
                    self.due.push(Due { at, turn, left });
                }
                When::AfterPackets(packets) => counted.push((packets, number)),
                When::At(_) | When::After(_) => {}
            }
        }
        counted
    }

    /// A connection ended.
    pub(super) fn end(&mut self, session: SessionId) {
        self.due.retain(|due| due.turn.session != Some(session));
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.due.iter().map(|due| due.at).min()
    }

    /// What is due, in the order of time; what repeats is once due again later than
    /// `now`, however much of its time has passed.
    pub(super) fn take(&mut self, now: Mono) -> Vec<Turn> {
        let mut taken = Vec::new();
        let entries = &self.entries;
        self.due.retain_mut(|due| {
            if due.at > now {
                return true;
            }
            taken.push((due.at, due.turn));
            let every = entries.get(due.turn.entry).and_then(|entry| entry.every);
            due.left = due.left.map(|left| left.saturating_sub(1));
            let (Some(every), None | Some(1..)) = (every, due.left) else {
                return false;
            };
            let every = every.max(SHORTEST);
            let passed = now.since(due.at).as_nanos() / every.as_nanos();
            let passed = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(1);
            due.at = (due.at + every.saturating_mul(passed)).max(now + SHORTEST);
            true
        });
        taken.sort_by_key(|(at, _)| *at);
        taken.into_iter().map(|(_, turn)| turn).collect()
    }

    /// Whether an entry of the account waits for no more packets than `packets`.
    pub(super) fn is_counted_out(&self, packets: u64) -> bool {
        self.counted.iter().any(|(after, _)| packets >= *after)
    }

    /// Entries of the account that are due after `packets` in all.
    pub(super) fn take_counted(&mut self, packets: u64) -> Vec<usize> {
        let mut taken = Vec::new();
        self.counted.retain(|(after, entry)| {
            let is_due = packets >= *after;
            if is_due {
                taken.push(*entry);
            }
            !is_due
        });
        taken
    }
}
