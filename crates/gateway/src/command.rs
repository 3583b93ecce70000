use strikewire_chain::{Span, Width};
use strikewire_fanout::{ClientId, Message, SubId};
use strikewire_registry::LadderId;
use strikewire_subscriptions::Leg;
use strikewire_types::{InstrumentKey, Mode, Price, Utc};
use tokio::sync::{mpsc, oneshot};

use crate::item::ItemSpec;
use crate::{Error, Explanation, ItemFilter, ItemView, SourcePrice, StatusView, WsStatus};

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

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
    OpenStream {
        client: ClientId,
        outbox: mpsc::Sender<Message>,
    },
    /// A stream client left.
    CloseStream { client: ClientId },
    /// A stream client wants ticks.
    StreamTicks {
        client: ClientId,
        sub: SubId,
        ticks: StreamTicks,
        reply: Reply<()>,
    },
    /// A stream client wants a chain.
    StreamChain {
        client: ClientId,
        sub: SubId,
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
    /// Totals.
    Status { reply: Reply<StatusView> },
    /// All about one instrument; none when nobody holds it.
    Explain {
        key: InstrumentKey,
        reply: Reply<Option<Explanation>>,
    },
    /// All about the connections.
    WsStatus { reply: Reply<WsStatus> },
    /// Ends the owner.
    Stop,
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
    pub(crate) ack: Message,
}

/// A calculated chain, to be rendered by whoever asked.
#[derive(Debug, Clone, Copy)]
pub struct ChainAnswer {
    /// The window.
    pub span: Span,
    /// The price it was calculated from.
    pub price: SourcePrice,
    /// The live price at the moment of the answer; absent when there is none.
    pub live: Option<SourcePrice>,
    /// When it was calculated.
    pub calculated_at: Utc,
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
