//! An instrument as it is shown.

use comfy_table::Table;
use serde::Serialize;
use strikewire_registry::{Instrument, Kind, OtherExchange};
use strikewire_types::{
    Exchange, Expiry, InstrumentKey, OptionType, Price, SecurityId, Segment, Strike,
};

use crate::output::{Column, or_empty, table};

/// What is known about an instrument. What it does not have is null in JSON: an
/// expiry and a strike of an equity, a tick size the master does not tell.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    segment: Segment,
    security_id: SecurityId,
    token: String,
    symbol: String,
    name: String,
    kind: &'static str,
    exchange: Exchange,
    /// Of an equity.
    series: Option<String>,
    expiry: Option<Expiry>,
    strike: Option<Strike>,
    option_type: Option<OptionType>,
    lot_size: u32,
    /// In rupees.
    tick_size: Option<Price>,
    /// Whose price a derivative goes by.
    underlying: Option<InstrumentKey>,
}

impl Record {
    pub(crate) fn new(instrument: &Instrument<'_>) -> Self {
        let InstrumentKey { segment, id } = instrument.key();
        let tick = Price::from_raw(i64::from(instrument.tick().raw()));
        Self {
            segment,
            security_id: id,
            token: instrument.token(),
            symbol: instrument.symbol().to_owned(),
            name: instrument.name().to_owned(),
            kind: instrument.kind().as_str(),
            exchange: instrument.exchange(),
            series: (instrument.kind() == Kind::Equity).then(|| instrument.series().to_owned()),
            expiry: instrument.expiry(),
            strike: instrument.strike(),
            option_type: instrument.option_type(),
            lot_size: instrument.lot_size(),
            tick_size: Some(tick).filter(|tick| *tick > Price::ZERO),
            underlying: instrument.underlying().map(|underlying| underlying.key()),
        }
    }

    /// One line per thing that is known.
    pub(crate) fn sheet(&self) -> Table {
        let mut sheet = table(&[Column::Text("token"), Column::Text(&self.token)]);
        let rows = [
            ("key", format!("{}:{}", self.segment, self.security_id)),
            ("symbol", self.symbol.clone()),
            ("name", self.name.clone()),
            ("kind", self.kind.to_owned()),
            ("exchange", self.exchange.to_string()),
            ("series", or_empty(self.series.as_ref())),
            ("expiry", or_empty(self.expiry)),
            ("strike", or_empty(self.strike)),
            ("option type", or_empty(self.option_type)),
            ("lot size", self.lot_size.to_string()),
            ("tick size", or_empty(self.tick_size)),
            ("underlying", or_empty(self.underlying)),
        ];
        for (name, value) in rows {
            if !value.is_empty() {
                sheet.add_row([name, value.as_str()]);
            }
        }
        sheet
    }

    pub(crate) const COLUMNS: [Column<'static>; 6] = [
        Column::Text("token"),
        Column::Text("key"),
        Column::Text("kind"),
        Column::Number("lot"),
        Column::Number("tick"),
        Column::Text("name"),
    ];

    /// A row of [`COLUMNS`](Self::COLUMNS).
    pub(crate) fn row(&self) -> [String; 6] {
        [
            self.token.clone(),
            format!("{}:{}", self.segment, self.security_id),
            self.kind.to_owned(),
            self.lot_size.to_string(),
            or_empty(self.tick_size),
            self.name.clone(),
        ]
    }
}

/// That the expiry led to a later exchange: `{"code":"other_exchange",
/// "nearest_on_nse":"24FEB2026"}`.
pub(crate) fn warning_json(warning: &OtherExchange) -> serde_json::Value {
    let nearest = format!("nearest_on_{}", warning.on.as_str().to_ascii_lowercase());
    serde_json::json!({ "code": "other_exchange", nearest: warning.nearest })
}

/// The same for people.
pub(crate) fn warning_text(warning: &OtherExchange, expiry: Expiry, exchange: Exchange) -> String {
    let OtherExchange { nearest, on } = warning;
    format!(
        "note: {on} does not list {expiry}, this is {exchange}; the nearest on {on} is {nearest}"
    )
}
