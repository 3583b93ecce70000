//! What is shared, what is bounded, and what is said of the age of ticks.

use super::*;

/// Queues that keep the messages as they are.
#[derive(Default)]
struct Kept(Vec<(ClientId, Message)>);

impl Outlet for Kept {
    fn push(&mut self, client: ClientId, message: Message) -> Push {
        self.0.push((client, message));
        Push::Taken
    }
}

/// The same, but the queue of `ME` is full.
struct KeptButMine(Kept);

impl Outlet for KeptButMine {
    fn push(&mut self, client: ClientId, message: Message) -> Push {
        if client == ME {
            return Push::Full;
        }
        self.0.push(client, message)
    }

    fn room(&mut self, client: ClientId) -> Push {
        if client == ME {
            Push::Full
        } else {
            Push::Taken
        }
    }
}

impl Bench {
    fn kept(&mut self) -> Vec<(ClientId, Message)> {
        let mut kept = Kept::default();
        self.hub.flush(Class::BATCH, self.now, &mut kept);
        kept.0
    }

    fn tick_at(&mut self, id: u32, nanos: i64) {
        self.writer
            .write(Slot(id), key(id), Utc::from_nanos(nanos), |row| {
                row.ltp(Price::from_raw(nanos));
            });
    }
}

fn texts(messages: &[(ClientId, Message)]) -> usize {
    let texts: std::collections::BTreeSet<_> = messages
        .iter()
        .map(|(_, message)| message.bytes().as_ptr())
        .collect();
    texts.len()
}

/// How long the texts are, each counted once.
fn length(messages: &[(ClientId, Message)]) -> u64 {
    let texts: std::collections::BTreeMap<_, _> = messages
        .iter()
        .map(|(_, message)| (message.bytes().as_ptr(), message.len() as u64))
        .collect();
    texts.values().sum()
}

#[test]
fn what_is_made_is_counted_once() {
    let mut bench = bench();
    for client in [ME, YOU] {
        bench.ticks(client, 1, &[1, 2, 3], Mode::Ticker);
    }
    let mut sent = Vec::new();
    for id in 1..=3 {
        bench.tick(id, 10);
    }
    // A beginning for each, then one for both.
    sent.extend(bench.kept());
    assert_eq!((sent.len(), bench.hub.stats().made), (2, length(&sent)));
    bench.tick(1, 11);
    sent.extend(bench.kept());
    assert_eq!((sent.len(), texts(&sent)), (4, 3));
    assert_eq!(bench.hub.stats().made, length(&sent));
    // One is behind, and gets its own later, together with what is new then.
    let mut others = KeptButMine(Kept::default());
    bench.tick(2, 12);
    bench.hub.flush(Class::BATCH, bench.now, &mut others);
    sent.append(&mut others.0.0);
    assert_eq!((sent.len(), bench.hub.held().behind), (5, 1));
    assert_eq!(bench.hub.stats().made, length(&sent));
    bench.tick(3, 13);
    sent.extend(bench.kept());
    assert_eq!((sent.len(), texts(&sent)), (7, 6));
    assert_eq!(bench.hub.stats().made, length(&sent));
}

#[test]
fn alike_subscriptions_share_one_text() {
    let mut bench = bench();
    let clients: Vec<ClientId> = (1..=9).map(ClientId).collect();
    for client in &clients {
        bench.hub.add_client(*client);
        // The same by another way: each in its highest mode.
        if client.0 == 3 {
            bench.ticks(*client, 1, &[2, 1], Mode::Ticker);
            bench.ticks(*client, 2, &[1, 3], Mode::Ticker);
        } else {
            bench.ticks(*client, 1, &[1, 2, 3], Mode::Ticker);
        }
    }
    let alone = ClientId(10);
    bench.hub.add_client(alone);
    bench.ticks(alone, 1, &[1, 2, 3], Mode::Full);
    assert_eq!(bench.hub.held().bundles, 2);
    for id in 1..=3 {
        bench.tick(id, 10);
    }
    bench.kept();
    assert_eq!(bench.hub.held().behind, 0);
    bench.tick(1, 11);
    bench.tick(3, 11);
    let got = bench.kept();
    assert_eq!((got.len(), texts(&got)), (10, 2));
    assert_eq!(bench.hub.stats().shared, 8);
    // One that goes its own way, and comes back.
    bench.ticks(ME, 2, &[4], Mode::Ticker);
    assert_eq!(bench.hub.held().bundles, 3);
    bench.tick(1, 12);
    let got = bench.kept();
    assert_eq!((got.len(), texts(&got)), (10, 3));
    bench.hub.unsubscribe(ME, SubId(2));
    assert_eq!(bench.hub.held().bundles, 2);
    bench.tick(1, 13);
    assert_eq!(texts(&bench.kept()), 2);
    assert_eq!(bench.hub.instruments_of(ME), 3);
}

