//! The suite: each function is one rule, for any store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::prelude::*;
use rand_pcg::Pcg64Mcg;
use strikewire_leases::{LeaseKey, Leased, Leases, Released, Settings, Subscriber};
use tokio::task::JoinSet;

use crate::model::Model;
use crate::{at, key, keys, times, who};

/// Seconds of silence; no time in the suite is a multiple of ten away from another and
/// between this and a second more, where stores may differ.
pub(crate) const IDLE: u64 = 305;

pub(crate) fn settings() -> Settings {
    Settings {
        idle: Duration::from_secs(IDLE),
        ..Settings::default()
    }
}

/// Runs every rule, each on a store of its own.
macro_rules! contract {
    ($store:ident) => {
        contract!($store:
            subscribing_twice_counts_once,
            letting_go_is_exact_and_may_be_repeated,
            who_came_back_by_another_socket_is_not_let_go_by_the_first,
            a_session_is_released_and_none_that_looks_like_it,
            the_silent_are_swept_and_told_once,
            a_heartbeat_just_before_the_sweep_counts,
            who_left_and_came_back_is_new,
            a_heartbeat_keeps_only_what_is_held,
            the_list_is_what_was_asked_for,
            texts_come_back_as_they_were,
            many_keys_go_in_one_call,
            one_key_more_than_once_in_a_call,
            what_is_no_session_is_refused,
            the_clock_jumps,
            values_last_as_long_as_they_should,
            any_order_is_as_the_model_says,
            hundreds_at_once_leave_the_truth,
            sweeps_at_once_tell_each_once,
        );
    };
    ($store:ident: $($rule:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let Some(store) = $store(stringify!($rule)).await else {
                    return;
                };
                $crate::suite::$rule(&store).await;
                store.check().await;
            }
        )*
    };
}
pub(crate) use contract;

/// A store that a rule is tried on.
pub(crate) trait Rig {
    type Store: Leases;

    fn leases(&self) -> &Arc<Self::Store>;

    /// Lets values end that were written to last until `now` or before.
    async fn pass(&self, now: strikewire_types::Now);

    /// What must hold in the store after any rule.
    async fn check(&self);
}

fn leased(is_new: bool, ref_count: u32) -> Leased {
    Leased { is_new, ref_count }
}

fn released(was_held: bool, stopped: bool, ref_count: u32) -> Released {
    Released {
        was_held,
        stopped,
        ref_count,
    }
}

pub(crate) async fn subscribing_twice_counts_once<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let (a, b) = (who(7, "web"), who(7, "phone"));
    let rsi = &keys(&["NIFTY:5min:RSI_14"]);
    let first = leases.subscribe(at(0), &a, Some("s1"), rsi).await.unwrap();
    assert_eq!(first, [leased(true, 1)]);
    let again = leases.subscribe(at(10), &a, None, rsi).await.unwrap();
    assert_eq!(again, [leased(false, 1)]);
    let other = leases.subscribe(at(20), &b, None, rsi).await.unwrap();
    assert_eq!(other, [leased(false, 2)]);
    let again = leases.subscribe(at(30), &a, Some("s2"), rsi).await.unwrap();
    assert_eq!(again, [leased(false, 2)]);

    let record = leases.record(&rsi[0]).await.unwrap().unwrap();
    let expected = serde_json::json!({
        "indicator_id": "RSI_14", "symbol": "NIFTY", "timeframe": "5min", "ref_count": 2,
        "subscribers": {
            "7_session_web": {"last_active": 1_770_000_030, "websocket_id": "s2"},
            "7_session_phone": {"last_active": 1_770_000_020, "websocket_id": null},
        },
        "created_at": 1_770_000_000, "last_accessed": 1_770_000_030, "ttl": 305,
    });
    assert_eq!(serde_json::to_value(record).unwrap(), expected);
    // A request does not take the socket away.
    leases.subscribe(at(40), &a, None, rsi).await.unwrap();
    let record = leases.record(&rsi[0]).await.unwrap().unwrap();
    let seen = &record.subscribers["7_session_web"];
    assert_eq!(seen.websocket_id.as_deref(), Some("s2"));
    assert_eq!(seen.last_active, 1_770_000_040);
}

