//! The TOML of a script. Walked by hand, so that every complaint has its line and says
//! what would have been accepted.

use core::ops::RangeInclusive;
use core::time::Duration;

use jiff::civil::Time;
use strikewire_dhan::wire::code;
use strikewire_types::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, MAX_ENTRIES, SHORTEST, Script, When, duration};
use crate::Error;
use crate::faults::{Fault, Incident, MAX_COALESCED, MAX_NOISE, Sockets, Token};

/// A script is written by hand.
const MAX_BYTES: usize = 1 << 20;

const WHEN: [&str; 7] = [
    "at",
    "after",
    "age",
    "jitter",
    "after_packets",
    "every",
    "times",
];
const WHERE: [&str; 2] = ["sockets", "random"];

/// The kinds and the keys that each has of its own.
const KINDS: [(&str, &[&str]); 24] = [
    ("reset", &[]),
    ("close", &["code", "reason"]),
    ("disconnect", &["code"]),
    ("displace", &["connections"]),
    ("refuse", &["status", "retry_after"]),
    ("hang", &[]),
    ("mute", &[]),
    ("stall", &[]),
    ("out_of_hours", &[]),
    ("deaf", &[]),
    ("drop_subscriptions", &["share"]),
    ("ignore_unsubscribe", &[]),
    ("delay", &["by"]),
    ("coalesce", &["packets"]),
    ("split", &["bytes"]),
    ("zeros", &["frames_per_s"]),
    ("garbage", &["frames_per_s"]),
    ("unknown", &["code", "length"]),
    ("market_status", &["segment", "state"]),
    ("slow_reader", &["bytes_per_s"]),
    ("clock_skew", &["by"]),
    ("token_expired", &[]),
    ("token_rollover", &["token", "grace"]),
    ("rest_error", &["status"]),
];

pub(super) fn script(text: &str) -> Result<Script, Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::Script {
            line: 1,
            problem: format!("it has more than {MAX_BYTES} bytes"),
        });
    }
    let root = DeTable::parse(text).map_err(|error| Error::Script {
        line: line_at(text, error.span().map_or(0, |span| span.start)),
        problem: error.message().trim_end_matches('.').to_owned(),
    })?;
    let root = Table {
        text,
        start: 0,
        table: root.get_ref(),
    };
    root.allow("in a script", &["seed", "fault"])?;
    let seed = root.number("seed", 0..=i64::MAX)?;
    let mut script = Script::default();
    if let Some(seed) = seed {
        script.seed = seed.unsigned_abs();
    }
    let Some(faults) = root.table.get("fault") else {
        return Ok(script);
    };
    let expected = "tables, each under [[fault]]";
    let Some(list) = faults.get_ref().as_array() else {
        return Err(root.wrong("fault", faults, expected));
    };
    for item in list {
        let Some(table) = item.get_ref().as_table() else {
            return Err(root.wrong("fault", item, expected));
        };
        let table = Table {
            text,
            start: item.span().start,
            table,
        };
        if script.entries.len() == MAX_ENTRIES {
            return Err(table.error(format!("more than {MAX_ENTRIES} faults")));
        }
        script.entries.push(entry(&table)?);
    }
    Ok(script)
}

fn entry(table: &Table<'_, '_>) -> Result<Entry, Error> {
    let kinds = KINDS.map(|(kind, _)| kind);
    let kind = table.required("kind", "the name of a kind", DeValue::as_str)?;
    let Some((kind, own)) = KINDS.into_iter().find(|(known, _)| *known == kind) else {
        return Err(table.error_at("kind", unknown("there is no kind", kind, &kinds)));
    };
    let allowed: Vec<&str> = ["kind", "for"]
        .into_iter()
        .chain(WHEN)
        .chain(WHERE)
        .chain(own.iter().copied())
        .collect();
    table.allow(&format!("in a fault of kind `{kind}`"), &allowed)?;
    let fault = fault(table, kind)?;
    let (when, every) = when(table, &fault)?;
    let times = table.number("times", 1..=i64::from(u32::MAX))?;
    if times.is_some() && every.is_none() {
        return Err(table.error_at("times", "`times` goes with `every` only".to_owned()));
    }
    Ok(Entry {
        when,
        every,
        times: times.and_then(|times| u32::try_from(times).ok()),
        incident: incident(table, fault)?,
    })
}

