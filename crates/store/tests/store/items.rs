//! Items and markers: what was acknowledged comes back.

use jiff::civil::Date;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_store::{Change, Item, ItemState, List, Options, Recovered, Seq, Store};
use strikewire_types::{Exchange, Expiry, Mode, Price, Tier, Utc};

use crate::common::{Db, at, item, on_both};

on_both!(
    items_come_back_as_they_were,
    random_changes_are_what_a_plain_list_says,
    ids_are_remembered_after_removal,
    a_key_is_taken_over,
    an_operator_finds_words_and_rupees,
    a_row_that_cannot_be_read_is_named,
    a_large_end_of_day,
);

fn put(item: &Item) -> Change {
    Change::Put(Box::new(item.clone()))
}

fn any_text() -> impl Strategy<Value = Box<str>> {
    "[^\\x00]{0,12}".prop_map(String::into_boxed_str)
}

fn any_time() -> impl Strategy<Value = Utc> {
    // To the microsecond, which is what is kept.
    (i64::MIN / 1_000..=i64::MAX / 1_000).prop_map(|micros| Utc::from_nanos(micros * 1_000))
}

fn any_date() -> impl Strategy<Value = Date> {
    (1_i16..=9999, 1_i8..=12, 1_i8..=28).prop_map(|(y, m, d)| Date::new(y, m, d).unwrap())
}

fn any_item() -> impl Strategy<Value = Item> {
    let who = (
        prop_oneof![Just(0), Just(1), Just(i64::MAX as u64), any::<u64>()],
        prop_oneof![Just(List::Watchlist), Just(List::Explicit)],
        prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
        any_text(),
        prop::sample::select(Exchange::ALL.to_vec()),
        prop::option::of(any_date().prop_map(Expiry::new)),
        any_text(),
        prop::option::of(any::<u16>()),
    );
    let how = (
        prop::sample::select(Mode::ALL.to_vec()),
        any::<bool>(),
        prop_oneof![Just(Tier::A), Just(Tier::B)],
        any_time(),
        any_date(),
        any_time(),
        prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
        prop_oneof![Just(ItemState::Live), Just(ItemState::Evicted)],
        prop::option::of(prop_oneof![
            Just(i64::MIN),
            Just(i64::MAX),
            Just(1),
            any::<i64>()
        ]),
        any::<bool>(),
    );
    (who, how).prop_map(|(who, how)| Item {
        id: who.0,
        list: who.1,
        user: who.2,
        symbol: who.3,
        exchange: who.4,
        expiry: who.5,
        instrument_type: who.6,
        width: who.7,
        mode: how.0,
        follow: how.1,
        tier: how.2,
        added_at: how.3,
        trading_day: how.4,
        last_used_at: how.5,
        used: how.6,
        state: how.7,
        anchor: how.8.map(Price::from_raw),
        settled: how.9,
    })
}

/// Items that put nothing of each other out.
fn distinct(items: Vec<Item>) -> Vec<Item> {
    let mut kept: Vec<Item> = Vec::new();
    for item in items {
        if !kept
            .iter()
            .any(|old| old.id == item.id || clashes(old, &item))
        {
            kept.push(item);
        }
    }
    kept.sort_by_key(|item| (item.used, item.id));
    kept
}

/// Whether both have the key of their list.
fn clashes(a: &Item, b: &Item) -> bool {
    a.list == b.list
        && a.user == b.user
        && a.exchange == b.exchange
        && a.symbol == b.symbol
        && a.expiry == b.expiry
        && a.instrument_type == b.instrument_type
        && (a.list == List::Watchlist || a.tier == b.tier)
}

