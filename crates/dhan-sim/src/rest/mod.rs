//! The REST side of the broker, on the same address as the feed.
//!
//! | call | |
//! |---|---|
//! | `POST /v2/marketfeed/ltp`, `ohlc`, `quote` | at most 1,000 instruments |
//! | `POST /v2/optionchain` | a chain |
//! | `POST /v2/optionchain/expirylist` | the expiries of an underlying |
//! | `POST /v2/charts/intraday`, `historical` | candles of the market's past |
//! | `GET /api-scrip-master.csv` | the instrument master, compact, without credentials |
//!
//! The answers have the shape of the broker's: numbers without a fraction where there is
//! none in quotes and chains, and always with one in charts; strikes with six decimals;
//! an underlying's price in single precision; unknown ids left out. They show the market
//! that the feed shows, which knows no closing hours. The detailed master is not there.
//!
//! Limits are those of [`RestLimits`], by real time. Faults are injected through
//! [`SimHandle`](crate::SimHandle), see [`RestFault`].
//!
//! [`State::answer`] is all of it without a socket: it depends on its arguments alone.

mod chain;
mod charts;
mod control;
mod faults;
mod limits;
mod master;
mod numbers;
mod quotes;
mod request;
mod state;
#[cfg(test)]
mod tests;
mod untraded;

pub use faults::{RestCounters, RestFault, bodies};
pub use limits::RestLimits;
pub use request::{Answer, Request};
pub use state::State;

use core::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, LAST_MODIFIED};
use hyper::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use jiff::tz::Offset;
use strikewire_types::IST_OFFSET_SECONDS;

use crate::server::RestState;

/// Bytes of a body. A call with 1,000 instruments has a tenth of it.
const MOST_BYTES: usize = 128 * 1024;

/// For a body to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers a request that does not ask for the feed.
///
/// # Cancel safety
///
/// A call whose body has arrived was counted and answered, heard or not.
pub(crate) async fn handle(
    state: &RestState,
    request: hyper::Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let arrives = tokio::time::timeout(PATIENCE, Limited::new(body, MOST_BYTES).collect());
    let body = match arrives.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT),
    };
    let request = Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        access_token: text(&parts.headers, "access-token"),
        client_id: text(&parts.headers, "client-id"),
        body: &body,
    };
    let answer = {
        let mut rest = state.rest().lock();
        let (now, at) = (state.now(), state.elapsed());
        state.with(|core| rest.answer(core, now, at, &request))
    };
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(Ok(modified)) = answer.last_modified.map(HeaderValue::try_from) {
        headers.insert(LAST_MODIFIED, modified);
    }
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// `dd/MM/yyyy HH:mm:ss` by the clocks of India, of true Unix seconds.
fn wall_clock(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let india = Offset::from_seconds(IST_OFFSET_SECONDS).unwrap_or(Offset::UTC);
    let time = india.to_datetime(time);
    time.strftime("%d/%m/%Y %H:%M:%S").to_string()
}
