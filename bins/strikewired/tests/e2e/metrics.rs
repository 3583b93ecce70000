//! What a running server exposes is what is documented, and says what happened.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::StatusCode;
use serde_json::json;
use strikewire_api::{Bound, Kind, METRICS, Metric};

use crate::harness::{Gateway, Launch, StandIn};

/// One line of the text format: a name, its labels and a value.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// What Prometheus would read of `text`.
#[derive(Debug, Default)]
struct Exposed {
    kinds: BTreeMap<String, String>,
    explained: BTreeSet<String>,
    samples: Vec<Sample>,
}

impl Exposed {
    fn read(text: &str) -> Self {
        let mut exposed = Self::default();
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a kind");
                let before = exposed.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{name} is there twice");
            } else if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a text");
                assert!(!help.is_empty(), "{name}");
                exposed.explained.insert(name.to_owned());
            } else if !line.is_empty() {
                exposed.samples.push(sample(line));
            }
        }
        exposed
    }

    /// The sum of what has this name and these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples
            .iter()
            .filter(|sample| sample.name == name)
            .filter(|sample| {
                labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|is| is == value))
            })
            .map(|sample| sample.value)
            .sum()
    }

    fn has(&self, metric: &Metric) -> bool {
        self.kinds.contains_key(metric.name)
    }
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').expect("a value");
    let value = value.parse().expect("a number");
    let (name, inside) = head.split_once('{').unwrap_or((head, "}"));
    let mut labels = BTreeMap::new();
    let mut rest = inside.strip_suffix('}').expect("a brace");
    while let Some((label, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').expect("a quote");
        labels.insert(label.to_owned(), value.to_owned());
        rest = after.trim_start_matches(',');
    }
    Sample {
        name: name.to_owned(),
        labels,
        value,
    }
}

/// The metric that a sample is of: a histogram has three names.
fn metric_of<'a>(kinds: &BTreeMap<String, String>, name: &'a str) -> &'a str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|part| name.strip_suffix(part))
        .find(|base| kinds.get(*base).is_some_and(|kind| kind == "histogram"))
        .unwrap_or(name)
}

async fn read(gateway: &Gateway) -> Exposed {
    let text = gateway.ok("/metrics").await;
    Exposed::read(text.as_str().expect("a text"))
}

