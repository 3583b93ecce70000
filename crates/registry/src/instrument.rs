use core::fmt;

use strikewire_types::{Exchange, Expiry, InstrumentKey, OptionType, PriceStep, Segment, Strike};

use crate::build::Row;
use crate::{Kind, Registry};

/// Which instrument of a registry. Means nothing to another registry: contracts get
/// other indexes, and other ids, on another day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstrumentIdx(pub(crate) u32);

impl InstrumentIdx {
    /// As an index into a table, below [`Registry::len`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One instrument of a registry.
#[derive(Clone, Copy)]
pub struct Instrument<'a> {
    registry: &'a Registry,
    idx: InstrumentIdx,
}

impl<'a> Instrument<'a> {
    pub(crate) const fn new(registry: &'a Registry, idx: InstrumentIdx) -> Self {
        Self { registry, idx }
    }

    /// The registry it belongs to.
    #[must_use]
    pub const fn registry(&self) -> &'a Registry {
        self.registry
    }

    pub(crate) fn row(&self) -> &'a Row {
        &self.registry.rows[self.idx.index()]
    }

    /// Which instrument it is, to find it again in the same registry.
    #[must_use]
    pub const fn idx(&self) -> InstrumentIdx {
        self.idx
    }

    /// Its key on the wire.
    #[must_use]
    pub fn key(&self) -> InstrumentKey {
        self.row().key()
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.row().kind
    }

    /// Where it is listed; for an index, whose it is.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        self.row().exchange
    }

    /// The underlying's symbol for a derivative, else its own.
    #[must_use]
    pub fn symbol(&self) -> &'a str {
        self.registry.symbols.get(self.row().symbol)
    }

    /// A name for people: the company, `Nifty 50`, or `NIFTY 30 MAR 31250 CALL`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        let row = self.row();
        let start = row.name_at as usize;
        &self.registry.texts[start..start + usize::from(row.name_len)]
    }

    /// The exchange's series of an equity, such as `EQ`; may be empty.
    #[must_use]
    pub fn series(&self) -> &'a str {
        &self.registry.series[usize::from(self.row().series)]
    }

    /// The day a derivative expires; absent for cash.
    #[must_use]
    pub fn expiry(&self) -> Option<Expiry> {
        let row = self.row();
        row.kind.is_derivative().then_some(row.expiry)
    }

    /// An option's strike; absent for everything else.
    #[must_use]
    pub fn strike(&self) -> Option<Strike> {
        let row = self.row();
        row.option_type.map(|_| Strike::from_raw(row.strike))
    }

    /// Call or put; absent unless it is an option.
    #[must_use]
    pub fn option_type(&self) -> Option<OptionType> {
        self.row().option_type
    }

    /// The broker's order unit, at least 1. On MCX and for currencies it is 1 and
    /// says nothing about the size of the contract.
    #[must_use]
    pub fn lot_size(&self) -> u32 {
        self.row().lot
    }

    /// The tick size; 0 when the master has none.
    #[must_use]
    pub fn tick(&self) -> PriceStep {
        PriceStep::from_raw(self.row().tick)
    }

    /// Its token: unique in the registry, and [`Registry::find`] gives it back.
    #[must_use]
    pub fn token(&self) -> String {
        let mut token = String::with_capacity(40);
        // Writing into a string cannot fail.
        let _ = self.write_token(&mut token);
        token
    }

    /// Writes its [token](Self::token).
    ///
    /// # Errors
    ///
    /// Whatever `out` reports.
    pub fn write_token(&self, out: &mut impl fmt::Write) -> fmt::Result {
        if self.row().token_is_key {
            write!(out, "{}", self.key())
        } else {
            self.write_plain_token(out)
        }
    }

    /// The readable token, which may mean another instrument too.
    pub(crate) fn write_plain_token(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let row = self.row();
        let symbol = self.symbol();
        if has_prefix(row) {
            out.write_str("BSE:")?;
        }
        out.write_str(symbol)?;
        match (row.kind, row.option_type) {
            (_, Some(option_type)) => {
                write!(
                    out,
                    "_{}_{}{option_type}",
                    row.expiry,
                    Strike::from_raw(row.strike)
                )
            }
            (kind, None) if kind.is_derivative() => write!(out, "_{}_FUT", row.expiry),
            (Kind::Equity, None) if row.segment == Segment::NseEq && self.series() != "EQ" => {
                write!(out, "-{}", self.series())
            }
            _ => Ok(()),
        }
    }

    /// Of an option, the instrument whose price its chain follows (see
    /// [`Ladder::price_source`](crate::Ladder::price_source)); of a future on a
    /// stock or an index, the stock or index. Absent when it is not listed, and for
    /// everything else.
    #[must_use]
    pub fn underlying(&self) -> Option<Instrument<'a>> {
        self.registry.underlying_of(self.row())
    }
}

/// BSE's equities, and its derivatives on stocks and currencies, share their symbols
/// with NSE's.
pub(crate) fn has_prefix(row: &Row) -> bool {
    row.exchange == Exchange::Bse
        && !matches!(
            row.kind,
            Kind::Index | Kind::FutureIndex | Kind::OptionIndex
        )
}

impl fmt::Debug for Instrument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instrument")
            .field("idx", &self.idx)
            .field("key", &self.key())
            .field("token", &self.token())
            .finish()
    }
}

impl PartialEq for Instrument<'_> {
    /// Whether they are the same instrument of the same registry.
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.registry, other.registry) && self.idx == other.idx
    }
}

impl Eq for Instrument<'_> {}
