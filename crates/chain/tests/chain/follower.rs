use core::time::Duration;

use proptest::prelude::*;
use strikewire_chain::{Band, Decision, Follower, Forced, PriceQuality, Span, Width, Window};
use strikewire_registry::Registry;
use strikewire_types::{Now, Price};

use crate::fixture::{even, ladder, price};

use PriceQuality::{Live, Stale};

fn follower(registry: &Registry, width: u32) -> Follower {
    Follower::new(ladder(registry).id(), Width::new(width).unwrap())
}

fn window(registry: &Registry, ltp: Price, width: u32) -> Span {
    Window::new(ladder(registry), ltp, Width::new(width).unwrap())
        .unwrap()
        .span()
}

/// Shows a price and gives what happened in a word, and the strike at the money.
fn show(
    follower: &mut Follower,
    registry: &Registry,
    ltp: &str,
    quality: PriceQuality,
) -> (&'static str, String) {
    let before = follower.span();
    let decision = follower.on_price(registry, Now::default(), price(ltp), quality);
    let word = match decision {
        Decision::Hold => "hold",
        Decision::Confirm => "confirm",
        Decision::Started { to } => {
            assert_eq!((before, follower.span()), (None, Some(to)));
            "started"
        }
        Decision::Rolled { from, to } => {
            assert_eq!((before, follower.span()), (Some(from), Some(to)));
            assert_ne!(from, to);
            "rolled"
        }
        Decision::Recalculated => {
            assert_eq!(before, follower.span());
            "recalculated"
        }
    };
    if matches!(decision, Decision::Hold | Decision::Confirm) {
        assert_eq!(before, follower.span());
    }
    let atm = follower.span().map(|span| {
        ladder(registry).rungs()[span.atm as usize]
            .strike
            .to_string()
    });
    (word, atm.unwrap_or_default())
}

#[test]
fn a_chain_rolls_when_the_price_has_moved_a_whole_step() {
    let registry = even((1000..=2000).step_by(10));
    let mut chain = follower(&registry, 5);
    assert_eq!(chain.band(), None);
    let mut check = |ltp, word, atm: &str| {
        assert_eq!(
            show(&mut chain, &registry, ltp, Live),
            (word, atm.to_owned()),
            "{ltp}"
        );
    };
    check("1441.5", "started", "1440");
    // Another strike is nearest, but that is less than a step.
    check("1446", "hold", "1440");
    check("1451.45", "hold", "1440");
    check("1451.5", "rolled", "1450");
    check("1441.55", "hold", "1450");
    check("1441.5", "rolled", "1440");
    check("1460", "rolled", "1460");
    assert_eq!(
        chain.band(),
        Some(Band {
            lower: Some(price("1450")),
            upper: Some(price("1470"))
        })
    );
    assert_eq!(chain.price(), Some(price("1460")));
}

#[test]
fn at_the_ladders_end_there_is_nowhere_to_go() {
    let registry = even([100, 110, 120]);
    let mut chain = follower(&registry, 3);
    let mut check = |ltp, word, atm: &str| {
        assert_eq!(
            show(&mut chain, &registry, ltp, Live),
            (word, atm.to_owned()),
            "{ltp}"
        );
    };
    check("119", "started", "120");
    check("124", "hold", "120");
    check("129.9", "hold", "120");
    check("109", "confirm", "120");
    check("109", "rolled", "110");
    let registry = even([100]);
    let mut chain = follower(&registry, 3);
    assert_eq!(show(&mut chain, &registry, "100", Live).0, "started");
    assert_eq!(chain.band(), Some(Band::default()));
    assert_eq!(show(&mut chain, &registry, "104", Live).0, "hold");
}

#[test]
fn what_is_no_live_price_moves_nothing() {
    let registry = even((1000..=2000).step_by(10));
    let mut chain = follower(&registry, 5);
    assert_eq!(show(&mut chain, &registry, "0", Live).0, "hold");
    assert_eq!(show(&mut chain, &registry, "1440", Live).0, "started");
    for (ltp, quality) in [("1460", Stale), ("2000", Stale), ("0", Live), ("-1", Live)] {
        assert_eq!(
            show(&mut chain, &registry, ltp, quality),
            ("hold", "1440".to_owned()),
            "{ltp}"
        );
    }
    assert_eq!(show(&mut chain, &registry, "1450", Live).0, "rolled");
}

#[test]
fn a_jump_needs_a_second_packet() {
    let registry = even((1000..=2000).step_by(10));
    let started = || {
        let mut chain = follower(&registry, 5);
        assert_eq!(show(&mut chain, &registry, "1400", Live).0, "started");
        chain
    };
    // 5 % itself is no jump.
    assert_eq!(
        show(&mut started(), &registry, "1470", Live),
        ("rolled", "1470".to_owned())
    );
    assert_eq!(
        show(&mut started(), &registry, "1330", Live),
        ("rolled", "1330".to_owned())
    );

    let mut chain = started();
    assert_eq!(
        show(&mut chain, &registry, "1470.05", Live),
        ("confirm", "1400".to_owned())
    );
    // While it waits, every price must be shown.
    assert_eq!(chain.band(), None);
    assert_eq!(
        show(&mut chain, &registry, "1475", Live),
        ("rolled", "1480".to_owned())
    );
    assert!(chain.band().is_some());

    // The second one does not confirm the first.
    let mut chain = started();
    assert_eq!(show(&mut chain, &registry, "1900", Live).0, "confirm");
    assert_eq!(
        show(&mut chain, &registry, "1401", Live),
        ("hold", "1400".to_owned())
    );
    assert_eq!(show(&mut chain, &registry, "1900", Live).0, "confirm");
    assert_eq!(show(&mut chain, &registry, "1100", Live).0, "confirm");
    assert_eq!(
        show(&mut chain, &registry, "1101", Live),
        ("rolled", "1100".to_owned())
    );
    // A stale price confirms nothing.
    assert_eq!(show(&mut chain, &registry, "1900", Live).0, "confirm");
    assert_eq!(show(&mut chain, &registry, "1900", Stale).0, "hold");
    assert_eq!(
        show(&mut chain, &registry, "1900", Live),
        ("rolled", "1900".to_owned())
    );
}

