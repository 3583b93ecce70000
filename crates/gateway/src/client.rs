use std::collections::HashSet;

use strikewire_fanout::{Class, ClientId, Item as FanItem, Message, SubId};
use strikewire_registry::{Expiring, Registry};
use strikewire_types::Mode;

use crate::command::{Command, StreamChain, StreamTicks};
use crate::resolve::{leg, mode_of};
use crate::{ChainRequest, Error, Gateway, TicksRequest};

/// One client of the stream. Dropping it lets go of what it subscribed.
#[derive(Debug)]
pub struct StreamClient {
    gateway: Gateway,
    id: ClientId,
    last_sub: u64,
}

impl Drop for StreamClient {
    fn drop(&mut self) {
        self.gateway
            .send_detached(Command::CloseStream { client: self.id });
    }
}

impl StreamClient {
    pub(crate) const fn new(gateway: Gateway, id: ClientId) -> Self {
        Self {
            gateway,
            id,
            last_sub: 0,
        }
    }

    /// Streams the ticks of some instruments. `ack` makes the message that goes to
    /// the client before the first tick.
    ///
    /// # Errors
    ///
    /// When an instrument is unknown, or they do not fit.
    ///
    /// # Cancel safety
    ///
    /// The subscription may or may not have been made.
    pub async fn subscribe_ticks(
        &mut self,
        request: &TicksRequest,
        ack: impl FnOnce(SubId) -> Message,
    ) -> Result<SubId, Error> {
        let sub = self.next_sub();
        let ack = ack(sub);
        let client = self.id;
        let gateway = &self.gateway;
        gateway
            .in_master(|master| {
                let ack = ack.clone();
                async move {
                    let ticks = ticks_of(gateway, &master.registry, request, ack)?;
                    gateway
                        .ask_of(&master, |reply| Command::StreamTicks {
                            client,
                            sub,
                            ticks,
                            reply,
                        })
                        .await
                }
            })
            .await?;
        Ok(sub)
    }

    /// Streams a chain: a snapshot, then what changes.
    ///
    /// # Errors
    ///
    /// When it is not listed, does not fit, or no price comes in time.
    ///
    /// # Cancel safety
    ///
    /// The subscription may or may not have been made.
    pub async fn subscribe_chain(
        &mut self,
        request: &ChainRequest,
        mode: Option<Mode>,
        follow: bool,
        class: Class,
        ack: impl FnOnce(SubId) -> Message,
    ) -> Result<SubId, Error> {
        let sub = self.next_sub();
        let ack = ack(sub);
        let client = self.id;
        let gateway = &self.gateway;
        gateway
            .in_master(|master| {
                let ack = ack.clone();
                async move {
                    let (ladder, width, _) = gateway.resolve_chain(&master.registry, request)?;
                    gateway.must_be_current(&master.registry, Some(ladder.expiring()))?;
                    let mode = mode_of(ladder.kind(), mode);
                    let _hold = match request.price {
                        None => {
                            let claim = Some((width, mode));
                            gateway.await_price(&master, ladder, claim).await?
                        }
                        Some(_) => None,
                    };
                    let chain = StreamChain {
                        ladder: ladder.id(),
                        width,
                        mode,
                        follow,
                        price: request.price,
                        class,
                        ack,
                    };
                    gateway
                        .ask_of(&master, |reply| Command::StreamChain {
                            client,
                            sub,
                            chain,
                            reply,
                        })
                        .await
                }
            })
            .await?;
        Ok(sub)
    }

    /// Lets go of a subscription; `ack` goes to the client after its last message.
    ///
    /// # Errors
    ///
    /// When there is no such subscription.
    ///
    /// # Cancel safety
    ///
    /// The subscription may or may not have ended.
    pub async fn unsubscribe(&self, sub: SubId, ack: Message) -> Result<(), Error> {
        let client = self.id;
        self.gateway
            .ask(|reply| Command::StreamUnsubscribe {
                client,
                sub,
                ack,
                reply,
            })
            .await
    }

    fn next_sub(&mut self) -> SubId {
        self.last_sub += 1;
        SubId(self.last_sub)
    }
}

/// What a request for ticks means in a master.
fn ticks_of(
    gateway: &Gateway,
    registry: &Registry,
    request: &TicksRequest,
    ack: Message,
) -> Result<StreamTicks, Error> {
    let mut legs = Vec::with_capacity(request.instruments.len());
    let mut items: Vec<FanItem> = Vec::with_capacity(request.instruments.len());
    let mut mode = Mode::Ticker;
    let mut seen = HashSet::with_capacity(request.instruments.len());
    let ended = |it: &Expiring<'_>| gateway.has_ended(it);
    let current = registry.current(&ended);
    for reference in &request.instruments {
        let instrument = current.find(reference)?.instrument;
        if !seen.insert(instrument.key()) {
            continue;
        }
        let asked = mode_of(instrument.kind(), request.mode);
        mode = mode.max(asked);
        legs.push(leg(instrument, asked));
        items.push(FanItem {
            key: instrument.key(),
            token: instrument.token().into(),
        });
    }
    Ok(StreamTicks {
        legs,
        items,
        mode,
        class: request.class,
        ack,
    })
}
