//! A master of a few dozen rows, as Dhan writes them, and means to vary it.

use strikewire_registry::{Error, LoadOptions, Registry};

pub(crate) const HEADER: &str = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME";

/// Cash, futures and oddities. Options come from [`chain`].
pub(crate) const ROWS: &str = "\
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,I,25,INDEX,0,BANKNIFTY,1.0,Nifty Bank,0001-01-01,,XX,0.0500,,INDEX,X,BANKNIFTY
NSE,I,38,INDEX,0,NIFTY NEXT 50,1.0,Nifty Next 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY NEXT 50
NSE,I,826,INDEX,0,Nifty Shariah 25,1.0,Nifty Shariah 25,0001-01-01,,XX,0.0500,,INDEX,X,Nifty Shariah 25
NSE,I,5024,INDEX,0,GIFTNIFTY,1.0,Gift Nifty,0001-01-01,,XX,0.0000,,INDEX,X,GIFTNIFTY
BSE,I,51,INDEX,0,SENSEX,1.0,Sensex,0001-01-01,,XX,0.0100,,INDEX,X,SENSEX
BSE,I,83,INDEX,0,SNSX50,1.0,BSE Sensex 50,0001-01-01,,XX,0.0100,,INDEX,X,SNSX50
BSE,I,75,INDEX,0,METAL,1.0,BSE Metals,0001-01-01,,XX,0.0100,,INDEX,X,METAL
BSE,I,99,INDEX,0,CAPINS,1.0,BSE Capital Markets & Insurance,0001-01-01,,XX,0.0100,,INDEX,X,CAPINS
BSE,I,846,INDEX,0,CAPINS,1.0,BSE Capital Goods Industrial Solutions,0001-01-01,,XX,0.0500,,INDEX,X,CAPINS
BSE,E,500325,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,5.0000,NA,ES,A,RELIANCE INDUSTRIES LTD.
NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD
NSE,E,25510,EQUITY,0,MOTHERSON,1.0,SMIL-6.5%-20092027-NCD,,,,5.0000,NA,DEB,D1,SAMVARDHANA MOTHERSON INT
NSE,E,4204,EQUITY,0,MOTHERSON,1.0,Samvardhana Motherson International,,,,1.0000,NA,ES,EQ,SAMVRDHNA MTHRSN INTL LTD
BSE,E,517334,EQUITY,0,MOTHERSON,1.0,Samvardhana Motherson International,,,,5.0000,NA,ES,A,Samvardhana Motherson Int
NSE,E,2031,EQUITY,0,M&M,1.0,Mahindra & Mahindra,,,,10.0000,NA,ES,EQ,MAHINDRA & MAHINDRA LTD
BSE,E,500520,EQUITY,0,M&M,1.0,Mahindra & Mahindra,,,,5.0000,NA,ES,A,MAHINDRA & MAHINDRA LTD.
NSE,E,16669,EQUITY,0,BAJAJ-AUTO,1.0,Bajaj Auto,,,,50.0000,NA,ES,EQ,BAJAJ AUTO LIMITED
NSE,E,1660,EQUITY,0,ITC,1.0,ITC,,,,5.0000,NA,ES,EQ,ITC LTD
NSE,E,25744,EQUITY,0,METAL,1.0,Mirae Asset Nifty Metal ETF,,,,1.0000,NA,ETF,EQ,MIRAEAMC - METAL
BSE,E,544268,EQUITY,0,METAL,1.0,Mirae Asset Nifty Metal ETF,,,,1.0000,NA,ETF,B,Mirae Asset Mutual Fund
BSE,E,975196,EQUITY,0,875ST28,1.0E7,STN23II-8.75%-17-3-28-PTC,,,,1.0000,NA,PTC,F,STN23II-8.75%-17-3-28-PTC
BSE,E,890205,EQUITY,0,VSL-RE,1.0,Voltamp RE,,,,1.0000,NA,ES,R,VOLTAMP RE
NSE,E,700001,EQUITY,0,TRADED2T,1.0,Trade to Trade,,,,1.0000,NA,ES,BE,TRADE TO TRADE LTD
NSE,D,51714,FUTIDX,0,NIFTY-Mar2026-FUT,65.0,NIFTY MAR FUT,2026-03-30 14:30:00,-0.01000,XX,10.0000,M,FUT,,
NSE,D,59182,FUTIDX,0,NIFTY-Feb2026-FUT,65.0,NIFTY FEB FUT,2026-02-24 14:30:00,-0.01000,XX,10.0000,M,FUT,,
NSE,D,59460,FUTSTK,0,RELIANCE-Feb2026-FUT,500.0,RELIANCE FEB FUT,2026-02-24 14:30:00,-0.01000,XX,10.0000,M,FUT,,
BSE,D,1167577,FUTSTK,0,RELIANCE-Feb2026-FUT,500.0,RELIANCE FEB  FUT,2026-02-26 15:30:00,0.00000,,5.0000,M,FUTSTK,,RELIFUT
BSE,D,1162338,FUTIDX,0,SENSEX50-Feb2026-FUT,75.0,SENSEX50 FEB  FUT,2026-02-26 15:30:00,0.00000,,5.0000,M,FUTIDX,,SX50FUT
MCX,M,467013,FUTCOM,0,CRUDEOIL-19Feb2026-FUT,1.0,CRUDEOIL FEB FUT,2026-02-19 00:00:00,0.00000,XX,100.0000,M,FUTCOM,2,CRUDEOIL
MCX,M,472789,FUTCOM,0,CRUDEOIL-19Mar2026-FUT,1.0,CRUDEOIL MAR FUT,2026-03-19 00:00:00,0.00000,XX,100.0000,M,FUTCOM,2,CRUDEOIL
MCX,M,488289,FUTIDX,0,MCXBULLDEX-24Feb2026-FUT,1.0,MCXBULLDEX FEB FUT,2026-02-24 00:00:00,0.00000,XX,100.0000,M,FUTIDX,2,MCXBULLDEX
MCX,M,454818,FUTCOM,0,GOLD-02Apr2026-FUT,1.0,GOLD APR FUT,2026-04-02 00:00:00,0.00000,XX,100.0000,M,FUTCOM,2,GOLD
NSE,C,1065,FUTCUR,0,USDINR-Feb2026-FUT,1.0,USDINR FEB FUT,2026-02-25 14:30:00,-0.01000,XX,0.2500,M,FUT,,
BSE,C,1026077,FUTCUR,0,USDINR-28Aug2024-FUT,1.0,USDINR AUG FUT,2024-08-28 14:30:00,-0.01000,XX,0.2500,M,FUTCUR,,USDINR
BSE,C,2100001,FUTCUR,0,USDINR-25Feb2026-FUT,1.0,USDINR FEB FUT,2026-02-25 14:30:00,-0.01000,XX,0.2500,M,FUTCUR,,USDINR
NSE,C,1009,FUTCUR,0,11NSETEST-Dec2036-FUT,1.0,11NSETEST DEC FUT,2036-12-29 14:30:00,-0.01000,XX,0.2500,M,FUT,,
NSE,D,36687,FUTSTK,0,011NSETEST-Nov2036-FUT,50.0,011NSETEST 27 NOV FUT,2036-11-27 14:30:00,-0.01000,XX,5.0000,W,FUT,,
NSE,M,131527,OPTFUT,0,CRUDEOIL-17Feb2026-5800-CE,1.0,CRUDEOIL 17 FEB 5800 CALL,2026-02-17 20:00:00,5800.00000,CE,10.0000,M,OPTFUT,1,CRUDEOIL
";

