//! Reads the text of a calendar into [`Rules`]. Every value is taken by hand, and not
//! by derived deserialisation, because every error has to name its place.

use jiff::civil::{Date, date};
use toml::{Table, Value};

use crate::class;
use crate::phase::{DAY_MINUTES, Minute, Span};
use crate::rules::{DayRule, Rules, Sessions};
use crate::{Class, Error, Phase};

const TIME: &str = "a time \"HH:MM\" from \"00:00\" to \"24:00\"";
const DATE: &str = "a date such as 2026-02-09, from 2000-01-01 to 2199-12-31";
const PHASE: &str = "a phase: \"pre_open\", \"continuous\" or \"auction\"";
const PHASES: &str =
    "a list of phases such as { phase = \"continuous\", from = \"09:15\", to = \"15:30\" }";
const CLASSES: &str = "a list of classes such as [\"nse_cash\", \"bse_cash\"]";
const CLOSED: &str = "\"day\", \"morning\", \"evening\" or \"none\"";
const SYMBOLS: &str = "a list of symbols such as [\"COTTON\", \"KAPAS\"]";
const TEXT: &str = "a text";

/// Reads a whole text.
pub(crate) fn read(text: &str) -> Result<Rules, Error> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| syntax(text, &error))?;
    let top = Entry {
        place: "the file".to_owned(),
        table: &table,
    };
    top.only(&["sessions", "holidays", "special", "mcx_symbols"])?;
    let mut rules = Rules::default();
    for entry in top.entries("sessions")? {
        sessions(&entry, &mut rules)?;
    }
    for entry in top.entries("holidays")? {
        holidays(&entry, &mut rules)?;
    }
    // A special day may stand on a holiday of the same file, as Muhurat does.
    let mut special = Rules::default();
    for entry in top.entries("special")? {
        special_day(&entry, &mut special)?;
    }
    rules.days.extend(special.days);
    if let Some(value) = table.get("mcx_symbols") {
        symbols(value, &mut rules)?;
    }
    Ok(rules)
}

fn syntax(text: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = &text.as_bytes()[..start];
    Error::Syntax {
        line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
        message: error.message().replace('\n', ", "),
    }
}

fn sessions(entry: &Entry<'_>, rules: &mut Rules) -> Result<(), Error> {
    entry.only(&["classes", "valid_from", "evening_from", "phases", "source"])?;
    entry.text("source")?;
    let valid_from = entry.date("valid_from")?;
    let evening_from = entry
        .get("evening_from")
        .map(|_| entry.time("evening_from"));
    let sessions = Sessions {
        winter: phases(entry, Season::Winter)?,
        summer: phases(entry, Season::Summer)?,
        evening_from: evening_from.transpose()?,
    };
    for class in entry.classes()? {
        let key = (class, valid_from);
        if rules.sessions.insert(key, sessions.clone()).is_some() {
            return Err(entry.twice(format!("{class} from {valid_from}")));
        }
    }
    Ok(())
}

fn holidays(entry: &Entry<'_>, rules: &mut Rules) -> Result<(), Error> {
    entry.only(&["classes", "days", "source"])?;
    entry.text("source")?;
    let classes = entry.classes()?;
    entry.need(
        "days",
        "a list of days such as { date = 2026-01-26, name = \"Republic Day\" }",
    )?;
    for day in entry.entries("days")? {
        day.only(&["date", "name", "closed"])?;
        day.text("name")?;
        let date = day.date("date")?;
        let rule = match day.get("closed").map(Value::as_str) {
            None | Some(Some("day")) => DayRule::Closed,
            Some(Some("morning")) => DayRule::MorningClosed,
            Some(Some("evening")) => DayRule::EveningClosed,
            Some(Some("none")) => DayRule::Normal,
            Some(_) => return Err(day.wrong("closed", CLOSED)),
        };
        for class in &classes {
            if rules.days.insert((*class, date), rule.clone()).is_some() {
                return Err(day.twice(format!("the holiday {date} of {class}")));
            }
        }
    }
    Ok(())
}

