pub(crate) mod admin;
pub(crate) mod chain;
pub(crate) mod indicators;
pub(crate) mod plan;
pub(crate) mod quotes;
pub(crate) mod subscriptions;
#[cfg(test)]
pub(crate) mod tests;

use axum::Json;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use strikewire_gateway::registry::{Expiring, Kind, OtherExchange, SearchFilter};
use strikewire_gateway::types::{Exchange, Segment, Tier};
use strikewire_gateway::{Added, Gateway, ItemFilter, ItemRequest, List, Readiness, Reason};

use crate::extract::{self, Body, Params, PathText};
use crate::model::{
    AddAnswer, AddRequest, ExpiriesAnswer, ExpiryView, InstrumentView, RemoveAnswer, RemoveRequest,
    SearchAnswer, SubscribeRequest, Warning, WatchlistAnswer, instrument_type,
};
use crate::{Api, Caller, Code, Problem};

type Answer<T> = Result<Json<T>, Problem>;

/// Adds an item to a watchlist
///
/// Subscribes it and waits up to two seconds for the price of the underlying where none is
/// known. Repeating it changes nothing, is answered with `already_present: true` and counts
/// as use.
#[utoipa::path(
    post,
    path = "/api/v2/watchlist/add",
    tag = "watchlist",
    operation_id = "watchlist_add",
    request_body = AddRequest,
    responses((status = 200, description = "It is on the watchlist.", body = AddAnswer)),
)]
pub(crate) async fn add(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<AddRequest>,
) -> Answer<AddAnswer> {
    add_item(&api, &item_request(&caller, body, List::Watchlist)?).await
}

/// Subscribes a chain without a watchlist
///
/// Otherwise as an add. Tier B, which is never evicted, takes the role admin.
#[utoipa::path(
    post,
    path = "/api/v2/option-chain/subscribe",
    tag = "chains",
    operation_id = "chain_subscribe",
    request_body = SubscribeRequest,
    responses((status = 200, description = "It is subscribed.", body = AddAnswer)),
)]
pub(crate) async fn subscribe(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<SubscribeRequest>,
) -> Answer<AddAnswer> {
    let tier = extract::parse("tier", body.tier.as_deref())?.unwrap_or(Tier::A);
    let force = body.force_recalc.unwrap_or(false);
    if tier == Tier::B {
        caller.admin().map_err(|problem| problem.field("tier"))?;
    }
    let request = item_request(&caller, body.into(), List::Explicit)?;
    add_item(
        &api,
        &ItemRequest {
            tier,
            force,
            ..request
        },
    )
    .await
}

/// What a body asks for. One user's items are no other's business.
fn item_request(caller: &Caller, body: AddRequest, list: List) -> Result<ItemRequest, Problem> {
    Ok(ItemRequest {
        list,
        user: caller.user_id(body.user_id)?,
        instrument_type: body.instrument_type()?,
        expiry: extract::parse("expiry", body.expiry.as_deref())?,
        exchange: extract::parse("exchange", body.exchange.as_deref())?,
        price: extract::price("underlying_ltp", body.underlying_ltp)?,
        width: extract::width(body.width)?,
        mode: extract::parse("mode", body.mode.as_deref())?,
        follow: body.follow.unwrap_or(true),
        tier: Tier::A,
        force: false,
        symbol: body.symbol,
    })
}

async fn add_item(api: &Api, request: &ItemRequest) -> Answer<AddAnswer> {
    let (added, warning) = api.gateway.add_item(request).await?;
    let option_chain = added.chain.as_ref().map(|chain| api.gateway.render(chain));
    let single = option_chain.is_none();
    Ok(Json(AddAnswer {
        success: true,
        message: message(request, &added),
        already_present: added.already_present,
        option_chain,
        strikes_subscribed: added.strikes_subscribed,
        instruments_subscribed: single.then_some(added.instruments_subscribed),
        newly_on_wire: added.newly_on_wire,
        warnings: warnings(warning),
    }))
}

