use std::sync::Arc;

use strikewire_registry::{Ladder, LadderId, Registry, Succession};
use strikewire_store::Change;
use strikewire_subscriptions::{Leg, Owner as Holder};
use strikewire_types::{Expiry, InstrumentKey, Now, ist_date};

use super::items::Item;
use super::{Owner, successor};
use crate::ItemState;
use crate::hub::HubCommand;
use crate::item::Holding;
use crate::master::Master;

/// What became of something in another master.
enum Became {
    Holding(Holding, Option<Expiry>),
    Gone,
}

impl Owner {
    /// Goes over to the instrument master of another day while ticks flow. Claims are
    /// carried over by contract: an id that means another contract is let go, and the
    /// contract subscribed under the id it has now; what is not listed any more ends, and
    /// an expiry that was moved is followed.
    pub(super) fn swap_master(&mut self, now: Now, new: &Arc<Registry>) {
        // Their keys are of the master that goes.
        self.write_all_records(&Arc::clone(&self.registry));
        let old = core::mem::replace(&mut self.registry, Arc::clone(new));
        let number = self.master.load().number + 1;
        self.master
            .store(Arc::new(Master::new(number, Arc::clone(new))));
        self.desk.forget();
        self.begin_era();
        let ladders = |id: LadderId| {
            new.successor_ladder(old.ladder_at(id))
                .current()
                .map(|ladder| ladder.id())
        };
        let instruments = |key: InstrumentKey| successor(&old, new, key);

        // Which contracts lie where, first; the book follows once, at the end.
        let gone_items = self.remaster_items(now, &old);
        let gone_windows = self.remaster_tier_b(|standing| {
            let mut next = standing.clone();
            match became(&old, new, standing.holding) {
                Became::Holding(holding, expiry) => {
                    next.holding = holding;
                    next.expiry = expiry.unwrap_or(standing.expiry);
                    Some(next)
                }
                Became::Gone => None,
            }
        });
        let gone_chains = self.remaster_chains(now, ladders);
        for chain in gone_chains {
            self.tell_hub(HubCommand::RemoveChain { chain });
        }
        self.remaster_streams(now, ladders, instruments);
        self.remaster_indicators(now, &old);
        let (expired, vanished) = (
            Arc::clone(&self.records.causes.expired),
            Arc::clone(&self.records.causes.vanished),
        );
        let today = ist_date(now.utc);
        for (id, expiry) in gone_items {
            let is_over = expiry.is_some_and(|expiry| expiry.date() < today);
            let cause = if is_over { &expired } else { &vanished };
            if let Some((item, _)) = self.let_go_of_item(now, id, cause) {
                let list = item.spec.key.list;
                self.journal.must(Change::Remove { list, id });
            }
        }
        self.drop_tier_b(now, gone_windows, &expired);
        self.rejoin_items();
        self.rejoin_streams();

        // So are those of what went, and of what is held until here.
        self.write_all_records(&old);
        let before = self.desired_tokens(&old);
        self.claim_in_new_master(now);
        self.record_swap(now, &old, &before);
        let rebound = self.rebind(&old);
        self.arm_all(now);
        self.end_remaster(&old);
        self.show_streams(now);
        // Expiries that were not listed yesterday.
        self.start_tier_b(now);
        self.master_stale(now, None);
        tracing::info!(
            as_of = %new.as_of(),
            loaded = new.len(),
            rebound,
            "Instrument master changed"
        );
    }

    /// Gives every claim the legs that it has in the new master. It is no use of any, and
    /// evicts nobody.
    fn claim_in_new_master(&mut self, now: Now) {
        let mut claims: Vec<(Holder, Vec<Leg>)> = self.stream_legs();
        claims.extend(self.tier_b_legs());
        claims.extend(self.item_legs());
        claims.extend(self.indicator_legs());
        let cause = Arc::clone(&self.records.causes.repointed);
        for (holder, legs) in claims {
            self.change(&cause, |book, effects| {
                book.replace(now, holder, &legs, effects);
            });
        }
        // An id that the broker did not take may be taken now.
        self.change(&cause, |book, effects| book.forgive(now, effects));
        self.settle(now);
    }

    /// Rows of ids that mean another contract, or have another tick size, are emptied.
    fn rebind(&mut self, old: &Registry) -> usize {
        let new = Arc::clone(&self.registry);
        let mut changed = Vec::new();
        for view in self.book.instruments() {
            let Some(home) = view.home else { continue };
            let (before, after) = (old.by_key(view.key), new.by_key(view.key));
            let is_other = new.is_repointed(old, view.key) || before.is_none();
            let step = after.map(|instrument| instrument.tick());
            if !is_other && step == before.map(|instrument| instrument.tick()) {
                continue;
            }
            let Some(step) = step else { continue };
            self.table.unbind(view.key);
            self.table.bind(view.key, view.slot, step, home);
            if let Some(to) = view.migrating_to {
                self.table.migrate(view.slot, to);
            }
            changed.push(view.key);
        }
        let rebound = changed.len();
        if rebound > 0 {
            self.tell_hub(HubCommand::SlotsChanged(changed));
        }
        rebound
    }

