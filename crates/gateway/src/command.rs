use std::sync::Arc;

use strikewire_chain::{PriceSource, Span, Width};
use strikewire_fanout::{ClientId, Message, SubId};
use strikewire_registry::{LadderId, Registry};
use strikewire_subscriptions::Leg;
use strikewire_types::{InstrumentKey, Mode, Price, Utc};
use tokio::sync::oneshot;

use crate::hub::ChainAck;
use crate::item::ItemSpec;
use crate::plan::{DryRun, Want};
use crate::status::ActiveRow;
use crate::{Error, Explanation, ItemFilter, ItemView, SourcePrice, StatusView, WsStatus};

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A command and the number of the instrument master that its ladders and instruments
/// were found in.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) master: u64,
    pub(crate) command: Command,
}

/// What the owner is asked to do. It does it at once, never waiting.
#[derive(Debug)]
pub(crate) enum Command {
    /// Holds an underlying for a request that waits for its price. `chain` is about
    /// what the request will want then; one that wants nothing has none.
    Hold {
        request: u64,
        leg: Leg,
        chain: Option<Vec<Leg>>,
        reply: Reply<()>,
    },
    /// Lets go of it.
    Unhold { request: u64 },
    /// Adds an item, or finds that it is there.
    Add {
        ask: ChainAsk,
        spec: Box<ItemSpec>,
        reply: Reply<Added>,
    },
    /// Removes an item.
    Remove {
        user: u64,
        filter: ItemFilter,
        reply: Reply<Removed>,
    },
    /// The items of a user's watchlist.
    List {
        user: u64,
        reply: Reply<Vec<ItemView>>,
    },
    /// Calculates or looks up a chain without holding it.
    ReadChain {
        ladder: LadderId,
        width: Width,
        ask: ChainAsk,
        reply: Reply<ChainAnswer>,
    },
    /// A stream client arrived.
    OpenStream { client: ClientId },
    /// A stream client left.
    CloseStream { client: ClientId },
    /// A stream client wants ticks.
    StreamTicks {
        client: ClientId,
        sub: SubId,
        /// How many subscriptions the client may have.
        most: usize,
        ticks: StreamTicks,
        reply: Reply<()>,
    },
    /// A stream client wants a chain.
    StreamChain {
        client: ClientId,
        sub: SubId,
        /// How many subscriptions the client may have.
        most: usize,
        chain: StreamChain,
        reply: Reply<()>,
    },
    /// A stream client lets go of a subscription.
    StreamUnsubscribe {
        client: ClientId,
        sub: SubId,
        ack: Message,
        reply: Reply<()>,
    },
    /// Indicators are computed of an instrument: one claim for all of them.
    ClaimIndicator { leg: Leg, reply: Reply<()> },
    /// None are any more.
    ReleaseIndicator { key: InstrumentKey },
    /// Totals.
    Status { reply: Reply<StatusView> },
    /// All about one instrument; none when nobody holds it.
    Explain {
        key: InstrumentKey,
        reply: Reply<Option<Explanation>>,
    },
    /// Everything that somebody holds, in no particular order.
    Active { reply: Reply<Vec<ActiveRow>> },
    /// What some requests would take and evict.
    Plan {
        wants: Vec<Want>,
        reply: Reply<DryRun>,
    },
    /// Lets go of every claim of tier A that an item has.
    UnsubscribeTierA { reply: Reply<usize> },
    /// Evens the connections out.
    Rebalance { reply: Reply<usize> },
    /// Calculates the chains of some ladders anew.
    Invalidate {
        ladders: Vec<LadderId>,
        reply: Reply<usize>,
    },
    /// All about the connections.
    WsStatus { reply: Reply<WsStatus> },
    /// Goes over to another instrument master.
    SwapMaster {
        registry: Arc<Registry>,
        reply: Reply<()>,
    },
    /// The instrument master of the day could not be had; absent: it could.
    MasterStale { detail: Option<String> },
    /// Ends the owner.
    Stop,
}

impl Command {
    /// Whether it means the same whatever the instrument master.
    pub(crate) const fn outlives_master(&self) -> bool {
        matches!(
            self,
            Self::Unhold { .. }
                | Self::Remove { .. }
                | Self::List { .. }
                | Self::OpenStream { .. }
                | Self::CloseStream { .. }
                | Self::StreamUnsubscribe { .. }
                | Self::ReleaseIndicator { .. }
                | Self::Status { .. }
                | Self::Active { .. }
                | Self::UnsubscribeTierA { .. }
                | Self::Rebalance { .. }
                | Self::WsStatus { .. }
                | Self::SwapMaster { .. }
                | Self::MasterStale { .. }
                | Self::Stop
        )
    }

    /// Answers one that depends on the instrument master with an error.
    pub(crate) fn refuse(self, error: Error) {
        // Whoever asked may have gone.
        match self {
            Self::Hold { reply, .. }
            | Self::StreamTicks { reply, .. }
            | Self::StreamChain { reply, .. }
            | Self::ClaimIndicator { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            Self::Add { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            Self::ReadChain { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            Self::Explain { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            Self::Plan { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            Self::Invalidate { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            _ => {}
        }
    }
}

/// How a caller wants a chain calculated.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChainAsk {
    /// The caller's own price; shapes the caller's answer.
    pub(crate) price: Option<Price>,
    /// Calculate anew whatever is cached.
    pub(crate) force: bool,
}

#[derive(Debug)]
pub(crate) struct StreamTicks {
    pub(crate) legs: Vec<Leg>,
    pub(crate) items: Vec<strikewire_fanout::Item>,
    pub(crate) mode: Mode,
    pub(crate) class: strikewire_fanout::Class,
    pub(crate) ack: Message,
}

#[derive(Debug)]
pub(crate) struct StreamChain {
    pub(crate) ladder: LadderId,
    pub(crate) width: Width,
    pub(crate) mode: Mode,
    pub(crate) follow: bool,
    pub(crate) price: Option<Price>,
    pub(crate) class: strikewire_fanout::Class,
    pub(crate) ack: ChainAck,
}

/// A calculated chain, to be rendered by whoever asked.
#[derive(Debug, Clone)]
pub struct ChainAnswer {
    /// The instrument master that the window lies in.
    pub registry: Arc<Registry>,
    /// The window.
    pub span: Span,
    /// The price it was calculated from.
    pub price: SourcePrice,
    /// The live price at the moment of the answer; absent when there is none.
    pub live: Option<SourcePrice>,
    /// When it was calculated.
    pub calculated_at: Utc,
}

impl ChainAnswer {
    /// Whether its price is no longer what the market pays. One that was live when it was
    /// calculated with may be of yesterday by now.
    pub(crate) fn price_stale(&self) -> bool {
        self.price.stale || (self.live.is_none() && self.price.source != PriceSource::Client)
    }
}

/// What adding an item did.
#[derive(Debug, Clone)]
pub struct Added {
    /// It was there already, with these settings.
    pub already_present: bool,
    /// The chain; absent for a single instrument.
    pub chain: Option<ChainAnswer>,
    /// Option contracts that the item holds; 0 for a single instrument.
    pub strikes_subscribed: usize,
    /// Instruments that the item holds, an underlying not counted.
    pub instruments_subscribed: usize,
    /// Of those, the ones that nobody held before.
    pub newly_on_wire: usize,
}

/// What removing an item did.
#[derive(Debug, Clone, Copy)]
pub struct Removed {
    /// Option contracts, or the single instrument, that the item held.
    pub released: usize,
    /// Of those, the ones that nobody else holds.
    pub unsubscribed: usize,
}
