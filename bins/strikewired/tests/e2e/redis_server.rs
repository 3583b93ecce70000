//! A Redis of one test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::harness::SOON;

/// A server on a socket in a folder of its own, that keeps nothing when it ends. It ends
/// with this.
pub(crate) struct RedisServer {
    folder: TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// A new one; none, which is said, where the program is not.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let asked = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if asked.is_err() {
            eprintln!("skipped: {test} needs redis-server (Debian: apt-get install redis-server)");
            return None;
        }
        let folder = TempDir::new().expect("a temporary directory");
        let mut server = Self {
            folder,
            child: None,
        };
        server.run().await;
        Some(server)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}?db=0", self.socket().display())
    }

    /// Starts it, with nothing in it.
    pub(crate) async fn run(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "no", "--save", ""])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server starts"));
        let start = Instant::now();
        while UnixStream::connect(self.socket()).await.is_err() {
            assert!(start.elapsed() < SOON, "redis-server does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// As if its machine lost power.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// The answer to a command, whatever it is, as lines without those of lengths.
    async fn ask(&self, command: &str) -> Vec<String> {
        let socket = UnixStream::connect(self.socket()).await;
        let mut socket = BufReader::new(socket.expect("redis-server listens"));
        let sent = socket.write_all(format!("{command}\r\n").as_bytes()).await;
        sent.expect("it listens");
        let mut wanted = 1_usize;
        let mut answer = Vec::new();
        while answer.len() < wanted {
            let mut line = String::new();
            socket.read_line(&mut line).await.expect("it answers");
            let (kind, rest) = line.trim_end().split_at(1);
            match kind {
                "*" => wanted = rest.parse().expect("a number"),
                "$" => {
                    let length: usize = rest.parse().expect("a length");
                    let mut text = vec![0; length + 2];
                    socket.read_exact(&mut text).await.expect("a text");
                    text.truncate(length);
                    answer.push(String::from_utf8(text).expect("UTF-8"));
                }
                ":" | "+" => answer.push(rest.to_owned()),
                _ => panic!("{command}: {line}"),
            }
        }
        answer
    }

    /// How many keys there are, but for the one that servers know the data by.
    pub(crate) async fn size(&self) -> usize {
        let mut keys = self.keys().await;
        keys.retain(|key| !key.ends_with("indicator_lease:data"));
        keys.len()
    }

    /// All keys, in order.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys = self.ask("KEYS *").await;
        keys.sort_unstable();
        keys
    }

    /// Milliseconds until a key ends; -1: never, -2: it has.
    pub(crate) async fn left(&self, key: &str) -> i64 {
        self.ask(&format!("PTTL {key}")).await[0]
            .parse()
            .expect("a number")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
