use std::time::Duration;

/// What can go wrong with the database. No message holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that names no database. It is not repeated: it may hold a password.
    #[error("the database URL is not one: {expected}")]
    Url {
        /// What would have been accepted.
        expected: &'static str,
    },
    /// The database could not be reached or opened.
    #[error("cannot open the database {url}")]
    Open {
        /// Which one, without a password.
        url: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The database was written by a newer version of the program. It was not touched.
    #[error(
        "the database {url} is of version {found}, and this program knows versions up to {known}: \
         start the newer program, or name another database"
    )]
    Newer {
        /// Which one, without a password.
        url: String,
        /// The version it has.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The tables could not be made or brought up to date.
    #[error("cannot bring the tables of the database {url} up to date")]
    Migrate {
        /// Which one, without a password.
        url: String,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("the database failed at: {doing}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The database did not answer in time.
    #[error("the database did not answer within {limit:?} at: {doing}")]
    TimedOut {
        /// What was being done.
        doing: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// A stored value that cannot be read back.
    #[error("table {table}, column {column}, row {row}: `{text}` is not {expected}")]
    Value {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Which row: its id or key.
        row: String,
        /// What is stored.
        text: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// The operating system gave no random bits.
    #[error("the operating system gives no random bits for a key")]
    Random {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A cursor that did not come from the same query.
    #[error("`{text}` is not a cursor of this query: take `next` of an earlier page of it")]
    Cursor {
        /// The text as it was given, cut to 64 characters.
        text: String,
    },
}

impl Error {
    /// The message with those of its causes, for a log or a reason.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let message = error.to_string();
            // Some causes repeat themselves in their parent's message.
            if !text.contains(&message) {
                text.push_str(": ");
                text.push_str(&message);
            }
            cause = error.source();
        }
        text
    }
}
