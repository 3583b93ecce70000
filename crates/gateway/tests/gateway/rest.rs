//! The request side of a broker that the test plays.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use strikewire_broker::{NoReference, Reference, ReferenceError, Snapshot};
use strikewire_gateway::types::{ExchangeTime, InstrumentKey, Price, PriceStep, Utc};

/// Answers what the test tells it to; nothing at all unless told.
#[derive(Clone, Default)]
pub(crate) struct Rest {
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    answers: Answers,
    quotes: BTreeMap<InstrumentKey, Snapshot>,
    takes: Duration,
    calls: Vec<Vec<InstrumentKey>>,
}

#[derive(Default, Clone, Copy)]
enum Answers {
    #[default]
    Unsupported,
    Unavailable,
    Quotes,
}

impl Rest {
    /// Knows the last price of an instrument from now on.
    pub(crate) fn knows(&self, key: InstrumentKey, rupees: f64, at: Utc) {
        let snapshot = Snapshot {
            ltp: Some(Price::from_f64(rupees).unwrap()),
            ltt: Some(ExchangeTime::from_seconds(at.as_seconds())),
            ..Snapshot::new(key)
        };
        self.script.lock().unwrap().quotes.insert(key, snapshot);
    }

    /// Knows no more than the previous close of an instrument.
    pub(crate) fn knows_close(&self, key: InstrumentKey, rupees: f64) {
        let mut snapshot = Snapshot::new(key);
        snapshot.day.prev_close = Some(Price::from_f64(rupees).unwrap());
        self.script.lock().unwrap().quotes.insert(key, snapshot);
    }

    /// Answers by quotes, each call after some time.
    pub(crate) fn answering_after(takes: Duration) -> Self {
        let rest = Self::default();
        {
            let mut script = rest.script.lock().unwrap();
            script.answers = Answers::Quotes;
            script.takes = takes;
        }
        rest
    }

    /// Fails every call, after some time.
    pub(crate) fn failing_after(takes: Duration) -> Self {
        let rest = Self::answering_after(takes);
        rest.script.lock().unwrap().answers = Answers::Unavailable;
        rest
    }

    /// The instruments of every call so far.
    pub(crate) fn calls(&self) -> Vec<Vec<InstrumentKey>> {
        self.script.lock().unwrap().calls.clone()
    }
}

impl Reference for Rest {
    fn quotes_per_call(&self) -> usize {
        1_000
    }

    async fn quotes(
        &self,
        wanted: &[(InstrumentKey, PriceStep)],
    ) -> Result<Vec<Snapshot>, ReferenceError> {
        let (answers, takes) = {
            let mut script = self.script.lock().unwrap();
            let keys = wanted.iter().map(|(key, _)| *key).collect();
            script.calls.push(keys);
            (script.answers, script.takes)
        };
        tokio::time::sleep(takes).await;
        match answers {
            Answers::Unsupported => NoReference.quotes(wanted).await,
            Answers::Unavailable => Err(ReferenceError::Unavailable {
                call: "quotes",
                detail: "out of order".into(),
            }),
            Answers::Quotes => {
                let script = self.script.lock().unwrap();
                let known = |(key, _): &_| script.quotes.get(key).cloned();
                Ok(wanted.iter().filter_map(known).collect())
            }
        }
    }
}
