mod day;
mod faults;
mod modes;
mod scenarios;

use core::time::Duration;

use proptest::prelude::*;
use strikewire_dhan::wire::MAX_INSTRUMENTS;
use strikewire_types::Exchange;

use super::*;
use crate::config::Credentials;
use crate::fixture::{NIFTY, at, key, option, registry};

const QUERY: &str = "version=2&token=secret&clientId=1000&authType=2";

/// A core, its time, and what it has to send.
struct Bench {
    core: Core,
    seconds: f64,
}

/// What a connection got: packets in order, and whether it was closed after them.
#[derive(Debug, Default, PartialEq)]
struct Got {
    frames: usize,
    packets: Vec<Packet>,
    closed: bool,
}

#[derive(Debug, PartialEq)]
struct Packet(Vec<u8>);

// The layouts are written out here, by offset, from the broker's documentation.
impl Packet {
    fn code(&self) -> u8 {
        self.0[0]
    }
    fn key(&self) -> InstrumentKey {
        InstrumentKey::new(Segment::from_code(self.0[3]).unwrap(), self.u32(4))
    }
    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.0[at..at + 2].try_into().unwrap())
    }
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }
    fn price(&self, at: usize) -> Price {
        let rupees = f32::from_le_bytes(self.0[at..at + 4].try_into().unwrap());
        Price::from_f64((f64::from(rupees) * 100.0).round() / 100.0).unwrap()
    }
}

fn split(mut frame: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while !frame.is_empty() {
        let length = usize::from(u16::from_le_bytes([frame[1], frame[2]]));
        let (packet, rest) = frame.split_at(length);
        packets.push(Packet(packet.to_vec()));
        frame = rest;
    }
    packets
}

impl Bench {
    fn new(config: Config) -> Self {
        Self {
            core: Core::new(registry(), config, at(0.0)),
            seconds: 0.0,
        }
    }

    fn now(&self) -> Now {
        at(self.seconds)
    }

    fn connect(&mut self, client: u32) -> SessionId {
        let query = format!("version=2&token=t&clientId={client}&authType=2");
        self.core.handle_connect(self.now(), &query).unwrap()
    }

    fn send(&mut self, id: SessionId, code: u8, keys: &[InstrumentKey]) {
        let text = message(code, keys.len(), keys);
        self.core.handle_text(self.now(), id, &text);
    }

    /// After `seconds`, what each connection got.
    fn poll(&mut self, seconds: f64) -> BTreeMap<SessionId, Got> {
        self.seconds += seconds;
        let mut out = Vec::new();
        let now = self.now();
        self.core.poll(now, &mut out);
        let mut got: BTreeMap<SessionId, Got> = BTreeMap::new();
        for (id, output) in out {
            let got = got.entry(id).or_default();
            assert!(!got.closed, "something follows the end");
            match output {
                Output::Frame(frame) => {
                    got.frames += 1;
                    got.packets.extend(split(&frame));
                }
                Output::Transport(_) => {}
                Output::Close | Output::CloseFrame { .. } | Output::Reset => got.closed = true,
            }
        }
        got
    }

    fn codes(&mut self, id: SessionId, seconds: f64) -> Vec<u8> {
        let got = self.poll(seconds).remove(&id).unwrap_or_default();
        got.packets.iter().map(Packet::code).collect()
    }
}

fn message(code: u8, count: usize, keys: &[InstrumentKey]) -> String {
    let list: Vec<String> = keys
        .iter()
        .map(|key| {
            format!(
                r#"{{"ExchangeSegment":"{}","SecurityId":"{}"}}"#,
                key.segment, key.id
            )
        })
        .collect();
    format!(
        r#"{{"RequestCode":{code},"InstrumentCount":{count},"InstrumentList":[{}]}}"#,
        list.join(",")
    )
}

