use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use strikewire_calendar::Class;
use strikewire_chain::Width;
use strikewire_registry::ChainQuery;
use strikewire_store::{self as store, Change, Recovered};
use strikewire_subscriptions::{Leg, Owner as Holder};
use strikewire_types::{Now, ist_date};

use super::Owner;
use super::items::{Item, contracts, holder, request};
use super::records::Cause;
use crate::item::{Holding, ItemKey, ItemSpec};
use crate::{Error, InstrumentType, ItemState};

impl Owner {
    /// Takes over what was held before the restart: what an end of day should have cleared
    /// meanwhile is cleared first, then the claims are made in the order of their last
    /// use. Windows lie where they lay, until the first live price says otherwise.
    pub(super) fn recover(&mut self, now: Now, recovered: &Recovered) {
        self.items.skip_to(recovered.last_item);
        let ended: BTreeMap<Class, Date> = recovered
            .ended
            .iter()
            .filter_map(|(class, day)| Some((class.parse().ok()?, *day)))
            .collect();
        self.day.resume(ended);
        let (found, today) = (recovered.items.len(), ist_date(now.utc));
        let cause = Arc::clone(&self.records.causes.restored);
        let mut live: Vec<Item> = Vec::with_capacity(found);
        for record in &recovered.items {
            match self.recovered_item(record) {
                Some(item) => live.push(item),
                None if record.expiry.is_some_and(|expiry| expiry.date() < today) => {
                    tracing::info!(
                        item = record.id,
                        symbol = %record.symbol,
                        expiry = ?record.expiry,
                        "Expired: the item ends"
                    );
                    self.journal.must(Change::Remove {
                        list: record.list,
                        id: record.id,
                    });
                }
                // It may be back with the next master: one can be incomplete.
                None => {
                    tracing::warn!(
                        item = record.id,
                        symbol = %record.symbol,
                        expiry = ?record.expiry,
                        "Not in today's instrument master: the item rests"
                    );
                }
            }
        }
        self.clear_recovered(now, &mut live);
        let restored = live.len();
        for item in live {
            self.restore_item(now, item, &cause);
        }
        self.record_restart(now, &recovered.subscribed);
        self.journal.commit();
        if found > 0 {
            tracing::info!(found, restored, "Watchlists and claims recovered");
        }
    }

    /// The ends of day that passed while nobody was there to run them.
    fn clear_recovered(&mut self, now: Now, items: &mut Vec<Item>) {
        let left = |class, day| {
            let mut items = items.iter();
            items.any(|item| item.is_cleared_by(class, day))
        };
        for (class, day) in self.day.due(&self.calendar, now, left) {
            let (gone, stay): (Vec<Item>, Vec<Item>) = core::mem::take(items)
                .into_iter()
                .partition(|item| item.is_cleared_by(class, day));
            *items = stay;
            let removed = gone
                .iter()
                .map(|item| (item.spec.key.list, item.id))
                .collect();
            self.end_of_day_durable(now, class, day, removed);
        }
        // Contracts that expired in a session that has ended hold nothing.
        let (calendar, registry) = (Arc::clone(&self.calendar), Arc::clone(&self.registry));
        let over = |item: &Item| {
            item.spec
                .holding
                .expiring(&registry)
                .is_some_and(|it| super::chains::ended(&calendar, now, &it))
        };
        let (gone, stay): (Vec<Item>, Vec<Item>) =
            core::mem::take(items).into_iter().partition(over);
        *items = stay;
        for item in gone {
            tracing::info!(item = item.id, "Expired: the item ends");
            self.journal.must(Change::Remove {
                list: item.spec.key.list,
                id: item.id,
            });
        }
    }

