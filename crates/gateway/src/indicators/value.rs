use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::Latest;

/// The latest value of an indicator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IndicatorValue {
    /// The token of its instrument.
    pub symbol: String,
    /// `1min`, `5min`, `15min`, `1h`, `1d`.
    pub timeframe: String,
    /// `RSI_14`.
    pub indicator_id: String,
    /// Its number, where it has one only; null while there are not enough bars.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "null_is_there"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub value: Option<Option<f64>>,
    /// Its numbers by name, where it has several; each null while there are not enough
    /// bars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, Option<f64>>>,
    /// When the bar began that it is of, RFC 3339.
    pub bar_time: String,
    /// Whether that bar has closed.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Whether it is what a computation that began long before would say.
    pub warm: bool,
    /// Whether it comes from a stand-in, not from a market.
    pub mock: bool,
}

/// A member that is there and null is something else than one that is not there.
fn null_is_there<'de, D>(deserializer: D) -> Result<Option<Option<f64>>, D::Error>
where
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

impl From<&Latest> for IndicatorValue {
    fn from(latest: &Latest) -> Self {
        let number = |at: usize| {
            let value = latest
                .value
                .and_then(|value| value.as_slice().get(at).copied());
            value.filter(|value| value.is_finite())
        };
        let (value, outputs) = match latest.outputs {
            [] | [_] => (Some(number(0)), None),
            names => {
                let named = names.iter().enumerate();
                let outputs = named.map(|(at, name)| ((*name).to_owned(), number(at)));
                (None, Some(outputs.collect()))
            }
        };
        Self {
            symbol: latest.key.symbol().to_owned(),
            timeframe: latest.key.timeframe().to_owned(),
            indicator_id: latest.key.indicator_id().to_owned(),
            value,
            outputs,
            bar_time: latest.bar_time.to_string(),
            is_final: latest.is_final,
            warm: latest.warm,
            mock: latest.mock,
        }
    }
}
