//! Indicators by request: who holds what, and what is refused.

use core::time::Duration;

use super::rights::{ADMIN, send, with_keys};
use super::*;

const SUBSCRIBE: &str = "/api/v2/indicators/subscribe";
const UNSUBSCRIBE: &str = "/api/v2/indicators/unsubscribe";
const HEARTBEAT: &str = "/api/v2/indicators/heartbeat";
const ACTIVE: &str = "/api/v2/indicators/active";
const TOTALS: &str = "/api/v2/indicators/metrics";

fn wants(user: u64, session: &str, ids: &[&str]) -> Value {
    let indicators: Vec<Value> = ids.iter().map(|id| json!({"indicator_id": id})).collect();
    json!({"user_id": user, "session_id": session, "symbol": "NIFTY", "timeframe": "5min",
           "indicators": indicators})
}

#[tokio::test]
async fn an_indicator_is_held_by_sessions() {
    let server = Server::start();
    let (status, first) = server
        .post(SUBSCRIBE, wants(7, "a", &["rsi_14", "MACD", "RSI"]))
        .await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let rsi = "indicator_sub:NIFTY:5min:RSI_14";
    let macd = "indicator_sub:NIFTY:5min:MACD_12_26_9";
    assert_eq!(
        first,
        json!({"symbol": "NIFTY", "instrument": "IDX_I:13", "timeframe": "5min", "results": [
            {"indicator_id": "RSI_14", "key": rsi, "is_new": true, "ref_count": 1},
            {"indicator_id": "MACD_12_26_9", "key": macd, "is_new": true, "ref_count": 1},
            {"indicator_id": "RSI_14", "key": rsi, "is_new": false, "ref_count": 1},
        ]})
    );
    // The same again, then another session of the user, and another user with an equal one.
    for (user, session, count) in [(7, "a", 1), (7, "b", 2), (8, "a", 3)] {
        let (_, again) = server
            .post(SUBSCRIBE, wants(user, session, &["RSI_14"]))
            .await;
        assert_eq!(
            again["results"][0],
            json!({"indicator_id": "RSI_14", "key": rsi, "is_new": false, "ref_count": count})
        );
    }

    let (status, active) = server.get(ACTIVE).await;
    assert_eq!(status, StatusCode::OK, "{active}");
    let keys: Vec<&String> = active.as_object().unwrap().keys().collect();
    assert_eq!(keys, [macd, rsi]);
    let record = &active[rsi];
    assert_eq!(record["symbol"], "NIFTY");
    assert_eq!(record["timeframe"], "5min");
    assert_eq!(record["indicator_id"], "RSI_14");
    assert_eq!(
        (&record["ref_count"], &record["ttl"]),
        (&json!(3), &json!(300))
    );
    let subscribers = record["subscribers"].as_object().unwrap();
    let who: Vec<&String> = subscribers.keys().collect();
    assert_eq!(who, ["7_session_a", "7_session_b", "8_session_a"]);
    for seen in subscribers.values() {
        assert!(seen["last_active"].is_i64(), "{seen}");
        assert_eq!(seen["websocket_id"], Value::Null);
    }

    let (_, totals) = server.get(TOTALS).await;
    assert_eq!(
        totals,
        json!({"total_subscriptions": 2, "by_symbol": {"NIFTY": 2}, "by_timeframe": {"5min": 2},
               "total_subscribers": 3})
    );

    let gone = async |user: u64, session: &str, stopped: bool, count: u32, was_held: bool| {
        let (status, gone) = server
            .post(UNSUBSCRIBE, wants(user, session, &["RSI_14"]))
            .await;
        assert_eq!(status, StatusCode::OK, "{gone}");
        assert_eq!(
            gone,
            json!({"symbol": "NIFTY", "timeframe": "5min", "results": [{
                "indicator_id": "RSI_14", "key": rsi, "stopped": stopped, "ref_count": count,
                "was_held": was_held}]})
        );
    };
    gone(7, "a", false, 2, true).await;
    gone(7, "a", false, 2, false).await;
    gone(8, "a", false, 1, true).await;
    gone(7, "b", true, 0, true).await;
    gone(7, "b", false, 0, false).await;
    let (_, active) = server.get(ACTIVE).await;
    assert_eq!(active.as_object().unwrap().len(), 1, "{active}");
    server.stop().await;
}