/// Distinct contracts, as many as asked for.
fn contracts(count: usize) -> Vec<InstrumentKey> {
    let keys: Vec<InstrumentKey> = registry()
        .segment(Segment::NseFno)
        .take(count)
        .map(|found| found.key())
        .collect();
    assert_eq!(keys.len(), count);
    keys
}

#[test]
fn a_connection_must_name_version_token_client_and_kind() {
    for (query, expected) in [
        (QUERY, Ok(())),
        (
            "authType=2&clientId=1&token=a%2Bb&version=2&extra=1",
            Ok(()),
        ),
        ("", Err(400)),
        ("version=1&token=t&clientId=1&authType=2", Err(400)),
        ("version=2&token=t&clientId=1", Err(400)),
        ("version=2&token=t&clientId=1&authType=1", Err(400)),
        ("version=2&token=&clientId=1&authType=2", Err(401)),
        ("version=2&clientId=1&authType=2", Err(401)),
        ("version=2&token=t&authType=2", Err(401)),
    ] {
        let mut bench = Bench::new(Config::default());
        let answer = bench.core.handle_connect(bench.now(), query);
        assert_eq!(
            answer.map(|_| ()).map_err(|refusal| refusal.status),
            expected,
            "{query}"
        );
        let report = bench.core.counters();
        assert_eq!(
            (report.connected, report.refused),
            if expected.is_ok() { (1, 0) } else { (0, 1) }
        );
    }
    let mut bench = Bench::new(Config {
        credentials: Some(Credentials {
            client_id: "1000".to_owned(),
            token: "secret".to_owned(),
        }),
        ..Config::default()
    });
    assert!(bench.core.handle_connect(at(0.0), QUERY).is_ok());
    for wrong in [
        QUERY.replace("secret", "other"),
        QUERY.replace("1000", "1001"),
    ] {
        assert_eq!(
            bench
                .core
                .handle_connect(at(0.0), &wrong)
                .unwrap_err()
                .status,
            401
        );
    }
    assert!(!format!("{:?}", bench.core).contains("secret"));
}

#[test]
fn a_subscription_is_answered_with_the_state_at_once() {
    let (index, share, future) = (key(NIFTY), key("RELIANCE"), key("GOLD_03APR2026_FUT"));
    let contract = option(NIFTY, 0, true);
    for (what, key, code, expected) in [
        ("index, ticker", index, 15, &[6, 2][..]),
        ("index, quote", index, 17, &[6, 4]),
        ("index, full", index, 21, &[6, 4]),
        ("share, ticker", share, 15, &[2]),
        ("share, quote", share, 17, &[4]),
        ("share, full", share, 21, &[8]),
        ("future, ticker", future, 15, &[2]),
        ("future, quote", future, 17, &[4, 5]),
        ("future, full", future, 21, &[8]),
        ("option, quote", contract, 17, &[4, 5]),
        ("option, full", contract, 21, &[8]),
    ] {
        let mut bench = Bench::new(Config::default());
        let id = bench.connect(1);
        bench.send(id, code, &[key]);
        let got = bench.poll(0.0).remove(&id).unwrap();
        assert_eq!(
            got.packets.iter().map(Packet::code).collect::<Vec<_>>(),
            expected,
            "{what}"
        );
        assert!(
            got.packets.iter().all(|packet| packet.key() == key),
            "{what}"
        );
        assert!(!got.closed, "{what}");
    }
}

