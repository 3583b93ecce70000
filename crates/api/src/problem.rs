use std::collections::BTreeSet;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use strikewire_gateway::registry::{Kind, LookupError};
use strikewire_gateway::store;
use strikewire_gateway::subscriptions::Refusal;
use strikewire_gateway::{Error, InstrumentType};

/// The stable codes of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// The body or a message is not JSON.
    InvalidJson,
    /// A field is missing.
    MissingField,
    /// A field or parameter is not known.
    UnknownField,
    /// A field has the wrong type, or a text is not what it should be.
    InvalidValue,
    /// The body is not `application/json`.
    UnsupportedMediaType,
    /// The body is too large.
    TooLarge,
    /// There is no such path.
    NotFound,
    /// The path does not know the method.
    MethodNotAllowed,
    /// The symbol is not listed.
    UnknownSymbol,
    /// The expiry is not listed for the symbol.
    UnlistedExpiry,
    /// No instrument has this token or key.
    UnknownInstrument,
    /// Nobody holds this instrument.
    NotSubscribed,
    /// The user has no such item.
    UnknownItem,
    /// The stream has no such subscription.
    UnknownSubscription,
    /// The item is there with other settings.
    Conflict,
    /// The symbol has no contracts of the asked kind.
    WrongInstrumentType,
    /// The symbol has no options.
    NoOptions,
    /// The last session of the contracts has ended.
    ExpiryEnded,
    /// Several items or instruments match.
    Ambiguous,
    /// A price must be above 0.
    InvalidPrice,
    /// A width must be odd, 1 to 1001.
    InvalidWidth,
    /// The chain was forced a moment ago.
    ForcedTooSoon,
    /// No price of the underlying came in time.
    PriceUnavailable,
    /// It does not fit.
    CapacityExhausted,
    /// The user would hold more than one user may.
    QuotaExceeded,
    /// The change could not be made durable.
    NotDurable,
    /// The database could not be read.
    StoreUnavailable,
    /// The server is starting or stopping.
    NotReady,
    /// A key is missing, or nobody has it.
    Unauthorized,
    /// The key does not give the right to this.
    Forbidden,
    /// There is no such session, or it has ended.
    UnknownSession,
    /// The caller asks too often.
    RateLimited,
    /// There are as many clients of the stream as there may be.
    TooManyClients,
    /// A client of the stream would have more than one may.
    LimitExceeded,
    /// The request took too long.
    Timeout,
    /// The configuration has a mistake; nothing was changed.
    InvalidConfig,
    /// A defect of the server.
    Internal,
}

