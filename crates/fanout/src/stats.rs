//! Figures of a hub, for metrics.

/// What happened since the start, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Clients there are.
    pub clients: u64,
    /// Subscriptions there are.
    pub subscriptions: u64,
    /// Messages taken by queues.
    pub messages: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Bytes of text that were put together for them.
    pub made: u64,
    /// Those among the messages whose text was made for another client or subscription.
    pub shared: u64,
    /// Changes of instruments and values put off because a queue was full; later ones replace
    /// them.
    pub conflated: u64,
    /// Deltas of chains that a client was not sent, and notices lost.
    pub dropped: u64,
    /// Times that a client was told which deltas it was not sent.
    pub lagged: u64,
    /// Subscriptions that went on where an earlier one ended.
    pub resumed: u64,
    /// Subscriptions that wanted to, and began anew.
    pub resume_refused: u64,
}

/// What a hub holds in memory, counted when asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Held {
    /// Sets of ticks that somebody watches, however many do.
    pub bundles: usize,
    /// Clients and classes with ticks still to be sent to them alone.
    pub behind: usize,
    /// Instruments that are streamed.
    pub instruments: usize,
    /// Chains known, or remembered for those who may come back.
    pub chains: usize,
    /// Classes and modes of them that somebody is subscribed to, or was.
    pub channels: usize,
    /// Those among them without subscribers.
    pub idle_channels: usize,
    /// Deltas kept for those who may come back.
    pub history_deltas: usize,
    /// Their length in bytes.
    pub history_bytes: usize,
    /// Values known or subscribed.
    pub values: usize,
    /// Length in bytes of the messages of them that are kept, two of each at most.
    pub value_bytes: usize,
    /// Clients and values of which something has still to be sent.
    pub values_behind: usize,
    /// Notices and gaps that wait for room.
    pub letters: usize,
    /// Their length in bytes; those of several clients may be the same text.
    pub letter_bytes: usize,
}
