use core::future::poll_fn;
use core::task::{Context, Poll};

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use std::sync::Arc;

use futures_util::StreamExt;
use strikewire_types::ConnId;

use crate::{ConnEvent, Notice, WireBatch};

/// Joins a driver ([`Port`]) and the owner of the book ([`Link`]) for `connections`
/// connections.
///
/// The queues have no bound of their own: the protocol has. There is at most one
/// batch per connection under way, and a driver reports once per change.
#[must_use]
pub fn port(connections: usize) -> (Port, Link) {
    let (event_tx, event_rx) = mpsc::unbounded();
    let (notice_tx, notice_rx) = mpsc::unbounded();
    let traffic: Arc<[AtomicBool]> = (0..connections).map(|_| AtomicBool::new(false)).collect();
    let (batch_tx, batch_rx) = (0..connections).map(|_| mpsc::unbounded()).unzip();
    (
        Port {
            events: event_tx,
            notices: notice_tx,
            batches: batch_rx,
            traffic: Arc::clone(&traffic),
        },
        Link {
            events: event_rx,
            notices: notice_rx,
            batches: batch_tx,
            traffic,
        },
    )
}

/// What a driver reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Of a connection.
    Conn(ConnEvent),
    /// Of the feed as a whole.
    Notice(Notice),
}

/// The driver's end: reports events, takes batches.
#[derive(Debug)]
pub struct Port {
    events: UnboundedSender<ConnEvent>,
    notices: UnboundedSender<Notice>,
    batches: Vec<UnboundedReceiver<WireBatch>>,
    traffic: Arc<[AtomicBool]>,
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

    /// Tells the owner what concerns the whole feed. Does nothing once the owner has
    /// gone.
    pub fn notice(&mut self, notice: Notice) {
        let _ = self.notices.unbounded_send(notice);
    }

    /// Whether data is expected on `conn` now, as the owner last said: markets are
    /// open, and instruments that trade all the time are subscribed on it. Silence is
    /// no fault otherwise. Not before the owner has said so.
    #[must_use]
    pub fn expects_traffic(&self, conn: ConnId) -> bool {
        self.traffic[conn.index()].load(Relaxed)
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
    notices: UnboundedReceiver<Notice>,
    batches: Vec<UnboundedSender<WireBatch>>,
    traffic: Arc<[AtomicBool]>,
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

    /// Waits for the next event or notice, whichever is there first; none once the
    /// driver has gone.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost.
    pub async fn report(&mut self) -> Option<Report> {
        poll_fn(|cx| {
            if let Poll::Ready(Some(notice)) = self.notices.poll_next_unpin(cx) {
                return Poll::Ready(Some(Report::Notice(notice)));
            }
            self.events
                .poll_next_unpin(cx)
                .map(|event| event.map(Report::Conn))
        })
        .await
    }

    /// The next notice if there is one.
    pub fn try_notice(&mut self) -> Option<Notice> {
        self.notices.try_recv().ok()
    }

    /// Says whether data is expected on `conn` from now on. The driver looks when it
    /// has something to do; it is not woken.
    pub fn expect_traffic(&self, conn: ConnId, expected: bool) {
        self.traffic[conn.index()].store(expected, Relaxed);
    }

    /// Sends a batch to the connection it is for. Does nothing once the driver has
    /// gone.
    pub fn send(&mut self, batch: WireBatch) {
        let _ = self.batches[batch.conn.index()].unbounded_send(batch);
    }
}
