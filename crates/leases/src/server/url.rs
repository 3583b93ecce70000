use core::fmt;
use core::str::FromStr;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};

use crate::Error;

const EXPECTED: &str = "redis://USER:PASSWORD@HOST:PORT/DATABASE (special characters \
                        percent-encoded), rediss:// for TLS, or redis+unix:///PATH?db=N is";

/// Where Redis is. Shown without password.
///
/// ```
/// use strikewire_leases::RedisUrl;
///
/// let url: RedisUrl = "rediss://gateway:secret@cache.example:6390/2".parse()?;
/// assert_eq!(url.to_string(), "rediss://gateway@cache.example:6390/2");
/// # Ok::<(), strikewire_leases::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisUrl {
    text: SecretString,
    shown: String,
}

impl RedisUrl {
    pub(super) fn info(&self) -> Result<ConnectionInfo, Error> {
        info(self.text.expose_secret())
    }
}

fn info(text: &str) -> Result<ConnectionInfo, Error> {
    let bad = || Error::Url { expected: EXPECTED };
    let known = ["redis://", "rediss://", "redis+unix://", "unix://"];
    if !known.iter().any(|scheme| text.starts_with(scheme)) {
        return Err(bad());
    }
    let info = text.into_connection_info().map_err(|_| bad())?;
    match info.addr() {
        ConnectionAddr::Tcp(host, _) if host.is_empty() => Err(bad()),
        // Certificates that nobody checks protect nothing.
        ConnectionAddr::TcpTls { host, insecure, .. } if host.is_empty() || *insecure => Err(bad()),
        ConnectionAddr::Unix(path) if path.as_os_str().is_empty() => Err(bad()),
        _ => Ok(info),
    }
}

impl FromStr for RedisUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let info = info(text)?;
        let settings = info.redis_settings();
        // A lone word may well be a password that stands in the wrong place.
        let user = settings.password().and(settings.username());
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let database = settings.db();
        let shown = match info.addr() {
            ConnectionAddr::Tcp(host, port) => format!("redis://{user}{host}:{port}/{database}"),
            ConnectionAddr::TcpTls { host, port, .. } => {
                format!("rediss://{user}{host}:{port}/{database}")
            }
            ConnectionAddr::Unix(path) => {
                format!("redis+unix://{user}{}?db={database}", path.display())
            }
            _ => return Err(Error::Url { expected: EXPECTED }),
        };
        Ok(Self {
            text: SecretString::from(text),
            shown,
        })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret()
    }
}

impl Eq for RedisUrl {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_display_or_error_shows_a_password() {
        for (text, shown) in [
            ("redis://:hunter2@h", "redis://h:6379/0"),
            ("redis://u:hunter2@h:1/3", "redis://u@h:1/3"),
            ("rediss://u:hun%2Fter2@h/0", "rediss://u@h:6379/0"),
            (
                "redis+unix:///run/r.sock?db=2&user=u&pass=hunter2",
                "redis+unix://u@/run/r.sock?db=2",
            ),
            ("unix:///run/r.sock", "redis+unix:///run/r.sock?db=0"),
            ("redis://[::1]:7/0", "redis://::1:7/0"),
        ] {
            let url: RedisUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
        for text in [
            "",
            "localhost:6379",
            "http://u:hunter2@h",
            "redis://u:hunter2@",
            "redis://u:12/hunter2@h/db",
            "redis://u:hunter2@h/x",
            "rediss://u:hunter2@h/#insecure",
            "redis+unix://",
        ] {
            let error = text.parse::<RedisUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("redis://USER"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<RedisUrl>();
            for scheme in ["redis://", "rediss://", "redis+unix://"] {
                let _ = format!("{scheme}{text}").parse::<RedisUrl>();
            }
        }

        #[test]
        fn a_password_is_never_shown(password in "[a-zA-Z0-9!$&*+.,;=_~-]{8,20}") {
            for text in [
                format!("redis://{password}@h"),
                format!("redis://u:{password}@h/1"),
                format!("redis://:{password}@h:1/1"),
                format!("redis+unix:///run/r?pass={password}"),
                format!("redis:///{password}"),
            ] {
                match text.parse::<RedisUrl>() {
                    Ok(url) => prop_assert!(!url.to_string().contains(&password), "{url}"),
                    Err(error) => prop_assert!(!error.to_string().contains(&password)),
                }
            }
        }
    }
}
