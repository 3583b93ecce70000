//! The OpenAPI document. Routes, parameters and bodies come from the handlers and models; here
//! is what is said once for all of them, and the examples.

mod examples;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::example::Example;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Paths};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, Schema};

use crate::model::{StreamClientMessage, StreamServerMessage};
use crate::{Code, Problem, router};

const DESCRIPTION: &str = "\
A market-data subscription gateway for Indian derivatives: watchlists of option chains, last \
quotes, and a stream of changes.

Prices and strikes are numbers in rupees, exactly. Times are RFC 3339 with their offset. What is \
not known is absent, never 0. Instruments are named by their token, `RELIANCE_24FEB2026_1440CE`, \
or by `SEGMENT:SECURITY_ID`. Fields may be added to answers at any time.

Every error is a problem document (RFC 9457) with a stable `code`. Where keys are on, send \
`Authorization: Bearer KEY`.";

const TAGS: [(&str, &str); 12] = [
    (
        "watchlist",
        "What a user wants, until the end of the trading day.",
    ),
    ("chains", "Option chains around the money."),
    ("quotes", "Last quotes."),
    ("stream", "Changes as they come."),
    (
        "subscriptions",
        "What is subscribed at the broker, and for whom.",
    ),
    ("instruments", "What is listed."),
    (
        "indicators",
        "Technical indicators, computed once for all who hold them.",
    ),
    ("auth", "Sessions."),
    (
        "admin",
        "For operators: these take a key with the role admin.",
    ),
    ("audit", "What happened."),
    ("operations", "Health and metrics."),
    ("documentation", "This document."),
];

/// The OpenAPI 3.1 document of the interface, as JSON.
#[must_use]
pub fn document() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", build()));
    &TEXT
}

/// Describes the problems that an operation answers with, by status.
pub(crate) fn add_problems(paths: &mut Paths, codes: impl Iterator<Item = Code> + Clone) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        let same = by_status.entry(code.status().as_u16()).or_default();
        if !same.contains(&code) {
            same.push(code);
        }
    }
    for item in paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            for (status, codes) in &by_status {
                add_problem(operation, *status, codes);
            }
        }
    }
}

/// Describes the tag of an operation's answers.
pub(crate) fn add_tag(paths: &mut Paths) {
    for item in paths.paths.values_mut() {
        let Some(operation) = &mut item.get else {
            continue;
        };
        let responses = &mut operation.responses.responses;
        if let Some(RefOr::T(response)) = responses.get_mut("200") {
            let header = header("Names this state of the answer, for `If-None-Match`.");
            response.headers.insert("ETag".into(), header.into());
        }
        let same = ResponseBuilder::new()
            .description("The caller has it already: `If-None-Match` names its `ETag`.")
            .build();
        responses.insert("304".into(), RefOr::T(same));
    }
}

fn header(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(description))
        .build()
}

fn add_problem(operation: &mut Operation, status: u16, codes: &[Code]) {
    let described: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}.", code.as_str(), code.title()))
        .collect();
    let example = |code: &Code| -> (String, RefOr<Example>) {
        let name = code.as_str();
        let at = Ref::new(format!("#/components/examples/{name}"));
        (name.to_owned(), RefOr::Ref(at))
    };
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(Problem::name())))
        .examples_from_iter(codes.iter().map(example))
        .build();
    let responses = &mut operation.responses.responses;
    match responses.get_mut(&status.to_string()) {
        // It answers with this status without a problem too.
        Some(RefOr::T(response)) => {
            response.description += &format!(" Else {}", described.join(" "));
            let kind = "application/problem+json".to_owned();
            response.content.insert(kind, content.into());
        }
        _ => {
            let mut response = ResponseBuilder::new()
                .description(described.join(" "))
                .content("application/problem+json", content);
            if [429, 503].contains(&status) {
                let when = header("Seconds after which it makes sense to try again.");
                response = response.header("Retry-After", when);
            }
            let response = response.build();
            responses.insert(status.to_string(), RefOr::T(response));
        }
    }
}

fn build() -> Value {
    // Made of texts and numbers only, it can be written.
    let mut document = serde_json::to_value(router::routes().into_openapi()).unwrap_or_default();
    document["info"] = json!({
        "title": "Strikewire REST v2",
        "version": env!("CARGO_PKG_VERSION"),
        "description": DESCRIPTION,
        "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
    });
    document["tags"] = TAGS
        .iter()
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    document["security"] = json!([{"key": []}]);
    let components = &mut document["components"];
    components["securitySchemes"] = json!({"key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, where keys are on. Without keys everybody is admin, and \
                        only this machine is served.",
    }});
    components["examples"] = Code::ALL
        .iter()
        .map(|code| (code.as_str().to_owned(), problem(*code)))
        .collect::<Map<_, _>>()
        .into();
    for (name, schema) in other_schemas() {
        components["schemas"][name] = schema;
    }
    examples::add(&mut document);
    document
}

/// An example of a problem.
fn problem(code: Code) -> Value {
    let mut problem = Problem::new(code, format!("{}.", code.title()));
    problem.request_id = Some("5f3a9c01-2b".into());
    json!({"summary": code.title(), "description": code.remedy(), "value": problem})
}

/// What no call names as its body: problems, and the messages of the stream.
fn other_schemas() -> Vec<(String, Value)> {
    fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
    let mut schemas = Vec::new();
    add::<Problem>(&mut schemas);
    add::<StreamClientMessage>(&mut schemas);
    add::<StreamServerMessage>(&mut schemas);
    schemas
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
        .collect()
}
