//! Moving the connections to another token, one after the other.

use core::time::Duration;

use strikewire_broker::DownCause;
use strikewire_types::{Mono, Now};

use super::{Action, Fleet, id};
use crate::connection::{Connection, Phase, State};

impl Fleet {
    /// Whether a connection lives on a token that there is no longer.
    fn is_outdated(&self, index: usize) -> bool {
        self.connections[index].phase().is_up() && self.made_with[index] != self.token
    }

    fn outdated(&self) -> Option<usize> {
        (0..self.connections.len()).find(|&index| self.is_outdated(index))
    }

    /// Whether the connection that is being moved has arrived, or will not.
    fn has_renewed(&self, index: usize, now: Mono) -> bool {
        match self.connections[index].state() {
            State::Live { .. } | State::Stopped { .. } => true,
            State::Waiting { since, .. } => {
                self.is_outdated(index) || now >= since + self.limits.renewal
            }
            _ => false,
        }
    }

    /// Moves the next connection to the present token, if it is time for it. No socket is
    /// given up while its successor could not be tried at once.
    pub(super) fn renew(&mut self, now: Now) {
        if let Some(index) = self.renewing {
            if !self.has_renewed(index, now.mono) {
                return;
            }
            self.renewing = None;
        }
        let Some(index) = self.outdated() else {
            return;
        };
        if !self.may_renew() || self.pace.earliest() > now.mono {
            return;
        }
        self.renewing = Some(index);
        self.connections[index].close(now.mono, true);
        self.actions.push_back(Action::Goodbye { conn: id(index) });
        self.report_down(index, DownCause::Renewed, Some(Duration::ZERO));
    }

    /// Whether nothing else is going on: a socket that lives is not given up while another
    /// connection is down.
    fn may_renew(&self) -> bool {
        let at_rest = |c: &Connection| c.phase().is_up() || c.phase() == Phase::Stopped;
        !self.pace.is_probing() && self.connections.iter().all(at_rest)
    }

    pub(super) fn renewal_due(&self) -> Option<Mono> {
        self.outdated()?;
        match self.renewing.map(|index| self.connections[index].state()) {
            Some(State::Waiting { since, .. }) => Some(since + self.limits.renewal),
            Some(State::Live { .. } | State::Stopped { .. }) | None => {
                self.may_renew().then(|| self.pace.earliest())
            }
            Some(_) => None,
        }
    }
}
