use core::task::{Context, Poll};

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_util::StreamExt;
use strikewire_types::ConnId;

use crate::{ConnEvent, WireBatch};

/// Joins a driver ([`Port`]) and the owner of the book ([`Link`]) for `connections`
/// connections.
///
/// The queues have no bound of their own: the protocol has. There is at most one
/// batch per connection under way, and a driver reports once per change.
#[must_use]
pub fn port(connections: usize) -> (Port, Link) {
    let (event_tx, event_rx) = mpsc::unbounded();
    let (batch_tx, batch_rx) = (0..connections).map(|_| mpsc::unbounded()).unzip();
    (
        Port {
            events: event_tx,
            batches: batch_rx,
        },
        Link {
            events: event_rx,
            batches: batch_tx,
        },
    )
}

/// The driver's end: reports events, takes batches.
#[derive(Debug)]
pub struct Port {
    events: UnboundedSender<ConnEvent>,
    batches: Vec<UnboundedReceiver<WireBatch>>,
}

impl Port {
    /// How many connections it serves.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.batches.len()
    }

    /// Tells the owner. Does nothing once the owner has gone.
    pub fn report(&mut self, event: ConnEvent) {
        let _ = self.events.unbounded_send(event);
    }

    /// Takes the batch for `conn` if there is one; `Ready(None)` once the owner has
    /// gone, which asks the driver to stop.
    pub fn poll_batch(&mut self, conn: ConnId, cx: &mut Context<'_>) -> Poll<Option<WireBatch>> {
        self.batches[conn.index()].poll_next_unpin(cx)
    }

    /// Takes the batch for `conn` if there is one.
    pub fn try_batch(&mut self, conn: ConnId) -> Option<WireBatch> {
        self.batches[conn.index()].try_recv().ok()
    }

    /// Whether the owner has gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.events.is_closed()
    }
}

/// The owner's end: takes events, sends batches. Dropping it stops the feed.
#[derive(Debug)]
pub struct Link {
    events: UnboundedReceiver<ConnEvent>,
    batches: Vec<UnboundedSender<WireBatch>>,
}

impl Link {
    /// Waits for the next event; none once the driver has gone.
    ///
    /// # Cancel safety
    ///
    /// Safe: no event is lost.
    pub async fn event(&mut self) -> Option<ConnEvent> {
        self.events.next().await
    }

    /// The next event if there is one.
    pub fn try_event(&mut self) -> Option<ConnEvent> {
        self.events.try_recv().ok()
    }

    /// Sends a batch to the connection it is for. Does nothing once the driver has
    /// gone.
    pub fn send(&mut self, batch: WireBatch) {
        let _ = self.batches[batch.conn.index()].unbounded_send(batch);
    }
}
