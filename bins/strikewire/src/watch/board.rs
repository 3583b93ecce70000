//! What is known of what is watched.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::message::{self, Fields, Message, Place, Wish};
use crate::problem::Problem;

/// Notes that are kept to be shown.
const NOTES: usize = 4;

/// Where a price has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Move {
    #[default]
    None,
    Up,
    Down,
}

/// The last quote of an instrument.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Quote {
    pub(super) fields: Fields,
    /// Where its last price went when it changed last.
    pub(super) moved: Move,
}

impl Quote {
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.fields.get(name)?.as_f64()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// The change since the previous close, in rupees.
    pub(super) fn change(&self) -> Option<f64> {
        Some(self.number("ltp")? - self.number("prev_close")?)
    }

    fn update(&mut self, changes: Fields) {
        let before = self.number("ltp");
        merge(&mut self.fields, changes);
        self.moved = match (before, self.number("ltp")) {
            (Some(before), Some(now)) if now > before => Move::Up,
            (Some(before), Some(now)) if now < before => Move::Down,
            _ => self.moved,
        };
    }
}

/// Null clears a field.
fn merge(fields: &mut Fields, changes: Fields) {
    for (name, value) in changes {
        if value.is_null() {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
}

/// One row of the table: an instrument that was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) reference: String,
    /// Once it is known which one that is.
    pub(super) token: Option<String>,
}

/// A chain with the quotes of its legs.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) fields: Fields,
    pub(super) quotes: BTreeMap<String, Quote>,
    place: Option<Place>,
    /// Whether messages were left out on purpose: the next one need not follow the last.
    is_lagged: bool,
}

#[derive(Debug)]
pub(super) struct Board {
    pub(super) asked: Vec<Asked>,
    pub(super) quotes: BTreeMap<String, Quote>,
    wants_chain: bool,
    pub(super) chain: Option<Chain>,
    /// The last things that were said, the oldest first.
    pub(super) notes: VecDeque<String>,
    /// Why there is no connection.
    pub(super) lost: Option<String>,
    was_served: bool,
}

/// What a message changed.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    Nothing,
    /// Quotes of these tokens.
    Quotes(Vec<String>),
    /// Something to be said.
    Note(String),
    /// Messages are missing: everything has to be asked for anew.
    Lost,
    Refused(Problem),
}

/// What is printed at the end.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    /// Whether everything that was asked for has a value.
    complete: bool,
    quotes: BTreeMap<&'a str, &'a Fields>,
    chain: Option<ChainDocument<'a>>,
    /// What was asked for and has none.
    missing: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct ChainDocument<'a> {
    #[serde(flatten)]
    chain: &'a Fields,
    quotes: BTreeMap<&'a str, &'a Fields>,
}

impl Board {
    pub(super) fn new(wish: &Wish) -> Self {
        let asked = |reference: &String| Asked {
            reference: reference.clone(),
            token: None,
        };
        Self {
            asked: wish.tokens.iter().map(asked).collect(),
            quotes: BTreeMap::new(),
            wants_chain: wish.chain.is_some(),
            chain: None,
            notes: VecDeque::new(),
            lost: None,
            was_served: false,
        }
    }

    /// Whether the server has ever given what was asked for.
    pub(super) const fn was_served(&self) -> bool {
        self.was_served
    }

    /// Up to where the chain is known.
    pub(super) fn place(&self) -> Option<&Place> {
        self.chain.as_ref()?.place.as_ref()
    }

    /// The connection is gone; another one is tried after `wait`.
    pub(super) fn lost(&mut self, why: &str, wait: Duration) {
        self.lost = Some(format!("{why}; {}", again(wait)));
    }

