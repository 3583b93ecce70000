//! What every adapter has to do, done by Dhan's against the stand-in, over real sockets.

mod rig;

use strikewire_broker::conformance::Case;

fn check(case: Case) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(async { case.run(rig::start().await).await });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

strikewire_broker::conformance_tests!(check);
