//! A database that fails: nothing is lost silently, nothing is reordered.

use std::time::Duration;

use jiff::civil::Date;
use sqlx::Connection as _;
use strikewire_store::{Action, AuditQuery, Change, Item, ItemState, List, Outcome, Seq};

use crate::common::{DEADLINE, Db, at, item, on_both, record};

on_both!(
    a_failing_table_is_reported_and_caught_up,
    a_group_is_kept_as_a_whole_or_not_at_all,
    an_end_of_day_is_one_transaction,
    the_writer_gives_up_at_the_end,
    a_failing_audit_does_not_stop_changes,
    a_lock_of_somebody_else_is_not_waited_for_long,
    the_rest_is_written_when_the_recorder_goes,
    an_idle_connection_that_was_lost_is_replaced,
);

fn put(item: &Item) -> Change {
    Change::Put(Box::new(item.clone()))
}

fn evict(id: u64) -> Change {
    Change::State {
        list: List::Watchlist,
        id,
        state: ItemState::Evicted,
    }
}

async fn break_all(db: &Db) {
    db.break_table("watchlist", None).await;
    // What a probe writes when nothing is owed.
    db.break_table("meta", None).await;
}

async fn mend_all(db: &Db) {
    db.mend_table("meta").await;
    db.mend_table("watchlist").await;
}

fn is_fire(reason: &str) -> bool {
    reason.contains("the disk is on fire")
}

async fn a_failing_table_is_reported_and_caught_up(db: Db) {
    let mut running = db.start().await;
    let first = item(1, List::Watchlist, "ITC");
    let last = running.recorder.ask(put(&first));
    running.recorder.commit();
    running.durable(last).await;

    break_all(&db).await;
    let must = running.recorder.must(evict(1));
    let ask = running.recorder.ask(put(&item(2, List::Watchlist, "TCS")));
    running.recorder.commit();
    let Outcome::Failed { up_to, reason } = running.outcome().await else {
        panic!("the ask fails first");
    };
    assert!(must < ask && up_to == ask && is_fire(&reason), "{reason}");
    let Outcome::Down { reason } = running.outcome().await else {
        panic!("then it is down");
    };
    assert!(is_fire(&reason), "{reason}");
    assert!(running.recorder.stats().failing());

    // Asks fail without a try; what happened is kept, and in its order.
    let mut wide = first.clone();
    wide.width = Some(51);
    running.recorder.must(put(&wide));
    let refused = running.recorder.ask(put(&item(3, List::Watchlist, "SBIN")));
    running.recorder.commit();
    let Outcome::Failed { up_to, .. } = running.outcome().await else {
        panic!("the ask fails at once");
    };
    assert_eq!(up_to, refused);
    let last = running.recorder.must(evict(1));
    running.recorder.commit();
    assert_eq!(db.recover().await.items, [first]);

    mend_all(&db).await;
    // Asks that came before it was up fail, and nothing else is said but this.
    let Outcome::Durable(up_to) = running.outcome().await else {
        panic!("what is owed is written");
    };
    assert_eq!(up_to, last);
    assert_eq!(running.outcome().await, Outcome::Up);
    assert!(!running.recorder.stats().failing());
    wide.state = ItemState::Evicted;
    assert_eq!(db.recover().await.items, [wide.clone()]);

    let fourth = item(4, List::Watchlist, "INFY");
    let last = running.recorder.ask(put(&fourth));
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    assert_eq!(db.recover().await.items, [wide, fourth]);
}

