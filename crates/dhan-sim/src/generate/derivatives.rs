//! Futures and options, market by market.

use std::io;

use jiff::civil::{Date, Weekday};
use rand::Rng;
use rand_pcg::Pcg64;
use strikewire_types::OptionType;

use super::catalog::{
    self, Commodity, CommodityOptions, INDEX_OPTIONS, IndexOptions, PAIRS, Shape, Stock,
};
use super::dates;
use super::ladder::{Ids, Size, strikes};
use super::sheet::{BSE_C, BSE_D, Contract, MCX_M, Market, NSE_C, NSE_D, NSE_M, Sheet};

/// Paise to the unit of strikes.
const PAISA: i64 = 100;

/// Everything that the sections share.
pub(super) struct Plan<'p, 'w> {
    pub(super) sheet: &'p mut Sheet<'w>,
    pub(super) rng: &'p mut Pcg64,
    pub(super) as_of: Date,
    pub(super) size: Size,
    pub(super) seed: u64,
    /// Those that this size has.
    pub(super) stocks: &'p [Stock],
}

impl Plan<'_, '_> {
    pub(super) fn write(&mut self) -> io::Result<()> {
        let mut nse = Ids::from(35_000, self.seed);
        let mut bse = Ids::from(820_000, self.seed);
        for index in &INDEX_OPTIONS {
            let ids = if index.exchange == "NSE" {
                &mut nse
            } else {
                &mut bse
            };
            self.index(index, ids)?;
        }
        for stock in self.stocks {
            // One price for both exchanges.
            let price = self.around(stock.price);
            self.stock(stock, price, &NSE_D, &mut nse)?;
            if stock.code.is_some() {
                self.stock(stock, price, &BSE_D, &mut bse)?;
            }
        }
        self.tests(&mut nse)?;
        self.commodities()?;
        self.currencies()
    }

    /// `price` give or take 4 %.
    fn around(&mut self, price: i64) -> i64 {
        price * self.rng.random_range(960..=1040) / 1000
    }

    fn index(&mut self, index: &IndexOptions, ids: &mut Ids) -> io::Result<()> {
        let (market, weekday) = match index.exchange {
            "NSE" => (&NSE_D, Weekday::Tuesday),
            _ => (&BSE_D, Weekday::Thursday),
        };
        let price = self.around(index.price);
        let last = |month| dates::last_of_month(month, weekday);
        let months: Vec<Date> = dates::monthly(self.as_of, 1, 3, last).collect();
        let contract = |expiry, instrument, tick, name| Contract {
            market,
            instrument,
            underlying: index.symbol,
            expiry,
            lot: index.lot,
            tick,
            flag: 'M',
            series: "",
            name,
        };
        let future_name = named(index.code, "FUT");
        for &expiry in &months {
            self.sheet.future(
                ids.next(),
                &contract(expiry, "FUTIDX", index.future_tick, &future_name),
            )?;
        }

        let name = named(index.code, "OPT");
        let full = index.shape.strikes;
        let count = self.size.between(7, full.min(120), full);
        let mut near = months.clone();
        let mut week = dates::on_or_after(self.as_of, weekday);
        for _ in 0..self
            .size
            .up_to(2, index.weeklies, index.weeklies)
            .min(index.weeklies)
        {
            if !near.contains(&week) {
                near.push(week);
            }
            week = dates::later(week, 7);
        }
        near.sort_unstable();
        for expiry in near {
            let mut contract = contract(expiry, "OPTIDX", "5.0000", &name);
            let ladder = strikes(price, index.shape, count);
            let monthly = last(expiry) == expiry;
            if !monthly {
                contract.flag = 'W';
            }
            // On BSE a quarter's ladder began as a monthly one and kept those rows.
            let kept = if monthly && index.exchange == "BSE" && expiry.month() % 3 == 0 {
                ladder.len() / 6
            } else {
                ladder.len()
            };
            self.ladder(&contract, &ladder[..kept], ids)?;
            contract.flag = long_flag(expiry);
            self.ladder(&contract, &ladder[kept..], ids)?;
        }

        let (long, long_strikes, step) = index.long_dated;
        let long = self.size.up_to(1, long / 2, long).min(long);
        let (Some(&last_near), true) = (months.last(), long > 0) else {
            return Ok(());
        };
        let after = dates::later(last_near, 1);
        let quarters: Vec<Date> = dates::monthly(after, 3, 3, last).collect();
        let from = quarters
            .last()
            .map_or(after, |quarter| dates::later(*quarter, 1));
        let halves = dates::monthly(from, 6, long, last);
        let shape = Shape {
            strikes: long_strikes,
            step,
            inner: 100,
            wing: 1,
        };
        let count = self.size.up_to(5, long_strikes, long_strikes);
        for expiry in quarters.iter().copied().chain(halves).take(long) {
            let mut contract = contract(expiry, "OPTIDX", "5.0000", &name);
            if index.exchange == "BSE" {
                contract.flag = long_flag(expiry);
            }
            self.ladder(&contract, &strikes(price, shape, count), ids)?;
        }
        Ok(())
    }

