//! Reads what a client asks for.

use serde::Deserialize;
use serde_json::Value;
use strikewire_fanout::{Class, Position, SubId};
use strikewire_gateway::{ChainRequest, IndicatorWant, StreamChainRequest, TicksRequest};

use crate::extract::{self, Fields};
use crate::model::user_id;
use crate::settings::Stream as Settings;
use crate::{Code, Problem};

/// The longest text that is echoed as an id.
const ID_LIMIT: usize = 128;

/// Indicators in one subscription.
const INDICATOR_LIMIT: usize = 100;

/// Indicators in one heartbeat.
const HEARTBEAT_LIMIT: usize = 1_000;

/// Bytes of each of the names that an indicator has.
const NAME_LIMIT: usize = 128;

const ACTIONS: [&str; 5] = ["auth", "subscribe", "unsubscribe", "resume", "ping"];
const CHANNELS: [&str; 3] = ["ticks", "chain", "indicators"];

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
struct SubscribeIndicators {
    #[serde(default, deserialize_with = "user_id")]
    user_id: Option<u64>,
    session_id: String,
    subscriptions: Vec<Indicator>,
}

impl Fields for SubscribeIndicators {
    const FIELDS: &'static [&'static str] = &[
        "action",
        "id",
        "channel",
        "user_id",
        "session_id",
        "subscriptions",
    ];
}

#[derive(Debug, Deserialize)]
struct Ping {
    #[serde(default, deserialize_with = "user_id")]
    user_id: Option<u64>,
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    subscriptions: Option<Vec<Indicator>>,
}

impl Fields for Ping {
    const FIELDS: &'static [&'static str] =
        &["action", "id", "user_id", "session_id", "subscriptions"];
}

/// An indicator that a client wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Indicator {
    /// The symbol or token.
    symbol: String,
    /// `5min` and so on.
    timeframe: String,
    /// `RSI_14` and so on.
    #[serde(alias = "indicator_id")]
    indicator: String,
}

/// A session, and the user that is named with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) user: Option<u64>,
    pub(super) session: String,
}

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Action {
    Auth(Auth),
    Ticks(TicksRequest),
    Chain(StreamChainRequest),
    Indicators {
        named: Named,
        wants: Vec<IndicatorWant>,
    },
    Unsubscribe(SubId),
    Ping(Heartbeat),
}

/// What a heartbeat is for.
#[derive(Debug)]
pub(super) enum Heartbeat {
    /// All indicators of the socket, and a session if one is named.
    Socket(Option<Named>),
    /// Some indicators of a session.
    These(Named, Vec<IndicatorWant>),
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
        (Some("subscribe"), Some("indicators")) => indicators(extract::fields(value)?),
        (Some("resume"), Some("chain")) => {
            let ResumeChain(mut fields) = extract::fields(value)?;
            let epoch = fields.epoch.take().ok_or_else(|| missing("epoch"))?;
            let seq = fields.seq.ok_or_else(|| missing("seq"))?;
            chain(fields, Some(Position { epoch, seq }))
        }
        (Some("subscribe"), channel) => Err(not_offered("channel", channel, &CHANNELS)),
        // Ticks and indicators have no sequence: a subscription begins with the latest.
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

fn indicators(body: SubscribeIndicators) -> Result<Action, Problem> {
    if body.subscriptions.is_empty() {
        let detail = "subscriptions: at least one is expected";
        return Err(Problem::new(Code::InvalidValue, detail).field("subscriptions"));
    }
    Ok(Action::Indicators {
        named: Named {
            user: body.user_id,
            session: body.session_id,
        },
        wants: wants(body.subscriptions, INDICATOR_LIMIT)?,
    })
}

fn ping(body: Ping) -> Result<Action, Problem> {
    let user = body.user_id;
    let named = body.session_id.map(|session| Named { user, session });
    let Some(subscriptions) = body.subscriptions else {
        return Ok(Action::Ping(Heartbeat::Socket(named)));
    };
    let named = named.ok_or_else(|| missing("session_id"))?;
    let wants = wants(subscriptions, HEARTBEAT_LIMIT)?;
    Ok(Action::Ping(Heartbeat::These(named, wants)))
}

fn wants(given: Vec<Indicator>, most: usize) -> Result<Vec<IndicatorWant>, Problem> {
    if given.len() > most {
        let detail = format!(
            "subscriptions: {} are given; {most} are accepted",
            given.len()
        );
        return Err(Problem::new(Code::LimitExceeded, detail).field("subscriptions"));
    }
    for (at, one) in given.iter().enumerate() {
        let names = [
            ("symbol", &one.symbol),
            ("timeframe", &one.timeframe),
            ("indicator", &one.indicator),
        ];
        if let Some((name, _)) = names.iter().find(|(_, text)| text.len() > NAME_LIMIT) {
            let field = format!("subscriptions[{at}].{name}");
            let detail = format!("{field}: {NAME_LIMIT} bytes are accepted");
            return Err(Problem::new(Code::InvalidValue, detail).field(field));
        }
    }
    let want = |one: Indicator| IndicatorWant {
        symbol: one.symbol,
        timeframe: one.timeframe,
        indicator: one.indicator,
    };
    Ok(given.into_iter().map(want).collect())
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
