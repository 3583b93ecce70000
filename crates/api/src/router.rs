use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use strikewire_gateway::{Gateway, Reason};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::rest::{self, admin, plan, subscriptions};
use crate::{Access, Caller, Code, Control, Metrics, Problem, Settings, problem, stream};

/// Bytes of a request's body; a plan has a limit of its own, all others are far smaller.
const BODY_LIMIT: usize = 64 * 1024;

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
            run: setup.run,
            requests: Arc::new(AtomicU64::new(0)),
        }
    }

    fn next_request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Relaxed) + 1;
        format!("{:08x}-{number:x}", self.run as u32)
    }
}

/// All routes.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/api/v2/watchlist/add", post(rest::add))
        .route("/api/v2/watchlist/remove", post(rest::remove))
        .route("/api/v2/watchlist/{user_id}", get(rest::watchlist))
        .route("/api/v2/option-chain/subscribe", post(rest::subscribe))
        .route("/api/v2/option-chain/{symbol}", get(rest::option_chain))
        .route("/api/v2/subscriptions/status", get(subscriptions::status))
        .route("/api/v2/subscriptions/active", get(subscriptions::active))
        .route("/api/v2/subscriptions/{token}", get(subscriptions::one))
        .route(
            "/api/v2/plan",
            post(plan::plan).layer(DefaultBodyLimit::max(plan::BODY_LIMIT)),
        )
        .route("/api/v2/instruments/search", get(rest::search))
        .route("/api/v2/instruments/{symbol}/expiries", get(rest::expiries))
        .route("/api/v2/admin/ws-status", get(admin::ws_status))
        .route(
            "/api/v2/admin/unsubscribe-all-tier-a",
            post(admin::unsubscribe_tier_a),
        )
        .route("/api/v2/admin/rebalance-ws", post(admin::rebalance))
        .route("/api/v2/admin/invalidate-expiry", post(admin::invalidate))
        .route("/api/v2/admin/reload-config", post(admin::reload))
        .route("/api/v2/audit", get(admin::audit))
        .route("/api/v2/stream", get(stream::upgrade))
        .route("/healthz", get(rest::healthz))
        .route("/readyz", get(rest::readyz))
        .route("/metrics", get(rest::metrics))
        .fallback(rest::not_found)
        .method_not_allowed_fallback(rest::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(api.clone(), authenticate))
        .layer(middleware::from_fn_with_state(api.clone(), identify))
        .with_state(api)
}

/// Gives the request an id, and problems their body.
async fn identify(State(api): State<Api>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get("x-request-id")
        .and_then(|id| id.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= REQUEST_ID_LIMIT)
        .map(str::to_owned);
    let id = given.unwrap_or_else(|| api.next_request_id());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        tracing::debug!(%id, code = problem.code.as_str(), detail = %problem.detail, "Problem");
        response = problem::respond(problem, &id);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// Finds out who asks.
async fn authenticate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    match api.access.authenticate(None) {
        Ok(caller) => {
            request.extensions_mut().insert::<Caller>(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
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
