//! Letters: notices and gaps, which are never conflated.

use strikewire_types::{InstrumentKey, Utc};

use super::serve::send;
use super::{Client, Hub, Indexes, Sub};
use crate::class::Class;
use crate::frames;
use crate::message::Message;
use crate::outlet::{ClientId, Outlet, Push, SubId};

/// Letters that wait for a client's queue to have room; the oldest go first.
pub(super) const LETTERS: usize = 64;

/// Their length in bytes, unless one alone is longer.
pub(super) const LETTER_BYTES: usize = 256 << 10;

/// Where a client has an instrument from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Source {
    Bundle(u32),
    Channel(u32),
}

impl Client {
    fn sources(&self) -> impl Iterator<Item = Source> {
        let bundles = self.bundles.iter().flatten();
        let channels = self.subs.values().filter_map(|sub| match sub {
            Sub::Chain { channel } => Some(Source::Channel(*channel)),
            Sub::Ticks { .. } | Sub::Values(_) => None,
        });
        bundles.map(|at| Source::Bundle(*at)).chain(channels)
    }
}

impl Hub {
    /// Tells one client something, of a subscription or at large.
    pub fn notice(
        &mut self,
        client: ClientId,
        sub: Option<SubId>,
        code: &str,
        detail: &str,
        outlet: &mut impl Outlet,
    ) {
        if let Some(at) = self.client_at.get(&client).copied() {
            let mut gone = Vec::new();
            self.post(at, frames::notice(code, sub, detail), outlet, &mut gone);
            self.let_go(gone);
        }
    }

    /// Tells every client something.
    pub fn announce(&mut self, code: &str, detail: &str, outlet: &mut impl Outlet) {
        let message = frames::notice(code, None, detail);
        let mut gone = Vec::new();
        for at in self.clients.indexes() {
            self.post(at, message.clone(), outlet, &mut gone);
        }
        self.let_go(gone);
    }

    /// Tells every client which of its instruments may have missed ticks between `from` and
    /// `to`, and why.
    pub fn gap(
        &mut self,
        keys: &[InstrumentKey],
        from: Utc,
        to: Utc,
        cause: &str,
        outlet: &mut impl Outlet,
    ) {
        let mut missed: Indexes<Source, Vec<InstrumentKey>> = Indexes::default();
        for key in keys {
            let Some(index) = self.instruments.find(*key) else {
                continue;
            };
            for class in Class::ALL {
                let bundles = self.instruments.watchers(index, class).iter();
                let channels = self.instruments.channels(index, class).iter();
                let sources = bundles
                    .map(|watcher| Source::Bundle(watcher.bundle))
                    .chain(channels.map(|channel| Source::Channel(*channel)));
                for source in sources {
                    missed.entry(source).or_default().push(*key);
                }
            }
        }
        // Those who have it from the same sources are told the same.
        let mut texts: Indexes<Vec<Source>, Message> = Indexes::default();
        let mut gone = Vec::new();
        for at in self.clients.indexes() {
            let Some(client) = self.clients.get(at) else {
                continue;
            };
            let mut sources: Vec<Source> = client.sources().collect();
            sources.retain(|source| missed.contains_key(source));
            if sources.is_empty() {
                continue;
            }
            sources.sort_unstable();
            sources.dedup();
            let text = texts.entry(sources).or_insert_with_key(|sources| {
                let keys = sources.iter().filter_map(|source| missed.get(source));
                let mut keys: Vec<InstrumentKey> = keys.flatten().copied().collect();
                keys.sort_unstable();
                keys.dedup();
                frames::gap(keys.into_iter(), from, to, cause)
            });
            let text = text.clone();
            self.post(at, text, outlet, &mut gone);
        }
        self.let_go(gone);
    }

    pub(super) fn deliver_letters(&mut self, outlet: &mut impl Outlet, gone: &mut Vec<ClientId>) {
        for at in std::mem::take(&mut self.mail) {
            let Some(client) = self.clients.get_mut(at) else {
                continue;
            };
            while let Some(letter) = client.letters.front() {
                match send(&mut self.stats, client.id, letter.clone(), outlet, gone) {
                    Push::Taken => {
                        client.letter_bytes -= letter.len();
                        client.letters.pop_front();
                    }
                    Push::Full => {
                        self.mail.push(at);
                        break;
                    }
                    Push::Gone => break,
                }
            }
        }
    }

    /// Sends a message at once, or when there is room.
    fn post(
        &mut self,
        at: u32,
        message: Message,
        outlet: &mut impl Outlet,
        gone: &mut Vec<ClientId>,
    ) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        // Behind those that wait already, so that the order stays.
        let waits = !client.letters.is_empty();
        if !waits && send(&mut self.stats, client.id, message.clone(), outlet, gone) != Push::Full {
            return;
        }
        client.letter_bytes += message.len();
        client.letters.push_back(message);
        if !waits {
            self.mail.push(at);
        }
        while client.letters.len() > LETTERS
            || (client.letter_bytes > LETTER_BYTES && client.letters.len() > 1)
        {
            if let Some(lost) = client.letters.pop_front() {
                client.letter_bytes -= lost.len();
                self.stats.dropped += 1;
            }
        }
    }
}
