//! Sessions as those who use them meet them: known here, and where nodes share a Redis,
//! known to all of them.
//!
//! What this node knows goes on while Redis is away. When Redis is back and has lost a
//! session, the next use here brings it back; one that was logged out elsewhere is told apart
//! from that by what a logout leaves in its place.

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

    /// Ends a session, on all nodes.
    pub(super) async fn end_session(&self, id: &str, idle: Duration) {
        self.sessions.end(id);
        if let Some(shared) = &self.shared {
            told(shared.end(id, idle).await);
        }
    }

    /// Those of `ended` that are under way on no node.
    pub(super) async fn without_those_in_use(
        &self,
        mut ended: Vec<Ended>,
        idle: Duration,
    ) -> Vec<Ended> {
        let Some(shared) = &self.shared else {
            return ended;
        };
        let mut gone = Vec::new();
        for session in ended.drain(..) {
            let id = &session.session_id;
            if session.displaced {
                told(shared.end(id, idle).await);
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
