//! What a broker does wrong, and how often it is tried again.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use strikewire_broker::{ConnEvent, DownCause, Notice, Report};
use strikewire_dhan::connection::Phase;
use strikewire_dhan::{BudgetConfig, Ended, Limits};
use strikewire_types::ConnId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    NIFTY, OPTION, Peer, Rig, batch, disconnect, on_runtime, patient, plenty, ticker,
};

const SHORT: Duration = Duration::from_millis(200);

/// Pings `peer`, each when the one before has been answered, for as long as it lives.
async fn ping(peer: &mut Peer) {
    loop {
        let ping = Message::Ping("are you there".into());
        let answered = match peer.socket.send(ping).await {
            Ok(()) => peer.socket.next().await,
            Err(_) => None,
        };
        if !matches!(answered, Some(Ok(_))) {
            core::future::pending::<()>().await;
        }
    }
}

#[test]
fn pings_without_data_are_a_stall_where_data_is_expected() {
    on_runtime(async {
        let limits = Limits {
            stall: SHORT,
            first_data: SHORT,
            token_look: SHORT,
            ..patient()
        };
        // Before the first data, and after it.
        for data in [false, true] {
            let mut rig = Rig::new(1, &limits).await;
            let (mut peer, conn, epoch) = rig.connected().await;
            rig.link.send(batch(conn, epoch, &[NIFTY]));
            assert_eq!(rig.event().await, ConnEvent::Ready { conn, epoch });
            if data {
                peer.send(Message::binary(ticker(NIFTY, 1.0))).await;
            }
            rig.link.expect_traffic(conn, true);
            let cause = tokio::select! {
                () = ping(&mut peer) => unreachable!("it does not end"),
                (_, _, cause, _) = rig.down() => cause,
            };
            assert!(
                matches!(cause, DownCause::Stalled(lasted) if lasted >= SHORT),
                "{cause}"
            );
            assert_eq!(rig.stats.ends(conn), [(Ended::Stalled, 1)]);
        }
    });
}

#[test]
fn frames_of_zeros_are_no_life() {
    on_runtime(async {
        let limits = Limits {
            garbled: SHORT,
            ..patient()
        };
        let mut rig = Rig::new(1, &limits).await;
        let (mut peer, conn, _) = rig.connected().await;
        peer.send(Message::binary(ticker(NIFTY, 1.0))).await;
        let zeros = async {
            loop {
                if peer
                    .socket
                    .send(Message::binary(vec![0; 64]))
                    .await
                    .is_err()
                {
                    core::future::pending::<()>().await;
                }
                tokio::task::yield_now().await;
            }
        };
        let cause = tokio::select! {
            () = zeros => panic!("it does not end"),
            (_, _, cause, _) = rig.down() => cause,
        };
        assert!(
            matches!(cause, DownCause::Garbled(lasted) if lasted >= SHORT),
            "{cause}"
        );
        assert_eq!(rig.stats.ends(conn), [(Ended::Garbled, 1)]);
    });
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    on_runtime(async {
        let limits = Limits {
            blocked: SHORT,
            ..patient()
        };
        let mut rig = Rig::new(1, &limits).await;
        let (_peer, conn, epoch) = rig.connected().await;
        let keys = [OPTION; 100];
        let cause = loop {
            rig.link.send(batch(conn, epoch, &keys));
            match rig.event().await {
                ConnEvent::Ready { .. } => {}
                ConnEvent::Down { cause, .. } => break cause,
                other => panic!("{other:?}"),
            }
        };
        assert!(
            matches!(cause, DownCause::Blocked(lasted) if lasted >= SHORT),
            "{cause}"
        );
    });
}

