use core::fmt;
use core::str::FromStr;

use serde::Serialize;
use strikewire_chain::Width;
use strikewire_registry::{Expiring, Kind, LadderId, Registry};
use strikewire_store::List;
use strikewire_types::{Exchange, Expiry, InstrumentKey, Mode, ParseError, Tier, Utc};

/// What kind of thing an item of a watchlist is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstrumentType {
    /// One equity.
    Equity,
    /// An option chain on an equity.
    StockOption,
    /// An option chain on an index.
    IndexOption,
    /// An option chain on a commodity future.
    CommodityOption,
    /// An option chain on a currency pair.
    CurrencyOption,
    /// One future.
    Future,
}

impl InstrumentType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::Equity,
        Self::StockOption,
        Self::IndexOption,
        Self::CommodityOption,
        Self::CurrencyOption,
        Self::Future,
    ];

    /// `STOCK_OPTION` and so on.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equity => "EQUITY",
            Self::StockOption => "STOCK_OPTION",
            Self::IndexOption => "INDEX_OPTION",
            Self::CommodityOption => "COMMODITY_OPTION",
            Self::CurrencyOption => "CURRENCY_OPTION",
            Self::Future => "FUTURE",
        }
    }

    /// The kind of the chain's contracts; none for an equity and a future.
    #[must_use]
    pub const fn option_kind(self) -> Option<Kind> {
        match self {
            Self::StockOption => Some(Kind::OptionStock),
            Self::IndexOption => Some(Kind::OptionIndex),
            Self::CommodityOption => Some(Kind::OptionCommodity),
            Self::CurrencyOption => Some(Kind::OptionCurrency),
            Self::Equity | Self::Future => None,
        }
    }

    /// The type of a chain whose contracts are of `kind`.
    #[must_use]
    pub const fn of_options(kind: Kind) -> Self {
        match kind {
            Kind::OptionIndex => Self::IndexOption,
            Kind::OptionCommodity => Self::CommodityOption,
            Kind::OptionCurrency => Self::CurrencyOption,
            _ => Self::StockOption,
        }
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for InstrumentType {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("What kind of thing an item of a watchlist is."))
            .enum_values(Some(Self::ALL.map(Self::as_str)))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for InstrumentType {}

impl fmt::Display for InstrumentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for InstrumentType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                ParseError::new(
                    text,
                    "an instrument type: EQUITY, STOCK_OPTION, INDEX_OPTION, COMMODITY_OPTION, \
                     CURRENCY_OPTION or FUTURE",
                )
            })
    }
}

impl Serialize for InstrumentType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ItemState {
    /// Its claim is held.
    Live,
    /// Its claim is held where the caller's price put it; the first live price corrects
    /// that.
    PendingPrice,
    /// Its claim went to make room for another.
    Evicted,
}

/// Tells the items of one list and user apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ItemKey {
    pub(crate) user: u64,
    pub(crate) list: List,
    pub(crate) symbol: Box<str>,
    pub(crate) exchange: Exchange,
    pub(crate) instrument_type: InstrumentType,
    pub(crate) expiry: Option<Expiry>,
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.exchange, self.instrument_type, self.symbol
        )?;
        if let Some(expiry) = self.expiry {
            write!(f, " {expiry}")?;
        }
        Ok(())
    }
}

/// What an item holds, resolved against the instrument master of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// A window of an option ladder.
    Chain { ladder: LadderId, width: Width },
    /// One instrument.
    Single { key: InstrumentKey },
}

impl Holding {
    /// When its contracts expire, and whose they are; none where nothing expires.
    pub(crate) fn expiring(self, registry: &Registry) -> Option<Expiring<'_>> {
        match self {
            Self::Chain { ladder, .. } => Some(registry.ladder_at(ladder).expiring()),
            Self::Single { key } => registry.by_key(key)?.expiring(),
        }
    }
}

/// What an item was asked to be.
#[derive(Debug, Clone)]
pub(crate) struct ItemSpec {
    pub(crate) key: ItemKey,
    pub(crate) holding: Holding,
    pub(crate) mode: Mode,
    pub(crate) follow: bool,
    pub(crate) tier: Tier,
}

impl ItemSpec {
    pub(crate) fn width(&self) -> Option<u16> {
        match self.holding {
            Holding::Chain { width, .. } => Some(width.get()),
            Holding::Single { .. } => None,
        }
    }

    /// The settings that a repeated request must not change.
    pub(crate) fn settings(&self) -> String {
        match self.width() {
            Some(width) => format!(
                "width {width}, mode {}, follow {}, {}",
                self.mode, self.follow, self.tier
            ),
            None => format!("mode {}, {}", self.mode, self.tier),
        }
    }
}

/// An item as its user sees it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemView {
    /// The underlying's symbol, or the instrument's own.
    pub symbol: String,
    /// The exchange.
    pub exchange: Exchange,
    /// Absent for an equity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Expiry>,
    /// What kind of thing it is.
    pub instrument_type: InstrumentType,
    /// Strikes asked for; absent for a single instrument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
    /// How much of each instrument.
    pub mode: Mode,
    /// Whether the window follows the price.
    pub follow: bool,
    /// When it was added.
    pub added_at: Utc,
    /// Counts additions; a later one has a larger number.
    pub added_order: u64,
    /// The trading day whose end clears it, as `2026-02-09`.
    pub trading_day: String,
    /// Option contracts held; 0 for a single instrument.
    pub strikes_subscribed: usize,
    /// Where it stands.
    pub state: ItemState,
}

/// Which items of a user a request means.
#[derive(Debug, Clone)]
pub struct ItemFilter {
    /// The symbol, in any case; an index alias is understood.
    pub symbol: String,
    /// Absent: any exchange.
    pub exchange: Option<Exchange>,
    /// Absent: any expiry.
    pub expiry: Option<Expiry>,
    /// Absent: any type.
    pub instrument_type: Option<InstrumentType>,
}

impl fmt::Display for ItemFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.symbol)?;
        if let Some(expiry) = self.expiry {
            write!(f, " {expiry}")?;
        }
        if let Some(exchange) = self.exchange {
            write!(f, " on {exchange}")?;
        }
        if let Some(instrument_type) = self.instrument_type {
            write!(f, " as {instrument_type}")?;
        }
        Ok(())
    }
}

impl ItemFilter {
    pub(crate) fn matches(&self, registry: &Registry, key: &ItemKey) -> bool {
        (key.symbol.eq_ignore_ascii_case(&self.symbol)
            || registry.canonical_symbol(&self.symbol) == Some(&key.symbol))
            && self
                .exchange
                .is_none_or(|exchange| exchange == key.exchange)
            && self.expiry.is_none_or(|expiry| Some(expiry) == key.expiry)
            && self
                .instrument_type
                .is_none_or(|instrument_type| instrument_type == key.instrument_type)
    }
}
