//! What is listed: facts about the exchanges' products, and the shape of their
//! ladders at full size.

/// An index, `(exchange, id, symbol, name, tick in rupees)`. The first nine have
/// options or are asked for by everybody; the rest make up the list.
pub(super) const INDICES: [(&str, u32, &str, &str, &str); 32] = [
    ("NSE", 13, "NIFTY", "Nifty 50", "0.0500"),
    ("NSE", 25, "BANKNIFTY", "Nifty Bank", "0.0500"),
    ("NSE", 27, "FINNIFTY", "Finnifty", "0.0500"),
    ("NSE", 442, "MIDCPNIFTY", "Nifty Midcap Select", "0.0500"),
    ("NSE", 38, "NIFTY NEXT 50", "Nifty Next 50", "0.0500"),
    ("NSE", 21, "INDIA VIX", "India VIX", "0.0500"),
    ("BSE", 51, "SENSEX", "Sensex", "0.0100"),
    ("BSE", 69, "BANKEX", "BSE BANKEX", "0.0100"),
    ("BSE", 83, "SNSX50", "BSE Sensex 50", "0.0100"),
    ("NSE", 5024, "GIFTNIFTY", "GIFT Nifty", "0.0000"),
    ("NSE", 1, "NIFTY MIDCAP 150", "NIFTY Midcap 150", "0.0500"),
    (
        "NSE",
        3,
        "NIFTY SMALLCAP 250",
        "NIFTY Smallcap 250",
        "0.0500",
    ),
    ("NSE", 14, "NIFTY AUTO", "NIFTY Auto", "0.0500"),
    ("NSE", 15, "NIFTY PVT BANK", "NIFTY Private Bank", "0.0500"),
    ("NSE", 17, "NIFTY 100", "NIFTY 100", "0.0500"),
    ("NSE", 18, "NIFTY 200", "NIFTY 200", "0.0500"),
    ("NSE", 19, "NIFTY 500", "NIFTY 500", "0.0500"),
    ("NSE", 28, "NIFTY FMCG", "NIFTY FMCG", "0.0500"),
    ("NSE", 29, "NIFTYIT", "Nifty IT", "0.0500"),
    ("NSE", 30, "NIFTY MEDIA", "NIFTY Media", "0.0500"),
    ("NSE", 31, "NIFTY METAL", "NIFTY Metal", "0.0500"),
    ("NSE", 32, "NIFTY PHARMA", "NIFTY Pharma", "0.0500"),
    ("NSE", 33, "NIFTY PSU BANK", "NIFTY PSU Bank", "0.0500"),
    ("NSE", 34, "NIFTY REALTY", "NIFTY Realty", "0.0500"),
    ("NSE", 42, "NIFTY ENERGY", "NIFTY Energy", "0.0500"),
    ("BSE", 64, "MIDCAP", "BSE Mid Cap", "0.0100"),
    ("BSE", 65, "BSE100", "BSE 100", "0.0100"),
    ("BSE", 66, "BSE200", "BSE 200", "0.0100"),
    ("BSE", 67, "BSE500", "BSE 500", "0.0100"),
    ("BSE", 68, "AUTO", "BSE Auto", "0.0100"),
    ("BSE", 72, "BSEFMC", "BSE FMCG", "0.0100"),
    ("BSE", 74, "BSE IT", "BSE IT", "0.0100"),
];

/// An index with options on NSE or BSE. The symbol is the option's, which for two of
/// them is not the index's.
pub(super) struct IndexOptions {
    pub(super) exchange: &'static str,
    pub(super) symbol: &'static str,
    /// What BSE has in the last column, less `OPT` or `FUT`.
    pub(super) code: &'static str,
    pub(super) lot: u32,
    /// Tick of the futures, in paise as the file writes it.
    pub(super) future_tick: &'static str,
    pub(super) price: i64,
    pub(super) shape: Shape,
    /// Weekly expiries besides the monthly ones.
    pub(super) weeklies: usize,
    /// Quarterly and half-yearly expiries after the monthly ones: how many, strikes, step.
    pub(super) long_dated: (usize, usize, i64),
}

