//! The access token is in the headers of every request, and must be nowhere else.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use strikewire_broker::Reference;
use strikewire_dhan::{DhanRest, RestConfig, TokenSource};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{HDFC, NIFTY, STEP, Server, TOKEN, answer, ok};

/// Everything that this process logs, at every level and through `log` too.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// How the broker can be rude, told with the token in every place that it has.
fn answers() -> Vec<Vec<u8>> {
    let long = format!("<html>{}{TOKEN}</html>", "x".repeat(60));
    vec![
        ok(format!(
            r#"{{"errorCode":806,"errorMessage":"no {TOKEN}"}}"#
        )),
        ok(format!(
            r#"{{"errorCode":"{TOKEN}","errorType":"{TOKEN}"}}"#
        )),
        ok(format!(
            r#"{{"status":"failed","data":{{"805":"{TOKEN}"}}}}"#
        )),
        ok(format!(
            r#"{{"status":"failure","remarks":"{TOKEN}","data":""}}"#
        )),
        ok(format!(r#"{{"status":"success","data":"{TOKEN}"}}"#)),
        ok(format!(r#"{{"status":"success","data":["{TOKEN}"]}}"#)),
        ok(format!(r#"{{"{TOKEN}":"#)),
        ok(format!(r#"{{"data":{{"oc":{{"{TOKEN}":{{}}}}}}}}"#)),
        ok(TOKEN),
        // Where it is shown only in part, the part is not shown.
        ok(&long),
        answer("502 Bad Gateway", "", &long),
        answer("400 Bad Request", "", format!("bad {TOKEN}")),
        answer(
            "400 Bad Request",
            "",
            r#"{"errorCode":"DH-905","errorMessage":"claims eyJzM2NyM3QiOjF9"}"#,
        ),
        answer(
            "401 Unauthorized",
            &format!("WWW-Authenticate: {TOKEN}\r\n"),
            "",
        ),
        answer(
            "302 Found",
            &format!("Location: http://x/?t={TOKEN}\r\n"),
            "",
        ),
        answer("429 Too Many", &format!("Retry-After: {TOKEN}\r\n"), TOKEN),
        answer("500 Error", &format!("Content-Type: {TOKEN}\r\n"), TOKEN),
        format!("HTTP/1.1 {TOKEN}\r\n\r\n").into(),
        format!("{TOKEN}\r\n\r\n").into(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {TOKEN}\r\n\r\n").into(),
        Vec::new(),
    ]
}

#[test]
fn no_failure_shows_the_token() {
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(logged.clone())
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let mut shown = String::new();
    tracing::subscriber::with_default(subscriber, || {
        runtime.unwrap().block_on(async {
            for reply in answers() {
                let server = Server::always(reply).await;
                let mut config = server.config();
                config.limits.retries = 1;
                let rest = DhanRest::new(config).unwrap();
                shown += &format!("{rest:?}\n");
                let expiry = "30JAN2025".parse().unwrap();
                let mut errors = 0;
                let mut note = |failed: Option<strikewire_broker::ReferenceError>| {
                    if let Some(error) = failed {
                        shown += &format!("{error}\n{error:?}\n");
                        errors += 1;
                    }
                };
                note(rest.quotes(&[(HDFC, STEP)]).await.err());
                note(rest.option_chain(NIFTY, expiry).await.err());
                note(rest.expiries(NIFTY).await.err());
                // A chain without a strike is good enough for quotes.
                assert!(errors >= 2, "{shown}");
                assert_eq!(server.requests()[0].headers["access-token"], TOKEN);
            }
            // Configurations, good and bad.
            let server = Server::always(Vec::new()).await;
            for url in [
                "https://api.dhan.co".to_owned(),
                format!("https://api.dhan.co?token={TOKEN}"),
                format!("wss://{TOKEN}"),
                TOKEN.to_owned(),
            ] {
                let config = RestConfig {
                    url,
                    token: TokenSource::Fixed(TOKEN.into()),
                    ..server.config()
                };
                shown += &format!("{config:?}\n");
                match DhanRest::new(config) {
                    Ok(rest) => shown += &format!("{rest:?}\n"),
                    Err(error) => shown += &format!("{error} {error:?}\n"),
                }
            }
        });
    });
    let logged = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("asked too often"), "{logged}");
    for text in [&shown, &logged] {
        for part in TOKEN.split('.') {
            let leak = text.lines().find(|line| line.contains(&part[..12]));
            assert_eq!(leak, None);
        }
    }
    assert!(shown.contains("[token]"));
}
