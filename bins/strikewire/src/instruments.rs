//! `strikewire instruments`.

mod diff;
pub(crate) mod fetch;
mod generate;
mod whole;

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use strikewire_registry::{ChainQuery, LoadReport, Registry, Rejection, Rung, SearchFilter};
use strikewire_types::{Exchange, Expiry, SecurityId, Segment, Strike};

use crate::arguments::{InstrumentsCommand, Master, load};
use crate::hint::with_hint;
use crate::output::{Column, Output, grouped, or_empty, table};
use crate::record::{Record, warning_json, warning_text};

pub(crate) fn run(command: InstrumentsCommand) -> anyhow::Result<()> {
    match command {
        InstrumentsCommand::Stats { master, format } => stats(&master, format.json),
        InstrumentsCommand::Find {
            master,
            reference,
            format,
        } => find(&master.load()?, &reference, format.json),
        InstrumentsCommand::Search {
            master,
            query,
            limit,
            segment,
            kind,
            format,
        } => {
            let filter = SearchFilter { segment, kind };
            search(
                &master.load()?,
                &query.join(" "),
                limit,
                filter,
                format.json,
            )
        }
        InstrumentsCommand::Expiries {
            master,
            symbol,
            exchange,
            format,
        } => expiries(&master.load()?, &symbol, exchange, format.json),
        InstrumentsCommand::Ladder {
            master,
            symbol,
            expiry,
            exchange,
            format,
        } => {
            let query = ChainQuery {
                symbol: &symbol,
                kind: None,
                exchange,
                expiry: Some(expiry),
            };
            ladder(&master.load()?, &query, format.json)
        }
        InstrumentsCommand::Diff {
            old,
            new,
            day,
            format,
        } => {
            let day = day.get();
            diff::run(&load(&old, day)?, &load(&new, day)?, format.json)
        }
        InstrumentsCommand::Generate {
            day,
            rows,
            seed,
            output,
            format,
        } => {
            let spec = strikewire_dhan_sim::generate::Spec {
                as_of: day.get(),
                rows,
                seed,
            };
            generate::run(&spec, &output, format.json)
        }
        InstrumentsCommand::Fetch(arguments) => fetch::run(&arguments),
    }
}

#[derive(Serialize)]
struct Stats<'r> {
    rows: u64,
    loaded: u64,
    skipped: BTreeMap<&'static str, u64>,
    rejected: u64,
    rejected_samples: Vec<Sample<'r>>,
    by_segment: &'r BTreeMap<Segment, u64>,
    underlyings: u64,
    option_contracts: u64,
    /// Reading the file and building the registry, rounded up.
    load_ms: u64,
}

#[derive(Serialize)]
struct Sample<'r> {
    line: u64,
    field: &'static str,
    reason: &'r str,
}

fn stats(master: &Master, json: bool) -> anyhow::Result<()> {
    let start = Instant::now();
    let registry = master.load()?;
    let load_ms = start.elapsed().as_micros().div_ceil(1000) as u64;
    let report = registry.report();
    let mut out = Output::new();
    if json {
        return out.json(&Stats {
            rows: report.rows,
            loaded: report.loaded,
            skipped: report
                .skipped
                .iter()
                .map(|(reason, n)| (reason.as_str(), *n))
                .collect(),
            rejected: report.rejected,
            rejected_samples: samples(report),
            by_segment: &report.by_segment,
            underlyings: report.underlyings,
            option_contracts: report.option_contracts,
            load_ms,
        });
    }
    let as_of = registry.as_of().to_string();
    let mut rows = table(&[Column::Text("as of"), Column::Number(&as_of)]);
    let mut add = |name: &str, n: u64| {
        rows.add_row([name.to_owned(), grouped(n)]);
    };
    add("rows", report.rows);
    add("loaded", report.loaded);
    for (segment, n) in &report.by_segment {
        add(&format!("  {segment}"), *n);
    }
    add("skipped", report.skipped_total());
    for (reason, n) in &report.skipped {
        add(&format!("  {reason}"), *n);
    }
    add("rejected", report.rejected);
    add("underlyings", report.underlyings);
    add("option contracts", report.option_contracts);
    add("load time, ms", load_ms);
    out.table(&rows)?;
    for sample in &report.samples {
        out.lines(&format!("rejected: {sample}"))?;
    }
    Ok(())
}

