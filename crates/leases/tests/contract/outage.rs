//! Redis goes away, comes back, with or without what it had, or loses answers.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use rand::prelude::*;
use rand_pcg::Pcg64Mcg;
use strikewire_leases::{Error, LeaseKey, Leases, RedisConfig, RedisLeases, Subscriber};
use tokio::task::JoinSet;

use crate::model::Model;
use crate::proxy::{Mood, Proxy};
use crate::redis_store::check;
use crate::server::{Server, config, raw};
use crate::suite::{compare, settings};
use crate::{at, keys, who};

/// The result of an operation that is asked for until there is one.
async fn again<T, F>(leases: &RedisLeases, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
        // Something did not get through, which the store has noticed: wait until it does.
        leases.health().wait_for(|it| it.up).await.unwrap();
    }
}

/// What is ready at once: nothing was waited for.
async fn at_once<T>(asked: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        answer = asked => answer,
        () = std::future::ready(()) => panic!("it waited"),
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("nobody.sock");
    let url = format!("redis+unix://{}?pass=hunter2", socket.display());
    let log = Log::default();
    let _guard = log.listen();
    let leases = RedisLeases::connect(config(&url, "p:"), settings())
        .await
        .unwrap();
    let health = *leases.health().borrow();
    assert_eq!((health.up, health.generation), (false, 0));
    let (me, rsi) = (who(7, "a"), keys(&["NIFTY:5min:RSI_14"]));
    let error = at_once(leases.subscribe(at(0), &me, None, &rsi))
        .await
        .unwrap_err();
    assert!(error.is_unavailable());
    assert!(at_once(leases.heartbeat(at(0), &me, &rsi)).await.is_err());
    assert!(at_once(leases.sweep(at(0))).await.is_err());
    assert!(at_once(leases.value(at(0), &rsi[0])).await.is_err());
    assert!(at_once(leases.sessions().peek("s")).await.is_err());
    for text in [
        format!("{leases:?}"),
        format!("{error} {error:?}"),
        log.text(),
        format!("{:?}", leases.sessions()),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("nobody.sock"), "{text}");
    }
}

#[tokio::test]
async fn a_password_is_used_and_never_shown() {
    let Some(server) = Server::start_with("a_password_is_used", Some("hunter2")) else {
        return;
    };
    let log = Log::default();
    let _guard = log.listen();
    let right = RedisLeases::connect(config(&server.url(), ""), settings())
        .await
        .unwrap();
    right.health().wait_for(|it| it.up).await.unwrap();
    assert_eq!(right.totals().await.unwrap().keys, 0);
    let wrong = server.url().replace("hunter2", "hunter3");
    let wrong = RedisLeases::connect(config(&wrong, ""), settings())
        .await
        .unwrap();
    assert!(!wrong.health().borrow().up);
    let error = wrong.totals().await.unwrap_err();
    for text in [
        format!("{wrong:?} {right:?}"),
        format!("{error} {error:?}"),
        log.text(),
    ] {
        assert!(!text.contains("hunter"), "{text}");
    }
    assert!(log.text().contains("redis cannot be reached"));
}

/// Whoever sees the same number knows that what is not there was taken away by somebody.
#[tokio::test]
async fn data_that_was_removed_is_noticed_and_a_new_connection_is_no_loss() {
    let Some(server) = Server::start("data_that_was_removed") else {
        return;
    };
    let leases = RedisLeases::connect(config(&server.url(), ""), settings())
        .await
        .unwrap();
    let other = RedisLeases::connect(config(&server.url(), ""), settings())
        .await
        .unwrap();
    let mut health = leases.health();
    let first = *health.wait_for(|it| it.up).await.unwrap();
    let same = *other.health().wait_for(|it| it.up).await.unwrap();
    assert_eq!(same.data, first.data);
    let mut raw = raw(&server.url()).await;
    let kill = redis::cmd("CLIENT")
        .arg("KILL")
        .arg("TYPE")
        .arg("normal")
        .to_owned();
    kill.exec_async(&mut raw).await.unwrap();
    let again = |it: &strikewire_leases::Health| it.up && it.generation > first.generation;
    let second = *health.wait_for(again).await.unwrap();
    assert_eq!(second.data, first.data);
    redis::cmd("FLUSHALL").exec_async(&mut raw).await.unwrap();
    let emptied = |it: &strikewire_leases::Health| it.up && it.data != second.data;
    let third = *health.wait_for(emptied).await.unwrap();
    assert!(third.generation > second.generation);
    // Each node notices, though another one has written the mark anew.
    let mut health = other.health();
    health
        .wait_for(|it| it.up && it.data == third.data)
        .await
        .unwrap();
}

