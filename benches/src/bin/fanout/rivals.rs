//! What a tick costs where it is sent as one would send it first.

use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocketUpgrade};
use axum::routing::get;
use axum::serve::ListenerExt;
use strikewire_benches::Error;
use strikewire_benches::ws::{self, Opcode};
use tokio::io::AsyncWriteExt;
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

/// The least that can be done: 64 ticks are one message, encoded once, which each client's
/// task writes to its socket as it is. Nobody may leave, lag, or want anything else.
pub(crate) async fn bare(every: Duration) -> Result<(), Error> {
    let (frames, _) = broadcast::channel::<Arc<Vec<u8>>>(4);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let accepting = {
        let frames = frames.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mut frames = frames.subscribe();
                tokio::spawn(async move {
                    let _ = socket.set_nodelay(true);
                    let Ok(mut reader) = ws::Reader::accept(socket).await else {
                        return;
                    };
                    let Ok(mut writer) = reader.take_writer() else {
                        return;
                    };
                    while let Ok(frame) = frames.recv().await {
                        if writer.write_all(&frame).await.is_err() {
                            return;
                        }
                    }
                });
            }
        })
    };
    let one = tick(0);
    let (head, item) = one.split_at(one.find('[').map_or(0, |at| at + 1));
    let item = item.trim_end_matches("]}");
    let text = format!("{head}{}]}}", vec![item; BURST].join(","));
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !accepting.is_finished() {
        turns.tick().await;
        let mut frame = Vec::new();
        ws::write_frame(&mut frame, Opcode::Text, &[text.as_bytes()]);
        // Nobody listens yet, perhaps.
        let _ = frames.send(Arc::new(frame));
    }
    Ok(())
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
