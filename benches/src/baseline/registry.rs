//! A master as structs of strings in two maps.

use std::collections::HashMap;

use jiff::civil::Date;
use serde::Deserialize;
use strikewire_registry::Registry;
use strikewire_types::Exchange;

/// One row, as text.
#[derive(Debug, Clone, Deserialize)]
pub struct Row {
    /// `NSE`, `BSE` or `MCX`.
    #[serde(rename = "SEM_EXM_EXCH_ID")]
    pub exchange: String,
    /// `I`, `E`, `D`, `C` or `M`.
    #[serde(rename = "SEM_SEGMENT")]
    pub segment: String,
    /// The broker's id.
    #[serde(rename = "SEM_SMST_SECURITY_ID")]
    pub security_id: String,
    /// `OPTSTK` and others.
    #[serde(rename = "SEM_INSTRUMENT_NAME")]
    pub instrument: String,
    /// `RELIANCE-Feb2026-1440-CE`.
    #[serde(rename = "SEM_TRADING_SYMBOL")]
    pub trading_symbol: String,
    /// The order unit.
    #[serde(rename = "SEM_LOT_UNITS")]
    pub lot: String,
    /// A name for people.
    #[serde(rename = "SEM_CUSTOM_SYMBOL")]
    pub custom_symbol: String,
    /// Date and time.
    #[serde(rename = "SEM_EXPIRY_DATE")]
    pub expiry: String,
    /// In rupees.
    #[serde(rename = "SEM_STRIKE_PRICE")]
    pub strike: String,
    /// `CE` or `PE`.
    #[serde(rename = "SEM_OPTION_TYPE")]
    pub option_type: String,
    /// In paise.
    #[serde(rename = "SEM_TICK_SIZE")]
    pub tick: String,
    /// `EQ` and others.
    #[serde(rename = "SEM_SERIES")]
    pub series: String,
    /// The company.
    #[serde(rename = "SM_SYMBOL_NAME")]
    pub symbol_name: String,
}

/// Rows by segment and id, and ids by trading symbol.
#[derive(Debug, Default)]
pub struct Plain {
    /// By the number of the segment and the id.
    pub by_key: HashMap<(u8, u32), Row>,
    /// By trading symbol; of several rows with one, the last.
    pub by_symbol: HashMap<String, (u8, u32)>,
}

/// Reads a master of today: no checks, no ladders.
///
/// # Errors
///
/// When a row has no such columns.
pub fn load(csv: &[u8]) -> Result<Plain, csv::Error> {
    let mut plain = Plain::default();
    for row in csv::Reader::from_reader(csv).into_deserialize() {
        let row: Row = row?;
        let segment = match (&*row.exchange, &*row.segment) {
            (_, "I") => 0,
            ("NSE", "E") => 1,
            ("NSE", "D") => 2,
            ("NSE", "C") => 3,
            ("BSE", "E") => 4,
            ("MCX", "M") => 5,
            ("BSE", "C") => 7,
            ("BSE", "D") => 8,
            _ => continue,
        };
        let Ok(id) = row.security_id.parse() else {
            continue;
        };
        plain
            .by_symbol
            .insert(row.trading_symbol.clone(), (segment, id));
        plain.by_key.insert((segment, id), row);
    }
    Ok(plain)
}

/// Goes over the records and reads one number of each, keeping nothing: what any reader
/// of the file has to do. How many there are.
///
/// # Errors
///
/// When the file is no CSV.
pub fn scan(csv: &[u8]) -> Result<u64, csv::Error> {
    let mut reader = csv::Reader::from_reader(csv);
    let mut record = csv::ByteRecord::new();
    let mut ids = 0;
    while reader.read_byte_record(&mut record)? {
        let id = record.get(2).and_then(|id| str::from_utf8(id).ok());
        ids += u64::from(id.is_some_and(|id| id.parse::<u32>().is_ok()));
    }
    Ok(ids)
}

/// Keys by token.
#[must_use]
pub fn by_token(registry: &Registry) -> HashMap<String, (u8, u32)> {
    registry
        .instruments()
        .map(|instrument| {
            let key = instrument.key();
            (instrument.token(), (key.segment.code(), key.id.0))
        })
        .collect()
}

/// Strikes in rupees by exchange, symbol and expiry.
pub type Ladders = HashMap<Exchange, HashMap<String, HashMap<Date, Vec<f64>>>>;

/// The strikes of every chain.
#[must_use]
pub fn ladders(registry: &Registry) -> Ladders {
    let mut ladders = Ladders::new();
    for ladder in registry.ladders() {
        let strikes = ladder.rungs().iter().map(|rung| rung.strike.as_f64());
        ladders
            .entry(ladder.exchange())
            .or_default()
            .entry(ladder.symbol().to_owned())
            .or_default()
            .entry(ladder.expiry().date())
            .or_default()
            .extend(strikes);
    }
    ladders
}
