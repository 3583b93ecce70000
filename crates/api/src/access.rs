//! Who asks, and what they may.

mod across;
mod gate;
mod limits;
pub(crate) mod login;
mod ring;
mod sessions;
#[cfg(test)]
mod tests;
mod untold;

use core::net::IpAddr;
use core::time::Duration;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use metrics::{Counter, Gauge, counter, gauge};
use strikewire_gateway::leases::LoginSessions;
use strikewire_gateway::store::{self, KeyRecord, Reader};
use strikewire_gateway::types::Mono;
use tokio::time::Instant;

use crate::settings::Rates;
use crate::{Code, Problem};

pub(crate) use gate::authenticate;
use limits::Limits;
pub(crate) use limits::network;
use ring::{Key, KeyRing};
pub use sessions::{Ended, Sessions};
pub use strikewire_gateway::store::Role;
use untold::Untold;

/// How often a key that nobody has may have the database asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    user: Option<u64>,
    role: Role,
    /// The number of the key; absent: there are no keys.
    key: Option<u64>,
}

impl Caller {
    /// Whoever asks where there are no keys: an admin without a name.
    #[must_use]
    pub const fn anyone() -> Self {
        Self {
            user: None,
            role: Role::Admin,
            key: None,
        }
    }

    /// Whose key it is; absent: there are no keys.
    #[must_use]
    pub const fn user(&self) -> Option<u64> {
        self.user
    }

    /// What the caller may do.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The user that a request is for: the one it names, else the caller.
    ///
    /// # Errors
    ///
    /// When it names none and the caller has no name, or names another and the caller is
    /// no admin.
    pub fn user_id(&self, named: Option<u64>) -> Result<u64, Problem> {
        match (named, self.user) {
            (None, Some(own)) => Ok(own),
            (None, None) => Err(
                Problem::new(Code::MissingField, "the field user_id is missing").field("user_id"),
            ),
            (Some(named), _) if self.may_touch(named) => Ok(named),
            (Some(named), _) => Err(Problem::new(
                Code::Forbidden,
                format!("user {named} is another than the key's; that takes the role admin"),
            )
            .field("user_id")),
        }
    }

    /// Whether the caller may see and change what is `user`'s.
    #[must_use]
    pub fn may_touch(&self, user: u64) -> bool {
        self.role == Role::Admin || self.user == Some(user)
    }

    /// Refuses everybody but admins.
    ///
    /// # Errors
    ///
    /// When the caller is no admin.
    pub fn admin(&self) -> Result<(), Problem> {
        match self.role {
            Role::Admin => Ok(()),
            Role::User => Err(Problem::new(
                Code::Forbidden,
                "this takes a key with the role admin",
            )),
        }
    }
}

/// Put into every request by the router, before it reaches a handler.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(unauthorized)
    }
}

fn unauthorized() -> Problem {
    Problem::new(
        Code::Unauthorized,
        "a key is needed, and one that is known: Authorization: Bearer KEY",
    )
}

/// The keys there are, the sessions under way, and how often each caller may ask.
///
/// Once there was a key, revoked ones included, nobody is served without one as long as
/// this lives.
#[derive(Debug, Default)]
pub struct Access {
    keys: ArcSwap<KeyRing>,
    source: Option<Reader>,
    /// Held while keys are read, so that what was read first is not put in last; when they
    /// were last read because of a key that nobody had.
    reading: tokio::sync::Mutex<Option<Instant>>,
    limits: Limits,
    sessions: Sessions,
    /// Those of all nodes, where they share a Redis.
    shared: Option<LoginSessions>,
    untold: Untold,
    meters: Meters,
}

impl Access {
    /// Without keys: everybody is admin.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// With the keys of a database, which are read by [`refresh`](Self::refresh).
    #[must_use]
    pub fn of(source: Reader) -> Self {
        Self {
            source: Some(source),
            ..Self::default()
        }
    }

    /// With sessions that hold on every node that shares them.
    #[must_use]
    pub fn with_shared_sessions(self, shared: LoginSessions) -> Self {
        Self {
            shared: Some(shared),
            ..self
        }
    }

    /// Exchanges the keys; whether that changed anything. Without any it stays as closed as
    /// it was.
    pub fn set_keys(&self, keys: Vec<KeyRecord>) -> bool {
        let old = self.keys.load();
        let ring = KeyRing::new(keys, old.on());
        if ring == **old {
            return false;
        }
        self.meters.keys.set(ring.active() as f64);
        tracing::info!(active = ring.active(), "API keys have changed");
        self.keys.store(Arc::new(ring));
        true
    }

    /// Whether a key is needed.
    #[must_use]
    pub fn keys_on(&self) -> bool {
        self.keys.load().on()
    }

    /// Keys that are taken.
    #[must_use]
    pub fn active_keys(&self) -> usize {
        self.keys.load().active()
    }

