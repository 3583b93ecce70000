use core::net::IpAddr;

use strikewire_gateway::store::{KeyHash, KeyRecord, NewKey};
use strikewire_gateway::types::Utc;

use super::*;

fn record(id: u64, key: &str, user: u64, role: Role) -> KeyRecord {
    KeyRecord {
        id,
        hash: KeyHash::of(key),
        user,
        role,
        label: None,
        created_at: Utc::from_nanos(0),
        revoked_at: None,
    }
}

fn revoked(record: &KeyRecord) -> KeyRecord {
    KeyRecord {
        revoked_at: Some(Utc::from_nanos(1)),
        ..record.clone()
    }
}

fn code<T>(result: Result<T, Problem>) -> Option<Code> {
    result.err().map(|problem| problem.code)
}

#[test]
fn without_keys_everybody_is_admin() {
    let access = Access::open();
    for key in [None, Some(""), Some("whatever")] {
        let caller = access.authenticate(key).unwrap();
        assert_eq!(caller, Caller::anyone());
        caller.admin().unwrap();
        assert!(access.still_valid(&caller));
    }
    assert!(!access.keys_on());
    assert!(!access.set_keys(Vec::new()));
}

#[test]
fn a_key_gives_its_user_and_role() {
    let access = Access::open();
    let keys = vec![
        record(1, "one", 7, Role::User),
        record(2, "two", 8, Role::Admin),
    ];
    assert!(access.set_keys(keys.clone()));
    assert!(!access.set_keys(keys));
    let user = access.authenticate(Some("one")).unwrap();
    assert_eq!((user.user(), user.role()), (Some(7), Role::User));
    assert_eq!(user.user_id(None).ok(), Some(7));
    assert_eq!(user.user_id(Some(7)).ok(), Some(7));
    assert_eq!(code(user.user_id(Some(8))), Some(Code::Forbidden));
    assert_eq!(code(user.admin()), Some(Code::Forbidden));
    let admin = access.authenticate(Some("two")).unwrap();
    assert_eq!((admin.user(), admin.role()), (Some(8), Role::Admin));
    assert_eq!(admin.user_id(None).ok(), Some(8));
    assert_eq!(admin.user_id(Some(7)).ok(), Some(7));
    let long = "x".repeat(100_000);
    for key in [
        None,
        Some(""),
        Some("One"),
        Some("one "),
        Some("on"),
        Some(&*long),
    ] {
        assert_eq!(
            code(access.authenticate(key)),
            Some(Code::Unauthorized),
            "{key:?}"
        );
    }
    assert!(!access.still_valid(&Caller::anyone()));
}

#[test]
fn revoking_the_last_key_opens_nothing() {
    let access = Access::open();
    let key = record(1, "one", 7, Role::Admin);
    access.set_keys(vec![key.clone()]);
    let caller = access.authenticate(Some("one")).unwrap();
    assert!(access.still_valid(&caller));
    access.set_keys(vec![revoked(&key)]);
    assert!(!access.still_valid(&caller));
    assert_eq!(access.active_keys(), 0);
    for key in [None, Some("one")] {
        assert_eq!(code(access.authenticate(key)), Some(Code::Unauthorized));
    }
    // Not even when somebody empties the table.
    access.set_keys(Vec::new());
    assert!(access.keys_on());
    assert_eq!(code(access.authenticate(None)), Some(Code::Unauthorized));
    // A start that finds only revoked keys is closed too.
    let access = Access::open();
    access.set_keys(vec![revoked(&key)]);
    assert_eq!(code(access.authenticate(None)), Some(Code::Unauthorized));
}

