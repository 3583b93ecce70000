use strikewire_types::{Exchange, OptionType, Segment, Strike};

use crate::reference::When;
use crate::symbols::SymbolId;
use crate::{Instrument, Kind, Registry, alias};

/// What a search is limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchFilter {
    /// Only this segment.
    pub segment: Option<Segment>,
    /// Only this kind.
    pub kind: Option<Kind>,
}

impl SearchFilter {
    fn allows(&self, instrument: &Instrument<'_>) -> bool {
        self.segment
            .is_none_or(|segment| segment == instrument.row().segment)
            && self.kind.is_none_or(|kind| kind == instrument.kind())
    }
}

/// An instrument that a search found.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'a> {
    /// The instrument.
    pub instrument: Instrument<'a>,
    /// How well it fits; only good to compare hits of one search.
    pub score: u32,
}

// How well a symbol fits. Steps are larger than all that is added or taken away for
// what the symbol is and when its contracts expire.
const EXACT: u32 = 4000;
const ALIAS: u32 = 3600;
const PREFIX: u32 = 2800;
const NAME_PREFIX: u32 = 2000;
const NAME_WORD: u32 = 1600;
const INSIDE: u32 = 800;
const ELIGIBLE: u32 = 300;

impl Registry {
    /// The instruments that fit `query` best, the best first.
    ///
    /// A query is words in any order: a symbol or part of one, words of a company's
    /// name, an expiry (`24FEB2026`, `24FEB`, or a month after another word), a
    /// strike, `CE`, `PE` or `FUT`, an exchange. All of them must fit. Without words
    /// that say so, options are not looked for. Exact symbols come before symbols
    /// that begin so and these before the rest; symbols with derivatives before
    /// others; near expiries before far ones. A token or key finds its instrument
    /// first.
    #[must_use]
    pub fn search(&self, query: &str, limit: usize, filter: SearchFilter) -> Vec<Hit<'_>> {
        let query = Query::parse(query, filter);
        let mut hits = Vec::new();
        if query.is_empty() || limit == 0 {
            return hits;
        }
        for symbol in self.symbols.ids() {
            if let Some(fit) = query.fit(self, symbol) {
                query.instruments(self, symbol, &fit, limit, &mut hits);
            }
        }
        if let Some(instrument) = self
            .listed()
            .find_quietly(&query.whole)
            .filter(|found| filter.allows(found))
        {
            hits.retain(|hit| hit.instrument != instrument);
            hits.push(Hit {
                instrument,
                score: 2 * EXACT,
            });
        }
        hits.sort_by_key(|hit| core::cmp::Reverse(hit.score));
        hits.truncate(limit);
        hits
    }
}

/// A query, word by word, in upper case.
struct Query {
    whole: String,
    /// The words that are about the symbol or company, joined again.
    about: String,
    words: Vec<Word>,
    when: Option<Expires>,
    option_type: Option<OptionType>,
    futures: bool,
    filter: SearchFilter,
}

enum Word {
    Text(String),
    /// A strike, unless the symbol or name has it: `NIFTY 50`.
    Number(String, Strike),
    /// An exchange, unless the symbol or name has it: `BSE 100`.
    Exchange(String, Exchange),
}

enum Expires {
    When(When),
    Month(i8),
}

impl Expires {
    fn matches(&self, instrument: &Instrument<'_>) -> bool {
        instrument.expiry().is_some_and(|expiry| match self {
            Self::When(when) => when.matches(expiry),
            Self::Month(month) => expiry.date().month() == *month,
        })
    }
}

/// How a symbol fits a query.
struct Fit {
    score: u32,
    /// Numbers that are in neither symbol nor name.
    strike: Option<Strike>,
    exchange: Option<Exchange>,
}

