use core::convert::Infallible;
use core::pin::Pin;
use core::time::Duration;
use std::panic::resume_unwind;
use std::sync::Arc;

use strikewire_broker::{Candle, Reference, ReferenceError};
use strikewire_types::{Clock, InstrumentKey, Now};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::calls::What;
use super::machine::{Action, Engine};
use super::{Sink, meters};
use crate::Error;
use crate::bars::{BarBatch, Bars};
use crate::command::{Command, Envelope};
use crate::hub::HubCommand;
use crate::owner::OwnerEvent;

/// How often bars are collected. In real time: minutes are closed that soon after their
/// grace.
const BEAT: Duration = Duration::from_millis(50);

/// Values of forming bars are computed every so many beats: as often as the hub sends them.
const FORMING: u64 = 5;

/// Whom the engine talks to.
pub(crate) struct Outside {
    pub(crate) clock: Clock,
    pub(crate) bars: Bars,
    pub(crate) events: UnboundedReceiver<OwnerEvent>,
    pub(crate) commands: mpsc::WeakSender<Envelope>,
    pub(crate) hub: mpsc::WeakUnboundedSender<HubCommand>,
    pub(crate) sink: Arc<dyn Sink>,
}

/// Something that was waited for.
enum Done {
    Claimed(InstrumentKey, u64, Result<(), Error>),
    Candles(What, u64, Result<Vec<Candle>, ReferenceError>),
}

type Collecting = Pin<Box<dyn Future<Output = (Now, Option<BarBatch>)> + Send>>;

/// Computes what is wanted until `ended`, with the broker's candles.
///
/// # Cancel safety
///
/// Not safe to resume; meant to be dropped when everything stops.
pub(crate) async fn run<R: Reference>(
    engine: Engine,
    outside: Outside,
    reference: Arc<R>,
    ended: oneshot::Receiver<Infallible>,
) {
    tokio::select! {
        biased;
        _ = ended => {}
        () = serve(engine, outside, reference) => {}
    }
}

async fn serve<R: Reference>(mut engine: Engine, mut outside: Outside, reference: Arc<R>) {
    let clock = outside.clock;
    let computing = engine.computing().clone();
    let mut waited: JoinSet<Done> = JoinSet::new();
    let mut collecting: Option<Collecting> = None;
    let mut spare = Some(BarBatch::default());
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beats = 0;
    loop {
        tokio::select! {
            biased;
            event = outside.events.recv() => {
                let Some(event) = event else { return };
                engine.handle_event(clock.now(), event);
            }
            Some(done) = waited.join_next() => match done {
                Ok(Done::Claimed(key, number, taken)) => {
                    engine.handle_claimed(clock.now(), key, number, taken);
                }
                Ok(Done::Candles(what, number, result)) => {
                    engine.handle_candles(clock.now(), what, number, result);
                }
                // A fault of the broker's client is a fault of this task.
                Err(error) => if let Ok(panic) = error.try_into_panic() {
                    resume_unwind(panic);
                },
            },
            (collected, batch) = collected(&mut collecting) => {
                collecting = None;
                if let Some(batch) = batch {
                    engine.handle_batch(clock.now(), collected, &batch);
                    spare = Some(batch);
                }
            }
            () = computing.shared.wake.notified() => engine.handle_asked(clock.now()),
            _ = beat.tick() => {
                beats += 1;
                let now = clock.now();
                engine.handle_beat(now, beats % FORMING == 0);
                // No batch to give: one is under way, or the feed has ended.
                if engine.is_busy() && let Some(batch) = spare.take() {
                    let bars = outside.bars.clone();
                    collecting = Some(Box::pin(async move {
                        (now, bars.collect(now.utc, batch).await)
                    }));
                }
            }
        }
        for action in engine.poll() {
            if !outside.act(action, &mut waited).await {
                return;
            }
        }
        while let Some((number, request)) = engine.poll_call(clock.now()) {
            let reference = Arc::clone(&reference);
            waited.spawn(async move {
                let result = reference.candles(&request).await;
                meters::asked(&result);
                Done::Candles((request.key, request.interval), number, result)
            });
        }
    }
}

/// What is collected, when it is there.
async fn collected(collecting: &mut Option<Collecting>) -> (Now, Option<BarBatch>) {
    match collecting {
        Some(collecting) => collecting.await,
        None => core::future::pending().await,
    }
}

impl Outside {
    /// False when everything stops.
    async fn act(&self, action: Action, waited: &mut JoinSet<Done>) -> bool {
        match action {
            Action::Claim {
                number,
                master,
                leg,
            } => {
                let (reply, answer) = oneshot::channel();
                let key = leg.key;
                let command = Command::ClaimIndicator { leg, reply };
                waited.spawn(async move {
                    let taken = answer.await.unwrap_or(Err(Error::Stopping));
                    Done::Claimed(key, number, taken)
                });
                return self.command(master, command).await;
            }
            Action::Release { master, key } => {
                return self
                    .command(master, Command::ReleaseIndicator { key })
                    .await;
            }
            // Without a feed there are no bars; the owner says when it is time to end.
            Action::Watch { master, key, class } => {
                self.bars.watch(master, key, class).await;
            }
            Action::Unwatch { master, key } => {
                self.bars.unwatch(master, key).await;
            }
            Action::Show {
                id,
                message,
                urgent,
            } => {
                let message = message.into();
                self.tell(HubCommand::SetValue {
                    id,
                    message,
                    urgent,
                });
            }
            Action::Hide { id } => self.tell(HubCommand::RemoveValue { id }),
            Action::Publish(values) => self.sink.publish(values),
            Action::Gone(keys) => self.sink.gone(keys),
        }
        true
    }

    async fn command(&self, master: u64, command: Command) -> bool {
        let Some(commands) = self.commands.upgrade() else {
            return false;
        };
        commands.send(Envelope { master, command }).await.is_ok()
    }

    fn tell(&self, command: HubCommand) {
        // The hub ends when everything does.
        if let Some(hub) = self.hub.upgrade() {
            let _ = hub.send(command);
        }
    }
}