pub(crate) async fn letting_go_is_exact_and_may_be_repeated<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let rsi = &keys(&["NIFTY:5min:RSI_14"]);
    // Each is a part of another, as text.
    let all = [
        who(7, "a"),
        who(17, "a"),
        who(7, "aa"),
        who(7, "a_session_a"),
        who(1, "7_session_a"),
    ];
    for who in &all {
        leases
            .subscribe(at(0), who, Some("}],\"{:\\"), rsi)
            .await
            .unwrap();
    }
    let strangers = [who(7, "b"), who(70, "a"), who(7, "a_session"), who(1, "a")];
    for who in &strangers {
        let none = leases.unsubscribe(who, rsi).await.unwrap();
        assert_eq!(none, [released(false, false, 5)], "{who}");
        assert_eq!(leases.heartbeat(at(0), who, rsi).await.unwrap(), [false]);
    }
    for (n, who) in all.iter().enumerate() {
        let left = u32::try_from(all.len() - n - 1).unwrap();
        let one = leases.unsubscribe(who, rsi).await.unwrap();
        assert_eq!(one, [released(true, left == 0, left)], "{who}");
        let again = leases.unsubscribe(who, rsi).await.unwrap();
        assert_eq!(again, [released(false, false, left)], "{who}");
        for other in &all[n + 1..] {
            assert_eq!(
                leases.heartbeat(at(1), other, rsi).await.unwrap(),
                [true],
                "{other}"
            );
        }
    }
    assert_eq!(leases.record(&rsi[0]).await.unwrap(), None);
    assert_eq!(leases.totals().await.unwrap().keys, 0);
    assert_eq!(leases.totals().await.unwrap().subscribers, 0);
    assert!(leases.subscribe(at(2), &all[0], None, rsi).await.unwrap()[0].is_new);
}

pub(crate) async fn who_came_back_by_another_socket_is_not_let_go_by_the_first<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let (a, b) = (who(7, "a"), who(8, "b"));
    let all = &keys(&["NIFTY:5min:RSI_14", "NIFTY:5min:SMA_20", "NIFTY:5min:EMA_9"]);
    let odd = "}],\"{:\\";
    leases.subscribe(at(0), &b, Some("b1"), all).await.unwrap();
    leases
        .subscribe(at(0), &a, Some("a1"), &all[..1])
        .await
        .unwrap();
    leases
        .subscribe(at(1), &a, Some("a2"), &all[..1])
        .await
        .unwrap();
    leases.subscribe(at(1), &a, None, &all[1..2]).await.unwrap();
    leases
        .subscribe(at(1), &a, Some(odd), &all[2..])
        .await
        .unwrap();
    // Another's, none, and one that is another's as text.
    let left = leases.leave(&a, "a1", all).await.unwrap();
    let stays = released(true, false, 2);
    assert_eq!(left, [stays, released(true, false, 1), stays]);
    let none = leases.leave(&a, "a", &all[..1]).await.unwrap();
    assert_eq!(none, [stays]);
    assert_eq!(
        leases.heartbeat(at(2), &a, all).await.unwrap(),
        [true, false, true]
    );
    let left = leases.leave(&a, "a2", all).await.unwrap();
    let gone = released(false, false, 1);
    assert_eq!(left, [released(true, false, 1), gone, stays]);
    // What stays is still known to be the session's.
    assert_eq!(leases.release(at(2), "a", None).await.unwrap().len(), 1);
    leases
        .subscribe(at(3), &a, Some(odd), &all[2..])
        .await
        .unwrap();
    let left = leases.leave(&a, odd, &all[2..]).await.unwrap();
    assert_eq!(left, [released(true, false, 1)]);
    let left = leases.leave(&b, "b1", all).await.unwrap();
    assert_eq!(left, [released(true, true, 0); 3]);
    assert_eq!(
        leases.leave(&b, "b1", &all[..1]).await.unwrap(),
        [released(false, false, 0)]
    );
    assert_eq!(leases.totals().await.unwrap(), Model::default().totals());
}