    /// Makes the claim of an item that has none: after a restart, or because letting go
    /// of it could not be made durable. One that does not fit is evicted.
    pub(super) fn restore_item(&mut self, now: Now, item: Item, cause: &Arc<Cause>) {
        let (id, spec) = (item.id, item.spec.clone());
        let (anchor, fixed) = (item.anchor, item.fixed_at());
        let live = item.state == ItemState::Live;
        self.items.insert(item);
        if !live {
            return;
        }
        let holder = holder(spec.key.list, id);
        let claimed = match spec.holding {
            Holding::Single { key } => self
                .single_leg(key, spec.mode)
                .and_then(|leg| self.claim_again(now, holder, &spec, vec![leg], cause)),
            Holding::Chain { ladder, width } => match fixed {
                Some(price) => self
                    .legs_at(ladder, width, price, spec.mode)
                    .and_then(|legs| self.claim_again(now, holder, &spec, legs, cause)),
                None => self
                    .chain_for(now, ladder, width, anchor, false)
                    .and_then(|chain| {
                        let window = self.claim_window(now, chain, anchor)?;
                        let legs = self.window_legs(window.span, spec.mode)?;
                        self.claim_again(now, holder, &spec, legs, cause)?;
                        self.follow(now, chain, holder, spec.mode, !spec.follow);
                        Ok(())
                    }),
            },
        };
        if let Err(error) = claimed {
            tracing::warn!(item = id, %error, "The claim of an item could not be made again");
            self.item_evicted(now, holder);
        }
    }

    fn claim_again(
        &mut self,
        now: Now,
        holder: Holder,
        spec: &ItemSpec,
        legs: Vec<Leg>,
        cause: &Arc<Cause>,
    ) -> Result<(), Error> {
        let contracts = contracts(&legs);
        let plan = self.book.plan(now, &request(holder, spec, legs))?;
        if let Some(item) = self.items.by_id_mut(holder.id) {
            item.contracts = contracts;
            item.state = ItemState::Live;
        }
        self.change(cause, |book, effects| book.apply(now, plan, effects));
        self.settle(now);
        Ok(())
    }

    /// An item as it was written down, found in the instrument master of the day; none
    /// when it is not listed any more.
    pub(super) fn recovered_item(&self, record: &store::Item) -> Option<Item> {
        let instrument_type: InstrumentType = record.instrument_type.parse().ok()?;
        let key = ItemKey {
            user: record.user,
            list: record.list,
            symbol: record.symbol.clone(),
            exchange: record.exchange,
            instrument_type,
            expiry: record.expiry,
        };
        let holding = self.holding_of(&key, record.width)?;
        let spec = ItemSpec {
            key,
            holding,
            mode: record.mode,
            follow: record.follow,
            tier: record.tier,
        };
        Some(Item {
            id: record.id,
            class: self.class_of_item(&spec),
            spec,
            trading_day: record.trading_day,
            added_at: record.added_at,
            state: match record.state {
                store::ItemState::Live => ItemState::Live,
                store::ItemState::Evicted => ItemState::Evicted,
            },
            contracts: 0,
            used: record.used,
            last_used_at: record.last_used_at,
            anchor: record.anchor,
            settled: record.settled,
            displaced: Vec::new(),
        })
    }

    fn holding_of(&self, key: &ItemKey, width: Option<u16>) -> Option<Holding> {
        match key.instrument_type {
            InstrumentType::Equity => {
                let found = self
                    .registry
                    .resolve_equity(Some(key.exchange), &key.symbol)
                    .ok()?;
                Some(Holding::Single {
                    key: found.instrument.key(),
                })
            }
            InstrumentType::Future => {
                let query = ChainQuery {
                    symbol: &key.symbol,
                    kind: None,
                    exchange: Some(key.exchange),
                    expiry: key.expiry,
                };
                let found = self.registry.resolve_future(&query).ok()?;
                Some(Holding::Single {
                    key: found.instrument.key(),
                })
            }
            _ => {
                let ladder = self
                    .registry
                    .ladder(key.exchange, &key.symbol, key.expiry?)?;
                Some(Holding::Chain {
                    ladder: ladder.id(),
                    width: Width::new(u32::from(width?)).ok()?,
                })
            }
        }
    }
}
