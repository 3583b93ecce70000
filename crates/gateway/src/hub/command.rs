use std::sync::Arc;

use strikewire_fanout::{
    ChainBody, ChainId, Class, ClientId, Item, Message, Position, SubId, ValueId,
};
use strikewire_leases::{LeaseKey, Subscriber};
use strikewire_types::{InstrumentKey, Mode, Utc};
use tokio::sync::oneshot;

use super::Held;
use crate::outbox::Outbox;

/// What the owner tells the hub, and streaming clients themselves where the owner has no
/// part in it.
#[derive(Debug)]
pub(crate) enum HubCommand {
    Open {
        client: ClientId,
        outbox: Outbox,
    },
    Close {
        client: ClientId,
    },
    Ticks {
        client: ClientId,
        sub: SubId,
        items: Vec<Item>,
        mode: Mode,
        class: Class,
        /// Absent: the client did not ask for it just now.
        ack: Option<Message>,
    },
    Chain {
        client: ClientId,
        sub: SubId,
        chain: ChainId,
        mode: Mode,
        class: Class,
        /// Absent: the client did not ask for it just now.
        ack: Option<ChainAck>,
    },
    Unsubscribe {
        client: ClientId,
        sub: SubId,
        ack: Option<Message>,
    },
    /// Streams values of indicators that are leased for a client already.
    Values {
        client: ClientId,
        /// What the leases call its socket.
        socket: Arc<str>,
        sub: SubId,
        held: Held,
        ack: Message,
    },
    /// Ends a subscription of indicators. The answer is what it held and no other one of the
    /// client does; none if it is not one of indicators.
    EndValues {
        client: ClientId,
        sub: SubId,
        reply: oneshot::Sender<Option<Held>>,
    },
    /// Asks for whom a client holds indicators.
    Subscribers {
        client: ClientId,
        reply: oneshot::Sender<Vec<Subscriber>>,
    },
    /// Somebody else than the client itself let go of its leases: subscriptions of its
    /// socket that hold them are told and lose them.
    Released {
        socket: Arc<str>,
        who: Subscriber,
        keys: Vec<LeaseKey>,
        /// Why, for people.
        detail: &'static str,
    },
    /// What a value is now.
    SetValue {
        id: ValueId,
        message: Message,
        /// Whether it is not to wait for the end of a window.
        urgent: bool,
    },
    /// A value is not there any more.
    RemoveValue {
        id: ValueId,
    },
    /// Asks how many subscriptions a client has.
    CountSubs {
        client: ClientId,
        reply: oneshot::Sender<usize>,
    },
    /// An answer that the client's own task has found.
    Answer {
        client: ClientId,
        message: Message,
    },
    /// Asks to be told when all that was said before is done.
    Settle {
        done: oneshot::Sender<()>,
    },
    SetChain {
        chain: ChainId,
        body: Box<ChainBody>,
    },
    RemoveChain {
        chain: ChainId,
    },
    SlotsChanged(Vec<InstrumentKey>),
    Notice {
        client: ClientId,
        sub: Option<SubId>,
        code: &'static str,
        detail: String,
    },
    NoticeAll {
        code: &'static str,
        detail: String,
    },
    Gap {
        keys: Vec<InstrumentKey>,
        from: Utc,
        to: Utc,
        cause: Arc<str>,
    },
}

/// What is answered to a subscription of a chain.
#[derive(Debug, Clone)]
pub(crate) enum ChainAck {
    /// To one that begins.
    Begun(Message),
    /// To one that goes on from a position, if it can.
    Resumed {
        at: Position,
        done: Message,
        refused: Message,
    },
}
