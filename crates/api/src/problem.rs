mod code;

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use strikewire_gateway::registry::{Kind, LookupError};
use strikewire_gateway::store;
use strikewire_gateway::subscriptions::Refusal;
use strikewire_gateway::{Error, InstrumentType};
use utoipa::ToSchema;

use crate::rest::indicators::TIMEFRAMES;

pub use code::Code;

/// What went wrong, as RFC 9457 has it. The request id is added on the way out.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// A reference for the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// The stable code.
    pub code: Code,
    /// The field or parameter it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What would have been accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// What a refused request would have needed.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Room)]
    pub room: Option<Room>,
    /// What a request over its user's quota asked for.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Quota)]
    pub quota: Option<Quota>,
    /// The request it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Seconds after which a retry makes sense.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

/// The room a refused request would have needed, in instruments.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Room {
    /// Instruments that it would have put on the wire.
    #[schema(required = false)]
    pub needed: usize,
    /// Slots that are free.
    #[schema(required = false)]
    pub free: usize,
    /// Slots that eviction could have freed.
    #[schema(required = false)]
    pub evictable: usize,
}

/// What a request over its user's quota asked for, in instruments.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Quota {
    /// The most that one user may hold.
    #[schema(required = false)]
    pub quota: usize,
    /// What the user holds already.
    #[schema(required = false)]
    pub held: usize,
    /// What the request asked for.
    #[schema(required = false)]
    pub asked: usize,
}

impl Problem {
    /// A problem of `code`.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:strikewire:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            field: None,
            choices: Vec::new(),
            room: None,
            quota: None,
            request_id: None,
            retry_after: match code.status().as_u16() {
                429 | 503 => Some(1),
                _ => None,
            },
        }
    }

    /// About a field or parameter.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Inside a part of the request: the field is one of that part.
    #[must_use]
    pub(crate) fn within(mut self, part: &str) -> Self {
        self.detail = format!("{part}: {}", self.detail);
        self.field = Some(match self.field {
            Some(field) => format!("{part}.{field}"),
            None => part.to_owned(),
        });
        self
    }

    /// With what would have been accepted.
    #[must_use]
    pub fn choices(mut self, choices: Vec<String>) -> Self {
        self.choices = choices;
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        let problem = |code: Code| Self::new(code, detail.clone());
        match error {
            Error::Lookup(lookup) => from_lookup(&lookup),
            Error::Chain(strikewire_gateway::chain::Error::Width { .. }) => {
                problem(Code::InvalidWidth).field("width")
            }
            Error::Chain(strikewire_gateway::chain::Error::Price { .. }) => {
                problem(Code::InvalidPrice).field("underlying_ltp")
            }
            Error::NoPriceSource { .. } => problem(Code::NoOptions).field("symbol"),
            Error::ExpiryEnded { choices, .. } => problem(Code::ExpiryEnded)
                .field("expiry")
                .choices(choices.iter().map(ToString::to_string).collect()),
            Error::PriceUnavailable { .. } => problem(Code::PriceUnavailable),
            Error::Conflict { .. } => problem(Code::Conflict),
            Error::NoSuchItem { choices, .. } => problem(Code::UnknownItem).choices(choices),
            Error::Ambiguous { choices, .. } => problem(Code::Ambiguous).choices(choices),
            Error::Capacity(Refusal {
                quota: Some(over), ..
            }) => Self {
                quota: Some(Quota {
                    quota: over.quota,
                    held: over.held,
                    asked: over.asked,
                }),
                ..problem(Code::QuotaExceeded)
            },
            Error::Capacity(refusal) => Self {
                room: Some(Room {
                    needed: refusal.needed,
                    free: refusal.free,
                    evictable: refusal.evictable,
                }),
                ..problem(Code::CapacityExhausted)
            },
            Error::NotDurable { .. } => problem(Code::NotDurable),
            Error::ForcedTooSoon { .. } => problem(Code::ForcedTooSoon),
            Error::NoSuchSubscription { .. } => problem(Code::UnknownSubscription).field("sub"),
            Error::TooManySubscriptions { .. } | Error::TooManyIndicators { .. } => {
                problem(Code::LimitExceeded)
            }
            Error::TooManyContracts { .. } => problem(Code::LimitExceeded).field("conflate_ms"),
            Error::UnknownTimeframe { .. } => problem(Code::UnknownTimeframe)
                .field("timeframe")
                .choices(TIMEFRAMES.iter().map(ToString::to_string).collect()),
            Error::UnknownIndicator { choices, .. } => problem(Code::UnknownIndicator)
                .field("indicator_id")
                .choices(choices),
            Error::IndicatorParameter { .. } => {
                problem(Code::InvalidIndicator).field("indicator_id")
            }
            Error::TooManyKeys { .. } => problem(Code::CapacityExhausted),
            Error::NotComputed { .. } => problem(Code::NotComputed),
            Error::NoValue { .. } => problem(Code::NoValue),
            Error::Stopping => problem(Code::NotReady),
            _ => problem(Code::Internal),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Cursor { .. } => {
                Self::new(Code::InvalidValue, error.to_string()).field("cursor")
            }
            _ => {
                tracing::warn!(
                    error = error.with_causes(),
                    "The database could not be read"
                );
                Self::new(Code::StoreUnavailable, error.to_string())
            }
        }
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        from_lookup(&error)
    }
}