fn samples(report: &LoadReport) -> Vec<Sample<'_>> {
    let samples = report.samples.iter();
    samples
        .map(
            |Rejection {
                 line,
                 field,
                 reason,
             }| Sample {
                line: *line,
                field,
                reason,
            },
        )
        .collect()
}

#[derive(Serialize)]
struct FoundRecord {
    #[serde(flatten)]
    record: Record,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<[serde_json::Value; 1]>,
}

fn find(registry: &Registry, reference: &str, json: bool) -> anyhow::Result<()> {
    let found = registry
        .find(reference)
        .map_err(|error| with_hint(registry, error))?;
    let instrument = found.instrument;
    let record = Record::new(&instrument);
    let mut out = Output::new();
    if json {
        let warnings = found.warning.map(|warning| [warning_json(&warning)]);
        return out.json(&FoundRecord { record, warnings });
    }
    out.table(&record.sheet())?;
    if let (Some(warning), Some(expiry)) = (&found.warning, instrument.expiry()) {
        out.lines(&warning_text(warning, expiry, instrument.exchange()))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct ScoredRecord {
    #[serde(flatten)]
    record: Record,
    score: u32,
}

fn search(
    registry: &Registry,
    query: &str,
    limit: usize,
    filter: SearchFilter,
    json: bool,
) -> anyhow::Result<()> {
    let hits = registry.search(query, limit, filter);
    let mut out = Output::new();
    if json {
        let scored = |hit: &strikewire_registry::Hit<'_>| ScoredRecord {
            record: Record::new(&hit.instrument),
            score: hit.score,
        };
        return out.json(&hits.iter().map(scored).collect::<Vec<_>>());
    }
    if hits.is_empty() {
        return out.lines(&format!("nothing fits `{query}`"));
    }
    let mut rows = table(&Record::COLUMNS);
    for hit in &hits {
        rows.add_row(Record::new(&hit.instrument).row());
    }
    out.table(&rows)
}

fn expiries(
    registry: &Registry,
    symbol: &str,
    exchange: Option<Exchange>,
    json: bool,
) -> anyhow::Result<()> {
    let (exchange, expiries) = registry
        .expiries(exchange, symbol)
        .map_err(|error| with_hint(registry, error))?;
    let mut out = Output::new();
    if json {
        return out.json(
            &expiries
                .iter()
                .map(|(expiry, _)| expiry)
                .collect::<Vec<&Expiry>>(),
        );
    }
    let mut rows = table(&[
        Column::Text("expiry"),
        Column::Text("kind"),
        Column::Text("exchange"),
    ]);
    for (expiry, kind) in &expiries {
        rows.add_row([expiry.to_string(), kind.to_string(), exchange.to_string()]);
    }
    out.table(&rows)
}

#[derive(Serialize)]
struct Legs {
    strike: Strike,
    ce: Option<SecurityId>,
    pe: Option<SecurityId>,
}

fn ladder(registry: &Registry, query: &ChainQuery<'_>, json: bool) -> anyhow::Result<()> {
    let resolved = registry
        .resolve_chain(query)
        .map_err(|error| with_hint(registry, error))?;
    let ladder = resolved.ladder;
    let id = |leg| registry.instrument(leg).key().id;
    let legs = |rung: &Rung| Legs {
        strike: rung.strike,
        ce: rung.call().map(id),
        pe: rung.put().map(id),
    };
    let legs = ladder.rungs().iter().map(legs);
    let mut out = Output::new();
    if json {
        return out.json(&legs.collect::<Vec<_>>());
    }
    out.lines(&format!(
        "{} {} on {}, lot {}, {} strikes\n",
        ladder.symbol(),
        ladder.expiry(),
        ladder.exchange(),
        ladder.lot_size(),
        ladder.rungs().len()
    ))?;
    let mut rows = table(&[
        Column::Number("strike"),
        Column::Number("CE"),
        Column::Number("PE"),
    ]);
    for Legs { strike, ce, pe } in legs {
        rows.add_row([strike.to_string(), or_empty(ce), or_empty(pe)]);
    }
    out.table(&rows)?;
    match &resolved.warning {
        Some(warning) => out.lines(&warning_text(warning, ladder.expiry(), ladder.exchange())),
        None => Ok(()),
    }
}
