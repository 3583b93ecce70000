//! The driver: sockets and timers for the connection machine, and no decisions.

mod line;
mod socket;
mod token;

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use strikewire_broker::{ConnEvent, DownCause, Port, Sink};
use strikewire_types::{ConnId, Mono, Now, Utc};
use tokio::time::{Instant, Sleep};

use crate::DhanFeed;
use crate::budget::BudgetFile;
use crate::credentials::{Endpoint, expires_at};
use crate::fleet::{Action, Fleet, FleetConfig};
use crate::stats::FeedStats;
use line::Line;
use token::Watch;

/// What the lines of a driver share.
#[derive(Debug)]
struct Common<S> {
    fleet: Fleet,
    token: Watch,
    endpoint: Endpoint,
    client_id: String,
    tls: Option<Arc<rustls::ClientConfig>>,
    stats: Arc<FeedStats>,
    port: Port,
    sink: S,
    /// When the latest frame of this turn arrived.
    taken: Option<Now>,
    /// A socket had more to read than its share of this turn.
    more: bool,
}

impl<S> Common<S> {
    /// Tells the fleet if there is another token than before.
    fn look_at_token(&mut self, now: Now) {
        if self.token.look(now.mono) {
            self.token_changed(now);
        }
    }

    fn token_changed(&mut self, now: Now) {
        let expires_at = expires_at(self.token.token());
        self.stats.set_token_expiry(expires_at);
        self.fleet.set_token_expiry(expires_at);
        self.fleet.handle_token_changed(now);
    }
}

/// All connections of a feed, polled in one loop.
#[derive(Debug)]
pub(crate) struct Driver<S> {
    common: Common<S>,
    lines: Vec<Line>,
    budget: BudgetFile,
    timer: Timer,
    /// The port's other end has been dropped.
    leaving: bool,
}

/// The port's other end has been dropped.
struct OwnerGone;

impl<S: Sink> Driver<S> {
    pub(crate) fn new(feed: DhanFeed, port: Port, sink: S) -> Self {
        let mut timer = Timer::new();
        let now = timer.now();
        let budget = BudgetFile::new(&feed.budget);
        let stored = budget.load(&feed.budget, now);
        let config = FleetConfig {
            connections: feed.connections,
            limits: feed.limits,
            budget: feed.budget,
            seed: feed.seed,
        };
        let conns = (0..feed.connections).map(ConnId::from_index);
        Self {
            common: Common {
                fleet: Fleet::new(config, stored, now),
                token: Watch::new(feed.token, feed.limits.token_look),
                endpoint: feed.endpoint,
                client_id: feed.client_id,
                tls: feed.tls,
                stats: feed.stats,
                port,
                sink,
                taken: None,
                more: false,
            },
            lines: conns.map(Line::new).collect(),
            budget,
            timer,
            leaving: false,
        }
    }

