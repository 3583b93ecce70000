//! TLS, against a server of its own: the authority and the certificate in `tls/` are good
//! for nothing else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use strikewire_broker::DownCause;
use tokio_tungstenite::tungstenite::{Message, accept};

use crate::support::{NIFTY, Rig, Seen, TOKEN, on_runtime, ticker};

fn certificate(pem: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem).unwrap()
}

fn authority() -> CertificateDer<'static> {
    certificate(include_bytes!("tls/ca.pem"))
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A broker that serves one connection over TLS on a thread of its own. Gives its port.
fn serve(conversation: impl FnOnce(Tls) + Send + 'static) -> (u16, JoinHandle<()>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![certificate(include_bytes!("tls/server.pem"))];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let session = ServerConnection::new(Arc::new(config)).unwrap();
        conversation(StreamOwned::new(session, stream));
    });
    (port, thread)
}

#[test]
fn data_comes_over_tls_from_an_authority_that_is_trusted() {
    let (port, thread) = serve(|stream| {
        let mut socket = accept(stream).unwrap();
        socket
            .send(Message::binary(ticker(NIFTY, 23378.35)))
            .unwrap();
        let goodbye = socket.read().unwrap();
        assert_eq!(goodbye.into_text().unwrap(), r#"{"RequestCode":12}"#);
        assert!(socket.read().unwrap().is_close());
        // Answers the close.
        while socket.read().is_ok() {}
    });
    on_runtime(async {
        let mut rig = Rig::with(1, |config| {
            config.url = format!("wss://127.0.0.1:{port}");
            config.extra_roots = vec![authority()];
        })
        .await;
        let (conn, _) = rig.up().await;
        assert_eq!(rig.seen().await, Seen::Frame(conn, 16));
        assert!(matches!(rig.seen().await, Seen::Update(_, NIFTY, _)));
        drop(rig.link);
        rig.feed.await.unwrap().unwrap();
    });
    thread.join().unwrap();
}

#[test]
fn an_authority_that_nobody_trusts_is_told_nothing() {
    let (port, thread) = serve(|mut stream| {
        // The handshake does not come to an end, so nothing of the request arrives.
        let mut request = Vec::new();
        assert!(stream.read_to_end(&mut request).is_err());
        assert!(request.is_empty());
        let _ = stream.flush();
    });
    on_runtime(async {
        let mut rig = Rig::with(1, |config| {
            config.url = format!("wss://127.0.0.1:{port}");
        })
        .await;
        let (_, _, cause, retry_in) = rig.down().await;
        let DownCause::Connect(words) = &cause else {
            panic!("{cause}")
        };
        assert!(words.contains("certificate"), "{words}");
        assert!(!words.contains(TOKEN));
        assert!(retry_in.is_some());
    });
    thread.join().unwrap();
}

#[test]
fn who_speaks_no_tls_is_not_spoken_to() {
    on_runtime(async {
        let mut rig = Rig::with(1, |config| {
            config.url = config.url.replace("ws://", "wss://");
        })
        .await;
        let (mut stream, _) = rig.listener.accept().await.unwrap();
        let mut hello = [0; 5];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut hello)
            .await
            .unwrap();
        assert_eq!(hello[..2], [22, 3], "a TLS handshake, not a request");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        let (_, _, cause, _) = rig.down().await;
        assert!(matches!(cause, DownCause::Connect(_)), "{cause}");
    });
}
