use strikewire_registry::Kind;
use strikewire_types::{InstrumentKey, Price, PriceStep};

use super::listing::Listing;
use super::mix::mix;
use super::quote::{Level, Quote};
use super::time::unix_seconds;
use super::walk::Levels;

impl Listing {
    /// The step of its trade in a window of `period` steps.
    const fn trade_in(&self, window: u64, period: u64) -> u64 {
        window * period + mix(self.salt, window) % period
    }

    /// The step of its first trade after `step`.
    pub(super) const fn trade_after(&self, step: u64, period: u64) -> u64 {
        let window = step / period;
        let this = self.trade_in(window, period);
        if this > step {
            this
        } else {
            self.trade_in(window + 1, period)
        }
    }

    /// The step of its last trade up to `step`.
    const fn trade_before(&self, step: u64, period: u64) -> u64 {
        let window = step / period;
        let this = self.trade_in(window, period);
        if this <= step {
            this
        } else {
            self.trade_in(window.saturating_sub(1), period)
        }
    }
}

/// One look at one instrument.
pub(super) struct Observer<'m> {
    pub(super) key: InstrumentKey,
    pub(super) listing: &'m mut Listing,
    pub(super) levels: Levels,
    pub(super) step: u64,
    /// Steps between two trades.
    pub(super) period: u64,
}

impl Observer<'_> {
    pub(super) fn quote(&mut self) -> Quote {
        let levels = self.levels;
        let open = self.listing.open(levels.open);
        let prev_close = self.listing.prev_close(levels.prev_close);
        let listing = &*self.listing;
        let (high, low) = if listing.shape.is_inverse() {
            (levels.low, levels.high)
        } else {
            (levels.high, levels.low)
        };
        let today = listing.today();
        let price = |level| listing.price(level, &today);
        let (ltp, high, low) = (price(levels.last), price(high), price(low));
        let random = mix(listing.salt, self.step);
        let is_index = listing.kind == Kind::Index;
        let depth = if is_index {
            [Level::default(); 5]
        } else {
            self.depth(ltp, random)
        };
        // The five levels are the top of a larger book.
        let all = 3 + (random >> 20) as u32 % 5;
        let total = |side: fn(&Level) -> u32| all * depth.iter().map(side).sum::<u32>();
        let average = (open.raw() + high.raw() + low.raw() + ltp.raw()) / 4;
        Quote {
            key: self.key,
            ltp,
            traded_at: unix_seconds(listing.trade_before(self.step, self.period)),
            ltq: if is_index {
                0
            } else {
                listing.lot.saturating_mul(1 + (random >> 8) as u32 % 3)
            },
            atp: if is_index {
                Price::ZERO
            } else {
                Price::from_raw(average / 100 * 100).max(low)
            },
            volume: listing.volume(self.step, listing.daily_lots()),
            total_sell_qty: total(|level| level.ask_qty),
            total_buy_qty: total(|level| level.bid_qty),
            open,
            high,
            low,
            prev_close,
            interest: listing.interest(self.step),
            depth,
            tick: PriceStep::from_raw(u32::try_from(listing.tick).unwrap_or(0)),
        }
    }

    /// The last price is the best bid or the best offer. No order is for less than a
    /// lot.
    fn depth(&self, ltp: Price, random: u64) -> [Level; 5] {
        let listing = &*self.listing;
        let gap = listing.tick * (1 + self.period as i64 / 16);
        let (below, above) = if random & 1 == 0 { (0, gap) } else { (gap, 0) };
        let unit = if listing.kind == Kind::Equity {
            10 * listing.lot
        } else {
            listing.lot
        };
        core::array::from_fn(|row| {
            let random = mix(random, row as u64);
            let away = gap * row as i64;
            let bid = Price::from_raw(ltp.raw() - below - away);
            let ask = Price::from_raw(ltp.raw() + above + away);
            let side = |bits: u64| {
                let lots = 1 + (bits % 40) as u32;
                let orders = 1 + (bits >> 8) as u32 % lots.min(12);
                let quantity = unit.saturating_mul(lots).min(u32::MAX / 64);
                (quantity, orders as u16)
            };
            let (ask_qty, ask_orders) = side(random >> 8);
            let mut level = Level {
                ask,
                ask_qty,
                ask_orders,
                ..Level::default()
            };
            if bid > Price::ZERO {
                level.bid = bid;
                (level.bid_qty, level.bid_orders) = side(random >> 32);
            }
            level
        })
    }
}