pub(crate) async fn a_session_is_released_and_none_that_looks_like_it<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let all = keys(&[
        "NIFTY:5min:RSI_14",
        "NIFTY:1min:RSI_14",
        "BANKNIFTY:1d:MACD_12_26_9",
    ]);
    let mut model = Model::default();
    let others = [who(7, "aa"), who(7, "a-a"), who(7, "A"), who(1, "a.a")];
    for who in others
        .iter()
        .chain(&[who(7, "a"), who(8, "a"), who(78, "a")])
    {
        for key in &all {
            leases
                .subscribe(at(0), who, None, std::slice::from_ref(key))
                .await
                .unwrap();
            model.subscribe(at(0), who, None, key);
        }
    }
    let of_one = leases.release(at(1), "a", Some(7)).await.unwrap();
    model.end(|it| it.who == who(7, "a"), &of_one);
    assert_eq!(of_one.len(), 3);
    let of_all = leases.release(at(1), "a", None).await.unwrap();
    model.end(|it| &*it.who.session == "a", &of_all);
    assert_eq!(of_all.len(), 6);
    for user in [None, Some(7)] {
        assert_eq!(leases.release(at(1), "a", user).await.unwrap(), []);
        assert_eq!(leases.release(at(1), "nobody", user).await.unwrap(), []);
    }
    compare(leases.as_ref(), &model, &all).await;
    for who in &others {
        let told = leases
            .release(at(1), &who.session, Some(who.user))
            .await
            .unwrap();
        model.end(|it| it.who == *who, &told);
    }
    compare(leases.as_ref(), &model, &all).await;
    assert_eq!(leases.totals().await.unwrap().keys, 0);
}

pub(crate) async fn the_silent_are_swept_and_told_once<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let (a, b) = (who(7, "a"), who(8, "b"));
    let both = &keys(&["NIFTY:5min:RSI_14", "NIFTY:5min:SMA_20"]);
    leases.subscribe(at(0), &a, None, both).await.unwrap();
    leases.subscribe(at(0), &b, None, &both[..1]).await.unwrap();
    leases.heartbeat(at(200), &b, &both[..1]).await.unwrap();
    assert_eq!(leases.sweep(at(IDLE - 1)).await.unwrap(), []);
    let mut gone = leases.sweep(at(IDLE + 1)).await.unwrap();
    gone.sort();
    let told: Vec<_> = gone
        .iter()
        .map(|it| (&it.key, &it.subscriber, it.stopped))
        .collect();
    assert_eq!(told, [(&both[0], &a, false), (&both[1], &a, true)]);
    assert_eq!(leases.sweep(at(IDLE + 1)).await.unwrap(), []);
    let record = leases.record(&both[0]).await.unwrap().unwrap();
    assert_eq!(record.ref_count, 1);
    assert_eq!(leases.totals().await.unwrap().subscribers, 1);
    assert_eq!(
        leases.heartbeat(at(400), &a, both).await.unwrap(),
        [false, false]
    );
    // Silent from its last heartbeat on, not from the first.
    assert_eq!(leases.sweep(at(200 + IDLE - 1)).await.unwrap(), []);
    let gone = leases.sweep(at(200 + IDLE + 1)).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert!(gone[0].stopped);
    assert_eq!(leases.totals().await.unwrap(), Model::default().totals());
}

/// When a record is to be looked at is known from its first subscriber on; the heartbeats since
/// are found only then.
pub(crate) async fn a_heartbeat_just_before_the_sweep_counts<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let (a, b) = (who(7, "a"), who(8, "b"));
    let rsi = &keys(&["NIFTY:5min:RSI_14"]);
    for who in [&a, &b] {
        leases.subscribe(at(0), who, None, rsi).await.unwrap();
    }
    let mut heard = 0;
    for _ in 0..4 {
        // Due, and heard of in the last second before.
        let late = heard + IDLE - 1;
        assert_eq!(leases.heartbeat(at(late), &a, rsi).await.unwrap(), [true]);
        let gone = leases.sweep(at(late + 2)).await.unwrap();
        let those: Vec<_> = gone.iter().map(|it| &it.subscriber).collect();
        let expected = if heard == 0 { vec![&b] } else { vec![] };
        assert_eq!(those, expected);
        assert_eq!(leases.sweep(at(late + IDLE - 1)).await.unwrap(), []);
        heard = late;
    }
    let gone = leases.sweep(at(heard + IDLE + 1)).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert!(gone[0].stopped && gone[0].subscriber == a);
    assert_eq!(leases.totals().await.unwrap(), Model::default().totals());
}

