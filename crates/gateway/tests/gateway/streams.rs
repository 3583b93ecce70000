//! Clients of the stream: their queues, their limits, and coming back.

use core::time::Duration;

use serde_json::{Map, Value, json};
use strikewire_fanout::{Class, Position, SubId};
use strikewire_gateway::types::Price;
use strikewire_gateway::{
    ChainRequest, Delivery, Error, Gateway, Inbox, StreamChainRequest, StreamClient, StreamEnd,
    StreamLimits, TicksRequest,
};

use crate::play::{
    Broker, Rows, Run, SPOT, add_at_live_price, chain, limits, of_type, settle, streamed, waiting,
    with_gateway,
};

/// As much as anybody could want.
fn roomy() -> StreamLimits {
    StreamLimits {
        messages: 10_000,
        ..StreamLimits::default()
    }
}

async fn open(gateway: &Gateway) -> (StreamClient, Inbox) {
    gateway.open_stream(roomy()).await.unwrap()
}

/// The ack of a chain, as a test reads it.
fn acked(sub: SubId, resumed: Option<bool>) -> strikewire_fanout::Message {
    json!({"type": "ack", "sub": sub.0, "resumed": resumed})
        .to_string()
        .into()
}

async fn ask(client: &mut StreamClient, request: &StreamChainRequest) -> SubId {
    client.subscribe_chain(request, acked).await.unwrap()
}

fn tcs(class: Class) -> TicksRequest {
    TicksRequest {
        instruments: vec!["TCS".into()],
        mode: None,
        class,
    }
}

