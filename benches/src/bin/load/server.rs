//! The server under load, as a process of its own.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use strikewire_benches::market::{CLOCK, Market};
use strikewire_benches::scrape::{Metrics, cpu_of};
use strikewire_benches::ws;
use tempfile::TempDir;

use strikewire_benches::Error;

use crate::Arguments;

/// How long a server may take until it is ready, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// What lets one address hold all the clients.
const CONFIG: &str = "tier_b = []

[http]
max_connections = 10000
connections_per_address = 10000

[auth]
key_requests_per_s = 1000000
key_burst = 1000000
address_requests_per_s = 1000000
address_burst = 1000000

[stream]
max_clients = 10000
clients_per_user = 10000
";

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    _folder: TempDir,
}

impl Server {
    pub(crate) async fn start(
        arguments: &Arguments,
        market: &Market,
        feed: SocketAddr,
    ) -> Result<Self, Error> {
        let folder = TempDir::new()?;
        let (config, master) = (
            folder.path().join("strikewire.toml"),
            folder.path().join("master.csv"),
        );
        fs::write(&config, CONFIG)?;
        fs::write(&master, &market.master.csv)?;
        // Free a moment ago; the server says so if it no longer is.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .to_string();
        let child = Command::new("taskset")
            .args(["--cpu-list", &arguments.core.to_string()])
            .arg(&arguments.server)
            .args(["--broker", "dhan", "--clock", CLOCK])
            .args(["--listen", &address])
            .args(["--dhan-feed-url", &format!("ws://{feed}")])
            // Nobody answers there; nothing that matters here asks.
            .args(["--dhan-api-url", "http://127.0.0.1:9"])
            .arg("--config")
            .arg(&config)
            .arg("--instruments")
            .arg(&master)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .env("DHAN_CLIENT_ID", "1000000001")
            .env("DHAN_ACCESS_TOKEN", "load")
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut server = Self {
            child,
            address,
            _folder: folder,
        };
        let begun = Instant::now();
        while server.read("/readyz").await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("the server ended: {status}").into());
            }
            if begun.elapsed() > PATIENCE {
                return Err("the server does not become ready".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let (mut reader, mut writer) = ws::http(&self.address).await?;
        Ok(ws::get(&mut reader, &mut writer, path).await?.to_owned())
    }

    /// Its metrics now.
    pub(crate) async fn metrics(&self) -> Result<Metrics, Error> {
        Ok(Metrics::parse(&String::from_utf8(
            self.read("/metrics").await?,
        )?))
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> Result<u64, Error> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok())
            .ok_or_else(|| "no VmRSS".into())
    }

    /// Processor time so far in seconds.
    pub(crate) fn cpu(&self) -> Result<f64, Error> {
        cpu_of(&self.child.id().to_string())
    }

    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                return Err("the server does not stop".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stopped already, unless the run failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