async fn items_come_back_as_they_were(db: Db) {
    let mut running = db.start().await;
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let strategy = prop::collection::vec(any_item(), 1..12);
    for _ in 0..25 {
        let items = distinct(strategy.new_tree(&mut runner).unwrap().current());
        for item in &items {
            running.recorder.ask(put(item));
        }
        let last = running.recorder.ask(Change::EndOfDay {
            class: "X",
            day: Date::constant(2026, 2, 9),
            at: at(0),
            removed: Vec::new(),
        });
        running.recorder.commit();
        running.durable(last).await;
        assert_eq!(db.recover().await.items, items);

        let mut last = Seq(0);
        for item in &items {
            last = running.recorder.must(Change::Remove {
                list: item.list,
                id: item.id,
            });
        }
        running.recorder.commit();
        running.durable(last).await;
        assert_eq!(db.recover().await.items, []);
    }
    running.stop().await;
}

/// The same by plain search.
#[derive(Default)]
struct Model {
    items: Vec<Item>,
    ended: Vec<(String, Date)>,
    last_item: u64,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(new) => {
                self.items
                    .retain(|old| !(old.list == new.list && old.id == new.id || clashes(old, new)));
                self.items.push((**new).clone());
                self.last_item = self.last_item.max(new.id);
            }
            Change::Remove { list, id } => {
                self.items.retain(|old| (old.list, old.id) != (*list, *id));
            }
            Change::State { list, id, state } => {
                for old in &mut self.items {
                    if (old.list, old.id) == (*list, *id) {
                        old.state = *state;
                    }
                }
            }
            Change::EndOfDay {
                class,
                day,
                removed,
                ..
            } => {
                self.items
                    .retain(|old| !removed.contains(&(old.list, old.id)));
                match self.ended.iter_mut().find(|(of, _)| of == class) {
                    Some((_, latest)) => *latest = (*latest).max(*day),
                    None => self.ended.push(((*class).to_owned(), *day)),
                }
            }
        }
    }

    fn recovered(&self) -> Recovered {
        let mut items = self.items.clone();
        items.sort_by_key(|item| (item.used, item.id));
        let mut ended = self.ended.clone();
        ended.sort();
        Recovered {
            items,
            ended,
            last_item: self.last_item,
            subscribed: Vec::new(),
        }
    }
}

fn random_item(random: &mut Pcg64) -> Item {
    // Ids are unique over both lists.
    let id = random.random_range(1..40);
    let list = if id % 2 == 0 {
        List::Watchlist
    } else {
        List::Explicit
    };
    let mut item = item(id, list, &format!("S{}", random.random_range(0..10)));
    item.tier = if random.random() { Tier::A } else { Tier::B };
    item.expiry = item.expiry.filter(|_| random.random());
    item.used = random.random_range(0..1_000);
    item.width = random.random::<bool>().then(|| random.random());
    item
}

fn random_change(random: &mut Pcg64) -> Change {
    let some = random_item(random);
    let (list, id) = (some.list, some.id);
    match random.random_range(0..12) {
        0..7 => Change::Put(Box::new(some)),
        7..9 => Change::State {
            list,
            id,
            state: ItemState::Evicted,
        },
        9..11 => Change::Remove { list, id },
        _ => Change::EndOfDay {
            class: if random.random() { "MCX" } else { "NSE_FNO" },
            day: Date::constant(2026, 2, random.random_range(1..=28)),
            at: at(0),
            removed: (0..random.random_range(0..10))
                .map(|_| random_item(random))
                .map(|item| (item.list, item.id))
                .collect(),
        },
    }
}

async fn random_changes_are_what_a_plain_list_says(db: Db) {
    let mut model = Model::default();
    let mut running = db.start().await;
    for seed in 0..20 {
        let mut random = Pcg64::seed_from_u64(seed);
        let mut last = Seq(0);
        for _ in 0..random.random_range(1..6) {
            for _ in 0..random.random_range(1..40) {
                let change = random_change(&mut random);
                model.apply(&change);
                last = if random.random() {
                    running.recorder.ask(change)
                } else {
                    running.recorder.must(change)
                };
            }
            running.recorder.commit();
        }
        running.durable(last).await;
        assert_eq!(db.recover().await, model.recovered(), "seed {seed}");
    }
    let stats = running.recorder.stats();
    assert!(stats.commits() >= 20 && stats.groups() >= stats.commits());
    assert!(!stats.last_commit().is_zero());
    running.stop().await;
    assert_eq!(db.recover().await, model.recovered());
}