/// A token that says that it ends in the year 2100: `{"exp":4102444800}` in the middle.
const TOKEN: &str = "e30.eyJleHAiOjQxMDI0NDQ4MDB9.secret-signature";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exposed_is_what_is_documented() {
    let standin = StandIn::any();
    let gateway = Gateway::launch(
        &standin,
        Launch {
            env: &[("DHAN_ACCESS_TOKEN", TOKEN)],
            ..Launch::default()
        },
    )
    .await;
    // Before anything happened: what an alert looks at is there.
    let exposed = read(&gateway).await;
    for metric in METRICS.iter().filter(|metric| metric.from_start) {
        assert!(exposed.has(metric), "{} is not there", metric.name);
    }

    // Everything else comes with what it tells of.
    gateway.add(1, "NIFTY", json!({"width": 21})).await;
    gateway.until_on_wire(&standin, 43).await;
    let mut socket = gateway.stream().await;
    socket
        .send(
            &json!({"id": 1, "action": "subscribe", "channel": "chain", "symbol": "NIFTY",
                      "width": 21, "conflate_ms": 100}),
        )
        .await;
    socket.of_type("delta").await;
    let rsi = json!({"user_id": 1, "session_id": "a", "symbol": "NIFTY", "timeframe": "1min",
                     "indicators": [{"indicator_id": "RSI_14"}]});
    let (status, held) = gateway.post("/api/v2/indicators/subscribe", &rsi).await;
    assert_eq!(status, StatusCode::OK, "{held}");
    for _ in 0..3 {
        gateway.ok("/api/v2/subscriptions/status").await;
    }
    let (status, _) = gateway.get("/made/up?secret=hunter2").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    standin.handle.drop_all_connections();
    gateway
        .until("everything has been said once", async || {
            let exposed = read(&gateway).await;
            METRICS.iter().all(|metric| exposed.has(metric))
                && exposed.sum("strikewire_connection_ends_total", &[]) >= 5.0
                && exposed.sum("strikewire_connection_up", &[]) == 5.0
                && exposed.sum("strikewire_stream_clients", &[]) == 1.0
        })
        .await;

    let exposed = read(&gateway).await;
    let known: BTreeMap<&str, &Metric> =
        METRICS.iter().map(|metric| (metric.name, metric)).collect();
    for (name, kind) in &exposed.kinds {
        let metric = known.get(name.as_str());
        let metric = metric.unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(kind, metric.kind.as_str(), "{name}");
        assert!(exposed.explained.contains(name), "{name} has no help");
    }
    for sample in &exposed.samples {
        let metric = known[metric_of(&exposed.kinds, &sample.name)];
        let mut labels: BTreeSet<&str> = sample.labels.keys().map(String::as_str).collect();
        if matches!(metric.kind, Kind::Histogram(_)) && sample.name.ends_with("_bucket") {
            assert!(labels.remove("le"), "{sample:?}");
        }
        let expected: BTreeSet<&str> = metric.labels.iter().map(|label| label.name).collect();
        assert_eq!(labels, expected, "{sample:?}");
        for label in metric.labels {
            let value = sample.labels[label.name].as_str();
            if let Bound::These(values) = label.bound {
                assert!(values.contains(&value), "{sample:?}");
            }
        }
        assert!(
            !sample
                .labels
                .values()
                .any(|value| value.contains("hunter2")),
            "{sample:?}"
        );
        assert!(
            !sample.labels.values().any(|value| value.contains("made")),
            "{sample:?}"
        );
    }

    // And it is true.
    let route = |route| [("route", route), ("status", "200")];
    let requests = "strikewire_http_request_seconds_count";
    let status = route("/api/v2/subscriptions/status");
    // The harness asks for it too.
    assert!(exposed.sum(requests, &status) >= 3.0);
    assert_eq!(exposed.sum(requests, &route("/api/v2/watchlist/add")), 1.0);
    let nowhere = [("route", "none"), ("method", "GET"), ("status", "404")];
    assert_eq!(exposed.sum(requests, &nowhere), 1.0);
    let expiry = exposed.sum("strikewire_token_expiry_timestamp_seconds", &[]);
    assert!(expiry > 1_770_000_000.0, "{expiry}");
    assert_eq!(exposed.sum("strikewire_subscriptions", &[]), 43.0);
    assert_eq!(
        exposed.sum("strikewire_connection_state", &[("state", "live")]),
        5.0
    );
    assert_eq!(exposed.sum("strikewire_connection_state", &[]), 5.0);
    assert!(exposed.sum("strikewire_connection_attempts_total", &[]) >= 10.0);
    assert!(exposed.sum("strikewire_feed_packets_total", &[]) > 43.0);
    for stage in ["receive", "row"] {
        let stage = [("stage", stage)];
        assert!(exposed.sum("strikewire_stage_seconds_count", &stage) > 1.0);
        let highest = exposed.sum("strikewire_stage_seconds_sum", &stage);
        assert!(highest > 0.0, "{highest}");
    }
    let class = [("class", "100")];
    assert!(exposed.sum("strikewire_stream_flush_seconds_count", &class) >= 1.0);
    assert_eq!(exposed.sum("strikewire_ready", &[]), 1.0);
    // Monday, ten o'clock: everything but the evening is open.
    let open = exposed.sum("strikewire_market_open", &[("class", "nse_derivatives")]);
    assert_eq!(open, 1.0);
    assert_eq!(exposed.sum("strikewire_instruments_age_days", &[]), 0.0);
    assert!(exposed.sum("process_resident_memory_bytes", &[]) > 1e7);
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_those_of_the_table_and_add_up() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    gateway.add(1, "NIFTY", json!({"width": 5})).await;
    gateway
        .until("a commit was measured", async || {
            read(&gateway)
                .await
                .sum("strikewire_store_commit_seconds_count", &[])
                >= 1.0
        })
        .await;
    let exposed = read(&gateway).await;
    let mut seen = 0;
    for metric in METRICS {
        let Kind::Histogram(buckets) = metric.kind else {
            continue;
        };
        let name = format!("{}_bucket", metric.name);
        let mut series: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
        for sample in exposed.samples.iter().filter(|sample| sample.name == name) {
            let mut labels = sample.labels.clone();
            let le = labels.remove("le").expect("le").parse().expect("a number");
            series.entry(labels).or_default().push((le, sample.value));
        }
        for (labels, counts) in series {
            let (ends, counts): (Vec<f64>, Vec<f64>) = counts.into_iter().unzip();
            assert_eq!(ends[..ends.len() - 1], *buckets, "{name} {labels:?}");
            assert!(ends[ends.len() - 1].is_infinite(), "{name} {labels:?}");
            assert!(counts.is_sorted(), "{name} {labels:?} {counts:?}");
            let labels: Vec<_> = labels
                .iter()
                .map(|(label, value)| (label.as_str(), value.as_str()))
                .collect();
            let count = exposed.sum(&format!("{}_count", metric.name), &labels);
            assert_eq!(counts.last(), Some(&count), "{name} {labels:?}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}