/// Nothing that is left of the first time ends the second.
pub(crate) async fn who_left_and_came_back_is_new<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let (a, b) = (who(7, "a"), who(8, "b"));
    let both = &keys(&["NIFTY:5min:RSI_14", "NIFTY:5min:SMA_20"]);
    leases.subscribe(at(0), &a, None, both).await.unwrap();
    leases.subscribe(at(0), &b, None, &both[..1]).await.unwrap();
    let ended = leases.unsubscribe(&a, both).await.unwrap();
    assert_eq!(ended, [released(true, false, 1), released(true, true, 0)]);
    assert_eq!(leases.totals().await.unwrap().subscribers, 1);
    let back = leases.subscribe(at(200), &a, None, both).await.unwrap();
    assert_eq!(back, [leased(false, 2), leased(true, 1)]);
    assert_eq!(leases.totals().await.unwrap().subscribers, 2);
    let gone = leases.sweep(at(IDLE + 1)).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert!(gone[0].subscriber == b && !gone[0].stopped);
    assert_eq!(
        leases
            .heartbeat(at(IDLE + 2), &a, &both[..1])
            .await
            .unwrap(),
        [true]
    );
    let gone = leases.sweep(at(200 + IDLE + 1)).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert!(gone[0].key == both[1] && gone[0].stopped);
    let gone = leases.release(at(600), "a", None).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert!(gone[0].key == both[0] && gone[0].stopped);
    assert_eq!(leases.sweep(at(10_000)).await.unwrap(), []);
    assert_eq!(leases.totals().await.unwrap(), Model::default().totals());
}

pub(crate) async fn a_heartbeat_keeps_only_what_is_held<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let a = who(7, "a");
    let both = &keys(&["NIFTY:5min:RSI_14", "NIFTY:5min:SMA_20"]);
    assert_eq!(
        leases.heartbeat(at(0), &a, both).await.unwrap(),
        [false, false]
    );
    assert_eq!(leases.record(&both[0]).await.unwrap(), None);
    leases.subscribe(at(0), &a, None, &both[1..]).await.unwrap();
    assert_eq!(
        leases.heartbeat(at(10), &a, both).await.unwrap(),
        [false, true]
    );
    assert_eq!(leases.record(&both[0]).await.unwrap(), None);
    let pairs: Vec<_> = both.iter().map(|key| (a.clone(), key.clone())).collect();
    assert_eq!(leases.alive(&pairs).await.unwrap(), [false, true]);
    // Asking renews nothing.
    assert_eq!(leases.sweep(at(10 + IDLE + 1)).await.unwrap().len(), 1);
    assert_eq!(leases.alive(&pairs).await.unwrap(), [false, false]);
    assert_eq!(leases.alive(&[]).await.unwrap(), Vec::<bool>::new());
    assert_eq!(leases.subscribe(at(0), &a, None, &[]).await.unwrap(), []);
    assert_eq!(leases.unsubscribe(&a, &[]).await.unwrap(), []);
    assert_eq!(
        leases.heartbeat(at(0), &a, &[]).await.unwrap(),
        Vec::<bool>::new()
    );
    assert_eq!(leases.totals().await.unwrap(), Model::default().totals());
}