    fn stock(
        &mut self,
        stock: &Stock,
        price: i64,
        market: &Market,
        ids: &mut Ids,
    ) -> io::Result<()> {
        let (weekday, scale) = if market.exchange == "NSE" {
            (Weekday::Tuesday, 100)
        } else {
            // BSE lists about half as many strikes.
            (Weekday::Thursday, 45)
        };
        let months: Vec<Date> = dates::monthly(self.as_of, 1, 3, |month| {
            dates::last_of_month(month, weekday)
        })
        .collect();
        let code = stock
            .code
            .filter(|_| market.exchange == "BSE")
            .unwrap_or("");
        let future_name = named(code, "FUT");
        let name = named(code, "OPT");
        let contract = |expiry, instrument, tick, name| Contract {
            market,
            instrument,
            underlying: stock.symbol,
            expiry,
            lot: stock.lot,
            tick,
            flag: 'M',
            series: "",
            name,
        };
        let future_tick = if market.exchange == "NSE" {
            share_tick(price)
        } else {
            "5.0000"
        };
        for &expiry in &months {
            let future = contract(expiry, "FUTSTK", future_tick, &future_name);
            self.sheet.future(ids.next(), &future)?;
        }
        let tick = if price < 25_000 && market.exchange == "NSE" {
            "1.0000"
        } else {
            "5.0000"
        };
        let full = (stock.strikes * scale / 100).max(28);
        for (ahead, &expiry) in months.iter().enumerate() {
            let contract = contract(expiry, "OPTSTK", tick, &name);
            let shape = Shape {
                strikes: full,
                // The far month has every other strike.
                step: if ahead == 2 {
                    stock.step * 2
                } else {
                    stock.step
                },
                inner: 69,
                wing: 2,
            };
            let full = if ahead == 2 { (full / 2).max(28) } else { full };
            let ladder = strikes(price, shape, self.size.between(5, full.min(30), full));
            self.ladder(&contract, &ladder, ids)?;
            if market.exchange == "NSE" && ahead < 2 {
                self.adjusted(&contract, &ladder, stock, ids)?;
            }
        }
        Ok(())
    }

    /// The strikes that a corporate action left between those of `ladder`; some of
    /// them with one leg only, the other having never traded.
    fn adjusted(
        &mut self,
        contract: &Contract<'_>,
        ladder: &[i64],
        stock: &Stock,
        ids: &mut Ids,
    ) -> io::Result<()> {
        let (Some(&first), Some(&last)) = (ladder.first(), ladder.last()) else {
            return Ok(());
        };
        // Around the old price: not at the ends of a long ladder.
        let (low, high) = if ladder.len() < 12 {
            (first - 2 * stock.step, last + 2 * stock.step)
        } else {
            (ladder[ladder.len() / 3], ladder[ladder.len() * 9 / 10])
        };
        let mut extra: Vec<i64> = catalog::adjusted(stock.symbol)
            .iter()
            .flat_map(|&(period, phase)| {
                (low / period..=high / period).map(move |k| k * period + phase)
            })
            .filter(|strike| *strike > 0 && !ladder.contains(strike))
            .collect();
        extra.sort_unstable();
        extra.dedup();
        for (position, strike) in extra.into_iter().enumerate() {
            let (call, put) = ids.pair();
            if position % 5 != 3 {
                self.sheet
                    .option(call, contract, strike * PAISA, OptionType::Call)?;
            }
            if position % 5 != 1 {
                self.sheet
                    .option(put, contract, strike * PAISA, OptionType::Put)?;
            }
        }
        Ok(())
    }

    /// Both legs of each strike, in paise. Exchanges list the middle first and the
    /// ends as the market moves there.
    fn ladder(&mut self, contract: &Contract<'_>, ladder: &[i64], ids: &mut Ids) -> io::Result<()> {
        self.rungs(
            contract,
            ladder.iter().map(|strike| strike * PAISA),
            ladder.len(),
            ids,
        )
    }

