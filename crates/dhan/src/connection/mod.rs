//! One connection's life as a machine without a socket, a clock or any knowledge of
//! instruments. The [`Fleet`](crate::fleet::Fleet) owns all of them and is the only one
//! that permits attempts.
//!
//! ```text
//! Backoff --> Queued --> Connecting --> Upgrading --> Waiting --> Live
//!    ^          ^             |             |            |         |
//!    |          |             v             v            v         v
//!    +----------|------ failed, too late, closed, silent, stalled -+
//!               |                                        |         |
//!               +---- renewed ---- Closing <-------------+---------+
//!
//! Stopped: by us, through Closing where there is somebody to take leave of; or turned
//! away by the broker, until there is another token.
//! ```

mod limits;

use core::time::Duration;

use rand::Rng;
use rand_pcg::Pcg64;
use strikewire_broker::DownCause;
use strikewire_types::{Epoch, Mono};

pub use limits::Limits;

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Staying away after a failure.
    Backoff {
        /// For how long.
        until: Mono,
    },
    /// Wants to try, and waits for permission.
    Queued {
        /// Since when.
        since: Mono,
    },
    /// Name look-up and TCP are under way.
    Connecting {
        /// When it has taken too long.
        deadline: Mono,
    },
    /// TLS and the upgrade are under way.
    Upgrading {
        /// When it has taken too long.
        deadline: Mono,
    },
    /// Up, without a packet so far that could be decoded.
    Waiting {
        /// Up since when.
        since: Mono,
        /// When something last arrived; `since` if nothing has.
        heard: Mono,
    },
    /// Up, with data.
    Live {
        /// Up since when.
        since: Mono,
        /// When something last arrived.
        heard: Mono,
        /// When a packet that could be decoded last arrived.
        data: Mono,
    },
    /// Taking leave of the broker.
    Closing {
        /// When it has taken too long.
        deadline: Mono,
        /// Whether it comes back afterwards.
        renews: bool,
    },
    /// Over.
    Stopped {
        /// Why.
        why: Why,
    },
}

/// Why a connection has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody wants it any more.
    Asked,
    /// The broker wants nothing to do with the account.
    TurnedAway {
        /// The reason code.
        code: u16,
    },
}

/// The name of a [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// [`State::Backoff`].
    Backoff = 0,
    /// [`State::Queued`].
    Queued = 1,
    /// [`State::Connecting`].
    Connecting = 2,
    /// [`State::Upgrading`].
    Upgrading = 3,
    /// [`State::Waiting`].
    Waiting = 4,
    /// [`State::Live`].
    Live = 5,
    /// [`State::Closing`].
    Closing = 6,
    /// [`State::Stopped`].
    Stopped = 7,
}

impl Phase {
    /// Every phase, in the order of its number.
    pub const ALL: [Self; 8] = [
        Self::Backoff,
        Self::Queued,
        Self::Connecting,
        Self::Upgrading,
        Self::Waiting,
        Self::Live,
        Self::Closing,
        Self::Stopped,
    ];

    /// Its name in lower case, such as `backoff`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backoff => "backoff",
            Self::Queued => "queued",
            Self::Connecting => "connecting",
            Self::Upgrading => "upgrading",
            Self::Waiting => "waiting",
            Self::Live => "live",
            Self::Closing => "closing",
            Self::Stopped => "stopped",
        }
    }

    /// Whether batches can be written: waiting for data, or with data.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Waiting | Self::Live)
    }

    /// Whether an attempt is under way.
    #[must_use]
    pub const fn is_attempt(self) -> bool {
        matches!(self, Self::Connecting | Self::Upgrading)
    }

    /// Whether a connection may go from here to `next`.
    #[must_use]
    pub const fn leads_to(self, next: Self) -> bool {
        use Phase::{Backoff, Closing, Connecting, Live, Queued, Stopped, Upgrading, Waiting};
        matches!(
            (self, next),
            (Backoff | Closing | Stopped, Queued)
                | (Queued, Connecting)
                | (Connecting, Upgrading)
                | (Upgrading, Waiting)
                | (Waiting, Live)
                | (Waiting | Live, Closing)
                | (Connecting | Upgrading | Waiting | Live, Backoff)
                | (
                    Backoff | Queued | Connecting | Upgrading | Waiting | Live | Closing,
                    Stopped
                )
        )
    }
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Backoff { .. } => Phase::Backoff,
            Self::Queued { .. } => Phase::Queued,
            Self::Connecting { .. } => Phase::Connecting,
            Self::Upgrading { .. } => Phase::Upgrading,
            Self::Waiting { .. } => Phase::Waiting,
            Self::Live { .. } => Phase::Live,
            Self::Closing { .. } => Phase::Closing,
            Self::Stopped { .. } => Phase::Stopped,
        }
    }
}

/// What has become due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    /// It has stayed away for long enough.
    Queue,
    /// It has taken too long.
    Fall(DownCause),
    /// Taking leave has taken too long.
    LetGo,
}

