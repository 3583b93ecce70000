//! From what a broker says to the fields of a row.

use strikewire_broker::{
    DayPrices, DepthLevel, Full, Oi, Packed, PackedQuote, Quote, Snapshot, Ticker, Update,
};
use strikewire_quotes::{self as quotes, PackedDay, RowWriter};
use strikewire_types::{Mode, PriceStep};

pub(super) fn update(row: &mut RowWriter<'_>, update: &Update) {
    match update {
        Update::Ticker(said) => {
            row.mode(Mode::Ticker);
            ticker(row, said);
        }
        Update::Quote(said) => {
            row.mode(Mode::Quote);
            quote(row, said);
        }
        Update::Full(Full {
            quote: said,
            oi,
            depth: levels,
        }) => {
            row.mode(Mode::Full);
            quote(row, said);
            row.oi(oi.oi);
            row.oi_high(oi.high);
            row.oi_low(oi.low);
            depth(row, levels);
        }
        Update::Oi(said) => open_interest(row, said),
        Update::PrevClose(close) => row.prev_close(close.price),
        // Kinds that are yet to come.
        _ => {}
    }
}

fn ticker(row: &mut RowWriter<'_>, ticker: &Ticker) {
    if ticker.ltp.is_some() {
        row.ltp(ticker.ltp);
        row.ltt(ticker.ltt);
    }
}

fn quote(row: &mut RowWriter<'_>, quote: &Quote) {
    ticker(row, &quote.ticker);
    row.ltq(quote.ltq);
    row.atp(quote.atp);
    row.volume(quote.volume);
    row.total_buy_qty(quote.total_buy_qty);
    row.total_sell_qty(quote.total_sell_qty);
    let DayPrices {
        open,
        high,
        low,
        prev_close,
    } = quote.day;
    row.open(open);
    row.high(high);
    row.low(low);
    if prev_close.is_some() {
        row.prev_close(prev_close);
    }
}

fn open_interest(row: &mut RowWriter<'_>, oi: &Oi) {
    row.oi(oi.oi);
    if oi.high.is_some() {
        row.oi_high(oi.high);
    }
    if oi.low.is_some() {
        row.oi_low(oi.low);
    }
}

fn depth(row: &mut RowWriter<'_>, levels: &[DepthLevel; 5]) {
    for (index, level) in levels.iter().enumerate() {
        row.depth(
            index,
            quotes::DepthLevel {
                bid: level.bid,
                bid_qty: level.bid_qty,
                bid_orders: level.bid_orders,
                ask: level.ask,
                ask_qty: level.ask_qty,
                ask_orders: level.ask_orders,
            },
        );
    }
}

/// The same as [`update`] for what is packed.
#[inline(always)]
pub(super) fn packed(row: &mut RowWriter<'_>, step: PriceStep, packed: &Packed) {
    match packed {
        Packed::Ticker(said) => {
            row.mode(Mode::Ticker);
            row.packed_last(step, said.ltp, said.ltt);
        }
        Packed::Quote(said) => {
            row.mode(Mode::Quote);
            packed_day(row, step, said);
        }
        Packed::Full(said) => {
            row.mode(Mode::Full);
            packed_day(row, step, &said.quote);
            row.packed_book(step, said.oi, &said.prices, &said.quantities, &said.orders);
        }
    }
}

#[inline(always)]
fn packed_day(row: &mut RowWriter<'_>, step: PriceStep, quote: &PackedQuote) {
    row.packed_last(step, quote.ticker.ltp, quote.ticker.ltt);
    row.packed_day(
        step,
        PackedDay {
            open: quote.open,
            high: quote.high,
            low: quote.low,
            prev_close: quote.prev_close,
            atp: quote.atp,
            volume: quote.volume,
            ltq: quote.ltq,
            total_buy_qty: quote.total_buy_qty,
            total_sell_qty: quote.total_sell_qty,
        },
    );
}

/// What a request answered; what it does not say stays as it is.
pub(super) fn snapshot(row: &mut RowWriter<'_>, snapshot: &Snapshot) {
    ticker(
        row,
        &Ticker {
            ltp: snapshot.ltp,
            ltt: snapshot.ltt,
        },
    );
    macro_rules! known {
        ($($field:ident: $value:expr),* $(,)?) => {
            $(if $value.is_some() {
                row.$field($value);
            })*
        };
    }
    known! {
        ltq: snapshot.ltq,
        atp: snapshot.atp,
        volume: snapshot.volume,
        total_buy_qty: snapshot.total_buy_qty,
        total_sell_qty: snapshot.total_sell_qty,
        open: snapshot.day.open,
        high: snapshot.day.high,
        low: snapshot.day.low,
        prev_close: snapshot.day.prev_close,
        oi: snapshot.oi,
        oi_high: snapshot.oi_high,
        oi_low: snapshot.oi_low,
    }
    if let Some(levels) = &snapshot.depth {
        depth(row, levels);
    }
}
