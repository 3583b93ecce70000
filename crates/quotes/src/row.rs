//! How a row lies in words.
//!
//! Prices and counts are 32-bit halves of words, so that a row is three cache lines and a
//! packet can be stored two numbers at a time. The first line, all that a ticker packet
//! needs, lies beside those of other slots, and so do the other two: what is often used
//! lies close together. A price is kept as an integer of the row's
//! unit, 0.01 rupee or, where the instrument's step is finer, 0.0001. The few prices that
//! are no such number make a row *wide*: every price of it then has an upper half in words
//! of its own.

mod writer;

use std::hint::black_box;

use strikewire_types::{ExchangeTime, InstrumentKey, Mode, Price, Utc};

use crate::guard::Words;
use crate::quote::{DEPTH, DepthLevel, LastPrice, Quote};
use crate::slot::{Head, SlotState};
use crate::sync::{AtomicU64, Ordering};

pub use writer::{PackedDay, RowWriter};

/// The lower half of a word, or the upper one.
#[derive(Debug, Clone, Copy)]
struct Half(usize, u32);

const fn lower(word: usize) -> Half {
    Half(word, 0)
}

const fn upper(word: usize) -> Half {
    Half(word, 32)
}

// The first cache line: what a ticker packet writes, and the day's prices.
/// Flags, and in the upper half the quantity of the last trade.
const HEAD: usize = 0;
/// When the latest packet was received.
const RECV: usize = 1;
/// Last price and when it traded.
const LAST: usize = 2;
/// Open and previous close; high and low.
const DAY: usize = 3;
// The second line.
/// Words of the first line.
pub(crate) const HEAD_WORDS: usize = 5;
/// Average price and volume.
const TRADED: usize = 5;
/// Quantities of the whole book, bid and asked.
const TOTALS: usize = 6;
/// Open interest and its highest; its lowest, and the orders of the fifth level.
const INTEREST: usize = 7;
/// Of every level bid and ask. The fifth begins the third line.
const LEVELS: usize = 9;
/// Of every level the quantities bid and asked.
const QUANTITIES: usize = LEVELS + DEPTH;
/// Of the first four levels the numbers of orders, two levels to a word.
const ORDERS: usize = QUANTITIES + DEPTH;
// What follows is rarely touched.
/// When a request was answered that wrote the last price.
const ASKED: usize = ORDERS + 2;
/// The upper halves of the prices of a wide row.
const WIDER: usize = ASKED + 1;
const PRICES: usize = 6 + 2 * DEPTH;
/// Words of the second and third line.
const BODY_WORDS: usize = ASKED - HEAD_WORDS;
const RARE_WORDS: usize = 1 + PRICES / 2;

const LTQ: Half = upper(HEAD);
const LTT: Half = upper(LAST);
const VOLUME: Half = upper(TRADED);
const TOTAL_BUY: Half = lower(TOTALS);
const TOTAL_SELL: Half = upper(TOTALS);
const OI: Half = lower(INTEREST);
const OI_HIGH: Half = upper(INTEREST);
const OI_LOW: Half = lower(INTEREST + 1);

/// Where the numbers of orders of a level are, bid above ask.
const fn orders(level: usize) -> Half {
    match level {
        0 => lower(ORDERS),
        1 => upper(ORDERS),
        2 => lower(ORDERS + 1),
        3 => upper(ORDERS + 1),
        _ => upper(INTEREST + 1),
    }
}

// Prices by number.
const LTP: usize = 0;
const OPEN: usize = 1;
const PREV_CLOSE: usize = 2;
const HIGH: usize = 3;
const LOW: usize = 4;
const ATP: usize = 5;
/// Bids and asks of the levels in turn.
const BOOK: usize = 6;

/// Where the lower half of a price is, which is all of it unless the row is wide.
const fn place(price: usize) -> Half {
    match price {
        LTP => lower(LAST),
        OPEN => lower(DAY),
        PREV_CLOSE => upper(DAY),
        HIGH => lower(DAY + 1),
        LOW => upper(DAY + 1),
        ATP => lower(TRADED),
        _ => Half(LEVELS + (price - BOOK) / 2, parity(price)),
    }
}

