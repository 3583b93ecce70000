//! Writes docs/API.md: the prose of the template, and between it what was played.

use std::fmt::Write;

use serde_json::Value;
use strikewire_api::{Code, Settings};

use crate::schema::{Document, Operation};
use crate::tour::{Exchange, Tour, Who};

pub(crate) const TEMPLATE: &str = include_str!("template.md");

/// What a tag looks like; a real one differs from answer to answer.
const TAG: &str = "W/\"3e25960a79dbc69b674cd4ec67a72c62\"";

/// Headers of answers that are worth showing.
const SHOWN: [&str; 4] = ["allow", "etag", "retry-after", "www-authenticate"];

/// Problems that every call may answer with; they are told once.
const COMMON: [&str; 6] = [
    "unauthorized",
    "forbidden",
    "rate_limited",
    "internal",
    "not_ready",
    "timeout",
];

pub(crate) fn render(document: &Document, tour: &Tour) -> String {
    let mut page = String::new();
    let mut told = Vec::new();
    for line in TEMPLATE.lines() {
        let asked = line
            .strip_prefix("{{")
            .and_then(|line| line.strip_suffix("}}"));
        let Some(asked) = asked else {
            page += line;
            page.push('\n');
            continue;
        };
        match asked.split_once(' ') {
            Some(("call", id)) => {
                told.push(id.to_owned());
                call(
                    &mut page,
                    &document.operation(id),
                    document,
                    tour.exchanges.get(id),
                );
            }
            Some(("exchange", name)) => exchange(&mut page, &tour.exchanges[name]),
            Some(("message", name)) => block(
                &mut page,
                "json",
                &tour.messages[name].clone().cut().pretty(),
            ),
            None if asked == "codes" => codes(&mut page),
            None if asked == "limits" => limits(&mut page),
            _ => panic!("the template asks for {asked}"),
        }
    }
    let mut all: Vec<String> = document
        .operations()
        .iter()
        .map(|operation| operation.about["operationId"].as_str().unwrap().to_owned())
        .collect();
    told.sort();
    all.sort();
    assert_eq!(told, all, "the template tells every call once");
    page
}

fn block(page: &mut String, kind: &str, text: &str) {
    write!(page, "```{kind}\n{text}\n```\n").unwrap();
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn call(
    page: &mut String,
    operation: &Operation<'_>,
    document: &Document,
    played: Option<&Exchange>,
) {
    let about = operation.about;
    let summary = about["summary"].as_str().unwrap().trim_end_matches('.');
    writeln!(
        page,
        "### {} `{}`\n\n{summary}.",
        operation.method, operation.path
    )
    .unwrap();
    if let Some(more) = about["description"].as_str() {
        writeln!(page, "{}", one_line(more)).unwrap();
    }
    page.push('\n');
    fields(page, about, document);
    let responses = about["responses"].as_object().unwrap().values();
    let codes: Vec<String> = responses
        .filter_map(|response| {
            response["content"]["application/problem+json"]["examples"].as_object()
        })
        .flat_map(|examples| examples.keys())
        .filter(|code| !COMMON.contains(&code.as_str()))
        .map(|code| format!("`{code}`"))
        .collect();
    if !codes.is_empty() {
        writeln!(page, "Problems of its own: {}.\n", codes.join(", ")).unwrap();
    }
    if let Some(played) = played {
        exchange(page, played);
    }
}

/// The parameters and the fields of the body.
fn fields(page: &mut String, about: &Value, document: &Document) {
    let mut rows = Vec::new();
    for parameter in about["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let place = parameter["in"].as_str().unwrap();
        let needed = parameter["required"] == true;
        rows.push(row(
            document,
            name,
            place,
            needed,
            &parameter["schema"],
            &parameter["description"],
        ));
    }
    let body = &about["requestBody"]["content"]["application/json"]["schema"];
    if let Some(name) = body["$ref"].as_str() {
        let schema = document.0.pointer(name.strip_prefix('#').unwrap()).unwrap();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, field) in schema["properties"].as_object().unwrap() {
            let needed = required.iter().any(|required| required == name);
            let parts = field["oneOf"].as_array();
            let told = parts.and_then(|parts| parts[0].get("description"));
            let told = told.unwrap_or(&field["description"]);
            rows.push(row(document, name, "body", needed, field, told));
        }
    }
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|row| !row.1);
    page.push_str("| name | in | is | |\n|---|---|---|---|\n");
    for (row, _) in rows {
        page.push_str(&row);
    }
    page.push('\n');
}

fn row(
    document: &Document,
    name: &str,
    place: &str,
    needed: bool,
    schema: &Value,
    told: &Value,
) -> (String, bool) {
    let told = one_line(told.as_str().unwrap_or_default());
    let needed_text = if needed { "Required. " } else { "" };
    let is = is(document, schema).replace('|', "\\|");
    (
        format!("| `{name}` | {place} | {is} | {needed_text}{told} |\n"),
        needed,
    )
}

