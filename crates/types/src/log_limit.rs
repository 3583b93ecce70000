use core::time::Duration;

use crate::Mono;

/// Keeps a log readable where something may happen thousands of times a second: a few
/// lines a second are written, and the next one after those says how many were not.
///
/// ```
/// use strikewire_types::{LogLimit, Mono};
///
/// let mut limit = LogLimit::per_second(2);
/// let at = Mono::from_nanos(5);
/// assert_eq!(limit.admit(at), Some(0));
/// assert_eq!(limit.admit(at), Some(0));
/// assert_eq!(limit.admit(at), None);
/// let later = at + core::time::Duration::from_secs(1);
/// assert_eq!(limit.admit(later), Some(1));
/// ```
#[derive(Debug, Clone)]
pub struct LogLimit {
    per_second: u32,
    /// When the second began that is counted; absent before the first line.
    began: Option<Mono>,
    written: u32,
    suppressed: u64,
}

impl LogLimit {
    /// So many lines a second.
    #[must_use]
    pub const fn per_second(lines: u32) -> Self {
        Self {
            per_second: lines,
            began: None,
            written: 0,
            suppressed: 0,
        }
    }

    /// Whether a line may be written at `now`; if so, how many were not since the last one
    /// that was.
    pub fn admit(&mut self, now: Mono) -> Option<u64> {
        const SECOND: Duration = Duration::from_secs(1);
        if self.began.is_none_or(|began| now.since(began) >= SECOND) {
            self.began = Some(now);
            self.written = 0;
        }
        if self.written == self.per_second {
            self.suppressed += 1;
            return None;
        }
        self.written += 1;
        Some(core::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_second_has_too_many(
            limit in 1_u32..5,
            steps in prop::collection::vec(0_u64..600, 0..200),
        ) {
            let mut log = LogLimit::per_second(limit);
            let mut at = Mono::default();
            let (mut written, mut told) = (Vec::new(), 0);
            for step in &steps {
                at = at + Duration::from_millis(*step);
                if let Some(suppressed) = log.admit(at) {
                    written.push(at);
                    told += suppressed;
                }
            }
            let untold = steps.len() as u64 - written.len() as u64 - told;
            prop_assert_eq!(untold, log.suppressed);
            // A window that begins anywhere overlaps two that are counted.
            for begin in &written {
                let end = *begin + Duration::from_secs(1);
                let within = written.iter().filter(|at| *at >= begin && **at < end).count();
                prop_assert!(within <= 2 * limit as usize, "{} from {:?}", within, begin);
            }
            // Seldom enough, everything is written.
            let seldom = steps.iter().skip(1).all(|step| *step > 1_000 / u64::from(limit));
            prop_assert!(!seldom || told + untold == 0);
        }
    }
}
