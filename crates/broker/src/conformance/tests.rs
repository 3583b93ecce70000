//! The suite on a feed in memory: one that does everything right passes, and for
//! every case there are feeds with one mistake that fail it.

mod memory;

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use super::{Case, run};
use memory::{Bug, Memory};

/// Runs a future that is never waited for: everything in memory is looked at anew
/// with every poll.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return done;
        }
    }
}

fn check(case: Case) {
    if let Err(failure) = block_on(case.run(Memory::new(None))) {
        panic!("{failure}");
    }
}

crate::conformance_tests!(check);

#[test]
fn a_feed_without_mistakes_passes() {
    let report = block_on(run(async || Memory::new(None)));
    assert!(report.passed(), "{report}");
    assert_eq!(report.results.len(), Case::ALL.len());
}

#[test]
fn every_mistake_fails_its_case() {
    for (bug, case) in Bug::ALL {
        let result = block_on(case.run(Memory::new(Some(bug))));
        assert!(result.is_err(), "{bug:?} passes: {case}");
        let failure = result.unwrap_err();
        assert_eq!(failure.case, case);
        assert!(!failure.reason.contains(memory::SECRET), "{failure}");
    }
}

#[test]
fn every_case_has_a_mistake_that_fails_it() {
    for case in Case::ALL {
        assert!(Bug::ALL.iter().any(|(_, of)| *of == case), "{case}");
    }
}

#[test]
fn a_report_with_a_failure_has_not_passed_and_says_which() {
    let report = block_on(run(async || Memory::new(Some(Bug::NoTurnDone))));
    assert!(!report.passed());
    let text = report.to_string();
    assert!(
        text.contains("FAILED  the end of a turn is told: "),
        "{text}"
    );
    assert!(text.contains("passed  it says goodbye, and ends"), "{text}");
}
