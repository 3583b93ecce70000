use strikewire_registry::{ChainQuery, Kind, LookupError, OtherExchange, Registry};
use strikewire_types::{Exchange, Expiry, ExpiryKind};

use crate::fixture::{self, chain, registry, registry_of};
use crate::oracle;

fn expiry(text: &str) -> Expiry {
    text.parse().unwrap()
}

/// The key that a reference leads to.
fn find(registry: &Registry, reference: &str) -> String {
    let found = registry
        .find(reference)
        .unwrap_or_else(|error| panic!("{error}"));
    found.instrument.key().to_string()
}

#[test]
fn tokens_lead_back() {
    oracle::tokens_are_unique_and_found(&registry());
}

#[test]
fn ladders_are_the_files() {
    assert_eq!(
        oracle::ladders_are_those_of(&registry(), &fixture::master()),
        17
    );
}

#[test]
fn tokens_are_written_by_the_contract() {
    let registry = registry();
    let token = |key: &str| registry.find(key).unwrap().instrument.token();
    for (key, expected) in [
        ("NSE_FNO:131523", "RELIANCE_24FEB2026_1440CE"),
        ("BSE_FNO:839702", "BSE:RELIANCE_26FEB2026_1440CE"),
        ("NSE_FNO:49903", "ITC_24FEB2026_312.5PE"),
        ("BSE_FNO:860001", "SENSEX_26FEB2026_84000CE"),
        ("BSE_FNO:1162338", "SENSEX50_26FEB2026_FUT"),
        ("BSE_FNO:1167577", "BSE:RELIANCE_26FEB2026_FUT"),
        ("MCX_COMM:454818", "GOLD_02APR2026_FUT"),
        ("NSE_CURRENCY:1065", "USDINR_25FEB2026_FUT"),
        ("BSE_CURRENCY:2100001", "BSE:USDINR_25FEB2026_FUT"),
        ("NSE_FNO:50012", "BAJAJ-AUTO_24FEB2026_9000PE"),
        ("NSE_EQ:2885", "RELIANCE"),
        ("BSE_EQ:500325", "BSE:RELIANCE"),
        ("NSE_EQ:4204", "MOTHERSON"),
        ("NSE_EQ:25510", "MOTHERSON-D1"),
        ("NSE_EQ:700001", "TRADED2T-BE"),
        ("IDX_I:13", "NIFTY"),
        ("IDX_I:38", "NIFTY NEXT 50"),
        ("IDX_I:826", "Nifty Shariah 25"),
        // An equity's symbol; twice.
        ("IDX_I:75", "IDX_I:75"),
        ("IDX_I:99", "IDX_I:99"),
    ] {
        assert_eq!(token(key), expected, "{key}");
    }
}

