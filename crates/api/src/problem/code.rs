use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal, $status:ident, $title:literal, $remedy:literal;)*) => {
        /// The stable codes of problems.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// The code as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)* }
            }

            /// The kind of problem in words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }

            /// What the caller can do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$code => $remedy,)* }
            }
        }
    };
}

codes! {
    /// The body or a message is not JSON.
    InvalidJson = "invalid_json", BAD_REQUEST, "The body is not JSON",
        "Send one JSON document in UTF-8.";
    /// A field is missing.
    MissingField = "missing_field", BAD_REQUEST, "A field is missing",
        "Send the field that `field` names.";
    /// A field or parameter is not known.
    UnknownField = "unknown_field", BAD_REQUEST, "A field is not known",
        "Leave it out or take one of `choices`, the nearest first.";
    /// A field has the wrong type, or a text is not what it should be.
    InvalidValue = "invalid_value", BAD_REQUEST, "A value is not what it should be",
        "`detail` says what `field` accepts.";
    /// A key is missing, or nobody has it.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A key is needed",
        "Send `Authorization: Bearer KEY` with a key that is in force.";
    /// The key does not give the right to this.
    Forbidden = "forbidden", FORBIDDEN, "The key does not allow this",
        "Name your own user, or use a key with the role admin.";
    /// There is no such path.
    NotFound = "not_found", NOT_FOUND, "There is no such path",
        "See `/openapi.json` for what there is.";
    /// The symbol is not listed.
    UnknownSymbol = "unknown_symbol", NOT_FOUND, "The symbol is not listed",
        "Take one of `choices`, or search.";
    /// The expiry is not listed for the symbol.
    UnlistedExpiry = "unlisted_expiry", NOT_FOUND, "The expiry is not listed",
        "Take one of `choices`.";
    /// No instrument has this token or key.
    UnknownInstrument = "unknown_instrument", NOT_FOUND, "The instrument is not listed",
        "Search for it; contracts go when they have expired.";
    /// Nobody holds this instrument.
    NotSubscribed = "not_subscribed", NOT_FOUND, "Nobody holds this instrument",
        "Subscribe it first.";
    /// The user has no such item.
    UnknownItem = "unknown_item", NOT_FOUND, "There is no such item",
        "`choices` are the user's items; it may have been removed already.";
    /// The stream has no such subscription.
    UnknownSubscription = "unknown_subscription", NOT_FOUND, "There is no such subscription",
        "Use the `sub` of an `ack` of the same socket.";
    /// There is no such timeframe.
    UnknownTimeframe = "unknown_timeframe", NOT_FOUND, "There is no such timeframe",
        "Take one of `choices`, or another number of minutes.";
    /// There is no such indicator.
    UnknownIndicator = "unknown_indicator", NOT_FOUND, "There is no such indicator",
        "Take one of `choices`; `indicators/catalog` has all of them.";
    /// Nobody holds this indicator, so it is not computed.
    NotComputed = "not_computed", NOT_FOUND, "Nobody holds this indicator",
        "Subscribe it first.";
    /// The indicator is held and has no value yet.
    NoValue = "no_value", NOT_FOUND, "The indicator has no value yet",
        "Ask again: it warms up, or its market has not traded enough bars.";
    /// There is no such session, or it has ended.
    UnknownSession = "unknown_session", NOT_FOUND, "There is no such session",
        "Log in again.";
    /// The path does not know the method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path does not know this method",
        "Use one that the header `Allow` names.";
    /// The item is there with other settings.
    Conflict = "conflict", CONFLICT, "The item is there with other settings",
        "Remove it first, or ask for it as it is.";
    /// The body is too large.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "Send less at once.";
    /// The body is not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE,
        "The body must be application/json",
        "Send `Content-Type: application/json`.";
    /// The symbol has no contracts of the asked kind.
    WrongInstrumentType = "wrong_instrument_type", UNPROCESSABLE_ENTITY,
        "The symbol has another instrument type",
        "Take one of `choices`.";
    /// The symbol has no options.
    NoOptions = "no_options", UNPROCESSABLE_ENTITY, "The symbol has no options",
        "Ask for the equity or the future.";
    /// The indicator cannot have these parameters, or cannot be computed of this instrument.
    InvalidIndicator = "invalid_indicator", UNPROCESSABLE_ENTITY, "The indicator is not possible",
        "`detail` says what is accepted; `indicators/catalog` has the limits.";
    /// The last session of the contracts has ended.
    ExpiryEnded = "expiry_ended", UNPROCESSABLE_ENTITY, "The last session of the contracts has ended",
        "Take one of `choices`.";
    /// Several items or instruments match.
    Ambiguous = "ambiguous", UNPROCESSABLE_ENTITY, "Several match",
        "Name expiry, exchange or instrument type; `choices` are those that match.";
    /// A price must be above 0.
    InvalidPrice = "invalid_price", UNPROCESSABLE_ENTITY, "The price must be above 0",
        "Send a price in rupees above 0, or none.";
    /// A width must be odd, 1 to 1001.
    InvalidWidth = "invalid_width", UNPROCESSABLE_ENTITY, "The width must be odd, from 1 to 1001",
        "Send an odd number from 1 to 1001, or none.";
    /// The user would hold more than one user may.
    QuotaExceeded = "quota_exceeded", UNPROCESSABLE_ENTITY, "It is more than one user may hold",
        "Remove something first: `quota`, `held` and `asked` say how much.";
    /// A client of the stream would have more than one may.
    LimitExceeded = "limit_exceeded", UNPROCESSABLE_ENTITY, "It is more than one client may have",
        "Unsubscribe something first, or send less at once.";
    /// The configuration has a mistake; nothing was changed.
    InvalidConfig = "invalid_config", UNPROCESSABLE_ENTITY, "The configuration has a mistake",
        "Correct what `detail` names; nothing was changed.";
    /// The chain was forced a moment ago.
    ForcedTooSoon = "forced_too_soon", TOO_MANY_REQUESTS, "The chain was forced a moment ago",
        "Force a chain once a second at most.";
    /// The caller asks too often.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests",
        "Wait as long as `Retry-After` says.";
    /// A defect of the server.
    Internal = "internal", INTERNAL_SERVER_ERROR, "The server made a mistake",
        "Report it with `request_id`; the server's log has more.";
    /// No price of the underlying came in time.
    PriceUnavailable = "price_unavailable", SERVICE_UNAVAILABLE, "The price of the underlying is not known",
        "Try again, or send `underlying_ltp`.";
    /// It does not fit.
    CapacityExhausted = "capacity_exhausted", SERVICE_UNAVAILABLE, "It does not fit",
        "Ask for a smaller width or remove something: `needed`, `free` and `evictable` say how much.";
    /// The change could not be made durable.
    NotDurable = "not_durable", SERVICE_UNAVAILABLE, "The change could not be made durable",
        "Try again: it was taken back.";
    /// The database could not be read.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The database could not be read",
        "Try again; `/readyz` says how the database does.";
    /// There are as many clients of the stream as there may be.
    TooManyClients = "too_many_clients", SERVICE_UNAVAILABLE, "Too many clients",
        "Close a stream, or try again later.";
    /// The server is starting or stopping.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "The server is not ready",
        "Try again as soon as `/readyz` answers 200.";
    /// The request took too long.
    Timeout = "timeout", GATEWAY_TIMEOUT, "The request took too long",
        "Ask what became of it, then repeat it: repeating does no harm.";
}
