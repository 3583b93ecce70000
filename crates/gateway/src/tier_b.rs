//! What is always on: from rules to what is listed today.

use serde::{Deserialize, Serialize};
use strikewire_chain::{Defaults, Width};
use strikewire_registry::{ChainQuery, Expiring, Ladder, Registry};
use strikewire_types::{Exchange, Expiry, Mode};

use crate::item::Holding;
use crate::resolve::mode_of;

/// Which contracts of a symbol are always on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contracts {
    /// A window of options, of every expiry.
    Options,
    /// The futures, of every expiry.
    Futures,
}

/// A rule of tier B: contracts on some symbols that are always subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierBRule {
    /// Which contracts.
    pub contracts: Contracts,
    /// The underlyings, the most important first.
    pub symbols: Vec<String>,
    /// Absent: by the exchange rule.
    pub exchange: Option<Exchange>,
    /// Strikes of a window of options; absent: by the kind of option.
    pub width: Option<Width>,
    /// How much of each contract.
    pub mode: Mode,
    /// At most this many expiries of a symbol, the nearest; absent: all.
    pub expiries: Option<usize>,
}

impl TierBRule {
    fn new(contracts: Contracts, symbols: &[&str]) -> Self {
        Self {
            contracts,
            symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
            exchange: None,
            width: match contracts {
                Contracts::Options => Width::new(101).ok(),
                Contracts::Futures => None,
            },
            mode: Mode::Full,
            expiries: None,
        }
    }

    /// The rules in force where none are configured: options on the six indices whose
    /// options trade most, and the energy and metal futures and options of MCX.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let mcx = |rule: Self| Self {
            exchange: Some(Exchange::Mcx),
            ..rule
        };
        vec![
            Self::new(
                Contracts::Options,
                &[
                    "NIFTY",
                    "BANKNIFTY",
                    "SENSEX",
                    "FINNIFTY",
                    "MIDCPNIFTY",
                    "BANKEX",
                ],
            ),
            mcx(Self::new(
                Contracts::Futures,
                &["GOLD", "SILVER", "CRUDEOIL", "NATURALGAS", "COPPER"],
            )),
            mcx(Self::new(Contracts::Options, &["CRUDEOIL", "NATURALGAS"])),
        ]
    }
}

/// A window or a future that is to be always on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) symbol: Box<str>,
    pub(crate) exchange: Exchange,
    pub(crate) expiry: Expiry,
    pub(crate) holding: Holding,
    pub(crate) mode: Mode,
}

impl Standing {
    /// Whether it is the same window or future, in this or another master.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let width = |standing: &Self| match standing.holding {
            Holding::Chain { width, .. } => Some(width),
            Holding::Single { .. } => None,
        };
        self.symbol == other.symbol
            && self.exchange == other.exchange
            && self.expiry == other.expiry
            && self.mode == other.mode
            && width(self) == width(other)
    }
}

impl core::fmt::Display for Standing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {} {}", self.exchange, self.symbol, self.expiry)?;
        match self.holding {
            Holding::Chain { width, .. } => write!(f, " options, {} strikes", width.get()),
            Holding::Single { .. } => write!(f, " future"),
        }
    }
}

/// What the rules mean today.
#[derive(Debug, Default)]
pub(crate) struct Stand {
    /// The nearest expiries of all symbols first, in the order of the rules.
    pub(crate) standing: Vec<Standing>,
    /// Symbols on which nothing of the kind is listed.
    pub(crate) missing: Vec<String>,
}

/// What the rules mean today, without the expiries whose last session has ended.
pub(crate) fn stand(
    registry: &Registry,
    rules: &[TierBRule],
    widths: &Defaults,
    ended: &dyn Fn(&Expiring<'_>) -> bool,
) -> Stand {
    let mut ranked: Vec<(usize, usize, Standing)> = Vec::new();
    let mut missing = Vec::new();
    let mut order = 0;
    for rule in rules {
        for symbol in &rule.symbols {
            order += 1;
            let found = match rule.contracts {
                Contracts::Options => options(registry, rule, symbol, widths, ended),
                Contracts::Futures => futures(registry, rule, symbol, ended),
            };
            if found.is_empty() {
                missing.push(symbol.clone());
            }
            let most = rule.expiries.unwrap_or(usize::MAX);
            let nearest = found.into_iter().take(most).enumerate();
            ranked.extend(nearest.map(|(rank, standing)| (rank, order, standing)));
        }
    }
    ranked.sort_by_key(|&(rank, order, _)| (rank, order));
    let mut standing: Vec<Standing> = Vec::with_capacity(ranked.len());
    for (_, _, one) in ranked {
        // Two rules may name the same.
        if !standing.iter().any(|other| other.is(&one)) {
            standing.push(one);
        }
    }
    Stand { standing, missing }
}

fn query<'q>(rule: &TierBRule, symbol: &'q str) -> ChainQuery<'q> {
    ChainQuery {
        symbol,
        kind: None,
        exchange: rule.exchange,
        expiry: None,
    }
}

fn options(
    registry: &Registry,
    rule: &TierBRule,
    symbol: &str,
    widths: &Defaults,
    ended: &dyn Fn(&Expiring<'_>) -> bool,
) -> Vec<Standing> {
    let current = registry.current(ended);
    let Ok(nearest) = current.resolve_chain(&query(rule, symbol)) else {
        return Vec::new();
    };
    let (exchange, symbol) = (nearest.ladder.exchange(), nearest.ladder.symbol());
    let standing = |ladder: Ladder<'_>| Standing {
        symbol: symbol.into(),
        exchange,
        expiry: ladder.expiry(),
        holding: Holding::Chain {
            ladder: ladder.id(),
            width: rule.width.unwrap_or_else(|| widths.for_kind(ladder.kind())),
        },
        mode: mode_of(ladder.kind(), Some(rule.mode)),
    };
    registry
        .option_expiries(exchange, symbol)
        .into_iter()
        .filter_map(|expiry| registry.ladder(exchange, symbol, expiry))
        .filter(|ladder| !ended(&ladder.expiring()))
        .map(standing)
        .collect()
}

fn futures(
    registry: &Registry,
    rule: &TierBRule,
    symbol: &str,
    ended: &dyn Fn(&Expiring<'_>) -> bool,
) -> Vec<Standing> {
    let current = registry.current(ended);
    let Ok(nearest) = current.resolve_future(&query(rule, symbol)) else {
        return Vec::new();
    };
    let (exchange, symbol) = (nearest.instrument.exchange(), nearest.instrument.symbol());
    registry
        .futures(exchange, symbol)
        .filter(|future| future.expiring().is_some_and(|it| !ended(&it)))
        .filter_map(|future| {
            Some(Standing {
                symbol: symbol.into(),
                exchange,
                expiry: future.expiry()?,
                holding: Holding::Single { key: future.key() },
                mode: mode_of(future.kind(), Some(rule.mode)),
            })
        })
        .collect()
}