    /// Reads the keys from the database again; whether that changed anything. Without a
    /// database that is nothing.
    ///
    /// # Errors
    ///
    /// When they cannot be read; then those that were known stay.
    ///
    /// # Cancel safety
    ///
    /// Safe: the keys are the old or the new ones.
    pub async fn refresh(&self) -> Result<bool, store::Error> {
        let _reading = self.reading.lock().await;
        self.read().await
    }

    async fn read(&self) -> Result<bool, store::Error> {
        match &self.source {
            Some(source) => Ok(self.set_keys(source.api_keys().await?)),
            None => Ok(false),
        }
    }

    /// Who has this key, among those that are known now.
    ///
    /// # Errors
    ///
    /// When keys are needed and nobody has this one.
    pub fn authenticate(&self, key: Option<&str>) -> Result<Caller, Problem> {
        let keys = self.keys.load();
        if !keys.on() {
            return Ok(Caller::anyone());
        }
        let found = key.and_then(|key| keys.find(key));
        found.map(Key::caller).ok_or_else(unauthorized)
    }

    /// As [`authenticate`](Self::authenticate), for a request or a client that has just
    /// come: a key that nobody has may have been made a moment ago, and nobody may ask too
    /// often. `from`: the other side's address; absent: not known, and not limited.
    ///
    /// # Errors
    ///
    /// When keys are needed and nobody has this one, and when the key or the address asks
    /// too often.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was asked counts.
    pub async fn admit(
        &self,
        key: Option<&str>,
        from: Option<IpAddr>,
        rates: &Rates,
    ) -> Result<Caller, Problem> {
        self.admit_address(from, rates)?;
        self.admit_key(key, from, rates).await
    }

    /// As [`admit`](Self::admit), for somebody whose address was counted already.
    ///
    /// # Errors
    ///
    /// When keys are needed and nobody has this one, when the key asks too often, and when
    /// the address has tried too many that nobody has.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was asked counts.
    pub(crate) async fn admit_key(
        &self,
        key: Option<&str>,
        from: Option<IpAddr>,
        rates: &Rates,
    ) -> Result<Caller, Problem> {
        if let Some(key) = key
            && self.keys.load().find(key).is_none()
        {
            self.look_for_new().await;
        }
        let caller = self.authenticate(key).map_err(|problem| {
            if key.is_none() {
                return problem;
            }
            self.meters.failures.increment(1);
            match self.limits.failure(from, rates) {
                Ok(()) => problem,
                Err(limited) => limited,
            }
        })?;
        if let Some(key) = caller.key {
            self.limits.key(key, rates)?;
        }
        Ok(caller)
    }

    /// Counts a request of an address, where keys are needed.
    ///
    /// # Errors
    ///
    /// When it asks too often.
    pub(crate) fn admit_address(&self, from: Option<IpAddr>, rates: &Rates) -> Result<(), Problem> {
        if !self.keys_on() {
            return Ok(());
        }
        self.limits.address(from, rates)
    }

    /// Asks the database for keys that were just made, but not over and over.
    async fn look_for_new(&self) {
        let mut last = self.reading.lock().await;
        if last.is_some_and(|last| last.elapsed() < ASK_EVERY) {
            return;
        }
        if let Err(error) = self.read().await {
            tracing::warn!(error = error.with_causes(), "API keys could not be read");
        }
        // From now, so that those who waited while the database was slow do not have it
        // asked one after the other.
        *last = Some(Instant::now());
    }

    /// Whether what made this caller out still holds: the key was not revoked, and there
    /// are still no keys where there were none.
    #[must_use]
    pub fn still_valid(&self, caller: &Caller) -> bool {
        let keys = self.keys.load();
        match caller.key {
            Some(id) => keys.by_id(id).is_some_and(|key| key.caller() == *caller),
            None => !keys.on(),
        }
    }

    /// The sessions under way.
    #[must_use]
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Lets go of what has ended or is not needed to limit anybody; the sessions that ended
    /// since the last call, whose indicators are to be let go. One that is in use on another
    /// node has not ended. Tells other nodes of logouts that they could not be told of at
    /// once. To be called every few seconds.
    ///
    /// # Cancel safety
    ///
    /// Not safe: sessions that ended are told once.
    pub async fn sweep(&self, now: Mono, idle: Duration) -> Vec<Ended> {
        self.limits.sweep();
        let ended = self.sessions.expire(now, idle);
        self.meters.sessions.set(self.sessions.len() as f64);
        self.tell_ended(now, idle).await;
        self.without_those_in_use(ended, now, idle).await
    }
}

struct Meters {
    keys: Gauge,
    sessions: Gauge,
    failures: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            keys: gauge!("strikewire_api_keys"),
            sessions: gauge!("strikewire_sessions"),
            failures: counter!("strikewire_auth_failures_total"),
        }
    }
}

impl core::fmt::Debug for Meters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Meters")
    }
}