#[test]
fn references_may_be_spelt_in_many_ways() {
    let registry = registry();
    for (reference, expected) in [
        ("reliance_24feb_1440ce", "NSE_FNO:131523"),
        ("NSE:RELIANCE_24FEB2026_1440CE", "NSE_FNO:131523"),
        (" RELIANCE_24-Feb-2026_1440.00CE ", "NSE_FNO:131523"),
        ("RELIANCE_2026-02-24_1440PE", "NSE_FNO:131524"),
        ("bse:reliance_26feb_1440pe", "BSE_FNO:839703"),
        ("RELIANCE_30MAR_1440CE", "NSE_FNO:131603"),
        ("BAJAJ-AUTO_24FEB_9000CE", "NSE_FNO:50011"),
        ("M&M_24FEB2026_3100PE", "NSE_FNO:50002"),
        ("MCX:GOLD_02APR_FUT", "MCX_COMM:454818"),
        ("USDINR_25FEB_FUT", "NSE_CURRENCY:1065"),
        ("BSE:USDINR_25FEB_FUT", "BSE_CURRENCY:2100001"),
        ("BSE:SENSEX_26FEB_84000CE", "BSE_FNO:860001"),
        ("nifty50_10feb_26000ce", "NSE_FNO:42005"),
        ("NIFTY NEXT 50_24FEB2026_69000CE", "NSE_FNO:42401"),
        ("SNSX50_26FEB2026_28000PE", "BSE_FNO:860012"),
        ("nse_fno:131523", "NSE_FNO:131523"),
        ("M&M", "NSE_EQ:2031"),
        ("NSE:RELIANCE", "NSE_EQ:2885"),
        ("RELIANCE-EQ", "NSE_EQ:2885"),
        ("BSE:RELIANCE", "BSE_EQ:500325"),
        ("BSE:RELIANCE-A", "BSE_EQ:500325"),
        ("motherson-d1", "NSE_EQ:25510"),
        ("VSL-RE", "BSE_EQ:890205"),
        // On NSE in another series only, on BSE not at all.
        ("TRADED2T-BE", "NSE_EQ:700001"),
        ("875ST28", "BSE_EQ:975196"),
        ("nifty", "IDX_I:13"),
        ("NIFTY 50", "IDX_I:13"),
        ("Nifty Bank", "IDX_I:25"),
        ("NSE:NIFTY", "IDX_I:13"),
        ("BSE:SENSEX", "IDX_I:51"),
        ("NIFTYNXT50", "IDX_I:38"),
        ("SENSEX50", "IDX_I:83"),
        ("METAL", "NSE_EQ:25744"),
        ("BSE:METAL", "BSE_EQ:544268"),
    ] {
        assert_eq!(find(&registry, reference), expected, "{reference}");
    }
}

#[test]
fn without_a_year_it_is_the_nearest() {
    let row = fixture::Chain {
        exchange: "NSE",
        segment: "D",
        instrument: "OPTIDX",
        symbol: "NIFTY",
        expiry: "24FEB2026",
        with_day: false,
        lot: "65.0",
        first_id: 1,
    };
    let rows =
        [("24FEB2027", 10), ("24FEB2026", 20), ("01FEB2027", 30)].map(|(expiry, first_id)| {
            chain(
                fixture::Chain {
                    expiry,
                    first_id,
                    ..row
                },
                &[("26000", &["CE"])],
            )
        });
    let registry = registry_of(&rows.concat());
    assert_eq!(find(&registry, "NIFTY_24FEB_26000CE"), "NSE_FNO:20");
    // That day of this year has passed.
    assert_eq!(find(&registry, "NIFTY_01FEB_26000CE"), "NSE_FNO:30");
    let error = registry.find("NIFTY_02FEB_26000CE").unwrap_err();
    assert_eq!(
        error.to_string(),
        "NIFTY has no expiry 02FEB2027 on NSE; listed: 24FEB2026, 01FEB2027, 24FEB2027"
    );
}

#[test]
fn an_unnamed_exchange_is_the_first_that_lists_it() {
    let registry = registry();
    let query = |symbol, expires: Option<&str>| ChainQuery {
        symbol,
        kind: None,
        exchange: None,
        expiry: expires.map(expiry),
    };
    let chain = registry.resolve_chain(&query("reliance", None)).unwrap();
    assert_eq!(
        (chain.ladder.exchange(), chain.ladder.expiry()),
        (Exchange::Nse, expiry("24FEB2026"))
    );
    assert_eq!(chain.warning, None);

    let other = Some(OtherExchange {
        nearest: expiry("24FEB2026"),
        on: Exchange::Nse,
    });
    let chain = registry
        .resolve_chain(&query("RELIANCE", Some("26FEB2026")))
        .unwrap();
    assert_eq!(
        (chain.ladder.exchange(), chain.warning),
        (Exchange::Bse, other)
    );
    let found = registry.find("RELIANCE_26FEB2026_1440CE").unwrap();
    assert_eq!(
        (found.instrument.token().as_str(), found.warning),
        ("BSE:RELIANCE_26FEB2026_1440CE", other)
    );
    let named = ChainQuery {
        exchange: Some(Exchange::Bse),
        ..query("RELIANCE", Some("26FEB2026"))
    };
    assert_eq!(registry.resolve_chain(&named).unwrap().warning, None);
    let future = registry
        .resolve_future(&query("RELIANCE", Some("26FEB2026")))
        .unwrap();
    assert_eq!(
        (future.instrument.token().as_str(), future.warning),
        ("BSE:RELIANCE_26FEB2026_FUT", other)
    );

    let chain = registry.resolve_chain(&query("crudeoil", None)).unwrap();
    assert_eq!(
        (chain.ladder.exchange(), chain.warning),
        (Exchange::Mcx, None)
    );
    let future = registry.resolve_future(&query("NIFTY 50", None)).unwrap();
    assert_eq!(future.instrument.token(), "NIFTY_24FEB2026_FUT");
    let equity = registry.resolve_equity(None, "metal").unwrap();
    assert_eq!(equity.instrument.token(), "METAL");
    let equity = registry
        .resolve_equity(Some(Exchange::Bse), "METAL")
        .unwrap();
    assert_eq!(equity.instrument.token(), "BSE:METAL");
}