/// What a chain's rows have in common.
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    pub(crate) exchange: &'static str,
    pub(crate) segment: &'static str,
    pub(crate) instrument: &'static str,
    pub(crate) symbol: &'static str,
    /// `24FEB2026`, written into the trading symbol with the day if `with_day`.
    pub(crate) expiry: &'static str,
    pub(crate) with_day: bool,
    pub(crate) lot: &'static str,
    pub(crate) first_id: u32,
}

/// Rows of a chain: the strikes as text, each with its legs.
pub(crate) fn chain(chain: Chain, strikes: &[(&str, &[&str])]) -> String {
    let Chain {
        exchange,
        segment,
        instrument,
        symbol,
        expiry,
        with_day,
        lot,
        first_id,
    } = chain;
    let (day, month, year) = (&expiry[..2], &expiry[2..5], &expiry[5..]);
    let months = [
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ];
    let number = 1 + months.iter().position(|name| *name == month).unwrap();
    let month = format!("{}{}", &month[..1], month[1..].to_lowercase());
    let named_day = if with_day { day } else { "" };
    let mut rows = String::new();
    let mut id = first_id;
    for (strike, legs) in strikes {
        for leg in *legs {
            rows += &format!(
                "{exchange},{segment},{id},{instrument},0,{symbol}-{named_day}{month}{year}-{strike}-{leg},{lot},\
                 {symbol} {strike} {leg},{year}-{number:02}-{day} 14:30:00,{strike},{leg},5.0000,M,OP,,\n"
            );
            id += 1;
        }
    }
    rows
}

const BOTH: &[&str] = &["CE", "PE"];