#[tokio::test]
async fn one_call_waits_and_the_others_know() {
    let Some(server) = Server::start("one_call_waits") else {
        return;
    };
    let proxy = Proxy::before(server.socket()).await;
    let config = RedisConfig {
        timeout: Duration::from_millis(100),
        ..config(&proxy.url, "")
    };
    let leases = RedisLeases::connect(config, settings()).await.unwrap();
    let mut health = leases.health();
    health.wait_for(|it| it.up).await.unwrap();
    let (me, rsi) = (who(7, "a"), keys(&["NIFTY:5min:RSI_14"]));
    proxy.be(Mood::Swallow);
    let error = leases.subscribe(at(0), &me, None, &rsi).await.unwrap_err();
    assert!(
        error.to_string().contains("no answer within 100ms"),
        "{error}"
    );
    assert!(!health.borrow().up);
    assert!(
        at_once(leases.subscribe(at(0), &me, None, &rsi))
            .await
            .is_err()
    );
    proxy.be(Mood::Kind);
    proxy.cut();
    health.wait_for(|it| it.up).await.unwrap();
    assert_eq!(health.borrow().generation, 2);
    // The first one had been done all the same.
    let leased = leases.subscribe(at(0), &me, None, &rsi).await.unwrap()[0];
    assert_eq!((leased.is_new, leased.ref_count), (false, 1));
}

