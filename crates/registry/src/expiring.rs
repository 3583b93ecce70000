use strikewire_types::{Exchange, Expiry};

use crate::{Instrument, Kind, Ladder};

/// The contracts of one kind on one symbol and exchange that expire together.
///
/// It is what a calendar needs to know to say whether they still trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Expiring<'a> {
    /// Where they are listed.
    pub exchange: Exchange,
    /// The kind of the contracts.
    pub kind: Kind,
    /// The underlying's symbol.
    pub symbol: &'a str,
    /// The day they expire.
    pub expiry: Expiry,
}

impl<'a> Instrument<'a> {
    /// With which contracts it expires; absent for cash.
    #[must_use]
    pub fn expiring(&self) -> Option<Expiring<'a>> {
        self.expiry().map(|expiry| Expiring {
            exchange: self.exchange(),
            kind: self.kind(),
            symbol: self.symbol(),
            expiry,
        })
    }
}

impl<'a> Ladder<'a> {
    /// Its contracts.
    #[must_use]
    pub fn expiring(&self) -> Expiring<'a> {
        Expiring {
            exchange: self.exchange(),
            kind: self.kind(),
            symbol: self.symbol(),
            expiry: self.expiry(),
        }
    }
}
