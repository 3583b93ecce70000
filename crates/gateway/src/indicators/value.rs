use core::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    /// bars. In the order in which the catalogue names them.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_in_order",
        deserialize_with = "read_in_order"
    )]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<std::collections::BTreeMap<String, Option<f64>>>)
    )]
    pub outputs: Option<Vec<(String, Option<f64>)>>,
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

type Named = Vec<(String, Option<f64>)>;

// The signature is serde's.
fn write_in_order<S: Serializer>(outputs: &Option<Named>, to: S) -> Result<S::Ok, S::Error> {
    let pairs = outputs.iter().flatten();
    to.collect_map(pairs.map(|(name, value)| (name, value)))
}

fn read_in_order<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Named>, D::Error> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Named;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("numbers by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
            let mut pairs = Named::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    from.deserialize_map(InOrder).map(Some)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_the_order_of_the_catalogue() {
        let text = r#"{"symbol":"NIFTY","timeframe":"5min","indicator_id":"MACD_12_26_9","#
            .to_owned()
            + r#""outputs":{"macd":1.5,"signal":null,"histogram":0.5},"#
            + r#""bar_time":"2026-02-09T09:55:00.000+05:30","final":true,"warm":true,"mock":false}"#;
        let value: IndicatorValue = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
        for wrong in ["null", "7", "[1]", r#"{"a":"b"}"#] {
            let text = text.replace(r#"{"macd":1.5,"signal":null,"histogram":0.5}"#, wrong);
            assert!(
                serde_json::from_str::<IndicatorValue>(&text).is_err(),
                "{wrong}"
            );
        }
    }
}