#[test]
fn expiries_are_weekly_or_monthly_by_the_calendar() {
    let registry = registry();
    let (exchange, expiries) = registry.expiries(None, "nifty").unwrap();
    assert_eq!(exchange, Exchange::Nse);
    use ExpiryKind::{Monthly, Weekly};
    let expected = [
        ("10FEB2026", Weekly),
        ("17FEB2026", Weekly),
        ("24FEB2026", Monthly),
        ("02MAR2026", Monthly),
    ];
    assert_eq!(expiries, expected.map(|(text, kind)| (expiry(text), kind)));
    let soonest_first: Vec<Expiry> = expiries.iter().map(|(expiry, _)| *expiry).collect();
    assert_eq!(
        registry.option_expiries(Exchange::Nse, "NIFTY50"),
        soonest_first
    );
    assert_eq!(registry.option_expiries(Exchange::Bse, "NIFTY"), []);
    // Of futures, where there are no options.
    let gold = registry.expiries(None, "GOLD").unwrap();
    assert_eq!(gold, (Exchange::Mcx, vec![(expiry("02APR2026"), Monthly)]));
    let bse = registry.expiries(Some(Exchange::Bse), "RELIANCE").unwrap();
    assert_eq!(bse.1, [(expiry("26FEB2026"), Monthly)]);
    assert!(matches!(
        registry.expiries(None, "METAL"),
        Err(LookupError::NoOptions { .. })
    ));
    assert!(matches!(
        registry.expiries(None, "NOSUCH"),
        Err(LookupError::UnknownSymbol { .. })
    ));
}