#[test]
fn a_chain_has_one_text_for_each_number() {
    let mut bench = bench();
    bench.hub.set_chain(CHAIN, body(json!({}), &[1], None));
    for client in 1..=9 {
        bench.hub.add_client(ClientId(client));
        let sub = SubId(client % 2);
        bench
            .hub
            .subscribe_chain(ClientId(client), sub, CHAIN, Mode::Full, Class::BATCH, None);
    }
    let got = bench.kept();
    assert_eq!((got.len(), texts(&got)), (9, 2), "snapshots");
    bench.tick(1, 10);
    let got = bench.kept();
    assert_eq!((got.len(), texts(&got)), (9, 2), "deltas");
    assert_eq!(bench.hub.stats().shared, 14);
}

#[test]
fn who_is_behind_gets_its_own_and_rejoins() {
    let mut bench = bench();
    for client in [ME, YOU] {
        bench.ticks(client, 1, &[1, 2, 3], Mode::Ticker);
    }
    for id in 1..=3 {
        bench.tick(id, 10);
    }
    bench.flush();
    bench.out.queues.clear();
    bench.out.room.insert(ME, 0);
    // However long it takes, there is never more to send than is watched.
    for price in 11..500 {
        bench.tick(1, price);
        bench.tick(2, price);
        bench.flush();
    }
    assert_eq!(bench.out.take(YOU).len(), 489);
    assert_eq!(bench.hub.held().behind, 1);
    bench.out.room.clear();
    let both = json!({"type": "ticks", "items": [tick(1, 499), tick(2, 499)]});
    assert_eq!(bench.got(ME), [both]);
    assert_eq!(bench.hub.held().behind, 0);
    // What waits moves along when the subscriptions change, but for what is not watched.
    bench.out.room.insert(ME, 0);
    bench.tick(1, 500);
    bench.tick(3, 500);
    bench.flush();
    bench.ticks(ME, 1, &[2, 3], Mode::Ticker);
    bench.out.room.clear();
    let rest = json!({"type": "ticks", "items": [tick(2, 499), tick(3, 500)]});
    assert_eq!(bench.got(ME), [rest]);
}

#[test]
fn letters_are_bounded_in_bytes() {
    let mut bench = bench();
    bench.out.room.insert(ME, 0);
    let long = "x".repeat(LETTER_BYTES / 4);
    for _ in 0..8 {
        bench.hub.notice(ME, None, "gap", &long, &mut bench.out);
    }
    let held = bench.hub.held();
    assert_eq!(held.letters, 3);
    assert!(held.letter_bytes <= LETTER_BYTES);
    assert_eq!(bench.hub.stats().dropped, 5);
    // One alone may be as long as it is.
    let longest = "x".repeat(2 * LETTER_BYTES);
    bench.hub.notice(ME, None, "gap", &longest, &mut bench.out);
    assert_eq!(bench.hub.held().letters, 1);
    bench.out.room.clear();
    assert_eq!(bench.got(ME).len(), 1);
    assert_eq!(bench.hub.held().letter_bytes, 0);
}

