//! A window by arithmetic, with tokens made by `format!` and looked for in a map.

use std::collections::HashMap;

use strikewire_registry::{Registry, Rung};
use strikewire_types::Price;

/// Tokens of everything listed, with the key of each as text.
pub type Tokens = HashMap<String, String>;

/// Every token.
#[must_use]
pub fn tokens(registry: &Registry) -> Tokens {
    registry
        .instruments()
        .map(|instrument| (instrument.token(), instrument.key().to_string()))
        .collect()
}

/// What a chain is asked for with.
#[derive(Debug, Clone)]
pub struct Underlying {
    /// `RELIANCE`.
    pub symbol: String,
    /// `24FEB2026`.
    pub expiry: String,
    /// Distance between strikes, in rupees.
    pub step: f64,
}

/// A chain of tokens.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// The strike at the money, in rupees.
    pub atm: f64,
    /// Strikes on which anything is listed, ascending.
    pub strikes: Vec<f64>,
    /// Tokens and keys of their contracts.
    pub legs: Vec<(String, String)>,
}

/// Rounds the price to the step and counts from there. Right only where all strikes
/// are one step apart.
#[must_use]
pub fn chain(tokens: &Tokens, of: &Underlying, price: f64, width: usize) -> Chain {
    let Underlying {
        symbol,
        expiry,
        step,
    } = of;
    let atm = (price / step).round() * step;
    let half = (width / 2) as i32;
    let mut chain = Chain {
        atm,
        ..Chain::default()
    };
    for offset in -half..=half {
        let strike = atm + f64::from(offset) * step;
        let before = chain.legs.len();
        for leg in ["CE", "PE"] {
            let token = format!("{symbol}_{expiry}_{strike}{leg}");
            if let Some(key) = tokens.get(&token) {
                chain.legs.push((token, key.clone()));
            }
        }
        if chain.legs.len() > before {
            chain.strikes.push(strike);
        }
    }
    chain
}

/// The nearest rung with both legs, by looking at every one.
#[must_use]
pub fn nearest(rungs: &[Rung], price: Price) -> Option<usize> {
    let distance = |rung: &Rung| rung.strike.raw().abs_diff(price.raw());
    rungs
        .iter()
        .enumerate()
        .filter(|(_, rung)| rung.is_complete())
        .min_by_key(|(at, rung)| (distance(rung), usize::MAX - at))
        .map(|(at, _)| at)
}
