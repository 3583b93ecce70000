mod shape;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use strikewire_calendar::Class;
use strikewire_chain::{
    Band, Decision, Follower, Forced, PriceQuality, PriceSource, Span, Width, Window,
};
use strikewire_fanout::ChainId;
use strikewire_registry::{Ladder, LadderId, Registry};
use strikewire_subscriptions::{Leg, Owner as Holder, OwnerKind};
use strikewire_types::{InstrumentKey, Mode, Now, Price, Utc};

pub(crate) use shape::{ended, legs, middle_window, source_leg, source_of};
use shape::{segment_of, shaped};

use super::Owner;
use crate::command::{ChainAnswer, ChainAsk};
use crate::hub::HubCommand;
use crate::price::{Pricing, source_price};
use crate::published::PublishedChain;
use crate::{Error, SourcePrice};

/// How many calculated chains are kept that nobody follows.
const IDLE_CHAINS: usize = 1024;

/// Every chain that is followed or was calculated lately, by (ladder, width).
#[derive(Debug, Default)]
pub(super) struct Chains {
    by_id: BTreeMap<ChainId, Chain>,
    by_window: HashMap<(LadderId, Width), ChainId>,
    by_source: HashMap<InstrumentKey, BTreeSet<ChainId>>,
    last_id: u64,
}

/// One chain: its window and who follows it.
#[derive(Debug)]
pub(super) struct Chain {
    ladder: LadderId,
    width: Width,
    source: InstrumentKey,
    follower: Follower,
    /// What the window was calculated from; absent until the underlying has a price.
    price: Option<SourcePrice>,
    last_read: Now,
    /// Whether a live price has put the members where the window lies.
    settled: bool,
    /// Claims that hold the window and follow it.
    members: BTreeMap<Holder, Member>,
    /// What readers find without asking.
    published: Option<Arc<PublishedChain>>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    mode: Mode,
    /// It stays where the first live price puts it.
    once: bool,
}

impl Chain {
    fn answer(
        &self,
        now: Now,
        registry: &Arc<Registry>,
        live: Option<SourcePrice>,
    ) -> Option<ChainAnswer> {
        Some(ChainAnswer {
            registry: Arc::clone(registry),
            span: self.follower.span()?,
            price: self.price?,
            live,
            calculated_at: self.follower.calculated_at().map_or(now.utc, |at| at.utc),
        })
    }

    /// What a price may do to it. One that was asked for may start a chain; once somebody
    /// follows it from a live price, it moves by the feed alone.
    fn quality(&self, price: &SourcePrice) -> PriceQuality {
        let follows =
            !self.members.is_empty() && self.price.is_some() && !self.follower.is_provisional();
        if price.is_live() && !(follows && price.source == PriceSource::Rest) {
            PriceQuality::Live
        } else {
            PriceQuality::Stale
        }
    }

    /// Takes note of the price of the underlying.
    fn on_price(&mut self, registry: &Registry, now: Now, price: &SourcePrice) -> Decision {
        let quality = self.quality(price);
        self.follower.on_price(registry, now, price.price, quality)
    }
}

impl Chains {
    pub(super) fn is_source(&self, key: InstrumentKey) -> bool {
        self.by_source.contains_key(&key)
    }

    /// The claims that hold a chain's window and follow it.
    pub(super) fn followers(&self, id: ChainId) -> impl Iterator<Item = Holder> {
        let chain = self.by_id.get(&id).into_iter();
        chain.flat_map(|chain| chain.members.keys().copied())
    }

    /// A number for a chain that the hub shows.
    pub(super) fn next_id(&mut self) -> ChainId {
        self.last_id += 1;
        ChainId(self.last_id)
    }

    fn insert(&mut self, chain: Chain) -> ChainId {
        let id = self.next_id();
        self.put(id, chain);
        id
    }

    fn put(&mut self, id: ChainId, chain: Chain) {
        self.by_window.insert((chain.ladder, chain.width), id);
        self.by_source.entry(chain.source).or_default().insert(id);
        self.by_id.insert(id, chain);
    }