#[test]
fn a_429_is_kept_away_from_for_as_long_as_it_asks() {
    on_runtime(async {
        for (retry_after, least) in [
            ("", 60),
            ("Retry-After: 5\r\n", 60),
            ("Retry-After: 90\r\n", 90),
        ] {
            let mut rig = Rig::new(2, &patient()).await;
            let (mut stream, _) = rig.listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let answer = format!("HTTP/1.1 429 Too Many Requests\r\n{retry_after}\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            let (conn, _, cause, retry_in) = rig.down().await;
            assert_eq!(cause, DownCause::Refused { status: 429 });
            let least = Duration::from_secs(least);
            assert!(retry_in.unwrap() >= least, "{retry_in:?}");
            assert_eq!(rig.stats.ends(conn), [(Ended::Refused(429), 1)]);
            assert!(matches!(rig.notice().await, Notice::Credentials { .. }));
            assert!(matches!(rig.notice().await, Notice::Held { wait, .. } if wait >= least));
            assert!(rig.stats.held_until().is_some());
            // The second one has not been tried.
            let second = rig.stats.connection(ConnId::from_index(1)).unwrap();
            assert_eq!((second.attempts, second.phase), (0, Phase::Queued));
        }
    });
}

#[test]
fn three_805_are_told_as_contention() {
    on_runtime(async {
        let mut rig = Rig::new(3, &patient()).await;
        let mut peers = Vec::new();
        for _ in 0..3 {
            peers.push(rig.connected().await.0);
        }
        for peer in &mut peers {
            peer.send(disconnect(805)).await;
            let (_, _, cause, retry_in) = rig.down().await;
            assert!(matches!(cause, DownCause::Disconnected { code: 805, .. }));
            assert!(retry_in.unwrap() >= Duration::from_secs(30));
        }
        loop {
            match rig.notice().await {
                Notice::Contended(contended) => {
                    assert!(contended);
                    break;
                }
                Notice::Credentials { .. } | Notice::Held { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

fn kept_in(path: PathBuf) -> BudgetConfig {
    BudgetConfig {
        path: Some(path),
        size: 10,
        // None comes while the test runs, however slow the machine.
        refill: Duration::from_secs(86_400),
        ..plenty()
    }
}

/// Runs a feed of five until all are up or attempts are held; gives how many there were.
async fn attempts_of_a_run(budget: &BudgetConfig) -> u64 {
    let mut rig = Rig::with(5, |config| config.budget = budget.clone()).await;
    let mut peers = Vec::new();
    while peers.len() < 5 {
        tokio::select! {
            accepted = rig.listener.accept() => {
                peers.push(Peer::upgrade(accepted.unwrap().0).await);
            }
            report = rig.link.report() => {
                if let Some(Report::Notice(Notice::Held { wait, reason })) = report {
                    assert!(wait > Duration::from_secs(1), "{wait:?}");
                    assert!(reason.contains("budget"), "{reason}");
                    assert_eq!(rig.stats.attempts_left(), 0);
                    break;
                }
            }
        }
    }
    // As in a crash: the feed is dropped without a goodbye.
    rig.feed.abort();
    rig.stats
        .connections()
        .map(|(_, stats)| stats.attempts)
        .sum()
}

#[test]
fn ten_restarts_open_no_more_sockets_than_the_budget() {
    on_runtime(async {
        let folder = tempfile::tempdir().unwrap();
        let budget = kept_in(folder.path().join("connect-budget.json"));
        let mut attempts = 0;
        for _ in 0..10 {
            attempts += attempts_of_a_run(&budget).await;
        }
        assert_eq!(attempts, 10);
    });
}

#[test]
fn a_budget_that_cannot_be_understood_is_one_attempt_and_one_that_cannot_be_kept_still_counts() {
    on_runtime(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connect-budget.json");
        std::fs::write(&path, "{\"version\":1,").unwrap();
        assert_eq!(attempts_of_a_run(&kept_in(path)).await, 1);
        let nowhere = kept_in(folder.path().join("missing").join("budget"));
        let budget = BudgetConfig { size: 3, ..nowhere };
        assert_eq!(attempts_of_a_run(&budget).await, 3);
    });
}