impl Code {
    /// The code as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::MissingField => "missing_field",
            Self::UnknownField => "unknown_field",
            Self::InvalidValue => "invalid_value",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::TooLarge => "too_large",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnknownSymbol => "unknown_symbol",
            Self::UnlistedExpiry => "unlisted_expiry",
            Self::UnknownInstrument => "unknown_instrument",
            Self::NotSubscribed => "not_subscribed",
            Self::UnknownItem => "unknown_item",
            Self::UnknownSubscription => "unknown_subscription",
            Self::Conflict => "conflict",
            Self::WrongInstrumentType => "wrong_instrument_type",
            Self::NoOptions => "no_options",
            Self::ExpiryEnded => "expiry_ended",
            Self::Ambiguous => "ambiguous",
            Self::InvalidPrice => "invalid_price",
            Self::InvalidWidth => "invalid_width",
            Self::ForcedTooSoon => "forced_too_soon",
            Self::PriceUnavailable => "price_unavailable",
            Self::CapacityExhausted => "capacity_exhausted",
            Self::QuotaExceeded => "quota_exceeded",
            Self::NotDurable => "not_durable",
            Self::StoreUnavailable => "store_unavailable",
            Self::NotReady => "not_ready",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::UnknownSession => "unknown_session",
            Self::RateLimited => "rate_limited",
            Self::TooManyClients => "too_many_clients",
            Self::LimitExceeded => "limit_exceeded",
            Self::Timeout => "timeout",
            Self::InvalidConfig => "invalid_config",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson | Self::MissingField | Self::UnknownField | Self::InvalidValue => {
                StatusCode::BAD_REQUEST
            }
            Self::NotFound
            | Self::UnknownSymbol
            | Self::UnlistedExpiry
            | Self::UnknownInstrument
            | Self::NotSubscribed
            | Self::UnknownItem
            | Self::UnknownSubscription
            | Self::UnknownSession => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::WrongInstrumentType
            | Self::NoOptions
            | Self::ExpiryEnded
            | Self::Ambiguous
            | Self::InvalidPrice
            | Self::InvalidWidth
            | Self::LimitExceeded
            | Self::InvalidConfig
            | Self::QuotaExceeded => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ForcedTooSoon | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::PriceUnavailable
            | Self::CapacityExhausted
            | Self::NotDurable
            | Self::StoreUnavailable
            | Self::TooManyClients
            | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::InvalidJson => "The body is not JSON",
            Self::MissingField => "A field is missing",
            Self::UnknownField => "A field is not known",
            Self::InvalidValue => "A value is not what it should be",
            Self::UnsupportedMediaType => "The body must be application/json",
            Self::TooLarge => "The body is too large",
            Self::NotFound => "There is no such path",
            Self::MethodNotAllowed => "The path does not know this method",
            Self::UnknownSymbol => "The symbol is not listed",
            Self::UnlistedExpiry => "The expiry is not listed",
            Self::UnknownInstrument => "The instrument is not listed",
            Self::NotSubscribed => "Nobody holds this instrument",
            Self::UnknownItem => "There is no such item",
            Self::UnknownSubscription => "There is no such subscription",
            Self::Conflict => "The item is there with other settings",
            Self::WrongInstrumentType => "The symbol has another instrument type",
            Self::NoOptions => "The symbol has no options",
            Self::ExpiryEnded => "The last session of the contracts has ended",
            Self::Ambiguous => "Several match",
            Self::InvalidPrice => "The price must be above 0",
            Self::InvalidWidth => "The width must be odd, from 1 to 1001",
            Self::ForcedTooSoon => "The chain was forced a moment ago",
            Self::PriceUnavailable => "The price of the underlying is not known",
            Self::CapacityExhausted => "It does not fit",
            Self::QuotaExceeded => "It is more than one user may hold",
            Self::NotDurable => "The change could not be made durable",
            Self::StoreUnavailable => "The database could not be read",
            Self::NotReady => "The server is not ready",
            Self::Unauthorized => "A key is needed",
            Self::Forbidden => "The key does not allow this",
            Self::UnknownSession => "There is no such session",
            Self::RateLimited => "Too many requests",
            Self::TooManyClients => "Too many clients",
            Self::LimitExceeded => "It is more than one client may have",
            Self::Timeout => "The request took too long",
            Self::InvalidConfig => "The configuration has a mistake",
            Self::Internal => "The server made a mistake",
        }
    }
}

/// What went wrong, as RFC 9457 has it. The request id is added on the way out.
#[derive(Debug, Clone, Serialize)]
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
    pub room: Option<Room>,
    /// What a request over its user's quota asked for.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// The request it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Seconds after which a retry makes sense.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

/// The room a refused request would have needed, in instruments.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Room {
    /// Instruments that it would have put on the wire.
    pub needed: usize,
    /// Slots that are free.
    pub free: usize,
    /// Slots that eviction could have freed.
    pub evictable: usize,
}

/// What a request over its user's quota asked for, in instruments.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Quota {
    /// The most that one user may hold.
    pub quota: usize,
    /// What the user holds already.
    pub held: usize,
    /// What the request asked for.
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

/// The response of a problem to the request of `request_id`.
pub(crate) fn respond(mut problem: Problem, request_id: &str) -> Response {
    problem.request_id = Some(request_id.to_owned());
    let status = problem.code.status();
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
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
