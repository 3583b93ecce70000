use csv::ByteRecord;
use jiff::civil::Date;
use strikewire_types::{
    Exchange, Expiry, InstrumentKey, OptionType, Price, PriceStep, Segment, Strike,
};

use super::symbol::{self, digits};
use super::{Decoded, Draft, Reject, Terms};
use crate::{Error, Kind, SkipReason};

/// The columns that are read; the other three of the layout say nothing reliable.
#[derive(Clone, Copy)]
enum Column {
    Exchange,
    Segment,
    SecurityId,
    Instrument,
    TradingSymbol,
    Lot,
    CustomSymbol,
    Expiry,
    Strike,
    OptionType,
    Tick,
    Series,
    SymbolName,
}

const NAMES: [&str; 13] = [
    "SEM_EXM_EXCH_ID",
    "SEM_SEGMENT",
    "SEM_SMST_SECURITY_ID",
    "SEM_INSTRUMENT_NAME",
    "SEM_TRADING_SYMBOL",
    "SEM_LOT_UNITS",
    "SEM_CUSTOM_SYMBOL",
    "SEM_EXPIRY_DATE",
    "SEM_STRIKE_PRICE",
    "SEM_OPTION_TYPE",
    "SEM_TICK_SIZE",
    "SEM_SERIES",
    "SM_SYMBOL_NAME",
];

impl Column {
    const fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// Where each column is.
pub(super) struct Columns {
    at: [usize; NAMES.len()],
    /// Fields a record needs at least.
    fields: usize,
}

impl Columns {
    /// None when the header is no compact master's at all.
    pub(super) fn of(header: &[String]) -> Result<Option<Self>, Error> {
        let find = |wanted: &str| {
            header
                .iter()
                .position(|name| name.eq_ignore_ascii_case(wanted))
        };
        let mut at = [0; NAMES.len()];
        let mut missing = Vec::new();
        for (name, at) in NAMES.into_iter().zip(&mut at) {
            match find(name) {
                Some(position) => *at = position,
                None => missing.push(name),
            }
        }
        if missing.len() > NAMES.len() / 2 {
            Ok(None)
        } else if missing.is_empty() {
            let fields = at.iter().max().map_or(0, |last| last + 1);
            Ok(Some(Self { at, fields }))
        } else {
            Err(Error::MissingColumns { missing })
        }
    }

