//! Reads what a client asks for.

use serde::Deserialize;
use serde_json::Value;
use strikewire_fanout::{Class, Position, SubId};
use strikewire_gateway::{ChainRequest, StreamChainRequest, TicksRequest};

use crate::access::Sessions;
use crate::extract::{self, Fields};
use crate::settings::Stream as Settings;
use crate::{Code, Problem};

/// The longest text that is echoed as an id.
const ID_LIMIT: usize = 128;

/// Indicators in one heartbeat.
const HEARTBEAT_LIMIT: usize = 1_000;

const ACTIONS: [&str; 5] = ["auth", "subscribe", "unsubscribe", "resume", "ping"];
const CHANNELS: [&str; 2] = ["ticks", "chain"];

/// Says who the client is.
#[derive(Deserialize)]
pub(super) struct Auth {
    pub(super) key: String,
}

impl core::fmt::Debug for Auth {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

impl Fields for Auth {
    const FIELDS: &'static [&'static str] = &["action", "id", "key"];
}

#[derive(Debug, Deserialize)]
struct SubscribeTicks {
    instruments: Vec<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    conflate_ms: Option<u32>,
}

impl Fields for SubscribeTicks {
    const FIELDS: &'static [&'static str] = &[
        "action",
        "id",
        "channel",
        "instruments",
        "mode",
        "conflate_ms",
    ];
}

/// A chain, and where an earlier subscription of it ended.
#[derive(Debug, Deserialize)]
struct ChainFields {
    symbol: String,
    #[serde(default)]
    expiry: Option<String>,
    #[serde(default)]
    exchange: Option<String>,
    #[serde(default)]
    underlying_ltp: Option<f64>,
    #[serde(default)]
    width: Option<i64>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    follow: Option<bool>,
    #[serde(default)]
    conflate_ms: Option<u32>,
    #[serde(default)]
    epoch: Option<String>,
    #[serde(default)]
    seq: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct SubscribeChain(ChainFields);

impl Fields for SubscribeChain {
    const FIELDS: &'static [&'static str] = &[
        "action",
        "id",
        "channel",
        "symbol",
        "expiry",
        "exchange",
        "underlying_ltp",
        "width",
        "mode",
        "follow",
        "conflate_ms",
    ];
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct ResumeChain(ChainFields);

impl Fields for ResumeChain {
    const FIELDS: &'static [&'static str] = &[
        "action",
        "id",
        "channel",
        "symbol",
        "expiry",
        "exchange",
        "underlying_ltp",
        "width",
        "mode",
        "follow",
        "conflate_ms",
        "epoch",
        "seq",
    ];
}

#[derive(Debug, Deserialize)]
struct Unsubscribe {
    sub: u64,
}

impl Fields for Unsubscribe {
    const FIELDS: &'static [&'static str] = &["action", "id", "sub"];
}

#[derive(Debug, Deserialize)]
struct Ping {
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    subscriptions: Vec<Indicator>,
}

impl Fields for Ping {
    const FIELDS: &'static [&'static str] = &["action", "id", "session_id", "subscriptions"];
}

/// An indicator that a client says it still wants.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Indicator {
    /// The symbol or token.
    #[serde(rename = "symbol")]
    _symbol: String,
    /// `5min` and so on.
    #[serde(rename = "timeframe")]
    _timeframe: String,
    /// `RSI_14` and so on.
    #[serde(alias = "indicator_id")]
    pub(super) indicator: String,
}

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Action {
    Auth(Auth),
    Ticks(TicksRequest),
    Chain(StreamChainRequest),
    Unsubscribe(SubId),
    Ping {
        session: Option<String>,
        indicators: Vec<Indicator>,
    },
}

/// Reads a message: its id, to be echoed, and what it asks for.
pub(super) fn parse(text: &str, settings: &Settings) -> (Value, Result<Action, Problem>) {
    match object(text) {
        Ok((id, value)) => (id, action(value, settings)),
        Err((id, problem)) => (id, Err(problem)),
    }
}

/// Reads a message that can only be one that says who the client is.
pub(super) fn auth(text: &str) -> (Value, Result<Auth, Problem>) {
    let (id, value) = match object(text) {
        Ok(read) => read,
        Err((id, problem)) => return (id, Err(problem)),
    };
    let auth = match value.get("action").and_then(Value::as_str) {
        Some("auth") => extract::fields(value),
        action => Err(not_offered("action", action, &["auth"])),
    };
    (id, auth)
}

/// The id of a message that is not looked at any further.
pub(super) fn id_of(text: &str) -> Value {
    #[derive(Deserialize)]
    struct Id {
        #[serde(default)]
        id: Value,
    }
    let read: Result<Id, _> = serde_json::from_str(text);
    read.map(|read| read.id)
        .ok()
        .filter(may_be_echoed)
        .unwrap_or_default()
}

/// A number, or a text that is not too long.
fn may_be_echoed(id: &Value) -> bool {
    match id {
        Value::Null | Value::Number(_) => true,
        Value::String(text) => text.len() <= ID_LIMIT,
        _ => false,
    }
}

