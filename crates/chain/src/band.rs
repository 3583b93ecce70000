use strikewire_types::Price;

/// Prices between which a window stays as it is. A tick costs two comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Band {
    /// At this price or below it is left; absent at the lower end of a ladder.
    pub lower: Option<Price>,
    /// At this price or above it is left; absent at the upper end of a ladder.
    pub upper: Option<Price>,
}

impl Band {
    /// Whether a price is outside. A move by the whole gap is.
    #[must_use]
    pub fn leaves(&self, price: Price) -> bool {
        self.lower.is_some_and(|lower| price <= lower)
            || self.upper.is_some_and(|upper| price >= upper)
    }

    /// The prices at which all of several windows stay: the tightest bounds. Without
    /// bounds when there are no bands.
    #[must_use]
    pub fn intersect(bands: impl IntoIterator<Item = Self>) -> Self {
        bands.into_iter().fold(Self::default(), |tight, band| Self {
            lower: tight.lower.into_iter().chain(band.lower).max(),
            upper: tight.upper.into_iter().chain(band.upper).min(),
        })
    }
}
