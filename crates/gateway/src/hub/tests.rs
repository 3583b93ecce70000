//! Indicators as the task serves them, with its own windows.

use serde_json::{Value, json};
use strikewire_fanout::SubId;
use strikewire_leases::Subscriber;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::*;
use crate::outbox::{Inbox, StreamLimits, outbox};

struct Bench {
    commands: UnboundedSender<HubCommand>,
    served: tokio::task::JoinHandle<()>,
}

const ME: ClientId = ClientId(7);
const YOU: ClientId = ClientId(8);

fn who(session: &str) -> Subscriber {
    Subscriber::new(1, session).unwrap()
}

fn key(number: u64) -> LeaseKey {
    LeaseKey::new("NIFTY", "5min", &format!("RSI_{number}"))
}

fn message(number: u64, value: u64) -> Message {
    json!({"type": "indicator", "indicator_id": number, "value": value})
        .to_string()
        .into()
}

impl Bench {
    fn new() -> Self {
        let (table, _) = strikewire_quotes::table(1);
        let (commands, received) = unbounded_channel();
        let served = run(Hub::new(table, 1), received, Arc::new(Wakers::default()));
        Self {
            commands,
            served: tokio::spawn(served),
        }
    }

    fn tell(&self, command: HubCommand) {
        self.commands.send(command).unwrap();
    }

    fn open(&self, client: ClientId, messages: usize) -> Inbox {
        let (outbox, inbox) = outbox(StreamLimits {
            messages,
            ..StreamLimits::default()
        });
        self.tell(HubCommand::Open { client, outbox });
        inbox
    }

    fn subscribe(&self, client: ClientId, sub: u64, session: &str, numbers: &[u64]) {
        let keys = numbers
            .iter()
            .map(|number| (key(*number), ValueId(*number)));
        self.tell(HubCommand::Values {
            client,
            socket: socket_name(1, client),
            sub: SubId(sub),
            held: Held {
                who: who(session),
                keys: keys.collect(),
            },
            ack: "{\"type\":\"ack\"}".into(),
        });
    }

    fn set(&self, number: u64, value: u64, urgent: bool) {
        self.tell(HubCommand::SetValue {
            id: ValueId(number),
            message: message(number, value),
            urgent,
        });
    }

    fn release(&self, client: ClientId, session: &str, numbers: &[u64]) {
        self.tell(HubCommand::Released {
            socket: socket_name(1, client),
            who: who(session),
            keys: numbers.iter().map(|number| key(*number)).collect(),
            detail: "the session has ended",
        });
    }

    async fn end(&self, client: ClientId, sub: u64) -> Option<Held> {
        let (reply, answer) = oneshot::channel();
        let sub = SubId(sub);
        self.tell(HubCommand::EndValues { client, sub, reply });
        answer.await.unwrap()
    }

    async fn count(&self, client: ClientId) -> usize {
        let (reply, answer) = oneshot::channel();
        self.tell(HubCommand::CountSubs { client, reply });
        answer.await.unwrap()
    }

    /// Waits until everything so far is done.
    async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        self.tell(HubCommand::Settle { done });
        settled.await.unwrap();
    }
}

/// What waits for a client: indicators as their numbers and values, else the types.
fn waiting(inbox: &Inbox) -> Vec<String> {
    let texts = std::iter::from_fn(|| inbox.try_next());
    let text = texts.map(|delivery| {
        let message: Value = serde_json::from_slice(delivery.message.bytes()).unwrap();
        match message["type"].as_str() {
            Some("indicator") => format!("{} {}", message["indicator_id"], message["value"]),
            Some(other) => other.to_owned(),
            None => panic!("{message}"),
        }
    });
    text.collect()
}

