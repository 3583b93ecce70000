/// What can go wrong with leases. No message holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Redis is away, or did not answer in time. Whether the operation was done is not known;
    /// all operations may be repeated.
    #[error("redis {server} is not available: {reason}")]
    Unavailable {
        /// Which one, without a password.
        server: String,
        /// Why.
        reason: String,
    },
    /// Redis answered with an error of its own.
    #[error("redis {server} refused {doing}")]
    Refused {
        /// Which one, without a password.
        server: String,
        /// What was asked.
        doing: &'static str,
        /// What it said.
        #[source]
        source: redis::RedisError,
    },
    /// Redis answered what no script of ours answers.
    #[error("redis {server} answered {doing} with something else than {expected}")]
    Answer {
        /// Which one, without a password.
        server: String,
        /// What was asked.
        doing: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A record that is no record.
    #[error("the record {key} in redis is not one")]
    Record {
        /// Its key, without the prefix.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A text that names no Redis. It is not repeated: it may hold a password.
    #[error("the redis URL is not one: {expected}")]
    Url {
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A session that is none.
    #[error("`{text}` is no session: it has 1 to 128 of letters, digits, `.`, `_` and `-`")]
    Session {
        /// The text as it was given, cut to 140 characters.
        text: String,
    },
    /// A subscriber that is none.
    #[error("`{text}` is no subscriber: it is `USER_session_SESSION`, such as `7_session_web`")]
    Subscriber {
        /// The text as it was given, cut to 200 characters.
        text: String,
    },
    /// A value of a mock run was to be shared.
    #[error("a mock run writes no value into redis (the first is {key})")]
    Mock {
        /// The key of the first value.
        key: String,
    },
}

impl Error {
    /// Whether Redis is away, so that the caller goes on with what it has.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// As much of a text as a message should repeat.
pub(crate) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