impl Query {
    fn parse(query: &str, filter: SearchFilter) -> Self {
        let whole: String = query
            .trim()
            .chars()
            .take(128)
            .collect::<String>()
            .to_ascii_uppercase();
        let mut parsed = Self {
            about: String::new(),
            words: Vec::new(),
            when: None,
            option_type: None,
            futures: filter.kind.is_some_and(Kind::is_future),
            filter,
            whole: String::new(),
        };
        let mut words = whole
            .split(|c: char| c.is_whitespace() || c == '_' || c == ',')
            .filter(|word| !word.is_empty())
            .peekable();
        let mut is_first = true;
        while let Some(word) = words.next() {
            // Two words for one day: 24 FEB.
            let day_month = words
                .peek()
                .filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|next| When::parse(&format!("{word}{next}")));
            if let Some(when) = day_month {
                words.next();
                parsed.when = Some(Expires::When(when));
            } else {
                parsed.word(word, is_first);
            }
            is_first = false;
        }
        parsed.whole = whole;
        parsed
    }

    fn word(&mut self, word: &str, is_first: bool) {
        let number = |text: &str| {
            text.parse::<Strike>()
                .ok()
                .filter(|strike| strike.raw() > 0)
        };
        if let Some(when) = When::parse(word) {
            self.when = Some(Expires::When(when));
        } else if let Some(month) = When::parse(&format!("1{word}")).and_then(month_of)
            && !is_first
        {
            self.when = Some(Expires::Month(month));
        } else if !is_first && word == "FUT" {
            self.futures = true;
        } else if let Some(option_type) = option_type(word).filter(|_| !is_first) {
            self.option_type = Some(option_type);
        } else if let Some((strike, option_type)) = strike_and_type(word) {
            self.words.push(Word::Number(strike.to_string(), strike));
            self.option_type = Some(option_type);
        } else {
            if !self.about.is_empty() {
                self.about.push(' ');
            }
            self.about.push_str(word);
            let text = word.to_owned();
            self.words.push(if let Some(strike) = number(word) {
                Word::Number(text, strike)
            } else if let Ok(exchange) = word.parse::<Exchange>() {
                Word::Exchange(text, exchange)
            } else {
                Word::Text(text)
            });
        }
    }

    const fn is_empty(&self) -> bool {
        self.words.is_empty() && self.when.is_none()
    }

    /// None when a word fits neither the symbol nor a name.
    fn fit(&self, registry: &Registry, symbol: SymbolId) -> Option<Fit> {
        let text = registry.symbols.get(symbol);
        let mut fit = Fit {
            score: 0,
            strike: None,
            exchange: None,
        };
        let mut least = u32::MAX;
        for word in &self.words {
            let (Word::Text(part) | Word::Number(part, _) | Word::Exchange(part, _)) = word;
            let score = if matches!(word, Word::Number(..)) {
                // A number counts only as a word of its own: 50 is not in 1500.
                number_score(text, part).max(names_score(registry, symbol, |name| {
                    number_score(name, part)
                }))
            } else {
                symbol_score(text, part)
                    .max(names_score(registry, symbol, |name| name_score(name, part)))
            };
            match (score, word) {
                (Some(score), _) => least = least.min(score),
                (None, Word::Number(_, strike)) if fit.strike.is_none() => {
                    fit.strike = Some(*strike);
                }
                (None, Word::Exchange(_, exchange)) => fit.exchange = Some(*exchange),
                (None, _) => return None,
            }
        }
        fit.score = if least == u32::MAX { INSIDE } else { least };
        if text.eq_ignore_ascii_case(&self.about) {
            fit.score = EXACT;
        } else if alias::names(&self.about)
            .iter()
            .any(|name| text.eq_ignore_ascii_case(name))
        {
            fit.score = fit.score.max(ALIAS);
        }
        if registry.has_derivatives(symbol) {
            fit.score += ELIGIBLE;
        }
        Some(fit)
    }

    fn instruments<'a>(
        &self,
        registry: &'a Registry,
        symbol: SymbolId,
        fit: &Fit,
        limit: usize,
        hits: &mut Vec<Hit<'a>>,
    ) {
        let mut push = |instrument: Instrument<'a>, bonus: u32| {
            let is_allowed = self.filter.allows(&instrument)
                && fit
                    .exchange
                    .is_none_or(|exchange| exchange == instrument.exchange())
                && self
                    .when
                    .as_ref()
                    .is_none_or(|when| when.matches(&instrument));
            if is_allowed {
                hits.push(Hit {
                    instrument,
                    score: fit.score + bonus,
                });
            }
            is_allowed
        };
        let wants_options = self.option_type.is_some()
            || fit.strike.is_some()
            || self.filter.kind.is_some_and(Kind::is_option)
            || (self.when.is_some() && !self.futures);
        if !wants_options && !self.futures {
            for cash in registry.cash_of(symbol) {
                push(cash, cash_bonus(&cash));
            }
        }
        if !wants_options
            || (self.when.is_some() && fit.strike.is_none() && self.option_type.is_none())
        {
            for exchange in Exchange::ALL {
                for (rank, future) in (0..).zip(registry.futures_of(exchange, symbol)) {
                    push(
                        future,
                        120 - exchange_malus(exchange) - nearness_malus(rank),
                    );
                }
            }
        }
        if !wants_options {
            return;
        }
        for exchange in Exchange::ALL {
            let mut pushed = 0;
            for (rank, ladder) in (0..).zip(registry.ladders_of(exchange, symbol)) {
                for rung in around_the_middle(ladder.rungs()) {
                    if fit.strike.is_some_and(|strike| strike != rung.strike) {
                        continue;
                    }
                    for option_type in [OptionType::Call, OptionType::Put] {
                        if let Some(leg) = rung.leg(option_type)
                            && self.option_type.is_none_or(|wanted| wanted == option_type)
                            && push(
                                registry.instrument(leg),
                                100 - exchange_malus(exchange) - nearness_malus(rank),
                            )
                        {
                            pushed += 1;
                        }
                    }
                    if pushed >= limit {
                        break;
                    }
                }
            }
        }
    }
}

