//! The last quotes of what is subscribed already.

use std::collections::{BTreeMap, BTreeSet};

use strikewire_quotes::Quote;
use strikewire_registry::Expiring;

use super::Gateway;

/// The last quotes of some instruments.
#[derive(Debug, Clone, Default)]
pub struct Quotes {
    /// By token; none where nothing came yet since the instrument is subscribed.
    pub quotes: BTreeMap<String, Option<Quote>>,
    /// What was asked for and is not listed, or could be several instruments; as it was
    /// asked for.
    pub unknown: BTreeSet<String>,
    /// Tokens of what nobody has subscribed.
    pub not_subscribed: BTreeSet<String>,
}

impl Gateway {
    /// The last quotes of the instruments that `names` refer to, as far as they are
    /// subscribed. Subscribes nothing, and counts as no use of anything.
    #[must_use]
    pub fn quotes<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Quotes {
        let registry = self.registry();
        let ended = |it: &Expiring<'_>| self.has_ended(it);
        let current = registry.current(&ended);
        let mut answer = Quotes::default();
        for name in names {
            let Ok(found) = current.find(name) else {
                answer.unknown.insert(name.to_owned());
                continue;
            };
            let (token, key) = (found.instrument.token(), found.instrument.key());
            if self.shared.table.resolve(key).is_some() {
                answer.quotes.insert(token, self.quote(key));
            } else {
                answer.not_subscribed.insert(token);
            }
        }
        answer
    }
}