async fn a_group_is_kept_as_a_whole_or_not_at_all(db: Db) {
    let mut running = db.start().await;
    db.break_table("watchlist", Some("NEW.symbol = 'BAD'"))
        .await;
    running.recorder.ask(put(&item(1, List::Watchlist, "GOOD")));
    running.recorder.ask(put(&item(2, List::Explicit, "GOOD")));
    let bad = running.recorder.ask(put(&item(3, List::Watchlist, "BAD")));
    running.recorder.commit();
    let Outcome::Failed { up_to, .. } = running.outcome().await else {
        panic!("the group fails");
    };
    assert_eq!(up_to, bad);
    assert!(matches!(running.outcome().await, Outcome::Down { .. }));
    // Nothing is owed, so the probe writes.
    assert_eq!(running.outcome().await, Outcome::Up);
    assert_eq!(db.recover().await.items, []);
    assert_eq!(db.recover().await.last_item, 0);

    // What is not committed is not sent.
    running.recorder.ask(put(&item(4, List::Watchlist, "GOOD")));
    running.stop().await;
    assert_eq!(db.recover().await.items, []);
}

async fn an_end_of_day_is_one_transaction(db: Db) {
    let mut running = db.start().await;
    let one = item(1, List::Watchlist, "ITC");
    let last = running.recorder.ask(put(&one));
    running.recorder.commit();
    running.durable(last).await;

    db.break_table("eod_markers", None).await;
    let day = Date::constant(2026, 2, 9);
    let last = running.recorder.must(Change::EndOfDay {
        class: "NSE_FNO",
        day,
        at: at(0),
        removed: vec![(List::Watchlist, 1)],
    });
    running.recorder.commit();
    assert!(matches!(running.outcome().await, Outcome::Down { .. }));
    let recovered = db.recover().await;
    assert_eq!((recovered.items, recovered.ended), (vec![one], Vec::new()));

    db.mend_table("eod_markers").await;
    assert_eq!(running.outcome().await, Outcome::Durable(last));
    assert_eq!(running.outcome().await, Outcome::Up);
    running.stop().await;
    let recovered = db.recover().await;
    assert_eq!(recovered.items, []);
    assert_eq!(recovered.ended, [("NSE_FNO".to_owned(), day)]);
}

async fn the_writer_gives_up_at_the_end(db: Db) {
    let mut options = db.options();
    options.flush_limit = Duration::from_millis(300);
    let mut running = db.start_with(options).await;
    break_all(&db).await;
    running.recorder.must(put(&item(1, List::Watchlist, "ITC")));
    running.recorder.commit();
    assert!(matches!(running.outcome().await, Outcome::Down { .. }));
    // That it ends at all, which the deadline of `stop` checks, and with nothing kept.
    running.stop().await;
    mend_all(&db).await;
    assert_eq!(db.recover().await.items, []);
}

async fn a_failing_audit_does_not_stop_changes(db: Db) {
    let mut options = db.options();
    options.audit_queue = 5;
    let mut running = db.start_with(options).await;
    db.break_table("subscription_log", None).await;
    running.recorder.audit(record(Action::Subscribe, "A", 0));
    let stats = running.recorder.stats();
    let begun = tokio::time::Instant::now();
    while !stats.failing() {
        assert!(begun.elapsed() < DEADLINE);
        tokio::task::yield_now().await;
    }
    // One record is in the writer's hands, five wait, the others are dropped.
    for second in 1..=15 {
        running.recorder.audit(record(Action::Move, "A", second));
    }
    assert_eq!(stats.dropped(), 10);
    assert_eq!(stats.behind_queue(), 6);
    let kept = item(1, List::Watchlist, "ITC");
    let last = running.recorder.ask(put(&kept));
    running.recorder.commit();
    running.durable(last).await;
    assert!(!stats.lag().is_zero());

    db.mend_table("subscription_log").await;
    let (_, reader) = running.stop().await;
    assert!(!stats.failing());
    assert_eq!((stats.behind_queue(), stats.lag_ms()), (0, 0));
    let query = AuditQuery {
        limit: 100,
        ..AuditQuery::default()
    };
    let mut rows = reader.audit(&query).await.unwrap().items;
    rows.reverse();
    let found: Vec<(Action, i64)> = rows
        .iter()
        .map(|row| (row.record.action, row.record.at.as_seconds()))
        .collect();
    let second = |second: i64| at(second).as_seconds();
    let mut expected = vec![(Action::Subscribe, second(0)), (Action::Gap, second(10))];
    expected.extend((11..=15).map(|n| (Action::Move, second(n))));
    assert_eq!(found, expected);
    assert_eq!(
        &*rows[1].record.reason,
        "10 records from 2026-02-09T10:00:01.000+05:30 to 2026-02-09T10:00:10.000+05:30 are \
         missing: too many waited to be written"
    );
    assert_eq!(db.recover().await.items, [kept]);
}

