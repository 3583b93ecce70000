//! The texts of answers.

use serde_json::{Value, json};
use strikewire_fanout::SubId;

use strikewire_gateway::studies::IndicatorId;
use strikewire_gateway::{IndicatorLease, IndicatorWant};

use crate::model::HeartbeatResult;
use crate::{Caller, Problem};

/// To an unsubscription.
pub(super) fn ack(id: &Value, sub: SubId) -> String {
    echo(json!({"type": "ack", "sub": sub.0}), id)
}

/// To a subscription of ticks: `tokens` are what the instruments are called in them, in the
/// order in which they were asked for.
pub(super) fn ack_ticks(id: &Value, sub: SubId, tokens: &[String]) -> String {
    echo(json!({"type": "ack", "sub": sub.0, "tokens": tokens}), id)
}

/// To a subscription of a chain; where it was to go on from a position, whether it does.
pub(super) fn ack_chain(id: &Value, sub: SubId, resumed: Option<bool>) -> String {
    let mut ack = json!({"type": "ack", "sub": sub.0});
    if let Some(resumed) = resumed {
        ack["resumed"] = resumed.into();
    }
    echo(ack, id)
}

/// To a subscription of indicators: what they are called in their messages and in REST, in
/// the order in which they were asked for.
pub(super) fn ack_indicators(id: &Value, sub: SubId, leases: &[IndicatorLease]) -> String {
    let result = |lease: &IndicatorLease| {
        json!({
            "symbol": lease.key.symbol(),
            "timeframe": lease.key.timeframe(),
            "indicator_id": lease.key.indicator_id(),
            "key": lease.key.lease_key(),
            "is_new": lease.is_new,
            "ref_count": lease.ref_count,
        })
    };
    let results: Vec<Value> = leases.iter().map(result).collect();
    echo(json!({"type": "ack", "sub": sub.0, "results": results}), id)
}

/// To a client that said who it is.
pub(super) fn welcome(id: &Value, caller: &Caller) -> String {
    let mut ack = json!({"type": "ack", "role": caller.role().as_str()});
    if let Some(user) = caller.user() {
        ack["user_id"] = user.into();
    }
    echo(ack, id)
}

/// To a heartbeat: of each indicator whether it is alive.
pub(super) fn pong(id: &Value, results: Vec<(IndicatorWant, bool)>) -> String {
    let result = |(want, alive): (IndicatorWant, bool)| HeartbeatResult {
        indicator_id: match want.indicator.parse::<IndicatorId>() {
            Ok(known) => known.to_string(),
            Err(_) => want.indicator.clone(),
        },
        symbol: want.symbol,
        timeframe: want.timeframe,
        indicator: want.indicator,
        alive,
    };
    let results: Vec<HeartbeatResult> = results.into_iter().map(result).collect();
    echo(json!({"type": "pong", "results": results}), id)
}

/// To what cannot be done: the members of a problem as REST has them, without those that
/// repeat the code in other words.
pub(super) fn error(id: &Value, problem: &Problem) -> String {
    let mut error = serde_json::to_value(problem).unwrap_or_else(|_| json!({}));
    if let Value::Object(members) = &mut error {
        for name in ["title", "status", "request_id"] {
            members.remove(name);
        }
    }
    error["type"] = "error".into();
    if let Some(seconds) = problem.retry_after {
        error["retry_after"] = seconds.into();
    }
    echo(error, id)
}

fn echo(mut message: Value, id: &Value) -> String {
    if !id.is_null() {
        message["id"] = id.clone();
    }
    message.to_string()
}