fn fault(table: &Table<'_, '_>, kind: &'static str) -> Result<Fault, Error> {
    Ok(match kind {
        "reset" => Fault::Reset,
        "close" => Fault::Close {
            code: table.required(
                "code",
                "a close code from 1000 to 4999 that may be sent (not 1004, 1005, 1006 or 1015)",
                |value| {
                    let code = integer(value)?;
                    let may_be_sent =
                        (1000..=4999).contains(&code) && ![1004, 1005, 1006, 1015].contains(&code);
                    may_be_sent.then(|| u16::try_from(code).ok()).flatten()
                },
            )?,
            reason: table
                .convert("reason", "a text of 123 bytes at most", |value| {
                    value.as_str().filter(|text| text.len() <= 123)
                })?
                .unwrap_or_default()
                .to_owned(),
        },
        "disconnect" => Fault::Disconnect {
            code: table.must("code", 0..=65_535)?,
        },
        "displace" => Fault::Displace {
            connections: table.or("connections", 1..=100, 1)?,
        },
        "refuse" => Fault::Refuse {
            status: table.must("status", 300..=599)?,
            retry_after: table.duration("retry_after")?,
        },
        "hang" => Fault::Hang,
        "mute" => Fault::Mute,
        "stall" => Fault::Stall,
        "out_of_hours" => Fault::OutOfHours,
        "deaf" => Fault::Deaf,
        "drop_subscriptions" => Fault::DropSubscriptions {
            share: table.required("share", "a share from 0 to 1", |value| {
                number(value).filter(|share| (0.0..=1.0).contains(share))
            })?,
        },
        "ignore_unsubscribe" => Fault::IgnoreUnsubscribe,
        "delay" => Fault::Delay {
            by: table.required("by", duration::EXPECTED, |value| {
                duration::parse(value.as_str()?)
            })?,
        },
        "coalesce" => Fault::Coalesce {
            packets: table.must("packets", 1..=MAX_COALESCED as i64)?,
        },
        "split" => Fault::Split {
            bytes: table.must("bytes", 1..=65_536)?,
        },
        "zeros" => Fault::Zeros {
            frames_per_s: table.must("frames_per_s", 1..=i64::from(MAX_NOISE))?,
        },
        "garbage" => Fault::Garbage {
            frames_per_s: table.must("frames_per_s", 1..=i64::from(MAX_NOISE))?,
        },
        "unknown" => Fault::Unknown {
            code: table.required(
                "code",
                "a code from 0 to 255 that is none of 2, 3, 4, 5, 6, 7, 8 and 50",
                |value| u8::try_from(integer(value)?).ok().filter(is_unknown),
            )?,
            length: table.must("length", 8..=1_000)?,
        },
        "market_status" => Fault::MarketStatus {
            segment: table.required("segment", "a segment such as \"NSE_EQ\"", |value| {
                value.as_str()?.parse::<Segment>().ok()
            })?,
            state: table.or("state", 0..=i64::from(u32::MAX), 0)?,
        },
        "slow_reader" => Fault::SlowReader {
            bytes_per_s: table.must("bytes_per_s", 20..=1_000_000)?,
        },
        "clock_skew" => Fault::ClockSkew {
            seconds: table.required(
                "by",
                "a duration of whole seconds such as \"5s\" or \"-2m\"",
                |value| duration::parse_signed_seconds(value.as_str()?),
            )?,
        },
        "token_expired" => Fault::TokenExpired,
        "token_rollover" => Fault::TokenRollover {
            token: table
                .required("token", "a text that is not empty", |value| {
                    value.as_str().filter(|token| !token.is_empty())
                })
                .map(Token::from)?,
            grace: table.duration("grace")?.unwrap_or_default(),
        },
        // The only one left: kinds were looked up before.
        _ => Fault::RestError {
            status: table.must("status", 300..=599)?,
        },
    })
}