#[test]
fn the_first_live_price_corrects_a_provisional_chain() {
    let registry = even((1000..=2000).step_by(10));
    let mut chain = follower(&registry, 5);
    assert_eq!(
        show(&mut chain, &registry, "1800", Stale),
        ("started", "1800".to_owned())
    );
    assert!(chain.is_provisional());
    assert_eq!(chain.band(), None);
    assert_eq!(
        show(&mut chain, &registry, "1700", Stale),
        ("hold", "1800".to_owned())
    );
    assert_eq!(
        show(&mut chain, &registry, "1440", Live),
        ("rolled", "1440".to_owned())
    );
    assert!(!chain.is_provisional());

    // Also when it is near.
    let mut chain = follower(&registry, 5);
    assert_eq!(show(&mut chain, &registry, "1440", Stale).0, "started");
    assert_eq!(show(&mut chain, &registry, "1441", Live).0, "recalculated");
    assert_eq!(chain.price(), Some(price("1441")));
}

#[test]
fn a_chain_expires_and_can_be_forced() {
    let registry = even((1000..=2000).step_by(10));
    let mut chain = follower(&registry, 5);
    let start = Now::default();
    let ttl = Duration::from_secs(300);
    let after = |millis| start + Duration::from_millis(millis);
    assert!(chain.is_expired(start, ttl));
    let _ = chain.on_price(&registry, start, price("1440"), Live);
    assert!(!chain.is_expired(after(299_999), ttl));
    assert!(chain.is_expired(after(300_000), ttl));
    // Asked for after its time to live: inside the band, and still calculated.
    let decision = chain.recalculate(&registry, after(300_000), price("1446"), Live);
    assert!(matches!(decision, Decision::Rolled { .. }));
    assert!(!chain.is_expired(after(300_000), ttl));
    assert_eq!(chain.calculated_at(), Some(after(300_000)));

    let forced = chain.force(&registry, after(300_500), price("1447"), Live);
    assert_eq!(forced, Forced::Done(Decision::Recalculated));
    let too_soon = chain.force(&registry, after(301_300), price("1455"), Live);
    assert_eq!(
        too_soon,
        Forced::TooSoon {
            retry_in: Duration::from_millis(200)
        }
    );
    assert_eq!(chain.price(), Some(price("1447")));
    let forced = chain.force(&registry, after(301_500), price("1455"), Live);
    assert!(matches!(forced, Forced::Done(Decision::Rolled { .. })));
    // Forced or not, it is a live price that moves it.
    assert_eq!(
        chain.force(&registry, after(303_000), price("1500"), Stale),
        Forced::Done(Decision::Hold)
    );
    assert_eq!(
        chain.force(&registry, after(305_000), price("1900"), Live),
        Forced::Done(Decision::Confirm)
    );
}

proptest! {
    /// A walk by small steps against the rule itself: calculate again exactly when
    /// the price is a whole gap away from the price of the last calculation.
    #[test]
    fn a_walk_follows_the_rule(gaps in prop::collection::vec(1_u32..30, 5..40), start in 0.2_f64..0.8, moves in prop::collection::vec(-0.04_f64..0.04, 1..60)) {
        let mut strikes = vec![1000_u32];
        for gap in gaps {
            strikes.push(strikes[strikes.len() - 1] + gap);
        }
        let registry = even(strikes.iter().copied());
        let (first, last) = (f64::from(strikes[0]), f64::from(strikes[strikes.len() - 1]));
        let mut ltp = first + (last - first) * start;
        let mut chain = follower(&registry, 5);
        let mut model: Option<(Price, Span)> = None;
        for step in moves {
            ltp *= 1.0 + step;
            let raw = (ltp * 10_000.0) as i64;
            let now = Price::from_raw(raw);
            let decision = chain.on_price(&registry, Now::default(), now, Live);
            let to = window(&registry, now, 5);
            let leaves = |(at, span): (Price, Span)| {
                let atm = span.atm as usize;
                let gap = |a: usize, b: usize| i64::from(strikes[b] - strikes[a]) * 10_000;
                let up = atm + 1 < strikes.len() && raw >= at.raw() + gap(atm, atm + 1);
                let down = atm > 0 && raw <= at.raw() - gap(atm - 1, atm);
                up || down
            };
            let expected = match model {
                None => Decision::Started { to },
                Some(last) if !leaves(last) => Decision::Hold,
                Some((_, from)) if from == to => Decision::Recalculated,
                Some((_, from)) => Decision::Rolled { from, to },
            };
            // Several small moves without a calculation never add up to a jump: each
            // price is believed as it is shown.
            prop_assert_eq!(decision, expected);
            if expected != Decision::Hold {
                model = Some((now, to));
            }
            prop_assert_eq!(chain.span(), model.map(|(_, span)| span));
        }
    }

    #[test]
    fn no_price_panics(prices in prop::collection::vec((any::<i64>(), any::<bool>()), 0..20)) {
        let registry = even([100, 110, 120]);
        let mut chain = follower(&registry, 3);
        for (raw, is_live) in prices {
            let quality = if is_live { Live } else { Stale };
            let _ = chain.on_price(&registry, Now::default(), Price::from_raw(raw), quality);
            let _ = chain.force(&registry, Now::default(), Price::from_raw(raw), quality);
        }
    }
}
