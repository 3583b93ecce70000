mod cors;
mod etag;
#[cfg(test)]
mod tests;

use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::HttpBody;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use strikewire_gateway::{Gateway, Reason};
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

pub(crate) use cors::origin_allowed;

use crate::access::{authenticate, login};
use crate::extract::BodyLimit;
use crate::metrics::measure;
use crate::rest::{self, admin, indicators, plan, quotes, subscriptions};
use crate::stream::Seats;
use crate::{Access, Code, Control, Metrics, Problem, Settings, docs, openapi, problem};

/// Bytes of a request's body; a plan has a limit of its own, all others are far smaller.
const BODY_LIMIT: usize = 64 * 1024;

/// Bytes of an answer from which on it is worth compressing.
const COMPRESS_FROM: u16 = 1024;

/// The longest request id that is taken over from a caller.
const REQUEST_ID_LIMIT: usize = 128;

/// What an interface is made of.
#[derive(Debug)]
pub struct Setup {
    /// What is served.
    pub gateway: Gateway,
    /// The process's metrics.
    pub metrics: Metrics,
    /// What is added to what readiness says.
    pub notes: Vec<Reason>,
    /// Ends the streams.
    pub stop: CancellationToken,
    /// Makes request ids of different runs differ.
    pub run: u64,
    /// Who may do what.
    pub access: Arc<Access>,
    /// Limits, which may be exchanged at any time.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Takes a changed configuration; absent: there is none to take.
    pub control: Option<Arc<dyn Control>>,
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Api {
    pub(crate) gateway: Gateway,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) notes: Arc<[Reason]>,
    pub(crate) stop: CancellationToken,
    pub(crate) access: Arc<Access>,
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) control: Option<Arc<dyn Control>>,
    pub(crate) seats: Arc<Seats>,
    run: u64,
    requests: Arc<AtomicU64>,
}

impl Api {
    /// An interface of these parts.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            gateway: setup.gateway,
            metrics: Arc::new(setup.metrics),
            notes: setup.notes.into(),
            stop: setup.stop,
            access: setup.access,
            settings: setup.settings,
            control: setup.control,
            seats: Arc::default(),
            run: setup.run,
            requests: Arc::new(AtomicU64::new(0)),
        }
    }

    fn next_request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Relaxed) + 1;
        format!("{:08x}-{number:x}", self.run as u32)
    }
}

/// All routes, behind the layers that every request goes through.
pub fn router(api: Api) -> Router {
    router_with(api, Router::new())
}

