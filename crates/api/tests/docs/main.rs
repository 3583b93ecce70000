//! The documentation is played: a server of known content is asked every call, over and over
//! the same; what it answers is held against the OpenAPI document, gives that its examples, and
//! is written into docs/API.md.

mod broker;
mod json;
mod page;
mod schema;
mod server;
mod tour;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::json::Json;
use crate::schema::Document;
use crate::server::with_server;
use crate::tour::{Exchange, Tour, play};

/// Set, the files that are held against the server are written anew.
const REWRITE: &str = "STRIKEWIRE_REWRITE";

fn document() -> Document {
    Document(serde_json::from_str(strikewire_api::openapi()).unwrap())
}

async fn tour() -> Tour {
    let mut played = None;
    with_server(async |server| played = Some(play(server).await)).await;
    played.unwrap()
}

/// Compares a file with what it should be, or writes it.
fn keep(path: &Path, text: &str) {
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(path, text).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    if kept == text {
        return;
    }
    let mut lines = kept.lines().zip(text.lines()).enumerate();
    let differs = lines.find(|(_, (kept, new))| kept != new);
    let (line, (kept, new)) = differs.unwrap_or((usize::MAX - 1, ("its end", "another end")));
    panic!(
        "{} differs from line {} on; {REWRITE}=1 writes it anew\nkept: {kept}\nnew:  {new}",
        path.display(),
        line + 1
    );
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[tokio::test]
async fn the_documentation_is_what_the_server_says() {
    let (document, tour) = (document(), tour().await);
    every_call_is_played(&document, &tour);
    for (name, exchange) in &tour.exchanges {
        exchange_is_as_described(&document, name, exchange);
    }
    for (name, message) in &tour.messages {
        message_is_as_described(&document, name, &message.value());
    }
    for (number, line) in page::TEMPLATE.lines().enumerate() {
        if let Ok(message @ Value::Object(_)) = serde_json::from_str(line) {
            let name = if message.get("action").is_some() {
                "client"
            } else {
                "server"
            };
            let name = format!("{name}_ in line {} of the template", number + 1);
            message_is_as_described(&document, &name, &message);
        }
    }
    let examples = examples(&tour);
    keep(&at("src/openapi/examples.json"), &format!("{examples:#}\n"));
    keep(&at("../../docs/API.md"), &page::render(&document, &tour));
}

fn every_call_is_played(document: &Document, tour: &Tour) {
    let described: BTreeSet<String> = document
        .operations()
        .iter()
        .map(|operation| operation.about["operationId"].as_str().unwrap().to_owned())
        .filter(|id| id != "stream")
        .collect();
    let played = tour
        .exchanges
        .iter()
        .filter(|(name, it)| **name == it.operation);
    let played: BTreeSet<String> = played.map(|(name, _)| name.clone()).collect();
    assert_eq!(played, described);
    for id in &played {
        let exchange = &tour.exchanges[id];
        assert!(
            exchange.answer.status.is_success(),
            "{id}: {:?}",
            exchange.answer
        );
    }
}

/// Request and answer are what the document says that they are.
fn exchange_is_as_described(document: &Document, name: &str, exchange: &Exchange) {
    let operation = document.operation(&exchange.operation);
    assert_eq!(operation.method, exchange.method, "{name}");
    let (path, query) = exchange
        .path
        .split_once('?')
        .unwrap_or((&exchange.path, ""));
    let parts = |path: &str| path.split('/').count();
    assert_eq!(parts(operation.path), parts(path), "{name}");

    let answer = &exchange.answer;
    let status = answer.status.as_str();
    let response = &operation.about["responses"][status];
    assert!(response.is_object(), "{name}: {status} is not described");
    let is_problem = answer.body.get("code").is_some() && !answer.status.is_success();
    let kind = if is_problem {
        "application/problem+json"
    } else {
        "application/json"
    };
    let content = &response["content"];
    if let Some(schema) = content[kind].get("schema") {
        assert_eq!(answer.header("content-type"), Some(kind), "{name}");
        document.check(schema, &answer.body, name).unwrap();
    } else {
        assert!(
            answer.body.is_string() || status == "304",
            "{name}: {:?}",
            answer.body
        );
    }
    if is_problem {
        let code = answer.body["code"].as_str().unwrap();
        let known = &content[kind]["examples"][code];
        assert!(known.is_object(), "{name}: {code} is not described");
        assert_eq!(answer.body["status"].to_string(), status, "{name}");
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(answer.body["request_id"], id, "{name}");
        return;
    }
    for given in query.split('&').filter(|given| !given.is_empty()) {
        let (given, _) = given.split_once('=').unwrap();
        let parameters = operation.about["parameters"].as_array().unwrap();
        let described = parameters
            .iter()
            .any(|described| described["name"] == given);
        assert!(described, "{name}: {given} is not described");
    }
    if let Some(body) = exchange
        .body
        .as_ref()
        .map(Json::value)
        .filter(|body| *body != json!({}))
    {
        let described = &operation.about["requestBody"]["content"]["application/json"]["schema"];
        assert!(described.is_object(), "{name}: its body is not described");
        document.check(described, &body, name).unwrap();
    }
}

fn message_is_as_described(document: &Document, name: &str, message: &Value) {
    let schema = match name.starts_with("client_") {
        true => "StreamClientMessage",
        false => "StreamServerMessage",
    };
    let schema = &document.0["components"]["schemas"][schema];
    document.check(schema, message, name).unwrap();
}

/// The examples that the document takes over.
fn examples(tour: &Tour) -> Value {
    let mut examples: BTreeMap<String, Value> = BTreeMap::new();
    for (name, exchange) in &tour.exchanges {
        if *name != exchange.operation || name == "openapi" {
            continue;
        }
        let mut example = Map::new();
        if let Some(body) = &exchange.body {
            example.insert("request".into(), body.value());
        }
        example.insert("answer".into(), exchange.answer.text.value());
        examples.insert(name.clone(), Value::Object(example));
    }
    for (schema, prefix) in [
        ("StreamClientMessage", "client_"),
        ("StreamServerMessage", "server_"),
    ] {
        let messages = tour
            .messages
            .iter()
            .filter(|(name, _)| name.starts_with(prefix));
        let messages: Vec<Value> = messages.map(|(_, message)| message.value()).collect();
        examples.insert(schema.into(), messages.into());
    }
    json!(examples)
}
