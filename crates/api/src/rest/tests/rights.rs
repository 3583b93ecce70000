//! Who may do what.

use strikewire_gateway::store::{KeyHash, KeyRecord, Role};
use strikewire_gateway::{DryRun, EvictView};

use super::*;
use crate::model::PlanAnswer;

pub(super) const ADMIN: &str = "sw_admin";

/// Keys of users 7 and 8, and of an admin who is user 1.
pub(super) fn with_keys() -> Server {
    let server = Server::start();
    let key = |id: u64, text: &str, role| KeyRecord {
        id,
        hash: KeyHash::of(text),
        user: id,
        role,
        label: None,
        created_at: Utc::default(),
        revoked_at: None,
    };
    server.api.access.set_keys(vec![
        key(7, "sw_7", Role::User),
        key(8, "sw_8", Role::User),
        key(1, ADMIN, Role::Admin),
    ]);
    server
}

pub(super) async fn send(
    server: &Server,
    key: Option<&str>,
    method: &str,
    path: &str,
    body: Value,
) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let body = if method == "POST" {
        request = request.header("content-type", "application/json");
        Body::from(body.to_string())
    } else {
        Body::empty()
    };
    let response = router(server.api.clone())
        .oneshot(request.body(body).unwrap())
        .await
        .unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn item(user: Option<u64>) -> Value {
    let mut item = nifty(0, 3);
    match user {
        Some(user) => item["user_id"] = user.into(),
        None => drop(item.as_object_mut().unwrap().remove("user_id")),
    }
    item
}

#[tokio::test]
async fn without_a_key_only_what_is_open_is_served() {
    let server = with_keys();
    let document: Value = serde_json::from_str(crate::openapi()).unwrap();
    let mut open = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let path = path.replace("{file}", "start.js").replace(['{', '}'], "");
            let method = method.to_uppercase();
            let (status, body) = send(&server, None, &method, &path, json!({})).await;
            if operation["security"] == json!([{}]) {
                assert_ne!(status, StatusCode::UNAUTHORIZED, "{path}");
                open.insert(path);
            } else if path != "/api/v2/stream" {
                // That one may be told the key in the first message.
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}: {body}");
            }
        }
    }
    let expected = [
        "/docs",
        "/docs/start.js",
        "/healthz",
        "/openapi.json",
        "/readyz",
    ];
    assert_eq!(open, BTreeSet::from(expected.map(str::to_owned)));
    server.stop().await;
}

#[tokio::test]
async fn a_user_touches_only_what_is_theirs() {
    let server = with_keys();
    let tier_b = |user: u64| {
        let mut item = item(Some(user));
        item["tier"] = "TIER_B".into();
        item
    };
    let remove = |user: u64| json!({"user_id": user, "symbol": "NIFTY"});
    let expiry = json!({"symbol": "NIFTY", "expiry": "10FEB2026"});
    for (method, path, body, field) in [
        (
            "POST",
            "/api/v2/watchlist/add",
            item(Some(8)),
            json!("user_id"),
        ),
        (
            "POST",
            "/api/v2/watchlist/remove",
            remove(8),
            json!("user_id"),
        ),
        ("GET", "/api/v2/watchlist/8", Value::Null, json!("user_id")),
        (
            "POST",
            "/api/v2/option-chain/subscribe",
            item(Some(8)),
            json!("user_id"),
        ),
        (
            "POST",
            "/api/v2/option-chain/subscribe",
            tier_b(7),
            json!("tier"),
        ),
        (
            "POST",
            "/api/v2/plan",
            json!({"requests": [item(None), item(Some(8))]}),
            json!("requests[1].user_id"),
        ),
        ("GET", "/api/v2/audit", Value::Null, Value::Null),
        ("GET", "/api/v2/admin/ws-status", Value::Null, Value::Null),
        ("POST", "/api/v2/admin/rebalance-ws", json!({}), Value::Null),
        (
            "POST",
            "/api/v2/admin/unsubscribe-all-tier-a",
            json!({}),
            Value::Null,
        ),
        (
            "POST",
            "/api/v2/admin/reload-config",
            json!({}),
            Value::Null,
        ),
        (
            "POST",
            "/api/v2/admin/invalidate-expiry",
            expiry,
            Value::Null,
        ),
        ("GET", "/metrics", Value::Null, Value::Null),
    ] {
        let (status, problem) = send(&server, Some("sw_7"), method, path, body.clone()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {problem}");
        assert_eq!(
            (&problem["code"], &problem["field"]),
            (&json!("forbidden"), &field),
            "{path}"
        );
        // It is the role that lacks: an admin gets further.
        let (status, answer) = send(&server, Some(ADMIN), method, path, body).await;
        assert_ne!(status, StatusCode::FORBIDDEN, "{path}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_item_is_that_of_the_key_unless_said_otherwise() {
    let server = with_keys();
    let add = "/api/v2/watchlist/add";
    for (key, named, whose) in [("sw_7", None, 7), (ADMIN, Some(8), 8), (ADMIN, None, 1)] {
        let (status, added) = send(&server, Some(key), "POST", add, item(named)).await;
        assert_eq!(status, StatusCode::OK, "{added}");
        let list = format!("/api/v2/watchlist/{whose}");
        let (_, list) = send(&server, Some(ADMIN), "GET", &list, Value::Null).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    }
    // Each of them sees the others as a number.
    let path = "/api/v2/subscriptions/NIFTY_10FEB2026_25500CE";
    let (_, seen) = send(&server, Some("sw_8"), "GET", path, Value::Null).await;
    let holders = seen["holders"].as_array().unwrap();
    assert_eq!(holders.len(), 1, "{seen}");
    assert_eq!(
        (&holders[0]["user_id"], &seen["others"]),
        (&json!(8), &json!(2))
    );
    let (_, seen) = send(&server, Some(ADMIN), "GET", path, Value::Null).await;
    assert_eq!(seen["holders"].as_array().unwrap().len(), 3);
    assert_eq!(seen.get("others"), None);
    // Without keys there is no user to fall back to.
    let open = Server::start();
    let (status, problem) = open.post(add, item(None)).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::BAD_REQUEST, &json!("missing_field"))
    );
    open.stop().await;
    server.stop().await;
}

#[test]
fn a_plan_does_not_say_whose_claims_would_go() {
    let claim = |user_id, symbol: &str| EvictView {
        user_id,
        symbol: symbol.into(),
        expiry: Some("10FEB2026".parse().unwrap()),
        frees: 6,
    };
    let run = DryRun {
        fits: true,
        needed: 12,
        free: 0,
        evictable: None,
        evict: vec![
            claim(Some(7), "NIFTY"),
            claim(Some(8), "TCS"),
            claim(None, "ITC"),
        ],
        by_connection: Default::default(),
        messages: 1,
        seconds: 0.05,
        assumed: Vec::new(),
    };
    let seen = |may_see: &dyn Fn(Option<u64>) -> bool| -> Vec<Value> {
        let answer = PlanAnswer::new(run.clone(), may_see);
        answer
            .evict
            .iter()
            .map(|claim| serde_json::to_value(claim).unwrap())
            .collect()
    };
    let hidden = json!({"user_id": null, "symbol": null, "expiry": null, "frees": 6});
    let own = json!({"user_id": 7, "symbol": "NIFTY", "expiry": "10FEB2026", "frees": 6});
    assert_eq!(seen(&|user| user == Some(7)), [own, hidden.clone(), hidden]);
    let all = seen(&|_| true);
    assert_eq!(
        (&all[1]["user_id"], &all[2]["symbol"]),
        (&json!(8), &json!("ITC"))
    );
}
