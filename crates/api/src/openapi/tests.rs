use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;

/// Set, the files that are held against the code are written anew.
const REWRITE: &str = "STRIKEWIRE_REWRITE";

#[test]
fn the_document_is_the_one_that_is_kept() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let line = kept
        .lines()
        .zip(document().lines())
        .position(|(a, b)| a != b);
    assert!(
        kept == document(),
        "openapi.json differs from line {:?} on; {REWRITE}=1 writes it anew",
        line.map(|line| line + 1)
    );
}

fn read() -> Value {
    serde_json::from_str(document()).unwrap()
}

/// The paths that a router has, as its debug text tells.
fn paths_of(router: &str) -> BTreeSet<String> {
    let quoted = router.split('"').skip(1).step_by(2);
    quoted
        // Those of the fallback are no paths of ours.
        .filter(|text| text.starts_with('/') && text.len() > 1 && !text.contains("__private"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_route_is_described_and_every_description_has_a_route() {
    let (router, _) = crate::router::routes().split_for_parts();
    let routed = paths_of(&format!("{router:?}"));
    let document = read();
    let described = document["paths"].as_object().unwrap();
    assert!(described.len() > 20);
    assert_eq!(routed, described.keys().cloned().collect());
}

fn operations(document: &Value) -> Vec<&Value> {
    let paths = document["paths"].as_object().unwrap().values();
    paths
        .flat_map(|item| item.as_object().unwrap().values())
        .collect()
}

#[test]
fn every_operation_is_told_in_full() {
    let document = read();
    assert_eq!(document["openapi"], "3.1.0");
    let tags: BTreeSet<&str> = TAGS.iter().map(|(name, _)| *name).collect();
    let mut ids = BTreeSet::new();
    let mut used = BTreeSet::new();
    for operation in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} twice");
        assert!(operation["summary"].is_string(), "{id}");
        let tag = operation["tags"][0].as_str().unwrap();
        assert!(tags.contains(tag), "{id}: {tag}");
        used.insert(tag);
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses
                .keys()
                .any(|status| status.starts_with('2') || status == "101")
        );
        for (status, response) in responses {
            assert!(
                !response["description"].as_str().unwrap().is_empty(),
                "{id} {status}"
            );
        }
        assert!(responses.contains_key("500"), "{id}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{id}: {parameter}");
            assert!(parameter["schema"].is_object(), "{id}: {parameter}");
        }
    }
    assert_eq!(used, tags);
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(to) = fields.get("$ref") {
                    let to = to.as_str().unwrap().strip_prefix('#').unwrap();
                    assert!(document.pointer(to).is_some(), "{to}");
                }
                fields.values().for_each(|field| check(document, field));
            }
            Value::Array(items) => items.iter().for_each(|item| check(document, item)),
            _ => {}
        }
    }
    let document = read();
    check(&document, &document);
}

#[test]
fn a_problem_has_an_example_with_its_own_status() {
    let document = read();
    let examples = document["components"]["examples"].as_object().unwrap();
    assert_eq!(examples.len(), Code::ALL.len());
    for operation in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let problem = &response["content"]["application/problem+json"];
            for name in problem["examples"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|it| it.0)
            {
                assert_eq!(
                    &examples[name]["value"]["status"].to_string(),
                    status,
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_code_is_written_as_it_serialises() {
    let mut names = BTreeSet::new();
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert!(names.insert(code.as_str()), "{}", code.as_str());
        assert!(code.status().is_client_error() || code.status().is_server_error());
        assert!(!code.title().ends_with('.') && code.remedy().ends_with('.'));
    }
}
