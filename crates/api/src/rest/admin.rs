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

pub(crate) async fn ws_status(State(api): State<Api>) -> Answer<WsStatus> {
    Ok(Json(api.gateway.ws_status().await?))
}

pub(crate) async fn unsubscribe_tier_a(
    State(api): State<Api>,
    _: NoBody,
) -> Answer<UnsubscribeAnswer> {
    Ok(Json(UnsubscribeAnswer {
        success: true,
        unsubscribed: api.gateway.unsubscribe_tier_a().await?,
    }))
}

pub(crate) async fn rebalance(State(api): State<Api>, _: NoBody) -> Answer<RebalanceAnswer> {
    let moved = api.gateway.rebalance().await?;
    Ok(Json(RebalanceAnswer {
        success: true,
        moved,
        ws_usage: api.gateway.status().await?.ws_usage,
    }))
}

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

pub(crate) async fn invalidate(
    State(api): State<Api>,
    Body(body): Body<InvalidateRequest>,
) -> Answer<InvalidateAnswer> {
    let expiry = extract::required("expiry", &body.expiry)?;
    Ok(Json(InvalidateAnswer {
        success: true,
        recalculated: api.gateway.invalidate(&body.symbol, expiry).await?,
    }))
}

pub(crate) async fn audit(State(api): State<Api>, params: Params) -> Answer<AuditAnswer> {
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
