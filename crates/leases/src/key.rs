use core::cmp::Ordering;
use core::fmt;
use core::hash::{BuildHasher, Hash, Hasher};
use core::str::FromStr;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::Error;
use crate::error::cut;

/// How the keys of records begin.
pub(crate) const RECORD: &str = "indicator_sub:";
const SESSION: &str = "_session_";
/// Characters of a session's id.
const SESSION_LIMIT: usize = 128;

/// What is leased: one indicator of one symbol and timeframe. Cheap to clone.
#[derive(Clone)]
pub struct LeaseKey(Arc<Inner>);

struct Inner {
    /// `{symbol, ':' as %3A}:{timeframe}:{indicator_id}`: all there is to tell keys apart.
    name: Box<str>,
    /// Only where it differs from the beginning of the name.
    symbol: Option<Box<str>>,
    /// Where the parts after the symbol begin in the name.
    timeframe: usize,
    indicator: usize,
    /// Of the name; keys are looked up far more often than made.
    hash: u64,
}

impl LeaseKey {
    /// From a canonical token, a timeframe and the canonical id of an indicator. Nothing is
    /// checked or made canonical here.
    #[must_use]
    pub fn new(symbol: &str, timeframe: &str, indicator_id: &str) -> Self {
        let symbol_part = symbol.replace(':', "%3A");
        let timeframe_part = timeframe.replace(':', "%3A");
        let indicator_part = indicator_id.replace(':', "%3A");
        let name = format!("{symbol_part}:{timeframe_part}:{indicator_part}");
        let decoded = symbol_part.replace("%3A", ":");
        Self(Arc::new(Inner {
            symbol: (decoded != symbol_part).then(|| decoded.into()),
            timeframe: symbol_part.len() + 1,
            indicator: symbol_part.len() + timeframe_part.len() + 2,
            hash: FixedState::default().hash_one(name.as_str()),
            name: name.into(),
        }))
    }

    /// The canonical token, with its `:` where it has one.
    #[must_use]
    pub fn symbol(&self) -> &str {
        let beginning = || self.0.name.get(..self.0.timeframe - 1).unwrap_or_default();
        self.0.symbol.as_deref().unwrap_or_else(beginning)
    }

    /// Such as `5min`.
    #[must_use]
    pub fn timeframe(&self) -> &str {
        let Inner {
            name,
            timeframe,
            indicator,
            ..
        } = &*self.0;
        name.get(*timeframe..*indicator - 1).unwrap_or_default()
    }

    /// Such as `RSI_14`.
    #[must_use]
    pub fn indicator_id(&self) -> &str {
        self.0.name.get(self.0.indicator..).unwrap_or_default()
    }

    /// `{symbol}:{timeframe}:{indicator_id}` with the `:` of a symbol as `%3A`.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// What the record is called, without a prefix: `indicator_sub:NIFTY:5min:RSI_14`. A `:`
    /// in the symbol is `%3A`.
    #[must_use]
    pub fn lease_key(&self) -> String {
        format!("{RECORD}{}", self.0.name)
    }

    /// What the latest value is called, without a prefix:
    /// `indicator_value:NIFTY:5min:RSI_14:latest`, in a mock run `mock_indicator_value:...`.
    #[must_use]
    pub fn value_key(&self, mock: bool) -> String {
        let mock = if mock { "mock_" } else { "" };
        format!("{mock}indicator_value:{}:latest", self.0.name)
    }

    /// Back from [`lease_key`](Self::lease_key); absent: the text is none.
    #[must_use]
    pub fn parse(lease_key: &str) -> Option<Self> {
        Self::from_name(lease_key.strip_prefix(RECORD)?)
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut parts = name.split(':');
        let (symbol, timeframe, indicator) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none();
        let some = !symbol.is_empty() && !timeframe.is_empty() && !indicator.is_empty();
        (whole && some).then(|| Self::new(symbol, timeframe, indicator))
    }
}

impl PartialEq for LeaseKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.hash == other.0.hash && self.0.name == other.0.name)
    }
}

impl Eq for LeaseKey {}

impl PartialOrd for LeaseKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LeaseKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

impl Hash for LeaseKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl LeaseKey {
    /// The hash of its name.
    pub(crate) fn hash_of_name(&self) -> u64 {
        self.0.hash
    }
}

/// The record's key, without a prefix.
impl fmt::Display for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(RECORD)?;
        f.write_str(&self.0.name)
    }
}

impl fmt::Debug for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who wants an indicator: a user in one of their sessions. Two sessions of a user are two
/// subscribers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subscriber {
    /// The user.
    pub user: u64,
    /// The session: 1 to 128 of `[A-Za-z0-9._-]`. The stores refuse another.
    pub session: Arc<str>,
}

