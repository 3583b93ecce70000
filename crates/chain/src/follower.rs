use core::time::Duration;

use strikewire_registry::{LadderId, Registry};
use strikewire_types::{Mono, Now, Price};

use crate::{Band, Span, Width, Window};

/// A jump by more than one part in this many needs a second packet.
const JUMP: u64 = 20;
/// How often a caller may force a calculation of one chain.
const FORCE_INTERVAL: Duration = Duration::from_secs(1);

/// What is known about a price of the underlying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceQuality {
    /// From the feed, from this phase of the session and young.
    Live,
    /// Anything else: an old price, a quote asked for, the previous close, or what a
    /// caller says. It can start a chain that has no price yet, until the first live
    /// one corrects it, and never moves one.
    Stale,
}

/// What a price does to a followed chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Nothing.
    Hold,
    /// Nothing yet: it is a jump, and the next price decides. Pass that one on
    /// whatever the band says.
    Confirm,
    /// The first window.
    Started {
        /// The window.
        to: Span,
    },
    /// Another window.
    Rolled {
        /// The window until now.
        from: Span,
        /// The window from now on.
        to: Span,
    },
    /// The same window at another price; the band is new.
    Recalculated,
}

/// What came of a calculation that a caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Forced {
    /// It was made, as far as the price allowed.
    Done(Decision),
    /// There was one less than a second ago.
    TooSoon {
        /// When to ask again.
        retry_in: Duration,
    },
}

/// Keeps one chain around the money, by the policy `step_move`: it is calculated
/// again when the price has moved by a whole step since the last calculation.
///
/// A machine without IO. The owner shows it prices that leave its [band](Self::band)
/// (it may show all) and acts on the [`Decision`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    ladder: LadderId,
    width: Width,
    calculation: Option<Calculation>,
    /// The last live price that was believed.
    accepted: Option<Price>,
    /// A jump that waits for a second packet.
    jump: Option<Price>,
    forced_at: Option<Mono>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Calculation {
    price: Price,
    span: Span,
    band: Band,
    at: Now,
    /// Made without a live price.
    provisional: bool,
}

impl Follower {
    /// A chain without a price yet.
    #[must_use]
    pub const fn new(ladder: LadderId, width: Width) -> Self {
        Self {
            ladder,
            width,
            calculation: None,
            accepted: None,
            jump: None,
            forced_at: None,
        }
    }

    /// The ladder it lies on.
    #[must_use]
    pub const fn ladder(&self) -> LadderId {
        self.ladder
    }

    /// How many strikes were asked for.
    #[must_use]
    pub const fn width(&self) -> Width {
        self.width
    }

    /// The window; absent before the first price.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.calculation.map(|calculation| calculation.span)
    }

    /// The price of the last calculation.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        self.calculation.map(|calculation| calculation.price)
    }

    /// When the last calculation was made.
    #[must_use]
    pub fn calculated_at(&self) -> Option<Now> {
        self.calculation.map(|calculation| calculation.at)
    }

    /// The prices it need not be shown. None when it must be shown the next price
    /// whatever it is: before the first live one, and while a jump waits.
    #[must_use]
    pub fn band(&self) -> Option<Band> {
        self.calculation
            .filter(|calculation| !calculation.provisional && self.jump.is_none())
            .map(|calculation| calculation.band)
    }

    /// Whether it rests on something else than a live price.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.calculation
            .is_some_and(|calculation| calculation.provisional)
    }

    /// Whether the last calculation is `ttl` old or older, or there is none.
    #[must_use]
    pub fn is_expired(&self, now: Now, ttl: Duration) -> bool {
        self.calculation
            .is_none_or(|calculation| now.mono.since(calculation.at.mono) >= ttl)
    }

    /// Takes note of a price of the underlying.
    pub fn on_price(
        &mut self,
        registry: &Registry,
        now: Now,
        price: Price,
        quality: PriceQuality,
    ) -> Decision {
        self.decide(registry, now, price, quality, false)
    }

    /// Whether it is calculated and a price would leave it as it is, window, band and all:
    /// no need then to show it, where only the answer is of interest.
    #[must_use]
    pub fn holds(&self, price: Price, quality: PriceQuality) -> bool {
        self.calculation.is_some_and(|last| match quality {
            PriceQuality::Live => {
                !last.provisional
                    && self.jump.is_none()
                    && self.believes(price)
                    && !last.band.leaves(price)
            }
            PriceQuality::Stale => true,
        })
    }

    /// Calculates again whatever the band says: its expiry was invalidated, or it
    /// [is expired](Self::is_expired) and somebody asks. A stale price and a jump
    /// still move nothing.
    pub fn recalculate(
        &mut self,
        registry: &Registry,
        now: Now,
        price: Price,
        quality: PriceQuality,
    ) -> Decision {
        self.decide(registry, now, price, quality, true)
    }

    /// As [`recalculate`](Self::recalculate), for callers, at most once a second.
    pub fn force(
        &mut self,
        registry: &Registry,
        now: Now,
        price: Price,
        quality: PriceQuality,
    ) -> Forced {
        if let Some(at) = self.forced_at {
            let passed = now.mono.since(at);
            if passed < FORCE_INTERVAL {
                return Forced::TooSoon {
                    retry_in: FORCE_INTERVAL - passed,
                };
            }
        }
        self.forced_at = Some(now.mono);
        Forced::Done(self.recalculate(registry, now, price, quality))
    }

    fn decide(
        &mut self,
        registry: &Registry,
        now: Now,
        price: Price,
        quality: PriceQuality,
        forced: bool,
    ) -> Decision {
        if price <= Price::ZERO {
            return Decision::Hold;
        }
        let is_live = quality == PriceQuality::Live;
        if is_live {
            if !self.believes(price) {
                self.jump = Some(price);
                return Decision::Confirm;
            }
            self.jump = None;
            self.accepted = Some(price);
        } else if self.calculation.is_some() {
            return Decision::Hold;
        }
        match self.calculation {
            Some(last) if !last.provisional && !forced && !last.band.leaves(price) => {
                Decision::Hold
            }
            last => self.calculate(registry, now, price, !is_live, last),
        }
    }

    /// Whether a live price is no jump, or the second packet of one.
    fn believes(&self, price: Price) -> bool {
        self.accepted
            .is_none_or(|accepted| is_near(price, accepted))
            || self.jump.is_some_and(|jump| is_near(price, jump))
    }

    fn calculate(
        &mut self,
        registry: &Registry,
        now: Now,
        price: Price,
        provisional: bool,
        last: Option<Calculation>,
    ) -> Decision {
        let Ok(window) = Window::new(registry.ladder_at(self.ladder), price, self.width) else {
            return Decision::Hold;
        };
        let to = window.span();
        self.calculation = Some(Calculation {
            price,
            span: to,
            band: window.band(),
            at: now,
            provisional,
        });
        match last {
            None => Decision::Started { to },
            Some(last) if last.span == to => Decision::Recalculated,
            Some(last) => Decision::Rolled {
                from: last.span,
                to,
            },
        }
    }
}

/// Whether two prices are at most 5 % of `base` apart.
fn is_near(price: Price, base: Price) -> bool {
    price.raw().abs_diff(base.raw()).saturating_mul(JUMP) <= base.raw().unsigned_abs()
}
