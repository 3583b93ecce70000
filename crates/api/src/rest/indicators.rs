//! Indicators: held by sessions, computed once for all who hold them.

use axum::Json;
use axum::extract::State;
use strikewire_gateway::registry::LookupError;
use strikewire_gateway::studies::{self, IndicatorId};
use strikewire_gateway::{Error, IndicatorLease, IndicatorRelease, IndicatorValue, IndicatorWant};

use super::Answer;
use crate::extract::{Body, Params, PathText};
use crate::model::{
    ActiveIndicators, CatalogAnswer, HeartbeatAnswer, HeartbeatItem, HeartbeatRequest,
    HeartbeatResult, IndicatorName, IndicatorTotals, IndicatorsRequest, SubscribedAnswer,
    SubscribedIndicator, UnsubscribedAnswer, UnsubscribedIndicator,
};
use crate::{Api, Caller, Code, Problem};

/// Indicators of one call at most.
const INDICATOR_LIMIT: usize = 100;

/// Subscriptions of one heartbeat at most.
const HEARTBEAT_LIMIT: usize = 1_000;

/// Timeframes that everybody uses.
pub(crate) const TIMEFRAMES: &[&str] = &["1min", "5min", "15min", "1h", "1d"];

/// Bytes of a heartbeat's body.
pub(crate) const HEARTBEAT_BODY: usize = 256 * 1024;

/// Holds indicators
///
/// For a session, until it lets go, ends, or is not heard of for five minutes: send
/// heartbeats. Each is computed once for all who hold it. All of them or, with a mistake in
/// any, none; repeating it changes nothing and counts as use.
#[utoipa::path(
    post,
    path = "/api/v2/indicators/subscribe",
    tag = "indicators",
    operation_id = "indicators_subscribe",
    request_body = IndicatorsRequest,
    responses((status = 200, description = "They are held.", body = SubscribedAnswer)),
)]
pub(crate) async fn subscribe(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<IndicatorsRequest>,
) -> Answer<SubscribedAnswer> {
    let wants = wants(&body)?;
    let who = api
        .subscriber_of_request(&caller, body.user_id, &body.session_id)
        .await?;
    let indicators = api.gateway.indicators();
    let leases = indicators
        .subscribe(&who, None, &wants)
        .await
        .map_err(in_list)?;
    api.confirm(&caller, &who).await?;
    let Some(first) = leases.first() else {
        return Err(no_indicators());
    };
    Ok(Json(SubscribedAnswer {
        symbol: first.key.symbol().to_owned(),
        instrument: first.instrument,
        timeframe: first.key.timeframe().to_owned(),
        results: leases.iter().map(subscribed).collect(),
    }))
}

fn subscribed(lease: &IndicatorLease) -> SubscribedIndicator {
    SubscribedIndicator {
        indicator_id: lease.key.indicator_id().to_owned(),
        key: lease.key.lease_key(),
        is_new: lease.is_new,
        ref_count: lease.ref_count,
    }
}

/// Lets go of indicators
///
/// What the session does not hold is passed over, and said. The last one who lets go of an
/// indicator ends its computation.
#[utoipa::path(
    post,
    path = "/api/v2/indicators/unsubscribe",
    tag = "indicators",
    operation_id = "indicators_unsubscribe",
    request_body = IndicatorsRequest,
    responses((status = 200, description = "The session holds none of them.", body = UnsubscribedAnswer)),
)]
pub(crate) async fn unsubscribe(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<IndicatorsRequest>,
) -> Answer<UnsubscribedAnswer> {
    let wants = wants(&body)?;
    let who = api
        .subscriber_of_request(&caller, body.user_id, &body.session_id)
        .await?;
    let indicators = api.gateway.indicators();
    let released = indicators
        .unsubscribe(&who, &wants)
        .await
        .map_err(in_list)?;
    let Some(first) = released.first() else {
        return Err(no_indicators());
    };
    Ok(Json(UnsubscribedAnswer {
        symbol: first.key.symbol().to_owned(),
        timeframe: first.key.timeframe().to_owned(),
        results: released.iter().map(unsubscribed).collect(),
    }))
}

