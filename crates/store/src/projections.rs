//! What is written behind: uses, the projections and the audit.

use strikewire_types::{Expiry, Price, Strike, Utc};

use crate::sql::{Connection, Statement, Value, batches};
use crate::{Action, AtmRow, AuditRecord, Error, List, SubscriptionRow, Use};

/// Nothing is known to be desired when a writer starts; what is, is told again.
pub(crate) async fn forget_subscriptions(connection: &mut Connection) -> Result<(), Error> {
    let statement = connection
        .statement("UPDATE subscriptions SET active = ")
        .value(Value::Bool(false))
        .sql(", ws_connection_id = NULL WHERE active");
    connection
        .execute(statement, "resetting the projection of subscriptions")
        .await?;
    Ok(())
}

pub(crate) async fn uses(connection: &mut Connection, all: &[Use]) -> Result<(), Error> {
    for list in [List::Watchlist, List::Explicit] {
        let uses: Vec<&Use> = all.iter().filter(|used| used.list == list).collect();
        for batch in batches(&uses) {
            let statement = connection
                .statement("WITH latest (id, used, last_used_at, anchor, settled) AS (VALUES ")
                .rows(batch.iter().map(|used| {
                    [
                        Value::id(used.id),
                        Value::id(used.used),
                        Value::Time(used.at),
                        Value::Money(used.anchor.map(Price::raw)),
                        Value::Bool(used.settled),
                    ]
                }))
                .sql(") UPDATE ")
                .sql(list.table())
                .sql(
                    " SET used = latest.used, last_used_at = latest.last_used_at, \
                     anchor = latest.anchor, settled = latest.settled \
                     FROM latest WHERE latest.id = ",
                )
                .sql(list.table())
                .sql(".id");
            connection.execute(statement, "writing uses").await?;
        }
    }
    Ok(())
}

pub(crate) async fn subscriptions(
    connection: &mut Connection,
    all: &[SubscriptionRow],
) -> Result<(), Error> {
    for batch in batches(all) {
        let statement = connection
            .statement(
                "INSERT INTO subscriptions (instrument_token, segment, security_id, symbol, \
                 exchange, expiry_date, strike_price, option_type, tier, mode, subscribed_at, \
                 ws_connection_id, active) VALUES ",
            )
            .rows(batch.iter().map(|row| {
                [
                    Value::text(&row.token),
                    Value::text(row.segment.as_str()),
                    Value::Int(Some(i64::from(row.security_id))),
                    Value::text(&row.symbol),
                    Value::text(row.exchange.as_str()),
                    Value::Date(row.expiry.map(Expiry::date)),
                    Value::Money(row.strike.map(Strike::raw)),
                    Value::Text(row.option_type.map(|kind| kind.as_str().to_owned())),
                    Value::text(row.tier.as_str()),
                    Value::text(row.mode.as_str()),
                    Value::Time(row.subscribed_at),
                    Value::Int(row.conn.map(i64::from)),
                    Value::Bool(row.active),
                ]
            }))
            .sql(
                " ON CONFLICT (instrument_token) DO UPDATE SET segment = excluded.segment, \
                 security_id = excluded.security_id, symbol = excluded.symbol, \
                 exchange = excluded.exchange, expiry_date = excluded.expiry_date, \
                 strike_price = excluded.strike_price, option_type = excluded.option_type, \
                 tier = excluded.tier, mode = excluded.mode, \
                 subscribed_at = excluded.subscribed_at, \
                 ws_connection_id = excluded.ws_connection_id, active = excluded.active",
            );
        connection
            .execute(statement, "writing the projection of subscriptions")
            .await?;
    }
    Ok(())
}

pub(crate) async fn windows(connection: &mut Connection, all: &[AtmRow]) -> Result<(), Error> {
    for batch in batches(all) {
        let statement = connection
            .statement(
                "INSERT INTO atm_cache (underlying_symbol, exchange, expiry_date, width, \
                 current_ltp, atm_strike, strike_step, cached_at, generated_strikes) VALUES ",
            )
            .rows(batch.iter().map(|row| {
                [
                    Value::text(&row.underlying),
                    Value::text(row.exchange.as_str()),
                    Value::Date(Some(row.expiry.date())),
                    Value::Int(Some(i64::from(row.width))),
                    Value::Money(Some(row.ltp.raw())),
                    Value::Money(Some(row.atm.raw())),
                    Value::Money(row.step.map(Strike::raw)),
                    Value::Time(row.at),
                    Value::Text(Some(crate::text::strikes(&row.strikes))),
                ]
            }))
            .sql(
                " ON CONFLICT (underlying_symbol, exchange, expiry_date, width) DO UPDATE SET \
                 current_ltp = excluded.current_ltp, atm_strike = excluded.atm_strike, \
                 strike_step = excluded.strike_step, cached_at = excluded.cached_at, \
                 generated_strikes = excluded.generated_strikes",
            );
        connection
            .execute(statement, "writing the cache of windows")
            .await?;
    }
    Ok(())
}

