use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use strikewire_types::{Mono, Now, Utc};
use tokio::time::{Instant, sleep_until};

use super::config::RestLimits;
use super::limiter::{Limiter, Question, Refusal, Ticket, Verdict};

/// The [`Limiter`] on tokio's clock.
pub(super) struct Gate {
    limiter: Mutex<Limiter>,
    random: Mutex<Pcg64Mcg>,
    origin: Instant,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// A question may be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    pub(super) question: Question,
    pub(super) ticket: Ticket,
    sent: Mono,
}

/// A place in the line, given up when its owner stops waiting.
struct Place<'a>(&'a Gate, Ticket);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.limiter().leave(self.1);
    }
}

impl Gate {
    pub(super) fn new(limits: RestLimits, seed: u64) -> Self {
        Self {
            limiter: Mutex::new(Limiter::new(limits)),
            random: Mutex::new(Pcg64Mcg::seed_from_u64(seed)),
            origin: Instant::now(),
        }
    }

    /// Waits for a question's turn; one that is asked again keeps its place.
    ///
    /// # Cancel safety
    ///
    /// Its place in the line is given up.
    pub(super) async fn pass(
        &self,
        question: Question,
        again: Option<Ticket>,
    ) -> Result<Pass, Refusal> {
        let now = self.now();
        let ticket = self.limiter().enter(now, question, again)?;
        let place = Place(self, ticket);
        loop {
            let now = self.now();
            let verdict = self.limiter().poll(now, ticket);
            match verdict {
                Verdict::Go => {
                    drop(place);
                    return Ok(Pass {
                        question,
                        ticket,
                        sent: now.mono,
                    });
                }
                Verdict::Refused(refusal) => return Err(refusal),
                // Everybody in the line looks again when a turn comes; the first of
                // them to look lets the one go whose turn it is.
                Verdict::Wait(until) => {
                    sleep_until(self.origin + until.since(Mono::default())).await;
                }
            }
        }
    }

    /// See [`Limiter::limited`].
    pub(super) fn limited(&self, pass: &Pass, asked_for: Option<Duration>) -> Duration {
        let jitter = self.random();
        self.limiter()
            .limited(self.now(), pass.question, pass.sent, asked_for, jitter)
    }

    /// See [`Limiter::answered`].
    pub(super) fn answered(&self, pass: &Pass) {
        self.limiter().answered(pass.question, pass.sent);
    }

    /// A number from 0 up to 1.
    pub(super) fn random(&self) -> f64 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.random()
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Tells only on which date a request counts.
        let utc = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            mono: Mono::from_nanos(nanos(self.origin.elapsed())),
            utc: Utc::default() + utc.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> RestLimits {
        RestLimits {
            quote_every: Duration::from_secs(1),
            max_wait: Duration::from_secs(5),
            ..RestLimits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_goes_in_order_and_at_distance() {
        let gate = Gate::new(limits(), 0);
        let begin = Instant::now();
        let one = async |_: u32| {
            let pass = gate.pass(Question::Quotes, None).await;
            pass.map(|pass| (pass.ticket, begin.elapsed().as_millis() as u64))
        };
        let passes = futures_util::future::join_all((0..6).map(one)).await;
        let passes: Vec<_> = passes.into_iter().map(Result::unwrap).collect();
        assert!(passes.is_sorted(), "{passes:?}");
        for (n, (_, at)) in passes.iter().enumerate() {
            let earliest = n as u64 * 1_000;
            // Timers of tokio are exact to a millisecond.
            assert!((earliest..earliest + 10).contains(at), "{passes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_costs_nobody_a_turn() {
        let gate = Gate::new(limits(), 0);
        gate.pass(Question::Quotes, None).await.unwrap();
        let begin = Instant::now();
        let first = gate.pass(Question::Quotes, None);
        let second = async {
            let first = tokio::time::timeout(Duration::from_millis(300), first);
            assert!(first.await.is_err());
        };
        let third = gate.pass(Question::Quotes, None);
        let (third, ()) = futures_util::future::join(third, second).await;
        third.unwrap();
        assert!(begin.elapsed() < Duration::from_millis(1_010));
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_is_told_at_once() {
        let gate = Gate::new(limits(), 0);
        let pass = gate.pass(Question::Quotes, None).await.unwrap();
        let rest = gate.limited(&pass, Some(Duration::from_secs(60)));
        assert!((60..66).contains(&rest.as_secs()), "{rest:?}");
        let begin = Instant::now();
        let refusal = gate.pass(Question::Quotes, None).await.unwrap_err();
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert!(!refusal.is_for_today && refusal.wait >= Duration::from_secs(59));
        // Others are not concerned.
        gate.pass(Question::Candles, None).await.unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
