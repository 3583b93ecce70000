use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use strikewire_calendar::Class;
use strikewire_store::{self as store, Change, Seq, Use};
use strikewire_subscriptions::{Effect, Leg, Owner as Holder, OwnerKind, Request, Role};
use strikewire_types::{Exchange, InstrumentKey, Mode, Now, Price, Tier, Utc};

use super::parked::Undo;
use super::records::Cause;
use super::{Owner, answer};
use crate::command::{ChainAsk, Reply};
use crate::item::{Holding, ItemKey, ItemSpec};
use crate::resolve::leg;
use crate::{Added, Error, InstrumentType, ItemFilter, ItemState, ItemView, List, Removed};

/// How many evictions are remembered that an item caused.
const DISPLACED: usize = 16;

/// What users have on their lists.
#[derive(Debug, Default)]
pub(super) struct Items {
    by_key: BTreeMap<ItemKey, Item>,
    keys: BTreeMap<u64, ItemKey>,
    last_id: u64,
    /// How many uses of items there have been.
    uses: u64,
}

/// A claim that another one evicted.
#[derive(Debug, Clone)]
pub(super) struct Displaced {
    /// Whose claim it was, and what it was on.
    pub(super) what: Arc<str>,
    /// Slots that it freed.
    pub(super) freed: usize,
}

/// Something on a list.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) id: u64,
    pub(super) spec: ItemSpec,
    /// Whose end of day ends it.
    pub(super) class: Class,
    /// The day whose end it does not outlive.
    pub(super) trading_day: Date,
    pub(super) added_at: Utc,
    pub(super) state: ItemState,
    /// Option contracts held, or 1 for a single instrument.
    pub(super) contracts: usize,
    /// How many uses of any item there had been at its last one.
    pub(super) used: u64,
    pub(super) last_used_at: Utc,
    /// The price that its window was last calculated at.
    pub(super) anchor: Option<Price>,
    /// Whether that one was live.
    pub(super) settled: bool,
    /// Whom its claim evicted, and how many slots that freed.
    pub(super) displaced: Vec<Displaced>,
}

impl Items {
    pub(super) fn by_id(&self, id: u64) -> Option<&Item> {
        self.by_key.get(self.keys.get(&id)?)
    }

