use core::fmt;
use core::ops::Range;

use strikewire_types::{Exchange, Expiry, OptionType, Strike};

use crate::symbols::SymbolId;
use crate::{Instrument, InstrumentIdx, Kind, Registry};

/// Which ladder of a registry. Means nothing to another registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LadderId(pub(crate) u32);

impl LadderId {
    /// As an index into a table; counted from 0 in the order of
    /// [`Registry::ladders`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One strike of a ladder with the contracts listed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// The strike.
    pub strike: Strike,
    // No row has the last index.
    call: u32,
    put: u32,
}

const NONE: u32 = u32::MAX;

impl Rung {
    pub(crate) const fn new(strike: Strike) -> Self {
        Self {
            strike,
            call: NONE,
            put: NONE,
        }
    }

    /// False, changing nothing, when there is such a leg already.
    pub(crate) fn set(&mut self, option_type: OptionType, contract: InstrumentIdx) -> bool {
        let leg = match option_type {
            OptionType::Call => &mut self.call,
            OptionType::Put => &mut self.put,
        };
        let is_free = *leg == NONE;
        if is_free {
            *leg = contract.0;
        }
        is_free
    }

    /// The call, if one is listed.
    #[must_use]
    pub fn call(&self) -> Option<InstrumentIdx> {
        (self.call != NONE).then_some(InstrumentIdx(self.call))
    }

    /// The put, if one is listed.
    #[must_use]
    pub fn put(&self) -> Option<InstrumentIdx> {
        (self.put != NONE).then_some(InstrumentIdx(self.put))
    }

    /// The contract of that type, if one is listed.
    #[must_use]
    pub fn leg(&self, option_type: OptionType) -> Option<InstrumentIdx> {
        match option_type {
            OptionType::Call => self.call(),
            OptionType::Put => self.put(),
        }
    }

    /// Whether both legs are listed.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.call != NONE && self.put != NONE
    }
}

#[derive(Debug)]
pub(crate) struct LadderRow {
    pub(crate) symbol: SymbolId,
    pub(crate) exchange: Exchange,
    pub(crate) kind: Kind,
    pub(crate) expiry: Expiry,
    pub(crate) rungs: Range<u32>,
    pub(crate) lot: u32,
    pub(crate) price_source: Option<InstrumentIdx>,
}

/// The options of one underlying, exchange and expiry, by strike.
#[derive(Clone, Copy)]
pub struct Ladder<'a> {
    registry: &'a Registry,
    id: LadderId,
}

impl<'a> Ladder<'a> {
    pub(crate) const fn new(registry: &'a Registry, id: LadderId) -> Self {
        Self { registry, id }
    }

    fn row(&self) -> &'a LadderRow {
        &self.registry.ladders[self.id.index()]
    }

    /// Which ladder it is, to find it again in the same registry.
    #[must_use]
    pub const fn id(&self) -> LadderId {
        self.id
    }

    /// Where it is listed.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        self.row().exchange
    }

    /// The underlying's symbol as options have it, such as `NIFTYNXT50`.
    #[must_use]
    pub fn symbol(&self) -> &'a str {
        self.registry.symbols.get(self.row().symbol)
    }

    /// When its contracts expire.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        self.row().expiry
    }

    /// The kind of its contracts.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.row().kind
    }

    /// Its strikes in ascending order, at least one, each with a leg or two.
    #[must_use]
    pub fn rungs(&self) -> &'a [Rung] {
        let Range { start, end } = self.row().rungs;
        &self.registry.rungs[start as usize..end as usize]
    }

    /// The contract of a strike and type, if one is listed.
    #[must_use]
    pub fn leg(&self, strike: Strike, option_type: OptionType) -> Option<Instrument<'a>> {
        let rungs = self.rungs();
        let rung = rungs
            .binary_search_by_key(&strike, |rung| rung.strike)
            .ok()?;
        let leg = rungs[rung].leg(option_type)?;
        Some(self.registry.instrument(leg))
    }

    /// Its contracts, by strike, the call before the put.
    pub(crate) fn legs(&self) -> impl Iterator<Item = Instrument<'a>> {
        let registry = self.registry;
        self.rungs()
            .iter()
            .flat_map(|rung| rung.call().into_iter().chain(rung.put()))
            .map(|leg| registry.instrument(leg))
    }

    /// The broker's order unit, of the contract with the lowest strike; on one day
    /// all contracts of a ladder have the same.
    #[must_use]
    pub fn lot_size(&self) -> u32 {
        self.row().lot
    }

    /// The registry it belongs to.
    #[must_use]
    pub const fn registry(&self) -> &'a Registry {
        self.registry
    }

    /// The instrument whose price says what is at the money: the index; for stocks
    /// NSE's equity of series EQ, else BSE's; for commodities and currencies the
    /// first future of the same exchange that expires with the options or later
    /// (on MCX also for options on its own indices, which the feed does not have).
    /// None when it is not listed.
    #[must_use]
    pub fn price_source(&self) -> Option<Instrument<'a>> {
        self.row()
            .price_source
            .map(|idx| self.registry.instrument(idx))
    }
}

impl fmt::Debug for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ladder")
            .field("id", &self.id)
            .field("exchange", &self.exchange())
            .field("symbol", &self.symbol())
            .field("expiry", &self.expiry())
            .field("rungs", &self.rungs().len())
            .finish()
    }
}
