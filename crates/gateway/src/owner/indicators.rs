//! What indicators hold: one claim per instrument, however many are computed of it.
//!
//! A claim is made and ended by who computes; in between the owner takes it off the wire
//! while its market is closed, carries it over to another instrument master, and says what
//! became of it. The slots of what is claimed are marked, so that bars are built of their
//! packets.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use strikewire_calendar::Class;
use strikewire_quotes::Interest;
use strikewire_registry::Registry;
use strikewire_subscriptions::{Leg, Owner as Holder, OwnerKind, Request};
use strikewire_types::{InstrumentKey, Now, Tier, Utc, ist_date};
use tokio::sync::mpsc::UnboundedSender;

use super::items::Displaced;
use super::records::Cause;
use super::{Owner, chains};
use crate::Error;
use crate::bars::Era;

/// How long after the last close of the day what is claimed stays on the wire: the last
/// trades come a little late, and the last bars are to have them.
const AFTER_CLOSE: Duration = Duration::from_secs(5);

/// What the owner tells those who compute. Bounded by its cause: claims, connections that
/// fall, the calendar.
#[derive(Debug, Clone)]
pub(crate) enum OwnerEvent {
    /// Packets of a claimed instrument can come from now on.
    Bound { key: InstrumentKey },
    /// The claim made room for another and is no more.
    Evicted { key: InstrumentKey, at: Utc },
    /// The market closed: the claim stays, and is off the wire.
    Suspended { key: InstrumentKey, at: Utc },
    /// The market opens soon: it is claimed again.
    Resumed { key: InstrumentKey },
    /// The last session of the contract ended, and the claim with it.
    Gone { key: InstrumentKey, at: Utc },
    /// Packets may have been missed in this time.
    Gap {
        key: InstrumentKey,
        from: Utc,
        to: Utc,
    },
    /// The market of a class closed; its claims are off the wire.
    SessionClosed { class: Class, at: Utc },
    /// Another instrument master is in force. Claims were carried over as [`successor`]
    /// says; those of what it does not list are no more, and no bars are built until they
    /// are asked for under the new number.
    MasterChanged {
        number: u64,
        before: Arc<Registry>,
        registry: Arc<Registry>,
    },
}

/// What an instrument of one master is in another; none when it is not listed any more.
pub(crate) fn successor(
    before: &Registry,
    after: &Registry,
    key: InstrumentKey,
) -> Option<InstrumentKey> {
    let instrument = before.by_key(key)?;
    after.successor(instrument).current().map(|it| it.key())
}

/// The claims of indicators.
#[derive(Debug)]
pub(super) struct Indicators {
    claims: BTreeMap<InstrumentKey, Claim>,
    /// Whose claim has a number.
    keys: HashMap<u64, InstrumentKey>,
    last_id: u64,
    /// Classes whose instruments are on the wire at this time.
    trading: BTreeSet<Class>,
    events: UnboundedSender<OwnerEvent>,
    era: Era,
}

#[derive(Debug)]
struct Claim {
    id: u64,
    leg: Leg,
    /// Its market is closed: it holds nothing.
    suspended: bool,
    /// Since when it has no slot, if it had one.
    unbound_since: Option<Utc>,
    /// Whom it evicted, and how many slots that freed.
    displaced: Vec<Displaced>,
    /// The number of the master that it was made in.
    made_in: u64,
    /// Keys it had before, each with the number of the last master in which it had it.
    former: Vec<(u64, InstrumentKey)>,
}

impl Claim {
    /// The key that it had in an earlier master.
    fn was(&self, master: u64, key: InstrumentKey) -> bool {
        let mut former = self.former.iter();
        let then = former.find(|(until, _)| *until >= master);
        self.made_in <= master && then.map_or(self.leg.key, |(_, key)| *key) == key
    }
}

impl Indicators {
    pub(super) fn new(events: UnboundedSender<OwnerEvent>, era: Era) -> Self {
        Self {
            claims: BTreeMap::new(),
            keys: HashMap::new(),
            last_id: 0,
            trading: BTreeSet::new(),
            events,
            era,
        }
    }

    fn tell(&self, event: OwnerEvent) {
        // Those who compute go only after the owner; a send fails only while all stops.
        let _ = self.events.send(event);
    }

    fn remove(&mut self, key: InstrumentKey) -> Option<Claim> {
        let claim = self.claims.remove(&key)?;
        self.keys.remove(&claim.id);
        Some(claim)
    }

