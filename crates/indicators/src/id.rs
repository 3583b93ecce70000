use core::fmt;
use core::str::FromStr;

use crate::any::{AnyStudy, Kind};
use crate::catalog::{Entry, Parameter};
use crate::{Error, Seeds, Study};

/// The longest id that is looked at.
const LONGEST: usize = 64;

/// How many letters of bad input an error repeats.
const SHOWN: usize = 32;

/// The most parameters that an indicator has.
const MOST_PARAMETERS: usize = 4;

/// An indicator with its parameters: `RSI_14`, `MACD_12_26_9`, `BB_20_2`.
///
/// Read from text strictly: letters of any case, the parameters in order with `_` between, those
/// left out at the end taken as their defaults, each within its limits. A last `_TV` asks for
/// the convention of TradingView where it differs from that of TA-Lib. Shown in one form only,
/// in capitals and with all parameters.
///
/// ```
/// use strikewire_indicators::IndicatorId;
///
/// let id: IndicatorId = "rsi".parse()?;
/// assert_eq!(id.to_string(), "RSI_14");
/// assert_eq!(id, "Rsi_14".parse()?);
/// assert_eq!(id.outputs(), ["value"]);
/// assert_eq!(id.first_value(), 15);
///
/// let error = "RSI_0".parse::<IndicatorId>().unwrap_err();
/// assert_eq!(error.to_string(), "period \"0\" of indicator RSI; expected a whole number from 2 to 1000");
/// # Ok::<(), strikewire_indicators::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndicatorId {
    kind: Kind,
    numbers: Numbers,
}

/// The parameters of an id, in thousandths, so that equal ones are equal; those that an
/// indicator does not have are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Numbers {
    thousandths: [u32; MOST_PARAMETERS],
    seeds: Seeds,
}

impl Numbers {
    fn defaults(parameters: &[Parameter]) -> Self {
        let mut numbers = Self {
            thousandths: [0; MOST_PARAMETERS],
            seeds: Seeds::TaLib,
        };
        for (number, parameter) in numbers.thousandths.iter_mut().zip(parameters) {
            *number = (parameter.default * 1_000.0).round() as u32;
        }
        numbers
    }

    /// The parameter at `nth`, a number of bars.
    pub(crate) fn bars(&self, nth: usize) -> u16 {
        (self.thousandths[nth] / 1_000) as u16
    }

    /// The parameter at `nth`, which may have digits after the point.
    pub(crate) fn decimal(&self, nth: usize) -> f64 {
        f64::from(self.thousandths[nth]) / 1_000.0
    }

    /// Which convention was asked for.
    pub(crate) const fn seeds(&self) -> Seeds {
        self.seeds
    }
}

impl IndicatorId {
    /// The indicator's name: `RSI`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind.row().name
    }

    /// What it is called in full.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.kind.row().title
    }

    /// A new study of it, which has seen no bar.
    #[must_use]
    pub fn build(&self) -> AnyStudy {
        self.kind
            .make(&self.numbers)
            .expect("an id is made only of numbers that a study could be made of")
    }

    /// The names of its numbers, in order; `value` where it has one only.
    #[must_use]
    pub fn outputs(&self) -> &'static [&'static str] {
        self.kind.row().outputs
    }

    /// After how many bars there is a value.
    #[must_use]
    pub fn first_value(&self) -> usize {
        self.build().first_value()
    }

    /// After how many bars the value is, to about 1e-9, what it would be had the study begun
    /// long before.
    #[must_use]
    pub fn warm_up(&self) -> usize {
        self.build().warm_up()
    }

    /// Whether it has no value where the volume is unknown, as it is of an index.
    #[must_use]
    pub fn needs_volume(&self) -> bool {
        self.kind.row().needs_volume
    }

    /// Whether it has no value where the open interest is unknown.
    #[must_use]
    pub fn needs_oi(&self) -> bool {
        self.kind.row().needs_oi
    }

    /// Whether it begins anew with each trading day: it is fed from the open of a session.
    #[must_use]
    pub fn anchored(&self) -> bool {
        self.kind.row().anchored
    }

    /// Every indicator with its defaults.
    pub(crate) fn defaults() -> impl Iterator<Item = Self> {
        Kind::ALL.iter().map(|&kind| Self {
            kind,
            numbers: Numbers::defaults(kind.row().parameters),
        })
    }

    pub(crate) fn entry(&self) -> Entry {
        let row = self.kind.row();
        Entry {
            name: row.name,
            title: row.title,
            example: self.to_string(),
            outputs: row.outputs,
            parameters: row.parameters,
            first_value: self.first_value(),
            warm_up: self.warm_up(),
            trading_view: row.trading_view,
            needs_volume: row.needs_volume,
            needs_oi: row.needs_oi,
            anchored: row.anchored,
        }
    }
}

