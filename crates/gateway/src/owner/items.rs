use std::collections::BTreeMap;

use strikewire_subscriptions::{Effect, Leg, Owner as Holder, OwnerKind, Request, Role};
use strikewire_types::{Exchange, InstrumentKey, Mode, Now, Utc};

use super::{Owner, answer};
use crate::command::{ChainAsk, Reply};
use crate::item::{Holding, ItemKey, ItemSpec};
use crate::resolve::leg;
use crate::{Added, Entry, Error, InstrumentType, ItemFilter, ItemState, ItemView, List, Removed};

/// What users have on their lists.
#[derive(Debug, Default)]
pub(super) struct Items {
    by_key: BTreeMap<ItemKey, Item>,
    keys: BTreeMap<u64, ItemKey>,
    last_id: u64,
}

#[derive(Debug)]
struct Item {
    id: u64,
    spec: ItemSpec,
    added_at: Utc,
    state: ItemState,
    /// Option contracts held, or 1 for a single instrument.
    contracts: usize,
}

impl Items {
    fn by_id(&self, id: u64) -> Option<&Item> {
        self.by_key.get(self.keys.get(&id)?)
    }

    fn by_id_mut(&mut self, id: u64) -> Option<&mut Item> {
        self.by_key.get_mut(self.keys.get(&id)?)
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

    fn remove(&mut self, id: u64) -> Option<Item> {
        self.by_key.remove(&self.keys.remove(&id)?)
    }
}

const fn holder(list: List, id: u64) -> Holder {
    let kind = match list {
        List::Watchlist => OwnerKind::Watchlist,
        List::Explicit => OwnerKind::Explicit,
    };
    Holder { kind, id }
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
                Ok((id, added)) => {
                    let seq = self.journal.append(now.utc, added_entry(id, spec));
                    self.parked.park(seq, Some(id), move |durable| {
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
        let (id, contracts) = (item.id, item.contracts);
        self.book.touch(now, holder(spec.key.list, id));
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

    /// Claims what a new item needs, or refuses and changes nothing.
    fn admit_item(
        &mut self,
        now: Now,
        ask: ChainAsk,
        spec: &ItemSpec,
    ) -> Result<(u64, Added), Error> {
        let (chain, legs) = match spec.holding {
            Holding::Chain { ladder, width } => {
                let id = self.chain_for(now, ladder, width, ask.price, ask.force)?;
                let window = self.claim_window(now, id, ask.price)?;
                (Some(id), self.window_legs(window.span, spec.mode)?)
            }
            Holding::Single { key } => (None, vec![self.single_leg(key, spec.mode)?]),
        };
        let contracts = legs.iter().filter(|leg| leg.role == Role::Contract).count();
        let source = chain.and_then(|id| self.chain_source(id));
        let id = self
            .items
            .by_key
            .get(&spec.key)
            .map_or(self.items.last_id + 1, |item| item.id);
        let holder = holder(spec.key.list, id);

        let request = Request {
            owner: holder,
            tier: spec.tier,
            legs,
        };
        let plan = self.book.plan(now, &request)?;
        self.book.apply(now, plan, &mut self.effects);
        let newly_on_wire = self
            .effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Desired { key, .. } if Some(*key) != source))
            .count();

        self.items.last_id = self.items.last_id.max(id);
        self.items.keys.insert(id, spec.key.clone());
        self.items.by_key.insert(
            spec.key.clone(),
            Item {
                id,
                spec: spec.clone(),
                added_at: now.utc,
                state: ItemState::Live,
                contracts,
            },
        );
        self.settle(now);
        let answer = match chain {
            Some(chain) => {
                self.follow(now, chain, holder, spec.mode, !spec.follow);
                Some(self.chain_answer(now, chain, ask)?)
            }
            None => None,
        };
        Ok((
            id,
            Added {
                already_present: false,
                strikes_subscribed: if answer.is_some() { contracts } else { 0 },
                chain: answer,
                instruments_subscribed: contracts,
                newly_on_wire,
            },
        ))
    }

    pub(super) fn single_leg(&self, key: InstrumentKey, mode: Mode) -> Result<Leg, Error> {
        let instrument = self.registry.by_key(key).ok_or(Error::Stopping)?;
        Ok(leg(instrument, mode))
    }

    pub(super) fn remove_item(
        &mut self,
        now: Now,
        user: u64,
        filter: &ItemFilter,
        reply: Reply<Removed>,
    ) {
        let mine = || self.items.watchlist(user);
        let matching: Vec<_> = mine()
            .filter(|(key, _)| filter.matches(&self.registry, key))
            .collect();
        let id = match matching.as_slice() {
            [(_, item)] => item.id,
            [] => {
                let choices = mine().map(|(key, _)| key.to_string()).collect();
                return answer(
                    reply,
                    Err(Error::NoSuchItem {
                        user,
                        item: filter.to_string(),
                        choices,
                    }),
                );
            }
            several => {
                let choices = several.iter().map(|(key, _)| key.to_string()).collect();
                return answer(
                    reply,
                    Err(Error::Ambiguous {
                        user,
                        item: filter.to_string(),
                        choices,
                    }),
                );
            }
        };
        let removed = self.let_go_of_item(now, id);
        let seq = self.journal.append(now.utc, Entry::Removed { item: id });
        self.parked.park(seq, None, move |durable| {
            answer(reply, durable.map(|()| removed));
        });
    }

    /// Ends an item and its claim.
    pub(super) fn let_go_of_item(&mut self, now: Now, id: u64) -> Removed {
        let Some(item) = self.items.remove(id) else {
            return Removed {
                released: 0,
                unsubscribed: 0,
            };
        };
        let holder = holder(item.spec.key.list, id);
        self.stop_following(now, &item.spec, holder);
        let released = self.book.release(now, holder, &mut self.effects);
        self.settle(now);
        Removed {
            released: released.contracts_held,
            unsubscribed: released.contracts_leaving,
        }
    }

    /// Ends the following of an item's claim.
    fn stop_following(&mut self, now: Now, spec: &ItemSpec, holder: Holder) {
        if let Holding::Chain { ladder, width } = spec.holding {
            self.unfollow(now, ladder, width, holder);
        }
    }

    /// An item's claim made room for another: it stays on its list, without a claim.
    pub(super) fn item_evicted(&mut self, now: Now, holder: Holder) {
        let Some(item) = self.items.by_id_mut(holder.id) else {
            return;
        };
        item.state = ItemState::Evicted;
        item.contracts = 0;
        let spec = item.spec.clone();
        self.stop_following(now, &spec, holder);
        self.journal
            .append(now.utc, Entry::Evicted { item: holder.id });
    }

    /// A roll may change how many contracts a claim holds, at the ends of a ladder.
    pub(super) fn item_rolled(&mut self, holder: Holder, contracts: usize) {
        if let Some(item) = self.items.by_id_mut(holder.id) {
            item.contracts = contracts;
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
                strikes_subscribed: match item.spec.holding {
                    Holding::Chain { .. } => item.contracts,
                    Holding::Single { .. } => 0,
                },
                state: item.state,
            })
            .collect();
        views.sort_by_key(|view| view.added_order);
        views
    }

    /// Whose item a claim belongs to, and what it is, for explanations.
    pub(super) fn item_of(&self, holder: Holder) -> Option<(u64, String)> {
        let item = self.items.by_id(holder.id)?;
        Some((item.spec.key.user, item.spec.key.to_string()))
    }
}

fn added_entry(item: u64, spec: &ItemSpec) -> Entry {
    Entry::Added {
        item,
        user: spec.key.user,
        list: spec.key.list,
        symbol: spec.key.symbol.clone(),
        exchange: spec.key.exchange,
        instrument_type: spec.key.instrument_type,
        expiry: spec.key.expiry,
        width: spec.width(),
        mode: spec.mode,
        follow: spec.follow,
        tier: spec.tier,
    }
}
