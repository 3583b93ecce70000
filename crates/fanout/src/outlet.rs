//! Who is served, and the queues through which.

use crate::message::Message;

/// A client, as whoever runs the hub numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// A subscription of one client, as that client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubId(pub u64);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// It will be sent.
    Taken,
    /// The client's queue has no room; the message is dropped and the hub remembers.
    Full,
    /// The client is no more; so it is for the hub.
    Gone,
}

/// The bounded queues of the clients.
pub trait Outlet {
    /// Puts a message into the queue of a client, without waiting.
    fn push(&mut self, client: ClientId, message: Message) -> Push;

    /// What [`push`](Self::push) would answer now. Asked before text is made for one client
    /// alone, so that a client that takes nothing costs nothing.
    fn room(&mut self, client: ClientId) -> Push {
        let _ = client;
        Push::Taken
    }
}
