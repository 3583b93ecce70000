//! What changed between the masters of two days.

use strikewire_types::{Exchange, Expiry, OptionType, Segment};

use crate::symbols::SymbolId;
use crate::{Instrument, InstrumentIdx, Kind, Registry};

/// What changed from one registry, the old one, to another, the new one.
///
/// Instruments are matched in three passes, and each is matched once at most:
///
/// 1. the same id and the [same contract](Instrument::is_same_contract): not listed
///    here, only counted in `unchanged_ids`;
/// 2. of the rest, the same contract under different ids: `moved_ids`;
/// 3. of the rest, the same id and a contract that differs in its expiry alone, which
///    was still to come on the day of the new registry: `moved_expiries`.
///
/// So the old registry has `unchanged_ids + moved_ids + moved_expiries + removed`
/// instruments, and the new one the same with `added`. An id is in `repointed_ids`
/// when both registries list it and it means different contracts there that differ in
/// more than a moved expiry; these contracts are found in the other lists too.
///
/// All lists are in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Diff {
    /// How many ids mean the contract they meant before.
    pub unchanged_ids: usize,
    /// Instruments of the new registry that the old one lists under no id.
    pub added: Vec<InstrumentIdx>,
    /// Instruments of the old registry that the new one lists under no id, expired
    /// ones included.
    pub removed: Vec<InstrumentIdx>,
    /// Contracts that have another id.
    pub moved_ids: Vec<Change>,
    /// Contracts that have another expiry and the same id.
    pub moved_expiries: Vec<Change>,
    /// Ids that mean another contract: before and now.
    pub repointed_ids: Vec<Change>,
    /// Matched instruments with another lot size.
    pub changed_lots: Vec<Change>,
    /// Matched instruments with another tick size.
    pub changed_ticks: Vec<Change>,
}

/// Two instruments that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// In the old registry.
    pub old: InstrumentIdx,
    /// In the new registry.
    pub new: InstrumentIdx,
}

/// What makes a contract; symbols are those of the new registry. The series is that
/// of cash, else empty.
type Identity<'r> = (
    SymbolId,
    Exchange,
    Segment,
    Kind,
    &'r str,
    Expiry,
    i64,
    Option<OptionType>,
);

impl Registry {
    /// What changed from this registry to `new`.
    #[must_use]
    pub fn diff(&self, new: &Self) -> Diff {
        let mut diff = Diff::default();
        let mut pairs: Vec<Change> = Vec::with_capacity(self.len());
        let mut is_matched = vec![false; new.len()];
        let mut rest: Vec<InstrumentIdx> = Vec::new();
        for old in self.instruments() {
            match new
                .by_key(old.key())
                .filter(|now| now.is_same_contract(&old))
            {
                Some(now) => {
                    is_matched[now.idx().index()] = true;
                    pairs.push(Change {
                        old: old.idx(),
                        new: now.idx(),
                    });
                }
                None => rest.push(old.idx()),
            }
        }
        diff.unchanged_ids = pairs.len();

        diff.moved_ids = self.by_contract(new, &rest, &is_matched);
        for change in &diff.moved_ids {
            is_matched[change.new.index()] = true;
        }
        let has_moved = |idx: InstrumentIdx| {
            diff.moved_ids
                .binary_search_by_key(&idx, |change| change.old)
        };
        for idx in rest {
            let old = self.instrument(idx);
            let now = new.by_key(old.key());
            let change = now.map(|now| Change {
                old: idx,
                new: now.idx(),
            });
            let is_other_id = has_moved(idx).is_ok();
            let is_other_day = |now: &Instrument<'_>| {
                !is_matched[now.idx().index()]
                    && now.is_same_but_for_expiry(&old)
                    && !new.has_expired(old)
            };
            if !is_other_id && now.as_ref().is_some_and(is_other_day) {
                diff.moved_expiries.extend(change);
            } else {
                diff.repointed_ids.extend(change);
                if !is_other_id {
                    diff.removed.push(idx);
                }
            }
        }
        for change in &diff.moved_expiries {
            is_matched[change.new.index()] = true;
        }
        diff.added = new
            .instruments()
            .map(|instrument| instrument.idx())
            .filter(|idx| !is_matched[idx.index()])
            .collect();

        pairs.extend(diff.moved_ids.iter().chain(&diff.moved_expiries));
        pairs.sort_unstable();
        let changed = |is_other: fn(&Instrument<'_>, &Instrument<'_>) -> bool| {
            pairs
                .iter()
                .filter(|pair| is_other(&self.instrument(pair.old), &new.instrument(pair.new)))
                .copied()
                .collect()
        };
        diff.changed_lots = changed(|old, now| old.lot_size() != now.lot_size());
        diff.changed_ticks = changed(|old, now| old.tick() != now.tick());
        diff
    }

    /// The contracts among `rest` that `new` lists too, among its unmatched ones; of a
    /// contract listed several times the first with the first.
    fn by_contract(&self, new: &Self, rest: &[InstrumentIdx], is_matched: &[bool]) -> Vec<Change> {
        let symbols: Vec<Option<SymbolId>> = self
            .symbols
            .ids()
            .map(|symbol| new.symbols.find(self.symbols.get(symbol)))
            .collect();
        let mut before: Vec<(Identity<'_>, InstrumentIdx)> = rest
            .iter()
            .map(|idx| self.instrument(*idx))
            .filter_map(|old| {
                let symbol = symbols[old.row().symbol.index()]?;
                Some((identity(old, symbol), old.idx()))
            })
            .collect();
        let mut now: Vec<(Identity<'_>, InstrumentIdx)> = new
            .instruments()
            .filter(|now| !is_matched[now.idx().index()])
            .map(|now| (identity(now, now.row().symbol), now.idx()))
            .collect();
        before.sort_unstable();
        now.sort_unstable();
        let mut changes = Vec::new();
        let mut now = now.into_iter().peekable();
        for (contract, old) in before {
            while now.next_if(|(other, _)| *other < contract).is_some() {}
            if let Some((_, new)) = now.next_if(|(other, _)| *other == contract) {
                changes.push(Change { old, new });
            }
        }
        changes.sort_unstable();
        changes
    }
}

fn identity(instrument: Instrument<'_>, symbol: SymbolId) -> Identity<'_> {
    let row = instrument.row();
    let series = if row.kind.is_derivative() {
        ""
    } else {
        instrument.series()
    };
    (
        symbol,
        row.exchange,
        row.segment,
        row.kind,
        series,
        row.expiry,
        row.strike,
        row.option_type,
    )
}
