use core::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as WsMessage, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde::Deserialize;
use serde_json::{Value, json};
use strikewire_fanout::{Class, Message, SubId};
use strikewire_gateway::types::Mode;
use strikewire_gateway::{ChainRequest, StreamClient, TicksRequest};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::extract::{self, Fields};
use crate::{Api, Code, Problem};

/// The largest message a client may send.
const MESSAGE_LIMIT: usize = 256 * 1024;
/// Instruments in one subscription that is flushed after each feed batch.
const BATCH_LIMIT: usize = 200;
/// Instruments in one subscription.
const INSTRUMENT_LIMIT: usize = 5_000;
/// How long a client may take to accept one write.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How long a goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

const GOING_AWAY: u16 = 1001;
const TOO_LARGE: u16 = 1009;
const TOO_SLOW: u16 = 4008;

pub(crate) async fn upgrade(
    State(api): State<Api>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("a WebSocket is expected here: {}", rejection.body_text());
        Problem::new(Code::InvalidValue, detail)
    })?;
    let (client, messages) = api.gateway.open_stream().await?;
    // The defaults are made for few sockets: 128 KiB to read and no bound to write.
    Ok(upgrade
        .read_buffer_size(4 * 1024)
        .write_buffer_size(16 * 1024)
        .max_write_buffer_size(1024 * 1024)
        .max_message_size(MESSAGE_LIMIT)
        .max_frame_size(MESSAGE_LIMIT)
        .on_upgrade(move |socket| serve(socket, client, messages, api.stop)))
}

/// One client: this task reads and obeys, another one writes.
async fn serve(
    socket: WebSocket,
    mut client: StreamClient,
    messages: mpsc::Receiver<Message>,
    stop: CancellationToken,
) {
    let (sender, mut receiver) = socket.split();
    let (direct_tx, direct_rx) = mpsc::channel(64);
    let ended = CancellationToken::new();
    let writer = tokio::spawn(write(
        sender,
        messages,
        direct_rx,
        stop.clone(),
        ended.clone(),
    ));
    loop {
        let message = tokio::select! {
            message = receiver.next() => message,
            () = ended.cancelled() => break,
        };
        let text = match message {
            Some(Ok(WsMessage::Text(text))) => text,
            Some(Ok(WsMessage::Binary(_))) => {
                let problem = Problem::new(Code::InvalidValue, "messages are JSON text");
                let reply = WsMessage::text(error(&Value::Null, &problem));
                if direct_tx.send(reply).await.is_err() {
                    break;
                }
                continue;
            }
            Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_))) => continue,
            Some(Err(_)) => {
                // Too large or no text, or the client is gone and does not hear this.
                let _ =
                    direct_tx.try_send(goodbye(TOO_LARGE, "a message is at most 256 KiB of text"));
                break;
            }
            Some(Ok(WsMessage::Close(_))) | None => break,
        };
        if let Some(reply) = obey(&mut client, &text).await
            && direct_tx.send(WsMessage::text(reply)).await.is_err()
        {
            break;
        }
    }
    drop(client);
    drop(direct_tx);
    // The writer ends when its queue does; a stuck one is let go.
    let _ = tokio::time::timeout(CLOSE_LIMIT, writer).await;
}

async fn write(
    mut sender: SplitSink<WebSocket, WsMessage>,
    mut messages: mpsc::Receiver<Message>,
    mut direct: mpsc::Receiver<WsMessage>,
    stop: CancellationToken,
    ended: CancellationToken,
) {
    // Whatever ends the writer ends the reader.
    let _guard = ended.drop_guard();
    let last_words = loop {
        let first = tokio::select! {
            () = stop.cancelled() => break goodbye(GOING_AWAY, "the server is stopping"),
            message = direct.recv() => match message {
                Some(message) => message,
                // The reader has ended: the client is gone or said goodbye.
                None => break WsMessage::Close(None),
            },
            message = messages.recv() => match message {
                Some(message) => WsMessage::text(message),
                None => break goodbye(TOO_SLOW, "too slow: the queue stayed full"),
            },
        };
        let written = tokio::time::timeout(WRITE_LIMIT, async {
            sender.feed(first).await?;
            while let Ok(message) = messages.try_recv() {
                sender.feed(WsMessage::text(message)).await?;
            }
            sender.flush().await
        })
        .await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => break goodbye(TOO_SLOW, "too slow: one write took 30 s"),
        }
    };
    let _ = tokio::time::timeout(CLOSE_LIMIT, sender.send(last_words)).await;
}