/// The chains of the fixture.
pub(crate) fn chains() -> String {
    let stock = Chain {
        exchange: "NSE",
        segment: "D",
        instrument: "OPTSTK",
        symbol: "RELIANCE",
        expiry: "24FEB2026",
        with_day: false,
        lot: "500.0",
        first_id: 131_521,
    };
    let strikes: &[(&str, &[&str])] = &[
        ("1430.00000", BOTH),
        ("1440.00000", BOTH),
        ("1450.00000", BOTH),
        ("1470", BOTH),
    ];
    let mut rows = chain(stock, strikes);
    rows += &chain(
        Chain {
            expiry: "30MAR2026",
            first_id: 131_601,
            ..stock
        },
        strikes,
    );
    let bse = Chain {
        exchange: "BSE",
        expiry: "26FEB2026",
        first_id: 839_700,
        ..stock
    };
    rows += &chain(bse, strikes);
    rows += &chain(
        Chain {
            symbol: "ITC",
            lot: "1600.0",
            first_id: 49_901,
            ..stock
        },
        &[
            ("310", &["CE"]),
            ("312.5", BOTH),
            ("315", BOTH),
            ("316", &["PE"]),
        ],
    );
    rows += &chain(
        Chain {
            symbol: "M&M",
            first_id: 50_001,
            ..stock
        },
        &[("3100", BOTH)],
    );
    rows += &chain(
        Chain {
            symbol: "BAJAJ-AUTO",
            first_id: 50_011,
            ..stock
        },
        &[("9000", BOTH)],
    );
    let index = Chain {
        instrument: "OPTIDX",
        symbol: "NIFTY",
        lot: "65.0",
        ..stock
    };
    let nifty: &[(&str, &[&str])] = &[("25900", BOTH), ("25950", BOTH), ("26000", BOTH)];
    for (expiry, first_id) in [
        ("10FEB2026", 42_001),
        ("17FEB2026", 42_101),
        ("24FEB2026", 42_201),
        ("02MAR2026", 42_301),
    ] {
        rows += &chain(
            Chain {
                expiry,
                first_id,
                ..index
            },
            nifty,
        );
    }
    rows += &chain(
        Chain {
            symbol: "NIFTYNXT50",
            first_id: 42_401,
            ..index
        },
        &[("69000", BOTH)],
    );
    let bse_index = Chain {
        exchange: "BSE",
        expiry: "26FEB2026",
        ..index
    };
    rows += &chain(
        Chain {
            symbol: "SENSEX",
            first_id: 860_001,
            ..bse_index
        },
        &[("84000", BOTH)],
    );
    rows += &chain(
        Chain {
            symbol: "SENSEX50",
            first_id: 860_011,
            ..bse_index
        },
        &[("28000", BOTH)],
    );
    let mcx = Chain {
        exchange: "MCX",
        segment: "M",
        instrument: "OPTFUT",
        symbol: "CRUDEOIL",
        expiry: "17FEB2026",
        with_day: true,
        lot: "1.0",
        // The ids of other contracts in NSE's segments D and M.
        first_id: 131_525,
    };
    rows += &chain(mcx, &[("5750", BOTH), ("5800", BOTH)]);
    let bulldex = Chain {
        instrument: "OPTIDX",
        symbol: "MCXBULLDEX",
        expiry: "24FEB2026",
        ..mcx
    };
    rows += &chain(
        Chain {
            first_id: 488_001,
            ..bulldex
        },
        &[("29900", BOTH)],
    );
    let currency = Chain {
        exchange: "NSE",
        segment: "C",
        instrument: "OPTCUR",
        symbol: "USDINR",
        expiry: "25FEB2026",
        ..mcx
    };
    rows += &chain(
        Chain {
            with_day: false,
            first_id: 1101,
            ..currency
        },
        &[("90", BOTH), ("90.25", BOTH)],
    );
    rows += &chain(
        Chain {
            exchange: "BSE",
            first_id: 2_100_101,
            ..currency
        },
        &[("90", BOTH)],
    );
    rows
}

/// The whole fixture.
pub(crate) fn master() -> String {
    format!("{HEADER}\n{ROWS}{}", chains())
}

pub(crate) fn options() -> LoadOptions {
    LoadOptions::new("2026-02-09".parse().unwrap())
}

pub(crate) fn load(master: &str) -> Result<Registry, Error> {
    Registry::from_reader(master.as_bytes(), &options())
}

/// The registry of the whole fixture.
pub(crate) fn registry() -> Registry {
    load(&master()).unwrap()
}

/// The registry of some rows, however many of them are rejected.
pub(crate) fn registry_of(rows: &str) -> Registry {
    let options = LoadOptions {
        max_rejected_share: 1.0,
        ..options()
    };
    Registry::from_reader(format!("{HEADER}\n{rows}").as_bytes(), &options).unwrap()
}
