use strsim::jaro_winkler;

use crate::Registry;
use crate::symbols::SymbolId;

const MOST: usize = 5;
/// Below this, two symbols have too little in common to be offered.
const LEAST: f64 = 0.72;

/// Listed symbols that look like `name`, the most similar first.
///
/// Looks at symbols with the same first letter and at all with derivatives, so that
/// the work for a bad request is bounded.
pub(crate) fn symbols(registry: &Registry, name: &str) -> Vec<String> {
    let name: String = name
        .chars()
        .take(64)
        .collect::<String>()
        .to_ascii_uppercase();
    let Some(first) = name.chars().next() else {
        return Vec::new();
    };
    let same_letter = registry.symbols.with_prefix(first.encode_utf8(&mut [0; 4]));
    let others = registry
        .underlyings
        .iter()
        .map(|underlying| underlying.symbol);
    let mut scored: Vec<(f64, SymbolId)> = same_letter
        .map(SymbolId)
        .chain(others)
        .map(|id| {
            let symbol = registry.symbols.get(id).to_ascii_uppercase();
            let favour = if registry.has_derivatives(id) {
                0.05
            } else {
                0.0
            };
            (jaro_winkler(&symbol, &name), favour, id)
        })
        .filter(|(score, ..)| *score >= LEAST)
        .map(|(score, favour, id)| (score + favour, id))
        .collect();
    scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.dedup_by_key(|(_, id)| *id);
    scored
        .into_iter()
        .take(MOST)
        .map(|(_, id)| registry.symbols.get(id).to_owned())
        .collect()
}
