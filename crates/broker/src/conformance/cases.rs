//! The cases.

use strikewire_types::{ConnId, InstrumentKey, Mode, Price};

use super::bench::{Bench, Reason};
use super::recorder::Seen;
use super::{Case, Rig};
use crate::{DownCause, Feed, WireOp};

const FIRST: ConnId = ConnId::from_index(0);

pub(super) async fn run<R: Rig>(case: Case, rig: R) -> Result<(), Reason> {
    match case {
        Case::Capabilities => capabilities(rig),
        Case::UpThenReady => up_then_ready(Bench::new(rig)?).await,
        Case::ReadyMeansWritten => ready_means_written(Bench::new(rig)?).await,
        Case::StaleBatch => stale_batch(Bench::new(rig)?).await,
        Case::OneAtATime => one_at_a_time(Bench::new(rig)?).await,
        Case::Modes => modes(Bench::new(rig)?).await,
        Case::UpdateOnce => update_once(Bench::new(rig)?).await,
        Case::Rounded => rounded(Bench::new(rig)?).await,
        Case::RightConnection => right_connection(Bench::new(rig)?).await,
        Case::Unresolved => unresolved(Bench::new(rig)?).await,
        Case::BackFromCut => comes_back(Bench::new(rig)?, R::cut).await,
        Case::BackFromClose => comes_back(Bench::new(rig)?, R::close).await,
        Case::GapTold => gap_told(Bench::new(rig)?).await,
        Case::Refused => refused(Bench::new(rig)?).await,
        Case::FrameFirst => frame_first(Bench::new(rig)?).await,
        Case::TurnDone => turn_done(Bench::new(rig)?).await,
        Case::Goodbye => goodbye(Bench::new(rig)?).await,
        Case::Secret => secret(Bench::new(rig)?).await,
    }
}

/// A price of an instrument: some rupees and `ticks` ticks.
fn price<R: Rig>(bench: &Bench<R>, key: InstrumentKey, ticks: i64) -> Price {
    let listed = bench.instruments.iter().find(|listed| listed.key == key);
    let step = listed.map_or(100, |listed| i64::from(listed.step.raw()));
    let base = Price::from_rupees(1_523).round_to(step);
    Price::from_raw(base.raw() + ticks * step)
}

/// What `conn` gets in the cases that need one or two instruments of each.
fn keys_of<R: Rig>(bench: &Bench<R>, conn: ConnId) -> [InstrumentKey; 2] {
    let at = 2 * conn.index();
    [bench.instruments[at].key, bench.instruments[at + 1].key]
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> Reason) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn capabilities<R: Rig>(mut rig: R) -> Result<(), Reason> {
    let feed = rig.feed();
    let first = feed.capabilities();
    ensure((1..=255).contains(&first.connections), || {
        format!("{first:?}: expected 1 to 255 connections")
    })?;
    ensure(first.per_connection > 0, || {
        format!("{first:?}: expected at least 1 instrument on a connection")
    })?;
    ensure(
        (1..=first.per_connection).contains(&first.per_batch),
        || format!("{first:?}: expected 1 to per_connection instruments in a batch"),
    )?;
    for _ in 0..3 {
        let again = feed.capabilities();
        ensure(again == first, || {
            format!("the capabilities are {first:?} first and then {again:?}")
        })?;
    }
    Ok(())
}

async fn up_then_ready<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    bench.all_ready().await?;
    bench.settle().await?;
    let seats = bench.rig.seats();
    ensure(seats.len() == bench.lines.len(), || {
        format!(
            "{} connections are up, and the broker has {}",
            bench.lines.len(),
            seats.len()
        )
    })?;
    ensure(seats.iter().all(|seat| seat.held.is_empty()), || {
        format!("nothing was asked for, and the broker has {seats:?}")
    })
}

async fn ready_means_written<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let most = bench.capabilities.per_batch;
    let keys: Vec<_> = bench.instruments.iter().map(|listed| listed.key).collect();
    let keys = &keys[..keys.len().min(most)];
    bench.ready(FIRST).await?;
    bench.send(FIRST, WireOp::Subscribe(Mode::Quote), keys);
    bench.ready(FIRST).await?;
    bench.held(keys, Some(Mode::Quote)).await?;
    // A second Ready for the same batch would be noticed here.
    bench.settle().await
}