    fn rungs(
        &mut self,
        contract: &Contract<'_>,
        ladder: impl Iterator<Item = i64> + Clone,
        len: usize,
        ids: &mut Ids,
    ) -> io::Result<()> {
        let ends = len / 5;
        for strike in ladder.clone().skip(ends).chain(ladder.take(ends)) {
            let (call, put) = ids.pair();
            self.sheet
                .option(call, contract, strike, OptionType::Call)?;
            self.sheet.option(put, contract, strike, OptionType::Put)?;
        }
        Ok(())
    }

    /// The exchange's own rows for trying things out.
    fn tests(&mut self, ids: &mut Ids) -> io::Result<()> {
        for number in 1..=self.size.up_to(4, 18, 18) {
            let underlying = test_symbol(number);
            let contract = Contract {
                market: &NSE_D,
                instrument: "FUTSTK",
                underlying: &underlying,
                expiry: dates::last_of_month(dates::month(self.as_of, 129), Weekday::Thursday),
                lot: 50,
                tick: "5.0000",
                flag: 'W',
                series: "",
                name: "",
            };
            self.sheet.future(ids.next(), &contract)?;
        }
        Ok(())
    }

    fn commodities(&mut self) -> io::Result<()> {
        let mut mcx = Ids::from(448_000, self.seed);
        // Inside the range of NSE's other derivatives: the ids are shared.
        let mut nse = Ids::from(35_400, self.seed);
        let all = catalog::commodities();
        for commodity in &all[..self.size.up_to(7, all.len(), all.len())] {
            let price = commodity
                .options
                .as_ref()
                .map_or(0, |options| self.around(options.price));
            self.commodity(commodity, price, &mut mcx)?;
            if let Some(options) = commodity
                .options
                .as_ref()
                .filter(|options| options.on_nse > 0)
            {
                let expiries = self
                    .size
                    .up_to(1, options.on_nse / 2, options.on_nse)
                    .max(1);
                for (ahead, expiry) in monthly_options(self.as_of, options, expiries).enumerate() {
                    let contract = Contract {
                        market: &NSE_M,
                        ..commodity.option(&MCX_M, options, expiry, "1")
                    };
                    let count = self.commodity_size(options) * (20 - ahead) / 20;
                    let ladder = strikes(price, options.shape, count);
                    self.ladder(&contract, &ladder, &mut nse)?;
                }
            }
        }
        Ok(())
    }

    fn commodity_size(&self, options: &CommodityOptions) -> usize {
        let full = options.shape.strikes;
        self.size.between(5, full.min(60), full)
    }

    fn commodity(&mut self, commodity: &Commodity, price: i64, ids: &mut Ids) -> io::Result<()> {
        let mut last_option = self.as_of;
        if let Some(options) = &commodity.options {
            let (full, sparse) = options.expiries;
            let full = self.size.up_to(2, full, full).min(full);
            let sparse = self.size.up_to(0, sparse / 2, sparse);
            let expiries: Vec<Date> = monthly_options(self.as_of, options, full + sparse).collect();
            let instrument = commodity.option(&MCX_M, options, self.as_of, commodity.group);
            for (ahead, &expiry) in expiries.iter().enumerate() {
                let contract = Contract {
                    expiry,
                    ..instrument
                };
                let mut shape = options.shape;
                let mut count = self.commodity_size(options);
                if ahead >= full {
                    shape.step *= shape.wing;
                    shape.wing = 1;
                    shape.inner = 100;
                    count = (count / 9).max(5);
                }
                self.ladder(&contract, &strikes(price, shape, count), ids)?;
                last_option = expiry;
            }
        }
        // The future that an option is about expires on the option's day or later.
        let instrument = format!("FUT{}", commodity.kind);
        let every = commodity.future_months;
        let futures = dates::monthly(self.as_of, every, 60, |month| {
            dates::day_of_month(month, commodity.future_day)
        });
        let least = self.size.up_to(2, 5, 5);
        let mut covered = false;
        for (written, expiry) in futures.enumerate() {
            if written >= least && covered {
                break;
            }
            covered = expiry >= last_option;
            let contract = Contract {
                market: &MCX_M,
                instrument: &instrument,
                underlying: commodity.symbol,
                expiry,
                lot: 1,
                tick: commodity.future_tick,
                flag: 'M',
                series: commodity.group,
                name: commodity.symbol,
            };
            self.sheet.future(ids.next(), &contract)?;
        }
        Ok(())
    }

