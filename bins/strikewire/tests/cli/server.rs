//! Against a server that answers what it is told to.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fake::{Held, ask, serve};
use crate::program::{Ran, ends_quietly, program, run, signal};

#[test]
fn a_question_carries_the_key_and_what_was_asked() {
    let page = json!({"items": [], "next_cursor": null});
    let done = json!({"success": true, "message": "M&M added"});
    let (url, served) = serve(vec![
        ("200 OK", page.to_string()),
        ("200 OK", done.to_string()),
        ("200 OK", done.to_string()),
    ]);
    let line = ["subs", "list", "--symbol", "M&M", "--limit", "5", "--json"];
    let ran = ask(&url, Some("hunter2"), &line);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), page);
    let line = ["watchlist", "add", "--user", "7", "M&M", "--server", &url];
    let ran = ask("http://127.0.0.1:1", None, &line);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "M&M added\n"));
    let ran = ask(&url, None, &["subs", "explain", "M&M/x y", "--json"]);
    assert_eq!(ran.code, Some(0));

    let asked = served.join().unwrap();
    let line = "GET /api/v2/subscriptions/active?symbol=M%26M&limit=5 HTTP/1.1";
    assert_eq!(asked[0].line, line);
    assert!(
        asked[0]
            .headers
            .contains(&"authorization: bearer hunter2".to_owned())
    );
    assert_eq!(asked[1].line, "POST /api/v2/watchlist/add HTTP/1.1");
    assert!(
        !asked[1]
            .headers
            .iter()
            .any(|header| header.starts_with("authorization"))
    );
    assert_eq!(
        serde_json::from_str::<Value>(&asked[1].body).unwrap(),
        json!({"user_id": 7, "symbol": "M&M", "follow": true})
    );
    assert_eq!(
        asked[2].line,
        "GET /api/v2/subscriptions/M&M%2Fx%20y HTTP/1.1"
    );
}

#[test]
fn a_problem_is_shown_with_field_and_choices() {
    let problem = json!({"type": "urn:strikewire:problem:unlisted_expiry", "status": 404,
                         "title": "The expiry is not listed", "code": "unlisted_expiry",
                         "detail": "NIFTY has no expiry 11FEB2026 on NSE", "field": "expiry",
                         "choices": ["10FEB2026", "17FEB2026"], "request_id": "1-1"});
    let (url, served) = serve(vec![
        ("404 Not Found", problem.to_string()),
        ("502 Bad Gateway", "<html>".to_owned()),
        ("200 OK", "[]".to_owned()),
    ]);
    let line = ["admin", "invalidate-expiry", "NIFTY", "11FEB2026", "--json"];
    let ran = ask(&url, Some("hunter2"), &line);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ran.stderr,
        "error: NIFTY has no expiry 11FEB2026 on NSE\n  field: expiry\n  choices: 10FEB2026, \
         17FEB2026\n"
    );
    for named in [url.as_str(), "not as expected"] {
        let ran = ask(&url, None, &["admin", "rebalance"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains(named), "{}", ran.stderr);
    }
    assert_eq!(
        served.join().unwrap()[0].body,
        r#"{"expiry":"11FEB2026","symbol":"NIFTY"}"#
    );
}