    fn text<'r>(&self, record: &'r ByteRecord, column: Column) -> Result<&'r str, Reject> {
        let bytes = record.get(self.at[column as usize]).unwrap_or_default();
        match str::from_utf8(bytes) {
            Ok(text) => Ok(text.trim()),
            Err(_) => Err(reject(column, "not UTF-8".to_owned())),
        }
    }

    pub(super) fn decode<'r>(
        &self,
        record: &'r ByteRecord,
        as_of: Date,
    ) -> Result<Decoded<'r>, Reject> {
        if record.len() < self.fields {
            let reason = format!(
                "the row has {} fields; expected at least {}",
                record.len(),
                self.fields
            );
            return Err(reject(Column::Exchange, reason));
        }
        let exchange = self.text(record, Column::Exchange)?;
        let segment = self.text(record, Column::Segment)?;
        let Some((exchange, segment)) = segment_of(exchange, segment)? else {
            return Ok(Decoded::Skip(SkipReason::SegmentNotInFeed));
        };
        let trading_symbol = self.text(record, Column::TradingSymbol)?;
        if trading_symbol.contains("NSETEST") {
            return Ok(Decoded::Skip(SkipReason::TestInstrument));
        }
        if trading_symbol.is_empty()
            || trading_symbol.contains(|c: char| c == ':' || c.is_control())
        {
            let reason = format!(
                "`{trading_symbol}` is no symbol: empty, or with a colon or control character"
            );
            return Err(reject(Column::TradingSymbol, reason));
        }
        let id = self.text(record, Column::SecurityId)?;
        let Some(id) = integer(id) else {
            return Err(expected(
                Column::SecurityId,
                id,
                "an integer from 0 to 4294967295",
            ));
        };
        let key = InstrumentKey::new(segment, id);
        let instrument = self.text(record, Column::Instrument)?;
        let kind = instrument
            .parse::<Kind>()
            .ok()
            .filter(|kind| fits(*kind, segment));
        let Some(kind) = kind else {
            let reason = format!("`{instrument}` is not a kind of instrument of segment {segment}");
            return Err(reject(Column::Instrument, reason));
        };
        let lot = self.lot(record, kind)?;
        let tick = self.tick(record, kind)?;
        let series = self.text(record, Column::Series)?;
        let custom = self.text(record, Column::CustomSymbol)?;
        let draft = |symbol, name, terms| {
            Decoded::Row(Draft {
                key,
                exchange,
                kind,
                symbol,
                name,
                series,
                lot,
                tick,
                terms,
            })
        };
        if !kind.is_derivative() {
            // An index repeats its symbol in the other column.
            let name = if kind == Kind::Index {
                custom
            } else {
                self.text(record, Column::SymbolName)?
            };
            let name = if name.is_empty() {
                trading_symbol
            } else {
                name
            };
            return Ok(draft(trading_symbol, name, Terms::Cash));
        }
        let expiry = self.expiry(record)?;
        if expiry.date() < as_of {
            return Ok(Decoded::Skip(SkipReason::Expired));
        }
        let Some(parts) = symbol::split(trading_symbol) else {
            let wanted = "UNDERLYING-[dd]MonYYYY-STRIKE-CE|PE or UNDERLYING-[dd]MonYYYY-FUT";
            return Err(expected(Column::TradingSymbol, trading_symbol, wanted));
        };
        let disagrees = |column: Column, text: &dyn core::fmt::Display| {
            let reason = format!(
                "`{trading_symbol}` does not agree with {} {text}",
                column.name()
            );
            reject(Column::TradingSymbol, reason)
        };
        let date = expiry.date();
        if (parts.year, parts.month) != (date.year(), date.month())
            || parts.day.is_some_and(|day| day != date.day())
        {
            return Err(disagrees(Column::Expiry, &date));
        }
        if !kind.is_option() {
            if parts.option.is_some() {
                return Err(disagrees(Column::Instrument, &instrument));
            }
            return Ok(draft(parts.underlying, custom, Terms::Future(expiry)));
        }
        let (strike, option_type) = self.option(record)?;
        let Some((symbol_strike, symbol_type)) = parts.option else {
            return Err(disagrees(Column::Instrument, &instrument));
        };
        if symbol_strike.parse() != Ok(strike) {
            return Err(disagrees(Column::Strike, &strike));
        }
        if symbol_type != option_type {
            return Err(disagrees(Column::OptionType, &option_type));
        }
        Ok(draft(
            parts.underlying,
            custom,
            Terms::Option(expiry, strike, option_type),
        ))
    }

    /// `YYYY-MM-DD HH:MM:SS`, of which only the date means anything.
    fn expiry(&self, record: &ByteRecord) -> Result<Expiry, Reject> {
        let text = self.text(record, Column::Expiry)?;
        date(text)
            .map(Expiry::new)
            .ok_or_else(|| expected(Column::Expiry, text, "YYYY-MM-DD HH:MM:SS"))
    }

    fn option(&self, record: &ByteRecord) -> Result<(Strike, OptionType), Reject> {
        let text = self.text(record, Column::Strike)?;
        let strike = text
            .parse::<Strike>()
            .ok()
            .filter(|strike| strike.raw() > 0)
            .ok_or_else(|| expected(Column::Strike, text, "a strike above 0 for an option"))?;
        let option_type = match self.text(record, Column::OptionType)? {
            "CE" => OptionType::Call,
            "PE" => OptionType::Put,
            other => {
                return Err(expected(
                    Column::OptionType,
                    other,
                    "CE or PE for an option",
                ));
            }
        };
        Ok((strike, option_type))
    }

    /// The broker's order unit, `65.0`. A cash row may lack one, which means 1.
    fn lot(&self, record: &ByteRecord, kind: Kind) -> Result<u32, Reject> {
        let text = self.text(record, Column::Lot)?;
        if text.is_empty() && !kind.is_derivative() {
            return Ok(1);
        }
        let whole = text.split_once('.').map_or(text, |(whole, zeros)| {
            if zeros.bytes().all(|byte| byte == b'0') {
                whole
            } else {
                text
            }
        });
        integer(whole)
            // The file also has lots such as 1.0E7.
            .or_else(|| {
                let lot: f64 = text.parse().ok()?;
                let is_whole = lot.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&lot);
                is_whole.then_some(lot as u32)
            })
            .filter(|lot| *lot > 0)
            .ok_or_else(|| expected(Column::Lot, text, "a whole number above 0"))
    }

    /// The tick size: rupees for an index, paise for everything else.
    fn tick(&self, record: &ByteRecord, kind: Kind) -> Result<PriceStep, Reject> {
        let text = self.text(record, Column::Tick)?;
        if text.is_empty() {
            return Ok(PriceStep::from_raw(0));
        }
        let divisor = if kind == Kind::Index { 1 } else { 100 };
        text.parse::<Price>()
            .ok()
            .filter(|tick| tick.raw() % divisor == 0)
            .and_then(|tick| u32::try_from(tick.raw() / divisor).ok())
            .map(PriceStep::from_raw)
            .ok_or_else(|| expected(Column::Tick, text, "a tick size in steps of 0.0001 rupees"))
    }
}

