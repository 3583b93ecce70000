//! What a chain really is, and what the stream says of it: each delta is found by comparing
//! two states field by field.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Map, Value, json};

/// A state: `chain`, and `quotes` by token.
pub(crate) type State = Value;

/// So many states, and the messages that lead from each to the next: a snapshot and deltas.
pub(crate) fn history(seed: u64, count: u64) -> (Vec<State>, Vec<Value>) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut states: Vec<State> = Vec::new();
    let mut messages = Vec::new();
    for at in 0..count {
        let state = next(&mut rng, states.last());
        messages.push(match states.last() {
            None => json!({"type": "snapshot", "epoch": "e", "seq": 7,
                           "chain": state["chain"], "quotes": state["quotes"]}),
            Some(before) => delta(before, &state, 7 + at),
        });
        states.push(state);
    }
    (states, messages)
}

/// A state that differs from `before` here and there.
fn next(rng: &mut Pcg64Mcg, before: Option<&State>) -> State {
    let mut state = before
        .cloned()
        .unwrap_or(json!({"chain": {}, "quotes": {}}));
    change(
        rng,
        state["chain"].as_object_mut().unwrap(),
        &["live_ltp", "price_time", "lot_size"],
    );
    if rng.random_ratio(1, 5) || before.is_none() {
        // It rolls.
        let first = rng.random_range(1..6);
        state["chain"]["strikes"] = (first..first + 3).collect();
        let legs = (first..first + 3).map(|strike| {
            let names = json!({"CE": format!("{strike}CE"), "PE": format!("{strike}PE")});
            (strike.to_string(), names)
        });
        state["chain"]["strikes_ce_pe"] = Value::Object(legs.collect());
    }
    let tokens: Vec<String> = state["chain"]["strikes_ce_pe"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|legs| ["CE", "PE"].map(|leg| legs[leg].as_str().unwrap().to_owned()))
        .collect();
    let quotes = state["quotes"].as_object_mut().unwrap();
    quotes.retain(|token, _| tokens.contains(token));
    for token in tokens {
        if rng.random_bool(0.5) {
            let quote = quotes.entry(token).or_insert_with(|| json!({}));
            change(
                rng,
                quote.as_object_mut().unwrap(),
                &["ltp", "oi", "bid", "depth"],
            );
        }
    }
    state
}

fn change(rng: &mut Pcg64Mcg, fields: &mut Map<String, Value>, names: &[&str]) {
    let values = [
        json!(1.05),
        json!(2),
        json!("x"),
        json!([{"bid": 3}]),
        json!(0),
        json!(false),
    ];
    for name in names {
        match rng.random_range(0..4) {
            0 => {
                fields.remove(*name);
            }
            1 => {
                let value = values.choose(rng).unwrap().clone();
                fields.insert((*name).to_owned(), value);
            }
            _ => {}
        }
    }
}

fn delta(before: &State, after: &State, seq: u64) -> Value {
    let mut set = Map::new();
    for (token, quote) in after["quotes"].as_object().unwrap() {
        let changes = changed(&before["quotes"][token], quote);
        if before["quotes"].get(token).is_none() || changes != json!({}) {
            set.insert(token.clone(), changes);
        }
    }
    let gone = before["quotes"].as_object().unwrap().keys();
    let gone: Vec<&String> = gone
        .filter(|token| after["quotes"].get(*token).is_none())
        .collect();
    json!({"type": "delta", "epoch": "e", "seq": seq,
           "chain": changed(&before["chain"], &after["chain"]), "set": set, "remove": gone})
}

/// The fields that differ; null for those that are gone.
fn changed(before: &Value, after: &Value) -> Value {
    let mut changes = Map::new();
    for (name, value) in after.as_object().unwrap() {
        if before.get(name) != Some(value) {
            changes.insert(name.clone(), value.clone());
        }
    }
    for name in before.as_object().into_iter().flat_map(Map::keys) {
        if after.get(name).is_none() {
            changes.insert(name.clone(), Value::Null);
        }
    }
    Value::Object(changes)
}