    pub(super) fn by_id_mut(&mut self, id: u64) -> Option<&mut Item> {
        self.by_key.get_mut(self.keys.get(&id)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.by_key.values()
    }

    /// The watchlist of a user.
    fn watchlist(&self, user: u64) -> impl Iterator<Item = (&ItemKey, &Item)> {
        // Keys are ordered by user, then list; an empty symbol comes before all.
        let first = ItemKey {
            user,
            list: List::Watchlist,
            symbol: Box::default(),
            exchange: Exchange::Nse,
            instrument_type: InstrumentType::Equity,
            expiry: None,
        };
        self.by_key
            .range(first..)
            .take_while(move |(key, _)| key.user == user && key.list == List::Watchlist)
    }

    pub(super) fn insert(&mut self, item: Item) {
        self.last_id = self.last_id.max(item.id);
        self.uses = self.uses.max(item.used);
        self.keys.insert(item.id, item.spec.key.clone());
        self.by_key.insert(item.spec.key.clone(), item);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Item> {
        self.by_key.remove(&self.keys.remove(&id)?)
    }

    pub(super) fn by_key(&self, key: &ItemKey) -> Option<&Item> {
        self.by_key.get(key)
    }

    /// Numbers up to `id` have been given out.
    pub(super) fn skip_to(&mut self, id: u64) {
        self.last_id = self.last_id.max(id);
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }
}

impl Item {
    pub(super) const fn holder(&self) -> Holder {
        holder(self.spec.key.list, self.id)
    }

    /// Where its window stays: the price that put it there. Absent while it follows.
    pub(super) fn fixed_at(&self) -> Option<Price> {
        self.anchor.filter(|_| !self.spec.follow && self.settled)
    }

    /// What must survive a crash.
    pub(super) fn record(&self) -> store::Item {
        let key = &self.spec.key;
        store::Item {
            id: self.id,
            list: key.list,
            user: key.user,
            symbol: key.symbol.clone(),
            exchange: key.exchange,
            expiry: key.expiry,
            instrument_type: key.instrument_type.as_str().into(),
            width: self.spec.width(),
            mode: self.spec.mode,
            follow: self.spec.follow,
            tier: self.spec.tier,
            added_at: self.added_at,
            trading_day: self.trading_day,
            last_used_at: self.last_used_at,
            used: self.used,
            state: match self.state {
                ItemState::Live | ItemState::PendingPrice => store::ItemState::Live,
                ItemState::Evicted => store::ItemState::Evicted,
            },
            anchor: self.anchor,
            settled: self.settled,
        }
    }
}

pub(super) const fn holder(list: List, id: u64) -> Holder {
    let kind = match list {
        List::Watchlist => OwnerKind::Watchlist,
        List::Explicit => OwnerKind::Explicit,
    };
    Holder { kind, id }
}

/// A claim's instruments, and where its window lies if it has one.
struct Wanted {
    legs: Vec<Leg>,
    anchor: Option<Price>,
    settled: bool,
}

impl Owner {
    pub(super) fn add_item(
        &mut self,
        now: Now,
        ask: ChainAsk,
        spec: &ItemSpec,
        reply: Reply<Added>,
    ) {
        match self.repeat_item(now, ask, spec) {
            Ok(Some(added)) => answer(reply, Ok(added)),
            Err(error) => answer(reply, Err(error)),
            Ok(None) => match self.admit_item(now, ask, spec) {
                Err(error) => answer(reply, Err(error)),
                Ok((id, added, before)) => {
                    let Some(item) = self.items.by_id(id) else {
                        return answer(reply, Err(Error::Stopping));
                    };
                    let seq = self.journal.ask(Change::Put(Box::new(item.record())));
                    store::crash::point("after_apply");
                    self.parked
                        .park(seq, Some(Undo::Added { id, before }), move |durable| {
                            answer(reply, durable.map(|()| added));
                        });
                }
            },
        }
    }

    /// An add of what is there already: counts as use, and changes nothing.
    fn repeat_item(
        &mut self,
        now: Now,
        ask: ChainAsk,
        spec: &ItemSpec,
    ) -> Result<Option<Added>, Error> {
        let Some(item) = self.items.by_key.get(&spec.key) else {
            return Ok(None);
        };
        if item.state != ItemState::Live {
            return Ok(None);
        }
        if item.spec.settings() != spec.settings() {
            return Err(Error::Conflict {
                user: spec.key.user,
                item: spec.key.to_string(),
                has: item.spec.settings(),
                asked: spec.settings(),
            });
        }
        let contracts = item.contracts;
        self.touch(now, item.holder());
        let chain = match spec.holding {
            Holding::Chain { ladder, width } => {
                let id = self.chain_for(now, ladder, width, ask.price, ask.force)?;
                Some(self.chain_answer(now, id, ask)?)
            }
            Holding::Single { .. } => None,
        };
        Ok(Some(Added {
            already_present: true,
            strikes_subscribed: if chain.is_some() { contracts } else { 0 },
            chain,
            instruments_subscribed: contracts,
            newly_on_wire: 0,
        }))
    }

    /// Claims what a new item needs, or refuses and changes nothing. What was there
    /// before is an item that was evicted.
    fn admit_item(
        &mut self,
        now: Now,
        ask: ChainAsk,
        spec: &ItemSpec,
    ) -> Result<(u64, Added, Option<Item>), Error> {
        self.must_be_durable()?;
        let (chain, wanted) = match spec.holding {
            Holding::Chain { ladder, width } => {
                let id = self.chain_for(now, ladder, width, ask.price, ask.force)?;
                let window = self.claim_window(now, id, ask.price)?;
                // Nothing may fail once the claim is made.
                self.chain_answer(now, id, ask)?;
                let wanted = Wanted {
                    legs: self.window_legs(window.span, spec.mode)?,
                    anchor: Some(window.price.price),
                    settled: window.price.is_live(),
                };
                (Some(id), wanted)
            }
            Holding::Single { key } => (
                None,
                Wanted {
                    legs: vec![self.single_leg(key, spec.mode)?],
                    anchor: None,
                    settled: true,
                },
            ),
        };
        let contracts = contracts(&wanted.legs);
        let source = chain.and_then(|id| self.chain_source(id));
        let before = self.items.by_key.get(&spec.key).cloned();
        let id = match &before {
            Some(item) => item.id,
            None => self.items.last_id + 1,
        };
        let holder = holder(spec.key.list, id);
        let plan = self.book.plan(now, &request(holder, spec, wanted.legs))?;

        let class = self.class_of_item(spec);
        let used = self.items.next_use();
        self.items.insert(Item {
            id,
            spec: spec.clone(),
            class,
            trading_day: self.calendar.trading_day(class, now.utc),
            added_at: now.utc,
            state: ItemState::Live,
            contracts,
            used,
            last_used_at: now.utc,
            anchor: wanted.anchor,
            settled: wanted.settled,
            displaced: Vec::new(),
        });
        let cause = Arc::clone(&self.records.causes.asked);
        self.change(&cause, |book, effects| book.apply(now, plan, effects));
        let newly_on_wire = self
            .effects
            .iter()
            .filter(
                |(_, effect)| matches!(effect, Effect::Desired { key, .. } if Some(*key) != source),
            )
            .count();
        self.settle(now);
        let answer = match chain {
            Some(chain) => {
                self.follow(now, chain, holder, spec.mode, !spec.follow);
                Some(self.chain_answer(now, chain, ask)?)
            }
            None => None,
        };
        let added = Added {
            already_present: false,
            strikes_subscribed: if answer.is_some() { contracts } else { 0 },
            chain: answer,
            instruments_subscribed: contracts,
            newly_on_wire,
        };
        Ok((id, added, before))
    }

    pub(super) fn single_leg(&self, key: InstrumentKey, mode: Mode) -> Result<Leg, Error> {
        let instrument = self.registry.by_key(key).ok_or(Error::Stopping)?;
        Ok(leg(instrument, mode))
    }

    /// The product class whose end of day is an item's.
    pub(super) fn class_of_item(&self, spec: &ItemSpec) -> Class {
        match spec.holding {
            Holding::Chain { ladder, .. } => self.class_of_ladder(self.registry.ladder_at(ladder)),
            Holding::Single { key } => {
                let ItemKey {
                    exchange, symbol, ..
                } = &spec.key;
                self.calendar.class_of(*exchange, key.segment, symbol)
            }
        }
    }

    pub(super) fn remove_item(
        &mut self,
        now: Now,
        user: u64,
        filter: &ItemFilter,
        reply: Reply<Removed>,
    ) {
        let id = match self.one_of(user, filter) {
            Ok(id) => id,
            Err(error) => return answer(reply, Err(error)),
        };
        if let Err(error) = self.must_be_durable() {
            return answer(reply, Err(error));
        }
        let cause = Arc::clone(&self.records.causes.asked);
        let Some((item, removed)) = self.let_go_of_item(now, id, &cause) else {
            return answer(reply, Err(Error::Stopping));
        };
        let list = item.spec.key.list;
        let seq = self.journal.ask(Change::Remove { list, id });
        store::crash::point("after_apply");
        let undo = Undo::Removed(Box::new(item));
        self.parked.park(seq, Some(undo), move |durable| {
            answer(reply, durable.map(|()| removed));
        });
    }

    /// The one item of a user's watchlist that a filter means.
    fn one_of(&self, user: u64, filter: &ItemFilter) -> Result<u64, Error> {
        let mine = || self.items.watchlist(user);
        let matching: Vec<_> = mine()
            .filter(|(key, _)| filter.matches(&self.registry, key))
            .collect();
        match matching.as_slice() {
            [(_, item)] => Ok(item.id),
            [] => Err(Error::NoSuchItem {
                user,
                item: filter.to_string(),
                choices: mine().map(|(key, _)| key.to_string()).collect(),
            }),
            several => Err(Error::Ambiguous {
                user,
                item: filter.to_string(),
                choices: several.iter().map(|(key, _)| key.to_string()).collect(),
            }),
        }
    }

    /// Ends an item and its claim.
    pub(super) fn let_go_of_item(
        &mut self,
        now: Now,
        id: u64,
        cause: &Arc<Cause>,
    ) -> Option<(Item, Removed)> {
        let item = self.items.by_id(id)?.clone();
        let holder = item.holder();
        self.stop_following(now, &item.spec, holder);
        let released = self.change(cause, |book, effects| book.release(now, holder, effects));
        // While it is there, the records can name it.
        self.settle(now);
        self.items.remove(id);
        let removed = Removed {
            released: released.contracts_held,
            unsubscribed: released.contracts_leaving,
        };
        Some((item, removed))
    }

    /// Ends the following of an item's claim.
    fn stop_following(&mut self, now: Now, spec: &ItemSpec, holder: Holder) {
        if let Holding::Chain { ladder, width } = spec.holding {
            self.unfollow(now, ladder, width, holder);
        }
    }

    /// An item's claim made room for another: it stays on its list, without a claim.
    pub(super) fn item_evicted(&mut self, now: Now, holder: Holder) -> Option<Seq> {
        let item = self.items.by_id_mut(holder.id)?;
        item.state = ItemState::Evicted;
        item.contracts = 0;
        let spec = item.spec.clone();
        self.stop_following(now, &spec, holder);
        Some(self.journal.must(Change::State {
            list: spec.key.list,
            id: holder.id,
            state: store::ItemState::Evicted,
        }))
    }

    /// Lets go of the tier A claims of all items; they stay on their lists as evicted.
    pub(super) fn unsubscribe_tier_a(&mut self, now: Now, reply: Reply<usize>) {
        if let Err(error) = self.must_be_durable() {
            return answer(reply, Err(error));
        }
        let before = self.book.status().desired;
        let holders: Vec<Holder> = self
            .items
            .iter()
            .filter(|item| item.state == ItemState::Live && item.spec.tier == Tier::A)
            .map(Item::holder)
            .collect();
        let cause = Arc::clone(&self.records.causes.ordered);
        let mut last = None;
        for holder in holders {
            self.change(&cause, |book, effects| book.release(now, holder, effects));
            self.settle(now);
            last = self.item_evicted(now, holder);
        }
        let unsubscribed = before.saturating_sub(self.book.status().desired);
        match last {
            None => answer(reply, Ok(unsubscribed)),
            Some(seq) => self.parked.park(seq, None, move |durable| {
                answer(reply, durable.map(|()| unsubscribed));
            }),
        }
    }

    /// Where the window of an item's claim lies now, and how many contracts that makes:
    /// fewer at the ends of a ladder.
    pub(super) fn item_rolled(
        &mut self,
        holder: Holder,
        contracts: usize,
        anchor: Price,
        settled: bool,
    ) {
        if let Some(item) = self.items.by_id_mut(holder.id) {
            item.contracts = contracts;
            item.anchor = Some(anchor);
            item.settled = settled;
            self.records.used(holder.id);
        }
    }

    /// Counts a use of a claim.
    pub(super) fn touch(&mut self, now: Now, holder: Holder) {
        self.book.touch(now, holder);
        if matches!(holder.kind, OwnerKind::Watchlist | OwnerKind::Explicit) {
            let used = self.items.next_use();
            if let Some(item) = self.items.by_id_mut(holder.id) {
                item.used = used;
                item.last_used_at = now.utc;
                self.records.used(holder.id);
            }
        }
    }

    /// The last use of an item, to be written down.
    pub(super) fn use_of(&self, id: u64) -> Option<Use> {
        let item = self.items.by_id(id)?;
        Some(Use {
            list: item.spec.key.list,
            id,
            used: item.used,
            at: item.last_used_at,
            anchor: item.anchor,
            settled: item.settled,
        })
    }

    /// A claim evicted another.
    pub(super) fn displaced(&mut self, by: Holder, what: Arc<str>, freed: usize) {
        let displaced = match by.kind {
            OwnerKind::Watchlist | OwnerKind::Explicit => {
                self.items.by_id_mut(by.id).map(|item| &mut item.displaced)
            }
            OwnerKind::Stream => self.stream_displaced(by),
            OwnerKind::TierB => self.tier_b_displaced(by),
            OwnerKind::Indicator => self.indicators_displaced(by),
            OwnerKind::Request => None,
        };
        if let Some(displaced) = displaced.filter(|displaced| displaced.len() < DISPLACED) {
            displaced.push(Displaced { what, freed });
        }
    }

    pub(super) fn list_items(&self, user: u64) -> Vec<ItemView> {
        let mut views: Vec<ItemView> = self
            .items
            .watchlist(user)
            .map(|(_, item)| ItemView {
                symbol: item.spec.key.symbol.to_string(),
                exchange: item.spec.key.exchange,
                expiry: item.spec.key.expiry,
                instrument_type: item.spec.key.instrument_type,
                width: item.spec.width(),
                mode: item.spec.mode,
                follow: item.spec.follow,
                added_at: item.added_at,
                added_order: item.id,
                trading_day: item.trading_day.to_string(),
                strikes_subscribed: match item.spec.holding {
                    Holding::Chain { .. } => item.contracts,
                    Holding::Single { .. } => 0,
                },
                state: match item.state {
                    ItemState::Live if !item.settled => ItemState::PendingPrice,
                    state => state,
                },
            })
            .collect();
        views.sort_by_key(|view| view.added_order);
        views
    }

    /// Whose item a claim belongs to, what it is, and what it displaced.
    pub(super) fn item_of(&self, holder: Holder) -> Option<(u64, &ItemKey, &[Displaced])> {
        let item = self.items.by_id(holder.id)?;
        Some((item.spec.key.user, &item.spec.key, &item.displaced))
    }

    /// The items with a claim on any of `keys`, by number.
    pub(super) fn ids_of(&self, wanted: impl Fn(&Item) -> bool) -> BTreeSet<u64> {
        self.items
            .iter()
            .filter(|item| wanted(item))
            .map(|item| item.id)
            .collect()
    }
}

/// Asks the book for the claim of an item.
pub(super) fn request(holder: Holder, spec: &ItemSpec, legs: Vec<Leg>) -> Request {
    Request::new(holder, spec.tier, legs).charged_to(spec.key.user)
}

pub(super) fn contracts(legs: &[Leg]) -> usize {
    legs.iter().filter(|leg| leg.role == Role::Contract).count()
}
