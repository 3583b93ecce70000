use proptest::prelude::*;
use serde_json::json;

use super::super::answer;
use super::*;
use crate::extract::tests::json_value;

fn read(message: &Value) -> Result<Action, Problem> {
    parse(&message.to_string(), &Settings::default()).1
}

#[test]
fn a_good_message_is_understood() {
    let (id, action) = parse(
        r#"{"action":"subscribe","channel":"chain","id":"c1","symbol":"NIFTY",
            "expiry":"10FEB2026","width":101,"conflate_ms":250}"#,
        &Settings::default(),
    );
    assert_eq!(id, "c1");
    let Action::Chain(asked) = action.unwrap() else {
        panic!("a chain");
    };
    assert_eq!(asked.chain.symbol, "NIFTY");
    assert_eq!(asked.chain.width, Some(101));
    assert_eq!(
        (asked.mode, asked.follow, asked.class.ms()),
        (None, true, 250)
    );
    assert_eq!(asked.resume, None);
}

#[test]
fn a_resumption_is_a_subscription_with_a_position() {
    let message = json!({"action": "resume", "channel": "chain", "symbol": "NIFTY",
        "expiry": "10FEB2026", "width": 101, "conflate_ms": 100, "mode": "quote",
        "epoch": "0123456789abcdef-100-quote", "seq": 17});
    let Action::Chain(asked) = read(&message).unwrap() else {
        panic!("a chain");
    };
    assert_eq!(asked.chain.width, Some(101));
    assert_eq!(asked.class.ms(), 100);
    let epoch = "0123456789abcdef-100-quote".to_owned();
    assert_eq!(asked.resume, Some(Position { epoch, seq: 17 }));
    // Neither without its position nor of another channel.
    for (field, value) in [
        ("epoch", Value::Null),
        ("seq", json!(-1)),
        ("seq", json!("17")),
        ("channel", json!("ticks")),
        ("symbol", json!(1)),
    ] {
        let mut wrong = message.clone();
        wrong[field] = value;
        let problem = read(&wrong).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some(field), "{wrong}");
    }
    let mut unknown = message;
    unknown["sub"] = json!(1);
    assert_eq!(read(&unknown).unwrap_err().code, Code::UnknownField);
}

#[test]
fn a_heartbeat_may_name_indicators() {
    let Action::Ping { indicators, .. } = read(&json!({"action": "ping"})).unwrap() else {
        panic!("a ping");
    };
    assert_eq!(indicators, []);
    let message = json!({"action": "ping", "session_id": "s-1.A_", "subscriptions": [
        {"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14"},
        {"symbol": "NIFTY", "timeframe": "5min", "indicator_id": "SMA_20"}]});
    let Action::Ping {
        session,
        indicators,
    } = read(&message).unwrap()
    else {
        panic!("a ping");
    };
    assert_eq!(session.as_deref(), Some("s-1.A_"));
    let pong: Value = serde_json::from_str(&answer::pong(&json!(7), &indicators)).unwrap();
    assert_eq!(
        pong,
        json!({"type": "pong", "id": 7, "results": [
            {"indicator": "RSI_14", "alive": false},
            {"indicator": "SMA_20", "alive": false}]})
    );
    for session in ["", "a b", "ä", &"x".repeat(129)] {
        let problem = read(&json!({"action": "ping", "session_id": session})).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("session_id"), "{session}");
    }
    let many = vec![json!({"symbol": "N", "timeframe": "5min", "indicator": "X"}); 1_001];
    let problem = read(&json!({"action": "ping", "subscriptions": many})).unwrap_err();
    assert_eq!(problem.code, Code::LimitExceeded);
}

#[test]
fn what_is_not_offered_is_said_with_what_is() {
    let check = |message: Value, field: &str, choices: &[&str]| {
        let problem = read(&message).unwrap_err();
        assert_eq!(problem.code, Code::InvalidValue, "{message}");
        assert_eq!(problem.field.as_deref(), Some(field), "{message}");
        assert_eq!(problem.choices, choices, "{message}");
    };
    check(json!([]), "action", &ACTIONS);
    check(json!("ping"), "action", &ACTIONS);
    check(json!({"action": "dance"}), "action", &ACTIONS);
    check(
        json!({"action": "subscribe", "channel": "indicators", "session_id": "s",
               "subscriptions": []}),
        "channel",
        &["ticks", "chain"],
    );
    check(
        json!({"action": "resume", "channel": "ticks"}),
        "channel",
        &["chain"],
    );
    check(
        json!({"action": "subscribe", "channel": "chain", "symbol": "X", "conflate_ms": 50}),
        "conflate_ms",
        &["0", "100", "250", "500", "1000"],
    );
}

