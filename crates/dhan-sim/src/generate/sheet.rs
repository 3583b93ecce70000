//! The file being written, and the formats of its rows.

use core::fmt::{self, Write as _};
use std::collections::BTreeMap;
use std::io;

use jiff::civil::Date;
use strikewire_types::{OptionType, SCALE};

use super::Summary;

const HEADER: &str = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,\
    SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,\
    SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,\
    SEM_SERIES,SM_SYMBOL_NAME";

/// Where rows go: to a writer, or nowhere, when they are only counted.
pub(super) struct Sheet<'w> {
    out: Option<&'w mut dyn io::Write>,
    line: String,
    summary: Summary,
}

/// What an exchange's segment of derivatives writes differently from others.
pub(super) struct Market {
    pub(super) exchange: &'static str,
    pub(super) segment: &'static str,
    /// The time of day of its expiries, the same in every row.
    time: &'static str,
    /// What futures have for a strike and for an option type.
    no_strike: &'static str,
    no_type: &'static str,
    /// Whether trading symbols tell the day of the expiry.
    day_in_symbol: bool,
    /// What the column of the instrument type has for futures and options; the
    /// instrument's name where absent.
    kinds: Option<[&'static str; 2]>,
    /// Between the month and `FUT` of a future's display name.
    future_gap: &'static str,
}

pub(super) const NSE_D: Market = Market {
    exchange: "NSE",
    segment: "D",
    time: "14:30:00",
    no_strike: "-0.01000",
    no_type: "XX",
    day_in_symbol: false,
    kinds: Some(["FUT", "OP"]),
    future_gap: " ",
};
pub(super) const BSE_D: Market = Market {
    exchange: "BSE",
    segment: "D",
    time: "15:30:00",
    no_strike: "0.00000",
    no_type: "",
    day_in_symbol: false,
    kinds: None,
    future_gap: "  ",
};
pub(super) const MCX_M: Market = Market {
    exchange: "MCX",
    segment: "M",
    time: "00:00:00",
    no_strike: "0.00000",
    no_type: "XX",
    day_in_symbol: true,
    kinds: None,
    future_gap: " ",
};
pub(super) const NSE_M: Market = Market {
    exchange: "NSE",
    segment: "M",
    time: "20:00:00",
    ..MCX_M
};
pub(super) const NSE_C: Market = Market {
    segment: "C",
    kinds: Some(["FUT", "CUR OP"]),
    ..NSE_D
};
pub(super) const BSE_C: Market = Market {
    exchange: "BSE",
    segment: "C",
    time: "14:30:00",
    no_strike: "-0.01000",
    no_type: "XX",
    day_in_symbol: true,
    kinds: None,
    future_gap: " ",
};

/// What the contracts of one underlying and expiry have in common.
#[derive(Clone, Copy)]
pub(super) struct Contract<'a> {
    pub(super) market: &'a Market,
    /// `FUTIDX`, `OPTSTK` and so on.
    pub(super) instrument: &'a str,
    pub(super) underlying: &'a str,
    pub(super) expiry: Date,
    pub(super) lot: u32,
    pub(super) tick: &'a str,
    pub(super) flag: char,
    pub(super) series: &'a str,
    pub(super) name: &'a str,
}

/// A row of the cash segments.
#[derive(Clone, Copy)]
pub(super) struct Share<'a> {
    pub(super) id: u32,
    pub(super) symbol: &'a str,
    pub(super) lot: u32,
    pub(super) name: &'a str,
    pub(super) tick: &'a str,
    pub(super) kind: &'a str,
    pub(super) series: &'a str,
    pub(super) registered: &'a str,
}

impl<'w> Sheet<'w> {
    pub(super) fn new(out: Option<&'w mut dyn io::Write>) -> io::Result<Self> {
        let mut sheet = Self {
            out,
            line: String::with_capacity(256),
            summary: Summary {
                rows: 0,
                by_segment: BTreeMap::new(),
                futures: 0,
                options: 0,
            },
        };
        if let Some(out) = &mut sheet.out {
            out.write_all(HEADER.as_bytes())?;
        }
        Ok(sheet)
    }

    pub(super) const fn rows(&self) -> u64 {
        self.summary.rows
    }

    pub(super) fn finish(self) -> Summary {
        self.summary
    }

    /// Counts a row and writes it; like the real file, this one ends without a line
    /// feed.
    fn row(
        &mut self,
        segment: (&'static str, &'static str),
        write: impl FnOnce(&mut String) -> fmt::Result,
    ) -> io::Result<()> {
        self.summary.rows += 1;
        *self.summary.by_segment.entry(segment).or_default() += 1;
        let Some(out) = &mut self.out else {
            return Ok(());
        };
        self.line.clear();
        self.line.push('\n');
        write(&mut self.line).map_err(io::Error::other)?;
        out.write_all(self.line.as_bytes())
    }

