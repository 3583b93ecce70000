//! Changes of items and markers: what a group's transaction writes.

use std::collections::HashSet;

use jiff::civil::Date;
use strikewire_types::Utc;

use crate::sql::{Connection, Statement, Value, batches};
use crate::{Change, Error, Item, ItemState, List, crash};

impl List {
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Watchlist => "watchlist",
            Self::Explicit => "claims",
        }
    }
}

/// Neighbouring changes that one statement can make.
enum Run<'a> {
    Put(List, Vec<&'a Item>),
    Remove(List, Vec<u64>),
    State(List, ItemState, Vec<u64>),
}

/// Writes the changes in their order, neighbours of a kind together.
pub(crate) async fn apply(connection: &mut Connection, changes: &[&Change]) -> Result<(), Error> {
    let mut run: Option<Run<'_>> = None;
    // What the run puts: one statement cannot write an id or a key twice.
    let mut ids = HashSet::new();
    let mut keys = HashSet::new();
    for change in changes.iter().copied() {
        match (change, &mut run) {
            (Change::Put(item), Some(Run::Put(list, items)))
                if *list == item.list && !ids.contains(&item.id) && !keys.contains(&key(item)) =>
            {
                items.push(item);
            }
            (Change::Remove { list, id }, Some(Run::Remove(same, removed))) if list == same => {
                removed.push(*id);
                continue;
            }
            (Change::State { list, id, state }, Some(Run::State(same, to, changed)))
                if list == same && state == to =>
            {
                changed.push(*id);
                continue;
            }
            _ => {
                write(connection, run.take()).await?;
                ids.clear();
                keys.clear();
                run = match change {
                    Change::Put(item) => Some(Run::Put(item.list, vec![item])),
                    Change::Remove { list, id } => Some(Run::Remove(*list, vec![*id])),
                    Change::State { list, id, state } => Some(Run::State(*list, *state, vec![*id])),
                    Change::EndOfDay {
                        class,
                        day,
                        at,
                        removed,
                    } => {
                        end_of_day(connection, class, *day, *at, removed).await?;
                        None
                    }
                };
            }
        }
        if let Change::Put(item) = change {
            ids.insert(item.id);
            keys.insert(key(item));
        }
    }
    write(connection, run).await
}

/// What is unique in the item's list.
fn key(item: &Item) -> impl Eq + std::hash::Hash + use<'_> {
    // Of the watchlist's key the tier is no part; telling two items apart by it would
    // put both into one statement.
    let tier = (item.list == List::Explicit).then_some(item.tier);
    (
        item.user,
        item.exchange,
        &item.symbol,
        item.expiry,
        &item.instrument_type,
        tier,
    )
}

async fn write(connection: &mut Connection, run: Option<Run<'_>>) -> Result<(), Error> {
    match run {
        Some(Run::Put(list, items)) => put(connection, list, &items).await,
        Some(Run::Remove(list, ids)) => remove(connection, list, &ids).await,
        Some(Run::State(list, state, ids)) => set_state(connection, list, state, &ids).await,
        None => Ok(()),
    }
}

async fn put(connection: &mut Connection, list: List, items: &[&Item]) -> Result<(), Error> {
    for batch in batches(items) {
        displace(connection, list, batch).await?;
        let statement = connection
            .statement("INSERT INTO ")
            .sql(list.table())
            .sql(
                " (id, user_id, symbol, exchange, expiry_date, instrument_type, width, mode, \
                 follow, tier, added_at, added_order, trading_day, last_used_at, used, state, \
                 anchor, settled) VALUES ",
            )
            .rows(batch.iter().map(|item| {
                [
                    Value::id(item.id),
                    Value::id(item.user),
                    Value::text(&item.symbol),
                    Value::text(item.exchange.as_str()),
                    Value::Date(item.expiry.map(strikewire_types::Expiry::date)),
                    Value::text(&item.instrument_type),
                    Value::Int(item.width.map(i64::from)),
                    Value::text(item.mode.as_str()),
                    Value::Bool(item.follow),
                    Value::text(item.tier.as_str()),
                    Value::Time(item.added_at),
                    Value::id(item.id),
                    Value::Date(Some(item.trading_day)),
                    Value::Time(item.last_used_at),
                    Value::id(item.used),
                    Value::text(item.state.as_str()),
                    Value::Money(item.anchor.map(strikewire_types::Price::raw)),
                    Value::Bool(item.settled),
                ]
            }))
            .sql(
                " ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, \
                 symbol = excluded.symbol, exchange = excluded.exchange, \
                 expiry_date = excluded.expiry_date, \
                 instrument_type = excluded.instrument_type, width = excluded.width, \
                 mode = excluded.mode, follow = excluded.follow, tier = excluded.tier, \
                 added_at = excluded.added_at, added_order = excluded.added_order, \
                 trading_day = excluded.trading_day, last_used_at = excluded.last_used_at, \
                 used = excluded.used, state = excluded.state, anchor = excluded.anchor, \
                 settled = excluded.settled",
            );
        connection.execute(statement, "writing items").await?;
    }
    Ok(())
}

