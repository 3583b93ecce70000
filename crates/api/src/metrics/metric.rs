//! What a metric is, how the table writes one down, and how the recorder is told.

use metrics::{Key, KeyName, Label as Tag, Level, Metadata, SharedString, Unit, with_recorder};

use super::METRICS;

/// One metric.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, as it is exposed.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What its values are in; `1` for plain numbers.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
    /// Whether a server exposes it from its start on. Others come when there is something
    /// to say.
    pub from_start: bool,
    /// What it says.
    pub help: &'static str,
    /// What to do when it moves.
    pub action: &'static str,
}

/// Kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets, whose upper ends these are.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As Prometheus calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// A label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Which values there are.
    pub bound: Bound,
}

/// What bounds the values of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// These, and no others.
    These(&'static [&'static str]),
    /// What this describes.
    Described(&'static str),
}

pub(super) const fn these(name: &'static str, values: &'static [&'static str]) -> Label {
    Label {
        name,
        bound: Bound::These(values),
    }
}

pub(super) const fn described(name: &'static str, bound: &'static str) -> Label {
    Label {
        name,
        bound: Bound::Described(bound),
    }
}

const NOTHING: &str = "nothing; it is for orientation";

const fn metric(name: &'static str, kind: Kind, unit: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        kind,
        unit,
        labels: &[],
        from_start: true,
        help,
        action: NOTHING,
    }
}

pub(super) const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    metric(name, Kind::Counter, unit, help)
}

pub(super) const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    metric(name, Kind::Gauge, unit, help)
}

pub(super) const fn times(
    name: &'static str,
    buckets: &'static [f64],
    help: &'static str,
) -> Metric {
    metric(name, Kind::Histogram(buckets), "seconds", help)
}

impl Metric {
    pub(super) const fn by(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    pub(super) const fn later(self) -> Self {
        Self {
            from_start: false,
            ..self
        }
    }

    pub(super) const fn act(self, action: &'static str) -> Self {
        Self { action, ..self }
    }
}

/// Tells the recorder of this process what the metrics mean, and makes those appear at 0
/// whose labels are known: an alert on a counter that is not there never fires.
pub fn describe_metrics() {
    const METADATA: Metadata<'_> = Metadata::new(module_path!(), Level::INFO, None);
    with_recorder(|recorder| {
        for metric in METRICS {
            let name = KeyName::from_const_str(metric.name);
            let unit = match metric.unit {
                "seconds" => Some(Unit::Seconds),
                "bytes" => Some(Unit::Bytes),
                _ => None,
            };
            let help = SharedString::const_str(metric.help);
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit, help),
                Kind::Gauge => recorder.describe_gauge(name, unit, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, unit, help),
            }
            if !metric.from_start {
                continue;
            }
            for labels in combinations(metric.labels) {
                let key = Key::from_parts(metric.name, labels);
                match metric.kind {
                    Kind::Counter => recorder.register_counter(&key, &METADATA).increment(0),
                    Kind::Gauge => recorder.register_gauge(&key, &METADATA).increment(0.0),
                    Kind::Histogram(_) => drop(recorder.register_histogram(&key, &METADATA)),
                }
            }
        }
    });
}

/// Every way to give the labels values; none when the values of one are not listed.
fn combinations(labels: &[Label]) -> Vec<Vec<Tag>> {
    let mut all = vec![Vec::new()];
    for label in labels {
        let Bound::These(values) = label.bound else {
            return Vec::new();
        };
        all = all
            .iter()
            .flat_map(|given: &Vec<Tag>| {
                values.iter().map(|value| {
                    let mut given = given.clone();
                    given.push(Tag::from_static_parts(label.name, value));
                    given
                })
            })
            .collect();
    }
    all
}
