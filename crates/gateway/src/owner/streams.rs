mod closed;
mod remaster;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use strikewire_calendar::Class as ProductClass;
use strikewire_chain::Width;
use strikewire_fanout::{ChainId, Class, ClientId, Item as FanItem, Message, SubId};
use strikewire_registry::LadderId;
use strikewire_subscriptions::{Leg, Owner as Holder, OwnerKind, Request};
use strikewire_types::{Mode, Now, Price, Tier};

use super::Owner;
use super::items::Displaced;
use super::records::Cause;
use crate::Error;
use crate::command::{StreamChain, StreamTicks};
use crate::hub::HubCommand;

/// What the clients of the stream hold.
#[derive(Debug, Default)]
pub(super) struct Streams {
    clients: HashMap<ClientId, BTreeMap<SubId, Holder>>,
    claims: BTreeMap<u64, Claim>,
    last_claim: u64,
}

#[derive(Debug)]
struct Claim {
    client: ClientId,
    sub: SubId,
    what: What,
    name: String,
    mode: Mode,
    /// How often it is sent.
    class: Class,
    /// Product classes whose market has closed: what it holds of them is off the wire
    /// until shortly before the next open.
    suspended: BTreeSet<ProductClass>,
    /// Whom it evicted, and how many slots that freed.
    displaced: Vec<Displaced>,
}

#[derive(Debug)]
enum What {
    Ticks { legs: Vec<Leg>, items: Vec<FanItem> },
    Chain(Window),
}

/// The window of a stream's chain.
#[derive(Debug, Clone, Copy)]
struct Window {
    ladder: LadderId,
    width: Width,
    /// The number under which the hub shows it.
    shown: ChainId,
    /// The price that it was claimed at.
    at: Price,
    /// Whether it follows the price, with everybody else who follows it, or stays.
    follows: bool,
}

impl Streams {
    fn next_holder(&mut self) -> Holder {
        self.last_claim += 1;
        Holder {
            kind: OwnerKind::Stream,
            id: self.last_claim,
        }
    }

    fn insert(&mut self, holder: Holder, claim: Claim) {
        self.clients
            .entry(claim.client)
            .or_default()
            .insert(claim.sub, holder);
        self.claims.insert(holder.id, claim);
    }

    /// Forgets a claim, and what its client knows of it.
    fn remove(&mut self, holder: Holder) -> Option<Claim> {
        let claim = self.claims.remove(&holder.id)?;
        if let Some(subs) = self.clients.get_mut(&claim.client) {
            subs.remove(&claim.sub);
        }
        Some(claim)
    }
}

const fn holder(id: u64) -> Holder {
    Holder {
        kind: OwnerKind::Stream,
        id,
    }
}

/// Why a stream's subscription ends without its client asking.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    Evicted,
    Expired,
    NotListed,
}

impl Owner {
    pub(super) fn open_stream(&mut self, client: ClientId) {
        self.streams.clients.insert(client, BTreeMap::new());
    }

    pub(super) fn close_stream(&mut self, now: Now, client: ClientId) {
        for holder in self
            .streams
            .clients
            .remove(&client)
            .unwrap_or_default()
            .into_values()
        {
            self.release_stream(now, holder);
        }
        self.tell_hub(HubCommand::Close { client });
    }

    /// Refuses a client that has as many subscriptions as it may have.
    pub(super) fn may_subscribe(&self, client: ClientId, most: usize) -> Result<(), Error> {
        let held = self.streams.clients.get(&client).map_or(0, BTreeMap::len);
        if held < most {
            return Ok(());
        }
        Err(Error::TooManySubscriptions { held, most })
    }

    pub(super) fn stream_ticks(
        &mut self,
        now: Now,
        client: ClientId,
        sub: SubId,
        ticks: StreamTicks,
    ) -> Result<(), Error> {
        let name = format!("ticks of {} instruments", ticks.items.len());
        let claim = Claim {
            client,
            sub,
            what: What::Ticks {
                legs: ticks.legs.clone(),
                items: ticks.items.clone(),
            },
            name,
            mode: ticks.mode,
            class: ticks.class,
            suspended: BTreeSet::new(),
            displaced: Vec::new(),
        };
        self.claim_stream(now, claim, ticks.legs)?;
        self.tell_hub(HubCommand::Ticks {
            client,
            sub,
            items: ticks.items,
            mode: ticks.mode,
            class: ticks.class,
            ack: Some(ticks.ack),
        });
        Ok(())
    }