    fn remove(&mut self, id: ChainId) {
        let Some(chain) = self.by_id.remove(&id) else {
            return;
        };
        self.by_window.remove(&(chain.ladder, chain.width));
        if let Some(chains) = self.by_source.get_mut(&chain.source) {
            chains.remove(&id);
            if chains.is_empty() {
                self.by_source.remove(&chain.source);
            }
        }
    }

    /// Forgets the chain that was read longest ago once too many are idle.
    fn trim(&mut self) -> Option<(ChainId, (LadderId, Width))> {
        let idle = || {
            self.by_id
                .iter()
                .filter(|(_, chain)| chain.members.is_empty())
        };
        if idle().count() <= IDLE_CHAINS {
            return None;
        }
        let (id, chain) = idle().min_by_key(|(_, chain)| chain.last_read.mono)?;
        let (id, window) = (*id, (chain.ladder, chain.width));
        self.remove(id);
        Some((id, window))
    }
}

impl Owner {
    /// The chain of a window, calculated now if it is not known or no longer good.
    ///
    /// `client` is what the caller can do with where the feed has no price at all: the
    /// chain then waits for one.
    pub(super) fn chain_for(
        &mut self,
        now: Now,
        ladder: LadderId,
        width: Width,
        client: Option<Price>,
        force: bool,
    ) -> Result<ChainId, Error> {
        let source = source_of(self.registry.ladder_at(ladder))?.key();
        let known = source_price(&self.pricing(), now, source);
        if let Some(&id) = self.chains.by_window.get(&(ladder, width)) {
            self.refresh(now, id, known, force)?;
            return Ok(id);
        }
        if known.is_none() && client.is_none() {
            return Err(self.no_price(ladder, source));
        }
        let mut chain = Chain {
            ladder,
            width,
            source,
            follower: Follower::new(ladder, width),
            price: known,
            last_read: now,
            settled: known.is_some_and(|price| price.is_live()),
            members: BTreeMap::new(),
            published: None,
        };
        if let Some(price) = &known {
            let _ = chain.on_price(&self.registry, now, price);
        }
        let id = self.chains.insert(chain);
        self.records.calculated(id);
        self.publish(id);
        if let Some((gone, (ladder, width))) = self.chains.trim() {
            self.master.load().chains.remove(ladder, width);
            self.tell_hub(HubCommand::RemoveChain { chain: gone });
        }
        Ok(id)
    }

