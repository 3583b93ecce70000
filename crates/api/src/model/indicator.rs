//! Indicators: who holds them, and their values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strikewire_gateway::leases::Record;
use strikewire_gateway::studies::Entry;
use strikewire_gateway::types::InstrumentKey;
use utoipa::ToSchema;

use super::{user_id, user_id_schema};
use crate::extract::Fields;

/// Names the session that holds indicators, some indicators of one symbol and timeframe,
/// and whose they are.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndicatorsRequest {
    /// The user, an integer or a text of one. Absent: the key's.
    #[serde(default, deserialize_with = "user_id")]
    #[schema(schema_with = user_id_schema, required = false)]
    pub user_id: Option<u64>,
    /// The session. Where keys are on, one that login has begun.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[A-Za-z0-9._-]+$",
        example = "0f8e2c5a9b7d41e6a3c4d5e6f7081920"
    )]
    pub session_id: String,
    /// A symbol, a token or `SEGMENT:SECURITY_ID`. A bare commodity is its front future.
    #[schema(examples("NIFTY"))]
    pub symbol: String,
    /// `1min`, `5min`, `15min`, `1h`, `1d`, or any other number of minutes.
    #[schema(examples("5min"))]
    pub timeframe: String,
    /// Which of them.
    #[schema(min_items = 1, max_items = 100)]
    pub indicators: Vec<IndicatorName>,
}

impl Fields for IndicatorsRequest {
    const FIELDS: &'static [&'static str] =
        &["user_id", "session_id", "symbol", "timeframe", "indicators"];
}

/// An indicator with its parameters.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndicatorName {
    /// Such as `RSI_14`, `MACD_12_26_9` or `BB_20_2`; in any case, and without parameters
    /// for the usual ones.
    #[schema(examples("RSI_14"))]
    pub indicator_id: String,
}

/// Says that a session goes on using some indicators.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// The user, an integer or a text of one. Absent: the key's.
    #[serde(default, deserialize_with = "user_id")]
    #[schema(schema_with = user_id_schema, required = false)]
    pub user_id: Option<u64>,
    /// The session.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[A-Za-z0-9._-]+$",
        example = "0f8e2c5a9b7d41e6a3c4d5e6f7081920"
    )]
    pub session_id: String,
    /// What it uses.
    #[schema(max_items = 1000)]
    pub subscriptions: Vec<HeartbeatItem>,
}

impl Fields for HeartbeatRequest {
    const FIELDS: &'static [&'static str] = &["user_id", "session_id", "subscriptions"];
}

/// An indicator that is in use.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatItem {
    /// The symbol, as it was subscribed or as the answer named it.
    #[schema(examples("NIFTY"))]
    pub symbol: String,
    /// The timeframe.
    #[schema(examples("5min"))]
    pub timeframe: String,
    /// The indicator.
    #[serde(default)]
    #[schema(examples("RSI_14"))]
    pub indicator_id: Option<String>,
    /// The same by the name that it has on the stream; one of the two.
    #[serde(default)]
    #[schema(examples("RSI_14"))]
    pub indicator: Option<String>,
}

/// What a session has subscribed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SubscribedAnswer {
    /// The token of the instrument that the symbol stands for.
    pub symbol: String,
    /// That instrument, by segment and id.
    #[schema(value_type = String, examples("IDX_I:13"))]
    pub instrument: InstrumentKey,
    /// The timeframe, as it is always written.
    pub timeframe: String,
    /// One for each indicator, in the order in which they were asked for.
    pub results: Vec<SubscribedIndicator>,
}

/// An indicator that is held.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SubscribedIndicator {
    /// The indicator, as it is always written.
    #[schema(examples("RSI_14"))]
    pub indicator_id: String,
    /// The key of its record.
    #[schema(examples("indicator_sub:NIFTY:5min:RSI_14"))]
    pub key: String,
    /// Whether nobody held it before.
    pub is_new: bool,
    /// How many hold it now.
    pub ref_count: u32,
}

/// What a session has let go.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UnsubscribedAnswer {
    /// The token of the instrument that the symbol stands for.
    pub symbol: String,
    /// The timeframe, as it is always written.
    pub timeframe: String,
    /// One for each indicator, in the order in which they were asked for.
    pub results: Vec<UnsubscribedIndicator>,
}

/// An indicator that was let go.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UnsubscribedIndicator {
    /// The indicator, as it is always written.
    #[schema(examples("RSI_14"))]
    pub indicator_id: String,
    /// The key of its record.
    #[schema(examples("indicator_sub:NIFTY:5min:RSI_14"))]
    pub key: String,
    /// Whether it was the session's last one and is computed no longer.
    pub stopped: bool,
    /// How many still hold it.
    pub ref_count: u32,
    /// Whether this session held it.
    pub was_held: bool,
}

/// What became of a heartbeat.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// `ok`.
    #[schema(value_type = String, example = "ok")]
    pub status: &'static str,
    /// One for each subscription, in the order in which they were sent.
    pub results: Vec<HeartbeatResult>,
}

/// Whether a session holds an indicator.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HeartbeatResult {
    /// The symbol, as it was sent.
    pub symbol: String,
    /// The timeframe, as it was sent.
    pub timeframe: String,
    /// The indicator, as it was sent.
    #[schema(examples("RSI_14"))]
    pub indicator: String,
    /// The indicator, as it is always written; as it was sent if it is none.
    #[schema(examples("RSI_14"))]
    pub indicator_id: String,
    /// Whether the session holds it. If not: it was let go, or nobody said that it is in
    /// use for too long; subscribe it again.
    pub alive: bool,
}

/// Records of the indicators that are held, by their keys. To those who are no admins
/// `subscribers` are their own.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(transparent)]
pub struct ActiveIndicators(pub BTreeMap<String, Record>);

/// How many indicators are held.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct IndicatorTotals {
    /// Indicators that somebody holds: each symbol, timeframe and id once.
    pub total_subscriptions: u64,
    /// The same by symbol.
    pub by_symbol: BTreeMap<String, u64>,
    /// The same by timeframe.
    pub by_timeframe: BTreeMap<String, u64>,
    /// Who holds them: each user and session once.
    pub total_subscribers: u64,
}

/// What can be computed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CatalogAnswer {
    /// The usual timeframes; any other number of minutes is taken too.
    #[schema(value_type = Vec<String>)]
    pub timeframes: &'static [&'static str],
    /// The indicators.
    pub indicators: &'static [Entry],
}
