//! Keys, roles, sessions, limits: several users and admins at once, on real sockets.

mod doors;
mod indicators;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use strikewire_store::{Keys, NewKey, Role};
use strikewire_types::Utc;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{Gateway, Launch, Rest, SOON, StandIn, http, request};
use crate::socket::Socket;

/// Who has a key, and asks with it.
struct Holder {
    key: NewKey,
    id: u64,
    base: String,
    client: reqwest::Client,
}

/// An answer with what its head says.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> (StatusCode, &str) {
        (self.status, self.body["code"].as_str().unwrap_or(""))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("the server answers");
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("a body");
    Answer {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}

impl Holder {
    /// As `strikewire auth new-key` makes one, in the database of a running server.
    async fn new(gateway: &Gateway, user: u64, role: Role) -> Self {
        let url = format!("sqlite:{}", gateway.database().display());
        let mut keys = Keys::open(&url.parse().expect("a URL"))
            .await
            .expect("the database");
        let key = NewKey::generate().expect("a key");
        let id = keys
            .add(key.hash(), user, role, None, Utc::from_nanos(0))
            .await
            .expect("it is kept");
        keys.close().await;
        Self {
            key,
            id,
            base: format!("http://{}", gateway.authority()),
            client: http(),
        }
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.bearer_auth(self.key.expose());
        match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        send(self.ask(Method::GET, path, None)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.ask(Method::POST, path, Some(body))).await
    }

    async fn stream(&self) -> Result<Socket, tungstenite::Error> {
        let url = format!("{}/api/v2/stream", self.base.replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("a request");
        let header = format!("Bearer {}", self.key.expose());
        let headers = request.headers_mut();
        headers.insert("authorization", header.parse().expect("a header"));
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Socket {
            socket,
            said: Vec::new(),
        })
    }
}

/// Takes a key away, as `strikewire auth revoke-key` does.
async fn revoke(gateway: &Gateway, holder: &Holder) {
    let url = format!("sqlite:{}", gateway.database().display());
    let mut keys = Keys::open(&url.parse().expect("a URL"))
        .await
        .expect("the database");
    let revoked = keys.revoke(holder.id, Utc::from_nanos(1)).await;
    revoked.expect("it is revoked");
    keys.close().await;
}

async fn until(what: &str, check: impl AsyncFnMut() -> bool) {
    Rest::default().until(what, check).await;
}

