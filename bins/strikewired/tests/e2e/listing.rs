//! What an instrument master's text lists, read without the registry, and where windows
//! of it lie at a price.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use strikewire_dhan_sim::market::{Market, MarketConfig};
use strikewire_registry::Registry;
use strikewire_types::{Clock, InstrumentKey, Segment};

/// The strikes of one underlying and expiry.
#[derive(Debug, Clone)]
pub(crate) struct Ladder {
    pub(crate) exchange: String,
    pub(crate) symbol: String,
    /// `2026-02-24`.
    pub(crate) expiry: String,
    /// `OPTIDX` and so on.
    pub(crate) instrument: String,
    /// What its price comes from; absent when nothing that is listed gives it one.
    pub(crate) underlying: Option<InstrumentKey>,
    /// Ascending, with their legs.
    pub(crate) strikes: Vec<(f64, Vec<InstrumentKey>)>,
}

/// A future.
#[derive(Debug, Clone)]
pub(crate) struct Future {
    pub(crate) exchange: String,
    pub(crate) symbol: String,
    pub(crate) expiry: String,
    pub(crate) key: InstrumentKey,
}

/// Everything of a master that tests need.
#[derive(Debug)]
pub(crate) struct Listing {
    /// In the order of exchange, symbol and expiry.
    pub(crate) ladders: Vec<Ladder>,
    /// In the order of their expiry.
    pub(crate) futures: Vec<Future>,
    /// NSE's, of series EQ.
    pub(crate) equities: BTreeMap<String, InstrumentKey>,
}

fn segment(exchange: &str, segment: &str) -> Option<Segment> {
    Some(match (exchange, segment) {
        (_, "I") => Segment::IdxI,
        ("NSE", "E") => Segment::NseEq,
        ("NSE", "D") => Segment::NseFno,
        ("NSE", "C") => Segment::NseCurrency,
        ("BSE", "E") => Segment::BseEq,
        ("BSE", "D") => Segment::BseFno,
        ("BSE", "C") => Segment::BseCurrency,
        ("MCX", "M") => Segment::McxComm,
        _ => return None,
    })
}

impl Listing {
    /// What has not expired before `as_of`, `2026-02-09`.
    pub(crate) fn read(path: &Path, as_of: &str) -> Self {
        let text = std::fs::read_to_string(path).expect("the master is there");
        let mut legs: BTreeMap<[String; 4], BTreeMap<String, BTreeMap<String, InstrumentKey>>> =
            BTreeMap::new();
        let (mut futures, mut indices) = (Vec::new(), BTreeMap::new());
        let (mut equities, mut others) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let [
                exchange,
                kind,
                id,
                instrument,
                _,
                name,
                _,
                _,
                expiry,
                strike,
                side,
                ..,
            ] = fields[..]
            else {
                continue;
            };
            let Some(segment) = segment(exchange, kind) else {
                continue;
            };
            let key = InstrumentKey::new(segment, id.parse().expect("an id"));
            let expiry = expiry.get(..10).unwrap_or_default();
            if instrument.starts_with("OPT") {
                let mut parts = name.rsplitn(4, '-');
                let symbol = parts.nth(3).expect("an option's symbol");
                if expiry < as_of {
                    continue;
                }
                let ladder = [exchange, symbol, expiry, instrument].map(str::to_owned);
                legs.entry(ladder)
                    .or_default()
                    .entry(strike.to_owned())
                    .or_default()
                    .insert(side.to_owned(), key);
            } else if instrument.starts_with("FUT") {
                let mut parts = name.rsplitn(3, '-');
                if let Some(symbol) = parts.nth(2)
                    && expiry >= as_of
                {
                    futures.push(Future {
                        exchange: exchange.to_owned(),
                        symbol: symbol.to_owned(),
                        expiry: expiry.to_owned(),
                        key,
                    });
                }
            } else if segment == Segment::IdxI {
                indices.entry(name.to_owned()).or_insert(key);
            } else if segment == Segment::NseEq && fields[14] == "EQ" {
                equities.insert(name.to_owned(), key);
            } else {
                others.entry(name.to_owned()).or_insert(key);
            }
        }
        futures.sort_by(|a, b| a.expiry.cmp(&b.expiry));
        let ladders = legs
            .into_iter()
            .map(|([exchange, symbol, expiry, instrument], legs)| {
                let underlying = match instrument.as_str() {
                    "OPTIDX" if exchange != "MCX" => indices.get(&symbol).copied(),
                    "OPTSTK" => equities
                        .get(&symbol)
                        .or_else(|| others.get(&symbol))
                        .copied(),
                    _ => futures
                        .iter()
                        .find(|future| {
                            future.exchange == exchange
                                && future.symbol == symbol
                                && future.expiry >= expiry
                        })
                        .map(|future| future.key),
                };
                let mut strikes: Vec<(f64, Vec<InstrumentKey>)> = legs
                    .into_iter()
                    .map(|(strike, legs)| {
                        let strike = strike.parse().expect("a strike");
                        (strike, legs.into_values().collect())
                    })
                    .collect();
                strikes.sort_by(|a, b| a.0.total_cmp(&b.0));
                Ladder {
                    exchange,
                    symbol,
                    expiry,
                    instrument,
                    underlying,
                    strikes,
                }
            })
            .collect();
        Self {
            ladders,
            futures,
            equities,
        }
    }

    /// What is always on by default: windows of 101 strikes, and futures.
    pub(crate) fn always_on(&self) -> (Vec<&Ladder>, Vec<&Future>) {
        let mut ladders: Vec<&Ladder> = Vec::new();
        for (exchange, symbol) in [
            ("NSE", "NIFTY"),
            ("NSE", "BANKNIFTY"),
            ("BSE", "SENSEX"),
            ("NSE", "FINNIFTY"),
            ("NSE", "MIDCPNIFTY"),
            ("BSE", "BANKEX"),
            ("MCX", "CRUDEOIL"),
            ("MCX", "NATURALGAS"),
        ] {
            ladders.extend(self.of(exchange, symbol));
        }
        let named = ["GOLD", "SILVER", "CRUDEOIL", "NATURALGAS", "COPPER"];
        (ladders, self.futures_of(&named))
    }

    /// The futures of MCX on these.
    pub(crate) fn futures_of(&self, symbols: &[&str]) -> Vec<&Future> {
        self.futures
            .iter()
            .filter(|future| future.exchange == "MCX" && symbols.contains(&future.symbol.as_str()))
            .collect()
    }

    pub(crate) fn ladder(&self, exchange: &str, symbol: &str, expiry: &str) -> &Ladder {
        self.ladders
            .iter()
            .filter(|ladder| ladder.exchange == exchange && ladder.symbol == symbol)
            .find(|ladder| ladder.expiry == expiry)
            .unwrap_or_else(|| panic!("{exchange} lists no {symbol} {expiry}"))
    }

    /// The ladders of an underlying, the nearest expiry first.
    pub(crate) fn of<'a>(
        &'a self,
        exchange: &'a str,
        symbol: &'a str,
    ) -> impl Iterator<Item = &'a Ladder> {
        self.ladders
            .iter()
            .filter(move |ladder| ladder.exchange == exchange && ladder.symbol == symbol)
    }
}

