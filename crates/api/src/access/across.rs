//! Sessions as those who use them meet them: known here, and where nodes share a Redis,
//! known to all of them.
//!
//! What this node knows goes on while Redis is away. When Redis is back and has lost a
//! session, the next use here brings it back; one that was logged out elsewhere is told apart
//! from that by what a logout leaves in its place. A logout that Redis cannot be told of holds
//! here at once, and on the other nodes when Redis is back.

use core::time::Duration;
use std::sync::Arc;

use strikewire_gateway::leases::{self, LoginSession, Subscriber};
use strikewire_gateway::types::Mono;

use super::sessions::{Ended, another, unknown};
use super::{Access, Caller};
use crate::{Api, Code, Problem};

impl Api {
    /// Who holds indicators: a session, which is used by that, and the user it is of.
    /// `named` is the user that was named, if any.
    ///
    /// Where keys are on the session must have begun by login and be the user's. Without
    /// keys any is taken; where no user is named it is the one who logged in with it, else
    /// user 0.
    ///
    /// # Errors
    ///
    /// When the id can be no session's, the session is unknown or another user's, or the
    /// caller may not act for the named user.
    ///
    /// # Cancel safety
    ///
    /// Safe: the session was used or not.
    pub(crate) async fn subscriber(
        &self,
        caller: &Caller,
        named: Option<u64>,
        session_id: &str,
    ) -> Result<Subscriber, Problem> {
        let (user, who) = self.find_subscriber(caller, named, session_id).await?;
        let user = user.unwrap_or(0);
        Subscriber::new(user, who).map_err(|error| bad_id(&error.to_string()))
    }

    /// The same for a request, which has to name a user where nothing else does.
    pub(crate) async fn subscriber_of_request(
        &self,
        caller: &Caller,
        named: Option<u64>,
        session_id: &str,
    ) -> Result<Subscriber, Problem> {
        let (user, who) = self.find_subscriber(caller, named, session_id).await?;
        let user = caller.user_id(user)?;
        Subscriber::new(user, who).map_err(|error| bad_id(&error.to_string()))
    }

    /// Whether the session of one who was just given leases is still under way. A logout
    /// that came after the session was looked at, but before the leases were taken, has not
    /// seen them: they are let go.
    ///
    /// # Errors
    ///
    /// When the session has ended. Without keys that is never said: sessions need no login.
    ///
    /// # Cancel safety
    ///
    /// What is held may or may not have been let go.
    pub(crate) async fn confirm(&self, caller: &Caller, who: &Subscriber) -> Result<(), Problem> {
        if caller.user().is_none() || self.access.is_under_way(&who.session).await {
            return Ok(());
        }
        self.let_go(who).await?;
        Err(unknown())
    }

    /// Lets go of all that a session holds that is not under way.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// It is done all the same.
    pub(crate) async fn let_go(&self, who: &Subscriber) -> Result<usize, Problem> {
        let indicators = self.gateway.indicators();
        let released = indicators.release_session(&who.session, Some(who.user));
        Ok(released.await?)
    }

    async fn find_subscriber<'s>(
        &self,
        caller: &Caller,
        named: Option<u64>,
        session_id: &'s str,
    ) -> Result<(Option<u64>, &'s str), Problem> {
        check_id(session_id)?;
        if named.is_some() {
            caller.user_id(named)?;
        }
        let access = &*self.access;
        let owner = access.session_owner(session_id).await;
        let has_key = caller.user().is_some();
        let user = match owner {
            None if has_key => return Err(unknown()),
            None => return Ok((named, session_id)),
            Some(owner) if has_key => {
                let meant = match named {
                    Some(user) => owner == user,
                    None => caller.may_touch(owner),
                };
                if !meant {
                    return Err(another());
                }
                owner
            }
            Some(owner) => named.unwrap_or(owner),
        };
        let now = self.gateway.clock().now().mono;
        let idle = self.settings.load().http.session_idle;
        if !access.use_session(session_id, now, idle).await && has_key {
            return Err(unknown());
        }
        Ok((Some(user), session_id))
    }
}

/// Refuses what can be no session's id.
pub(super) fn check_id(session_id: &str) -> Result<(), Problem> {
    if super::Sessions::is_id(session_id) {
        return Ok(());
    }
    Err(bad_id(
        "a session_id is 1 to 128 of the letters A-Z, a-z, 0-9, '.', '_' and '-'",
    ))
}