/// Long enough for a window of every class but the longest two.
async fn window() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test(start_paused = true)]
async fn values_come_after_the_answer_at_once_or_with_their_window() {
    let bench = Bench::new();
    let inbox = bench.open(ME, 100);
    bench.set(1, 10, true);
    bench.subscribe(ME, 1, "a", &[1, 2]);
    bench.set(2, 20, true);
    bench.set(1, 11, false);
    bench.set(1, 12, false);
    bench.settle().await;
    assert_eq!(waiting(&inbox), ["ack", "1 10", "2 20"]);
    window().await;
    assert_eq!(waiting(&inbox), ["1 12"]);
    bench.tell(HubCommand::RemoveValue { id: ValueId(1) });
    bench.subscribe(ME, 2, "a", &[1, 2]);
    bench.settle().await;
    assert_eq!(waiting(&inbox), ["ack", "2 20"]);
    drop(bench.commands);
    bench.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_keeps_its_last_final_value_and_the_latest() {
    let bench = Bench::new();
    let (slow, other) = (bench.open(ME, 1), bench.open(YOU, 100));
    bench.subscribe(ME, 1, "a", &[1]);
    bench.subscribe(YOU, 1, "a", &[1]);
    for bar in 1..=5 {
        bench.set(1, bar * 10, true);
        bench.set(1, bar * 10 + 1, false);
        window().await;
    }
    assert_eq!(waiting(&other).len(), 1 + 5 + 5);
    // One message at a time has room.
    let mut got = Vec::new();
    for _ in 0..4 {
        got.extend(waiting(&slow));
        window().await;
    }
    assert_eq!(got, ["ack", "1 50", "1 51"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_let_go_of_is_told_and_not_sent_any_more() {
    let bench = Bench::new();
    let inbox = bench.open(ME, 100);
    bench.subscribe(ME, 1, "a", &[1, 2]);
    bench.subscribe(ME, 2, "b", &[1]);
    bench.settle().await;
    waiting(&inbox);
    bench.release(ME, "a", &[1]);
    // Not this client's, and none at all.
    bench.release(YOU, "a", &[2]);
    bench.release(ME, "c", &[2]);
    bench.settle().await;
    let notice = inbox.try_next().unwrap().message;
    let notice: Value = serde_json::from_slice(notice.bytes()).unwrap();
    assert_eq!(
        notice,
        json!({"type": "notice", "code": "expired", "sub": 1,
               "detail": "the session has ended: indicator_sub:NIFTY:5min:RSI_1"})
    );
    bench.set(1, 10, true);
    bench.set(2, 20, true);
    bench.settle().await;
    assert_eq!(waiting(&inbox), ["1 10", "2 20"], "1 by the other session");
    bench.release(ME, "b", &[1]);
    bench.release(ME, "a", &[2]);
    bench.set(1, 11, true);
    bench.set(2, 21, true);
    assert_eq!(bench.count(ME).await, 0);
    assert_eq!(waiting(&inbox), ["notice", "notice"]);
    assert_eq!(bench.end(ME, 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_ends_says_what_only_it_held() {
    let bench = Bench::new();
    let inbox = bench.open(ME, 100);
    bench.subscribe(ME, 1, "a", &[1, 2]);
    bench.subscribe(ME, 2, "a", &[2]);
    assert_eq!(bench.count(ME).await, 2);
    let held = bench.end(ME, 1).await.unwrap();
    assert_eq!(
        (held.who, held.keys),
        (who("a"), vec![(key(1), ValueId(1))])
    );
    bench.set(1, 10, true);
    bench.set(2, 20, true);
    bench.settle().await;
    assert_eq!(waiting(&inbox), ["ack", "ack", "2 20"]);
    assert_eq!(bench.end(ME, 1).await, None);
    bench.tell(HubCommand::Close { client: ME });
    assert_eq!(bench.end(ME, 2).await, None);
    // Too late for one that has gone.
    bench.subscribe(ME, 3, "a", &[1]);
    assert_eq!(bench.end(ME, 3).await, None);
    assert_eq!(bench.count(ME).await, 0);
}