    pub(super) fn apply(&mut self, message: Message) -> Change {
        match message {
            Message::Ack { id, tokens } => {
                (self.lost, self.was_served) = (None, true);
                if id == message::TICKS {
                    for (asked, token) in self.asked.iter_mut().zip(tokens) {
                        asked.token = Some(token);
                    }
                }
                Change::Nothing
            }
            // It does not know what we knew: then from the beginning.
            Message::Error { id, .. } if id == message::RESUMED_CHAIN => self.forget_place(),
            Message::Error { problem, .. } => Change::Refused(problem),
            Message::Ticks { items } => Change::Quotes(
                items
                    .into_iter()
                    .filter_map(|item| self.tick(item))
                    .collect(),
            ),
            Message::Snapshot {
                epoch,
                seq,
                chain,
                quotes,
            } => self.snapshot(Place { epoch, seq }, chain, quotes),
            Message::Delta {
                epoch,
                seq,
                chain,
                set,
                remove,
            } => self.delta(Place { epoch, seq }, chain, set, &remove),
            Message::Notice { code, detail } => self.note(format!("{code}: {detail}")),
            Message::Gap { instruments, cause } => self.note(format!(
                "no data of {} for a while: {cause}",
                some(&instruments)
            )),
            Message::Lagged { dropped } => {
                if let Some(chain) = &mut self.chain {
                    chain.is_lagged = true;
                }
                self.note(format!("too slow here: {dropped} messages were left out"))
            }
            Message::Other => Change::Nothing,
        }
    }

    fn note(&mut self, note: String) -> Change {
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(note.clone());
        Change::Note(note)
    }

    fn forget_place(&mut self) -> Change {
        if let Some(chain) = &mut self.chain {
            chain.place = None;
        }
        Change::Lost
    }

    fn tick(&mut self, mut item: Fields) -> Option<String> {
        let Some(Value::String(token)) = item.remove("token") else {
            return None;
        };
        let instrument = item.remove("instrument");
        let instrument = instrument.as_ref().and_then(Value::as_str);
        if !self.quotes.contains_key(&token) {
            self.settle(&token, instrument.unwrap_or_default());
        }
        // All of its fields come each time.
        let quote = self.quotes.entry(token.clone()).or_default();
        let gone: Vec<String> = quote
            .fields
            .keys()
            .filter(|name| !item.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            item.insert(name, Value::Null);
        }
        quote.update(item);
        Some(token)
    }

    /// Finds out who asked for `token`, where the server has not said so.
    fn settle(&mut self, token: &str, instrument: &str) {
        let mut open: Vec<&mut Asked> = self
            .asked
            .iter_mut()
            .filter(|asked| asked.token.is_none())
            .collect();
        let mut is_settled = false;
        for asked in &mut open {
            if means(&asked.reference, token, instrument) {
                asked.token = Some(token.to_owned());
                is_settled = true;
            }
        }
        // Another name for it: nothing comes that was not asked for.
        let is_known = self
            .asked
            .iter()
            .any(|asked| asked.token.as_deref() == Some(token));
        if !is_settled
            && !is_known
            && let Some(asked) = self.asked.iter_mut().find(|asked| asked.token.is_none())
        {
            asked.token = Some(token.to_owned());
        }
    }

    fn snapshot(
        &mut self,
        place: Place,
        fields: Fields,
        quotes: BTreeMap<String, Fields>,
    ) -> Change {
        (self.lost, self.was_served) = (None, true);
        let mut before = self.chain.take().unwrap_or_default();
        let quotes = quotes.into_iter().map(|(token, fields)| {
            let mut quote = Quote {
                fields: Fields::new(),
                moved: Move::None,
            };
            if let Some(known) = before.quotes.remove(&token) {
                let last = known.fields.get("ltp").cloned();
                quote.moved = known.moved;
                quote.fields.extend(last.map(|ltp| ("ltp".to_owned(), ltp)));
            }
            if !fields.contains_key("ltp") {
                quote.fields.clear();
            }
            quote.update(fields);
            (token, quote)
        });
        let quotes: BTreeMap<String, Quote> = quotes.collect();
        let tokens = quotes.keys().cloned().collect();
        self.chain = Some(Chain {
            fields,
            quotes,
            place: Some(place),
            is_lagged: false,
        });
        Change::Quotes(tokens)
    }

    fn delta(
        &mut self,
        place: Place,
        fields: Fields,
        set: BTreeMap<String, Fields>,
        remove: &[String],
    ) -> Change {
        let Some(chain) = &mut self.chain else {
            return Change::Nothing;
        };
        self.lost = None;
        let follows = chain.place.as_ref().is_some_and(|last| {
            last.epoch == place.epoch && last.seq.checked_add(1) == Some(place.seq)
        });
        if !follows && !chain.is_lagged {
            return self.forget_place();
        }
        chain.is_lagged = false;
        chain.place = Some(place);
        merge(&mut chain.fields, fields);
        for token in remove {
            chain.quotes.remove(token);
        }
        let tokens = set.keys().cloned().collect();
        for (token, changes) in set {
            chain.quotes.entry(token).or_default().update(changes);
        }
        Change::Quotes(tokens)
    }

