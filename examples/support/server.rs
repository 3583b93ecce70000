//! A whole server for the tests of examples, with the embedded stand-in and a port of its own.

use std::fmt::Write;
use std::net::SocketAddr;

use strikewired::{Args, Config, Server};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
    _data: TempDir,
}

impl Running {
    /// With more of a configuration.
    pub(crate) async fn start(more: &str) -> Self {
        let data = TempDir::new().unwrap();
        let mut toml = String::from("tier_b = []\n[sim]\nrows = 20000\n");
        write!(toml, "{more}").unwrap();
        let file = data.path().join("strikewire.toml");
        std::fs::write(&file, toml).unwrap();
        let config = Config::load(&Args {
            config: Some(file),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            data_dir: Some(data.path().join("data")),
            clock: Some("2026-02-09T10:00:00+05:30@1".parse().unwrap()),
            ..Args::default()
        });
        let server = Server::start(config.unwrap(), String::new).await.unwrap();
        let (addr, stop) = (server.addr(), CancellationToken::new());
        let stopped = stop.clone().cancelled_owned();
        Self {
            addr,
            stop,
            server: tokio::spawn(async move { server.run_until(stopped).await.unwrap() }),
            _data: data,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }
}
