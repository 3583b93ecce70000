mod charts;
mod hostile;
mod shape;
mod socket;

use core::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use strikewire_types::{ClockSpec, Exchange, InstrumentKey, Mono, Now, Price, Segment};

use self::charts::minutes_of;
use super::*;
use crate::core::Core;
use crate::faults::Fault;
use crate::fixture::{NIFTY, at, key, option, registry};
use crate::market::{Market, MarketConfig};
use crate::{Config, Credentials};

/// A stand-in's REST side without sockets, ten minutes after its market opened.
pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) state: State,
    pub(super) at: Duration,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::of(registry())
    }

    pub(super) fn of(registry: std::sync::Arc<strikewire_registry::Registry>) -> Self {
        let config = Config {
            credentials: Some(Credentials {
                client_id: "1000000001".to_owned(),
                token: "secret".to_owned(),
            }),
            ..Config::default()
        };
        let mut bench = Self {
            core: Core::new(registry, config, at(0.0)),
            state: State::default(),
            at: Duration::ZERO,
        };
        bench.state.limits.config = RestLimits {
            quote_every: Duration::ZERO,
            chain_every: Duration::ZERO,
            data_per_second: 0,
            ..RestLimits::default()
        };
        bench
    }

    pub(super) fn ask(&mut self, request: &Request<'_>) -> Answer {
        self.state
            .answer(&mut self.core, at(600.0), self.at, request)
    }

    pub(super) fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let answer = self.ask(&post(path, body.as_bytes()));
        let value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, value)
    }

    /// The body of an answer that must be one.
    pub(super) fn ok(&mut self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }
}

pub(super) fn post<'r>(path: &'r str, body: &'r [u8]) -> Request<'r> {
    Request {
        method: "POST",
        path,
        access_token: Some("secret"),
        client_id: Some("1000000001"),
        body,
    }
}

/// What another market, which nobody has looked at, says at the time of the bench.
fn market() -> Market {
    let mut market = Market::new(registry(), MarketConfig::default(), at(0.0).utc);
    market.advance(at(600.0));
    market
}

fn rupees(value: &Value) -> Price {
    Price::from_f64(
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{value} is no number")),
    )
    .unwrap()
}

fn code(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    match &body["errorCode"] {
        Value::String(code) => code.clone(),
        _ => {
            let data = body["data"].as_object().unwrap();
            data.keys().next().unwrap().clone()
        }
    }
}

#[test]
fn quotes_are_those_of_the_market() {
    let mut bench = Bench::new();
    let (index, call) = (key(NIFTY), option(NIFTY, 0, true));
    let share = key("RELIANCE");
    let body = json!({
        "IDX_I": [index.id.0],
        "NSE_FNO": [call.id.0, call.id.0, 4_000_000_000_u32],
        "NSE_EQ": [share.id.0],
        "BSE_EQ": [1],
        "NSE_XYZ": [1],
    });
    let answer = bench.ok("/v2/marketfeed/quote", &body);
    assert_eq!(answer["status"], "success");
    let data = &answer["data"];
    assert_eq!(data["BSE_EQ"], json!({}), "unknown ids are left out");
    assert_eq!(data.get("NSE_XYZ"), None, "so are unknown segments");
    assert_eq!(data["NSE_FNO"].as_object().unwrap().len(), 1);
    let mut market = market();
    for key in [index, call, share] {
        let seen = &data[key.segment.as_str()][key.id.0.to_string()];
        let quote = market.quote(key).unwrap();
        for (field, price) in [
            (&seen["last_price"], quote.ltp),
            (&seen["average_price"], quote.atp),
            (&seen["ohlc"]["open"], quote.open),
            (&seen["ohlc"]["high"], quote.high),
            (&seen["ohlc"]["low"], quote.low),
            (&seen["ohlc"]["close"], quote.prev_close),
            (&seen["depth"]["buy"][0]["price"], quote.depth[0].bid),
            (&seen["depth"]["sell"][4]["price"], quote.depth[4].ask),
        ] {
            assert_eq!(rupees(field), price, "{seen}");
        }
        assert_eq!(
            rupees(&seen["net_change"]).raw(),
            quote.ltp.raw() - quote.prev_close.raw()
        );
        assert_eq!(seen["volume"], quote.volume);
        assert_eq!(seen["buy_quantity"], quote.total_buy_qty);
        assert_eq!(seen["sell_quantity"], quote.total_sell_qty);
        assert_eq!(seen["last_quantity"], quote.ltq);
        let interest = quote.interest.map_or(0, |interest| interest.now);
        assert_eq!(seen["oi"], interest);
        assert_eq!(seen["depth"]["buy"][2]["quantity"], quote.depth[2].bid_qty);
        assert_eq!(
            seen["depth"]["sell"][2]["orders"],
            quote.depth[2].ask_orders
        );
        if key.segment != Segment::IdxI {
            assert!(rupees(&seen["lower_circuit_limit"]) <= quote.low);
            assert!(rupees(&seen["upper_circuit_limit"]) >= quote.high);
        }
    }
    // Ten past ten in India.
    let time = &data["NSE_EQ"][share.id.0.to_string()]["last_trade_time"];
    assert_eq!(time, "09/02/2026 10:10:00");

    let seen =
        bench.ok("/v2/marketfeed/ltp", &body)["data"]["NSE_EQ"][share.id.0.to_string()].clone();
    assert_eq!(seen.as_object().unwrap().len(), 1);
    assert_eq!(
        rupees(&seen["last_price"]),
        market.quote(share).unwrap().ltp
    );
    let seen =
        bench.ok("/v2/marketfeed/ohlc", &body)["data"]["NSE_EQ"][share.id.0.to_string()].clone();
    assert_eq!(seen.as_object().unwrap().len(), 2);
    assert_eq!(
        rupees(&seen["ohlc"]["low"]),
        market.quote(share).unwrap().low
    );

    assert_eq!(
        bench.ok("/v2/marketfeed/ltp", &json!({"nse": [1]}))["data"],
        json!({})
    );
    assert_eq!(bench.state.counters.most_instruments, 7);
}

