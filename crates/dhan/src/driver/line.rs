use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use secrecy::SecretString;
use strikewire_broker::{ConnEvent, DownCause, Gap, Sink, WireBatch};
use strikewire_types::{ConnId, LogLimit, Now};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::socket::{Failure, Outbox, Socket, describe, reach, take_leave, upgrade};
use super::{Common, OwnerGone};
use crate::control::messages;
use crate::credentials::presentable;
use crate::deliver::{Delivered, deliver};
use crate::split::{Packet, Piece, split};
use crate::stats::{Ended, Tally};
use crate::wire::Reason;

/// Frames that a socket may bring in one turn, so that the others get theirs.
const FRAMES_PER_TURN: usize = 64;

/// The socket of one connection, and what waits to be written to it.
#[derive(Debug)]
pub(super) struct Line {
    conn: ConnId,
    link: Link,
    /// The link has not been polled yet.
    fresh: bool,
    /// The token of the link, to keep it out of what is shown.
    token: SecretString,
    /// Whether data was expected when that was last asked.
    expected: bool,
    /// A batch that waits for the one before it.
    next: Option<WireBatch>,
    /// The batch being written.
    outbox: Option<Outbox>,
    /// Whether the present life brought a close frame.
    close_frame: bool,
    /// When data last arrived, in the present life.
    data_at: Option<Now>,
    /// When data last arrived in an earlier life, and why that ended, until there is some
    /// again.
    gap: Option<(Now, DownCause)>,
    /// How often is said that a text came, which no documented feed sends.
    texts: LogLimit,
}

type Pending<T> = Pin<Box<dyn Future<Output = T>>>;

enum Link {
    None,
    Reaching(Pending<Result<TcpStream, Failure>>),
    Upgrading(Pending<Result<Socket, Failure>>),
    Open(Box<Socket>),
    Leaving(Pending<()>),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An attempt and a socket have the address in them.
        f.write_str(match self {
            Self::None => "None",
            Self::Reaching(_) => "Reaching",
            Self::Upgrading(_) => "Upgrading",
            Self::Open(_) => "Open",
            Self::Leaving(_) => "Leaving",
        })
    }
}

/// Why reading came to an end.
enum End {
    Disconnect(Reason),
    Closed(String),
}

/// What reading has brought in a turn.
#[derive(Default)]
struct Read {
    tally: Tally,
    at: Option<Now>,
    arrived: bool,
    data: bool,
    undecodable: bool,
    end: Option<End>,
}

impl Line {
    pub(super) fn new(conn: ConnId) -> Self {
        Self {
            conn,
            link: Link::None,
            fresh: false,
            token: SecretString::default(),
            expected: false,
            next: None,
            outbox: None,
            close_frame: false,
            data_at: None,
            gap: None,
            texts: LogLimit::per_second(1),
        }
    }

    /// Whether it has a link that has not been polled yet.
    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    pub(super) fn show_phase<S>(&self, common: &Common<S>) {
        let phase = common.fleet.phase(self.conn);
        common.stats.set_phase(self.conn, phase);
    }

    fn set_link(&mut self, link: Link) {
        self.fresh = !matches!(link, Link::None);
        self.link = link;
    }

    /// Begins an attempt.
    pub(super) fn connect<S>(&mut self, now: Now, common: &mut Common<S>) {
        common.stats.add_attempt(self.conn);
        match common.token.read() {
            Ok(changed) => {
                self.set_link(Link::Reaching(Box::pin(reach(common.endpoint.clone()))));
                if changed {
                    common.token_changed(now);
                }
            }
            Err(error) => {
                let detail = error.to_string();
                common.fleet.handle_no_credentials(now, self.conn, detail);
            }
        }
    }

    /// Lets go of the attempt or the socket.
    pub(super) fn let_go(&mut self) {
        self.set_link(Link::None);
    }

