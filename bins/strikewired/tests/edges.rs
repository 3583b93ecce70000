//! Holds the edges between the crates: who may use whom is decided here, not by the
//! manifest that happens to be edited.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Every library crate and the crates of ours that it uses. See docs/ARCHITECTURE.md.
const EDGES: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("calendar", &["types"]),
    ("registry", &["types"]),
    ("chain", &["types", "registry"]),
    ("broker", &["types"]),
    ("quotes", &["types"]),
    ("subscriptions", &["types", "broker"]),
    ("dhan", &["types", "broker"]),
    ("dhan-sim", &["types", "registry", "dhan"]),
    ("fanout", &["types", "quotes"]),
    ("indicators", &["types", "calendar"]),
    ("leases", &["types"]),
    ("store", &["types"]),
    (
        "gateway",
        &[
            "types",
            "calendar",
            "registry",
            "chain",
            "broker",
            "quotes",
            "subscriptions",
            "fanout",
            "indicators",
            "leases",
            "store",
        ],
    ),
    ("api", &["gateway", "fanout"]),
];

/// Crates that know no runtime: time is an argument.
const WITHOUT_TOKIO: &[&str] = &[
    "calendar",
    "registry",
    "chain",
    "broker",
    "quotes",
    "subscriptions",
    "fanout",
    "indicators",
];

#[test]
fn crates_use_exactly_what_the_architecture_allows() {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo metadata runs");
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        let Some(name) = package.name.strip_prefix("strikewire-") else {
            continue;
        };
        if !package.manifest_path.as_str().contains("/crates/") {
            continue;
        }
        let directory = package
            .manifest_path
            .parent()
            .and_then(|path| path.file_name());
        assert_eq!(
            directory,
            Some(name),
            "a crate's directory is its name without the prefix"
        );
        let uses = found.entry(name).or_default();
        for dependency in &package.dependencies {
            if dependency.kind == DependencyKind::Normal
                && let Some(used) = dependency.name.strip_prefix("strikewire-")
            {
                uses.insert(used);
            }
            assert!(
                dependency.kind != DependencyKind::Normal
                    || dependency.name != "tokio"
                    || !WITHOUT_TOKIO.contains(&name),
                "{name} must not know tokio"
            );
        }
    }
    let allowed: BTreeMap<&str, BTreeSet<&str>> = EDGES
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().collect()))
        .collect();
    assert_eq!(found, allowed);
}