pub(crate) fn is_unknown(code: &u8) -> bool {
    !matches!(
        *code,
        code::TICKER
            | code::V1_DEPTH
            | code::QUOTE
            | code::OI
            | code::PREV_CLOSE
            | code::MARKET_STATUS
            | code::FULL
            | code::DISCONNECT
    )
}

fn when(table: &Table<'_, '_>, fault: &Fault) -> Result<(When, Option<Duration>), Error> {
    let at = table.convert(
        "at",
        "a time of day in India such as \"09:20:00\"",
        |value| match value {
            DeValue::String(text) => text.parse::<Time>().ok(),
            DeValue::Datetime(time) => time.to_string().parse::<Time>().ok(),
            _ => None,
        },
    )?;
    let after = table.duration("after")?;
    let age = table.duration("age")?;
    let jitter = table.duration("jitter")?;
    let after_packets = table.number("after_packets", 1..=i64::MAX)?;
    let every = table.duration("every")?;
    if every.is_some_and(|every| every < SHORTEST) {
        return Err(table.error_at("every", "`every` is less than 10ms".to_owned()));
    }
    if jitter.is_some() && age.is_none() {
        return Err(table.error_at("jitter", "`jitter` goes with `age` only".to_owned()));
    }
    if age.is_some() && fault.is_of_account() {
        let problem = format!(
            "`{}` is of the account and has no age: `at`, `after`, `after_packets` or `every`",
            fault.kind()
        );
        return Err(table.error_at("age", problem));
    }
    let mut ways = [
        at.map(When::At),
        after.map(When::After),
        age.map(|after| When::Age {
            after,
            jitter: jitter.unwrap_or_default(),
        }),
        after_packets.map(|packets| When::AfterPackets(packets.unsigned_abs())),
    ]
    .into_iter()
    .flatten();
    let way = ways.next();
    if ways.next().is_some() {
        return Err(table.error(
            "only one of `at`, `after`, `age` and `after_packets` can say when".to_owned(),
        ));
    }
    match (way, every) {
        (Some(When::AfterPackets(_)), Some(_)) => Err(table.error_at(
            "every",
            "`every` does not go with `after_packets`".to_owned(),
        )),
        (Some(when), every) => Ok((when, every)),
        (None, Some(every)) => Ok((When::After(every), Some(every))),
        (None, None) => Err(table.error(
            "nothing says when: `at`, `after`, `age`, `after_packets` or `every`".to_owned(),
        )),
    }
}

fn incident(table: &Table<'_, '_>, fault: Fault) -> Result<Incident, Error> {
    let kind = fault.kind();
    let listed = table.convert(
        "sockets",
        "\"all\" or a list of positions from 1 to 1000",
        |value| match value {
            DeValue::String(text) => (text.as_ref() == "all").then_some(Sockets::All),
            DeValue::Array(list) => {
                let positions: Option<Vec<usize>> = list
                    .iter()
                    .map(|item| {
                        let position = integer(item.get_ref())?;
                        let fits = (1..=1_000).contains(&position);
                        fits.then(|| usize::try_from(position).ok()).flatten()
                    })
                    .collect();
                positions
                    .filter(|list| !list.is_empty() && list.len() <= 1_000)
                    .map(Sockets::Positions)
            }
            _ => None,
        },
    )?;
    let random = table.number("random", 1..=1_000)?;
    if fault.is_of_account() {
        for name in WHERE {
            if table.table.contains_key(name) {
                let problem = format!("`{kind}` is of the account: `{name}` means nothing to it");
                return Err(table.error_at(name, problem));
            }
        }
    }
    let sockets = match (listed, random) {
        (Some(_), Some(_)) => {
            let problem = "only one of `sockets` and `random` can say where".to_owned();
            return Err(table.error_at("random", problem));
        }
        (Some(sockets), None) => sockets,
        (None, Some(count)) => {
            for name in ["age", "after_packets"] {
                if table.table.contains_key(name) {
                    let problem = format!("`random` does not go with `{name}`");
                    return Err(table.error_at("random", problem));
                }
            }
            Sockets::Random(usize::try_from(count).unwrap_or(usize::MAX))
        }
        (None, None) => Sockets::All,
    };
    let lasts = table.duration("for")?;
    if lasts.is_some() && !fault.lasts() {
        let problem = format!("`{kind}` happens at once: `for` means nothing to it");
        return Err(table.error_at("for", problem));
    }
    Ok(Incident {
        fault,
        sockets,
        lasts,
    })
}