#[test]
fn price_sources_are_the_contracts() {
    let registry = registry();
    let source = |exchange, symbol, expires: &str| {
        let ladder = registry.ladder(exchange, symbol, expiry(expires)).unwrap();
        let source = ladder.price_source().map(|source| source.key().to_string());
        // An option knows the same.
        let leg = ladder.rungs()[0].call().unwrap();
        let underlying = registry.instrument(leg).underlying();
        assert_eq!(
            underlying.map(|underlying| underlying.key().to_string()),
            source
        );
        source
    };
    let is = |key: &str| Some(key.to_owned());
    assert_eq!(
        source(Exchange::Nse, "RELIANCE", "24FEB2026"),
        is("NSE_EQ:2885")
    );
    assert_eq!(
        source(Exchange::Bse, "RELIANCE", "26FEB2026"),
        is("NSE_EQ:2885")
    );
    assert_eq!(source(Exchange::Nse, "NIFTY", "10FEB2026"), is("IDX_I:13"));
    assert_eq!(
        source(Exchange::Nse, "NIFTYNXT50", "24FEB2026"),
        is("IDX_I:38")
    );
    assert_eq!(
        source(Exchange::Bse, "SENSEX50", "26FEB2026"),
        is("IDX_I:83")
    );
    assert_eq!(
        source(Exchange::Mcx, "CRUDEOIL", "17FEB2026"),
        is("MCX_COMM:467013")
    );
    assert_eq!(
        source(Exchange::Mcx, "MCXBULLDEX", "24FEB2026"),
        is("MCX_COMM:488289")
    );
    assert_eq!(
        source(Exchange::Nse, "USDINR", "25FEB2026"),
        is("NSE_CURRENCY:1065")
    );
    assert_eq!(
        source(Exchange::Bse, "USDINR", "25FEB2026"),
        is("BSE_CURRENCY:2100001")
    );

    let underlying = |token: &str| {
        let instrument = registry.find(token).unwrap().instrument;
        instrument
            .underlying()
            .map(|underlying| underlying.key().to_string())
    };
    assert_eq!(underlying("NIFTY_24FEB2026_FUT"), is("IDX_I:13"));
    assert_eq!(underlying("BSE:RELIANCE_26FEB2026_FUT"), is("NSE_EQ:2885"));
    assert_eq!(underlying("GOLD_02APR2026_FUT"), None);
    assert_eq!(underlying("RELIANCE"), None);

    // Not listed on NSE in series EQ.
    let rows = fixture::ROWS
        .replace("NSE,E,2885", "BSE,E,2885")
        .replace(",ES,EQ,MAHINDRA", ",ES,BE,MAHINDRA");
    let registry = registry_of(&format!("{rows}{}", fixture::chains()));
    let source = |symbol| {
        let ladder = registry
            .ladder(Exchange::Nse, symbol, expiry("24FEB2026"))
            .unwrap();
        ladder.price_source().map(|source| source.key().to_string())
    };
    assert_eq!(source("RELIANCE"), is("BSE_EQ:500325"));
    assert_eq!(source("M&M"), is("BSE_EQ:500520"));
}

#[test]
fn the_future_of_a_commodity_option_expires_with_it_or_later() {
    let crude = |day, id| {
        format!(
            "MCX,M,{id},FUTCOM,0,CRUDEOIL-{day}Feb2026-FUT,1.0,,2026-02-{day} 00:00:00,0.00000,XX,100.0000,M,FUTCOM,2,CRUDEOIL\n"
        )
    };
    let option = "MCX,M,9,OPTFUT,0,CRUDEOIL-17Feb2026-5800-CE,1.0,,2026-02-17 00:00:00,5800,CE,10.0000,M,OPTFUT,2,CRUDEOIL\n";
    let source = |futures: &[(u32, u32)]| {
        let futures: String = futures.iter().map(|(day, id)| crude(*day, *id)).collect();
        let registry = registry_of(&format!("{option}{futures}"));
        let ladder = registry.ladders().next().unwrap();
        ladder.price_source().map(|source| source.key().id.0)
    };
    assert_eq!(source(&[(19, 1), (18, 2), (16, 3)]), Some(2));
    assert_eq!(source(&[(19, 1), (17, 2)]), Some(2));
    assert_eq!(source(&[(16, 1)]), None);
}

#[test]
fn an_alias_never_hides_a_listed_symbol() {
    let equity = "NSE,E,777,EQUITY,0,NIFTY50,1.0,,,,,1.0000,NA,ETF,EQ,A FUND\n";
    let registry = registry_of(&format!("{}{equity}{}", fixture::ROWS, fixture::chains()));
    assert_eq!(find(&registry, "NIFTY50"), "NSE_EQ:777");
    assert_eq!(find(&registry, "NIFTY 50"), "IDX_I:13");
    let query = ChainQuery {
        symbol: "NIFTY50",
        kind: None,
        exchange: None,
        expiry: None,
    };
    assert_eq!(
        registry.resolve_chain(&query).unwrap_err(),
        LookupError::NoOptions {
            symbol: "NIFTY50".to_owned()
        }
    );
    oracle::tokens_are_unique_and_found(&registry);
}

