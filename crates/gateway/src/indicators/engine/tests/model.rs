//! Random users, faults and times, against values computed from all trades.

use core::time::Duration;

use rand::Rng;

use super::truth::{Truth, trading_days};
use super::world::{Faults, INDEX, SECOND, Seen, World, equity, spec};

const TIMEFRAMES: [&str; 6] = ["1min", "5min", "7min", "15min", "1h", "1d"];
const INDICATORS: [&str; 7] = [
    "RSI_3",
    "SMA_5",
    "EMA_4",
    "ATR_3",
    "MACD_3_6_2",
    "BB_5_2",
    "VWAP",
];

fn play(seed: u64) -> Seen {
    let starts = [
        "2026-02-09T09:05:00",
        "2026-02-09T10:58:13",
        "2026-02-09T14:20:30",
    ];
    let start = starts[usize::try_from(seed % 3).expect("small")];
    let mut world = World::new(
        seed,
        start,
        Faults {
            calls: if seed.is_multiple_of(2) { 0 } else { 20 },
            latency: Duration::from_secs([1, 20][usize::from(seed.is_multiple_of(5))]),
            without: (seed % 4 == 1).then_some(15),
            misaligned: seed % 4 == 2,
            unsupported: false,
            not_entitled: false,
            claims: 10,
        },
    );
    let days = trading_days("2026-02-10".parse().expect("a date"), 40);
    for (key, most, quiet, has_volume) in [
        (INDEX, 6, 0, false),
        (equity(1), 4, 5, true),
        (equity(2), 2, 90, true),
    ] {
        let truth = Truth::new(&mut world.rng, &days, most, quiet, has_volume);
        world.truth.insert(key, truth);
    }
    let end = world.now.mono + Duration::from_secs(4_000);
    while world.now.mono < end {
        let by = Duration::from_millis(world.rng.random_range(50..1_500));
        world.step(by);
        match world.rng.random_range(0..1_000) {
            0..25 => {
                let key = [INDEX, equity(1), equity(2)][world.rng.random_range(0..3)];
                let timeframe = TIMEFRAMES[world.rng.random_range(0..TIMEFRAMES.len())];
                let id = INDICATORS[world.rng.random_range(0..INDICATORS.len())];
                let streamed = world.rng.random();
                if key != INDEX || id != "VWAP" {
                    world.want(spec(key, timeframe, id, streamed));
                }
            }
            25..42 if !world.wanted.is_empty() => {
                let at = world.rng.random_range(0..world.wanted.len());
                let key = world.wanted.keys().nth(at).expect("there").clone();
                world.unwant(&key);
            }
            42..44 => {
                let secs = world.rng.random_range(1..200);
                world.fall(Duration::from_secs(secs));
            }
            44..46 => {
                let secs = world.rng.random_range(1..400);
                world.stall(Duration::from_secs(secs));
            }
            46..49 => {
                let key = [INDEX, equity(1), equity(2)][world.rng.random_range(0..3)];
                world.evict(key);
            }
            _ => {}
        }
    }
    // Quiet: everything finds together.
    world.faults.calls = 0;
    world.faults.claims = 0;
    world.run(Duration::from_secs(1_500), SECOND / 2);
    world.check_settled();
    // Nobody wants anything: nothing is left.
    for key in world.wanted.keys().cloned().collect::<Vec<_>>() {
        world.unwant(&key);
    }
    world.run(Duration::from_secs(120), SECOND);
    assert_eq!(world.held.len(), 0);
    assert_eq!(world.watched(), 0);
    assert_eq!(world.calls_under_way(), 0);
    // A day later the last values are gone too.
    world.run(Duration::from_secs(87_000), 60 * SECOND);
    assert_eq!(world.engine.remembered(), 0);
    world.seen
}

#[test]
fn what_is_said_to_be_right_is_right_whatever_happens() {
    let only = std::env::var("STRIKEWIRE_ENGINE_SEED").ok();
    let replays = only.is_some();
    let seeds: Vec<u64> = match only {
        Some(seed) => vec![seed.parse().expect("a number")],
        None => (0..12).collect(),
    };
    let mut all = Seen::default();
    for seed in seeds {
        eprintln!("STRIKEWIRE_ENGINE_SEED={seed}");
        let seen = play(seed);
        eprintln!("{seen:?}");
        all.calls += seen.calls;
        all.failed_calls += seen.failed_calls;
        all.refused_claims += seen.refused_claims;
        all.evictions += seen.evictions;
        all.outages += seen.outages;
        all.stalls += seen.stalls;
        all.warm_finals += seen.warm_finals;
        all.warm_forming += seen.warm_forming;
        all.cold += seen.cold;
        all.releases += seen.releases;
        all.shown += seen.shown;
    }
    for (what, count) in [
        ("calls", all.calls),
        ("failed calls", all.failed_calls),
        ("refused claims", all.refused_claims),
        ("evictions", all.evictions),
        ("outages", all.outages),
        ("stalls", all.stalls),
        ("right final values", all.warm_finals),
        ("right forming values", all.warm_forming),
        ("values that are not trusted", all.cold),
        ("releases", all.releases),
        ("messages", all.shown),
    ] {
        assert!(count > 10 || replays, "{what}: {count}");
    }
}
