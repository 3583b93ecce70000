//! The connection machine: one connection's life, without a socket, a clock or any
//! knowledge of instruments.
//!
//! What happens goes in through `handle_*`, with the time; what to do comes out of
//! [`Connection::poll_action`], and when to call
//! [`handle_timeout`](Connection::handle_timeout) at the latest out of
//! [`Connection::poll_timeout`]. Time only moves forward. Events that do not fit the
//! state, such as the end of a socket that has been let go of, change nothing.
//!
//! ```text
//! Backoff --time--> Connecting --connected--> Live
//!    ^                  |                       |
//!    +---- failed, timed out, closed, silent ---+      any --stop, fatal--> Stopped
//! ```
//!
//! ```
//! use core::time::Duration;
//! use strikewire_dhan::connection::{Action, Connection, Limits};
//! use strikewire_types::Mono;
//!
//! let start = Mono::default();
//! let mut connection = Connection::new(Limits::default(), 1, 0, start);
//! connection.handle_timeout(start);
//! assert_eq!(connection.poll_action(), Some(Action::Connect));
//! connection.handle_connected(start);
//! assert!(matches!(connection.poll_action(), Some(Action::Up { .. })));
//! connection.handle_closed(start, "reset by peer".to_owned());
//! assert_eq!(connection.poll_action(), Some(Action::Abort));
//! let Some(Action::Down { retry_in: Some(delay), .. }) = connection.poll_action() else {
//!     panic!("it is down")
//! };
//! assert!(delay <= Duration::from_millis(500));
//! ```

mod limits;

use core::time::Duration;
use std::collections::VecDeque;

use rand::Rng;
use rand_pcg::Pcg64;
use strikewire_broker::DownCause;
use strikewire_types::{Epoch, Mono};

pub use limits::Limits;

use crate::wire::{Class, Reason};

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waiting to try, the first time too.
    Backoff {
        /// When to try.
        until: Mono,
    },
    /// An attempt is under way.
    Connecting {
        /// When it has taken too long.
        deadline: Mono,
    },
    /// Up.
    Live {
        /// Since when.
        since: Mono,
        /// When something last arrived; `since` if nothing has.
        heard: Mono,
    },
    /// Over: stopped from this side, or for a reason that trying again cannot help.
    Stopped,
}

/// The name of a [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// [`State::Backoff`].
    Backoff = 0,
    /// [`State::Connecting`].
    Connecting = 1,
    /// [`State::Live`].
    Live = 2,
    /// [`State::Stopped`].
    Stopped = 3,
}

impl Phase {
    /// Every phase, in the order of its number.
    pub const ALL: [Self; 4] = [Self::Backoff, Self::Connecting, Self::Live, Self::Stopped];

    /// `backoff`, `connecting`, `live` or `stopped`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backoff => "backoff",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Stopped => "stopped",
        }
    }

    /// Whether a connection may go from here to `next`.
    #[must_use]
    pub const fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Backoff, Self::Connecting)
                | (Self::Connecting, Self::Live | Self::Backoff)
                | (Self::Live, Self::Backoff)
                | (Self::Backoff | Self::Connecting | Self::Live, Self::Stopped)
        )
    }
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Backoff { .. } => Phase::Backoff,
            Self::Connecting { .. } => Phase::Connecting,
            Self::Live { .. } => Phase::Live,
            Self::Stopped => Phase::Stopped,
        }
    }
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin an attempt, with credentials read afresh. No other one is under way.
    Connect,
    /// Let go of the attempt or the socket at once.
    Abort,
    /// Take leave of the broker on the socket, then let go of it.
    Goodbye,
    /// Report that it is up.
    Up {
        /// Its new life.
        epoch: Epoch,
    },
    /// Report that it is down.
    Down {
        /// The life that ended, or that did not begin.
        epoch: Epoch,
        /// Why.
        cause: DownCause,
        /// When the next attempt comes; absent when there will be none.
        retry_in: Option<Duration>,
    },
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    rng: Pcg64,
    state: State,
    /// The life that an attempt is made for; counts attempts.
    epoch: Epoch,
    /// Failures since traffic was last stable.
    failures: u32,
    /// Upgrades refused as too many since traffic was last stable.
    refusals: u32,
    actions: VecDeque<Action>,
}

