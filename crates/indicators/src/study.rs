use core::num::NonZeroU8;

use crate::Ohlcv;

/// A technical indicator that is advanced bar by bar.
///
/// A bar with a price that is not a number, or beyond [`Ohlcv::MOST_PRICE`], is left out, as
/// if it had not been there. After the first value no study allocates.
///
/// ```
/// use strikewire_indicators::{Ohlcv, Sma, Study};
///
/// let mut sma = Sma::new(2)?;
/// sma.update(&Ohlcv::at(10.0));
/// assert_eq!(sma.value(), None);
/// assert_eq!(sma.peek(&Ohlcv::at(14.0)).map(|it| it.first()), Some(12.0));
/// sma.update(&Ohlcv::at(11.0));
/// assert_eq!(sma.value().map(|it| it.first()), Some(10.5));
/// # Ok::<(), strikewire_indicators::StudyError>(())
/// ```
pub trait Study {
    /// Takes a bar that is closed.
    fn update(&mut self, bar: &Ohlcv);

    /// What the study says after the last closed bar; nothing until there are enough of them.
    fn value(&self) -> Option<Output>;

    /// What [`value`](Study::value) would be if `bar` closed now: the same number to the last
    /// bit. The study stays as it is.
    fn peek(&self, bar: &Ohlcv) -> Option<Output>;

    /// After how many bars there is a value.
    fn first_value(&self) -> usize;

    /// After how many bars the value is, to about 1e-9, what it would be had the study begun
    /// long before. For an average over a window that is the window; what is smoothed
    /// recursively forgets where it began only little by little, and a ratio of two such
    /// averages (RSI, ADX) not at all in bars in which nothing moves: those do not count.
    fn warm_up(&self) -> usize;
}

/// What a study of a few numbers would say after one more bar: a copy takes it.
#[inline]
pub(crate) fn after(study: &(impl Study + Copy), bar: &Ohlcv) -> Option<Output> {
    let mut next = *study;
    next.update(bar);
    next.value()
}

impl<T: Study> Study for Box<T> {
    fn update(&mut self, bar: &Ohlcv) {
        (**self).update(bar);
    }

    fn value(&self) -> Option<Output> {
        (**self).value()
    }

    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        (**self).peek(bar)
    }

    fn first_value(&self) -> usize {
        (**self).first_value()
    }

    fn warm_up(&self) -> usize {
        (**self).warm_up()
    }
}

/// What a study says: one to five numbers, all of them finite.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Output {
    /// Those that are not used are 0.
    values: [f64; Self::MOST],
    len: NonZeroU8,
}

impl Output {
    /// How many numbers there are at most.
    pub const MOST: usize = 5;

    /// A single number; nothing when it is not finite.
    #[must_use]
    #[inline]
    pub fn one(number: f64) -> Option<Self> {
        Self::of(&[number])
    }

    /// Several numbers; nothing when one of them is not finite, when there are none, or more
    /// than [`Output::MOST`].
    #[must_use]
    #[inline]
    pub fn of(numbers: &[f64]) -> Option<Self> {
        if numbers.len() > Self::MOST {
            return None;
        }
        let mut values = [0.0; Self::MOST];
        let mut finite = true;
        for (value, number) in values.iter_mut().zip(numbers) {
            *value = *number;
            finite &= number.is_finite();
        }
        let len = NonZeroU8::new(numbers.len() as u8)?;
        finite.then_some(Self { values, len })
    }

    /// The numbers, in the order of the study's outputs.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[f64] {
        &self.values[..usize::from(self.len.get())]
    }

    /// The first number: the value of a study that has one only.
    #[must_use]
    #[inline]
    pub const fn first(&self) -> f64 {
        self.values[0]
    }
}

/// What a recursive study begins with, where conventions differ. After the warm-up they agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Seeds {
    /// As TA-Lib does it.
    #[default]
    TaLib,
    /// As TradingView does it, and talipp.
    TradingView,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_has_finite_numbers_only() {
        assert_eq!(Output::one(f64::NAN), None);
        assert_eq!(Output::one(f64::INFINITY), None);
        assert_eq!(Output::of(&[]), None);
        assert_eq!(Output::of(&[1.0, f64::NAN]), None);
        assert_eq!(Output::of(&[0.0; 6]), None);
        let output = Output::of(&[1.0, 2.0, 3.0]).expect("finite");
        assert_eq!(output.as_slice(), [1.0, 2.0, 3.0]);
        assert_eq!(output.first(), 1.0);
        assert_eq!(Output::one(4.0), Output::of(&[4.0]));
        assert_eq!(size_of::<Option<Output>>(), 48);
    }
}