fn from_lookup(error: &LookupError) -> Problem {
    let (code, field) = match error {
        LookupError::UnknownSymbol { .. } => (Code::UnknownSymbol, "symbol"),
        LookupError::UnlistedExpiry { .. } => (Code::UnlistedExpiry, "expiry"),
        LookupError::UnknownReference { .. } => (Code::UnknownInstrument, "instrument"),
        LookupError::WrongKind { listed, .. } => {
            let choices: BTreeSet<_> = listed.iter().filter_map(|kind| asked_as(*kind)).collect();
            return Problem::new(Code::WrongInstrumentType, error.to_string())
                .field("instrument_type")
                .choices(choices.iter().map(ToString::to_string).collect());
        }
        LookupError::NoFutures { .. } => (Code::WrongInstrumentType, "instrument_type"),
        LookupError::NoOptions { .. } => (Code::NoOptions, "symbol"),
        LookupError::Ambiguous { .. } => (Code::Ambiguous, "instrument"),
        _ => return Problem::new(Code::Internal, error.to_string()),
    };
    Problem::new(code, error.to_string())
        .field(field)
        .choices(error.choices())
}

/// The instrument type by which what is listed as `kind` is asked for; an index by none.
fn asked_as(kind: Kind) -> Option<InstrumentType> {
    match kind {
        Kind::Index => None,
        Kind::Equity => Some(InstrumentType::Equity),
        _ if kind.is_option() => Some(InstrumentType::of_options(kind)),
        _ => Some(InstrumentType::Future),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // The body is written by the middleware that knows the request's id.
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The response of a problem to the request of `request_id`, with the headers that
/// `response` has already.
pub(crate) fn respond(mut problem: Problem, response: Response, request_id: &str) -> Response {
    problem.request_id = Some(request_id.to_owned());
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let (mut parts, _) = response.into_parts();
    parts.status = problem.code.status();
    let headers = &mut parts.headers;
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.code == Code::Unauthorized {
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"strikewire\""),
        );
    }
    Response::from_parts(parts, Body::from(body))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strikewire_gateway::subscriptions::OverQuota;

    use super::*;

    #[test]
    fn a_refusal_says_what_lacks() {
        let refusal = Refusal {
            needed: 51,
            free: 3,
            evictable: 20,
            quota: None,
        };
        let check = |refusal: Refusal, status: u16, code: &str, numbers: &[(&str, usize)]| {
            let problem = Problem::from(Error::Capacity(refusal));
            let body = serde_json::to_value(&problem).unwrap();
            assert_eq!(
                (&body["status"], &body["code"]),
                (&json!(status), &json!(code))
            );
            let given: Vec<(&str, usize)> =
                ["needed", "free", "evictable", "quota", "held", "asked"]
                    .into_iter()
                    .filter_map(|name| Some((name, body.get(name)?.as_u64()? as usize)))
                    .collect();
            assert_eq!(given, numbers);
        };
        let slots = [("needed", 51), ("free", 3), ("evictable", 20)];
        check(refusal, 503, "capacity_exhausted", &slots);
        let over = OverQuota {
            user: 7,
            quota: 100,
            held: 60,
            asked: 51,
        };
        let quota = [("quota", 100), ("held", 60), ("asked", 51)];
        let refusal = Refusal {
            quota: Some(over),
            ..refusal
        };
        check(refusal, 422, "quota_exceeded", &quota);
    }

    #[test]
    fn a_wrong_instrument_type_names_those_that_would_do() {
        let check = |error: LookupError, choices: &[&str]| {
            let problem = Problem::from(error);
            assert_eq!(problem.code, Code::WrongInstrumentType);
            assert_eq!(problem.field.as_deref(), Some("instrument_type"));
            assert_eq!(problem.choices, choices);
        };
        let listed = vec![Kind::Index, Kind::FutureIndex, Kind::OptionIndex];
        check(
            LookupError::WrongKind {
                symbol: "NIFTY".into(),
                asked: Kind::Equity,
                listed,
            },
            &["INDEX_OPTION", "FUTURE"],
        );
        let symbol = "ZEEL".into();
        check(LookupError::NoFutures { symbol }, &[]);
    }
}
