//! Subscribes, heartbeats and unsubscribes that come at the same time go to the server in one
//! script: it is begun, told the time and answered once for all of them. Nothing waits for
//! others to come: what gathers while scripts are under way goes with the next one.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::link::Link;
use super::scripts::Operation;
use crate::Error;

/// Scripts under way at once.
const UNDER_WAY: usize = 2;
/// Records of one script that is for several: the server does nothing else meanwhile.
const RECORDS: usize = 100;

/// One call, as the script takes it.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) what: What,
    pub(super) subscriber: String,
    pub(super) user: u64,
    /// What the session's leases are called.
    pub(super) session: String,
    /// What the records are called.
    pub(super) records: Vec<String>,
    /// Milliseconds; empty: the server's own time.
    pub(super) time: String,
}

#[derive(Debug)]
pub(super) enum What {
    /// With the websocket in JSON, empty for none, and what of each record stands
    /// between its `ttl` and its subscribers.
    Subscribe(String, Vec<String>),
    Heartbeat,
    Unsubscribe,
    /// With the websocket, in JSON, that a record must name.
    Leave(String),
}

impl Update {
    /// How many numbers are its answer.
    fn width(&self) -> usize {
        match self.what {
            What::Heartbeat => self.records.len(),
            What::Subscribe(..) | What::Unsubscribe | What::Leave(_) => 2 * self.records.len(),
        }
    }
}

/// Who waits gets the numbers, or nothing: then it has to ask again, by itself.
type Waiting = (Arc<Update>, oneshot::Sender<Vec<u32>>);

#[derive(Debug)]
pub(super) struct Updates {
    link: Arc<Link>,
    operation: Operation,
    /// What every script is told first.
    keys: [String; 2],
    settings: [String; 6],
    waiting: Mutex<VecDeque<Waiting>>,
    turns: Semaphore,
}

impl Updates {
    /// `keys` are the indexes by deadline, of keys and of subscribers; `settings` are
    /// `key_ttl`, `idle`, `index_ttl` in milliseconds, `idle` in seconds, how many
    /// characters stand before a record's name, and what before that of its places.
    pub(super) fn new(
        link: Arc<Link>,
        operation: Operation,
        keys: [String; 2],
        settings: [String; 6],
    ) -> Self {
        Self {
            link,
            operation,
            keys,
            settings,
            waiting: Mutex::default(),
            turns: Semaphore::new(UNDER_WAY),
        }
    }

    pub(super) async fn run(&self, update: Update) -> Result<Vec<u32>, Error> {
        let update = Arc::new(update);
        let (sender, mut answer) = oneshot::channel();
        self.waiting.lock().push_back((Arc::clone(&update), sender));
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut answer => break answer,
                turn = self.turns.acquire() => {
                    let batch = self.take();
                    match &batch[..] {
                        // Somebody else's script has it.
                        [] => {
                            drop(turn);
                            break answer.await;
                        }
                        [(only, _)] if Arc::ptr_eq(only, &update) => {
                            return self.send(&[only]).await;
                        }
                        _ => self.send_all(batch).await,
                    }
                }
            }
        };
        match answer {
            Ok(numbers) => Ok(numbers),
            // The script failed, perhaps for what another asked, or whoever sent it was
            // dropped. Asking again is no harm; while Redis is away it fails at once.
            Err(_) => self.send(&[&update]).await,
        }
    }

    /// The next ones, at least one where there are any.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock();
        let mut batch: Vec<Waiting> = Vec::new();
        let mut records = 0;
        while let Some((next, sender)) = waiting.front() {
            if sender.is_closed() {
                // Its caller has gone: to do it now might undo what came after.
                waiting.pop_front();
                continue;
            }
            records += next.records.len();
            let fits = |(first, _): &Waiting| records <= RECORDS && first.time == next.time;
            if !batch.first().is_none_or(fits) {
                break;
            }
            batch.extend(waiting.pop_front());
        }
        batch
    }

    async fn send_all(&self, batch: Vec<Waiting>) {
        let updates: Vec<_> = batch.iter().map(|(update, _)| &**update).collect();
        let Ok(numbers) = self.send(&updates).await else {
            return;
        };
        let mut rest = &numbers[..];
        for (update, sender) in batch {
            let (its, others) = rest.split_at(update.width());
            rest = others;
            // Its caller may have gone.
            let _ = sender.send(its.to_vec());
        }
    }

    /// The numbers for all of them, one after the other.
    async fn send(&self, updates: &[&Update]) -> Result<Vec<u32>, Error> {
        const EXPECTED: &str = "numbers for each key";
        let count: usize = updates.iter().map(|it| 1 + it.records.len()).sum();
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(self.operation.script.get_hash());
        cmd.arg(self.keys.len() + count).arg(&self.keys);
        for update in updates {
            cmd.arg(&update.session).arg(&update.records);
        }
        cmd.arg(updates.first().map_or("", |it| it.time.as_str()));
        cmd.arg(&self.settings);
        for update in updates {
            let what = match update.what {
                What::Subscribe(..) => "s",
                What::Heartbeat => "h",
                What::Unsubscribe => "u",
                What::Leave(_) => "l",
            };
            cmd.arg(what).arg(&update.subscriber).arg(update.user);
            cmd.arg(update.records.len());
            match &update.what {
                What::Subscribe(websocket, middles) => {
                    cmd.arg(websocket).arg(middles);
                }
                What::Leave(websocket) => {
                    cmd.arg(websocket);
                }
                What::Heartbeat | What::Unsubscribe => {}
            }
        }
        let answer = self.link.run(&self.operation, &cmd).await?;
        let odd = || self.link.odd(self.operation.name, EXPECTED);
        let numbers: Vec<u32> = redis::from_redis_value(answer).map_err(|_| odd())?;
        if numbers.len() == updates.iter().map(|it| it.width()).sum::<usize>() {
            return Ok(numbers);
        }
        Err(odd())
    }
}
