//! The connection machine: all connections of a feed and the account's connect budget,
//! without a socket, a clock, a file or any knowledge of instruments.
//!
//! What happens goes in through `handle_*`, with the time; what to do comes out of
//! [`Fleet::poll_action`], in order, and when to call
//! [`handle_timeout`](Fleet::handle_timeout) at the latest out of
//! [`Fleet::poll_timeout`]. Time only moves forward. Events that do not fit the state of
//! a connection, such as the end of a socket that has been let go of, change nothing.
//!
//! Every connection is in one [`State`]; only the fleet permits attempts:
//!
//! - While none is up, after an upgrade was refused with 429, and while the account is
//!   contended, one connection, the probe, tries alone; when it fails it stays away and
//!   tries again, and the others wait.
//! - While one is up, attempts are `spacing` apart.
//! - Every attempt is taken from the [budget](crate::budget), which is to be stored before
//!   it: [`Action::Store`] comes before [`Action::Connect`].
//! - A 429, an 805 and a token that was refused keep all connections away for a while;
//!   those that are up stay.
//!
//! ```
//! use core::time::Duration;
//! use strikewire_dhan::fleet::{Action, Fleet, FleetConfig};
//! use strikewire_types::{ConnId, Now};
//!
//! let now = Now::default();
//! let mut fleet = Fleet::new(FleetConfig { connections: 2, ..FleetConfig::default() }, None, now);
//! let conn = ConnId::from_index(0);
//! fleet.handle_timeout(now);
//! assert!(matches!(fleet.poll_action(), Some(Action::Store(_))));
//! assert_eq!(fleet.poll_action(), Some(Action::Connect { conn }));
//! assert_eq!(fleet.poll_action(), None, "the other one waits until this one is up");
//! fleet.handle_tcp(now, conn);
//! fleet.handle_connected(now, conn);
//! assert!(matches!(fleet.poll_action(), Some(Action::Up { .. })));
//! assert_eq!(fleet.poll_timeout(), Some((now + Duration::from_millis(500)).mono));
//! ```

mod fall;
mod pace;
mod renewal;

use core::time::Duration;
use std::collections::VecDeque;

use strikewire_broker::{DownCause, Notice};
use strikewire_types::{ConnId, Epoch, Mono, Now, Utc};

use crate::budget::{BudgetConfig, Stored};
use crate::connection::{Connection, Due, Limits, Phase, State, Why};
use crate::wire::Reason;
use pace::{Hold, Pace};

/// How a fleet is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetConfig {
    /// How many connections. Default 5.
    pub connections: usize,
    /// Their times.
    pub limits: Limits,
    /// How often they may try. The path is not used: what is to be stored comes out as
    /// [`Action::Store`].
    pub budget: BudgetConfig,
    /// For the jitter of the waits. Default 0.
    pub seed: u64,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            connections: crate::MAX_CONNECTIONS,
            limits: Limits::default(),
            budget: BudgetConfig::default(),
            seed: 0,
        }
    }
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store this before anything that follows.
    Store(Stored),
    /// Begin an attempt, with credentials read afresh. No other one of this connection is
    /// under way.
    Connect {
        /// Which connection.
        conn: ConnId,
    },
    /// Let go of the attempt or the socket at once.
    Abort {
        /// Which connection.
        conn: ConnId,
    },
    /// Take leave of the broker on the socket, let go of it and say
    /// [closed](Fleet::handle_closed). Nothing that still arrives is wanted.
    Goodbye {
        /// Which connection.
        conn: ConnId,
    },
    /// Report that it is up, and ready for a batch.
    Up {
        /// Which connection.
        conn: ConnId,
        /// Its new life.
        epoch: Epoch,
    },
    /// Report that it is down.
    Down {
        /// Which connection.
        conn: ConnId,
        /// The life that ended, or that did not begin.
        epoch: Epoch,
        /// Why.
        cause: DownCause,
        /// When the next attempt may come at the earliest; absent when there will be
        /// none.
        retry_in: Option<Duration>,
    },
    /// Report what concerns all.
    Notice(Notice),
}

/// What the broker or the source of credentials made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credentials {
    /// Nothing is known against them.
    Fine,
    /// They could not be read.
    Unreadable,
    /// The broker refused them.
    Refused,
}