pub(crate) async fn the_list_is_what_was_asked_for<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let all = keys(&[
        "BANKNIFTY:5min:RSI_14",
        "BSE%3ARELIANCE:5min:RSI_14",
        "NIFTY:15min:RSI_14",
        "NIFTY:5min:RSI_14",
        "NIFTY:5min:SMA_20",
    ]);
    leases
        .subscribe(at(0), &who(7, "a"), None, &all)
        .await
        .unwrap();
    let listed = async |symbol, timeframe| {
        let records = leases.active(symbol, timeframe).await.unwrap();
        records
            .into_iter()
            .map(|(key, record)| {
                assert_eq!(record.symbol, key.symbol());
                key
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(None, None).await, all);
    assert_eq!(listed(Some("NIFTY"), None).await, all[2..]);
    assert_eq!(listed(Some("NIFTY"), Some("5min")).await, all[3..]);
    assert_eq!(listed(None, Some("15min")).await, all[2..3]);
    assert_eq!(listed(Some("BSE:RELIANCE"), None).await, all[1..2]);
    assert_eq!(listed(Some("RELIANCE"), None).await, []);
    assert_eq!(listed(Some("NIFT"), None).await, []);
    assert_eq!(listed(None, Some("min")).await, []);
    let totals = leases.totals().await.unwrap();
    assert_eq!((totals.keys, totals.subscribers), (5, 1));
    let by_symbol = [("BANKNIFTY", 1), ("BSE:RELIANCE", 1), ("NIFTY", 3)];
    let by_symbol: BTreeMap<_, _> = by_symbol.map(|(name, n)| (name.to_owned(), n)).into();
    assert_eq!(totals.by_symbol, by_symbol);
    assert_eq!(totals.by_timeframe["5min"], 4);
}

pub(crate) async fn texts_come_back_as_they_were<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let who = who(u64::MAX, &"-".repeat(128));
    let texts = [
        "M&M",
        "a\"b\\c",
        "line\nbreak\u{1}",
        "\u{20b9} \u{1f600}",
        "x\",\"last_accessed\":1,\"ref_count\":9,\"subscribers\":{",
        "%d %s [%w]*",
    ];
    for text in texts {
        let id = text.replace(':', ";");
        let key = LeaseKey::new(text, "5min", &id);
        let socket = format!("{text}\",\"last_active\":1}}");
        leases
            .subscribe(at(0), &who, Some(&socket), std::slice::from_ref(&key))
            .await
            .unwrap();
        assert_eq!(
            leases
                .heartbeat(at(10), &who, std::slice::from_ref(&key))
                .await
                .unwrap(),
            [true]
        );
        leases.sweep(at(20)).await.unwrap();
        let record = leases.record(&key).await.unwrap().unwrap();
        assert_eq!((&*record.symbol, &*record.indicator_id), (text, &*id));
        let (name, seen) = record.subscribers.first_key_value().unwrap();
        assert_eq!(*name, who.to_string());
        assert_eq!(seen.websocket_id.as_deref(), Some(&*socket));
        assert_eq!(seen.last_active, 1_770_000_010);
    }
    let gone = leases.release(at(30), &who.session, None).await.unwrap();
    assert_eq!(gone.len(), texts.len());
    assert!(gone.iter().all(|it| it.subscriber == who && it.stopped));
}

pub(crate) async fn many_keys_go_in_one_call<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let who = who(7, "a");
    let many: Vec<_> = (0..2_500)
        .map(|n| LeaseKey::new("NIFTY", "5min", &format!("SMA_{n}")))
        .collect();
    let new = leases.subscribe(at(0), &who, None, &many).await.unwrap();
    assert_eq!(new, vec![leased(true, 1); 2_500]);
    assert_eq!(
        leases.heartbeat(at(1), &who, &many).await.unwrap(),
        vec![true; 2_500]
    );
    let pairs: Vec<_> = many.iter().map(|key| (who.clone(), key.clone())).collect();
    assert_eq!(leases.alive(&pairs).await.unwrap(), vec![true; 2_500]);
    let ended = leases.unsubscribe(&who, &many[..1_500]).await.unwrap();
    assert_eq!(ended, vec![released(true, true, 0); 1_500]);
    assert_eq!(leases.totals().await.unwrap().keys, 1_000);
    let gone = leases.sweep(at(IDLE + 2)).await.unwrap();
    assert_eq!(gone.len(), 1_000);
    assert_eq!(leases.totals().await.unwrap().keys, 0);
}

pub(crate) async fn one_key_more_than_once_in_a_call<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let twice = keys(&["NIFTY:5min:RSI_14", "NIFTY:5min:RSI_14"]);
    let who = who(7, "a");
    let new = leases.subscribe(at(0), &who, None, &twice).await.unwrap();
    assert_eq!(new, [leased(true, 1), leased(false, 1)]);
    assert_eq!(
        leases.heartbeat(at(0), &who, &twice).await.unwrap(),
        [true, true]
    );
    let ended = leases.unsubscribe(&who, &twice).await.unwrap();
    assert_eq!(ended, [released(true, true, 0), released(false, false, 0)]);
}

