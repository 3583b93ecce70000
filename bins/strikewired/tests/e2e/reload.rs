//! The configuration changes while the server runs.

use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Gateway, StandIn};

/// A gateway whose configuration can be written anew.
struct Reloaded {
    gateway: Gateway,
    file: PathBuf,
    original: String,
    _standin: StandIn,
}

impl Reloaded {
    async fn start() -> Self {
        let standin = StandIn::any();
        let gateway = Gateway::start_with(&standin, "workers = 2\n").await;
        let file = gateway.data.path().join("strikewire.toml");
        let original = std::fs::read_to_string(&file).expect("the configuration");
        Self {
            gateway,
            file,
            original,
            _standin: standin,
        }
    }

    /// Writes the configuration of the start, and this after it.
    fn write(&self, more: &str) {
        std::fs::write(&self.file, format!("{}\n{more}", self.original)).expect("written");
    }

    async fn ask(&self) -> (StatusCode, Value) {
        self.gateway
            .post("/api/v2/admin/reload-config", &json!({}))
            .await
    }

    async fn until_logged(&self, text: &str, times: usize) {
        self.gateway
            .until(text, async || {
                self.gateway.logged().matches(text).count() >= times
            })
            .await;
    }
}

/// Whether another client of the stream is taken.
async fn takes_a_client(gateway: &Gateway) -> bool {
    let url = format!("ws://{}/api/v2/stream", gateway.authority());
    tokio_tungstenite::connect_async(url).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_change_changes_and_the_rest_is_named() {
    let it = Reloaded::start().await;
    assert_eq!(
        it.ask().await,
        (StatusCode::OK, json!({"changed": [], "needs_restart": []}))
    );

    let _first = it.gateway.stream().await;
    it.write("[stream]\nmax_clients = 1\n[http]\nrequest_timeout_s = 9\n[chain]\nttl_s = 7\n");
    let expected = json!({
        "changed": ["http.request_timeout_s", "stream.max_clients"],
        "needs_restart": ["chain.ttl_s"],
    });
    assert_eq!(it.ask().await, (StatusCode::OK, expected));
    assert!(!takes_a_client(&it.gateway).await);

    // What needs a restart is said until there was one; what is taken is not said again.
    let (_, again) = it.ask().await;
    assert_eq!(
        again,
        json!({"changed": [], "needs_restart": ["chain.ttl_s"]})
    );

    it.write("");
    let (_, back) = it.ask().await;
    let changed = json!(["http.request_timeout_s", "stream.max_clients"]);
    assert_eq!(back, json!({"changed": changed, "needs_restart": []}));
    assert!(takes_a_client(&it.gateway).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_changes_nothing_and_is_told() {
    let it = Reloaded::start().await;
    let _first = it.gateway.stream().await;
    let lines = it.original.lines().count();
    for (more, line, expected) in [
        (
            "[stream]\nmax_clients = 1\nmax_cliens = 1\n",
            Some(4),
            "there is no setting stream.max_cliens, did you mean stream.max_clients?",
        ),
        (
            "[stream]\nmax_clients = 1\nping_s = 'hunter2'\n",
            Some(4),
            "stream.ping_s: invalid type: text, expected u64 (1 to 3600 seconds)",
        ),
        (
            "[stream]\nmax_clients = 1\nping_s = 0\n",
            None,
            "stream.ping_s = 0: expected 1 to 3600 seconds",
        ),
        (
            "[stream]\nmax_clients = 1\n[log.modules]\n'no module' = 'info'\n",
            None,
            "log.modules has \"no module\"",
        ),
        (
            "[stream]\nmax_clients = 1\n[tls]\nkey = 'k'\n",
            None,
            "tls.key without",
        ),
    ] {
        it.write(more);
        let (status, problem) = it.ask().await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["code"], "invalid_config");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.contains(expected), "{detail}");
        assert!(!detail.contains("hunter2"), "{detail}");
        if let Some(line) = line {
            let place = format!("strikewire.toml, line {}:", lines + line);
            assert!(detail.contains(&place), "{detail}");
        }
        assert!(takes_a_client(&it.gateway).await);
    }
    std::fs::remove_file(&it.file).expect("it goes");
    let (status, problem) = it.ask().await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    it.until_logged("The configuration stays as it is", 6).await;
    let metrics = it.gateway.ok("/metrics").await;
    let refused = "strikewire_config_reloads_total{result=\"refused\"} 6";
    assert!(metrics.as_str().expect("a text").contains(refused));
    assert!(!it.gateway.logged().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reloads_and_logs_change_on_the_way() {
    let it = Reloaded::start().await;
    assert!(!it.gateway.logged().contains("\"DEBUG\""));
    it.write(
        "[log]\nlevel = 'warn'\nmodules = { strikewire_gateway = 'debug', strikewired = 'info' }\n",
    );
    it.gateway.signal("HUP");
    it.until_logged("The configuration was read again", 1).await;
    // Each change of a subscription is told there, at debug.
    it.gateway.add(1, "NIFTY", json!({"width": 5})).await;
    it.until_logged("\"DEBUG\"", 5).await;
    let debug: Vec<_> = it
        .gateway
        .logged()
        .lines()
        .filter(|line| line.contains("\"DEBUG\""))
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .collect();
    assert!(debug.iter().all(|line| {
        line["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("strikewire_gateway"))
    }));

    // And from JSON to lines for people.
    it.write("[log]\nformat = 'human'\nmodules = { strikewire_gateway = 'debug' }\n");
    it.gateway.signal("HUP");
    it.until_logged("The configuration was read again", 2).await;
    it.gateway.add(1, "BANKNIFTY", json!({"width": 5})).await;
    it.until_logged(" DEBUG strikewire_gateway", 5).await;

    // Signals one after the other do no harm, and one with a mistake neither.
    it.write("workers = 'many'\n");
    for _ in 0..20 {
        it.gateway.signal("HUP");
    }
    it.until_logged("The configuration stays as it is", 1).await;
    it.gateway.ok("/readyz").await;
    let (status, _) = it.gateway.terminate().await;
    assert!(status.success(), "{status}");
}
