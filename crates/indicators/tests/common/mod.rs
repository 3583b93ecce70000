//! Bars that are made up, the same ones each time.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use strikewire_indicators::Ohlcv;

/// Ticks of 0.05 in a rupee.
const TICKS: f64 = 20.0;

/// An endless walk around a price: in steps of 0.05, with calm and wild stretches, stretches
/// without any move, and bars without volume. 75 bars are a day.
pub(crate) struct Market {
    random: Pcg64Mcg,
    /// In ticks.
    home: i64,
    price: i64,
    /// How far a bar goes, in ticks; 0 for not at all.
    step: i64,
    interest: f64,
    nth: i32,
}

impl Market {
    pub(crate) fn new(price: f64, seed: u64) -> Self {
        let home = (price * TICKS) as i64;
        Self {
            random: Pcg64Mcg::seed_from_u64(seed),
            home,
            price: home,
            step: 40,
            interest: 1e6,
            nth: 0,
        }
    }
}

impl Iterator for Market {
    type Item = Ohlcv;

    fn next(&mut self) -> Option<Ohlcv> {
        let random = &mut self.random;
        if random.random_bool(0.01) {
            self.step = *[0, 1, 10, 40, 40, 40, 200]
                .get(random.random_range(0..7))
                .expect("seven");
        }
        if random.random_bool(0.001) {
            self.price += random.random_range(-3_000..=3_000);
        }
        let mut path = [self.price; 5];
        for nth in 1..5 {
            // Drawn home a little, so that it stays near its price for ever.
            let drift = (self.home - path[nth - 1]).signum() * i64::from(random.random_bool(0.05));
            let step = random.random_range(-self.step..=self.step);
            path[nth] = (path[nth - 1] + step + drift * self.step).max(1);
        }
        self.price = path[4];
        let rupees = |ticks: i64| ticks as f64 / TICKS;
        let traded = self.step > 0 && random.random_bool(0.95);
        if traded {
            self.interest += f64::from(random.random_range(-900..=1_000));
        }
        self.nth += 1;
        Some(Ohlcv {
            open: rupees(path[0]),
            high: rupees(path.into_iter().max().expect("five")),
            low: rupees(path.into_iter().min().expect("five")),
            close: rupees(path[4]),
            volume: if traded {
                f64::from(random.random_range(1..50_000))
            } else {
                0.0
            },
            oi: self.interest,
            day: self.nth / 75,
        })
    }
}