#[test]
fn a_thousand_instruments_are_the_most() {
    let mut bench = Bench::new();
    let ids = |count: u32| json!({ "NSE_EQ": (1..count).collect::<Vec<_>>(), "IDX_I": [13] });
    bench.ok("/v2/marketfeed/ltp", &ids(1_000));
    let (status, answer) = bench.post("/v2/marketfeed/ltp", &ids(1_001));
    assert_eq!((status, &answer["errorCode"]), (400, &json!("DH-905")));
    assert_eq!(bench.state.counters.most_instruments, 1_001);
    for bad in [
        json!([]),
        json!({ "NSE_EQ": 11_536 }),
        json!({ "NSE_EQ": ["11536"] }),
        json!({ "NSE_EQ": [-1] }),
        json!({ "NSE_EQ": [5_000_000_000_u64] }),
        json!({ "NSE_EQ": [1.5] }),
    ] {
        assert_eq!(bench.post("/v2/marketfeed/ltp", &bad).0, 400, "{bad}");
    }
}

#[test]
fn what_never_traded_says_so() {
    let mut bench = Bench::new();
    let (call, put) = (option(NIFTY, 0, true), option(NIFTY, 0, false));
    bench.state.untraded.set([call, put]);
    let body = json!({ "NSE_FNO": [call.id.0, put.id.0] });
    let data = bench.ok("/v2/marketfeed/quote", &body)["data"]["NSE_FNO"].clone();
    for key in [call, put] {
        let seen = &data[key.id.0.to_string()];
        let time = if key.id.0 % 2 == 0 {
            "01/01/1980 00:00:00"
        } else {
            ""
        };
        assert_eq!(seen["last_trade_time"], time);
        assert_eq!((&seen["last_price"], &seen["oi"]), (&json!(0), &json!(0)));
        assert!(rupees(&seen["upper_circuit_limit"]) > Price::ZERO);
    }
    let chain = bench.ok("/v2/optionchain", &nifty_chain());
    let strike = registry().by_key(call).unwrap().strike().unwrap();
    let leg = &chain["data"]["oc"][format!("{:.6}", strike.as_f64())]["ce"];
    assert_eq!(
        (&leg["last_price"], &leg["security_id"]),
        (&json!(0), &json!(call.id.0))
    );
}

fn nifty_chain() -> Value {
    let expiry = registry().option_expiries(Exchange::Nse, NIFTY)[0];
    json!({ "UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I", "Expiry": expiry.date().to_string() })
}