#[test]
fn tokens_stay_unique_whatever_is_listed() {
    let option = "NSE,D,1,OPTIDX,0,SENSEX-Feb2026-84000-CE,1.0,,2026-02-26 15:30:00,84000,CE,5.0000,M,OP,,\n";
    let twins = "\
NSE,D,2,OPTSTK,0,RELIANCE-Feb2026-1440-CE,500.0,,2026-02-24 14:30:00,1440,CE,5.0000,M,OP,,
NSE,D,3,FUTIDX,0,NIFTY-Feb2026-FUT,65.0,,2026-02-24 14:30:00,-0.01,XX,5.0000,M,OP,,
NSE,D,4,OPTSTK,0,NIFTY-Feb2026-26000-PE,65.0,,2026-02-24 14:30:00,26000,PE,5.0000,M,OP,,
BSE,E,5,EQUITY,0,RELIANCE,1.0,,,,,5.0000,NA,ES,B,
NSE,E,6,EQUITY,0,MOTHERSON-D1,1.0,,,,,5.0000,NA,ES,EQ,
NSE,E,7,EQUITY,0,Gold_02Apr2026_FUT,1.0,,,,,5.0000,NA,ES,EQ,
NSE,I,8,INDEX,0,SENSEX,1.0,,,,,0.05,NA,ES,X,
";
    let registry = registry_of(&format!(
        "{}{}{option}{twins}",
        fixture::ROWS,
        fixture::chains()
    ));
    assert_eq!(
        registry.report().rejected,
        0,
        "{:?}",
        registry.report().samples
    );
    oracle::tokens_are_unique_and_found(&registry);
    let token = |key: &str| registry.find(key).unwrap().instrument.token();
    // By the exchange rule the plain token is NSE's.
    assert_eq!(token("NSE_FNO:1"), "SENSEX_26FEB2026_84000CE");
    assert_eq!(token("BSE_FNO:860001"), "BSE_FNO:860001");
    assert_eq!(
        find(&registry, "BSE:SENSEX_26FEB2026_84000CE"),
        "BSE_FNO:860001"
    );
    // The first row of a contract keeps its token.
    assert_eq!(token("NSE_FNO:131523"), "RELIANCE_24FEB2026_1440CE");
    assert_eq!(token("NSE_FNO:2"), "NSE_FNO:2");
    assert_eq!(token("BSE_EQ:500325"), "BSE:RELIANCE");
    assert_eq!(token("BSE_EQ:5"), "BSE_EQ:5");
    assert_eq!(token("IDX_I:51"), "IDX_I:51");
    let ambiguous = registry.find("SENSEX").unwrap_err();
    assert_eq!(
        ambiguous,
        LookupError::Ambiguous {
            reference: "SENSEX".to_owned(),
            choices: vec!["IDX_I:51".to_owned(), "IDX_I:8".to_owned()],
        }
    );
    assert_eq!(find(&registry, "BSE:SENSEX"), "IDX_I:51");
}

