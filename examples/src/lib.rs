//! Small programs that link Strikewire's crates, or talk to its server, as another service
//! would; see `examples/`.

use std::fmt::Write;

/// A small instrument master in Dhan's compact layout: one stock, TCS, and its options of
/// two expiries, five rupees apart. It is made up, as of February 2026.
#[must_use]
pub fn made_up_master() -> String {
    let mut master = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,\
        SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,\
        SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,\
        SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME\n\
        NSE,E,11536,EQUITY,0,TCS,1.0,Tata Consultancy Services,,,,10.0000,NA,ES,EQ,\
        TATA CONSULTANCY SERV LT\n"
        .to_owned();
    let mut id = 50_000;
    for (month, day) in [("Feb", "2026-02-24"), ("Mar", "2026-03-30")] {
        for strike in (2500..=2800).step_by(5) {
            for leg in ["CE", "PE"] {
                id += 1;
                // Writing to a text cannot fail.
                let _ = writeln!(
                    master,
                    "NSE,D,{id},OPTSTK,0,TCS-{month}2026-{strike}-{leg},175.0,,{day} 14:30:00,\
                     {strike}.00000,{leg},5.0000,M,OP,,"
                );
            }
        }
    }
    master
}
