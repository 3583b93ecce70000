//! Bounded sets of metric labels.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// What is said of everything that came after the first so many.
const OTHER: &str = "other";

const MOST_SYMBOLS: usize = 100;
const MOST_TIMEFRAMES: usize = 20;
const MOST_INDICATORS: usize = 100;

/// The names that metrics of indicators are labelled with. Users choose symbols, timeframes
/// and parameters, and every combination would be a series of its own for as long as the
/// process lives: the first of each are called by name, the rest `other`.
#[derive(Debug)]
pub(crate) struct Labels {
    symbols: Names,
    timeframes: Names,
    indicators: Names,
}

/// The labels of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labelled {
    pub(crate) symbol: Arc<str>,
    pub(crate) timeframe: Arc<str>,
    pub(crate) indicator: Arc<str>,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            symbols: Names::new(MOST_SYMBOLS),
            timeframes: Names::new(MOST_TIMEFRAMES),
            indicators: Names::new(MOST_INDICATORS),
        }
    }
}

impl Labels {
    /// How a key is called in metrics.
    pub(crate) fn of(&self, symbol: &str, timeframe: &str, indicator: &str) -> Labelled {
        Labelled {
            symbol: self.symbols.name(symbol),
            timeframe: self.timeframes.name(timeframe),
            indicator: self.indicators.name(indicator),
        }
    }
}

/// The first so many names that were asked for.
#[derive(Debug)]
struct Names {
    most: usize,
    other: Arc<str>,
    known: Mutex<HashMap<Arc<str>, ()>>,
}

impl Names {
    fn new(most: usize) -> Self {
        Self {
            most,
            other: Arc::from(OTHER),
            known: Mutex::default(),
        }
    }

    fn name(&self, text: &str) -> Arc<str> {
        let mut known = self.known.lock();
        if let Some((name, ())) = known.get_key_value(text) {
            return Arc::clone(name);
        }
        if known.len() >= self.most {
            return Arc::clone(&self.other);
        }
        let name: Arc<str> = Arc::from(text);
        known.insert(Arc::clone(&name), ());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_keep_their_names_and_the_rest_are_other() {
        let labels = Labels::default();
        for n in 0..250 {
            let of = labels.of(&format!("S{n}"), "1min", "RSI_14");
            let named = if n < 100 {
                format!("S{n}")
            } else {
                "other".into()
            };
            assert_eq!(&*of.symbol, named);
            assert_eq!((&*of.timeframe, &*of.indicator), ("1min", "RSI_14"));
        }
        // Who has a name keeps it.
        assert_eq!(&*labels.of("S7", "1min", "RSI_14").symbol, "S7");
        for n in 0..50 {
            labels.of("S7", &format!("{n}min"), &format!("RSI_{n}"));
        }
        let late = labels.of("S7", "49min", "RSI_49");
        assert_eq!((&*late.timeframe, &*late.indicator), ("other", "RSI_49"));
    }
}
