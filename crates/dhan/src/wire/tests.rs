use core::mem::{offset_of, size_of};

use proptest::prelude::*;
use strikewire_types::Mode;

use super::*;

#[test]
fn sizes_are_the_documented_ones() {
    for (code, length) in [
        (2, 16),
        (3, 112),
        (4, 50),
        (5, 12),
        (6, 16),
        (7, 8),
        (8, 162),
        (50, 10),
    ] {
        assert_eq!(length_of(code), Some(length), "code {code}");
    }
    for code in (0..=u8::MAX).filter(|code| ![2, 3, 4, 5, 6, 7, 8, 50].contains(code)) {
        assert_eq!(length_of(code), None, "code {code}");
    }
    assert_eq!(size_of::<Header>(), 8);
    assert_eq!(size_of::<Level>(), 20);
}

#[test]
fn fields_are_where_the_layout_says() {
    // Offsets of the layout table in docs/DHAN.md, from the start of the packet.
    let check = |what: &str, found: &[usize], expected: &[usize]| {
        assert_eq!(found, expected, "{what}");
    };
    macro_rules! offsets {
        ($kind:ident: $($field:ident),*) => { [$(offset_of!($kind, $field)),*] };
    }
    check(
        "header",
        &offsets!(Header: code, length, segment, security_id),
        &[0, 1, 3, 4],
    );
    check("ticker", &offsets!(Ticker: header, ltp, ltt), &[0, 8, 12]);
    check("v1 depth", &offsets!(V1Depth: ltp, depth), &[8, 12]);
    check(
        "quote",
        &offsets!(Quote: ltp, ltq, ltt, atp, volume, total_sell_qty, total_buy_qty, open, close, high, low),
        &[8, 12, 14, 18, 22, 26, 30, 34, 38, 42, 46],
    );
    check("oi", &offsets!(Oi: oi), &[8]);
    check("previous close", &offsets!(PrevClose: price, oi), &[8, 12]);
    check(
        "full",
        &offsets!(Full: ltp, ltq, ltt, atp, volume, total_sell_qty, total_buy_qty, oi, oi_high, oi_low,
            open, close, high, low, depth),
        &[8, 12, 14, 18, 22, 26, 30, 34, 38, 42, 46, 50, 54, 58, 62],
    );
    check(
        "level",
        &offsets!(Level: bid_qty, ask_qty, bid_orders, ask_orders, bid, ask),
        &[0, 4, 8, 10, 12, 16],
    );
    check("disconnect", &offsets!(Disconnect: reason), &[8]);
}

/// Capture P1: first 16 and last 8 of the 162 bytes of a full packet, SecurityId
/// 55796 (NIFTY 31 JUL 2025 24900 PE), published in DhanHQ-py issue 90. What lies
/// between was not published and is zero here, except for the upper half of the time,
/// which the trading day leaves only one value for.
fn capture_p1() -> [u8; 162] {
    let mut bytes = [0; 162];
    bytes[..16].copy_from_slice(&[
        0x08, 0xa2, 0x00, 0x02, 0xf4, 0xd9, 0x00, 0x00, 0xcd, 0x4c, 0x18, 0x43, 0x4b, 0x00, 0x58,
        0x9a,
    ]);
    bytes[16..18].copy_from_slice(&[0x83, 0x68]);
    bytes[154..].copy_from_slice(&[0x9a, 0x19, 0x18, 0x43, 0xcd, 0xcc, 0x18, 0x43]);
    bytes
}

#[test]
fn a_captured_full_packet_reads_as_published() {
    let bytes = capture_p1();
    let packet = Full::ref_from_bytes(&bytes).unwrap();
    assert_eq!(packet.header.code, code::FULL);
    assert_eq!(usize::from(packet.header.length.get()), Full::LEN);
    assert_eq!(
        packet.header.key(),
        Some(InstrumentKey::new(Segment::NseFno, 55_796))
    );
    assert_eq!(packet.ltp.get(), 152.3);
    assert_eq!(packet.ltq.get(), 75);
    assert_eq!(packet.ltt.get(), 1_753_455_192);
    assert_eq!(packet.depth[4].bid.get(), 152.1);
    assert_eq!(packet.depth[4].ask.get(), 152.8);
    assert_eq!(
        Full::header(InstrumentKey::new(Segment::NseFno, 55_796)),
        packet.header
    );
}

