mod described;
mod indicators;
mod quotes;
mod rights;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use strikewire_broker::{Capabilities, Error, Feed, NoReference, Port, Sink};
use strikewire_gateway::calendar::Calendar;
use strikewire_gateway::registry::{LoadOptions, Registry};
use strikewire_gateway::store::{Action, AuditRecord, Options, Reader, Store};
use strikewire_gateway::types::{Clock, ConnId, Exchange, Mode, Tier, Utc};
use strikewire_gateway::{ActiveRow, Config, Gateway, MemoryJournal, Parts, Setup, build};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::plan;
use super::subscriptions::Page;
use crate::extract::fields;
use crate::extract::tests::json_value;
use crate::{Api, Caller, Code, Metrics, router};

/// An index with options of two expiries, an equity on two exchanges with options on one.
fn registry() -> Arc<Registry> {
    let mut text = "\
SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD
BSE,E,500325,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,5.0000,NA,ES,A,RELIANCE INDUSTRIES LTD.
"
    .to_owned();
    let mut id = 35_000;
    for (kind, symbol, expiry, first, step) in [
        ("OPTIDX", "NIFTY", "2026-02-10", 25_000, 50),
        ("OPTIDX", "NIFTY", "2026-02-17", 25_000, 50),
        ("OPTSTK", "RELIANCE", "2026-02-24", 1_300, 10),
    ] {
        for strike in (first..).step_by(step).take(21) {
            for leg in ["CE", "PE"] {
                id += 1;
                writeln!(
                    text,
                    "NSE,D,{id},{kind},0,{symbol}-Feb2026-{strike}-{leg},65.0,,{expiry} 14:30:00,\
                     {strike},{leg},5.0000,M,OP,,"
                )
                .unwrap();
            }
        }
    }
    let options = LoadOptions::new("2026-02-09".parse().unwrap());
    Arc::new(Registry::from_reader(text.as_bytes(), &options).unwrap())
}

/// Everything that is listed, held in some way.
fn rows(registry: &Registry) -> Vec<ActiveRow> {
    registry
        .instruments()
        .enumerate()
        .map(|(at, instrument)| ActiveRow {
            key: instrument.key(),
            tier: if at % 3 == 0 { Tier::B } else { Tier::A },
            mode: Mode::Full,
            state: "subscribed",
            connection: (at % 4 > 0).then(|| ConnId::from_index(at % 4 - 1)),
            since: Utc::from_nanos(1_770_611_400_000_000_000),
            missing: None,
            holders: at + 1,
        })
        .collect()
}

fn tokens(page: &Page, registry: &Registry, rows: &[ActiveRow]) -> (Vec<String>, Option<String>) {
    let answer = page.of(registry, rows).unwrap();
    let tokens = answer.items.into_iter().map(|item| item.subscription.token);
    (tokens.collect(), answer.next_cursor)
}

#[test]
fn rows_are_chosen_by_what_is_asked() {
    let registry = registry();
    let rows = rows(&registry);
    let check = |page: Page, chosen: &dyn Fn(usize, &ActiveRow, &str) -> bool| {
        let page = Page {
            limit: 1000,
            ..page
        };
        let expected: BTreeSet<String> = rows
            .iter()
            .enumerate()
            .map(|(at, row)| (at, row, registry.by_key(row.key).unwrap().token()))
            .filter(|(at, row, token)| chosen(*at, row, token))
            .map(|(.., token)| token)
            .collect();
        assert!(!expected.is_empty(), "{page:?}");
        let (found, next) = tokens(&page, &registry, &rows);
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{page:?}");
        assert_eq!(next, None);
    };
    check(Page::default(), &|_, _, _| true);
    let tier = Some(Tier::B);
    check(
        Page {
            tier,
            ..Page::default()
        },
        &|at, _, _| at % 3 == 0,
    );
    let connection = Some(2);
    check(
        Page {
            connection,
            ..Page::default()
        },
        &|at, _, _| at % 4 == 2,
    );
    let exchange = Some(Exchange::Bse);
    check(
        Page {
            exchange,
            ..Page::default()
        },
        &|_, _, token| token.starts_with("BSE:"),
    );
    for name in ["nifty 50", "Nifty"] {
        let symbol = Some(name.to_owned());
        check(
            Page {
                symbol,
                ..Page::default()
            },
            &|_, _, token| token.starts_with("NIFTY"),
        );
    }
    let unknown = Page {
        symbol: Some("RELIANSE".into()),
        limit: 1,
        ..Page::default()
    };
    let problem = unknown.of(&registry, &rows).unwrap_err();
    assert_eq!(problem.code, Code::UnknownSymbol);
    assert!(
        problem
            .choices
            .iter()
            .any(|choice| choice.contains("RELIANCE"))
    );
}

