//! What operators ask for.

use axum::Json;
use axum::extract::State;
use strikewire_gateway::WsStatus;
use strikewire_gateway::registry::Expiring;
use strikewire_gateway::store::{AuditQuery, AuditRow, Cursor};

use super::Answer;
use crate::extract::{self, Body, NoBody, Params};
use crate::model::{
    AuditAnswer, AuditView, InvalidateAnswer, InvalidateRequest, RebalanceAnswer, UnsubscribeAnswer,
};
use crate::{Api, Caller, Code, Problem, Reloaded, cursor};

/// The connections to the broker
#[utoipa::path(
    get,
    path = "/api/v2/admin/ws-status",
    tag = "admin",
    operation_id = "admin_ws_status",
    responses((status = 200, description = "Each connection, by number.", body = WsStatus)),
)]
pub(crate) async fn ws_status(State(api): State<Api>, caller: Caller) -> Answer<WsStatus> {
    caller.admin()?;
    Ok(Json(api.gateway.ws_status().await?))
}

/// Lets go of all of tier A
///
/// The items stay on their watchlists as `evicted`, and a restart does not revive them.
#[utoipa::path(
    post,
    path = "/api/v2/admin/unsubscribe-all-tier-a",
    tag = "admin",
    operation_id = "admin_unsubscribe_all_tier_a",
    request_body = Option<NoBody>,
    responses((status = 200, description = "They are let go.", body = UnsubscribeAnswer)),
)]
pub(crate) async fn unsubscribe_tier_a(
    State(api): State<Api>,
    caller: Caller,
    _: NoBody,
) -> Answer<UnsubscribeAnswer> {
    caller.admin()?;
    Ok(Json(UnsubscribeAnswer {
        success: true,
        unsubscribed: api.gateway.unsubscribe_tier_a().await?,
    }))
}

/// Evens the connections out
#[utoipa::path(
    post,
    path = "/api/v2/admin/rebalance-ws",
    tag = "admin",
    operation_id = "admin_rebalance_ws",
    request_body = Option<NoBody>,
    responses((status = 200, description = "How many instruments move.", body = RebalanceAnswer)),
)]
pub(crate) async fn rebalance(
    State(api): State<Api>,
    caller: Caller,
    _: NoBody,
) -> Answer<RebalanceAnswer> {
    caller.admin()?;
    let moved = api.gateway.rebalance().await?;
    Ok(Json(RebalanceAnswer {
        success: true,
        moved,
        ws_usage: api.gateway.status().await?.ws_usage,
    }))
}

/// Takes a changed configuration
///
/// Reads the configuration again and takes what can change at run time; all or nothing.
#[utoipa::path(
    post,
    path = "/api/v2/admin/reload-config",
    tag = "admin",
    operation_id = "admin_reload_config",
    request_body = Option<NoBody>,
    responses((status = 200, description = "What holds from now on, and what after a restart only.", body = Reloaded)),
)]
pub(crate) async fn reload(State(api): State<Api>, caller: Caller, _: NoBody) -> Answer<Reloaded> {
    caller.admin()?;
    let Some(control) = api.control.clone() else {
        let detail = "this server has no configuration to read again";
        return Err(Problem::new(Code::NotFound, detail));
    };
    // Reads files.
    let reloaded = super::blocking(move || control.reload()).await?;
    reloaded
        .map(Json)
        .map_err(|mistake| Problem::new(Code::InvalidConfig, mistake))
}

/// Calculates the chains of an expiry anew
///
/// On every exchange that lists it.
#[utoipa::path(
    post,
    path = "/api/v2/admin/invalidate-expiry",
    tag = "admin",
    operation_id = "admin_invalidate_expiry",
    request_body = InvalidateRequest,
    responses((status = 200, description = "How many were known.", body = InvalidateAnswer)),
)]
pub(crate) async fn invalidate(
    State(api): State<Api>,
    caller: Caller,
    Body(body): Body<InvalidateRequest>,
) -> Answer<InvalidateAnswer> {
    caller.admin()?;
    let expiry = extract::required("expiry", &body.expiry)?;
    Ok(Json(InvalidateAnswer {
        success: true,
        recalculated: api.gateway.invalidate(&body.symbol, expiry).await?,
    }))
}

/// The audit log
///
/// What happened, newest first; or with `as_of` what was subscribed then, by token.
#[utoipa::path(
    get,
    path = "/api/v2/audit",
    tag = "audit",
    operation_id = "audit",
    params(
        ("token" = Option<String>, Query, description = "Only of this instrument; one that is gone is named by its token of then."),
        ("action" = Option<String>, Query, description = "Only this, such as `SUBSCRIBE` or `RATE_LIMIT_EVICT`."),
        ("since" = Option<String>, Query, format = DateTime, description = "Only from then on."),
        ("as_of" = Option<String>, Query, format = DateTime, description = "What was subscribed then; not together with `since`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "100 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page of the log.", body = AuditAnswer)),
)]
pub(crate) async fn audit(
    State(api): State<Api>,
    caller: Caller,
    params: Params,
) -> Answer<AuditAnswer> {
    caller.admin()?;
    let query = audit_query(&api, &params)?;
    let reader = api.gateway.audit().ok_or_else(|| {
        let detail = "there is no audit log: this server runs without a database";
        Problem::new(Code::NotReady, detail)
    })?;
    let page = reader.audit(&query).await?;
    Ok(Json(AuditAnswer {
        items: page.items.into_iter().map(audit_view).collect(),
        next_cursor: page.next.map(|next| cursor::encode(&next.to_string())),
    }))
}

fn audit_query(api: &Api, params: &Params) -> Result<AuditQuery, Problem> {
    params.only(&["token", "action", "since", "as_of", "limit", "cursor"])?;
    let query = AuditQuery {
        token: params.text("token").map(|given| token(api, given)),
        action: params.get("action")?,
        since: params.time("since")?,
        as_of: params.time("as_of")?,
        limit: params.limit(100, 1000)?,
        cursor: params
            .cursor()?
            .map(|place| place.parse::<Cursor>())
            .transpose()?,
    };
    if query.since.is_some() && query.as_of.is_some() {
        let detail = "since: as_of asks what was subscribed then, not what happened since; \
                      give one of them";
        return Err(Problem::new(Code::InvalidValue, detail).field("since"));
    }
    Ok(query)
}

/// The token of what is listed as `given`; as it is where nothing is, for contracts that
/// are gone.
fn token(api: &Api, given: &str) -> String {
    let registry = api.gateway.registry();
    let ended = |it: &Expiring<'_>| api.gateway.has_ended(it);
    let found = registry.current(&ended).find(given);
    found.map_or_else(|_| given.to_owned(), |found| found.instrument.token())
}

fn audit_view(AuditRow { id, record }: AuditRow) -> AuditView {
    AuditView {
        id,
        action: record.action.as_str(),
        token: record.token,
        reason: record.reason,
        owner: record.owner,
        at: format!("{:.6}", record.at),
    }
}
