//! Calculated chains where readers find them without asking the owner.
//!
//! The owner publishes a chain whenever its calculation changes. A read of one that the
//! owner would leave as it is takes it from here, and leaves word that it did so.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use strikewire_chain::{Follower, PriceQuality, Span, Width};
use strikewire_quotes::Table;
use strikewire_registry::LadderId;
use strikewire_types::{InstrumentKey, Mono, Now, Utc};

use crate::page::Page;
use crate::{ChainAnswer, SourcePrice};

/// How many chains keep the text of their last read: some hundred kilobytes each.
const TEXTS: usize = 64;

type Window = (LadderId, Width);

/// The calculated chains of one instrument master.
#[derive(Debug, Default)]
pub(crate) struct Published {
    chains: RwLock<HashMap<Window, Arc<PublishedChain>>>,
    /// Whether any was read since the owner asked.
    read: AtomicBool,
    /// The pages that keep a text, in the order in which they got one.
    texts: Mutex<VecDeque<Weak<Page>>>,
}

/// What readers may know of a chain.
#[derive(Debug)]
pub(crate) struct PublishedChain {
    pub(crate) source: InstrumentKey,
    pub(crate) span: Span,
    /// What it was calculated from.
    pub(crate) price: SourcePrice,
    pub(crate) calculated_at: Utc,
    /// Its text, made by the first who needs it.
    pub(crate) page: Arc<Page>,
    follower: Follower,
    /// When it was read last, in nanoseconds of the clock; 0 when nobody did since the
    /// owner asked.
    read_at: AtomicU64,
}

impl Published {
    pub(crate) fn get(&self, ladder: LadderId, width: Width) -> Option<Arc<PublishedChain>> {
        self.chains.read().get(&(ladder, width)).cloned()
    }

    /// Publishes the chain in place of what it was.
    pub(crate) fn put(&self, chain: Arc<PublishedChain>) {
        let window = (chain.span.ladder, chain.span.width);
        self.chains.write().insert(window, chain);
    }

    pub(crate) fn remove(&self, ladder: LadderId, width: Width) {
        self.chains.write().remove(&(ladder, width));
    }

    /// Leaves word for the owner that the chain was read.
    pub(crate) fn note_read(&self, now: Now, chain: &PublishedChain) {
        let at = now.mono.as_nanos().max(1);
        chain.read_at.store(at, Ordering::Relaxed);
        // Who sees this sees the time.
        self.read.store(true, Ordering::Release);
    }

    /// The text of a chain that was got here.
    pub(crate) fn write(&self, page: &Arc<Page>, answer: &ChainAnswer, table: &Table) -> Bytes {
        let (text, is_new) = page.write(answer, table);
        if is_new {
            let mut texts = self.texts.lock();
            texts.push_back(Arc::downgrade(page));
            let oldest = (texts.len() > TEXTS).then(|| texts.pop_front()).flatten();
            drop(texts);
            if let Some(oldest) = oldest.and_then(|page| page.upgrade()) {
                oldest.forget();
            }
        }
        text
    }

    /// Whether any chain was read since this was asked last.
    pub(crate) fn take_read(&self) -> bool {
        self.read.load(Ordering::Relaxed) && self.read.swap(false, Ordering::Acquire)
    }
}

impl PublishedChain {
    /// A chain as it stands; none while it has no window. `before` is what was published
    /// of it until now: if that says the same, none too.
    pub(crate) fn of(
        source: InstrumentKey,
        follower: &Follower,
        price: Option<SourcePrice>,
        before: Option<&Self>,
    ) -> Option<Self> {
        let (span, price) = (follower.span()?, price?);
        let calculated_at = follower.calculated_at()?.utc;
        let same_page =
            |old: &&Self| (old.span, old.price, old.calculated_at) == (span, price, calculated_at);
        let same = before.filter(same_page);
        if same.is_some_and(|old| old.follower == *follower) {
            return None;
        }
        Some(Self {
            source,
            span,
            price,
            calculated_at,
            page: same.map_or_else(Arc::default, |old| Arc::clone(&old.page)),
            follower: follower.clone(),
            read_at: AtomicU64::new(before.map_or(0, |old| old.read_at.swap(0, Ordering::Relaxed))),
        })
    }

    /// Whether the owner, asked for it now, would answer with it as it is. `price` is what
    /// the underlying costs now.
    pub(crate) fn holds(&self, now: Now, ttl: Duration, price: &SourcePrice) -> bool {
        if price.is_live() {
            !self.follower.is_expired(now, ttl)
                && self.follower.holds(price.price, PriceQuality::Live)
        } else {
            // What is not live moves nothing, unless it may be a later one than a chain
            // that nobody follows rests on.
            *price == self.price
                || !self.follower.is_expired(now, ttl) && !self.follower.is_provisional()
        }
    }

    /// When it was read last, once.
    pub(crate) fn take_read(&self) -> Option<Mono> {
        let at = self.read_at.swap(0, Ordering::Relaxed);
        (at != 0).then(|| Mono::from_nanos(at))
    }
}
