use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::watch::message::ChainWish;
use crate::watch::view;

fn board(tokens: &[&str], chain: bool) -> Board {
    Board::new(&Wish {
        tokens: tokens.iter().map(ToString::to_string).collect(),
        chain: chain.then(|| ChainWish {
            symbol: "NIFTY".into(),
            expiry: None,
            exchange: None,
            width: None,
        }),
        mode: None,
        every: 250,
    })
}

fn apply(board: &mut Board, message: &Value) -> Change {
    board.apply(Message::parse(&message.to_string()).unwrap())
}

fn tick(token: &str, instrument: &str, ltp: f64) -> Value {
    json!({"type": "ticks", "items": [
        {"token": token, "instrument": instrument, "ltp": ltp, "prev_close": 100.0,
         "ltt": "2026-02-09T10:00:01+05:30", "recv": "2026-02-09T10:00:01.250+05:30"}
    ]})
}

fn snapshot(seq: u64) -> Value {
    json!({"type": "snapshot", "channel": "chain", "sub": 2, "epoch": "e1", "seq": seq,
           "chain": {"symbol": "NIFTY", "exchange": "NSE", "expiry": "10FEB2026",
                     "underlying_ltp": 25_867.3, "live_ltp": 25_867.3, "atm_strike": 25_850.0,
                     "live_atm_strike": 25_850.0, "lot_size": 65,
                     "strikes_ce_pe": {"25850": {"CE": "C25850", "PE": "P25850"},
                                       "9900": {"CE": "C9900"}}},
           "quotes": {"C25850": {"ltp": 32.05, "oi": 1_200}}})
}

fn delta(seq: u64) -> Value {
    json!({"type": "delta", "sub": 2, "epoch": "e1", "seq": seq, "chain": {"live_ltp": null},
           "set": {"C25850": {"ltp": 31.0, "oi": null}, "P25850": {"ltp": 5.0}},
           "remove": ["C9900"]})
}

#[test]
fn an_instrument_is_found_by_whatever_it_was_called() {
    let mut board = board(
        &["nifty", "IDX_I:25", "NSE:RELIANCE_24FEB_1440CE", "NIFTY50"],
        false,
    );
    let tokens = |board: &Board| -> Vec<Option<String>> {
        board
            .asked
            .iter()
            .map(|asked| asked.token.clone())
            .collect()
    };
    apply(&mut board, &tick("NIFTY", "IDX_I:13", 101.0));
    apply(&mut board, &tick("BANKNIFTY", "IDX_I:25", 101.0));
    apply(
        &mut board,
        &tick("RELIANCE_24FEB2026_1440CE", "NSE_FNO:1", 101.0),
    );
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        tokens(&board),
        [
            some("NIFTY"),
            some("BANKNIFTY"),
            some("RELIANCE_24FEB2026_1440CE"),
            None
        ]
    );
    assert!(!board.is_complete());
    // The server says it better.
    apply(
        &mut board,
        &json!({"type": "ack", "id": 1, "sub": 1,
               "tokens": ["NIFTY", "BANKNIFTY", "RELIANCE_24FEB2026_1440CE", "NIFTY"]}),
    );
    assert!(board.is_complete());
    // Where it does not, what comes was asked for under another name.
    let mut board = self::board(&["NIFTY 50", "SENSEX"], false);
    apply(&mut board, &tick("NIFTY", "IDX_I:13", 101.0));
    apply(&mut board, &tick("SENSEX", "IDX_I:51", 101.0));
    assert_eq!(tokens(&board), [some("NIFTY"), some("SENSEX")]);
}

#[test]
fn what_means_the_same_is_told_without_a_master() {
    for (reference, expected) in [
        ("reliance_24feb2026_1440ce", true),
        ("NSE:RELIANCE_24FEB2026_1440CE", true),
        ("bse:RELIANCE_24FEB_1440CE", true),
        ("NSE_FNO:77", true),
        ("RELIANCE_24FEB_1450CE", false),
        ("RELIANCE", false),
        ("", false),
    ] {
        let is = means(reference, "RELIANCE_24FEB2026_1440CE", "NSE_FNO:77");
        assert_eq!(is, expected, "{reference}");
    }
}

#[test]
fn a_price_has_a_direction_until_it_turns() {
    let mut board = board(&["NIFTY"], false);
    let mut moved = |ltp| {
        apply(&mut board, &tick("NIFTY", "IDX_I:13", ltp));
        board.quotes["NIFTY"].moved
    };
    assert_eq!(moved(101.0), Move::None);
    assert_eq!(moved(102.0), Move::Up);
    assert_eq!(moved(102.0), Move::Up);
    assert_eq!(moved(100.5), Move::Down);
}

#[test]
fn a_chain_is_a_snapshot_and_what_changed_since() {
    let mut board = board(&[], true);
    assert!(!board.is_complete() && board.place().is_none());
    assert_eq!(
        apply(&mut board, &snapshot(7)),
        Change::Quotes(vec!["C25850".into()])
    );
    assert_eq!(board.missing(), ["C9900", "P25850"]);
    apply(&mut board, &delta(8));
    let place = Place {
        epoch: "e1".into(),
        seq: 8,
    };
    assert_eq!(board.place(), Some(&place));
    let chain = board.chain.as_ref().unwrap();
    assert_eq!(chain.fields.get("live_ltp"), None);
    let call = &chain.quotes["C25850"];
    assert_eq!((call.number("ltp"), call.number("oi")), (Some(31.0), None));
    assert_eq!(call.moved, Move::Down);
    let rungs: Vec<&str> = board.rungs().iter().map(|rung| rung.strike).collect();
    assert_eq!(rungs, ["9900", "25850"], "by number, not by text");
    let document = serde_json::to_value(board.document()).unwrap();
    assert_eq!(document["complete"], false);
    assert_eq!(document["missing"], json!(["C9900"]));
    assert_eq!(document["chain"]["quotes"]["P25850"], json!({"ltp": 5.0}));
}

