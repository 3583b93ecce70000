//! A server among hostile clients: what it must answer, what must not change, and users
//! who notice nothing of it all.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::document::Document;
use super::raw::{self, Answer};
use crate::harness::{Gateway, Launch, Rest, SOON, StandIn};

/// Users whose watchlists hostile requests may name.
const NAMED: [u64; 6] = [0, 1, 2, 3, 4, u64::MAX];
/// What the other users have; hostile requests do not name it.
const OTHERS: [&str; 2] = ["INFY", "SBIN"];

pub(crate) struct World {
    pub(crate) gateway: Gateway,
    /// Tokens of which something was computed at some time.
    computed: Mutex<BTreeSet<String>>,
    // Ends after the gateway.
    _standin: StandIn,
}

impl World {
    pub(crate) async fn start(toml: &str) -> Self {
        let standin = StandIn::any();
        let launch = Launch {
            toml,
            ..Launch::default()
        };
        let gateway = Gateway::launch(&standin, launch).await;
        Self {
            gateway,
            computed: Mutex::default(),
            _standin: standin,
        }
    }

    pub(crate) fn addr(&self) -> &str {
        self.gateway.authority()
    }

    pub(crate) async fn document(&self) -> Document {
        Document::new(self.gateway.ok("/openapi.json").await)
    }

    /// A JSON request.
    pub(crate) async fn ask(&self, method: &str, target: &str, body: Option<&str>) -> Answer {
        let json: &[(&str, &[u8])] = &[("content-type", b"application/json")];
        let headers = if body.is_some() { json } else { &[] };
        let body = body.unwrap_or_default().as_bytes();
        raw::request(self.addr(), method, target, headers, body).await
    }

    /// What hostile requests could change: the watchlists of those they name, who holds
    /// what, less what the other users do, and who holds which indicators.
    pub(crate) async fn state(&self) -> Value {
        let mut lists = Vec::new();
        for user in NAMED {
            let mut list = self.gateway.ok(&format!("/api/v2/watchlist/{user}")).await;
            for item in list["items"].as_array_mut().expect("items") {
                // Whether a price has come is the market's doing.
                item["state"].take();
                item["last_used_at"].take();
            }
            lists.push(list);
        }
        let page = self
            .gateway
            .ok("/api/v2/subscriptions/active?limit=1000")
            .await;
        assert_eq!(page["next_cursor"], Value::Null, "all on one page");
        let rows = page["items"].as_array().expect("items").iter();
        let indicators = self.gateway.ok("/api/v2/indicators/active").await;
        let mut leases = Vec::new();
        let mut computed = self.computed.lock().await;
        for (key, record) in indicators.as_object().expect("records") {
            leases.push(json!([key, record["ref_count"]]));
            computed.insert(record["symbol"].as_str().expect("a token").to_owned());
        }
        let held: Vec<Value> = rows
            // When the claim of an indicator comes and goes is up to its computation.
            .filter(|row| !computed.contains(row["token"].as_str().expect("a token")))
            .filter(|row| !OTHERS.iter().any(|other| row["symbol"] == *other))
            .map(|row| json!([row["token"], row["tier"], row["mode"], row["holders"]]))
            .collect();
        json!({"lists": lists, "held": held, "leases": leases})
    }

    /// Waits until the state is `before` again: a request that is refused late has held its
    /// underlying for a moment.
    pub(crate) async fn unchanged(&self, before: &Value, what: &str) {
        let mut now = self.state().await;
        let mut tries = 0;
        while now != *before {
            assert!(
                tries < 250,
                "{what} was refused, but changed {before} to {now}"
            );
            tries += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            now = self.state().await;
        }
    }