/// The same with more routes, which go through the same layers. They are not in the OpenAPI
/// document.
pub fn router_with(api: Api, more: Router<Api>) -> Router {
    let (routes, _) = routes().split_for_parts();
    let compressible = SizeAbove::new(COMPRESS_FROM)
        .and(NotForContentType::IMAGES)
        .and(|status: StatusCode, _, _: &_, _: &_| status != StatusCode::SWITCHING_PROTOCOLS);
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(compressible);
    // The last one sees a request first.
    routes
        .merge(more)
        .fallback(rest::not_found)
        .method_not_allowed_fallback(rest::method_not_allowed)
        .layer(body_limit(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(api.clone(), in_time))
        .layer(middleware::from_fn_with_state(api.clone(), authenticate))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(compression)
        .layer(middleware::from_fn_with_state(api.clone(), cors::cors))
        .layer(middleware::from_fn(manners))
        .layer(middleware::from_fn_with_state(api.clone(), identify))
        .layer(middleware::from_fn_with_state(api.clone(), measure))
        .with_state(api)
}

/// Problems of every call that is not open.
const ANY: &[Code] = &[
    Code::Unauthorized,
    Code::Forbidden,
    Code::RateLimited,
    Code::Internal,
    Code::NotReady,
    Code::Timeout,
];
/// Problems of a call that is open to everybody.
const OPEN: &[Code] = &[
    Code::Forbidden,
    Code::RateLimited,
    Code::Internal,
    Code::Timeout,
];
/// Problems of parameters.
const QUERY: &[Code] = &[Code::UnknownField, Code::InvalidValue];
/// Problems of a body.
const BODY: &[Code] = &[
    Code::InvalidJson,
    Code::MissingField,
    Code::UnknownField,
    Code::InvalidValue,
    Code::TooLarge,
    Code::UnsupportedMediaType,
];
/// Problems of a body that may be left out.
const NO_BODY: &[Code] = &[
    Code::InvalidJson,
    Code::UnknownField,
    Code::InvalidValue,
    Code::TooLarge,
    Code::UnsupportedMediaType,
];
/// Problems of finding what a request names.
const LOOKUP: &[Code] = &[Code::UnknownSymbol, Code::UnlistedExpiry, Code::Ambiguous];
/// Problems of calculating a chain.
const CHAIN: &[Code] = &[Code::NoOptions, Code::InvalidPrice, Code::InvalidWidth];
/// Problems of what is to be held.
const ITEM: &[Code] = &[Code::WrongInstrumentType, Code::ExpiryEnded];
/// Problems of holding it.
const HOLD: &[Code] = &[
    Code::Conflict,
    Code::QuotaExceeded,
    Code::PriceUnavailable,
    Code::CapacityExhausted,
    Code::NotDurable,
];

/// Problems of naming indicators.
const INDICATOR: &[Code] = &[
    Code::UnknownTimeframe,
    Code::UnknownIndicator,
    Code::InvalidIndicator,
    Code::ExpiryEnded,
];

/// All routes and their description, which come from the same place and so agree.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    let plan = routes!(plan::plan);
    let plan = (plan.0, plan.1, plan.2.layer(body_limit(plan::BODY_LIMIT)));
    let heartbeat = routes!(indicators::heartbeat);
    let heartbeat_limit = body_limit(indicators::HEARTBEAT_BODY);
    let heartbeat = (heartbeat.0, heartbeat.1, heartbeat.2.layer(heartbeat_limit));
    let add: &[&[Code]] = &[ANY, BODY, LOOKUP, CHAIN, ITEM, HOLD];
    let subscribe: &[&[Code]] = &[ANY, BODY, LOOKUP, CHAIN, ITEM, HOLD, &[Code::ForcedTooSoon]];
    let read: &[&[Code]] = &[
        ANY,
        QUERY,
        LOOKUP,
        CHAIN,
        &[Code::PriceUnavailable, Code::ForcedTooSoon],
    ];
    let find: &[&[Code]] = &[
        ANY,
        LOOKUP,
        &[
            Code::InvalidValue,
            Code::UnknownInstrument,
            Code::NotSubscribed,
        ],
    ];
    OpenApiRouter::new()
        .routes(with(routes!(rest::add), add))
        .routes(with(
            routes!(rest::remove),
            &[
                ANY,
                BODY,
                &[Code::UnknownItem, Code::Ambiguous, Code::NotDurable],
            ],
        ))
        .routes(tagged(with(
            routes!(rest::watchlist),
            &[ANY, &[Code::InvalidValue]],
        )))
        .routes(with(plan, &[ANY, BODY, LOOKUP, CHAIN, ITEM]))
        .routes(with(routes!(rest::subscribe), subscribe))
        .routes(with(routes!(rest::chain::option_chain), read))
        .routes(with(routes!(subscriptions::status), &[ANY]))
        .routes(with(
            routes!(subscriptions::active),
            &[ANY, QUERY, &[Code::UnknownSymbol, Code::Ambiguous]],
        ))
        .routes(with(routes!(subscriptions::one), find))
        .routes(with(
            routes!(quotes::quotes),
            &[ANY, QUERY, &[Code::MissingField]],
        ))
        .routes(tagged(with(
            routes!(rest::search),
            &[ANY, QUERY, &[Code::MissingField]],
        )))
        .routes(tagged(with(
            routes!(rest::expiries),
            &[ANY, QUERY, LOOKUP, &[Code::NoOptions]],
        )))
        .routes(with(routes!(admin::ws_status), &[ANY]))
        .routes(with(
            routes!(admin::unsubscribe_tier_a),
            &[ANY, NO_BODY, &[Code::NotDurable]],
        ))
        .routes(with(routes!(admin::rebalance), &[ANY, NO_BODY]))
        .routes(with(
            routes!(admin::invalidate),
            &[ANY, BODY, LOOKUP, &[Code::NoOptions]],
        ))
        .routes(with(
            routes!(admin::reload),
            &[ANY, NO_BODY, &[Code::NotFound, Code::InvalidConfig]],
        ))
        .routes(with(
            routes!(admin::audit),
            &[ANY, QUERY, &[Code::StoreUnavailable]],
        ))
        .routes(with(
            routes!(indicators::subscribe),
            &[
                ANY,
                BODY,
                LOOKUP,
                INDICATOR,
                &[
                    Code::UnknownSession,
                    Code::LimitExceeded,
                    Code::CapacityExhausted,
                ],
            ],
        ))
        .routes(with(
            routes!(indicators::unsubscribe),
            &[ANY, BODY, LOOKUP, INDICATOR, &[Code::UnknownSession]],
        ))
        .routes(with(heartbeat, &[ANY, BODY, &[Code::UnknownSession]]))
        .routes(with(
            routes!(indicators::active),
            &[ANY, QUERY, LOOKUP, &[Code::UnknownTimeframe]],
        ))
        .routes(with(routes!(indicators::totals), &[ANY]))
        .routes(tagged(with(routes!(indicators::catalog), &[ANY])))
        .routes(with(
            routes!(indicators::value),
            &[
                ANY,
                LOOKUP,
                INDICATOR,
                &[Code::InvalidValue, Code::NotComputed, Code::NoValue],
            ],
        ))
        .routes(with(routes!(login::login), &[ANY, BODY]))
        .routes(with(
            routes!(login::logout),
            &[ANY, BODY, &[Code::UnknownSession]],
        ))
        .routes(with(
            routes!(rest::stream),
            &[ANY, &[Code::InvalidValue, Code::TooManyClients]],
        ))
        .routes(with(routes!(rest::healthz), &[OPEN]))
        .routes(with(routes!(rest::readyz), &[OPEN]))
        .routes(with(routes!(rest::metrics), &[ANY]))
        .routes(tagged(with(routes!(docs::document), &[OPEN])))
        .routes(tagged(with(routes!(docs::page), &[OPEN])))
        .routes(tagged(with(
            routes!(docs::file),
            &[OPEN, &[Code::NotFound, Code::InvalidValue]],
        )))
}

