//! Servers of Redis: the one of this run, and some that are a test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use redis::aio::MultiplexedConnection;
use strikewire_leases::{RedisConfig, TimeSource};
use tempfile::TempDir;

/// The server of this run; absent: there is none, which is said.
pub(crate) fn shared(test: &str) -> Option<String> {
    let url = std::env::var("STRIKEWIRE_TEST_REDIS").ok();
    if url.is_none() {
        eprintln!("skipped: {test} needs STRIKEWIRE_TEST_REDIS, the URL of a redis-server");
    }
    url
}

/// Names that no other test has.
pub(crate) fn config(url: &str, prefix: &str) -> RedisConfig {
    RedisConfig {
        prefix: prefix.to_owned(),
        timeout: std::time::Duration::from_secs(20),
        time: TimeSource::Caller,
        ..RedisConfig::new(url.parse().unwrap())
    }
}

/// A connection of another program.
pub(crate) async fn raw(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// All keys that begin so, and milliseconds until each ends (-1: never).
pub(crate) async fn endings(raw: &mut MultiplexedConnection, prefix: &str) -> Vec<(String, i64)> {
    let mut cursor = 0_u64;
    let mut all = Vec::new();
    loop {
        let (next, names): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(1_000)
            .query_async(raw)
            .await
            .unwrap();
        for name in names {
            let left: i64 = redis::cmd("PTTL")
                .arg(&name)
                .query_async(raw)
                .await
                .unwrap();
            // -2: it has ended meanwhile.
            if left != -2 {
                all.push((name, left));
            }
        }
        if next == 0 {
            return all;
        }
        cursor = next;
    }
}

/// A server of one test, with a socket in a folder of its own.
pub(crate) struct Server {
    folder: TempDir,
    child: Option<Child>,
    password: Option<&'static str>,
}

impl Server {
    /// A new one; absent: it cannot be, which is said.
    pub(crate) fn start(test: &str) -> Option<Self> {
        Self::start_with(test, None)
    }

    pub(crate) fn start_with(test: &str, password: Option<&'static str>) -> Option<Self> {
        shared(test)?;
        let mut server = Self {
            folder: tempfile::tempdir().unwrap(),
            child: None,
            password,
        };
        if Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            eprintln!("skipped: {test} needs the program redis-server in the path");
            return None;
        }
        server.run();
        Some(server)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(crate) fn url(&self) -> String {
        let password = self.password.map(|it| format!("&pass={it}"));
        let socket = self.socket();
        format!(
            "redis+unix://{}?db=0{}",
            socket.display(),
            password.unwrap_or_default()
        )
    }

    /// Starts it in its folder, with what it saved there.
    pub(crate) fn run(&mut self) {
        let folder: &Path = self.folder.path();
        let mut command = Command::new("redis-server");
        command
            .args([
                "--port",
                "0",
                "--appendonly",
                "no",
                "--save",
                "",
                "--unixsocket",
            ])
            .arg(self.socket())
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null());
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// As if the machine lost power.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let _ = std::fs::remove_file(self.socket());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
