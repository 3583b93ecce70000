//! What several modes of one instrument come to, under each of the three rules.

use super::*;
use crate::config::ModeSemantics::{AnyUnsubscribe, Last, Set};

/// Requests about one share, then the modes it is held in, what is sent at its next
/// trade, and how much of it was asked for twice or let go without being held.
#[test]
fn requests_mean_what_the_rule_says() {
    use Mode::{Full, Quote, Ticker};
    type Case<'a> = (&'a [u8], &'a [Mode], &'a [u8], (u64, u64));
    let cases: [(crate::ModeSemantics, &[Case<'_>]); 3] = [
        (
            Set,
            &[
                (&[15, 21], &[Ticker, Full], &[8], (0, 0)),
                (&[21, 15], &[Ticker, Full], &[8], (0, 0)),
                (&[15, 21, 22], &[Ticker], &[2], (0, 0)),
                (&[15, 21, 16], &[Full], &[8], (0, 0)),
                (&[15, 21, 18], &[Ticker, Full], &[8], (0, 1)),
                (&[15, 15, 16], &[], &[], (1, 0)),
            ],
        ),
        (
            Last,
            &[
                (&[15, 21], &[Full], &[8], (0, 0)),
                (&[21, 15], &[Ticker], &[2], (0, 0)),
                (&[21, 15, 22], &[Ticker], &[2], (0, 1)),
                (&[21, 15, 16], &[], &[], (0, 0)),
                (&[15, 17, 15], &[Ticker], &[2], (0, 0)),
                (&[17, 17], &[Quote], &[4], (1, 0)),
            ],
        ),
        (
            AnyUnsubscribe,
            &[
                (&[15, 21], &[Ticker, Full], &[8], (0, 0)),
                (&[15, 21, 22], &[], &[], (0, 0)),
                (&[15, 21, 16], &[], &[], (0, 0)),
                (&[15, 18], &[], &[], (0, 1)),
                (&[15, 18, 16], &[], &[], (0, 2)),
            ],
        ),
    ];
    for (modes, cases) in cases {
        for (codes, held, then, (duplicates, not_held)) in cases {
            let mut bench = Bench::new(Config {
                modes,
                ..Config::default()
            });
            let id = bench.connect(1);
            let share = key("RELIANCE");
            for code in *codes {
                bench.send(id, *code, &[share]);
            }
            bench.poll(0.0);
            let state = bench.core.wire_state()[&id].get(&share).copied();
            let held: ModeSet = held.iter().copied().collect();
            assert_eq!(state.unwrap_or_default(), held, "{modes} {codes:?}");
            assert_eq!(bench.codes(id, 0.25), *then, "{modes} {codes:?}");
            let counters = bench.core.counters().sessions[&id];
            assert_eq!(
                (counters.duplicates, counters.not_held),
                (*duplicates, *not_held),
                "{modes} {codes:?}"
            );
            assert_eq!(counters.instruments, usize::from(!held.is_empty()));
        }
    }
}

#[test]
fn they_have_names() {
    for modes in crate::ModeSemantics::ALL {
        assert_eq!(modes.to_string().parse(), Ok(modes));
    }
    assert!("sets".parse::<crate::ModeSemantics>().is_err());
    assert_eq!(Config::default().modes, Set);
}

#[test]
fn an_instrument_that_came_back_ticks_once() {
    for modes in crate::ModeSemantics::ALL {
        let mut bench = Bench::new(Config {
            modes,
            ..Config::default()
        });
        let id = bench.connect(1);
        let share = [key("RELIANCE")];
        for code in [15, 21, 22, 16, 17] {
            bench.send(id, code, &share);
        }
        bench.poll(0.0);
        assert_eq!(bench.codes(id, 0.25), [4], "{modes}");
    }
}