/// Lets the price walk; each step is in a window of its own.
async fn walk(gateway: &Gateway, broker: &Broker, from: f64, steps: usize) {
    for step in 1..=steps {
        broker.tick(SPOT, from + step as f64 * 0.05, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a client knows of a chain.
#[derive(Debug, Default, Clone, PartialEq)]
struct Known {
    epoch: String,
    seq: u64,
    chain: Map<String, Value>,
    quotes: Map<String, Value>,
}

impl Known {
    /// Takes a message as a client would; a gap is a mistake.
    fn take(&mut self, message: &Value) {
        match message["type"].as_str() {
            Some("snapshot") => {
                self.chain = message["chain"].as_object().cloned().unwrap();
                self.quotes = message["quotes"].as_object().cloned().unwrap();
            }
            Some("delta") => {
                assert_eq!(message["epoch"], self.epoch);
                assert_eq!(message["seq"], self.seq + 1, "a gap: {message}");
                merge(&mut self.chain, message["chain"].as_object().unwrap());
                for token in message["remove"].as_array().unwrap() {
                    self.quotes.remove(token.as_str().unwrap());
                }
                for (token, fields) in message["set"].as_object().unwrap() {
                    let quote = self.quotes.entry(token.clone()).or_insert(json!({}));
                    merge(quote.as_object_mut().unwrap(), fields.as_object().unwrap());
                }
            }
            _ => return,
        }
        message["epoch"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.epoch);
        self.seq = message["seq"].as_u64().unwrap();
    }

    fn take_all(&mut self, inbox: &Inbox) -> Vec<Value> {
        let messages = waiting(inbox);
        for message in &messages {
            self.take(message);
        }
        messages
    }

    fn position(&self) -> Position {
        Position {
            epoch: self.epoch.clone(),
            seq: self.seq,
        }
    }
}

fn merge(object: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (name, value) in changes {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_goes_on_where_it_was() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        // One stays all the time: what it knows is the truth.
        let (mut witness, truth) = open(&gateway).await;
        ask(&mut witness, &streamed(chain(3))).await;
        let (mut client, inbox) = open(&gateway).await;
        ask(&mut client, &streamed(chain(3))).await;
        walk(&gateway, &broker, 3_000.0, 20).await;
        let (mut known, mut witnessed) = (Known::default(), Known::default());
        known.take_all(&inbox);
        witnessed.take_all(&truth);
        assert_eq!(known, witnessed);
        assert!(known.seq >= 20);

        drop((client, inbox));
        // A roll is among what it misses.
        walk(&gateway, &broker, 3_020.0, 30).await;
        let (mut client, inbox) = open(&gateway).await;
        let again = StreamChainRequest {
            resume: Some(known.position()),
            ..streamed(chain(3))
        };
        ask(&mut client, &again).await;
        settle().await;
        let said = known.take_all(&inbox);
        assert_eq!(said[0]["resumed"], true, "{said:?}");
        assert_eq!(of_type(&said, "snapshot").len(), 0, "{said:?}");
        walk(&gateway, &broker, 3_021.5, 5).await;
        known.take_all(&inbox);
        witnessed.take_all(&truth);
        assert_eq!(known, witnessed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_everybody_left_is_the_same_for_half_a_minute() {
    with_gateway(async |gateway, broker| {
        // Another width keeps the price on the wire.
        add_at_live_price(&gateway, &broker, 3_000.0, 5).await;
        let mut known = Known::default();
        for (away, resumed) in [(20, true), (25, true), (40, false)] {
            let (mut client, inbox) = open(&gateway).await;
            let request = StreamChainRequest {
                resume: (!known.epoch.is_empty()).then(|| known.position()),
                ..streamed(chain(3))
            };
            ask(&mut client, &request).await;
            walk(&gateway, &broker, 3_000.0 + away as f64, 3).await;
            let epoch = known.epoch.clone();
            known.take_all(&inbox);
            if !epoch.is_empty() {
                assert_eq!(known.epoch, epoch, "the chain is the same");
            }
            drop((client, inbox));
            tokio::time::sleep(Duration::from_secs(away)).await;
            let (mut back, said) = open(&gateway).await;
            let request = StreamChainRequest {
                resume: Some(known.position()),
                ..streamed(chain(3))
            };
            ask(&mut back, &request).await;
            settle().await;
            let said = waiting(&said);
            assert_eq!(said[0]["resumed"], resumed, "after {away} s: {said:?}");
            let snapshots = of_type(&said, "snapshot");
            assert_eq!(snapshots.len(), usize::from(!resumed), "{said:?}");
            if !resumed {
                assert_eq!(snapshots[0]["resumed"], false);
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_position_of_another_chain_is_refused_with_a_snapshot() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let (mut client, inbox) = open(&gateway).await;
        ask(&mut client, &streamed(chain(3))).await;
        walk(&gateway, &broker, 3_000.0, 3).await;
        let mut known = Known::default();
        known.take_all(&inbox);
        let at = |epoch: &str, seq| {
            let epoch = epoch.to_owned();
            Some(Position { epoch, seq })
        };
        let still = |resume| StreamChainRequest {
            follow: false,
            resume,
            ..streamed(chain(3))
        };
        let cases = [
            (
                "another epoch",
                StreamChainRequest {
                    resume: at("0", known.seq),
                    ..streamed(chain(3))
                },
            ),
            (
                "a number to come",
                StreamChainRequest {
                    resume: at(&known.epoch, known.seq + 1),
                    ..streamed(chain(3))
                },
            ),
            (
                "another width",
                StreamChainRequest {
                    resume: Some(known.position()),
                    ..streamed(chain(5))
                },
            ),
            (
                "another class",
                StreamChainRequest {
                    resume: Some(known.position()),
                    class: Class::ALL[2],
                    ..streamed(chain(3))
                },
            ),
            ("one that does not follow", still(Some(known.position()))),
        ];
        for (what, request) in cases {
            let (mut client, inbox) = open(&gateway).await;
            ask(&mut client, &request).await;
            settle().await;
            let said = waiting(&inbox);
            assert_eq!(said[0]["resumed"], false, "{what}: {said:?}");
            let snapshot = of_type(&said, "snapshot")[0];
            assert_eq!(snapshot["resumed"], false, "{what}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_subscriber_disturbs_nobodys_window() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let slow = StreamChainRequest {
            class: Class::ALL[4],
            ..streamed(chain(3))
        };
        let (mut first, inbox) = open(&gateway).await;
        ask(&mut first, &slow).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        waiting(&inbox);
        // In the middle of the first one's window there is news, and somebody comes.
        tokio::time::sleep(Duration::from_millis(300)).await;
        broker.tick(SPOT, 3_001.0, gateway.clock().now().utc);
        settle().await;
        let (mut second, begun) = open(&gateway).await;
        ask(&mut second, &slow).await;
        settle().await;
        let begun = waiting(&begun);
        assert_eq!(of_type(&begun, "snapshot").len(), 1, "{begun:?}");
        assert_eq!(waiting(&inbox), Vec::<Value>::new());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(of_type(&waiting(&inbox), "delta").len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ticks_begin_at_once_with_what_is_known() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let (mut client, inbox) = open(&gateway).await;
        client
            .subscribe_ticks(&tcs(Class::ALL[4]), |_, tokens| {
                json!({"type": "ack", "tokens": tokens}).to_string().into()
            })
            .await
            .unwrap();
        settle().await;
        let said = waiting(&inbox);
        assert_eq!(said[0]["tokens"], json!(["TCS"]));
        assert_eq!(said[1]["items"][0]["ltp"], 3_000.0, "{said:?}");
        // Tokens come as they were asked for, each time it was.
        let request = TicksRequest {
            instruments: vec!["TCS".into(), "NSE_EQ:11536".into(), "tcs".into()],
            ..tcs(Class::BATCH)
        };
        client
            .subscribe_ticks(&request, |_, tokens| json!(tokens).to_string().into())
            .await
            .unwrap();
        settle().await;
        assert_eq!(waiting(&inbox)[0], json!(["TCS", "TCS", "TCS"]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_let_go_and_others_go_on() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let stall = Duration::from_secs(5);
        let narrow = StreamLimits { stall, ..limits() };
        let (mut slow, unread) = gateway.open_stream(narrow).await.unwrap();
        let (mut quick, inbox) = open(&gateway).await;
        for client in [&mut slow, &mut quick] {
            client
                .subscribe_ticks(&tcs(Class::ALL[1]), |_, _| "{}".into())
                .await
                .unwrap();
        }
        // The ack and the first tick, then seven windows fill it; another 5 s are too much.
        walk(&gateway, &broker, 3_000.0, 56).await;
        assert!(
            tokio::time::timeout(Duration::ZERO, unread.ended())
                .await
                .is_err()
        );
        assert_eq!(unread.len(), limits().messages);
        walk(&gateway, &broker, 3_003.0, 3).await;
        assert_eq!(unread.ended().await, StreamEnd::TooSlow);
        assert_eq!(
            (unread.len(), unread.bytes()),
            (0, 0),
            "nothing is kept for it"
        );
        walk(&gateway, &broker, 3_004.0, 10).await;
        let ticks = waiting(&inbox);
        // One at once, and one for every window of all three walks.
        assert_eq!(of_type(&ticks, "ticks").len(), 1 + 56 + 3 + 10);
        assert!(slow.answer("{}".into()), "the hub takes it and drops it");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_did_not_fit_is_said_to_lag_and_begins_anew() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let (mut client, inbox) = gateway.open_stream(limits()).await.unwrap();
        ask(&mut client, &streamed(chain(3))).await;
        walk(&gateway, &broker, 3_000.0, 20).await;
        let mut known = Known::default();
        known.take_all(&inbox);
        let last = known.seq;
        // Ack, snapshot and six deltas.
        walk(&gateway, &broker, 3_001.0, 1).await;
        let said = waiting(&inbox);
        let lagged = of_type(&said, "lagged");
        assert_eq!(lagged.len(), 1, "{said:?}");
        let (from, to) = (&lagged[0]["from_seq"], &lagged[0]["to_seq"]);
        assert_eq!(from, &json!(last + 1));
        let to = to.as_u64().unwrap();
        assert_eq!(lagged[0]["dropped"], json!(to - last));
        let snapshot = of_type(&said, "snapshot")[0];
        assert_eq!(
            snapshot["seq"],
            json!(to),
            "nothing is missing between them"
        );
        assert_eq!(snapshot["chain"]["live_ltp"], 3_001.05);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_has_so_many_subscriptions_and_no_more() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let (mut client, _inbox) = open(&gateway).await;
        client.allow(2);
        for _ in 0..2 {
            client
                .subscribe_ticks(&tcs(Class::ALL[1]), |_, _| "{}".into())
                .await
                .unwrap();
        }
        let many = |error: Error| {
            assert!(
                matches!(error, Error::TooManySubscriptions { held: 2, most: 2 }),
                "{error}"
            );
        };
        let request = tcs(Class::ALL[1]);
        let ticks = client.subscribe_ticks(&request, |_, _| "{}".into());
        many(ticks.await.unwrap_err());
        many(
            client
                .subscribe_chain(&streamed(chain(3)), acked)
                .await
                .unwrap_err(),
        );
        // One that ends makes room, and a limit that was raised holds at once.
        client.unsubscribe(SubId(1), "{}".into()).await.unwrap();
        ask(&mut client, &streamed(chain(3))).await;
        client.allow(3);
        ask(&mut client, &streamed(chain(5))).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_chain_without_a_price_is_shown_as_is_moved_by_the_feed_alone() {
    with_gateway(async |gateway, broker| {
        let at = |rupees| {
            let price = Price::from_f64(rupees);
            streamed(ChainRequest { price, ..chain(3) })
        };
        let (mut first, shown) = open(&gateway).await;
        let (mut second, also) = open(&gateway).await;
        let (mut other, apart) = open(&gateway).await;
        let (mut known, mut theirs) = (Known::default(), Known::default());
        ask(&mut first, &at(3_000.0)).await;
        settle().await;
        known.take_all(&shown);
        assert_eq!(known.chain["atm_strike"], 3_000.0);
        let wire = broker.on_wire();

        // Somebody who says another price sees what is there, and moves nothing.
        ask(&mut second, &at(3_100.0)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(of_type(&waiting(&shown), "delta"), [] as [&Value; 0]);
        theirs.take_all(&also);
        assert_eq!(theirs, known);
        assert_eq!(broker.on_wire(), wire);
        // What does not follow is its own.
        let still = StreamChainRequest {
            follow: false,
            ..at(3_100.0)
        };
        ask(&mut other, &still).await;
        settle().await;
        let snapshot = waiting(&apart);
        let snapshot = of_type(&snapshot, "snapshot")[0];
        assert_eq!(snapshot["chain"]["atm_strike"], 3_100.0);

        // Also when the first has left.
        drop((first, shown));
        settle().await;
        let (mut third, inbox) = open(&gateway).await;
        ask(&mut third, &at(2_900.0)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(of_type(&waiting(&also), "delta"), [] as [&Value; 0]);
        let said = waiting(&inbox);
        assert_eq!(
            of_type(&said, "snapshot")[0]["chain"]["atm_strike"],
            3_000.0
        );
        // Until the feed has a price.
        broker.tick(SPOT, 2_940.0, gateway.clock().now().utc);
        tokio::time::sleep(Duration::from_millis(300)).await;
        theirs.take_all(&also);
        assert_eq!(theirs.chain["atm_strike"], 2_940.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_every_batch_only_small_chains_are_sent() {
    let run = Run {
        master: Rows::new()
            .equity(11_536, "TCS")
            .options(50_001, "OPTSTK", "TCS", "2026-02-24", (1_000, 4_000, 20))
            .load("2026-02-09"),
        ..Run::default()
    };
    run.with(async |gateway, _broker| {
        let (mut client, _inbox) = open(&gateway).await;
        let wide = |width, class| StreamChainRequest {
            class,
            ..streamed(ChainRequest {
                price: Price::from_f64(2_500.0),
                ..chain(width)
            })
        };
        let error = client
            .subscribe_chain(&wide(101, Class::BATCH), acked)
            .await;
        assert!(
            matches!(
                error,
                Err(Error::TooManyContracts {
                    contracts: 202,
                    most: 200
                })
            ),
            "{error:?}"
        );
        // The book of the tests has no room for these, but they are not refused as such.
        for small in [wide(99, Class::BATCH), wide(101, Class::ALL[1])] {
            let error = client.subscribe_chain(&small, acked).await;
            assert!(matches!(error, Err(Error::Capacity(_))), "{error:?}");
        }
    })
    .await;
    // A wide window of a short ladder is small.
    with_gateway(async |gateway, _broker| {
        let (mut client, _inbox) = open(&gateway).await;
        let request = StreamChainRequest {
            class: Class::BATCH,
            ..streamed(ChainRequest {
                price: Price::from_f64(3_000.0),
                ..chain(101)
            })
        };
        ask(&mut client, &request).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_the_order_of_the_questions() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let (mut client, inbox) = open(&gateway).await;
        for n in 0..20 {
            let sub = client
                .subscribe_ticks(&tcs(Class::ALL[1]), |_, _| {
                    json!({"n": 3 * n}).to_string().into()
                })
                .await
                .unwrap();
            assert!(client.answer(json!({"n": 3 * n + 1}).to_string().into()));
            let ack = json!({"n": 3 * n + 2}).to_string().into();
            client.unsubscribe(sub, ack).await.unwrap();
        }
        settle().await;
        let numbers: Vec<u64> = waiting(&inbox)
            .iter()
            .filter_map(|message| message["n"].as_u64())
            .collect();
        assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_of_a_window_says_so_and_when_it_was_received() {
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let (mut client, inbox) = open(&gateway).await;
        client
            .subscribe_ticks(&tcs(Class::ALL[3]), |_, _| "{}".into())
            .await
            .unwrap();
        settle().await;
        let first: Vec<Delivery> = core::iter::from_fn(|| inbox.try_next()).collect();
        assert!(first.iter().all(|next| next.class.is_none()));
        tokio::time::sleep(Duration::from_millis(600)).await;
        let at = gateway.clock().now().utc;
        broker.tick(SPOT, 3_001.0, at);
        tokio::time::sleep(Duration::from_millis(600)).await;
        let next = inbox.try_next().unwrap();
        assert_eq!(next.class, Some(Class::ALL[3]));
        let received = next.message.received().unwrap();
        assert!(received >= at && received.since(at) < Duration::from_millis(5));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stops_says_so_to_every_client() {
    let mut left = None;
    with_gateway(async |gateway, broker| {
        add_at_live_price(&gateway, &broker, 3_000.0, 3).await;
        let (mut client, inbox) = open(&gateway).await;
        let price = Price::from_f64(3_000.0);
        let request = ChainRequest { price, ..chain(3) };
        ask(&mut client, &streamed(request)).await;
        left = Some((client, inbox));
    })
    .await;
    let (client, inbox) = left.unwrap();
    assert_eq!(inbox.ended().await, StreamEnd::Stopping);
    assert!(!client.answer("{}".into()));
    let said = waiting(&inbox);
    assert_eq!(
        of_type(&said, "snapshot").len(),
        1,
        "what was ready is still there"
    );
    assert_eq!(inbox.next().await.unwrap_err(), StreamEnd::Stopping);
}
