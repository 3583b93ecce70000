use strikewire_types::{Expiry, Price};

/// A window that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Half the strikes lie on each side of the money, so the number must be odd.
    #[error("width {width} is not an odd number from 1 to {}", crate::Width::MAX)]
    Width {
        /// As it was asked for.
        width: u32,
    },
    /// Nothing is at the money of such a price.
    #[error("price {price} of {symbol} is not above 0")]
    Price {
        /// The underlying.
        symbol: String,
        /// As it was given.
        price: Price,
    },
    /// There is no strike to choose from.
    #[error("no strikes of {symbol} {expiry} are listed")]
    EmptyLadder {
        /// The underlying.
        symbol: String,
        /// Of the ladder.
        expiry: Expiry,
    },
}