/// The shape of a ladder at full size, in paise: `strikes` of which the middle part
/// is `step` apart and the wings a multiple of it.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) strikes: usize,
    pub(super) step: i64,
    /// Percent of the strikes that are one step apart.
    pub(super) inner: usize,
    /// How many steps the strikes of the wings are apart.
    pub(super) wing: i64,
}

const fn shape(strikes: usize, step: i64, inner: usize, wing: i64) -> Shape {
    Shape {
        strikes,
        step,
        inner,
        wing,
    }
}

pub(super) const INDEX_OPTIONS: [IndexOptions; 8] = [
    IndexOptions {
        exchange: "NSE",
        symbol: "NIFTY",
        code: "",
        lot: 65,
        future_tick: "10.0000",
        price: 2_555_000,
        shape: shape(238, 5_000, 100, 1),
        weeklies: 5,
        long_dated: (10, 34, 150_000),
    },
    IndexOptions {
        exchange: "NSE",
        symbol: "BANKNIFTY",
        code: "",
        lot: 30,
        future_tick: "20.0000",
        price: 5_960_000,
        shape: shape(354, 10_000, 91, 5),
        weeklies: 0,
        long_dated: (3, 32, 150_000),
    },
    IndexOptions {
        exchange: "NSE",
        symbol: "FINNIFTY",
        code: "",
        lot: 60,
        future_tick: "10.0000",
        price: 2_745_000,
        shape: shape(262, 5_000, 69, 2),
        weeklies: 0,
        long_dated: (0, 0, 0),
    },
    IndexOptions {
        exchange: "NSE",
        symbol: "MIDCPNIFTY",
        code: "",
        lot: 120,
        future_tick: "5.0000",
        price: 1_355_000,
        shape: shape(269, 2_500, 83, 4),
        weeklies: 0,
        long_dated: (0, 0, 0),
    },
    IndexOptions {
        exchange: "NSE",
        symbol: "NIFTYNXT50",
        code: "",
        lot: 25,
        future_tick: "20.0000",
        price: 6_850_000,
        shape: shape(357, 10_000, 80, 5),
        weeklies: 0,
        long_dated: (0, 0, 0),
    },
    IndexOptions {
        exchange: "BSE",
        symbol: "SENSEX",
        code: "BSX",
        lot: 20,
        future_tick: "5.0000",
        price: 8_330_000,
        shape: shape(242, 10_000, 100, 1),
        weeklies: 6,
        long_dated: (11, 16, 100_000),
    },
    IndexOptions {
        exchange: "BSE",
        symbol: "BANKEX",
        code: "BKX",
        lot: 30,
        future_tick: "5.0000",
        price: 6_690_000,
        shape: shape(216, 10_000, 100, 1),
        weeklies: 0,
        long_dated: (0, 0, 0),
    },
    IndexOptions {
        exchange: "BSE",
        symbol: "SENSEX50",
        code: "SX50",
        lot: 75,
        future_tick: "5.0000",
        price: 2_675_000,
        shape: shape(108, 5_000, 100, 1),
        weeklies: 0,
        long_dated: (0, 0, 0),
    },
];

/// A commodity, or an index of commodities, with its futures and options on MCX.
pub(super) struct Commodity {
    pub(super) symbol: &'static str,
    /// `COM` or `IDX`, what follows `FUT`.
    pub(super) kind: &'static str,
    /// Day of the month on which futures expire; weekends move it back.
    pub(super) future_day: i8,
    /// A future in every month that this divides.
    pub(super) future_months: i8,
    pub(super) future_tick: &'static str,
    /// What the file has in the column of the series: 1 to 3, by group of goods.
    pub(super) group: &'static str,
    pub(super) options: Option<CommodityOptions>,
}

