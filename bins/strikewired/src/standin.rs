use core::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use strikewire_dhan_sim::{SimHandle, SimServer};
use strikewire_registry::Registry;
use strikewire_types::Clock;
use tokio_util::sync::CancellationToken;

use crate::threads;

/// The embedded stand-in for Dhan, on a loopback socket and a thread of its own.
#[derive(Debug)]
pub(crate) struct Standin {
    pub(crate) url: String,
    /// Where its REST calls are.
    pub(crate) api_url: String,
    pub(crate) handle: SimHandle,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Standin {
    pub(crate) async fn start(
        registry: Arc<Registry>,
        clock: Clock,
        config: strikewire_dhan_sim::Config,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let (url_tx, url_rx) = tokio::sync::oneshot::channel();
        let ended = stop.clone();
        let thread = threads::vital("stand-in", move || async move {
            let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
            match SimServer::bind(any_port, registry, clock, config).await {
                Ok(server) => {
                    let _ = url_tx.send(Ok((server.url(), server.api_url(), server.handle())));
                    server.run(ended.cancelled_owned()).await;
                }
                Err(error) => {
                    let _ = url_tx.send(Err(error));
                }
            }
        })?;
        let (url, api_url, handle) = url_rx
            .await
            .context("the stand-in ended at once")?
            .context("the stand-in's socket")?;
        Ok(Self {
            url,
            api_url,
            handle,
            stop,
            thread,
        })
    }

    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.cancel();
        self.thread
    }
}
