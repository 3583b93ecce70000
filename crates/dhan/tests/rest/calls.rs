//! What is asked, how often, and what becomes of failures.

use std::time::Duration;

use strikewire_broker::{
    CandleRequest, InstrumentClass, Interval, MasterLayout, Reference, ReferenceError,
};
use strikewire_dhan::{DhanRest, RestConfig, TokenSource};
use strikewire_types::ExchangeTime;

use crate::support::{CLIENT, HDFC, NIFTY, QUOTE, Reply, STEP, Server, TOKEN, answer, ok};

fn candles_of(interval: Interval, from: i64, to: i64) -> CandleRequest {
    CandleRequest {
        key: HDFC,
        class: InstrumentClass::Equity,
        step: STEP,
        interval,
        from: ExchangeTime::from_seconds(from),
        to: ExchangeTime::from_seconds(to),
    }
}

#[tokio::test]
async fn every_call_is_asked_as_documented() {
    let chain = r#"{"data":{"last_price":22952.94921875,"oc":{"22950.000000":{"ce":{"last_price":156.35}}}},"status":"success"}"#;
    let candles = r#"{"open":[1650.4],"high":[1651],"low":[1650],"close":[1650.5],"volume":[2.0],"timestamp":[1726026300.0]}"#;
    let server = Server::new(move |n, _| {
        let bodies = [
            QUOTE,
            chain,
            r#"{"data":["2025-02-06","2025-01-30"],"status":"success"}"#,
            candles,
            candles,
        ];
        Reply::Bytes(ok(bodies[n]))
    })
    .await;
    let rest = server.client();
    assert_eq!(rest.quotes_per_call(), 1_000);

    let quotes = rest.quotes(&[(NIFTY, STEP), (HDFC, STEP)]).await.unwrap();
    assert_eq!(quotes.len(), 1);
    assert_eq!(
        (quotes[0].key, quotes[0].ltp),
        (HDFC, Some("1650.4".parse().unwrap()))
    );

    let expiry = "30JAN2025".parse().unwrap();
    let chain = rest.option_chain(NIFTY, expiry).await.unwrap();
    assert_eq!(chain.underlying_ltp, Some("22952.95".parse().unwrap()));
    assert_eq!(
        chain.strikes[0].call.unwrap().ltp,
        Some("156.35".parse().unwrap())
    );

    let expiries = rest.expiries(NIFTY).await.unwrap();
    assert_eq!(expiries[0], expiry);

    let open = 1_726_026_300;
    let minutes = candles_of(Interval::Minutes(1), open, open + 60);
    assert_eq!(rest.candles(&minutes).await.unwrap().len(), 1);
    let days = candles_of(Interval::Day, open, open + 60);
    assert_eq!(rest.candles(&days).await.unwrap().len(), 1);

    let requests = server.requests();
    let told: Vec<(&str, &str)> = requests
        .iter()
        .map(|request| (request.line.as_str(), request.body.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "POST /v2/marketfeed/quote",
                r#"{"IDX_I":[13],"NSE_EQ":[1333]}"#
            ),
            (
                "POST /v2/optionchain",
                r#"{"UnderlyingScrip":13,"UnderlyingSeg":"IDX_I","Expiry":"2025-01-30"}"#
            ),
            (
                "POST /v2/optionchain/expirylist",
                r#"{"UnderlyingScrip":13,"UnderlyingSeg":"IDX_I"}"#
            ),
            (
                "POST /v2/charts/intraday",
                r#"{"securityId":"1333","exchangeSegment":"NSE_EQ","instrument":"EQUITY","interval":"1","oi":false,"fromDate":"2024-09-11 09:15:00","toDate":"2024-09-11 09:15:59"}"#
            ),
            (
                "POST /v2/charts/historical",
                r#"{"securityId":"1333","exchangeSegment":"NSE_EQ","instrument":"EQUITY","oi":false,"fromDate":"2024-09-11","toDate":"2024-09-12"}"#
            ),
        ]
    );
    for request in &*requests {
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        assert_eq!(header("access-token"), Some(TOKEN));
        assert_eq!(header("client-id"), Some(CLIENT));
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("accept"), Some("application/json"));
    }
}

