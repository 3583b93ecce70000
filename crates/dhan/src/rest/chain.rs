//! Option chains and their expiries: `POST /v2/optionchain`, `/v2/optionchain/expirylist`.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use strikewire_broker::{ChainLeg, ChainRow, ChainSnapshot, ReferenceError};
use strikewire_types::{Expiry, InstrumentKey, Segment, Strike};

use super::failure::{self, Answer, glimpse};
use super::number::{Num, Object, PAISA, rounded};

pub(super) const CALL: &str = "option chain";
pub(super) const EXPIRIES_CALL: &str = "expiry list";

/// Of which underlying, and of which expiry when it is about a chain.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Request {
    underlying_scrip: u32,
    underlying_seg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<String>,
}

impl Request {
    pub(super) fn new(underlying: InstrumentKey, expiry: Option<Expiry>) -> Self {
        Self {
            underlying_scrip: underlying.id.0,
            underlying_seg: underlying.segment.as_str(),
            expiry: expiry.map(|expiry| expiry.date().to_string()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    last_price: Num,
    oc: Object<HashMap<String, Object<RawRow>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawRow {
    ce: Object<RawLeg>,
    pe: Object<RawLeg>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawLeg {
    average_price: Num,
    greeks: Object<RawGreeks>,
    implied_volatility: Num,
    last_price: Num,
    oi: Num,
    previous_close_price: Num,
    previous_oi: Num,
    previous_volume: Num,
    security_id: Num,
    top_ask_price: Num,
    top_ask_quantity: Num,
    top_bid_price: Num,
    top_bid_quantity: Num,
    volume: Num,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawGreeks {
    delta: Num,
    theta: Num,
    gamma: Num,
    vega: Num,
}

/// The chain in an answer about an underlying in `segment`. No tick size is known here:
/// prices are rounded to 0.01 rupee, those of currencies to 0.0001.
///
/// # Errors
///
/// When the answer is a failure, has no strikes, or is not as documented.
pub fn option_chain(answer: Answer<'_>, segment: Segment) -> Result<ChainSnapshot, ReferenceError> {
    let grid = match segment {
        Segment::NseCurrency | Segment::BseCurrency => 1,
        _ => PAISA,
    };
    let data = failure::data(CALL, &answer)?;
    let Object(raw) = serde_json::from_slice::<Object<Raw>>(data).map_err(|error| {
        ReferenceError::Unexpected {
            call: CALL,
            detail: format!("{error}, in {}", glimpse(data)),
        }
    })?;
    let raw = raw.unwrap_or_default();
    let rows = raw.oc.0.unwrap_or_default();
    if rows.is_empty() {
        return Err(ReferenceError::NoData {
            call: CALL,
            detail: format!("no strikes in {}", glimpse(data)),
        });
    }
    let mut strikes = BTreeMap::new();
    for (key, row) in rows {
        let rupees = key.trim().parse().ok();
        let raw = rupees.and_then(|rupees| rounded(rupees, grid));
        let strike = match raw.map(|price| Strike::from_raw(price.raw())) {
            Some(strike) if strike.raw() > 0 => strike,
            _ => {
                return Err(ReferenceError::Unexpected {
                    call: CALL,
                    detail: format!("{key:?} where a strike such as \"22950.000000\" is expected"),
                });
            }
        };
        let row = row.0.unwrap_or_default();
        strikes.insert(
            strike,
            ChainRow {
                strike,
                call: row.ce.0.and_then(|leg| leg.leg(grid)),
                put: row.pe.0.and_then(|leg| leg.leg(grid)),
            },
        );
    }
    Ok(ChainSnapshot {
        underlying_ltp: raw.last_price.on(grid),
        strikes: strikes.into_values().collect(),
    })
}

impl RawLeg {
    /// None when nothing is said about it.
    fn leg(self, grid: i64) -> Option<ChainLeg> {
        let implied_volatility = self.implied_volatility.0.filter(|&percent| percent > 0.0);
        let greeks = self.greeks.0.unwrap_or_default();
        // Where no volatility could be found, everything that follows from it is 0.
        let is_said = implied_volatility.is_some()
            || [greeks.delta, greeks.theta, greeks.gamma, greeks.vega]
                .iter()
                .any(|greek| greek.0.is_some_and(|greek| greek != 0.0));
        // Without the sign of -0.
        let greek = |number: Num| number.0.filter(|_| is_said).map(|greek| greek + 0.0);
        let leg = ChainLeg {
            security_id: self.security_id.positive(),
            ltp: self.last_price.on(grid),
            atp: self.average_price.on(grid),
            prev_close: self.previous_close_price.on(grid),
            bid: self.top_bid_price.on(grid),
            bid_qty: self.top_bid_quantity.quantity(),
            ask: self.top_ask_price.on(grid),
            ask_qty: self.top_ask_quantity.quantity(),
            oi: self.oi.quantity(),
            prev_oi: self.previous_oi.quantity(),
            volume: self.volume.quantity(),
            prev_volume: self.previous_volume.quantity(),
            implied_volatility,
            delta: greek(greeks.delta),
            theta: greek(greeks.theta),
            gamma: greek(greeks.gamma),
            vega: greek(greeks.vega),
        };
        (leg != ChainLeg::default()).then_some(leg)
    }
}

/// The expiries in an answer, the soonest first.
///
/// # Errors
///
/// When the answer is a failure, has no list, or is not as documented.
pub fn expiries(answer: Answer<'_>) -> Result<Vec<Expiry>, ReferenceError> {
    let data = failure::data(EXPIRIES_CALL, &answer)?;
    if data == b"\"\"" || data == b"null" {
        return Err(ReferenceError::NoData {
            call: EXPIRIES_CALL,
            detail: "no expiries".to_owned(),
        });
    }
    let unexpected = |detail| ReferenceError::Unexpected {
        call: EXPIRIES_CALL,
        detail,
    };
    let dates: Vec<serde_json::Value> = serde_json::from_slice(data)
        .map_err(|error| unexpected(format!("{error}, in {}", glimpse(data))))?;
    let read = |(at, date): (usize, &serde_json::Value)| {
        let expiry = date.as_str().and_then(|text| text.trim().parse().ok());
        expiry.ok_or_else(|| unexpected(format!("{date} at {at}; expected a date as 2025-01-30")))
    };
    let mut expiries: Vec<Expiry> = dates
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()?;
    expiries.sort_unstable();
    expiries.dedup();
    Ok(expiries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);

    fn chain(body: &str) -> Result<ChainSnapshot, ReferenceError> {
        option_chain(Answer::ok(body.as_bytes()), Segment::IdxI)
    }

    #[test]
    fn requests_are_the_documented_ones() {
        let expiry = "30JAN2025".parse().unwrap();
        assert_eq!(
            serde_json::to_string(&Request::new(NIFTY, Some(expiry))).unwrap(),
            r#"{"UnderlyingScrip":13,"UnderlyingSeg":"IDX_I","Expiry":"2025-01-30"}"#
        );
        assert_eq!(
            serde_json::to_string(&Request::new(NIFTY, None)).unwrap(),
            r#"{"UnderlyingScrip":13,"UnderlyingSeg":"IDX_I"}"#
        );
    }

    #[test]
    fn a_chain_is_read_field_by_field() {
        let found = chain(
            r#"{"data":{"last_price":25642.80078125,"oc":{
            "25650.000000":{"ce":{"average_price":146.99,"greeks":{"delta":0.5,"theta":-15.25,"gamma":0.0,"vega":12.125},
                "implied_volatility":9.75,"last_price":134,"oi":3786445,"previous_close_price":244.85,
                "previous_oi":402220,"previous_volume":31931705,"security_id":42528,"top_ask_price":134.05,
                "top_ask_quantity":1365,"top_bid_price":133.55,"top_bid_quantity":1625,"volume":117567970},"pe":null},
            "312.500000":{"pe":{"greeks":{"delta":0,"theta":-0,"gamma":0,"vega":0},"implied_volatility":0,
                "last_price":0,"oi":0,"volume":0,"security_id":0}},
            "1002.450012":{"ce":{},"pe":{"last_price":"1.05","implied_volatility":3,"greeks":{"theta":-0.0}}}
            }},"status":"success"}"#,
        )
        .unwrap();
        assert_eq!(found.underlying_ltp.unwrap().to_string(), "25642.8");
        let strikes: Vec<String> = found
            .strikes
            .iter()
            .map(|row| row.strike.to_string())
            .collect();
        assert_eq!(strikes, ["312.5", "1002.45", "25650"]);
        let call = ChainLeg {
            security_id: Some(42_528),
            ltp: Some("134".parse().unwrap()),
            atp: Some("146.99".parse().unwrap()),
            prev_close: Some("244.85".parse().unwrap()),
            bid: Some("133.55".parse().unwrap()),
            bid_qty: Some(1625),
            ask: Some("134.05".parse().unwrap()),
            ask_qty: Some(1365),
            oi: Some(3_786_445),
            prev_oi: Some(402_220),
            volume: Some(117_567_970),
            prev_volume: Some(31_931_705),
            implied_volatility: Some(9.75),
            delta: Some(0.5),
            theta: Some(-15.25),
            gamma: Some(0.0),
            vega: Some(12.125),
        };
        assert_eq!(
            (found.strikes[2].call, found.strikes[2].put),
            (Some(call), None)
        );
        let untraded = ChainLeg {
            oi: Some(0),
            volume: Some(0),
            ..ChainLeg::default()
        };
        assert_eq!(
            (found.strikes[0].call, found.strikes[0].put),
            (None, Some(untraded))
        );
        let put = found.strikes[1].put.unwrap();
        assert_eq!(put.ltp, Some("1.05".parse().unwrap()));
        assert_eq!(put.delta, None);
        assert!(put.theta.unwrap().is_sign_positive());
        assert_eq!(found.strikes[1].call, None);
    }

    #[test]
    fn currencies_are_finer() {
        let body =
            br#"{"data":{"last_price":83.1925,"oc":{"83.125000":{"ce":{"last_price":0.0025}}}}}"#;
        let found = option_chain(Answer::ok(body), Segment::NseCurrency).unwrap();
        assert_eq!(found.underlying_ltp.unwrap().to_string(), "83.1925");
        assert_eq!(found.strikes[0].strike.to_string(), "83.125");
        assert_eq!(
            found.strikes[0].call.unwrap().ltp.unwrap().to_string(),
            "0.0025"
        );
    }

    #[test]
    fn what_is_no_chain() {
        for body in [
            r#"{"data":{},"status":"success"}"#,
            r#"{"data":"","status":"success"}"#,
            r#"{"data":{"last_price":1,"oc":{}}}"#,
            r#"{"data":{"last_price":1,"oc":null}}"#,
            r#"{"data":[1]}"#,
            "{}",
        ] {
            let error = chain(body).unwrap_err();
            assert!(matches!(error, ReferenceError::NoData { .. }), "{error}");
        }
        for key in ["x", "0.000000", "-5", "", "NaN", "1e300"] {
            let error = chain(&format!(r#"{{"data":{{"oc":{{"{key}":{{}}}}}}}}"#)).unwrap_err();
            assert!(
                matches!(error, ReferenceError::Unexpected { .. }),
                "{error}"
            );
            assert!(error.to_string().contains(&format!("{key:?}")), "{error}");
        }
    }

    #[test]
    fn expiries_are_in_order() {
        let read = |body: &str| expiries(Answer::ok(body.as_bytes()));
        let found = read(r#"{"data":["2025-02-06","2025-01-30","2025-02-06"],"status":"success"}"#);
        let found: Vec<String> = found.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["30JAN2025", "06FEB2025"]);
        assert_eq!(read(r#"{"data":[]}"#).unwrap(), []);
        let error = read(r#"{"data":""}"#).unwrap_err();
        assert!(matches!(error, ReferenceError::NoData { .. }), "{error}");
        for body in [
            r#"{"data":["2025-01-30",null]}"#,
            r#"{"data":["2025-01-30","soon"]}"#,
        ] {
            let error = read(body).unwrap_err().to_string();
            assert!(error.contains("at 1"), "{error}");
        }
        for body in ["{}", r#"{"data":{}}"#, r#"{"data":1}"#] {
            let error = read(body).unwrap_err();
            assert!(
                matches!(error, ReferenceError::Unexpected { .. }),
                "{error}"
            );
        }
    }
}
