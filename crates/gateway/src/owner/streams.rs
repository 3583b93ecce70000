use std::collections::{BTreeMap, HashMap};

use strikewire_chain::Width;
use strikewire_fanout::{ChainId, ClientId, Message, SubId};
use strikewire_registry::LadderId;
use strikewire_subscriptions::{Owner as Holder, OwnerKind, Request};
use strikewire_types::{Now, Tier};
use tokio::sync::mpsc;

use super::Owner;
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

#[derive(Debug, Clone)]
struct Claim {
    client: ClientId,
    sub: SubId,
    /// Absent for ticks.
    window: Option<Window>,
    what: String,
}

/// The window of a stream's chain.
#[derive(Debug, Clone, Copy)]
enum Window {
    /// It follows the price, with everybody else who follows it.
    Follows(LadderId, Width),
    /// It stays where it was, and is shown under a number of its own.
    Stays(ChainId),
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
}

impl Owner {
    pub(super) fn open_stream(&mut self, client: ClientId, outbox: mpsc::Sender<Message>) {
        self.streams.clients.insert(client, BTreeMap::new());
        self.tell_hub(HubCommand::Open { client, outbox });
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

    pub(super) fn stream_ticks(
        &mut self,
        now: Now,
        client: ClientId,
        sub: SubId,
        ticks: StreamTicks,
    ) -> Result<(), Error> {
        let holder = self.streams.next_holder();
        let what = format!("ticks of {} instruments", ticks.items.len());
        let request = Request {
            owner: holder,
            tier: Tier::A,
            legs: ticks.legs,
        };
        let plan = self.book.plan(now, &request)?;
        self.book.apply(now, plan, &mut self.effects);
        self.book.set_streaming(holder, true);
        self.streams.insert(
            holder,
            Claim {
                client,
                sub,
                window: None,
                what,
            },
        );
        self.settle(now);
        self.tell_hub(HubCommand::Ticks {
            client,
            sub,
            items: ticks.items,
            mode: ticks.mode,
            class: ticks.class,
            ack: ticks.ack,
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
        let still = self.claim_window(now, chain, ask.price)?;
        let legs = self.window_legs(still.span, ask.mode)?;
        let holder = self.streams.next_holder();
        let plan = self.book.plan(
            now,
            &Request {
                owner: holder,
                tier: Tier::A,
                legs,
            },
        )?;
        self.book.apply(now, plan, &mut self.effects);
        self.book.set_streaming(holder, true);
        let ladder = self.registry.ladder_at(ask.ladder);
        let what = format!(
            "chain {} {} {}",
            ladder.exchange(),
            ladder.symbol(),
            ladder.expiry()
        );
        let (shown, window) = if ask.follow {
            (chain, Window::Follows(ask.ladder, ask.width))
        } else {
            let own = self.chains.next_id();
            (own, Window::Stays(own))
        };
        self.streams.insert(
            holder,
            Claim {
                client,
                sub,
                window: Some(window),
                what,
            },
        );
        self.settle(now);
        match window {
            Window::Follows(..) => {
                self.follow(now, chain, holder, ask.mode, false);
                // A crossing may have moved it a moment ago.
                let shown = self.claim_window(now, chain, ask.price)?;
                self.show_answer(chain, &shown);
            }
            Window::Stays(_) => self.show_answer(shown, &still),
        }
        self.tell_hub(HubCommand::Chain {
            client,
            sub,
            chain: shown,
            mode: ask.mode,
            class: ask.class,
            ack: ask.ack,
        });
        Ok(())
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
        if let Some(claim) = self.streams.claims.remove(&holder.id) {
            self.end_window(now, &claim, holder);
        }
        self.book.release(now, holder, &mut self.effects);
        self.settle(now);
    }

    fn end_window(&mut self, now: Now, claim: &Claim, holder: Holder) {
        match claim.window {
            None => {}
            Some(Window::Follows(ladder, width)) => self.unfollow(now, ladder, width, holder),
            Some(Window::Stays(chain)) => self.tell_hub(HubCommand::RemoveChain { chain }),
        }
    }

    /// A stream's claim made room for another: it ends, and its client is told.
    pub(super) fn stream_evicted(&mut self, now: Now, holder: Holder) {
        let Some(claim) = self.streams.claims.remove(&holder.id) else {
            return;
        };
        if let Some(subs) = self.streams.clients.get_mut(&claim.client) {
            subs.remove(&claim.sub);
        }
        self.end_window(now, &claim, holder);
        self.tell_hub(HubCommand::Notice {
            client: claim.client,
            sub: Some(claim.sub),
            code: "evicted",
            detail: format!("{} made room for another request", claim.what),
        });
        self.tell_hub(HubCommand::Unsubscribe {
            client: claim.client,
            sub: claim.sub,
            ack: None,
        });
    }

    /// Tells the client of a stream that its chain rolled.
    pub(super) fn stream_rolled(&self, holder: Holder, detail: &str) {
        if let Some(claim) = self.streams.claims.get(&holder.id) {
            self.tell_hub(HubCommand::Notice {
                client: claim.client,
                sub: Some(claim.sub),
                code: "rolled",
                detail: detail.to_owned(),
            });
        }
    }

    /// What a stream's claim is, for explanations.
    pub(super) fn stream_of(&self, holder: Holder) -> Option<String> {
        let claim = self.streams.claims.get(&holder.id)?;
        Some(format!(
            "stream client {}, subscription {}: {}",
            claim.client.0, claim.sub.0, claim.what
        ))
    }
}
