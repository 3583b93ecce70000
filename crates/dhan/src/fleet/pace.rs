use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use strikewire_types::{Mono, Now};

use crate::budget::{Budget, BudgetConfig, Stored};
use crate::connection::{Connection, Limits, Phase, State, doubled};

/// How many 805 make an account contended.
const KICKS: usize = 3;

/// Why attempts are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Budget,
    Lockout,
    CoolOff,
    Contention,
    Token,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Budget => "the connect budget is used up",
            Self::Lockout => "the broker answered HTTP 429 to an attempt",
            Self::CoolOff => "the broker said that there are too many connections (805)",
            Self::Contention => "somebody else uses up the account's connections",
            Self::Token => "the access token was refused or could not be read",
        })
    }
}

/// No attempt before then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) until: Mono,
    pub(super) why: Why,
}

/// Whose turn it is to try, and when.
#[derive(Debug)]
pub(super) struct Pace {
    limits: Limits,
    spacing: Duration,
    budget: Budget,
    /// When the latest attempt began, or the probe came up after it.
    last: Option<Mono>,
    /// The connection that tries alone, where one has to.
    probe: Option<usize>,
    /// A probe has to come up before others may try, though others are up.
    verify: bool,
    /// The latest 805, the oldest first.
    kicks: VecDeque<Mono>,
    cool_off: Option<Mono>,
    contended: bool,
    /// How often the cool-off has been doubled.
    doublings: u32,
    /// How long a refused token keeps everybody away.
    token: Option<Mono>,
}

impl Pace {
    pub(super) fn new(
        limits: &Limits,
        config: &BudgetConfig,
        stored: Option<&Stored>,
        now: Now,
    ) -> Self {
        Self {
            limits: *limits,
            spacing: config.spacing,
            budget: Budget::new(config, limits, stored, now),
            last: None,
            probe: None,
            verify: false,
            kicks: VecDeque::new(),
            cool_off: None,
            contended: false,
            doublings: 0,
            token: None,
        }
    }

    pub(super) const fn is_contended(&self) -> bool {
        self.contended
    }

    /// Whether one connection tries alone although others may be up.
    pub(super) const fn is_probing(&self) -> bool {
        self.contended || self.verify
    }

    pub(super) fn attempts_left(&self, now: Mono) -> u32 {
        self.budget.left(now)
    }

    pub(super) fn stored(&self, now: Now) -> Stored {
        self.budget.stored(now)
    }

    /// Before this no attempt may begin.
    pub(super) fn earliest(&self) -> Mono {
        [
            self.budget.locked_until(),
            self.cool_off,
            self.token,
            self.last.map(|last| last + self.spacing),
        ]
        .into_iter()
        .flatten()
        .fold(self.budget.ready_at(), Mono::max)
    }

    /// Before this `index` will not try.
    pub(super) fn earliest_for(&self, index: usize) -> Mono {
        match self.contention_ends() {
            Some(end) if self.probe != Some(index) => self.earliest().max(end),
            _ => self.earliest(),
        }
    }

    /// The next attempt: when, and of which connection.
    pub(super) fn next(&self, connections: &[Connection]) -> Option<(Mono, usize)> {
        let index = self.candidate(connections)?;
        Some((self.earliest(), index))
    }

    fn candidate(&self, connections: &[Connection]) -> Option<usize> {
        if self.is_alone(connections) {
            if connections.iter().any(|c| c.phase().is_attempt()) {
                return None;
            }
            if let Some(probe) = self.probe {
                match connections[probe].phase() {
                    Phase::Queued => return Some(probe),
                    Phase::Stopped => {}
                    _ => return None,
                }
            }
        }
        let queued = connections.iter().enumerate();
        let queued = queued.filter_map(|(index, c)| match c.state() {
            State::Queued { since } => Some((since, index)),
            _ => None,
        });
        queued.min().map(|(_, index)| index)
    }

    /// Whether only one connection may try at a time.
    fn is_alone(&self, connections: &[Connection]) -> bool {
        self.is_probing() || !connections.iter().any(|c| c.phase().is_up())
    }

    /// An attempt of `index` begins now, unless the budget is used up. Gives what has to
    /// be stored first.
    pub(super) fn attempt(
        &mut self,
        now: Now,
        index: usize,
        connections: &[Connection],
    ) -> Option<Stored> {
        if !self.budget.spend(now) {
            return None;
        }
        self.last = Some(now.mono);
        if self.is_alone(connections) {
            self.probe = Some(index);
        }
        Some(self.budget.stored(now))
    }

    pub(super) fn came_up(&mut self, now: Mono, index: usize) {
        if self.probe == Some(index) {
            self.last = Some(now);
            self.verify = false;
        }
        if !self.contended && !self.verify {
            self.probe = None;
        }
    }

