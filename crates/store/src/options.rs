use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;

use crate::Error;

/// How the database is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Audit records older than this are removed, measured by the times of the records
    /// themselves. Of each token those that tell its state at that age are kept.
    pub retention: Duration,
    /// How many audit records may wait to be written; beyond it the oldest are dropped.
    pub audit_queue: usize,
    /// How long the writer goes on at the end when the database is failing.
    pub flush_limit: Duration,
}

impl Options {
    /// The defaults: audit of 90 days, 200,000 audit records may wait, 3 s to flush.
    #[must_use]
    pub const fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            retention: Duration::from_secs(90 * 24 * 60 * 60),
            audit_queue: 200_000,
            flush_limit: Duration::from_secs(3),
        }
    }
}

/// Where the database is. Displayed without password and parameters.
///
/// ```
/// use strikewire_store::DatabaseUrl;
///
/// let url: DatabaseUrl = "postgres://gateway:secret@db.example/strikewire".parse()?;
/// assert_eq!(url.to_string(), "postgres://gateway@db.example:5432/strikewire");
/// # Ok::<(), strikewire_store::Error>(())
/// ```
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A file, made when it is not there. Its folder must be.
    Sqlite(PathBuf),
    /// A `postgres://` URL. A unix socket is named by `?host=/folder`.
    Postgres(SecretString),
}

const EXPECTED: &str = "postgres://USER:PASSWORD@HOST/DATABASE (special characters \
                        percent-encoded) or sqlite:PATH is";

impl DatabaseUrl {
    pub(crate) fn postgres(secret: &SecretString) -> Result<PgConnectOptions, Error> {
        let bad = || Error::Url { expected: EXPECTED };
        let options: PgConnectOptions = secret.expose_secret().parse().map_err(|_| bad())?;
        // The end of a password in which a slash was not percent-encoded.
        if options
            .get_database()
            .is_some_and(|name| name.contains('@'))
        {
            return Err(bad());
        }
        Ok(options)
    }
}

impl FromStr for DatabaseUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path == ":memory:" {
                return Err(Error::Url { expected: EXPECTED });
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let secret = SecretString::from(text);
            Self::postgres(&secret)?;
            return Ok(Self::Postgres(secret));
        }
        Err(Error::Url { expected: EXPECTED })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = match self {
            Self::Sqlite(path) => return write!(f, "sqlite:{}", path.display()),
            Self::Postgres(secret) => secret,
        };
        let Ok(options) = Self::postgres(secret) else {
            return f.write_str("postgres://");
        };
        write!(f, "postgres://{}@", options.get_username())?;
        match options.get_socket() {
            Some(folder) => write!(f, "{}", folder.display())?,
            None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
        }
        write!(f, "/{}", options.get_database().unwrap_or(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_display_or_error_shows_a_password() {
        for text in [
            "postgres://u:hunter2@h/db",
            "postgresql://u:hunter2@h:6432/db?password=hunter2",
            "postgres:///db?host=/run/x&user=u&password=hunter2",
            "postgres://u:hun%2Fter2@h/db",
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            for shown in [url.to_string(), format!("{url:?}")] {
                assert!(!shown.contains("hunter2"), "{shown}");
                assert!(!shown.contains("ter2"), "{shown}");
            }
        }
        for text in [
            "postgress://u:hunter2@h/db",
            "postgres://u:12/hunter2@h/db",
            "postgres://u:a/hunter2@h/db",
            "sqlite:",
            "sqlite::memory:",
            "",
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(error.to_string().contains("sqlite:PATH"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", rest in ".*") {
            let _ = text.parse::<DatabaseUrl>();
            if let Ok(url) = format!("postgres://{rest}").parse::<DatabaseUrl>() {
                let _ = url.to_string();
            }
        }
    }
}
