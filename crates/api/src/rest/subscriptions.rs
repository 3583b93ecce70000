//! What is subscribed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use strikewire_gateway::registry::{Expiring, Instrument, Registry};
use strikewire_gateway::types::{ConnId, Exchange, InstrumentKey, Tier};
use strikewire_gateway::{ActiveRow, Error, Explanation, Gateway, HolderView, StatusView};

use super::{Answer, blocking};
use crate::extract::{Params, PathText};
use crate::model::{ActiveAnswer, ActiveView, SubscriptionAnswer, SubscriptionView};
use crate::{Api, Caller, Code, Problem, cursor};

/// Totals of what is subscribed
#[utoipa::path(
    get,
    path = "/api/v2/subscriptions/status",
    tag = "subscriptions",
    operation_id = "subscriptions_status",
    responses((status = 200, description = "The totals.", body = StatusView)),
)]
pub(crate) async fn status(State(api): State<Api>) -> Answer<StatusView> {
    Ok(Json(api.gateway.status().await?))
}

/// What is subscribed
///
/// By token. Rows that are there throughout are never skipped or repeated from page to
/// page.
#[utoipa::path(
    get,
    path = "/api/v2/subscriptions/active",
    tag = "subscriptions",
    operation_id = "subscriptions_active",
    params(
        ("tier" = Option<Tier>, Query, description = "Only of this tier."),
        ("symbol" = Option<String>, Query, description = "Only on this symbol."),
        ("exchange" = Option<Exchange>, Query, description = "Only of this exchange."),
        ("ws" = Option<u8>, Query, minimum = 1, description = "Only on this connection."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "100 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page of it.", body = ActiveAnswer)),
)]
pub(crate) async fn active(State(api): State<Api>, params: Params) -> Answer<ActiveAnswer> {
    params.only(&["tier", "symbol", "exchange", "ws", "limit", "cursor"])?;
    let page = Page {
        tier: params.get("tier")?,
        symbol: params.text("symbol").map(str::to_owned),
        exchange: params.get("exchange")?,
        connection: params.get("ws")?,
        after: params.cursor()?,
        limit: params.limit(100, 1000)?,
    };
    let (registry, rows) = rows(&api.gateway).await?;
    blocking(move || page.of(&registry, &rows)).await?.map(Json)
}

/// Everything that somebody holds, and the master that it is listed in.
async fn rows(gateway: &Gateway) -> Result<(Arc<Registry>, Vec<ActiveRow>), Error> {
    loop {
        let registry = gateway.registry();
        let rows = gateway.active().await?;
        if Arc::ptr_eq(&registry, &gateway.registry()) {
            return Ok((registry, rows));
        }
    }
}

/// Which rows a page has.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) tier: Option<Tier>,
    pub(super) symbol: Option<String>,
    pub(super) exchange: Option<Exchange>,
    /// By number, from 1.
    pub(super) connection: Option<u8>,
    /// Only tokens after this one. Rows that come and go in between change nothing for
    /// the others: none of them comes twice or is left out.
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

impl Page {
    pub(super) fn of(
        &self,
        registry: &Registry,
        rows: &[ActiveRow],
    ) -> Result<ActiveAnswer, Problem> {
        let symbol = self
            .symbol
            .as_deref()
            .map(|name| listed(registry, name))
            .transpose()?;
        let mut found: Vec<(String, &ActiveRow, Instrument<'_>)> = rows
            .iter()
            .filter(|row| {
                self.tier.is_none_or(|tier| tier == row.tier)
                    && (self.connection.is_none()
                        || self.connection == row.connection.map(ConnId::number))
            })
            .filter_map(|row| Some((row, registry.by_key(row.key)?)))
            .filter(|(_, instrument)| {
                self.exchange
                    .is_none_or(|exchange| exchange == instrument.exchange())
                    && symbol.is_none_or(|symbol| symbol == instrument.symbol())
            })
            .map(|(row, instrument)| (instrument.token(), row, instrument))
            .filter(|(token, ..)| self.after.as_ref().is_none_or(|after| token > after))
            .collect();
        let by_token = |a: &(String, _, _), b: &(String, _, _)| a.0.cmp(&b.0);
        let more = found.len() > self.limit;
        if more {
            found.select_nth_unstable_by(self.limit, by_token);
            found.truncate(self.limit);
        }
        found.sort_unstable_by(by_token);
        let items: Vec<ActiveView> = found
            .into_iter()
            .map(|(token, row, instrument)| ActiveView {
                subscription: view(token, instrument, row),
                holders: row.holders,
            })
            .collect();
        let last = items.last().filter(|_| more);
        Ok(ActiveAnswer {
            next_cursor: last.map(|item| cursor::encode(&item.subscription.token)),
            items,
        })
    }
}

fn view(token: String, instrument: Instrument<'_>, row: &ActiveRow) -> SubscriptionView {
    SubscriptionView {
        token,
        instrument: row.key,
        symbol: instrument.symbol().to_owned(),
        exchange: instrument.exchange(),
        expiry: instrument.expiry(),
        strike: instrument.strike(),
        option_type: instrument.option_type(),
        tier: row.tier,
        mode: row.mode,
        state: row.state,
        ws_connection_id: row.connection.map(ConnId::number),
        subscribed_at: row.since,
        missing: row.missing,
    }
}

/// The symbol that `name` is listed under.
fn listed<'r>(registry: &'r Registry, name: &str) -> Result<&'r str, Problem> {
    match registry.canonical_symbol(name) {
        Some(symbol) => Ok(symbol),
        // Says what there is instead.
        None => match registry.resolve_equity(None, name) {
            Ok(found) => Ok(found.instrument.symbol()),
            Err(error) => Err(error.into()),
        },
    }
}

