//! The bytes of a connection, and what faults do to them.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use crate::core::Transport;

/// A slow reader reads a little this often.
const SIP_EVERY: Duration = Duration::from_millis(50);
const SIPS_PER_S: u32 = 20;
const SIP: usize = 4 * 1024;

/// What a connection runs over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes the end of it a reset. It ends when it is dropped.
    fn abort(&self);
}

impl Socket for TcpStream {
    fn abort(&self) {
        if let Err(error) = self.set_zero_linger() {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}

#[cfg(test)]
impl Socket for tokio::io::DuplexStream {
    fn abort(&self) {}
}

/// What the core wants of a connection, shared with the connection's task.
#[derive(Debug, Default)]
pub(super) struct Control {
    transport: Mutex<Transport>,
    /// The close frame with which it ends, if not the usual one.
    farewell: Mutex<Option<(u16, String)>>,
    is_reset: AtomicBool,
    reset: Notify,
    reader: AtomicWaker,
}

impl Control {
    pub(super) fn transport(&self) -> Transport {
        *self.transport.lock()
    }

    pub(super) fn set_transport(&self, transport: Transport) {
        *self.transport.lock() = transport;
        self.reader.wake();
    }

    pub(super) fn farewell(&self) -> Option<(u16, String)> {
        self.farewell.lock().take()
    }

    pub(super) fn set_farewell(&self, code: u16, reason: String) {
        *self.farewell.lock() = Some((code, reason));
    }

    /// Ends the connection with a reset.
    pub(super) fn reset(&self) {
        self.is_reset.store(true, Relaxed);
        self.reset.notify_one();
    }

    /// Whether it has to be reset.
    pub(super) fn is_reset(&self) -> bool {
        self.is_reset.load(Relaxed)
    }

    /// Done when it has to be reset.
    ///
    /// # Cancel safety
    ///
    /// Safe: a reset that is asked for is not forgotten.
    pub(super) async fn is_to_be_reset(&self) {
        self.reset.notified().await;
    }
}

/// A socket that does what its [`Control`] says.
#[derive(Debug)]
pub(super) struct Wire<S: Socket> {
    socket: S,
    control: Arc<Control>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether others had their turn since the last write that was cut.
    yielded: bool,
}

impl<S: Socket> Wire<S> {
    pub(super) const fn new(socket: S, control: Arc<Control>) -> Self {
        Self {
            socket,
            control,
            pause: None,
            yielded: false,
        }
    }
}

impl<S: Socket> Drop for Wire<S> {
    fn drop(&mut self) {
        if self.control.is_reset() {
            self.socket.abort();
        }
    }
}

impl<S: Socket> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        // First, so that a change between here and the look at it is not missed.
        wire.control.reader.register(cx.waker());
        let transport = wire.control.transport();
        if transport.deaf {
            return Poll::Pending;
        }
        let Some(rate) = transport.bytes_per_s else {
            wire.pause = None;
            return Pin::new(&mut wire.socket).poll_read(cx, buffer);
        };
        if let Some(pause) = &mut wire.pause {
            ready!(pause.as_mut().poll(cx));
            wire.pause = None;
        }
        let size = (rate / SIPS_PER_S).max(1) as usize;
        let size = size.min(SIP).min(buffer.remaining());
        let mut sip = [0; SIP];
        let mut part = ReadBuf::new(&mut sip[..size]);
        ready!(Pin::new(&mut wire.socket).poll_read(cx, &mut part))?;
        buffer.put_slice(part.filled());
        wire.pause = Some(Box::pin(sleep(SIP_EVERY)));
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let Some(most) = wire.control.transport().split else {
            return Pin::new(&mut wire.socket).poll_write(cx, bytes);
        };
        // Without a pause the pieces would be together again before anybody reads.
        if !wire.yielded {
            wire.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = &bytes[..bytes.len().min(most.max(1))];
        let written = ready!(Pin::new(&mut wire.socket).poll_write(cx, piece));
        wire.yielded = false;
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