fn unsubscribed(release: &IndicatorRelease) -> UnsubscribedIndicator {
    UnsubscribedIndicator {
        indicator_id: release.key.indicator_id().to_owned(),
        key: release.key.lease_key(),
        stopped: release.stopped,
        ref_count: release.ref_count,
        was_held: release.was_held,
    }
}

/// What a body wants, as many as one call may.
fn wants(body: &IndicatorsRequest) -> Result<Vec<IndicatorWant>, Problem> {
    let given = body.indicators.len();
    if !(1..=INDICATOR_LIMIT).contains(&given) {
        return Err(if given == 0 {
            no_indicators()
        } else {
            too_many("indicators", given, INDICATOR_LIMIT)
        });
    }
    let want = |name: &IndicatorName| IndicatorWant {
        symbol: body.symbol.clone(),
        timeframe: body.timeframe.clone(),
        indicator: name.indicator_id.clone(),
    };
    Ok(body.indicators.iter().map(want).collect())
}

/// A problem with one of the indicators names its place.
fn in_list(error: Error) -> Problem {
    let at = match &error {
        Error::UnknownIndicator { at, .. } | Error::IndicatorParameter { at, .. } => Some(*at),
        _ => None,
    };
    let problem = problem(error);
    match at {
        Some(at) => problem.field(format!("indicators[{at}].indicator_id")),
        None => problem,
    }
}

/// A problem with naming indicators: whatever names an instrument is in `symbol`.
pub(crate) fn problem(error: Error) -> Problem {
    match &error {
        Error::Lookup(lookup @ LookupError::UnknownReference { .. }) => {
            Problem::new(Code::UnknownSymbol, lookup.to_string())
                .field("symbol")
                .choices(lookup.choices())
        }
        Error::Lookup(_) | Error::ExpiryEnded { .. } => Problem::from(error).field("symbol"),
        _ => error.into(),
    }
}

fn no_indicators() -> Problem {
    let detail = format!("indicators: none are given; 1 to {INDICATOR_LIMIT} are accepted");
    Problem::new(Code::InvalidValue, detail).field("indicators")
}

fn too_many(field: &str, given: usize, most: usize) -> Problem {
    let detail = format!("{field}: {given} are given; {most} are accepted");
    Problem::new(Code::InvalidValue, detail).field(field)
}

/// Says that indicators are in use
///
/// Every 30 seconds is right: what is not heard of for five minutes is let go. It counts as
/// a use of the session. What the session does not hold, or is no indicator at all, is
/// answered as not alive; nothing is subscribed again.
#[utoipa::path(
    post,
    path = "/api/v2/indicators/heartbeat",
    tag = "indicators",
    operation_id = "indicators_heartbeat",
    request_body = HeartbeatRequest,
    responses((status = 200, description = "Which of them the session holds.", body = HeartbeatAnswer)),
)]
pub(crate) async fn heartbeat(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<HeartbeatRequest>,
) -> Answer<HeartbeatAnswer> {
    let given = body.subscriptions.len();
    if given > HEARTBEAT_LIMIT {
        return Err(too_many("subscriptions", given, HEARTBEAT_LIMIT));
    }
    let wants = body.subscriptions.into_iter().enumerate().map(in_use);
    let wants: Vec<IndicatorWant> = wants.collect::<Result<_, _>>()?;
    let who = api
        .subscriber_of_request(&caller, body.user_id, &body.session_id)
        .await?;
    let alive = api.gateway.indicators().heartbeat(&who, &wants).await?;
    let results = wants.into_iter().zip(alive);
    Ok(Json(HeartbeatAnswer {
        status: "ok",
        results: results
            .map(|(want, alive)| HeartbeatResult {
                indicator_id: canonical(&want.indicator),
                symbol: want.symbol,
                timeframe: want.timeframe,
                indicator: want.indicator,
                alive,
            })
            .collect(),
    }))
}

/// What the `at`-th item of a heartbeat names, by one name or the other.
fn in_use((at, item): (usize, HeartbeatItem)) -> Result<IndicatorWant, Problem> {
    let (code, what) = match (item.indicator_id, item.indicator) {
        (Some(indicator), None) | (None, Some(indicator)) => {
            return Ok(IndicatorWant {
                symbol: item.symbol,
                timeframe: item.timeframe,
                indicator,
            });
        }
        (None, None) => (Code::MissingField, "is missing"),
        (Some(_), Some(_)) => (
            Code::InvalidValue,
            "and indicator are given; one is accepted",
        ),
    };
    let field = format!("subscriptions[{at}].indicator_id");
    Err(Problem::new(code, format!("{field} {what}")).field(field))
}

