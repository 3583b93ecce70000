//! What became of a contract when the master of another day takes over.

use strikewire_types::{Exchange, Expiry, InstrumentKey};

use crate::build::Row;
use crate::{Instrument, Kind, Ladder, Registry};

/// What became of an instrument or a ladder of an older master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession<T> {
    /// It is still listed, perhaps under another id.
    Same(T),
    /// Its expiry was moved to another day, as happens for a holiday.
    Moved {
        /// What it is now.
        to: T,
        /// The expiry it had.
        from: Expiry,
        /// The expiry it has.
        expiry: Expiry,
    },
    /// It is listed no more.
    Gone,
}

impl<T> Succession<T> {
    /// What it is now; none when it is gone.
    #[must_use]
    pub fn current(self) -> Option<T> {
        match self {
            Self::Same(to) | Self::Moved { to, .. } => Some(to),
            Self::Gone => None,
        }
    }
}

impl Instrument<'_> {
    /// Whether the two are one contract, whatever their ids: the same exchange,
    /// segment, kind and symbol (case aside), and of a derivative the same expiry,
    /// strike and option type, of cash the same series. The registries may differ.
    #[must_use]
    pub fn is_same_contract(&self, other: &Instrument<'_>) -> bool {
        self.row().expiry == other.row().expiry && self.is_same_but_for_expiry(other)
    }

    pub(crate) fn is_same_but_for_expiry(&self, other: &Instrument<'_>) -> bool {
        let terms = |row: &Row| {
            (
                row.exchange,
                row.segment,
                row.kind,
                row.strike,
                row.option_type,
            )
        };
        terms(self.row()) == terms(other.row())
            && self.symbol().eq_ignore_ascii_case(other.symbol())
            && (self.kind().is_derivative() || self.series() == other.series())
    }
}

/// `self` is the new registry. Contracts are followed by what they are, never by their
/// ids: brokers give those to other contracts from day to day.
impl Registry {
    /// What became of an instrument of an older registry.
    ///
    /// [`Same`](Succession::Same) when the [same contract](Instrument::is_same_contract)
    /// is listed. An option has moved when its ladder has, see
    /// [`successor_ladder`](Self::successor_ladder), a future when its id now means a
    /// contract that differs in its expiry alone. What expired before the day of this
    /// registry never moves. Nothing is allocated unless the expiry of an option that
    /// is still to come is no longer listed.
    #[must_use]
    pub fn successor(&self, old: Instrument<'_>) -> Succession<Instrument<'_>> {
        if let Some(same) = self.same_contract(old) {
            return Succession::Same(same);
        }
        let (Some(from), false) = (old.expiry(), self.has_expired(old)) else {
            return Succession::Gone;
        };
        let to = match (old.strike(), old.option_type()) {
            (Some(strike), Some(option_type)) => old
                .registry()
                .same_ladder(old.exchange(), old.symbol(), old.kind(), from)
                .and_then(|ladder| match self.successor_ladder(ladder) {
                    Succession::Moved { to, .. } => to.leg(strike, option_type),
                    _ => None,
                }),
            _ => self
                .by_key(old.key())
                .filter(|now| now.is_same_but_for_expiry(&old)),
        };
        match to.and_then(|to| Some((to, to.expiry()?))) {
            Some((to, expiry)) => Succession::Moved { to, from, expiry },
            None => Succession::Gone,
        }
    }

    /// What became of a ladder of an older registry.
    ///
    /// [`Same`](Succession::Same) when options of that kind, exchange and symbol are
    /// still listed for that expiry, whichever strikes. It has moved when they are
    /// not, the expiry is still to come, and more than half of its contracts are found
    /// under their ids with one other expiry and nothing else changed.
    #[must_use]
    pub fn successor_ladder(&self, old: Ladder<'_>) -> Succession<Ladder<'_>> {
        let from = old.expiry();
        let at = |expiry| self.same_ladder(old.exchange(), old.symbol(), old.kind(), expiry);
        if let Some(same) = at(from) {
            return Succession::Same(same);
        }
        let moved = (from.date() >= self.as_of)
            .then(|| self.other_expiry(old))
            .flatten();
        match moved.and_then(|expiry| Some((at(expiry)?, expiry))) {
            Some((to, expiry)) => Succession::Moved { to, from, expiry },
            None => Succession::Gone,
        }
    }

    /// Whether a key that both registries list means something else now than it did in
    /// `old`, so that nothing known by it may be kept. An id whose contract is the same
    /// or was moved to another expiry is not.
    #[must_use]
    pub fn is_repointed(&self, old: &Self, key: InstrumentKey) -> bool {
        let (Some(before), Some(now)) = (old.by_key(key), self.by_key(key)) else {
            return false;
        };
        !now.is_same_contract(&before) && self.successor(before).current() != Some(now)
    }

    /// Every key that is [repointed](Self::is_repointed), in the order of the file.
    pub fn repointed<'a>(&'a self, old: &'a Self) -> impl Iterator<Item = InstrumentKey> + 'a {
        self.instruments()
            .map(|instrument| instrument.key())
            .filter(|key| self.is_repointed(old, *key))
    }

    pub(crate) fn has_expired(&self, old: Instrument<'_>) -> bool {
        old.expiry()
            .is_some_and(|expiry| expiry.date() < self.as_of)
    }

    fn same_contract(&self, old: Instrument<'_>) -> Option<Instrument<'_>> {
        if let Some(same) = self
            .by_key(old.key())
            .filter(|now| now.is_same_contract(&old))
        {
            return Some(same);
        }
        if let (Some(expiry), Some(strike), Some(option_type)) =
            (old.expiry(), old.strike(), old.option_type())
        {
            return self
                .same_ladder(old.exchange(), old.symbol(), old.kind(), expiry)?
                .leg(strike, option_type)
                .filter(|now| now.is_same_contract(&old));
        }
        let symbol = self.symbols.find(old.symbol())?;
        if old.kind().is_future() {
            return self
                .futures_of(old.exchange(), symbol)
                .find(|now| now.is_same_contract(&old));
        }
        // Two indices may have one symbol. What was the other one all along is not the
        // successor of this one.
        self.cash_of(symbol).find(|now| {
            let was_itself = old
                .registry()
                .by_key(now.key())
                .is_some_and(|before| before.is_same_contract(now));
            now.is_same_contract(&old) && !was_itself
        })
    }

    fn same_ladder(
        &self,
        exchange: Exchange,
        symbol: &str,
        kind: Kind,
        expiry: Expiry,
    ) -> Option<Ladder<'_>> {
        self.ladders_of(exchange, self.symbols.find(symbol)?)
            .find(|ladder| (ladder.expiry(), ladder.kind()) == (expiry, kind))
    }

    /// The one other expiry that more than half of the contracts of `old` have now.
    fn other_expiry(&self, old: Ladder<'_>) -> Option<Expiry> {
        let mut contracts = 0;
        let mut tally: Vec<(Expiry, usize)> = Vec::new();
        for leg in old.legs() {
            contracts += 1;
            let now = self
                .by_key(leg.key())
                .filter(|now| now.is_same_but_for_expiry(&leg));
            let Some(expiry) = now.and_then(|now| now.expiry()) else {
                continue;
            };
            match tally.iter_mut().find(|(other, _)| *other == expiry) {
                Some((_, count)) => *count += 1,
                None => tally.push((expiry, 1)),
            }
        }
        tally
            .into_iter()
            .find(|(_, count)| 2 * count > contracts)
            .map(|(expiry, _)| expiry)
    }
}