async fn ids_are_remembered_after_removal(db: Db) {
    let mut running = db.start().await;
    running.recorder.ask(put(&item(41, List::Watchlist, "ITC")));
    running.recorder.ask(put(&item(40, List::Explicit, "ITC")));
    running.recorder.commit();
    let last = running.recorder.must(Change::Remove {
        list: List::Watchlist,
        id: 41,
    });
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    assert_eq!(db.recover().await.last_item, 41);

    // An older id after a restart does not take it back.
    let mut running = db.start().await;
    let last = running.recorder.ask(put(&item(39, List::Watchlist, "TCS")));
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    assert_eq!(db.recover().await.last_item, 41);
}

async fn a_key_is_taken_over(db: Db) {
    let mut running = db.start().await;
    let mut equity = item(1, List::Watchlist, "ITC");
    equity.expiry = None;
    let mut again = equity.clone();
    again.id = 2;
    let mut other_tier = item(3, List::Explicit, "ITC");
    let explicit = item(4, List::Explicit, "ITC");
    other_tier.tier = Tier::B;
    let mut last = Seq(0);
    for item in [&equity, &again, &other_tier, &explicit] {
        last = running.recorder.ask(put(item));
    }
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    // Two absent expiries are the same key; the tier tells explicit ones apart.
    assert_eq!(db.recover().await.items, [again, other_tier, explicit]);
}

async fn an_operator_finds_words_and_rupees(db: Db) {
    let mut running = db.start().await;
    let mut one = item(1, List::Watchlist, "M&M");
    one.anchor = Some(Price::from_raw(14_400_500));
    let last = running.recorder.ask(put(&one));
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    let found = db
        .texts(
            "SELECT symbol || ' ' || exchange || ' ' || CAST(expiry_date AS TEXT) || ' ' || mode \
             || ' ' || tier || ' ' || state || ' ' || CAST(CAST(anchor AS NUMERIC) AS TEXT) \
             FROM watchlist WHERE added_order = id AND user_id = 7",
        )
        .await;
    let words = found[0].trim_end_matches('0');
    assert_eq!(words, "M&M NSE 2026-02-24 full TIER_A live 1440.05");
    if db.is_sqlite {
        let times = db.texts("SELECT added_at FROM watchlist").await;
        assert_eq!(times, ["2026-02-09T04:30:00.000000Z"]);
    }
}

async fn a_row_that_cannot_be_read_is_named(db: Db) {
    let mut running = db.start().await;
    let last = running.recorder.ask(put(&item(5, List::Explicit, "ITC")));
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    db.execute("UPDATE claims SET mode = 'deep'").await;
    let options: Options = db.options();
    let store = Store::open(&options).await.unwrap();
    let error = store.recover().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "table claims, column mode, row 5: `deep` is not a mode: ticker, quote or full"
    );
}

async fn a_large_end_of_day(db: Db) {
    let mut running = db.start().await;
    let items: Vec<Item> = (1..=3_000)
        .map(|id| item(id, List::Watchlist, &format!("S{id}")))
        .collect();
    for item in &items {
        running.recorder.ask(put(item));
    }
    running.recorder.commit();
    let last = running.recorder.must(Change::EndOfDay {
        class: "NSE_FNO",
        day: Date::constant(2026, 2, 9),
        at: at(0),
        removed: (1..3_000).map(|id| (List::Watchlist, id)).collect(),
    });
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    let recovered = db.recover().await;
    assert_eq!(recovered.items, items[2_999..]);
    assert_eq!(
        recovered.ended,
        [("NSE_FNO".to_owned(), Date::constant(2026, 2, 9))]
    );
}