fn object(text: &str) -> Result<(Value, Value), (Value, Problem)> {
    let value: Value = serde_json::from_str(text).map_err(|problem| {
        let detail = format!("the message is not JSON: {problem}");
        (Value::Null, Problem::new(Code::InvalidJson, detail))
    })?;
    let id = value.get("id").cloned().unwrap_or_default();
    if may_be_echoed(&id) {
        return Ok((id, value));
    }
    let detail = format!("id: a number, or a text of {ID_LIMIT} bytes at most, is expected");
    let problem = Problem::new(Code::InvalidValue, detail).field("id");
    Err((Value::Null, problem))
}

fn action(value: Value, settings: &Settings) -> Result<Action, Problem> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    match (text("action"), text("channel")) {
        (Some("subscribe"), Some("ticks")) => ticks(extract::fields(value)?, settings),
        (Some("subscribe"), Some("chain")) => {
            let SubscribeChain(fields) = extract::fields(value)?;
            chain(fields, None)
        }
        (Some("resume"), Some("chain")) => {
            let ResumeChain(mut fields) = extract::fields(value)?;
            let epoch = fields.epoch.take().ok_or_else(|| missing("epoch"))?;
            let seq = fields.seq.ok_or_else(|| missing("seq"))?;
            chain(fields, Some(Position { epoch, seq }))
        }
        (Some("subscribe"), channel) => Err(not_offered("channel", channel, &CHANNELS)),
        // Ticks have no sequence: a subscription of them begins with the latest.
        (Some("resume"), channel) => Err(not_offered("channel", channel, &["chain"])),
        (Some("unsubscribe"), _) => {
            let body: Unsubscribe = extract::fields(value)?;
            Ok(Action::Unsubscribe(SubId(body.sub)))
        }
        (Some("ping"), _) => ping(extract::fields(value)?),
        (Some("auth"), _) => extract::fields(value).map(Action::Auth),
        (action, _) => Err(not_offered("action", action, &ACTIONS)),
    }
}

fn not_offered(field: &str, given: Option<&str>, choices: &[&str]) -> Problem {
    let detail = match given {
        Some(given) => {
            let given: String = given.chars().take(ID_LIMIT).collect();
            format!("{field}: `{given}` is not offered")
        }
        None => format!("{field}: a text is expected"),
    };
    Problem::new(Code::InvalidValue, detail)
        .field(field)
        .choices(choices.iter().map(ToString::to_string).collect())
}

fn missing(field: &str) -> Problem {
    Problem::new(Code::MissingField, format!("the field {field} is missing")).field(field)
}

fn ticks(body: SubscribeTicks, settings: &Settings) -> Result<Action, Problem> {
    let class = class(body.conflate_ms)?;
    let limit = if class == Class::BATCH {
        Class::BATCH_INSTRUMENTS.min(settings.instruments)
    } else {
        settings.instruments
    };
    let given = body.instruments.len();
    if given == 0 {
        let detail = "instruments: at least one is expected";
        return Err(Problem::new(Code::InvalidValue, detail).field("instruments"));
    }
    if given > limit {
        let detail = format!("instruments: {given} are given; {limit} are accepted");
        return Err(Problem::new(Code::LimitExceeded, detail).field("instruments"));
    }
    Ok(Action::Ticks(TicksRequest {
        instruments: body.instruments,
        mode: extract::parse("mode", body.mode.as_deref())?,
        class,
    }))
}

fn chain(body: ChainFields, resume: Option<Position>) -> Result<Action, Problem> {
    Ok(Action::Chain(StreamChainRequest {
        chain: ChainRequest {
            symbol: body.symbol,
            expiry: extract::parse("expiry", body.expiry.as_deref())?,
            exchange: extract::parse("exchange", body.exchange.as_deref())?,
            price: extract::price("underlying_ltp", body.underlying_ltp)?,
            width: extract::width(body.width)?,
            force: false,
        },
        mode: extract::parse("mode", body.mode.as_deref())?,
        follow: body.follow.unwrap_or(true),
        class: class(body.conflate_ms)?,
        resume,
    }))
}

fn ping(body: Ping) -> Result<Action, Problem> {
    if let Some(session) = &body.session_id
        && !Sessions::is_id(session)
    {
        let detail = "session_id: 1 to 128 of A-Z, a-z, 0-9, `.`, `_` and `-` are expected";
        return Err(Problem::new(Code::InvalidValue, detail).field("session_id"));
    }
    let given = body.subscriptions.len();
    if given > HEARTBEAT_LIMIT {
        let detail = format!("subscriptions: {given} are given; {HEARTBEAT_LIMIT} are accepted");
        return Err(Problem::new(Code::LimitExceeded, detail).field("subscriptions"));
    }
    Ok(Action::Ping {
        session: body.session_id,
        indicators: body.subscriptions,
    })
}

fn class(ms: Option<u32>) -> Result<Class, Problem> {
    let Some(ms) = ms else {
        return Ok(Class::default());
    };
    Class::from_ms(ms).ok_or_else(|| {
        Problem::new(
            Code::InvalidValue,
            format!("conflate_ms: {ms} is not offered"),
        )
        .field("conflate_ms")
        .choices(
            Class::ALL
                .iter()
                .map(|class| class.ms().to_string())
                .collect(),
        )
    })
}

#[cfg(test)]
mod tests;
