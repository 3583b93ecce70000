use std::fmt;
use std::str::FromStr;

use strikewire_types::{ParseError, Utc};

use crate::Error;

/// What happened to an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It became desired.
    Subscribe,
    /// Its last holder let go.
    Unsubscribe,
    /// Its last holder was evicted for another request.
    RateLimitEvict,
    /// The end of the day took it.
    EodCleanup,
    /// A window moved over it.
    RollIn,
    /// A window moved away from it.
    RollOut,
    /// It changed its connection.
    Move,
    /// It came back after a restart.
    Restore,
    /// Its contract expired.
    Expire,
    /// Its session closed; its claims wait.
    Suspend,
    /// Its session opens; its claims are back.
    Resume,
    /// Its contract has another id since today's master.
    Repoint,
    /// Something is missing here; the reason says what.
    Gap,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 13] = [
        Self::Subscribe,
        Self::Unsubscribe,
        Self::RateLimitEvict,
        Self::EodCleanup,
        Self::RollIn,
        Self::RollOut,
        Self::Move,
        Self::Restore,
        Self::Expire,
        Self::Suspend,
        Self::Resume,
        Self::Repoint,
        Self::Gap,
    ];

    /// The name in the table and in answers, `RATE_LIMIT_EVICT`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::RateLimitEvict => "RATE_LIMIT_EVICT",
            Self::EodCleanup => "EOD_CLEANUP",
            Self::RollIn => "ROLL_IN",
            Self::RollOut => "ROLL_OUT",
            Self::Move => "MOVE",
            Self::Restore => "RESTORE",
            Self::Expire => "EXPIRE",
            Self::Suspend => "SUSPEND",
            Self::Resume => "RESUME",
            Self::Repoint => "REPOINT",
            Self::Gap => "GAP",
        }
    }

    /// Whether the instrument is desired after it; none when that does not change.
    #[must_use]
    pub const fn subscribes(self) -> Option<bool> {
        match self {
            Self::Subscribe | Self::RollIn | Self::Restore | Self::Resume => Some(true),
            Self::Unsubscribe
            | Self::RateLimitEvict
            | Self::EodCleanup
            | Self::RollOut
            | Self::Expire
            | Self::Suspend => Some(false),
            Self::Move | Self::Repoint | Self::Gap => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Action {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                ParseError::new(
                    text,
                    "an action: SUBSCRIBE, UNSUBSCRIBE, RATE_LIMIT_EVICT, EOD_CLEANUP, ROLL_IN, \
                     ROLL_OUT, MOVE, RESTORE, EXPIRE, SUSPEND, RESUME, REPOINT or GAP",
                )
            })
    }
}

/// One record of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// What happened.
    pub action: Action,
    /// To which instrument; empty for a gap.
    pub token: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// For whom.
    pub owner: Box<str>,
    /// When; kept to the microsecond.
    pub at: Utc,
}

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the order of all records.
    pub id: i64,
    /// The record.
    pub record: AuditRecord,
}

/// Which records are wanted; every condition that is there must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditQuery {
    /// Of this instrument.
    pub token: Option<String>,
    /// Of this action.
    pub action: Option<Action>,
    /// Not before this.
    pub since: Option<Utc>,
    /// What was subscribed then: of each token the last record up to this that tells
    /// whether it is, if it is; by token instead of newest first.
    pub as_of: Option<Utc>,
    /// How many rows a page has at most; 0 counts as 1.
    pub limit: usize,
    /// Where to go on: `next` of the page before. Absent for the first page.
    pub cursor: Option<Cursor>,
}

/// One page of rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditPage {
    /// The rows.
    pub items: Vec<AuditRow>,
    /// Where the next page goes on; absent at the end.
    pub next: Option<Cursor>,
}

/// A place between two pages. As text it is opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub(crate) Place);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Rows before this id, newest first.
    Before(i64),
    /// Tokens after this one.
    After(String),
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Before(id) => write!(f, "b{id}"),
            Place::After(token) => write!(f, "a{token}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let place = match text.as_bytes().first() {
            Some(b'b') => text[1..].parse().ok().map(Place::Before),
            Some(b'a') => Some(Place::After(text[1..].to_owned())),
            _ => None,
        };
        place.map(Self).ok_or_else(|| Error::Cursor {
            text: text.chars().take(64).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_actions_are_read_back() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
        }
        assert!("SUBSCRIBED".parse::<Action>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", number in "b[-0-9]{0,30}") {
            let _ = text.parse::<Action>();
            let _ = number.parse::<Cursor>();
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
            }
        }
    }
}
