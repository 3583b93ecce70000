/// How small the share of the seed must have become: three decades below the 1e-9 that is
/// promised, because the market may have been livelier by as much when the average began.
const FORGOTTEN: f64 = 1e-12;

/// The factor of an exponential average over `period` bars.
#[inline]
pub(crate) fn exponential(period: u16) -> f64 {
    2.0 / (f64::from(period) + 1.0)
}

/// The factor of Wilder's average over `period` bars.
#[inline]
pub(crate) fn wilder(period: u16) -> f64 {
    1.0 / f64::from(period)
}

/// How many bars after its seed an average has forgotten it, when each average of `factors` is
/// taken of the one before: `y += factor * (x - y)`.
///
/// Followed is an error of 1 in each of them, with nothing wrong in what the first is taken of.
pub(crate) fn settle(factors: &[f64]) -> usize {
    let mut errors = vec![1.0_f64; factors.len()];
    let mut bars = 0;
    while errors.last().is_some_and(|error| error.abs() > FORGOTTEN) {
        let mut input = 0.0;
        for (error, factor) in errors.iter_mut().zip(factors) {
            *error += factor * (input - *error);
            input = *error;
        }
        bars += 1;
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_average_forgets_as_its_power_says() {
        for period in [2, 14, 20, 200, 1_000] {
            for factor in [exponential(period), wilder(period)] {
                let bars = f64::ln(FORGOTTEN) / f64::ln(1.0 - factor);
                let settled = settle(&[factor]) as f64;
                assert!((settled - bars.ceil()).abs() <= 1.0, "{period}: {settled}");
            }
        }
        assert_eq!(settle(&[1.0]), 1);
        assert_eq!(settle(&[]), 0);
    }

    #[test]
    fn two_take_longer_than_one_but_not_twice_as_long() {
        let one = settle(&[wilder(14)]);
        let two = settle(&[wilder(14), wilder(14)]);
        assert!(one < two && two < 2 * one, "{one} {two}");
    }
}
