//! `watch` against a stream that says what it is told to.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fake::{Held, Socket, ask, serve, serve_stream};
use crate::program::{ends_quietly, program, signal};

fn tick(token: &str, ltp: f64) -> Value {
    json!({"type": "ticks", "items": [
        {"token": token, "instrument": "IDX_I:0", "ltp": ltp, "recv": "2026-02-09T10:00:01.250+05:30"}
    ]})
}

fn snapshot(seq: u64, resumed: bool) -> Value {
    json!({"type": "snapshot", "channel": "chain", "sub": 2, "epoch": "e1", "seq": seq,
           "resumed": resumed,
           "chain": {"symbol": "NIFTY", "strikes_ce_pe": {"25850": {"CE": "C", "PE": "P"}}},
           "quotes": {"C": {"ltp": 32.05}}})
}

fn delta(seq: u64) -> Value {
    json!({"type": "delta", "sub": 2, "epoch": "e1", "seq": seq, "chain": {},
           "set": {"P": {"ltp": 5.0}}, "remove": []})
}

#[test]
fn one_document_has_everything_that_was_asked_for() {
    let (url, served) = serve_stream(|listener| {
        let mut socket = Socket::accept(listener);
        let requests = [socket.heard().unwrap(), socket.heard().unwrap()];
        for message in [
            json!({"type": "ack", "id": 1, "sub": 1}),
            json!({"type": "ack", "id": 2, "sub": 2}),
            snapshot(1, false),
            delta(2),
            tick("NIFTY", 25_867.3),
            tick("BANKNIFTY", 60_000.05),
        ] {
            assert!(socket.say(&message));
        }
        // It goes by itself.
        assert_eq!(socket.heard(), None);
        (requests, socket.key)
    });
    let line = [
        "watch",
        "NIFTY",
        "banknifty",
        "--chain",
        "NIFTY",
        "10FEB2026",
        "--width",
        "1",
        "--json",
    ];
    let ran = ask(&url, Some("hunter2"), &line);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        serde_json::from_str::<Value>(&ran.stdout).unwrap(),
        json!({
            "complete": true,
            "quotes": {
                "BANKNIFTY": {"ltp": 60_000.05, "recv": "2026-02-09T10:00:01.250+05:30"},
                "NIFTY": {"ltp": 25_867.3, "recv": "2026-02-09T10:00:01.250+05:30"},
            },
            "chain": {"symbol": "NIFTY", "strikes_ce_pe": {"25850": {"CE": "C", "PE": "P"}},
                      "quotes": {"C": {"ltp": 32.05}, "P": {"ltp": 5.0}}},
            "missing": [],
        })
    );
    let (requests, key) = served.join().unwrap();
    assert_eq!(requests[0]["instruments"], json!(["NIFTY", "banknifty"]));
    assert_eq!(requests[1]["symbol"], "NIFTY");
    assert_eq!(requests[1]["expiry"], "10FEB2026");
    assert_eq!(requests[1]["width"], 1);
    assert_eq!(key.as_deref(), Some("Bearer hunter2"));
}

#[test]
fn when_the_time_is_up_it_says_what_is_missing() {
    let (url, served) = serve_stream(|listener| {
        let mut socket = Socket::accept(listener);
        socket.heard();
        socket.say(&json!({"type": "ack", "id": 1, "sub": 1}));
        socket.say(&tick("NIFTY", 1.5));
        socket.heard()
    });
    // As long as a slow machine may take to be told the price.
    let line = ["watch", "NIFTY", "SENSEX", "--json", "--timeout", "5"];
    let ran = ask(&url, None, &line);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["complete"], false);
    assert_eq!(said["missing"], json!(["SENSEX"]));
    assert_eq!(said["quotes"]["NIFTY"]["ltp"], 1.5);
    assert_eq!(served.join().unwrap(), None);
}

#[test]
fn who_was_not_heard_of_is_no_success() {
    // It is there, and never takes up who comes.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for more in [&[][..], &["--json"]] {
        let line = [&["watch", "NIFTY", "--timeout", "0.5"], more].concat();
        let ran = ask(&url, None, &line);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{ran:?}");
        assert!(ran.stderr.contains(&url), "{ran:?}");
    }
}