#[test]
fn packets_say_what_the_market_says() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    bench.poll(100.0);
    let (contract, index) = (option(NIFTY, 0, true), key(NIFTY));
    bench.send(id, 21, &[contract]);
    bench.send(id, 17, &[index]);
    let packets = bench.poll(0.0).remove(&id).unwrap().packets;
    let quote = bench.core.market().quote(contract).unwrap();
    let interest = quote.interest.unwrap();
    let full = &packets[0];
    assert_eq!(full.0.len(), 162);
    assert_eq!(full.price(8), quote.ltp);
    assert_eq!(u32::from(full.u16(12)), quote.ltq);
    // The wall clock of India as if it were UTC.
    assert_eq!(i64::from(full.u32(14)), quote.traded_at + 5 * 3600 + 1800);
    assert_eq!(full.price(18), quote.atp);
    assert_eq!(
        [22, 26, 30, 34, 38, 42].map(|at| full.u32(at)),
        [
            quote.volume,
            quote.total_sell_qty,
            quote.total_buy_qty,
            interest.now,
            interest.high,
            interest.low
        ]
    );
    assert_eq!(
        [46, 50, 54, 58].map(|at| full.price(at)),
        [quote.open, quote.prev_close, quote.high, quote.low]
    );
    for (row, level) in quote.depth.iter().enumerate() {
        let start = 62 + 20 * row;
        assert_eq!(
            (full.u32(start), full.u32(start + 4)),
            (level.bid_qty, level.ask_qty)
        );
        assert_eq!(
            (full.u16(start + 8), full.u16(start + 10)),
            (level.bid_orders, level.ask_orders)
        );
        assert_eq!(
            (full.price(start + 12), full.price(start + 16)),
            (level.bid, level.ask)
        );
    }

    let quote = bench.core.market().quote(index).unwrap();
    assert_eq!(packets[1].price(8), quote.prev_close);
    let second = &packets[2];
    assert_eq!((second.0.len(), second.price(8)), (50, quote.ltp));
    // 2026-02-09 10:01:40 in India.
    assert_eq!(second.u32(14), 1_770_631_300);
    assert_eq!(
        [34, 38, 42, 46].map(|at| second.price(at)),
        [quote.open, quote.prev_close, quote.high, quote.low]
    );
}

#[test]
fn what_trades_is_sent_once_a_poll() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    let index = key(NIFTY);
    bench.send(id, 15, &[index]);
    assert_eq!(bench.codes(id, 0.0), [6, 2]);
    let mut prices = Vec::new();
    for _ in 0..40 {
        let got = bench.poll(0.25).remove(&id).unwrap();
        assert_eq!(got.packets.len(), 1);
        prices.push(got.packets[0].price(8));
    }
    prices.dedup();
    assert!(prices.len() > 10, "{prices:?}");
    assert!(bench.codes(id, 0.1).is_empty());
    // A minute later it is still one packet.
    assert_eq!(bench.codes(id, 60.0), [2]);
    // And after a pause longer than anything can be scheduled ahead.
    assert_eq!(bench.codes(id, 100_000.0), [2]);
    assert_eq!(bench.codes(id, 0.25), [2]);

    // An option near the money trades once or twice a second.
    let contract = option(NIFTY, 0, false);
    bench.send(id, 16, &[index]);
    bench.send(id, 17, &[contract]);
    bench.poll(0.0);
    let packets: usize = (0..240).map(|_| bench.codes(id, 0.25).len()).sum();
    assert!(
        (120..=240).contains(&packets),
        "{packets} quotes and open interests in a minute"
    );
}

#[test]
fn the_highest_mode_held_is_sent() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    let share = key("RELIANCE");
    // A request, its answer, the modes held then, and what is sent at the next trade.
    type Case<'a> = (u8, &'a [u8], &'a [Mode], &'a [u8]);
    let steps: [Case<'_>; 7] = [
        (15, &[2], &[Mode::Ticker], &[2]),
        (21, &[8], &[Mode::Ticker, Mode::Full], &[8]),
        (17, &[8], &[Mode::Ticker, Mode::Quote, Mode::Full], &[8]),
        (22, &[], &[Mode::Ticker, Mode::Quote], &[4]),
        (22, &[], &[Mode::Ticker, Mode::Quote], &[4]),
        (18, &[], &[Mode::Ticker], &[2]),
        (16, &[], &[], &[]),
    ];
    for (code, at_once, modes, then) in steps {
        bench.send(id, code, &[share]);
        assert_eq!(bench.codes(id, 0.0), at_once, "code {code}");
        let held = bench.core.wire_state()[&id]
            .get(&share)
            .copied()
            .unwrap_or_default();
        assert_eq!(held, modes.iter().copied().collect(), "code {code}");
        // A share with options trades at every step.
        assert_eq!(bench.codes(id, 0.25), then, "code {code}");
    }
    assert_eq!(bench.core.counters().sessions[&id].not_held, 1);
    assert!(bench.core.wire_state()[&id].is_empty());
}