fn message(request: &ItemRequest, added: &Added) -> String {
    let held = added.instruments_subscribed;
    let what = if added.chain.is_some() {
        "contracts"
    } else {
        "instrument"
    };
    let symbol = &request.symbol;
    if added.already_present {
        format!("{symbol} was there already, with {held} {what}")
    } else {
        format!(
            "{symbol} added with {held} {what}, {} of them new on the wire",
            added.newly_on_wire
        )
    }
}

fn warnings(other: Option<OtherExchange>) -> Vec<Warning> {
    other
        .map(|other| Warning {
            code: "other_exchange",
            nearest: [(
                format!("nearest_on_{}", other.on.as_str().to_ascii_lowercase()),
                other.nearest,
            )]
            .into(),
        })
        .into_iter()
        .collect()
}

/// Removes an item from a watchlist
///
/// What others hold of it stays on the wire.
#[utoipa::path(
    post,
    path = "/api/v2/watchlist/remove",
    tag = "watchlist",
    operation_id = "watchlist_remove",
    request_body = RemoveRequest,
    responses((status = 200, description = "It is removed.", body = RemoveAnswer)),
)]
pub(crate) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<RemoveRequest>,
) -> Answer<RemoveAnswer> {
    let user = caller.user_id(body.user_id)?;
    let filter = ItemFilter {
        symbol: body.symbol,
        exchange: extract::parse("exchange", body.exchange.as_deref())?,
        expiry: extract::parse("expiry", body.expiry.as_deref())?,
        instrument_type: instrument_type(body.instrument_type.as_deref())?,
    };
    let what = filter.to_string();
    let removed = api.gateway.remove_item(user, filter).await?;
    Ok(Json(RemoveAnswer {
        success: true,
        message: format!(
            "{what} removed; {} of {} instruments leave the wire",
            removed.unsubscribed, removed.released
        ),
        strikes_released: removed.released,
        strikes_unsubscribed: removed.unsubscribed,
    }))
}

/// A user's watchlist
#[utoipa::path(
    get,
    path = "/api/v2/watchlist/{user_id}",
    tag = "watchlist",
    operation_id = "watchlist",
    params(("user_id" = u64, Path, description = "The user.")),
    responses((status = 200, description = "The items.", body = WatchlistAnswer)),
)]
pub(crate) async fn watchlist(
    State(api): State<Api>,
    caller: Caller,
    PathText(user_id): PathText,
) -> Answer<WatchlistAnswer> {
    let user_id = user_id.parse().map_err(|_| {
        Problem::new(
            Code::InvalidValue,
            format!("user_id: `{user_id}` is not an integer from 0 on"),
        )
        .field("user_id")
    })?;
    let user_id = caller.user_id(Some(user_id))?;
    let items = api.gateway.list_items(user_id).await?;
    Ok(Json(WatchlistAnswer { user_id, items }))
}

/// Does a few milliseconds of work where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

/// Searches instruments
///
/// By words of the symbol, the name and the contract, best first.
#[utoipa::path(
    get,
    path = "/api/v2/instruments/search",
    tag = "instruments",
    operation_id = "instruments_search",
    params(
        ("q" = String, Query, min_length = 1, description = "What to look for."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "10 unless given."),
        ("segment" = Option<Segment>, Query, description = "Only of this segment."),
        ("kind" = Option<String>, Query, description = "Only of this kind, such as `OPTIDX`."),
    ),
    responses((status = 200, description = "What was found.", body = SearchAnswer)),
)]
pub(crate) async fn search(State(api): State<Api>, params: Params) -> Answer<SearchAnswer> {
    params.only(&["q", "limit", "segment", "kind"])?;
    let Some(query) = params
        .text("q")
        .map(str::trim)
        .filter(|query| !query.is_empty())
    else {
        return Err(Problem::new(Code::MissingField, "the parameter q is missing").field("q"));
    };
    let limit = params.limit(10, 100)?;
    let filter = SearchFilter {
        segment: params.get::<Segment>("segment")?,
        kind: params.get::<Kind>("kind")?,
    };
    let (registry, query) = (api.gateway.registry(), query.to_owned());
    let items = blocking(move || {
        registry
            .search(&query, limit, filter)
            .into_iter()
            .map(|hit| InstrumentView {
                score: Some(hit.score),
                ..InstrumentView::new(hit.instrument)
            })
            .collect()
    })
    .await?;
    Ok(Json(SearchAnswer { items }))
}

