use strikewire_types::{ExchangeTime, Mode, Price, PriceStep, Utc};

use super::{
    ASKED, ATP, BOOK, DAY, FINE, FLAGS, FROM_REST, HEAD, HIGH, Half, INTEREST, KNOWS_DEPTH,
    KNOWS_LEVEL, KNOWS_LTQ, KNOWS_OI, KNOWS_TOTAL_BUY, KNOWS_TOTAL_SELL, KNOWS_VOLUME, LAST,
    LEVELS, LOW, LTP, LTT, MODE, MODE_SHIFT, OI, OI_HIGH, OI_LOW, OPEN, ORDERS, PREV_CLOSE, PRICES,
    QUANTITIES, RECV, Row, TOTAL_BUY, TOTAL_SELL, TOTALS, TRADED, USED, VOLUME, WIDE, half, orders,
    place, set_half, unit, wide_place,
};
use crate::quote::{DEPTH, DepthLevel};

/// An open row. What is not set keeps what it had; setting `None` makes it unknown. A price
/// of 0 and a time of 1970-01-01 are none.
///
/// Prices are given one by one, or as a broker packs them: integers of the unit of their
/// step, [`PriceStep::unit`], 0 for none. Packed numbers are stored two at a time.
#[derive(Debug)]
pub struct RowWriter<'a> {
    words: Row<'a>,
    /// What the first word will be.
    head: u64,
    ltp: Option<Price>,
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

const fn prices(low: i32, high: i32) -> u64 {
    pair(low.cast_unsigned(), high.cast_unsigned())
}

impl<'a> RowWriter<'a> {
    /// Opens a row whose prices are kept as `step` says if nobody has written yet.
    #[inline(always)]
    pub(crate) fn new(words: Row<'a>, step: PriceStep) -> Self {
        let mut head = words.get(HEAD);
        if head & USED == 0 {
            head |= USED | if step.unit() == 1 { FINE } else { 0 };
        }
        Self {
            words,
            head,
            ltp: None,
        }
    }

    /// What is written comes from a packet.
    #[inline(always)]
    pub(crate) fn received(&mut self, recv: Utc) {
        self.words.set(RECV, recv.as_nanos().cast_unsigned());
    }

    /// What was written came as the answer to a request.
    pub(crate) fn asked(&mut self, at: Utc) {
        if self.ltp.is_some() {
            self.words.set(ASKED, at.as_nanos().cast_unsigned());
            self.head |= FROM_REST;
        }
    }

    /// Ends the write: the last price it gave.
    #[inline(always)]
    pub(crate) fn finish(self) -> Option<Price> {
        self.words.set(HEAD, self.head);
        self.ltp
    }

    fn half(&self, at: Half, number: u32) {
        set_half(self.words, at, number);
    }

    fn count(&mut self, flag: u64, at: Half, count: Option<u32>) {
        self.half(at, count.unwrap_or(0));
        self.know(flag, count.is_some());
    }

    fn know(&mut self, flag: u64, known: bool) {
        if known {
            self.head |= flag;
        } else {
            self.head &= !flag;
        }
    }

    fn price(&mut self, number: usize, price: Option<Price>) {
        let raw = price.map_or(0, Price::raw);
        self.head = set_price(self.words, self.head, number, raw);
    }

    /// The mode of the packet that is written.
    #[inline(always)]
    pub fn mode(&mut self, mode: Mode) {
        self.head = self.head & !MODE | (mode as u64 + 1) << MODE_SHIFT;
    }

    /// Last traded price.
    pub fn ltp(&mut self, price: impl Into<Option<Price>>) {
        self.ltp = price.into();
        self.head &= !FROM_REST;
        self.price(LTP, self.ltp);
    }

    /// When the last price traded.
    pub fn ltt(&mut self, time: impl Into<Option<ExchangeTime>>) {
        let seconds = time.into().map_or(0, ExchangeTime::as_seconds);
        self.half(LTT, u32::try_from(seconds).unwrap_or(0));
    }

    /// Quantity of the last trade.
    pub fn ltq(&mut self, quantity: impl Into<Option<u32>>) {
        let quantity: Option<u32> = quantity.into();
        self.head = self.head & FLAGS | u64::from(quantity.unwrap_or(0)) << 32;
        self.know(KNOWS_LTQ, quantity.is_some());
    }

    /// Average price of the day.
    pub fn atp(&mut self, price: impl Into<Option<Price>>) {
        self.price(ATP, price.into());
    }

