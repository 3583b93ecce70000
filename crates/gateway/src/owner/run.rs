use std::sync::Arc;

use strikewire_broker::{ConnEvent, Link, Notice, Report};
use strikewire_store::{self as store, Outcome};
use strikewire_types::{Clock, Mono, Now};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};

use super::Owner;
use crate::command::{Command, Envelope};
use crate::tick::TickEvent;

/// Inputs taken in one turn before the journal commits and the wires are fed.
const PER_TURN: usize = 256;

/// Everything that can reach the owner.
pub(crate) struct Inputs {
    pub(crate) link: Link,
    pub(crate) ticks: UnboundedReceiver<TickEvent>,
    pub(crate) commands: Receiver<Envelope>,
    pub(crate) outcomes: UnboundedReceiver<Outcome>,
}

/// One of them.
#[derive(Debug)]
pub(super) enum Input {
    Conn(ConnEvent),
    Notice(Notice),
    Tick(TickEvent),
    Command(Envelope),
    Outcome(Outcome),
    Timeout,
    Stop,
}

impl From<Report> for Input {
    fn from(report: Report) -> Self {
        match report {
            Report::Conn(event) => Self::Conn(event),
            Report::Notice(notice) => Self::Notice(notice),
        }
    }
}

impl From<Option<Envelope>> for Input {
    fn from(envelope: Option<Envelope>) -> Self {
        match envelope {
            None
            | Some(Envelope {
                command: Command::Stop,
                ..
            }) => Self::Stop,
            Some(envelope) => Self::Command(envelope),
        }
    }
}

impl Inputs {
    /// The next input, waiting until `deadline` for it.
    async fn next(&mut self, clock: Clock, deadline: Mono) -> Input {
        tokio::select! {
            biased;
            Some(report) = self.link.report() => report.into(),
            Some(outcome) = self.outcomes.recv() => Input::Outcome(outcome),
            Some(event) = self.ticks.recv() => Input::Tick(event),
            command = self.commands.recv() => command.into(),
            () = clock.sleep_until(deadline) => Input::Timeout,
        }
    }

    /// The next input if there is one now.
    fn try_next(&mut self) -> Option<Input> {
        if let Some(notice) = self.link.try_notice() {
            return Some(Input::Notice(notice));
        }
        if let Some(event) = self.link.try_event() {
            return Some(Input::Conn(event));
        }
        if let Ok(outcome) = self.outcomes.try_recv() {
            return Some(Input::Outcome(outcome));
        }
        if let Ok(event) = self.ticks.try_recv() {
            return Some(Input::Tick(event));
        }
        self.commands
            .try_recv()
            .ok()
            .map(|command| Some(command).into())
    }
}

/// Runs the owner until it is asked to stop or nobody can ask anything any more.
///
/// # Cancel safety
///
/// Not safe to resume; meant to run to its end.
pub(crate) async fn run(mut owner: Owner, mut inputs: Inputs, clock: Clock) {
    let mut going_on = true;
    while going_on {
        let deadline = owner.deadline();
        let mut input = inputs.next(clock, deadline).await;
        let now = clock.now();
        for taken in 1.. {
            going_on = owner.handle(now, input);
            if !going_on || taken == PER_TURN {
                break;
            }
            match inputs.try_next() {
                Some(next) => input = next,
                None => break,
            }
        }
        owner.finish_turn(now, &mut inputs.link);
    }
    owner.write_the_rest();
    tracing::info!("Owner stopped");
}

impl Owner {
    /// When time itself is the next input.
    fn deadline(&self) -> Mono {
        if self.records.is_behind() {
            return Mono::default();
        }
        let sample = self.conns.next_sample();
        [self.book.poll_timeout(), self.gaps.due()]
            .into_iter()
            .flatten()
            .fold(sample, Mono::min)
    }

    /// Takes one input; false when it is the last.
    pub(super) fn handle(&mut self, now: Now, input: Input) -> bool {
        match input {
            Input::Conn(event) => self.handle_conn(now, &event),
            Input::Notice(notice) => self.handle_notice(now, notice),
            Input::Tick(TickEvent::Crossed { key, .. }) => self.crossed(now, key),
            Input::Tick(TickEvent::FirstPacket { slot, conn }) => {
                let cause = Arc::clone(&self.records.causes.ordered);
                self.change(&cause, |book, effects| {
                    book.handle_first_packet(now, slot, conn, effects);
                });
                self.settle(now);
            }
            Input::Tick(TickEvent::Resumed {
                slot,
                key,
                from,
                to,
            }) => self.gap_ends(now, slot, key, from, to),
            Input::Command(command) => self.handle_command(now, command),
            Input::Outcome(outcome) => {
                if matches!(outcome, Outcome::Durable(_)) {
                    store::crash::point("before_reply");
                }
                self.handle_outcome(now, outcome);
            }
            // Every turn looks at the time.
            Input::Timeout => {}
            Input::Stop => return false,
        }
        true
    }

    /// What follows every turn: time that passed, the journal's group, the wires.
    pub(super) fn finish_turn(&mut self, now: Now, link: &mut Link) {
        if self
            .book
            .poll_timeout()
            .is_some_and(|timeout| timeout <= now.mono)
        {
            let cause = Arc::clone(&self.records.causes.rolled);
            self.change(&cause, |book, effects| book.handle_timeout(now, effects));
            self.settle(now);
        }
        self.keep_gaps(now);
        self.look_for_silence(now, link);
        self.keep_day(now);
        self.note_reads(now);
        self.look_at_tier_b(now);
        self.sample(now);
        self.write_records(now);
        self.journal.commit();
        self.feed_wires(now, link);
    }
}
