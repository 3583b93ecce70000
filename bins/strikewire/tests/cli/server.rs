//! Against a server that answers what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::program::{Ran, program};

/// What was asked: the first line, the headers in lower case, the body.
struct Asked {
    line: String,
    headers: Vec<String>,
    body: String,
}

/// Answers one request after the other, each with a status line and a body.
fn serve(answers: Vec<(&'static str, String)>) -> (String, JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let mut all = Vec::new();
        for (status, answer) in answers {
            let (mut socket, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(socket.try_clone().unwrap());
            let mut line = || {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                line.trim_end().to_owned()
            };
            let first = line();
            let headers: Vec<String> = std::iter::repeat_with(|| line().to_lowercase())
                .take_while(|line| !line.is_empty())
                .collect();
            let length = headers
                .iter()
                .find_map(|header| header.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            lines.read_exact(&mut body).unwrap();
            write!(
                socket,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{answer}",
                answer.len()
            )
            .unwrap();
            all.push(Asked {
                line: first,
                headers,
                body: String::from_utf8(body).unwrap(),
            });
        }
        all
    });
    (url, served)
}

fn ask(url: &str, key: Option<&str>, line: &[&str]) -> Ran {
    let mut command = program();
    command
        .args(line)
        .env("STRIKEWIRE_SERVER", url)
        .env_remove("STRIKEWIRE_API_KEY");
    if let Some(key) = key {
        command.env("STRIKEWIRE_API_KEY", key);
    }
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

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
    // Nothing listens where something did a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ran = ask(&url, Some("hunter2"), &["status"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    for named in [url.as_str(), "strikewired", "--server"] {
        assert!(ran.stderr.contains(named), "{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hunter2"));
}

#[test]
fn no_secret_is_repeated() {
    let with_password = "http://me:hunter2@127.0.0.1:1/";
    let ran = ask(with_password, None, &["status"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let ran = ask(with_password, Some("hunter2"), &["status", "--help"]);
    assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
}