const LIST: &str = "/api/v2/watchlist";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_made_while_the_server_runs_closes_it() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let (status, _) = gateway.get("/api/v2/admin/ws-status").await;
    assert_eq!(status, StatusCode::OK);
    assert!(gateway.logged().contains("this machine only"));

    // The first request with it finds it, whoever asked before.
    let admin = Holder::new(&gateway, 1, Role::Admin).await;
    let answer = admin.get("/api/v2/admin/ws-status").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let anonymous = |path: &str| {
        let url = format!("http://{}{path}", gateway.authority());
        send(http().get(url))
    };
    for path in ["/api/v2/subscriptions/status", "/api/v2/audit", "/nowhere"] {
        let answer = anonymous(path).await;
        assert_eq!(
            answer.code(),
            (StatusCode::UNAUTHORIZED, "unauthorized"),
            "{path}"
        );
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.is_some_and(|it| it.starts_with("Bearer")),
            "{path}: {challenge:?}"
        );
    }
    for path in ["/healthz", "/readyz", "/docs", "/openapi.json", "/metrics"] {
        let answer = anonymous(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    }
    // Through a proxy on this machine everybody would be on this machine.
    let url = format!("http://{}/metrics", gateway.authority());
    let request = http().get(&url).header("x-forwarded-for", "203.0.113.7");
    assert_eq!(send(request).await.code().0, StatusCode::UNAUTHORIZED);
    let user = Holder::new(&gateway, 7, Role::User).await;
    until("the second key is taken", async || {
        user.get("/api/v2/subscriptions/status").await.status == StatusCode::OK
    })
    .await;
    let metrics = |holder: &Holder| {
        let request = holder.ask(Method::GET, "/metrics", None);
        send(request.header("x-forwarded-for", "203.0.113.7"))
    };
    assert_eq!(
        metrics(&user).await.code(),
        (StatusCode::FORBIDDEN, "forbidden")
    );
    assert_eq!(metrics(&admin).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_touches_only_what_is_theirs() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let user = Holder::new(&gateway, 7, Role::User).await;
    let other = Holder::new(&gateway, 8, Role::User).await;
    let admin = Holder::new(&gateway, 1, Role::Admin).await;
    until("the keys are taken", async || {
        let mut all = true;
        for holder in [&user, &other, &admin] {
            all &= holder.get("/api/v2/subscriptions/status").await.status == StatusCode::OK;
        }
        all
    })
    .await;

    // With a key the user need not be named.
    let item = json!({"symbol": "NIFTY", "instrument_type": "INDEX_OPTION", "width": 5});
    let answer = user.post("/api/v2/watchlist/add", &item).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let named = request(
        8,
        "BANKNIFTY",
        json!({"instrument_type": "INDEX_OPTION", "width": 5}),
    );
    let answer = other.post("/api/v2/watchlist/add", &named).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for (holder, own, symbol) in [(&user, 7, "NIFTY"), (&other, 8, "BANKNIFTY")] {
        let answer = holder.get(&format!("{LIST}/{own}")).await;
        let items = answer.body["items"].as_array().expect("items");
        assert_eq!(items.len(), 1, "{}", answer.body);
        assert_eq!(items[0]["symbol"], symbol);
    }

    let forbidden = (StatusCode::FORBIDDEN, "forbidden");
    let mut refused = Vec::new();
    for (method, path, body) in [
        (Method::GET, "/api/v2/watchlist/8", None),
        (Method::POST, "/api/v2/watchlist/add", Some(named.clone())),
        (
            Method::POST,
            "/api/v2/watchlist/remove",
            Some(request(8, "BANKNIFTY", json!({}))),
        ),
        (
            Method::POST,
            "/api/v2/option-chain/subscribe",
            Some(named.clone()),
        ),
        (
            Method::POST,
            "/api/v2/option-chain/subscribe",
            Some(request(7, "NIFTY", json!({"tier": "TIER_B", "width": 5}))),
        ),
        (
            Method::POST,
            "/api/v2/auth/login",
            Some(json!({"user_id": 8})),
        ),
        (Method::GET, "/api/v2/audit", None),
        (Method::GET, "/api/v2/admin/ws-status", None),
        (Method::POST, "/api/v2/admin/rebalance-ws", Some(json!({}))),
        (Method::POST, "/api/v2/admin/reload-config", Some(json!({}))),
        (
            Method::POST,
            "/api/v2/admin/unsubscribe-all-tier-a",
            Some(json!({})),
        ),
        (
            Method::POST,
            "/api/v2/admin/invalidate-expiry",
            Some(json!({"symbol": "NIFTY", "expiry": "10FEB2026"})),
        ),
    ] {
        let answer = send(user.ask(method, path, body.as_ref())).await;
        if answer.code() != forbidden {
            refused.push(format!("{path}: {} {}", answer.status, answer.body));
        }
    }
    assert!(refused.is_empty(), "not forbidden: {refused:#?}");
    // Nothing of it had an effect.
    let answer = other.get(&format!("{LIST}/8")).await;
    assert_eq!(answer.body["items"][0]["state"], "live", "{}", answer.body);

    // An admin may, for anybody.
    let answer = admin.get(&format!("{LIST}/8")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for path in ["/api/v2/audit", "/api/v2/admin/ws-status"] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    }
    let body = request(8, "BANKNIFTY", json!({}));
    let answer = admin.post("/api/v2/watchlist/remove", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_at_once_keep_apart() {
    const USERS: u64 = 12;
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let mut holders = Vec::new();
    for user in 1..=USERS {
        let role = if user % 4 == 0 {
            Role::Admin
        } else {
            Role::User
        };
        holders.push((user, role, Holder::new(&gateway, user, role).await));
    }
    // The last one is known as soon as it asks; with it all others.
    until("the keys are taken", async || {
        let (_, _, last) = holders.last().expect("there are some");
        last.get("/api/v2/subscriptions/status").await.status == StatusCode::OK
    })
    .await;
    let tasks: Vec<_> = holders
        .into_iter()
        .map(|(user, role, holder)| {
            tokio::spawn(async move {
                let symbols = ["NIFTY", "BANKNIFTY", "FINNIFTY"];
                for (at, symbol) in symbols.iter().enumerate() {
                    let more = json!({"instrument_type": "INDEX_OPTION", "width": 3});
                    let body = request(user, symbol, more);
                    let answer = holder.post("/api/v2/watchlist/add", &body).await;
                    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
                    let own = holder.get(&format!("{LIST}/{user}")).await;
                    let items = own.body["items"].as_array().map(Vec::len);
                    assert_eq!(items, Some(at + 1), "{}", own.body);
                    let others = holder.get(&format!("{LIST}/{}", user % USERS + 1)).await;
                    let expected = match role {
                        Role::Admin => StatusCode::OK,
                        Role::User => StatusCode::FORBIDDEN,
                    };
                    assert_eq!(others.status, expected, "{}", others.body);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("what each user sees is theirs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_requests_and_streams() {
    let standin = StandIn::any();
    let gateway = Gateway::start_with(&standin, "[stream]\nping_s = 1\nidle_s = 60\n").await;
    let user = Holder::new(&gateway, 7, Role::User).await;
    let other = Holder::new(&gateway, 7, Role::User).await;
    until("the keys are taken", async || {
        user.get("/api/v2/subscriptions/status").await.status == StatusCode::OK
            && other.get("/api/v2/subscriptions/status").await.status == StatusCode::OK
    })
    .await;
    let mut stream = user.stream().await.expect("it opens");
    let mut others = other.stream().await.expect("it opens");
    revoke(&gateway, &user).await;
    until("the key is not taken", async || {
        user.get("/api/v2/subscriptions/status").await.code().0 == StatusCode::UNAUTHORIZED
    })
    .await;
    let Err(tungstenite::Error::Http(refused)) = user.stream().await else {
        panic!("the stream opens with a revoked key");
    };
    assert_eq!(refused.status().as_u16(), 401);
    stream.closed().await;
    // The other key of the same user goes on.
    others.send(&json!({"id": 1, "action": "ping"})).await;
    others.of_type("pong").await;

    // The last one does not open the server when it goes.
    revoke(&gateway, &other).await;
    until("the other key is not taken", async || {
        other.get("/api/v2/subscriptions/status").await.code().0 == StatusCode::UNAUTHORIZED
    })
    .await;
    others.closed().await;
    let (status, _) = gateway.get("/api/v2/subscriptions/status").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // Nor after a restart.
    let data = gateway.kill().await;
    let gateway = Gateway::launch_at_once(
        &standin,
        Launch {
            data: Some(data),
            ..Launch::default()
        },
    );
    let (status, _) = gateway.get("/api/v2/subscriptions/status").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(gateway.logged().contains("with API keys, 0 active"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_begin_and_end() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    // Without keys a session is somebody's who is named, and any is taken as it is.
    let (status, body) = gateway.post("/api/v2/auth/login", &json!({})).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::BAD_REQUEST, &json!("missing_field"))
    );
    let (status, body) = gateway
        .post("/api/v2/auth/login", &json!({"user_id": "7"}))
        .await;
    assert_eq!(
        (status, &body["user_id"]),
        (StatusCode::OK, &json!(7)),
        "{body}"
    );
    let logout = json!({"session_id": body["session_id"]});
    for session in [logout, json!({"session_id": "my.own_session-1"})] {
        let (status, body) = gateway.post("/api/v2/auth/logout", &session).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body, json!({"status": "ok", "released": 0}));
    }
    let (status, body) = gateway
        .post("/api/v2/auth/logout", &json!({"session_id": "a b"}))
        .await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_value"))
    );

    let user = Holder::new(&gateway, 7, Role::User).await;
    let other = Holder::new(&gateway, 8, Role::User).await;
    let admin = Holder::new(&gateway, 1, Role::Admin).await;
    until("the keys are taken", async || {
        admin.get("/api/v2/admin/ws-status").await.status == StatusCode::OK
    })
    .await;
    let login = user.post("/api/v2/auth/login", &json!({})).await;
    assert_eq!(login.status, StatusCode::OK, "{}", login.body);
    assert_eq!(login.body["user_id"], 7);
    // Twelve hours after the time of the test's clock.
    let expires = login.body["expires_at"].as_str().expect("a time");
    assert!(expires.starts_with("2026-02-09T22:0"), "{expires}");
    assert!(expires.ends_with("+05:30"), "{expires}");
    let id = login.body["session_id"].as_str().expect("an id");
    assert!(!id.contains(user.key.expose()), "{id}");
    // A session is no credential.
    let url = format!("http://{}/api/v2/subscriptions/status", gateway.authority());
    let answer = send(http().get(&url).bearer_auth(id)).await;
    assert_eq!(answer.code().0, StatusCode::UNAUTHORIZED);

    let logout = json!({"session_id": id});
    let answer = other.post("/api/v2/auth/logout", &logout).await;
    assert_eq!(answer.code(), (StatusCode::FORBIDDEN, "forbidden"));
    let answer = user.post("/api/v2/auth/logout", &logout).await;
    assert_eq!(answer.body, json!({"status": "ok", "released": 0}));
    let answer = user.post("/api/v2/auth/logout", &logout).await;
    assert_eq!(answer.code(), (StatusCode::NOT_FOUND, "unknown_session"));
    // An admin begins and ends the sessions of others.
    let login = admin
        .post("/api/v2/auth/login", &json!({"user_id": 8}))
        .await;
    assert_eq!(login.body["user_id"], 8, "{}", login.body);
    let logout = json!({"session_id": login.body["session_id"]});
    let answer = admin.post("/api/v2/auth/logout", &logout).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_turned_away_and_nobody_else() {
    let standin = StandIn::any();
    let toml = "[auth]\nkey_requests_per_s = 1\nkey_burst = 10\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let eager = Holder::new(&gateway, 7, Role::User).await;
    let calm = Holder::new(&gateway, 7, Role::User).await;
    until("the keys are taken", async || {
        calm.get("/api/v2/subscriptions/status").await.status == StatusCode::OK
    })
    .await;
    let mut refused = None;
    for _ in 0..100 {
        let answer = eager.get("/api/v2/subscriptions/status").await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a hundred requests are too many");
    assert_eq!(
        refused.code(),
        (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
    );
    let wait: u64 = refused
        .header("retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .expect("it says when to come back");
    assert!((1..=10).contains(&wait), "{wait}");
    let answer = calm.get("/api/v2/subscriptions/status").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    until("it may ask again", async || {
        eager.get("/api/v2/subscriptions/status").await.status == StatusCode::OK
    })
    .await;

    // Guesses are few.
    let url = format!("http://{}/api/v2/subscriptions/status", gateway.authority());
    let mut codes = Vec::new();
    for guess in 0..60 {
        let request = http().get(&url);
        let answer = send(request.bearer_auth(format!("sw_guess{guess}"))).await;
        codes.push(answer.status.as_u16());
    }
    assert_eq!(codes[0], 401, "{codes:?}");
    assert!(codes.contains(&429), "{codes:?}");
    // A probe is never turned away.
    for _ in 0..50 {
        assert_eq!(gateway.get("/healthz").await.0, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_written_anywhere() {
    let standin = StandIn::any();
    let toml = "[log]\nlevel = \"trace\"\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let user = Holder::new(&gateway, 7, Role::User).await;
    let secret = user.key.expose().to_owned();
    until("the key is taken", async || {
        user.get("/api/v2/subscriptions/status").await.status == StatusCode::OK
    })
    .await;
    let mut shown = String::new();
    let item = json!({"symbol": "NIFTY", "instrument_type": "INDEX_OPTION", "width": 5});
    for answer in [
        user.post("/api/v2/watchlist/add", &item).await,
        user.post("/api/v2/watchlist/add", &json!({"symbol": 5}))
            .await,
        user.get("/api/v2/watchlist/8").await,
        user.get("/nowhere").await,
        user.get("/metrics").await,
        user.get("/openapi.json").await,
        user.post("/api/v2/auth/login", &json!({})).await,
    ] {
        shown += &format!("{answer:?}\n");
    }
    let mut stream = user.stream().await.expect("it opens");
    stream
        .send(&json!({"id": 1, "action": "auth", "key": secret}))
        .await;
    stream.send(&json!({"id": 2, "action": "ping"})).await;
    let pong = stream.find(|message| message["type"] == "pong").await;
    shown += &format!("{pong:?} {:?}\n", stream.said);
    // One that almost is one, too.
    let wrong = format!("{}x", &secret);
    let url = format!("http://{}/api/v2/subscriptions/status", gateway.authority());
    let answer = send(http().get(&url).bearer_auth(&wrong)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    shown += &format!("{answer:?}\n");
    drop(stream);
    let data = std::sync::Arc::clone(&gateway.data);
    let (_, log) = gateway.terminate().await;
    assert!(log.contains("DEBUG"), "{log}");
    shown += &log;
    // Long enough to be the key, short enough for one that is cut.
    let part = &secret[3..19];
    assert!(!shown.contains(part), "a key is shown");
    for file in std::fs::read_dir(data.path().join("data")).expect("a folder") {
        let path = file.expect("a file").path();
        let bytes = std::fs::read(&path).expect("it is read");
        let found = bytes
            .windows(part.len())
            .any(|window| window == part.as_bytes());
        assert!(!found, "{} holds a key", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_a_name_of_elsewhere_is_not_served() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let url = format!("http://{}/api/v2/subscriptions/status", gateway.authority());
    let named = |host: &'static str| {
        let request = http().get(&url);
        send(request.header("host", host).timeout(SOON))
    };
    for host in ["localhost:8080", "127.0.0.1", "[::1]:8080"] {
        assert_eq!(named(host).await.status, StatusCode::OK, "{host}");
    }
    // A page that has its own name lead to this machine.
    let answer = named("rebound.example:8080").await;
    assert_eq!(answer.code(), (StatusCode::FORBIDDEN, "forbidden"));
    let admin = Holder::new(&gateway, 1, Role::Admin).await;
    let request = admin.ask(Method::GET, "/api/v2/admin/ws-status", None);
    let answer = send(request.header("host", "desk.example")).await;
    // Asking with it makes it known, though this first request came under a wrong name.
    assert!([StatusCode::OK, StatusCode::FORBIDDEN].contains(&answer.status));
    until("the key is taken", async || {
        let request = admin.ask(Method::GET, "/api/v2/admin/ws-status", None);
        send(request.header("host", "desk.example")).await.status == StatusCode::OK
    })
    .await;
}
