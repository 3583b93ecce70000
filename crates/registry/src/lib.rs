//! The instrument master: every listed instrument of one day, found by key, token,
//! symbol, underlying or search, and the option ladders.
//!
//! [`Registry`] loads Dhan's compact master (`.csv` or `.csv.gz`) once a day and is
//! immutable from then on. An [`Instrument`] and a [`Ladder`] are views into it;
//! [`InstrumentIdx`] and [`LadderId`] name them inside one registry. Nothing about a
//! contract may be kept by its id for another day: brokers give ids to other
//! contracts and move expiries.
//!
//! ```
//! use strikewire_registry::{ChainQuery, LoadOptions, Registry};
//! use strikewire_types::{InstrumentKey, Segment, Strike};
//!
//! let master = "\
//! SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME
//! NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD
//! NSE,D,52301,OPTSTK,0,RELIANCE-Feb2026-1440-CE,500.0,RELIANCE 24 FEB 1440 CALL,2026-02-24 14:30:00,1440.00000,CE,5.0000,M,OP,,
//! NSE,D,52302,OPTSTK,0,RELIANCE-Feb2026-1440-PE,500.0,RELIANCE 24 FEB 1440 PUT,2026-02-24 14:30:00,1440.00000,PE,5.0000,M,OP,,
//! ";
//! let options = LoadOptions::new("2026-02-09".parse()?);
//! let registry = Registry::from_reader(master.as_bytes(), &options)?;
//! assert_eq!(registry.report().loaded, 3);
//!
//! let call = registry.find("reliance_24feb_1440ce")?.instrument;
//! assert_eq!(call.key(), InstrumentKey::new(Segment::NseFno, 52301));
//! assert_eq!(call.token(), "RELIANCE_24FEB2026_1440CE");
//! assert_eq!(call.underlying().map(|stock| stock.token()).as_deref(), Some("RELIANCE"));
//!
//! let query = ChainQuery { symbol: "RELIANCE", kind: None, exchange: None, expiry: None };
//! let ladder = registry.resolve_chain(&query)?.ladder;
//! assert_eq!(ladder.rungs()[0].strike, Strike::from_rupees(1440));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rows
//!
//! A row is loaded, skipped for a [`SkipReason`] or rejected with line, column and
//! reason; [`LoadReport`] counts them. Columns are found by name, in any order and
//! among others. Expiries count by their date alone, tick sizes are paise except for
//! indices, and the trading symbol of a derivative must agree with its expiry,
//! strike and type. Of two rows with one key the first is kept.
//!
//! # References
//!
//! [`Registry::find`] takes `SEGMENT:ID` (`NSE_FNO:35060`) or a token. Tokens are
//! `RELIANCE_24FEB2026_1440CE`, `GOLD_02APR2026_FUT`, the bare symbol of an index or
//! equity, and `SYMBOL-SERIES` for an equity of NSE in another series than EQ. BSE's
//! equities, and its derivatives on stocks and currencies, carry `BSE:`. Where such a
//! token would not find its own instrument (an index with an equity's symbol, a
//! symbol listed twice, one contract under two ids) the token is `SEGMENT:ID`. On
//! input any exchange may be named or left out, the case does not matter, and the
//! year of an expiry may be left out.
//!
//! Where no exchange is named it is the first of NSE, BSE and MCX that lists such
//! contracts and, if an expiry is named, that expiry.
//!
//! An expiry that is not named is the nearest one listed. On the evening of its last
//! day that is one that trades no more: [`Registry::current`] gives the same look-ups
//! without what has ended, as far as the caller's calendar knows.
//!
//! # From day to day
//!
//! A new registry takes over from an old one by contract: [`Registry::successor`] and
//! [`Registry::successor_ladder`] say what became of what somebody holds,
//! [`Registry::repointed`] which ids mean something else now, and [`Registry::diff`]
//! all that changed.
//!
//! # Aliases
//!
//! An index goes by several names: the master lists some indices and the contracts
//! on them under different symbols. Each line is one index. An alias never hides a
//! listed symbol.
//!
//! | contracts | other names |
//! |---|---|
//! | `NIFTY` | `NIFTY 50`, `NIFTY50` |
//! | `BANKNIFTY` | `NIFTY BANK`, `NIFTYBANK`, `BANK NIFTY` |
//! | `FINNIFTY` | `NIFTY FIN SERVICE`, `NIFTY FINANCIAL SERVICES`, `FIN NIFTY` |
//! | `MIDCPNIFTY` | `NIFTY MID SELECT`, `NIFTY MIDCAP SELECT`, `MIDCAPNIFTY` |
//! | `NIFTYNXT50` | `NIFTY NEXT 50` (the index), `NIFTYNEXT50` |
//! | `SENSEX` | `BSE SENSEX`, `S&P BSE SENSEX` |
//! | `BANKEX` | `BSE BANKEX`, `S&P BSE BANKEX` |
//! | `SENSEX50` | `SNSX50` (the index), `SENSEX 50`, `BSE SENSEX 50` |

mod alias;
mod build;
mod diff;
mod error;
mod expiring;
mod instrument;
mod kind;
mod ladder;
mod load;
mod lookup;
mod pages;
mod reference;
mod registry;
mod report;
mod search;
mod similar;
mod succession;
mod symbols;
mod tokens;

pub use diff::{Change, Diff};
pub use error::{Error, LookupError};
pub use expiring::Expiring;
pub use instrument::{Instrument, InstrumentIdx};
pub use kind::Kind;
pub use ladder::{Ladder, LadderId, Rung};
pub use load::LoadOptions;
pub use lookup::{ChainQuery, Current, Found, OtherExchange, ResolvedChain};
pub use registry::Registry;
pub use report::{LoadReport, Rejection, SkipReason};
pub use search::{Hit, SearchFilter};
pub use succession::Succession;
