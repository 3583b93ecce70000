//! The latest deltas of a channel, for clients that come back.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use strikewire_types::Mono;

/// How long a delta is kept, and a channel or chain that nobody is subscribed to.
pub(crate) const KEEP: Duration = Duration::from_secs(30);

/// Deltas that one channel keeps at most.
const DELTAS: usize = 1024;

/// Bytes that the deltas of all channels together take at most.
pub(crate) const BYTES: usize = 256 << 20;

/// Deltas without a gap between their numbers.
#[derive(Debug, Default)]
pub(crate) struct History {
    deltas: VecDeque<Delta>,
    /// Number of the first.
    first: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Delta {
    at: Mono,
    /// The message's text after its `sub`.
    tail: Bytes,
}

impl History {
    /// Adds the delta that follows.
    pub(crate) fn push(&mut self, seq: u64, at: Mono, tail: Bytes) {
        if self.first + self.deltas.len() as u64 != seq {
            self.deltas.clear();
            self.bytes = 0;
            self.first = seq;
        }
        self.bytes += tail.len();
        self.deltas.push_back(Delta { at, tail });
        if self.deltas.len() > DELTAS {
            self.pop();
        }
        self.forget(at);
    }

    /// Forgets what is older than [`KEEP`].
    pub(crate) fn forget(&mut self, now: Mono) {
        while self
            .deltas
            .front()
            .is_some_and(|delta| now.since(delta.at) > KEEP)
        {
            self.pop();
        }
    }

    /// Lets go of the oldest: an eighth of its bytes or a little more, so that the channel
    /// that keeps most need not be looked for again at every delta.
    pub(crate) fn shrink(&mut self) {
        let most = self.bytes - self.bytes.div_ceil(8);
        while self.bytes > most {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(delta) = self.deltas.pop_front() {
            self.bytes -= delta.tail.len();
            self.first += 1;
        }
    }

    /// The texts of the deltas with the numbers `from` to `to`, if all are here.
    pub(crate) fn since(&self, from: u64, to: u64) -> Option<impl Iterator<Item = (u64, &Bytes)>> {
        let here = from > to || (from >= self.first && to < self.first + self.deltas.len() as u64);
        let skip = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        here.then(|| {
            let tails = self.deltas.iter().skip(skip).map(|delta| &delta.tail);
            (from..=to).zip(tails)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.deltas.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    fn numbers(history: &History, from: u64, to: u64) -> Option<Vec<u64>> {
        let deltas = history.since(from, to)?;
        Some(
            deltas
                .map(|(seq, tail)| {
                    assert_eq!(tail, seq.to_string().as_bytes());
                    seq
                })
                .collect(),
        )
    }

    fn filled(seqs: core::ops::RangeInclusive<u64>) -> History {
        let mut history = History::default();
        for seq in seqs {
            history.push(seq, at(0), seq.to_string().into());
        }
        history
    }

    #[test]
    fn what_is_here_is_given_whole_or_not_at_all() {
        let history = filled(5..=8);
        assert_eq!(numbers(&history, 5, 8), Some(vec![5, 6, 7, 8]));
        assert_eq!(numbers(&history, 8, 8), Some(vec![8]));
        assert_eq!(numbers(&history, 9, 8), Some(vec![]));
        assert_eq!(numbers(&history, 4, 8), None);
        assert_eq!(numbers(&history, 5, 9), None);
        assert_eq!(numbers(&History::default(), 1, 1), None);
        assert_eq!(numbers(&History::default(), 1, 0), Some(vec![]));
    }

    #[test]
    fn number_and_age_are_bounded() {
        let history = filled(1..=2000);
        assert_eq!(history.len(), 1024);
        assert_eq!(
            numbers(&history, 977, 2000).map(|all| all.len()),
            Some(1024)
        );
        assert_eq!(numbers(&history, 976, 2000), None);

        let mut history = filled(1..=2);
        history.push(3, at(30), "3".into());
        assert_eq!(history.len(), 3);
        history.push(4, at(31), "4".into());
        assert_eq!(numbers(&history, 3, 4), Some(vec![3, 4]));
        assert_eq!(numbers(&history, 2, 4), None);
        history.forget(at(61));
        assert_eq!((history.len(), history.bytes()), (1, 1));
        history.forget(at(62));
        assert_eq!((history.len(), history.bytes()), (0, 0));
        assert_eq!(numbers(&history, 5, 4), Some(vec![]));
    }

    #[test]
    fn an_eighth_of_the_bytes_goes_at_once() {
        let mut history = History::default();
        let large = Bytes::from(vec![b' '; 3 << 20]);
        for seq in 1..=20 {
            history.push(seq, at(0), large.clone());
        }
        // However large, one channel alone may keep it.
        assert_eq!((history.len(), history.bytes()), (20, 60 << 20));
        history.shrink();
        assert_eq!((history.len(), history.bytes()), (17, 51 << 20));
        while history.bytes() > 0 {
            history.shrink();
        }
        assert_eq!(history.len(), 0);
        assert!(history.since(21, 20).is_some() && history.since(20, 20).is_none());
    }

    #[test]
    fn a_number_left_out_begins_it_anew() {
        let mut history = filled(1..=3);
        history.push(5, at(0), "5".into());
        assert_eq!(numbers(&history, 5, 5), Some(vec![5]));
        assert_eq!(history.bytes(), 1);
    }
}
