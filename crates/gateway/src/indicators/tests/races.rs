//! Everything at once, with a store that fails.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_leases::{LeaseKey, Subscriber};

use super::fake::{Node, Server, key, want, who};
use crate::IndicatorWant;

/// What should be held on a node by what it was asked, in the order in which it was asked:
/// plain sets, without counts or indexes.
#[derive(Debug, Default)]
struct Model {
    holds: BTreeSet<(Subscriber, LeaseKey, Option<String>)>,
}

impl Model {
    fn held(&self) -> BTreeSet<(Subscriber, LeaseKey)> {
        let holds = self.holds.iter();
        holds
            .map(|(who, key, _)| (who.clone(), key.clone()))
            .collect()
    }
}

/// How often each thing happened, over all seeds.
type Seen = BTreeMap<&'static str, u32>;

#[test]
fn the_count_never_drifts_from_the_truth() {
    let mut seen = Seen::new();
    for seed in 0..60 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(seed, &mut seen));
    }
    for what in [
        "subscribed",
        "unsubscribed",
        "beaten",
        "socket",
        "held",
        "session",
        "dropped",
        "down",
        "up",
        "forgot",
        "troubled",
    ] {
        assert!(
            seen.get(what).is_some_and(|count| *count > 20),
            "{what}: {seen:?}"
        );
    }
}

async fn play(seed: u64, seen: &mut Seen) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let server = Server::new();
    let nodes = [Node::on(&server, seed), Node::on(&server, !seed)];
    let mut models = [Model::default(), Model::default()];
    let wants: Vec<IndicatorWant> = (2..6)
        .map(|n| want(&format!("NIFTY 5min SMA_{n}")))
        .collect();
    let key_of = |want: &IndicatorWant| key(&format!("NIFTY 5min {}", want.indicator));
    let mut next_socket = 0;
    let mut tasks = Vec::new();
    for _ in 0..150 {
        let at = rng.random_range(0..2);
        let (node, model) = (&nodes[at], &mut models[at]);
        // Each node has its own: what nodes do to each other is another matter.
        let user = rng.random_range(0..3) * 2 + at as u64;
        let me = who(user, ["a", "b"].choose(&mut rng).unwrap());
        let some: Vec<IndicatorWant> = {
            let count = rng.random_range(1..=3);
            wants.choose_multiple(&mut rng, count).cloned().collect()
        };
        let keys: Vec<LeaseKey> = some.iter().map(key_of).collect();
        let it = node.indicators.clone();
        let mut note = |what| *seen.entry(what).or_default() += 1;
        match rng.random_range(0..100) {
            0..30 => {
                note("subscribed");
                let socket = rng.random_bool(0.6).then(|| {
                    next_socket += u32::from(rng.random_bool(0.5));
                    format!("{at}-{next_socket}")
                });
                for key in keys {
                    model.holds.insert((me.clone(), key, socket.clone()));
                }
                let drop_after = rng.random_bool(0.2).then(|| rng.random_range(1..40));
                let asked = async move { it.subscribe(&me, socket.as_deref(), &some).await };
                tasks.push(match drop_after {
                    None => begin(async { assert!(asked.await.is_ok()) }).await,
                    // Whoever asks goes away in the middle: it is done all the same.
                    Some(ms) => {
                        note("dropped");
                        let limit = Duration::from_millis(ms);
                        begin(async move {
                            let _ = tokio::time::timeout(limit, asked).await;
                        })
                        .await
                    }
                });
            }
            30..45 => {
                note("unsubscribed");
                model
                    .holds
                    .retain(|(who, key, _)| *who != me || !keys.contains(key));
                tasks.push(
                    begin(async move { assert!(it.unsubscribe(&me, &some).await.is_ok()) }).await,
                );
            }
            45..60 => {
                note("beaten");
                let holds: Vec<bool> = {
                    let held = model.held();
                    let pairs = keys.iter().map(|key| (me.clone(), key.clone()));
                    pairs.map(|pair| held.contains(&pair)).collect()
                };
                tasks.push(
                    begin(async move {
                        let alive = it.heartbeat(&me, &some).await.unwrap();
                        assert_eq!(alive, holds, "seed {seed}: {me} {some:?}");
                    })
                    .await,
                );
            }
            60..70 => {
                let socket = format!("{at}-{}", rng.random_range(0..=next_socket));
                note("socket");
                model
                    .holds
                    .retain(|(_, _, by)| by.as_ref() != Some(&socket));
                it.release_socket(&socket);
            }
            70..77 => {
                note("held");
                let socket = format!("{at}-{}", rng.random_range(0..=next_socket));
                model.holds.retain(|(who, key, by)| {
                    *who != me || by.as_ref() != Some(&socket) || !keys.contains(key)
                });
                tasks.push(begin(async move { it.release_held(&me, &socket, &keys).await }).await);
            }
            77..82 => {
                note("session");
                model.holds.retain(|(who, ..)| *who != me);
                tasks.push(
                    begin(async move {
                        let ended = it.release_session(&me.session, Some(me.user)).await;
                        assert!(ended.is_ok());
                    })
                    .await,
                );
            }
            82..86 => {
                note("down");
                node.link().down();
            }
            86..92 => {
                note("up");
                node.link().up();
            }
            92..93 => {
                note("forgot");
                server.forget();
                // A restart ends every connection.
                for node in &nodes {
                    if node.link().is_up() {
                        node.link().up();
                    }
                }
            }
            93..96 => {
                note("troubled");
                let slow = Duration::from_millis(rng.random_range(0..50));
                node.link()
                    .trouble(slow, rng.random_range(0..30), rng.random_range(0..30));
            }
            _ => tokio::time::sleep(Duration::from_millis(rng.random_range(0..200))).await,
        }
    }
    for node in &nodes {
        node.link().trouble(Duration::ZERO, 0, 0);
        node.link().up();
    }
    for task in tasks {
        task.await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    for (node, model) in nodes.iter().zip(&models) {
        assert_eq!(node.held(), model.held(), "seed {seed}");
        node.check().await;
    }
    let truth: BTreeSet<_> = models.iter().flat_map(Model::held).collect();
    assert_eq!(server.all().await, truth, "seed {seed}");
    for (me, _) in truth {
        for node in &nodes {
            node.indicators
                .release_session(&me.session, None)
                .await
                .unwrap();
        }
    }
    assert!(server.leases().is_empty());
    // The other node's are seen with the next sweep.
    tokio::time::sleep(Duration::from_secs(130)).await;
    for node in &nodes {
        assert!(node.is_clean(), "seed {seed}");
    }
}

/// Begins something that goes on by itself: it has taken its place in the order of requests
/// when this returns.
async fn begin(work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    let mut work = Box::pin(work);
    let done = core::future::poll_fn(|context| {
        core::task::Poll::Ready(work.as_mut().poll(context).is_ready())
    })
    .await;
    tokio::spawn(async move {
        if !done {
            work.await;
        }
    })
}