    /// Where prices are looked up, and what makes them live.
    pub(super) fn pricing(&self) -> Pricing<'_> {
        Pricing {
            table: &self.table,
            desk: &self.desk,
            config: &self.config,
            calendar: &self.calendar,
            registry: &self.registry,
        }
    }

    fn no_price(&self, ladder: LadderId, source: InstrumentKey) -> Error {
        Error::PriceGone {
            symbol: self.registry.ladder_at(ladder).symbol().to_owned(),
            instrument: source,
        }
    }

    /// Brings a known chain up to date for somebody who asks for it.
    fn refresh(
        &mut self,
        now: Now,
        id: ChainId,
        known: Option<SourcePrice>,
        force: bool,
    ) -> Result<(), Error> {
        let Some(chain) = self.chains.by_id.get_mut(&id) else {
            return Ok(());
        };
        chain.last_read = now;
        let Some(price) = known else { return Ok(()) };
        let (registry, quality) = (&self.registry, chain.quality(&price));
        let expired = chain.follower.is_expired(now, self.config.chain_ttl);
        let mut decision = if force {
            match chain.follower.force(registry, now, price.price, quality) {
                Forced::TooSoon { retry_in } => return Err(Error::ForcedTooSoon { retry_in }),
                Forced::Done(decision) => decision,
            }
        } else if expired {
            chain
                .follower
                .recalculate(registry, now, price.price, quality)
        } else {
            chain.follower.on_price(registry, now, price.price, quality)
        };
        // Nobody follows it, so it was not shown the prices in between: what looks like a
        // jump is where the price has gone since it was last read, and one that is not
        // live may yet be a later one than it rests on.
        let rests = decision == Decision::Hold
            && (expired || chain.follower.is_provisional())
            && chain.price != Some(price);
        if chain.members.is_empty() && (decision == Decision::Confirm || rests) {
            chain.follower = Follower::new(chain.ladder, chain.width);
            decision = chain.on_price(registry, now, &price);
        }
        let source = chain.source;
        if self.decided(now, id, price, decision) {
            self.settle(now);
        }
        self.publish(id);
        self.arm(now, source);
        Ok(())
    }

    /// Answers for a chain, shaped by the caller's price if there is one.
    pub(super) fn chain_answer(
        &self,
        now: Now,
        id: ChainId,
        ask: ChainAsk,
    ) -> Result<ChainAnswer, Error> {
        let chain = self.chains.by_id.get(&id).ok_or(Error::Stopping)?;
        let live = self.live(now, chain.source);
        match ask.price {
            Some(price) => shaped(&self.registry, now, chain.ladder, chain.width, price, live),
            None => chain
                .answer(now, &self.registry, live)
                .ok_or_else(|| self.no_price(chain.ladder, chain.source)),
        }
    }

    /// The window that a claim made now holds: that of the chain or, while the chain
    /// waits for a price, the one that the caller's price makes.
    pub(super) fn claim_window(
        &self,
        now: Now,
        id: ChainId,
        client: Option<Price>,
    ) -> Result<ChainAnswer, Error> {
        let calculated = self.chain_answer(now, id, ChainAsk::default());
        match client {
            Some(_) if calculated.is_err() => {
                let ask = ChainAsk {
                    price: client,
                    force: false,
                };
                self.chain_answer(now, id, ask)
            }
            _ => calculated,
        }
    }

    fn live(&self, now: Now, source: InstrumentKey) -> Option<SourcePrice> {
        source_price(&self.pricing(), now, source).filter(SourcePrice::is_live)
    }

    /// Reads a chain without holding anything. A caller's price never enters what is
    /// shared.
    pub(super) fn read_chain(
        &mut self,
        now: Now,
        ladder: LadderId,
        width: Width,
        ask: ChainAsk,
    ) -> Result<ChainAnswer, Error> {
        if let Some(price) = ask.price {
            self.used_chain(now, ladder, width);
            let source = source_of(self.registry.ladder_at(ladder))?.key();
            let live = self.live(now, source);
            return shaped(&self.registry, now, ladder, width, price, live);
        }
        let id = self.chain_for(now, ladder, width, None, ask.force)?;
        self.used_chain(now, ladder, width);
        self.chain_answer(now, id, ask)
    }

    /// A chain is read: a use of every claim that follows it.
    fn used_chain(&mut self, now: Now, ladder: LadderId, width: Width) {
        let Some(id) = self.chains.by_window.get(&(ladder, width)) else {
            return;
        };
        let readers: Vec<Holder> = match self.chains.by_id.get(id) {
            Some(chain) => chain.members.keys().copied().collect(),
            None => Vec::new(),
        };
        for holder in readers {
            self.touch(now, holder);
        }
    }

    /// Lets readers find a chain as it stands.
    fn publish(&mut self, id: ChainId) {
        let Some(chain) = self.chains.by_id.get_mut(&id) else {
            return;
        };
        let before = chain.published.as_deref();
        let next = PublishedChain::of(chain.source, &chain.follower, chain.price, before);
        if let Some(next) = next.map(Arc::new) {
            self.master.load().chains.put(Arc::clone(&next));
            chain.published = Some(next);
        }
    }

    /// Takes note of the chains that were read without asking, in the order of their reads.
    /// To be done before anything is decided by who used what last.
    pub(super) fn note_reads(&mut self, now: Now) {
        if !self.master.load().chains.take_read() {
            return;
        }
        let mut reads: Vec<_> = (self.chains.by_id.iter())
            .filter_map(|(id, chain)| Some((chain.published.as_ref()?.take_read()?, *id)))
            .collect();
        reads.sort_unstable();
        for (mono, id) in reads {
            let ago = i64::try_from(now.mono.since(mono).as_nanos()).unwrap_or(i64::MAX);
            let utc = Utc::from_nanos(now.utc.as_nanos().saturating_sub(ago));
            if let Some(chain) = self.chains.by_id.get_mut(&id) {
                chain.last_read = Now { mono, utc };
                let (ladder, width) = (chain.ladder, chain.width);
                self.used_chain(Now { mono, utc }, ladder, width);
            }
        }
    }

    /// A claim's instruments for a window: the contracts and the underlying they need.
    pub(super) fn window_legs(&self, span: Span, mode: Mode) -> Result<Vec<Leg>, Error> {
        legs(&self.registry, span, mode)
    }

    /// A claim's instruments for the window that a price makes.
    pub(super) fn legs_at(
        &self,
        ladder: LadderId,
        width: Width,
        price: Price,
        mode: Mode,
    ) -> Result<Vec<Leg>, Error> {
        let window = Window::new(self.registry.ladder_at(ladder), price, width)?;
        self.window_legs(window.span(), mode)
    }

    pub(super) fn chain_source(&self, id: ChainId) -> Option<InstrumentKey> {
        self.chains.by_id.get(&id).map(|chain| chain.source)
    }

    /// Makes a claim follow the chain from now on. One that is to stay where it is
    /// follows until the first live price has put it there.
    pub(super) fn follow(
        &mut self,
        now: Now,
        id: ChainId,
        holder: Holder,
        mode: Mode,
        stays: bool,
    ) {
        let Some(chain) = self.chains.by_id.get_mut(&id) else {
            return;
        };
        if stays && chain.follower.band().is_some() {
            return;
        }
        chain.members.insert(holder, Member { mode, once: stays });
        let source = chain.source;
        self.arm(now, source);
    }

    /// Ends a claim's following, of whichever chain it followed.
    pub(super) fn unfollow(&mut self, now: Now, ladder: LadderId, width: Width, holder: Holder) {
        let Some(id) = self.chains.by_window.get(&(ladder, width)) else {
            return;
        };
        let Some(chain) = self.chains.by_id.get_mut(id) else {
            return;
        };
        chain.members.remove(&holder);
        // Of those that nobody follows, the one let go of last is kept longest: who comes
        // back soon finds the same chain.
        chain.last_read = now;
        let source = chain.source;
        self.arm(now, source);
    }

    /// The price of `key` left its band: rolls what must roll, then watches again.
    pub(super) fn crossed(&mut self, now: Now, key: InstrumentKey) {
        if let Some(price) = source_price(&self.pricing(), now, key) {
            self.follow_price(now, key, price);
        }
        // Whatever came of it, the next crossing must be heard of.
        self.arm_band(key);
    }

    pub(super) fn follow_price(&mut self, now: Now, key: InstrumentKey, price: SourcePrice) {
        let ids: Vec<ChainId> = self
            .chains
            .by_source
            .get(&key)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        for id in ids {
            let Some(chain) = self.chains.by_id.get_mut(&id) else {
                continue;
            };
            if chain.members.is_empty() {
                continue;
            }
            let decision = chain.on_price(&self.registry, now, &price);
            self.decided(now, id, price, decision);
        }
        self.settle(now);
    }

    /// Acts on what a price does to a chain: moves its members, and tells its readers.
    /// False when it does nothing.
    fn decided(&mut self, now: Now, id: ChainId, price: SourcePrice, decision: Decision) -> bool {
        let moved = match decision {
            Decision::Hold | Decision::Confirm => return false,
            Decision::Recalculated => false,
            Decision::Started { .. } | Decision::Rolled { .. } => true,
        };
        let Some(chain) = self.chains.by_id.get_mut(&id) else {
            return false;
        };
        chain.price = Some(price);
        // What was claimed before there was a live price lies where its caller said, and
        // only a live price may move it.
        let is_live = !chain.follower.is_provisional();
        let settles = is_live && !chain.settled;
        chain.settled |= is_live;
        let members: Vec<(Holder, Mode)> = chain
            .members
            .iter()
            .map(|(holder, member)| (*holder, member.mode))
            .collect();
        if !chain.follower.is_provisional() {
            chain.members.retain(|_, member| !member.once);
        }
        let span = chain.follower.span();
        self.publish(id);
        self.records.calculated(id);
        if let Some(span) = span.filter(|_| moved || settles) {
            let cause = Arc::clone(&self.records.causes.rolled);
            for &(holder, mode) in &members {
                // A window of a ladder that is there cannot fail to have legs.
                if !is_live && holder.kind != OwnerKind::TierB {
                    continue;
                }
                if let Ok(legs) = self.window_legs(span, mode) {
                    if holder.kind == OwnerKind::TierB {
                        self.move_tier_b(now, holder, legs);
                    } else {
                        self.change(&cause, |book, effects| {
                            book.replace(now, holder, &legs, effects);
                        });
                    }
                }
                self.holder_rolled(holder, span, price, moved);
            }
        }
        if members
            .iter()
            .any(|(holder, _)| holder.kind == OwnerKind::Stream)
        {
            self.show_chain(now, id);
        }
        true
    }

    /// Watches the price of an underlying for the chains that are followed.
    pub(super) fn arm(&mut self, now: Now, source: InstrumentKey) {
        let Some(band) = self.arm_band(source) else {
            return;
        };
        // What moved before the band was armed would otherwise wait for the next tick.
        let missed = source_price(&self.pricing(), now, source)
            .is_some_and(|price| price.is_live() && band.leaves(price.price));
        if missed {
            self.crossed(now, source);
        }
    }

    /// Arms the tightest band of the followed chains, and gives it; or, where one of
    /// them wants the next packet whatever it says, arms for that.
    fn arm_band(&self, source: InstrumentKey) -> Option<Band> {
        let (slot, _) = self.table.resolve(source)?;
        let followed = |chains: &Chains| -> Option<Option<Band>> {
            let mut tightest: Option<Band> = None;
            for id in chains.by_source.get(&source)? {
                let chain = chains.by_id.get(id)?;
                if chain.members.is_empty() {
                    continue;
                }
                let Some(band) = chain.follower.band() else {
                    return Some(None);
                };
                tightest = Some(Band::intersect(tightest.into_iter().chain([band])));
            }
            tightest.map(Some)
        };
        match followed(&self.chains) {
            None => self.table.disarm(slot),
            Some(None) => self
                .table
                .arm(slot, Some(Price::from_raw(i64::MAX - 1)), None),
            Some(Some(band)) => {
                self.table.arm(slot, band.lower, band.upper);
                return Some(band);
            }
        }
        None
    }

    /// Where the window of a chain lies, if it is known and has a price.
    pub(super) fn span_of(&self, ladder: LadderId, width: Width) -> Option<Span> {
        let id = self.chains.by_window.get(&(ladder, width))?;
        self.chains.by_id.get(id)?.follower.span()
    }

    /// Makes a claim follow a chain that may have no price yet: its first window comes
    /// with the first price.
    pub(super) fn follow_from_now(
        &mut self,
        now: Now,
        ladder: LadderId,
        width: Width,
        holder: Holder,
        mode: Mode,
    ) {
        let Ok(source) = source_of(self.registry.ladder_at(ladder)) else {
            return;
        };
        let source = source.key();
        let id = match self.chains.by_window.get(&(ladder, width)) {
            Some(id) => *id,
            None => self.chains.insert(Chain {
                ladder,
                width,
                source,
                follower: Follower::new(ladder, width),
                price: None,
                last_read: now,
                settled: false,
                members: BTreeMap::new(),
                published: None,
            }),
        };
        let Some(chain) = self.chains.by_id.get_mut(&id) else {
            return;
        };
        chain.members.insert(holder, Member { mode, once: false });
        if let Some(span) = chain.follower.span()
            && let Ok(legs) = self.window_legs(span, mode)
        {
            self.move_tier_b(now, holder, legs);
            self.settle(now);
        } else if let Some(price) = source_price(&self.pricing(), now, source) {
            self.follow_price(now, source, price);
        }
        self.arm(now, source);
    }

    pub(super) fn class_of_ladder(&self, ladder: Ladder<'_>) -> Class {
        self.calendar
            .class_of(ladder.exchange(), segment_of(ladder), ladder.symbol())
    }

    /// The product class of an instrument; none for one that is not listed.
    pub(super) fn class_of_key(&self, key: InstrumentKey) -> Option<Class> {
        let instrument = self.registry.by_key(key)?;
        Some(
            self.calendar
                .class_of(instrument.exchange(), key.segment, instrument.symbol()),
        )
    }
}