    /// A claimed instrument lost its slot.
    pub(super) fn unbound(&mut self, now: Now, key: InstrumentKey) {
        if let Some(claim) = self.claims.get_mut(&key).filter(|claim| !claim.suspended) {
            claim.unbound_since.get_or_insert(now.utc);
        }
    }

    /// An instrument has packets again. Those that it missed are from `from` on, where that
    /// is known.
    pub(super) fn heard_again(&mut self, key: InstrumentKey, from: Option<Utc>, to: Utc) {
        let Some(claim) = self.claims.get_mut(&key) else {
            return;
        };
        let from = claim.unbound_since.take().into_iter().chain(from).min();
        if let Some(from) = from {
            self.tell(OwnerEvent::Gap { key, from, to });
        }
    }
}

impl Owner {
    /// Claims an instrument for indicators. To repeat it is a use.
    pub(super) fn claim_indicator(&mut self, now: Now, leg: Leg) -> Result<(), Error> {
        if let Some(claim) = self.indicators.claims.get(&leg.key) {
            self.book.touch(now, holder(claim.id));
            return Ok(());
        }
        self.indicators.last_id += 1;
        let mut claim = Claim {
            id: self.indicators.last_id,
            leg,
            suspended: false,
            unbound_since: None,
            displaced: Vec::new(),
            made_in: self.master.load().number,
            former: Vec::new(),
        };
        let class = self.class_of_key(leg.key);
        if class.is_some_and(|class| !self.is_on_wire(now, class)) {
            claim.suspended = true;
            self.indicators.keys.insert(claim.id, leg.key);
            self.indicators.claims.insert(leg.key, claim);
            let (key, at) = (leg.key, now.utc);
            self.indicators.tell(OwnerEvent::Suspended { key, at });
            self.end_expired_indicators(now, &[leg.key]);
            return Ok(());
        }
        let plan = self.book.plan(now, &request(claim.id, leg))?;
        let holder = holder(claim.id);
        self.indicators.keys.insert(claim.id, leg.key);
        self.indicators.claims.insert(leg.key, claim);
        let cause = Arc::clone(&self.records.causes.computed);
        self.change(&cause, |book, effects| book.apply(now, plan, effects));
        self.book.set_streaming(holder, true);
        self.settle(now);
        self.listen(leg.key);
        Ok(())
    }

    /// Ends a claim; `master` is the number of the one that its key is of.
    pub(super) fn release_indicator(&mut self, now: Now, master: u64, key: InstrumentKey) {
        let key = if master == self.master.load().number {
            Some(key)
        } else {
            let mut claims = self.indicators.claims.iter();
            let claim = claims.find(|(_, claim)| claim.was(master, key));
            claim.map(|(key, _)| *key)
        };
        let Some(key) = key else { return };
        let cause = Arc::clone(&self.records.causes.computed);
        self.drop_indicators(now, &[key], &cause);
    }

    fn drop_indicators(&mut self, now: Now, keys: &[InstrumentKey], cause: &Arc<Cause>) {
        self.let_go_of_indicators(now, keys, cause);
        // While they were there, the records could name them.
        for key in keys {
            self.indicators.remove(*key);
        }
    }

    /// What these claims hold they hold no more, all at once.
    fn let_go_of_indicators(&mut self, now: Now, keys: &[InstrumentKey], cause: &Arc<Cause>) {
        let claims = keys
            .iter()
            .filter_map(|key| self.indicators.claims.get(key));
        let holders: Vec<Holder> = claims.map(|claim| holder(claim.id)).collect();
        self.change(cause, |book, effects| {
            for holder in holders {
                book.release(now, holder, effects);
            }
        });
        self.settle(now);
        for key in keys {
            self.rest_bars(*key);
        }
    }

    /// A claim made room for another.
    pub(super) fn indicator_evicted(&mut self, now: Now, holder: Holder) {
        let Some(key) = self.indicators.keys.get(&holder.id).copied() else {
            return;
        };
        self.indicators.remove(key);
        self.rest_bars(key);
        self.indicators
            .tell(OwnerEvent::Evicted { key, at: now.utc });
    }

    /// Sees to it that bars are built of an instrument that is claimed and has a slot. Its
    /// first packet says so: what came before it may have been missed.
    pub(super) fn listen(&self, key: InstrumentKey) {
        let claimed = (self.indicators.claims.get(&key)).is_some_and(|claim| !claim.suspended);
        if !claimed {
            return;
        }
        let Some((slot, _)) = self.table.resolve(key) else {
            return;
        };
        if !self.table.interest(slot).contains(Interest::BARS) {
            self.table
                .add_interest(slot, Interest::BARS | Interest::GAP);
            self.indicators.tell(OwnerEvent::Bound { key });
        }
    }