pub(crate) async fn what_is_no_session_is_refused<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let rsi = &keys(&["NIFTY:5min:RSI_14"]);
    let long = "a".repeat(129);
    for session in ["", "a b", "a:b", "a\"b", "a\nb", "*", "\u{e9}", &long] {
        let who = Subscriber {
            user: 7,
            session: session.into(),
        };
        assert!(leases.subscribe(at(0), &who, None, rsi).await.is_err());
        assert!(leases.heartbeat(at(0), &who, rsi).await.is_err());
        assert!(leases.unsubscribe(&who, rsi).await.is_err());
        assert!(leases.release(at(0), session, None).await.is_err());
    }
    assert_eq!(leases.totals().await.unwrap().keys, 0);
}

pub(crate) async fn the_clock_jumps<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let rsi = &keys(&["NIFTY:5min:RSI_14"]);
    let (a, b) = (who(7, "a"), who(8, "b"));
    // An hour back: who goes on is kept, who is silent goes as if nothing had been.
    let back = |seconds| times(7_200 + seconds, 3_600 + seconds);
    for who in [&a, &b] {
        leases.subscribe(at(7_200), who, None, rsi).await.unwrap();
    }
    assert_eq!(leases.heartbeat(back(10), &b, rsi).await.unwrap(), [true]);
    assert_eq!(leases.sweep(back(20)).await.unwrap(), []);
    assert_eq!(leases.heartbeat(back(200), &b, rsi).await.unwrap(), [true]);
    let gone = leases.sweep(back(20 + IDLE + 2)).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].subscriber, a);
    assert_eq!(leases.record(&rsi[0]).await.unwrap().unwrap().ref_count, 1);
    assert_eq!(leases.totals().await.unwrap().subscribers, 1);
    // A day on: who was let go hears so, comes again, and counts once.
    let on = |seconds| times(7_600 + seconds, 90_000 + seconds);
    leases.sweep(on(0)).await.unwrap();
    for who in [&a, &b] {
        let held = leases.heartbeat(on(1), who, rsi).await.unwrap()[0];
        let record = leases.record(&rsi[0]).await.unwrap();
        let name = who.to_string();
        let listed = record.is_some_and(|it| it.subscribers.contains_key(&name));
        assert_eq!(held, listed);
        leases.subscribe(on(2), who, None, rsi).await.unwrap();
    }
    let record = leases.record(&rsi[0]).await.unwrap().unwrap();
    assert_eq!((record.ref_count, record.subscribers.len()), (2, 2));
    assert_eq!(leases.sweep(on(IDLE)).await.unwrap(), []);
    assert_eq!(leases.sweep(on(IDLE + 4)).await.unwrap().len(), 2);
    assert_eq!(leases.totals().await.unwrap(), Model::default().totals());
}

pub(crate) async fn values_last_as_long_as_they_should<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let all = keys(&["NIFTY:1min:RSI_14", "NIFTY:5min:RSI_14", "NIFTY:1d:RSI_14"]);
    let of = |n: usize, seconds| {
        (
            all[n].clone(),
            format!("{{\"value\":{n}}}"),
            Duration::from_secs(seconds),
        )
    };
    leases
        .put_values(at(0), &[of(0, 60), of(1, 300), of(2, 86_400)])
        .await
        .unwrap();
    let value = async |now, n: usize| leases.value(now, &all[n]).await.unwrap();
    assert_eq!(value(at(0), 0).await.as_deref(), Some("{\"value\":0}"));
    assert_eq!(value(at(59), 1).await.as_deref(), Some("{\"value\":1}"));
    assert_eq!(
        leases
            .value(at(0), &key("NIFTY:1min:RSI_15"))
            .await
            .unwrap(),
        None
    );
    leases
        .renew_values(at(30), &[(all[1].clone(), Duration::from_secs(900))])
        .await
        .unwrap();
    rig.pass(at(400)).await;
    assert_eq!(value(at(400), 0).await, None);
    assert_eq!(value(at(400), 1).await.as_deref(), Some("{\"value\":1}"));
    // What has ended is not brought back.
    leases
        .renew_values(at(400), &[(all[0].clone(), Duration::from_secs(60))])
        .await
        .unwrap();
    assert_eq!(value(at(400), 0).await, None);
    leases.drop_values(&all).await.unwrap();
    for n in 0..3 {
        assert_eq!(value(at(400), n).await, None);
    }
    let many: Vec<_> = (0..25_000)
        .map(|n| {
            (
                LeaseKey::new("NIFTY", "5min", &format!("SMA_{n}")),
                n.to_string(),
                Duration::from_secs(300),
            )
        })
        .collect();
    leases.put_values(at(500), &many).await.unwrap();
    for (key, json, _) in many.iter().step_by(1_111) {
        assert_eq!(
            leases.value(at(500), key).await.unwrap().as_ref(),
            Some(json)
        );
    }
}

