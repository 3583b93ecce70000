//! What is asked.

use serde::{Deserialize, Deserializer};
use strikewire_gateway::InstrumentType;
use strikewire_gateway::types::{Exchange, Mode, Tier};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::Problem;
use crate::extract::Fields;

/// Adds an item to a watchlist.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRequest {
    /// The user, an integer or a text of one. Absent: the key's.
    #[serde(default, deserialize_with = "user_id")]
    #[schema(schema_with = user_id_schema, required = false)]
    pub user_id: Option<u64>,
    /// The underlying's symbol, or the instrument's own.
    #[schema(examples("RELIANCE"))]
    pub symbol: String,
    /// Absent: an option chain of any kind.
    #[serde(default)]
    #[schema(value_type = Option<InstrumentType>)]
    pub instrument_type: Option<String>,
    /// As `24FEB2026`, `24-Feb-2026` or `2026-02-24`. Absent: the nearest.
    #[serde(default)]
    #[schema(pattern = r"^([0-9]{2}-?[A-Za-z]{3}-?[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2})$")]
    pub expiry: Option<String>,
    /// Absent: by the exchange rule.
    #[serde(default)]
    #[schema(value_type = Option<Exchange>)]
    pub exchange: Option<String>,
    /// The caller's price of the underlying, in rupees. It shapes a chain for which there
    /// is no live price.
    #[serde(default)]
    #[schema(exclusive_minimum = 0)]
    pub underlying_ltp: Option<f64>,
    /// Strikes, odd. Absent: 25 for stocks, 101 for indices, 51 for commodities and
    /// currencies, unless configured otherwise.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1001)]
    pub width: Option<i64>,
    /// Absent: `full`, for an index `ticker`.
    #[serde(default)]
    #[schema(value_type = Option<Mode>)]
    pub mode: Option<String>,
    /// Whether the window follows the price. Default true.
    #[serde(default)]
    pub follow: Option<bool>,
}

impl Fields for AddRequest {
    const FIELDS: &'static [&'static str] = &[
        "user_id",
        "symbol",
        "instrument_type",
        "expiry",
        "exchange",
        "underlying_ltp",
        "width",
        "mode",
        "follow",
    ];
}

impl AddRequest {
    /// The instrument type as it is understood.
    pub(crate) fn instrument_type(&self) -> Result<Option<InstrumentType>, Problem> {
        instrument_type(self.instrument_type.as_deref())
    }
}

pub(crate) fn instrument_type(text: Option<&str>) -> Result<Option<InstrumentType>, Problem> {
    crate::extract::parse("instrument_type", text).map_err(|problem| {
        problem.choices(
            InstrumentType::ALL
                .iter()
                .map(ToString::to_string)
                .collect(),
        )
    })
}

/// Subscribes a chain without putting it on a watchlist: an add with two more fields.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeRequest {
    /// The user, an integer or a text of one. Absent: the key's.
    #[serde(default, deserialize_with = "user_id")]
    #[schema(schema_with = user_id_schema, required = false)]
    pub user_id: Option<u64>,
    /// The underlying's symbol, or the instrument's own.
    #[schema(examples("RELIANCE"))]
    pub symbol: String,
    /// Absent: an option chain of any kind.
    #[serde(default)]
    #[schema(value_type = Option<InstrumentType>)]
    pub instrument_type: Option<String>,
    /// As `24FEB2026`, `24-Feb-2026` or `2026-02-24`. Absent: the nearest.
    #[serde(default)]
    #[schema(pattern = r"^([0-9]{2}-?[A-Za-z]{3}-?[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2})$")]
    pub expiry: Option<String>,
    /// Absent: by the exchange rule.
    #[serde(default)]
    #[schema(value_type = Option<Exchange>)]
    pub exchange: Option<String>,
    /// The caller's price of the underlying, in rupees. It shapes a chain for which there
    /// is no live price.
    #[serde(default)]
    #[schema(exclusive_minimum = 0)]
    pub underlying_ltp: Option<f64>,
    /// Strikes, odd. Absent: 25 for stocks, 101 for indices, 51 for commodities and
    /// currencies, unless configured otherwise.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1001)]
    pub width: Option<i64>,
    /// Absent: `full`, for an index `ticker`.
    #[serde(default)]
    #[schema(value_type = Option<Mode>)]
    pub mode: Option<String>,
    /// Whether the window follows the price. Default true.
    #[serde(default)]
    pub follow: Option<bool>,
    /// Absent: `TIER_A`. `TIER_B` takes the role admin.
    #[serde(default)]
    #[schema(value_type = Option<Tier>)]
    pub tier: Option<String>,
    /// Calculate the chain anew whatever is cached. Default false.
    #[serde(default)]
    pub force_recalc: Option<bool>,
}