    pub(super) fn stream_chain(
        &mut self,
        now: Now,
        client: ClientId,
        sub: SubId,
        ask: StreamChain,
    ) -> Result<(), Error> {
        let chain = self.chain_for(now, ask.ladder, ask.width, ask.price, false)?;
        let first = self.followed_at(chain).filter(|_| ask.follow);
        let price = first.or(ask.price);
        let still = self.claim_window(now, chain, price)?;
        let legs = self.window_legs(still.span, ask.mode)?;
        let ladder = self.registry.ladder_at(ask.ladder);
        let name = format!(
            "chain {} {} {}",
            ladder.exchange(),
            ladder.symbol(),
            ladder.expiry()
        );
        let window = Window {
            ladder: ask.ladder,
            width: ask.width,
            shown: if ask.follow {
                chain
            } else {
                self.chains.next_id()
            },
            at: still.price.price,
            follows: ask.follow,
        };
        let claim = Claim {
            client,
            sub,
            what: What::Chain(window),
            name,
            mode: ask.mode,
            class: ask.class,
            suspended: BTreeSet::new(),
            displaced: Vec::new(),
        };
        let holder = self.claim_stream(now, claim, legs)?;
        if ask.follow {
            self.follow(now, chain, holder, ask.mode, false);
            self.show_followed(now, chain, first, price);
        } else {
            self.show_answer(window.shown, &still);
        }
        self.tell_hub(HubCommand::Chain {
            client,
            sub,
            chain: window.shown,
            mode: ask.mode,
            class: ask.class,
            ack: Some(ask.ack),
        });
        Ok(())
    }

    /// The price at which a stream has claimed a chain that it follows. While the chain
    /// waits for a price of its own, that of the first who follows it is that of all: what
    /// they are shown is one, and not moved by whoever comes next.
    fn followed_at(&self, chain: ChainId) -> Option<Price> {
        let mut followers = self.chains.followers(chain);
        followers.find_map(|holder| {
            let claim = (holder.kind == OwnerKind::Stream).then_some(holder.id);
            match self.streams.claims.get(&claim?)?.what {
                What::Chain(window) => Some(window.at),
                What::Ticks { .. } => None,
            }
        })
    }

    /// Gives the hub the chain that a stream has begun to follow at `price`; `first` is the
    /// price that others have followed it at. A crossing may have moved it a moment ago.
    fn show_followed(&self, now: Now, chain: ChainId, first: Option<Price>, price: Option<Price>) {
        match self.claim_window(now, chain, price) {
            Ok(shown) if first.is_none() => self.show_answer(chain, &shown),
            // Without a price of its own the others are shown what they were.
            _ => self.show_chain(now, chain),
        }
    }

    /// Admits the claim of a stream's subscription.
    fn claim_stream(&mut self, now: Now, claim: Claim, legs: Vec<Leg>) -> Result<Holder, Error> {
        let holder = self.streams.next_holder();
        let plan = self.book.plan(now, &stream_request(holder, legs))?;
        self.streams.insert(holder, claim);
        let cause = Arc::clone(&self.records.causes.streamed);
        self.change(&cause, |book, effects| book.apply(now, plan, effects));
        self.book.set_streaming(holder, true);
        self.settle(now);
        Ok(holder)
    }

    pub(super) fn stream_unsubscribe(
        &mut self,
        now: Now,
        client: ClientId,
        sub: SubId,
        ack: Message,
    ) -> Result<(), Error> {
        let holder = self
            .streams
            .clients
            .get_mut(&client)
            .and_then(|subs| subs.remove(&sub))
            .ok_or(Error::NoSuchSubscription { sub: sub.0 })?;
        self.release_stream(now, holder);
        self.tell_hub(HubCommand::Unsubscribe {
            client,
            sub,
            ack: Some(ack),
        });
        Ok(())
    }

