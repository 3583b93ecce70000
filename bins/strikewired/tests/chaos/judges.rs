//! What is right, worked out apart from what is tested.

use std::collections::BTreeMap;
use std::time::Duration;

use strikewire_broker::{DownCause, Gap};
use strikewire_types::{ConnId, Mono, Now};

/// The account's allowance: ten attempts, and one more every 12 s.
const BUCKET: usize = 10;
const REFILL: Duration = Duration::from_secs(12);

/// Holds every attempt to the allowance, over restarts too.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) at: Vec<Mono>,
}

impl Attempts {
    /// An attempt begins at `now`. However one looks at it, in no span of time may there
    /// be more than the bucket and what came into it meanwhile.
    pub(crate) fn begin(&mut self, now: Mono) {
        self.at.push(now);
        for (index, &from) in self.at.iter().enumerate() {
            let made = self.at.len() - index;
            let span = now.since(from);
            let refilled = (span.as_nanos() / REFILL.as_nanos()) as usize;
            assert!(
                made <= BUCKET + refilled,
                "{made} attempts within {span:?}: at most {} are allowed",
                BUCKET + refilled
            );
        }
    }
}

/// Holds what is told about gaps to what happened.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    conns: BTreeMap<ConnId, Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// When data last came, over all lives.
    last: Option<Now>,
    /// An outage that has to be told with the next data: since when, and its first cause.
    owed: Option<(Now, DownCause)>,
}

impl Outages {
    /// A connection that was up went down, or an attempt failed.
    pub(crate) fn down(&mut self, conn: ConnId, cause: &DownCause) {
        let line = self.conns.entry(conn).or_default();
        if let (Some(last), None) = (line.last, &line.owed) {
            line.owed = Some((last, cause.clone()));
        }
    }

    /// Data came on `conn`, and this was told with it. Whether it was a gap.
    pub(crate) fn data(&mut self, conn: ConnId, now: Now, told: Option<&Gap>) -> bool {
        let line = self.conns.entry(conn).or_default();
        line.last = Some(now);
        match (line.owed.take(), told) {
            (None, None) => false,
            (Some((from, cause)), Some(gap)) => {
                assert_eq!(
                    (gap.from, gap.to, &gap.cause),
                    (from, now, &cause),
                    "the gap of connection {conn}"
                );
                true
            }
            (Some((from, cause)), None) => {
                panic!("connection {conn} had no data since {from:?} ({cause}), and no gap is told")
            }
            (None, Some(gap)) => panic!("connection {conn} had no outage, and told is {gap:?}"),
        }
    }
}