/// Removes other items with the keys of these.
async fn displace(connection: &mut Connection, list: List, items: &[&Item]) -> Result<(), Error> {
    let statement = connection
        .statement("WITH put (id, user_id, exchange, symbol, expiry_date, instrument_type, tier) AS (VALUES ")
        .rows(items.iter().map(|item| {
            [
                Value::id(item.id),
                Value::id(item.user),
                Value::text(item.exchange.as_str()),
                Value::text(&item.symbol),
                Value::Date(item.expiry.map(strikewire_types::Expiry::date)),
                Value::text(&item.instrument_type),
                Value::text(item.tier.as_str()),
            ]
        }))
        .sql(") DELETE FROM ")
        .sql(list.table())
        // SQLite keeps the order of a cross join: the few first, the table by its index.
        .sql(" WHERE id IN (SELECT old.id FROM put CROSS JOIN ")
        .sql(list.table())
        .sql(
            " old WHERE old.user_id = put.user_id AND old.exchange = put.exchange \
             AND old.symbol = put.symbol AND old.instrument_type = put.instrument_type \
             AND old.expiry_date IS NOT DISTINCT FROM put.expiry_date AND old.id <> put.id",
        )
        .sql(match list {
            List::Watchlist => ")",
            List::Explicit => " AND old.tier = put.tier)",
        });
    connection.execute(statement, "replacing items").await?;
    Ok(())
}

fn where_ids(statement: Statement, ids: &[u64]) -> Statement {
    statement
        .sql(" WHERE id IN (")
        .list(ids.iter().copied().map(Value::id))
        .sql(")")
}

async fn remove(connection: &mut Connection, list: List, ids: &[u64]) -> Result<(), Error> {
    for batch in batches(ids) {
        let statement = connection.statement("DELETE FROM ").sql(list.table());
        connection
            .execute(where_ids(statement, batch), "removing items")
            .await?;
    }
    Ok(())
}

async fn set_state(
    connection: &mut Connection,
    list: List,
    state: ItemState,
    ids: &[u64],
) -> Result<(), Error> {
    for batch in batches(ids) {
        let statement = connection
            .statement("UPDATE ")
            .sql(list.table())
            .sql(" SET state = ")
            .value(Value::text(state.as_str()));
        connection
            .execute(where_ids(statement, batch), "changing states")
            .await?;
    }
    Ok(())
}

async fn end_of_day(
    connection: &mut Connection,
    class: &str,
    day: Date,
    at: Utc,
    removed: &[(List, u64)],
) -> Result<(), Error> {
    for list in [List::Watchlist, List::Explicit] {
        let ids: Vec<u64> = removed
            .iter()
            .filter(|(of, _)| *of == list)
            .map(|(_, id)| *id)
            .collect();
        remove(connection, list, &ids).await?;
    }
    crash::point("inside_eod");
    let statement = connection
        .statement("INSERT INTO eod_markers (class, day, ran_at) VALUES ")
        .rows([[Value::text(class), Value::Date(Some(day)), Value::Time(at)]].into_iter())
        .sql(" ON CONFLICT (class, day) DO NOTHING");
    connection
        .execute(statement, "writing an end-of-day marker")
        .await?;
    Ok(())
}

/// Writes a row of `meta`.
pub(crate) async fn set_meta(
    connection: &mut Connection,
    name: &'static str,
    value: u64,
) -> Result<(), Error> {
    let statement = connection
        .statement("INSERT INTO meta (name, value) VALUES ")
        .rows([[Value::text(name), Value::text(&value.to_string())]].into_iter())
        .sql(" ON CONFLICT (name) DO UPDATE SET value = excluded.value");
    connection.execute(statement, "writing meta").await?;
    Ok(())
}
