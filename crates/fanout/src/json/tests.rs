use proptest::prelude::*;
use serde_json::Value as Json;
use strikewire_types::{InstrumentKey, Segment};

use super::*;

fn price() -> impl Strategy<Value = Price> {
    // Below 10^11 rupees, where the shortest text of a float is the exact one too.
    prop_oneof![-20_000_i64..20_000, 0..10_i64.pow(15)].prop_map(Price::from_raw)
}

fn level() -> impl Strategy<Value = DepthLevel> {
    let side = || (prop::option::of(price()), any::<u32>(), any::<u16>());
    (side(), side()).prop_map(|((bid, bid_qty, bid_orders), (ask, ask_qty, ask_orders))| {
        DepthLevel {
            bid,
            bid_qty,
            bid_orders,
            ask,
            ask_qty,
            ask_orders,
        }
    })
}

fn quote() -> impl Strategy<Value = Quote> {
    let time = prop::option::of((0_i64..4_000_000_000).prop_map(ExchangeTime::from_seconds));
    let prices = prop::array::uniform6(prop::option::of(price()));
    let counts = prop::array::uniform5(prop::option::of(any::<u32>()));
    let depth = prop::option::of(prop::array::uniform5(level()));
    (time, any::<i64>(), prices, counts, depth).prop_map(|(ltt, recv, prices, counts, depth)| {
        let [ltp, atp, open, high, low, prev_close] = prices;
        let [ltq, volume, oi, total_buy_qty, total_sell_qty] = counts;
        Quote {
            ltp,
            ltt,
            ltq,
            atp,
            volume,
            oi,
            open,
            high,
            low,
            prev_close,
            total_buy_qty,
            total_sell_qty,
            depth,
            ..Quote::new(InstrumentKey::new(Segment::NseEq, 1), Utc::from_nanos(recv))
        }
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(Mode::ALL.as_slice())
}

fn text(quote: &Quote, mode: Mode) -> String {
    let mut out = Vec::new();
    write_quote(&mut out, quote, mode);
    String::from_utf8(out).unwrap()
}

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn example() -> Quote {
    // 2026-02-09 10:00:00 in India is 04:30:00 UTC.
    let second = 1_770_611_400;
    let mut depth = [DepthLevel::default(); DEPTH];
    depth[0] = DepthLevel {
        bid: Some("1440".parse().unwrap()),
        bid_qty: 500,
        bid_orders: 2,
        ask: Some("1440.1".parse().unwrap()),
        ask_qty: 250,
        ask_orders: 1,
    };
    depth[1].ask = Some("1440.0005".parse().unwrap());
    Quote {
        ltp: Some("1440.05".parse().unwrap()),
        ltt: Some(ExchangeTime::from_seconds(second)),
        ltq: Some(25),
        atp: Some("1438.5".parse().unwrap()),
        volume: Some(0),
        oi: Some(u32::MAX),
        oi_high: Some(1),
        open: Some("-0.05".parse().unwrap()),
        total_buy_qty: Some(7),
        depth: Some(depth),
        ..Quote::new(
            InstrumentKey::new(Segment::NseEq, 2885),
            Utc::from_nanos(second * 1_000_000_000 + 7_999_999),
        )
    }
}

#[test]
fn modes_add_to_each_other() {
    let ticker = r#"{"ltp":1440.05,"ltt":"2026-02-09T10:00:00+05:30","recv":"2026-02-09T10:00:00.007+05:30""#;
    let day = r#","ltq":25,"atp":1438.5,"volume":0,"oi":4294967295,"open":-0.05"#;
    let top = r#","bid":1440.0,"ask":1440.1,"bid_qty":500,"ask_qty":250"#;
    let totals = r#","total_buy_qty":7"#;
    let empty = r#"{"bid_qty":0,"bid_orders":0,"ask_qty":0,"ask_orders":0}"#;
    let depth = format!(
        r#","depth":[{{"bid":1440.0,"bid_qty":500,"bid_orders":2,"ask":1440.1,"ask_qty":250,"ask_orders":1}},{{"bid_qty":0,"bid_orders":0,"ask":1440.0005,"ask_qty":0,"ask_orders":0}},{empty},{empty},{empty}]"#
    );
    let quote = example();
    assert_eq!(text(&quote, Mode::Ticker), format!("{ticker}}}"));
    assert_eq!(
        text(&quote, Mode::Quote),
        format!("{ticker}{day}{totals}}}")
    );
    assert_eq!(
        text(&quote, Mode::Full),
        format!("{ticker}{day}{top}{totals}{depth}}}")
    );
}

#[test]
fn a_difference_is_what_changed_and_null_what_is_unknown_now() {
    let old = example();
    let mut new = old;
    new.ltp = Some("1440.1".parse().unwrap());
    new.atp = None;
    new.depth = None;
    let mut out = b"x".to_vec();
    assert!(write_changed(&mut out, &old, &new, Mode::Quote));
    assert_eq!(out, br#"x{"ltp":1440.1,"atp":null}"#);
    out.truncate(1);
    assert!(write_changed(&mut out, &old, &new, Mode::Full));
    assert_eq!(
        out,
        br#"x{"ltp":1440.1,"atp":null,"bid":null,"ask":null,"bid_qty":null,"ask_qty":null,"depth":null}"#
    );
    out.truncate(1);
    new.ltp = old.ltp;
    assert!(!write_changed(&mut out, &old, &new, Mode::Ticker));
    assert_eq!(out, b"x");
}

#[test]
fn an_answer_to_a_request_is_received_when_it_came() {
    let mut quote = Quote::new(InstrumentKey::new(Segment::NseEq, 1), Utc::from_nanos(0));
    quote.from_rest = Some(Utc::from_nanos(1_770_611_400_000_000_000));
    assert_eq!(
        text(&quote, Mode::Ticker),
        r#"{"recv":"2026-02-09T10:00:00.000+05:30"}"#
    );
}

/// What a map of quotes should be, made anew every time.
fn whole(legs: &[(String, Option<Quote>)], mode: Mode) -> String {
    let known = legs.iter().filter_map(|(token, quote)| {
        let quote = text(quote.as_ref()?, mode);
        Some(format!("{}:{quote}", Json::from(token.as_str())))
    });
    format!("{{{}}}", known.collect::<Vec<_>>().join(","))
}

#[test]
fn times_beyond_the_calendar_are_still_text() {
    for extreme in [i64::MIN, i64::MAX] {
        let mut quote = example();
        quote.ltt = Some(ExchangeTime::from_seconds(extreme));
        quote.recv = Utc::from_nanos(extreme);
        let json = parsed(&text(&quote, Mode::Ticker));
        assert_eq!(json["ltt"], quote.ltt.unwrap().to_string());
    }
}

proptest! {
    #[test]
    fn both_writers_agree(quote in quote(), mode in mode()) {
        let fast = parsed(&text(&quote, mode));
        prop_assert_eq!(&fast, &serde_json::to_value(QuoteJson(&quote, mode)).unwrap());
        prop_assert!(fast.get("close").is_none());
    }

    #[test]
    fn a_map_of_quotes_is_what_it_would_be_anew(
        mode in mode(),
        rounds in prop::collection::vec(prop::collection::vec((0..6_usize, quote()), 0..4), 1..6),
    ) {
        let tokens = ["A", "B\"", "C", "A-1", "é"];
        let mut map = QuoteMap::new(mode);
        let mut legs = Vec::new();
        for (at, token) in tokens.into_iter().enumerate() {
            prop_assert_eq!(map.push(token), at);
            legs.push((token.to_owned(), None));
        }
        for round in rounds {
            for (at, quote) in round {
                map.set(at, &quote);
                if let Some((_, known)) = legs.get_mut(at) {
                    *known = Some(quote);
                }
            }
            let mut out = b"x".to_vec();
            map.write(&mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("x{}", whole(&legs, mode)));
        }
        for (at, (_, quote)) in legs.iter().enumerate() {
            prop_assert_eq!(map.quote(at), quote.as_ref());
        }
    }

    #[test]
    fn old_and_difference_make_new(old in quote(), new in quote(), mode in mode()) {
        let mut patch = Vec::new();
        let changed = write_changed(&mut patch, &old, &new, mode);
        let patch = String::from_utf8(patch).unwrap();
        let mut patched = parsed(&text(&old, mode));
        let expected = parsed(&text(&new, mode));
        prop_assert_eq!(changed, patched != expected);
        if changed {
            for (name, value) in parsed(&patch).as_object().unwrap() {
                let map = patched.as_object_mut().unwrap();
                prop_assert_ne!(map.get(name), Some(value), "{} did not change", name);
                if value.is_null() {
                    prop_assert!(map.remove(name).is_some());
                } else {
                    map.insert(name.clone(), value.clone());
                }
            }
        }
        prop_assert_eq!(patched, expected);
    }
}
