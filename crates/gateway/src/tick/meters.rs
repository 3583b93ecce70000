use std::time::Instant;

use metrics::{Histogram, histogram};

/// How long the stages of a turn of the feed take: measured once per turn, as a look at
/// the clock costs as much as a packet. In real time, whatever the clock of the data.
#[derive(Debug)]
pub(super) struct Meters {
    receive: Histogram,
    row: Histogram,
    /// When the first frame of this turn came.
    began: Option<Instant>,
}

impl Meters {
    pub(super) fn new() -> Self {
        let stage = |stage: &'static str| histogram!("strikewire_stage_seconds", "stage" => stage);
        Self {
            receive: stage("receive"),
            row: stage("row"),
            began: None,
        }
    }

    /// A frame came.
    pub(super) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    /// What came in this turn is decoded and in its rows. Gives back when it began; nothing
    /// if it brought no frame but answers to requests.
    pub(super) fn received(&mut self) -> Option<Instant> {
        let began = self.began.take()?;
        self.receive.record(began.elapsed());
        Some(began)
    }

    /// Roll bands, streams and waiting requests know of it too.
    pub(super) fn settled(&self, began: Instant) {
        self.row.record(began.elapsed());
    }
}