fn month_of(when: When) -> Option<i8> {
    match when {
        When::DayMonth(_, month) => Some(month),
        When::Nearest | When::On(_) => None,
    }
}

fn option_type(word: &str) -> Option<OptionType> {
    match word {
        "CE" | "CALL" => Some(OptionType::Call),
        "PE" | "PUT" => Some(OptionType::Put),
        _ => None,
    }
}

/// `1440CE`.
fn strike_and_type(word: &str) -> Option<(Strike, OptionType)> {
    let (strike, option) = word.split_at_checked(word.len().checked_sub(2)?)?;
    Some((strike.parse().ok()?, option.parse().ok()?))
}

/// How well part of a query fits a symbol.
fn symbol_score(symbol: &str, part: &str) -> Option<u32> {
    let at = find_ignoring_case(symbol, part)?;
    let unmatched = (symbol.len() - part.len()).min(400) as u32;
    Some(if at == 0 && unmatched == 0 {
        EXACT
    } else if at == 0 {
        PREFIX - unmatched
    } else {
        INSIDE - unmatched
    })
}

fn name_score(name: &str, part: &str) -> Option<u32> {
    let at = find_ignoring_case(name, part)?;
    Some(match at.checked_sub(1) {
        None => NAME_PREFIX,
        Some(before) if !name.as_bytes()[before].is_ascii_alphanumeric() => NAME_WORD,
        Some(_) => INSIDE - 400,
    })
}

fn number_score(text: &str, part: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .any(|number| number == part)
        .then_some(NAME_WORD)
}

/// The best score over the names a symbol's indices and equities have.
fn names_score(
    registry: &Registry,
    symbol: SymbolId,
    score: impl Fn(&str) -> Option<u32>,
) -> Option<u32> {
    registry
        .cash_of(symbol)
        .filter_map(|cash| score(cash.name()))
        .max()
}

/// Where `part`, in upper case, first is in `text`.
fn find_ignoring_case(text: &str, part: &str) -> Option<usize> {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    text.windows(part.len())
        .position(|window| window.eq_ignore_ascii_case(part))
}

fn cash_bonus(cash: &Instrument<'_>) -> u32 {
    match cash.row().segment {
        Segment::IdxI => 200,
        Segment::NseEq if cash.series() == "EQ" => 180,
        Segment::NseEq => 10,
        _ => 140,
    }
}

const fn exchange_malus(exchange: Exchange) -> u32 {
    match exchange {
        Exchange::Nse | Exchange::Mcx => 0,
        Exchange::Bse => 2,
    }
}

fn nearness_malus(rank: u32) -> u32 {
    (rank * 4).min(80)
}

/// A list from its middle outwards.
fn around_the_middle<T>(list: &[T]) -> impl Iterator<Item = &T> {
    let (left, right) = list.split_at(list.len() / 2);
    let mut left = left.iter().rev();
    let mut right = right.iter();
    let mut from_right = false;
    core::iter::from_fn(move || {
        from_right = !from_right;
        if from_right {
            right.next().or_else(|| left.next())
        } else {
            left.next().or_else(|| right.next())
        }
    })
}