#[test]
fn coming_back_does_not_double_the_ticks() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    let share = key("RELIANCE");
    for _ in 0..5 {
        bench.send(id, 15, &[share]);
        bench.send(id, 15, &[share]);
        bench.send(id, 16, &[share]);
    }
    bench.send(id, 15, &[share]);
    bench.poll(0.0);
    assert_eq!(bench.codes(id, 0.25), [2]);
    assert_eq!(bench.codes(id, 0.25), [2]);
    let counters = bench.core.counters().sessions[&id];
    assert_eq!(
        (counters.messages, counters.duplicates, counters.not_held),
        (16, 5, 0)
    );
    assert_eq!((counters.instruments, counters.peak), (1, 1));
}

#[test]
fn a_sixth_connection_ends_the_oldest() {
    let mut bench = Bench::new(Config::default());
    let other = bench.connect(2);
    let mine: Vec<SessionId> = (0..5).map(|_| bench.connect(1)).collect();
    assert!(bench.poll(0.0).is_empty());
    let sixth = bench.connect(1);
    let mut got = bench.poll(0.0);
    let oldest = got.remove(&mine[0]).unwrap();
    assert!(got.is_empty() && oldest.closed);
    let goodbye = &oldest.packets[..];
    // Code 50, 10 bytes, reason 805 = 0x325.
    assert_eq!(goodbye, [Packet(vec![50, 10, 0, 0, 0, 0, 0, 0, 0x25, 3])]);
    let alive: Vec<SessionId> = bench.core.wire_state().into_keys().collect();
    assert_eq!(alive, [other, mine[1], mine[2], mine[3], mine[4], sixth]);
    bench.send(sixth, 15, &[key(NIFTY)]);
    assert_eq!(bench.codes(sixth, 0.0), [6, 2]);
    assert_eq!(bench.core.counters().displaced, 1);

    // A closed one makes room.
    let now = bench.now();
    bench.core.handle_close(now, mine[1]);
    bench.connect(1);
    assert!(bench.poll(0.0).is_empty());
}

/// Sends texts one after the other; what the last one leads to.
fn check(config: &Config, texts: &[String], expected: Option<u16>) -> Report {
    let mut bench = Bench::new(config.clone());
    let id = bench.connect(1);
    for text in texts {
        assert!(
            bench.poll(0.0).remove(&id).is_none_or(|got| !got.closed),
            "too early: {texts:?}"
        );
        let now = bench.now();
        bench.core.handle_text(now, id, text);
    }
    let got = bench.poll(0.0).remove(&id).unwrap_or_default();
    let last = got
        .packets
        .last()
        .filter(|packet| packet.code() == 50)
        .map(|packet| packet.u16(8));
    assert_eq!(last, expected, "{texts:?}");
    assert_eq!(got.closed, expected.is_some());
    assert_eq!(
        bench.core.wire_state().contains_key(&id),
        expected.is_none()
    );
    let report = bench.core.counters();
    // What comes after the end is ignored.
    let now = bench.now();
    bench
        .core
        .handle_text(now, id, &message(15, 1, &[key(NIFTY)]));
    assert_eq!(bench.poll(0.25).contains_key(&id), expected.is_none());
    report
}

