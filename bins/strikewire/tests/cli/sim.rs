use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::program::{master, program, run, signal};

/// 2026-02-09T10:00:00 as the feed has it: the wall clock of India as if it were UTC.
const TEN_O_CLOCK: u32 = 1_770_631_200;

/// Does not outlive its test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it on a free port; the address it prints.
pub(crate) fn start(more: &[&str]) -> (Running, String) {
    let mut child = program()
        .args([
            "sim",
            "--listen",
            "127.0.0.1:0",
            "--instruments",
            master().path(),
        ])
        .args(["--clock", "2026-02-09T10:00:00+05:30@1"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let running = Running(child);
    let first = lines.next().unwrap().unwrap();
    let (_, address) = first.split_once("ws://").unwrap();
    (running, address.to_owned())
}

fn connect(address: &str, query: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    write!(
        stream,
        "GET /?{query} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap())
}

#[test]
fn it_serves_the_master_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.json");
    std::fs::write(&prices, r#"{"NIFTY": 26000}"#).unwrap();
    let (mut running, address) = start(&[
        "--prices",
        prices.to_str().unwrap(),
        "--volatility",
        "0",
        "--seed",
        "7",
    ]);

    let (_, refused) = connect(&address, "version=2&authType=2&clientId=1");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");

    let (mut stream, accepted) = connect(&address, "version=2&token=t&clientId=1&authType=2");
    assert!(accepted.starts_with("HTTP/1.1 101"), "{accepted}");
    let request = r#"{"RequestCode":15,"InstrumentCount":1,"InstrumentList":[{"ExchangeSegment":"IDX_I","SecurityId":"13"}]}"#;
    // A whole text frame, masked with zeros.
    let mut frame = vec![
        0x81,
        0x80 | u8::try_from(request.len()).unwrap(),
        0,
        0,
        0,
        0,
    ];
    assert!(request.len() < 126);
    frame.extend(request.as_bytes());
    stream.write_all(&frame).unwrap();

    // The previous close of an index, then its ticker packet.
    // One packet to a frame, for clients that read no further.
    let mut packets = [0; 32];
    for packet in packets.chunks_mut(16) {
        let mut head = [0; 2];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head, [0x82, 16]);
        stream.read_exact(packet).unwrap();
    }
    let word = |at: usize| -> [u8; 4] { packets[at..at + 4].try_into().unwrap() };
    assert_eq!(
        (packets[0], packets[3], u32::from_le_bytes(word(4))),
        (6, 0, 13)
    );
    assert_eq!(
        (packets[16], packets[19], u32::from_le_bytes(word(20))),
        (2, 0, 13)
    );
    assert_eq!(f32::from_le_bytes(word(24)), 26_000.0);
    let traded = u32::from_le_bytes(word(28));
    // However long the machine took to get here, it is the simulated day.
    assert!(
        (TEN_O_CLOCK - 600..TEN_O_CLOCK + 3600).contains(&traded),
        "{traded}"
    );

    signal(&running.0, "-TERM");
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

#[test]
fn what_keeps_it_from_starting_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = master().path();
    let ran = run(&["sim", "--listen", &address, "--instruments", file]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains(&address), "{ran:?}");

    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.json");
    std::fs::write(&prices, r#"{"NIFTYY": 26000}"#).unwrap();
    let prices = prices.to_str().unwrap();
    let ran = run(&[
        "sim",
        "--listen",
        "127.0.0.1:0",
        "--instruments",
        file,
        "--prices",
        prices,
    ]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains(prices) && ran.stderr.contains("NIFTYY"),
        "{ran:?}"
    );
}

#[test]
fn faults_of_a_script_are_played() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.toml");
    let text =
        "[[fault]]\nkind = \"refuse\"\nstatus = 429\nretry_after = \"90s\"\nafter = \"0s\"\n";
    std::fs::write(&script, text).unwrap();
    let (_running, address) = start(&["--script", script.to_str().unwrap(), "--modes", "last"]);
    let (_, refused) = connect(&address, "version=2&token=t&clientId=1&authType=2");
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(
        refused.to_lowercase().contains("\r\nretry-after: 90\r\n"),
        "{refused}"
    );
}

#[test]
fn a_script_that_is_wrong_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.toml");
    std::fs::write(&script, "[[fault]]\nkind = \"stal\"\n").unwrap();
    let script = script.to_str().unwrap();
    let file = master().path();
    for (path, words) in [
        (script, ["line 2", "did you mean `stall`?"]),
        ("/no/such/file", ["cannot read", "/no/such/file"]),
    ] {
        let ran = run(&[
            "sim",
            "--listen",
            "127.0.0.1:0",
            "--instruments",
            file,
            "--script",
            path,
        ]);
        assert_eq!(ran.code, Some(1));
        for word in [&words[..], &[path]].concat() {
            assert!(ran.stderr.contains(word), "{word}: {ran:?}");
        }
    }
    let ran = run(&["sim", "--instruments", file, "--modes", "sets"]);
    assert!(
        ran.code == Some(2) && ran.stderr.contains("any-unsubscribe"),
        "{ran:?}"
    );
}