    /// Finds every item in the new master. Those that are not listed any more are given
    /// with their expiry.
    fn remaster_items(&mut self, now: Now, old: &Registry) -> Vec<(u64, Option<Expiry>)> {
        let new = Arc::clone(&self.registry);
        let mut gone = Vec::new();
        for id in self.ids_of(|_| true) {
            let Some(item) = self.items.by_id(id) else {
                continue;
            };
            let expiry = item.spec.key.expiry;
            match became(old, &new, item.spec.holding) {
                Became::Gone => gone.push((id, expiry)),
                Became::Holding(holding, None) => {
                    if let Some(item) = self.items.by_id_mut(id) {
                        item.spec.holding = holding;
                    }
                }
                Became::Holding(holding, Some(expiry)) => {
                    self.move_item(now, id, holding, expiry);
                }
            }
        }
        gone
    }

    /// The expiry of an item's contracts was moved.
    fn move_item(&mut self, now: Now, id: u64, holding: Holding, expiry: Expiry) {
        let Some(mut item) = self.items.remove(id) else {
            return;
        };
        tracing::info!(item = id, from = ?item.spec.key.expiry, to = %expiry, "Expiry moved");
        item.spec.holding = holding;
        item.spec.key.expiry = Some(expiry);
        if self.items.by_key(&item.spec.key).is_some() {
            // The user has the other one already.
            let holder = item.holder();
            let cause = Arc::clone(&self.records.causes.repointed);
            self.change(&cause, |book, effects| book.release(now, holder, effects));
            let list = item.spec.key.list;
            self.journal.must(Change::Remove { list, id });
            return;
        }
        self.journal.must(Change::Put(Box::new(item.record())));
        self.items.insert(item);
    }

    /// Where an expiry was moved onto another, two chains became one.
    fn rejoin_items(&mut self) {
        let follow = |item: &&Item| item.state == ItemState::Live && item.fixed_at().is_none();
        let joins: Vec<_> = self
            .items
            .iter()
            .filter(follow)
            .filter_map(|item| match item.spec.holding {
                Holding::Chain { ladder, width } => Some((
                    ladder,
                    width,
                    item.holder(),
                    item.spec.mode,
                    !item.spec.follow,
                )),
                Holding::Single { .. } => None,
            })
            .collect();
        for (ladder, width, holder, mode, once) in joins {
            self.rejoin(ladder, width, holder, mode, once);
        }
    }

    /// What every item's claim holds in the master of today.
    fn item_legs(&self) -> Vec<(Holder, Vec<Leg>)> {
        let live = |item: &&Item| item.state == ItemState::Live;
        self.items
            .iter()
            .filter(live)
            .filter_map(|item| {
                let mode = item.spec.mode;
                let legs = match item.spec.holding {
                    Holding::Single { key } => vec![self.single_leg(key, mode).ok()?],
                    Holding::Chain { ladder, width } => {
                        let follows = item.fixed_at().is_none();
                        match self.span_of(ladder, width).filter(|_| follows) {
                            Some(span) => self.window_legs(span, mode).ok()?,
                            None => self.legs_at(ladder, width, item.anchor?, mode).ok()?,
                        }
                    }
                };
                Some((item.holder(), legs))
            })
            .collect()
    }
}

fn became(old: &Registry, new: &Registry, holding: Holding) -> Became {
    match holding {
        Holding::Chain { ladder, width } => {
            let chain = |ladder: Ladder<'_>| Holding::Chain {
                ladder: ladder.id(),
                width,
            };
            match new.successor_ladder(old.ladder_at(ladder)) {
                Succession::Same(to) => Became::Holding(chain(to), None),
                Succession::Moved { to, expiry, .. } => Became::Holding(chain(to), Some(expiry)),
                Succession::Gone => Became::Gone,
            }
        }
        Holding::Single { key } => {
            let single = |key| Holding::Single { key };
            match old.by_key(key).map(|instrument| new.successor(instrument)) {
                Some(Succession::Same(to)) => Became::Holding(single(to.key()), None),
                Some(Succession::Moved { to, expiry, .. }) => {
                    Became::Holding(single(to.key()), Some(expiry))
                }
                Some(Succession::Gone) | None => Became::Gone,
            }
        }
    }
}
