use core::error::Error as _;
use core::fmt;
use core::time::Duration;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::fmt::rfc2822;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use strikewire_broker::{
    Candle, CandleRequest, ChainSnapshot, MasterFile, MasterLayout, Reference, ReferenceError,
    Snapshot,
};
use strikewire_types::{Expiry, InstrumentKey, PriceStep};
use tokio::time::{sleep, timeout};
use url::Url;

use super::config::{API_URL, MASTER_URL, RestConfig, RestLimits, RestTimeouts, base, is_local};
use super::failure::{Answer, NOT_SENT};
use super::gate::Gate;
use super::limiter::{Question, Refusal};
use super::secret::{presented, without_token};
use super::{candles, chain, master, quotes};
use crate::{Error, TokenSource};

/// No answer is longer: candles of ninety days are a few megabytes.
const LONGEST_ANSWER: usize = 32 << 20;

/// Nobody is left alone for longer, whatever a header says.
const LONGEST_REST: Duration = Duration::from_secs(3_600);

/// Dhan's request side, see [`Reference`].
///
/// Cheap to clone; clones share their connections and limits. Every process has limits
/// of its own, though the broker counts by account: one process per account should ask.
///
/// Calls run on a tokio runtime with IO and time enabled.
#[derive(Clone)]
pub struct DhanRest(Arc<Inner>);

struct Inner {
    url: Url,
    master_url: Url,
    client_id: HeaderValue,
    token: TokenSource,
    limits: RestLimits,
    timeouts: RestTimeouts,
    gate: Gate,
    api: reqwest::Client,
    files: reqwest::Client,
}

impl fmt::Debug for DhanRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DhanRest")
            .field("url", &self.0.url.as_str())
            .field("client_id", &self.0.client_id)
            .field("token", &self.0.token)
            .field("master_url", &self.0.master_url.as_str())
            .field("limits", &self.0.limits)
            .field("timeouts", &self.0.timeouts)
            .finish_non_exhaustive()
    }
}

impl DhanRest {
    /// A client that has asked nothing yet.
    ///
    /// # Errors
    ///
    /// When the configuration can never work. The token is looked at when something is
    /// asked, not here.
    pub fn new(config: RestConfig) -> Result<Self, Error> {
        let client_id = config.client_id.trim();
        if client_id.is_empty() {
            return Err(Error::ClientIdMissing);
        }
        let client_id = HeaderValue::from_str(client_id).map_err(|_| Error::ClientIdUnusable)?;
        let url = base(&config.url, "api", API_URL)?;
        let master_url = base(&config.master_url, "instrument master", MASTER_URL)?;
        let timeouts = config.timeouts;
        Ok(Self(Arc::new(Inner {
            // A redirect would take the token elsewhere.
            api: http(&url, timeouts, Policy::none())?,
            files: http(&master_url, timeouts, Policy::limited(5))?,
            url,
            master_url,
            client_id,
            token: config.token,
            limits: config.limits,
            timeouts,
            gate: Gate::new(config.limits, config.seed),
        })))
    }
}

fn http(url: &Url, timeouts: RestTimeouts, redirects: Policy) -> Result<reqwest::Client, Error> {
    // The authorities and the provider that the feed uses too: nothing of the system's.
    let provider = rustls::crypto::CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::Http {
            source: Box::new(source),
        })?
        .with_root_certificates(rustls::RootCertStore { roots })
        .with_no_client_auth();
    let mut http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(url.scheme() == "https")
        .redirect(redirects)
        .connect_timeout(timeouts.connect)
        .user_agent(concat!("strikewire/", env!("CARGO_PKG_VERSION")));
    if is_local(url) {
        // A proxy for the internet does not know what runs here.
        http = http.no_proxy();
    }
    http.build().map_err(|source| Error::Http {
        source: Box::new(source),
    })
}

