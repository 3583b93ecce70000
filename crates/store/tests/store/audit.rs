//! The audit against plain vectors.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use std::time::Duration;
use strikewire_store::{
    Action, AuditPage, AuditQuery, AuditRecord, AuditRow, Cursor, Error, Reader, Store,
};
use strikewire_types::Utc;
use tokio::sync::mpsc::unbounded_channel;

use crate::common::{DEADLINE, Db, Running, at, on_both, record};

on_both!(
    pages_neither_skip_nor_repeat,
    what_was_subscribed_then,
    conditions_are_a_filter,
    too_many_leave_a_gap,
    old_records_go_but_the_last_of_each_token,
    a_cursor_of_another_query_is_refused,
);

const TOKENS: [&str; 6] = [
    "NIFTY",
    "M&M",
    "BSE:RELIANCE_26FEB2026_1440CE",
    "ITC_24FEB2026_312.5PE",
    "bank",
    "_",
];

fn random_record(random: &mut Pcg64, seconds: i64) -> AuditRecord {
    let action = Action::ALL.choose(random).unwrap();
    let token = TOKENS.choose(random).unwrap();
    record(*action, token, seconds)
}

/// Appends the records and waits until they are there.
async fn append(db: &Db, records: &[AuditRecord]) {
    let mut running = db.start().await;
    for record in records {
        running.recorder.audit(record.clone());
    }
    running.stop().await;
}

fn records(rows: &[AuditRow]) -> Vec<AuditRecord> {
    rows.iter().map(|row| row.record.clone()).collect()
}

/// Every page of a query, the cursor taken through its text.
async fn all_pages(reader: &Reader, mut query: AuditQuery) -> Vec<AuditRecord> {
    let mut found = Vec::new();
    loop {
        let page = reader.audit(&query).await.unwrap();
        assert!(page.items.len() <= query.limit);
        found.extend(records(&page.items));
        let Some(next) = page.next else {
            break found;
        };
        assert_eq!(page.items.len(), query.limit);
        query.cursor = Some(next.to_string().parse().unwrap());
    }
}

async fn pages_neither_skip_nor_repeat(db: Db) {
    let mut random = Pcg64::seed_from_u64(1);
    let mut model: Vec<AuditRecord> = Vec::new();
    let mut seconds = 0;
    let mut more = |random: &mut Pcg64, count: usize| -> Vec<AuditRecord> {
        (0..count)
            .map(|_| {
                seconds += random.random_range(0..3);
                random_record(random, seconds)
            })
            .collect()
    };
    let first = more(&mut random, 400);
    append(&db, &first).await;
    model.extend(first);

    for _ in 0..6 {
        let limit = random.random_range(1..150);
        let mut query = AuditQuery {
            token: random.random_bool(0.5).then(|| "M&M".to_owned()),
            limit,
            ..AuditQuery::default()
        };
        let wanted = query.token.clone();
        let mut expected: Vec<AuditRecord> = model
            .iter()
            .filter(|r| wanted.as_deref().is_none_or(|token| *r.token == *token))
            .cloned()
            .collect();
        expected.reverse();

        let running = db.start().await;
        let reader = running.reader.clone();
        running.stop().await;
        let mut found = Vec::new();
        loop {
            let page: AuditPage = reader.audit(&query).await.unwrap();
            found.extend(records(&page.items));
            let Some(next) = page.next else {
                break;
            };
            query.cursor = Some(next);
            // Between two pages, rows are written.
            let count = random.random_range(0..20);
            let new = more(&mut random, count);
            append(&db, &new).await;
            model.extend(new);
        }
        assert_eq!(found, expected, "limit {limit}");
    }
}

/// By plain replay: the last telling record of each token, if it subscribes.
fn subscribed_then(model: &[AuditRecord], then: Utc) -> Vec<AuditRecord> {
    let mut tokens = TOKENS.to_vec();
    tokens.sort_unstable();
    tokens
        .into_iter()
        .filter_map(|token| {
            let mut last = None;
            for record in model {
                let tells = record.action.subscribes().is_some();
                if *record.token == *token && record.at <= then && tells {
                    last = Some(record);
                }
            }
            last.filter(|record| record.action.subscribes() == Some(true))
                .cloned()
        })
        .collect()
}