    /// Quantity traded today.
    pub fn volume(&mut self, quantity: impl Into<Option<u32>>) {
        self.count(KNOWS_VOLUME, VOLUME, quantity.into());
    }

    /// Open interest.
    pub fn oi(&mut self, oi: impl Into<Option<u32>>) {
        self.count(KNOWS_OI, OI, oi.into());
    }

    /// Highest open interest of the day; 0 is none.
    pub fn oi_high(&mut self, oi: impl Into<Option<u32>>) {
        self.half(OI_HIGH, oi.into().unwrap_or(0));
    }

    /// Lowest open interest of the day; 0 is none.
    pub fn oi_low(&mut self, oi: impl Into<Option<u32>>) {
        self.half(OI_LOW, oi.into().unwrap_or(0));
    }

    /// First price of the day.
    pub fn open(&mut self, price: impl Into<Option<Price>>) {
        self.price(OPEN, price.into());
    }

    /// Highest price of the day.
    pub fn high(&mut self, price: impl Into<Option<Price>>) {
        self.price(HIGH, price.into());
    }

    /// Lowest price of the day.
    pub fn low(&mut self, price: impl Into<Option<Price>>) {
        self.price(LOW, price.into());
    }

    /// Close of the previous day.
    pub fn prev_close(&mut self, price: impl Into<Option<Price>>) {
        self.price(PREV_CLOSE, price.into());
    }

    /// Quantity bid for in the whole book.
    pub fn total_buy_qty(&mut self, quantity: impl Into<Option<u32>>) {
        self.count(KNOWS_TOTAL_BUY, TOTAL_BUY, quantity.into());
    }

    /// Quantity on offer in the whole book.
    pub fn total_sell_qty(&mut self, quantity: impl Into<Option<u32>>) {
        self.count(KNOWS_TOTAL_SELL, TOTAL_SELL, quantity.into());
    }

    /// Level `index` of the book, 0 being the best; a row keeps [`DEPTH`] of them and
    /// nothing of any further one.
    pub fn depth(&mut self, index: usize, level: DepthLevel) {
        if index >= DEPTH {
            return;
        }
        self.price(BOOK + 2 * index, level.bid);
        self.price(BOOK + 2 * index + 1, level.ask);
        self.words
            .set(QUANTITIES + index, pair(level.bid_qty, level.ask_qty));
        let both = u32::from(level.bid_orders) | u32::from(level.ask_orders) << 16;
        self.half(orders(index), both);
        self.head |= KNOWS_LEVEL << index;
    }

    /// Whether packed prices of `step` are what the row keeps.
    #[inline]
    fn keeps(&self, step: PriceStep) -> bool {
        self.head & (FINE | WIDE) == if step.unit() == 1 { FINE } else { 0 }
    }

    /// Last price, packed, and its time in Unix seconds, 0 for none. Changes neither when
    /// there is no price.
    #[inline(always)]
    pub fn packed_last(&mut self, step: PriceStep, ltp: i32, ltt: u32) {
        if ltp == 0 {
            return;
        }
        self.ltp = Some(Price::from_raw(i64::from(ltp) * step.unit()));
        self.head &= !FROM_REST;
        if self.keeps(step) {
            self.words.set(LAST, pair(ltp.cast_unsigned(), ltt));
        } else {
            self.head = unpack_last(self.words, self.head, step, ltp, ltt);
        }
    }

    /// Open, high and low of the day and the average price, packed. The previous close
    /// stays as it is when there is none.
    #[inline(always)]
    pub fn packed_day(&mut self, step: PriceStep, day: PackedDay) {
        if self.keeps(step) {
            let before = half(self.words, place(PREV_CLOSE)).cast_signed();
            let close = match day.prev_close {
                0 => before,
                close => close,
            };
            self.words.set(DAY, prices(day.open, close));
            self.words.set(DAY + 1, prices(day.high, day.low));
            self.words
                .set(TRADED, pair(day.atp.cast_unsigned(), day.volume));
        } else {
            self.head = unpack_day(self.words, self.head, step, day);
        }
        self.words
            .set(TOTALS, pair(day.total_buy_qty, day.total_sell_qty));
        self.head = self.head & FLAGS
            | u64::from(day.ltq) << 32
            | KNOWS_LTQ
            | KNOWS_VOLUME
            | KNOWS_TOTAL_BUY
            | KNOWS_TOTAL_SELL;
    }