/// The options of a [`Commodity`], one expiry a month.
pub(super) struct CommodityOptions {
    /// Day of the month on which they expire; weekends move it back.
    pub(super) day: i8,
    pub(super) tick: &'static str,
    pub(super) price: i64,
    pub(super) shape: Shape,
    /// Expiries with the full ladder, and after them those with a sparse one.
    pub(super) expiries: (usize, usize),
    /// The same ladder listed on NSE too, in its segment M: how many expiries.
    pub(super) on_nse: usize,
}

const fn future_only(
    symbol: &'static str,
    future_day: i8,
    future_tick: &'static str,
    group: &'static str,
) -> Commodity {
    Commodity {
        symbol,
        kind: "COM",
        future_day,
        future_months: 1,
        future_tick,
        group,
        options: None,
    }
}

#[expect(clippy::too_many_arguments, reason = "one line per commodity below")]
const fn with_options(
    symbol: &'static str,
    (future_day, future_months, future_tick): (i8, i8, &'static str),
    day: i8,
    tick: &'static str,
    price: i64,
    shape: Shape,
    expiries: (usize, usize),
    on_nse: usize,
) -> Commodity {
    Commodity {
        symbol,
        kind: "COM",
        future_day,
        future_months,
        future_tick,
        group: "2",
        options: Some(CommodityOptions {
            day,
            tick,
            price,
            shape,
            expiries,
            on_nse,
        }),
    }
}

pub(super) fn commodities() -> [Commodity; 24] {
    let mut index = with_options(
        "MCXBULLDEX",
        (24, 1, "100.0000"),
        24,
        "5.0000",
        3_960_000,
        shape(263, 10_000, 100, 1),
        (3, 0),
        0,
    );
    index.kind = "IDX";
    [
        with_options(
            "CRUDEOIL",
            (19, 1, "100.0000"),
            17,
            "10.0000",
            555_000,
            shape(71, 5_000, 100, 1),
            (3, 0),
            3,
        ),
        with_options(
            "NATURALGAS",
            (25, 1, "10.0000"),
            22,
            "5.0000",
            31_000,
            shape(69, 500, 100, 1),
            (3, 0),
            3,
        ),
        with_options(
            "GOLD",
            (5, 2, "100.0000"),
            27,
            "50.0000",
            15_000_000,
            shape(972, 10_000, 94, 5),
            (4, 6),
            12,
        ),
        with_options(
            "SILVER",
            (5, 2, "100.0000"),
            24,
            "50.0000",
            25_000_000,
            shape(1194, 25_000, 93, 4),
            (4, 6),
            0,
        ),
        with_options(
            "COPPER",
            (31, 1, "5.0000"),
            22,
            "1.0000",
            123_500,
            shape(102, 500, 100, 1),
            (4, 0),
            4,
        ),
        with_options(
            "GOLDM",
            (5, 1, "100.0000"),
            26,
            "50.0000",
            15_000_000,
            shape(585, 10_000, 87, 5),
            (2, 1),
            3,
        ),
        with_options(
            "SILVERM",
            (31, 2, "100.0000"),
            20,
            "50.0000",
            25_000_000,
            shape(1223, 25_000, 93, 4),
            (4, 6),
            12,
        ),
        with_options(
            "CRUDEOILM",
            (19, 1, "100.0000"),
            17,
            "5.0000",
            555_000,
            shape(71, 5_000, 100, 1),
            (3, 0),
            0,
        ),
        with_options(
            "NATGASMINI",
            (25, 1, "10.0000"),
            22,
            "5.0000",
            31_000,
            shape(69, 500, 100, 1),
            (3, 0),
            0,
        ),
        with_options(
            "ZINC",
            (31, 1, "5.0000"),
            22,
            "1.0000",
            31_250,
            shape(38, 250, 100, 1),
            (4, 0),
            4,
        ),
        index,
        future_only("ALUMINIUM", 31, "5.0000", "2"),
        future_only("LEAD", 31, "5.0000", "2"),
        future_only("NICKEL", 18, "10.0000", "2"),
        future_only("MENTHAOIL", 31, "10.0000", "1"),
        future_only("CARDAMOM", 31, "100.0000", "1"),
        future_only("COTTON", 31, "1000.0000", "3"),
        future_only("COTTONOIL", 31, "10.0000", "3"),
        future_only("KAPAS", 30, "50.0000", "3"),
        future_only("GOLDGUINEA", 31, "100.0000", "2"),
        future_only("GOLDPETAL", 31, "100.0000", "2"),
        future_only("GOLDTEN", 31, "100.0000", "2"),
        future_only("STEELREBAR", 31, "1000.0000", "2"),
        future_only("ELECDMBL", 30, "100.0000", "2"),
    ]
}

/// A currency pair: `(symbol, price, step, strikes, tick)`, prices in units of 1e-4
/// because some steps are half a paisa.
pub(super) const PAIRS: [(&str, i64, i64, usize, &str); 7] = [
    ("USDINR", 855_000, 2500, 59, "0.2500"),
    ("EURINR", 965_000, 2500, 85, "0.2500"),
    ("GBPINR", 1_142_500, 2500, 82, "0.2500"),
    ("JPYINR", 587_500, 2500, 65, "0.2500"),
    ("EURUSD", 11_300, 50, 70, "0.0100"),
    ("GBPUSD", 13_300, 50, 70, "0.0100"),
    ("USDJPY", 1_455_000, 5000, 71, "1.0000"),
];

/// A stock with futures and options.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stock {
    pub(super) symbol: &'static str,
    pub(super) nse_id: u32,
    pub(super) bse_id: u32,
    /// What BSE has in the last column, less `OPT` or `FUT`; absent where BSE lists
    /// no contracts.
    pub(super) code: Option<&'static str>,
    pub(super) lot: u32,
    /// In paise.
    pub(super) price: i64,
    /// In paise.
    pub(super) step: i64,
    /// Of the nearest expiry.
    pub(super) strikes: usize,
    pub(super) name: &'static str,
    pub(super) registered: &'static str,
}

