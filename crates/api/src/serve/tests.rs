use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use axum::routing::get;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::Http;

/// Nothing that is waited for takes this long on any machine.
const DEADLINE: Duration = Duration::from_secs(60);

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

fn settings(http: Http) -> Settings {
    Settings {
        http,
        ..Settings::default()
    }
}

fn door(http: Http) -> Door {
    Door {
        settings: Arc::new(ArcSwap::from_pointee(settings(http))),
        tls: None,
        stop: CancellationToken::new(),
    }
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("in time")
}

/// Reads until `end` is there or the other side closes.
async fn read_until<S: AsyncRead + Unpin>(socket: &mut S, end: &str) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    in_time(async {
        while !text.contains(end) {
            match socket.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(count) => text += &String::from_utf8_lossy(&bytes[..count]),
            }
        }
    })
    .await;
    text
}

// Over a pipe in memory, where time is what the test says.

/// One connection, served as the accept loop does.
struct Piped {
    client: DuplexStream,
    served: JoinHandle<()>,
}

impl Piped {
    fn start(router: Router, pipe: usize) -> Self {
        let (client, server) = duplex(pipe);
        let serving = Serving {
            router,
            door: door(Http::default()),
            places: Places::default(),
            refusals: Arc::new(Semaphore::new(1)),
            tls_failures: counter!("unused"),
        };
        let served = tokio::spawn(async move {
            let peer = SocketAddr::from(([192, 0, 2, 1], 1));
            let place = serving.places.take(peer.ip(), 1, 1).expect("the first");
            let head = serving.door.settings.load().http.header_timeout;
            serving.connection(server, peer, head, place).await;
        });
        Self { client, served }
    }

