use std::sync::LazyLock;

use crate::id::IndicatorId;

/// An indicator that there is, with what it takes and gives.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Entry {
    /// The name that its ids begin with: `RSI`.
    pub name: &'static str,
    /// What it is called in full.
    pub title: &'static str,
    /// An id with all parameters at their defaults: `RSI_14`.
    pub example: String,
    /// The names of its numbers, in order; `value` where it has one only.
    pub outputs: &'static [&'static str],
    /// Its parameters, in the order of the id.
    pub parameters: &'static [Parameter],
    /// After how many bars it has a value, with the defaults.
    pub first_value: usize,
    /// After how many bars the value no longer depends on where it began, to about 1e-9; with
    /// the defaults.
    pub warm_up: usize,
    /// Whether ids may end in `_TV`, for the convention of TradingView where it differs from
    /// that of TA-Lib.
    pub trading_view: bool,
    /// Whether it has no value where the volume is unknown, as it is of an index.
    pub needs_volume: bool,
    /// Whether it has no value where the open interest is unknown.
    pub needs_oi: bool,
    /// Whether it begins anew with each trading day.
    pub anchored: bool,
}

/// A parameter of an indicator.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Parameter {
    /// What it is called.
    pub name: &'static str,
    /// What it is where an id leaves it out.
    pub default: f64,
    /// The least that is accepted.
    pub least: f64,
    /// The most that is accepted.
    pub most: f64,
    /// How many digits it may have after the point; 0 for a number of bars.
    pub decimals: u8,
}

impl Parameter {
    /// A number of bars.
    pub(crate) const fn whole(name: &'static str, default: u16, least: u16, most: u16) -> Self {
        Self {
            name,
            default: default as f64,
            least: least as f64,
            most: most as f64,
            decimals: 0,
        }
    }

    /// A number with three digits after the point.
    pub(crate) const fn decimal(name: &'static str, default: f64, least: f64, most: f64) -> Self {
        Self {
            name,
            default,
            least,
            most,
            decimals: 3,
        }
    }
}

/// Every indicator that there is, by name.
///
/// ```
/// let rsi = strikewire_indicators::catalog()
///     .iter()
///     .find(|entry| entry.name == "RSI")
///     .expect("there is RSI");
/// assert_eq!(rsi.example, "RSI_14");
/// assert_eq!(rsi.first_value, 15);
/// ```
#[must_use]
pub fn catalog() -> &'static [Entry] {
    static CATALOG: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let mut entries: Vec<_> = IndicatorId::defaults().map(|id| id.entry()).collect();
        entries.sort_by_key(|entry| entry.name);
        entries
    });
    &CATALOG
}