/// An id as it is always written; as it is, if it is none.
fn canonical(indicator: &str) -> String {
    indicator
        .parse::<IndicatorId>()
        .map_or_else(|_| indicator.to_owned(), |id| id.to_string())
}

/// Indicators that are held
///
/// Their records, on all nodes that share them. To those who are no admins `subscribers`
/// are their own; `ref_count` counts all.
#[utoipa::path(
    get,
    path = "/api/v2/indicators/active",
    tag = "indicators",
    operation_id = "indicators_active",
    params(
        ("symbol" = Option<String>, Query, description = "Only of this symbol, token or `SEGMENT:SECURITY_ID`."),
        ("timeframe" = Option<String>, Query, description = "Only of this timeframe."),
    ),
    responses((status = 200, description = "The records, by their keys.", body = ActiveIndicators)),
)]
pub(crate) async fn active(
    State(api): State<Api>,
    caller: Caller,
    params: Params,
) -> Answer<ActiveIndicators> {
    params.only(&["symbol", "timeframe"])?;
    let indicators = api.gateway.indicators();
    let mut records = indicators
        .active(params.text("symbol"), params.text("timeframe"))
        .await
        .map_err(problem)?;
    if let (Some(user), Err(_)) = (caller.user(), caller.admin()) {
        for record in records.values_mut() {
            record.subscribers.retain(|who, _| is_of(who, user));
        }
    }
    Ok(Json(ActiveIndicators(records)))
}

/// Whether a subscriber of a record is a session of `user`.
fn is_of(subscriber: &str, user: u64) -> bool {
    subscriber
        .split_once("_session_")
        .is_some_and(|(whose, _)| whose.parse() == Ok(user))
}

/// How many indicators are held
#[utoipa::path(
    get,
    path = "/api/v2/indicators/metrics",
    tag = "indicators",
    operation_id = "indicators_metrics",
    responses((status = 200, description = "The totals, of all nodes that share them.", body = IndicatorTotals)),
)]
pub(crate) async fn totals(State(api): State<Api>) -> Answer<IndicatorTotals> {
    let totals = api.gateway.indicators().totals().await?;
    Ok(Json(IndicatorTotals {
        total_subscriptions: totals.keys,
        by_symbol: totals.by_symbol,
        by_timeframe: totals.by_timeframe,
        total_subscribers: totals.subscribers,
    }))
}

/// What can be computed
///
/// Names, parameters with their limits, and how many bars it takes until the first value
/// and until a value is right to nine places.
#[utoipa::path(
    get,
    path = "/api/v2/indicators/catalog",
    tag = "indicators",
    operation_id = "indicators_catalog",
    responses((status = 200, description = "The indicators.", body = CatalogAnswer)),
)]
pub(crate) async fn catalog() -> Json<CatalogAnswer> {
    Json(CatalogAnswer {
        timeframes: TIMEFRAMES,
        indicators: studies::catalog(),
    })
}

/// The latest value of an indicator
///
/// Of one that somebody holds, whoever that is; it holds nothing itself. `final` says
/// whether its bar is over. When markets are closed it is the value of the last bar.
#[utoipa::path(
    get,
    path = "/api/v2/indicators/{symbol}/{timeframe}/{indicator_id}",
    tag = "indicators",
    operation_id = "indicator",
    params(
        ("symbol" = String, Path, description = "A symbol, a token or `SEGMENT:SECURITY_ID`."),
        ("timeframe" = String, Path, description = "The timeframe, such as `5min`."),
        ("indicator_id" = String, Path, description = "The indicator, such as `RSI_14`."),
    ),
    responses((status = 200, description = "The value.", body = IndicatorValue)),
)]
pub(crate) async fn value(
    State(api): State<Api>,
    PathText((symbol, timeframe, indicator)): PathText<(String, String, String)>,
) -> Answer<IndicatorValue> {
    let want = IndicatorWant {
        symbol,
        timeframe,
        indicator,
    };
    let value = api.gateway.indicators().value(&want).await;
    Ok(Json(value.map_err(problem)?))
}
