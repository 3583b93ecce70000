use core::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use anyhow::Context;

/// The exit status of a process that one of its vital threads has failed.
const PANICKED: i32 = 101;

/// Runs what `make` makes on a thread of its own, with a runtime of its own.
///
/// Nothing works without it: a panic there ends the process, and the next start
/// recovers, which is the tested way.
pub(crate) fn vital<F: Future<Output = ()>>(
    name: &'static str,
    make: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .with_context(|| format!("the runtime of the {name} thread"))?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(make())));
            if ended.is_err() {
                die(name);
            }
        })
        .with_context(|| format!("the {name} thread"))
}

/// Ends the process because `name` panicked or cannot go on.
pub(crate) fn die(name: &str) -> ! {
    tracing::error!(name, "A vital part failed; the process ends");
    eprintln!("strikewired: {name} failed; the process ends");
    std::process::exit(PANICKED);
}
