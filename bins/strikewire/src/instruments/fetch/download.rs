//! Getting a file from a server that may break off, be slow, or not know ranges.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};

use super::part::{Part, Version};
use crate::client::{CONNECT_LIMIT, cause, is_local};
use crate::progress::Progress;
use crate::tls;

/// How long nothing may come.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// No master is longer: there are some 300,000 rows of 300 bytes.
const LONGEST: u64 = 1 << 30;
/// The first wait before another attempt; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// The longest wait that a server may ask for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file on a server.
pub(super) struct Source {
    http: reqwest::Client,
    url: Url,
    retries: u32,
}

/// What a fetch ended with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// The part is whole.
    Whole {
        /// Bytes of it that were there before.
        resumed_from: u64,
    },
    /// It is the version that was known.
    Unchanged,
}

/// Why an attempt was in vain.
enum Trouble {
    /// For good.
    Final(anyhow::Error),
    /// Perhaps not for long; with how long to wait, where the server says so.
    Passing(anyhow::Error, Option<Duration>),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Final(error)
    }
}

impl Source {
    pub(super) fn new(url: Url, retries: u32, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls::config(authorities)?).clone())
            .https_only(url.scheme() == "https")
            .redirect(Policy::limited(5))
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(SILENCE_LIMIT)
            .user_agent(concat!("strikewire/", env!("CARGO_PKG_VERSION")));
        if is_local(&url) {
            // A proxy for the internet does not know what runs here.
            http = http.no_proxy();
        }
        let http = http.build().context("cannot make requests")?;
        Ok(Self { http, url, retries })
    }

    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The last segment of the address.
    pub(super) fn file_name(&self) -> String {
        let mut segments = self.url.path_segments();
        let last = segments.as_mut().and_then(Iterator::last);
        last.unwrap_or_default().to_owned()
    }

    /// Fetches it whole, going on with what is there where that is possible. `known` is
    /// the version that need not be sent again.
    ///
    /// # Cancel safety
    ///
    /// What has come stays in the part.
    pub(super) async fn fetch(
        &self,
        part: &mut Part,
        known: Option<&Version>,
        progress: &mut Progress,
    ) -> anyhow::Result<Came> {
        let mut failures = 0;
        let mut furthest = part.len();
        let here = part.resumable(self.url()).map_or(0, |(from, _)| from);
        loop {
            let (error, after) = match self.attempt(part, known, here, progress).await {
                Ok(came) => return Ok(came),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing(error, after)) => (error, after),
            };
            if part.len() > furthest {
                (furthest, failures) = (part.len(), 0);
            }
            failures += 1;
            if failures > self.retries {
                return Err(match failures {
                    1 => error,
                    _ => error.context(format!("given up after {failures} attempts")),
                });
            }
            let wait = after.unwrap_or_else(|| backoff(failures));
            if wait > PATIENCE {
                let seconds = wait.as_secs();
                return Err(error.context(format!("the server asks to wait {seconds} s")));
            }
            progress.say(&format!("{error:#}; again in {wait:?}"));
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(
        &self,
        part: &mut Part,
        known: Option<&Version>,
        here: u64,
        progress: &mut Progress,
    ) -> Result<Came, Trouble> {
        // Ranges count the bytes as they are sent.
        let mut request = self
            .http
            .get(self.url.clone())
            .header(ACCEPT_ENCODING, "identity");
        let mut resumed = None;
        let mut is_conditional = false;
        if let Some((from, strong)) = part.resumable(self.url()) {
            request = request
                .header(RANGE, format!("bytes={from}-"))
                .header(IF_RANGE, strong);
            resumed = Some(from);
        } else if let Some(known) = known {
            for (name, value) in [
                (IF_NONE_MATCH, &known.etag),
                (IF_MODIFIED_SINCE, &known.last_modified),
            ] {
                if let Some(value) = value {
                    request = request.header(name, value);
                    is_conditional = true;
                }
            }
        }
        let answer = request.send().await;
        let response = answer.map_err(|error| self.lost("cannot reach", &error))?;
        let version = Version {
            url: self.url().to_owned(),
            etag: text(response.headers(), ETAG),
            last_modified: text(response.headers(), LAST_MODIFIED),
        };
        let (total, resumed_from) = match (response.status(), resumed) {
            (StatusCode::OK, _) => {
                part.restart(version)?;
                (response.content_length(), 0)
            }
            (StatusCode::PARTIAL_CONTENT, Some(from)) => {
                let range = text(response.headers(), CONTENT_RANGE);
                let range = range.as_deref().and_then(Range::parse);
                let had = part.version();
                let is_other = (version.etag.is_some() && version.etag != had.etag)
                    || (version.last_modified.is_some()
                        && version.last_modified != had.last_modified);
                match range {
                    Some(Range::Part { first, total }) if first == from && !is_other => {
                        (total, here.min(from))
                    }
                    _ => {
                        part.restart(Version::default())?;
                        return Err(Trouble::Passing(
                            anyhow!("{} goes on with another part than asked for", self.url),
                            Some(Duration::ZERO),
                        ));
                    }
                }
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(from)) => {
                let range = text(response.headers(), CONTENT_RANGE);
                if range.as_deref().and_then(Range::parse) == Some(Range::Whole { total: from }) {
                    // Everything had come.
                    return Ok(Came::Whole {
                        resumed_from: here.min(from),
                    });
                }
                part.restart(Version::default())?;
                return Err(Trouble::Passing(
                    anyhow!("{} is shorter than what is here of it", self.url),
                    Some(Duration::ZERO),
                ));
            }
            (StatusCode::NOT_MODIFIED, None) if is_conditional => return Ok(Came::Unchanged),
            (status, _) => return Err(self.refused(status, response.headers())),
        };
        if let Some(encoding) = text(response.headers(), CONTENT_ENCODING)
            // A compressed master is told by its first bytes, however it was sent.
            && !matches!(encoding.as_str(), "identity" | "gzip" | "x-gzip")
        {
            return Err(Trouble::Final(anyhow!(
                "{} sends it encoded as {encoding}, which was not asked for",
                self.url
            )));
        }
        progress.restart(part.len(), total);
        self.receive(response, part, total, progress).await?;
        Ok(Came::Whole { resumed_from })
    }

    async fn receive(
        &self,
        mut response: Response,
        part: &mut Part,
        total: Option<u64>,
        progress: &mut Progress,
    ) -> Result<(), Trouble> {
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| {
                let what = format!("after {} bytes nothing more came from", part.len());
                self.lost(&what, &error)
            })?;
            let Some(chunk) = chunk else {
                break;
            };
            part.write(&chunk)?;
            progress.add(chunk.len() as u64);
            if part.len() > LONGEST {
                return Err(Trouble::Final(anyhow!(
                    "{} gives more than {LONGEST} bytes, which no master has",
                    self.url
                )));
            }
        }
        match total {
            Some(total) if part.len() < total => Err(Trouble::Passing(
                anyhow!("{} bytes of {total} came from {}", part.len(), self.url),
                None,
            )),
            Some(total) if part.len() > total => {
                let error = anyhow!("{} gives more than the {total} bytes it says", self.url);
                part.restart(Version::default())?;
                Err(Trouble::Passing(error, None))
            }
            _ => Ok(()),
        }
    }

    fn lost(&self, what: &str, error: &reqwest::Error) -> Trouble {
        let is_final = error.is_builder() || error.is_redirect();
        let error = anyhow!("{what} {}: {}", self.url, cause(error));
        if is_final {
            Trouble::Final(error)
        } else {
            Trouble::Passing(error, None)
        }
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap) -> Trouble {
        let error = anyhow!("{} answers {status}", self.url);
        let is_passing = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
            );
        if !is_passing {
            return Trouble::Final(error);
        }
        let after = text(headers, RETRY_AFTER).and_then(|after| after.trim().parse().ok());
        Trouble::Passing(error, after.map(Duration::from_secs))
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// How long to wait before attempt number `failures` + 1.
fn backoff(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
}

