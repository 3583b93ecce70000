use serde_json::{Value, json};
use strikewire_types::{InstrumentKey, Price, Segment};

use crate::harness::{Gateway, StandIn};

const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);

/// Applies a delta's `set` and `remove` the way a front end would.
fn apply(quotes: &mut serde_json::Map<String, Value>, delta: &Value) {
    for token in delta["remove"].as_array().into_iter().flatten() {
        quotes.remove(token.as_str().expect("a token"));
    }
    for (token, fields) in delta["set"].as_object().into_iter().flatten() {
        let quote = quotes.entry(token.clone()).or_insert_with(|| json!({}));
        for (name, value) in fields.as_object().expect("fields") {
            if value.is_null() {
                quote.as_object_mut().expect("a quote").remove(name);
            } else {
                quote[name] = value.clone();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_of_named_instruments_arrive() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let mut socket = gateway.stream().await;
    socket
        .send(
            &json!({"action": "subscribe", "channel": "ticks", "id": "t1",
                      "instruments": ["NIFTY", "NSE_EQ:2885"], "conflate_ms": 100}),
        )
        .await;
    let ack = socket.of_type("ack").await;
    assert_eq!(ack["id"], "t1");
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        let ticks = socket.of_type("ticks").await;
        for item in ticks["items"].as_array().expect("items") {
            assert!(item["ltp"].as_f64().expect("a price") > 0.0, "{item}");
            assert!(
                item["ltt"].as_str().expect("a time").ends_with("+05:30"),
                "{item}"
            );
            seen.insert(item["token"].as_str().expect("a token").to_owned());
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["NIFTY", "RELIANCE"]);
    gateway.until_on_wire(&standin, 2).await;

    // A price that is set in the market comes out exactly.
    standin
        .handle
        .set_price(NIFTY, Price::from_f64(24_321.35).unwrap());
    socket
        .find(|message| {
            message["items"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|item| item["token"] == "NIFTY" && item["ltp"] == 24_321.35)
        })
        .await
        .expect("the new price");

    socket
        .send(&json!({"action": "unsubscribe", "sub": ack["sub"], "id": 2}))
        .await;
    assert_eq!(socket.of_type("ack").await["id"], 2);
    gateway.until_on_wire(&standin, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_a_snapshot_and_then_deltas_without_a_gap() {
    let standin = StandIn::any();
    let gateway = Gateway::start_with(&standin, "[chain]\nlinger_s = 1\n").await;
    let mut socket = gateway.stream().await;
    socket
        .send(
            &json!({"action": "subscribe", "channel": "chain", "id": 1, "symbol": "NIFTY",
                      "width": 11, "conflate_ms": 100}),
        )
        .await;
    assert_eq!(socket.of_type("ack").await["id"], 1);
    let snapshot = socket.of_type("snapshot").await;
    assert_eq!(snapshot["chain"]["symbol"], "NIFTY");
    assert_eq!(
        snapshot["chain"]["strikes"].as_array().map(Vec::len),
        Some(11)
    );
    gateway.until_on_wire(&standin, 23).await;

    let mut seq = snapshot["seq"].as_u64().expect("a sequence");
    let mut quotes = snapshot["quotes"].as_object().cloned().unwrap_or_default();
    let price = snapshot["chain"]["underlying_ltp"]
        .as_f64()
        .expect("a price");
    let step = snapshot["chain"]["strike_step"].as_f64().expect("a step");
    let atm = snapshot["chain"]["atm_strike"].as_f64().expect("a strike");
    standin
        .handle
        .set_price(NIFTY, Price::from_f64(price + step).unwrap());

    // Deltas until the roll is in and all eleven pairs have quotes.
    let mut rolled = false;
    while !(rolled && quotes.len() == 22) {
        let delta = socket.of_type("delta").await;
        assert_eq!(delta["epoch"], snapshot["epoch"]);
        assert_eq!(delta["seq"].as_u64(), Some(seq + 1), "a gap");
        seq += 1;
        if let Some(new) = delta["chain"]["atm_strike"].as_f64() {
            assert!((new - atm - step).abs() < 1e-9, "{delta}");
            assert_eq!(delta["remove"].as_array().map(Vec::len), Some(2), "{delta}");
            rolled = true;
        }
        apply(&mut quotes, &delta);
    }
    assert_eq!(socket.of_type("notice").await["code"], "rolled");

    // Closing the socket lets go of everything.
    drop(socket);
    gateway.until_on_wire(&standin, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_make_no_sense_are_answered_with_what_would() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let mut socket = gateway.stream().await;
    let cases = [
        ("{", "invalid_json", None),
        ("[]", "invalid_value", Some("action")),
        (r#"{"action":"dance"}"#, "invalid_value", Some("action")),
        (
            r#"{"action":"subscribe","channel":"news"}"#,
            "invalid_value",
            Some("channel"),
        ),
        (
            r#"{"action":"subscribe","channel":"ticks","instruments":["NO_SUCH"]}"#,
            "unknown_instrument",
            None,
        ),
        (
            r#"{"action":"subscribe","channel":"ticks","instruments":[]}"#,
            "invalid_value",
            Some("instruments"),
        ),
        (
            r#"{"action":"subscribe","channel":"ticks","instruments":["NIFTY"],"conflate_ms":7}"#,
            "invalid_value",
            Some("conflate_ms"),
        ),
        (
            r#"{"action":"subscribe","channel":"chain","symbol":"NIFTY","widht":5}"#,
            "unknown_field",
            Some("widht"),
        ),
        (
            r#"{"action":"subscribe","channel":"chain","symbol":"NIFTY","width":4}"#,
            "invalid_width",
            Some("width"),
        ),
        (
            r#"{"action":"unsubscribe","sub":99}"#,
            "unknown_subscription",
            Some("sub"),
        ),
    ];
    for (text, code, field) in cases {
        socket.send_text(text).await;
        let error = socket.of_type("error").await;
        assert_eq!(error["code"], code, "{text}: {error}");
        if let Some(field) = field {
            assert_eq!(error["field"], field, "{text}: {error}");
        }
    }
    socket.send(&json!({"action": "ping", "id": 9})).await;
    assert_eq!(socket.of_type("pong").await["id"], 9);
    assert_eq!(standin.messages(), 0);
}
