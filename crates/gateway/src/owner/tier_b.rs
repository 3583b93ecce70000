use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use strikewire_subscriptions::{Leg, Owner as Holder, OwnerKind, Request};
use strikewire_types::{Mode, Mono, Now, Tier};

use super::items::Displaced;
use super::{Cause, Owner, chains};
use crate::item::Holding;
use crate::price::source_price;
use crate::status::{TierBView, WaitingView};
use crate::tier_b::{Standing, stand};

/// How often windows that wait are looked at, when nothing else makes them go on.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the broker is asked for the prices of those that have none.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// What is always on.
#[derive(Debug, Default)]
pub(super) struct TierB {
    /// The most important first: the book serves tier B in the order of its claims.
    windows: BTreeMap<u64, Window>,
    missing: Vec<String>,
    last_id: u64,
    next_look: Mono,
    /// Not before this are prices asked for.
    next_ask: Mono,
}

#[derive(Debug)]
struct Window {
    standing: Standing,
    state: State,
    /// Whom its claim evicted, and how many slots that freed.
    displaced: Vec<Displaced>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Its underlying has no price yet.
    Waiting,
    /// It is held.
    Held,
    /// It does not fit.
    Refused(String),
}

const fn holder(id: u64) -> Holder {
    Holder {
        kind: OwnerKind::TierB,
        id,
    }
}

impl Owner {
    /// Claims what is always on: futures and the underlyings of windows at once, windows
    /// as soon as their underlying has a price. What is held already stays.
    pub(super) fn start_tier_b(&mut self, now: Now) {
        let calendar = Arc::clone(&self.calendar);
        let registry = Arc::clone(&self.registry);
        let ended = |it: &strikewire_registry::Expiring<'_>| chains::ended(&calendar, now, it);
        let today = stand(&registry, &self.config.tier_b, &self.config.widths, &ended);
        if !today.missing.is_empty() {
            tracing::warn!(symbols = ?today.missing, "Tier B names what is not listed");
        }
        self.tier_b.missing = today.missing;
        self.tier_b.next_ask = now.mono;
        for standing in today.standing {
            let mut windows = self.tier_b.windows.values();
            if !windows.any(|window| window.standing.is(&standing)) {
                self.stand_up(now, standing);
            }
        }
    }

    fn stand_up(&mut self, now: Now, standing: Standing) {
        self.tier_b.last_id += 1;
        let id = self.tier_b.last_id;
        let (mode, holding) = (standing.mode, standing.holding);
        self.tier_b.windows.insert(
            id,
            Window {
                standing,
                state: State::Waiting,
                displaced: Vec::new(),
            },
        );
        match holding {
            Holding::Single { key } => {
                if let Ok(leg) = self.single_leg(key, mode) {
                    self.claim_tier_b(now, holder(id), vec![leg], State::Held);
                }
            }
            Holding::Chain { ladder, width } => {
                let Some(source) = self.registry.ladder_at(ladder).price_source() else {
                    self.tier_b_state(id, State::Refused("nothing gives it a price".into()));
                    return;
                };
                // Its place in the order is that of its first claim.
                let leg = chains::source_leg(source);
                self.claim_tier_b(now, holder(id), vec![leg], State::Waiting);
                self.follow_from_now(now, ladder, width, holder(id), mode);
            }
        }
    }

    fn claim_tier_b(&mut self, now: Now, holder: Holder, legs: Vec<Leg>, then: State) {
        let request = Request::new(holder, Tier::B, legs);
        let state = match self.book.plan(now, &request) {
            Ok(plan) => {
                let cause = Arc::clone(&self.records.causes.configured);
                self.change(&cause, |book, effects| book.apply(now, plan, effects));
                self.settle(now);
                then
            }
            Err(refusal) => State::Refused(refusal.to_string()),
        };
        self.tier_b_state(holder.id, state);
    }

    fn tier_b_state(&mut self, id: u64, state: State) {
        let Some(window) = self.tier_b.windows.get_mut(&id) else {
            return;
        };
        if let State::Refused(reason) = &state
            && window.state != state
        {
            tracing::warn!(window = %window.standing, %reason, "Tier B window does not fit");
        }
        window.state = state;
    }

    /// The window of a tier B claim lies at `legs` now. The first time this evicts, if it
    /// must; a roll never does.
    pub(super) fn move_tier_b(&mut self, now: Now, holder: Holder, legs: Vec<Leg>) {
        if self.is_held(holder.id) {
            let cause = Arc::clone(&self.records.causes.rolled);
            self.change(&cause, |book, effects| {
                book.replace(now, holder, &legs, effects);
            });
        } else {
            self.claim_tier_b(now, holder, legs, State::Held);
        }
    }