/// What `Content-Range` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// From byte `first` on, of so many where that is known.
    Part { first: u64, total: Option<u64> },
    /// Nothing of it, of so many.
    Whole { total: u64 },
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
        let total = match total.trim() {
            "*" => None,
            number => Some(number.parse().ok()?),
        };
        if range.trim() == "*" {
            return Some(Self::Whole { total: total? });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let is_range = first <= last && total.is_none_or(|total| last < total);
        is_range.then_some(Self::Part { first, total })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_says_where_it_is() {
        let part = |first, total| Some(Range::Part { first, total });
        for (text, range) in [
            ("bytes 5-9/10", part(5, Some(10))),
            ("bytes 5-9/*", part(5, None)),
            (" bytes 0-0/1 ", part(0, Some(1))),
            ("bytes */10", Some(Range::Whole { total: 10 })),
            ("bytes */*", None),
            ("bytes 9-5/10", None),
            ("bytes 5-10/10", None),
            ("bytes 5-/10", None),
            ("items 5-9/10", None),
            ("", None),
        ] {
            assert_eq!(Range::parse(text), range, "{text}");
        }
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits: Vec<u128> = (1..=8).map(|n| backoff(n).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(backoff(u32::MAX), LONGEST_WAIT);
    }

    proptest! {
        #[test]
        fn no_range_panics(text in ".*", digits in "bytes [0-9*]{0,25}-?[0-9]{0,25}/[0-9*]{0,25}") {
            let _ = Range::parse(&text);
            if let Some(Range::Part { first, total: Some(total) }) = Range::parse(&digits) {
                prop_assert!(first < total);
            }
        }
    }
}