fn body_limit(most: usize) -> (DefaultBodyLimit, Extension<BodyLimit>) {
    (DefaultBodyLimit::max(most), Extension(BodyLimit(most)))
}

/// A route with the problems that it answers with.
fn with(
    (schemas, mut paths, route): UtoipaMethodRouter<Api>,
    codes: &[&[Code]],
) -> UtoipaMethodRouter<Api> {
    openapi::add_problems(&mut paths, codes.iter().copied().flatten().copied());
    (schemas, paths, route)
}

/// A route whose answers carry a tag.
fn tagged((schemas, mut paths, route): UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    openapi::add_tag(&mut paths);
    (schemas, paths, route.layer(middleware::from_fn(etag::etag)))
}

/// Gives the request an id, and problems their body.
async fn identify(State(api): State<Api>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get("x-request-id")
        .and_then(|id| id.to_str().ok())
        .filter(|id| is_request_id(id))
        .map(str::to_owned);
    let id = given.unwrap_or_else(|| api.next_request_id());
    let body = request.body().size_hint().upper();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        tracing::debug!(%id, code = problem.code.as_str(), detail = %problem.detail, "Problem");
        response = problem::respond(problem, response, &id);
        if body.is_none_or(|bytes| bytes > UNREAD_LIMIT) {
            // It may not have been read. Then the connection ends, and the caller is told
            // before it asks for something else on it.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// Bytes of a body that a connection survives when nobody has read them: they have come with
/// the head, or will at once.
const UNREAD_LIMIT: u64 = 4 * 1024;

/// Whether a caller's id is one that can be written anywhere as it is.
fn is_request_id(id: &str) -> bool {
    (1..=REQUEST_ID_LIMIT).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// What holds for every answer that does not say otherwise: it is what it says it is, and
/// nobody keeps it.
async fn manners(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Ends what takes too long.
async fn in_time(State(api): State<Api>, request: Request, next: Next) -> Response {
    let limit = api.settings.load().http.request_timeout;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("it was not done within {limit:?}");
            Problem::new(Code::Timeout, detail).into_response()
        }
    }
}

// The signature that the layer asks for.
#[allow(clippy::needless_pass_by_value)]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(panic = what, "A request panicked");
    Problem::new(Code::Internal, "the request could not be done").into_response()
}
