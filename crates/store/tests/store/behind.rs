//! Uses and projections: the latest is written, and nothing older over something newer.

use jiff::civil::Date;
use strikewire_store::{AtmRow, Change, Item, List, SubscriptionRow, Use};
use strikewire_types::{Exchange, Expiry, Mode, OptionType, Price, Segment, Strike, Tier};

use crate::common::{Db, at, item, on_both};

on_both!(
    the_latest_use_of_each_item_is_kept,
    an_earlier_use_does_not_undo_a_put,
    the_latest_row_of_each_token_is_kept,
    the_latest_window_of_each_key_is_kept,
    a_text_with_nul_holds_up_nothing,
);

fn used(id: u64, list: List, used: u64) -> Use {
    Use {
        list,
        id,
        used,
        at: at(i64::try_from(used).unwrap()),
        anchor: Some(Price::from_rupees(100)),
        settled: true,
    }
}

fn with_use(item: &Item, used: &Use) -> Item {
    Item {
        used: used.used,
        last_used_at: used.at,
        anchor: used.anchor,
        settled: used.settled,
        ..item.clone()
    }
}

async fn the_latest_use_of_each_item_is_kept(db: Db) {
    let mut running = db.start().await;
    let mut items: Vec<Item> = (1..=600)
        .map(|id| {
            let list = if id % 3 == 0 {
                List::Explicit
            } else {
                List::Watchlist
            };
            item(id, list, &format!("S{id}"))
        })
        .collect();
    for item in &items {
        running.recorder.ask(Change::Put(Box::new(item.clone())));
    }
    running.recorder.commit();
    // Three rounds; the last goes backwards, and leaves every fifth out.
    let mut order = 1_000;
    for round in 0..3 {
        let mut uses = Vec::new();
        for item in items.iter_mut().rev() {
            if round == 2 && item.id % 5 == 0 {
                continue;
            }
            order += 1;
            let one = used(item.id, item.list, order);
            *item = with_use(item, &one);
            uses.push(one);
        }
        running.recorder.used(uses);
    }
    // Of an item that is not there.
    running.recorder.used(vec![used(9_999, List::Watchlist, 5)]);
    running.stop().await;
    items.sort_by_key(|item| item.used);
    assert_eq!(db.recover().await.items, items);
}

async fn an_earlier_use_does_not_undo_a_put(db: Db) {
    let mut running = db.start().await;
    let first = item(1, List::Watchlist, "ITC");
    let second = item(2, List::Watchlist, "TCS");
    for item in [&first, &second] {
        running.recorder.ask(Change::Put(Box::new(item.clone())));
    }
    running.recorder.commit();
    running.recorder.used(vec![
        used(1, List::Watchlist, 10),
        used(2, List::Watchlist, 11),
    ]);
    let mut moved = first.clone();
    moved.anchor = Some(Price::from_rupees(200));
    moved.used = 10;
    running.recorder.must(Change::Put(Box::new(moved.clone())));
    running.recorder.must(Change::Put(Box::new(second.clone())));
    running.recorder.commit();
    let later = used(2, List::Watchlist, 12);
    running.recorder.used(vec![later]);
    running.stop().await;
    assert_eq!(db.recover().await.items, [moved, with_use(&second, &later)]);
}

fn subscription(token: &str, security_id: u32, active: bool) -> SubscriptionRow {
    SubscriptionRow {
        token: token.into(),
        segment: Segment::NseFno,
        security_id,
        symbol: "RELIANCE".into(),
        exchange: Exchange::Nse,
        expiry: Some(Expiry::new(Date::constant(2026, 2, 24))),
        strike: Some(Strike::from_raw(3_125_000)),
        option_type: Some(OptionType::Put),
        tier: Tier::B,
        mode: Mode::Quote,
        subscribed_at: at(0),
        conn: Some(3),
        active,
    }
}

async fn the_latest_row_of_each_token_is_kept(db: Db) {
    let sql = "SELECT instrument_token || ' ' || segment || ' ' || CAST(security_id AS TEXT) \
               || ' ' || CAST(CAST(strike_price AS NUMERIC(12, 2)) AS TEXT) || ' ' || option_type \
               || ' ' || tier || ' ' || mode || ' ' || COALESCE(CAST(ws_connection_id AS TEXT), '-') \
               || ' ' || CASE WHEN active THEN 'on' ELSE 'off' END \
               FROM subscriptions ORDER BY instrument_token";
    let strike = if db.is_sqlite { "312.5" } else { "312.50" };
    let mut running = db.start().await;
    running.recorder.subscription(subscription("A", 1, true));
    running
        .recorder
        .subscription(subscription("B", u32::MAX, true));
    running.recorder.subscription(subscription("A", 2, true));
    let mut off = subscription("C", 3, false);
    off.conn = None;
    running.recorder.subscription(off);
    running.stop().await;
    assert_eq!(
        db.texts(sql).await,
        [
            format!("A NSE_FNO 2 {strike} PE TIER_B quote 3 on"),
            format!("B NSE_FNO 4294967295 {strike} PE TIER_B quote 3 on"),
            format!("C NSE_FNO 3 {strike} PE TIER_B quote - off"),
        ]
    );
    let desired = async || db.recover().await.subscribed;
    assert_eq!(desired().await, ["A".into(), "B".into()]);

    // After a restart nothing is desired but what is told again.
    let mut running = db.start().await;
    running.recorder.subscription(subscription("A", 7, true));
    running.stop().await;
    assert_eq!(
        db.texts(sql).await,
        [
            format!("A NSE_FNO 7 {strike} PE TIER_B quote 3 on"),
            format!("B NSE_FNO 4294967295 {strike} PE TIER_B quote - off"),
            format!("C NSE_FNO 3 {strike} PE TIER_B quote - off"),
        ]
    );
    assert_eq!(desired().await, ["A".into()]);
}

async fn the_latest_window_of_each_key_is_kept(db: Db) {
    let window = |width, atm: i32| AtmRow {
        underlying: "NIFTY".into(),
        exchange: Exchange::Nse,
        expiry: Expiry::new(Date::constant(2026, 2, 24)),
        width,
        ltp: Price::from_raw(250_123_500),
        atm: Strike::from_rupees(atm),
        step: (width > 1).then(|| Strike::from_rupees(50)),
        at: at(0),
        strikes: vec![Strike::from_raw(249_995_000), Strike::from_rupees(atm)],
    };
    let mut running = db.start().await;
    running.recorder.atm(window(25, 25_000));
    running.recorder.atm(window(1, 25_000));
    running.recorder.atm(window(25, 25_050));
    running.stop().await;
    // Once more over what is stored.
    let mut running = db.start().await;
    running.recorder.atm(window(25, 25_100));
    running.stop().await;
    let found = db
        .texts(
            "SELECT underlying_symbol || ' ' || CAST(width AS TEXT) || ' ' || generated_strikes \
             || ' ' || COALESCE(CAST(CAST(strike_step AS INTEGER) AS TEXT), '-') \
             FROM atm_cache ORDER BY width",
        )
        .await;
    assert_eq!(
        found,
        ["NIFTY 1 [24999.5,25000] -", "NIFTY 25 [24999.5,25100] 50"]
    );
}

async fn a_text_with_nul_holds_up_nothing(db: Db) {
    let mut running = db.start().await;
    let mut odd = item(1, List::Watchlist, "I\0C");
    let last = running.recorder.ask(Change::Put(Box::new(odd.clone())));
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    odd.symbol = "I\u{fffd}C".into();
    assert_eq!(db.recover().await.items, [odd]);
}
