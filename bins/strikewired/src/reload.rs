//! Takes a changed configuration while the server runs.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use arc_swap::ArcSwap;
use strikewire_api::{Control, Reloaded, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Config, logging};

/// Reads the files of certificate and key again and serves with them from then on, both or
/// none. Whether they are others than before; or what is wrong with them.
pub type ReloadTls = Box<dyn Fn() -> Result<bool, String> + Send + Sync>;

/// Reads file, environment and flags again, and takes what can change: `[log]`, `[http]`,
/// `[auth]`, `[stream]` and what the files of `[tls]` hold. With a mistake in any of it everything
/// stays as it is.
pub struct Reloader {
    /// What holds. What needs a restart stays as it was at the start, so that it is told
    /// every time.
    current: Mutex<Config>,
    settings: Arc<ArcSwap<Settings>>,
    tls: Option<ReloadTls>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader")
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Reloader {
    /// For a server that was started with `config` and looks into `settings`; `tls` is
    /// absent when it serves without TLS.
    #[must_use]
    pub fn new(config: &Config, settings: Arc<ArcSwap<Settings>>, tls: Option<ReloadTls>) -> Self {
        Self {
            current: Mutex::new(config.clone()),
            settings,
            tls,
        }
    }

    fn take(&self) -> anyhow::Result<Reloaded> {
        // A configuration is replaced as a whole, whatever happened to who held it.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let next = current.again()?;
        let mut reloaded = current.changes(&next)?;
        let levels = logging::prepare(&next)?;
        // The last thing that can fail.
        if let Some(reload) = &self.tls
            && reload().map_err(|mistake| anyhow!("[tls]: {mistake}"))?
        {
            reloaded.changed.push("tls.certificate".to_owned());
        }
        self.settings.store(Arc::new(next.settings()));
        logging::take(levels, &next);
        current.adopt(next);
        Ok(reloaded)
    }
}

impl Control for Reloader {
    fn reload(&self) -> Result<Reloaded, String> {
        let counted = |result: &'static str| {
            metrics::counter!("strikewire_config_reloads_total", "result" => result).increment(1);
        };
        match self.take() {
            Ok(reloaded) => {
                counted("taken");
                let Reloaded {
                    changed,
                    needs_restart,
                } = &reloaded;
                tracing::info!(?changed, ?needs_restart, "The configuration was read again");
                Ok(reloaded)
            }
            Err(error) => {
                counted("refused");
                let mistake = format!("{error:#}");
                tracing::error!(mistake, "The configuration stays as it is");
                Err(mistake)
            }
        }
    }
}

/// The SIGHUPs that this process gets. Without one such a signal ends a process.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Catches them from now on.
    ///
    /// # Errors
    ///
    /// When the system does not allow it.
    pub fn catch() -> std::io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Asks `control` to reload at each of them, for good. One that came since they are
    /// caught counts.
    ///
    /// # Cancel safety
    ///
    /// A reload that has begun goes on.
    pub async fn reload(mut self, control: Arc<dyn Control>) {
        while self.0.recv().await.is_some() {
            let control = Arc::clone(&control);
            // Reads files. What became of it is in the log.
            let _ = tokio::task::spawn_blocking(move || control.reload()).await;
        }
    }
}
