//! Last quotes.

use proptest::prelude::*;

use super::*;
use crate::rest::quotes::names;

#[test]
fn names_are_parted_by_commas() {
    assert_eq!(
        names(Some("NIFTY, BSE:RELIANCE")).unwrap(),
        ["NIFTY", "BSE:RELIANCE"]
    );
    let many = |count: usize| vec!["NIFTY"; count].join(",");
    assert_eq!(names(Some(&many(1000))).unwrap().len(), 1000);
    let check = |text: Option<&str>, code: Code| {
        let problem = names(text).unwrap_err();
        assert_eq!(
            (problem.code, problem.field.as_deref()),
            (code, Some("instruments"))
        );
        problem.detail
    };
    check(None, Code::MissingField);
    assert!(check(Some(&many(1001)), Code::InvalidValue).contains("1 to 1000"));
    for text in ["", " ", ",", "NIFTY,", "NIFTY,,TCS"] {
        check(Some(text), Code::InvalidValue);
    }
}

proptest! {
    #[test]
    fn no_list_of_names_panics(text in "[A-Z ,:%]{0,40}") {
        if let Ok(names) = names(Some(&text)) {
            prop_assert!(names.iter().all(|name| !name.is_empty() && !name.contains(',')));
        }
    }
}

#[tokio::test]
async fn only_what_is_subscribed_has_quotes() {
    let server = Server::start();
    server.post("/api/v2/watchlist/add", nifty(1, 1)).await;
    // The index in three spellings, a contract, one that nobody has, and no instrument.
    let asked = "NIFTY,nifty,IDX_I:13,nifty_10feb_25500ce,RELIANCE,NSE_EQ:2885,NIFTYY,NIFTYY";
    let (status, answer) = server
        .get(&format!("/api/v2/quotes?instruments={asked}"))
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        answer,
        json!({"quotes": {"NIFTY": {}, "NIFTY_10FEB2026_25500CE": {}},
               "unknown": ["NIFTYY"], "not_subscribed": ["RELIANCE"]})
    );
    let (_, after) = server.get("/api/v2/subscriptions/status").await;
    assert_eq!(after["total_subscriptions"], 3);
    server.stop().await;
}
