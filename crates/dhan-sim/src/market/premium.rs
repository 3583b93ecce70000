use strikewire_types::OptionType;

/// The price of an option: what it is worth exercised now, and a time value that is
/// largest at the money and fades to both sides, a smooth step function's integral.
///
/// `spread` is the standard deviation of the underlying until the expiry, in rupees,
/// above 0. At the money the price is that of the normal model, 0.4 times the spread;
/// tails are heavier. Calls fall and puts rise with the strike, both are convex, and
/// call less put is underlying less strike, so that a chain never contradicts itself.
pub(super) fn premium(underlying: f64, strike: f64, spread: f64, side: OptionType) -> f64 {
    let width = spread * 0.575_5;
    let inside = match side {
        OptionType::Call => underlying - strike,
        OptionType::Put => strike - underlying,
    };
    inside.max(0.0) + width * (-inside.abs() / width).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_money_it_is_the_normal_model() {
        // Bachelier at the money: spread / sqrt(2 pi).
        let price = premium(25_500.0, 25_500.0, 250.0, OptionType::Call);
        assert!((price - 250.0 * 0.398_942).abs() < 0.5, "{price}");
    }

    #[test]
    fn calls_and_puts_agree() {
        for strike in (24_000..27_000).step_by(50).map(f64::from) {
            let call = premium(25_512.3, strike, 250.0, OptionType::Call);
            let put = premium(25_512.3, strike, 250.0, OptionType::Put);
            assert!((call - put - (25_512.3 - strike)).abs() < 1e-6);
            assert!(call > (25_512.3 - strike).max(0.0) && put > (strike - 25_512.3).max(0.0));
        }
    }
}