proptest! {
    /// Other rows come and go from page to page.
    #[test]
    fn rows_that_stay_come_once(
        limit in 1_usize..30,
        stays in prop::collection::vec(any::<bool>(), 200),
        others in prop::collection::vec(any::<u8>(), 200),
    ) {
        let registry = registry();
        let rows = rows(&registry);
        let token = |row: &ActiveRow| registry.by_key(row.key).unwrap().token();
        let mut seen = Vec::new();
        let mut page = Page { limit, ..Page::default() };
        for turn in 0.. {
            let now: Vec<ActiveRow> = rows
                .iter()
                .enumerate()
                .filter(|(at, _)| stays[*at] || others[*at] >> (turn % 8) & 1 == 1)
                .map(|(_, row)| *row)
                .collect();
            let (found, next) = tokens(&page, &registry, &now);
            prop_assert!(found.len() == limit || next.is_none());
            seen.extend(found);
            let Some(next) = next else { break };
            page.after = crate::cursor::decode(&next);
        }
        prop_assert!(seen.is_sorted_by(|a, b| a < b));
        for (row, _) in rows.iter().zip(&stays).filter(|(_, stays)| **stays) {
            prop_assert!(seen.contains(&token(row)));
        }
    }

    #[test]
    fn no_plan_panics(value in json_value(), field in "[a-z_]{0,12}", inner in json_value()) {
        let requests = |body| plan::requests(&Caller::anyone(), body);
        let _ = fields(value.clone()).and_then(requests);
        let good = json!({"user_id": 1, "symbol": "NIFTY"});
        let mut bad = good.clone();
        bad[&field] = inner;
        for second in [bad, value] {
            let body = json!({"requests": [good, second]});
            if let Err(problem) = fields(body).and_then(requests) {
                let field = problem.field.unwrap_or_default();
                prop_assert!(field.starts_with("requests[1]"), "{field}");
            }
        }
    }
}

struct Silent;

impl Feed for Silent {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            connections: 5,
            per_connection: 5_000,
            per_batch: 100,
        }
    }

    async fn run(self, _port: Port, _sink: impl Sink) -> Result<(), Error> {
        Ok(())
    }
}

/// A server without a broker that answers, asked without a socket.
pub(crate) struct Server {
    pub(crate) api: Api,
    gateway: Gateway,
    owner: tokio::task::JoinHandle<()>,
    indicators: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::at("2026-02-09T10:00:00+05:30", None)
    }

    fn at(time: &str, audit: Option<Reader>) -> Self {
        let config = Config {
            tier_b: Vec::new(),
            ..Config::default()
        };
        let Parts {
            gateway,
            owner,
            hub,
            indicators,
            ..
        } = build(Setup {
            config,
            registry: registry(),
            clock: Clock::simulated(time.parse().unwrap()),
            calendar: Calendar::builtin(),
            feed: Silent,
            reference: NoReference,
            journal: MemoryJournal::new,
            recovered: Default::default(),
            audit,
            leases: Default::default(),
        })
        .unwrap();
        let metrics = Metrics::new(String::new);
        let stop = CancellationToken::new();
        // It ends after the owner.
        tokio::spawn(hub);
        Self {
            api: Api::new(crate::Setup {
                gateway: gateway.clone(),
                metrics,
                notes: Vec::new(),
                stop,
                run: 1,
                access: Arc::default(),
                settings: Arc::default(),
                control: None,
            }),
            gateway,
            owner: tokio::spawn(owner),
            indicators: tokio::spawn(indicators),
        }
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = router(self.api.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        self.ask(request.unwrap()).await
    }

    pub(crate) async fn stop(self) {
        self.gateway.stop().await;
        self.owner.await.unwrap();
        self.indicators.await.unwrap();
    }
}

