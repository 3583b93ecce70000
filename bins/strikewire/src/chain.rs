//! `strikewire chain`.

use comfy_table::{Attribute, Cell, Row};
use serde::Serialize;
use strikewire_chain::{ChainFacts, ChainView, PriceSource, Width, Window};
use strikewire_registry::ChainQuery;
use strikewire_types::Clock;

use crate::arguments::ChainArguments;
use crate::hint::with_hint;
use crate::output::{Column, Output, or_empty, table};
use crate::record::{warning_json, warning_text};

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    chain: ChainView,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<[serde_json::Value; 1]>,
}

pub(crate) fn run(arguments: &ChainArguments) -> anyhow::Result<()> {
    let registry = arguments.master.load()?;
    let query = ChainQuery {
        symbol: &arguments.symbol,
        kind: None,
        exchange: arguments.exchange,
        expiry: Some(arguments.expiry),
    };
    let resolved = registry
        .resolve_chain(&query)
        .map_err(|error| with_hint(&registry, error))?;
    let ladder = resolved.ladder;
    let width = arguments
        .width
        .unwrap_or_else(|| Width::default_for(ladder.kind()));
    let window = Window::new(ladder, arguments.ltp, width)?;
    let facts = ChainFacts {
        price_source: PriceSource::Client,
        price_time: None,
        price_stale: false,
        live_ltp: None,
        calculated_at: Clock::system().now().utc,
    };
    let chain = ChainView::new(&window, &facts);
    let mut out = Output::new();
    if arguments.format.json {
        let warnings = resolved.warning.map(|warning| [warning_json(&warning)]);
        return out.json(&Answer { chain, warnings });
    }
    out.lines(&heading(&chain))?;
    let mut rows = table(&[
        Column::Text("CE"),
        Column::Number("strike"),
        Column::Text(""),
        Column::Text("PE"),
    ]);
    for legs in &chain.strikes_ce_pe.0 {
        let is_atm = legs.strike == chain.atm_strike;
        let cells = [
            or_empty(legs.call.as_ref()),
            legs.strike.to_string(),
            if is_atm { "ATM" } else { "" }.to_owned(),
            or_empty(legs.put.as_ref()),
        ];
        rows.add_row(Row::from(cells.map(|text| {
            let cell = Cell::new(text);
            if is_atm {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        })));
    }
    out.table(&rows)?;
    if let Some(warning) = &resolved.warning {
        out.lines(&warning_text(warning, chain.expiry, chain.exchange))?;
    }
    Ok(())
}

fn heading(chain: &ChainView) -> String {
    let ChainView {
        symbol,
        exchange,
        expiry,
        lot_size,
        atm_strike,
        ..
    } = chain;
    let price = chain.underlying_ltp;
    let mut text = format!("{symbol} {expiry} on {exchange}, lot {lot_size}");
    if let Some(underlying) = chain.underlying {
        text += &format!(", follows {underlying}");
    }
    text += &format!(
        "\nat {price}: ATM {atm_strike}, {} strikes",
        chain.strikes.len()
    );
    if let Some(step) = chain.strike_step {
        text += &format!(", step {step}");
    }
    if chain.window_cut {
        text += &format!(", cut from {} at the ladder's end", chain.width);
    }
    if chain.ltp_outside_ladder {
        text += ", price outside the ladder";
    }
    text + "\n"
}