/// All connections, and the pace at which they may try.
#[derive(Debug)]
pub struct Fleet {
    limits: Limits,
    connections: Vec<Connection>,
    pace: Pace,
    /// Counts the tokens that there have been.
    token: u64,
    /// The token that the present life of each connection was made with.
    made_with: Vec<u64>,
    credentials: Credentials,
    expires_at: Option<Utc>,
    /// The connection that is being moved to the present token.
    renewing: Option<usize>,
    /// The hold that was last told and is not over.
    held: Option<Hold>,
    stopped: bool,
    actions: VecDeque<Action>,
}

impl Fleet {
    /// Connections that want to try at `now`, with the budget that was `stored`, or a
    /// full one.
    #[must_use]
    #[allow(clippy::needless_pass_by_value)] // A fleet is made once, and this reads best.
    pub fn new(config: FleetConfig, stored: Option<Stored>, now: Now) -> Self {
        let connection = |index| Connection::new(&config.limits, config.seed, index, now.mono);
        Self {
            limits: config.limits,
            connections: (1..).take(config.connections).map(connection).collect(),
            pace: Pace::new(&config.limits, &config.budget, stored.as_ref(), now),
            token: 0,
            made_with: vec![0; config.connections],
            credentials: Credentials::Fine,
            expires_at: None,
            renewing: None,
            held: None,
            stopped: false,
            actions: VecDeque::new(),
        }
    }

    /// Where a connection is in its life.
    #[must_use]
    pub fn state(&self, conn: ConnId) -> State {
        self.connections[conn.index()].state()
    }

    /// The name of its state.
    #[must_use]
    pub fn phase(&self, conn: ConnId) -> Phase {
        self.connections[conn.index()].phase()
    }

    /// Its life: the one it is up in, or the one of the last attempt.
    #[must_use]
    pub fn epoch(&self, conn: ConnId) -> Epoch {
        self.connections[conn.index()].epoch()
    }

    /// Whether it is up, with data or not yet, in the life `epoch`.
    #[must_use]
    pub fn is_live_in(&self, conn: ConnId, epoch: Epoch) -> bool {
        self.phase(conn).is_up() && self.epoch(conn) == epoch
    }

