//! A fast clock, a gap, and a new master while connections are open.

use super::*;
use crate::fixture::{load, master};

fn by_key(got: &[Packet]) -> BTreeMap<InstrumentKey, usize> {
    let mut counts = BTreeMap::new();
    for packet in got {
        *counts.entry(packet.key()).or_default() += 1;
    }
    counts
}

/// A day in 275 polls, which is 2,000 times real time at ten polls a second.
#[test]
fn a_fast_clock_sends_each_instrument_once_per_poll() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    let mut keys = contracts(199);
    keys.push(key("RELIANCE"));
    for keys in keys.chunks(100) {
        bench.send(id, 21, keys);
    }
    assert_eq!(bench.poll(0.0)[&id].packets.len(), 200);
    for _ in 0..275 {
        let counts = by_key(&bench.poll(200.0)[&id].packets);
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        assert_eq!(counts[&key("RELIANCE")], 1);
        // Everything trades at least every two minutes.
        assert_eq!(counts.len(), 200);
    }
}

#[test]
fn messages_between_polls_make_no_ticks() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    bench.send(id, 21, &contracts(100));
    bench.poll(0.0);
    for extra in 0..5 {
        bench.seconds += 200.0;
        bench.send(id, 21, &[contracts(105)[100 + extra]]);
        let mut out = Vec::new();
        bench.core.flush(&mut out);
        let [(_, Output::Frame(frame))] = &out[..] else {
            panic!("one answer, not {out:?}")
        };
        let packets = split(frame);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].key(), contracts(105)[100 + extra]);
    }
    let counts = by_key(&bench.poll(0.0)[&id].packets);
    assert!(
        counts.len() >= 104 && counts.values().all(|count| *count == 1),
        "{counts:?}"
    );
}

#[test]
fn a_gap_is_on_the_wire_at_the_next_trade() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    let underlyings = [key(NIFTY), key("RELIANCE"), key("CRUDEOIL_19FEB2026_FUT")];
    bench.send(id, 15, &underlyings);
    // An index comes with its previous close, code 6.
    let prices = |got: Got| -> BTreeMap<InstrumentKey, f64> {
        let last = got.packets.into_iter().filter(|packet| packet.code() == 2);
        last.map(|packet| (packet.key(), packet.price(8).as_f64()))
            .collect()
    };
    let before = prices(bench.poll(0.0).remove(&id).unwrap());
    let now = bench.now();
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(!bench.core.move_prices(now, bad), "{bad}");
    }
    assert!(bench.core.move_prices(now, 1.02));
    let after = prices(bench.poll(0.25).remove(&id).unwrap());
    for underlying in underlyings {
        let moved = after[&underlying] / before[&underlying];
        assert!((moved - 1.02).abs() < 0.002, "{underlying}: {moved}");
    }
}

/// The id of a row; a row with another id.
fn id_of(row: &str) -> &str {
    row.split(',').nth(2).unwrap()
}

fn with_id(row: &str, id: &str) -> String {
    let mut fields: Vec<&str> = row.split(',').collect();
    fields[2] = id;
    fields.join(",")
}

/// A master in which two contracts swapped ids, an index and a share got new ones, and
/// a contract is missing, as brokers do overnight.
struct NextDay {
    swapped: [InstrumentKey; 2],
    removed: InstrumentKey,
    kept: InstrumentKey,
    share: (InstrumentKey, InstrumentKey),
    registry: Arc<Registry>,
}

fn next_day() -> NextDay {
    let master = master("2026-02-09");
    let (header, rows) = master.split_once('\n').unwrap();
    let row_of = |key: InstrumentKey, start: &str| {
        let id = key.id.to_string();
        let is_it = |row: &&str| row.starts_with(start) && id_of(row) == id;
        rows.lines().position(|row| is_it(&row)).unwrap()
    };
    let (call, put) = (option(NIFTY, 0, true), option(NIFTY, 3, false));
    let (removed, kept) = (option(NIFTY, 1, true), option(NIFTY, 1, false));
    let share = key("RELIANCE");
    let mut lines: Vec<String> = rows.lines().map(str::to_owned).collect();
    let (a, b) = (row_of(call, "NSE,D,"), row_of(put, "NSE,D,"));
    lines[a] = with_id(&lines[a], &put.id.to_string());
    lines[b] = with_id(&lines[b], &call.id.to_string());
    let index = row_of(key(NIFTY), "NSE,I,");
    lines[index] = with_id(&lines[index], "999913");
    let equity = row_of(share, "NSE,E,");
    lines[equity] = with_id(&lines[equity], "992885");
    lines.remove(row_of(removed, "NSE,D,"));
    NextDay {
        swapped: [call, put],
        removed,
        kept,
        share: (share, InstrumentKey::new(Segment::NseEq, 992_885)),
        registry: load(&format!("{header}\n{}\n", lines.join("\n")), "2026-02-09"),
    }
}

#[test]
fn connections_live_through_a_new_master() {
    let NextDay {
        swapped: [call, put],
        removed,
        kept,
        share,
        registry: new,
    } = next_day();
    // The market that was never swapped says what contracts cost.
    let mut plain = Bench::new(Config::default());
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    bench.send(id, 21, &[call, put, removed, kept, share.0, share.1]);
    bench.poll(60.0);
    let state = bench.core.wire_state();
    let now = bench.now();
    bench.core.set_registry(now, Arc::clone(&new));
    assert_eq!(bench.core.wire_state(), state);

    let got = bench.poll(120.0).remove(&id).unwrap();
    let ids: Vec<InstrumentKey> = by_key(&got.packets).into_keys().collect();
    let mut expected = vec![share.1, call, put, kept];
    expected.sort_unstable();
    assert_eq!(ids, expected, "unlisted ids are silent, new ones are not");
    plain.poll(180.0);
    let mut costs = |key| plain.core.market().quote(key).unwrap().ltp;
    for packet in &got.packets {
        let contract = match packet.key() {
            key if key == call => put,
            key if key == put => call,
            key if key == share.1 => share.0,
            key => key,
        };
        let error = packet.price(8).as_f64() - costs(contract).as_f64();
        // The wire's single precision.
        assert!(error.abs() < 0.01, "{contract}: {error}");
    }
    assert_ne!(costs(call), costs(put));

    // New connections and messages are served as before.
    assert!(bench.core.set_price(
        InstrumentKey::new(Segment::IdxI, 999_913),
        Price::from_rupees(30_000)
    ));
    bench.send(id, 22, &[call]);
    let other = bench.connect(2);
    bench.send(other, 15, &[put]);
    assert_eq!(bench.codes(other, 0.0)[..], [2]);

    // And back: what was gone ticks again, once each.
    let now = bench.now();
    bench.core.set_registry(now, registry());
    let got = bench.poll(120.0).remove(&id).unwrap();
    let counts = by_key(&got.packets);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    let mut expected = vec![share.0, put, removed, kept];
    expected.sort_unstable();
    assert_eq!(counts.into_keys().collect::<Vec<_>>(), expected);
}
