//! Who may connect: the client id, and the token of the hour.

use strikewire_dhan::wire::Reason;
use strikewire_types::Mono;

use crate::config::Credentials;
use crate::faults::Token;

/// Tokens that are remembered as once valid; more are not worth it.
const REMEMBERED: usize = 64;

#[derive(Debug)]
pub(super) struct Tokens {
    client_id: Option<String>,
    valid: Valid,
    /// What was valid before, and for how long it still is.
    before: Option<(Valid, Mono)>,
    /// Tokens that were let in, the latest last.
    known: Vec<Token>,
}

#[derive(Debug, Clone)]
enum Valid {
    /// Any but these.
    AllBut(Vec<Token>),
    /// This one.
    Only(Token),
    /// None.
    Nothing,
}

impl Valid {
    fn allows(&self, token: &str) -> bool {
        match self {
            Self::AllBut(dead) => dead.iter().all(|dead| dead.reveal() != token),
            Self::Only(valid) => valid.reveal() == token,
            Self::Nothing => false,
        }
    }
}

impl Tokens {
    pub(super) fn new(credentials: Option<&Credentials>) -> Self {
        Self {
            client_id: credentials.map(|wanted| wanted.client_id.clone()),
            valid: credentials.map_or_else(
                || Valid::AllBut(Vec::new()),
                |wanted| Valid::Only(Token::from(&*wanted.token)),
            ),
            before: None,
            known: Vec::new(),
        }
    }

    /// Whether a client is let in; an empty `client_id` is nobody's and is not looked at.
    pub(super) fn check(&mut self, now: Mono, client_id: &str, token: &str) -> Result<(), Reason> {
        let wanted = self.client_id.as_deref();
        if !client_id.is_empty() && wanted.is_some_and(|wanted| wanted != client_id) {
            return Err(Reason::ClientIdInvalid);
        }
        if token.is_empty() {
            return Err(Reason::AuthenticationFailed);
        }
        let is_known = self.known.iter().any(|known| known.reveal() == token);
        if self.allows(now, token) {
            if !is_known {
                if self.known.len() >= REMEMBERED {
                    self.known.remove(0);
                }
                self.known.push(Token::from(token));
            }
            return Ok(());
        }
        Err(if is_known {
            Reason::TokenExpired
        } else {
            Reason::TokenInvalid
        })
    }

    pub(super) fn allows(&self, now: Mono, token: &str) -> bool {
        let before = self.before.as_ref().filter(|(_, until)| now < *until);
        self.valid.allows(token) || before.is_some_and(|(valid, _)| valid.allows(token))
    }

    /// All that are known are dead.
    pub(super) fn expire(&mut self) {
        self.before = None;
        self.valid = match core::mem::replace(&mut self.valid, Valid::Nothing) {
            Valid::AllBut(mut dead) => {
                for known in &self.known {
                    if !dead.contains(known) {
                        dead.push(known.clone());
                    }
                }
                let surplus = dead.len().saturating_sub(REMEMBERED);
                dead.drain(..surplus);
                Valid::AllBut(dead)
            }
            Valid::Only(_) | Valid::Nothing => Valid::Nothing,
        };
    }

    /// `token` is valid, the others are until `until`.
    pub(super) fn roll(&mut self, token: Token, until: Mono) {
        let old = core::mem::replace(&mut self.valid, Valid::Only(token));
        self.before = Some((old, until));
    }

    /// When the old ones are dead.
    pub(super) fn next_end(&self) -> Option<Mono> {
        self.before.as_ref().map(|(_, until)| *until)
    }

    /// Forgets the old ones when their time is over; whether it just was.
    pub(super) fn settle(&mut self, now: Mono) -> bool {
        self.before.take_if(|(_, until)| now >= *until).is_some()
    }
}