impl Connection {
    /// A connection that wants to try at `now`. The jitter comes from `seed` and
    /// `stream`: connections with the same seed need different streams, or they
    /// would return in step.
    #[must_use]
    pub fn new(limits: Limits, seed: u64, stream: u64, now: Mono) -> Self {
        Self {
            limits,
            rng: Pcg64::new(u128::from(seed), u128::from(stream)),
            state: State::Backoff { until: now },
            epoch: Epoch::default(),
            failures: 0,
            refusals: 0,
            actions: VecDeque::new(),
        }
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The name of the state.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// Its life: the one it is up in, or the one of the last attempt.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether it is up in the life `epoch`.
    #[must_use]
    pub fn is_live_in(&self, epoch: Epoch) -> bool {
        self.phase() == Phase::Live && self.epoch == epoch
    }

    /// The next thing to do, in order; none for now.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called; never once
    /// stopped.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        match self.state {
            State::Backoff { until } => Some(until),
            State::Connecting { deadline } => Some(deadline),
            State::Live { heard, .. } => Some(heard + self.limits.silence),
            State::Stopped => None,
        }
    }

    /// Does what is due at `now`; nothing before that.
    pub fn handle_timeout(&mut self, now: Mono) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        match self.state {
            State::Backoff { .. } => {
                self.epoch = self.epoch.next();
                self.enter(State::Connecting {
                    deadline: now + self.limits.connect,
                });
                self.actions.push_back(Action::Connect);
            }
            State::Connecting { .. } => {
                let limit = self.limits.connect.as_secs_f64();
                let cause = DownCause::Connect(format!("no connection within {limit} s"));
                self.fall(now, cause, true);
            }
            State::Live { heard, .. } => {
                self.fall(now, DownCause::Silent(now.since(heard)), true);
            }
            State::Stopped => {}
        }
    }

    /// The attempt has led to a connection.
    pub fn handle_connected(&mut self, now: Mono) {
        if self.phase() == Phase::Connecting {
            self.enter(State::Live {
                since: now,
                heard: now,
            });
            let epoch = self.epoch;
            self.actions.push_back(Action::Up { epoch });
        }
    }

    /// The attempt has failed.
    pub fn handle_failed(&mut self, now: Mono, cause: DownCause) {
        if self.phase() == Phase::Connecting {
            self.fall(now, cause, false);
        }
    }

    /// Something arrived, be it a ping.
    pub fn handle_traffic(&mut self, now: Mono) {
        if let State::Live { heard, .. } = &mut self.state {
            *heard = now.max(*heard);
        }
    }

    /// The broker has said goodbye with a reason.
    pub fn handle_disconnect(&mut self, now: Mono, reason: Reason) {
        if self.phase() == Phase::Live {
            let code = reason.code();
            self.fall(now, DownCause::Disconnected { code }, true);
        }
    }

    /// The socket has ended, politely or not.
    pub fn handle_closed(&mut self, now: Mono, detail: String) {
        if self.phase() == Phase::Live {
            self.fall(now, DownCause::Closed(detail), true);
        }
    }

    /// Nobody wants it any more.
    pub fn handle_stop(&mut self) {
        let parting = match self.phase() {
            Phase::Stopped => return,
            Phase::Backoff => None,
            Phase::Connecting => Some(Action::Abort),
            Phase::Live => Some(Action::Goodbye),
        };
        self.enter(State::Stopped);
        if let Some(parting) = parting {
            self.actions.push_back(parting);
            self.actions.push_back(Action::Down {
                epoch: self.epoch,
                cause: DownCause::Stopped,
                retry_in: None,
            });
        }
    }

    fn fall(&mut self, now: Mono, cause: DownCause, abort: bool) {
        if let State::Live { since, heard } = self.state
            && heard.since(since) >= self.limits.stable
        {
            self.failures = 0;
            self.refusals = 0;
        }
        let retry_in = self.delay_after(&cause);
        self.enter(retry_in.map_or(State::Stopped, |delay| State::Backoff {
            until: now + delay,
        }));
        if abort {
            self.actions.push_back(Action::Abort);
        }
        self.actions.push_back(Action::Down {
            epoch: self.epoch,
            cause,
            retry_in,
        });
    }

    /// How long to stay away after `cause`; none for good.
    ///
    /// The jitter is a uniform choice from nothing up to a limit that doubles with
    /// every failure in a row. Where the broker wants to be left alone, that comes on
    /// top of the time it wants.
    fn delay_after(&mut self, cause: &DownCause) -> Option<Duration> {
        let limits = &self.limits;
        let floor = match *cause {
            DownCause::Disconnected { code } => match Reason::from_code(code).class() {
                Class::Fatal => return None,
                Class::Contended => limits.contended,
                Class::Token | Class::Ours | Class::Transient => Duration::ZERO,
            },
            DownCause::Refused { status: 429 } => {
                let floor = doubled(limits.refused_first, self.refusals, limits.refused_max);
                self.refusals = self.refusals.saturating_add(1);
                floor
            }
            DownCause::Refused { status: 401 | 403 } => limits.unauthorized,
            _ => Duration::ZERO,
        };
        let cap = doubled(limits.first_backoff, self.failures, limits.max_backoff);
        self.failures = self.failures.saturating_add(1);
        let nanos = u64::try_from(cap.as_nanos()).unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(self.rng.random_range(0..=nanos));
        Some(floor.saturating_add(jitter))
    }

    fn enter(&mut self, next: State) {
        debug_assert!(
            self.phase().leads_to(next.phase()),
            "{:?} does not lead to {next:?}",
            self.state
        );
        self.state = next;
    }
}

/// `first`, doubled `times`, but at most `max`.
fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(1 << times.min(20)).min(max)
}

#[cfg(test)]
mod tests;
