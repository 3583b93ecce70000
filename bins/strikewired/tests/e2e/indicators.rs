//! Indicators over REST: what holds them, what ends them, what is left behind, and whether
//! their values are right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use strikewire_dhan_sim::Config;
use strikewire_types::{InstrumentKey, Segment};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{CLOCK, Gateway, Launch, Rest, SOON, StandIn, master, quiet};
use crate::redis_server::RedisServer;

const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);

/// The body of subscribe and unsubscribe.
pub(crate) fn body(user: u64, session: &str, symbol: &str, timeframe: &str, ids: &[&str]) -> Value {
    let indicators: Vec<Value> = ids.iter().map(|id| json!({"indicator_id": id})).collect();
    json!({"user_id": user, "session_id": session, "symbol": symbol, "timeframe": timeframe,
           "indicators": indicators})
}

/// The body of a heartbeat.
pub(crate) fn beat(user: u64, session: &str, symbol: &str, timeframe: &str, ids: &[&str]) -> Value {
    let items: Vec<Value> = ids
        .iter()
        .map(|id| json!({"symbol": symbol, "timeframe": timeframe, "indicator_id": id}))
        .collect();
    json!({"user_id": user, "session_id": session, "subscriptions": items})
}

/// A message of the stream that subscribes.
pub(crate) fn subscription(session: &str, timeframe: &str, ids: &[&str]) -> Value {
    let items: Vec<Value> = ids
        .iter()
        .map(|id| json!({"symbol": "NIFTY", "timeframe": timeframe, "indicator": id}))
        .collect();
    json!({"action": "subscribe", "channel": "indicators", "session_id": session,
           "subscriptions": items})
}

pub(crate) async fn done(rest: &Rest, call: &str, body: &Value) -> Value {
    let (status, answer) = rest.post(&format!("/api/v2/{call}"), body).await;
    assert_eq!(status, StatusCode::OK, "{call} {body}: {answer}");
    answer
}

pub(crate) async fn active(rest: &Rest) -> BTreeMap<String, Value> {
    let answer = rest.ok("/api/v2/indicators/active").await;
    serde_json::from_value(answer).expect("records by key")
}

