//! Clients that come back.

use super::*;

/// A chain of two legs, with a client that has its snapshot.
fn started() -> (Bench, Position) {
    let mut bench = bench();
    bench
        .hub
        .set_chain(CHAIN, body(json!({"atm": 1}), &[1, 2], None));
    bench.tick(1, 10);
    let position = join(&mut bench, ME, 1, None).1;
    (bench, position)
}

/// Subscribes; whether it resumed, and where it is after the messages it got, which are
/// given too.
fn join(
    bench: &mut Bench,
    client: ClientId,
    sub: u64,
    from: Option<&Position>,
) -> (bool, Position, Vec<Value>) {
    let resumed =
        bench
            .hub
            .subscribe_chain(client, SubId(sub), CHAIN, Mode::Ticker, Class::BATCH, from);
    bench.hub.greet(client, bench.now, &mut bench.out);
    let got = bench.out.take(client);
    let position = match got.last() {
        Some(last) => position(last),
        None => from.cloned().unwrap(),
    };
    (resumed, position, got)
}

fn position(message: &Value) -> Position {
    Position {
        epoch: message["epoch"].as_str().unwrap().to_owned(),
        seq: message["seq"].as_u64().unwrap(),
    }
}

fn seqs(messages: &[Value], kind: &str) -> Vec<u64> {
    assert!(messages.iter().all(|m| m["type"] == kind), "{messages:?}");
    messages
        .iter()
        .map(|m| m["seq"].as_u64().unwrap())
        .collect()
}

#[test]
fn who_comes_back_is_sent_what_it_missed_under_its_new_number() {
    let (mut bench, left) = started();
    assert_eq!(left.epoch.len(), 16 + "-0-ticker".len());
    join(&mut bench, YOU, 1, None);
    bench.hub.remove_client(ME);
    for price in [11, 12] {
        bench.tick(1, price);
        bench.flush();
    }
    bench.hub.add_client(ME);
    let (resumed, _, got) = join(&mut bench, ME, 7, Some(&left));
    assert!(resumed);
    let delta = |seq: u64, price: f64| {
        json!({
            "type": "delta", "sub": 7, "epoch": left.epoch, "seq": seq,
            "chain": {}, "set": {"T1": {"ltp": price}}, "remove": [],
        })
    };
    assert_eq!(got, [delta(left.seq + 1, 11.0), delta(left.seq + 2, 12.0)]);
    // And goes on with the others.
    bench.tick(1, 13);
    assert_eq!(bench.got(ME), [delta(left.seq + 3, 13.0)]);
    assert_eq!(bench.hub.stats().resumed, 1);
    // Nothing was missed, nothing is sent.
    let here = position(&delta(left.seq + 3, 13.0));
    let (resumed, _, got) = join(&mut bench, ME, 7, Some(&here));
    assert_eq!((resumed, got.len()), (true, 0));
}

#[test]
fn the_last_one_comes_back_to_one_delta() {
    let (mut bench, left) = started();
    bench.hub.remove_client(ME);
    assert_eq!(bench.table.interest(Slot(1)), Interest::NONE);
    bench.tick(1, 11);
    bench.tick(2, 20);
    bench.wait(29);
    bench
        .hub
        .set_chain(CHAIN, body(json!({"atm": 2}), &[1, 2, 3], None));
    bench.hub.add_client(ME);
    let (resumed, _, got) = join(&mut bench, ME, 2, Some(&left));
    assert!(resumed);
    assert_eq!(
        got,
        [json!({
            "type": "delta", "sub": 2, "epoch": left.epoch, "seq": left.seq + 1,
            "chain": {"atm": 2}, "set": {"T1": {"ltp": 11.0}, "T2": quote(20)}, "remove": [],
        })]
    );
    assert_eq!(bench.table.interest(Slot(3)), Interest::fan(0));
}

#[test]
fn half_a_minute_is_not_for_ever() {
    let (mut bench, left) = started();
    bench.hub.remove_client(ME);
    bench.wait(31);
    bench.hub.add_client(ME);
    let (resumed, _, got) = join(&mut bench, ME, 2, Some(&left));
    assert!(!resumed);
    assert_eq!(
        (&got[0]["type"], &got[0]["resumed"]),
        (&json!("snapshot"), &json!(false))
    );
    // What is said once is said.
    bench.tick(1, 11);
    assert_eq!(seqs(&bench.got(ME), "delta"), [left.seq + 2]);
    assert_eq!(bench.hub.stats().resume_refused, 1);
}

#[test]
fn a_delta_of_half_a_minute_ago_is_gone_though_the_channel_is_not() {
    let (mut bench, left) = started();
    bench.tick(1, 11);
    let here = position(&bench.got(ME)[0]);
    bench.wait(32);
    assert_eq!(bench.hub.held().history_deltas, 0);
    assert!(!join(&mut bench, YOU, 1, Some(&left)).0);
    assert!(join(&mut bench, YOU, 2, Some(&here)).0);
}

