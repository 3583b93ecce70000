//! The access token is in the address of every attempt, and must be nowhere else.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strikewire_broker::DownCause;
use strikewire_dhan::{DhanFeed, FeedConfig, TokenSource};
use strikewire_types::ConnId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{CLIENT, NIFTY, Rig, TOKEN, disconnect, on_runtime, patient, ticker};

/// A token that looks otherwise in an address, and how it looks there.
const STRANGE: (&str, &str) = ("s3cr3t&t0ken/+=", "s3cr3t%26t0ken%2F%2B%3D");

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

/// How the broker's end of an attempt can be rude, told with the token in every
/// place that it has.
const ANSWERS: [(&str, &str); 10] = [
    (
        "429",
        "HTTP/1.1 429 Too Many {TOKEN}\r\nX-Token: {TOKEN}\r\nContent-Length: 26\r\n\r\n{TOKEN}",
    ),
    (
        "429",
        "HTTP/1.1 429 {ENCODED}\r\nRetry-After: {TOKEN}\r\nSet-Cookie: token={ENCODED}\r\n\r\n",
    ),
    (
        "401",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {TOKEN}\r\n\r\n",
    ),
    (
        "403",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 26\r\n\r\n{TOKEN}",
    ),
    (
        "302",
        "HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/?token={TOKEN}\r\n\r\n",
    ),
    (
        "bad accept",
        "HTTP/1.1 101 {TOKEN}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {TOKEN}\r\n\r\n",
    ),
    ("no upgrade", "HTTP/1.1 101 {TOKEN}\r\n\r\n"),
    ("no http", "{TOKEN}\r\n\r\n"),
    (
        "200",
        "HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{TOKEN}",
    ),
    ("closed", ""),
];

#[test]
fn no_failure_shows_the_token() {
    let logged = Logged::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(logged.clone())
        .init();
    log::info!("log is heard");
    let mut shown = String::new();
    on_runtime(async {
        let tokens = [(TOKEN, TOKEN), STRANGE];
        let all = ANSWERS
            .iter()
            .flat_map(|answer| tokens.map(|token| (answer, token)));
        for (&(what, answer), (token, encoded)) in all {
            let source = TokenSource::Fixed(token.into());
            let mut rig = Rig::with_token(1, &patient(), source).await;
            let (mut stream, _) = rig.listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            assert!(
                String::from_utf8(request).unwrap().contains(encoded),
                "the server is asked with it"
            );
            stream
                .write_all(
                    answer
                        .replace("{TOKEN}", token)
                        .replace("{ENCODED}", encoded)
                        .as_bytes(),
                )
                .await
                .unwrap();
            drop(stream);
            let (_, _, cause, retry_in) = rig.down().await;
            match (what, &cause) {
                ("429", DownCause::Refused { status: 429 }) => {
                    assert!(retry_in.unwrap() >= Duration::from_secs(60));
                }
                ("401", DownCause::Refused { status: 401 })
                | ("403", DownCause::Refused { status: 403 }) => {
                    assert!(retry_in.unwrap() >= Duration::from_secs(30));
                }
                ("302" | "200", DownCause::Refused { status }) => {
                    assert_eq!(status.to_string(), what);
                }
                ("bad accept" | "no upgrade" | "no http" | "closed", DownCause::Connect(_)) => {}
                other => panic!("{other:?}"),
            }
            shown += &format!("{what}: {cause} {cause:?}\n");
            while let Some(notice) = rig.link.try_notice() {
                shown += &format!("{notice:?}\n");
            }
            shown += &format!(
                "{:?} {:?}\n",
                rig.stats,
                rig.stats.ends(ConnId::from_index(0))
            );
        }

        // A name that cannot be looked up, and a server without TLS.
        for tls in [false, true] {
            let mut rig = Rig::with(1, |config| {
                config.url = match tls {
                    true => config.url.replace("ws://", "wss://"),
                    // No label of a name is that long, so nobody is asked for it.
                    false => format!("ws://{}.invalid", "x".repeat(70)),
                };
            })
            .await;
            if tls {
                let (mut stream, _) = rig.listener.accept().await.unwrap();
                stream.read_u8().await.unwrap();
                stream.write_all(TOKEN.as_bytes()).await.unwrap();
            }
            let (_, _, cause, _) = rig.down().await;
            assert!(matches!(cause, DownCause::Connect(_)), "{cause}");
            shown += &format!("{cause} {cause:?}\n");
        }

        // A token file that is a folder, and one that is empty.
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, " ").unwrap();
        for path in [folder.path().to_owned(), empty] {
            let mut rig = Rig::with_token(1, &patient(), TokenSource::File(path)).await;
            let (_, _, cause, _) = rig.down().await;
            shown += &format!("{cause} {cause:?} {:?}\n", rig.notice().await);
        }

        // Garbage, and a goodbye.
        let mut rig = Rig::new(1, &patient()).await;
        let (mut peer, _, _) = rig.connected().await;
        peer.send(Message::binary(TOKEN.as_bytes().to_vec())).await;
        peer.send(disconnect(807)).await;
        let (_, _, cause, _) = rig.down().await;
        shown += &format!("{cause} {cause:?}\n");
        for _ in 0..3 {
            shown += &format!("{:?}\n", rig.notice().await);
        }
        assert!(shown.contains("NoCredentials"), "{shown}");

        // Nobody listens.
        let rig = Rig::new(1, &patient()).await;
        let address = rig.listener.local_addr().unwrap();
        let Rig {
            listener, mut link, ..
        } = rig;
        drop(listener);
        loop {
            let event = link.event().await.unwrap();
            shown += &format!("{event:?}\n");
            if format!("{event:?}").contains(&address.to_string()) {
                break;
            }
        }

        // A connection that came up and is closed with the token in the broker's words.
        let mut rig = Rig::new(1, &patient()).await;
        let (mut peer, _, _) = rig.connected().await;
        peer.send(Message::text(TOKEN)).await;
        peer.send(Message::binary(ticker(NIFTY, 1.0))).await;
        rig.seen().await;
        shown += &format!("{:?} {:?}\n", rig.stats, rig.link);
        let frame = CloseFrame {
            code: CloseCode::Policy,
            reason: format!("bad {TOKEN}").into(),
        };
        peer.socket.close(Some(frame)).await.unwrap();
        let (_, _, cause, _) = rig.down().await;
        assert_eq!(
            cause,
            DownCause::Closed("code 1008, bad [token]".to_owned())
        );
    });

    // Configurations, good and bad.
    for url in [
        "wss://api-feed.dhan.co".to_owned(),
        format!("wss://api-feed.dhan.co?token={TOKEN}"),
        format!("http://{TOKEN}"),
        TOKEN.to_owned(),
    ] {
        let config = FeedConfig {
            url,
            client_id: CLIENT.to_owned(),
            token: TokenSource::Fixed(TOKEN.into()),
            ..FeedConfig::default()
        };
        shown += &format!("{config:?} {:?}\n", DhanFeed::new(config.clone()));
        if let Err(error) = DhanFeed::new(config) {
            shown += &format!("{error}\n");
        }
    }

    let logged = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(
        logged.contains("feed connection down") && logged.contains("feed connection up"),
        "{logged}"
    );
    for text in [&shown, &logged] {
        let leak = text.lines().find(|line| line.contains("s3cr3t"));
        assert_eq!(leak, None);
    }
}