/// The best known come first, so that small masters have them.
pub(super) fn stocks() -> Vec<Stock> {
    include_str!("stocks.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(stock)
        .collect()
}

fn stock(line: &'static str) -> Option<Stock> {
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    Some(Stock {
        symbol: next()?,
        nse_id: next()?.parse().ok()?,
        bse_id: next()?.parse().ok()?,
        code: next().filter(|code| *code != "-"),
        lot: next()?.parse().ok()?,
        price: paise(next()?)?,
        step: paise(next()?)?,
        strikes: next()?.parse().ok()?,
        name: next()?,
        registered: next()?,
    })
}

fn paise(text: &str) -> Option<i64> {
    let price: strikewire_types::Price = text.parse().ok()?;
    Some(price.raw() / 100)
}

/// Strikes that a corporate action left between the regular ones: of every `period`
/// paise those that leave `phase`.
pub(super) fn adjusted(symbol: &str) -> &'static [(i64, i64)] {
    match symbol {
        "ITC" => &[(500, 350), (500, 100)],
        "KOTAKBANK" => &[(400, 0)],
        _ => &[],
    }
}

/// Bonds with the symbol of a share: `(symbol, id, name)`.
pub(super) const BONDS: [(&str, u32, &str); 2] = [
    ("MOTHERSON", 25510, "SMIL-6.5%-20092027-NCD"),
    ("CHOLAFIN", 19257, "CIFCL-7.5%-30092026-NCD"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_of_stocks_is_read_whole() {
        let stocks = stocks();
        assert_eq!(stocks.len(), 207);
        let ids: BTreeSet<u32> = stocks.iter().map(|stock| stock.nse_id).collect();
        let bse: BTreeSet<u32> = stocks.iter().map(|stock| stock.bse_id).collect();
        assert_eq!((ids.len(), bse.len()), (207, 207));
        assert_eq!(
            stocks.iter().filter(|stock| stock.code.is_none()).count(),
            2
        );
        let reliance = stocks[0];
        assert_eq!(
            (reliance.symbol, reliance.nse_id, reliance.lot),
            ("RELIANCE", 2885, 500)
        );
        assert_eq!((reliance.price, reliance.step), (140_000, 1_000));
    }
}