async fn what_was_subscribed_then(db: Db) {
    let mut random = Pcg64::seed_from_u64(2);
    let mut seconds = 0;
    let model: Vec<AuditRecord> = (0..200)
        .map(|_| {
            seconds += random.random_range(0..4);
            random_record(&mut random, seconds)
        })
        .collect();
    append(&db, &model).await;
    let running = db.start().await;
    let mut sizes = std::collections::BTreeSet::new();
    for second in -1..=seconds + 1 {
        let then = at(second);
        let expected = subscribed_then(&model, then);
        sizes.insert(expected.len());
        let query = AuditQuery {
            as_of: Some(then),
            limit: random.random_range(1..5),
            ..AuditQuery::default()
        };
        let found = all_pages(&running.reader, query).await;
        assert_eq!(found, expected, "second {second}");
        let page = running.reader.subscribed_at(then, 100, None).await.unwrap();
        assert_eq!(records(&page.items), expected);
        assert_eq!(page.next, None);
    }
    assert!(sizes.len() > 3, "{sizes:?}");
    running.stop().await;
}

async fn conditions_are_a_filter(db: Db) {
    let mut random = Pcg64::seed_from_u64(3);
    let model: Vec<AuditRecord> = (0..300).map(|n| random_record(&mut random, n)).collect();
    append(&db, &model).await;
    let running = db.start().await;
    for _ in 0..60 {
        let token = TOKENS.choose(&mut random).filter(|_| random.random());
        let action = Action::ALL.choose(&mut random).filter(|_| random.random());
        let since = random
            .random::<bool>()
            .then(|| at(random.random_range(0..300)));
        let as_of = random
            .random::<bool>()
            .then(|| at(random.random_range(0..300)));
        let base = as_of.map_or_else(
            || model.iter().rev().cloned().collect(),
            |then| subscribed_then(&model, then),
        );
        let expected: Vec<AuditRecord> = base
            .into_iter()
            .filter(|r| token.is_none_or(|token| *r.token == **token))
            .filter(|r| action.is_none_or(|action| r.action == *action))
            .filter(|r| since.is_none_or(|since| r.at >= since))
            .collect();
        let query = AuditQuery {
            token: token.map(|token| (*token).to_owned()),
            action: action.copied(),
            since,
            as_of,
            limit: random.random_range(1..40),
            cursor: None,
        };
        let found = all_pages(&running.reader, query.clone()).await;
        assert_eq!(found, expected, "{query:?}");
    }
    running.stop().await;
}

async fn too_many_leave_a_gap(db: Db) {
    let mut options = db.options();
    options.audit_queue = 100;
    let store = Store::open(&options).await.unwrap();
    let reader = store.reader();
    let (sender, _outcomes) = unbounded_channel();
    let (mut recorder, writer) = store.start(sender);
    // The writer does not run yet.
    let all: Vec<AuditRecord> = (0..350).map(|n| record(Action::Move, "NIFTY", n)).collect();
    for record in &all {
        recorder.audit(record.clone());
    }
    assert_eq!(recorder.stats().dropped(), 250);
    assert_eq!(recorder.stats().behind_queue(), 100);
    drop(recorder);
    writer.run().await;
    let query = AuditQuery {
        limit: 1_000,
        ..AuditQuery::default()
    };
    let mut found = records(&reader.audit(&query).await.unwrap().items);
    found.reverse();
    let gap = found.remove(0);
    assert_eq!(
        (gap.action, &*gap.token, gap.at),
        (Action::Gap, "", at(249))
    );
    assert!(
        gap.reason
            .starts_with("250 records from 2026-02-09T10:00:00")
    );
    assert_eq!(found, all[250..]);
}

