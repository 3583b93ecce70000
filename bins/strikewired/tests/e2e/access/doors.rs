//! Where it listens, whom it lets in, and how long it waits for them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use reqwest::StatusCode;
use serde_json::Value;
use strikewire_store::{Keys, NewKey, Role};
use strikewire_types::Utc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Holder, send, until};
use crate::harness::{Gateway, Launch, SOON, StandIn, http, strikewired};

/// A server of its own, with everything embedded.
struct Own {
    child: Child,
    said: String,
}

impl Own {
    /// Starts it, and reads what it says until it listens or ends.
    fn start(folder: &Path, listen: &str) -> Self {
        let config = folder.join("strikewire.toml");
        std::fs::write(&config, "tier_b = []\n[sim]\nrows = 2000\n").expect("it is written");
        let mut child = strikewired()
            .args(["--listen", listen, "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        while !said.contains("Try:") {
            let Some(Ok(line)) = lines.next() else {
                break;
            };
            said += &line;
            said.push('\n');
        }
        // Read on, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, said }
    }

    fn port(&self) -> u16 {
        let (_, rest) = self.said.split_once("http://").expect("an address");
        let (authority, _) = rest.split_once('/').expect("a path");
        let (_, port) = authority.rsplit_once(':').expect("a port");
        port.parse().expect("a number")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_database_of_who_runs_the_tests_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("own.db");
    // One of the tests, run by somebody who has a server of their own.
    let test = "access::doors::a_public_address_takes_a_key";
    let ran = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test])
        .env("STRIKEWIRE_DATABASE", format!("sqlite:{}", own.display()))
        .env("STRIKEWIRE_BROKER", "dhan")
        .env("DHAN_CLIENT_ID", "1")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.contains("1 passed"), "{said}");
    assert!(!own.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_takes_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut refused = Own::start(folder.path(), "0.0.0.0:0");
    let status = refused.child.wait().expect("it ends");
    assert!(!status.success());
    let data = folder.path().join("data");
    for part in [
        "listen = 0.0.0.0:0",
        "strikewire auth new-key",
        &format!("--data-dir {}", data.display()),
        "127.0.0.1",
    ] {
        assert!(refused.said.contains(part), "{}", refused.said);
    }

    let url = format!("sqlite:{}", data.join("strikewire.db").display());
    let mut keys = Keys::open(&url.parse().expect("a URL"))
        .await
        .expect("it opens");
    let key = NewKey::generate().expect("a key");
    let kept = keys
        .add(key.hash(), 1, Role::Admin, None, Utc::from_nanos(0))
        .await;
    let id = kept.expect("it is kept");
    let own = Own::start(folder.path(), "0.0.0.0:0");
    assert!(own.said.contains("with API keys, 1 active"), "{}", own.said);
    assert!(
        own.said.contains("API keys travel in clear"),
        "{}",
        own.said
    );
    assert!(!own.said.contains(key.expose()));
    let url = format!(
        "http://127.0.0.1:{}/api/v2/subscriptions/status",
        own.port()
    );
    let client = http();
    let answer = send(client.get(&url)).await;
    assert_eq!(answer.code(), (StatusCode::UNAUTHORIZED, "unauthorized"));
    let answer = send(client.get(&url).bearer_auth(key.expose())).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    drop(own);

    // A key that was revoked is a key that was: the address stays open to keys only.
    keys.revoke(id, Utc::from_nanos(1))
        .await
        .expect("it is revoked");
    keys.close().await;
    let own = Own::start(folder.path(), "0.0.0.0:0");
    assert!(own.said.contains("with API keys, 0 active"), "{}", own.said);
}

/// The certificate and key of a server, written to `folder`; the certificate.
fn write_certificate(folder: &Path) -> reqwest::Certificate {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("it is written");
    let key = made.signing_key.serialize_pem();
    std::fs::write(folder.join("key.pem"), key).expect("it is written");
    reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).expect("a certificate")
}

