//! Registries with one ladder of any strikes.

use strikewire_registry::{Ladder, LoadOptions, Registry};
use strikewire_types::Price;

const HEADER: &str = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME\n\
NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD\n";

/// The legs of a strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Legs {
    Both,
    Call,
    Put,
}

/// A registry with one ladder; strikes in paise.
pub(crate) fn registry(strikes: &[(u32, Legs)]) -> Registry {
    let mut master = HEADER.to_owned();
    for (i, (paise, legs)) in strikes.iter().enumerate() {
        let strike = format!("{}.{:02}", paise / 100, paise % 100);
        for (leg, id, missing) in [("CE", 2 * i, Legs::Put), ("PE", 2 * i + 1, Legs::Call)] {
            if *legs != missing {
                master += &format!(
                    "NSE,D,{id},OPTSTK,0,RELIANCE-Feb2026-{strike}-{leg},500.0,,2026-02-24 14:30:00,{strike},{leg},5.0000,M,OP,,\n"
                );
            }
        }
    }
    let options = LoadOptions::new("2026-02-09".parse().unwrap());
    Registry::from_reader(master.as_bytes(), &options).unwrap()
}

/// An even ladder with both legs on every strike, in rupees.
pub(crate) fn even(strikes: impl IntoIterator<Item = u32>) -> Registry {
    let strikes: Vec<_> = strikes
        .into_iter()
        .map(|rupees| (rupees * 100, Legs::Both))
        .collect();
    registry(&strikes)
}

pub(crate) fn ladder(registry: &Registry) -> Ladder<'_> {
    registry.ladders().next().unwrap()
}

pub(crate) fn price(text: &str) -> Price {
    text.parse().unwrap()
}