#[tokio::test]
async fn nothing_is_asked_for_nothing() {
    let server = Server::always(ok(QUOTE)).await;
    let rest = server.client();
    assert_eq!(rest.quotes(&[]).await.unwrap(), []);
    let none = candles_of(Interval::Minutes(1), 100, 100);
    assert_eq!(rest.candles(&none).await.unwrap(), []);
    for error in [
        rest.quotes(&vec![(HDFC, STEP); 1_001]).await.unwrap_err(),
        rest.candles(&candles_of(
            Interval::Minutes(3),
            1_726_026_300,
            1_726_026_360,
        ))
        .await
        .unwrap_err(),
    ] {
        assert!(matches!(error, ReferenceError::Rejected { .. }), "{error}");
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_long_span_is_several_requests() {
    // 200 days in three parts: before the listing, and two with one bar each, the second
    // of which repeats the last bar of the first.
    let server = Server::new(|n, _| {
        let bar = |times: &str, prices: &str| {
            ok(format!(
                r#"{{"open":{prices},"high":{prices},"low":{prices},"close":{prices},"volume":{prices},"timestamp":{times}}}"#
            ))
        };
        Reply::Bytes(match n {
            0 => answer(
                "400 Bad Request",
                "",
                r#"{"errorType":"Data_Error","errorCode":"DH-907","errorMessage":"no data"}"#,
            ),
            1 => bar("[1733800000]", "[1]"),
            _ => bar("[1733800000,1741600000]", "[2,3]"),
        })
    })
    .await;
    let open = 1_726_026_300;
    let wanted = candles_of(Interval::Minutes(60), open, open + 200 * 86_400);
    let found = server.client().candles(&wanted).await.unwrap();
    let times: Vec<i64> = found.iter().map(|candle| candle.at.as_seconds()).collect();
    assert_eq!(times, [1_733_800_000, 1_741_600_000]);
    assert_eq!(server.requests().len(), 3);

    let server = Server::always(answer("400 Bad Request", "", r#"{"errorCode":"DH-907"}"#)).await;
    let error = server.client().candles(&wanted).await.unwrap_err();
    assert!(matches!(error, ReferenceError::NoData { .. }), "{error}");
}

#[tokio::test]
async fn the_token_is_read_for_every_call() {
    let server = Server::always(ok(QUOTE)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let rest = DhanRest::new(RestConfig {
        token: TokenSource::File(path.clone()),
        ..server.config()
    })
    .unwrap();
    let wanted = [(HDFC, STEP)];
    let error = rest.quotes(&wanted).await.unwrap_err();
    assert!(
        matches!(error, ReferenceError::Credentials { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
    for token in ["one", "two"] {
        std::fs::write(&path, token).unwrap();
        rest.quotes(&wanted).await.unwrap();
        assert_eq!(
            server.requests().last().unwrap().headers["access-token"],
            token
        );
    }
    std::fs::write(&path, "th\u{1}ree").unwrap();
    let error = rest.quotes(&wanted).await.unwrap_err();
    assert!(
        matches!(error, ReferenceError::Credentials { .. }),
        "{error}"
    );
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let page = "<html><body>502 Bad Gateway</body></html>";
    for bad in [
        answer("502 Bad Gateway", "Content-Type: text/html\r\n", page),
        answer(
            "500 Error",
            "",
            r#"{"errorCode":"RS-9005","errorMessage":"m"}"#,
        ),
        ok(r#"{"status":"failure","remarks":{"error_code":null},"data":""}"#),
        // It hangs up, and in the middle of the body.
        Vec::new(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"data\":{}".to_vec(),
    ] {
        let shown = String::from_utf8_lossy(&bad).into_owned();
        let reply = bad.clone();
        let server =
            Server::new(move |n, _| Reply::Bytes(if n < 2 { reply.clone() } else { ok(QUOTE) }))
                .await;
        let quotes = server.client().quotes(&[(HDFC, STEP)]).await;
        assert_eq!(quotes.unwrap().len(), 1, "{shown}");
        assert_eq!(server.requests().len(), 3, "{shown}");

        let server = Server::always(bad).await;
        let error = server.client().quotes(&[(HDFC, STEP)]).await.unwrap_err();
        assert!(
            matches!(error, ReferenceError::Unavailable { .. }),
            "{shown}: {error}"
        );
        assert_eq!(server.requests().len(), 3, "{shown}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_not() {
    for (reply, expected) in [
        (
            ok(r#"{"errorCode":806,"errorMessage":"Data APIs not subscribed"}"#),
            "quotes: the account is not entitled to it (806: Data APIs not subscribed)",
        ),
        (
            answer(
                "400 Bad Request",
                "",
                r#"{"errorType":"Order_Error","errorCode":"DH-906","errorMessage":"Invalid Token"}"#,
            ),
            "quotes: the credentials are refused (DH-906: Invalid Token)",
        ),
        (
            answer(
                "400 Bad Request",
                "",
                r#"{"status":"failed","data":{"813":"Invalid SecurityId"}}"#,
            ),
            "quotes: the request is refused (813: Invalid SecurityId)",
        ),
        (
            answer(
                "400 Bad Request",
                "",
                r#"{"errorCode":"DH-907","errorMessage":"none"}"#,
            ),
            "quotes: no data (DH-907: none)",
        ),
        (
            ok("<html>maintenance</html>"),
            "quotes: unexpected answer: no JSON object, in \"<html>maintenance</html>\"",
        ),
        (
            answer("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
            "quotes: unexpected answer: HTTP 302: an empty body",
        ),
    ] {
        let server = Server::always(reply).await;
        let error = server.client().quotes(&[(HDFC, STEP)]).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn one_too_many_is_asked_again_after_a_short_rest() {
    let limited =
        r#"{"errorType":"Input_Exception","errorCode":"DH-904","errorMessage":"Too many"}"#;
    for bad in [
        answer("429 Too Many Requests", "", limited),
        answer("429 Too Many Requests", "Retry-After: 0\r\n", ""),
        ok(r#"{"data":{"805":"Too many requests"},"status":"failed"}"#),
    ] {
        let server =
            Server::new(move |n, _| Reply::Bytes(if n == 0 { bad.clone() } else { ok(QUOTE) }))
                .await;
        server.client().quotes(&[(HDFC, STEP)]).await.unwrap();
        assert_eq!(server.requests().len(), 2);
    }
    let server = Server::always(answer("429 Too Many Requests", "", limited)).await;
    let error = server.client().quotes(&[(HDFC, STEP)]).await.unwrap_err();
    assert!(matches!(error, ReferenceError::Limited { .. }), "{error}");
    assert!(error.is_transient());
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_long_rest_is_for_all_who_ask_the_family() {
    let server = Server::new(|_, request| {
        Reply::Bytes(if request.line.contains("optionchain") {
            ok(r#"{"data":["2025-01-30"],"status":"success"}"#)
        } else {
            answer("429 Too Many Requests", "Retry-After: 60\r\n", "slow down")
        })
    })
    .await;
    let rest = server.client();
    let clone = rest.clone();
    let error = rest.quotes(&[(HDFC, STEP)]).await.unwrap_err();
    let ReferenceError::Limited {
        code, retry_after, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(code, "HTTP 429");
    // At most a tenth more, at random.
    let asked_for = Duration::from_secs(59)..Duration::from_secs(67);
    assert!(asked_for.contains(&retry_after.unwrap()), "{retry_after:?}");
    // The next one is not sent.
    let error = clone.quotes(&[(HDFC, STEP)]).await.unwrap_err();
    let ReferenceError::Limited {
        code, retry_after, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(code, "not sent");
    assert!(asked_for.contains(&retry_after.unwrap()), "{retry_after:?}");
    assert_eq!(server.requests().len(), 1);
    // Other families are not concerned.
    clone.expiries(NIFTY).await.unwrap();
}

#[tokio::test]
async fn the_day_has_an_end() {
    let server = Server::always(ok(r#"{"data":[]}"#)).await;
    let mut config = server.config();
    config.limits.data_per_day = 1;
    let rest = DhanRest::new(config).unwrap();
    assert_eq!(rest.expiries(NIFTY).await.unwrap(), []);
    let error = rest.expiries(NIFTY).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("all 1 requests of today are used up"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn no_answer_is_waited_for_for_ever() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
    let stuck = || Server::new(move |_, _| Reply::Hang(head.into()));
    let server = stuck().await;
    let mut config = server.config();
    config.timeouts.answer = Duration::from_millis(50);
    let rest = DhanRest::new(config).unwrap();
    let error = rest.quotes(&[(HDFC, STEP)]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "quotes: the broker is not available (no answer in time)"
    );
    assert_eq!(server.requests().len(), 3);

    let server = stuck().await;
    let mut config = server.config();
    config.timeouts.total = Duration::from_millis(50);
    let rest = DhanRest::new(config).unwrap();
    let error = rest.quotes(&[(HDFC, STEP)]).await.unwrap_err();
    assert!(
        error.to_string().contains("no answer within 50ms"),
        "{error}"
    );
    assert!(server.requests().len() <= 1);
}

#[tokio::test]
async fn nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let server = Server::always(Vec::new()).await;
    let rest = DhanRest::new(RestConfig {
        master_url: url.clone(),
        url,
        ..server.config()
    })
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("master.csv");
    for error in [
        rest.quotes(&[(HDFC, STEP)]).await.unwrap_err(),
        rest.instrument_master(MasterLayout::Compact, &into)
            .await
            .unwrap_err(),
    ] {
        assert!(
            matches!(error, ReferenceError::Unavailable { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("refused"), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_sent_without_the_tls_that_was_asked_for() {
    let server = Server::always(ok(QUOTE)).await;
    let rest = DhanRest::new(RestConfig {
        url: server.url.replace("http://", "https://"),
        ..server.config()
    })
    .unwrap();
    let error = rest.quotes(&[(HDFC, STEP)]).await.unwrap_err();
    assert!(
        matches!(error, ReferenceError::Unavailable { .. }),
        "{error}"
    );
    assert_eq!(server.requests().len(), 0);
}
