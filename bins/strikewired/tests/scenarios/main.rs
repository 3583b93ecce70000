//! A handful of the stand-in's scenarios over real sockets: the adapter with its driver,
//! the book, and the stand-in on a loopback socket.
//!
//! All of them are played machine against machine in the target `chaos`; what is shown
//! here is that the driver does what the machine says. A scenario's times are those of
//! the stand-in's clock, which runs twenty times as fast, and the adapter's limits are
//! shortened to match. Nothing waits for a time: conditions are waited for, with a deadline
//! that only a failure meets.

mod stage;

use std::time::Duration;

use strikewire_broker::{DownCause, Notice};

use stage::{Load, Stage, on_stage, on_stage_with};

/// All five sockets are reset at once, and come back with everything, each with its gap.
#[test]
fn all_reset_at_once() {
    on_stage("all_reset_at_once", async |stage: &mut Stage| {
        stage.whole().await;
        stage
            .until("five downs", |stage| stage.downs.len() >= 5)
            .await;
        stage.whole().await;
        stage
            .until("five gaps", |stage| stage.gaps().len() >= 5)
            .await;
        assert_eq!(stage.downs.len(), 5);
        assert!(
            stage
                .downs
                .iter()
                .all(|down| matches!(down, DownCause::Closed(_)))
        );
        assert!(stage.gaps().iter().all(|gap| gap.from.mono <= gap.to.mono));
    });
}

/// A close frame is no end: the reason is told, and the connection comes back.
#[test]
fn polite_close() {
    on_stage("polite_close", async |stage: &mut Stage| {
        stage.whole().await;
        stage
            .until("six downs", |stage| stage.downs.len() >= 6)
            .await;
        stage.whole().await;
        assert_eq!(
            stage.downs[0],
            DownCause::Closed("code 1001, going away".to_owned())
        );
        let last = DownCause::Closed("code 1011, keepalive ping timeout".to_owned());
        assert!(stage.downs[1..].iter().all(|down| *down == last));
    });
}

/// Pings without data end the sockets on which data is expected.
#[test]
fn silent_stall() {
    on_stage("silent_stall", async |stage: &mut Stage| {
        stage.whole().await;
        stage.expect_traffic();
        stage
            .until("five downs", |stage| stage.downs.len() >= 5)
            .await;
        stage.whole().await;
        stage
            .until("five gaps", |stage| stage.gaps().len() >= 5)
            .await;
        let stalled =
            |down: &DownCause| matches!(down, DownCause::Stalled(_) | DownCause::Silent(_));
        assert!(stage.downs.iter().all(stalled), "{:?}", stage.downs);
    });
}

/// Whatever the writes are cut into, nothing is lost.
#[test]
fn split_writes() {
    on_stage_with("split_writes", Load::SMALL, async |stage: &mut Stage| {
        stage.whole().await;
        stage.everything_ticks().await;
        assert!(stage.downs.is_empty(), "{:?}", stage.downs);
        assert_eq!(stage.undecoded(), 0);
    });
}

/// However many packets a frame has, all of them are taken.
#[test]
fn coalesced() {
    on_stage("coalesced", async |stage: &mut Stage| {
        stage.whole().await;
        stage.everything_ticks().await;
        assert!(stage.downs.is_empty(), "{:?}", stage.downs);
        assert_eq!(stage.undecoded(), 0);
    });
}

/// Packets of an unknown code are handed on raw, and cost none of the others.
#[test]
fn unknown_codes() {
    on_stage("unknown_codes", async |stage: &mut Stage| {
        stage.whole().await;
        stage.everything_ticks().await;
        assert!(stage.undecoded() > 0);
        assert!(stage.downs.is_empty(), "{:?}", stage.downs);
    });
}

/// With 401 for an answer nothing but the token is to blame; then everything comes up.
#[test]
fn handshake_401() {
    on_stage("handshake_401", async |stage: &mut Stage| {
        stage
            .until("the token is blamed", |stage| {
                let blamed = |told: &Notice| matches!(told, Notice::NoCredentials(_));
                stage.notices.iter().any(blamed)
            })
            .await;
        stage.whole().await;
        let refused = |down: &DownCause| *down == DownCause::Refused { status: 401 };
        assert!(stage.downs.iter().all(refused), "{:?}", stage.downs);
    });
}

/// Another token kills the old one; it is read from its file, and everything comes back.
#[test]
fn token_rollover_at_once() {
    on_stage("token_rollover_at_once", async |stage: &mut Stage| {
        stage.whole().await;
        stage.write_token("the-next-token");
        stage
            .until("five goodbyes with 807", |stage| {
                let dead =
                    |down: &&DownCause| matches!(down, DownCause::Disconnected { code: 807, .. });
                stage.downs.iter().filter(dead).count() >= 5
            })
            .await;
        stage.whole().await;
        stage.everything_ticks().await;
    });
}

/// Another token is in the file while the old one lives on: the sockets move to it one
/// after the other, and are told as renewed.
#[test]
fn token_rollover_with_grace() {
    on_stage("token_rollover_with_grace", async |stage: &mut Stage| {
        stage.whole().await;
        // The broker knows the new token from its first minute on.
        stage
            .until("the first minute is over", |stage| {
                stage.sim_time() > Duration::from_secs(60)
            })
            .await;
        stage.write_token("the-next-token");
        stage
            .until("five renewals", |stage| stage.downs.len() >= 5)
            .await;
        stage.whole().await;
        let renewed = |down: &DownCause| *down == DownCause::Renewed;
        assert!(stage.downs.iter().all(renewed), "{:?}", stage.downs);
    });
}
