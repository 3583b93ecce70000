//! The documentation, the alerts and the dashboard say what the table says.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use super::*;

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The table as docs/METRICS.md has it.
fn documentation() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         `GET /metrics` gives them in the text format of Prometheus: on loopback, or with an admin key. This page is made from \
         the table in `crates/api/src/metrics/table.rs`; a test holds the two equal, and another holds what a running server \
         exposes against it. `deploy/` has [alerts](../deploy/prometheus-rules.yml) and a [dashboard](../deploy/grafana-dashboard.json); \
         what to do when one fires is in [OPERATIONS.md](OPERATIONS.md#alarms).\n\n\
         Sets of labels are bounded. Counters whose labels are listed here are there from the start, at 0. A histogram has `_bucket`, \
         `_sum` and `_count`. Times are real ones, also on a simulated clock, but for ends of tokens and ages of packets.\n\n",
    );
    for metric in METRICS {
        let _ = writeln!(text, "## {}\n", metric.name);
        let _ = writeln!(text, "{}.\n", metric.help);
        let from = if metric.from_start {
            ""
        } else {
            ", once there is something to say"
        };
        let unit = match metric.unit {
            "1" => "no unit",
            unit => unit,
        };
        let _ = writeln!(text, "- {}, {unit}{from}", metric.kind.as_str());
        for Label { name, bound } in metric.labels {
            let values = match bound {
                Bound::These(values) => values
                    .iter()
                    .map(|value| format!("`{value}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
                Bound::Described(bound) => (*bound).to_owned(),
            };
            let _ = writeln!(text, "- label `{name}`: {values}");
        }
        if let Kind::Histogram(buckets) = metric.kind {
            let (first, last) = (buckets[0], buckets[buckets.len() - 1]);
            let _ = writeln!(text, "- {} buckets from {first} to {last}", buckets.len());
        }
        let _ = writeln!(text, "- when it moves: {}\n", metric.action);
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[test]
fn the_documentation_is_the_table() {
    let made = documentation();
    if std::env::var_os("STRIKEWIRE_REWRITE").is_some() {
        std::fs::write(file("docs/METRICS.md"), &made).unwrap();
    }
    assert!(
        read("docs/METRICS.md") == made,
        "docs/METRICS.md is not what the table says; STRIKEWIRE_REWRITE=1 writes it anew"
    );
}

#[test]
fn names_are_what_prometheus_asks_for() {
    let mut names = BTreeSet::new();
    for metric in METRICS {
        let name = metric.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(
            name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{name}"
        );
        assert!(
            PREFIXES.iter().any(|prefix| name.starts_with(prefix)),
            "{name}"
        );
        let is_counter = metric.kind == Kind::Counter;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        let in_seconds = name.trim_end_matches("_total").ends_with("_seconds");
        assert_eq!(in_seconds, metric.unit == "seconds", "{name}");
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(buckets.is_sorted_by(|a, b| a < b), "{name}");
        }
        for text in [metric.help, metric.action] {
            assert!(!text.is_empty() && !text.ends_with('.'), "{name}: {text}");
        }
        for label in metric.labels {
            if let Bound::These(values) = label.bound {
                let distinct: BTreeSet<_> = values.iter().collect();
                assert_eq!(distinct.len(), values.len(), "{name} {}", label.name);
                assert!(!values.is_empty(), "{name} {}", label.name);
            }
        }
    }
}

#[test]
fn classes_are_those_of_the_calendar() {
    let metric = METRICS
        .iter()
        .find(|metric| metric.name == "strikewire_market_open")
        .unwrap();
    let classes: Vec<_> = Class::ALL.iter().map(|class| class.as_str()).collect();
    assert_eq!(metric.labels[0].bound, Bound::These(classes.leak()));
}

/// Every Rust file of the libraries and programs that is no test and not the table.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![file("crates"), file("bins")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["tests", "benches", "target"].contains(&name) {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") && !["tests.rs", "table.rs"].contains(&name) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// Also those that are counted on rare events only, which no run of a server shows.
#[test]
fn what_is_counted_is_in_the_table_and_the_other_way_round() {
    let mut unused: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let mut seen = 0;
    for (path, text) in sources() {
        for macro_name in ["counter!(", "gauge!(", "histogram!("] {
            for call in text.split(macro_name).skip(1) {
                // The name comes first, unless it is a variable.
                let Some(name) = call.trim_start().strip_prefix('"') else {
                    continue;
                };
                let (name, _) = name.split_once('"').unwrap();
                assert!(
                    METRICS.iter().any(|metric| metric.name == name),
                    "{}: {name} is not in the table",
                    path.display()
                );
                seen += 1;
            }
        }
        unused.retain(|name| !text.contains(&format!("\"{name}\"")));
    }
    assert!(seen > 60, "{seen}");
    assert!(unused.is_empty(), "nobody counts {unused:?}");
}

/// What names begin with. Those of indicators are used by other programs too.
const PREFIXES: [&str; 3] = ["strikewire_", "process_", "indicator_"];

/// A use of a metric in a query: its name, and the labels that stand in braces after it.
type Use = (String, Vec<(String, String)>);

/// The metrics that a query uses.
fn uses(query: &str) -> Vec<Use> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut uses = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if !PREFIXES.iter().any(|prefix| word.starts_with(prefix)) {
            continue;
        }
        let mut labels = Vec::new();
        if let Some(braces) = after.strip_prefix('{') {
            let (inside, after) = braces.split_once('}').unwrap();
            rest = after;
            for pair in inside.split(',').filter(|pair| !pair.is_empty()) {
                let at = pair.find(['=', '!']).unwrap();
                let (name, value) = pair.split_at(at);
                let value = value.trim_matches(['=', '!', '~', '"', '\'']);
                labels.push((name.trim().to_owned(), value.to_owned()));
            }
        }
        uses.push((word.to_owned(), labels));
    }
    uses
}