/// The segment of the feed for a pair of columns; none for a pair that looks like
/// one but is not in the feed.
fn segment_of(exchange: &str, segment: &str) -> Result<Option<(Exchange, Segment)>, Reject> {
    Ok(Some(match (exchange, segment) {
        ("NSE", "I") => (Exchange::Nse, Segment::IdxI),
        ("NSE", "E") => (Exchange::Nse, Segment::NseEq),
        ("NSE", "D") => (Exchange::Nse, Segment::NseFno),
        ("NSE", "C") => (Exchange::Nse, Segment::NseCurrency),
        ("BSE", "I") => (Exchange::Bse, Segment::IdxI),
        ("BSE", "E") => (Exchange::Bse, Segment::BseEq),
        ("BSE", "D") => (Exchange::Bse, Segment::BseFno),
        ("BSE", "C") => (Exchange::Bse, Segment::BseCurrency),
        ("MCX", "M") => (Exchange::Mcx, Segment::McxComm),
        _ => {
            let is_word = |text: &str, len| {
                (1..=len).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_uppercase())
            };
            if !is_word(exchange, 8) {
                return Err(expected(
                    Column::Exchange,
                    exchange,
                    "an exchange such as NSE, BSE or MCX",
                ));
            }
            if !is_word(segment, 1) {
                return Err(expected(
                    Column::Segment,
                    segment,
                    "a segment: one of I, E, D, C, M",
                ));
            }
            return Ok(None);
        }
    }))
}

fn fits(kind: Kind, segment: Segment) -> bool {
    match segment {
        Segment::IdxI => kind == Kind::Index,
        Segment::NseEq | Segment::BseEq => kind == Kind::Equity,
        Segment::NseFno | Segment::BseFno => matches!(
            kind,
            Kind::FutureIndex | Kind::FutureStock | Kind::OptionIndex | Kind::OptionStock
        ),
        Segment::NseCurrency | Segment::BseCurrency => {
            matches!(kind, Kind::FutureCurrency | Kind::OptionCurrency)
        }
        // MCX has futures and options on its own indices too.
        Segment::McxComm => matches!(
            kind,
            Kind::FutureCommodity | Kind::OptionCommodity | Kind::FutureIndex | Kind::OptionIndex
        ),
    }
}

fn integer(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

fn date(text: &str) -> Option<Date> {
    let text = text.as_bytes();
    let (date, rest) = text.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' || !matches!(rest.first(), None | Some(b' ' | b'T')) {
        return None;
    }
    let (year, month, day) = (
        digits(&date[..4])?,
        digits(&date[5..7])?,
        digits(&date[8..])?,
    );
    Date::new(year as i16, month as i8, day as i8).ok()
}

fn reject(column: Column, reason: String) -> Reject {
    Reject {
        field: column.name(),
        reason,
    }
}

fn expected(column: Column, text: &str, wanted: &str) -> Reject {
    let text: String = text.chars().take(64).collect();
    reject(column, format!("`{text}` is not {wanted}"))
}
