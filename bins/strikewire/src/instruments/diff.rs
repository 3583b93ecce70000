//! `strikewire instruments diff`: what changed between two masters.

use serde::Serialize;
use strikewire_registry::{Change, Instrument, InstrumentIdx, Registry};
use strikewire_types::{Expiry, Price, SecurityId, Segment};

use crate::output::{Column, Output, grouped, or_empty, table};

/// How many of each kind of change are shown.
const SAMPLES: usize = 5;

#[derive(Serialize)]
struct Difference {
    as_of: String,
    /// Instruments that were loaded of each master.
    old: usize,
    new: usize,
    unchanged_ids: usize,
    added: usize,
    removed: usize,
    repointed_ids: usize,
    moved_ids: usize,
    moved_expiries: usize,
    changed_lots: usize,
    changed_ticks: usize,
    samples: Samples,
}

/// The first of each kind, in the order of the files.
#[derive(Serialize)]
struct Samples {
    added: Vec<Sample>,
    removed: Vec<Sample>,
    repointed_ids: Vec<Sample>,
    moved_ids: Vec<Sample>,
    moved_expiries: Vec<Sample>,
    changed_lots: Vec<Sample>,
    changed_ticks: Vec<Sample>,
}

/// An instrument before and now: null where it was not or is not listed.
#[derive(Serialize)]
struct Sample {
    /// As it is now, or was when it is not listed any more.
    token: String,
    segment: Segment,
    /// Only where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_token: Option<String>,
    old_id: Option<SecurityId>,
    new_id: Option<SecurityId>,
    old_expiry: Option<Expiry>,
    new_expiry: Option<Expiry>,
    old_lot: Option<u32>,
    new_lot: Option<u32>,
    /// In rupees.
    old_tick: Option<Price>,
    new_tick: Option<Price>,
}

impl Sample {
    fn of(old: Option<Instrument<'_>>, new: Option<Instrument<'_>>) -> Option<Self> {
        let shown = new.or(old)?;
        let token = shown.token();
        let old_token = old.map(|old| old.token()).filter(|old| *old != token);
        let id = |instrument: Option<Instrument<'_>>| instrument.map(|found| found.key().id);
        let expiry = |instrument: Option<Instrument<'_>>| instrument?.expiry();
        let lot = |instrument: Option<Instrument<'_>>| instrument.map(|found| found.lot_size());
        let tick = |instrument: Option<Instrument<'_>>| {
            let tick = Price::from_raw(i64::from(instrument?.tick().raw()));
            (tick > Price::ZERO).then_some(tick)
        };
        Some(Self {
            token,
            segment: shown.key().segment,
            old_token,
            old_id: id(old),
            new_id: id(new),
            old_expiry: expiry(old),
            new_expiry: expiry(new),
            old_lot: lot(old),
            new_lot: lot(new),
            old_tick: tick(old),
            new_tick: tick(new),
        })
    }
}

pub(crate) fn run(old: &Registry, new: &Registry, json: bool) -> anyhow::Result<()> {
    let diff = old.diff(new);
    let changes = |list: &[Change]| -> Vec<Sample> {
        list.iter()
            .take(SAMPLES)
            .filter_map(|change| {
                let (old, new) = (old.instrument(change.old), new.instrument(change.new));
                Sample::of(Some(old), Some(new))
            })
            .collect()
    };
    let singles = |registry: &Registry, list: &[InstrumentIdx], is_new: bool| -> Vec<Sample> {
        list.iter()
            .take(SAMPLES)
            .map(|idx| Some(registry.instrument(*idx)))
            .filter_map(|one| {
                if is_new {
                    Sample::of(None, one)
                } else {
                    Sample::of(one, None)
                }
            })
            .collect()
    };
    let samples = Samples {
        added: singles(new, &diff.added, true),
        removed: singles(old, &diff.removed, false),
        repointed_ids: changes(&diff.repointed_ids),
        moved_ids: changes(&diff.moved_ids),
        moved_expiries: changes(&diff.moved_expiries),
        changed_lots: changes(&diff.changed_lots),
        changed_ticks: changes(&diff.changed_ticks),
    };
    let difference = Difference {
        as_of: new.as_of().to_string(),
        old: old.len(),
        new: new.len(),
        unchanged_ids: diff.unchanged_ids,
        added: diff.added.len(),
        removed: diff.removed.len(),
        repointed_ids: diff.repointed_ids.len(),
        moved_ids: diff.moved_ids.len(),
        moved_expiries: diff.moved_expiries.len(),
        changed_lots: diff.changed_lots.len(),
        changed_ticks: diff.changed_ticks.len(),
        samples,
    };
    let mut out = Output::new();
    if json {
        out.json(&difference)
    } else {
        show(&mut out, &difference)
    }
}

fn show(out: &mut Output, difference: &Difference) -> anyhow::Result<()> {
    let Difference { as_of, samples, .. } = difference;
    let kinds = [
        ("added", difference.added, &samples.added),
        ("removed", difference.removed, &samples.removed),
        (
            "re-pointed ids",
            difference.repointed_ids,
            &samples.repointed_ids,
        ),
        ("moved ids", difference.moved_ids, &samples.moved_ids),
        (
            "moved expiries",
            difference.moved_expiries,
            &samples.moved_expiries,
        ),
        (
            "changed lots",
            difference.changed_lots,
            &samples.changed_lots,
        ),
        (
            "changed ticks",
            difference.changed_ticks,
            &samples.changed_ticks,
        ),
    ];
    let mut counts = table(&[Column::Text("as of"), Column::Number(as_of)]);
    let before = [
        ("instruments before", difference.old),
        ("instruments now", difference.new),
        ("unchanged ids", difference.unchanged_ids),
    ];
    let changes = kinds.iter().map(|(name, count, _)| (*name, *count));
    for (name, count) in before.into_iter().chain(changes) {
        counts.add_row([name.to_owned(), grouped(count as u64)]);
    }
    out.table(&counts)?;
    for (name, count, samples) in kinds {
        if count == 0 {
            continue;
        }
        let shown = if count > samples.len() {
            format!("\n{name}, {} of {}", samples.len(), grouped(count as u64))
        } else {
            format!("\n{name}")
        };
        out.lines(&shown)?;
        let mut rows = table(&[
            Column::Text("token"),
            Column::Text("segment"),
            Column::Number("old id"),
            Column::Number("new id"),
            Column::Text("old expiry"),
            Column::Text("new expiry"),
            Column::Number("old lot"),
            Column::Number("new lot"),
            Column::Number("old tick"),
            Column::Number("new tick"),
            Column::Text("was"),
        ]);
        for sample in samples {
            rows.add_row([
                sample.token.clone(),
                sample.segment.to_string(),
                or_empty(sample.old_id),
                or_empty(sample.new_id),
                or_empty(sample.old_expiry),
                or_empty(sample.new_expiry),
                or_empty(sample.old_lot),
                or_empty(sample.new_lot),
                or_empty(sample.old_tick),
                or_empty(sample.new_tick),
                or_empty(sample.old_token.as_ref()),
            ]);
        }
        out.table(&rows)?;
    }
    Ok(())
}