fn bad_id(detail: &str) -> Problem {
    Problem::new(Code::InvalidValue, detail).field("session_id")
}

impl Access {
    /// Begins a session of `user`.
    pub(super) async fn begin_session(
        &self,
        user: u64,
        now: Mono,
        idle: Duration,
    ) -> Result<Arc<str>, Problem> {
        let id = self.sessions.begin(user, now)?;
        if let Some(shared) = &self.shared {
            told(shared.put(&id, user, idle).await);
        }
        Ok(id)
    }

    /// Whose session it is; absent: there is none. It is no use of it.
    pub(super) async fn session_owner(&self, id: &str) -> Option<u64> {
        if self.untold.has(id) {
            return None;
        }
        if let Some(user) = self.sessions.user_of(id) {
            return Some(user);
        }
        match told(self.shared.as_ref()?.peek(id).await)? {
            LoginSession::Of(user) => Some(user),
            LoginSession::Ended | LoginSession::Unknown => None,
        }
    }

    /// Counts as a use of the session; whether it is under way.
    async fn use_session(&self, id: &str, now: Mono, idle: Duration) -> bool {
        if self.untold.has(id) {
            return false;
        }
        let known = self.sessions.touch(id, now, idle);
        let Some(shared) = &self.shared else {
            return known.is_some();
        };
        match (told(shared.touch(id, idle).await), known) {
            (Some(LoginSession::Of(user)), None) => {
                self.sessions.take_over(id, user, now);
                true
            }
            (Some(LoginSession::Of(_)), Some(_)) => true,
            (Some(LoginSession::Ended), _) => {
                self.sessions.end(id);
                false
            }
            // It was logged out here while Redis was asked.
            (_, Some(_)) if self.sessions.user_of(id).is_none() => false,
            // Redis has lost it, or did not have it yet.
            (Some(LoginSession::Unknown), Some(user)) => {
                told(shared.put(id, user, idle).await);
                true
            }
            (Some(LoginSession::Unknown), None) => false,
            // Redis is away: what is known here goes on.
            (None, known) => known.is_some(),
        }
    }

    /// Whether a session has not ended, without a use of it.
    async fn is_under_way(&self, id: &str) -> bool {
        if self.untold.has(id) {
            return false;
        }
        let shared = match &self.shared {
            Some(shared) => told(shared.peek(id).await),
            None => None,
        };
        match shared {
            Some(LoginSession::Of(_)) => !self.untold.has(id),
            Some(LoginSession::Ended) => false,
            Some(LoginSession::Unknown) | None => self.sessions.user_of(id).is_some(),
        }
    }

    /// Ends a session, on all nodes; on others when Redis is back, if it is away.
    pub(super) async fn end_session(&self, id: &str, now: Mono, idle: Duration) {
        let Some(shared) = &self.shared else {
            self.sessions.end(id);
            return;
        };
        // First, so that whoever asks in between does not believe Redis.
        self.untold.add(id, now);
        self.sessions.end(id);
        if told(shared.end(id, idle).await).is_some() {
            self.untold.told(id);
        }
    }

    /// Tells Redis of sessions that ended while it was away.
    pub(super) async fn tell_ended(&self, now: Mono, idle: Duration) {
        let Some(shared) = &self.shared else {
            return;
        };
        for id in self.untold.pending(now, idle) {
            if told(shared.end(&id, idle).await).is_none() {
                // The others would fail too.
                return;
            }
            self.untold.told(&id);
        }
    }

    /// Those of `ended` that are under way on no node.
    pub(super) async fn without_those_in_use(
        &self,
        mut ended: Vec<Ended>,
        now: Mono,
        idle: Duration,
    ) -> Vec<Ended> {
        let Some(shared) = &self.shared else {
            return ended;
        };
        let mut gone = Vec::new();
        for session in ended.drain(..) {
            let id = &session.session_id;
            if session.displaced {
                self.end_session(id, now, idle).await;
            } else if let Some(LoginSession::Of(_)) = told(shared.peek(id).await) {
                // Not used here, but elsewhere.
                continue;
            }
            gone.push(session);
        }
        gone
    }
}

/// What Redis said; nothing if it is away, which the leases' own state shows to operators.
fn told<T>(answer: Result<T, leases::Error>) -> Option<T> {
    answer
        .inspect_err(|error| tracing::debug!(%error, "Sessions of other nodes are not known"))
        .ok()
}

#[cfg(test)]
mod tests;