async fn stale_batch<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let [stale, fresh] = keys_of(&bench, FIRST);
    bench.subscribe(FIRST, Mode::Ticker, &[fresh]).await?;
    let seat = bench.seat_of(fresh)?;
    let first = bench.lines[FIRST.index()].up.unwrap_or_default();
    bench.rig.cut(seat);
    bench
        .until("the connection is down", |bench| {
            bench.lines[FIRST.index()].up.is_none()
        })
        .await?;
    // While it is down, and again in its next life.
    bench.send_for(first, FIRST, WireOp::Subscribe(Mode::Full), &[stale]);
    bench.ready(FIRST).await?;
    bench.send_for(first, FIRST, WireOp::Subscribe(Mode::Full), &[stale]);
    bench.settle().await?;
    bench.subscribe(FIRST, Mode::Full, &[fresh]).await?;
    bench.held(&[stale], None).await
}

async fn one_at_a_time<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let conns = bench.lines.len();
    let room = bench.capabilities.per_connection;
    let size = bench.capabilities.per_batch.min(50);
    let mut lots: Vec<Vec<InstrumentKey>> = vec![Vec::new(); conns];
    for (index, listed) in bench.instruments.iter().enumerate() {
        let lot = &mut lots[index % conns];
        if lot.len() < room {
            lot.push(listed.key);
        }
    }
    bench.all_ready().await?;
    let mut sent = vec![0; conns];
    while (0..conns).any(|at| sent[at] < lots[at].len()) {
        for at in 0..conns {
            let conn = ConnId::from_index(at);
            let end = lots[at].len().min(sent[at] + size);
            if sent[at] < end {
                bench.ready(conn).await?;
                bench.send(
                    conn,
                    WireOp::Subscribe(Mode::Full),
                    &lots[at][sent[at]..end],
                );
                sent[at] = end;
            }
        }
    }
    bench.held(&lots.concat(), Some(Mode::Full)).await?;
    bench.all_ready().await
}

async fn modes<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let [key, other] = keys_of(&bench, FIRST);
    for mode in Mode::ALL {
        bench.subscribe(FIRST, mode, &[key, other]).await?;
        bench.send(FIRST, WireOp::Unsubscribe(mode), &[key]);
        bench.held(&[key], None).await?;
        bench.held(&[other], Some(mode)).await?;
        bench.ready(FIRST).await?;
        bench.send(FIRST, WireOp::Unsubscribe(mode), &[other]);
        bench.held(&[other], None).await?;
        bench.ready(FIRST).await?;
    }
    Ok(())
}

async fn update_once<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let [key, other] = keys_of(&bench, FIRST);
    bench.subscribe(FIRST, Mode::Full, &[key, other]).await?;
    for ticks in [7, 11] {
        let wanted = price(&bench, key, ticks);
        bench.update(key, wanted).await?;
        let strays = bench.prices_of(other);
        ensure(!strays.contains(&wanted), || {
            format!("a price of {key} was applied to {other}")
        })?;
    }
    let mut too_many = None;
    bench
        .until("as many updates are applied as were sent", |bench| {
            [key, other].iter().all(|&key| {
                let (sent, applied) = (bench.rig.sent(key), bench.applied_to(key));
                if applied > sent {
                    too_many.get_or_insert((key, sent, applied));
                }
                applied == sent || too_many.is_some()
            })
        })
        .await?;
    match too_many {
        None => Ok(()),
        Some((key, sent, applied)) => Err(format!(
            "{sent} updates of {key} were sent, and {applied} were applied"
        )),
    }
}

async fn rounded<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let [key, other] = keys_of(&bench, FIRST);
    bench.subscribe(FIRST, Mode::Ticker, &[key]).await?;
    bench.subscribe(FIRST, Mode::Full, &[other]).await?;
    for key in [key, other] {
        for ticks in [1, 2, 3, 7, 13, 101, 997] {
            let wanted = price(&bench, key, ticks);
            bench.update(key, wanted).await?;
        }
    }
    Ok(())
}

async fn right_connection<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let conns: Vec<ConnId> = (0..bench.lines.len()).map(ConnId::from_index).collect();
    for &conn in &conns {
        let keys = keys_of(&bench, conn);
        bench.subscribe(conn, Mode::Full, &keys).await?;
    }
    for &conn in conns.iter().rev() {
        let [key, _] = keys_of(&bench, conn);
        let wanted = price(&bench, key, 5);
        let at = bench.update(key, wanted).await?;
        let Seen::Applied { conn: from, .. } = bench.seen()[at] else {
            continue;
        };
        ensure(from == conn, || {
            format!("{key} is on connection {conn}, and was applied as from {from}")
        })?;
    }
    Ok(())
}