    /// The server is well, and ends as it should; nothing in its log says otherwise.
    pub(crate) async fn end(self) {
        let (status, _) = self.gateway.get("/healthz").await;
        assert_eq!(status, StatusCode::OK);
        let (status, ready) = self.gateway.get("/readyz").await;
        assert_eq!(status, StatusCode::OK, "{ready}");
        let (status, log) = self.gateway.terminate().await;
        assert!(status.success(), "{status}: {log}");
        for word in ["panicked", "ERROR", "\"level\":\"error\"", "a-secret-token"] {
            assert!(!log.contains(word), "{word} in the log: {log}");
        }
    }
}

/// Holds an answer to what every answer of the application has to be.
pub(crate) fn judge(what: &str, answer: &Answer) {
    let status = answer.status;
    let retry = answer.header("retry-after").is_some();
    let text = answer.text();
    assert!(
        status < 500 || (status == 503 && retry),
        "{what}: {status}: {text}"
    );
    for trace in ["panicked", ".rs:", "RUST_BACKTRACE", "a-secret-token"] {
        assert!(!text.contains(trace), "{what}: {trace} in {text}");
    }
    if status < 400 || answer.body.is_empty() && what.starts_with("HEAD") {
        return;
    }
    let kind = answer.header("content-type");
    assert_eq!(
        kind,
        Some("application/problem+json"),
        "{what}: {status}: {text}"
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{what}: {text}");
    for field in ["type", "title", "detail", "code", "request_id"] {
        let given = problem[field].as_str().unwrap_or_default();
        assert!(!given.is_empty(), "{what}: no {field} in {text}");
    }
    assert_eq!(
        problem["request_id"].as_str(),
        answer.header("x-request-id"),
        "{what}: {text}"
    );
    match status {
        405 => assert!(
            answer.header("allow").is_some(),
            "{what}: 405 without Allow"
        ),
        429 => assert!(retry, "{what}: 429 without Retry-After"),
        _ => {}
    }
}

/// Users who go on with their work while others are hostile.
pub(crate) struct Others {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<usize>>,
}

impl Others {
    pub(crate) fn start(world: &World) -> Self {
        let addr = world.addr().parse().expect("an address");
        let stop = CancellationToken::new();
        let mut tasks = Vec::new();
        for (user, symbol) in (100..).zip(OTHERS) {
            let (rest, stop) = (Rest::at(addr), stop.clone());
            tasks.push(tokio::spawn(async move {
                let mut rounds = 0;
                while !stop.is_cancelled() {
                    tokio::time::timeout(SOON, round(&rest, user, symbol))
                        .await
                        .expect("the others are served");
                    rounds += 1;
                }
                rounds
            }));
        }
        let (rest, stopped) = (Rest::at(addr), stop.clone());
        tasks.push(tokio::spawn(async move { stream(&rest, &stopped).await }));
        Self { stop, tasks }
    }

    /// They have done all they wanted.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            let rounds = task.await.expect("the others did not fail");
            assert!(rounds > 0, "the others did something");
        }
    }
}

async fn round(rest: &Rest, user: u64, symbol: &str) {
    let chain = json!({"expiry": "24FEB2026", "width": 3});
    let added = rest.add(user, symbol, chain).await;
    assert_eq!(added["strikes_subscribed"], 6, "{added}");
    let list = rest.ok(&format!("/api/v2/watchlist/{user}")).await;
    assert_eq!(list["items"][0]["symbol"], symbol, "{list}");
    let read = format!("/api/v2/option-chain/{symbol}?expiry=24FEB2026&width=3");
    assert_eq!(rest.ok(&read).await["symbol"], symbol);
    rest.remove(user, symbol).await;
    // As fast as people and their pages are.
    tokio::time::sleep(Duration::from_millis(20)).await;
}

async fn stream(rest: &Rest, stop: &CancellationToken) -> usize {
    let mut socket = rest.stream().await;
    let mut rounds = 0;
    while !stop.is_cancelled() {
        socket.send(&json!({"action": "ping", "id": rounds})).await;
        let pong = socket
            .find(|message| message["type"] == "pong" && message["id"] == rounds)
            .await;
        assert!(pong.is_some(), "the others' stream is served");
        rounds += 1;
        // Well below what one client may send.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rounds
}
