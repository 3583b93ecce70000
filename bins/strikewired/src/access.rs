//! Whether the server may listen where it is told to, and what keeps its API keys current.

use core::time::Duration;
use std::sync::Arc;

use anyhow::ensure;
use arc_swap::ArcSwap;
use strikewire_api::{Access, Settings};
use strikewire_gateway::Gateway;
use strikewire_store::DatabaseUrl;
use strikewire_types::Clock;
use tokio::time::MissedTickBehavior;

use crate::Config;

/// How often the API keys are read again. A key that nobody knows has them read at once.
const KEYS_EVERY: Duration = Duration::from_secs(2);

/// Without API keys nobody but this machine may be served: everybody would be admin.
pub(crate) fn check_address(config: &Config, access: &Access, has_tls: bool) -> anyhow::Result<()> {
    let listen = config.listen();
    if listen.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    ensure!(
        access.keys_on(),
        "listen = {listen}: a public address is served with API keys only, and there are none; make \
         the first with `strikewire auth new-key --user 1 --role admin {}`, or listen on a loopback \
         address such as 127.0.0.1:{}",
        key_flags(config),
        listen.port()
    );
    if !has_tls {
        tracing::warn!(
            %listen,
            "Without [tls] API keys travel in clear: set certificate and key, or have a proxy \
             encrypt"
        );
    }
    Ok(())
}

/// How the database is named to `strikewire auth`.
fn key_flags(config: &Config) -> String {
    match config.store().url {
        DatabaseUrl::Sqlite(path) if path.parent() == Some(config.data_dir()) => {
            format!("--data-dir {}", config.data_dir().display())
        }
        url @ DatabaseUrl::Sqlite(_) => format!("--database {url}"),
        DatabaseUrl::Postgres(_) => "--database URL".to_owned(),
    }
}

/// Takes in keys that were made or revoked, and lets go of sessions that have ended, with
/// the indicators that they hold.
pub(crate) async fn keep(
    access: Arc<Access>,
    settings: Arc<ArcSwap<Settings>>,
    gateway: Gateway,
    clock: Clock,
) {
    let mut ticks = tokio::time::interval(KEYS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        let refreshed = access.refresh().await;
        match &refreshed {
            Err(error) if !is_failing => tracing::warn!(
                error = error.with_causes(),
                "API keys cannot be read; those that are known go on"
            ),
            Ok(_) if is_failing => tracing::info!("API keys can be read again"),
            Ok(_) | Err(_) => {}
        }
        is_failing = refreshed.is_err();
        let idle = settings.load().http.session_idle;
        for ended in access.sweep(clock.now().mono, idle).await {
            let indicators = gateway.indicators();
            let released = indicators
                .release_session(&ended.session_id, Some(ended.user))
                .await;
            match released {
                Ok(released) => {
                    tracing::debug!(user = ended.user, released, "A session has ended");
                }
                // Nobody says any more that they are in use, so the sweep lets them go.
                Err(error) => tracing::debug!(
                    user = ended.user, %error,
                    "A session has ended, and its indicators could not be let go"
                ),
            }
        }
    }
}
