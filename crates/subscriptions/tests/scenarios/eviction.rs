use std::time::Duration;

use strikewire_subscriptions::{Effect, Refusal, Why};
use strikewire_types::Tier;

use crate::desk::{A, B, Desk, legs, owner};

/// Claims in order of use, with how many seconds ago; 10 slots in all.
struct Eviction {
    name: &'static str,
    claims: &'static [(u64, Tier, &'static [u32], u64)],
    /// Claims with an open stream.
    streams: &'static [u64],
    request: (u64, Tier, &'static [u32]),
    expected: Expected,
}

/// Victims and what each frees, or what the refusal says: needed, free, evictable.
type Expected = Result<&'static [(u64, usize)], (usize, usize, usize)>;

#[test]
fn who_is_evicted() {
    let cases = [
        Eviction {
            name: "what fits evicts nobody",
            claims: &[(1, A, &[1, 2, 3, 4, 5, 6, 7], 100)],
            streams: &[],
            request: (9, A, &[7, 8, 9, 10]),
            expected: Ok(&[]),
        },
        Eviction {
            name: "the least recently used first",
            claims: &[
                (1, A, &[1, 2, 3, 4, 5], 200),
                (2, A, &[6, 7, 8, 9, 10], 100),
            ],
            streams: &[],
            request: (9, A, &[11, 12]),
            expected: Ok(&[(1, 5)]),
        },
        Eviction {
            name: "who turns out not to be needed is spared",
            claims: &[
                (1, A, &[1], 400),
                (2, A, &[2, 3], 300),
                (3, A, &[4, 5, 6, 7, 8], 200),
                (4, A, &[9, 10], 100),
            ],
            streams: &[],
            request: (9, A, &[11, 12, 13, 14, 15]),
            expected: Ok(&[(3, 5)]),
        },
        Eviction {
            name: "sparing begins with the most recently used",
            claims: &[
                (1, A, &[1, 2, 3], 400),
                (2, A, &[4], 300),
                (3, A, &[5, 6, 7], 200),
                (4, A, &[8, 9, 10], 100),
            ],
            streams: &[],
            request: (9, A, &[11, 12, 13, 14, 15, 16]),
            expected: Ok(&[(1, 3), (3, 3)]),
        },
        Eviction {
            name: "those in use go last, however long ago they were made",
            claims: &[
                (1, A, &[1, 2, 3, 4, 5], 300),
                (2, A, &[6, 7], 200),
                (3, A, &[8, 9, 10], 10),
            ],
            streams: &[1],
            request: (9, A, &[11, 12, 13, 14]),
            expected: Ok(&[(1, 5)]),
        },
        Eviction {
            name: "an open stream is use",
            claims: &[
                (1, A, &[1, 2, 3, 4, 5], 300),
                (2, A, &[6, 7, 8, 9, 10], 200),
            ],
            streams: &[1],
            request: (9, A, &[11, 12]),
            expected: Ok(&[(2, 5)]),
        },
        Eviction {
            name: "60 s ago is still in use",
            claims: &[(1, A, &[1, 2, 3, 4, 5], 300), (2, A, &[6, 7, 8, 9, 10], 60)],
            streams: &[1],
            request: (9, A, &[11, 12]),
            expected: Ok(&[(1, 5)]),
        },
        Eviction {
            name: "61 s ago is not",
            claims: &[(1, A, &[1, 2, 3, 4, 5], 300), (2, A, &[6, 7, 8, 9, 10], 61)],
            streams: &[1],
            request: (9, A, &[11, 12]),
            expected: Ok(&[(2, 5)]),
        },
        Eviction {
            name: "a shared slot is free when its last holder goes",
            claims: &[
                (1, A, &[1, 2, 3, 4], 300),
                (2, A, &[1, 2, 3, 4], 200),
                (3, A, &[5, 6, 7, 8, 9, 10], 100),
            ],
            streams: &[],
            request: (9, A, &[11, 12, 13, 14, 15]),
            expected: Ok(&[(3, 6)]),
        },
        Eviction {
            name: "who holds what a victim holds may have to go too",
            claims: &[
                (1, A, &[1, 2, 3, 4, 5], 300),
                (2, A, &[1, 2, 3, 4, 5], 200),
                (3, A, &[6, 7, 8, 9, 10], 100),
            ],
            streams: &[3],
            request: (9, A, &[11]),
            expected: Ok(&[(1, 0), (2, 5)]),
        },
        Eviction {
            name: "who could free nothing is passed over",
            claims: &[
                (1, A, &[1, 2], 400),
                (2, B, &[1, 2, 3, 4], 300),
                (3, A, &[5], 200),
                (4, A, &[6, 7, 8, 9, 10], 100),
            ],
            streams: &[],
            request: (9, A, &[5, 11]),
            expected: Ok(&[(4, 5)]),
        },
        Eviction {
            name: "tier B evicts tier A",
            claims: &[
                (1, A, &[1, 2, 3, 4, 5], 300),
                (2, B, &[6, 7, 8, 9, 10], 200),
            ],
            streams: &[1],
            request: (9, B, &[11, 12, 13, 14, 15]),
            expected: Ok(&[(1, 5)]),
        },
        Eviction {
            name: "tier B is never evicted",
            claims: &[(1, B, &[1, 2, 3, 4, 5, 6], 900), (2, A, &[6, 7, 8, 9], 800)],
            streams: &[],
            request: (9, B, &[11, 12, 13, 14, 15]),
            expected: Err((5, 1, 3)),
        },
        Eviction {
            name: "what is wanted frees nothing",
            claims: &[(1, A, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 300)],
            streams: &[],
            request: (9, A, &[1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16]),
            expected: Err((6, 0, 5)),
        },
        Eviction {
            name: "the owner's own earlier claim makes room first",
            claims: &[
                (9, A, &[1, 2, 3, 4, 5], 300),
                (2, A, &[6, 7, 8, 9, 10], 200),
            ],
            streams: &[],
            request: (9, A, &[11, 12, 13, 14, 15]),
            expected: Ok(&[]),
        },
        Eviction {
            name: "what the owner keeps in tier B can be evicted after it",
            claims: &[
                (9, B, &[1, 2, 3, 4, 5], 300),
                (2, A, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 200),
            ],
            streams: &[],
            request: (9, A, &[11]),
            expected: Ok(&[(2, 10)]),
        },
    ];
    for case in cases {
        let mut desk = Desk::new(2, 5, 2);
        let end = desk.now;
        for &(id, tier, ids, ago) in case.claims {
            desk.now.mono = end.mono - Duration::from_secs(ago);
            desk.admit(id, tier, legs(ids));
        }
        for &id in case.streams {
            desk.book.set_streaming(owner(id), true);
        }
        desk.now = end;
        desk.effects.clear();
        let (id, tier, ids) = case.request;
        let plan = desk.plan(id, tier, legs(ids));
        let before = desk.book.status();
        match (plan, case.expected) {
            (Ok(plan), Ok(expected)) => {
                let planned = plan.victims().iter().map(|v| (v.owner.id, v.frees));
                assert_eq!(planned.collect::<Vec<_>>(), expected, "{}", case.name);
                desk.book.apply(desk.now, plan, &mut desk.effects);
                let evicted = desk.effects.iter().filter_map(|effect| match *effect {
                    Effect::Evicted { owner, by, freed } if by.id == id => Some((owner.id, freed)),
                    _ => None,
                });
                assert_eq!(evicted.collect::<Vec<_>>(), expected, "{}", case.name);
                let frees: usize = expected.iter().map(|victim| victim.1).sum();
                let gone = desk.effects.iter().filter(|effect| {
                    matches!(
                        effect,
                        Effect::Undesired {
                            why: Why::Evicted,
                            ..
                        }
                    )
                });
                assert_eq!(gone.count(), frees, "{}", case.name);
                assert!(desk.book.status().desired <= 10, "{}", case.name);
            }
            (Err(refusal), Err((needed, free, evictable))) => {
                let expected = Refusal {
                    needed,
                    free,
                    evictable,
                    quota: None,
                };
                assert_eq!(refusal, expected, "{}", case.name);
                assert_eq!(desk.book.status(), before, "{}", case.name);
            }
            (plan, expected) => panic!("{}: {plan:?}, not {expected:?}", case.name),
        }
    }
}

#[test]
fn a_refusal_says_what_it_would_take() {
    let mut desk = Desk::new(1, 3, 2);
    desk.admit(1, B, legs(&[1, 2]));
    let refusal = desk.plan(2, A, legs(&[3, 4])).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "needs 2 more slots, but 1 are free and 0 could be freed by eviction"
    );
}