/// Waits until the audit has the expected number of records; those.
async fn until_count(db: &Db, running: &Running, count: usize) -> Vec<AuditRecord> {
    let begun = tokio::time::Instant::now();
    loop {
        let found = db
            .texts("SELECT CAST(COUNT(*) AS TEXT) FROM subscription_log")
            .await;
        if found == [count.to_string()] {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{found:?} of {count}");
        tokio::task::yield_now().await;
    }
    let query = AuditQuery {
        limit: 100_000,
        ..AuditQuery::default()
    };
    let mut found = records(&running.reader.audit(&query).await.unwrap().items);
    found.reverse();
    found
}

async fn old_records_go_but_the_last_of_each_token(db: Db) {
    let mut random = Pcg64::seed_from_u64(4);
    // A record a second for longer than one step of pruning takes.
    let model: Vec<AuditRecord> = (0..7_000)
        .map(|second| random_record(&mut random, second))
        .collect();
    append(&db, &model).await;
    let mut options = db.options();
    options.retention = Duration::from_secs(1_000);
    let mut running = db.start_with(options).await;
    let last = record(Action::Move, "new", 7_000);
    running.recorder.audit(last.clone());

    let cutoff = at(6_000);
    let mut expected: Vec<AuditRecord> = Vec::new();
    for (index, record) in model.iter().enumerate() {
        let later: Vec<&AuditRecord> = model[index + 1..]
            .iter()
            .filter(|later| later.token == record.token && later.at < cutoff)
            .collect();
        let is_last = later.is_empty();
        let tells = |record: &AuditRecord| record.action.subscribes().is_some();
        let is_last_telling = tells(record) && !later.iter().any(|later| tells(later));
        if record.at >= cutoff || is_last || is_last_telling {
            expected.push(record.clone());
        }
    }
    expected.push(last);
    assert!((1_006..=1_013).contains(&expected.len()));
    assert_eq!(until_count(&db, &running, expected.len()).await, expected);

    // What was subscribed at any time since the cutoff is still told.
    for second in [6_000, 6_003, 6_500, 7_000] {
        let page = running.reader.subscribed_at(at(second), 100, None).await;
        assert_eq!(
            records(&page.unwrap().items),
            subscribed_then(&model, at(second))
        );
    }

    // Nothing more goes until an hour of the records has passed.
    running.recorder.audit(record(Action::Move, "new", 7_600));
    until_count(&db, &running, expected.len() + 1).await;
    running
        .recorder
        .audit(record(Action::Move, "new", 7_000 + 3_600));
    let rest = until_count(&db, &running, rest_of(&model)).await;
    assert_eq!(rest.last().unwrap().at, at(10_600));
    running.stop().await;
}

/// How many records stay when only the three of the token "new" are recent: the first
/// of those is old, and of each token the last and the last telling one stay.
fn rest_of(model: &[AuditRecord]) -> usize {
    let mut count = 2 + 1;
    for token in TOKENS {
        let of: Vec<&AuditRecord> = model.iter().filter(|r| *r.token == *token).collect();
        let last = of.last().unwrap();
        count += if last.action.subscribes().is_some() {
            1
        } else {
            2
        };
    }
    // The cutoff is at 9,600 s: the records at 7,000 and 7,600 are old, the later stays.
    count - 1
}

async fn a_cursor_of_another_query_is_refused(db: Db) {
    append(&db, &[record(Action::Subscribe, "A", 0)]).await;
    let running = db.start().await;
    let by_id: Cursor = "b17".parse().unwrap();
    let by_token: Cursor = "aNIFTY".parse().unwrap();
    for (cursor, as_of) in [(by_id, Some(at(0))), (by_token, None)] {
        let query = AuditQuery {
            as_of,
            limit: 1,
            cursor: Some(cursor),
            ..AuditQuery::default()
        };
        let error = running.reader.audit(&query).await.unwrap_err();
        assert!(matches!(error, Error::Cursor { .. }), "{error}");
    }
    assert!("17".parse::<Cursor>().is_err());
    assert!("bx".parse::<Cursor>().is_err());
    running.stop().await;
}