#[test]
fn chains_are_whole_and_those_of_the_market() {
    let mut bench = Bench::new();
    let registry = registry();
    let mut market = market();
    let (mut legs, mut alone, mut leaks) = (0, 0, 0);
    for ladder in registry.ladders() {
        let Some(source) = ladder.price_source() else {
            continue;
        };
        // Those of BSE's shares are asked for by BSE's share.
        let asked = if source.exchange() == ladder.exchange() {
            Some(source)
        } else {
            registry
                .segment(Segment::BseEq)
                .find(|share| share.symbol() == ladder.symbol())
        };
        let Some(asked) = asked.map(|asked| asked.key()) else {
            continue;
        };
        let answer = bench.ok(
            "/v2/optionchain",
            &json!({
                "UnderlyingScrip": asked.id.0,
                "UnderlyingSeg": asked.segment.as_str(),
                "Expiry": ladder.expiry().date().to_string(),
            }),
        );
        let data = &answer["data"];
        let last = data["last_price"].as_f64().unwrap();
        let ltp = market.quote(source.key()).unwrap().ltp.as_f64();
        assert_eq!(last as f32, ltp as f32);
        leaks += usize::from(last != ltp);
        let strikes = data["oc"].as_object().unwrap();
        assert_eq!(strikes.len(), ladder.rungs().len());
        for rung in ladder.rungs() {
            let sides = &strikes[&format!("{:.6}", rung.strike.as_f64())];
            for (name, leg) in [("ce", rung.call()), ("pe", rung.put())] {
                let Some(leg) = leg else {
                    assert_eq!(sides.get(name), None);
                    alone += 1;
                    continue;
                };
                let key = registry.instrument(leg).key();
                let (seen, quote) = (&sides[name], market.quote(key).unwrap());
                assert_eq!(seen["security_id"], key.id.0);
                for (field, price) in [
                    ("last_price", quote.ltp),
                    ("average_price", quote.atp),
                    ("previous_close_price", quote.prev_close),
                    ("top_bid_price", quote.depth[0].bid),
                    ("top_ask_price", quote.depth[0].ask),
                ] {
                    assert_eq!(rupees(&seen[field]), price, "{field} of {key}");
                }
                let interest = quote.interest.unwrap();
                for (field, quantity) in [
                    ("oi", interest.now),
                    ("previous_oi", interest.prev),
                    ("volume", quote.volume),
                    ("top_bid_quantity", quote.depth[0].bid_qty),
                    ("top_ask_quantity", quote.depth[0].ask_qty),
                ] {
                    assert_eq!(seen[field], quantity, "{field} of {key}");
                }
                legs += 1;
            }
        }
    }
    assert!(legs > 2_000, "{legs}");
    assert!(alone < legs && leaks > 10, "{alone} {leaks}");
}

#[test]
fn yesterdays_volume_is_that_of_yesterdays_candle() {
    let mut bench = Bench::new();
    let call = option(NIFTY, 0, true);
    let chain = bench.ok("/v2/optionchain", &nifty_chain());
    let strike = registry().by_key(call).unwrap().strike().unwrap();
    let leg = &chain["data"]["oc"][format!("{:.6}", strike.as_f64())]["ce"];
    let (from, to) = ("2026-02-08".parse().unwrap(), "2026-02-09".parse().unwrap());
    let day = market().days(call, from, to).unwrap()[0];
    assert_eq!(leg["previous_volume"], day.volume);
    assert_eq!(leg["previous_oi"], day.interest.unwrap());
    assert_eq!(rupees(&leg["previous_close_price"]), day.close);
    for greek in ["delta", "gamma", "theta", "vega"] {
        assert!(leg["greeks"][greek].is_number());
    }
}

#[test]
fn expiries_are_listed_from_the_soonest() {
    let mut bench = Bench::new();
    let ask = json!({ "UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I" });
    let answer = bench.ok("/v2/optionchain/expirylist", &ask);
    let expected: Vec<String> = registry()
        .option_expiries(Exchange::Nse, NIFTY)
        .iter()
        .map(|expiry| expiry.date().to_string())
        .collect();
    assert_eq!(answer, json!({ "data": expected, "status": "success" }));

    let unknown = json!({ "UnderlyingScrip": 99_999, "UnderlyingSeg": "IDX_I" });
    let vix = json!({ "UnderlyingScrip": key("INDIA VIX").id.0, "UnderlyingSeg": "IDX_I" });
    for (path, body, code) in [
        ("/v2/optionchain/expirylist", &unknown, "813"),
        ("/v2/optionchain/expirylist", &vix, "813"),
        ("/v2/optionchain/expirylist", &json!({}), "814"),
        ("/v2/optionchain", &ask, "811"),
        (
            "/v2/optionchain",
            &json!({ "UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I", "Expiry": "2026-02-11" }),
            "811",
        ),
        (
            "/v2/optionchain",
            &json!({ "UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I", "Expiry": "tomorrow" }),
            "811",
        ),
        (
            "/v2/optionchain",
            &json!({ "UnderlyingScrip": 13, "UnderlyingSeg": "NIFTY", "Expiry": "2026-02-10" }),
            "814",
        ),
    ] {
        let (status, answer) = bench.post(path, body);
        assert_eq!(status, 400, "{path} {body}");
        assert!(answer["data"][code].is_string(), "{path} {body}: {answer}");
    }
}

