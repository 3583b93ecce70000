//! Coming up, going down, coming back, leaving.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use strikewire_broker::{Capabilities, ConnEvent, DownCause, Fault, Feed, Notice, port};
use strikewire_dhan::connection::Phase;
use strikewire_dhan::{DhanFeed, Ended, Error, FeedConfig, Limits, TokenSource};
use strikewire_types::{ConnId, Epoch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{
    CLIENT, NIFTY, OPTION, Rig, TOKEN, batch, disconnect, on_runtime, patient, ticker,
};

#[test]
fn every_connection_asks_with_the_documented_query() {
    on_runtime(async {
        let mut rig = Rig::new(5, &patient()).await;
        let mut conns = BTreeSet::new();
        let mut peers = Vec::new();
        for _ in 0..5 {
            let (peer, conn, epoch) = rig.connected().await;
            assert_eq!(
                peer.uri,
                format!("/?version=2&token={TOKEN}&clientId={CLIENT}&authType=2")
            );
            assert_eq!(epoch, Epoch(1));
            conns.insert(conn.number());
            peers.push(peer);
        }
        assert_eq!(conns, BTreeSet::from([1, 2, 3, 4, 5]));
        assert!(
            rig.stats
                .connections()
                .all(|(_, stats)| stats.attempts == 1)
        );
    });
}

#[test]
fn a_batch_is_written_and_then_the_connection_is_ready_again() {
    on_runtime(async {
        let mut rig = Rig::new(1, &patient()).await;
        let (mut peer, conn, epoch) = rig.connected().await;
        for _ in 0..3 {
            rig.link.send(batch(conn, epoch, &[NIFTY, OPTION]));
            assert_eq!(
                peer.text().await,
                concat!(
                    r#"{"RequestCode":21,"InstrumentCount":2,"InstrumentList":["#,
                    r#"{"ExchangeSegment":"IDX_I","SecurityId":"13"},"#,
                    r#"{"ExchangeSegment":"NSE_FNO","SecurityId":"35060"}]}"#
                )
            );
            assert_eq!(rig.event().await, ConnEvent::Ready { conn, epoch });
        }
    });
}

#[test]
fn a_batch_for_another_life_is_ignored() {
    on_runtime(async {
        let mut rig = Rig::new(1, &patient()).await;
        let (mut peer, conn, first) = rig.connected().await;
        peer.send(disconnect(800)).await;
        assert!(matches!(
            rig.down().await,
            (
                _,
                Epoch(1),
                DownCause::Disconnected { code: 800, .. },
                Some(_)
            )
        ));
        // Made for the first life, arrives while it is down or in the next one.
        rig.link.send(batch(conn, first, &[NIFTY]));
        let (mut peer, _, second) = rig.connected().await;
        assert_ne!(first, second);
        rig.link.send(batch(conn, first, &[NIFTY]));
        rig.link.send(batch(conn, second, &[OPTION]));
        assert!(peer.text().await.contains("35060"));
        assert_eq!(
            rig.event().await,
            ConnEvent::Ready {
                conn,
                epoch: second
            }
        );
    });
}

#[test]
fn a_polite_close_is_no_end() {
    on_runtime(async {
        let mut rig = Rig::new(1, &patient()).await;
        let (mut peer, conn, epoch) = rig.connected().await;
        let frame = CloseFrame {
            code: CloseCode::Away,
            reason: "maintenance".into(),
        };
        peer.socket.close(Some(frame)).await.unwrap();
        let (down, ended, cause, retry_in) = rig.down().await;
        assert_eq!((down, ended), (conn, epoch));
        assert_eq!(
            cause,
            DownCause::Closed("code 1001, maintenance".to_owned())
        );
        assert!(retry_in.is_some());
        assert_eq!(rig.stats.ends(conn), [(Ended::CloseFrame, 1)]);
        let (_, _, next) = rig.connected().await;
        assert!(next > epoch);
    });
}

#[test]
fn a_reset_is_no_end() {
    on_runtime(async {
        let mut rig = Rig::new(1, &patient()).await;
        for life in 1..=3 {
            let (peer, _, epoch) = rig.connected().await;
            assert_eq!(epoch, Epoch(life));
            peer.socket.get_ref().set_zero_linger().unwrap();
            drop(peer);
            let (_, ended, cause, retry_in) = rig.down().await;
            assert_eq!(ended, epoch);
            assert!(matches!(cause, DownCause::Closed(_)), "{cause}");
            assert!(retry_in.is_some());
        }
        let conn = ConnId::from_index(0);
        assert_eq!(rig.stats.connection(conn).unwrap().frames, 0);
        assert_eq!(rig.stats.ends(conn), [(Ended::Reset, 3)]);
    });
}

#[test]
fn a_goodbye_of_the_broker_is_answered_by_its_class() {
    on_runtime(async {
        for (code, fault, least) in [
            (800, None, Some(0)),
            (805, None, Some(30)),
            (807, None, Some(30)),
            (804, Some(Fault::TooMany), Some(5)),
            (814, Some(Fault::BadRequest), Some(5)),
            (806, None, None),
            (810, None, None),
        ] {
            let mut rig = Rig::new(1, &patient()).await;
            let (mut peer, conn, _) = rig.connected().await;
            peer.send(disconnect(code)).await;
            let (_, _, cause, retry_in) = rig.down().await;
            assert_eq!(cause, DownCause::Disconnected { code, fault });
            assert_eq!(rig.stats.ends(conn), [(Ended::Code(code), 1)]);
            match least.map(Duration::from_secs) {
                Some(least) => assert!(retry_in.unwrap() >= least, "{code}: {retry_in:?}"),
                None => {
                    assert_eq!(retry_in, None, "{code}");
                    assert!(matches!(
                        rig.notice().await,
                        Notice::Credentials { expires_in: None }
                    ));
                    assert!(matches!(rig.notice().await, Notice::TurnedAway(_)));
                    let stats = rig.stats.connection(conn).unwrap();
                    assert_eq!(stats.phase, Phase::Stopped);
                    // The feed itself goes on, until nobody wants it.
                    drop(rig.link);
                    rig.feed.await.unwrap().unwrap();
                }
            }
        }
    });
}

#[test]
fn silence_ends_a_connection_and_a_ping_is_no_silence() {
    on_runtime(async {
        let limits = Limits {
            silence: Duration::from_secs(1),
            ..patient()
        };
        let mut rig = Rig::new(2, &limits).await;
        let first = rig.accept().await;
        let second = rig.accept().await;
        rig.up().await;
        rig.up().await;
        // One of the two is kept alive by nothing but pings, each sent when the one
        // before has been answered.
        let mut pinged = first;
        let _silent = second;
        let pings = async {
            loop {
                pinged.send(Message::Ping("are you there".into())).await;
                match pinged.socket.next().await {
                    Some(Ok(Message::Pong(_))) => {}
                    other => break other,
                }
            }
        };
        let (conn, cause) = tokio::select! {
            end = pings => panic!("the pinged connection ended: {end:?}"),
            (conn, _, cause, _) = rig.down() => (conn, cause),
        };
        assert!(
            matches!(cause, DownCause::Silent(limit) if limit >= Duration::from_secs(1)),
            "{cause}"
        );
        let other = ConnId::from_index(1 - conn.index());
        assert_eq!(rig.stats.connection(other).unwrap().phase, Phase::Waiting);
    });
}

#[test]
fn an_upgrade_that_is_never_answered_is_given_up() {
    on_runtime(async {
        let limits = Limits {
            upgrade: Duration::from_millis(50),
            ..patient()
        };
        let mut rig = Rig::new(1, &limits).await;
        let (_held, _) = rig.listener.accept().await.unwrap();
        let (_, epoch, cause, retry_in) = rig.down().await;
        assert_eq!(epoch, Epoch(1));
        assert_eq!(
            cause,
            DownCause::Connect("connected, but no upgrade within 0.05 s".to_owned())
        );
        assert!(retry_in.is_some());
    });
}

/// Puts `token` into the file at `path`, at once.
fn replace(path: &Path, token: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, token).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[test]
fn the_token_file_is_read_for_every_attempt_and_another_token_ends_the_wait() {
    on_runtime(async {
        let limits = Limits {
            token_look: Duration::from_millis(20),
            refused_token: Duration::from_secs(600),
            ..patient()
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mut rig = Rig::with_token(1, &limits, TokenSource::File(path.clone())).await;
        let (_, epoch, cause, retry_in) = rig.down().await;
        assert_eq!(epoch, Epoch(1));
        let name = path.display().to_string();
        assert!(cause.to_string().contains(&name), "{cause}");
        assert!(retry_in.unwrap() >= Duration::from_secs(600));
        assert!(
            matches!(rig.notice().await, Notice::NoCredentials(words) if words.contains(&name))
        );
        assert!(
            matches!(rig.notice().await, Notice::Held { wait, .. } if wait >= Duration::from_secs(600))
        );

        replace(&path, "first\n");
        let mut peer = rig.accept().await;
        assert!(peer.uri.contains("token=first&"), "{}", peer.uri);
        assert_eq!(rig.notice().await, Notice::Credentials { expires_in: None });
        assert!(matches!(
            rig.notice().await,
            Notice::Held {
                wait: Duration::ZERO,
                ..
            }
        ));
        rig.up().await;

        // Refused, and still the same: nothing is tried until there is another one.
        peer.send(disconnect(807)).await;
        let (_, _, cause, retry_in) = rig.down().await;
        assert!(matches!(cause, DownCause::Disconnected { code: 807, .. }));
        assert!(retry_in.unwrap() >= Duration::from_secs(600));
        assert!(
            matches!(rig.notice().await, Notice::NoCredentials(words) if words.contains("807"))
        );
        replace(&path, "the second");
        let mut peer = rig.accept().await;
        assert!(peer.uri.contains("token=the+second&"), "{}", peer.uri);
        rig.up().await;

        // Refused because there is another one already: tried again at once.
        replace(&path, "the third");
        peer.send(disconnect(807)).await;
        let (_, _, _, retry_in) = rig.down().await;
        assert!(
            retry_in.unwrap() <= Duration::from_millis(10),
            "{retry_in:?}"
        );
        let peer = rig.accept().await;
        assert!(peer.uri.contains("token=the+third&"), "{}", peer.uri);
    });
}

/// A token as Dhan's are: a JSON Web Token, here with these claims.
fn web_token(claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(r#"{"typ":"JWT"}"#),
        part(claims),
        part("signed")
    )
}

#[test]
fn another_token_moves_the_sockets_one_after_the_other() {
    on_runtime(async {
        let limits = Limits {
            token_look: Duration::from_millis(20),
            renewal: Duration::from_secs(600),
            ..patient()
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        // 2001-09-09, long ago, and 2200-01-01.
        let (old, new) = (
            web_token(r#"{"exp":1000000000}"#),
            web_token(r#"{"exp":7258118400}"#),
        );
        std::fs::write(&path, &old).unwrap();
        let mut rig = Rig::with_token(2, &limits, TokenSource::File(path.clone())).await;
        let (first, first_conn, _) = rig.connected().await;
        let (second, second_conn, _) = rig.connected().await;
        assert_eq!(
            rig.notice().await,
            Notice::Credentials {
                expires_in: Some(Duration::ZERO)
            }
        );
        assert!(first.uri.contains(&old) && second.uri.contains(&old));

        replace(&path, &new);
        assert!(matches!(
            rig.notice().await,
            Notice::Credentials { expires_in: Some(left) } if left > Duration::from_secs(86_400)
        ));
        let expires = rig.stats.token_expires_at().unwrap();
        assert_eq!(expires.as_seconds(), 7_258_118_400);
        let mut peers = [first, second];
        for (index, conn) in [first_conn, second_conn].into_iter().enumerate() {
            assert_eq!(peers[index].text().await, r#"{"RequestCode":12}"#);
            let (down, _, cause, retry_in) = rig.down().await;
            assert_eq!((down, cause), (conn, DownCause::Renewed));
            assert_eq!(retry_in, Some(Duration::ZERO));
            // Until the broker has answered the close, or a second has passed.
            let ended = peers[index].socket.next().await;
            assert!(matches!(ended, Some(Ok(Message::Close(_)))), "{ended:?}");
            assert!(peers[index].socket.next().await.is_none());
            let mut peer = rig.accept().await;
            assert!(peer.uri.contains(&new), "{}", peer.uri);
            let (up, _) = rig.up().await;
            assert_eq!(up, conn);
            // The next one is moved when this one has brought data.
            assert!(rig.link.try_event().is_none());
            peer.send(Message::binary(ticker(NIFTY, 1.0))).await;
            peers[index] = peer;
        }
        assert_eq!(rig.stats.ends(first_conn), [(Ended::Renewed, 1)]);
    });
}

#[test]
fn leaving_is_polite_and_does_not_wait_for_long() {
    on_runtime(async {
        let mut rig = Rig::new(2, &patient()).await;
        let mut polite = rig.accept().await;
        let _rude = rig.accept().await;
        rig.up().await;
        rig.up().await;
        drop(rig.link);
        assert_eq!(polite.text().await, r#"{"RequestCode":12}"#);
        assert!(matches!(
            polite.socket.next().await,
            Some(Ok(Message::Close(_)))
        ));
        // The other end of the second connection never answers.
        rig.feed.await.unwrap().unwrap();
        assert!(
            rig.stats
                .connections()
                .all(|(_, stats)| stats.phase == Phase::Stopped)
        );
    });
}

#[test]
fn a_port_of_another_size_is_refused() {
    on_runtime(async {
        let feed = DhanFeed::new(FeedConfig {
            client_id: CLIENT.to_owned(),
            connections: 3,
            per_connection: 7,
            ..FeedConfig::default()
        })
        .unwrap();
        assert_eq!(
            feed.capabilities(),
            Capabilities {
                connections: 3,
                per_connection: 7,
                per_batch: 100
            }
        );
        let (port, _link) = port(2);
        let error = feed.run(port, crate::data::deaf()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the dhan feed cannot run: the port serves 2 connections; expected 3"
        );
    });
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let config = |change: fn(&mut FeedConfig)| {
        let mut config = FeedConfig {
            client_id: CLIENT.to_owned(),
            ..FeedConfig::default()
        };
        change(&mut config);
        DhanFeed::new(config)
    };
    assert!(config(|_| {}).is_ok());
    assert!(matches!(
        config(|c| c.client_id = " ".to_owned()),
        Err(Error::ClientIdMissing)
    ));
    assert!(matches!(
        config(|c| c.url = "http://x".to_owned()),
        Err(Error::Url { .. })
    ));
    for got in [0, 6] {
        let error = DhanFeed::new(FeedConfig {
            client_id: CLIENT.to_owned(),
            connections: got,
            ..FeedConfig::default()
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("dhan connections is {got}; expected 1 to 5")
        );
    }
    assert!(matches!(
        config(|c| c.per_connection = 0),
        Err(Error::PerConnection { .. })
    ));
    assert!(matches!(
        config(|c| c.per_connection = 5_001),
        Err(Error::PerConnection { .. })
    ));
}

#[test]
fn data_goes_on_while_another_connection_is_down() {
    on_runtime(async {
        let mut rig = Rig::new(2, &patient()).await;
        let mut first = rig.accept().await;
        let second = rig.accept().await;
        rig.up().await;
        rig.up().await;
        drop(second);
        rig.down().await;
        for _ in 0..3 {
            first
                .socket
                .send(Message::binary(ticker(NIFTY, 1.0)))
                .await
                .unwrap();
            let conn = match rig.seen().await {
                crate::support::Seen::Frame(conn, 16) => conn,
                other => panic!("{other:?}"),
            };
            assert!(
                matches!(rig.seen().await, crate::support::Seen::Update(c, NIFTY, _) if c == conn)
            );
            assert_eq!(rig.seen().await, crate::support::Seen::TurnDone);
        }
    });
}
