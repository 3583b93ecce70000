//! Takes connections and serves them.

mod guarded;
mod places;
#[cfg(test)]
mod tests;
mod tls;

use core::convert::Infallible;
use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{Counter, counter};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{Code, Problem, Settings};
use guarded::{Guarded, Limits, Phase, Shared};
use places::{Place, Places};
pub use tls::{Tls, TlsError};

/// How long a connection is kept that asks nothing. Longer than proxies and clients keep
/// theirs (60 to 75 s), so that it is they who close, and no request meets a closing
/// connection.
const IDLE_LIMIT: Duration = Duration::from_secs(90);
/// How long nothing is accepted after the operating system had no room for a connection.
const BREATH: Duration = Duration::from_millis(500);
/// How many of those who find no place are told so at once; more are just closed.
const REFUSALS: usize = 64;
/// How long telling one of them may take.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

/// How connections are taken.
#[derive(Debug, Clone)]
pub struct Door {
    /// Limits, which may be exchanged at any time: they hold for connections from then on.
    pub settings: Arc<ArcSwap<Settings>>,
    /// The certificate; absent: connections are not encrypted.
    pub tls: Option<Arc<Tls>>,
    /// Ends the taking of connections.
    pub stop: CancellationToken,
}

/// Serves every connection to `listener` until `door.stop`, then waits until requests that
/// are under way have ended, and WebSockets have said goodbye, for as long as the caller
/// cares to wait.
///
/// # Cancel safety
///
/// Dropping the future drops all connections that are not WebSockets.
pub async fn serve(listener: TcpListener, router: Router, door: Door) {
    let serving = Arc::new(Serving {
        router,
        door,
        places: Places::default(),
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        tls_failures: counter!("strikewire_http_tls_failures_total"),
    });
    let accept_errors = counter!("strikewire_http_accept_errors_total");
    let stop = serving.door.stop.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            ended = connections.join_next(), if !connections.is_empty() => reap(ended),
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    let _ = socket.set_nodelay(true);
                    connections.spawn(Arc::clone(&serving).take(socket, peer));
                }
                // The other side was gone already.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    accept_errors.increment(1);
                    tracing::warn!(%error, "A connection could not be taken");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(BREATH) => {}
                    }
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        reap(Some(ended));
    }
    // A WebSocket keeps its place until it has said goodbye.
    serving.places.emptied().await;
}

fn reap(ended: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = ended
        && error.is_panic()
    {
        tracing::error!("A connection panicked");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// What all connections share.
#[derive(Debug)]
struct Serving {
    router: Router,
    door: Door,
    places: Places,
    refusals: Arc<Semaphore>,
    tls_failures: Counter,
}

impl Serving {
    async fn take(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let settings = self.door.settings.load_full();
        let http = &settings.http;
        let place = self.places.take(
            peer.ip(),
            http.max_connections,
            http.connections_per_address,
        );
        let Some(place) = place else {
            self.refuse(socket).await;
            return;
        };
        let Some(tls) = &self.door.tls else {
            self.connection(socket, peer, http.header_timeout, place)
                .await;
            return;
        };
        let handshake = tls.acceptor().accept(socket);
        let handshake = tokio::time::timeout(http.header_timeout, handshake);
        let accepted = tokio::select! {
            () = self.door.stop.cancelled() => return,
            accepted = handshake => accepted,
        };
        match accepted {
            Ok(Ok(socket)) => {
                self.connection(socket, peer, http.header_timeout, place)
                    .await;
            }
            Ok(Err(error)) => {
                self.tls_failures.increment(1);
                tracing::debug!(%error, "A TLS handshake failed");
            }
            Err(_) => self.tls_failures.increment(1),
        }
    }

    /// Serves one connection to its end.
    async fn connection<S>(&self, socket: S, peer: SocketAddr, head: Duration, place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Shared::default();
        let limits = Limits {
            head,
            idle: IDLE_LIMIT,
        };
        let socket = Guarded::new(socket, shared.clone(), limits, place);
        let service = service_fn(|mut request: Request<Incoming>| {
            shared.set(Phase::Busy);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = self.router.clone().call(request.map(Body::new));
            let shared = shared.clone();
            async move {
                let response: Response = answer.await?;
                shared.set(match response.status() {
                    StatusCode::SWITCHING_PROTOCOLS => Phase::Upgraded,
                    _ => Phase::Idle,
                });
                Ok::<_, Infallible>(response)
            }
        });
        // The limit on heads is the socket's: hyper's would end idle connections too.
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.door.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "A connection ended early");
        }
    }

    /// Says that there is no place, if that is quickly done.
    async fn refuse(&self, mut socket: TcpStream) {
        let Ok(_permit) = self.refusals.try_acquire() else {
            return;
        };
        if self.door.tls.is_some() {
            // Nothing can be said before a handshake, which is what costs.
            return;
        }
        let said = async {
            socket.write_all(&no_place()).await?;
            socket.shutdown().await?;
            // Closed before it was read, the answer would be lost with it.
            let mut rest = [0; 1024];
            while socket.read(&mut rest).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        let _ = tokio::time::timeout(REFUSAL_LIMIT, said).await;
    }
}

fn no_place() -> Vec<u8> {
    let problem = Problem::new(
        Code::TooManyClients,
        "there are as many connections as there may be, in all or of one address",
    );
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    answer
}
