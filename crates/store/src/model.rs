use jiff::civil::Date;
use strikewire_types::{
    Exchange, Expiry, Mode, OptionType, ParseError, Price, Segment, Strike, Tier, Utc,
};

/// Which of the two lists of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// What users watch: table `watchlist`, unique by user, exchange, symbol, expiry and
    /// instrument type.
    Watchlist,
    /// Explicit subscriptions: table `claims`, unique by the same and the tier.
    Explicit,
}

/// Whether an item holds its instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemState {
    /// It does. `live`.
    Live,
    /// It was evicted and waits to be asked for again. `evicted`.
    Evicted,
}

impl ItemState {
    /// `live` or `evicted`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Evicted => "evicted",
        }
    }
}

impl std::str::FromStr for ItemState {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        [Self::Live, Self::Evicted]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| ParseError::new(text, "a state: live or evicted"))
    }
}

/// One item of a list, everything that recovery needs of it.
///
/// Times are kept to the microsecond. Dates before the year 1 are kept as 0001-01-01
/// and the character NUL in texts as U+FFFD, because PostgreSQL has neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The order of adding, unique over both lists and never given twice.
    pub id: u64,
    /// The list it is on.
    pub list: List,
    /// Whose it is.
    pub user: u64,
    /// The underlying's symbol.
    pub symbol: Box<str>,
    /// The exchange.
    pub exchange: Exchange,
    /// The expiry; absent for equities.
    pub expiry: Option<Expiry>,
    /// The instrument type in the words of the API, `STOCK_OPTION`.
    pub instrument_type: Box<str>,
    /// How many strikes; absent where there are none.
    pub width: Option<u16>,
    /// How much of each instrument.
    pub mode: Mode,
    /// Whether the window follows the price.
    pub follow: bool,
    /// The tier.
    pub tier: Tier,
    /// When it was added.
    pub added_at: Utc,
    /// The trading day of its class that it belongs to.
    pub trading_day: Date,
    /// When it was last used.
    pub last_used_at: Utc,
    /// Grows with every use of any item: the order of use.
    pub used: u64,
    /// Whether it holds its instruments.
    pub state: ItemState,
    /// The price of the underlying at which its window was last calculated; absent when
    /// it never was.
    pub anchor: Option<Price>,
    /// Whether that price was live.
    pub settled: bool,
}

/// A change that must be durable before anybody is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Inserts the item, in place of the one with its id and of the one with its key.
    Put(Box<Item>),
    /// Removes an item; nothing when it is not there.
    Remove {
        /// The list it is on.
        list: List,
        /// Its id.
        id: u64,
    },
    /// Changes an item's state; nothing when it is not there.
    State {
        /// The list it is on.
        list: List,
        /// Its id.
        id: u64,
        /// The new state.
        state: ItemState,
    },
    /// An end of day: its removals and its marker, always in one transaction.
    EndOfDay {
        /// The class of products.
        class: &'static str,
        /// The trading day that ends.
        day: Date,
        /// When it ran.
        at: Utc,
        /// What it clears.
        removed: Vec<(List, u64)>,
    },
}

/// A use of an item, written behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The list the item is on.
    pub list: List,
    /// Its id.
    pub id: u64,
    /// Its place in the order of use, [`Item::used`].
    pub used: u64,
    /// When.
    pub at: Utc,
    /// As [`Item::anchor`].
    pub anchor: Option<Price>,
    /// As [`Item::settled`].
    pub settled: bool,
}

/// A row of the projection `subscriptions`: an instrument that is or was desired.
///
/// A row with `active` false stays, inactive, until its `subscribed_at` is older than
/// the retention. When a writer starts, every row it finds is made inactive: what is
/// desired now is told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// The instrument's token, the key of the row.
    pub token: Box<str>,
    /// The segment.
    pub segment: Segment,
    /// The security id inside the segment.
    pub security_id: u32,
    /// The underlying's symbol.
    pub symbol: Box<str>,
    /// The exchange.
    pub exchange: Exchange,
    /// The expiry; absent for equities and indices.
    pub expiry: Option<Expiry>,
    /// The strike; absent but for options.
    pub strike: Option<Strike>,
    /// Call or put; absent but for options.
    pub option_type: Option<OptionType>,
    /// The highest tier that holds it.
    pub tier: Tier,
    /// The highest mode that anybody asked for.
    pub mode: Mode,
    /// Since when it is desired.
    pub subscribed_at: Utc,
    /// The connection that carries it, counted from 1; absent when none does.
    pub conn: Option<u8>,
    /// Whether it is desired.
    pub active: bool,
}

/// A row of the projection `atm_cache`: the window of a chain. Its key is underlying,
/// exchange, expiry and width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtmRow {
    /// The underlying's symbol.
    pub underlying: Box<str>,
    /// The exchange.
    pub exchange: Exchange,
    /// The expiry.
    pub expiry: Expiry,
    /// How many strikes were asked for.
    pub width: u16,
    /// The price the window was calculated at.
    pub ltp: Price,
    /// The strike at the money.
    pub atm: Strike,
    /// The distance of strikes around the money; absent when there is only one.
    pub step: Option<Strike>,
    /// When it was calculated.
    pub at: Utc,
    /// The strikes of the window, ascending.
    pub strikes: Vec<Strike>,
}

/// The place of a change in the order in which the recorder was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

/// What the writer says about changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every change up to here is durable, but for the asks that were reported
    /// [`Failed`](Self::Failed) before.
    Durable(Seq),
    /// Every ask after the last durable one up to here was not kept. When the connection
    /// was lost in the middle of a commit that is an assumption: the owner puts right
    /// what it let go of by a later `must`.
    Failed {
        /// The last change this is about.
        up_to: Seq,
        /// Why.
        reason: String,
    },
    /// The database cannot be written: asks fail at once until it is up. Said once, after
    /// the first failure.
    Down {
        /// Why.
        reason: String,
    },
    /// The database can be written again, and every `must` up to now has been.
    Up,
}

/// What a database knew when it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The items of both lists, the least recently used first.
    pub items: Vec<Item>,
    /// Of each class the latest day whose end of day has run.
    pub ended: Vec<(String, Date)>,
    /// The largest id ever given, also to items removed since; 0 when none was.
    pub last_item: u64,
    /// Tokens that were desired when the projection was last written. They bring nothing
    /// back: what is not held any more is let go of in the audit.
    pub subscribed: Vec<Box<str>>,
}