/// How a connection comes back after it fell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    /// After a random wait.
    Retry,
    /// The same, but another token is no reason to wait any longer.
    Token,
    /// After a wait that grows with what this client did wrong.
    Fault,
    /// Not at all.
    Never {
        /// The reason code.
        code: u16,
    },
}

/// A limit that a state or what was seen in it sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Backoff,
    Connect,
    Upgrade,
    Silence,
    /// No data since then.
    Data(Mono),
    /// No batch written since then.
    Blocked(Mono),
    Close,
}

/// What was seen on a connection that is up.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// When the first batch was written.
    subscribed: Option<Mono>,
    /// Since when a batch cannot be written.
    blocked: Option<Mono>,
    /// The first and the last of the frames in a row that could not be decoded.
    garbled: Option<(Mono, Mono)>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    limits: Limits,
    rng: Pcg64,
    state: State,
    /// The life that an attempt is made for; counts attempts.
    epoch: Epoch,
    /// Since when data is expected; absent while it is not.
    expected: Option<Mono>,
    seen: Seen,
    /// Failures since traffic was last stable.
    failures: u32,
    /// Complaints of the broker about requests since traffic was last stable.
    faults: u32,
    /// Whether it fell because of its token.
    awaits_token: bool,
}

impl Connection {
    /// A connection that wants to try at `now`. The jitter comes from `seed` and
    /// `stream`: connections with the same seed need different streams, or they would
    /// return in step.
    pub(crate) fn new(limits: &Limits, seed: u64, stream: u64, now: Mono) -> Self {
        Self {
            limits: *limits,
            rng: Pcg64::new(u128::from(seed), u128::from(stream)),
            state: State::Backoff { until: now },
            epoch: Epoch::default(),
            expected: None,
            seen: Seen::default(),
            failures: 0,
            faults: 0,
            awaits_token: false,
        }
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.state.phase()
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When [`due`](Self::due) has something to say.
    pub(crate) fn poll_timeout(&self) -> Option<Mono> {
        self.limit().map(|(at, _)| at)
    }

    /// What is due at `now`. It stays due until something is done about it.
    pub(crate) fn due(&self, now: Mono) -> Option<Due> {
        let (_, limit) = self.limit().filter(|&(at, _)| at <= now)?;
        let late = |what: &str, limit: Duration| {
            Due::Fall(DownCause::Connect(format!(
                "{what} within {} s",
                limit.as_secs_f64()
            )))
        };
        Some(match limit {
            Limit::Backoff => Due::Queue,
            Limit::Connect => late("no connection", self.limits.connect),
            Limit::Upgrade => late("connected, but no upgrade", self.limits.upgrade),
            Limit::Silence => Due::Fall(DownCause::Silent(now.since(self.heard()))),
            // Without any sign of life it is no mere lack of data.
            Limit::Data(start) if self.heard() <= start => {
                Due::Fall(DownCause::Silent(now.since(self.heard())))
            }
            Limit::Data(start) => Due::Fall(DownCause::Stalled(now.since(start))),
            Limit::Blocked(start) => Due::Fall(DownCause::Blocked(now.since(start))),
            Limit::Close => Due::LetGo,
        })
    }

    /// The limit that comes first, and when.
    fn limit(&self) -> Option<(Mono, Limit)> {
        let limits = &self.limits;
        let (heard, data) = match self.state {
            State::Backoff { until } => return Some((until, Limit::Backoff)),
            State::Queued { .. } | State::Stopped { .. } => return None,
            State::Connecting { deadline } => return Some((deadline, Limit::Connect)),
            State::Upgrading { deadline } => return Some((deadline, Limit::Upgrade)),
            State::Closing { deadline, .. } => return Some((deadline, Limit::Close)),
            State::Waiting { heard, .. } => (heard, None),
            State::Live { heard, data, .. } => (heard, Some(data)),
        };
        let mut first = (heard + limits.silence, Limit::Silence);
        if let (Some(expected), Some(last)) = (self.expected, data.or(self.seen.subscribed)) {
            let start = expected.max(last);
            let limit = match data {
                Some(_) => limits.stall,
                None => limits.first_data,
            };
            if start + limit < first.0 {
                first = (start + limit, Limit::Data(start));
            }
        }
        if let Some(start) = self.seen.blocked
            && start + limits.blocked < first.0
        {
            first = (start + limits.blocked, Limit::Blocked(start));
        }
        Some(first)
    }

    fn heard(&self) -> Mono {
        match self.state {
            State::Waiting { heard, .. } | State::Live { heard, .. } => heard,
            _ => Mono::default(),
        }
    }

    /// It may ask for permission.
    pub(crate) fn queue(&mut self, now: Mono) {
        self.enter(State::Queued { since: now });
    }

    /// It may ask for permission at once if it waits for a token, or was turned away.
    /// Says whether it does.
    pub(crate) fn hurry(&mut self, now: Mono) -> bool {
        let hurries = match self.state {
            State::Backoff { .. } => self.awaits_token,
            State::Stopped { why } => matches!(why, Why::TurnedAway { .. }),
            _ => false,
        };
        if hurries {
            self.queue(now);
        }
        hurries
    }

    /// It has permission: an attempt begins.
    pub(crate) fn begin(&mut self, now: Mono) {
        self.epoch = self.epoch.next();
        self.awaits_token = false;
        let deadline = now + self.limits.connect;
        self.enter(State::Connecting { deadline });
    }

    /// TCP is there, the upgrade begins.
    pub(crate) fn tcp(&mut self, now: Mono) {
        let deadline = now + self.limits.upgrade;
        self.enter(State::Upgrading { deadline });
    }

    /// The upgrade is done.
    pub(crate) fn up(&mut self, now: Mono) {
        self.seen = Seen::default();
        self.enter(State::Waiting {
            since: now,
            heard: now,
        });
    }

    /// Something arrived.
    pub(crate) fn hear(&mut self, now: Mono) {
        if let State::Waiting { heard, .. } | State::Live { heard, .. } = &mut self.state {
            *heard = now.max(*heard);
        }
    }

    /// A packet that can be decoded arrived. Says whether it is the first one.
    pub(crate) fn data(&mut self, now: Mono) -> bool {
        self.seen.garbled = None;
        match &mut self.state {
            State::Live { heard, data, .. } => {
                *heard = now.max(*heard);
                *data = now.max(*data);
                false
            }
            &mut State::Waiting { since, .. } => {
                self.enter(State::Live {
                    since,
                    heard: now,
                    data: now,
                });
                true
            }
            _ => false,
        }
    }

    /// Whether it has lived with data for long enough to be trusted.
    pub(crate) fn is_stable(&self) -> bool {
        matches!(self.state, State::Live { since, data, .. }
            if data.since(since) >= self.limits.stable)
    }

    /// Earlier failures do not count any more.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
        self.faults = 0;
    }