#[test]
fn no_server_is_said_with_what_to_do() {
    let nobody = Held::new();
    let ran = ask(&nobody.url, Some("hunter2"), &["status"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    for named in [nobody.url.as_str(), "strikewired", "--server"] {
        assert!(ran.stderr.contains(named), "{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hunter2"));
}

#[test]
fn no_secret_is_repeated() {
    let with_password = "http://me:hunter2@127.0.0.1:1/";
    for url in [
        with_password,
        // A host without an end, and no address at all.
        "http://me:hunter2@[::1/",
        "me:hunter2@127.0.0.1:1",
        "ftp://me:hunter2@127.0.0.1:1/",
        "http://127.0.0.1:1/?key=hunter2",
    ] {
        for (ran, named) in [
            (ask(url, None, &["status"]), "STRIKEWIRE_SERVER"),
            (run(&["status", "--server", url]), "--server"),
            (
                run(&["instruments", "fetch", "-o", "x", "--url", url]),
                "--url",
            ),
        ] {
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{url}");
            assert!(ran.stderr.contains(named), "{url}: {}", ran.stderr);
            assert!(!ran.stderr.contains("hunter2"), "{url}: {}", ran.stderr);
        }
        let mut command = program();
        command
            .args(["instruments", "fetch", "-o", "x"])
            .env("STRIKEWIRE_MASTER_URL", url);
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{url}");
        assert!(!ran.stderr.contains("hunter2"), "{url}: {}", ran.stderr);
    }
    let ran = ask(with_password, Some("hunter2"), &["status", "--help"]);
    assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
}

#[test]
fn a_problem_has_a_number_for_those_who_ask() {
    let problem = json!({"detail": "the store is not there", "code": "not_durable",
                         "request_id": "ab-7"});
    let answer = || ("503 Service Unavailable", problem.to_string());
    let (url, served) = serve(vec![answer(), answer()]);
    let ran = ask(&url, None, &["admin", "rebalance"]);
    assert_eq!(ran.stderr, "error: the store is not there\n");
    let ran = ask(&url, None, &["admin", "rebalance", "-v"]);
    assert_eq!(
        ran.stderr,
        "error: the store is not there\n  code: not_durable\n  request: ab-7\n"
    );
    served.join().unwrap();
}

#[test]
fn a_key_that_is_wrong_is_told_from_none() {
    let problem = json!({"detail": "nobody has this key", "code": "unauthorized"});
    let answer = || ("401 Unauthorized", problem.to_string());
    let (url, served) = serve(vec![answer(), answer()]);
    for (key, named) in [
        (None, "STRIKEWIRE_API_KEY holds the key"),
        (Some("hunter2"), "not one of this server's"),
    ] {
        let ran = ask(&url, key, &["subs", "list"]);
        assert_eq!(ran.code, Some(1));
        assert!(ran.stderr.contains(named), "{}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
    served.join().unwrap();
}

#[test]
fn all_pages_are_one_list() {
    let item = |token: &str| {
        json!({"token": token, "tier": "TIER_A", "mode": "full", "state": "subscribed",
               "ws_connection_id": 1, "subscribed_at": "2026-02-09T10:00:00.623+05:30",
               "holders": 1, "more": "kept"})
    };
    let page = |token: &str, next: Option<&str>| {
        let page = json!({"items": [item(token)], "next_cursor": next});
        ("200 OK", page.to_string())
    };
    let pages = || {
        vec![
            page("A", Some("41")),
            page("B", Some("42")),
            page("C", None),
        ]
    };
    let (url, served) = serve(pages());
    let ran = ask(&url, None, &["subs", "list", "--all", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        serde_json::from_str::<Value>(&ran.stdout).unwrap(),
        json!({"items": [item("A"), item("B"), item("C")], "next_cursor": null})
    );
    let lines: Vec<String> = served
        .join()
        .unwrap()
        .into_iter()
        .map(|asked| asked.line)
        .collect();
    let path = "GET /api/v2/subscriptions/active?limit=1000";
    assert_eq!(
        lines,
        ["", "&cursor=41", "&cursor=42"].map(|more| format!("{path}{more} HTTP/1.1"))
    );
    let (url, served) = serve(pages());
    let ran = ask(&url, None, &["subs", "list", "--all"]);
    assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.stdout);
    served.join().unwrap();
    // One that goes round in circles is left.
    let (url, served) = serve(vec![page("A", Some("41")), page("B", Some("41"))]);
    let ran = ask(&url, None, &["subs", "list", "--all"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 3));
    served.join().unwrap();
}

fn readiness(status: &str) -> Value {
    json!({"status": status, "reasons": [
        {"code": "endless_session", "detail": "every day is one session",
         "since": "2026-02-09T10:00:00.000+05:30"}
    ]})
}

fn subscriptions() -> Value {
    json!({"total_subscriptions": 7_597, "max_capacity": 25_000, "utilization_percent": 30.39,
           "ws_usage": {"1": 7_597}, "tier_a_count": 0, "tier_b_count": 7_597,
           "by_mode": {"full": 7_597}, "connected_connections": 1, "total_connections": 1,
           "tier_b": {"windows": 82, "held": 82, "waiting": [], "not_listed": []}})
}

fn indicators() -> Value {
    json!({"total_subscriptions": 0, "by_symbol": {}, "by_timeframe": {}, "total_subscribers": 0})
}

fn sockets() -> Value {
    json!({"total_connections": 1, "connected_connections": 1, "per_connection": {
        "1": {"state": "live", "since": "2026-02-09T09:00:00.000+05:30", "subscriptions": 7_597,
              "attempts": 0, "last_error": null, "last_packet_age_ms": 3,
              "packets_per_s": 15_000, "next_retry": null}
    }, "account_contended": false, "held": null})
}

#[test]
fn a_status_has_all_that_may_be_seen() {
    let forbidden = json!({"detail": "this takes a key with the role admin", "code": "forbidden"});
    let ok = |document: Value| ("200 OK", document.to_string());
    let (url, served) = serve(vec![
        ok(readiness("ready")),
        ok(subscriptions()),
        ok(indicators()),
        ok(sockets()),
        ok(readiness("ready")),
        ok(subscriptions()),
        ok(indicators()),
        ("403 Forbidden", forbidden.to_string()),
        ok(readiness("ready")),
        ok(subscriptions()),
        ok(indicators()),
        ("403 Forbidden", forbidden.to_string()),
        ("503 Service Unavailable", readiness("starting").to_string()),
        ("503 Service Unavailable", forbidden.to_string()),
        ("503 Service Unavailable", forbidden.to_string()),
        ("503 Service Unavailable", forbidden.to_string()),
    ]);
    let ran = ask(&url, None, &["status", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        serde_json::from_str::<Value>(&ran.stdout).unwrap(),
        json!({"readiness": readiness("ready"), "subscriptions": subscriptions(),
               "indicators": indicators(), "connections": sockets()})
    );
    let ran = ask(&url, None, &["status", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["connections"], Value::Null);
    let ran = ask(&url, None, &["status"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stdout.starts_with("status             ready\n"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout
            .ends_with("its connections are shown to a key with the role admin\n"),
        "{}",
        ran.stdout
    );
    let ran = ask(&url, None, &["status"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (
            Some(0),
            "status  starting\nendless_session: every day is one session (since 2026-02-09 \
             10:00:00)\n"
        )
    );
    served.join().unwrap();
}

#[test]
fn colours_are_as_asked_for() {
    let answers = || {
        let ok = |document: Value| ("200 OK", document.to_string());
        vec![
            ok(readiness("ready")),
            ok(subscriptions()),
            ok(indicators()),
            ok(sockets()),
        ]
    };
    for (color, no_color, colored) in [
        ("auto", false, false),
        ("never", false, false),
        ("always", false, true),
        ("always", true, true),
    ] {
        let (url, served) = serve(answers());
        let mut command = program();
        command.args(["status", "--color", color, "--server", &url]);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_eq!(text.contains("\x1b["), colored, "{color}: {text}");
        served.join().unwrap();
    }
    assert_eq!(
        ask("http://h", None, &["status", "--color", "blue"]).code,
        Some(2)
    );
}

/// A server that goes away is waited for; one that was never there is not.
#[cfg(unix)]
#[test]
fn a_status_is_followed_until_interrupted() {
    let ok = |document: Value| ("200 OK", document.to_string());
    let place = Held::new();
    let served = place.serve(vec![
        ok(readiness("ready")),
        ok(subscriptions()),
        ok(indicators()),
        ok(sockets()),
    ]);
    let url = place.url.as_str();
    let mut child = program()
        .args(["status", "--follow", "--every", "1", "--server", url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |text: &str| {
        let found = lines.find(|line| line.as_ref().unwrap().contains(text));
        found.unwrap().unwrap()
    };
    until("15,000");
    served.join().unwrap();
    until("no server answers at");
    until("before that:");
    until("15,000");
    signal(&child, "-INT");
    ends_quietly(child);
    let ran = ask(url, None, &["status", "--follow"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
}

#[test]
fn a_configuration_is_reloaded() {
    let answer = json!({"changed": ["stream.max_clients"], "needs_restart": ["listen"]});
    let (url, served) = serve(vec![("200 OK", answer.to_string())]);
    let ran = ask(&url, None, &["admin", "reload-config"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (
            Some(0),
            "in force now: stream.max_clients\nafter a restart: listen\n"
        )
    );
    let asked = served.join().unwrap();
    assert_eq!(asked[0].line, "POST /api/v2/admin/reload-config HTTP/1.1");
}