    fn currencies(&mut self) -> io::Result<()> {
        let mut nse = Ids::from(1_000, self.seed);
        let mut bse = Ids::from(1_026_000, self.seed);
        let month_end = |date: Date| dates::currency_month(date);
        // The file keeps what expired: seven months of it on NSE, and on BSE, where
        // nothing is listed any more, what is older than that.
        let old = dates::month(self.as_of, -7);
        let older = dates::month(self.as_of, -18);
        let weeks = |from: Date, count| {
            (0..count).map(move |week| {
                (
                    dates::later(dates::on_or_after(from, Weekday::Friday), 7 * week),
                    'W',
                )
            })
        };
        let count = i64::try_from(self.size.up_to(1, 4, 9)).unwrap_or(9);
        let pairs = self.size.up_to(2, PAIRS.len(), PAIRS.len());
        for &(underlying, price, step, full, tick) in &PAIRS[..pairs] {
            let future = |market, expiry, flag, name| Contract {
                market,
                instrument: "FUTCUR",
                underlying,
                expiry,
                lot: 1,
                tick,
                flag,
                series: "",
                name,
            };
            let rungs = self.size.between(3, 12.min(full), full) as i64 / 2;
            let ladder = (-rungs..=rungs)
                .map(|k| price + k * step)
                .filter(|strike| *strike > 0);
            let len = ladder.clone().count();

            let quarters = dates::monthly(self.as_of, 3, 2, month_end).map(|day| (day, 'M'));
            for (expiry, flag) in weeks(old, count).chain(quarters) {
                let contract = Contract {
                    instrument: "OPTCUR",
                    ..future(&NSE_C, expiry, flag, "")
                };
                self.rungs(&contract, ladder.clone(), len, &mut nse)?;
            }
            let months = dates::monthly(old, 1, 14, month_end).map(|day| (day, 'M'));
            for (expiry, flag) in months.chain(weeks(old, 2)) {
                self.sheet
                    .future(nse.next(), &future(&NSE_C, expiry, flag, ""))?;
            }

            for (expiry, flag) in weeks(older, count + 5) {
                let contract = Contract {
                    instrument: "OPTCUR",
                    ..future(&BSE_C, expiry, flag, underlying)
                };
                self.rungs(&contract, ladder.clone(), len, &mut bse)?;
            }
            let months = dates::monthly(older, 1, 11, month_end).map(|day| (day, 'M'));
            for (expiry, flag) in months.take(self.size.up_to(3, 11, 11)) {
                self.sheet
                    .future(bse.next(), &future(&BSE_C, expiry, flag, underlying))?;
            }
        }
        Ok(())
    }
}

impl Commodity {
    fn option<'a>(
        &'a self,
        market: &'a Market,
        options: &'a CommodityOptions,
        expiry: Date,
        series: &'a str,
    ) -> Contract<'a> {
        Contract {
            market,
            instrument: if self.kind == "IDX" {
                "OPTIDX"
            } else {
                "OPTFUT"
            },
            underlying: self.symbol,
            expiry,
            lot: 1,
            tick: options.tick,
            flag: 'M',
            series,
            name: self.symbol,
        }
    }
}

fn monthly_options(
    as_of: Date,
    options: &CommodityOptions,
    count: usize,
) -> impl Iterator<Item = Date> {
    let day = options.day;
    dates::monthly(as_of, 1, count, move |month| {
        dates::day_of_month(month, day)
    })
}

/// The flag of a BSE expiry in a quarter's last month.
fn long_flag(expiry: Date) -> char {
    if expiry.month() % 6 == 0 { 'H' } else { 'Q' }
}

fn named(code: &str, kind: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!("{code}{kind}")
    }
}

/// The exchange's test symbols: `011NSETEST`, `021NSETEST` and so on.
pub(super) fn test_symbol(number: usize) -> String {
    format!("{number:02}1NSETEST")
}

/// The tick of a share at `price` paise, as the file writes it.
pub(super) const fn share_tick(price: i64) -> &'static str {
    match price {
        ..25_000 => "1.0000",
        25_000..100_000 => "5.0000",
        100_000..500_000 => "10.0000",
        500_000..1_000_000 => "50.0000",
        1_000_000..2_000_000 => "100.0000",
        _ => "500.0000",
    }
}