    /// Tokens of the legs of the chain, strike by strike.
    pub(super) fn rungs(&self) -> Vec<Rung<'_>> {
        let strikes = self.chain.as_ref().and_then(|chain| {
            let legs = chain.fields.get("strikes_ce_pe")?;
            legs.as_object()
        });
        let mut rungs: Vec<Rung<'_>> = strikes
            .into_iter()
            .flatten()
            .filter_map(|(strike, legs)| {
                Some(Rung {
                    strike,
                    at: strike.parse().ok()?,
                    call: legs.get("CE").and_then(Value::as_str),
                    put: legs.get("PE").and_then(Value::as_str),
                })
            })
            .collect();
        rungs.sort_by(|a, b| a.at.total_cmp(&b.at));
        rungs
    }

    fn missing(&self) -> Vec<&str> {
        let of_asked = self.asked.iter().filter_map(|asked| {
            let token = asked.token.as_deref();
            let is_there = token.is_some_and(|token| self.quotes.contains_key(token));
            (!is_there).then_some(token.unwrap_or(&asked.reference))
        });
        let of_chain = self
            .rungs()
            .into_iter()
            .flat_map(|rung| [rung.call, rung.put])
            .flatten()
            .filter(|token| {
                let chain = self.chain.as_ref();
                chain.is_some_and(|chain| !chain.quotes.contains_key(*token))
            });
        of_asked.chain(of_chain).collect()
    }

    /// Whether everything that was asked for has a value.
    pub(super) fn is_complete(&self) -> bool {
        (!self.wants_chain || self.chain.is_some()) && self.missing().is_empty()
    }

    pub(super) fn document(&self) -> Document<'_> {
        fn fields(quotes: &BTreeMap<String, Quote>) -> BTreeMap<&str, &Fields> {
            let quotes = quotes.iter();
            quotes
                .map(|(token, quote)| (token.as_str(), &quote.fields))
                .collect()
        }
        Document {
            complete: self.is_complete(),
            quotes: fields(&self.quotes),
            chain: self.chain.as_ref().map(|chain| ChainDocument {
                chain: &chain.fields,
                quotes: fields(&chain.quotes),
            }),
            missing: self.missing(),
        }
    }
}

/// A strike with its legs.
#[derive(Debug, PartialEq)]
pub(super) struct Rung<'a> {
    pub(super) strike: &'a str,
    pub(super) at: f64,
    pub(super) call: Option<&'a str>,
    pub(super) put: Option<&'a str>,
}

/// Whether somebody who wrote `reference` meant this instrument, as far as can be told
/// without an instrument master.
fn means(reference: &str, token: &str, instrument: &str) -> bool {
    let reference = reference.trim();
    if reference.eq_ignore_ascii_case(token) || reference.eq_ignore_ascii_case(instrument) {
        return true;
    }
    let (reference, token) = (without_exchange(reference), without_exchange(token));
    reference.eq_ignore_ascii_case(token)
        || without_year(token).is_some_and(|short| short.eq_ignore_ascii_case(reference))
}

fn without_exchange(token: &str) -> &str {
    match token.split_once(':') {
        Some((exchange, rest))
            if ["NSE", "BSE", "MCX"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(exchange)) =>
        {
            rest
        }
        _ => token,
    }
}

/// `RELIANCE_24FEB2026_1440CE` as `RELIANCE_24FEB_1440CE`.
fn without_year(token: &str) -> Option<String> {
    let (rest, last) = token.rsplit_once('_')?;
    let (symbol, expiry) = rest.rsplit_once('_')?;
    let year = expiry.len().checked_sub(4)?;
    let is_year = expiry.as_bytes()[year..].iter().all(u8::is_ascii_digit);
    let day = expiry.get(..year).filter(|_| is_year)?;
    Some(format!("{symbol}_{day}_{last}"))
}

/// When another connection is tried.
pub(super) fn again(wait: Duration) -> String {
    if wait.is_zero() {
        "connecting again".to_owned()
    } else {
        format!("connecting again in {} s", wait.as_secs_f64())
    }
}

/// A few of many.
fn some(instruments: &[String]) -> String {
    match instruments {
        [] => "everything".to_owned(),
        [one] => one.clone(),
        [one, more @ ..] => format!("{one} and {} more", more.len()),
    }
}

#[cfg(test)]
mod tests;
