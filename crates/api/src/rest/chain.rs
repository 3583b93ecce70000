use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use strikewire_gateway::ChainRequest;
use strikewire_gateway::types::{Exchange, Expiry};

use super::warnings;
use crate::extract::{self, Params, PathText};
use crate::model::{ChainAnswer, Warning};
use crate::{Api, Problem};

/// A chain with its last quotes
///
/// Subscribes nothing. Quotes are those of the contracts that are subscribed.
#[utoipa::path(
    get,
    path = "/api/v2/option-chain/{symbol}",
    tag = "chains",
    operation_id = "option_chain",
    params(
        ("symbol" = String, Path, description = "The underlying's symbol."),
        ("expiry" = Option<String>, Query, pattern = r"^([0-9]{2}-?[A-Za-z]{3}-?[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2})$", description = "As `24FEB2026`, `24-Feb-2026` or `2026-02-24`. Absent: the nearest."),
        ("underlying_ltp" = Option<f64>, Query, exclusive_minimum = 0, description = "The caller's price of the underlying, in rupees."),
        ("width" = Option<u16>, Query, minimum = 1, maximum = 1001, description = "Strikes, odd. Absent: by the kind of chain."),
        ("exchange" = Option<Exchange>, Query, description = "Absent: by the exchange rule."),
        ("force_recalc" = Option<bool>, Query, description = "Calculate it anew whatever is cached; once a second at most."),
    ),
    responses((status = 200, description = "The chain.", body = ChainAnswer)),
)]
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
    let mut body = api.gateway.chain_json(&answer);
    let warnings = warnings(warning);
    if !warnings.is_empty() {
        body = with_warnings(&body, &warnings);
    }
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// A JSON object with one more member.
fn with_warnings(object: &[u8], warnings: &[Warning]) -> Bytes {
    let open = object.strip_suffix(b"}").unwrap_or(object);
    let warnings = serde_json::to_vec(warnings).unwrap_or_default();
    Bytes::from([open, b",\"warnings\":", &warnings, b"}"].concat())
}
