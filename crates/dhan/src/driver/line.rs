use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use secrecy::SecretString;
use strikewire_broker::{ConnEvent, DownCause, Gap, Sink, WireBatch};
use strikewire_types::{ConnId, Epoch, Mono, Now};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::socket::{Outbox, Socket, connect, describe};
use super::{Common, OwnerGone};
use crate::connection::{Action, Connection, Limits, Phase};
use crate::control::messages;
use crate::credentials::presentable;
use crate::deliver::deliver;
use crate::stats::Tally;
use crate::wire::Reason;

/// Frames that a socket may bring in one turn, so that the others get theirs.
const FRAMES_PER_TURN: usize = 64;

/// The machine of one connection with its socket.
#[derive(Debug)]
pub(super) struct Line {
    conn: ConnId,
    machine: Connection,
    link: Link,
    /// The token of the link, to keep it out of what is shown.
    token: SecretString,
    /// A batch that waits for the one before it.
    next: Option<WireBatch>,
    /// The batch being written.
    outbox: Option<Outbox>,
    /// When the last frame arrived, in the present life.
    heard: Option<Now>,
    /// When the last frame of an earlier life arrived, until there is one again.
    gap_from: Option<Now>,
}

enum Link {
    None,
    Attempt(Pin<Box<dyn Future<Output = Result<Socket, DownCause>>>>),
    Open(Box<Socket>),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An attempt and a socket have the address in them.
        f.write_str(match self {
            Self::None => "None",
            Self::Attempt(_) => "Attempt",
            Self::Open(_) => "Open",
        })
    }
}

/// Why reading came to an end.
enum End {
    Disconnect(Reason),
    Closed(String),
}

