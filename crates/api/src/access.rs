//! Who asks, and what they may.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::{Code, Problem};

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads, and changes what is their own.
    User,
    /// Everything.
    Admin,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    user: Option<u64>,
    role: Role,
}

impl Caller {
    /// Whoever asks where there are no keys: an admin without a name.
    #[must_use]
    pub const fn anyone() -> Self {
        Self {
            user: None,
            role: Role::Admin,
        }
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
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::new(
                Code::Unauthorized,
                "a key is needed: Authorization: Bearer KEY",
            )
        })
    }
}

/// The keys there are, the sessions under way, and how often each caller may ask.
#[derive(Debug, Default)]
pub struct Access {}

impl Access {
    /// Who has this key.
    ///
    /// # Errors
    ///
    /// When nobody has it.
    pub(crate) fn authenticate(&self, _key: Option<&str>) -> Result<Caller, Problem> {
        Ok(Caller::anyone())
    }
}
