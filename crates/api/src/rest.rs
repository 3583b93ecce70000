pub(crate) mod admin;
pub(crate) mod plan;
pub(crate) mod subscriptions;
#[cfg(test)]
mod tests;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use strikewire_fanout::QuoteJson;
use strikewire_gateway::registry::{Expiring, Kind, OtherExchange, SearchFilter};
use strikewire_gateway::types::{Exchange, Expiry, Mode, Segment, Tier};
use strikewire_gateway::{Added, ChainRequest, ItemFilter, ItemRequest, List};

use crate::extract::{self, Body, Params, PathText};
use crate::model::{
    AddAnswer, AddRequest, ChainAnswer, ExpiriesAnswer, ExpiryView, InstrumentView, RemoveAnswer,
    RemoveRequest, SearchAnswer, SubscribeRequest, Warning, WatchlistAnswer,
};
use crate::{Api, Code, Problem};

type Answer<T> = Result<Json<T>, Problem>;

pub(crate) async fn add(State(api): State<Api>, Body(body): Body<AddRequest>) -> Answer<AddAnswer> {
    add_item(&api, &item_request(&body, List::Watchlist)?).await
}

pub(crate) async fn subscribe(
    State(api): State<Api>,
    Body(body): Body<SubscribeRequest>,
) -> Answer<AddAnswer> {
    add_item(&api, &item_request(&body.0, List::Explicit)?).await
}

fn item_request(body: &AddRequest, list: List) -> Result<ItemRequest, Problem> {
    Ok(ItemRequest {
        list,
        user: body.user_id,
        symbol: body.symbol.clone(),
        instrument_type: body.instrument_type()?,
        expiry: extract::parse("expiry", body.expiry.as_deref())?,
        exchange: extract::parse("exchange", body.exchange.as_deref())?,
        price: extract::price("underlying_ltp", body.underlying_ltp)?,
        width: extract::width(body.width)?,
        mode: extract::parse("mode", body.mode.as_deref())?,
        follow: body.follow.unwrap_or(true),
        tier: extract::parse("tier", body.tier.as_deref())?.unwrap_or(Tier::A),
        force: body.force_recalc.unwrap_or(false),
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

pub(crate) async fn remove(
    State(api): State<Api>,
    Body(body): Body<RemoveRequest>,
) -> Answer<RemoveAnswer> {
    let filter = ItemFilter {
        symbol: body.symbol,
        exchange: extract::parse("exchange", body.exchange.as_deref())?,
        expiry: extract::parse("expiry", body.expiry.as_deref())?,
        instrument_type: extract::parse("instrument_type", body.instrument_type.as_deref())?,
    };
    let what = filter.to_string();
    let removed = api.gateway.remove_item(body.user_id, filter).await?;
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

pub(crate) async fn watchlist(
    State(api): State<Api>,
    PathText(user_id): PathText,
) -> Answer<WatchlistAnswer> {
    let user_id = user_id.parse().map_err(|_| {
        Problem::new(
            Code::InvalidValue,
            format!("user_id: `{user_id}` is not an integer from 0 on"),
        )
        .field("user_id")
    })?;
    let items = api.gateway.list_items(user_id).await?;
    Ok(Json(WatchlistAnswer { user_id, items }))
}

pub(crate) async fn option_chain(
    State(api): State<Api>,
    PathText(symbol): PathText,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[
        "expiry",
        "underlying_ltp",
        "width",
        "exchange",
        "force_recalc",
    ])?;
    let request = ChainRequest {
        symbol,
        expiry: params.get::<Expiry>("expiry")?,
        exchange: params.get::<Exchange>("exchange")?,
        price: extract::price("underlying_ltp", params.get::<f64>("underlying_ltp")?)?,
        width: extract::width(params.get::<i64>("width")?)?,
        force: params.get::<bool>("force_recalc")?.unwrap_or(false),
    };
    let (answer, warning) = api.gateway.read_chain(&request).await?;
    let quotes = api.gateway.chain_quotes(&answer);
    Ok(Json(ChainAnswer {
        chain: api.gateway.render(&answer),
        quotes: quotes
            .iter()
            .map(|(token, quote)| (token.clone(), QuoteJson(quote, Mode::Full)))
            .collect(),
        warnings: warnings(warning),
    })
    .into_response())
}

/// Does a few milliseconds of work where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

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

pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

pub(crate) async fn readyz(State(api): State<Api>) -> Response {
    let mut readiness = (*api.gateway.readiness()).clone();
    readiness.reasons.extend(api.notes.iter().cloned());
    let status = if readiness.status == "starting" {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(readiness)).into_response()
}

pub(crate) async fn metrics(State(api): State<Api>) -> Result<String, Problem> {
    api.metrics
        .render(&api.gateway)
        .await
        .map_err(Problem::from)
}

pub(crate) async fn not_found(uri: axum::http::Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is no {}", uri.path()))
}

pub(crate) async fn method_not_allowed(
    method: axum::http::Method,
    uri: axum::http::Uri,
) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!("{} does not know {method}", uri.path()),
    )
}