async fn a_lock_of_somebody_else_is_not_waited_for_long(db: Db) {
    let mut running = db.start().await;
    let last = running.recorder.ask(put(&item(1, List::Watchlist, "ITC")));
    running.recorder.commit();
    running.durable(last).await;
    let (mut file, mut server) = (None, None);
    if db.is_sqlite {
        let mut other = db.sqlite().await;
        sqlx::raw_sql("BEGIN IMMEDIATE")
            .execute(&mut other)
            .await
            .unwrap();
        file = Some(other);
    } else {
        let mut other = db.postgres().await;
        sqlx::raw_sql("BEGIN; LOCK TABLE watchlist IN EXCLUSIVE MODE")
            .execute(&mut other)
            .await
            .unwrap();
        server = Some(other);
    }
    let ask = running.recorder.ask(put(&item(2, List::Watchlist, "TCS")));
    running.recorder.commit();
    let Outcome::Failed { up_to, .. } = running.outcome().await else {
        panic!("the ask fails");
    };
    assert_eq!(up_to, ask);
    assert!(matches!(running.outcome().await, Outcome::Down { .. }));
    if let Some(other) = file {
        other.close().await.unwrap();
    }
    if let Some(other) = server {
        other.close().await.unwrap();
    }
    assert_eq!(running.outcome().await, Outcome::Up);
    let last = running.recorder.ask(put(&item(3, List::Watchlist, "SBIN")));
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    let ids: Vec<u64> = db.recover().await.items.iter().map(|i| i.id).collect();
    assert_eq!(ids, [1, 3]);
}

async fn the_rest_is_written_when_the_recorder_goes(db: Db) {
    let mut running = db.start().await;
    for id in 1..=50 {
        running
            .recorder
            .ask(put(&item(id, List::Watchlist, &format!("S{id}"))));
        running.recorder.commit();
    }
    for second in 0..5_000 {
        running.recorder.audit(record(Action::Move, "A", second));
    }
    let (mut outcomes, reader) = running.stop().await;
    let mut last = None;
    while let Ok(outcome) = outcomes.try_recv() {
        last = Some(outcome);
    }
    assert_eq!(last, Some(Outcome::Durable(Seq(50))));
    assert_eq!(db.recover().await.items.len(), 50);
    let query = AuditQuery {
        limit: 10_000,
        ..AuditQuery::default()
    };
    assert_eq!(reader.audit(&query).await.unwrap().items.len(), 5_000);
}

async fn an_idle_connection_that_was_lost_is_replaced(db: Db) {
    if db.is_sqlite {
        // A file has no connection that can be lost.
        return;
    }
    let mut running = db.start().await;
    let last = running.recorder.ask(put(&item(1, List::Watchlist, "ITC")));
    running.recorder.commit();
    running.durable(last).await;
    let schema = db.url.rsplit('=').next().unwrap();
    let ended = db
        .texts(&format!(
            "SELECT pg_terminate_backend(pid, 5000)::text FROM pg_stat_activity \
             WHERE application_name = '{schema}'"
        ))
        .await;
    assert!(!ended.is_empty() && ended.iter().all(|ended| ended == "true"));
    let last = running.recorder.ask(put(&item(2, List::Watchlist, "TCS")));
    running.recorder.commit();
    // `durable` accepts nothing else on the way.
    running.durable(last).await;
    running.stop().await;
    assert_eq!(db.recover().await.items.len(), 2);
}