/// The contracts of a window of NIFTY options around 25500.
fn nifty(user: u64, width: u64) -> Value {
    json!({"user_id": user, "symbol": "NIFTY", "expiry": "10FEB2026", "width": width,
           "underlying_ltp": 25_500})
}

#[tokio::test]
async fn what_is_held_is_listed_page_by_page() {
    let server = Server::start();
    for user in [1, 2] {
        let (status, added) = server.post("/api/v2/watchlist/add", nifty(user, 3)).await;
        assert_eq!(status, StatusCode::OK, "{added}");
    }
    let mut expected = vec!["NIFTY".to_owned()];
    for strike in [25_450, 25_500, 25_550] {
        for leg in ["CE", "PE"] {
            expected.push(format!("NIFTY_10FEB2026_{strike}{leg}"));
        }
    }
    let mut found = Vec::new();
    let mut path = "/api/v2/subscriptions/active?limit=3".to_owned();
    for length in [3, 3, 1] {
        let (status, page) = server.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), length);
        found.extend(items.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => {
                // Whoever builds on what is in it would have to take it apart first.
                assert!(!next.contains("NIFTY"), "{next}");
                path = format!("/api/v2/subscriptions/active?limit=3&cursor={next}");
            }
            None => assert_eq!(length, 1),
        }
    }
    let tokens: Vec<&str> = found
        .iter()
        .map(|item| item["token"].as_str().unwrap())
        .collect();
    assert_eq!(tokens, expected);
    let first = &found[1];
    let subscribed_at = first["subscribed_at"].clone();
    let conn = first["ws_connection_id"].clone();
    assert_eq!(
        first,
        &json!({"token": "NIFTY_10FEB2026_25450CE", "instrument": "NSE_FNO:35019",
                "symbol": "NIFTY", "exchange": "NSE", "expiry": "10FEB2026", "strike": 25_450.0,
                "option_type": "CE", "tier": "TIER_A", "mode": "full", "state": "pending",
                "ws_connection_id": conn, "subscribed_at": subscribed_at, "holders": 2})
    );

    let (_, one) = server
        .get("/api/v2/subscriptions/nifty_10feb_25450ce")
        .await;
    assert_eq!(one["token"], "NIFTY_10FEB2026_25450CE");
    let users: BTreeSet<u64> = one["holders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|holder| holder["user_id"].as_u64().unwrap())
        .collect();
    assert_eq!(users, BTreeSet::from([1, 2]));
    let (status, problem) = server.get("/api/v2/subscriptions/RELIANCE").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem["code"], "not_subscribed");
    server.stop().await;
}

