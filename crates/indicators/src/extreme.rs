/// The greatest of the last so many numbers.
///
/// Kept are those only that may still become the greatest: each is greater than all that came
/// after it. A number is put in once and taken out once, so that a step costs the same on
/// average however long the window is.
#[derive(Debug, Clone)]
struct Greatest {
    ring: Box<[Candidate]>,
    /// Cell of the greatest.
    head: u16,
    /// How many candidates there are.
    len: u16,
    /// How many numbers there have been, modulo 2^32.
    now: u32,
    /// How many numbers are missing for a full window.
    missing: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct Candidate {
    number: f64,
    /// The `now` with which it came.
    born: u32,
}

impl Greatest {
    fn new(len: u16) -> Self {
        Self {
            ring: vec![Candidate::default(); usize::from(len)].into_boxed_slice(),
            head: 0,
            len: 0,
            now: 0,
            missing: len,
        }
    }

    /// The candidate that is `nth` from the greatest.
    #[inline]
    fn nth(&self, nth: u16) -> Candidate {
        self.ring[self.cell(nth)]
    }

    #[inline]
    fn cell(&self, nth: u16) -> usize {
        let cell = usize::from(self.head) + usize::from(nth);
        if cell < self.ring.len() {
            cell
        } else {
            cell - self.ring.len()
        }
    }

    /// Whether the greatest leaves the window with the next number.
    #[inline]
    fn head_leaves(&self) -> bool {
        self.len > 0 && self.now.wrapping_sub(self.nth(0).born) as usize + 1 >= self.ring.len()
    }

    #[inline]
    fn push(&mut self, number: f64) {
        if self.head_leaves() {
            self.head = self.cell(1) as u16;
            self.len -= 1;
        }
        while self.len > 0 && self.nth(self.len - 1).number <= number {
            self.len -= 1;
        }
        self.now = self.now.wrapping_add(1);
        let cell = self.cell(self.len);
        self.ring[cell] = Candidate {
            number,
            born: self.now,
        };
        self.len += 1;
        self.missing = self.missing.saturating_sub(1);
    }

    #[inline]
    fn get(&self) -> f64 {
        self.nth(0).number
    }

    /// What `get` would be after `push(number)`.
    #[inline]
    fn after(&self, number: f64) -> f64 {
        let nth = u16::from(self.head_leaves());
        if nth < self.len {
            self.nth(nth).number.max(number)
        } else {
            number
        }
    }
}

/// The highest high and the lowest low of the last so many bars.
#[derive(Debug, Clone)]
pub(crate) struct Extremes {
    highs: Greatest,
    /// Of the lows with their signs turned.
    lows: Greatest,
}

impl Extremes {
    /// Over a window of `len` bars, at least 1.
    pub(crate) fn new(len: u16) -> Self {
        Self {
            highs: Greatest::new(len.max(1)),
            lows: Greatest::new(len.max(1)),
        }
    }

    /// The highs and lows must be numbers.
    #[inline]
    pub(crate) fn push(&mut self, high: f64, low: f64) {
        self.highs.push(high);
        self.lows.push(-low);
    }

    /// Highest and lowest; nothing until the window is full.
    #[inline]
    pub(crate) fn get(&self) -> Option<(f64, f64)> {
        (self.highs.missing == 0).then(|| (self.highs.get(), -self.lows.get()))
    }

    /// What [`get`](Extremes::get) would be after one bar more.
    #[inline]
    pub(crate) fn after(&self, high: f64, low: f64) -> Option<(f64, f64)> {
        (self.highs.missing <= 1).then(|| (self.highs.after(high), -self.lows.after(-low)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_looking_at_the_whole_window(
            len in 1u16..12,
            numbers in prop::collection::vec((-9i32..9, 0i32..5), 0..80),
            start in prop::sample::select(vec![0, u32::MAX - 5]),
        ) {
            let len = usize::from(len);
            let mut extremes = Extremes::new(len as u16);
            // Whatever the count is, the window is the same.
            extremes.highs.now = start;
            extremes.lows.now = start;
            let mut bars: Vec<(f64, f64)> = Vec::new();
            for (low, range) in numbers {
                let (high, low) = (f64::from(low + range), f64::from(low));
                bars.push((high, low));
                let expected = (bars.len() >= len).then(|| {
                    let window = &bars[bars.len() - len..];
                    (
                        window.iter().fold(f64::MIN, |most, bar| most.max(bar.0)),
                        window.iter().fold(f64::MAX, |least, bar| least.min(bar.1)),
                    )
                });
                prop_assert_eq!(extremes.after(high, low), expected);
                extremes.push(high, low);
                prop_assert_eq!(extremes.get(), expected);
            }
        }
    }
}