impl Fields for SubscribeRequest {
    const FIELDS: &'static [&'static str] = &[
        "user_id",
        "symbol",
        "instrument_type",
        "expiry",
        "exchange",
        "underlying_ltp",
        "width",
        "mode",
        "follow",
        "tier",
        "force_recalc",
    ];
}

impl From<SubscribeRequest> for AddRequest {
    fn from(body: SubscribeRequest) -> Self {
        Self {
            user_id: body.user_id,
            symbol: body.symbol,
            instrument_type: body.instrument_type,
            expiry: body.expiry,
            exchange: body.exchange,
            underlying_ltp: body.underlying_ltp,
            width: body.width,
            mode: body.mode,
            follow: body.follow,
        }
    }
}

/// Removes an item from a watchlist.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveRequest {
    /// The user, an integer or a text of one. Absent: the key's.
    #[serde(default, deserialize_with = "user_id")]
    #[schema(schema_with = user_id_schema, required = false)]
    pub user_id: Option<u64>,
    /// The symbol.
    #[schema(examples("RELIANCE"))]
    pub symbol: String,
    /// Absent: any.
    #[serde(default)]
    #[schema(pattern = r"^([0-9]{2}-?[A-Za-z]{3}-?[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2})$")]
    pub expiry: Option<String>,
    /// Absent: any.
    #[serde(default)]
    #[schema(value_type = Option<Exchange>)]
    pub exchange: Option<String>,
    /// Absent: any.
    #[serde(default)]
    #[schema(value_type = Option<InstrumentType>)]
    pub instrument_type: Option<String>,
}

impl Fields for RemoveRequest {
    const FIELDS: &'static [&'static str] =
        &["user_id", "symbol", "expiry", "exchange", "instrument_type"];
}

/// Asks what some items would take and evict.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// Each as it would be added to a watchlist.
    #[schema(value_type = Vec<AddRequest>, min_items = 1, max_items = 1000)]
    pub requests: Vec<serde_json::Value>,
}

impl Fields for PlanRequest {
    const FIELDS: &'static [&'static str] = &["requests"];
}

/// Names an expiry whose chains are to be calculated anew.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvalidateRequest {
    /// The underlying's symbol.
    #[schema(examples("RELIANCE"))]
    pub symbol: String,
    /// The expiry.
    #[schema(pattern = r"^([0-9]{2}-?[A-Za-z]{3}-?[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2})$")]
    pub expiry: String,
}

impl Fields for InvalidateRequest {
    const FIELDS: &'static [&'static str] = &["symbol", "expiry"];
}

pub(crate) fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an integer from 0 on, or a text of one")]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(id) => Ok(Some(id)),
        Either::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map(Some).map_err(serde::de::Error::custom)
        }
        Either::Text(_) => Err(serde::de::Error::custom(
            "an integer from 0 on, or a text of one, is expected",
        )),
    }
}

/// An integer, or a text of one.
pub(crate) fn user_id_schema() -> RefOr<Schema> {
    OneOfBuilder::new()
        .description(Some(
            "The user, an integer or a text of one. Absent: the key's.",
        ))
        .item(
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(0)),
        )
        .item(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^[0-9]{1,19}$")),
        )
        .examples([7])
        .into()
}
