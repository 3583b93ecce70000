//! What a tick costs where it is sent as one would send it first.

use core::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocketUpgrade};
use axum::routing::get;
use axum::serve::ListenerExt;
use strikewire_benches::Error;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;

use crate::BURST;

/// A tick as the product writes one in the mode ticker.
pub(crate) fn tick(place: usize) -> String {
    format!(
        r#"{{"type":"ticks","items":[{{"token":"RELIANCE_24FEB2026_{}CE","instrument":"NSE_FNO:{}","ltp":144.05,"ltt":"2026-02-09T10:00:00+05:30","recv":"2026-02-09T10:00:00.123+05:30"}}]}}"#,
        1_000 + 10 * place,
        35_000 + place
    )
}

/// axum and a broadcast channel: each client's task sends each tick as it comes.
pub(crate) async fn axum(every: Duration) -> Result<(), Error> {
    let (ticks, _) = broadcast::channel::<Utf8Bytes>(4 * BURST);
    let route = {
        let ticks = ticks.clone();
        get(move |upgrade: WebSocketUpgrade| {
            let mut ticks = ticks.subscribe();
            core::future::ready(upgrade.on_upgrade(async move |mut socket| {
                loop {
                    match ticks.recv().await {
                        Ok(tick) => {
                            if socket.send(Message::Text(tick)).await.is_err() {
                                return;
                            }
                        }
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => return,
                    }
                }
            }))
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    let app = Router::new().route("/api/v2/stream", route);
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !serving.is_finished() {
        turns.tick().await;
        for place in 0..BURST {
            // Nobody listens yet, perhaps.
            let _ = ticks.send(tick(place).into());
        }
    }
    Ok(())
}