    /// Windows that wait take what price there is, be it the previous close; those that
    /// did not fit are tried again. Where there is no price the broker is asked for it, for
    /// all of them at once; the first live price from the feed corrects what comes of it.
    pub(super) fn look_at_tier_b(&mut self, now: Now) {
        if now.mono < self.tier_b.next_look {
            return;
        }
        self.tier_b.next_look = now.mono + LOOK_EVERY;
        let waiting: Vec<(u64, Holding, Mode)> = self
            .tier_b
            .windows
            .iter()
            .filter(|(_, window)| window.state != State::Held)
            .map(|(id, window)| (*id, window.standing.holding, window.standing.mode))
            .collect();
        let mut unknown = Vec::new();
        for (id, holding, mode) in waiting {
            let (ladder, width) = match holding {
                Holding::Chain { ladder, width } => (ladder, width),
                Holding::Single { key } => {
                    if let Ok(leg) = self.single_leg(key, mode) {
                        self.claim_tier_b(now, holder(id), vec![leg], State::Held);
                    }
                    continue;
                }
            };
            let Some(source) = self.registry.ladder_at(ladder).price_source() else {
                continue;
            };
            let (source, leg) = (source.key(), chains::source_leg(source));
            let Some(price) = source_price(&self.pricing(), now, source) else {
                unknown.push((source, leg.step));
                if self.book.claim(holder(id)).is_none() {
                    self.claim_tier_b(now, holder(id), vec![leg], State::Waiting);
                }
                continue;
            };
            self.follow_price(now, source, price);
            // One whose chain was calculated before, but that was refused.
            if !self.is_held(id)
                && let Some(span) = self.span_of(ladder, width)
                && let Ok(legs) = self.window_legs(span, mode)
            {
                self.claim_tier_b(now, holder(id), legs, State::Held);
            }
            self.arm(now, source);
        }
        if !unknown.is_empty() && now.mono >= self.tier_b.next_ask {
            self.tier_b.next_ask = now.mono + ASK_EVERY;
            self.desk.start_prices(unknown);
        }
    }

    fn is_held(&self, id: u64) -> bool {
        let window = self.tier_b.windows.get(&id);
        window.is_some_and(|window| window.state == State::Held)
    }

    /// Lets go of the windows and futures for which `gone` says so.
    pub(super) fn end_tier_b(
        &mut self,
        now: Now,
        cause: &Arc<Cause>,
        gone: impl Fn(&Standing) -> bool,
    ) {
        let ids: Vec<u64> = self
            .tier_b
            .windows
            .iter()
            .filter(|(_, window)| gone(&window.standing))
            .map(|(id, _)| *id)
            .collect();
        for id in &ids {
            if let Some(window) = self.tier_b.windows.get(id)
                && let Holding::Chain { ladder, width } = window.standing.holding
            {
                self.unfollow(now, ladder, width, holder(*id));
            }
        }
        self.drop_tier_b(now, ids, cause);
    }

    /// What every window and future is now, in another master.
    pub(super) fn remaster_tier_b(
        &mut self,
        remaster: impl Fn(&Standing) -> Option<Standing>,
    ) -> Vec<u64> {
        let mut gone = Vec::new();
        let mut kept: Vec<Standing> = Vec::new();
        for (id, window) in &mut self.tier_b.windows {
            match remaster(&window.standing) {
                // An expiry may have been moved onto one that is listed already.
                Some(standing) if !kept.iter().any(|other| other.is(&standing)) => {
                    kept.push(standing.clone());
                    window.standing = standing;
                }
                _ => gone.push(*id),
            }
        }
        gone
    }

    /// Ends windows that are not in the master any more.
    pub(super) fn drop_tier_b(&mut self, now: Now, gone: Vec<u64>, cause: &Arc<Cause>) {
        for id in gone {
            self.change(cause, |book, effects| {
                book.release(now, holder(id), effects)
            });
            self.settle(now);
            self.tier_b.windows.remove(&id);
        }
    }

    /// What every claim of tier B holds in the master of today.
    pub(super) fn tier_b_legs(&self) -> Vec<(Holder, Vec<Leg>)> {
        let mut all = Vec::new();
        for (id, window) in &self.tier_b.windows {
            let mode = window.standing.mode;
            let legs = match window.standing.holding {
                Holding::Single { key } => self.single_leg(key, mode).ok().map(|leg| vec![leg]),
                Holding::Chain { ladder, width } => match window.state {
                    State::Held => self
                        .span_of(ladder, width)
                        .and_then(|span| self.window_legs(span, mode).ok()),
                    State::Waiting | State::Refused(_) => self
                        .registry
                        .ladder_at(ladder)
                        .price_source()
                        .map(|source| vec![chains::source_leg(source)]),
                },
            };
            if let Some(legs) = legs {
                all.push((holder(*id), legs));
            }
        }
        all
    }

    /// What a claim of tier B is, and whom it displaced.
    pub(super) fn tier_b_of(&self, holder: Holder) -> (String, &[Displaced]) {
        match self.tier_b.windows.get(&holder.id) {
            Some(window) => (window.standing.to_string(), &window.displaced),
            None => ("a window".into(), &[]),
        }
    }

    pub(super) fn tier_b_displaced(&mut self, by: Holder) -> Option<&mut Vec<Displaced>> {
        let window = self.tier_b.windows.get_mut(&by.id)?;
        Some(&mut window.displaced)
    }

    pub(super) fn tier_b_view(&self) -> TierBView {
        let mut view = TierBView {
            windows: self.tier_b.windows.len(),
            held: 0,
            waiting: Vec::new(),
            not_listed: self.tier_b.missing.clone(),
        };
        for window in self.tier_b.windows.values() {
            let reason = match &window.state {
                State::Held => {
                    view.held += 1;
                    continue;
                }
                State::Waiting => "its underlying has no price yet".to_owned(),
                State::Refused(reason) => reason.clone(),
            };
            view.waiting.push(WaitingView {
                window: window.standing.to_string(),
                reason,
            });
        }
        view
    }
}
