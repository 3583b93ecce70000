use strikewire_chain::{ChainFacts, ChainView, PriceSource, Width, Window};
use strikewire_types::{ExchangeTime, Utc};

use crate::fixture::{Legs, ladder, price, registry};

fn facts() -> ChainFacts {
    ChainFacts {
        price_source: PriceSource::Live,
        // 2026-02-09T10:00:00 in India.
        price_time: Some(ExchangeTime::from_seconds(1_770_611_400)),
        price_stale: false,
        live_ltp: Some(price("321.05")),
        calculated_at: Utc::from_nanos(1_770_611_400_250_000_000),
    }
}

#[test]
fn a_chain_is_shown_by_the_contract() {
    let registry = registry(&[
        (31_000, Legs::Both),
        (31_250, Legs::Both),
        (31_500, Legs::Call),
        (32_000, Legs::Both),
    ]);
    let window = Window::new(ladder(&registry), price("312.35"), Width::new(5).unwrap()).unwrap();
    let json = serde_json::to_string(&ChainView::new(&window, &facts())).unwrap();
    let expected = concat!(
        r#"{"symbol":"RELIANCE","exchange":"NSE","expiry":"24FEB2026","underlying":"NSE_EQ:2885","underlying_ltp":312.35,"#,
        r#""price_source":"live","price_time":"2026-02-09T10:00:00+05:30","price_stale":false,"live_ltp":321.05,"live_atm_strike":320.0,"#,
        r#""atm_strike":312.5,"strike_step":2.5,"lot_size":500,"width":5,"strikes":[310.0,312.5,315.0,320.0],"#,
        r#""strikes_ce_pe":{"310":{"CE":"RELIANCE_24FEB2026_310CE","PE":"RELIANCE_24FEB2026_310PE"},"#,
        r#""312.5":{"CE":"RELIANCE_24FEB2026_312.5CE","PE":"RELIANCE_24FEB2026_312.5PE"},"#,
        r#""315":{"CE":"RELIANCE_24FEB2026_315CE"},"#,
        r#""320":{"CE":"RELIANCE_24FEB2026_320CE","PE":"RELIANCE_24FEB2026_320PE"}},"#,
        r#""calculated_at":"2026-02-09T10:00:00.250+05:30","ltp_outside_ladder":false,"window_cut":true}"#,
    );
    assert_eq!(json, expected);
}

#[test]
fn what_is_unknown_is_absent() {
    let registry = registry(&[(31_000, Legs::Put)]);
    let window = Window::new(ladder(&registry), price("1440.05"), Width::new(1).unwrap()).unwrap();
    let facts = ChainFacts {
        price_source: PriceSource::PrevClose,
        price_time: None,
        price_stale: true,
        live_ltp: None,
        ..facts()
    };
    let json = serde_json::to_value(ChainView::new(&window, &facts)).unwrap();
    let keys: Vec<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for absent in ["price_time", "live_ltp", "live_atm_strike"] {
        assert!(!keys.contains(&absent), "{absent}");
    }
    assert_eq!(json["strike_step"], serde_json::Value::Null);
    assert_eq!(json["price_source"], "prev_close");
    assert_eq!(json["underlying_ltp"], 1440.05);
    assert_eq!(json["ltp_outside_ladder"], true);
    assert_eq!(json["window_cut"], false);
    assert_eq!(
        json["strikes_ce_pe"],
        serde_json::json!({"310": {"PE": "RELIANCE_24FEB2026_310PE"}})
    );
}
