//! Ways to find things in a master that share no code with the registry: plain
//! splitting, plain maps, linear search.

use std::collections::{BTreeMap, BTreeSet};

use strikewire_registry::Registry;
use strikewire_types::OptionType;

/// Every token is unique and leads back to its instrument, in any case and with the
/// exchange named.
pub(crate) fn tokens_are_unique_and_found(registry: &Registry) {
    let mut tokens = BTreeSet::new();
    for instrument in registry.instruments() {
        let token = instrument.token();
        let found = registry
            .find(&token)
            .unwrap_or_else(|error| panic!("{token}: {error}"));
        assert_eq!(found.instrument, instrument, "{token}");
        assert_eq!(found.warning, None, "{token}");
        let lower = registry.find(&token.to_lowercase()).unwrap();
        assert_eq!(lower.instrument, instrument, "{token}");
        let key = instrument.key().to_string();
        assert_eq!(registry.find(&key).unwrap().instrument, instrument, "{key}");
        assert_eq!(registry.by_key(instrument.key()), Some(instrument), "{key}");
        if !token.contains(':') {
            let prefixed = format!("{}:{token}", instrument.exchange());
            assert_eq!(
                registry.find(&prefixed).unwrap().instrument,
                instrument,
                "{prefixed}"
            );
        }
        assert!(tokens.insert(token.to_uppercase()), "{token} twice");
    }
    assert_eq!(tokens.len(), registry.len());
}

/// (exchange, symbol, expiry date) to strike to (call id, put id), as text.
type Ladders = BTreeMap<(String, String, String), BTreeMap<u64, [Option<u32>; 2]>>;

/// The ladders of a plain master: strikes in 1/100,000 rupee.
fn ladders(master: &str, as_of: &str) -> Ladders {
    let mut lines = master.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let [exchange, segment, id, kind, symbol, expiry, strike, leg] = [
        "SEM_EXM_EXCH_ID",
        "SEM_SEGMENT",
        "SEM_SMST_SECURITY_ID",
        "SEM_INSTRUMENT_NAME",
        "SEM_TRADING_SYMBOL",
        "SEM_EXPIRY_DATE",
        "SEM_STRIKE_PRICE",
        "SEM_OPTION_TYPE",
    ]
    .map(column);
    let mut ladders = Ladders::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let is_in_feed = (fields[exchange], fields[segment]) != ("NSE", "M");
        if !fields[kind].starts_with("OPT") || !is_in_feed || &fields[expiry][..10] < as_of {
            continue;
        }
        let underlying = fields[symbol].rsplitn(4, '-').nth(3).unwrap();
        let (whole, part) = fields[strike]
            .split_once('.')
            .unwrap_or((fields[strike], ""));
        let strike: u64 = format!("{whole}{part:0<5}").parse().unwrap();
        let key = (
            fields[exchange].to_owned(),
            underlying.to_owned(),
            fields[expiry][..10].to_owned(),
        );
        let legs = ladders.entry(key).or_default().entry(strike).or_default();
        legs[usize::from(fields[leg] == "PE")] = Some(fields[id].parse().unwrap());
    }
    ladders
}

/// The ladders of the registry are those of the master it was loaded from.
pub(crate) fn ladders_are_those_of(registry: &Registry, master: &str) -> usize {
    let expected = ladders(master, &registry.as_of().to_string());
    assert_eq!(registry.ladders().count(), expected.len());
    for ((exchange, symbol, date), rungs) in &expected {
        let expiry = date.parse().unwrap();
        let ladder = registry
            .ladder(exchange.parse().unwrap(), symbol, expiry)
            .unwrap();
        assert_eq!(
            (ladder.symbol(), ladder.expiry()),
            (symbol.as_str(), expiry)
        );
        assert_eq!(registry.ladder_at(ladder.id()).rungs(), ladder.rungs());
        let found: Vec<(u64, [Option<u32>; 2])> = ladder
            .rungs()
            .iter()
            .map(|rung| {
                let id = |leg| rung.leg(leg).map(|leg| registry.instrument(leg).key().id.0);
                let strike = rung.strike.raw().unsigned_abs() * 10;
                (strike, [id(OptionType::Call), id(OptionType::Put)])
            })
            .collect();
        let expected: Vec<_> = rungs
            .iter()
            .map(|(strike, legs)| (*strike, *legs))
            .collect();
        assert_eq!(found, expected, "{exchange} {symbol} {date}");
        assert!(
            ladder
                .rungs()
                .iter()
                .all(|rung| rung.is_complete() == (rung.call().is_some() && rung.put().is_some()))
        );
    }
    expected.len()
}