#[test]
fn errors_name_the_thing_and_the_choices() {
    let registry = registry();
    let text = |reference: &str| registry.find(reference).unwrap_err().to_string();
    assert_eq!(
        text("CAPINS"),
        "`CAPINS` is ambiguous; one of IDX_I:99, IDX_I:846"
    );
    assert_eq!(
        text("RELIANC"),
        "unknown instrument `RELIANC`; similar: RELIANCE"
    );
    assert_eq!(
        text("RELIANC_24FEB2026_1440CE"),
        "unknown symbol `RELIANC`; similar: RELIANCE"
    );
    assert_eq!(
        text("RELIANCE_25FEB_1440CE"),
        "RELIANCE has no expiry 25FEB2026 on NSE; listed: 24FEB2026, 30MAR2026"
    );
    assert_eq!(
        text("ITC_24FEB2026_313CE"),
        "unknown instrument `ITC_24FEB2026_313CE`; similar: ITC_24FEB2026_310CE, \
         ITC_24FEB2026_312.5CE, ITC_24FEB2026_315CE"
    );
    assert_eq!(text("ITC_24FEB2026_FUT"), "no futures on ITC are listed");
    assert_eq!(
        text("METAL_24FEB2026_1CE"),
        "no options on METAL are listed"
    );
    assert_eq!(
        text("GOLD"),
        "unknown instrument `GOLD`; similar: GOLD_02APR2026_FUT"
    );
    assert_eq!(
        text("TRADED2T"),
        "unknown instrument `TRADED2T`; similar: TRADED2T-BE"
    );
    assert_eq!(text("NSE_FNO:1"), "unknown instrument `NSE_FNO:1`");
    assert_eq!(
        text("NSE_FNO:RELIANCE"),
        "unknown instrument `NSE_FNO:RELIANCE`"
    );
    for reference in [
        "",
        ":",
        "_",
        "NSE:",
        "X:Y:Z",
        "__",
        "RELIANCE_24FEB2026_CE",
        &"é".repeat(5000),
    ] {
        let message = text(reference);
        assert!(message.len() < 400, "{message}");
    }

    let query = |symbol, kind| ChainQuery {
        symbol,
        kind,
        exchange: None,
        expiry: None,
    };
    let chain = |symbol, kind| registry.resolve_chain(&query(symbol, kind)).unwrap_err();
    let wrong = |symbol: &str, asked, listed: &[Kind]| LookupError::WrongKind {
        symbol: symbol.to_owned(),
        asked,
        listed: listed.to_vec(),
    };
    assert_eq!(
        chain("nifty", Some(Kind::OptionStock)),
        wrong(
            "NIFTY",
            Kind::OptionStock,
            &[Kind::Index, Kind::FutureIndex, Kind::OptionIndex]
        )
    );
    assert_eq!(
        chain("GOLD", Some(Kind::OptionCommodity)),
        wrong("GOLD", Kind::OptionCommodity, &[Kind::FutureCommodity])
    );
    assert_eq!(
        chain("GOLD", None),
        LookupError::NoOptions {
            symbol: "GOLD".to_owned()
        }
    );
    assert_eq!(chain("NIFTTY", None).choices()[0], "NIFTY");
    assert!(
        matches!(chain("QQQQQQ", None), LookupError::UnknownSymbol { choices, .. } if choices.is_empty())
    );
    let on_nse = ChainQuery {
        exchange: Some(Exchange::Nse),
        ..query("CRUDEOIL", None)
    };
    assert_eq!(
        registry.resolve_chain(&on_nse).unwrap_err(),
        LookupError::NoOptions {
            symbol: "CRUDEOIL".to_owned()
        }
    );
    let equity = |symbol| registry.resolve_equity(None, symbol).unwrap_err();
    assert_eq!(
        equity("NIFTY 50"),
        wrong(
            "NIFTY",
            Kind::Equity,
            &[Kind::Index, Kind::FutureIndex, Kind::OptionIndex]
        )
    );
    assert_eq!(
        equity("GOLD"),
        wrong("GOLD", Kind::Equity, &[Kind::FutureCommodity])
    );
    assert_eq!(equity("TRADED2T").choices(), ["TRADED2T-BE"]);
    let unlisted = ChainQuery {
        expiry: Some(expiry("03MAR2026")),
        ..query("NIFTY", None)
    };
    assert_eq!(
        registry.resolve_chain(&unlisted).unwrap_err().choices(),
        ["10FEB2026", "17FEB2026", "24FEB2026", "02MAR2026"]
    );
}

#[test]
fn eligibility_is_by_exchange() {
    let registry = registry();
    assert!(registry.is_fno_eligible(Exchange::Nse, "reliance"));
    assert!(registry.is_fno_eligible(Exchange::Nse, "NIFTY 50"));
    assert!(!registry.is_fno_eligible(Exchange::Bse, "NIFTY"));
    assert!(!registry.is_fno_eligible(Exchange::Nse, "METAL"));
    assert!(!registry.is_fno_eligible(Exchange::Nse, "011NSETEST"));
    let futures: Vec<String> = registry
        .futures(Exchange::Mcx, "crudeoil")
        .map(|future| future.token())
        .collect();
    assert_eq!(
        futures,
        ["CRUDEOIL_19FEB2026_FUT", "CRUDEOIL_19MAR2026_FUT"]
    );
}