/// Whether a server shows a certificate that this one vouches for.
async fn trusts(certificate: &reqwest::Certificate, url: &str) -> bool {
    let client = reqwest::Client::builder()
        .tls_certs_only([certificate.clone()])
        .no_proxy()
        .build()
        .expect("a client");
    let answer = client.get(format!("{url}/healthz")).send().await;
    answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_without_a_restart() {
    let standin = StandIn::any();
    let folder = tempfile::tempdir().expect("a folder");
    let first = write_certificate(folder.path());
    let toml = format!(
        "[tls]\ncertificate = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n",
        folder.path().display()
    );
    let launch = Launch {
        toml: &toml,
        ..Launch::default()
    };
    let gateway = Gateway::launch_at_once(&standin, launch);
    let log = gateway.logged();
    let (_, rest) = log.split_once("REST         ").expect("a banner");
    let (url, _) = rest.split_once("/api/v2/").expect("a banner");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    assert!(log.contains("wss://"), "{log}");
    assert!(trusts(&first, url).await);

    let second = write_certificate(folder.path());
    assert!(!trusts(&second, url).await);
    gateway.signal("HUP");
    until("the second certificate is shown", async || {
        trusts(&second, url).await
    })
    .await;
    assert!(!trusts(&first, url).await);

    // A key that does not belong to it: what was there stays, and it is said.
    let key = std::fs::read_to_string(folder.path().join("key.pem")).expect("a key");
    write_certificate(folder.path());
    std::fs::write(folder.path().join("key.pem"), &key).expect("it is written");
    gateway.signal("HUP");
    until("it says so", async || gateway.logged().contains("cert.pem")).await;
    assert!(trusts(&second, url).await);
    let secret: String = key
        .lines()
        .nth(1)
        .expect("a line")
        .chars()
        .take(20)
        .collect();
    assert!(!gateway.logged().contains(&secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_there_is_named_at_the_start() {
    let standin = StandIn::any();
    let launch = Launch {
        toml: "[tls]\ncertificate = \"/nowhere/cert.pem\"\nkey = \"/nowhere/key.pem\"\n",
        ..Launch::default()
    };
    let (status, said) = Gateway::run_to_its_end(&standin, launch).await;
    assert!(!status.success());
    assert!(said.contains("/nowhere/cert.pem"), "{said}");
}

/// Reads until the other side closes; what it said.
async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = socket.read_to_end(&mut bytes);
    let read = tokio::time::timeout(SOON, read).await;
    // A reset is an end too.
    let _ = read.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_head_byte_by_byte_is_let_go() {
    let standin = StandIn::any();
    let toml = "[http]\nheader_timeout_s = 1\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let addr: SocketAddr = gateway.authority().parse().expect("an address");
    let mut socket = TcpStream::connect(addr).await.expect("it listens");
    let start = Instant::now();
    let head = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-long: ";
    socket.write_all(head).await.expect("it is open");
    // One byte more at a time, for as long as it is open.
    let (mut reader, mut writer) = socket.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(SOON, reader.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it is open after {:?}", start.elapsed());
    drip.abort();
    // Others were served all the while.
    assert_eq!(gateway.get("/healthz").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_all_connections() {
    let standin = StandIn::any();
    let toml = "[http]\nconnections_per_address = 20\n";
    let gateway = Gateway::start_with(&standin, toml).await;
    let addr: SocketAddr = gateway.authority().parse().expect("an address");
    let mut held = Vec::new();
    let mut refused = None;
    for _ in 0..40 {
        let mut socket = TcpStream::connect(addr).await.expect("it listens");
        let ask = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let _ = socket.write_all(ask).await;
        let mut first = [0; 12];
        let read = tokio::time::timeout(SOON, socket.read_exact(&mut first)).await;
        read.expect("it answers").expect("it answers");
        if &first == b"HTTP/1.1 200" {
            held.push(socket);
        } else {
            refused = Some((first, read_to_end(&mut socket).await));
            break;
        }
    }
    let (first, rest) = refused.expect("forty are too many");
    assert_eq!(&first, b"HTTP/1.1 503");
    let (_, body) = rest.split_once("\r\n\r\n").expect("a body");
    let problem: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(problem["code"], "too_many_clients");
    // The harness holds some itself.
    assert!((10..=20).contains(&held.len()), "{}", held.len());
    drop(held);
    let admin = Holder::new(&gateway, 1, Role::Admin).await;
    until("there is room again", async || {
        let request = admin.ask(reqwest::Method::GET, "/healthz", None);
        let answer = request.send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await;
}
