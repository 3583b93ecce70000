//! What every adapter has to do, as a suite of cases that its author runs.
//!
//! Behind the feature `conformance`. The author supplies a [`Rig`]: the adapter's
//! [`Feed`], pointed at a stand-in of its broker, and what the suite needs to ask and
//! do on the broker's side. Everything is judged from there and from what the feed
//! reports and applies; the suite looks into no adapter.
//!
//! # What the author of a new adapter does
//!
//! 1. Writes a stand-in of the broker that a socket of this machine reaches, and that
//!    can be asked what each connection holds. It must not share code with the
//!    adapter, or it would prove its mistakes.
//! 2. Writes a [`Rig`]: a struct with the stand-in and what is needed for a feed.
//!    Waits of the adapter, such as before the next attempt, are set so short that
//!    [`Rig::patience`] is seconds.
//! 3. In a test target with `strikewire-broker = { features = ["conformance"] }` among
//!    the dev-dependencies, writes a function `fn check(case: Case)` that starts a rig
//!    on the adapter's runtime, runs the case and panics with its [`Failure`];
//!    [`conformance_tests!`](crate::conformance_tests) makes one test of each case.
//!    [`run`] does all of them and gives a [`Report`].
//! 4. Writes down, in the adapter's own tests, what is special about the broker: the
//!    suite knows no codes, no limits of rate and no faults beyond a lost connection.
//!
//! `crates/dhan/tests/conformance` is an example.
//!
//! ```
//! use strikewire_broker::conformance::{Rig, run};
//!
//! async fn my_adapter_conforms<R: Rig>(start: impl AsyncFnMut() -> R) {
//!     let report = run(start).await;
//!     assert!(report.passed(), "{report}");
//! }
//! ```

mod bench;
mod cases;
mod recorder;
#[cfg(test)]
mod tests;

use core::fmt;
use core::future::Future;
use core::time::Duration;
use std::collections::BTreeMap;

use strikewire_types::{InstrumentKey, Mode, Price, PriceStep};

use crate::Feed;

/// A feed of the adapter and the stand-in of its broker. Each case gets a new one.
pub trait Rig {
    /// The adapter's feed.
    type Feed: Feed + 'static;

    /// The feed, pointed at the stand-in and not begun. Called once.
    fn feed(&mut self) -> Self::Feed;

    /// Instruments that the broker has: at least two for each connection, better more
    /// than fit into a batch. Their prices stay as they are unless
    /// [`update`](Self::update) says otherwise.
    fn instruments(&self) -> Vec<Listed>;

    /// What must never be shown: the credential that the feed has been given.
    fn secret(&self) -> String;

    /// What else of the adapter can be printed, such as its configuration by `Debug`;
    /// the [secret](Self::secret) must not be in it.
    fn printed(&self) -> Vec<String> {
        Vec::new()
    }

    /// How long anything that is awaited may take, waits before attempts included. Only
    /// a failure takes that long.
    fn patience(&self) -> Duration;

    /// The broker's own account of the connections that are open now.
    fn seats(&self) -> Vec<Seat>;

    /// How many clients have said goodbye so far, in the broker's words or by closing
    /// properly.
    fn goodbyes(&self) -> usize;

    /// Ends a connection without a word, as a network does.
    fn cut(&mut self, seat: u64);

    /// Ends a connection politely, as a broker does before maintenance.
    fn close(&mut self, seat: u64);

    /// Turns down the next so many attempts, with an answer that is no reason to give
    /// up or to stay away for long.
    fn refuse(&mut self, attempts: usize);

    /// Makes `price` the last price of `key`, and sends it to whoever holds it. What has
    /// been sent may be sent again.
    fn update(&mut self, key: InstrumentKey, price: Price);

    /// How many updates about `key` the broker has sent so far, of whatever kind, on all
    /// connections together.
    fn sent(&self, key: InstrumentKey) -> u64;

    /// Waits on the runtime of the feed.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

/// An instrument that a broker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub key: InstrumentKey,
    /// Its tick size.
    pub step: PriceStep,
}

/// A connection as its broker sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// A number that no other connection of this broker has or had.
    pub id: u64,
    /// What it is sent, and the mode of the packets that it is sent.
    pub held: BTreeMap<InstrumentKey, Mode>,
}

/// One thing that every adapter has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Case {
    /// The capabilities are such as a broker can have, and do not change.
    Capabilities,
    /// Every connection is reported up and then ready, before anything is asked of it;
    /// and nothing is asked of the broker by itself.
    UpThenReady,
    /// A connection is ready again once its batch is on its way, and the batch arrives
    /// whole.
    ReadyMeansWritten,
    /// A batch for an earlier life of a connection is ignored.
    StaleBatch,
    /// With one batch at a time on each connection everything gets to the broker.
    OneAtATime,
    /// Each mode can be asked for and let go of.
    Modes,
    /// An update is applied once, to its instrument.
    UpdateOnce,
    /// A price is applied as exactly the number of ticks that it is.
    Rounded,
    /// Updates are applied as coming from the connection they came on.
    RightConnection,
    /// Updates of instruments that nobody wants any more are not applied.
    Unresolved,
    /// After a cut a connection is reported down, comes up in a later life, and takes
    /// everything again.
    BackFromCut,
    /// The same after a polite close.
    BackFromClose,
    /// The time without data is reported once, with its bounds and its cause.
    GapTold,
    /// An attempt that was turned down is reported with the wait before the next, which
    /// comes.
    Refused,
    /// The sink sees a frame before what is in it is applied.
    FrameFirst,
    /// The sink is told when what was waiting has been applied.
    TurnDone,
    /// When nobody wants the feed any more it says goodbye on every connection, and
    /// ends.
    Goodbye,
    /// Nothing that is reported contains the secret.
    Secret,
}