    /// An upgrade was refused with 429.
    pub(super) fn locked_out(
        &mut self,
        now: Now,
        index: usize,
        retry_after: Option<Duration>,
        jitter: Duration,
    ) {
        self.budget.refuse(now, &self.limits, retry_after, jitter);
        self.verify = true;
        if !self.contended || self.probe.is_none() {
            self.probe = Some(index);
        }
    }

    /// The broker said 805 to `index`, which has fallen. Says whether the account is
    /// contended from now on.
    pub(super) fn kicked(
        &mut self,
        now: Mono,
        index: usize,
        jitter: Duration,
        connections: &[Connection],
    ) -> bool {
        self.kicks.push_back(now);
        if self.kicks.len() > KICKS {
            self.kicks.pop_front();
        }
        let recent = |&&at: &&Mono| now.since(at) < self.limits.contention;
        let begins = !self.contended && self.kicks.iter().filter(recent).count() >= KICKS;
        if begins {
            self.contended = true;
            self.doublings = 0;
            let probes = |probe: usize| !connections[probe].phase().is_up();
            if !self.probe.is_some_and(probes) {
                self.probe = Some(index);
            }
        } else if self.contended && self.cool_off.is_none_or(|until| until <= now) {
            // Several at once are one complaint.
            self.doublings = self.doublings.saturating_add(1);
        }
        let (first, max) = (self.limits.cool_off, self.limits.cool_off_max);
        let until = now + doubled(first, self.doublings, max) + jitter;
        self.cool_off = self.cool_off.max(Some(until));
        begins
    }

    /// When five minutes without an 805 will have passed, while the account is contended.
    fn contention_ends(&self) -> Option<Mono> {
        let last = self.kicks.back().filter(|_| self.contended)?;
        Some(*last + self.limits.contention)
    }

    /// When the account counts as calm again: the probe, besides, has lived for a while.
    /// Not as long as there is no probe that lives, unless nobody is left to try.
    fn calm_at(&self, connections: &[Connection]) -> Option<Mono> {
        let end = self.contention_ends()?;
        match self.probe.map(|probe| connections[probe].state()) {
            Some(State::Waiting { since, .. } | State::Live { since, .. }) => {
                Some(end.max(since + self.limits.stable))
            }
            _ => (!connections.iter().any(is_down)).then_some(end),
        }
    }

    /// Ends the contention if it is time for it; says whether.
    pub(super) fn calm_down(&mut self, now: Mono, connections: &[Connection]) -> bool {
        let over = self.calm_at(connections).is_some_and(|at| at <= now);
        if over {
            self.contended = false;
            self.doublings = 0;
            self.kicks.clear();
            if !self.verify {
                self.probe = None;
            }
        }
        over
    }

    pub(super) fn token_refused(&mut self, now: Mono, jitter: Duration) {
        let until = now + self.limits.refused_token + jitter;
        self.token = self.token.max(Some(until));
    }

    pub(super) const fn token_changed(&mut self) {
        self.token = None;
    }

    /// Earlier refusals do not count any more. Says whether that has to be stored.
    pub(super) fn forgive(&mut self) -> bool {
        self.budget.forgive()
    }

    /// When something is due that is no connection's own.
    pub(super) fn poll_timeout(&self, connections: &[Connection]) -> Option<Mono> {
        let next = self.next(connections).map(|(at, _)| at);
        [next, self.calm_at(connections)]
            .into_iter()
            .flatten()
            .min()
    }

    /// What keeps connections that are down from trying for the longest.
    pub(super) fn hold(&self, now: Mono, connections: &[Connection]) -> Option<Hold> {
        if !connections.iter().any(is_down) {
            return None;
        }
        let queued = connections.iter().any(|c| c.phase() == Phase::Queued);
        let others_wait = connections
            .iter()
            .enumerate()
            .any(|(index, c)| is_down(c) && self.probe != Some(index));
        [
            (self.budget.locked_until(), Why::Lockout),
            (self.cool_off, Why::CoolOff),
            (self.token, Why::Token),
            (
                self.contention_ends().filter(|_| others_wait),
                Why::Contention,
            ),
            (Some(self.budget.ready_at()).filter(|_| queued), Why::Budget),
        ]
        .into_iter()
        .filter_map(|(until, why)| Some(Hold { until: until?, why }))
        .filter(|hold| now < hold.until)
        .max_by_key(|hold| hold.until)
    }
}

/// Whether a connection is down and will try again.
fn is_down(connection: &Connection) -> bool {
    matches!(connection.phase(), Phase::Backoff | Phase::Queued)
}