#[test]
fn the_master_needs_no_credentials() {
    let mut bench = Bench::new();
    let get = |path| Request {
        method: "GET",
        path,
        access_token: None,
        client_id: None,
        body: b"",
    };
    let answer = bench.ask(&get("/api-scrip-master.csv"));
    assert_eq!((answer.status, answer.content_type), (200, "text/csv"));
    assert_eq!(
        answer.last_modified.as_deref(),
        Some("Mon, 09 Feb 2026 02:30:00 GMT")
    );
    let text = core::str::from_utf8(&answer.body).unwrap();
    assert_eq!(text.lines().count(), 1 + registry().len());
    assert_eq!(
        bench.ask(&get("/api-data/api-scrip-master.csv")).body,
        answer.body
    );
    // Another registry, another file; and one that was given.
    let after = crate::fixture::load(&crate::fixture::master("2026-02-20"), "2026-02-20");
    bench.core.set_registry(at(600.0), after);
    let other = bench.ask(&get("/api-scrip-master.csv"));
    assert_ne!(other.body, answer.body);
    bench
        .state
        .master
        .set(Some(Bytes::from_static(b"as it is")));
    assert_eq!(
        &bench.ask(&get("/api-scrip-master.csv")).body[..],
        b"as it is"
    );
    assert_eq!(
        bench.ask(&get("/api-scrip-master-detailed.csv")).status,
        404
    );
}

#[test]
fn credentials_are_looked_at_first() {
    let mut bench = Bench::new();
    let body = br#"{"IDX_I":[13]}"#;
    let good = post("/v2/marketfeed/ltp", body);
    for (request, status, expected) in [
        (
            Request {
                access_token: None,
                ..good
            },
            401,
            "DH-901",
        ),
        (
            Request {
                access_token: Some(""),
                ..good
            },
            401,
            "DH-901",
        ),
        (
            Request {
                client_id: None,
                ..good
            },
            401,
            "DH-901",
        ),
        (
            Request {
                access_token: Some("other"),
                ..good
            },
            400,
            "DH-906",
        ),
        (
            Request {
                client_id: Some("2"),
                ..good
            },
            400,
            "810",
        ),
        (
            Request {
                method: "GET",
                ..good
            },
            405,
            "DH-905",
        ),
        (
            Request {
                path: "/v2/orders",
                ..good
            },
            404,
            "DH-905",
        ),
    ] {
        let answer = bench.ask(&request);
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (status, expected),
            "{request:?}"
        );
    }
    assert_eq!(bench.ask(&good).status, 200);
    // Charts are asked for with the token alone.
    let ask = minutes_of(key("RELIANCE"), "EQUITY", "1", "2026-02-06", "2026-02-06").to_string();
    let charts = Request {
        client_id: None,
        ..post("/v2/charts/intraday", ask.as_bytes())
    };
    assert_eq!(bench.ask(&charts).status, 200);
    assert_eq!(bench.state.counters.calls["/v2/marketfeed/ltp"], 7);
    assert_eq!(bench.state.counters.calls["other"], 1);
    assert_eq!(bench.state.counters.failed, 7);
}