impl Inner {
    /// Asks once its turn has come, and again where that is of use.
    async fn ask<T>(
        &self,
        call: &'static str,
        question: Question,
        path: &str,
        body: &(impl Serialize + Sync),
        read: impl Fn(Answer<'_>) -> Result<T, ReferenceError> + Send + Sync,
    ) -> Result<T, ReferenceError> {
        let total = self.timeouts.total;
        match timeout(total, self.tries(call, question, path, body, &read)).await {
            Ok(answer) => answer,
            Err(_) => Err(ReferenceError::Unavailable {
                call,
                detail: format!("no answer within {total:?}, waits and repetitions included"),
            }),
        }
    }

    async fn tries<T>(
        &self,
        call: &'static str,
        question: Question,
        path: &str,
        body: &(impl Serialize + Sync),
        read: &(impl Fn(Answer<'_>) -> Result<T, ReferenceError> + Send + Sync),
    ) -> Result<T, ReferenceError> {
        let mut place = None;
        let mut repetitions = 0;
        loop {
            let pass = self.gate.pass(question, place).await;
            let pass = pass.map_err(|refusal| self.refused(call, refusal))?;
            place = Some(pass.ticket);
            let mut error = match self.once(call, path, body, read).await {
                Ok(answer) => {
                    self.gate.answered(&pass);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let is_final = repetitions == self.limits.retries;
            match &mut error {
                ReferenceError::Limited {
                    retry_after,
                    code,
                    detail,
                    ..
                } => {
                    let rest = self.gate.limited(&pass, *retry_after);
                    *retry_after = Some(rest);
                    tracing::warn!(call, code, detail, ?rest, "asked too often");
                    if is_final || rest > self.limits.retry_wait {
                        return Err(error);
                    }
                }
                ReferenceError::Unavailable { detail, .. } => {
                    tracing::debug!(call, detail, "request failed");
                    if is_final {
                        return Err(error);
                    }
                    sleep(self.backoff(repetitions)).await;
                }
                _ => {
                    self.gate.answered(&pass);
                    return Err(error);
                }
            }
            repetitions += 1;
        }
    }

    fn backoff(&self, repetitions: u32) -> Duration {
        let wait = self.limits.backoff.saturating_mul(1 << repetitions.min(8));
        wait.saturating_add(wait.mul_f64(self.gate.random()))
    }

    fn refused(&self, call: &'static str, refusal: Refusal) -> ReferenceError {
        let detail = if refusal.is_for_today {
            let requests = self.limits.data_per_day;
            format!("all {requests} requests of today are used up")
        } else {
            format!(
                "its turn would come in {:.1} s, later than {:.1} s",
                refusal.wait.as_secs_f64(),
                self.limits.max_wait.as_secs_f64()
            )
        };
        ReferenceError::Limited {
            call,
            code: NOT_SENT.to_owned(),
            detail,
            retry_after: Some(refusal.wait),
        }
    }

    /// One request with the token as it is now.
    async fn once<T>(
        &self,
        call: &'static str,
        path: &str,
        body: &(impl Serialize + Sync),
        read: &(impl Fn(Answer<'_>) -> Result<T, ReferenceError> + Send + Sync),
    ) -> Result<T, ReferenceError> {
        let unusable = |detail| ReferenceError::Credentials {
            call,
            code: NOT_SENT.to_owned(),
            detail,
        };
        let token = self
            .token
            .read()
            .map_err(|error| unusable(error.to_string()))?;
        let mut header = HeaderValue::from_str(token.expose_secret()).map_err(|_| {
            unusable("the access token has characters no header can have".to_owned())
        })?;
        header.set_sensitive(true);
        let answer = async {
            let url = self
                .url
                .join(path)
                .map_err(|_| ReferenceError::Unexpected {
                    call,
                    detail: format!("{path} is no path"),
                })?;
            let request = self
                .api
                .post(url)
                .timeout(self.timeouts.answer)
                .header(ACCEPT, "application/json")
                .header(CONTENT_TYPE, "application/json")
                .header("access-token", header)
                .header("client-id", &self.client_id)
                .json(body);
            let response = request.send().await.map_err(|error| lost(call, &error))?;
            let (status, retry_after) = (response.status().as_u16(), asked_for(response.headers()));
            let body = body_of(call, response).await?;
            let answer = Answer {
                status,
                retry_after,
                body: &body,
            };
            read(answer).or_else(|error| match masked(&body, &token) {
                // What is said of a body is said of one without the token in it.
                Some(body) => read(Answer {
                    body: &body,
                    ..answer
                }),
                None => Err(error),
            })
        };
        answer.await.map_err(|error| presented(error, Some(&token)))
    }
}

/// The body without the token; none when it was not in it.
fn masked(body: &[u8], token: &SecretString) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(body);
    let masked = without_token(&text, token);
    (masked != text).then(|| masked.into_bytes())
}

async fn body_of(
    call: &'static str,
    mut response: reqwest::Response,
) -> Result<Vec<u8>, ReferenceError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(call, &error))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(ReferenceError::Unexpected {
                call,
                detail: format!("a body of more than {LONGEST_ANSWER} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// No answer, or only a part of one. What is at the bottom of the error tells most, and
/// has no address in it.
pub(super) fn lost(call: &'static str, error: &reqwest::Error) -> ReferenceError {
    let detail = if error.is_timeout() && error.is_connect() {
        "no connection in time".to_owned()
    } else if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        let mut cause: &dyn core::error::Error = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        match error.source() {
            Some(_) => cause.to_string(),
            None => "the request failed".to_owned(),
        }
    };
    ReferenceError::Unavailable { call, detail }
}

/// How long a header asks to wait: seconds, or a date.
pub(super) fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            let date = Duration::from_secs(u64::try_from(date.as_second()).ok()?);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            date.saturating_sub(now)
        }
    };
    Some(wait.min(LONGEST_REST))
}

impl Reference for DhanRest {
    fn quotes_per_call(&self) -> usize {
        quotes::QUOTES_PER_CALL
    }

    async fn quotes(
        &self,
        wanted: &[(InstrumentKey, PriceStep)],
    ) -> Result<Vec<Snapshot>, ReferenceError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let request = quotes::request(wanted)?;
        let read = |answer: Answer<'_>| quotes::quotes(answer, wanted);
        let path = "v2/marketfeed/quote";
        let ask = self
            .0
            .ask(quotes::CALL, Question::Quotes, path, &request, read);
        ask.await
    }

    async fn option_chain(
        &self,
        underlying: InstrumentKey,
        expiry: Expiry,
    ) -> Result<ChainSnapshot, ReferenceError> {
        let question = Question::Chain(underlying, Some(expiry));
        let request = chain::Request::new(underlying, Some(expiry));
        let read = |answer: Answer<'_>| chain::option_chain(answer, underlying.segment);
        let ask = self
            .0
            .ask(chain::CALL, question, "v2/optionchain", &request, read);
        ask.await
    }

    async fn expiries(&self, underlying: InstrumentKey) -> Result<Vec<Expiry>, ReferenceError> {
        let question = Question::Chain(underlying, None);
        let request = chain::Request::new(underlying, None);
        let path = "v2/optionchain/expirylist";
        let read = |answer: Answer<'_>| chain::expiries(answer);
        let ask = self
            .0
            .ask(chain::EXPIRIES_CALL, question, path, &request, read);
        ask.await
    }

    async fn candles(&self, request: &CandleRequest) -> Result<Vec<Candle>, ReferenceError> {
        let mut found = Vec::new();
        let mut nothing = None;
        let mut answered = false;
        for part in candles::requests(request)? {
            let read = |answer: Answer<'_>| candles::candles(answer, request.step);
            let ask = self
                .0
                .ask(candles::CALL, Question::Candles, part.path, &part, read);
            match ask.await {
                Ok(candles) => {
                    answered = true;
                    found.extend(candles);
                }
                // A part may lie before the instrument was listed.
                Err(error @ ReferenceError::NoData { .. }) => nothing = Some(error),
                Err(error) => return Err(error),
            }
        }
        match nothing {
            Some(error) if !answered => Err(error),
            _ => Ok(candles::of_span(found, request)),
        }
    }

    async fn instrument_master(
        &self,
        layout: MasterLayout,
        into: &Path,
    ) -> Result<MasterFile, ReferenceError> {
        let inner = &*self.0;
        let url = master::url(&inner.master_url, layout)?;
        let mut repetitions = 0;
        loop {
            let fetch = master::fetch(&inner.files, url.clone(), into, inner.timeouts.master);
            let error = match fetch.await {
                Ok(file) => return Ok(file),
                Err(error) => error,
            };
            let wait = match &error {
                ReferenceError::Unavailable { .. } => inner.backoff(repetitions),
                ReferenceError::Limited { retry_after, .. } => {
                    retry_after.unwrap_or(inner.limits.rest_first)
                }
                _ => return Err(error),
            };
            if repetitions == inner.limits.retries || wait > inner.limits.retry_wait {
                return Err(error);
            }
            tracing::debug!(%error, "instrument master not fetched");
            sleep(wait).await;
            repetitions += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_says_how_long_to_wait() {
        let told = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            asked_for(&headers)
        };
        assert_eq!(told("7"), Some(Duration::from_secs(7)));
        assert_eq!(told(" 0 "), Some(Duration::ZERO));
        assert_eq!(told("999999999"), Some(LONGEST_REST));
        assert_eq!(told("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(told("Thu, 31 Dec 9998 23:59:59 GMT"), Some(LONGEST_REST));
        for text in ["", "soon", "-1", "1.5"] {
            assert_eq!(told(text), None, "{text}");
        }
        assert_eq!(asked_for(&HeaderMap::new()), None);
    }
}