/// Somebody holds some keys, whatever becomes of the answers.
async fn live(
    leases: Arc<RedisLeases>,
    all: Arc<Vec<LeaseKey>>,
    user: u64,
    steps: usize,
) -> (Subscriber, BTreeSet<LeaseKey>) {
    let mut random = Pcg64Mcg::seed_from_u64(user);
    let me = who(user, "s");
    let mut held = BTreeSet::new();
    for _ in 0..steps {
        let key = all.choose(&mut random).unwrap();
        let one = std::slice::from_ref(key);
        if random.random_bool(0.6) {
            again(&leases, || leases.subscribe(at(0), &me, None, one)).await;
            held.insert(key.clone());
        } else {
            again(&leases, || leases.unsubscribe(&me, one)).await;
            held.remove(key);
        }
    }
    (me, held)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_do_not_count_twice() {
    let Some(server) = Server::start("lost_answers_do_not_count_twice") else {
        return;
    };
    let proxy = Proxy::before(server.socket()).await;
    let config = RedisConfig {
        timeout: Duration::from_millis(150),
        ..config(&proxy.url, "lost:")
    };
    let leases = Arc::new(RedisLeases::connect(config, settings()).await.unwrap());
    let all = Arc::new(keys(&[
        "NIFTY:5min:RSI_14",
        "NIFTY:1min:RSI_14",
        "ITC:5min:RSI_14",
    ]));
    let mut tasks = JoinSet::new();
    for user in 0..100 {
        tasks.spawn(live(Arc::clone(&leases), Arc::clone(&all), user, 40));
    }
    let mut health = leases.health();
    for round in 0..12 {
        health.wait_for(|it| it.up).await.unwrap();
        let lost = proxy.lost();
        proxy.be(if round % 2 == 0 {
            Mood::Cut
        } else {
            Mood::Swallow
        });
        // Until it has hit somebody, the probe when nobody else.
        health.wait_for(|it| !it.up).await.unwrap();
        assert!(proxy.lost() > lost);
        proxy.be(Mood::Kind);
        proxy.cut();
    }
    let mut model = Model::default();
    for (me, held) in tasks.join_all().await {
        for key in held {
            model.subscribe(at(0), &me, None, &key);
        }
    }
    again(&leases, || leases.totals()).await;
    compare(leases.as_ref(), &model, &all).await;
    assert!(health.borrow().generation >= 12);
    check(&raw(&server.url()).await, "lost:").await;
}

/// The server is killed in the middle of things and started again, `saved`: with what it had.
async fn restarted(test: &str, saved: bool) {
    let Some(mut server) = Server::start(test) else {
        return;
    };
    let url = server.url();
    let leases = Arc::new(
        RedisLeases::connect(config(&url, "r:"), settings())
            .await
            .unwrap(),
    );
    let mut health = leases.health();
    health.wait_for(|it| it.up).await.unwrap();
    let all = Arc::new(keys(&[
        "NIFTY:5min:RSI_14",
        "NIFTY:1min:RSI_14",
        "ITC:5min:RSI_14",
    ]));
    let mut model = Model::default();
    let mut truth = Vec::new();
    for round in 0..3 {
        let mut tasks = JoinSet::new();
        for user in 0..100 {
            tasks.spawn(live(
                Arc::clone(&leases),
                Arc::clone(&all),
                1_000 * round + user,
                10,
            ));
        }
        if saved {
            // What is acknowledged from here on is lost.
            let mut raw = raw(&url).await;
            let _: () = redis::cmd("SAVE").query_async(&mut raw).await.unwrap();
        }
        server.kill();
        let generation = health.borrow().generation;
        health
            .wait_for(|it| !it.up || it.generation > generation)
            .await
            .unwrap();
        assert!(at_once(leases.totals()).await.is_err());
        if !saved {
            let _ = std::fs::remove_file(server.socket().with_file_name("dump.rdb"));
        }
        server.run();
        truth.extend(tasks.join_all().await);
        assert!(health.borrow().generation > generation);
    }
    // Each says what it holds, as its node would, and lets go of what it does not.
    for (me, held) in &truth {
        let has: Vec<_> = held.iter().cloned().collect();
        let not: Vec<_> = all
            .iter()
            .filter(|key| !held.contains(*key))
            .cloned()
            .collect();
        again(&leases, || leases.subscribe(at(0), me, None, &has)).await;
        again(&leases, || leases.unsubscribe(me, &not)).await;
        for key in held {
            model.subscribe(at(0), me, None, key);
        }
    }
    compare(leases.as_ref(), &model, &all).await;
    check(&raw(&url).await, "r:").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_everything_is_told_again() {
    restarted("a_server_that_lost_everything", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_kept_something_is_told_the_rest() {
    restarted("a_server_that_kept_something", true).await;
}

/// A server that takes nothing is as good as none.
#[tokio::test]
async fn a_server_that_takes_nothing_is_away() {
    let Some(server) = Server::start("a_server_that_takes_nothing") else {
        return;
    };
    let leases = RedisLeases::connect(config(&server.url(), ""), settings())
        .await
        .unwrap();
    let mut health = leases.health();
    health.wait_for(|it| it.up).await.unwrap();
    let (me, rsi) = (who(7, "a"), keys(&["NIFTY:5min:RSI_14"]));
    leases.subscribe(at(0), &me, None, &rsi).await.unwrap();
    let mut raw = raw(&server.url()).await;
    for (spoil, mend) in [
        // Of a primary that is nowhere.
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        (
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
        ),
    ] {
        let tell = |text: &str| {
            let mut words = text.split(' ');
            let mut command = redis::cmd(words.next().unwrap());
            for word in words {
                command.arg(word);
            }
            command
        };
        tell(spoil).exec_async(&mut raw).await.unwrap();
        let other = who(8, "b");
        let error = leases
            .subscribe(at(0), &other, None, &rsi)
            .await
            .unwrap_err();
        assert!(error.is_unavailable(), "{spoil}: {error}");
        assert!(!health.borrow_and_update().up);
        tell(mend).exec_async(&mut raw).await.unwrap();
        health.wait_for(|it| it.up).await.unwrap();
        let leased = leases.subscribe(at(0), &me, None, &rsi).await.unwrap()[0];
        assert_eq!(leased.ref_count, 1);
    }
}

/// What is logged on this thread.
#[derive(Debug, Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