#[test]
fn a_key_that_changes_hands_is_not_the_same_caller() {
    let access = Access::open();
    access.set_keys(vec![record(1, "one", 7, Role::Admin)]);
    let caller = access.authenticate(Some("one")).unwrap();
    access.set_keys(vec![record(1, "one", 7, Role::User)]);
    assert!(!access.still_valid(&caller));
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let access = Access::open();
    let rates = Rates {
        per_key: 1,
        key_burst: 2,
        per_address: 1,
        address_burst: 50,
    };
    let from: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
    // Nobody is limited on the own machine.
    for _ in 0..200 {
        access.admit(None, from, &rates).await.unwrap();
    }
    access.set_keys(vec![
        record(1, "one", 7, Role::User),
        record(2, "two", 8, Role::User),
    ]);
    // At one a second these are refused unless this machine needs a second for each.
    let mut refused = None;
    for _ in 0..20 {
        refused = refused.or(access.admit(Some("one"), from, &rates).await.err());
    }
    let problem = refused.expect("a refusal");
    assert_eq!(problem.code, Code::RateLimited);
    assert!(problem.retry_after >= Some(1));
    // Another key of the same address goes on, until the address has asked too often.
    access.admit(Some("two"), from, &rates).await.unwrap();
    let mut last = None;
    for _ in 0..200 {
        last = access.admit(Some("guess"), from, &rates).await.err();
    }
    assert_eq!(last.map(|problem| problem.code), Some(Code::RateLimited));
    assert_eq!(
        code(access.admit(Some("two"), from, &rates).await),
        Some(Code::RateLimited)
    );
    let elsewhere = Some("192.0.2.2".parse().unwrap());
    access.admit(Some("two"), elsewhere, &rates).await.unwrap();
}

#[tokio::test]
async fn guesses_are_limited_before_anything_else_is() {
    let access = Access::open();
    access.set_keys(vec![record(1, "one", 7, Role::User)]);
    let rates = Rates::default();
    let from: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.extend(code(access.admit(Some("guess"), from, &rates).await));
    }
    assert_eq!(codes[0], Code::Unauthorized);
    assert!(codes.contains(&Code::RateLimited), "{codes:?}");
    // Who has a key is not held up by others behind the same address.
    access.admit(Some("one"), from, &rates).await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_made_a_moment_ago_is_found() {
    use strikewire_gateway::store::{Keys, Options, Store};

    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("s.db").display());
    let options = Options::new(url.parse().unwrap());
    let store = Store::open(&options).await.unwrap();
    let access = Access::of(store.reader());
    assert!(!access.refresh().await.unwrap());
    let rates = Rates::default();
    let mut keys = Keys::open(&options.url).await.unwrap();
    let key = NewKey::generate().unwrap();
    let at = Utc::from_nanos(0);
    let id = keys.add(key.hash(), 7, Role::User, None, at).await.unwrap();
    // Nobody has read the keys again; the key itself makes that happen.
    let caller = access
        .admit(Some(key.expose()), None, &rates)
        .await
        .unwrap();
    assert_eq!(caller.user(), Some(7));
    assert!(access.keys_on());
    keys.revoke(id, at).await.unwrap();
    assert!(access.refresh().await.unwrap());
    assert!(!access.still_valid(&caller));
    // The database is not asked again within the second: this key is not known yet.
    let other = NewKey::generate().unwrap();
    keys.add(other.hash(), 7, Role::User, None, at)
        .await
        .unwrap();
    let mut reads = 0;
    for _ in 0..10 {
        let before = access.reading.lock().await.unwrap();
        let _ = access.admit(Some("guess"), None, &rates).await;
        reads += usize::from(*access.reading.lock().await != Some(before));
    }
    assert!(reads <= 1, "{reads}");
    assert!(access.refresh().await.unwrap());
    access
        .admit(Some(other.expose()), None, &rates)
        .await
        .unwrap();
}

#[test]
fn nothing_shows_a_key() {
    let access = Access::open();
    let key = NewKey::generate().unwrap();
    let mut record = record(1, key.expose(), 7, Role::Admin);
    record.label = Some("desk".to_owned());
    access.set_keys(vec![record.clone()]);
    let caller = access.authenticate(Some(key.expose())).unwrap();
    let refused = access.authenticate(Some("sw_hunter2")).unwrap_err();
    let shown = format!(
        "{access:?} {caller:?} {record:?} {refused:?} {}",
        serde_json::to_string(&refused).unwrap()
    );
    let secret = key.expose().trim_start_matches("sw_");
    assert!(!shown.contains(&secret[..8]), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
