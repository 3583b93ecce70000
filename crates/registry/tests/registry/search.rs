use proptest::prelude::*;
use strikewire_registry::{Kind, Registry, SearchFilter};
use strikewire_types::Segment;

use crate::fixture::registry;

fn tokens(registry: &Registry, query: &str, limit: usize) -> Vec<String> {
    let hits = registry.search(query, limit, SearchFilter::default());
    assert!(
        hits.is_sorted_by_key(|hit| core::cmp::Reverse(hit.score)),
        "{query}"
    );
    hits.iter().map(|hit| hit.instrument.token()).collect()
}

#[test]
fn the_best_hit_is_what_people_mean() {
    let registry = registry();
    for (query, expected) in [
        ("RELIANCE", "RELIANCE"),
        ("reli", "RELIANCE"),
        ("industries", "RELIANCE"),
        ("reliance bse", "BSE:RELIANCE"),
        ("reliance fut", "RELIANCE_24FEB2026_FUT"),
        ("reliance 1440 ce", "RELIANCE_24FEB2026_1440CE"),
        ("1440 put reliance 30 mar", "RELIANCE_30MAR2026_1440PE"),
        ("reliance 1440ce bse", "BSE:RELIANCE_26FEB2026_1440CE"),
        ("RELIANCE_24FEB2026_1440CE", "RELIANCE_24FEB2026_1440CE"),
        ("NSE_EQ:2031", "M&M"),
        ("mahindra", "M&M"),
        ("bajaj auto", "BAJAJ-AUTO"),
        ("samvardhana", "MOTHERSON"),
        ("nifty", "NIFTY"),
        ("nifty 50", "NIFTY"),
        ("nifty bank", "BANKNIFTY"),
        ("next 50", "NIFTY NEXT 50"),
        ("nifty 17feb 26000 pe", "NIFTY_17FEB2026_26000PE"),
        ("nifty ce 24 feb", "NIFTY_24FEB2026_25950CE"),
        ("nifty mar fut", "NIFTY_30MAR2026_FUT"),
        ("crude", "CRUDEOIL_19FEB2026_FUT"),
        ("itc 312.5", "ITC_24FEB2026_312.5CE"),
    ] {
        let found = tokens(&registry, query, 5);
        assert_eq!(
            found.first().map(String::as_str),
            Some(expected),
            "{query}: {found:?}"
        );
    }
}

#[test]
fn all_words_must_fit() {
    let registry = registry();
    assert_eq!(tokens(&registry, "reliance mahindra", 10), [""; 0]);
    assert_eq!(tokens(&registry, "nifty 99999 ce", 10), [""; 0]);
    assert_eq!(tokens(&registry, "", 10), [""; 0]);
    assert_eq!(tokens(&registry, "RELIANCE", 0), [""; 0]);
    assert_eq!(
        tokens(&registry, "nifty 26000", 8),
        [
            "NIFTY_10FEB2026_26000CE",
            "NIFTY_10FEB2026_26000PE",
            "NIFTY_17FEB2026_26000CE",
            "NIFTY_17FEB2026_26000PE",
            "NIFTY_24FEB2026_26000CE",
            "NIFTY_24FEB2026_26000PE",
            "NIFTY_02MAR2026_26000CE",
            "NIFTY_02MAR2026_26000PE",
        ]
    );
}

#[test]
fn filters_limit_what_is_found() {
    let registry = registry();
    let search = |query, filter| {
        let hits = registry.search(query, 100, filter);
        hits.iter()
            .map(|hit| hit.instrument.token())
            .collect::<Vec<_>>()
    };
    let segment = |segment| SearchFilter {
        segment: Some(segment),
        kind: None,
    };
    assert_eq!(
        search("reliance", segment(Segment::BseEq)),
        ["BSE:RELIANCE"]
    );
    let kind = |kind| SearchFilter {
        segment: None,
        kind: Some(kind),
    };
    assert_eq!(
        search("reliance", kind(Kind::FutureStock)),
        ["RELIANCE_24FEB2026_FUT", "BSE:RELIANCE_26FEB2026_FUT"]
    );
    assert_eq!(search("reliance", kind(Kind::OptionStock)).len(), 24);
    assert_eq!(search("metal", kind(Kind::Index)), ["IDX_I:75"]);
}

proptest! {
    #[test]
    fn no_query_panics(query in ".*", words in prop::collection::vec("[A-Z&]{1,4}|[0-9]{1,5}|CE|FEB|24FEB|é", 0..5)) {
        let registry = registry();
        let words = words.join(" ");
        for query in [query, words] {
            let hits = registry.search(&query, 7, SearchFilter::default());
            prop_assert!(hits.len() <= 7);
            let _ = registry.find(&query);
            let _ = registry.expiries(None, &query);
            let _ = registry.resolve_equity(None, &query);
        }
    }
}
