mod indicators;

use std::collections::HashSet;
use std::sync::Arc;

use strikewire_chain::Width;
use strikewire_fanout::{Class, ClientId, Item as FanItem, Message, Position, SubId};
use strikewire_registry::{Expiring, Ladder, Registry};
use strikewire_types::Mode;
use tokio::sync::oneshot;

use crate::command::{Command, StreamChain, StreamTicks};
use crate::hub::{ChainAck, HubCommand};
use crate::resolve::{leg, mode_of};
use crate::{ChainRequest, Error, Gateway, TicksRequest};

/// One client of the stream. Dropping it lets go of what it subscribed.
#[derive(Debug)]
pub struct StreamClient {
    gateway: Gateway,
    id: ClientId,
    last_sub: u64,
    most: usize,
    /// What leases call its socket; absent until it holds one.
    socket: Option<Arc<str>>,
}

/// A chain that a client of the stream wants.
#[derive(Debug, Clone)]
pub struct StreamChainRequest {
    /// Which one.
    pub chain: ChainRequest,
    /// Absent: full.
    pub mode: Option<Mode>,
    /// Whether the window follows the price.
    pub follow: bool,
    /// How often.
    pub class: Class,
    /// Where an earlier subscription of the same chain ended; absent: from the beginning.
    pub resume: Option<Position>,
}

impl Drop for StreamClient {
    fn drop(&mut self) {
        self.gateway
            .send_detached(Command::CloseStream { client: self.id });
        if let Some(socket) = &self.socket {
            self.gateway.indicators().release_socket(socket);
        }
    }
}

impl StreamClient {
    pub(crate) const fn new(gateway: Gateway, id: ClientId) -> Self {
        Self {
            gateway,
            id,
            last_sub: 0,
            most: usize::MAX,
            socket: None,
        }
    }

    /// How many subscriptions it may have at once; there is no limit until this is said.
    pub const fn allow(&mut self, subscriptions: usize) {
        self.most = subscriptions;
    }

    /// Streams the ticks of some instruments. `ack` makes the message that goes to
    /// the client before the first tick; it is given the tokens of the instruments as they
    /// were asked for, one by one.
    ///
    /// # Errors
    ///
    /// When an instrument is unknown, they do not fit, or the client has too many
    /// subscriptions.
    ///
    /// # Cancel safety
    ///
    /// The subscription may or may not have been made.
    pub async fn subscribe_ticks(
        &mut self,
        request: &TicksRequest,
        ack: impl Fn(SubId, &[String]) -> Message,
    ) -> Result<SubId, Error> {
        self.must_have_room().await?;
        let sub = self.next_sub();
        let (client, most) = (self.id, self.most);
        let gateway = &self.gateway;
        let ack = &ack;
        gateway
            .in_master(|master| async move {
                let ticks = ticks_of(gateway, &master.registry, request, |tokens| {
                    ack(sub, tokens)
                })?;
                gateway
                    .ask_of(&master, |reply| Command::StreamTicks {
                        client,
                        sub,
                        most,
                        ticks,
                        reply,
                    })
                    .await
            })
            .await?;
        Ok(sub)
    }

    /// Streams a chain: a snapshot, then what changes; or, where it goes on from a position
    /// that is still known, what changed since then. `ack` makes the message that goes to
    /// the client before that; where a position is given it is told whether it is known.
    ///
    /// # Errors
    ///
    /// When the chain is not listed, does not fit, no price comes in time, the client has
    /// too many subscriptions, or the chain has too many contracts for its class.
    ///
    /// # Cancel safety
    ///
    /// The subscription may or may not have been made.
    pub async fn subscribe_chain(
        &mut self,
        request: &StreamChainRequest,
        ack: impl Fn(SubId, Option<bool>) -> Message,
    ) -> Result<SubId, Error> {
        self.must_have_room().await?;
        let sub = self.next_sub();
        let ack = match &request.resume {
            None => ChainAck::Begun(ack(sub, None)),
            Some(at) => ChainAck::Resumed {
                at: at.clone(),
                done: ack(sub, Some(true)),
                refused: ack(sub, Some(false)),
            },
        };
        let (client, most) = (self.id, self.most);
        let gateway = &self.gateway;
        let &StreamChainRequest {
            ref chain,
            mode,
            follow,
            class,
            ..
        } = request;
        gateway
            .in_master(|master| {
                let ack = ack.clone();
                async move {
                    let (ladder, width, _) = gateway.resolve_chain(&master.registry, chain)?;
                    gateway.must_be_current(&master.registry, Some(ladder.expiring()))?;
                    must_be_small_enough(ladder, width, class)?;
                    let mode = mode_of(ladder.kind(), mode);
                    let _hold = match chain.price {
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
                        price: chain.price,
                        class,
                        ack,
                    };
                    gateway
                        .ask_of(&master, |reply| Command::StreamChain {
                            client,
                            sub,
                            most,
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
        if self.unsubscribe_indicators(sub).await? {
            self.answer(ack);
            return Ok(());
        }
        self.gateway
            .ask(|reply| Command::StreamUnsubscribe {
                client,
                sub,
                ack,
                reply,
            })
            .await
    }

    /// Sends the client an answer, after those to what it asked for before. False when the
    /// gateway is stopping.
    pub fn answer(&self, message: Message) -> bool {
        let client = self.id;
        self.gateway
            .tell_hub(HubCommand::Answer { client, message })
    }

    /// Waits until all answers so far are among the client's messages.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn settled(&self) {
        let (done, settled) = oneshot::channel();
        if self.gateway.tell_hub(HubCommand::Settle { done }) {
            let _ = settled.await;
        }
    }

    fn next_sub(&mut self) -> SubId {
        self.last_sub += 1;
        SubId(self.last_sub)
    }
}

/// Refuses a chain of more contracts than may be sent after every batch of the feed.
fn must_be_small_enough(ladder: Ladder<'_>, width: Width, class: Class) -> Result<(), Error> {
    let contracts = 2 * ladder.rungs().len().min(width.get().into());
    let most = Class::BATCH_INSTRUMENTS;
    if class == Class::BATCH && contracts > most {
        return Err(Error::TooManyContracts { contracts, most });
    }
    Ok(())
}

/// What a request for ticks means in a master.
fn ticks_of(
    gateway: &Gateway,
    registry: &Registry,
    request: &TicksRequest,
    ack: impl FnOnce(&[String]) -> Message,
) -> Result<StreamTicks, Error> {
    let mut legs = Vec::with_capacity(request.instruments.len());
    let mut items: Vec<FanItem> = Vec::with_capacity(request.instruments.len());
    let mut tokens = Vec::with_capacity(request.instruments.len());
    let mut mode = Mode::Ticker;
    let mut seen = HashSet::with_capacity(request.instruments.len());
    let ended = |it: &Expiring<'_>| gateway.has_ended(it);
    let current = registry.current(&ended);
    for reference in &request.instruments {
        let instrument = current.find(reference)?.instrument;
        let token = instrument.token();
        if seen.insert(instrument.key()) {
            let asked = mode_of(instrument.kind(), request.mode);
            mode = mode.max(asked);
            legs.push(leg(instrument, asked));
            items.push(FanItem {
                key: instrument.key(),
                token: token.as_str().into(),
            });
        }
        tokens.push(token);
    }
    Ok(StreamTicks {
        legs,
        items,
        mode,
        class: request.class,
        ack: ack(&tokens),
    })
}