impl Case {
    /// Every case.
    pub const ALL: [Self; 18] = [
        Self::Capabilities,
        Self::UpThenReady,
        Self::ReadyMeansWritten,
        Self::StaleBatch,
        Self::OneAtATime,
        Self::Modes,
        Self::UpdateOnce,
        Self::Rounded,
        Self::RightConnection,
        Self::Unresolved,
        Self::BackFromCut,
        Self::BackFromClose,
        Self::GapTold,
        Self::Refused,
        Self::FrameFirst,
        Self::TurnDone,
        Self::Goodbye,
        Self::Secret,
    ];

    /// A few words, `a stale batch is ignored`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities are sane and constant",
            Self::UpThenReady => "up, then ready, before anything is written",
            Self::ReadyMeansWritten => "ready again means written",
            Self::StaleBatch => "a stale batch is ignored",
            Self::OneAtATime => "one batch at a time suffices",
            Self::Modes => "every mode can be asked for and let go of",
            Self::UpdateOnce => "an update is applied once, to its instrument",
            Self::Rounded => "prices are rounded to the tick",
            Self::RightConnection => "updates come from their connection",
            Self::Unresolved => "what nobody wants is not applied",
            Self::BackFromCut => "back from a cut, in a later life",
            Self::BackFromClose => "back from a polite close, in a later life",
            Self::GapTold => "a gap is told, with its bounds and cause",
            Self::Refused => "a refused attempt is told, and the next one comes",
            Self::FrameFirst => "frames are seen before they are decoded",
            Self::TurnDone => "the end of a turn is told",
            Self::Goodbye => "it says goodbye, and ends",
            Self::Secret => "no secret is shown",
        }
    }

    /// Runs this case.
    ///
    /// # Errors
    ///
    /// What the adapter did wrong.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the feed and the rig.
    pub async fn run<R: Rig>(self, rig: R) -> Result<(), Failure> {
        cases::run(self, rig)
            .await
            .map_err(|reason| Failure { case: self, reason })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An adapter that does not do what it has to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{case}: {reason}")]
pub struct Failure {
    /// Which case.
    pub case: Case,
    /// What it did instead, and how things were.
    pub reason: String,
}

/// What came of the cases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// In order.
    pub results: Vec<(Case, Result<(), Failure>)>,
}

impl Report {
    /// Whether there were cases and all of them passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.results.is_empty() && self.results.iter().all(|(_, result)| result.is_ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, result) in &self.results {
            match result {
                Ok(()) => writeln!(f, "passed  {case}")?,
                Err(failure) => writeln!(f, "FAILED  {failure}")?,
            }
        }
        Ok(())
    }
}

/// Runs every case, each with a rig of its own.
///
/// # Cancel safety
///
/// Dropping it drops the feed and the rig of the case that runs.
pub async fn run<R: Rig>(mut start: impl AsyncFnMut() -> R) -> Report {
    let mut report = Report::default();
    for case in Case::ALL {
        let rig = start().await;
        report.results.push((case, case.run(rig).await));
    }
    report
}

/// One test for each [`Case`], which calls the given function with it. The function
/// starts a [`Rig`], runs the case and panics if it fails.
#[macro_export]
macro_rules! conformance_tests {
    ($check:path) => {
        $crate::conformance_tests! { @tests $check;
            capabilities_are_sane_and_constant: Capabilities,
            up_then_ready_before_anything_is_written: UpThenReady,
            ready_again_means_written: ReadyMeansWritten,
            a_stale_batch_is_ignored: StaleBatch,
            one_batch_at_a_time_suffices: OneAtATime,
            every_mode_can_be_asked_for_and_let_go_of: Modes,
            an_update_is_applied_once_to_its_instrument: UpdateOnce,
            prices_are_rounded_to_the_tick: Rounded,
            updates_come_from_their_connection: RightConnection,
            what_nobody_wants_is_not_applied: Unresolved,
            back_from_a_cut_in_a_later_life: BackFromCut,
            back_from_a_polite_close_in_a_later_life: BackFromClose,
            a_gap_is_told_with_its_bounds_and_cause: GapTold,
            a_refused_attempt_is_told_and_the_next_one_comes: Refused,
            frames_are_seen_before_they_are_decoded: FrameFirst,
            the_end_of_a_turn_is_told: TurnDone,
            it_says_goodbye_and_ends: Goodbye,
            no_secret_is_shown: Secret,
        }
    };
    (@tests $check:path; $($name:ident: $case:ident,)*) => {
        const _: () = assert!(
            [$($crate::conformance::Case::$case),*].len()
                == $crate::conformance::Case::ALL.len(),
            "a case has no test"
        );
        $(
            #[test]
            fn $name() {
                $check($crate::conformance::Case::$case);
            }
        )*
    };
}