#[test]
fn bad_requests_end_the_connection() {
    let one = contracts(1);
    let index = key(NIFTY);
    let texts = [
        (String::new(), Some(814)),
        ("hello".to_owned(), Some(814)),
        ("{}".to_owned(), Some(814)),
        (r#"{"RequestCode":"15"}"#.to_owned(), Some(814)),
        (message(15, 0, &[]), Some(814)),
        (message(15, 2, &one), Some(814)),
        (message(19, 1, &one), Some(814)),
        (message(23, 1, &one), Some(814)),
        (message(0, 1, &one), Some(814)),
        (
            message(15, 1, &one).replace("NSE_FNO", "NSE_XXX"),
            Some(814),
        ),
        (
            message(15, 1, &[index]).replace("\"13\"", "\"NIFTY\""),
            Some(813),
        ),
        (
            message(15, 1, &[index]).replace("\"13\"", "\"\""),
            Some(813),
        ),
        (message(11, 0, &[]), None),
        (
            message(15, 1, &[InstrumentKey::new(Segment::NseFno, 1)]),
            None,
        ),
        (message(16, 1, &one), None),
    ];
    for (text, expected) in texts {
        let report = check(&Config::default(), &[text], expected);
        assert_eq!(report.total().invalid, u64::from(expected.is_some()));
    }
}

#[test]
fn limits_are_the_brokers() {
    let config = Config::default();
    let all = contracts(MAX_INSTRUMENTS + 1);
    let report = check(&config, &[message(15, 100, &all[..100])], None);
    assert_eq!((report.total().oversized, report.total().peak), (0, 100));
    let report = check(&config, &[message(15, 101, &all)], Some(804));
    assert_eq!((report.total().oversized, report.total().peak), (1, 0));

    let tight = Config {
        instruments: 10,
        ..Config::default()
    };
    let full = message(21, 10, &all[..10]);
    let again = message(15, 10, &all[..10]);
    let let_go = message(22, 1, &all[..1]);
    let one_more = message(21, 1, &all[10..11]);
    // Another mode of a held instrument needs no room; a new instrument does.
    let report = check(&tight, &[full.clone(), again, full.clone()], None);
    assert_eq!((report.total().duplicates, report.total().peak), (10, 10));
    check(&tight, &[full.clone(), one_more.clone()], Some(804));
    check(&tight, &[full, let_go, one_more], None);
}

#[test]
fn five_thousand_instruments_fit() {
    let all = contracts(1_500);
    let mut bench = Bench::new(Config {
        instruments: 1_499,
        ..Config::default()
    });
    let id = bench.connect(1);
    for batch in all.chunks(100) {
        bench.send(id, 15, batch);
    }
    let got = bench.poll(0.0).remove(&id).unwrap();
    // Every instrument up to the limit, then the goodbye.
    assert_eq!(got.packets.len(), 1_500);
    assert_eq!(got.packets[1_499].u16(8), 804);
    assert_eq!(bench.core.counters().sessions[&id].peak, 1_499);
}

#[test]
fn a_client_can_leave() {
    let mut bench = Bench::new(Config {
        log: 2,
        ..Config::default()
    });
    let id = bench.connect(1);
    bench.send(id, 15, &[key("RELIANCE")]);
    let now = bench.now();
    bench.core.handle_text(now, id, r#"{"RequestCode":12}"#);
    let got = bench.poll(0.25).remove(&id).unwrap();
    assert_eq!((got.packets.len(), got.closed), (1, true));
    assert!(bench.core.wire_state().is_empty());
    bench.core.handle_close(now, id);
    bench.core.handle_close(now, id);
    // The latest two events are kept.
    let events: Vec<Event> = bench.core.log().map(|entry| entry.event.clone()).collect();
    let request = Event::Request {
        code: RequestCode::SubscribeTicker,
        keys: vec![key("RELIANCE")],
    };
    assert_eq!(events, [request, Event::Left]);
    let counters = bench.core.counters().sessions[&id];
    assert_eq!(
        (counters.messages, counters.instruments, counters.peak),
        (2, 0, 1)
    );
}

#[test]
fn frames_carry_as_many_packets_as_allowed() {
    let keys = contracts(20);
    for (size, frames) in [(1, 40), (8, 5), (100, 1), (0, 40)] {
        let mut bench = Bench::new(Config {
            packets_per_frame: size,
            ..Config::default()
        });
        let id = bench.connect(1);
        bench.send(id, 17, &keys);
        let got = bench.poll(0.0).remove(&id).unwrap();
        assert_eq!(
            (got.packets.len(), got.frames),
            (40, frames),
            "{size} to a frame"
        );
        let counters = bench.core.counters().total();
        assert_eq!((counters.packets, counters.bytes), (40, 20 * (50 + 12)));
    }
}

#[test]
fn everybody_sees_the_same_market() {
    let mut bench = Bench::new(Config::default());
    let (first, late) = (bench.connect(1), bench.connect(2));
    let keys = [option(NIFTY, 1, true), key("RELIANCE")];
    bench.send(first, 21, &keys);
    for _ in 0..100 {
        bench.poll(0.25);
    }
    bench.send(late, 21, &keys);
    bench.poll(0.0);
    for _ in 0..100 {
        let mut got = bench.poll(0.25);
        assert_eq!(
            got.remove(&first).map(|got| got.packets),
            got.remove(&late).map(|got| got.packets)
        );
    }
}

#[test]
fn a_moved_underlying_is_seen_on_the_wire() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    bench.send(id, 15, &[key(NIFTY)]);
    bench.poll(0.0);
    assert!(bench.core.set_price(key(NIFTY), Price::from_rupees(30_000)));
    let price = bench.poll(0.25).remove(&id).unwrap().packets[0].price(8);
    assert!(
        (price.raw() - Price::from_rupees(30_000).raw()).abs() < 100 * 10_000,
        "{price}"
    );
}

#[test]
fn a_slow_client_is_counted_also_when_it_is_gone() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    bench.core.count_dropped(id, 3);
    let now = bench.now();
    bench.core.handle_close(now, id);
    bench.core.count_dropped(id, 4);
    assert_eq!(bench.core.counters().total().dropped, 7);
}