impl Ladder {
    /// The places of the strikes that can be at the money: those with both legs, or all
    /// where none has both.
    fn full(&self) -> Vec<usize> {
        let most = self.strikes.iter().map(|(_, legs)| legs.len()).max();
        (0..self.strikes.len())
            .filter(|at| Some(self.strikes[*at].1.len()) == most)
            .collect()
    }

    /// The place of the strike nearest to `price`; of two, the higher.
    fn at_the_money(&self, price: f64) -> usize {
        let full = self.full();
        let distance = |at: usize| (self.strikes[at].0 - price).abs();
        full.iter().copied().fold(full[0], |best, at| {
            if distance(at) <= distance(best) {
                at
            } else {
                best
            }
        })
    }

    /// The contracts of the window of `width` strikes at `price`.
    pub(crate) fn window(&self, price: f64, width: usize) -> BTreeSet<InstrumentKey> {
        let (atm, half) = (self.at_the_money(price), width / 2);
        self.strikes[atm.saturating_sub(half)..(atm + half + 1).min(self.strikes.len())]
            .iter()
            .flat_map(|(_, legs)| legs.iter().copied())
            .collect()
    }

    /// The price at which a chain's window lies, that was calculated at `anchor`, when
    /// the price is `now`: it stays unless the price went by the whole gap to the next
    /// strike.
    pub(crate) fn anchor(&self, anchor: f64, now: f64) -> f64 {
        let atm = self.at_the_money(anchor);
        let full = self.full();
        let next = if now > anchor {
            full.iter().find(|at| **at > atm)
        } else {
            full.iter().rev().find(|at| **at < atm)
        };
        match next {
            Some(next) => {
                let gap = (self.strikes[*next].0 - self.strikes[atm].0).abs();
                if (now - anchor).abs() > gap - 1e-6 {
                    now
                } else {
                    anchor
                }
            }
            None => anchor,
        }
    }

    /// As answers have it: `24FEB2026`.
    pub(crate) fn expiry_text(&self) -> String {
        expiry_text(&self.expiry)
    }

    /// The type that requests name.
    pub(crate) fn instrument_type(&self) -> &'static str {
        match self.instrument.as_str() {
            "OPTIDX" => "INDEX_OPTION",
            "OPTSTK" => "STOCK_OPTION",
            "OPTFUT" => "COMMODITY_OPTION",
            _ => "CURRENCY_OPTION",
        }
    }
}

/// `2026-02-24` as answers have it: `24FEB2026`.
pub(crate) fn expiry_text(date: &str) -> String {
    let months = [
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ];
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let (Some(year), Some(month), Some(day)) = (year, month, day) else {
        panic!("{date} is no date");
    };
    let month: usize = month.parse().expect("a month");
    format!("{day}{}{year}", months[month - 1])
}

/// The prices of a stand-in's market that moves only when a test moves it.
pub(crate) struct Prices(Market);

impl Prices {
    pub(crate) fn new(registry: &Arc<Registry>, clock: Clock) -> Self {
        let still = MarketConfig {
            volatility: 0.0,
            ..MarketConfig::default()
        };
        Self(Market::new(Arc::clone(registry), still, clock.now().utc))
    }

    /// In rupees.
    pub(crate) fn of(&mut self, key: InstrumentKey) -> f64 {
        let quote = self.0.quote(key).expect("it is listed");
        quote.ltp.as_f64()
    }

    /// Goes over to another master, as the stand-in does.
    pub(crate) fn set_registry(&mut self, registry: &Arc<Registry>, clock: Clock) {
        self.0.advance(clock.now());
        self.0.set_registry(Arc::clone(registry));
    }

    /// Moves all of them, as the stand-in's `move_prices` does.
    pub(crate) fn move_by(&mut self, factor: f64) {
        assert!(self.0.move_prices(factor));
    }
}
