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

fn want(indicator: &str) -> IndicatorWant {
    IndicatorWant {
        symbol: "NIFTY".into(),
        timeframe: "5min".into(),
        indicator: indicator.into(),
    }
}

fn named(user: Option<u64>, session: &str) -> Named {
    Named {
        user,
        session: session.into(),
    }
}

#[test]
fn indicators_are_subscribed_for_a_session() {
    let message = json!({"action": "subscribe", "channel": "indicators", "session_id": "s-1.A_",
        "subscriptions": [
            {"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14"},
            {"symbol": "NIFTY", "timeframe": "5min", "indicator_id": "SMA_20"}]});
    let both = vec![want("RSI_14"), want("SMA_20")];
    for (user, said) in [
        (Value::Null, None),
        (json!(7), Some(7)),
        (json!("12"), Some(12)),
    ] {
        let mut message = message.clone();
        if let Some(user) = said.map(|_| user) {
            message["user_id"] = user;
        }
        let Action::Indicators { named: who, wants } = read(&message).unwrap() else {
            panic!("indicators");
        };
        assert_eq!((who, &wants), (named(said, "s-1.A_"), &both));
    }
    for (field, value, code) in [
        ("session_id", None, Code::MissingField),
        ("session_id", Some(json!(1)), Code::InvalidValue),
        ("user_id", Some(json!("x")), Code::InvalidValue),
        ("user_id", Some(json!(-1)), Code::InvalidValue),
        ("subscriptions", None, Code::MissingField),
        ("subscriptions", Some(json!([])), Code::InvalidValue),
        ("subscriptions", Some(json!("RSI_14")), Code::InvalidValue),
        (
            "subscriptions",
            Some(vec![message["subscriptions"][0].clone(); 101].into()),
            Code::LimitExceeded,
        ),
        ("instruments", Some(json!(["NIFTY"])), Code::UnknownField),
    ] {
        let mut wrong = message.clone();
        match value {
            Some(value) => wrong[field] = value,
            None => drop(wrong.as_object_mut().unwrap().remove(field)),
        }
        let problem = read(&wrong).unwrap_err();
        assert_eq!(problem.code, code, "{wrong}");
        assert_eq!(problem.field.as_deref(), Some(field), "{wrong}");
    }
    let item = |at: &str, value: Option<Value>| {
        let mut wrong = message.clone();
        match value {
            Some(value) => wrong["subscriptions"][1][at] = value,
            None => drop(
                wrong["subscriptions"][1]
                    .as_object_mut()
                    .unwrap()
                    .remove(at),
            ),
        }
        read(&wrong).unwrap_err()
    };
    let missing = item("timeframe", None);
    assert_eq!(missing.code, Code::MissingField, "{missing:?}");
    let unknown = item("period", Some(json!(14)));
    assert_eq!(unknown.code, Code::UnknownField, "{unknown:?}");
    // By both of its names.
    assert_eq!(
        item("indicator", Some(json!("RSI_14"))).code,
        Code::InvalidValue
    );
    for name in ["symbol", "timeframe", "indicator_id"] {
        let long = item(name, Some(json!("x".repeat(129))));
        let name = name.trim_end_matches("_id");
        assert_eq!(long.code, Code::InvalidValue);
        assert_eq!(long.field, Some(format!("subscriptions[1].{name}")));
    }
}

#[test]
fn a_heartbeat_may_name_indicators() {
    let beat = |message: Value| match read(&message).unwrap() {
        Action::Ping(heartbeat) => heartbeat,
        other => panic!("a ping, not {other:?}"),
    };
    assert!(matches!(
        beat(json!({"action": "ping"})),
        Heartbeat::Socket(None)
    ));
    let Heartbeat::Socket(Some(who)) =
        beat(json!({"action": "ping", "session_id": "s", "user_id": 3}))
    else {
        panic!("all of the socket's");
    };
    assert_eq!(who, named(Some(3), "s"));
    let message = json!({"action": "ping", "session_id": "s-1.A_", "subscriptions": [
        {"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14"},
        {"symbol": "NIFTY", "timeframe": "5min", "indicator_id": "SMA_20"}]});
    let Heartbeat::These(who, wants) = beat(message.clone()) else {
        panic!("some");
    };
    assert_eq!(who, named(None, "s-1.A_"));
    assert_eq!(wants, [want("RSI_14"), want("SMA_20")]);
    // None is none, not all.
    let none = json!({"action": "ping", "session_id": "s", "subscriptions": []});
    assert!(matches!(beat(none), Heartbeat::These(_, wants) if wants.is_empty()));
    let mut wrong = message;
    wrong.as_object_mut().unwrap().remove("session_id");
    let problem = read(&wrong).unwrap_err();
    assert_eq!(problem.code, Code::MissingField);
    assert_eq!(problem.field.as_deref(), Some("session_id"));
    let many = |count: usize| {
        let one = json!({"symbol": "N", "timeframe": "5min", "indicator": "X"});
        json!({"action": "ping", "session_id": "s", "subscriptions": vec![one; count]})
    };
    assert!(read(&many(1_000)).is_ok());
    let problem = read(&many(1_001)).unwrap_err();
    assert_eq!(problem.code, Code::LimitExceeded);
}

#[test]
fn a_heartbeat_is_answered_for_each_indicator() {
    let results = vec![(want("rsi"), true), (want("none"), false)];
    let pong: Value = serde_json::from_str(&answer::pong(&json!(7), results)).unwrap();
    assert_eq!(
        pong,
        json!({"type": "pong", "id": 7, "results": [
            {"symbol": "NIFTY", "timeframe": "5min", "indicator": "rsi",
             "indicator_id": "RSI_14", "alive": true},
            {"symbol": "NIFTY", "timeframe": "5min", "indicator": "none",
             "indicator_id": "none", "alive": false}]})
    );
    let pong: Value = serde_json::from_str(&answer::pong(&Value::Null, vec![])).unwrap();
    assert_eq!(pong, json!({"type": "pong", "results": []}));
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
        json!({"action": "subscribe", "channel": "news"}),
        "channel",
        &CHANNELS,
    );
    check(
        json!({"action": "resume", "channel": "indicators"}),
        "channel",
        &["chain"],
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
                .chain(["instruments", "key", "sub", "session_id", "subscriptions", "user_id"])
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

    /// Each message is as it should be but for one part of it.
    #[test]
    fn no_message_of_indicators_panics(
        subscribes in any::<bool>(),
        field in prop::sample::select(vec!["user_id", "session_id", "subscriptions", "id", "more"]),
        item in prop::sample::select(vec!["symbol", "timeframe", "indicator", "indicator_id", "x"]),
        of_item in any::<bool>(),
        value in prop_oneof![json_value(), ".*".prop_map(Value::from), Just(Value::Null)],
    ) {
        let mut message = json!({"session_id": "s", "subscriptions": [
            {"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14"}]});
        message["action"] = if subscribes { "subscribe" } else { "ping" }.into();
        if subscribes {
            message["channel"] = "indicators".into();
        }
        if of_item {
            message["subscriptions"][0][item] = value;
        } else {
            message[field] = value;
        }
        match parse(&message.to_string(), &Settings::default()) {
            (_, Err(problem)) => prop_assert!(!problem.detail.is_empty()),
            (_, Ok(Action::Indicators { wants, .. })) => {
                prop_assert!(subscribes && (1..=INDICATOR_LIMIT).contains(&wants.len()));
            }
            (_, Ok(Action::Ping(_))) => prop_assert!(!subscribes),
            (_, Ok(other)) => prop_assert!(false, "{:?}", other),
        }
    }
}
