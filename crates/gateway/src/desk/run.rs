use core::convert::Infallible;
use core::time::Duration;
use std::sync::Arc;

use strikewire_broker::{Reference, ReferenceError};
use strikewire_types::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::queue::Urgency;
use super::{Answers, Desk};

/// Calls that nobody waits for begin this long after the one before: one that somebody
/// waits for then need not queue behind one that waits for the broker's limit.
const UNHURRIED: Duration = Duration::from_secs(1);

/// How long the first who waits is kept for others who come at the same moment: calls are
/// scarcer than time.
const GATHER: Duration = Duration::from_millis(10);

/// After a call that failed for a reason that may pass, those that nobody waits for rest
/// this long; twice as long after each further one.
const REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Asks `reference` for what is wished for at `desk` until `alive` ends, one call at a
/// time. What is answered goes to `rows`.
///
/// # Cancel safety
///
/// Meant to run to its end. Whoever waits at the desk when this is dropped is told so.
pub(crate) fn run<R: Reference>(
    desk: Desk,
    reference: Arc<R>,
    clock: Clock,
    rows: mpsc::Sender<Answers>,
    alive: oneshot::Receiver<Infallible>,
) -> impl Future<Output = ()> + Send {
    let closing = Closing(desk);
    async move {
        tokio::select! {
            biased;
            _ = alive => {}
            () = serve(&closing.0, &*reference, clock, &rows) => {}
        }
    }
}

/// Closes the desk when its task ends, or never begins.
struct Closing(Desk);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn serve<R: Reference>(
    desk: &Desk,
    reference: &R,
    clock: Clock,
    rows: &mpsc::Sender<Answers>,
) {
    let most = reference.quotes_per_call().max(1);
    // Before this, no call is made that nobody waits for.
    let mut unhurried_from = Instant::now();
    // Before this, a call asks for nothing that nobody waits for.
    let mut rests_until = Instant::now();
    let mut failures = 0;
    loop {
        wait_for_wishes(desk, unhurried_from).await;
        let least = if Instant::now() < rests_until {
            Urgency::Waited
        } else {
            Urgency::Gap
        };
        let Some(call) = desk.next_call(most, least) else {
            continue;
        };
        let asked_at = clock.now();
        let result = reference.quotes(&call.wanted).await;
        unhurried_from = (Instant::now() + UNHURRIED).max(rests_until);
        count(&result);
        match result {
            Ok(snapshots) => {
                failures = 0;
                let at = clock.now();
                let snapshots = desk.answered(&call, at, snapshots);
                if snapshots.is_empty() {
                    continue;
                }
                let answers = Answers {
                    generation: call.generation,
                    asked_at,
                    at,
                    snapshots,
                };
                // The feed may have ended already.
                let _ = rows.send(answers).await;
            }
            Err(error) => {
                if error.is_transient() {
                    rests_until = Instant::now() + rest(&error, failures);
                    unhurried_from = unhurried_from.max(rests_until);
                }
                say(&error, failures, call.wanted.len());
                failures += 1;
                desk.failed(&call, error);
            }
        }
    }
}

/// Waits until there is something to ask for that may be asked for.
async fn wait_for_wishes(desk: &Desk, unhurried_from: Instant) {
    loop {
        let wake = desk.shared.wake.notified();
        match desk.most_urgent() {
            None => wake.await,
            Some(Urgency::Waited) => return tokio::time::sleep(GATHER).await,
            Some(_) => tokio::select! {
                biased;
                () = wake => {}
                () = tokio::time::sleep_until(unhurried_from) => return,
            },
        }
    }
}

fn rest(error: &ReferenceError, failures: u32) -> Duration {
    let longer = REST.saturating_mul(2_u32.saturating_pow(failures));
    let asked = match error {
        ReferenceError::Limited { retry_after, .. } => *retry_after,
        _ => None,
    };
    longer.min(LONGEST_REST).max(asked.unwrap_or_default())
}

fn count<T>(result: &Result<Vec<T>, ReferenceError>) {
    let outcome = result.as_ref().map_or_else(ReferenceError::kind, |_| "ok");
    metrics::counter!(
        "strikewire_reference_calls_total", "call" => "quotes", "outcome" => outcome
    )
    .increment(1);
    if let Ok(answers) = result {
        metrics::counter!("strikewire_reference_instruments_total").increment(answers.len() as u64);
    }
}

fn say(error: &ReferenceError, failures: u32, instruments: usize) {
    if failures == 0 && !matches!(error, ReferenceError::Unsupported { .. }) {
        tracing::warn!(%error, instruments, "Quotes could not be asked for");
    } else {
        tracing::debug!(%error, instruments, "Quotes could not be asked for");
    }
}
