use serde_json::json;

use crate::harness::{Gateway, StandIn};

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_a_problem_that_names_the_thing_and_the_choices() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let add = "/api/v2/watchlist/add";
    let cases = [
        (
            json!({"user_id": 1, "symbol": "RELIANSE"}),
            404,
            "unknown_symbol",
            "symbol",
            "RELIANCE",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "expiry": "25FEB2026"}),
            404,
            "unlisted_expiry",
            "expiry",
            "24FEB2026",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "expiry": "someday"}),
            400,
            "invalid_value",
            "expiry",
            "",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "underlying_ltp": 0}),
            422,
            "invalid_price",
            "underlying_ltp",
            "",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "underlying_ltp": -1.5}),
            422,
            "invalid_price",
            "underlying_ltp",
            "",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "width": 24}),
            422,
            "invalid_width",
            "width",
            "",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "width": 100_000}),
            422,
            "invalid_width",
            "width",
            "",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "width": "wide"}),
            400,
            "invalid_value",
            "width",
            "",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "instrument_type": "INDEX_OPTION"}),
            422,
            "wrong_instrument_type",
            "instrument_type",
            "STOCK_OPTION",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "instrument_type": "EQUITY", "width": 4}),
            422,
            "invalid_width",
            "width",
            "",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "instrument_type": "BOND"}),
            400,
            "invalid_value",
            "instrument_type",
            "STOCK_OPTION",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "exchange": "NYSE"}),
            400,
            "invalid_value",
            "exchange",
            "",
        ),
        (
            json!({"user_id": -1, "symbol": "RELIANCE"}),
            400,
            "invalid_value",
            "user_id",
            "",
        ),
        (
            json!({"symbol": "RELIANCE"}),
            400,
            "missing_field",
            "user_id",
            "",
        ),
        (
            json!({"user_id": 1, "symbol": "RELIANCE", "expriy": "24FEB2026"}),
            400,
            "unknown_field",
            "expriy",
            "expiry",
        ),
    ];
    for (body, status, code, field, choice) in cases {
        let (got, problem) = gateway.post(add, &body).await;
        assert_eq!(
            (got.as_u16(), &problem["code"]),
            (status, &json!(code)),
            "{body}: {problem}"
        );
        assert_eq!(problem["field"], field, "{body}: {problem}");
        assert_eq!(problem["status"], status);
        assert!(
            problem["request_id"].is_string() && problem["detail"].is_string(),
            "{problem}"
        );
        if !choice.is_empty() {
            let choices = problem["choices"].as_array().expect("choices");
            assert!(choices.contains(&json!(choice)), "{body}: {problem}");
        }
    }

    for (text, code) in [
        ("this is not JSON", "invalid_json"),
        ("", "invalid_json"),
        ("[1]", "invalid_value"),
    ] {
        let (status, problem) = gateway.post_raw(add, "application/json", text.into()).await;
        assert_eq!(
            (status.as_u16(), &problem["code"]),
            (400, &json!(code)),
            "{text}"
        );
    }
    let (status, problem) = gateway.post_raw(add, "text/plain", "{}".into()).await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (415, &json!("unsupported_media_type"))
    );
    let (status, problem) = gateway
        .post_raw(add, "application/json", " ".repeat(100_000))
        .await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (413, &json!("too_large"))
    );

    for (path, status, code) in [
        ("/api/v2/nothing", 404, "not_found"),
        ("/api/v2/watchlist/add", 405, "method_not_allowed"),
        ("/api/v2/watchlist/me", 400, "invalid_value"),
        ("/api/v2/option-chain/NOSUCH", 404, "unknown_symbol"),
        ("/api/v2/option-chain/NIFTY?widht=5", 400, "unknown_field"),
        (
            "/api/v2/option-chain/NIFTY?width=4&underlying_ltp=25000",
            422,
            "invalid_width",
        ),
        (
            "/api/v2/option-chain/NIFTY?underlying_ltp=NaN",
            400,
            "invalid_value",
        ),
        (
            "/api/v2/option-chain/NIFTY?underlying_ltp=0",
            422,
            "invalid_price",
        ),
        ("/api/v2/quotes", 400, "missing_field"),
        (
            "/api/v2/quotes?instruments=NIFTY,,ITC",
            400,
            "invalid_value",
        ),
        ("/api/v2/option-chain/%FF", 400, "invalid_value"),
        ("/api/v2/stream", 400, "invalid_value"),
        ("/api/v2/subscriptions/NOSUCH", 404, "unknown_instrument"),
        ("/api/v2/subscriptions/NIFTY", 404, "not_subscribed"),
        ("/api/v2/instruments/search", 400, "missing_field"),
        (
            "/api/v2/instruments/search?q=nifty&limit=0",
            400,
            "invalid_value",
        ),
        ("/api/v2/instruments/NOSUCH/expiries", 404, "unknown_symbol"),
    ] {
        let (got, problem) = gateway.get(path).await;
        assert_eq!(
            (got.as_u16(), &problem["code"]),
            (status, &json!(code)),
            "{path}: {problem}"
        );
    }
    let body = json!({"user_id": 1, "symbol": "RELIANCE"});
    let (status, problem) = gateway.post("/api/v2/watchlist/remove", &body).await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (404, &json!("unknown_item"))
    );

    // Nothing of all this reached the wire to stay.
    gateway.until_on_wire(&standin, 0).await;
    assert_eq!(gateway.status().await["total_subscriptions"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_item_with_other_settings_is_a_conflict() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    gateway.add(1, "NIFTY", json!({"width": 5})).await;
    for other in [
        json!({"width": 7}),
        json!({"width": 5, "mode": "quote"}),
        json!({"width": 5, "follow": false}),
    ] {
        let body = crate::harness::request(1, "NIFTY", other);
        let (status, problem) = gateway.post("/api/v2/watchlist/add", &body).await;
        assert_eq!(
            (status.as_u16(), &problem["code"]),
            (409, &json!("conflict")),
            "{problem}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_metrics_and_readiness_answer() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let found = gateway
        .ok("/api/v2/instruments/search?q=reliance&limit=3")
        .await;
    assert_eq!(found["items"][0]["symbol"], "RELIANCE");
    assert!(found["items"].as_array().unwrap().len() <= 3);
    assert_eq!(gateway.ok("/readyz").await["status"], "ready");
    let metrics = gateway.ok("/metrics").await;
    let text = metrics.as_str().expect("a text");
    assert!(
        text.contains("strikewire_connection_up{connection=\"5\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("strikewire_subscriptions_capacity 25000"),
        "{text}"
    );
    let quotes = gateway
        .ok("/api/v2/quotes?instruments=RELIANCE,NOSUCH")
        .await;
    assert_eq!(
        quotes,
        json!({"quotes": {}, "unknown": ["NOSUCH"], "not_subscribed": ["RELIANCE"]})
    );
    assert_eq!(gateway.ok("/openapi.json").await["openapi"], "3.1.0");
    for (path, has) in [
        ("/docs", "docs/start.js"),
        ("/docs/start.js", "openapi.json"),
        ("/docs/swagger-ui-bundle.js", "SwaggerUIBundle"),
    ] {
        let text = gateway.ok(path).await;
        assert!(text.as_str().expect("a text").contains(has), "{path}");
    }
}
