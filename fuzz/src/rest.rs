use strikewire_dhan::rest::parse::{self, Answer};
use strikewire_types::{InstrumentKey, PriceStep, Segment};

/// A byte that chooses the status, and the body of an answer: all that is made of it is
/// in bounds that the body sets.
pub fn rest(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else {
        return;
    };
    let answer = || Answer {
        status: [200, 200, 200, 400, 401, 429, 500, 502][usize::from(first % 8)],
        retry_after: None,
        body,
    };
    let wanted = [
        (InstrumentKey::new(Segment::NseEq, 11_536), PriceStep::PAISA),
        (
            InstrumentKey::new(Segment::IdxI, 13),
            PriceStep::from_raw(500),
        ),
    ];
    if let Ok(quotes) = parse::quotes(answer(), &wanted) {
        assert!(quotes.len() <= wanted.len(), "more than was asked for");
        for quote in quotes {
            assert!(wanted.iter().any(|(key, _)| *key == quote.key));
        }
    }
    let segment = Segment::ALL[usize::from(first >> 3) % Segment::ALL.len()];
    if let Ok(chain) = parse::option_chain(answer(), segment) {
        assert!(chain.strikes.len() <= body.len());
        let strikes = chain.strikes.windows(2);
        assert!(strikes.into_iter().all(|two| two[0].strike < two[1].strike));
    }
    if let Ok(expiries) = parse::expiries(answer()) {
        assert!(expiries.is_sorted(), "the soonest first");
    }
    if let Ok(candles) = parse::candles(answer(), PriceStep::PAISA) {
        assert!(candles.len() <= body.len());
    }
    for error in [
        parse::quotes(answer(), &wanted).err(),
        parse::candles(answer(), PriceStep::PAISA).err(),
    ]
    .into_iter()
    .flatten()
    {
        // However long the body is, what is said of it can be read.
        assert!(error.to_string().len() < 2_000, "{error}");
    }
}