fn goodbye(code: u16, reason: &'static str) -> WsMessage {
    WsMessage::Close(Some(CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    }))
}

#[derive(Debug, Deserialize)]
struct SubscribeTicks {
    instruments: Vec<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    conflate_ms: Option<u32>,
}

impl Fields for SubscribeTicks {
    const FIELDS: &'static [&'static str] = &[
        "action",
        "id",
        "channel",
        "instruments",
        "mode",
        "conflate_ms",
    ];
}

#[derive(Debug, Deserialize)]
struct SubscribeChain {
    symbol: String,
    #[serde(default)]
    expiry: Option<String>,
    #[serde(default)]
    exchange: Option<String>,
    #[serde(default)]
    underlying_ltp: Option<f64>,
    #[serde(default)]
    width: Option<i64>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    follow: Option<bool>,
    #[serde(default)]
    conflate_ms: Option<u32>,
}

impl Fields for SubscribeChain {
    const FIELDS: &'static [&'static str] = &[
        "action",
        "id",
        "channel",
        "symbol",
        "expiry",
        "exchange",
        "underlying_ltp",
        "width",
        "mode",
        "follow",
        "conflate_ms",
    ];
}

#[derive(Debug, Deserialize)]
struct Unsubscribe {
    sub: u64,
}

impl Fields for Unsubscribe {
    const FIELDS: &'static [&'static str] = &["action", "id", "sub"];
}

/// What a client asks for.
#[derive(Debug)]
enum Action {
    Ticks(TicksRequest),
    Chain {
        request: ChainRequest,
        mode: Option<Mode>,
        follow: bool,
        class: Class,
    },
    Unsubscribe(SubId),
    Ping,
}

/// Does what a client's message asks; gives what to answer besides what the hub
/// sends itself.
async fn obey(client: &mut StreamClient, text: &str) -> Option<String> {
    let (id, action) = parse(text);
    let done = match action {
        Ok(action) => act(client, action, &id).await,
        Err(problem) => Err(problem),
    };
    done.unwrap_or_else(|problem| Some(error(&id, &problem)))
}

async fn act(
    client: &mut StreamClient,
    action: Action,
    id: &Value,
) -> Result<Option<String>, Problem> {
    match action {
        Action::Ticks(request) => {
            client.subscribe_ticks(&request, |sub| ack(id, sub)).await?;
        }
        Action::Chain {
            request,
            mode,
            follow,
            class,
        } => {
            client
                .subscribe_chain(&request, mode, follow, class, |sub| ack(id, sub))
                .await?;
        }
        Action::Unsubscribe(sub) => client.unsubscribe(sub, ack(id, sub)).await?,
        Action::Ping => {
            let mut pong = json!({"type": "pong", "results": []});
            echo(&mut pong, id);
            return Ok(Some(pong.to_string()));
        }
    }
    Ok(None)
}

/// Reads a message: its id, to be echoed, and what it asks for.
fn parse(text: &str) -> (Value, Result<Action, Problem>) {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => {
            let id = value.get("id").cloned().unwrap_or(Value::Null);
            (id, action(value))
        }
        Err(problem) => {
            let detail = format!("the message is not JSON: {problem}");
            (Value::Null, Err(Problem::new(Code::InvalidJson, detail)))
        }
    }
}

fn action(value: Value) -> Result<Action, Problem> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    match (text("action"), text("channel")) {
        (Some("subscribe"), Some("ticks")) => ticks(extract::fields(value)?),
        (Some("subscribe"), Some("chain")) => chain(extract::fields(value)?),
        (Some("subscribe"), channel) => Err(not_offered("channel", channel, &["ticks", "chain"])),
        (Some("unsubscribe"), _) => {
            let body: Unsubscribe = extract::fields(value)?;
            Ok(Action::Unsubscribe(SubId(body.sub)))
        }
        (Some("ping"), _) => Ok(Action::Ping),
        (action, _) => Err(not_offered(
            "action",
            action,
            &["subscribe", "unsubscribe", "ping"],
        )),
    }
}