/// The value of a metric without labels; 0 where it was never touched.
pub(crate) async fn metric(rest: &Rest, name: &str) -> f64 {
    let text = rest.ok("/metrics").await;
    let mut lines = text.as_str().expect("a text").lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_brings_its_instrument_onto_the_wire_and_the_last_takes_it_off() {
    let standin = StandIn::any();
    let gateway = Gateway::start(&standin).await;
    let ids = ["RSI_14", "macd"];
    let first = done(
        &gateway,
        "indicators/subscribe",
        &body(1, "a", "nifty 50", "5m", &ids),
    )
    .await;
    let results = json!([
        {"indicator_id": "RSI_14", "key": "indicator_sub:NIFTY:5min:RSI_14", "is_new": true, "ref_count": 1},
        {"indicator_id": "MACD_12_26_9", "key": "indicator_sub:NIFTY:5min:MACD_12_26_9", "is_new": true, "ref_count": 1},
    ]);
    assert_eq!(
        (&first["symbol"], &first["results"]),
        (&json!("NIFTY"), &results)
    );
    gateway.until_on_wire(&standin, 1).await;
    assert!(standin.on_wire().contains_key(&NIFTY));

    // The same again, another session of the same user, another user: subscribers.
    for (user, session, count) in [(1, "a", 1), (1, "b", 2), (2, "a", 3)] {
        let more = body(user, session, "NIFTY", "5min", &["RSI_14"]);
        let again = done(&gateway, "indicators/subscribe", &more).await;
        assert_eq!(again["results"][0]["is_new"], false);
        assert_eq!(again["results"][0]["ref_count"], count);
    }
    // Options by token are one more instrument each, however many indicators.
    let option = first_option();
    let of_option = body(1, "a", &option, "1min", &["RSI_14", "OBV", "SMA_5"]);
    done(&gateway, "indicators/subscribe", &of_option).await;
    gateway.until_on_wire(&standin, 2).await;

    let held = active(&gateway).await;
    assert_eq!(held.len(), 5);
    let rsi = &held["indicator_sub:NIFTY:5min:RSI_14"];
    assert_eq!(rsi["ref_count"], 3);
    let subscribers: BTreeSet<&String> = rsi["subscribers"]
        .as_object()
        .expect("them")
        .keys()
        .collect();
    assert_eq!(
        subscribers.into_iter().collect::<Vec<_>>(),
        ["1_session_a", "1_session_b", "2_session_a"]
    );
    let totals = gateway.ok("/api/v2/indicators/metrics").await;
    assert_eq!(totals["total_subscriptions"], 5, "{totals}");
    assert_eq!(totals["total_subscribers"], 3, "{totals}");
    let only = gateway
        .ok("/api/v2/indicators/active?symbol=NIFTY&timeframe=5min")
        .await;
    assert_eq!(only.as_object().map(serde_json::Map::len), Some(2));

    // A session that ends ends for its user alone.
    let out = done(&gateway, "auth/logout", &json!({"session_id": "b"})).await;
    assert_eq!(out["released"], 1);
    let gone = done(&gateway, "indicators/unsubscribe", &of_option).await;
    for result in gone["results"].as_array().expect("results") {
        assert_eq!(
            (&result["stopped"], &result["ref_count"]),
            (&json!(true), &json!(0))
        );
    }
    gateway.until_on_wire(&standin, 1).await;
    let gone = done(
        &gateway,
        "indicators/unsubscribe",
        &body(1, "a", "NIFTY", "5min", &ids),
    )
    .await;
    assert_eq!(gone["results"][0]["stopped"], false);
    assert_eq!(gone["results"][1]["stopped"], true);
    let alive = done(
        &gateway,
        "indicators/heartbeat",
        &beat(
            2,
            "a",
            "NIFTY",
            "5min",
            &["RSI_14", "MACD_12_26_9", "NO_SUCH"],
        ),
    )
    .await;
    let alive: Vec<&Value> = alive["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|it| &it["alive"])
        .collect();
    assert_eq!(alive, [&json!(true), &json!(false), &json!(false)]);
    let last = done(
        &gateway,
        "indicators/unsubscribe",
        &body(2, "a", "NIFTY", "5min", &["RSI_14"]),
    )
    .await;
    assert_eq!(last["results"][0]["stopped"], true);
    gateway.until_on_wire(&standin, 0).await;
    assert!(active(&gateway).await.is_empty());
}

/// The token of an option that is listed, from the text of the master.
fn first_option() -> String {
    let registry = &master().registry;
    let option = registry
        .instruments()
        .find(|it| it.kind().is_option() && it.symbol() == "NIFTY");
    option.expect("there are options").token()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_that_come_and_vanish_leave_nothing() {
    let Some(redis) = RedisServer::start("a_thousand_that_come_and_vanish_leave_nothing").await
    else {
        return;
    };
    // Thirty seconds pass in one.
    let standin = StandIn::start_at(
        &format!("{CLOCK}@30"),
        master(),
        ([127, 0, 0, 1], 0).into(),
        quiet(),
    );
    let clock = format!("{}@30", standin.clock.now().utc);
    let url = redis.url();
    let gateway = Gateway::launch(
        &standin,
        Launch {
            toml: "mock = true\n[indicators]\nttl_s = 60\nsweep_s = 15\n",
            clock: Some(&clock),
            args: &["--redis", &url],
            ..Launch::default()
        },
    )
    .await;
    let symbols = symbols(40);
    let mut memory = Vec::new();
    for cycle in 0..1_000_usize {
        let symbol = &symbols[cycle % symbols.len()];
        let session = format!("s{cycle}");
        let id = format!("SMA_{}", 2 + cycle % 90);
        let ids = [id.as_str(), "RSI_14"];
        let subscribe = body(cycle as u64 % 50, &session, symbol, "1min", &ids);
        match cycle % 5 {
            // A socket that is torn off.
            0 => {
                let mut socket = gateway.stream().await;
                socket.send(&subscription(&session, "1min", &ids)).await;
                if cycle % 2 == 0 {
                    socket.of_type("ack").await;
                }
            }
            // Asked for, and let go of.
            1 => {
                done(&gateway, "indicators/subscribe", &subscribe).await;
                done(&gateway, "indicators/unsubscribe", &subscribe).await;
            }
            // A session that ends.
            2 => {
                done(&gateway, "indicators/subscribe", &subscribe).await;
                let out = done(&gateway, "auth/logout", &json!({"session_id": session})).await;
                assert_eq!(out["released"], 2, "{out}");
            }
            // Asked for, and never heard of again.
            3 => {
                done(&gateway, "indicators/subscribe", &subscribe).await;
            }
            // Gone before there is an answer.
            _ => ask_and_go(&gateway, &subscribe).await,
        }
        if cycle == 300 || cycle == 999 {
            // By then everything has been in use.
            until_nothing_is_left(&gateway, &standin, &redis).await;
            memory.push(resident(gateway.process()));
            eprintln!(
                "after {} of them: {} kB",
                cycle + 1,
                memory[memory.len() - 1]
            );
        }
    }
    assert!(metric(&gateway, "indicator_cleanup_runs_total").await > 0.0);
    let (warm, end) = (memory[0], memory[1]);
    assert!(
        end < warm + 32 * 1024,
        "{warm} kB, and {end} kB after 700 more"
    );
    let (status, log) = gateway.terminate().await;
    assert!(status.success(), "{log}");
}

/// Shares, from the master's text.
fn symbols(count: usize) -> Vec<String> {
    let shares = master()
        .registry
        .instruments()
        .filter(|it| it.key().segment == Segment::NseEq && it.series() == "EQ");
    shares.take(count).map(|it| it.token()).collect()
}

/// Sends a request and hangs up.
async fn ask_and_go(gateway: &Gateway, body: &Value) {
    let mut socket = TcpStream::connect(gateway.authority())
        .await
        .expect("it listens");
    let body = body.to_string();
    let request = format!(
        "POST /api/v2/indicators/subscribe HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        gateway.authority(),
        body.len()
    );
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it listens");
}

/// No lease, no claim, nothing on the wire, no key in Redis, and nothing that the server
/// itself counts.
async fn until_nothing_is_left(gateway: &Gateway, standin: &StandIn, redis: &RedisServer) {
    gateway
        .until_within(Duration::from_secs(60), "nothing is left", async || {
            active(gateway).await.is_empty()
                && standin.on_wire().is_empty()
                && redis.size().await == 0
                && metric(gateway, "strikewire_indicator_keys").await == 0.0
                && metric(gateway, "strikewire_indicator_subscribers").await == 0.0
        })
        .await;
    let status = gateway.status().await;
    assert_eq!(status["total_subscriptions"], 0, "{status}");
}

/// The memory of a process, in kB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// RSI, MACD and Bollinger Bands, as textbooks (and TA-Lib) define them, over all closes at
/// once.
mod textbook {
    /// Wilder's: the first average is that of the first changes, the next ones are smoothed.
    pub(super) fn rsi(closes: &[f64], period: usize) -> f64 {
        let changes: Vec<f64> = closes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (first, rest) = changes.split_at(period);
        let count = period as f64;
        let mut up = first.iter().filter(|it| **it > 0.0).sum::<f64>() / count;
        let mut down = -first.iter().filter(|it| **it < 0.0).sum::<f64>() / count;
        for change in rest {
            up = (up * (count - 1.0) + change.max(0.0)) / count;
            down = (down * (count - 1.0) + (-change).max(0.0)) / count;
        }
        100.0 * up / (up + down)
    }

    /// Seeded by a plain average.
    fn ema(values: &[f64], period: usize) -> Vec<f64> {
        let (first, rest) = values.split_at(period);
        let weight = 2.0 / (period as f64 + 1.0);
        let mut last = first.iter().sum::<f64>() / period as f64;
        let mut all = vec![last];
        for value in rest {
            last += weight * (value - last);
            all.push(last);
        }
        all
    }

    /// Line, signal, histogram. Where the fast average is seeded no longer matters after so
    /// many bars.
    pub(super) fn macd(closes: &[f64]) -> [f64; 3] {
        let (fast, slow) = (ema(closes, 12), ema(closes, 26));
        let line: Vec<f64> = slow
            .iter()
            .zip(&fast[fast.len() - slow.len()..])
            .map(|(slow, fast)| fast - slow)
            .collect();
        let signal = ema(&line, 9);
        let (line, signal) = (line[line.len() - 1], signal[signal.len() - 1]);
        [line, signal, line - signal]
    }

    /// Upper, middle, lower.
    pub(super) fn bands(closes: &[f64]) -> [f64; 3] {
        let last = &closes[closes.len() - 20..];
        let mean = last.iter().sum::<f64>() / 20.0;
        let variance = last.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 20.0;
        let width = 2.0 * variance.sqrt();
        [mean + width, mean, mean - width]
    }
}

/// Closes of bars of so many minutes by their start in Unix seconds, from the stand-in's own
/// record: those of the last days, in trading hours.
async fn recorded(standin: &StandIn, minutes: i64) -> BTreeMap<i64, f64> {
    let body = json!({"securityId": "13", "exchangeSegment": "IDX_I", "instrument": "INDEX",
                      "interval": "1", "oi": false,
                      "fromDate": "2026-02-02 09:15:00", "toDate": "2026-02-09 15:30:00"});
    let client = crate::harness::http();
    let mut answer = Value::Null;
    // The server asks too, and both are the same account: a question may be one too many.
    for _ in 0..50 {
        let asked = client
            .post(format!("http://{}/v2/charts/intraday", standin.addr))
            .header("access-token", "a-secret-token")
            .header("client-id", "1000000001")
            .json(&body);
        let text = asked.send().await.expect("it answers").text().await;
        answer = serde_json::from_str(&text.expect("a body")).expect("JSON");
        if answer.get("errorCode").is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let list = |name: &str| -> Vec<f64> {
        let list = answer.get(name).or_else(|| answer["data"].get(name));
        let list = list.unwrap_or_else(|| panic!("no {name} in {answer}"));
        serde_json::from_value(list.clone()).expect("numbers")
    };
    let mut bars = BTreeMap::new();
    for (at, close) in list("timestamp").into_iter().zip(list("close")) {
        // Seconds since Monday, 2 February, 09:15 in India.
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
        let since = at as i64 - MONDAY_OPEN;
        let (day, second) = (since.div_euclid(86_400), since.rem_euclid(86_400));
        let is_weekend = matches!(day, 5 | 6);
        if day >= 0 && !is_weekend && second < 375 * 60 {
            let start = second / (60 * minutes) * 60 * minutes;
            bars.insert(MONDAY_OPEN + day * 86_400 + start, close);
        }
    }
    bars
}

/// Monday, 2 February 2026, 09:15 in India.
const MONDAY_OPEN: i64 = 1_770_003_900;

#[tokio::test(flavor = "multi_thread")]
async fn values_are_those_of_the_textbook_over_the_recorded_candles() {
    // There is most of a minute until a bar ends that is not made of candles alone. Those are
    // left out: the stand-in does not send every trade that it has recorded.
    let start = "2026-02-09T10:03:02+05:30";
    let standin = StandIn::start_at(
        start,
        master(),
        ([127, 0, 0, 1], 0).into(),
        Config::default(),
    );
    let gateway = Gateway::start(&standin).await;
    let ids = ["RSI_14", "MACD_12_26_9", "BB_20_2"];
    for timeframe in ["1min", "5min"] {
        done(
            &gateway,
            "indicators/subscribe",
            &body(1, "a", "NIFTY", timeframe, &ids),
        )
        .await;
    }
    let mut checked = BTreeSet::new();
    for (timeframe, minutes, last) in [("1min", 1, "10:02"), ("5min", 5, "09:55")] {
        let bars = recorded(&standin, minutes).await;
        let closes: Vec<f64> = bars.range(..=at(last)).map(|(_, close)| *close).collect();
        assert!(closes.len() > 300, "{}", closes.len());
        for id in ids {
            let path = format!("/api/v2/indicators/NIFTY/{timeframe}/{id}");
            let mut value = Value::Null;
            gateway
                .until_within(SOON * 2, &path, async || {
                    let (status, answer) = gateway.get(&path).await;
                    value = answer;
                    status == StatusCode::OK && value["final"] == true && value["warm"] == true
                })
                .await;
            assert_eq!(value["mock"], false, "{value}");
            assert_eq!(bar_time(&value), at(last), "{value}");
            let (expected, found) = match id {
                "RSI_14" => (
                    vec![textbook::rsi(&closes, 14)],
                    vec![value["value"].clone()],
                ),
                "MACD_12_26_9" => (
                    textbook::macd(&closes).to_vec(),
                    named(&value, ["macd", "signal", "histogram"]),
                ),
                _ => (
                    textbook::bands(&closes).to_vec(),
                    named(&value, ["upper", "middle", "lower"]),
                ),
            };
            for (expected, found) in expected.into_iter().zip(found) {
                let found = found.as_f64().expect("a number");
                let off = (expected - found).abs();
                assert!(
                    off < 1e-6,
                    "{id} {timeframe} at {}: {found}, not {expected}",
                    value["bar_time"]
                );
            }
            checked.insert((timeframe, id));
        }
    }
    assert_eq!(checked.len(), 6);
}

fn named(value: &Value, names: [&str; 3]) -> Vec<Value> {
    names
        .iter()
        .map(|name| value["outputs"][name].clone())
        .collect()
}

/// The time of a value's bar in Unix seconds.
fn bar_time(value: &Value) -> i64 {
    let text = value["bar_time"].as_str().expect("a time");
    let time: jiff::Timestamp = text.parse().expect("a time");
    time.as_second()
}

/// A time of day on the Monday of the clock.
fn at(time: &str) -> i64 {
    let time: jiff::Timestamp = format!("2026-02-09T{time}:00+05:30")
        .parse()
        .expect("a time");
    time.as_second()
}