#[test]
fn an_id_is_a_number_or_a_short_text() {
    let id = |id: Value| {
        parse(
            &json!({"action": "ping", "id": id}).to_string(),
            &Settings::default(),
        )
    };
    for good in [
        json!(1),
        json!(-1.5),
        json!("a"),
        json!("x".repeat(128)),
        Value::Null,
    ] {
        let (echoed, action) = id(good.clone());
        assert_eq!(echoed, good);
        assert!(action.is_ok());
    }
    for bad in [
        json!([1]),
        json!({"a": 1}),
        json!(true),
        json!("x".repeat(129)),
    ] {
        let (echoed, action) = id(bad.clone());
        assert_eq!(echoed, Value::Null);
        assert_eq!(action.unwrap_err().field.as_deref(), Some("id"), "{bad}");
        assert_eq!(id_of(&json!({"id": bad}).to_string()), Value::Null);
    }
    assert_eq!(
        id_of(r#"{"action":"subscribe","id":"c1","instruments":[1,2]}"#),
        "c1"
    );
    assert_eq!(id_of("{"), Value::Null);
}

#[test]
fn instruments_are_limited_by_class() {
    let ask = |count: usize, ms: u32, most: usize| {
        let settings = Settings {
            instruments: most,
            ..Settings::default()
        };
        let message = json!({"action": "subscribe", "channel": "ticks",
            "instruments": vec!["NIFTY"; count], "conflate_ms": ms});
        parse(&message.to_string(), &settings)
            .1
            .map_err(|problem| problem.code)
    };
    assert!(ask(5_000, 100, 5_000).is_ok());
    assert_eq!(ask(5_001, 100, 5_000).unwrap_err(), Code::LimitExceeded);
    assert!(ask(200, 0, 5_000).is_ok());
    assert_eq!(ask(201, 0, 5_000).unwrap_err(), Code::LimitExceeded);
    assert_eq!(ask(101, 0, 100).unwrap_err(), Code::LimitExceeded);
    assert_eq!(ask(0, 100, 100).unwrap_err(), Code::InvalidValue);
}

#[test]
fn a_key_is_asked_for_and_not_shown() {
    let (id, read) = auth(r#"{"action":"auth","id":3,"key":"hidden-key"}"#);
    let read = read.unwrap();
    assert_eq!((id, read.key.as_str()), (json!(3), "hidden-key"));
    assert!(!format!("{read:?}").contains("hidden"));
    let (id, read) = auth(r#"{"action":"subscribe","id":4,"channel":"ticks"}"#);
    assert_eq!(
        (id, read.unwrap_err().choices),
        (json!(4), vec!["auth".to_owned()])
    );
    // A message that is wrong does not give its key away either.
    let (_, read) = auth(r#"{"action":"auth","key":["hidden-key"]}"#);
    assert!(!read.unwrap_err().detail.contains("hidden"));
}

#[test]
fn json_that_is_too_deep_is_none() {
    let deep = format!(
        r#"{{"action":"ping","id":{}1{}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let (_, action) = parse(&deep, &Settings::default());
    assert_eq!(action.unwrap_err().code, Code::InvalidJson);
    assert_eq!(id_of(&deep), Value::Null);
}

#[test]
fn an_error_says_what_a_problem_of_rest_says() {
    let mut problem = Problem::new(Code::RateLimited, "slowly").field("x");
    problem.choices = vec!["y".into()];
    let error: Value = serde_json::from_str(&answer::error(&json!("i"), &problem)).unwrap();
    assert_eq!(
        error,
        json!({"type": "error", "id": "i", "code": "rate_limited", "detail": "slowly",
               "field": "x", "choices": ["y"], "retry_after": 1})
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        let _ = parse(&text, &Settings::default());
        let _ = auth(&text);
        let _ = id_of(&text);
    }

    #[test]
    fn no_message_panics(
        action in prop::sample::select(ACTIONS.iter().copied().chain(["x"]).collect::<Vec<_>>()),
        channel in prop::sample::select(vec!["ticks", "chain", "indicators", "y"]),
        field in prop::sample::select(
            ResumeChain::FIELDS.iter().copied()
                .chain(["instruments", "key", "sub", "session_id", "subscriptions"])
                .collect::<Vec<_>>()
        ),
        value in json_value(),
    ) {
        let mut message = json!({"action": action, "channel": channel, "symbol": "NIFTY",
                                 "instruments": ["NIFTY"], "epoch": "e", "seq": 1});
        message[field] = value;
        let (id, action) = parse(&message.to_string(), &Settings::default());
        if let Err(problem) = action {
            prop_assert!(!problem.detail.is_empty());
            let error = answer::error(&id, &problem);
            let error: Value = serde_json::from_str(&error).unwrap();
            prop_assert_eq!(&error["type"], "error");
        }
    }
}