/// Where the upper half of a price is if the row is wide.
const fn wide_place(price: usize) -> Half {
    Half(WIDER + price / 2, parity(price))
}

const fn parity(number: usize) -> u32 {
    number as u32 % 2 * 32
}

// The flags. A count is known if its flag is there; other numbers are known if they are
// not 0.
const KNOWS_LTQ: u64 = 1;
const KNOWS_VOLUME: u64 = 1 << 1;
const KNOWS_TOTAL_BUY: u64 = 1 << 2;
const KNOWS_TOTAL_SELL: u64 = 1 << 3;
const KNOWS_OI: u64 = 1 << 4;
/// The first level; the others follow.
const KNOWS_LEVEL: u64 = 1 << 5;
const KNOWS_DEPTH: u64 = KNOWS_LEVEL * ((1 << DEPTH) - 1);
/// The mode of the latest packet that has one: 0 for none, 1 to 3.
const MODE_SHIFT: u32 = 10;
const MODE: u64 = 3 << MODE_SHIFT;
/// The last price came as the answer to a request.
const FROM_REST: u64 = 1 << 12;
/// Somebody has written.
const USED: u64 = 1 << 13;
/// The unit of prices is 0.0001 rupee, not 0.01.
const FINE: u64 = 1 << 14;
/// Prices are in units of 0.0001 rupee and have upper halves.
const WIDE: u64 = 1 << 15;
const FLAGS: u64 = 0xffff_ffff;

const _: () = assert!(size_of::<Body>() == 128);

/// What a row holds beyond its first line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Body([AtomicU64; BODY_WORDS]);

/// What is rarely touched of a row.
#[derive(Debug)]
pub(crate) struct Rare([AtomicU64; RARE_WORDS]);

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

impl Body {
    pub(crate) fn new() -> Self {
        Self(zeros())
    }
}

impl Rare {
    pub(crate) fn new() -> Self {
        Self(zeros())
    }
}

/// A row, whose words lie in three places.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) state: &'a SlotState,
    pub(crate) body: &'a Body,
    pub(crate) rare: &'a Rare,
}

impl Row<'_> {
    #[inline]
    fn word(&self, index: usize) -> &AtomicU64 {
        if index < HEAD_WORDS {
            &self.state.head.0[index]
        } else if index < ASKED {
            &self.body.0[index - HEAD_WORDS]
        } else {
            &self.rare.0[index - ASKED]
        }
    }

    /// Reads a word of each cache line that a packet of `mode` touches, to no end but to
    /// have them near.
    #[inline(always)]
    pub(crate) fn fetch(self, mode: Mode) {
        black_box(self.get(HEAD));
        if mode >= Mode::Quote {
            black_box(self.get(TRADED));
        }
        if mode >= Mode::Full {
            black_box(self.get(QUANTITIES));
        }
    }

    #[inline]
    fn get(self, index: usize) -> u64 {
        self.word(index).load(Ordering::Relaxed)
    }

    #[inline]
    fn set(self, index: usize, word: u64) {
        self.word(index).store(word, Ordering::Relaxed);
    }
}

impl Words for Row<'_> {
    #[cold]
    fn clear(self) {
        let Head(head) = &self.state.head;
        for word in head.iter().chain(&self.body.0).chain(&self.rare.0) {
            word.store(0, Ordering::Relaxed);
        }
    }
}

#[inline]
fn half(words: Row<'_>, Half(word, shift): Half) -> u32 {
    (words.get(word) >> shift) as u32
}

#[inline]
fn set_half(words: Row<'_>, Half(word, shift): Half, number: u32) {
    let rest = words.get(word) & !(FLAGS << shift);
    words.set(word, rest | u64::from(number) << shift);
}

/// The unit of the prices of a row that is not wide, in 1e-4 rupee.
#[inline]
const fn unit(head: u64) -> i64 {
    if head & FINE == 0 { 100 } else { 1 }
}

