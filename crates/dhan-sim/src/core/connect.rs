//! Who is taken in.

use core::time::Duration;
use std::collections::BTreeMap;

use strikewire_dhan::wire::Reason;
use strikewire_types::Now;

use super::session::Session;
use super::{Core, Event, SessionId};
use crate::faults::{Fault, Token};

/// A connection that is not taken, answered with an HTTP status instead of the
/// upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("refused with status {status}: {reason}")]
#[non_exhaustive]
pub struct Refusal {
    /// 400 or 401, or what a fault says; 0 when the attempt is never answered.
    pub status: u16,
    /// What is missing.
    pub reason: &'static str,
    /// The `Retry-After` of the answer, in whole seconds.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    const fn new(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            retry_after: None,
        }
    }

    /// Whether it is answered at all; otherwise the client waits until it tires.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        self.status != 0
    }
}

impl Core {
    /// Somebody connects; `query` is what follows the `?`.
    ///
    /// Beyond the limit of connections of this client id the oldest one is
    /// disconnected with 805.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] when parameters are missing or wrong, or a fault wants it so.
    pub fn handle_connect(&mut self, now: Now, query: &str) -> Result<SessionId, Refusal> {
        self.catch_up(now);
        let minute = self.now.since(self.start).as_secs() / 60;
        self.report.attempt(minute);
        let (client, token) = match self.admit(query) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.report.refuse(refusal.status);
                return Err(refusal);
            }
        };
        let same: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.client == client)
            .map(|(id, _)| *id)
            .collect();
        let beyond = (same.len() + 1).saturating_sub(self.connections_left());
        for oldest in same.into_iter().take(beyond) {
            self.report.displaced += 1;
            self.disconnect(now, oldest, Reason::TooManyConnections);
        }
        let id = SessionId(self.next);
        self.next += 1;
        self.report.connected += 1;
        let (modes, size) = (self.config.modes, self.config.packets_per_frame);
        let session = Session::new(client, token, modes, size, self.now);
        self.sessions.insert(id, session);
        self.report.peak_connections = self.report.peak_connections.max(self.sessions.len());
        self.note(now, id, Event::Connected);
        self.begin(now, id);
        Ok(id)
    }

    /// Connections that a client may have, at least the one that comes.
    fn connections_left(&self) -> usize {
        let taken = self.account.faults().find_map(|fault| match fault {
            Fault::Displace { connections } => Some(*connections),
            _ => None,
        });
        let left = self.config.connections.saturating_sub(taken.unwrap_or(0));
        left.max(1)
    }

    /// Client id and token of a query that is complete and right.
    fn admit(&mut self, query: &str) -> Result<(String, Token), Refusal> {
        for fault in self.account.faults() {
            match fault {
                Fault::Refuse {
                    status,
                    retry_after,
                } => {
                    return Err(Refusal {
                        status: (*status).clamp(300, 599),
                        reason: "refused by a fault",
                        retry_after: *retry_after,
                    });
                }
                Fault::Hang => return Err(Refusal::new(0, "not answered because of a fault")),
                _ => {}
            }
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            parameters.insert(name.into_owned(), value.into_owned());
        }
        let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        if get("version") != "2" {
            return Err(Refusal::new(400, "version must be 2"));
        }
        if get("authType") != "2" {
            return Err(Refusal::new(400, "authType must be 2"));
        }
        let (client, token) = (get("clientId"), get("token"));
        if token.is_empty() {
            return Err(Refusal::new(401, "token is missing"));
        }
        if client.is_empty() {
            return Err(Refusal::new(401, "clientId is missing"));
        }
        match self.tokens.check(self.now, client, token) {
            Ok(()) => Ok((client.to_owned(), Token::from(token))),
            Err(_) => Err(Refusal::new(
                401,
                "clientId and token are not the expected ones",
            )),
        }
    }

    /// Whether a client may use the REST side now. An empty client id is not looked at.
    ///
    /// # Errors
    ///
    /// Why not: 807 for a token that was valid once, 808 for none, 809 for a token and
    /// 810 for a client id that never was.
    pub fn check_credentials(
        &mut self,
        now: Now,
        client_id: &str,
        token: &str,
    ) -> Result<(), Reason> {
        self.catch_up(now);
        self.tokens.check(self.now, client_id, token)
    }
}