#[test]
fn limits_are_those_of_the_families() {
    let mut bench = Bench::new();
    bench.state.limits.config = RestLimits::default();
    let quote = post("/v2/marketfeed/quote", br#"{"IDX_I":[13]}"#);
    let ltp = Request {
        path: "/v2/marketfeed/ltp",
        ..quote
    };
    assert_eq!(bench.ask(&quote).status, 200);
    let refused = bench.ask(&ltp);
    assert_eq!((refused.status, code(&refused)), (429, "DH-904".to_owned()));
    let chain = nifty_chain().to_string();
    let chain = post("/v2/optionchain", chain.as_bytes());
    assert_eq!(bench.ask(&chain).status, 200);
    assert_eq!(bench.ask(&chain).status, 429);
    bench.at += Duration::from_secs(1);
    assert_eq!(bench.ask(&ltp).status, 200);
    assert_eq!(bench.ask(&chain).status, 429);
    bench.at += Duration::from_secs(2);
    assert_eq!(bench.ask(&chain).status, 200);
    for _ in 0..9 {
        bench.ask(&chain);
    }
    let blocked = bench.ask(&quote);
    assert_eq!((blocked.status, code(&blocked)), (429, "805".to_owned()));
    assert!(bench.state.counters.limited >= 11);
    bench.at += Duration::from_secs(11);
    assert_eq!(bench.ask(&quote).status, 200);
}

#[test]
fn faults_happen_to_the_paths_they_name() {
    let mut bench = Bench::new();
    let faults = &mut bench.state.faults;
    faults.add(RestFault::answer(
        "/v2/marketfeed",
        200,
        bodies::NOT_SUBSCRIBED,
        2,
    ));
    faults.add(RestFault::answer("/", 502, bodies::BAD_GATEWAY, 1));
    faults.add(RestFault::answer(
        "/v2/marketfeed",
        500,
        bodies::SERVER_ERROR,
        0,
    ));
    faults.add(RestFault::slow(
        "/v2/marketfeed",
        Duration::from_secs(20),
        1,
    ));
    let quote = post("/v2/marketfeed/quote", br#"{"IDX_I":[13]}"#);
    let chain = nifty_chain().to_string();
    let chain = post("/v2/optionchain", chain.as_bytes());

    let gateway = bench.ask(&chain);
    assert_eq!((gateway.status, gateway.content_type), (502, "text/html"));
    assert_eq!(bench.ask(&chain).status, 200);
    let first = bench.ask(&quote);
    assert_eq!((first.status, first.delay), (200, Duration::from_secs(20)));
    assert_eq!(&first.body[..], bodies::NOT_SUBSCRIBED.as_bytes());
    let second = bench.ask(&quote);
    assert_eq!((second.delay, second.body), (Duration::ZERO, first.body));
    assert!(bench.ask(&quote).body.starts_with(br#"{"data":{"IDX_I""#));
    assert_eq!(bench.state.counters.faulted, 3);
    // Those that wait can be forgotten.
    bench
        .state
        .faults
        .add(RestFault::answer("/", 500, "", 1_000));
    bench.state.faults.clear();
    assert_eq!(bench.ask(&quote).status, 200);
}

#[test]
fn the_script_can_fail_every_call() {
    let mut bench = Bench::new();
    let quote = post("/v2/marketfeed/quote", br#"{"IDX_I":[13]}"#);
    for (status, kind) in [
        (500, "application/json"),
        (502, "text/html"),
        (429, "application/json"),
    ] {
        bench.core.inject(at(600.0), Fault::RestError { status });
        let answer = bench.ask(&quote);
        assert_eq!((answer.status, answer.content_type), (status, kind));
        bench.core.clear_faults(at(600.0));
    }
    assert_eq!(bench.ask(&quote).status, 200);
    assert_eq!(bench.state.counters.faulted, 3);
}

#[test]
fn it_is_a_function_of_its_arguments() {
    let (mut one, mut two) = (Bench::new(), Bench::new());
    let chain = nifty_chain();
    for bench in [&mut one, &mut two] {
        bench.at = Duration::from_secs(7);
    }
    two.core.market().quote(key("GOLD_03APR2026_FUT"));
    assert_eq!(
        one.ok("/v2/optionchain", &chain),
        two.ok("/v2/optionchain", &chain)
    );
    // Any day, any time: nothing of today is in it.
    let start: ClockSpec = "2031-07-05T23:59:59+05:30".parse().unwrap();
    let now = Now {
        mono: Mono::default(),
        utc: start.start,
    };
    let request = post("/v2/marketfeed/ltp", br#"{"IDX_I":[13]}"#);
    let answers = [&mut one, &mut two].map(|bench| {
        bench
            .state
            .answer(&mut bench.core, now, Duration::from_secs(8), &request)
    });
    assert_eq!(answers[0], answers[1]);
}