fn price(words: Row<'_>, head: u64, number: usize) -> Option<Price> {
    let low = half(words, place(number));
    let raw = if head & WIDE == 0 {
        i64::from(low.cast_signed()) * unit(head)
    } else {
        let high = half(words, wide_place(number));
        (u64::from(high) << 32 | u64::from(low)).cast_signed()
    };
    (raw != 0).then(|| Price::from_raw(raw))
}

fn mode(head: u64) -> Option<Mode> {
    match (head & MODE) >> MODE_SHIFT {
        0 => None,
        1 => Some(Mode::Ticker),
        2 => Some(Mode::Quote),
        _ => Some(Mode::Full),
    }
}

fn time(words: Row<'_>) -> Option<ExchangeTime> {
    let seconds = half(words, LTT);
    (seconds != 0).then(|| ExchangeTime::from_seconds(seconds.into()))
}

fn level(words: Row<'_>, head: u64, index: usize) -> DepthLevel {
    let quantities = words.get(QUANTITIES + index);
    let orders = half(words, orders(index));
    DepthLevel {
        bid: price(words, head, BOOK + 2 * index),
        bid_qty: quantities as u32,
        bid_orders: orders as u16,
        ask: price(words, head, BOOK + 2 * index + 1),
        ask_qty: (quantities >> 32) as u32,
        ask_orders: (orders >> 16) as u16,
    }
}

/// The whole row if it is `tag`'s.
pub(crate) fn read(words: Row<'_>, tag: u64, key: InstrumentKey) -> Option<Quote> {
    words.state.guard.read(tag, || {
        let head = words.get(HEAD);
        let price = |number| price(words, head, number);
        let count = |flag, at| (head & flag != 0).then(|| half(words, at));
        let extreme = |at| Some(half(words, at)).filter(|&number| number != 0);
        Quote {
            key,
            ltp: price(LTP),
            ltt: time(words),
            recv: Utc::from_nanos(words.get(RECV).cast_signed()),
            mode: mode(head),
            from_rest: (head & FROM_REST != 0)
                .then(|| Utc::from_nanos(words.get(ASKED).cast_signed())),
            ltq: count(KNOWS_LTQ, LTQ),
            atp: price(ATP),
            volume: count(KNOWS_VOLUME, VOLUME),
            oi: count(KNOWS_OI, OI),
            oi_high: extreme(OI_HIGH),
            oi_low: extreme(OI_LOW),
            open: price(OPEN),
            high: price(HIGH),
            low: price(LOW),
            prev_close: price(PREV_CLOSE),
            total_buy_qty: count(KNOWS_TOTAL_BUY, TOTAL_BUY),
            total_sell_qty: count(KNOWS_TOTAL_SELL, TOTAL_SELL),
            depth: (head & KNOWS_DEPTH != 0)
                .then(|| std::array::from_fn(|index| level(words, head, index))),
        }
    })
}

/// The last price of the row if it is `tag`'s and has one.
pub(crate) fn read_last(words: Row<'_>, tag: u64) -> Option<LastPrice> {
    let last = words.state.guard.read(tag, || {
        let head = words.get(HEAD);
        let recv = if head & FROM_REST == 0 { RECV } else { ASKED };
        price(words, head, LTP).map(|ltp| LastPrice {
            ltp,
            ltt: time(words),
            recv: Utc::from_nanos(words.get(recv).cast_signed()),
        })
    });
    last.flatten()
}

/// When the latest packet was received and the mode, if the row is `tag`'s and had one.
pub(crate) fn read_heard(words: Row<'_>, tag: u64) -> Option<(Utc, Option<Mode>)> {
    let heard = words.state.guard.read(tag, || {
        let nanos = words.get(RECV).cast_signed();
        (nanos != 0).then(|| (Utc::from_nanos(nanos), mode(words.get(HEAD))))
    });
    heard.flatten()
}

/// When the latest packet of `tag` was received, for the row's writer alone; none when
/// there was none.
pub(crate) fn written_recv(row: Row<'_>, tag: u64) -> Option<Utc> {
    let nanos = row.get(RECV).cast_signed();
    (nanos != 0 && row.state.guard.is_of(tag)).then(|| Utc::from_nanos(nanos))
}