    pub(super) fn index(
        &mut self,
        (exchange, id, symbol, name, tick): (&'static str, u32, &str, &str, &str),
    ) -> io::Result<()> {
        self.row((exchange, "I"), |line| {
            write!(
                line,
                "{exchange},I,{id},INDEX,0,{symbol},1.0,{name},0001-01-01,,XX,{tick},,INDEX,X,{symbol}"
            )
        })
    }

    pub(super) fn share(&mut self, exchange: &'static str, share: &Share<'_>) -> io::Result<()> {
        let Share {
            id,
            symbol,
            lot,
            name,
            tick,
            kind,
            series,
            registered,
        } = share;
        self.row((exchange, "E"), |line| {
            write!(
                line,
                "{exchange},E,{id},EQUITY,0,{symbol},{lot}.0,{name},,,,{tick},NA,{kind},{series},{registered}"
            )
        })
    }

    pub(super) fn future(&mut self, id: u32, contract: &Contract<'_>) -> io::Result<()> {
        let market = contract.market;
        self.summary.futures += 1;
        self.row((market.exchange, market.segment), |line| {
            contract.begin(line, id)?;
            write!(line, "FUT,{}.0,{}", contract.lot, contract.underlying)?;
            if contract.flag == 'W' {
                write!(line, " {}", contract.expiry.day())?;
            }
            let month = MONTHS[month_index(contract.expiry)].1;
            write!(line, " {month}{}FUT,", market.future_gap)?;
            contract.end(line, market.no_strike, market.no_type, 0)
        })
    }

    /// `strike` is in units of 1e-4 rupee.
    pub(super) fn option(
        &mut self,
        id: u32,
        contract: &Contract<'_>,
        strike: i64,
        side: OptionType,
    ) -> io::Result<()> {
        let market = contract.market;
        self.summary.options += 1;
        self.row((market.exchange, market.segment), |line| {
            contract.begin(line, id)?;
            let exact = strikewire_types::Strike::from_raw(strike);
            write!(
                line,
                "{exact}-{side},{}.0,{} {:02} {} ",
                contract.lot,
                contract.underlying,
                contract.expiry.day(),
                MONTHS[month_index(contract.expiry)].1
            )?;
            // Display names show whole paise: 312.50.
            let (whole, part) = (strike / SCALE, strike % SCALE);
            if part != 0 && part % 100 == 0 {
                write!(line, "{whole}.{:02}", part / 100)?;
            } else {
                write!(line, "{exact}")?;
            }
            let word = match side {
                OptionType::Call => "CALL",
                OptionType::Put => "PUT",
            };
            write!(line, " {word},")?;
            let column = format_args!("{whole}.{:05}", part * 10).to_string();
            contract.end(line, &column, side.as_str(), 1)
        })
    }
}

impl Contract<'_> {
    /// Up to the trading symbol's expiry.
    fn begin(&self, line: &mut String, id: u32) -> fmt::Result {
        let market = self.market;
        write!(
            line,
            "{},{},{id},{},0,{}-",
            market.exchange, market.segment, self.instrument, self.underlying
        )?;
        if market.day_in_symbol {
            write!(line, "{:02}", self.expiry.day())?;
        }
        let month = MONTHS[month_index(self.expiry)].0;
        write!(line, "{month}{}-", self.expiry.year())
    }

    /// From the expiry on; `kind` is 0 for futures and 1 for options.
    fn end(&self, line: &mut String, strike: &str, side: &str, kind: usize) -> fmt::Result {
        let market = self.market;
        let kind = market.kinds.map_or(self.instrument, |kinds| kinds[kind]);
        write!(
            line,
            "{} {},{strike},{side},{},{},{kind},{},{}",
            self.expiry, market.time, self.tick, self.flag, self.series, self.name
        )
    }
}

const MONTHS: [(&str, &str); 12] = [
    ("Jan", "JAN"),
    ("Feb", "FEB"),
    ("Mar", "MAR"),
    ("Apr", "APR"),
    ("May", "MAY"),
    ("Jun", "JUN"),
    ("Jul", "JUL"),
    ("Aug", "AUG"),
    ("Sep", "SEP"),
    ("Oct", "OCT"),
    ("Nov", "NOV"),
    ("Dec", "DEC"),
];

fn month_index(date: Date) -> usize {
    usize::from(date.month().unsigned_abs()) - 1
}