#[tokio::test]
async fn names_are_taken_as_everywhere() {
    let server = Server::start();
    let check = async |symbol: &str, timeframe: &str, key: &str, instrument: &str| {
        let mut body = wants(1, "a", &["sma_20"]);
        body["symbol"] = symbol.into();
        body["timeframe"] = timeframe.into();
        let (status, held) = server.post(SUBSCRIBE, body).await;
        assert_eq!(status, StatusCode::OK, "{held}");
        assert_eq!(held["results"][0]["key"], key, "{symbol}");
        assert_eq!(held["instrument"], instrument, "{symbol}");
    };
    check(
        "nifty 50",
        "1MIN",
        "indicator_sub:NIFTY:1min:SMA_20",
        "IDX_I:13",
    )
    .await;
    check(
        "NSE_EQ:2885",
        "60min",
        "indicator_sub:RELIANCE:1h:SMA_20",
        "NSE_EQ:2885",
    )
    .await;
    let bse = "indicator_sub:BSE%3ARELIANCE:1d:SMA_20";
    check("BSE:RELIANCE", "1d", bse, "BSE_EQ:500325").await;
    let call = "NIFTY_10FEB2026_25500CE";
    let key = format!("indicator_sub:{call}:5min:SMA_20");
    check("nifty_10feb_25500ce", "5min", &key, "NSE_FNO:35021").await;

    let keys = async |query: &str| {
        let (status, found) = server.get(&format!("{ACTIVE}?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{query}: {found}");
        let keys = found.as_object().unwrap().keys().cloned();
        keys.collect::<Vec<String>>()
    };
    assert_eq!(keys("symbol=BSE%3AReliance").await, [bse]);
    assert_eq!(keys("timeframe=60m&symbol=RELIANCE").await.len(), 1);
    assert_eq!(keys("timeframe=1d").await, [bse]);
    assert!(keys("timeframe=15min").await.is_empty());
    // Held, and nobody has traded: in a path the name is percent-encoded.
    for path in ["BSE%3ARELIANCE/1d/SMA_20", "bse:reliance/1d/sma_20"] {
        let (status, problem) = server.get(&format!("/api/v2/indicators/{path}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
        assert_eq!(problem["code"], "no_value", "{problem}");
    }
    let (status, problem) = server.get("/api/v2/indicators/NIFTY/5min/RSI_14").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem["code"], "not_computed", "{problem}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_refused_holds_nothing() {
    let server = Server::start();
    let good = wants(1, "a", &["RSI_14", "SMA_20"]);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let listed = |id: &str| json!([{"indicator_id": "RSI_14"}, {"indicator_id": id}]);
    let mut without_user = good.clone();
    without_user.as_object_mut().unwrap().remove("user_id");
    let second = "indicators[1].indicator_id";
    for (body, status, code, field) in [
        (without_user, 400, "missing_field", "user_id"),
        (with("user_id", json!(-1)), 400, "invalid_value", "user_id"),
        (
            with("session_id", json!("")),
            400,
            "invalid_value",
            "session_id",
        ),
        (
            with("session_id", json!("a b")),
            400,
            "invalid_value",
            "session_id",
        ),
        (
            with("session_id", json!("a".repeat(129))),
            400,
            "invalid_value",
            "session_id",
        ),
        (
            with("symbol", json!("NIFTYY")),
            404,
            "unknown_symbol",
            "symbol",
        ),
        (
            with("timeframe", json!("7 minutes")),
            404,
            "unknown_timeframe",
            "timeframe",
        ),
        (
            with("timeframe", json!("0min")),
            404,
            "unknown_timeframe",
            "timeframe",
        ),
        (
            with("timeframe", json!(5)),
            400,
            "invalid_value",
            "timeframe",
        ),
        (
            with("indicators", json!([])),
            400,
            "invalid_value",
            "indicators",
        ),
        (
            with(
                "indicators",
                json!(vec![json!({"indicator_id": "RSI_14"}); 101]),
            ),
            400,
            "invalid_value",
            "indicators",
        ),
        (
            with("indicators", listed("RSJ_14")),
            404,
            "unknown_indicator",
            second,
        ),
        (
            with("indicators", listed("RSI_0")),
            422,
            "invalid_indicator",
            second,
        ),
        (
            with("indicators", listed("RSI_14_3")),
            422,
            "invalid_indicator",
            second,
        ),
        // An index has no volume.
        (
            with("indicators", listed("VWAP")),
            422,
            "invalid_indicator",
            second,
        ),
        (
            with("indicators", json!([{"indicator_id": "RSI_14"}, {}])),
            400,
            "missing_field",
            second,
        ),
        (
            with(
                "indicators",
                json!([{"indicator_id": "RSI_14", "period": 9}]),
            ),
            400,
            "unknown_field",
            "indicators[0].period",
        ),
        (
            with("indicators", json!(["RSI_14"])),
            400,
            "invalid_value",
            "indicators[0]",
        ),
    ] {
        let (found, problem) = server.post(SUBSCRIBE, body.clone()).await;
        assert_eq!(
            (found.as_u16(), &problem["code"], &problem["field"]),
            (status, &json!(code), &json!(field)),
            "{body}: {problem}"
        );
    }
    let (_, problem) = server
        .post(SUBSCRIBE, with("indicators", listed("RSJ_14")))
        .await;
    let choices = problem["choices"].as_array().unwrap();
    assert!(choices.contains(&json!("RSI")), "{choices:?}");
    let (_, problem) = server
        .post(SUBSCRIBE, with("timeframe", json!("2h 5")))
        .await;
    assert_eq!(
        problem["choices"],
        json!(["1min", "5min", "15min", "1h", "1d"])
    );
    let (_, totals) = server.get(TOTALS).await;
    assert_eq!(
        (&totals["total_subscriptions"], &totals["total_subscribers"]),
        (&json!(0), &json!(0))
    );
    for (query, field) in [
        ("symbol=NIFTYY", "symbol"),
        ("timeframe=x", "timeframe"),
        ("session=a", "session"),
    ] {
        let (status, problem) = server.get(&format!("{ACTIVE}?{query}")).await;
        assert!(status.is_client_error(), "{problem}");
        assert_eq!(problem["field"], field, "{problem}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_heartbeat_says_what_is_alive() {
    let server = Server::start();
    server.post(SUBSCRIBE, wants(7, "a", &["RSI_14"])).await;
    let beat = json!({"user_id": "7", "session_id": "a", "subscriptions": [
        {"symbol": "NIFTY", "timeframe": "5min", "indicator_id": "RSI_14"},
        {"symbol": "nifty", "timeframe": "5min", "indicator": "rsi"},
        {"symbol": "NIFTY", "timeframe": "1min", "indicator": "RSI_14"},
        {"symbol": "NIFTYY", "timeframe": "5min", "indicator": "RSI_14"},
        {"symbol": "NIFTY", "timeframe": "5min", "indicator": "nonsense"},
    ]});
    let (status, answer) = server.post(HEARTBEAT, beat.clone()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["status"], "ok");
    let results = answer["results"].as_array().unwrap();
    let alive: Vec<&Value> = results.iter().map(|result| &result["alive"]).collect();
    assert_eq!(alive, [true, true, false, false, false]);
    assert_eq!(
        results[1],
        json!({"symbol": "nifty", "timeframe": "5min", "indicator": "rsi",
               "indicator_id": "RSI_14", "alive": true})
    );
    assert_eq!(results[4]["indicator_id"], "nonsense");
    // Another session of the same user, and another user's of the same name.
    for (user, session) in [(7, "b"), (8, "a")] {
        let mut beat = beat.clone();
        beat["user_id"] = user.into();
        beat["session_id"] = session.into();
        let (_, answer) = server.post(HEARTBEAT, beat).await;
        assert_eq!(answer["results"][0]["alive"], false, "{answer}");
    }
    let one = &beat["subscriptions"][0];
    for (count, taken) in [(0, true), (1_000, true), (1_001, false)] {
        let many = json!({"user_id": 7, "session_id": "a", "subscriptions": vec![one; count]});
        let (status, answer) = server.post(HEARTBEAT, many).await;
        assert_eq!(status.is_success(), taken, "{count}");
        if taken {
            assert_eq!(answer["results"].as_array().unwrap().len(), count);
        } else {
            assert_eq!(answer["field"], "subscriptions");
        }
    }
    let both = json!({"user_id": 7, "session_id": "a", "subscriptions": [
        {"symbol": "NIFTY", "timeframe": "5min", "indicator": "RSI_14", "indicator_id": "RSI_14"}]});
    let neither = json!({"user_id": 7, "session_id": "a", "subscriptions": [
        one, {"symbol": "NIFTY", "timeframe": "5min"}]});
    for (body, code, at) in [(both, "invalid_value", 0), (neither, "missing_field", 1)] {
        let (status, problem) = server.post(HEARTBEAT, body).await;
        let field = format!("subscriptions[{at}].indicator_id");
        assert_eq!(
            (status, &problem["code"], &problem["field"]),
            (StatusCode::BAD_REQUEST, &json!(code), &json!(field)),
            "{problem}"
        );
    }
    server.stop().await;
}

async fn login(server: &Server, key: &str, body: Value) -> String {
    let (status, session) = send(server, Some(key), "POST", "/api/v2/auth/login", body).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    session["session_id"].as_str().unwrap().to_owned()
}

/// What a user with a key asks for: no user is named.
fn own(session: &str) -> Value {
    let mut body = wants(0, session, &["RSI_14", "SMA_20"]);
    body.as_object_mut().unwrap().remove("user_id");
    body
}

#[tokio::test]
async fn with_keys_a_session_is_begun_by_login_and_its_users() {
    let server = with_keys();
    let post = async |key: &str, path: &str, body: Value| {
        send(&server, Some(key), "POST", path, body).await
    };
    let (seven, eight) = (
        login(&server, "sw_7", json!({})).await,
        login(&server, "sw_8", json!({})).await,
    );
    for path in [SUBSCRIBE, UNSUBSCRIBE] {
        let (status, problem) = post("sw_7", path, own("made-up")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
        assert_eq!(problem["code"], "unknown_session", "{problem}");
        for (session, user) in [(&eight, None), (&seven, Some(8)), (&eight, Some(8))] {
            let mut body = own(session);
            if let Some(user) = user {
                body["user_id"] = user.into();
            }
            let (status, problem) = post("sw_7", path, body).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
        }
    }
    let (status, problem) = post(
        "sw_7",
        HEARTBEAT,
        json!({"session_id": eight, "subscriptions": []}),
    )
    .await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");

    for (key, session) in [("sw_7", &seven), ("sw_8", &eight)] {
        let (status, held) = post(key, SUBSCRIBE, own(session)).await;
        assert_eq!(status, StatusCode::OK, "{held}");
    }
    // An admin may act for both, with the user's name or without.
    let (status, held) = post(ADMIN, SUBSCRIBE, own(&seven)).await;
    assert_eq!(
        (status, &held["results"][0]["ref_count"]),
        (StatusCode::OK, &json!(2)),
        "{held}"
    );
    let mut other = own(&seven);
    other["user_id"] = 8.into();
    let (status, problem) = post(ADMIN, SUBSCRIBE, other).await;
    assert_eq!(
        (status, &problem["field"]),
        (StatusCode::FORBIDDEN, &json!("session_id"))
    );

    // Each sees their own; the number is that of all.
    let seen = async |key: &str| {
        let (_, active) = send(&server, Some(key), "GET", ACTIVE, Value::Null).await;
        let record = active["indicator_sub:NIFTY:5min:RSI_14"].clone();
        assert_eq!(record["ref_count"], 2, "{active}");
        let subscribers = record["subscribers"].as_object().unwrap().keys();
        subscribers.cloned().collect::<BTreeSet<String>>()
    };
    let (of_seven, of_eight) = (format!("7_session_{seven}"), format!("8_session_{eight}"));
    assert_eq!(seen("sw_7").await, BTreeSet::from([of_seven.clone()]));
    assert_eq!(seen("sw_8").await, BTreeSet::from([of_eight.clone()]));
    assert_eq!(seen(ADMIN).await, BTreeSet::from([of_seven, of_eight]));

    let logout = |session: &str| json!({"session_id": session});
    let (status, _) = post("sw_7", "/api/v2/auth/logout", logout(&eight)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (_, out) = post("sw_7", "/api/v2/auth/logout", logout(&seven)).await;
    assert_eq!(out, json!({"status": "ok", "released": 2}));
    let (status, problem) = post(
        "sw_7",
        HEARTBEAT,
        json!({"session_id": seven, "subscriptions": []}),
    )
    .await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::NOT_FOUND, &json!("unknown_session"))
    );
    let (_, totals) = send(&server, Some("sw_7"), "GET", TOTALS, Value::Null).await;
    assert_eq!(
        (&totals["total_subscriptions"], &totals["total_subscribers"]),
        (&json!(2), &json!(1))
    );
    server.stop().await;
}

#[tokio::test]
async fn without_keys_a_logout_lets_go_of_all_by_that_name() {
    let server = Server::start();
    for (user, session) in [(1, "a"), (2, "a"), (1, "a2"), (1, "A")] {
        let (status, held) = server
            .post(SUBSCRIBE, wants(user, session, &["RSI_14"]))
            .await;
        assert_eq!(status, StatusCode::OK, "{held}");
    }
    let logout = async |session: &str| {
        let body = json!({"session_id": session});
        server.post("/api/v2/auth/logout", body).await.1
    };
    assert_eq!(logout("a").await["released"], 2);
    assert_eq!(logout("a").await["released"], 0);
    let (_, totals) = server.get(TOTALS).await;
    assert_eq!(totals["total_subscribers"], 2, "{totals}");
    // One that login has begun names its user.
    let (_, session) = server
        .post("/api/v2/auth/login", json!({"user_id": 5}))
        .await;
    let session = session["session_id"].as_str().unwrap();
    let (status, held) = server.post(SUBSCRIBE, own(session)).await;
    assert_eq!(status, StatusCode::OK, "{held}");
    let (_, active) = server.get(ACTIVE).await;
    let record = &active["indicator_sub:NIFTY:5min:SMA_20"];
    let who = format!("5_session_{session}");
    assert!(record["subscribers"].get(&who).is_some(), "{active}");
    assert_eq!(logout(session).await["released"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_ended_lets_go() {
    let server = Server::start();
    let access = &server.api.access;
    let idle = Duration::from_secs(3_600);
    let begin = async |user: u64| {
        let (_, session) = server
            .post("/api/v2/auth/login", json!({"user_id": user}))
            .await;
        session["session_id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (begin(1).await, begin(2).await);
    for session in [&first, &second] {
        server.post(SUBSCRIBE, own(session)).await;
    }
    let now = server.api.gateway.clock().now().mono;
    assert_eq!(access.sweep(now, idle).await, []);
    let ended = access.sweep(now + idle * 2, idle).await;
    let ids: BTreeSet<&str> = ended.iter().map(|ended| &*ended.session_id).collect();
    assert_eq!(ids, BTreeSet::from([&*first, &*second]));
    let mut released = 0;
    for session in ended {
        let indicators = server.api.gateway.indicators();
        released += indicators
            .release_session(&session.session_id, Some(session.user))
            .await
            .unwrap();
    }
    assert_eq!(released, 4);
    let (_, totals) = server.get(TOTALS).await;
    assert_eq!(totals["total_subscriptions"], 0, "{totals}");
    server.stop().await;
}

#[tokio::test]
async fn the_catalogue_says_what_there_is() {
    let server = Server::start();
    let (status, catalog) = server.get("/api/v2/indicators/catalog").await;
    assert_eq!(status, StatusCode::OK, "{catalog}");
    assert_eq!(
        catalog["timeframes"],
        json!(["1min", "5min", "15min", "1h", "1d"])
    );
    let entries = catalog["indicators"].as_array().unwrap();
    let names: BTreeSet<&str> = entries
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), entries.len());
    for name in ["SMA", "EMA", "RSI", "MACD", "BB", "ATR"] {
        assert!(names.contains(name), "{names:?}");
    }
    // Each example can be held, of an option, which has volume and open interest.
    for entry in entries {
        let mut body = wants(1, "a", &[entry["example"].as_str().unwrap()]);
        body["symbol"] = "NIFTY_10FEB2026_25500CE".into();
        let (status, held) = server.post(SUBSCRIBE, body).await;
        assert_eq!(status, StatusCode::OK, "{entry}: {held}");
    }
    server.stop().await;
}
