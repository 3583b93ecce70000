//! What a process says about itself, and the kernel about it.

use std::collections::BTreeMap;
use std::fs;

use crate::Error;

/// Clock ticks in a second of `/proc`'s processor times, on every Linux there is.
const TICKS: f64 = 100.0;

/// Processor time of a process so far, in seconds; `self` is this one.
///
/// # Errors
///
/// When there is no such process.
pub fn cpu_of(process: &str) -> Result<f64, Error> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').ok_or("a stat without a name")?;
    let times = rest.split_whitespace().skip(11).take(2);
    let ticks: Result<Vec<f64>, _> = times.map(str::parse).collect();
    Ok(ticks?.iter().sum::<f64>() / TICKS)
}

/// The number below which `share` of `numbers` lie.
#[must_use]
pub fn quantile(numbers: &[u32], share: f64) -> Option<u32> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[(last as f64 * share).round() as usize])
}

/// Metrics in the text format of Prometheus, by name and labels.
#[derive(Debug, Clone, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Metrics as they are served.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            lines
                .filter_map(|line| {
                    let (name, value) = line.rsplit_once(' ')?;
                    Some((name.to_owned(), value.parse().ok()?))
                })
                .collect(),
        )
    }

    /// What was added since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let added = |(name, value): (&String, &f64)| {
            (name.clone(), value - before.0.get(name).unwrap_or(&0.0))
        };
        Self(self.0.iter().map(added).collect())
    }

    /// All series of `name`, added up; none when there is none.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        let mut series = self
            .0
            .iter()
            .filter(|(series, _)| series.split('{').next() == Some(name))
            .map(|(_, value)| *value)
            .peekable();
        series.peek()?;
        Some(series.sum())
    }

    /// The value below which a share of `histogram`'s observations lies, of the series with
    /// `label`: between the bounds of its bucket by the rule of three.
    #[must_use]
    pub fn quantile(&self, histogram: &str, label: &str, share: f64) -> Option<f64> {
        let bucket = format!("{histogram}_bucket{{");
        let mut buckets: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        for (name, count) in &self.0 {
            if !name.starts_with(&bucket) || !name.contains(label) {
                continue;
            }
            let (_, bound) = name.split_once("le=\"")?;
            let bound = bound.split('"').next()?;
            let bound: f64 = bound.parse().unwrap_or(f64::INFINITY);
            let entry = buckets.entry((bound * 1e9) as u64).or_insert((bound, 0.0));
            entry.1 += count;
        }
        let total = buckets.values().next_back()?.1;
        let wanted = total * share;
        let (mut below, mut counted) = (0.0, 0.0);
        for (bound, count) in buckets.into_values() {
            if count >= wanted && count > counted {
                let part = (wanted - counted) / (count - counted);
                let upper = if bound.is_finite() { bound } else { below };
                return Some(below + (upper - below) * part);
            }
            (below, counted) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_quantiles_are_read() {
        let text = "# TYPE a counter\na{c=\"1\"} 3\na{c=\"2\"} 4\nab 9\n\
            h_bucket{r=\"x{y}\",le=\"0.1\"} 50\nh_bucket{r=\"x{y}\",le=\"0.2\"} 100\n\
            h_bucket{r=\"x{y}\",le=\"+Inf\"} 100\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a"), Some(7.0));
        assert_eq!(metrics.sum("b"), None);
        let median = metrics.quantile("h", "r=\"x{y}\"", 0.75).unwrap();
        assert!((median - 0.15).abs() < 1e-9, "{median}");
        assert_eq!(metrics.since(&metrics).sum("a"), Some(0.0));
        assert_eq!(quantile(&[5, 1, 3], 0.5), Some(3));
    }
}
