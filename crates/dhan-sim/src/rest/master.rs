use core::fmt::Write;

use strikewire_registry::{Instrument, Kind, Registry};
use strikewire_types::{OptionType, SCALE, Segment};

const HEADER: &str = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,\
    SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,\
    SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,\
    SEM_SERIES,SM_SYMBOL_NAME";

/// The instruments of `registry` as a file in the compact layout.
///
/// A registry does not keep all of the file it came from: expiry flags are all monthly,
/// and names that it does not need are missing. What it keeps comes back.
pub(super) fn compact(registry: &Registry) -> String {
    let mut out = String::with_capacity(160 * registry.len());
    out.push_str(HEADER);
    for instrument in registry.instruments() {
        out.push('\n');
        // Writing to a string does not fail.
        let _ = row(&mut out, instrument);
    }
    out
}

fn row(out: &mut String, instrument: Instrument<'_>) -> core::fmt::Result {
    let kind = instrument.kind();
    let segment = match instrument.key().segment {
        Segment::IdxI => "I",
        Segment::NseEq | Segment::BseEq => "E",
        Segment::NseFno | Segment::BseFno => "D",
        Segment::NseCurrency | Segment::BseCurrency => "C",
        Segment::McxComm => "M",
    };
    let symbol = instrument.symbol();
    // The file has no quotes.
    let name = instrument.name().replace(',', " ");
    let (series, lot) = (instrument.series(), instrument.lot_size());
    let id = instrument.key().id.0;
    let exchange = instrument.exchange();
    write!(out, "{exchange},{segment},{id},{kind},0,{symbol}")?;
    let Some(expiry) = instrument.expiry() else {
        let tick = f64::from(instrument.tick().raw());
        return if kind == Kind::Index {
            let tick = tick / SCALE as f64;
            write!(
                out,
                ",{lot}.0,{name},0001-01-01,,XX,{tick:.4},,INDEX,{series},{symbol}"
            )
        } else {
            let tick = tick / 100.0;
            write!(out, ",{lot}.0,{name},,,,{tick:.4},NA,ES,{series},{name}")
        };
    };
    let date = expiry.date();
    let has_day = matches!(
        instrument.key().segment,
        Segment::McxComm | Segment::BseCurrency
    );
    let month = date.strftime(if has_day { "%d%b%Y" } else { "%b%Y" });
    write!(out, "-{month}-")?;
    let (strike, side) = match (instrument.strike(), instrument.option_type()) {
        (Some(strike), Some(side)) => {
            write!(out, "{strike}-{side}")?;
            (format!("{:.5}", strike.as_f64()), side.as_str())
        }
        _ => {
            out.push_str("FUT");
            ("0.00000".to_owned(), "XX")
        }
    };
    let tick = f64::from(instrument.tick().raw()) / 100.0;
    let group = match instrument.option_type() {
        Some(OptionType::Call | OptionType::Put) => "OP",
        None => "FUT",
    };
    write!(
        out,
        ",{lot}.0,{name},{date} 14:30:00,{strike},{side},{tick:.4},M,{group},{series},"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strikewire_registry::LoadOptions;

    use super::*;
    use crate::fixture::{load, registry};

    fn check(before: &Registry, after: &Registry) {
        assert_eq!(after.len(), before.len(), "{:?}", after.report());
        for (before, after) in before.instruments().zip(after.instruments()) {
            let facts = |of: Instrument<'_>| {
                let text = (of.token(), of.symbol().to_owned(), of.series().to_owned());
                let name = of.name().replace(',', " ");
                let terms = (of.expiry(), of.strike(), of.option_type());
                (
                    of.key(),
                    of.kind(),
                    text,
                    name,
                    terms,
                    of.lot_size(),
                    of.tick(),
                )
            };
            assert_eq!(facts(after), facts(before));
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let before = registry();
        check(&before, &load(&compact(&before), "2026-02-09"));
    }

    #[test]
    fn so_is_the_real_one() {
        let Some(folder) = std::env::var_os("STRIKEWIRE_REAL_DATA") else {
            eprintln!("skipped: STRIKEWIRE_REAL_DATA is not set");
            return;
        };
        let path = std::path::Path::new(&folder).join("api-scrip-master.compact.2026-02.csv.gz");
        let options = LoadOptions::new("2026-02-09".parse().unwrap());
        let before = Arc::new(Registry::from_path(&path, &options).unwrap());
        check(&before, &load(&compact(&before), "2026-02-09"));
    }
}