    /// Takes leave of the broker.
    pub(super) fn take_leave(&mut self) {
        if let Link::Open(socket) = core::mem::replace(&mut self.link, Link::None) {
            self.set_link(Link::Leaving(Box::pin(take_leave(*socket))));
        }
    }

    /// Takes note that the life has ended.
    pub(super) fn fallen<S>(&mut self, cause: &DownCause, common: &mut Common<S>) {
        if !matches!(self.link, Link::Leaving(_)) {
            self.set_link(Link::None);
        }
        self.next = None;
        self.outbox = None;
        let close_frame = core::mem::take(&mut self.close_frame);
        if let Some(end) = Ended::of(cause, close_frame) {
            common.stats.add_end(self.conn, end);
        }
        if let Some(from) = self.data_at.take() {
            self.gap = Some((from, cause.clone()));
        }
    }

    /// Lets the link go on, and reads what has arrived.
    pub(super) fn listen<S: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        common: &mut Common<S>,
    ) {
        let conn = self.conn;
        self.fresh = false;
        let expected = common.port.expects_traffic(conn);
        if expected != self.expected {
            self.expected = expected;
            common.fleet.handle_expectation(now, conn, expected);
        }
        if let Link::Reaching(attempt) = &mut self.link {
            match attempt.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(stream)) => {
                    common.fleet.handle_tcp(now, conn);
                    self.token = common.token.token().clone();
                    self.link = Link::Upgrading(Box::pin(upgrade(
                        stream,
                        common.endpoint.clone(),
                        common.client_id.clone(),
                        self.token.clone(),
                        common.tls.clone(),
                        now.utc,
                    )));
                }
                Poll::Ready(Err(failure)) => self.failed(now, failure, common),
            }
        }
        match &mut self.link {
            Link::None | Link::Reaching(_) => {}
            Link::Upgrading(attempt) => match attempt.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(socket)) => {
                    // It is read once it has been reported.
                    self.set_link(Link::Open(Box::new(socket)));
                    common.fleet.handle_connected(now, conn);
                }
                Poll::Ready(Err(failure)) => self.failed(now, failure, common),
            },
            Link::Leaving(parting) => {
                if parting.as_mut().poll(cx).is_ready() {
                    self.link = Link::None;
                    common.fleet.handle_closed(now, conn, String::new());
                }
            }
            Link::Open(_) => {
                let read = self.read(cx, common);
                self.digest(now, read, common);
            }
        }
    }

    fn failed<S>(&mut self, now: Now, failure: Failure, common: &mut Common<S>) {
        self.set_link(Link::None);
        // Whatever was refused may be the token that there is no longer.
        common.look_at_token(now);
        let Failure { cause, retry_after } = failure;
        common
            .fleet
            .handle_failed(now, self.conn, cause, retry_after);
    }

    fn read<S: Sink>(&mut self, cx: &mut Context<'_>, common: &mut Common<S>) -> Read {
        let mut read = Read::default();
        let Link::Open(socket) = &mut self.link else {
            return read;
        };
        for turn in 0.. {
            if turn == FRAMES_PER_TURN {
                common.more = true;
                break;
            }
            let message = match socket.poll_next_unpin(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => {
                    read.end = Some(End::Closed(describe(&error, &self.token)));
                    break;
                }
                Poll::Ready(None) => {
                    read.end = Some(End::Closed("the stream ended".to_owned()));
                    break;
                }
            };
            read.arrived = true;
            match message {
                Message::Binary(frame) => {
                    let at = *read.at.get_or_insert_with(|| common.sink.now());
                    if self.gap.is_some()
                        && holds_data(&frame)
                        && let Some((from, cause)) = self.gap.take()
                    {
                        common.sink.gap(
                            self.conn,
                            Gap {
                                from,
                                to: at,
                                cause,
                            },
                        );
                    }
                    let delivered = take(self.conn, at, &frame, common, &mut read.tally);
                    if delivered.applied + delivered.unresolved > 0 {
                        read.data = true;
                        self.data_at = Some(at);
                    } else if delivered.market_status == 0 && delivered.disconnect.is_none() {
                        read.undecodable = true;
                    }
                    if let Some(reason) = delivered.disconnect {
                        read.end = Some(End::Disconnect(reason));
                        break;
                    }
                }
                Message::Text(text) => {
                    let at = common.sink.now().mono;
                    if let Some(suppressed) = self.texts.admit(at) {
                        let (conn, bytes) = (self.conn, text.len());
                        tracing::debug!(%conn, bytes, suppressed, "text frame ignored");
                    }
                    read.tally.frames += 1;
                    read.tally.bytes += text.len() as u64;
                    read.tally.undecoded += 1;
                    read.undecodable = true;
                }
                Message::Close(frame) => {
                    // The reply is on its way if the socket takes it at once.
                    let _ = socket.poll_flush_unpin(cx);
                    self.close_frame = true;
                    read.end = Some(End::Closed(parting_words(frame.as_ref(), &self.token)));
                    break;
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        read
    }

    /// Tells what reading has brought.
    fn digest<S>(&self, now: Now, read: Read, common: &mut Common<S>) {
        let conn = self.conn;
        if read.tally.frames > 0 {
            let at = read.at.map(|at| at.mono);
            common.stats.add(conn, at, &read.tally);
        }
        if read.arrived {
            common.fleet.handle_traffic(now, conn);
        }
        if read.data {
            common.fleet.handle_data(now, conn);
        } else if read.undecodable {
            common.fleet.handle_undecodable(now, conn);
        }
        match read.end {
            None => {}
            Some(End::Disconnect(reason)) => {
                common.look_at_token(now);
                common.fleet.handle_disconnect(now, conn, reason);
            }
            Some(End::Closed(detail)) => common.fleet.handle_closed(now, conn, detail),
        }
    }

    /// Takes what is to be written, and writes it as far as the socket takes it.
    pub(super) fn write<S: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        common: &mut Common<S>,
    ) -> Result<(), OwnerGone> {
        let conn = self.conn;
        loop {
            while self.next.is_none() {
                match common.port.poll_batch(conn, cx) {
                    Poll::Pending => break,
                    Poll::Ready(None) => return Err(OwnerGone),
                    Poll::Ready(Some(batch)) if common.fleet.is_live_in(conn, batch.epoch) => {
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
                Poll::Pending => {
                    common.fleet.handle_blocked(now, conn);
                    return Ok(());
                }
                Poll::Ready(Ok(())) => {
                    self.outbox = None;
                    common.fleet.handle_written(now, conn);
                    let epoch = common.fleet.epoch(conn);
                    common.port.report(ConnEvent::Ready { conn, epoch });
                }
                Poll::Ready(Err(error)) => {
                    let detail = describe(&error, &self.token);
                    self.outbox = None;
                    self.set_link(Link::None);
                    common.fleet.handle_closed(now, conn, detail);
                }
            }
        }
    }
}

/// Whether a frame has a packet of an instrument.
fn holds_data(frame: &[u8]) -> bool {
    split(frame).any(|piece| match piece {
        Piece::Packet { packet, .. } => {
            !matches!(packet, Packet::Disconnect(_) | Packet::MarketStatus(_))
                && packet.header().key().is_some()
        }
        Piece::Undecoded { .. } => false,
    })
}

fn take<S: Sink>(
    conn: ConnId,
    at: Now,
    frame: &Bytes,
    common: &mut Common<S>,
    tally: &mut Tally,
) -> Delivered {
    common.sink.frame(conn, at, frame);
    let delivered = deliver(&mut common.sink, conn, at, frame);
    tally.frames += 1;
    tally.bytes += frame.len() as u64;
    tally.packets += delivered.packets;
    tally.undecoded += delivered.undecoded;
    tally.unresolved += delivered.unresolved;
    tally.market_status += delivered.market_status;
    common.taken = Some(at);
    delivered
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
