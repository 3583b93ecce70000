//! What happens to all chains at a time: the open, another master, an expiry invalidated.

use strikewire_calendar::Class;
use strikewire_chain::{Follower, PriceQuality, Width};
use strikewire_fanout::{ChainBody, ChainId, Item as FanItem};
use strikewire_registry::{Instrument, LadderId};
use strikewire_store::AtmRow;
use strikewire_subscriptions::{Owner as Holder, OwnerKind};
use strikewire_types::{InstrumentKey, Mode, Now, Strike, Utc};

use super::{Chain, Member};
use crate::command::{ChainAnswer, ChainAsk};
use crate::handle;
use crate::hub::HubCommand;
use crate::owner::Owner;
use crate::price::source_price;

impl Owner {
    /// Puts the chains on underlyings of `class` where the pre-open session has brought
    /// their prices, so that the open finds them there. Once, shortly before.
    pub(in crate::owner) fn centre_chains(&mut self, now: Now, class: Class, pre_open: Utc) {
        let sources: Vec<InstrumentKey> = self
            .chains
            .by_source
            .keys()
            .copied()
            .filter(|key| self.class_of_key(*key) == Some(class))
            .collect();
        let mut centred = 0;
        for source in sources {
            let Some(price) = source_price(&self.pricing(), now, source) else {
                continue;
            };
            // Of this morning; yesterday's close centres nothing.
            if price.time.is_none_or(|time| time.to_utc() < pre_open) {
                continue;
            }
            let ids: Vec<ChainId> = self.chains.by_source[&source].iter().copied().collect();
            for id in ids {
                let Some(chain) = self.chains.by_id.get_mut(&id) else {
                    continue;
                };
                if chain.members.is_empty() {
                    continue;
                }
                let decision = chain.follower.recalculate(
                    &self.registry,
                    now,
                    price.price,
                    PriceQuality::Live,
                );
                centred += usize::from(self.decided(now, id, price, decision));
            }
            self.settle(now);
            self.arm_band(source);
        }
        tracing::info!(%class, chains = centred, "Chains centred on pre-open prices");
    }

    /// Calculates the chains of some ladders anew. How many were.
    pub(in crate::owner) fn invalidate(&mut self, now: Now, ladders: &[LadderId]) -> usize {
        let ids: Vec<ChainId> = self
            .chains
            .by_id
            .iter()
            .filter(|(_, chain)| ladders.contains(&chain.ladder))
            .map(|(id, _)| *id)
            .collect();
        let mut done = 0;
        for id in ids {
            let Some(chain) = self.chains.by_id.get(&id) else {
                continue;
            };
            let source = chain.source;
            let Some(price) = source_price(&self.pricing(), now, source) else {
                continue;
            };
            let Some(chain) = self.chains.by_id.get_mut(&id) else {
                continue;
            };
            let quality = chain.quality(&price);
            let decision = chain
                .follower
                .recalculate(&self.registry, now, price.price, quality);
            done += usize::from(self.decided(now, id, price, decision));
            self.settle(now);
            self.arm(now, source);
        }
        done
    }

    /// The row of a chain for the projection.
    pub(in crate::owner) fn atm_row(&self, id: ChainId) -> Option<AtmRow> {
        let chain = self.chains.by_id.get(&id)?;
        let (span, price) = (chain.follower.span()?, chain.price?);
        let window = span.window(&self.registry, price.price);
        let ladder = window.ladder();
        Some(AtmRow {
            underlying: ladder.symbol().into(),
            exchange: ladder.exchange(),
            expiry: ladder.expiry(),
            width: chain.width.get(),
            ltp: price.price,
            atm: window.atm_strike(),
            step: window
                .strike_step()
                .map(|step| Strike::from_raw(step.raw())),
            at: chain.follower.calculated_at()?.utc,
            strikes: window.rungs().iter().map(|rung| rung.strike).collect(),
        })
    }

    /// Goes over to another master: every chain lies on the ladder that `remaster` says,
    /// or ends. Windows are calculated anew, at the price of the last calculation until
    /// there is another.
    pub(in crate::owner) fn remaster_chains(
        &mut self,
        now: Now,
        remaster: impl Fn(LadderId) -> Option<LadderId>,
    ) -> Vec<ChainId> {
        let old = core::mem::take(&mut self.chains);
        self.chains.last_id = old.last_id;
        let mut gone = Vec::new();
        for (id, mut chain) in old.by_id {
            let ladder = remaster(chain.ladder);
            let source = ladder.and_then(|id| self.registry.ladder_at(id).price_source());
            let (Some(ladder), Some(source)) = (ladder, source) else {
                gone.push(id);
                continue;
            };
            let taken = self.chains.by_window.contains_key(&(ladder, chain.width));
            if taken {
                gone.push(id);
                continue;
            }
            let mut follower = Follower::new(ladder, chain.width);
            if let Some(price) = chain.follower.price() {
                let _ = follower.on_price(&self.registry, now, price, PriceQuality::Stale);
            }
            chain.ladder = ladder;
            chain.source = source.key();
            chain.follower = follower;
            chain.settled = false;
            // Nothing of the old master means anything in this one.
            chain.published = None;
            self.chains.put(id, chain);
            self.publish(id);
        }
        gone
    }

    /// Sees to it that a claim follows the chain of a window, in a master where two chains
    /// may have become one. The chain's number, if there is one.
    pub(in crate::owner) fn rejoin(
        &mut self,
        ladder: LadderId,
        width: Width,
        holder: Holder,
        mode: Mode,
        once: bool,
    ) -> Option<ChainId> {
        let id = *self.chains.by_window.get(&(ladder, width))?;
        let chain = self.chains.by_id.get_mut(&id)?;
        chain.members.entry(holder).or_insert(Member { mode, once });
        Some(id)
    }

    /// Every underlying that a followed chain hangs on.
    pub(in crate::owner) fn arm_all(&mut self, now: Now) {
        let sources: Vec<InstrumentKey> = self.chains.by_source.keys().copied().collect();
        for source in sources {
            self.arm(now, source);
        }
    }

    /// The chains that streams are shown, to be shown again.
    pub(in crate::owner) fn streamed_chains(&self) -> Vec<ChainId> {
        let streams = |chain: &Chain| {
            chain
                .members
                .keys()
                .any(|holder| holder.kind == OwnerKind::Stream)
        };
        self.chains
            .by_id
            .iter()
            .filter(|(_, chain)| streams(chain))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Gives the hub the chain as it stands.
    pub(in crate::owner) fn show_chain(&self, now: Now, id: ChainId) {
        if let Ok(chain) = self.chain_answer(now, id, ChainAsk::default()) {
            self.show_answer(id, &chain);
        }
    }

    /// Gives the hub a chain under the number `id`.
    pub(in crate::owner) fn show_answer(&self, id: ChainId, chain: &ChainAnswer) {
        let window = chain.span.window(&self.registry, chain.price.price);
        let view = handle::render(chain);
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(&view) else {
            return;
        };
        let item = |instrument: Instrument<'_>| FanItem {
            key: instrument.key(),
            token: instrument.token().into(),
        };
        let body = ChainBody {
            fields,
            legs: window
                .legs()
                .map(|leg| item(self.registry.instrument(leg.0)))
                .collect(),
            underlying: window.ladder().price_source().map(item),
        };
        self.tell_hub(HubCommand::SetChain {
            chain: id,
            body: Box::new(body),
        });
    }
}
