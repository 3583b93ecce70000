//! The product in this process, on any feed: the gateway, REST, the stream, and the accept
//! loop, put together as the server does it, but without a database.

use core::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use strikewire_api::{Api, Door, Metrics, Settings};
use strikewire_broker::{Feed, NoReference};
use strikewire_calendar::Calendar;
use strikewire_gateway::{Config, Gateway, MemoryJournal, Parts, Setup};
use strikewire_registry::Registry;
use strikewire_types::Clock;
use strikewired::Recorder;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// What is measured.
#[derive(Debug)]
pub struct Product {
    /// The gateway.
    pub gateway: Gateway,
    /// Where it serves.
    pub address: SocketAddr,
}

/// Starts it on a feed; its threads go on until the process ends. `more` are routes that go
/// through the same layers as the product's own.
///
/// # Errors
///
/// When a thread or the recorder of metrics cannot be started.
///
/// # Cancel safety
///
/// Not safe: threads that were started go on.
pub async fn start(
    feed: impl Feed + Send + 'static,
    registry: Arc<Registry>,
    clock: Clock,
    more: Router<Api>,
) -> Result<Product, Error> {
    let recorder = Recorder::install()?;
    tokio::spawn(recorder.clone().keep());
    let config = Config {
        tier_b: Vec::new(),
        ..Config::default()
    };
    let Parts {
        gateway,
        feed,
        owner,
        hub,
        desk,
        indicators,
    } = strikewire_gateway::build(Setup {
        config,
        registry,
        clock,
        calendar: Calendar::endless(),
        feed,
        reference: NoReference,
        journal: MemoryJournal::new,
        recovered: Default::default(),
        audit: None,
        leases: Default::default(),
    })?;
    thread("owner", move || owner)?;
    thread("feed", move || async move {
        if let Err(error) = feed().await {
            eprintln!("the feed cannot run: {error}");
        }
    })?;
    tokio::spawn(hub);
    tokio::spawn(desk);
    tokio::spawn(indicators);

    // One address holds all clients.
    let mut settings = Settings::default();
    settings.stream.max_clients = 100_000;
    settings.stream.clients_per_user = 100_000;
    settings.http.max_connections = 100_000;
    settings.http.connections_per_address = 100_000;
    settings.rates.per_address = 1_000_000;
    settings.rates.address_burst = 1_000_000;
    let settings = Arc::new(ArcSwap::from_pointee(settings));
    let stop = CancellationToken::new();
    let api = Api::new(strikewire_api::Setup {
        gateway: gateway.clone(),
        metrics: Metrics::new(move || recorder.render()),
        notes: Vec::new(),
        stop: stop.clone(),
        run: 1,
        access: Arc::default(),
        settings: Arc::clone(&settings),
        control: None,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let door = Door {
        settings,
        tls: None,
        stop,
    };
    let router = strikewire_api::router_with(api, more);
    tokio::spawn(strikewire_api::serve(listener, router, door));
    Ok(Product { gateway, address })
}

fn thread<F: Future<Output = ()>>(
    name: &str,
    make: impl FnOnce() -> F + Send + 'static,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(make()))?;
    Ok(())
}
