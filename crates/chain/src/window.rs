use core::cmp::Ordering;
use core::fmt;

use strikewire_registry::{InstrumentIdx, Ladder, LadderId, Registry, Rung};
use strikewire_types::{OptionType, Price, Strike};

use crate::{Band, Error, Width};

/// Which rung is at the money: the nearest to `price` among those with both legs, or
/// among all if none has both; exactly between two, the higher one. None for an
/// empty ladder.
///
/// `rungs` are in ascending order, as a ladder has them.
#[must_use]
pub fn at_the_money(rungs: &[Rung], price: Price) -> Option<usize> {
    nearest(rungs, price, Rung::is_complete).or_else(|| nearest(rungs, price, |_| true))
}

/// The nearest rung that is `eligible`: outwards from the price, so that a few
/// strikes with one leg cost a few steps.
fn nearest(rungs: &[Rung], price: Price, eligible: impl Fn(&Rung) -> bool) -> Option<usize> {
    let mut above = rungs.partition_point(|rung| rung.strike.raw() < price.raw());
    let mut below = above;
    loop {
        let (lower, higher) = rungs.split_at(above);
        let take_higher = match (lower[..below].last(), higher.first()) {
            (None, None) => return None,
            (lower, higher) => is_nearer(higher, lower, price),
        };
        let next = if take_higher {
            above += 1;
            above - 1
        } else {
            below -= 1;
            below
        };
        if eligible(&rungs[next]) {
            return Some(next);
        }
    }
}

/// Whether the higher of two is at least as near; one that is missing is not.
fn is_nearer(higher: Option<&Rung>, lower: Option<&Rung>, price: Price) -> bool {
    higher.is_some_and(|higher| {
        lower.is_none_or(|lower| distance(higher, price) <= distance(lower, price))
    })
}

fn distance(rung: &Rung, price: Price) -> u64 {
    rung.strike.raw().abs_diff(price.raw())
}

/// The strikes around the money of one ladder at one price. Borrows the ladder's
/// strikes and allocates nothing.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    ladder: Ladder<'a>,
    price: Price,
    span: Span,
}

impl<'a> Window<'a> {
    /// The window of `width` strikes at `price`; at the ladder's end it is cut, not
    /// shifted.
    ///
    /// # Errors
    ///
    /// When the price is not above 0 or the ladder has no strikes.
    pub fn new(ladder: Ladder<'a>, price: Price, width: Width) -> Result<Self, Error> {
        if price <= Price::ZERO {
            return Err(Error::Price {
                symbol: ladder.symbol().to_owned(),
                price,
            });
        }
        let rungs = ladder.rungs();
        let atm = at_the_money(rungs, price).ok_or_else(|| Error::EmptyLadder {
            symbol: ladder.symbol().to_owned(),
            expiry: ladder.expiry(),
        })?;
        let half = usize::from(width.half());
        let span = Span {
            ladder: ladder.id(),
            // A ladder has fewer strikes than a registry has rows, which fit.
            start: atm.saturating_sub(half) as u32,
            end: rungs.len().min(atm + half + 1) as u32,
            atm: atm as u32,
            width,
        };
        Ok(Self {
            ladder,
            price,
            span,
        })
    }