    /// Ends [`listen`](Self::listen).
    fn rest_bars(&self, key: InstrumentKey) {
        if let Some((slot, _)) = self.table.resolve(key) {
            self.table.remove_interest(slot, Interest::BARS);
        }
    }

    /// Whether what is claimed of a class belongs on the wire: from a while before the
    /// first open of a day until a moment after its last close.
    fn is_on_wire(&self, now: Now, class: Class) -> bool {
        let today = ist_date(now.utc);
        let calendar = &self.calendar;
        let day = (calendar.first_open(class, today)).zip(calendar.last_close(class, today));
        day.is_some_and(|(open, close)| (open..close + AFTER_CLOSE).contains(&now.utc))
            || self.opens_soon(now, class)
    }

    /// When that changes next because of a close.
    pub(super) fn indicators_leave(&self, now: Now, class: Class) -> Option<Utc> {
        let close = self.calendar.last_close(class, ist_date(now.utc))?;
        Some(close + AFTER_CLOSE)
    }

    /// Takes the claims of a class off the wire, or brings them back, as it is time.
    pub(super) fn keep_indicators(&mut self, now: Now, class: Class) {
        let is_on = self.is_on_wire(now, class);
        let was_on = if is_on {
            !self.indicators.trading.insert(class)
        } else {
            self.indicators.trading.remove(&class)
        };
        let of_class: Vec<InstrumentKey> = self
            .indicators
            .claims
            .iter()
            .filter(|(key, claim)| {
                claim.suspended == is_on && self.class_of_key(**key) == Some(class)
            })
            .map(|(key, _)| *key)
            .collect();
        if of_class.is_empty() {
            return;
        }
        if is_on {
            self.resume_indicators(now, class, of_class);
            return;
        }
        self.suspend_indicators(now, &of_class);
        if was_on {
            let at = now.utc;
            self.indicators
                .tell(OwnerEvent::SessionClosed { class, at });
            let all: Vec<InstrumentKey> = self.indicators.claims.keys().copied().collect();
            self.end_expired_indicators(now, &all);
        }
    }

    fn suspend_indicators(&mut self, now: Now, keys: &[InstrumentKey]) {
        for key in keys {
            if let Some(claim) = self.indicators.claims.get_mut(key) {
                claim.suspended = true;
                claim.unbound_since = None;
            }
        }
        let cause = Arc::clone(&self.records.causes.suspended);
        self.let_go_of_indicators(now, keys, &cause);
        for key in keys {
            let (key, at) = (*key, now.utc);
            self.indicators.tell(OwnerEvent::Suspended { key, at });
        }
    }

    fn resume_indicators(&mut self, now: Now, class: Class, mut keys: Vec<InstrumentKey>) {
        let claims = keys
            .iter()
            .filter_map(|key| self.indicators.claims.get(key));
        let requests: Vec<Request> = claims.map(|claim| request(claim.id, claim.leg)).collect();
        let mut refused = Vec::new();
        let cause = Arc::clone(&self.records.causes.resumed);
        self.change(&cause, |book, effects| {
            for request in requests {
                match book.plan(now, &request) {
                    Ok(plan) => {
                        book.apply(now, plan, effects);
                        book.set_streaming(request.owner, true);
                    }
                    Err(error) => refused.push((request.owner, error)),
                }
            }
        });
        for (holder, error) in refused {
            let key = self.indicators.keys.get(&holder.id);
            let key = key.map(tracing::field::display);
            tracing::warn!(key, %error, "A suspended claim of indicators cannot resume");
            self.indicator_evicted(now, holder);
        }
        for key in &keys {
            if let Some(claim) = self.indicators.claims.get_mut(key) {
                claim.suspended = false;
            }
        }
        self.settle(now);
        // Of those that took each other's place some are no more.
        keys.retain(|key| self.indicators.claims.contains_key(key));
        let opened = self
            .calendar
            .first_open(class, ist_date(now.utc))
            .is_none_or(|open| open <= now.utc);
        for key in keys {
            self.listen(key);
            if !opened {
                self.missed_nothing(key);
            }
            self.indicators.tell(OwnerEvent::Resumed { key });
        }
    }

