//! Random calls against clients that believe every message they are sent; in the end they
//! must believe what is true.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

mod view;
mod world;

use view::Seen;
use world::World;

const IDS: u32 = 10;
const SLOTS: u32 = 16;
const CLIENTS: u64 = 3;
const SUBS: u64 = 3;
const CHAINS: u64 = 2;
const VALUES: u64 = 3;

/// From where a client wants to resume.
#[derive(Debug, Clone, Copy)]
enum From {
    /// Where an earlier subscription ended.
    Latest,
    /// Somewhere before.
    Earlier,
    /// A number that was never given.
    Future,
    /// Another run of the server.
    OtherEpoch,
    /// Where one of another mode is.
    OtherMode,
}

#[derive(Debug, Clone)]
enum Op {
    Ticks {
        client: u64,
        sub: u64,
        ids: Vec<u32>,
        mode: Mode,
        class: Class,
    },
    Chain {
        client: u64,
        sub: u64,
        chain: u64,
        mode: Mode,
        class: Class,
        from: Option<From>,
    },
    Values {
        client: u64,
        sub: u64,
        ids: Vec<u64>,
    },
    Unsubscribe {
        client: u64,
        sub: u64,
    },
    DropValues {
        client: u64,
        sub: u64,
        ids: Vec<u64>,
    },
    SetValue {
        id: u64,
        urgent: bool,
    },
    RemoveValue {
        id: u64,
    },
    Roll {
        chain: u64,
        first: u32,
        len: u32,
        underlying: Option<u32>,
        field: u8,
    },
    RemoveChain {
        chain: u64,
    },
    Write {
        id: u32,
        field: u8,
        value: Option<u16>,
    },
    Bind {
        id: u32,
        slot: u32,
    },
    Unbind {
        id: u32,
    },
    Flush {
        class: Class,
    },
    Greet {
        client: u64,
    },
    /// Client takes messages from its queue.
    Take {
        client: u64,
        count: usize,
    },
    /// The client goes, and another comes under its number.
    Restart {
        client: u64,
    },
    Wait {
        millis: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    // Few, so that clients meet.
    let mode = || prop::sample::select(&[Mode::Ticker, Mode::Full, Mode::Full][..]);
    let class = || prop::sample::select(&Class::ALL[..2]);
    let ids = prop_oneof![
        2 => Just(vec![0, 1, 2, 3]),
        1 => prop::collection::vec(0..IDS, 0..5),
    ];
    let from = prop_oneof![
        4 => Just(None),
        6 => Just(Some(From::Latest)),
        2 => Just(Some(From::Earlier)),
        1 => prop::sample::select(&[From::Future, From::OtherEpoch, From::OtherMode][..]).prop_map(Some),
    ];
    let values = || prop::collection::vec(0..VALUES, 1..4);
    let flushed = prop_oneof![4 => class(), 1 => Just(Class::default())];
    let millis = prop_oneof![6 => 0..9_000_u64, 1 => 30_000..33_000_u64];
    prop_oneof![
        3 => (0..CLIENTS, 0..SUBS, ids, mode(), class())
            .prop_map(|(client, sub, ids, mode, class)| Op::Ticks { client, sub, ids, mode, class }),
        5 => (0..CLIENTS, 0..SUBS, 0..CHAINS, mode(), class(), from)
            .prop_map(|(client, sub, chain, mode, class, from)| Op::Chain { client, sub, chain, mode, class, from }),
        3 => (0..CLIENTS, 0..SUBS, values()).prop_map(|(client, sub, ids)| Op::Values { client, sub, ids }),
        1 => (0..CLIENTS, 0..SUBS, values()).prop_map(|(client, sub, ids)| Op::DropValues { client, sub, ids }),
        12 => (0..VALUES, prop::bool::weighted(0.3)).prop_map(|(id, urgent)| Op::SetValue { id, urgent }),
        1 => (0..VALUES).prop_map(|id| Op::RemoveValue { id }),
        2 => (0..CLIENTS, 0..SUBS).prop_map(|(client, sub)| Op::Unsubscribe { client, sub }),
        3 => (0..CHAINS, 0..IDS, 0..6_u32, prop::option::of(0..IDS), 0..4_u8)
            .prop_map(|(chain, first, len, underlying, field)| Op::Roll { chain, first, len, underlying, field }),
        1 => (0..CHAINS).prop_map(|chain| Op::RemoveChain { chain }),
        30 => (0..IDS, 0..4_u8, any::<Option<u16>>()).prop_map(|(id, field, value)| Op::Write { id, field, value }),
        2 => (0..IDS, 0..SLOTS).prop_map(|(id, slot)| Op::Bind { id, slot }),
        1 => (0..IDS).prop_map(|id| Op::Unbind { id }),
        17 => flushed.prop_map(|class| Op::Flush { class }),
        3 => (0..CLIENTS).prop_map(|client| Op::Greet { client }),
        12 => (0..CLIENTS, 1..6_usize).prop_map(|(client, count)| Op::Take { client, count }),
        1 => (0..CLIENTS).prop_map(|client| Op::Restart { client }),
        2 => millis.prop_map(|millis| Op::Wait { millis }),
    ]
}

#[test]
fn a_client_that_believes_every_message_knows_what_is_true() {
    let seen = Seen::default();
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: 1_000,
            failure_persistence: None,
            ..Config::default()
        },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let result = runner.run(&prop::collection::vec(op(), 0..400), |ops| {
        let mut world = World::new(&seen);
        for op in ops {
            world.act(op);
        }
        world.settle();
        world.check();
        world.forget();
        let stats = *world.hub.stats();
        for (cell, count) in [
            (&seen.full, world.out.full),
            (&seen.shared_ticks, world.out.shared_ticks),
            (&seen.shared_chains, world.out.shared_chains),
            (&seen.conflated, stats.conflated as u32),
        ] {
            cell.set(cell.get() + count);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // A run that never met these would prove nothing.
    let met = [
        ("deltas", 1_000, &seen.deltas),
        ("lagged", 100, &seen.lagged),
        ("rolls", 100, &seen.rolls),
        ("full queues", 100, &seen.full),
        ("conflated", 100, &seen.conflated),
        ("bundles shared", 100, &seen.shared_ticks),
        ("chain messages shared", 100, &seen.shared_chains),
        ("slots taken from another", 100, &seen.stolen_slots),
        ("resumed", 100, &seen.resumed),
        ("deltas after a resume", 100, &seen.replayed),
        ("resumes without room", 5, &seen.resume_lagged),
        ("resume refused", 100, &seen.refused),
        ("back in time", 100, &seen.back_in_time),
        ("back too late", 20, &seen.back_too_late),
        ("chains removed and back", 20, &seen.chains_back),
        ("greeted", 100, &seen.greeted),
        ("values", 1_000, &seen.values),
        ("urgent values that waited", 100, &seen.finals_late),
        (
            "urgent values that a later one replaced",
            20,
            &seen.finals_replaced,
        ),
        ("values removed", 100, &seen.values_removed),
    ];
    for (what, least, count) in met {
        assert!(count.get() >= least, "{what}: {} of {met:?}", count.get());
    }
}
