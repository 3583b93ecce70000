//! No body makes a parser panic.

use proptest::prelude::*;
use serde_json::{Value, json};
use strikewire_dhan::rest::parse::{Answer, candles, expiries, option_chain, quotes};
use strikewire_types::Segment;

use crate::support::{HDFC, NIFTY, STEP};

fn good() -> [Value; 8] {
    let level = json!({"quantity": 25, "orders": 1, "price": 77.05});
    let leg = json!({
        "greeks": {"delta": 0.5, "theta": -15.1, "gamma": 0.001, "vega": 12.1},
        "implied_volatility": 9.7, "last_price": 134, "oi": 3786445, "security_id": 42528,
        "average_price": "146.99", "previous_close_price": 244.85, "previous_oi": 402220,
        "previous_volume": 31931705, "top_ask_price": 134, "top_ask_quantity": 1365,
        "top_bid_price": 133.55, "top_bid_quantity": 1625, "volume": 117567970
    });
    [
        json!({"status": "success", "data": {"NSE_EQ": {"1333": {
            "last_price": 1650.4, "last_trade_time": "28/01/2025 15:29:59", "volume": 2.0,
            "ohlc": {"open": 1, "high": 2, "low": 1, "close": "1.5"}, "oi": 0,
            "depth": {"buy": [level, level], "sell": [level]}
        }}}}),
        json!({"status": "success", "data": {"last_price": 25642.8, "oc": {
            "25650.000000": {"ce": leg, "pe": leg}, "25700.000000": {"ce": null}
        }}}),
        json!({"status": "success", "data": ["2025-01-30", "2025-02-06"]}),
        json!({"open": [1.0, 2.0], "high": [2, 3], "low": [1, 1], "close": [1, 2],
            "volume": [1e7, 2e7], "timestamp": [1726026300.0, 1726026360.0],
            "open_interest": [0, 5]}),
        json!({"errorCode": 806, "errorMessage": "Data APIs not subscribed"}),
        json!({"errorType": "Input_Exception", "errorCode": "DH-904", "errorMessage": "m"}),
        json!({"status": "failure", "remarks": {"error_code": null, "error_type": null,
            "error_message": null}, "data": ""}),
        json!({"status": "failed", "data": {"806": "Data APIs not subscribed"}}),
    ]
}

/// What a field can be called.
const NAMES: &[&str] = &[
    "data",
    "status",
    "remarks",
    "errorCode",
    "errorType",
    "errorMessage",
    "error_code",
    "NSE_EQ",
    "IDX_I",
    "1333",
    "13",
    "last_price",
    "depth",
    "buy",
    "sell",
    "ohlc",
    "open",
    "last_trade_time",
    "oc",
    "25650.000000",
    "ce",
    "pe",
    "greeks",
    "delta",
    "timestamp",
    "volume",
    "open_interest",
    "806",
    "805",
];

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => proptest::sample::select(NAMES).prop_map(str::to_owned),
        1 => ".{0,6}",
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(DH-9[0-9]{2}|8[0-9]{2}|[0-9]{2}/[0-9]{2}/[0-9]{4} [0-9:]{8}|-?[0-9]{1,20}|.{0,8})"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(names(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A value somewhere inside, counted from the outside.
fn inside(value: &mut Value, mut which: usize) -> &mut Value {
    fn size(value: &Value) -> usize {
        1 + match value {
            Value::Array(list) => list.iter().map(size).sum(),
            Value::Object(map) => map.values().map(size).sum::<usize>(),
            _ => 0,
        }
    }
    which %= size(value);
    if which == 0 {
        return value;
    }
    which -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        _ => unreachable!("only those have something inside"),
    };
    for child in children {
        let size = size(child);
        if which < size {
            return inside(child, which);
        }
        which -= size;
    }
    unreachable!("the sizes add up")
}

/// Everything that reads bodies reads this one.
fn read(status: u16, body: &[u8]) -> usize {
    let answer = Answer {
        status,
        ..Answer::ok(body)
    };
    let wanted = [(HDFC, STEP), (NIFTY, STEP)];
    let shown = [
        format!("{:?}", quotes(answer, &wanted)),
        format!("{:?}", option_chain(answer, Segment::IdxI)),
        format!("{:?}", option_chain(answer, Segment::NseCurrency)),
        format!("{:?}", expiries(answer)),
        format!("{:?}", candles(answer, STEP)),
    ];
    shown.iter().filter(|text| text.starts_with("Ok")).count()
}

#[test]
fn the_good_ones_are_good() {
    let understood = good().map(|body| read(200, body.to_string().as_bytes()));
    // Each by its own reader; the chain by both. A chain's body has no quotes in it,
    // which is what a body without a known instrument looks like.
    assert_eq!(understood, [1, 3, 1, 1, 0, 0, 0, 0]);
}

proptest! {
    #[test]
    fn any_bytes(status in 100_u16..600, body: Vec<u8>) {
        read(status, &body);
    }

    #[test]
    fn any_document(status in prop_oneof![Just(200_u16), 100_u16..600], body in any_json()) {
        read(status, body.to_string().as_bytes());
    }

    #[test]
    fn a_part_of_a_good_one_replaced(
        which in 0..8_usize,
        changes in proptest::collection::vec((any::<usize>(), any_json()), 1..4),
    ) {
        let mut body = good()[which].clone();
        for (place, value) in changes {
            *inside(&mut body, place) = value;
        }
        read(200, body.to_string().as_bytes());
    }

    #[test]
    fn a_good_one_with_other_bytes(
        which in 0..8_usize,
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        length in 0..2_000_usize,
    ) {
        let mut body = good()[which].to_string().into_bytes();
        body.truncate(length);
        for (place, byte) in changes {
            if !body.is_empty() {
                let place = place % body.len();
                body[place] = byte;
            }
        }
        read(200, &body);
    }
}

#[test]
fn depth_is_no_danger() {
    for open in ["[", "{\"data\":", "{\"data\":{\"NSE_EQ\":", "{\"open\":["] {
        assert_eq!(read(200, open.repeat(100_000).as_bytes()), 0);
        assert_eq!(read(400, open.repeat(100_000).as_bytes()), 0);
    }
}