/// The metric that a name in a query is of: a histogram has three.
fn metric_of(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| match metric.kind {
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|part| name.strip_suffix(part) == Some(metric.name)),
        _ => name == metric.name,
    })
}

fn check_query(place: &str, query: &str) {
    let uses = uses(query);
    assert!(
        !uses.is_empty() || query.contains("up{"),
        "{place}: {query} uses nothing of ours"
    );
    for (name, labels) in uses {
        let metric = metric_of(&name).unwrap_or_else(|| panic!("{place}: there is no {name}"));
        for (label, value) in labels {
            let known = metric.labels.iter().find(|known| known.name == label);
            let known = known.unwrap_or_else(|| panic!("{place}: {name} has no label {label}"));
            if let Bound::These(values) = known.bound {
                for value in value.split('|').filter(|value| !value.contains('$')) {
                    assert!(
                        values.contains(&value),
                        "{place}: {name} has no {label}={value}"
                    );
                }
            }
        }
    }
    // Labels that results are grouped by.
    for by in query
        .split("by (")
        .skip(1)
        .chain(query.split("by(").skip(1))
    {
        let (inside, _) = by.split_once(')').unwrap();
        for label in inside.split(',').map(str::trim) {
            let known = ["le", "instance"].contains(&label)
                || METRICS
                    .iter()
                    .any(|metric| metric.labels.iter().any(|known| known.name == label));
            assert!(known, "{place}: there is no label {label}");
        }
    }
}

#[test]
fn alerts_use_metrics_that_exist_and_have_a_runbook() {
    let rules = read("deploy/prometheus-rules.yml");
    let operations = read("docs/OPERATIONS.md");
    let anchors: BTreeSet<String> = operations
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|heading| anchor(heading.trim_start_matches('#')))
        .collect();
    let mut alert = "";
    let mut seen = BTreeSet::new();
    let mut expressions = 0;
    let mut runbooks = 0;
    for line in rules.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("- alert: ") {
            alert = name;
            assert!(seen.insert(name), "{name} is there twice");
        } else if let Some(query) = line.strip_prefix("expr: ") {
            check_query(alert, query);
            expressions += 1;
        } else if let Some(url) = line.strip_prefix("runbook: ") {
            let (page, name) = url.split_once('#').unwrap();
            assert_eq!(page, "docs/OPERATIONS.md", "{alert}");
            assert!(anchors.contains(name), "{alert}: no heading for #{name}");
            runbooks += 1;
        }
    }
    // One line each: a query over several lines would go unread here.
    assert!(seen.len() >= 12, "{seen:?}");
    assert_eq!(expressions, seen.len());
    assert_eq!(runbooks, seen.len());
}

/// The anchor that a heading gets where Markdown is shown.
fn anchor(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

#[test]
fn the_dashboard_uses_metrics_that_exist() {
    fn queries<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str() {
                        Some(text) if name == "expr" => found.push(text),
                        _ => queries(value, found),
                    }
                }
            }
            serde_json::Value::Array(values) => {
                for value in values {
                    queries(value, found);
                }
            }
            _ => {}
        }
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana-dashboard.json")).unwrap();
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    assert!(found.len() >= 15, "{found:?}");
    for query in found {
        check_query("the dashboard", query);
    }
}

#[test]
fn queries_are_read_right() {
    let labels = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    assert_eq!(
        uses("sum(rate(strikewire_a_total{x=\"1|2\",y!~'3'}[5m])) / strikewire_b > 0.9"),
        [
            (
                "strikewire_a_total".to_owned(),
                labels(&[("x", "1|2"), ("y", "3")])
            ),
            ("strikewire_b".to_owned(), labels(&[])),
        ]
    );
    assert!(metric_of("strikewire_stage_seconds").is_none());
    assert!(metric_of("strikewire_stage_seconds_bucket").is_some());
    assert_eq!(anchor(" What `x` is, at 09:15"), "what-x-is-at-0915");
}