/// The canonical form.
impl fmt::Display for IndicatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.kind.row();
        f.write_str(row.name)?;
        for &number in self.numbers.thousandths.iter().take(row.parameters.len()) {
            // The shortest that reads back: 2, 2.5, 0.02.
            write!(f, "_{}", f64::from(number) / 1_000.0)?;
        }
        if self.numbers.seeds == Seeds::TradingView {
            f.write_str("_TV")?;
        }
        Ok(())
    }
}

impl FromStr for IndicatorId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownIndicator {
            text: cut(text.split('_').next().unwrap_or_default()),
            choices: choices(text),
        };
        if text.len() > LONGEST || !text.is_ascii() {
            return Err(unknown());
        }
        let mut parts: Vec<&str> = text.split('_').collect();
        let name = parts.remove(0);
        let kind = Kind::ALL
            .iter()
            .copied()
            .find(|kind| kind.row().name.eq_ignore_ascii_case(name))
            .ok_or_else(unknown)?;
        let row = kind.row();
        let mut numbers = Numbers::defaults(row.parameters);
        if parts
            .last()
            .is_some_and(|last| last.eq_ignore_ascii_case("TV"))
        {
            if !row.trading_view {
                return Err(Error::Option {
                    indicator: row.name,
                });
            }
            parts.pop();
            numbers.seeds = Seeds::TradingView;
        }
        if parts.len() > row.parameters.len() {
            return Err(Error::TooMany {
                indicator: row.name,
                given: parts.len(),
                most: row.parameters.len(),
                example: Self {
                    kind,
                    numbers: Numbers::defaults(row.parameters),
                }
                .to_string(),
            });
        }
        for ((part, parameter), number) in parts
            .iter()
            .zip(row.parameters)
            .zip(&mut numbers.thousandths)
        {
            *number = read(part, parameter).ok_or_else(|| Error::Parameter {
                indicator: row.name,
                name: parameter.name,
                value: cut(part),
                expected: expected(parameter),
            })?;
        }
        kind.make(&numbers).map_err(|source| Error::Study {
            indicator: row.name,
            source,
        })?;
        Ok(Self { kind, numbers })
    }
}

/// In thousandths; nothing when it is not written as a number is, or out of its limits.
fn read(text: &str, parameter: &Parameter) -> Option<u32> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let shape = !whole.is_empty()
        && whole.len() <= 6
        && fraction.len() <= usize::from(parameter.decimals)
        && digits(whole)
        && digits(fraction)
        && (whole == "0" || !whole.starts_with('0'));
    if !shape {
        return None;
    }
    let thousandths: u32 = format!("{whole}{fraction:0<3}").parse().ok()?;
    (parameter.least..=parameter.most)
        .contains(&(f64::from(thousandths) / 1_000.0))
        .then_some(thousandths)
}

fn expected(parameter: &Parameter) -> String {
    let Parameter {
        least,
        most,
        decimals,
        ..
    } = parameter;
    if *decimals == 0 {
        format!("a whole number from {least} to {most}")
    } else {
        format!("a number from {least} to {most} with at most {decimals} digits after the point")
    }
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// The names that begin as `text` does, else all of them.
fn choices(text: &str) -> Vec<&'static str> {
    let names = || Kind::ALL.iter().map(|kind| kind.row().name);
    let start: String = text
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .take(2)
        .collect::<String>()
        .to_ascii_uppercase();
    let mut alike: Vec<_> = names()
        .filter(|name| start.len() == 2 && name.starts_with(&start))
        .collect();
    if alike.is_empty() {
        alike = names().collect();
    }
    alike.sort_unstable();
    alike
}

#[cfg(test)]
mod tests;