#[test]
fn who_takes_nothing_is_asked_before_text_is_made() {
    /// Has room for nobody, and does not expect to be given anything.
    struct Stuck;
    impl Outlet for Stuck {
        fn push(&mut self, client: ClientId, message: Message) -> Push {
            panic!("{client:?} was given {message:?}");
        }
        fn room(&mut self, _client: ClientId) -> Push {
            Push::Full
        }
    }
    let mut bench = bench();
    bench.hub.set_chain(CHAIN, body(json!({}), &[1], None));
    bench
        .hub
        .subscribe_chain(ME, SUB, CHAIN, Mode::Full, Class::BATCH, None);
    bench.ticks(ME, 2, &[1, 2], Mode::Full);
    for price in 1..4 {
        bench.tick(1, price);
        bench.hub.greet(ME, bench.now, &mut Stuck);
        bench.hub.flush(Class::BATCH, bench.now, &mut Stuck);
    }
    assert_eq!(bench.got(ME).len(), 2);
}

#[test]
fn a_message_knows_when_its_oldest_tick_was_received() {
    let mut bench = bench();
    bench.tick_at(1, 5);
    bench.tick_at(2, 7);
    bench.hub.set_chain(CHAIN, body(json!({}), &[1, 2], None));
    bench.ticks(ME, 1, &[1, 2], Mode::Ticker);
    bench
        .hub
        .subscribe_chain(YOU, SUB, CHAIN, Mode::Ticker, Class::BATCH, None);
    let received = |bench: &mut Bench| -> Vec<Option<i64>> {
        let kept = bench.kept();
        let received = kept.iter().map(|(_, message)| message.received());
        received.map(|at| at.map(Utc::as_nanos)).collect()
    };
    assert_eq!(received(&mut bench), [None, None], "beginnings may be old");
    bench.tick_at(2, 20);
    bench.tick_at(1, 30);
    assert_eq!(received(&mut bench), [Some(20), Some(20)]);
    bench.tick_at(1, 40);
    assert_eq!(received(&mut bench), [Some(40), Some(40)]);
    // A leg that comes in by a roll brings an old quote.
    bench.tick_at(3, 41);
    bench
        .hub
        .set_chain(CHAIN, body(json!({}), &[1, 2, 3], None));
    assert_eq!(received(&mut bench), [None]);
    let mut kept = Kept::default();
    bench.hub.announce("feed_up", "", &mut kept);
    assert_eq!(kept.0[0].1.received(), None);
    assert_eq!(texts(&kept.0), 1);
}

#[test]
fn a_flush_can_be_done_by_and_by() {
    let mut bench = bench();
    for client in 1..=6 {
        let id = client as u32;
        bench.hub.add_client(ClientId(client));
        bench.ticks(ClientId(client), 1, &[id, 7], Mode::Ticker);
    }
    bench.hub.set_chain(CHAIN, body(json!({}), &[7], None));
    bench
        .hub
        .subscribe_chain(ME, SubId(2), CHAIN, Mode::Ticker, Class::BATCH, None);
    bench.flush();
    bench.out.queues.clear();
    let before = bench.hub.stats().made;
    bench.tick(7, 10);
    let mut kept = Kept::default();
    bench.hub.begin_flush(Class::BATCH, bench.now, &mut kept);
    assert_eq!(kept.0.len(), 0);
    // A client that goes meanwhile is not missed.
    bench.hub.remove_client(ClientId(6));
    for sent in 1..=5 {
        while kept.0.len() < sent {
            assert!(bench.hub.flush_some(1, &mut kept));
        }
        assert_eq!(kept.0.len(), sent);
    }
    assert!(!bench.hub.flush_some(1_000, &mut kept));
    assert_eq!(kept.0.len(), 6);
    assert!(!bench.hub.flush_some(1_000, &mut kept));
    assert_eq!(bench.hub.stats().made - before, length(&kept.0));
    // One that was not finished is, before the next.
    bench.tick(7, 11);
    bench.hub.begin_flush(Class::BATCH, bench.now, &mut kept);
    bench.tick(7, 12);
    // The quotes are read when they are written: of the chain, 12 is known already.
    assert_eq!(bench.got(ME).len(), 3);
}