/// Holds everything that a store tells against the model.
pub(crate) async fn compare<L: Leases>(leases: &L, model: &Model, all: &[LeaseKey]) {
    let ttl = u32::try_from(IDLE).unwrap();
    for key in all {
        assert_eq!(
            leases.record(key).await.unwrap(),
            model.record(key, ttl),
            "{key}"
        );
    }
    let listed = leases.active(None, None).await.unwrap();
    let listed: Vec<_> = listed
        .into_iter()
        .map(|(key, record)| (key, Some(record)))
        .collect();
    let expected: Vec<_> = model
        .keys()
        .into_iter()
        .map(|key| {
            let record = model.record(&key, ttl);
            (key, record)
        })
        .collect();
    assert_eq!(listed, expected);
    assert_eq!(leases.totals().await.unwrap(), model.totals());
}

pub(crate) async fn any_order_is_as_the_model_says<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let all = keys(&[
        "NIFTY:5min:RSI_14",
        "NIFTY:1min:RSI_14",
        "ITC:5min:RSI_14",
        "ITC:1d:SMA_20",
        "M&M:1h:EMA_9",
    ]);
    let people = [
        who(1, "a"),
        who(11, "a"),
        who(1, "aa"),
        who(2, "b"),
        who(3, "c"),
        who(3, "d"),
    ];
    let sockets = [None, Some("x"), Some("y\"}")];
    let runs = if std::env::var_os("STRIKEWIRE_LONG").is_some() {
        40
    } else {
        4
    };
    let mut happened = BTreeMap::new();
    let mut count = |what: &'static str| *happened.entry(what).or_insert(0) += 1;
    let mut now = 0;
    for seed in 0..runs {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut model = Model::default();
        for _ in 0..300 {
            let who = people.choose(&mut random).unwrap();
            let some: Vec<_> = all
                .iter()
                .filter(|_| random.random_bool(0.4))
                .cloned()
                .collect();
            match random.random_range(0..100) {
                0..35 => {
                    let socket = *sockets.choose(&mut random).unwrap();
                    let told = leases.subscribe(at(now), who, socket, &some).await.unwrap();
                    for (key, told) in some.iter().zip(told) {
                        let (is_new, ref_count) = model.subscribe(at(now), who, socket, key);
                        assert_eq!(told, leased(is_new, ref_count));
                        count(if is_new { "first" } else { "another" });
                    }
                }
                35..60 => {
                    let told = leases.heartbeat(at(now), who, &some).await.unwrap();
                    for (key, told) in some.iter().zip(told) {
                        assert_eq!(told, model.heartbeat(at(now), who, key));
                        count(if told { "heard" } else { "not held" });
                    }
                }
                60..75 => {
                    let told = leases.unsubscribe(who, &some).await.unwrap();
                    for (key, told) in some.iter().zip(told) {
                        let (held, stopped, left) = model.unsubscribe(who, key);
                        assert_eq!(told, released(held, stopped, left));
                        count(if stopped { "last" } else { "let go" });
                    }
                }
                75..80 => {
                    let user = random.random_bool(0.5).then_some(who.user);
                    let told = leases.release(at(now), &who.session, user).await.unwrap();
                    let session = &who.session;
                    model.end(
                        |it| {
                            it.who.session == *session
                                && user.is_none_or(|user| user == it.who.user)
                        },
                        &told,
                    );
                    count(if told.is_empty() {
                        "empty session"
                    } else {
                        "session"
                    });
                }
                80..90 => {
                    let told = leases.sweep(at(now)).await.unwrap();
                    model.sweep(at(now), i64::try_from(IDLE).unwrap(), &told);
                    count(if told.is_empty() {
                        "nobody silent"
                    } else {
                        "swept"
                    });
                }
                _ => now += 10 * random.random_range(1..25),
            }
            compare(leases.as_ref(), &model, &all).await;
        }
        for who in &people {
            leases.release(at(now), &who.session, None).await.unwrap();
        }
    }
    let happened: BTreeSet<_> = happened.keys().copied().collect();
    let all_of_it = [
        "another",
        "empty session",
        "first",
        "heard",
        "last",
        "let go",
        "nobody silent",
        "not held",
        "session",
        "swept",
    ];
    assert_eq!(happened, BTreeSet::from(all_of_it));
}