#[test]
fn who_keeps_most_loses_its_oldest_and_who_keeps_nothing_costs_nobody() {
    const MOST: usize = 4_000;
    let (mut bench, left) = started();
    let quiet = ChainId(10);
    for chain in 10..200 {
        let legs = [if chain == quiet.0 { 3 } else { 4 }];
        bench
            .hub
            .set_chain(ChainId(chain), body(json!({}), &legs, None));
        bench.hub.subscribe_chain(
            YOU,
            SubId(chain),
            ChainId(chain),
            Mode::Ticker,
            Class::BATCH,
            None,
        );
    }
    let begun = bench.got(YOU);
    let begun = begun.iter().find(|message| message["sub"] == quiet.0);
    let at_rest = position(begun.unwrap());
    bench.hub.history_most = MOST;
    bench.tick(3, 1);
    bench.flush();
    for price in 1..=200 {
        bench.tick(1, price);
        bench.flush();
        let held = bench.hub.held().history_bytes;
        assert_eq!(held, bench.hub.history_bytes);
        assert!(held <= MOST, "{held}");
    }
    // About an eighth goes at once.
    let held = bench.hub.held();
    assert!(held.history_bytes > MOST / 5 * 4, "{held:?}");
    let from = |seq| {
        let epoch = left.epoch.clone();
        Position { epoch, seq }
    };
    assert!(!join(&mut bench, ME, 1, Some(&left)).0);
    assert!(!join(&mut bench, ME, 1, Some(&from(left.seq + 100))).0);
    assert!(join(&mut bench, ME, 1, Some(&from(left.seq + 180))).0);
    let resumed = bench.hub.subscribe_chain(
        ME,
        SubId(2),
        quiet,
        Mode::Ticker,
        Class::BATCH,
        Some(&at_rest),
    );
    assert!(resumed);
    bench.hub.remove_chain(CHAIN);
    bench.wait(31);
    assert_eq!(
        (bench.hub.history_bytes, bench.hub.held().history_bytes),
        (0, 0)
    );
}

#[test]
fn a_removed_chain_that_comes_back_goes_on() {
    let (mut bench, left) = started();
    bench.hub.remove_chain(CHAIN);
    assert_eq!(bench.hub.subscriptions_of(ME), 0);
    bench.wait(20);
    // Before the chain is there again.
    let (resumed, _, got) = join(&mut bench, ME, 2, Some(&left));
    assert_eq!((resumed, got.len()), (true, 0));
    bench.wait(20);
    bench
        .hub
        .set_chain(CHAIN, body(json!({"atm": 3}), &[2], None));
    assert_eq!(
        bench.got(ME),
        [json!({
            "type": "delta", "sub": 2, "epoch": left.epoch, "seq": left.seq + 1,
            "chain": {"atm": 3}, "set": {}, "remove": ["T1"],
        })]
    );
}

#[test]
fn positions_of_elsewhere_are_refused() {
    let (mut bench, left) = started();
    let wrong = [
        Position {
            seq: left.seq + 1,
            ..left.clone()
        },
        Position {
            seq: u64::MAX,
            ..left.clone()
        },
        Position {
            seq: 0,
            ..left.clone()
        },
        Position {
            epoch: left.epoch.replace("ticker", "quote"),
            ..left.clone()
        },
        Position {
            epoch: left.epoch.replace("-0-", "-100-"),
            ..left.clone()
        },
        Position {
            epoch: String::new(),
            ..left.clone()
        },
    ];
    for position in &wrong {
        let (resumed, _, got) = join(&mut bench, YOU, 1, Some(position));
        assert!(!resumed, "{position:?}");
        assert_eq!(got[0]["resumed"], false, "{position:?}");
    }
    // The first state of a channel leads from none that anybody has.
    bench.hub.remove_client(ME);
    bench.hub.remove_client(YOU);
    bench.wait(31);
    bench.hub.add_client(ME);
    bench.hub.add_client(YOU);
    let (_, here, _) = join(&mut bench, ME, 1, None);
    assert_eq!(here.seq, left.seq + 1);
    assert!(!join(&mut bench, YOU, 1, Some(&left)).0);
}

#[test]
fn a_resume_without_room_is_told_what_is_missing() {
    let (mut bench, left) = started();
    join(&mut bench, YOU, 1, None);
    for price in 11..=15 {
        bench.tick(1, price);
        bench.flush();
    }
    bench.out.queues.clear();
    bench.out.room.insert(ME, 2);
    let (resumed, here, got) = join(&mut bench, ME, 1, Some(&left));
    assert!(resumed);
    assert_eq!(seqs(&got, "delta"), [left.seq + 1, left.seq + 2]);
    assert_eq!(here.seq, left.seq + 2);
    assert_eq!(bench.hub.stats().dropped, 3);
    let got = bench.got(ME);
    assert_eq!(
        got[0],
        json!({"type": "lagged", "sub": 1, "dropped": 3, "from_seq": left.seq + 3, "to_seq": left.seq + 5})
    );
    assert_eq!(got[1].get("resumed"), None);
    assert_eq!(
        (&got[1]["type"], &got[1]["seq"]),
        (&json!("snapshot"), &json!(left.seq + 5))
    );
    assert_eq!(bench.hub.stats().lagged, 1);
}

#[test]
fn a_greeting_ends_nobody_elses_window() {
    let (mut bench, left) = started();
    bench.tick(1, 11);
    // As of the last flush: what is new comes with the next one, to both.
    let (_, _, got) = join(&mut bench, YOU, 4, None);
    assert_eq!(seqs(&got, "snapshot"), [left.seq]);
    assert_eq!(got[0]["quotes"], json!({"T1": quote(10)}));
    assert_eq!(bench.out.take(ME), [] as [Value; 0]);
    bench.flush();
    for client in [ME, YOU] {
        assert_eq!(seqs(&bench.out.take(client), "delta"), [left.seq + 1]);
    }
    // Ticks are sent at once too, and what comes later only once.
    bench.ticks(ME, 9, &[1, 2], Mode::Ticker);
    bench.hub.greet(ME, bench.now, &mut bench.out);
    assert_eq!(
        bench.out.take(ME),
        [json!({"type": "ticks", "items": [tick(1, 11)]})]
    );
    bench.hub.greet(ME, bench.now, &mut bench.out);
    assert_eq!(bench.got(ME), [] as [Value; 0]);
}