async fn unresolved<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let [key, other] = keys_of(&bench, FIRST);
    bench.subscribe(FIRST, Mode::Full, &[key, other]).await?;
    let before = price(&bench, key, 3);
    bench.update(key, before).await?;
    bench.forget(key);
    let told = bench.seen().len();
    let unwanted = price(&bench, key, 4);
    bench.rig.update(key, unwanted);
    // What comes after it on the same connection shows that it has been there.
    let after = price(&bench, other, 6);
    bench.update(other, after).await?;
    let seen = bench.seen();
    let strays = seen[told..].iter().filter(|seen| {
        matches!(seen, Seen::Applied { target, price, .. }
            if target.key == key || *price == Some(unwanted))
    });
    let strays = strays.count();
    ensure(strays == 0, || {
        format!("{key} is wanted no more, and {strays} updates of it were applied")
    })
}

async fn comes_back<R: Rig>(mut bench: Bench<R>, end: impl Fn(&mut R, u64)) -> Result<(), Reason> {
    let conns: Vec<ConnId> = (0..bench.lines.len()).map(ConnId::from_index).collect();
    for &conn in &conns {
        let keys = keys_of(&bench, conn);
        bench.subscribe(conn, Mode::Quote, &keys).await?;
    }
    for round in 0..2 {
        let conn = conns[round % conns.len()];
        let keys = keys_of(&bench, conn);
        let life = bench.lines[conn.index()].up;
        let downs = bench.lines[conn.index()].downs.len();
        let seat = bench.seat_of(keys[0])?;
        end(&mut bench.rig, seat);
        bench
            .until(&format!("connection {conn} is down"), |bench| {
                bench.lines[conn.index()].downs.len() > downs
            })
            .await?;
        let (cause, retry_in) = bench.lines[conn.index()].downs[downs].clone();
        ensure(retry_in.is_some(), || {
            format!("connection {conn} was ended ({cause}) and will not be tried again")
        })?;
        ensure(cause != DownCause::Stopped, || {
            format!("the broker ended connection {conn}, and the cause is said to be our own")
        })?;
        // Up in a greater life is what the bench demands of every Up.
        bench.subscribe(conn, Mode::Quote, &keys).await?;
        ensure(bench.lines[conn.index()].up != life, || {
            format!("connection {conn} came back in the life that had ended")
        })?;
        let wanted = price(&bench, keys[1], 20);
        bench.update(keys[1], wanted).await?;
    }
    // The others were not touched.
    for &conn in &conns {
        bench
            .held(&keys_of(&bench, conn), Some(Mode::Quote))
            .await?;
    }
    Ok(())
}

async fn gap_told<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let keys = keys_of(&bench, FIRST);
    let key = keys[0];
    bench.subscribe(FIRST, Mode::Ticker, &keys).await?;
    let before = price(&bench, key, 1);
    let last = bench.update(key, before).await?;
    bench.settle().await?;
    ensure(bench.gaps(FIRST).is_empty(), || {
        format!("a gap where there was none: {:?}", bench.gaps(FIRST))
    })?;
    let seat = bench.seat_of(key)?;
    bench.rig.cut(seat);
    bench
        .until("the connection is down", |bench| {
            bench.lines[FIRST.index()].up.is_none()
        })
        .await?;
    bench.subscribe(FIRST, Mode::Ticker, &keys).await?;
    let after = price(&bench, key, 2);
    let next = bench.update(key, after).await?;
    bench
        .until("the gap is told", |bench| !bench.gaps(FIRST).is_empty())
        .await?;
    bench.settle().await?;
    let gaps = bench.gaps(FIRST);
    let [gap] = &gaps[..] else {
        return Err(format!("one gap was told as {}: {gaps:?}", gaps.len()));
    };
    let seen = bench.seen();
    let (Seen::Applied { at: last, .. }, Seen::Applied { at: next, .. }) =
        (&seen[last], &seen[next])
    else {
        return Err("what was applied is no update".to_owned());
    };
    ensure(gap.from.mono <= gap.to.mono, || {
        format!("the gap ends before it begins: {gap:?}")
    })?;
    ensure(gap.from.mono >= last.mono, || {
        format!("{gap:?} begins before the last data, at {last:?}")
    })?;
    ensure(gap.to.mono <= next.mono, || {
        format!("{gap:?} ends after data came again, at {next:?}")
    })?;
    ensure(gap.cause != DownCause::Stopped, || {
        format!(
            "the broker cut the connection, and the gap says {:?}",
            gap.cause
        )
    })
}

