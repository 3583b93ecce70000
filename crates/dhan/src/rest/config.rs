use core::fmt;
use core::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::{Error, TokenSource};

/// Where Dhan answers requests.
pub const API_URL: &str = "https://api.dhan.co";

/// Where Dhan's instrument master lies, as `api-scrip-master.csv` and
/// `api-scrip-master-detailed.csv`. It asks for no credentials, and gets none.
pub const MASTER_URL: &str = "https://images.dhan.co/api-data";

/// How to ask Dhan. The client id and the token have no default that works:
///
/// ```
/// use strikewire_dhan::{DhanRest, RestConfig, TokenSource};
///
/// let rest = DhanRest::new(RestConfig {
///     client_id: "1000000001".to_owned(),
///     token: TokenSource::File("/run/secrets/dhan-token".into()),
///     ..RestConfig::default()
/// })?;
/// # Ok::<(), strikewire_dhan::Error>(())
/// ```
#[derive(Clone)]
pub struct RestConfig {
    /// The address, `http://` or `https://`, without a query. Default [`API_URL`].
    pub url: String,
    /// The id of the Dhan account. Default none.
    pub client_id: String,
    /// Where the access token comes from. Default none.
    pub token: TokenSource,
    /// Where the files of the instrument master lie. Default [`MASTER_URL`].
    pub master_url: String,
    /// How often to ask.
    pub limits: RestLimits,
    /// How long to wait for answers.
    pub timeouts: RestTimeouts,
    /// For the jitter of the waits. Give every process another one, or they will
    /// return in step. Default 0.
    pub seed: u64,
}

impl Default for RestConfig {
    fn default() -> Self {
        Self {
            url: API_URL.to_owned(),
            client_id: String::new(),
            token: TokenSource::Fixed(SecretString::default()),
            master_url: MASTER_URL.to_owned(),
            limits: RestLimits::default(),
            timeouts: RestTimeouts::default(),
            seed: 0,
        }
    }
}

impl fmt::Debug for RestConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address is shown only when it cannot have a secret in it.
        let shown = |text| match base(text, "api", API_URL) {
            Ok(url) => url.to_string(),
            Err(_) => "not a url".to_owned(),
        };
        f.debug_struct("RestConfig")
            .field("url", &shown(&self.url))
            .field("client_id", &self.client_id)
            .field("token", &self.token)
            .field("master_url", &shown(&self.master_url))
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .field("seed", &self.seed)
            .finish()
    }
}

/// How often Dhan is asked. The defaults keep a tenth of distance to what the DhanHQ
/// documentation allows, since requests do not arrive as evenly as they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestLimits {
    /// Between two requests for quotes; one a second is allowed. Default 1.1 s.
    pub quote_every: Duration,
    /// Between two requests for the same chain; one in three seconds is allowed.
    /// Default 3.1 s.
    pub chain_every: Duration,
    /// Between two requests for candles, chains or expiries; five a second are allowed.
    /// Default 220 ms.
    pub data_every: Duration,
    /// Requests for candles, chains and expiries on a date in India, counted by this
    /// process alone. Default 100,000, as allowed.
    pub data_per_day: u32,
    /// How long a request may wait for its turn; one that would have to wait longer is
    /// refused at once. Default 30 s.
    pub max_wait: Duration,
    /// How long a family rests after the broker has said that it is asked too often,
    /// unless it says for how long; twice as long each time in a row. Default 1 s.
    pub rest_first: Duration,
    /// The longest such rest. Default 30 s.
    pub rest_longest: Duration,
    /// How often a request that failed for a reason that passes is made again.
    /// Default 2.
    pub retries: u32,
    /// The longest rest after which a request that was one too many is made again.
    /// Default 3 s.
    pub retry_wait: Duration,
    /// How long to wait before a request is made again when the broker was not
    /// available, plus up to as much at random; twice as long each time.
    /// Default 250 ms.
    pub backoff: Duration,
}

impl Default for RestLimits {
    fn default() -> Self {
        Self {
            quote_every: Duration::from_millis(1_100),
            chain_every: Duration::from_millis(3_100),
            data_every: Duration::from_millis(220),
            data_per_day: 100_000,
            max_wait: Duration::from_secs(30),
            rest_first: Duration::from_secs(1),
            rest_longest: Duration::from_secs(30),
            retries: 2,
            retry_wait: Duration::from_secs(3),
            backoff: Duration::from_millis(250),
        }
    }
}

/// How long to wait for Dhan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestTimeouts {
    /// For a connection, TLS included. Default 5 s.
    pub connect: Duration,
    /// For the whole answer of one try. Default 15 s.
    pub answer: Duration,
    /// For one request with its turn in the line and its repetitions. Candles of a long
    /// span are several requests. Default 60 s.
    pub total: Duration,
    /// For the whole instrument master in one try. Default 300 s.
    pub master: Duration,
}

impl Default for RestTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(15),
            total: Duration::from_secs(60),
            master: Duration::from_secs(300),
        }
    }
}

/// An address under which paths can be put, without anything secret in it.
pub(super) fn base(text: &str, what: &'static str, example: &'static str) -> Result<Url, Error> {
    let bad = |reason| Error::RestUrl {
        what,
        reason,
        example,
    };
    let mut url = Url::parse(text.trim()).map_err(|_| bad("is not a url"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("has another scheme"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad("has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("has a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("has a query"));
    }
    // Joined to, a path without it loses its last part.
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Whether an address is on this machine.
pub(super) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_fine() {
        for (text, path, local) in [
            ("https://api.dhan.co", "https://api.dhan.co/v2/x", false),
            (
                " http://127.0.0.1:9000/ ",
                "http://127.0.0.1:9000/v2/x",
                true,
            ),
            ("http://[::1]:9000/api", "http://[::1]:9000/api/v2/x", true),
            ("http://localhost/a/b/", "http://localhost/a/b/v2/x", true),
        ] {
            let url = base(text, "api", API_URL).unwrap();
            assert_eq!(url.join("v2/x").unwrap().as_str(), path);
            assert_eq!(is_local(&url), local, "{text}");
        }
    }

    #[test]
    fn addresses_that_are_not_are_refused_without_being_shown() {
        for text in [
            "",
            "api.dhan.co",
            "wss://api.dhan.co/s3cret",
            "http://",
            "https://user:s3cret@api.dhan.co",
            "https://api.dhan.co?token=s3cret",
            "https://api.dhan.co#s3cret",
            "https://api dhan/s3cret",
        ] {
            let error = base(text, "api", API_URL).unwrap_err();
            let config = RestConfig {
                url: text.to_owned(),
                master_url: text.to_owned(),
                ..RestConfig::default()
            };
            let shown = format!("{error} {error:?} {config:?}");
            assert!(
                !shown.contains("s3cret") && shown.contains("https://api.dhan.co"),
                "{shown}"
            );
        }
    }
}
