//! Nothing of a mock run is ever read by a real one.

use std::time::Duration;

use redis::AsyncCommands;
use strikewire_leases::{
    Error, Leases, MOCK_TTL, MemoryLeases, MockValues, RedisConfig, RedisLeases,
};

use crate::server::{config, endings, raw, shared};
use crate::suite::settings;
use crate::{at, keys};

const VALUE: &str = r#"{"value":55.3,"mock":true}"#;

#[tokio::test]
async fn mock_values_in_memory_stay_apart() {
    let key = &keys(&["NIFTY:5min:RSI_14"])[0];
    let (mock, real) = (MockValues::new(), MemoryLeases::new(settings()));
    mock.put(at(0), key, VALUE);
    assert_eq!(mock.value(at(0), key).as_deref(), Some(VALUE));
    assert_eq!(real.value(at(0), key).await.unwrap(), None);
    let real_value = [(
        key.clone(),
        "{\"value\":1}".to_owned(),
        Duration::from_secs(300),
    )];
    real.put_values(at(0), &real_value).await.unwrap();
    assert_eq!(mock.value(at(0), key).as_deref(), Some(VALUE));
    assert_eq!(
        mock.names(at(0)),
        ["mock_indicator_value:NIFTY:5min:RSI_14:latest"]
    );
    // They last 300 s from their last write or renewal.
    let ttl = MOCK_TTL.as_secs();
    assert_eq!(ttl, 300);
    mock.renew(at(10), key);
    assert!(mock.value(at(309), key).is_some());
    assert_eq!(mock.value(at(310), key), None);
    mock.renew(at(310), key);
    assert_eq!(mock.value(at(310), key), None);
    // Leaving mock mode clears, and a real value is not touched by it.
    mock.put(at(0), key, VALUE);
    mock.clear();
    assert_eq!(mock.value(at(0), key), None);
    assert!(mock.names(at(0)).is_empty());
    assert!(real.value(at(0), key).await.unwrap().is_some());
    real.clear_values();
    assert_eq!(real.value(at(0), key).await.unwrap(), None);
}

#[tokio::test]
async fn a_mock_run_leaves_nothing_in_redis() {
    let Some(url) = shared("a_mock_run_leaves_nothing_in_redis") else {
        return;
    };
    let prefix = format!("{}:mock*:", std::process::id());
    let mock = RedisConfig {
        mock: true,
        ..config(&url, &prefix)
    };
    let mock = RedisLeases::connect(mock, settings()).await.unwrap();
    let key = &keys(&["NIFTY:5min:RSI_14"])[0];
    let mut raw = raw(&url).await;

    let value = [(key.clone(), VALUE.to_owned(), Duration::from_secs(300))];
    assert!(matches!(
        mock.put_values(at(0), &value).await,
        Err(Error::Mock { .. })
    ));
    mock.put_values(at(0), &[]).await.unwrap();
    let left = endings(&mut raw, &prefix.replace('*', "\\*")).await;
    let ours = ["indicator_lease:data", "indicator_lease:probe"];
    let is_ours = |name: &str| ours.iter().any(|it| name.ends_with(it));
    assert!(
        left.len() == 2 && left.iter().all(|(name, _)| is_ours(name)),
        "{left:?}"
    );

    // A real value is not shown in a mock run, nor changed by one.
    let name = format!("{prefix}{}", key.value_key(false));
    let _: () = raw.set_ex(&name, "{\"value\":1}", 300).await.unwrap();
    assert_eq!(mock.value(at(0), key).await.unwrap(), None);
    mock.renew_values(at(0), &[(key.clone(), Duration::from_secs(9_000))])
        .await
        .unwrap();
    mock.drop_values(std::slice::from_ref(key)).await.unwrap();
    let left: i64 = raw.ttl(&name).await.unwrap();
    assert!((1..=300).contains(&left));

    // What another program wrote as a mock value is not read by a real run, which removes it.
    let left_over = format!("{prefix}{}", key.value_key(true));
    let of_others = format!("{}:mockx:{}", std::process::id(), key.value_key(true));
    for name in [&left_over, &of_others] {
        let _: () = raw.set_ex(name, VALUE, 300).await.unwrap();
    }
    let _: () = raw.del(&name).await.unwrap();
    let real = RedisLeases::connect(config(&url, &prefix), settings())
        .await
        .unwrap();
    assert_eq!(real.value(at(0), key).await.unwrap(), None);
    // By itself, soon after it is there.
    while raw.exists::<_, bool>(&left_over).await.unwrap() {}
    // The prefix is a text, not a pattern.
    assert!(raw.exists::<_, bool>(&of_others).await.unwrap());
    let _: () = raw.del(&of_others).await.unwrap();
}