    /// Open interest, now and at its highest and lowest of the day, and five levels: bids
    /// and asks, packed, quantities, and numbers of orders, each with the bid's first.
    #[inline(always)]
    pub fn packed_book(
        &mut self,
        step: PriceStep,
        [oi, high, low]: [u32; 3],
        levels: &[[i32; 2]; DEPTH],
        quantities: &[[u32; 2]; DEPTH],
        numbers: &[[u16; 2]; DEPTH],
    ) {
        let numbers = numbers.map(|[bid, ask]| u32::from(bid) | u32::from(ask) << 16);
        self.words.set(INTEREST, pair(oi, high));
        self.words.set(INTEREST + 1, pair(low, numbers[4]));
        self.words.set(ORDERS, pair(numbers[0], numbers[1]));
        self.words.set(ORDERS + 1, pair(numbers[2], numbers[3]));
        for (index, [bid, ask]) in quantities.iter().enumerate() {
            self.words.set(QUANTITIES + index, pair(*bid, *ask));
        }
        if self.keeps(step) {
            for (index, [bid, ask]) in levels.iter().enumerate() {
                self.words.set(LEVELS + index, prices(*bid, *ask));
            }
        } else {
            self.head = unpack_levels(self.words, self.head, step, *levels);
        }
        self.head |= KNOWS_OI | KNOWS_DEPTH;
    }
}

// What follows is not for the usual packet, and takes what it works on by value: a row that
// is open then stays in registers.

/// Sets a price of any size. What the first word will be after it.
fn set_price(words: Row<'_>, mut head: u64, number: usize, raw: i64) -> u64 {
    if head & WIDE == 0 {
        let unit = unit(head);
        if raw % unit == 0
            && let Ok(small) = i32::try_from(raw / unit)
        {
            set_half(words, place(number), small.cast_unsigned());
            return head;
        }
        head = widen(words, head);
    }
    set_wide(words, number, raw);
    head
}

fn set_wide(words: Row<'_>, number: usize, raw: i64) {
    let raw = raw.cast_unsigned();
    set_half(words, place(number), raw as u32);
    set_half(words, wide_place(number), (raw >> 32) as u32);
}

/// Gives every price its upper half.
#[cold]
fn widen(words: Row<'_>, head: u64) -> u64 {
    for number in 0..PRICES {
        let small = half(words, place(number)).cast_signed();
        set_wide(words, number, i64::from(small) * unit(head));
    }
    head | WIDE
}

fn unpack(words: Row<'_>, head: u64, number: usize, step: PriceStep, packed: i32) -> u64 {
    set_price(words, head, number, i64::from(packed) * step.unit())
}

#[cold]
fn unpack_last(words: Row<'_>, head: u64, step: PriceStep, ltp: i32, ltt: u32) -> u64 {
    set_half(words, LTT, ltt);
    unpack(words, head, LTP, step, ltp)
}

#[cold]
fn unpack_day(words: Row<'_>, mut head: u64, step: PriceStep, day: PackedDay) -> u64 {
    for (number, packed) in [
        (OPEN, day.open),
        (HIGH, day.high),
        (LOW, day.low),
        (ATP, day.atp),
    ] {
        head = unpack(words, head, number, step, packed);
    }
    if day.prev_close != 0 {
        head = unpack(words, head, PREV_CLOSE, step, day.prev_close);
    }
    set_half(words, VOLUME, day.volume);
    head
}

#[cold]
fn unpack_levels(words: Row<'_>, mut head: u64, step: PriceStep, levels: [[i32; 2]; DEPTH]) -> u64 {
    for (index, packed) in levels.into_iter().flatten().enumerate() {
        head = unpack(words, head, BOOK + index, step, packed);
    }
    head
}

/// What a packet says of the day, prices packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedDay {
    /// First price of the day.
    pub open: i32,
    /// Highest price of the day.
    pub high: i32,
    /// Lowest price of the day.
    pub low: i32,
    /// Close of the previous day.
    pub prev_close: i32,
    /// Average price of the day.
    pub atp: i32,
    /// Quantity traded today.
    pub volume: u32,
    /// Quantity of the last trade.
    pub ltq: u32,
    /// Quantity bid for in the whole book.
    pub total_buy_qty: u32,
    /// Quantity on offer in the whole book.
    pub total_sell_qty: u32,
}