#[test]
fn a_chain_goes_on_where_the_connection_broke() {
    let (url, served) = serve_stream(|listener| {
        let mut socket = Socket::accept(listener);
        let first = socket.heard().unwrap();
        socket.say(&json!({"type": "ack", "id": 2, "sub": 2}));
        socket.say(&snapshot(7, false));
        drop(socket);
        let mut socket = Socket::accept(listener);
        let second = socket.heard().unwrap();
        socket.say(&json!({"type": "ack", "id": 3, "sub": 1}));
        socket.say(&delta(8));
        socket.heard();
        (first, second)
    });
    let ran = ask(&url, None, &["watch", "--chain", "NIFTY", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("connecting again in 0.5 s"), "{ran:?}");
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["complete"], true);
    assert_eq!(
        said["chain"]["quotes"],
        json!({"C": {"ltp": 32.05}, "P": {"ltp": 5.0}})
    );
    let (first, second) = served.join().unwrap();
    assert_eq!(
        (&first["action"], first.get("seq")),
        (&json!("subscribe"), None)
    );
    assert_eq!(
        (&second["action"], &second["epoch"], &second["seq"]),
        (&json!("resume"), &json!("e1"), &json!(7))
    );
    assert_eq!(second["symbol"], first["symbol"]);
}

#[test]
fn a_gap_makes_it_ask_anew() {
    let (url, served) = serve_stream(|listener| {
        let mut socket = Socket::accept(listener);
        socket.heard();
        socket.say(&json!({"type": "ack", "id": 2, "sub": 2}));
        socket.say(&snapshot(7, false));
        socket.say(&delta(9));
        assert_eq!(socket.heard(), None);
        let mut socket = Socket::accept(listener);
        let second = socket.heard().unwrap();
        socket.say(&json!({"type": "ack", "id": 2, "sub": 1}));
        socket.say(&snapshot(9, false));
        socket.say(&delta(10));
        socket.heard();
        second
    });
    let ran = ask(&url, None, &["watch", "--chain", "NIFTY", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["complete"], true);
    assert_eq!(served.join().unwrap()["action"], "subscribe");
}

#[test]
fn what_is_refused_is_named_with_the_choices() {
    let (url, served) = serve_stream(|listener| {
        let mut socket = Socket::accept(listener);
        socket.heard();
        socket.say(
            &json!({"type": "error", "id": 1, "code": "unknown_instrument",
                           "detail": "unknown instrument `NIFTYY`", "field": "instruments",
                           "choices": ["NIFTY"]}),
        );
        socket.heard()
    });
    let ran = ask(&url, None, &["watch", "NIFTYY"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ran.stderr,
        "error: unknown instrument `NIFTYY`\n  field: instruments\n  choices: NIFTY\n"
    );
    served.join().unwrap();
}

#[test]
fn a_key_that_is_missing_is_said() {
    let problem = json!({"detail": "a key is needed: Authorization: Bearer KEY",
                         "code": "unauthorized", "status": 401});
    let (url, served) = serve(vec![("401 Unauthorized", problem.to_string())]);
    let ran = ask(&url, None, &["watch", "NIFTY"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    for named in [
        "a key is needed",
        "STRIKEWIRE_API_KEY",
        "strikewire auth new-key",
    ] {
        assert!(ran.stderr.contains(named), "{}", ran.stderr);
    }
    served.join().unwrap();
    let nobody = Held::new();
    let ran = ask(&nobody.url, Some("hunter2"), &["watch", "NIFTY"]);
    assert_eq!(ran.code, Some(1));
    for named in [nobody.url.as_str(), "`strikewired` starts one"] {
        assert!(ran.stderr.contains(named), "{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hunter2"));
}

/// Ticks until the client has gone.
fn tick_on(listener: &std::net::TcpListener) {
    let mut socket = Socket::accept(listener);
    socket.heard();
    socket.say(&json!({"type": "ack", "id": 1, "sub": 1}));
    let mut price = 100.0;
    while socket.say(&tick("NIFTY", price)) {
        price += 0.05;
        std::thread::yield_now();
    }
}

#[test]
fn into_a_pipe_it_writes_lines_until_nobody_reads_them() {
    let (url, served) = serve_stream(tick_on);
    let mut child = program()
        .args(["watch", "NIFTY", "--server", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "10:00:01.250 NIFTY ltp=100.00"
    );
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "10:00:01.250 NIFTY ltp=100.05"
    );
    // As `| head -2` does.
    drop(lines);
    ends_quietly(child);
    served.join().unwrap();
}

#[cfg(unix)]
#[test]
fn an_interruption_is_the_usual_end() {
    for name in ["-INT", "-TERM"] {
        let (url, served) = serve_stream(|listener| {
            let mut socket = Socket::accept(listener);
            socket.heard();
            socket.say(&json!({"type": "ack", "id": 1, "sub": 1}));
            socket.say(&tick("NIFTY", 100.0));
            socket.heard()
        });
        let mut child = program()
            .args(["watch", "NIFTY", "--server", &url])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        assert!(first.contains("NIFTY"), "{first}");
        signal(&child, name);
        ends_quietly(child);
        served.join().unwrap();
    }
}