pub(crate) async fn audit(connection: &mut Connection, all: &[&AuditRecord]) -> Result<(), Error> {
    for batch in batches(all) {
        let statement = connection
            .statement(
                "INSERT INTO subscription_log \
                 (action, instrument_token, reason, owner, timestamp) VALUES ",
            )
            .rows(batch.iter().map(|record| {
                [
                    Value::text(record.action.as_str()),
                    Value::text(&record.token),
                    Value::text(&record.reason),
                    Value::text(&record.owner),
                    Value::Time(record.at),
                ]
            }));
        connection.execute(statement, "writing the audit").await?;
    }
    Ok(())
}

/// The actions that tell whether an instrument is desired, or those that say it is, as
/// a list for SQL.
pub(crate) fn actions(only_subscribing: bool) -> Vec<Value> {
    Action::ALL
        .into_iter()
        .filter(|action| {
            action
                .subscribes()
                .is_some_and(|subscribes| subscribes || !only_subscribing)
        })
        .map(|action| Value::text(action.as_str()))
        .collect()
}

/// How many records a step of pruning looks at.
const PRUNE_STEP: i64 = 5_000;

/// The last audit record before `before`; none when there is none.
pub(crate) async fn prune_end(
    connection: &mut Connection,
    before: Utc,
) -> Result<Option<i64>, Error> {
    let statement = connection
        .statement("SELECT MAX(id) FROM subscription_log WHERE timestamp < ")
        .value(Value::Time(before));
    number(connection, statement).await
}

async fn number(connection: &mut Connection, statement: Statement) -> Result<Option<i64>, Error> {
    let doing = "looking for old audit records";
    match connection.fetch(statement, doing).await?.first() {
        Some(row) => row.get(0, doing),
        None => Ok(None),
    }
}

/// Removes what is too old among the next records after `from` and up to `end`; where
/// the next step goes on, none at the end.
///
/// Of each token stay, among the records before `before`, the last one and the last one
/// that tells whether it was subscribed: what was subscribed at any time since can be told.
pub(crate) async fn prune_step(
    connection: &mut Connection,
    from: i64,
    end: i64,
    before: Utc,
) -> Result<Option<i64>, Error> {
    let statement = connection
        .statement("SELECT MAX(id) FROM (SELECT id FROM subscription_log WHERE id > ")
        .value(Value::Int(Some(from)))
        .sql(" AND id <= ")
        .value(Value::Int(Some(end)))
        .sql(" ORDER BY id LIMIT ")
        .value(Value::Int(Some(PRUNE_STEP)))
        .sql(") step");
    let Some(to) = number(connection, statement).await? else {
        return Ok(None);
    };
    let statement = connection
        .statement("DELETE FROM subscription_log WHERE id > ")
        .value(Value::Int(Some(from)))
        .sql(" AND id <= ")
        .value(Value::Int(Some(to)))
        .sql(" AND timestamp < ")
        .value(Value::Time(before))
        .sql(
            " AND EXISTS (SELECT 1 FROM subscription_log later \
             WHERE later.instrument_token = subscription_log.instrument_token \
             AND later.id > subscription_log.id AND later.timestamp < ",
        )
        .value(Value::Time(before))
        .sql(" AND (later.action IN (")
        .list(actions(false).into_iter())
        .sql(") OR subscription_log.action NOT IN (")
        .list(actions(false).into_iter())
        .sql(")))");
    connection
        .execute(statement, "removing old audit records")
        .await?;
    Ok(Some(to))
}

/// Removes inactive subscriptions from before `before`.
pub(crate) async fn prune_subscriptions(
    connection: &mut Connection,
    before: Utc,
) -> Result<(), Error> {
    let statement = connection
        .statement("DELETE FROM subscriptions WHERE NOT active AND subscribed_at < ")
        .value(Value::Time(before));
    connection
        .execute(statement, "removing old inactive subscriptions")
        .await?;
    Ok(())
}