    async fn ask(&mut self) {
        self.client.write_all(ASK).await.expect("it is open");
        let answer = read_until(&mut self.client, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Whether it is still open after this time.
    async fn lasts(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, &mut self.served).await.is_err()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_head_must_come_in_time_however_many_bytes_of_it_come() {
    let limit = Http::default().header_timeout;
    // Nothing at all.
    let mut piped = Piped::start(hello(), 4096);
    assert!(piped.lasts(limit - SECOND).await);
    assert!(!piped.lasts(2 * SECOND).await);
    // A byte now and then.
    let mut piped = Piped::start(hello(), 4096);
    let mut lasted = Duration::ZERO;
    for byte in ASK.iter().cycle() {
        if *byte == b'\r' {
            continue;
        }
        let _ = piped.client.write_all(&[*byte]).await;
        if !piped.lasts(SECOND).await {
            break;
        }
        lasted += SECOND;
    }
    assert!(lasted <= limit, "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_rest_between_requests() {
    let mut piped = Piped::start(hello(), 4096);
    for _ in 0..3 {
        piped.ask().await;
        assert!(piped.lasts(IDLE_LIMIT - SECOND).await);
    }
    piped.ask().await;
    assert!(!piped.lasts(IDLE_LIMIT + SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_later_head_must_come_in_time_too() {
    let mut piped = Piped::start(hello(), 4096);
    piped.ask().await;
    assert!(piped.lasts(60 * SECOND).await);
    piped.client.write_all(b"GET / HT").await.unwrap();
    assert!(piped.lasts(Http::default().header_timeout - SECOND).await);
    assert!(!piped.lasts(2 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_has_no_limit_of_the_socket() {
    let slow = Router::new().route(
        "/",
        get(|| async {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            "hello"
        }),
    );
    let mut piped = Piped::start(slow, 4096);
    piped.client.write_all(ASK).await.unwrap();
    assert!(piped.lasts(Duration::from_secs(3_599)).await);
    let answer = piped.client.read(&mut [0; 16]).await.unwrap();
    assert!(answer > 0);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_an_answer_is_let_go() {
    let large = || Router::new().route("/", get(|| async { "x".repeat(1 << 20) }));
    let mut piped = Piped::start(large(), 1024);
    piped.client.write_all(ASK).await.unwrap();
    assert!(piped.lasts(guarded::WRITE_LIMIT - SECOND).await);
    assert!(!piped.lasts(2 * SECOND).await);
    // Slow is not nothing: this takes 1024 seconds.
    let mut piped = Piped::start(large(), 1024);
    piped.client.write_all(ASK).await.unwrap();
    let mut taken = 0;
    let mut bytes = [0; 1024];
    while taken < 1 << 20 {
        taken += piped.client.read(&mut bytes).await.unwrap();
        assert!(piped.lasts(SECOND).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_was_upgraded_is_left_alone() {
    use axum::extract::ws::WebSocketUpgrade;

    let closed = Arc::new(Notify::new());
    let router = Router::new().route(
        "/",
        get({
            let closed = Arc::clone(&closed);
            |upgrade: WebSocketUpgrade| async move {
                upgrade.on_upgrade(move |mut socket| async move {
                    while socket.recv().await.is_some_and(|read| read.is_ok()) {}
                    closed.notify_one();
                })
            }
        }),
    );
    let mut piped = Piped::start(router, 4096);
    let upgrade = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    piped.client.write_all(upgrade.as_bytes()).await.unwrap();
    let answer = read_until(&mut piped.client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let hours = Duration::from_secs(10 * 3_600);
    let ended = tokio::time::timeout(hours, closed.notified()).await;
    assert!(ended.is_err());
    drop(piped.client);
    in_time(closed.notified()).await;
}

// Over real sockets.

struct Server {
    addr: SocketAddr,
    door: Door,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(router: Router, door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            addr: listener.local_addr().unwrap(),
            door: door.clone(),
            served: tokio::spawn(serve(listener, router, door)),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// The whole answer to one request on a connection of its own.
    async fn ask(&self) -> String {
        let mut socket = self.connect().await;
        let ask = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let _ = socket.write_all(ask.as_bytes()).await;
        read_until(&mut socket, "\0").await
    }

    async fn stop(self) {
        self.door.stop.cancel();
        in_time(self.served).await.unwrap();
    }
}

#[tokio::test]
async fn a_handler_knows_who_asks() {
    let router = Router::new().route(
        "/",
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
    );
    let server = Server::start(router, door(Http::default())).await;
    let mut socket = server.connect().await;
    let own = socket.local_addr().unwrap();
    socket.write_all(ASK).await.unwrap();
    let answer = read_until(&mut socket, &own.to_string()).await;
    assert!(answer.ends_with(&own.to_string()), "{answer}");
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_place_is_told_so() {
    let check = async |http: Http| {
        let server = Server::start(hello(), door(http)).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut socket = server.connect().await;
            socket.write_all(ASK).await.unwrap();
            let answer = read_until(&mut socket, "hello").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            held.push(socket);
        }
        let answer = server.ask().await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("retry-after: 1"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "too_many_clients");
        // A place becomes free when a connection ends.
        held.pop();
        in_time(async {
            while !server.ask().await.starts_with("HTTP/1.1 200") {
                tokio::task::yield_now().await;
            }
        })
        .await;
        drop(held);
        server.stop().await;
    };
    check(Http {
        max_connections: 2,
        ..Http::default()
    })
    .await;
    check(Http {
        connections_per_address: 2,
        ..Http::default()
    })
    .await;
}

#[tokio::test]
async fn limits_can_change_while_it_runs() {
    let server = Server::start(hello(), door(Http::default())).await;
    assert!(server.ask().await.starts_with("HTTP/1.1 200"));
    server.door.settings.store(Arc::new(settings(Http {
        max_connections: 0,
        ..Http::default()
    })));
    assert!(server.ask().await.starts_with("HTTP/1.1 503"));
    server.stop().await;
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_takes_no_more() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = Router::new().route(
        "/",
        get({
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            || async move {
                begun.notify_one();
                go_on.notified().await;
                "hello"
            }
        }),
    );
    let server = Server::start(router, door(Http::default())).await;
    let addr = server.addr;
    // One that asks nothing holds nothing up.
    let idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(ASK).await.unwrap();
    in_time(begun.notified()).await;
    server.door.stop.cancel();
    in_time(async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!server.served.is_finished());
    go_on.notify_one();
    let answer = read_until(&mut busy, "\0").await;
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
    drop(idle);
    server.stop().await;
}

#[tokio::test]
async fn a_panic_ends_its_connection_only() {
    let asked = Arc::new(AtomicUsize::new(0));
    let router = Router::new().route(
        "/",
        get({
            let asked = Arc::clone(&asked);
            || async move {
                assert!(asked.fetch_add(1, SeqCst) > 0, "the first one fails");
                "hello"
            }
        }),
    );
    let server = Server::start(router, door(Http::default())).await;
    assert_eq!(server.ask().await, "");
    assert!(server.ask().await.ends_with("hello"));
    server.stop().await;
}

// TLS.

/// A certificate and key for this machine, written to `folder`.
fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

fn load(folder: &Path) -> Result<Tls, TlsError> {
    Tls::load(&folder.join("cert.pem"), &folder.join("key.pem"))
}

async fn connect_tls(
    addr: SocketAddr,
    trusted: &CertificateDer<'static>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    in_time(TlsConnector::from(Arc::new(config)).connect(name, socket)).await
}

#[tokio::test]
async fn a_new_certificate_is_shown_after_a_reload_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_certificate(folder.path());
    let tls = Arc::new(load(folder.path()).unwrap());
    let door = Door {
        tls: Some(Arc::clone(&tls)),
        ..door(Http::default())
    };
    let server = Server::start(hello(), door).await;
    let mut old = connect_tls(server.addr, &first).await.unwrap();
    let ask = async |socket: &mut TlsStream<TcpStream>| {
        socket.write_all(ASK).await.unwrap();
        let answer = read_until(socket, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    ask(&mut old).await;
    assert!(!tls.reload().unwrap());

    let second = write_certificate(folder.path());
    assert!(connect_tls(server.addr, &second).await.is_err());
    assert!(tls.reload().unwrap());
    ask(&mut connect_tls(server.addr, &second).await.unwrap()).await;
    assert!(connect_tls(server.addr, &first).await.is_err());
    // Who is connected stays so.
    ask(&mut old).await;

    let key = std::fs::read_to_string(folder.path().join("key.pem")).unwrap();
    let secret: String = key.lines().nth(1).unwrap().chars().take(20).collect();
    write_certificate(folder.path());
    std::fs::write(folder.path().join("key.pem"), &key).unwrap();
    let error = tls.reload().unwrap_err();
    assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("cert.pem"), "{error}");
    assert!(!format!("{error} {error:?} {tls:?}").contains(&secret));
    ask(&mut connect_tls(server.addr, &second).await.unwrap()).await;
    drop(old);
    server.stop().await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let check = |expected: &str| {
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("cert.pem");
    write_certificate(folder.path());
    load(folder.path()).unwrap();
    std::fs::write(path("key.pem"), "").unwrap();
    check("holds no private key");
    write_certificate(folder.path());
    std::fs::copy(path("key.pem"), path("cert.pem")).unwrap();
    check("holds no certificate");
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(path("cert.pem"), nonsense).unwrap();
    check("cannot be used with the key");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = write_certificate(folder.path());
    let door = Door {
        tls: Some(Arc::new(load(folder.path()).unwrap())),
        ..door(Http {
            header_timeout: Duration::from_millis(50),
            ..Http::default()
        })
    };
    let server = Server::start(hello(), door).await;
    // One says nothing at all, one speaks HTTP.
    let mut silent = server.connect().await;
    assert_eq!(read_until(&mut silent, "\0").await, "");
    let plain = server.ask().await;
    assert!(!plain.contains("HTTP/1.1"), "{plain:?}");
    server.door.settings.store(Arc::default());
    connect_tls(server.addr, &trusted).await.unwrap();
    server.stop().await;
}