impl Line {
    pub(super) fn new(conn: ConnId, limits: Limits, seed: u64, now: Mono) -> Self {
        Self {
            conn,
            machine: Connection::new(limits, seed, u64::from(conn.number()), now),
            link: Link::None,
            token: SecretString::default(),
            next: None,
            outbox: None,
            heard: None,
            gap_from: None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.machine.poll_timeout()
    }

    /// Does everything that can be done now.
    pub(super) fn turn<S: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        now: Mono,
        common: &mut Common<S>,
    ) -> Result<(), OwnerGone> {
        self.attempt(cx, now, common);
        self.read(cx, now, common);
        // After reading: what has arrived while this thread was held up is no silence.
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_timeout(now);
            self.perform(now, common);
            self.attempt(cx, now, common);
            self.read(cx, now, common);
        }
        let result = self.write(cx, now, common);
        common.stats.set_phase(self.conn, self.machine.phase());
        result
    }

    /// The socket, if there is one to say goodbye on.
    pub(super) fn stop<S: Sink>(mut self, common: &mut Common<S>) -> Option<Socket> {
        self.machine.handle_stop();
        let mut parting = None;
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Goodbye => {
                    if let Link::Open(socket) = core::mem::replace(&mut self.link, Link::None) {
                        parting = Some(*socket);
                    }
                }
                other => self.perform_one(other, Mono::default(), common),
            }
        }
        common.stats.set_phase(self.conn, Phase::Stopped);
        parting
    }

    fn perform<S: Sink>(&mut self, now: Mono, common: &mut Common<S>) {
        while let Some(action) = self.machine.poll_action() {
            self.perform_one(action, now, common);
        }
    }

    fn perform_one<S: Sink>(&mut self, action: Action, now: Mono, common: &mut Common<S>) {
        let conn = self.conn;
        match action {
            Action::Connect => {
                common.stats.add_attempt(conn);
                match common.token.read() {
                    Ok(token) => {
                        self.token = token.clone();
                        self.link = Link::Attempt(Box::pin(connect(
                            common.endpoint.clone(),
                            common.client_id.clone(),
                            token,
                        )));
                    }
                    Err(error) => {
                        let cause = DownCause::Connect(error.to_string());
                        self.machine.handle_failed(now, cause);
                    }
                }
            }
            Action::Abort | Action::Goodbye => self.link = Link::None,
            Action::Up { epoch } => {
                tracing::info!(%conn, epoch = epoch.0, "feed connection up");
                common.port.report(ConnEvent::Up { conn, epoch });
                common.port.report(ConnEvent::Ready { conn, epoch });
            }
            Action::Down {
                epoch,
                cause,
                retry_in,
            } => self.fallen(epoch, cause, retry_in, common),
        }
    }

    fn fallen<S: Sink>(
        &mut self,
        epoch: Epoch,
        cause: DownCause,
        retry_in: Option<Duration>,
        common: &mut Common<S>,
    ) {
        let conn = self.conn;
        if cause == DownCause::Stopped {
            tracing::info!(%conn, epoch = epoch.0, "feed connection stopped");
        } else {
            tracing::warn!(%conn, epoch = epoch.0, %cause, ?retry_in, "feed connection down");
        }
        self.link = Link::None;
        self.next = None;
        self.outbox = None;
        self.gap_from = self.heard.take().or(self.gap_from);
        common.port.report(ConnEvent::Down {
            conn,
            epoch,
            cause,
            retry_in,
        });
    }

    fn attempt<S: Sink>(&mut self, cx: &mut Context<'_>, now: Mono, common: &mut Common<S>) {
        let Link::Attempt(attempt) = &mut self.link else {
            return;
        };
        let Poll::Ready(result) = attempt.as_mut().poll(cx) else {
            return;
        };
        match result {
            Ok(socket) => {
                self.link = Link::Open(Box::new(socket));
                self.machine.handle_connected(now);
            }
            Err(cause) => {
                self.link = Link::None;
                self.machine.handle_failed(now, cause);
            }
        }
        self.perform(now, common);
    }

    fn read<S: Sink>(&mut self, cx: &mut Context<'_>, now: Mono, common: &mut Common<S>) {
        let Link::Open(socket) = &mut self.link else {
            return;
        };
        let mut tally = Tally::default();
        let mut at = None;
        let mut arrived = false;
        let mut end = None;
        for turn in 0.. {
            if turn == FRAMES_PER_TURN {
                common.more = true;
                break;
            }
            let message = match socket.poll_next_unpin(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => {
                    end = Some(End::Closed(describe(&error, &self.token)));
                    break;
                }
                Poll::Ready(None) => {
                    end = Some(End::Closed("the stream ended".to_owned()));
                    break;
                }
            };
            arrived = true;
            match message {
                Message::Binary(frame) => {
                    let at = *at.get_or_insert_with(|| common.sink.now());
                    if let Some(from) = self.gap_from.take() {
                        common.sink.gap(self.conn, Gap { from, to: at });
                    }
                    self.heard = Some(at);
                    if let Some(reason) = take(self.conn, at, &frame, common, &mut tally) {
                        end = Some(End::Disconnect(reason));
                        break;
                    }
                }
                Message::Text(text) => {
                    tracing::debug!(conn = %self.conn, bytes = text.len(), "text frame ignored");
                    tally.frames += 1;
                    tally.bytes += text.len() as u64;
                    tally.undecoded += 1;
                }
                Message::Close(frame) => {
                    // The reply is on its way if the socket takes it at once.
                    let _ = socket.poll_flush_unpin(cx);
                    end = Some(End::Closed(parting_words(frame.as_ref(), &self.token)));
                    break;
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        if tally.frames > 0 {
            common.stats.add(self.conn, at.map(|at| at.mono), &tally);
        }
        if arrived {
            self.machine.handle_traffic(now);
        }
        match end {
            None => return,
            Some(End::Disconnect(reason)) => self.machine.handle_disconnect(now, reason),
            Some(End::Closed(detail)) => self.machine.handle_closed(now, detail),
        }
        self.perform(now, common);
    }

    fn write<S: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        now: Mono,
        common: &mut Common<S>,
    ) -> Result<(), OwnerGone> {
        let conn = self.conn;
        loop {
            while self.next.is_none() {
                match common.port.poll_batch(conn, cx) {
                    Poll::Pending => break,
                    Poll::Ready(None) => return Err(OwnerGone),
                    Poll::Ready(Some(batch)) if self.machine.is_live_in(batch.epoch) => {
                        self.next = Some(batch);
                    }
                    Poll::Ready(Some(batch)) => {
                        tracing::debug!(%conn, epoch = batch.epoch.0, "stale batch ignored");
                    }
                }
            }
            let Link::Open(socket) = &mut self.link else {
                return Ok(());
            };
            let Some(outbox) = &mut self.outbox else {
                let Some(batch) = self.next.take() else {
                    return Ok(());
                };
                self.outbox = Some(Outbox::new(messages(batch.op, &batch.keys)));
                continue;
            };
            match outbox.poll_flush(socket, cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => {
                    self.outbox = None;
                    let epoch = self.machine.epoch();
                    common.port.report(ConnEvent::Ready { conn, epoch });
                }
                Poll::Ready(Err(error)) => {
                    let detail = describe(&error, &self.token);
                    self.machine.handle_closed(now, detail);
                    self.perform(now, common);
                }
            }
        }
    }
}

fn take<S: Sink>(
    conn: ConnId,
    at: Now,
    frame: &Bytes,
    common: &mut Common<S>,
    tally: &mut Tally,
) -> Option<Reason> {
    common.sink.frame(conn, at, frame);
    let delivered = deliver(&mut common.sink, conn, at, frame);
    tally.frames += 1;
    tally.bytes += frame.len() as u64;
    tally.packets += delivered.packets;
    tally.undecoded += delivered.undecoded;
    tally.unresolved += delivered.unresolved;
    tally.market_status += delivered.market_status;
    if delivered.applied > 0 {
        common.applied = Some(at);
    }
    delivered.disconnect
}

fn parting_words(frame: Option<&CloseFrame>, token: &SecretString) -> String {
    let Some(frame) = frame else {
        return "without a code".to_owned();
    };
    let code = u16::from(frame.code);
    let reason = presentable(&frame.reason, token);
    if reason.is_empty() {
        format!("code {code}")
    } else {
        format!("code {code}, {reason}")
    }
}