/// All about the subscription of one instrument
///
/// Who holds it and why, and how it stands on the wire. To those who are no admins the
/// holders are their own, and the others' number.
#[utoipa::path(
    get,
    path = "/api/v2/subscriptions/{token}",
    tag = "subscriptions",
    operation_id = "subscription",
    params(("token" = String, Path, description = "The token, or `SEGMENT:SECURITY_ID`.")),
    responses((status = 200, description = "What there is to know.", body = SubscriptionAnswer)),
)]
pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    PathText(token): PathText,
) -> Answer<SubscriptionAnswer> {
    let gateway = &api.gateway;
    let (registry, key, explanation) = explain(gateway, &token).await?;
    let instrument = registry
        .by_key(key)
        .ok_or_else(|| Problem::new(Code::Internal, format!("{key} is not listed")))?;
    let Some(explanation) = explanation else {
        let detail = format!("nobody holds {} ({key})", instrument.token());
        return Err(Problem::new(Code::NotSubscribed, detail).field("token"));
    };
    let row = ActiveRow {
        key,
        tier: explanation.tier,
        mode: explanation.mode,
        state: explanation.state,
        connection: explanation.connection,
        since: explanation.since,
        missing: explanation.missing,
        holders: explanation.holders.len(),
    };
    let now = gateway.clock().now();
    let age = gateway
        .quote(key)
        .map(|quote| u64::try_from(now.utc.since(quote.recv).as_millis()).unwrap_or(u64::MAX));
    let (holders, others) = seen(&caller, explanation.holders);
    Ok(Json(SubscriptionAnswer {
        subscription: view(instrument.token(), instrument, &row),
        last_tick_age_ms: age,
        last_gap: explanation.last_gap,
        holders,
        others,
    }))
}

/// The holders that `caller` may see, and how many there are besides.
pub(super) fn seen(caller: &Caller, holders: Vec<HolderView>) -> (Vec<HolderView>, Option<usize>) {
    if caller.admin().is_ok() {
        return (holders, None);
    }
    let all = holders.len();
    let own: Vec<HolderView> = holders
        .into_iter()
        .filter(|holder| holder.user_id.is_some_and(|user| caller.may_touch(user)))
        .map(|holder| HolderView {
            // Others' claims made room for it.
            displaced: Vec::new(),
            ..holder
        })
        .collect();
    let others = all - own.len();
    (own, Some(others))
}

/// Who holds the instrument that `token` names, and the master that it is listed in.
async fn explain(
    gateway: &Gateway,
    token: &str,
) -> Result<(Arc<Registry>, InstrumentKey, Option<Explanation>), Problem> {
    loop {
        let registry = gateway.registry();
        let key = {
            let ended = |it: &Expiring<'_>| gateway.has_ended(it);
            let found = registry.current(&ended).find(token)?;
            found.instrument.key()
        };
        match gateway.explain(key).await {
            Err(Error::MasterChanged) => {}
            explanation if Arc::ptr_eq(&registry, &gateway.registry()) => {
                return Ok((registry, key, explanation?));
            }
            _ => {}
        }
    }
}