impl Subscriber {
    /// The user in the session.
    ///
    /// # Errors
    ///
    /// [`Error::Session`] when the text cannot be a session's id.
    pub fn new(user: u64, session: &str) -> Result<Self, Error> {
        check_session(session)?;
        Ok(Self {
            user,
            session: session.into(),
        })
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_session(&self.session)
    }
}

pub(crate) fn check_session(session: &str) -> Result<(), Error> {
    // Every byte is looked at, with no branch: many at once.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'.' | b'_' | b'-');
    let all = |session: &str| session.bytes().fold(true, |all, it| all & allowed(it));
    if (1..=SESSION_LIMIT).contains(&session.len()) && all(session) {
        return Ok(());
    }
    Err(Error::Session {
        text: cut(session, 140),
    })
}

/// As it stands in a record: `7_session_web`.
impl fmt::Display for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SESSION}{}", self.user, self.session)
    }
}

impl FromStr for Subscriber {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Subscriber {
            text: cut(text, 200),
        };
        // The first one: a user has no letters, a session may have these.
        let (user, session) = text.split_once(SESSION).ok_or_else(bad)?;
        // Written in one way only, so that no two texts are one subscriber.
        let canonical = user.bytes().all(|byte| byte.is_ascii_digit())
            && (user == "0" || !user.starts_with('0'));
        if !canonical {
            return Err(bad());
        }
        let user = user.parse().map_err(|_| bad())?;
        Self::new(user, session).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_named_as_others_know_them() {
        let key = LeaseKey::new("BSE:RELIANCE_26FEB2026_1440CE", "15min", "MACD_12_26_9");
        let name = "BSE%3ARELIANCE_26FEB2026_1440CE:15min:MACD_12_26_9";
        assert_eq!(key.lease_key(), format!("indicator_sub:{name}"));
        assert_eq!(
            key.value_key(false),
            format!("indicator_value:{name}:latest")
        );
        assert_eq!(
            key.value_key(true),
            format!("mock_indicator_value:{name}:latest")
        );
        assert_eq!(key.symbol(), "BSE:RELIANCE_26FEB2026_1440CE");
        assert_eq!(key.timeframe(), "15min");
        assert_eq!(key.indicator_id(), "MACD_12_26_9");
        assert_eq!(LeaseKey::parse(&key.lease_key()), Some(key));
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in [
            "",
            "indicator_sub:",
            "indicator_sub:NIFTY:5min",
            "indicator_sub:NIFTY:5min:",
            "indicator_sub::5min:RSI_14",
            "indicator_sub:NIFTY:5min:RSI_14:x",
            "indicator_value:NIFTY:5min:RSI_14",
        ] {
            assert_eq!(LeaseKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_session_is_matched_as_a_whole() {
        let subscriber: Subscriber = "7_session_a_session_b".parse().unwrap();
        assert_eq!((subscriber.user, &*subscriber.session), (7, "a_session_b"));
        assert_eq!(subscriber.to_string(), "7_session_a_session_b");
        let long = "a".repeat(129);
        for session in ["", "a b", "a:b", "a\"b", "a\nb", "\u{e9}", &long] {
            assert!(Subscriber::new(7, session).is_err(), "{session}");
            assert!(
                format!("7_session_{session}")
                    .parse::<Subscriber>()
                    .is_err()
            );
        }
        for text in [
            "",
            "7",
            "_session_a",
            "x_session_a",
            "07_session_a",
            "+7_session_a",
        ] {
            assert!(text.parse::<Subscriber>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_parts_come_back(symbol in "\\PC{1,12}", timeframe in "\\PC{1,6}", id in "\\PC{1,9}") {
            let key = LeaseKey::new(&symbol, &timeframe, &id);
            let back = LeaseKey::parse(&key.lease_key()).unwrap();
            prop_assert_eq!(&back, &key);
            prop_assert_eq!(back.symbol(), symbol.replace("%3A", ":"));
            prop_assert_eq!(back.symbol(), key.symbol());
            prop_assert_eq!(back.timeframe(), timeframe.replace(':', "%3A"));
            prop_assert_eq!(back.indicator_id(), id.replace(':', "%3A"));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = LeaseKey::parse(&text);
            let _ = LeaseKey::parse(&format!("indicator_sub:{text}"));
            if let Ok(subscriber) = text.parse::<Subscriber>() {
                prop_assert_eq!(subscriber.to_string(), text);
            }
        }

        #[test]
        fn any_subscriber_comes_back(user: u64, session in "[A-Za-z0-9._-]{1,128}") {
            let subscriber = Subscriber::new(user, &session).unwrap();
            prop_assert_eq!(subscriber.to_string().parse::<Subscriber>().unwrap(), subscriber);
        }
    }
}