/// Many at once on few keys: who was first and who was last must fit together, and the
/// records hold exactly those that did not let go.
pub(crate) async fn hundreds_at_once_leave_the_truth<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let all = Arc::new(keys(&[
        "NIFTY:5min:RSI_14",
        "NIFTY:1min:RSI_14",
        "ITC:5min:RSI_14",
    ]));
    let mut tasks = JoinSet::new();
    for user in 0..300_u64 {
        let (leases, all) = (Arc::clone(leases), Arc::clone(&all));
        tasks.spawn(async move {
            let mut random = Pcg64Mcg::seed_from_u64(user);
            let me = who(user, "s");
            let mut held = BTreeSet::new();
            // Firsts less lasts, by key.
            let mut running = BTreeMap::new();
            for _ in 0..12 {
                let key = all.choose(&mut random).unwrap();
                let one = std::slice::from_ref(key);
                match random.random_range(0..4) {
                    0 | 1 => {
                        let leased = leases.subscribe(at(0), &me, None, one).await.unwrap()[0];
                        assert!(leased.ref_count >= 1);
                        *running.entry(key.clone()).or_insert(0) += i32::from(leased.is_new);
                        held.insert(key.clone());
                    }
                    2 => {
                        let alive = leases.heartbeat(at(0), &me, one).await.unwrap()[0];
                        assert_eq!(alive, held.contains(key));
                    }
                    _ => {
                        let released = leases.unsubscribe(&me, one).await.unwrap()[0];
                        assert_eq!(released.was_held, held.remove(key));
                        *running.entry(key.clone()).or_insert(0) -= i32::from(released.stopped);
                    }
                }
            }
            (me, held, running)
        });
    }
    let mut model = Model::default();
    let mut running: BTreeMap<LeaseKey, i32> = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        let (me, held, of_task) = done.unwrap();
        for key in &held {
            model.subscribe(at(0), &me, None, key);
        }
        for (key, n) in of_task {
            *running.entry(key).or_default() += n;
        }
    }
    for key in all.iter() {
        assert_eq!(running[key], i32::from(model.count(key) > 0), "{key}");
    }
    compare(leases.as_ref(), &model, &all).await;
    let mut tasks = JoinSet::new();
    for user in 0..300_u64 {
        let leases = Arc::clone(leases);
        tasks.spawn(async move { leases.release(at(0), "s", Some(user)).await.unwrap() });
    }
    let gone: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    model.end(|_| true, &gone);
    compare(leases.as_ref(), &model, &all).await;
}

/// Several nodes sweep at the same time, while others go on.
pub(crate) async fn sweeps_at_once_tell_each_once<R: Rig>(rig: &R) {
    let leases = rig.leases();
    let all: Vec<_> = (0..150)
        .map(|n| LeaseKey::new("NIFTY", "5min", &format!("SMA_{n}")))
        .collect();
    let mut model = Model::default();
    for user in 0..6 {
        let who = who(user, "s");
        leases.subscribe(at(0), &who, None, &all).await.unwrap();
        for key in &all {
            model.subscribe(at(0), &who, None, key);
        }
    }
    for user in 0..3 {
        leases
            .heartbeat(at(200), &who(user, "s"), &all)
            .await
            .unwrap();
        for key in &all {
            model.heartbeat(at(200), &who(user, "s"), key);
        }
    }
    let late = at(IDLE + 5);
    let mut sweeps = JoinSet::new();
    for _ in 0..8 {
        let leases = Arc::clone(leases);
        sweeps.spawn(async move { leases.sweep(late).await.unwrap() });
    }
    let gone: Vec<_> = sweeps.join_all().await.into_iter().flatten().collect();
    assert_eq!(gone.len(), 450);
    model.sweep(late, i64::try_from(IDLE).unwrap(), &gone);
    compare(leases.as_ref(), &model, &all).await;
}
