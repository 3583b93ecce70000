//! Coming down: what each cause means for the connection and for all.

use core::time::Duration;

use strikewire_broker::{DownCause, Notice};
use strikewire_types::Now;

use super::{Action, Credentials, Fleet, id};
use crate::connection::Return;
use crate::wire::{Class, Reason};

impl Fleet {
    /// A connection comes down, or did not come up.
    pub(super) fn fall(
        &mut self,
        now: Now,
        index: usize,
        cause: DownCause,
        retry_after: Option<Duration>,
        abort: bool,
    ) {
        let class = match cause {
            DownCause::Disconnected { code, .. } => Reason::from_code(code).class(),
            DownCause::Refused { status: 401 | 403 } => Class::Token,
            DownCause::Refused { status: 429 } => {
                return self.fall_for_lockout(now, index, cause, retry_after);
            }
            _ => Class::Transient,
        };
        match class {
            Class::Token => {
                if self.made_with[index] == self.token {
                    self.tell_no_credentials(
                        Credentials::Refused,
                        &format!("the broker refuses the access token: {}", refusal(&cause)),
                    );
                }
                self.fall_for_token(now, index, cause, abort);
            }
            Class::Contended => self.fall_for_contention(now, index, cause, abort),
            Class::Fatal => {
                let words = format!("the broker turns the account away: {}", refusal(&cause));
                let code = match cause {
                    DownCause::Disconnected { code, .. } => code,
                    _ => 0,
                };
                self.connections[index].fall(now.mono, Return::Never { code });
                self.part(now, index, cause, None, abort);
                self.actions
                    .push_back(Action::Notice(Notice::TurnedAway(words)));
            }
            Class::Ours => {
                let delay = self.connections[index].fall(now.mono, Return::Fault);
                self.part(now, index, cause, delay, abort);
            }
            Class::Transient => {
                let delay = self.connections[index].fall(now.mono, Return::Retry);
                self.part(now, index, cause, delay, abort);
            }
        }
    }

    fn fall_for_lockout(
        &mut self,
        now: Now,
        index: usize,
        cause: DownCause,
        retry_after: Option<Duration>,
    ) {
        let delay = self.connections[index].fall(now.mono, Return::Retry);
        let jitter = delay.unwrap_or_default();
        self.pace.locked_out(now, index, retry_after, jitter);
        let stored = self.pace.stored(now);
        self.actions.push_back(Action::Store(stored));
        self.part(now, index, cause, delay, false);
    }

    fn fall_for_contention(&mut self, now: Now, index: usize, cause: DownCause, abort: bool) {
        let delay = self.connections[index].fall(now.mono, Return::Retry);
        let jitter = delay.unwrap_or_default();
        let contended = self.pace.kicked(now.mono, index, jitter, &self.connections);
        self.part(now, index, cause, delay, abort);
        if contended {
            self.actions
                .push_back(Action::Notice(Notice::Contended(true)));
        }
    }

    pub(super) fn fall_for_token(&mut self, now: Now, index: usize, cause: DownCause, abort: bool) {
        let delay = self.connections[index].fall(now.mono, Return::Token);
        // With another token than the refused one there is nothing to wait for.
        if self.made_with[index] == self.token {
            self.pace.token_refused(now.mono, delay.unwrap_or_default());
        }
        self.part(now, index, cause, delay, abort);
    }

    /// Reports a connection that has fallen.
    fn part(
        &mut self,
        now: Now,
        index: usize,
        cause: DownCause,
        delay: Option<Duration>,
        abort: bool,
    ) {
        if abort {
            self.actions.push_back(Action::Abort { conn: id(index) });
        }
        let retry_in = delay.map(|delay| delay.max(self.pace.earliest_for(index).since(now.mono)));
        self.report_down(index, cause, retry_in);
    }

    pub(super) fn report_down(
        &mut self,
        index: usize,
        cause: DownCause,
        retry_in: Option<Duration>,
    ) {
        self.actions.push_back(Action::Down {
            conn: id(index),
            epoch: self.connections[index].epoch(),
            cause,
            retry_in,
        });
    }
}

/// What was refused, in words.
fn refusal(cause: &DownCause) -> String {
    match *cause {
        DownCause::Disconnected { code, .. } => Reason::from_code(code).to_string(),
        DownCause::Refused { status } => format!("HTTP {status} at the upgrade"),
        ref other => other.to_string(),
    }
}