/// A table and where it stands.
struct Table<'a, 'i> {
    text: &'a str,
    start: usize,
    table: &'a DeTable<'i>,
}

impl<'a, 'i> Table<'a, 'i> {
    fn error(&self, problem: String) -> Error {
        Error::Script {
            line: line_at(self.text, self.start),
            problem,
        }
    }

    fn error_at(&self, name: &str, problem: String) -> Error {
        let start = self
            .table
            .get_key_value(name)
            .map_or(self.start, |(key, _)| key.span().start);
        Error::Script {
            line: line_at(self.text, start),
            problem,
        }
    }

    fn wrong(&self, name: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Error {
        Error::Script {
            line: line_at(self.text, value.span().start),
            problem: format!("`{name}` must be {expected}"),
        }
    }

    /// Refuses keys that are not `names`.
    fn allow(&self, place: &str, names: &[&str]) -> Result<(), Error> {
        // By line, not by name: the first one is the one to look at.
        let stranger = self
            .table
            .keys()
            .filter(|key| !names.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        let Some(stranger) = stranger else {
            return Ok(());
        };
        let what = format!("{place} there is no key");
        Err(Error::Script {
            line: line_at(self.text, stranger.span().start),
            problem: unknown(&what, stranger.get_ref(), names),
        })
    }

    fn convert<T>(
        &self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&'a DeValue<'i>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.table.get(name) else {
            return Ok(None);
        };
        match convert(value.get_ref()) {
            Some(converted) => Ok(Some(converted)),
            None => Err(self.wrong(name, value, expected)),
        }
    }

    fn required<T>(
        &self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&'a DeValue<'i>) -> Option<T>,
    ) -> Result<T, Error> {
        self.convert(name, expected, convert)?
            .ok_or_else(|| self.error(format!("`{name}` is missing: {expected}")))
    }

    fn number(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Error> {
        self.convert(name, &between(&range), |value| {
            integer(value).filter(|number| range.contains(number))
        })
    }

    /// A number that must be there. Its type has room for `range`.
    fn must<T: TryFrom<i64>>(&self, name: &str, range: RangeInclusive<i64>) -> Result<T, Error> {
        self.required(name, &between(&range), |value| {
            let number = integer(value).filter(|number| range.contains(number))?;
            T::try_from(number).ok()
        })
    }

    fn or<T: TryFrom<i64>>(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        default: T,
    ) -> Result<T, Error> {
        if self.table.contains_key(name) {
            self.must(name, range)
        } else {
            Ok(default)
        }
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>, Error> {
        self.convert(name, duration::EXPECTED, |value| {
            duration::parse(value.as_str()?)
        })
    }
}

fn between(range: &RangeInclusive<i64>) -> String {
    match (*range.start(), *range.end()) {
        (start, i64::MAX) => format!("a whole number from {start} on"),
        (start, end) => format!("a whole number from {start} to {end}"),
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        _ => integer(value).map(|integer| integer as f64),
    }
}

/// Counted from 1.
fn line_at(text: &str, start: usize) -> usize {
    let before = text.as_bytes().iter().take(start);
    before.filter(|byte| **byte == b'\n').count() + 1
}

/// Says that there is no such name, and which one may have been meant.
fn unknown(what: &str, name: &str, names: &[&str]) -> String {
    // What follows is a message, not a place for pages of text.
    let shown: String = name.chars().take(40).collect();
    let near = names
        .iter()
        .map(|known| (strsim::jaro_winkler(known, &shown), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((likeness, known)) if likeness > 0.75 => {
            format!("{what} `{shown}`, did you mean `{known}`?")
        }
        _ => format!("{what} `{shown}`, only {}", names.join(", ")),
    }
}
