//! What calendar files say, how one is laid over another, and the tables that
//! queries look things up in.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::phase::{DAY_MINUTES, Day, Minute, Span, date_of, day_of};
use crate::season::us_daylight_saving;
use crate::{Class, Error, Phase};

/// The normal hours of a class from some day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sessions {
    /// While the United States have daylight-saving time.
    pub(crate) summer: Vec<Span>,
    pub(crate) winter: Vec<Span>,
    /// Where morning and evening of half holidays meet.
    pub(crate) evening_from: Option<Minute>,
}

/// What is special about one day of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DayRule {
    /// Nothing: takes back what another file said.
    Normal,
    Closed,
    MorningClosed,
    EveningClosed,
    /// Hours of its own, on whatever day of the week.
    Special(Vec<Span>),
}

/// Everything that one or more files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) sessions: BTreeMap<(Class, Date), Sessions>,
    pub(crate) days: BTreeMap<(Class, Date), DayRule>,
    /// Symbols of MCX in capitals, sorted.
    pub(crate) symbols: Vec<(String, Class)>,
}

impl Rules {
    /// Lays `over` over this: what it says of a key replaces what was said of it.
    pub(crate) fn merge(&mut self, over: Self) {
        self.sessions.extend(over.sessions);
        self.days.extend(over.days);
        for (symbol, class) in over.symbols {
            self.set_symbol(symbol, class);
        }
    }

    /// Gives `symbol`, in capitals, a class; the one that it had.
    pub(crate) fn set_symbol(&mut self, symbol: String, class: Class) -> Option<Class> {
        match self.find_symbol(&symbol) {
            Ok(at) => Some(core::mem::replace(&mut self.symbols[at].1, class)),
            Err(at) => {
                self.symbols.insert(at, (symbol, class));
                None
            }
        }
    }

    fn find_symbol(&self, symbol: &str) -> Result<usize, usize> {
        self.symbols.binary_search_by(|(known, _)| {
            let upper = symbol.bytes().map(|byte| byte.to_ascii_uppercase());
            known.bytes().cmp(upper)
        })
    }

    /// The class of an MCX symbol; [`Class::Mcx`] for those that are not listed.
    pub(crate) fn mcx_class(&self, symbol: &str) -> Class {
        self.find_symbol(symbol)
            .map_or(Class::Mcx, |at| self.symbols[at].1)
    }

    /// The tables of these rules.
    pub(crate) fn compile(&self) -> Result<Days, Error> {
        let mut days = Days::default();
        for ((class, valid_from), sessions) in &self.sessions {
            days.classes[class.index()].sessions.push(Era {
                valid_from: day_of(*valid_from),
                seasons: sessions.summer != sessions.winter,
                sessions: sessions.clone(),
            });
        }
        for ((class, date), rule) in &self.days {
            let table = &mut days.classes[class.index()];
            let spans = match rule {
                DayRule::Normal => continue,
                DayRule::Closed => Vec::new(),
                DayRule::Special(spans) => spans.clone(),
                DayRule::MorningClosed => table.half(*class, *date, "morning")?,
                DayRule::EveningClosed => table.half(*class, *date, "evening")?,
            };
            table.special.push((day_of(*date), spans));
        }
        Ok(days)
    }
}

/// The phases of every day of every class.
#[derive(Debug, Clone, Default)]
pub(crate) struct Days {
    classes: [Table; Class::ALL.len()],
}

#[derive(Debug, Clone)]
struct Era {
    valid_from: Day,
    /// Whether summer and winter differ.
    seasons: bool,
    sessions: Sessions,
}

#[derive(Debug, Clone, Default)]
struct Table {
    /// By first day, ascending.
    sessions: Vec<Era>,
    /// Days that are not as their sessions say, ascending.
    special: Vec<(Day, Vec<Span>)>,
}

impl Days {
    /// The phases of `day`, ascending; empty when it is closed the whole day.
    pub(crate) fn spans(&self, class: Class, day: Day) -> &[Span] {
        let table = &self.classes[class.index()];
        match table.special.binary_search_by_key(&day, |(day, _)| *day) {
            Ok(at) => &table.special[at].1,
            Err(_) => table.normal(day),
        }
    }
}

impl Table {
    fn era(&self, day: Day) -> Option<&Era> {
        let after = self.sessions.partition_point(|era| era.valid_from <= day);
        self.sessions.get(after.checked_sub(1)?)
    }

    fn normal(&self, day: Day) -> &[Span] {
        // Day 0 was a Thursday.
        let weekend = matches!(day.rem_euclid(7), 2 | 3);
        let Some(era) = self.era(day).filter(|_| !weekend) else {
            return &[];
        };
        if era.seasons && date_of(day).is_some_and(us_daylight_saving) {
            &era.sessions.summer
        } else {
            &era.sessions.winter
        }
    }

    /// What is left of a normal day of which one half is closed.
    fn half(&self, class: Class, date: Date, closed: &'static str) -> Result<Vec<Span>, Error> {
        let normal = self.normal(day_of(date));
        if normal.is_empty() {
            return Ok(Vec::new());
        }
        let evening_from = self
            .era(day_of(date))
            .and_then(|era| era.sessions.evening_from)
            .ok_or(Error::NoHalves {
                class,
                date,
                half: closed,
            })?;
        let (from, to) = if closed == "morning" {
            (evening_from, DAY_MINUTES)
        } else {
            (0, evening_from)
        };
        let left: Vec<Span> = normal
            .iter()
            .map(|span| Span {
                phase: span.phase,
                from: span.from.max(from),
                to: span.to.min(to),
            })
            .filter(|span| span.from < span.to)
            .collect();
        // A day on which nothing trades is no trading day.
        let trades = left.iter().any(|span| span.phase == Phase::Continuous);
        Ok(if trades { left } else { Vec::new() })
    }
}
