//! A gateway with a broker adapter of one's own: a made-up broker in this process
//! (`bazaar.rs`), the adapter that speaks its language (`adapter.rs`), and the gateway and
//! its interface around it, as a binary of one's own would have them.
//!
//! ```text
//! cargo run -p strikewire-examples --example own_broker
//! cargo run -p strikewire-examples --example own_broker -- --serve 127.0.0.1:8080
//! ```
//!
//! Without arguments it shows what a client of its stream gets, and ends. With `--serve` it
//! goes on until it is interrupted; everything that talks to a Strikewire can then talk to
//! it, such as the example `frontend`.
//!
//! `tests.rs` runs the suite that every adapter has to pass (`broker::conformance`).

mod adapter;
mod bazaar;
mod house;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::SocketAddr;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use house::House;

/// A gateway with a broker adapter of one's own.
#[derive(Debug, Parser)]
struct Args {
    /// Serves at this address until interrupted.
    #[arg(long, value_name = "ADDR")]
    serve: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let house = House::open(args.serve.unwrap_or(any_port)).await?;
    if args.serve.is_some() {
        println!("REST and stream at http://{}", house.addr);
        tokio::signal::ctrl_c().await?;
    } else {
        let messages = first_messages(house.addr, 6).await?;
        for message in messages {
            println!("{message}");
        }
    }
    house.close().await
}

/// What a client of the stream gets that asks for a chain.
async fn first_messages(addr: SocketAddr, count: usize) -> Result<Vec<Value>, Box<dyn Error>> {
    let url = format!("ws://{addr}/api/v2/stream");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let subscribe = json!({"id": 1, "action": "subscribe", "channel": "chain",
                           "symbol": "TCS", "expiry": "24FEB2026", "width": 3, "conflate_ms": 100});
    socket.send(Message::text(subscribe.to_string())).await?;
    let mut messages = Vec::new();
    while messages.len() < count {
        match socket
            .next()
            .await
            .ok_or("the server closed the stream")??
        {
            Message::Text(text) => messages.push(serde_json::from_str(&text)?),
            Message::Close(frame) => return Err(format!("the stream was closed: {frame:?}").into()),
            _ => {}
        }
    }
    socket.close(None).await?;
    Ok(messages)
}