    /// A frame arrived in which nothing can be decoded. Gives the cause to fall for, if
    /// there have been such frames only for too long: a longer pause between two of them
    /// begins anew, so that a few in a quiet night are none.
    pub(crate) fn undecodable(&mut self, now: Mono) -> Option<DownCause> {
        self.hear(now);
        let limit = self.limits.garbled;
        let first = match self.seen.garbled {
            Some((first, last)) if now.since(last) < limit => first,
            _ => now,
        };
        self.seen.garbled = Some((first, now));
        let lasted = now.since(first);
        (lasted >= limit && lasted > Duration::ZERO).then_some(DownCause::Garbled(lasted))
    }

    /// A batch has been written.
    pub(crate) fn written(&mut self, now: Mono) {
        self.seen.blocked = None;
        self.seen.subscribed.get_or_insert(now);
    }

    /// A batch waits to be written.
    pub(crate) fn blocked(&mut self, now: Mono) {
        self.seen.blocked.get_or_insert(now);
    }

    /// Whether data is expected from now on.
    pub(crate) fn expect(&mut self, now: Mono, expected: bool) {
        if expected {
            self.expected.get_or_insert(now);
        } else {
            self.expected = None;
        }
    }

    /// It has come down, or did not come up. Gives the wait until it asks again.
    ///
    /// The wait is a uniform choice from nothing up to a limit that doubles with every
    /// failure in a row.
    pub(crate) fn fall(&mut self, now: Mono, how: Return) -> Option<Duration> {
        let limits = self.limits;
        let floor = match how {
            Return::Never { code } => {
                self.stop(Why::TurnedAway { code });
                return None;
            }
            Return::Fault => {
                let floor = doubled(limits.fault_first, self.faults, limits.fault_max);
                self.faults = self.faults.saturating_add(1);
                floor
            }
            Return::Retry | Return::Token => Duration::ZERO,
        };
        self.awaits_token = how == Return::Token;
        let cap = doubled(limits.first_backoff, self.failures, limits.max_backoff);
        self.failures = self.failures.saturating_add(1);
        let nanos = u64::try_from(cap.as_nanos()).unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(self.rng.random_range(0..=nanos));
        let delay = floor.saturating_add(jitter);
        let until = now + delay;
        self.enter(State::Backoff { until });
        Some(delay)
    }

    /// It takes leave of the broker.
    pub(crate) fn close(&mut self, now: Mono, renews: bool) {
        let deadline = now + self.limits.close;
        self.enter(State::Closing { deadline, renews });
    }

    /// It does not come back after having taken leave.
    pub(crate) fn close_for_good(&mut self) {
        if let State::Closing { renews, .. } = &mut self.state {
            *renews = false;
        }
    }

    /// It is over.
    pub(crate) fn stop(&mut self, why: Why) {
        self.enter(State::Stopped { why });
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
pub(crate) fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(1 << times.min(20)).min(max)
}

#[cfg(test)]
mod tests;