/// The expiries of a symbol
///
/// Of its options, or of its futures where there are no options; those whose last session
/// has not ended.
#[utoipa::path(
    get,
    path = "/api/v2/instruments/{symbol}/expiries",
    tag = "instruments",
    operation_id = "instruments_expiries",
    params(
        ("symbol" = String, Path, description = "The symbol."),
        ("exchange" = Option<Exchange>, Query, description = "Absent: by the exchange rule."),
    ),
    responses((status = 200, description = "The expiries, soonest first.", body = ExpiriesAnswer)),
)]
pub(crate) async fn expiries(
    State(api): State<Api>,
    PathText(symbol): PathText,
    params: Params,
) -> Answer<ExpiriesAnswer> {
    params.only(&["exchange"])?;
    let registry = api.gateway.registry();
    let ended = |it: &Expiring<'_>| api.gateway.has_ended(it);
    let (exchange, expiries) = registry
        .current(&ended)
        .expiries(params.get("exchange")?, &symbol)?;
    Ok(Json(ExpiriesAnswer {
        symbol: registry
            .canonical_symbol(&symbol)
            .unwrap_or(&symbol)
            .to_owned(),
        exchange,
        expiries: expiries
            .into_iter()
            .map(|(expiry, kind)| ExpiryView { expiry, kind })
            .collect(),
    }))
}

/// Whether the process lives
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    operation_id = "healthz",
    security(()),
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")),
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the gateway does its job
///
/// `ready` and `degraded` are 200, `starting` is 503. A closed market is ready.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    operation_id = "readyz",
    security(()),
    responses(
        (status = 200, description = "It serves; where it is degraded the reasons say why.", body = Readiness),
        (status = 503, description = "It is starting.", body = Readiness),
    ),
)]
pub(crate) async fn readyz(State(api): State<Api>) -> Response {
    let mut readiness = readiness(&api.gateway);
    readiness.reasons.extend(api.notes.iter().cloned());
    let status = if readiness.status == "starting" {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(readiness)).into_response()
}

/// How the gateway does its job: what the owner of the book says, and whether leases are
/// shared with other nodes as they should be.
pub(crate) fn readiness(gateway: &Gateway) -> Readiness {
    let mut readiness = (*gateway.readiness()).clone();
    let indicators = gateway.indicators();
    if let Some(detail) = indicators.degraded() {
        if readiness.status == "ready" {
            readiness.status = "degraded";
        }
        let now = || gateway.clock().now().utc;
        readiness.reasons.push(Reason {
            code: "redis_down",
            detail,
            since: indicators.degraded_since().unwrap_or_else(now),
        });
    }
    readiness
}

/// Metrics for Prometheus
///
/// From the machine itself, or with a key of the role admin.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    operation_id = "metrics",
    responses((status = 200, description = "The text format of Prometheus.", body = String, content_type = "text/plain; version=0.0.4")),
)]
pub(crate) async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let text = api.metrics.render(&api.gateway).await?;
    Ok((
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response())
}

/// The stream, a WebSocket
///
/// Messages are JSON texts, `StreamClientMessage` one way and `StreamServerMessage` the
/// other.
#[utoipa::path(
    get,
    path = "/api/v2/stream",
    tag = "stream",
    operation_id = "stream",
    responses((status = 101, description = "It goes on as a WebSocket.")),
)]
pub(crate) async fn stream(State(api): State<Api>, request: Request) -> Response {
    crate::stream::upgrade.call(request, api).await
}

pub(crate) async fn not_found(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is no {}", uri.path()))
}

/// Which methods there are is in the header `Allow`, which the router adds.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(
        Code::MethodNotAllowed,
        format!("{} does not know {method}", uri.path()),
    )
    .into_response()
}