#[tokio::test]
async fn a_plan_changes_nothing_and_names_the_request() {
    let server = Server::start();
    let plan = async |requests: Vec<Value>| {
        server
            .post("/api/v2/plan", json!({"requests": requests}))
            .await
    };
    let (status, run) = plan(vec![nifty(1, 3), nifty(2, 5)]).await;
    assert_eq!(status, StatusCode::OK, "{run}");
    // Five strikes with two legs, and the index; the smaller window lies inside.
    assert_eq!((&run["fits"], &run["needed"]), (&json!(true), &json!(11)));
    assert_eq!((&run["free"], &run["evict"]), (&json!(25_000), &json!([])));
    let (_, after) = server.get("/api/v2/subscriptions/status").await;
    assert_eq!(after["total_subscriptions"], 0);

    let check = async |bad: Value, code: &str, field: &str| {
        let (_, problem) = plan(vec![nifty(1, 3), bad, json!(0)]).await;
        assert_eq!(
            (&problem["code"], &problem["field"]),
            (&json!(code), &json!(field))
        );
    };
    check(json!({"user_id": 1}), "missing_field", "requests[1].symbol").await;
    check(json!({"user": 1}), "unknown_field", "requests[1].user").await;
    check(json!("NIFTY"), "invalid_value", "requests[1]").await;
    check(nifty(1, 70_000), "invalid_width", "requests[1].width").await;
    let resolved = async |bad: Value, code: &str, field: &str| {
        let (_, problem) = plan(vec![nifty(1, 3), bad]).await;
        assert_eq!(
            (&problem["code"], &problem["field"]),
            (&json!(code), &json!(field))
        );
    };
    let unknown = json!({"user_id": 1, "symbol": "NIFTYY"});
    resolved(unknown, "unknown_symbol", "requests[1].symbol").await;
    resolved(nifty(1, 4), "invalid_width", "requests[1].width").await;

    let (status, _) = plan(vec![nifty(1, 3); 1000]).await;
    assert_eq!(status, StatusCode::OK);
    for count in [0, 1001] {
        let (status, problem) = plan(vec![nifty(1, 3); count]).await;
        assert_eq!(
            (status, &problem["field"]),
            (StatusCode::BAD_REQUEST, &json!("requests"))
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn operators_are_obeyed() {
    let server = Server::start();
    server.post("/api/v2/watchlist/add", nifty(1, 3)).await;

    let empty = Request::post("/api/v2/admin/rebalance-ws").body(Body::empty());
    let (status, moved) = server.ask(empty.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    assert_eq!(
        (&moved["success"], &moved["moved"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(moved["ws_usage"].as_object().unwrap().len(), 5);

    let expiry = json!({"symbol": "nifty", "expiry": "2026-02-10"});
    let (status, anew) = server.post("/api/v2/admin/invalidate-expiry", expiry).await;
    assert_eq!(status, StatusCode::OK, "{anew}");
    assert_eq!(anew["success"], true);
    let unlisted = json!({"symbol": "NIFTY", "expiry": "2026-02-11"});
    let (status, problem) = server
        .post("/api/v2/admin/invalidate-expiry", unlisted)
        .await;
    assert_eq!(
        (status, &problem["field"]),
        (StatusCode::NOT_FOUND, &json!("expiry"))
    );
    assert_eq!(problem["choices"], json!(["10FEB2026", "17FEB2026"]));

    // A page of another origin can post this much, and no more.
    let path = "/api/v2/admin/unsubscribe-all-tier-a";
    let by_page = Request::post(path).header("origin", "https://example.com");
    let (status, _) = server.ask(by_page.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (status, _) = server.post(path, json!({"user_id": 1})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, gone) = server.post(path, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{gone}");
    assert_eq!(gone, json!({"success": true, "unsubscribed": 7}));
    let (_, list) = server.get("/api/v2/watchlist/1").await;
    assert_eq!(list["items"][0]["state"], "evicted");
    server.stop().await;
}

#[tokio::test]
async fn what_has_ended_is_not_the_nearest() {
    let expiries = async |time: &str| {
        let server = Server::at(time, None);
        let (_, answer) = server.get("/api/v2/instruments/nifty/expiries").await;
        let (_, ended) = server.post("/api/v2/watchlist/add", nifty(1, 3)).await;
        server.stop().await;
        (answer["expiries"][0]["expiry"].clone(), ended)
    };
    // Sessions of derivatives end at 15:30.
    let (nearest, added) = expiries("2026-02-10T15:29:00+05:30").await;
    assert_eq!(
        (nearest, &added["success"]),
        (json!("10FEB2026"), &json!(true))
    );
    let (nearest, problem) = expiries("2026-02-10T15:30:00+05:30").await;
    assert_eq!(nearest, json!("17FEB2026"));
    assert_eq!(
        (
            &problem["status"],
            &problem["code"],
            &problem["field"],
            &problem["choices"]
        ),
        (
            &json!(422),
            &json!("expiry_ended"),
            &json!("expiry"),
            &json!(["17FEB2026"])
        )
    );
}

#[tokio::test]
async fn the_audit_needs_a_database_and_one_question() {
    let server = Server::start();
    let check = async |query: &str, status: StatusCode, field: Value| {
        let (found, problem) = server.get(&format!("/api/v2/audit?{query}")).await;
        assert_eq!((found, &problem["field"]), (status, &field), "{query}");
    };
    let bad = StatusCode::BAD_REQUEST;
    let day = "2026-02-09T10:00:00+05:30";
    check(&format!("since={day}&as_of={day}"), bad, json!("since")).await;
    check("since=2026-02-09", bad, json!("since")).await;
    check("action=SUB", bad, json!("action")).await;
    check("cursor=zz", bad, json!("cursor")).await;
    // The cursor of another list.
    check("cursor=4e49465459", bad, json!("cursor")).await;
    check("limit=0", bad, json!("limit")).await;
    check("from=1", bad, json!("from")).await;
    check(
        &format!("since={day}&token=NIFTY"),
        StatusCode::SERVICE_UNAVAILABLE,
        Value::Null,
    )
    .await;
    server.stop().await;
}

/// Minute by minute from ten o'clock: three contracts come, the second goes again.
async fn audited(folder: &std::path::Path) -> Reader {
    let url = format!("sqlite:{}", folder.join("strikewire.db").display());
    let store = Store::open(&Options::new(url.parse().unwrap()))
        .await
        .unwrap();
    let reader = store.reader();
    let (outcomes, _owner) = tokio::sync::mpsc::unbounded_channel();
    let (mut recorder, writer) = store.start(outcomes);
    for (minute, (action, token)) in [
        (Action::Subscribe, "NIFTY_10FEB2026_25000CE"),
        (Action::Subscribe, "NIFTY_10FEB2026_25000PE"),
        (Action::Subscribe, "TCS_27JAN2026_3000CE"),
        (Action::Unsubscribe, "NIFTY_10FEB2026_25000PE"),
    ]
    .into_iter()
    .enumerate()
    {
        recorder.audit(AuditRecord {
            action,
            token: token.into(),
            reason: "asked for".into(),
            owner: "watchlist of user 7".into(),
            at: Utc::from_nanos((1_770_611_400 + 60 * minute as i64) * 1_000_000_000),
        });
    }
    drop(recorder);
    writer.run().await;
    reader
}

#[tokio::test]
async fn the_audit_is_read_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::at(
        "2026-02-09T10:00:00+05:30",
        Some(audited(folder.path()).await),
    );
    let check = async |query: &str, expected: &[(&str, &str)]| {
        for limit in 1..=4 {
            let mut found = Vec::new();
            let mut cursor = String::new();
            loop {
                let path = format!("/api/v2/audit?limit={limit}&{query}{cursor}");
                let (status, page) = server.get(&path).await;
                assert_eq!(status, StatusCode::OK, "{page}");
                let items = page["items"].as_array().unwrap();
                assert!(items.len() <= limit);
                found.extend(items.iter().cloned());
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            let found: Vec<(&str, &str)> = found
                .iter()
                .map(|item| {
                    (
                        item["action"].as_str().unwrap(),
                        item["token"].as_str().unwrap(),
                    )
                })
                .collect();
            assert_eq!(found, expected, "{query}");
        }
    };
    let (call, put) = ("NIFTY_10FEB2026_25000CE", "NIFTY_10FEB2026_25000PE");
    let gone = "TCS_27JAN2026_3000CE";
    let all = [
        ("UNSUBSCRIBE", put),
        ("SUBSCRIBE", gone),
        ("SUBSCRIBE", put),
        ("SUBSCRIBE", call),
    ];
    check("", &all).await;
    // The plus is not escaped.
    check("since=2026-02-09T10:01:00+05:30", &all[..3]).await;
    check("action=subscribe", &all[1..]).await;
    check("token=nifty_10feb_25000pe", &[all[0], all[2]]).await;
    // Not listed any more.
    check(&format!("token={gone}"), &[all[1]]).await;
    check("as_of=2026-02-09T10:00:00Z", &[all[3], all[1]]).await;
    check("as_of=2026-02-09T10:01:30+05:30", &[all[3], all[2]]).await;
    check("as_of=2026-02-09T09:59:00+05:30", &[]).await;

    let (_, page) = server.get("/api/v2/audit?limit=1").await;
    assert_eq!(
        page["items"][0],
        json!({"id": 4, "action": "UNSUBSCRIBE", "token": put, "reason": "asked for",
               "owner": "watchlist of user 7", "at": "2026-02-09T10:03:00.000000+05:30"})
    );
    // A cursor of one question is none of another.
    let next = page["next_cursor"].as_str().unwrap();
    let path = format!("/api/v2/audit?as_of=2026-02-09T10:00:00Z&cursor={next}");
    let (status, problem) = server.get(&path).await;
    assert_eq!(
        (status, &problem["field"]),
        (StatusCode::BAD_REQUEST, &json!("cursor"))
    );
    server.stop().await;
}