#[test]
fn a_gap_is_noticed_unless_it_was_said() {
    let mut board = board(&[], true);
    apply(&mut board, &snapshot(7));
    assert_eq!(apply(&mut board, &delta(9)), Change::Lost);
    assert_eq!(board.place(), None, "everything is asked for anew");
    apply(&mut board, &snapshot(7));
    let lagged = json!({"type": "lagged", "sub": 2, "dropped": 3, "from_seq": 8, "to_seq": 10});
    assert!(matches!(apply(&mut board, &lagged), Change::Note(_)));
    assert!(matches!(apply(&mut board, &delta(11)), Change::Quotes(_)));
    // A server that does not know our place.
    let refused = json!({"type": "error", "id": 3, "code": "invalid_value", "detail": "resume"});
    assert_eq!(apply(&mut board, &refused), Change::Lost);
    assert_eq!(board.place(), None);
}

#[test]
fn what_a_person_sees() {
    let mut board = board(&["NIFTY", "SENSEX"], true);
    apply(&mut board, &tick("NIFTY", "IDX_I:13", 101.0));
    apply(&mut board, &tick("NIFTY", "IDX_I:13", 101.5));
    apply(&mut board, &json!({"type": "ack", "id": 1, "sub": 1}));
    apply(&mut board, &snapshot(7));
    apply(
        &mut board,
        &json!({"type": "notice", "code": "rolled", "detail": "NIFTY rolled to 25900"}),
    );
    let expected = "\
http://h: live

token     last     change      %  bid  ask  volume  OI  traded
NIFTY   101.50  ▲   +1.50  +1.50                        10:00:01
SENSEX                                                  no value yet

NIFTY 10FEB2026 on NSE at 25867.30, ATM 25850, lot 65
   OI  volume  bid  ask     CE      strike  PE     bid  ask  volume  OI
                                      9900
1,200                    32.05     > 25850

rolled: NIFTY rolled to 25900";
    assert_eq!(view::page(&board, "http://h", 40), expected);
    assert_eq!(
        view::lines(&board, &["NIFTY".into(), "C25850".into(), "X".into()]),
        "10:00:01.250 NIFTY ltp=101.50\nC25850 ltp=32.05 oi=1200"
    );
    board.lost("the connection ended", Duration::from_millis(500));
    let page = view::page(&board, "http://h", 40);
    assert!(
        page.starts_with("http://h: the connection ended; connecting again in 0.5 s\n"),
        "{page}"
    );
}

#[test]
fn of_a_long_chain_the_money_is_shown() {
    let mut board = board(&[], true);
    let strikes: serde_json::Map<String, Value> = (100..200)
        .map(|strike| (strike.to_string(), json!({"CE": format!("C{strike}")})))
        .collect();
    let message = json!({"type": "snapshot", "epoch": "e", "seq": 1,
                         "chain": {"atm_strike": 170.0, "strikes_ce_pe": strikes}});
    apply(&mut board, &message);
    let shown = |rows: usize| -> Vec<String> {
        let page = view::page(&board, "http://h", rows);
        assert!(page.lines().count() < rows.max(10), "{page}");
        page.lines()
            .skip(4)
            .map(|line| line.trim().to_owned())
            .collect()
    };
    assert_eq!(shown(12), ["167", "168", "169", "> 170", "171", "172"]);
    assert_eq!(shown(0), ["169", "> 170", "171"], "never less");
    assert_eq!(shown(500).len(), 100);
}

proptest! {
    /// Whatever a server sends.
    #[test]
    fn no_message_panics(
        kinds in prop::collection::vec(0..7_usize, 0..20),
        token in ".*",
        number in any::<f64>(),
        seq in any::<u64>(),
        field in "[a-z_]{0,12}",
    ) {
        let mut board = board(&["NIFTY", "X_1_2"], true);
        for kind in kinds {
            let message = match kind {
                0 => tick(&token, &token, number),
                1 => snapshot(seq),
                2 => delta(seq.wrapping_add(1)),
                3 => json!({"type": "delta", "epoch": "e1", "seq": seq, "set": {&token: {&field: number}},
                            "chain": {"strikes_ce_pe": {&token: number}, &field: token}}),
                4 => json!({"type": "notice", "code": token}),
                5 => json!({"type": "ack", "id": 1, "tokens": [token]}),
                _ => json!({"type": "snapshot", "epoch": token, "seq": seq,
                            "chain": {"strikes_ce_pe": {number.to_string(): {"CE": token}}}}),
            };
            let change = apply(&mut board, &message);
            if let Change::Quotes(tokens) = change {
                view::lines(&board, &tokens);
            }
            view::page(&board, "http://h", seq as usize % 50);
            prop_assert!(serde_json::to_value(board.document()).is_ok());
        }
        prop_assert!(board.notes.len() <= NOTES);
    }
}
