//! Examples of requests and answers: real ones, which the test of the documentation plays
//! and writes.

use serde_json::{Map, Value};

/// By the operation's id: `request`, `answer`, or by a component's name: `examples`.
const EXAMPLES: &str = include_str!("examples.json");

/// Puts the examples where they belong.
pub(super) fn add(document: &mut Value) {
    let Ok(Value::Object(examples)) = serde_json::from_str::<Value>(EXAMPLES) else {
        return;
    };
    if let Some(Value::Object(paths)) = document.get_mut("paths") {
        let operations = paths
            .values_mut()
            .filter_map(Value::as_object_mut)
            .flat_map(|item| item.values_mut());
        for operation in operations {
            let id = operation["operationId"].as_str().unwrap_or_default();
            if let Some(Value::Object(example)) = examples.get(id) {
                add_to(operation, example);
            }
        }
    }
    for name in ["StreamClientMessage", "StreamServerMessage"] {
        if let Some(messages) = examples.get(name) {
            document["components"]["schemas"][name]["examples"] = messages.clone();
        }
    }
}

fn add_to(operation: &mut Value, example: &Map<String, Value>) {
    if let Some(request) = example.get("request") {
        operation["requestBody"]["content"]["application/json"]["example"] = request.clone();
    }
    if let Some(answer) = example.get("answer") {
        let content = operation["responses"]["200"].get_mut("content");
        let content = content.and_then(Value::as_object_mut);
        for kind in content.into_iter().flat_map(Map::values_mut) {
            kind["example"] = answer.clone();
        }
    }
    let parameters = operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let given = example.get("parameters").and_then(|given| given.get(name));
        if let Some(given) = given {
            parameter["example"] = given.clone();
        }
    }
}
