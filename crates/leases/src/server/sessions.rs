use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use redis::Cmd;

use super::link::{Keeper, Link, millis};
use crate::Error;
use crate::key::check_session;

/// What is left of a session that was ended.
const ENDED: &str = "ended";

/// The sessions of the interface, so that all nodes know them.
///
/// Each is a key that Redis lets go when nobody used it for its idle time.
#[derive(Clone)]
pub struct LoginSessions {
    link: Arc<Link>,
    // The connection lasts as long as somebody uses it.
    _keeper: Arc<Keeper>,
    prefix: String,
}

/// What is known of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginSession {
    /// It is this user's.
    Of(u64),
    /// It was ended, on this node or another.
    Ended,
    /// There was none, it was not used for its idle time, or Redis lost it.
    Unknown,
}

impl LoginSessions {
    pub(super) fn new(link: Arc<Link>, keeper: Arc<Keeper>, prefix: &str) -> Self {
        Self {
            link,
            _keeper: keeper,
            prefix: format!("{prefix}login_session:"),
        }
    }

    /// Begins a session of a user.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when Redis is away; [`Error::Session`] when the text cannot be
    /// a session's id.
    ///
    /// # Cancel safety
    ///
    /// It may have begun. Beginning it again is no harm.
    pub async fn put(&self, id: &str, user: u64, idle: Duration) -> Result<(), Error> {
        self.write(id, &user.to_string(), idle).await
    }

    /// What is known of a session; a use of it, so that it lasts for `idle` from now.
    ///
    /// # Errors
    ///
    /// Like [`put`](Self::put).
    ///
    /// # Cancel safety
    ///
    /// It may have been renewed.
    pub async fn touch(&self, id: &str, idle: Duration) -> Result<LoginSession, Error> {
        let mut cmd = redis::cmd("GETEX");
        cmd.arg(self.name(id)?).arg("PX").arg(millis(idle));
        self.read(&cmd).await
    }

    /// What is known of a session, without a use of it.
    ///
    /// # Errors
    ///
    /// Like [`put`](Self::put).
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    pub async fn peek(&self, id: &str) -> Result<LoginSession, Error> {
        let mut cmd = redis::cmd("GET");
        cmd.arg(self.name(id)?);
        self.read(&cmd).await
    }

    /// Ends a session. That it was ended is known for `idle`, so that a node can tell this
    /// from a session that Redis lost.
    ///
    /// # Errors
    ///
    /// Like [`put`](Self::put).
    ///
    /// # Cancel safety
    ///
    /// It may have ended. Ending it again is no harm.
    pub async fn end(&self, id: &str, idle: Duration) -> Result<(), Error> {
        self.write(id, ENDED, idle).await
    }

    fn name(&self, id: &str) -> Result<String, Error> {
        check_session(id)?;
        Ok(format!("{}{id}", self.prefix))
    }

    async fn write(&self, id: &str, text: &str, idle: Duration) -> Result<(), Error> {
        let mut cmd = redis::cmd("SET");
        cmd.arg(self.name(id)?).arg(text);
        cmd.arg("PX").arg(millis(idle));
        self.link.query("session", &cmd).await?;
        Ok(())
    }

    async fn read(&self, cmd: &Cmd) -> Result<LoginSession, Error> {
        let odd = || self.link.odd("session", "a user");
        let answer = self.link.query("session", cmd).await?;
        let text: Option<String> = redis::from_redis_value(answer).map_err(|_| odd())?;
        match text.as_deref() {
            None => Ok(LoginSession::Unknown),
            Some(ENDED) => Ok(LoginSession::Ended),
            Some(user) => user.parse().map(LoginSession::Of).map_err(|_| odd()),
        }
    }
}

impl fmt::Debug for LoginSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoginSessions").field(&self.link).finish()
    }
}