    /// Keeps the connections alive until the owner has gone, then takes leave of the
    /// broker.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.turn(cx)).await;
    }

    /// Serves every line once. After it everything that can go on has gone on or has
    /// the waker.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.timer.now();
        self.common.more = false;
        for line in &mut self.lines {
            line.listen(cx, now, &mut self.common);
        }
        self.perform(cx, now);
        // After reading: what has arrived while this thread was held up is no silence.
        if self.common.token.next_look() <= now.mono {
            self.common.look_at_token(now);
            self.show_pace(now);
        }
        if self.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.common.fleet.handle_timeout(now);
            self.perform(cx, now);
        }
        for line in &mut self.lines {
            if !self.leaving
                && let Err(OwnerGone) = line.write(cx, now, &mut self.common)
            {
                self.leaving = true;
                self.common.fleet.handle_stop(now);
            }
        }
        self.perform(cx, now);
        if let Some(at) = self.common.taken.take() {
            self.common.sink.turn_done(at);
        }
        for line in &self.lines {
            line.show_phase(&self.common);
        }
        if self.common.fleet.is_over() {
            return Poll::Ready(());
        }
        let due = self.poll_timeout().into_iter();
        let due = due.chain([self.common.token.next_look()]).min();
        if self.common.more || due.is_some_and(|due| self.timer.poll(due, cx).is_ready()) {
            // Whatever else runs on this thread goes first.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_timeout(&self) -> Option<Mono> {
        self.common.fleet.poll_timeout()
    }

    /// Does what the fleet asks for, until there is no more.
    fn perform(&mut self, cx: &mut Context<'_>, now: Now) {
        let mut idle = true;
        loop {
            while let Some(action) = self.common.fleet.poll_action() {
                idle = false;
                self.perform_one(action, now);
            }
            // What has just begun has to be polled once to be woken.
            let Some(line) = self.lines.iter_mut().find(|line| line.is_fresh()) else {
                break;
            };
            line.listen(cx, now, &mut self.common);
        }
        if !idle {
            self.show_pace(now);
        }
    }

    fn perform_one(&mut self, action: Action, now: Now) {
        let common = &mut self.common;
        match action {
            Action::Store(stored) => {
                self.budget.store(&stored, now.mono);
            }
            Action::Connect { conn } => self.lines[conn.index()].connect(now, common),
            Action::Abort { conn } => self.lines[conn.index()].let_go(),
            Action::Goodbye { conn } => self.lines[conn.index()].take_leave(),
            Action::Up { conn, epoch } => {
                tracing::info!(%conn, epoch = epoch.0, "feed connection up");
                common.port.report(ConnEvent::Up { conn, epoch });
                common.port.report(ConnEvent::Ready { conn, epoch });
            }
            Action::Down {
                conn,
                epoch,
                cause,
                retry_in,
            } => {
                self.lines[conn.index()].fallen(&cause, common);
                let number = epoch.0;
                match cause {
                    DownCause::Renewed | DownCause::Stopped => {
                        tracing::info!(%conn, epoch = number, %cause, "feed connection closed");
                    }
                    _ => tracing::warn!(
                        %conn, epoch = number, %cause, ?retry_in, "feed connection down"
                    ),
                }
                common.port.report(ConnEvent::Down {
                    conn,
                    epoch,
                    cause,
                    retry_in,
                });
            }
            Action::Notice(notice) => {
                tracing::info!(?notice, "feed notice");
                common.port.notice(notice);
            }
        }
    }

    fn show_pace(&self, now: Now) {
        let fleet = &self.common.fleet;
        let held = fleet.held_until();
        let held = held.map(|until| now.utc + until.since(now.mono));
        let left = fleet.attempts_left(now.mono);
        self.common.stats.set_pace(left, held);
    }
}

/// One timer for all machines, on real monotonic time, and the wall clock.
#[derive(Debug)]
struct Timer {
    origin: Instant,
    sleep: Pin<Box<Sleep>>,
    /// What the sleep is set to; none when it is over.
    armed: Option<Mono>,
    /// What the wall clock showed when it was last looked at.
    wall: Option<Now>,
}

impl Timer {
    fn new() -> Self {
        let origin = Instant::now();
        Self {
            origin,
            sleep: Box::pin(tokio::time::sleep_until(origin)),
            armed: None,
            wall: None,
        }
    }

    /// What time it is. The wall clock is looked at once a second: nothing that needs it
    /// is finer.
    fn now(&mut self) -> Now {
        const EVERY: Duration = Duration::from_secs(1);
        let mono = Mono::default() + self.origin.elapsed();
        let wall = match self.wall {
            Some(wall) if mono.since(wall.mono) < EVERY => wall,
            _ => {
                let utc = wall_clock();
                *self.wall.insert(Now { mono, utc })
            }
        };
        wall + mono.since(wall.mono)
    }

    /// Ready once `due` has come.
    ///
    /// Nearly every frame moves the time at which silence becomes too long, so the
    /// sleep is left as it is while it ends no later than needed.
    fn poll(&mut self, due: Mono, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.armed.is_none_or(|armed| due < armed) {
                if due <= Mono::default() + self.origin.elapsed() {
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

fn wall_clock() -> Utc {
    // A clock before 1970 is not set at all.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Utc::default() + since.unwrap_or_default()
}