fn special_day(entry: &Entry<'_>, rules: &mut Rules) -> Result<(), Error> {
    entry.only(&["classes", "date", "phases", "name", "source"])?;
    entry.text("name")?;
    entry.text("source")?;
    let date = entry.date("date")?;
    let spans = phases(entry, Season::Special)?;
    for class in entry.classes()? {
        let rule = DayRule::Special(spans.clone());
        if rules.days.insert((class, date), rule).is_some() {
            return Err(entry.twice(format!("the special day {date} of {class}")));
        }
    }
    Ok(())
}

fn symbols(value: &Value, rules: &mut Rules) -> Result<(), Error> {
    let place = "mcx_symbols";
    let Some(table) = value.as_table() else {
        return Err(wrong(place.to_owned(), value, "a table [mcx_symbols]"));
    };
    let entry = Entry {
        place: place.to_owned(),
        table,
    };
    let classes = [Class::Mcx, Class::McxAgri, Class::McxAgriEvening];
    entry.only(&classes.map(Class::as_str))?;
    for class in classes {
        for symbol in entry.strings(class.as_str(), SYMBOLS)? {
            let symbol = symbol.to_ascii_uppercase();
            if rules.set_symbol(symbol.clone(), class).is_some() {
                return Err(entry.twice(format!("`{symbol}`")));
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Season {
    Summer,
    Winter,
    /// One day, which has no seasons.
    Special,
}

/// The phases of `entry` in a season, checked.
fn phases(entry: &Entry<'_>, season: Season) -> Result<Vec<Span>, Error> {
    entry.need("phases", PHASES)?;
    let mut spans: Vec<Span> = Vec::new();
    for given in entry.entries("phases")? {
        let known = ["phase", "from", "to", "to_us_dst"];
        given.only(&known[..if season == Season::Special { 3 } else { 4 }])?;
        let phase = match given.need("phase", PHASE)?.as_str() {
            Some("pre_open") => Phase::PreOpen,
            Some("continuous") => Phase::Continuous,
            Some("auction") => Phase::Auction,
            _ => return Err(given.wrong("phase", PHASE)),
        };
        let from = given.time("from")?;
        let mut to = given.time("to")?;
        if season == Season::Summer && given.get("to_us_dst").is_some() {
            to = given.time("to_us_dst")?;
        }
        let span = Span { phase, from, to };
        if from >= to {
            return Err(given.phases(format!(
                "{} does not end after it starts, expected `to` later than `from`",
                show(span)
            )));
        }
        match spans.last_mut() {
            Some(last) if from < last.to => {
                return Err(given.phases(format!(
                    "{} starts before {} ends, expected phases in order that do not overlap",
                    show(span),
                    show(*last)
                )));
            }
            Some(last) if from == last.to && phase == last.phase => last.to = to,
            _ => spans.push(span),
        }
    }
    if spans.iter().all(|span| span.phase != Phase::Continuous) {
        return Err(entry.phases(
            "`phases` has no continuous phase, expected at least one (a day without trading \
             is a holiday)"
                .to_owned(),
        ));
    }
    if let Some(last) = spans.last().filter(|span| span.phase == Phase::PreOpen) {
        return Err(entry.phases(format!(
            "{} is the last phase, expected a pre-open to be followed by another phase",
            show(*last)
        )));
    }
    Ok(spans)
}

fn show(span: Span) -> String {
    let time = |minute: Minute| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{} {}-{}", span.phase, time(span.from), time(span.to))
}

/// A table of the text and where it is.
struct Entry<'a> {
    place: String,
    table: &'a Table,
}

impl<'a> Entry<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.table.get(key)
    }

    fn need(&self, key: &'static str, expected: &'static str) -> Result<&'a Value, Error> {
        self.get(key).ok_or_else(|| Error::Missing {
            place: self.place.clone(),
            key,
            expected,
        })
    }

    /// Refuses keys other than `known`.
    fn only(&self, known: &[&str]) -> Result<(), Error> {
        let unknown = self.table.keys().find(|key| !known.contains(&key.as_str()));
        unknown.map_or(Ok(()), |key| {
            Err(Error::UnknownKey {
                place: self.place.clone(),
                key: cut(key),
                expected: format!("one of {}", known.join(", ")),
            })
        })
    }

    /// The tables of the list at `key`; none if it is absent.
    fn entries(&self, key: &'static str) -> Result<Vec<Entry<'a>>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let Some(items) = value.as_array() else {
            return Err(self.wrong(key, "a list of tables"));
        };
        let prefix = match self.place.as_str() {
            "the file" => String::new(),
            place => format!("{place}, "),
        };
        let entry = |(index, item): (usize, &'a Value)| {
            let place = format!("{prefix}{key} {}", index + 1);
            match item.as_table() {
                Some(table) => Ok(Entry { place, table }),
                None => Err(wrong(place, item, "a table")),
            }
        };
        items.iter().enumerate().map(entry).collect()
    }

    /// The texts of the list at `key`; none if it is absent.
    fn strings(&self, key: &str, expected: &'static str) -> Result<Vec<&'a str>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let items = value.as_array().ok_or_else(|| self.wrong(key, expected))?;
        let text = |item: &'a Value| match item.as_str() {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(wrong(format!("{}, {key}", self.place), item, expected)),
        };
        items.iter().map(text).collect()
    }

    fn classes(&self) -> Result<Vec<Class>, Error> {
        self.need("classes", CLASSES)?;
        let names = self.strings("classes", CLASSES)?;
        if names.is_empty() {
            return Err(self.wrong("classes", CLASSES));
        }
        let class = |name: &str| {
            name.parse().map_err(|_| Error::Value {
                place: format!("{}, classes", self.place),
                found: format!("`{}`", cut(name)),
                expected: class::EXPECTED.to_owned(),
            })
        };
        names.into_iter().map(class).collect()
    }

    /// Accepts a text or nothing at `key`: what is only for people.
    fn text(&self, key: &str) -> Result<(), Error> {
        match self.get(key) {
            Some(value) if !value.is_str() => Err(self.wrong(key, TEXT)),
            _ => Ok(()),
        }
    }

    fn time(&self, key: &'static str) -> Result<Minute, Error> {
        let text = self.need(key, TIME)?.as_str();
        text.and_then(minute).ok_or_else(|| self.wrong(key, TIME))
    }

    fn date(&self, key: &'static str) -> Result<Date, Error> {
        let date = match self.need(key, DATE)? {
            Value::Datetime(given) => day(*given),
            Value::String(text) => text.parse().ok().and_then(day),
            _ => None,
        };
        date.ok_or_else(|| self.wrong(key, DATE))
    }

    /// The error that the value at `key` is not `expected`.
    fn wrong(&self, key: &str, expected: &str) -> Error {
        let place = match self.place.as_str() {
            "the file" => key.to_owned(),
            place => format!("{place}, {key}"),
        };
        self.get(key).map_or_else(
            || Error::Value {
                place: place.clone(),
                found: "nothing".to_owned(),
                expected: expected.to_owned(),
            },
            |value| wrong(place.clone(), value, expected),
        )
    }

    fn phases(&self, reason: String) -> Error {
        Error::Phases {
            place: self.place.clone(),
            reason,
        }
    }

    fn twice(&self, what: String) -> Error {
        Error::Twice {
            place: self.place.clone(),
            what,
        }
    }
}

fn wrong(place: String, value: &Value, expected: &str) -> Error {
    let found = match value {
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::String(text) => format!("`{}`", cut(text)),
        other => format!("`{}`", cut(&other.to_string())),
    };
    Error::Value {
        place,
        found,
        expected: expected.to_owned(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Minutes since midnight of `HH:MM`.
fn minute(text: &str) -> Option<Minute> {
    let [h1, h2, b':', m1, m2] = *text.as_bytes() else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| Minute::from(byte - b'0'));
    let hours = digit(h1)? * 10 + digit(h2)?;
    let minutes = digit(m1)? * 10 + digit(m2)?;
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY_MINUTES).then_some(total)
}

/// The day of a TOML date that has no time and no offset.
fn day(given: toml::value::Datetime) -> Option<Date> {
    let (Some(given), None, None) = (given.date, given.time, given.offset) else {
        return None;
    };
    let year = i16::try_from(given.year).ok()?;
    let month = i8::try_from(given.month).ok()?;
    let day = Date::new(year, month, i8::try_from(given.day).ok()?).ok()?;
    (date(2000, 1, 1)..=date(2199, 12, 31))
        .contains(&day)
        .then_some(day)
}

#[cfg(test)]
mod tests;