    /// What comes back before the open has missed nothing: its first packet ends no gap,
    /// unless its connection fell.
    fn missed_nothing(&self, key: InstrumentKey) {
        if let Some((slot, _)) = self.table.resolve(key)
            && !self.gaps.is_open(slot)
        {
            self.table.remove_interest(slot, Interest::GAP);
        }
    }

    /// Ends those of the claims whose contracts' last session has ended.
    fn end_expired_indicators(&mut self, now: Now, keys: &[InstrumentKey]) {
        let is_over = |key: &InstrumentKey| {
            let it = self.registry.by_key(*key).and_then(|it| it.expiring());
            it.is_some_and(|it| chains::ended(&self.calendar, now, &it))
        };
        let gone: Vec<InstrumentKey> = keys.iter().copied().filter(is_over).collect();
        if gone.is_empty() {
            return;
        }
        let cause = Arc::clone(&self.records.causes.expired);
        self.drop_indicators(now, &gone, &cause);
        for key in gone {
            self.indicators.tell(OwnerEvent::Gone { key, at: now.utc });
        }
    }

    /// What a claim of indicators is, for explanations and records.
    pub(super) fn indicators_of(&self, holder: Holder) -> Option<(String, &[Displaced])> {
        let key = self.indicators.keys.get(&holder.id)?;
        let claim = self.indicators.claims.get(key)?;
        let name = match self.registry.by_key(*key) {
            Some(instrument) => format!("indicators of {}", instrument.token()),
            None => format!("indicators of {key}"),
        };
        Some((name, &claim.displaced))
    }

    pub(super) fn indicators_displaced(&mut self, by: Holder) -> Option<&mut Vec<Displaced>> {
        let key = self.indicators.keys.get(&by.id)?;
        let claim = self.indicators.claims.get_mut(key)?;
        Some(&mut claim.displaced)
    }
}

/// Another instrument master.
impl Owner {
    /// From now on ids are those of the new master: bars of the old are built no more. To
    /// be said before anything is bound in it.
    pub(super) fn begin_era(&self) {
        self.indicators.era.set(self.master.load().number);
    }

    /// Finds every claim in the new master. One that is not listed ends; of two that became
    /// one instrument one stays.
    pub(super) fn remaster_indicators(&mut self, now: Now, old: &Registry) {
        let (new, number) = (Arc::clone(&self.registry), self.master.load().number);
        let mut ended = Vec::new();
        for (key, mut claim) in core::mem::take(&mut self.indicators.claims) {
            let Some(next) = successor(old, &new, key) else {
                ended.push(claim.id);
                continue;
            };
            if next != key {
                claim.former.push((number.saturating_sub(1), key));
                claim.leg.key = next;
            }
            if let Some(instrument) = new.by_key(next) {
                claim.leg.step = instrument.tick();
            }
            if self.indicators.claims.contains_key(&next) {
                ended.push(claim.id);
                continue;
            }
            self.indicators.keys.insert(claim.id, next);
            self.indicators.claims.insert(next, claim);
        }
        let cause = Arc::clone(&self.records.causes.vanished);
        for id in ended {
            let holder = holder(id);
            self.change(&cause, |book, effects| book.release(now, holder, effects));
            self.indicators.keys.remove(&id);
        }
        self.settle(now);
    }

    /// The leg that every claim holds in the master of today.
    pub(super) fn indicator_legs(&self) -> Vec<(Holder, Vec<Leg>)> {
        let claims = self.indicators.claims.values();
        claims
            .filter(|claim| !claim.suspended)
            .map(|claim| (holder(claim.id), vec![claim.leg]))
            .collect()
    }

    /// Marks the slots of what is claimed, and no others, and says that all is done.
    pub(super) fn end_remaster(&self, before: &Arc<Registry>) {
        for view in self.book.instruments() {
            if let Some((slot, _)) = self.table.resolve(view.key) {
                self.table.remove_interest(slot, Interest::BARS);
            }
            self.listen(view.key);
        }
        self.indicators.tell(OwnerEvent::MasterChanged {
            number: self.master.load().number,
            before: Arc::clone(before),
            registry: Arc::clone(&self.registry),
        });
    }
}

const fn holder(id: u64) -> Holder {
    Holder {
        kind: OwnerKind::Indicator,
        id,
    }
}

fn request(id: u64, leg: Leg) -> Request {
    Request::new(holder(id), Tier::A, vec![leg])
}

#[cfg(test)]
mod tests;
