use strikewire_types::OptionType;

/// Makes a premium at the money that of the normal model.
const WIDTH: f64 = 0.575_5;

/// The price of an option when it is exercised: what it is worth at `forward`, and a
/// time value that is largest at the money and fades to both sides, a smooth step
/// function's integral.
///
/// `spread` is the standard deviation of the underlying until the expiry, in rupees,
/// above 0. At the money the price is that of the normal model, 0.4 times the spread;
/// tails are heavier. Calls fall and puts rise with the strike, both are convex, and
/// call less put is forward less strike, so that a chain never contradicts itself.
pub(super) fn premium(forward: f64, strike: f64, spread: f64, side: OptionType) -> f64 {
    let width = spread * WIDTH;
    let inside = inside(forward, strike, side);
    let away = inside.abs() / width;
    // Beyond this less than a millionth of a millionth of the width.
    let time = if away < 30.0 {
        width * (-away).exp().ln_1p()
    } else {
        0.0
    };
    inside.max(0.0) + time
}

fn inside(forward: f64, strike: f64, side: OptionType) -> f64 {
    match side {
        OptionType::Call => forward - strike,
        OptionType::Put => strike - forward,
    }
}

/// How a premium changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slopes {
    /// With the forward.
    pub(super) delta: f64,
    /// Delta, with the forward.
    pub(super) gamma: f64,
    /// With the spread.
    pub(super) vega: f64,
}

pub(super) fn slopes(forward: f64, strike: f64, spread: f64, side: OptionType) -> Slopes {
    let width = spread * WIDTH;
    let inside = inside(forward, strike, side);
    let fade = (-inside.abs() / width).exp();
    let likely = if inside > 0.0 { 1.0 } else { fade } / (1.0 + fade);
    Slopes {
        delta: match side {
            OptionType::Call => likely,
            OptionType::Put => -likely,
        },
        gamma: likely * (1.0 - likely) / width,
        vega: WIDTH * (fade.ln_1p() + inside.abs() / width * fade / (1.0 + fade)),
    }
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

    #[test]
    fn slopes_are_those_of_the_premium() {
        for side in [OptionType::Call, OptionType::Put] {
            for strike in [25_000.0, 25_500.0, 25_600.0, 26_400.0] {
                let at = |forward, spread| premium(forward, strike, spread, side);
                let (forward, spread, h) = (25_512.3, 250.0, 0.5);
                let (up, down) = (at(forward + h, spread), at(forward - h, spread));
                let slopes = slopes(forward, strike, spread, side);
                assert!((slopes.delta - (up - down) / (2.0 * h)).abs() < 1e-5);
                let gamma = (up - 2.0 * at(forward, spread) + down) / (h * h);
                assert!((slopes.gamma - gamma).abs() < 1e-6);
                let vega = (at(forward, spread + h) - at(forward, spread - h)) / (2.0 * h);
                assert!((slopes.vega - vega).abs() < 1e-5, "{slopes:?} {vega}");
            }
        }
    }
}