    /// Whether every connection has stopped because it was asked to.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stopped && self.all().all(|(_, c)| c.phase() == Phase::Stopped)
    }

    /// Whether somebody else uses up the account's connections.
    #[must_use]
    pub const fn is_contended(&self) -> bool {
        self.pace.is_contended()
    }

    /// Attempts that the budget has at `now`.
    #[must_use]
    pub fn attempts_left(&self, now: Mono) -> u32 {
        self.pace.attempts_left(now)
    }

    /// Until when attempts are held, as last told by [`Notice::Held`]; absent when they
    /// are not.
    #[must_use]
    pub fn held_until(&self) -> Option<Mono> {
        self.held.map(|hold| hold.until)
    }

    /// The next thing to do, in order; none for now.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called; never once
    /// stopped.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let connections = self.connections.iter().filter_map(Connection::poll_timeout);
        let first = connections.min();
        if self.stopped {
            return first;
        }
        let pace = self.pace.poll_timeout(&self.connections);
        let held = self.held_until();
        let renewal = self.renewal_due();
        [first, pace, held, renewal].into_iter().flatten().min()
    }

    /// Does what is due at `now`; nothing before that.
    pub fn handle_timeout(&mut self, now: Now) {
        for index in 0..self.connections.len() {
            while let Some(due) = self.connections[index].due(now.mono) {
                match due {
                    Due::Queue => self.connections[index].queue(now.mono),
                    Due::Fall(cause) => self.fall(now, index, cause, None, true),
                    Due::LetGo => {
                        self.actions.push_back(Action::Abort { conn: id(index) });
                        self.let_go(now, index);
                    }
                }
            }
        }
        self.settle(now);
    }

    /// TCP is there and the upgrade begins, with the credentials that there are now.
    pub fn handle_tcp(&mut self, now: Now, conn: ConnId) {
        let index = conn.index();
        if self.phase(conn) == Phase::Connecting {
            self.connections[index].tcp(now.mono);
            self.made_with[index] = self.token;
            if self.credentials == Credentials::Unreadable {
                self.credentials_are_fine(now);
            }
        }
    }

    /// The attempt has led to a connection.
    pub fn handle_connected(&mut self, now: Now, conn: ConnId) {
        let index = conn.index();
        if self.phase(conn) == Phase::Upgrading {
            self.connections[index].up(now.mono);
            let epoch = self.epoch(conn);
            self.actions.push_back(Action::Up { conn, epoch });
            self.pace.came_up(now.mono, index);
            self.settle(now);
        }
    }

    /// The attempt has failed. `retry_after` is what the broker asks for, if it does.
    pub fn handle_failed(
        &mut self,
        now: Now,
        conn: ConnId,
        cause: DownCause,
        retry_after: Option<Duration>,
    ) {
        if self.phase(conn).is_attempt() {
            self.fall(now, conn.index(), cause, retry_after, false);
            self.settle(now);
        }
    }

    /// The attempt has failed because there are no credentials, for the reason `detail`.
    pub fn handle_no_credentials(&mut self, now: Now, conn: ConnId, detail: String) {
        if self.phase(conn).is_attempt() {
            self.made_with[conn.index()] = self.token;
            self.tell_no_credentials(Credentials::Unreadable, &detail);
            self.fall_for_token(now, conn.index(), DownCause::Connect(detail), false);
            self.settle(now);
        }
    }

    /// Something arrived, be it a ping.
    pub fn handle_traffic(&mut self, now: Now, conn: ConnId) {
        self.connections[conn.index()].hear(now.mono);
    }

    /// A packet of an instrument arrived that can be decoded.
    pub fn handle_data(&mut self, now: Now, conn: ConnId) {
        let index = conn.index();
        let connection = &mut self.connections[index];
        let first = connection.data(now.mono);
        if connection.is_stable() {
            connection.forgive();
            if self.pace.forgive() {
                let stored = self.pace.stored(now);
                self.actions.push_back(Action::Store(stored));
            }
        }
        if first {
            if self.credentials != Credentials::Fine && self.made_with[index] == self.token {
                self.credentials_are_fine(now);
            }
            self.settle(now);
        }
    }

    /// A frame arrived in which nothing can be decoded.
    pub fn handle_undecodable(&mut self, now: Now, conn: ConnId) {
        if !self.phase(conn).is_up() {
            return;
        }
        if let Some(cause) = self.connections[conn.index()].undecodable(now.mono) {
            self.fall(now, conn.index(), cause, None, true);
            self.settle(now);
        }
    }

    /// A batch has been written.
    pub fn handle_written(&mut self, now: Now, conn: ConnId) {
        if self.phase(conn).is_up() {
            self.connections[conn.index()].written(now.mono);
        }
    }

    /// A batch waits to be written. May be said again while it does.
    pub fn handle_blocked(&mut self, now: Now, conn: ConnId) {
        if self.phase(conn).is_up() {
            self.connections[conn.index()].blocked(now.mono);
        }
    }

    /// Whether data is expected on the connection from now on: markets are open, and
    /// instruments that trade all the time are subscribed on it. It is not before this
    /// has been said.
    pub fn handle_expectation(&mut self, now: Now, conn: ConnId, expected: bool) {
        self.connections[conn.index()].expect(now.mono, expected);
    }

    /// The broker has said goodbye with a reason.
    pub fn handle_disconnect(&mut self, now: Now, conn: ConnId, reason: Reason) {
        if self.phase(conn).is_up() {
            let (code, fault) = (reason.code(), reason.fault());
            let cause = DownCause::Disconnected { code, fault };
            self.fall(now, conn.index(), cause, None, true);
            self.settle(now);
        }
    }

    /// The socket has ended, politely or not; or leave has been taken.
    pub fn handle_closed(&mut self, now: Now, conn: ConnId, detail: String) {
        let index = conn.index();
        match self.phase(conn) {
            Phase::Waiting | Phase::Live => {
                self.fall(now, index, DownCause::Closed(detail), None, true);
            }
            Phase::Closing => self.let_go(now, index),
            _ => return,
        }
        self.settle(now);
    }

    /// When the credentials expire, as far as they say; to be said before
    /// [`handle_token_changed`](Self::handle_token_changed).
    pub const fn set_token_expiry(&mut self, at: Option<Utc>) {
        self.expires_at = at;
    }

    /// There is another token than before, the first one included. Attempts that have no
    /// TCP yet are made with it. Connections that live on the one before are moved to it,
    /// one after the other.
    pub fn handle_token_changed(&mut self, now: Now) {
        if self.stopped {
            return;
        }
        self.token += 1;
        self.pace.token_changed();
        for connection in &mut self.connections {
            connection.hurry(now.mono);
        }
        // What follows is left to the next timeout, which is due at once: a driver that
        // was just told that a socket ended can still say so.
        self.credentials_are_fine(now);
        self.tell_holds(now.mono);
    }

    /// Nobody wants the feed any more.
    pub fn handle_stop(&mut self, now: Now) {
        self.stopped = true;
        self.renewing = None;
        self.held = None;
        for index in 0..self.connections.len() {
            let conn = id(index);
            let connection = &mut self.connections[index];
            let parting = match connection.phase() {
                Phase::Stopped => continue,
                Phase::Closing => {
                    connection.close_for_good();
                    continue;
                }
                Phase::Backoff | Phase::Queued => {
                    connection.stop(Why::Asked);
                    continue;
                }
                Phase::Connecting | Phase::Upgrading => {
                    connection.stop(Why::Asked);
                    Action::Abort { conn }
                }
                Phase::Waiting | Phase::Live => {
                    connection.close(now.mono, false);
                    Action::Goodbye { conn }
                }
            };
            self.actions.push_back(parting);
            self.report_down(index, DownCause::Stopped, None);
        }
    }

    fn all(&self) -> impl Iterator<Item = (usize, &Connection)> {
        self.connections.iter().enumerate()
    }

    /// Leave has been taken, or that has taken too long.
    fn let_go(&mut self, now: Now, index: usize) {
        let connection = &mut self.connections[index];
        match connection.state() {
            State::Closing { renews: true, .. } => connection.queue(now.mono),
            _ => connection.stop(Why::Asked),
        }
    }

    fn tell_no_credentials(&mut self, what: Credentials, words: &str) {
        if self.credentials != what {
            self.credentials = what;
            self.actions
                .push_back(Action::Notice(Notice::NoCredentials(words.to_owned())));
        }
    }

    fn credentials_are_fine(&mut self, now: Now) {
        self.credentials = Credentials::Fine;
        let expires_in = self.expires_at.map(|at| at.since(now.utc));
        self.actions
            .push_back(Action::Notice(Notice::Credentials { expires_in }));
    }

    /// Does what the present states allow.
    fn settle(&mut self, now: Now) {
        if self.stopped {
            return;
        }
        if self.pace.calm_down(now.mono, &self.connections) {
            self.actions
                .push_back(Action::Notice(Notice::Contended(false)));
        }
        self.renew(now);
        while let Some((_, index)) = self
            .pace
            .next(&self.connections)
            .filter(|&(at, _)| at <= now.mono)
        {
            let Some(stored) = self.pace.attempt(now, index, &self.connections) else {
                break;
            };
            self.connections[index].begin(now.mono);
            self.actions.push_back(Action::Store(stored));
            self.actions.push_back(Action::Connect { conn: id(index) });
        }
        self.tell_holds(now.mono);
    }

    /// Says when attempts are held for long, and when that is over.
    fn tell_holds(&mut self, now: Mono) {
        const WORTH_SAYING: Duration = Duration::from_secs(1);
        let hold = self.pace.hold(now, &self.connections);
        let tell = match (self.held, hold) {
            (None, hold) => hold.is_some_and(|hold| hold.until.since(now) > WORTH_SAYING),
            (Some(told), Some(hold)) => {
                let (earlier, later) = (told.until.min(hold.until), told.until.max(hold.until));
                told.why != hold.why || later.since(earlier) > WORTH_SAYING
            }
            (Some(_), None) => true,
        };
        if tell && let Some(Hold { why, .. }) = hold.or(self.held) {
            self.actions.push_back(Action::Notice(Notice::Held {
                wait: hold.map_or(Duration::ZERO, |hold| hold.until.since(now)),
                reason: why.to_string(),
            }));
        }
        if tell || self.held.is_some() {
            self.held = hold;
        }
    }
}

const fn id(index: usize) -> ConnId {
    ConnId::from_index(index)
}

#[cfg(test)]
mod tests;