#[test]
fn the_clock_may_stand_still_or_go_back() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(1);
    bench.send(id, 15, &[key(NIFTY)]);
    bench.poll(10.0);
    bench.seconds = 0.0;
    assert!(bench.poll(5.0).is_empty());
    assert_eq!(bench.codes(id, 5.25), [2]);
    let far = bench.now() + Duration::from_secs(400 * 86_400);
    bench.core.poll(far, &mut Vec::new());
}

#[test]
fn the_fixture_has_what_the_tests_need() {
    assert!(registry().option_expiries(Exchange::Nse, NIFTY).len() > 1);
}

proptest! {
    #[test]
    fn no_text_panics(texts in prop::collection::vec(".*", 1..4)) {
        let mut bench = Bench::new(Config::default());
        let id = bench.connect(1);
        for text in texts {
            let now = bench.now();
            bench.core.handle_text(now, id, &text);
        }
        bench.poll(1.0);
    }

    #[test]
    fn no_request_panics(
        code in 0_u8..30,
        count in 0_usize..4,
        list in prop::collection::vec(("[A-Z_]{0,12}|NSE_EQ|IDX_I", "[0-9]{0,12}|-1|13|2885"), 0..4),
    ) {
        let list: Vec<String> = list
            .iter()
            .map(|(segment, id)| format!(r#"{{"ExchangeSegment":"{segment}","SecurityId":"{id}"}}"#))
            .collect();
        let text = format!(r#"{{"RequestCode":{code},"InstrumentCount":{count},"InstrumentList":[{}]}}"#, list.join(","));
        let mut bench = Bench::new(Config::default());
        let id = bench.connect(1);
        let now = bench.now();
        bench.core.handle_text(now, id, &text);
        bench.poll(1.0);
    }

    #[test]
    fn no_query_panics(query in ".*") {
        let mut bench = Bench::new(Config::default());
        let _ = bench.core.handle_connect(at(0.0), &query);
    }
}
