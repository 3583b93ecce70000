//! The driver: sockets and timers for the connection machines, and no decisions.

mod line;
mod socket;

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use strikewire_broker::{Port, Sink};
use strikewire_types::{ConnId, Mono, Now};
use tokio::time::{Instant, Sleep};

use crate::DhanFeed;
use crate::credentials::{Endpoint, TokenSource};
use crate::stats::FeedStats;
use line::Line;
use socket::Socket;

pub(crate) use socket::say_goodbye;

/// What the lines of a driver share.
#[derive(Debug)]
struct Common<S> {
    endpoint: Endpoint,
    client_id: String,
    token: TokenSource,
    stats: Arc<FeedStats>,
    port: Port,
    sink: S,
    /// When the latest frame of this turn that had something for the sink arrived.
    applied: Option<Now>,
    /// A socket had more to read than its share of this turn.
    more: bool,
}

/// All connections of a feed, polled in one loop.
#[derive(Debug)]
pub(crate) struct Driver<S> {
    common: Common<S>,
    lines: Vec<Line>,
    timer: Timer,
}

/// The port's other end has been dropped.
struct OwnerGone;

impl<S: Sink> Driver<S> {
    pub(crate) fn new(feed: DhanFeed, port: Port, sink: S) -> Self {
        let timer = Timer::new();
        let now = timer.now();
        let lines = (0..feed.connections)
            .map(|index| Line::new(ConnId::from_index(index), feed.limits, feed.seed, now))
            .collect();
        Self {
            common: Common {
                endpoint: feed.endpoint,
                client_id: feed.client_id,
                token: feed.token,
                stats: feed.stats,
                port,
                sink,
                applied: None,
                more: false,
            },
            lines,
            timer,
        }
    }

    /// Keeps the connections alive until the owner has gone; gives back the sockets
    /// that are open then.
    pub(crate) async fn run(mut self) -> Vec<Socket> {
        poll_fn(|cx| self.turn(cx)).await;
        self.lines
            .into_iter()
            .filter_map(|line| line.stop(&mut self.common))
            .collect()
    }

    /// Serves every line once. After it everything that can go on has gone on or has
    /// the waker.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.timer.now();
        self.common.more = false;
        for line in &mut self.lines {
            if let Err(OwnerGone) = line.turn(cx, now, &mut self.common) {
                return Poll::Ready(());
            }
        }
        if let Some(at) = self.common.applied.take() {
            self.common.sink.turn_done(at);
        }
        let due = self.lines.iter().filter_map(Line::poll_timeout).min();
        if self.common.more || due.is_some_and(|due| self.timer.poll(due, cx).is_ready()) {
            // Whatever else runs on this thread goes first.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// One timer for all machines, on real monotonic time.
#[derive(Debug)]
struct Timer {
    origin: Instant,
    sleep: Pin<Box<Sleep>>,
    /// What the sleep is set to; none when it is over.
    armed: Option<Mono>,
}

impl Timer {
    fn new() -> Self {
        let origin = Instant::now();
        Self {
            origin,
            sleep: Box::pin(tokio::time::sleep_until(origin)),
            armed: None,
        }
    }

    fn now(&self) -> Mono {
        Mono::default() + self.origin.elapsed()
    }

    /// Ready once `due` has come.
    ///
    /// Nearly every frame moves the time at which silence becomes too long, so the
    /// sleep is left as it is while it ends no later than needed.
    fn poll(&mut self, due: Mono, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.armed.is_none_or(|armed| due < armed) {
                if due <= self.now() {
                    return Poll::Ready(());
                }
                let after = Duration::from_nanos(due.as_nanos());
                self.sleep.as_mut().reset(self.origin + after);
                self.armed = Some(due);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
        }
    }
}