async fn refused<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    bench.rig.refuse(1);
    bench
        .until("the refused attempt is told", |bench| {
            bench.lines.iter().any(|line| !line.downs.is_empty())
        })
        .await?;
    for line in &bench.lines {
        for (cause, retry_in) in &line.downs {
            ensure(retry_in.is_some(), || {
                format!("an attempt was refused ({cause}) and will not be made again")
            })?;
        }
    }
    bench.all_ready().await
}

async fn frame_first<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let keys = keys_of(&bench, FIRST);
    bench.subscribe(FIRST, Mode::Full, &keys).await?;
    for (ticks, key) in (1..).zip(keys) {
        let wanted = price(&bench, key, ticks);
        bench.update(key, wanted).await?;
    }
    let seen = bench.seen();
    for (index, this) in seen.iter().enumerate() {
        let Seen::Applied {
            conn, target, at, ..
        } = this
        else {
            continue;
        };
        let before = seen[..index].iter().any(
            |seen| matches!(seen, Seen::Frame { conn: on, at: then } if on == conn && then == at),
        );
        ensure(before, || {
            format!(
                "an update of {} was applied, received at {at:?}, and no frame of then was shown",
                target.key
            )
        })?;
    }
    Ok(())
}

async fn turn_done<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let keys = keys_of(&bench, FIRST);
    bench.subscribe(FIRST, Mode::Full, &keys).await?;
    for ticks in 1..=3 {
        let wanted = price(&bench, keys[0], ticks);
        let at = bench.update(keys[0], wanted).await?;
        bench
            .until("the end of the turn is told", |bench| {
                let seen = bench.seen();
                let Seen::Applied { at: then, .. } = seen[at] else {
                    return false;
                };
                seen[at..]
                    .iter()
                    .any(|seen| matches!(seen, Seen::TurnDone { at } if at.mono >= then.mono))
            })
            .await?;
    }
    Ok(())
}

async fn goodbye<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    bench.all_ready().await?;
    let keys = keys_of(&bench, FIRST);
    bench.subscribe(FIRST, Mode::Full, &keys).await?;
    let conns = bench.lines.len();
    let before = bench.rig.goodbyes();
    bench.leave().await?;
    bench
        .until("every connection has said goodbye and is closed", |bench| {
            bench.rig.seats().is_empty() && bench.rig.goodbyes() >= before + conns
        })
        .await
        .map_err(|reason| {
            let said = bench.rig.goodbyes() - before;
            format!("{said} of {conns} said goodbye; {reason}")
        })
}

async fn secret<R: Rig>(mut bench: Bench<R>) -> Result<(), Reason> {
    let secret = bench.rig.secret();
    ensure(!secret.is_empty(), || "the rig has no secret".to_owned())?;
    bench.rig.refuse(1);
    bench.all_ready().await?;
    let keys = keys_of(&bench, FIRST);
    let ends: [fn(&mut R, u64); 2] = [R::cut, R::close];
    for (ticks, end) in (1..).zip(ends) {
        bench.subscribe(FIRST, Mode::Full, &keys).await?;
        let wanted = price(&bench, keys[0], ticks);
        bench.update(keys[0], wanted).await?;
        let seat = bench.seat_of(keys[0])?;
        end(&mut bench.rig, seat);
        bench
            .until("the connection is down", |bench| {
                bench.lines[FIRST.index()].up.is_none()
            })
            .await?;
    }
    bench.ready(FIRST).await?;
    let told = bench.seen().into_iter().map(|seen| format!("{seen:?}"));
    let printed = bench.printed.iter().cloned();
    for text in told.chain(printed).chain(bench.rig.printed()) {
        // The text itself is not shown: a failure must not show it either.
        ensure(!text.contains(&secret), || {
            format!(
                "the secret is in what is reported: {}",
                text.replace(&secret, "***")
            )
        })?;
    }
    Ok(())
}