#[test]
fn time_on_the_wire_is_the_wall_clock_of_india() {
    // 2026-06-10 09:49:57 in India; captures T1 to T5 of docs/DHAN.md.
    assert_eq!(wall_clock(1_781_065_197), 1_781_084_997);
    assert_eq!(wall_clock(-19_801), 0);
    assert_eq!(wall_clock(i64::MAX), 0);
    assert_eq!(wall_clock(i64::MIN), 0);
}

#[test]
fn reasons_keep_their_number_and_have_a_class() {
    for code in 0..=u16::MAX {
        assert_eq!(Reason::from_code(code).code(), code);
    }
    for (class, codes) in [
        (Class::Token, &[807, 808, 809][..]),
        (Class::Fatal, &[806, 810]),
        (Class::Contended, &[805]),
        (Class::Ours, &[804, 811, 812, 813, 814]),
        (Class::Transient, &[800, 0, 801, 802, 803, 815, 65_535]),
    ] {
        for &code in codes {
            assert_eq!(Reason::from_code(code).class(), class, "{code}");
        }
    }
    assert_eq!(
        Reason::from_code(805).to_string(),
        "805 (too many requests or connections)"
    );
}

#[test]
fn request_codes_are_the_documented_ones() {
    for (mode, subscribe, unsubscribe) in [
        (Mode::Ticker, 15, 16),
        (Mode::Quote, 17, 18),
        (Mode::Full, 21, 22),
    ] {
        assert_eq!(RequestCode::subscribe(mode).code(), subscribe);
        assert_eq!(RequestCode::unsubscribe(mode).code(), unsubscribe);
        let code = RequestCode::from_code(subscribe).unwrap();
        assert_eq!((code.mode(), code.is_subscribe()), (Some(mode), true));
        let code = RequestCode::from_code(unsubscribe).unwrap();
        assert_eq!((code.mode(), code.is_subscribe()), (Some(mode), false));
    }
    for code in [0, 10, 13, 14, 19, 20, 23, 24, 25, 255] {
        assert_eq!(RequestCode::from_code(code), None, "{code}");
    }
}

#[test]
fn the_documented_request_is_read_and_written() {
    let text = r#"{"RequestCode":15,"InstrumentCount":1,"InstrumentList":[{"ExchangeSegment":"NSE_EQ","SecurityId":"1333"}]}"#;
    let request: SubscribeRequest = serde_json::from_str(text).unwrap();
    assert_eq!(
        request.instrument_list[0].key(),
        Some(InstrumentKey::new(Segment::NseEq, 1333))
    );
    assert_eq!(serde_json::to_string(&request).unwrap(), text);

    let number = r#"{"RequestCode":15,"InstrumentCount":1,"InstrumentList":[{"ExchangeSegment":"NSE_EQ","SecurityId":1333}]}"#;
    assert_eq!(
        serde_json::from_str::<SubscribeRequest>(number).unwrap(),
        request
    );

    let leave: SubscribeRequest = serde_json::from_str(DISCONNECT_REQUEST).unwrap();
    assert_eq!(
        RequestCode::from_code(leave.request_code),
        Some(RequestCode::Disconnect)
    );
    assert!(leave.instrument_list.is_empty());
}

#[test]
fn an_instrument_that_is_none_has_no_key() {
    for (segment, id) in [
        ("NSE_XX", "1"),
        ("NSE_EQ", ""),
        ("NSE_EQ", "-1"),
        ("NSE_EQ", "+1"),
        ("NSE_EQ", "4294967296"),
        ("", "1"),
    ] {
        let instrument = Instrument {
            exchange_segment: segment.to_owned(),
            security_id: id.to_owned(),
        };
        assert_eq!(instrument.key(), None, "{segment} {id}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_a_request(text in ".*", id in ".*") {
        let _ = serde_json::from_str::<SubscribeRequest>(&text);
        let _ = Instrument { exchange_segment: "NSE_EQ".to_owned(), security_id: id }.key();
    }

    #[test]
    fn time_goes_there_and_back(unix in 0_i64..4_294_947_495) {
        prop_assert_eq!(i64::from(wall_clock(unix)), unix + 5 * 3600 + 30 * 60);
    }
}
