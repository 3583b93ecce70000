//! A connection that cannot be held for nothing.

use core::pin::Pin;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::places::Place;

/// How long the other side may take nothing of an answer.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// What a connection does. The service says so, and the socket goes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// A head is awaited that has begun, or the first one.
    Head = 0,
    /// Nothing is asked.
    Idle = 1,
    /// A request is under way, which has a limit of its own.
    Busy = 2,
    /// It is a WebSocket, which has limits of its own.
    Upgraded = 3,
}

/// The phase of one connection, shared by its socket and its service.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<AtomicU8>);

impl Shared {
    pub(super) fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Relaxed);
    }

    fn get(&self) -> Phase {
        match self.0.load(Relaxed) {
            0 => Phase::Head,
            1 => Phase::Idle,
            2 => Phase::Busy,
            _ => Phase::Upgraded,
        }
    }
}

/// A socket with limits on how long it may wait for the other side. It holds the
/// connection's place until it is closed, whoever has it then.
pub(super) struct Guarded<S> {
    socket: S,
    shared: Shared,
    limits: Limits,
    /// The phase that the reading limit is for.
    phase: Phase,
    reading: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

/// How long a connection may wait for the other side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For the whole head of a request.
    pub(super) head: Duration,
    /// For the next request.
    pub(super) idle: Duration,
}

impl<S> Guarded<S> {
    pub(super) fn new(socket: S, shared: Shared, limits: Limits, place: Place) -> Self {
        Self {
            socket,
            shared,
            limits,
            phase: Phase::Head,
            reading: Box::pin(tokio::time::sleep(limits.head)),
            writing: None,
            _place: place,
        }
    }

    /// Goes over to the phase that the service says, with a new limit.
    fn follow(&mut self) -> Phase {
        let phase = self.shared.get();
        if phase != self.phase {
            self.phase = phase;
            self.start_waiting();
        }
        phase
    }

    fn start_waiting(&mut self) {
        let limit = match self.phase {
            Phase::Head => self.limits.head,
            Phase::Idle => self.limits.idle,
            Phase::Busy | Phase::Upgraded => return,
        };
        self.reading.as_mut().reset(Instant::now() + limit);
    }

    /// Something could be written.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if done.is_ready() && self.follow() == Phase::Idle {
            // A long answer is no idleness. The task is to be woken by this limit even if it
            // does not read again: hyper knows that there was nothing to read.
            self.start_waiting();
            let _ = self.reading.as_mut().poll(cx);
        }
        self.moved(cx, done)
    }

    /// The other side took something, or it is waited for.
    fn moved<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.writing = None;
            return done;
        }
        if self.follow() == Phase::Upgraded {
            return done;
        }
        let sleep = self
            .writing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_LIMIT)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(timed_out("the other side takes nothing")))
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        let phase = self.follow();
        if read.is_ready() {
            if phase == Phase::Idle && buf.filled().len() > before {
                // The next head has begun.
                self.shared.set(Phase::Head);
                self.follow();
            }
            return read;
        }
        if matches!(phase, Phase::Busy | Phase::Upgraded) {
            return Poll::Pending;
        }
        ready!(self.reading.as_mut().poll(cx));
        Poll::Ready(Err(timed_out("no request came in time")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.socket).poll_flush(cx);
        self.moved(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.moved(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.wrote(cx, done)
    }
}
