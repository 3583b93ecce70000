//! Five indicators beside those of `kand`, and what they hold.

use compat::studies::{Any, FIRST, Kand, Typed, bars};
use strikewire_indicators::{IndicatorId, Study, catalog};

#[test]
fn kand_says_the_same() {
    let bars = bars(5_000, 5);
    let (mut typed, mut any) = (Typed::new(), Any::new());
    // Its MACD begins with the averages that TradingView's begins with: forgotten by then.
    let seen = 1_000;
    for bar in &bars[..seen] {
        typed.step(bar);
        any.step(bar);
    }
    let mut kand = Kand::after(&bars[..seen]);
    for (nth, bar) in bars[seen..].iter().enumerate() {
        let values = typed.step(bar).unwrap();
        assert_eq!(any.step(bar), Some(values));
        for (of, (ours, theirs)) in values.iter().zip(kand.step(bar)).enumerate() {
            // Its bands are of a sum of squares, which at this price has lost nine digits.
            let tolerance = if (4..7).contains(&of) { 1e-5 } else { 1e-8 };
            assert!(
                (ours - theirs).abs() < tolerance,
                "bar {nth}, number {of}: {ours}, kand {theirs}"
            );
        }
    }
}

#[test]
fn each_of_the_five_begins_in_time() {
    let (mut typed, bars) = (Typed::new(), bars(FIRST, 6));
    let first = bars.iter().position(|bar| typed.step(bar).is_some());
    assert_eq!(first, Some(FIRST - 1));
}

#[test]
fn five_fit_into_448_bytes() {
    let mut kept = None;
    let held = allocation_counter::measure(|| kept = Some(Any::new()));
    let bytes = size_of::<Any>() as i64 + held.bytes_current;
    assert!(bytes <= 448, "{bytes}");
    let mut kept = None;
    let held = allocation_counter::measure(|| kept = Some(Typed::new()));
    let bytes = size_of::<Typed>() as i64 + held.bytes_current;
    assert!(bytes <= 448, "{bytes}");
}

/// Nor anything else, from the first bar on.
#[test]
fn nothing_is_allocated_for_a_bar() {
    let bars = bars(1_500, 7);
    for entry in catalog() {
        let mut study = entry.example.parse::<IndicatorId>().unwrap().build();
        let allocated = allocation_counter::measure(|| {
            for bar in &bars {
                let forming = study.peek(bar);
                study.update(bar);
                assert_eq!(study.value(), forming);
            }
        });
        assert_eq!(allocated.count_total, 0, "{}", entry.name);
    }
}