/// What a schema takes, in words.
fn is(document: &Document, schema: &Value) -> String {
    if let Some(to) = schema["$ref"].as_str() {
        return is(
            document,
            document.0.pointer(to.strip_prefix('#').unwrap()).unwrap(),
        );
    }
    if let Some(names) = schema["enum"].as_array() {
        let names: Vec<String> = names
            .iter()
            .map(|name| format!("`{}`", name.as_str().unwrap()))
            .collect();
        return names.join(", ");
    }
    if let Some(parts) = schema["oneOf"].as_array() {
        let parts = parts.iter().filter(|part| part["type"] != "null");
        return parts
            .map(|part| is(document, part))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str().unwrap(),
        kind => kind.as_str().unwrap_or("any"),
    };
    let kind = match (kind, schema["format"].as_str()) {
        ("string", Some("date-time")) => "time",
        ("string", _) => "text",
        ("array", _) => "list",
        (kind, _) => kind,
    };
    let bound = |name: &str| schema.get(name).filter(|bound| bound.is_number());
    let least = bound("minimum").or(bound("minItems"));
    let most = bound("maximum").or(bound("maxItems"));
    match (least, most, bound("exclusiveMinimum")) {
        (Some(least), Some(most), _) => format!("{kind}, {least} to {most}"),
        (Some(least), None, _) if least != 0 => format!("{kind} from {least} on"),
        (_, _, Some(above)) => format!("{kind} above {above}"),
        _ => kind.to_owned(),
    }
}

fn exchange(page: &mut String, exchange: &Exchange) {
    let mut asked = format!("{} {}", exchange.method, exchange.path);
    match exchange.who {
        Who::Nobody => {}
        Who::User => asked += "\nAuthorization: Bearer KEY",
        Who::Admin => asked += "\nAuthorization: Bearer ADMIN_KEY",
    }
    let says_kind = exchange
        .headers
        .iter()
        .any(|(name, _)| *name == "content-type");
    if exchange.body.is_some() && !says_kind {
        asked += "\nContent-Type: application/json";
    }
    for (name, value) in &exchange.headers {
        let value = if *name == "if-none-match" { TAG } else { value };
        write!(asked, "\n{}: {value}", titled(name)).unwrap();
    }
    if let Some(body) = &exchange.body {
        write!(asked, "\n\n{}", body.pretty()).unwrap();
    }
    block(page, "http", &asked);

    let answer = &exchange.answer;
    let mut answered = format!("{}", answer.status);
    for name in SHOWN {
        if let Some(value) = answer.header(name) {
            let value = if name == "etag" { TAG } else { value };
            write!(answered, "\n{}: {value}", titled(name)).unwrap();
        }
    }
    if let Some(kind) = answer.header("content-type") {
        write!(answered, "\nContent-Type: {kind}").unwrap();
    }
    let body = match &answer.body {
        Value::String(text) => shortened(text),
        _ if exchange.operation == "openapi" => shortened(strikewire_api::openapi()),
        _ => answer.text.clone().cut().pretty(),
    };
    if !body.is_empty() {
        write!(answered, "\n\n{body}").unwrap();
    }
    block(page, "http", &answered);
    page.push('\n');
}

/// A header's name as people write it.
fn titled(name: &str) -> String {
    let part = |part: &str| part[..1].to_uppercase() + &part[1..];
    let named = name.split('-').map(part).collect::<Vec<_>>().join("-");
    match named.as_str() {
        "Etag" => "ETag".into(),
        "Www-Authenticate" => "WWW-Authenticate".into(),
        _ => named,
    }
}

/// The beginning of a text.
fn shortened(text: &str) -> String {
    let mut lines: Vec<&str> = text.trim_end().lines().take(4).collect();
    if text.trim_end().lines().count() > lines.len() {
        lines.push("...");
    }
    lines.join("\n")
}

fn codes(page: &mut String) {
    page.push_str("| code | status | meaning | what to do |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let (name, status) = (code.as_str(), code.status().as_u16());
        let (title, remedy) = (code.title(), code.remedy());
        writeln!(page, "| `{name}` | {status} | {title} | {remedy} |").unwrap();
    }
}

fn limits(page: &mut String) {
    let settings = Settings::default();
    let (http, rates) = (&settings.http, &settings.rates);
    page.push_str("| what | limit |\n|---|---|\n");
    let mut row = |what: &str, limit: String| writeln!(page, "| {what} | {limit} |").unwrap();
    row(
        "body of a request",
        "64 KiB; of a heartbeat 256 KiB, of a plan 512 KiB".into(),
    );
    row(
        "time a request may take",
        format!("{:?}", http.request_timeout),
    );
    row(
        "time its head may take to arrive",
        format!("{:?}", http.header_timeout),
    );
    row(
        "connections",
        format!(
            "{}, {} of one address",
            http.max_connections, http.connections_per_address
        ),
    );
    row(
        "requests with one key",
        format!("{} a second, {} at once", rates.per_key, rates.key_burst),
    );
    row(
        "requests of one address",
        format!(
            "{} a second, {} at once",
            rates.per_address, rates.address_burst
        ),
    );
    row(
        "a session that nobody uses",
        format!("{} h", http.session_idle.as_secs() / 3600),
    );
}
