//! What a master says, read by splitting at commas: linear searches and string
//! comparisons only.

use std::collections::{BTreeMap, BTreeSet};

/// The columns of one line, as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'t> {
    pub(crate) exchange: &'t str,
    pub(crate) segment: &'t str,
    pub(crate) id: u64,
    pub(crate) kind: &'t str,
    pub(crate) trading_symbol: &'t str,
    pub(crate) lot: f64,
    /// `YYYY-MM-DD`; empty for cash.
    pub(crate) expiry: &'t str,
    pub(crate) strike: f64,
    pub(crate) option_type: &'t str,
    pub(crate) tick: f64,
    pub(crate) series: &'t str,
}

impl<'t> Row<'t> {
    pub(crate) fn of(line: &'t str) -> Self {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), 16, "{line}");
        let is_derivative = fields[3].starts_with("FUT") || fields[3].starts_with("OPT");
        Self {
            exchange: fields[0],
            segment: fields[1],
            id: fields[2].parse().unwrap(),
            kind: fields[3],
            trading_symbol: fields[5],
            lot: fields[6].parse().unwrap(),
            expiry: if is_derivative { &fields[8][..10] } else { "" },
            strike: fields[9].parse().unwrap_or(0.0),
            option_type: fields[10],
            tick: fields[11].parse().unwrap(),
            series: fields[14],
        }
    }

    pub(crate) fn is_option(&self) -> bool {
        self.kind.starts_with("OPT")
    }

    /// The segment as the feed names it.
    pub(crate) fn feed_segment(&self) -> Option<&'static str> {
        Some(match (self.exchange, self.segment) {
            (_, "I") => "IDX_I",
            ("NSE", "E") => "NSE_EQ",
            ("NSE", "D") => "NSE_FNO",
            ("NSE", "C") => "NSE_CURRENCY",
            ("BSE", "E") => "BSE_EQ",
            ("BSE", "D") => "BSE_FNO",
            ("BSE", "C") => "BSE_CURRENCY",
            ("MCX", "M") => "MCX_COMM",
            _ => return None,
        })
    }

    /// Why it is not loaded on `day`.
    pub(crate) fn skip(&self, day: &str) -> Option<&'static str> {
        if self.feed_segment().is_none() {
            Some("segment_not_in_feed")
        } else if self.trading_symbol.contains("NSETEST") {
            Some("test_instrument")
        } else if !self.expiry.is_empty() && self.expiry < day {
            Some("expired")
        } else {
            None
        }
    }

    /// The underlying's symbol of a derivative, else its own.
    pub(crate) fn symbol(&self) -> &'t str {
        let parts = match &self.kind[..3] {
            "OPT" => 4,
            "FUT" => 3,
            _ => 1,
        };
        self.trading_symbol.rsplitn(parts, '-').last().unwrap()
    }
}

/// `2026-02-24` as `24FEB2026`.
pub(crate) fn expiry(date: &str) -> String {
    const MONTHS: [&str; 12] = [
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ];
    let month: usize = date[5..7].parse().unwrap();
    format!("{}{}{}", &date[8..], MONTHS[month - 1], &date[..4])
}

/// Expiries of options on `symbol`, soonest first, as dates.
pub(crate) fn option_expiries<'t>(
    rows: &[Row<'t>],
    exchange: &str,
    symbol: &str,
    day: &str,
) -> Vec<&'t str> {
    let options = rows.iter().filter(|row| {
        row.is_option()
            && row.exchange == exchange
            && row.skip(day).is_none()
            && row.symbol() == symbol
    });
    options
        .map(|row| row.expiry)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Ids of call and put by strike, in ten-thousandths of a rupee.
pub(crate) type Ladder = BTreeMap<i64, [Option<u64>; 2]>;

pub(crate) fn ladder(rows: &[Row<'_>], exchange: &str, symbol: &str, date: &str) -> Ladder {
    let mut ladder = Ladder::new();
    for row in rows {
        if row.is_option()
            && (row.exchange, row.symbol(), row.expiry) == (exchange, symbol, date)
            && row.feed_segment().is_some()
        {
            let rung = ladder.entry((row.strike * 1e4).round() as i64).or_default();
            rung[usize::from(row.option_type == "PE")] = Some(row.id);
        }
    }
    ladder
}

/// The strikes of a window, and the one at the money, by looking at all of them.
pub(crate) fn window(ladder: &Ladder, price: f64, width: usize) -> (Vec<f64>, f64) {
    let price = (price * 1e4).round() as i64;
    let strikes: Vec<i64> = ladder.keys().copied().collect();
    let complete = |strike: &&i64| ladder[*strike].iter().all(Option::is_some);
    let atm = *strikes
        .iter()
        .filter(complete)
        .min_by_key(|strike| ((**strike - price).abs(), -**strike))
        .unwrap();
    let at = strikes.iter().position(|strike| *strike == atm).unwrap();
    let half = width / 2;
    let window = &strikes[at.saturating_sub(half)..strikes.len().min(at + half + 1)];
    let rupees = |strike: &i64| *strike as f64 / 1e4;
    (window.iter().map(rupees).collect(), rupees(&atm))
}