fn not_offered(field: &str, given: Option<&str>, choices: &[&str]) -> Problem {
    let detail = match given {
        Some(given) => format!("{field}: `{given}` is not known"),
        None => format!("{field}: a text is expected"),
    };
    Problem::new(Code::InvalidValue, detail)
        .field(field)
        .choices(choices.iter().map(ToString::to_string).collect())
}

fn ticks(body: SubscribeTicks) -> Result<Action, Problem> {
    let class = class(body.conflate_ms)?;
    let limit = if class == Class::BATCH {
        BATCH_LIMIT
    } else {
        INSTRUMENT_LIMIT
    };
    let given = body.instruments.len();
    if !(1..=limit).contains(&given) {
        let detail = format!("instruments: {given} are given; 1 to {limit} are accepted");
        return Err(Problem::new(Code::InvalidValue, detail).field("instruments"));
    }
    Ok(Action::Ticks(TicksRequest {
        instruments: body.instruments,
        mode: extract::parse("mode", body.mode.as_deref())?,
        class,
    }))
}

fn chain(body: SubscribeChain) -> Result<Action, Problem> {
    Ok(Action::Chain {
        request: ChainRequest {
            symbol: body.symbol,
            expiry: extract::parse("expiry", body.expiry.as_deref())?,
            exchange: extract::parse("exchange", body.exchange.as_deref())?,
            price: extract::price("underlying_ltp", body.underlying_ltp)?,
            width: extract::width(body.width)?,
            force: false,
        },
        mode: extract::parse("mode", body.mode.as_deref())?,
        follow: body.follow.unwrap_or(true),
        class: class(body.conflate_ms)?,
    })
}

fn class(ms: Option<u32>) -> Result<Class, Problem> {
    let ms = ms.unwrap_or(250);
    Class::from_ms(ms).ok_or_else(|| {
        Problem::new(
            Code::InvalidValue,
            format!("conflate_ms: {ms} is not offered"),
        )
        .field("conflate_ms")
        .choices(
            Class::ALL
                .iter()
                .map(|class| class.ms().to_string())
                .collect(),
        )
    })
}

fn ack(id: &Value, sub: SubId) -> Message {
    let mut ack = json!({"type": "ack", "sub": sub.0});
    echo(&mut ack, id);
    ack.to_string()
}

fn error(id: &Value, problem: &Problem) -> String {
    let mut error = json!({
        "type": "error",
        "code": problem.code.as_str(),
        "detail": problem.detail,
    });
    echo(&mut error, id);
    if let Some(field) = &problem.field {
        error["field"] = field.as_str().into();
    }
    if !problem.choices.is_empty() {
        error["choices"] = problem.choices.clone().into();
    }
    error.to_string()
}

fn echo(message: &mut Value, id: &Value) {
    if !id.is_null() {
        message["id"] = id.clone();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::extract::tests::json_value;

    #[test]
    fn a_good_message_is_understood() {
        let (id, action) = parse(
            r#"{"action":"subscribe","channel":"chain","id":"c1","symbol":"NIFTY",
                "expiry":"10FEB2026","width":101,"conflate_ms":250}"#,
        );
        assert_eq!(id, "c1");
        match action.unwrap() {
            Action::Chain {
                request,
                mode: None,
                follow: true,
                class,
            } => {
                assert_eq!(request.symbol, "NIFTY");
                assert_eq!(request.width, Some(101));
                assert_eq!(class.ms(), 250);
            }
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_message_panics(
            action in prop::sample::select(vec!["subscribe", "unsubscribe", "ping", "x"]),
            channel in prop::sample::select(vec!["ticks", "chain", "y"]),
            field in prop::sample::select(SubscribeChain::FIELDS.to_vec()),
            value in json_value(),
        ) {
            let mut message = json!({"action": action, "channel": channel, "symbol": "NIFTY",
                                     "instruments": ["NIFTY"]});
            message[field] = value;
            let (_, action) = parse(&message.to_string());
            if let Err(problem) = action {
                prop_assert!(!problem.detail.is_empty());
            }
        }
    }
}
