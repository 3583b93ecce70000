use core::cmp::Ordering;
use core::hash::{BuildHasher, Hasher};
use core::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// The longest symbol or name that is kept, in bytes.
pub(crate) const MAX_TEXT: usize = 255;

/// A symbol by its place in the alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SymbolId(pub(crate) u32);

impl SymbolId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Every symbol once, whatever its case, in one arena.
///
/// ASCII case is ignored; the spelling that came first is kept.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    text: String,
    /// Where each symbol lies in the text.
    spans: Vec<(u32, u8)>,
    table: HashTable<u32>,
}

impl Symbols {
    pub(crate) const fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn get(&self, id: SymbolId) -> &str {
        let (at, len) = self.spans[id.index()];
        &self.text[at as usize..at as usize + usize::from(len)]
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = SymbolId> + use<> {
        (0..self.spans.len() as u32).map(SymbolId)
    }

    pub(crate) fn find(&self, name: &str) -> Option<SymbolId> {
        let hash = hash(name)?;
        let same = |id: &u32| self.get(SymbolId(*id)).eq_ignore_ascii_case(name);
        self.table.find(hash, same).map(|id| SymbolId(*id))
    }

    /// The id of `name`, new or not; none when it is longer than [`MAX_TEXT`] or the
    /// arena is full.
    pub(crate) fn intern(&mut self, name: &str) -> Option<SymbolId> {
        if let Some(id) = self.find(name) {
            return Some(id);
        }
        let hash = hash(name)?;
        let at = u32::try_from(self.text.len()).ok()?;
        let id = u32::try_from(self.spans.len()).ok()?;
        let len = u8::try_from(name.len()).ok()?;
        self.text.push_str(name);
        self.spans.push((at, len));
        let Self { text, spans, table } = self;
        table.insert_unique(hash, id, |id| rehash(text, spans, *id));
        Some(SymbolId(id))
    }

    /// Puts the symbols into alphabetical order; also gives the new id of each old.
    pub(crate) fn sorted(self) -> (Self, Vec<SymbolId>) {
        let mut order: Vec<SymbolId> = self.ids().collect();
        order.sort_unstable_by(|a, b| compare(self.get(*a), self.get(*b)));
        let mut new_ids = vec![SymbolId(0); order.len()];
        let mut sorted = Self {
            text: String::with_capacity(self.text.len()),
            spans: Vec::with_capacity(order.len()),
            table: HashTable::with_capacity(order.len()),
        };
        for old in order {
            // Every symbol has been interned before, so it fits again.
            if let Some(id) = sorted.intern(self.get(old)) {
                new_ids[old.index()] = id;
            }
        }
        (sorted, new_ids)
    }

    /// The symbols that begin with `prefix`. Only for sorted symbols.
    pub(crate) fn with_prefix(&self, prefix: &str) -> Range<u32> {
        let position = |is_before: &dyn Fn(Ordering) -> bool| {
            self.spans.partition_point(|&(at, len)| {
                let symbol = &self.text.as_bytes()[at as usize..at as usize + usize::from(len)];
                let head = &symbol[..symbol.len().min(prefix.len())];
                is_before(compare_bytes(head, prefix.as_bytes()))
            }) as u32
        };
        position(&Ordering::is_lt)..position(&Ordering::is_le)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.capacity()
            + self.spans.capacity() * size_of::<(u32, u8)>()
            + self.table.allocation_size()
    }
}

fn rehash(text: &str, spans: &[(u32, u8)], id: u32) -> u64 {
    let (at, len) = spans[id as usize];
    // Only symbols that could be hashed once are in the table.
    hash(&text[at as usize..at as usize + usize::from(len)]).unwrap_or(0)
}

/// None for a text longer than any symbol.
fn hash(name: &str) -> Option<u64> {
    // A fixed seed: the table is filled from the master alone, never by callers.
    let mut hasher = FixedState::with_seed(0x5741_5245).build_hasher();
    let mut upper = [0; MAX_TEXT];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name.as_bytes());
    upper.make_ascii_uppercase();
    hasher.write(upper);
    Some(hasher.finish())
}

fn compare(a: &str, b: &str) -> Ordering {
    compare_bytes(a.as_bytes(), b.as_bytes())
}

fn compare_bytes(a: &[u8], b: &[u8]) -> Ordering {
    let upper = |bytes: &[u8], i: usize| bytes[i].to_ascii_uppercase();
    for i in 0..a.len().min(b.len()) {
        match upper(a, i).cmp(&upper(b, i)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_symbol_longer_than_any_is_not_found() {
        let mut symbols = Symbols::default();
        let long = "X".repeat(MAX_TEXT + 1);
        assert_eq!(symbols.find(&long), None);
        assert_eq!(symbols.intern(&long), None);
        assert!(symbols.intern(&long[1..]).is_some());
    }

    proptest! {
        #[test]
        fn symbols_are_a_sorted_set(names in prop::collection::vec("[a-cA-C&é]{1,4}", 0..60), prefix in "[a-cA-C]{0,2}") {
            let mut symbols = Symbols::default();
            let ids: Vec<_> = names.iter().map(|name| symbols.intern(name).unwrap()).collect();
            let (sorted, new_ids) = symbols.sorted();
            let mut model: Vec<String> = names.iter().map(|name| name.to_ascii_uppercase()).collect();
            model.sort_unstable();
            model.dedup();
            let found: Vec<_> = sorted.ids().map(|id| sorted.get(id).to_ascii_uppercase()).collect();
            prop_assert_eq!(&found, &model);
            for (name, id) in names.iter().zip(ids) {
                let new = new_ids[id.index()];
                prop_assert_eq!(sorted.find(&name.to_ascii_lowercase()), Some(new));
                prop_assert!(sorted.get(new).eq_ignore_ascii_case(name));
            }
            let upper = prefix.to_ascii_uppercase();
            let expected = model.iter().filter(|name| name.starts_with(&upper)).count();
            prop_assert_eq!(sorted.with_prefix(&prefix).len(), expected);
        }
    }
}