    fn release_stream(&mut self, now: Now, holder: Holder) {
        self.end_window(now, holder);
        let cause = Arc::clone(&self.records.causes.streamed);
        self.change(&cause, |book, effects| book.release(now, holder, effects));
        // While it is there, the records can name it.
        self.settle(now);
        self.streams.remove(holder);
    }

    fn end_window(&mut self, now: Now, holder: Holder) {
        let Some(claim) = self.streams.claims.get(&holder.id) else {
            return;
        };
        if let What::Chain(window) = claim.what {
            if window.follows {
                self.unfollow(now, window.ladder, window.width, holder);
            } else {
                let chain = window.shown;
                self.tell_hub(HubCommand::RemoveChain { chain });
            }
        }
    }

    /// A stream's claim made room for another: it ends, and its client is told.
    pub(super) fn stream_evicted(&mut self, now: Now, holder: Holder) {
        let cause = Arc::clone(&self.records.causes.streamed);
        self.end_stream(now, holder, Ended::Evicted, &cause);
    }

    /// Ends a stream's subscription without its client asking, and tells it.
    pub(super) fn end_stream(&mut self, now: Now, holder: Holder, how: Ended, cause: &Arc<Cause>) {
        self.end_window(now, holder);
        self.change(cause, |book, effects| book.release(now, holder, effects));
        self.settle(now);
        let Some(claim) = self.streams.remove(holder) else {
            return;
        };
        let (code, detail) = match how {
            Ended::Evicted => ("evicted", "made room for another request"),
            Ended::Expired => ("expired", "ended with the last session of its contracts"),
            Ended::NotListed => ("expired", "is not in the instrument master of today"),
        };
        self.tell_hub(HubCommand::Notice {
            client: claim.client,
            sub: Some(claim.sub),
            code,
            detail: format!("{} {detail}", claim.name),
        });
        self.tell_hub(HubCommand::Unsubscribe {
            client: claim.client,
            sub: claim.sub,
            ack: None,
        });
    }

    fn tell_stream(&self, holder: Holder, code: &'static str, detail: &str) {
        if let Some(claim) = self.streams.claims.get(&holder.id) {
            self.tell_hub(HubCommand::Notice {
                client: claim.client,
                sub: Some(claim.sub),
                code,
                detail: format!("{} {detail}", claim.name),
            });
        }
    }

    /// Takes note that a stream's chain rolled, and tells its client.
    pub(super) fn stream_rolled(&mut self, holder: Holder, at: Price, detail: &str) {
        if let Some(claim) = self.streams.claims.get_mut(&holder.id) {
            if let What::Chain(window) = &mut claim.what {
                window.at = at;
            }
            let (client, sub) = (claim.client, Some(claim.sub));
            self.tell_hub(HubCommand::Notice {
                client,
                sub,
                code: "rolled",
                detail: detail.to_owned(),
            });
        }
    }

    /// What a stream's claim is, for explanations and records.
    pub(super) fn stream_of(&self, holder: Holder) -> Option<(String, &[Displaced])> {
        let claim = self.streams.claims.get(&holder.id)?;
        let name = format!(
            "stream client {}, subscription {}: {}",
            claim.client.0, claim.sub.0, claim.name
        );
        Some((name, &claim.displaced))
    }

    pub(super) fn stream_displaced(&mut self, by: Holder) -> Option<&mut Vec<Displaced>> {
        let claim = self.streams.claims.get_mut(&by.id)?;
        Some(&mut claim.displaced)
    }

    /// The class that a stream's chain belongs to.
    fn class_of_window(&self, window: &Window) -> ProductClass {
        self.class_of_ladder(self.registry.ladder_at(window.ladder))
    }

    /// The legs of a window where it was claimed.
    fn still_legs(&self, window: &Window, mode: Mode) -> Result<Vec<Leg>, Error> {
        self.legs_at(window.ladder, window.width, window.at, mode)
    }
}

fn stream_request(owner: Holder, legs: Vec<Leg>) -> Request {
    Request::new(owner, Tier::A, legs)
}