    /// The ladder it lies on.
    #[must_use]
    pub const fn ladder(&self) -> Ladder<'a> {
        self.ladder
    }

    /// The price of the calculation.
    #[must_use]
    pub const fn price(&self) -> Price {
        self.price
    }

    /// How many strikes were asked for; there are fewer when it is [cut](Self::cut).
    #[must_use]
    pub const fn width(&self) -> Width {
        self.span.width
    }

    /// Where it lies, to be kept without borrowing.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// Its strikes in ascending order, at least one.
    #[must_use]
    pub fn rungs(&self) -> &'a [Rung] {
        &self.ladder.rungs()[self.span.start as usize..self.span.end as usize]
    }

    /// The place of the strike at the money in [`rungs`](Self::rungs).
    #[must_use]
    pub const fn atm_index(&self) -> usize {
        (self.span.atm - self.span.start) as usize
    }

    /// The strike at the money.
    #[must_use]
    pub fn atm_strike(&self) -> Strike {
        self.rungs()[self.atm_index()].strike
    }

    /// Whether the price lies below the ladder's lowest strike or above its highest.
    #[must_use]
    pub fn outside(&self) -> bool {
        let beyond = |rung: Option<&Rung>, side| {
            rung.is_some_and(|rung| self.price.raw().cmp(&rung.strike.raw()) == side)
        };
        let rungs = self.ladder.rungs();
        beyond(rungs.first(), Ordering::Less) || beyond(rungs.last(), Ordering::Greater)
    }

    /// Whether an end of the ladder left it fewer strikes than were asked for.
    #[must_use]
    pub fn cut(&self) -> bool {
        self.span.end - self.span.start < u32::from(self.span.width.get())
    }

    /// The most common distance between neighbours, the smaller on a tie; none for a
    /// single strike.
    #[must_use]
    pub fn strike_step(&self) -> Option<Price> {
        let rungs = self.rungs();
        let gaps = || {
            rungs
                .windows(2)
                .map(|pair| pair[1].strike.raw() - pair[0].strike.raw())
        };
        let mut best = None;
        let mut most = 0;
        let mut left = rungs.len() - 1;
        let mut seen = 0;
        // One pass per distinct distance, the smallest first, until the rest cannot
        // win; a ladder has few, and a set would need memory.
        while left > most {
            let gap = gaps().filter(|gap| *gap > seen).min()?;
            let count = gaps().filter(|other| *other == gap).count();
            if count > most {
                most = count;
                best = Some(Price::from_raw(gap));
            }
            left -= count;
            seen = gap;
        }
        best
    }

    /// Its contracts by strike, calls before puts, each with how many strikes it is
    /// away from the money.
    pub fn legs(&self) -> impl Iterator<Item = (InstrumentIdx, OptionType, u16)> + use<'a> {
        legs(self.rungs(), self.atm_index())
    }

    /// Where the price must go for the window to be calculated again.
    #[must_use]
    pub fn band(&self) -> Band {
        let rungs = self.ladder.rungs();
        let atm = self.span.atm as usize;
        // If the strike at the money has one leg only, so have all.
        let any = !rungs[atm].is_complete();
        let listed = |rung: &&Rung| any || rung.is_complete();
        let below = rungs[..atm].iter().rev().find(listed);
        let above = rungs[atm + 1..].iter().find(listed);
        let bound = |rung: &Rung| {
            let gap = rung.strike.raw() - rungs[atm].strike.raw();
            Price::from_raw(self.price.raw().saturating_add(gap))
        };
        Band {
            lower: below.map(bound),
            upper: above.map(bound),
        }
    }
}

fn legs<'a>(
    rungs: &'a [Rung],
    atm: usize,
) -> impl Iterator<Item = (InstrumentIdx, OptionType, u16)> + use<'a> {
    rungs.iter().enumerate().flat_map(move |(i, rung)| {
        // Half a width fits.
        let distance = i.abs_diff(atm) as u16;
        [OptionType::Call, OptionType::Put]
            .into_iter()
            .filter_map(move |option_type| {
                rung.leg(option_type)
                    .map(|leg| (leg, option_type, distance))
            })
    })
}

/// Where a [`Window`] lies: strikes `start..end` of a ladder. Means nothing to
/// another registry than the one it was made with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// On which ladder.
    pub ladder: LadderId,
    /// The first strike, counted on the ladder.
    pub start: u32,
    /// After the last strike.
    pub end: u32,
    /// The strike at the money.
    pub atm: u32,
    /// How many strikes were asked for.
    pub width: Width,
}

impl Span {
    /// The window again, with the price it was calculated at.
    ///
    /// # Panics
    ///
    /// When the span is of another registry.
    #[must_use]
    pub fn window(self, registry: &Registry, price: Price) -> Window<'_> {
        Window {
            ladder: registry.ladder_at(self.ladder),
            price,
            span: self,
        }
    }

    /// Its strikes in ascending order.
    ///
    /// # Panics
    ///
    /// When the span is of another registry.
    #[must_use]
    pub fn rungs(self, registry: &Registry) -> &[Rung] {
        &registry.ladder_at(self.ladder).rungs()[self.start as usize..self.end as usize]
    }

    /// As [`Window::legs`].
    ///
    /// # Panics
    ///
    /// When the span is of another registry.
    pub fn legs(
        self,
        registry: &Registry,
    ) -> impl Iterator<Item = (InstrumentIdx, OptionType, u16)> + use<'_> {
        legs(self.rungs(registry), (self.atm - self.start) as usize)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ladder,
            start,
            end,
            atm,
            width,
        } = self;
        write!(
            f,
            "Span({}: {start}..{end} around {atm}, width {width})",
            ladder.index()
        )
    }
}
