//! API keys: made and revoked beside a server that reads them.

use strikewire_store::{
    Change, Error, KeyHash, KeyRecord, Keys, List, NewKey, Revoked, Role, Store,
};

use crate::common::{Db, at, item, on_both};

on_both!(
    keys_are_kept_and_found_by_a_server,
    a_key_is_revoked_once_and_stays,
    the_database_is_made_by_the_first_key,
    a_key_is_made_while_a_writer_is_at_work,
    only_the_hash_is_kept,
    what_cannot_be_read_is_named_without_a_hash,
    two_processes_bring_the_tables_up_to_date_at_once,
);

async fn open(db: &Db) -> Keys {
    Keys::open(&db.options().url).await.unwrap()
}

async fn keys_are_kept_and_found_by_a_server(db: Db) {
    let store = Store::open(&db.options()).await.unwrap();
    let reader = store.reader();
    assert_eq!(reader.api_keys().await.unwrap(), []);
    let mut keys = open(&db).await;
    let mut expected = Vec::new();
    for (user, role, label) in [
        (7, Role::User, Some("desk of \u{0915} 'x'")),
        (u64::MAX, Role::Admin, None),
    ] {
        let hash = NewKey::generate().unwrap().hash();
        let id = keys.add(hash, user, role, label, at(5)).await.unwrap();
        expected.push(KeyRecord {
            id,
            hash,
            user,
            role,
            label: label.map(str::to_owned),
            created_at: at(5),
            revoked_at: None,
        });
    }
    assert_ne!(expected[0].id, expected[1].id);
    assert_eq!(keys.list().await.unwrap(), expected);
    assert_eq!(reader.api_keys().await.unwrap(), expected);
    keys.close().await;
}

async fn a_key_is_revoked_once_and_stays(db: Db) {
    let mut keys = open(&db).await;
    let hash = KeyHash::of("one");
    let id = keys.add(hash, 7, Role::User, None, at(0)).await.unwrap();
    assert_eq!(keys.revoke(id, at(1)).await.unwrap(), Revoked::Now);
    assert_eq!(
        keys.revoke(id, at(2)).await.unwrap(),
        Revoked::Before(at(1))
    );
    assert_eq!(keys.revoke(id + 1, at(3)).await.unwrap(), Revoked::Unknown);
    let listed = keys.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].revoked_at, Some(at(1)));
    // The same key cannot be made again, not even by chance.
    let again = keys.add(hash, 8, Role::Admin, None, at(4)).await;
    assert!(matches!(again, Err(Error::Sql { .. })), "{again:?}");
}

async fn the_database_is_made_by_the_first_key(db: Db) {
    let mut keys = open(&db).await;
    let hash = KeyHash::of("first");
    keys.add(hash, 7, Role::Admin, None, at(0)).await.unwrap();
    keys.close().await;
    // A server finds a database that it can use, and the key in it.
    let mut running = db.start().await;
    assert_eq!(running.reader.api_keys().await.unwrap()[0].hash, hash);
    let last = running
        .recorder
        .ask(Change::Put(Box::new(item(1, List::Watchlist, "ITC"))));
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
}

async fn a_key_is_made_while_a_writer_is_at_work(db: Db) {
    let mut running = db.start().await;
    let mut keys = open(&db).await;
    let mut last = None;
    for id in 1..=50 {
        let change = Change::Put(Box::new(item(id, List::Watchlist, &format!("S{id}"))));
        last = Some(running.recorder.ask(change));
        running.recorder.commit();
        let hash = KeyHash::of(&id.to_string());
        keys.add(hash, id, Role::User, None, at(0)).await.unwrap();
    }
    running.durable(last.unwrap()).await;
    assert_eq!(running.reader.api_keys().await.unwrap().len(), 50);
    running.stop().await;
}

async fn only_the_hash_is_kept(db: Db) {
    let key = NewKey::generate().unwrap();
    let mut keys = open(&db).await;
    keys.add(key.hash(), 7, Role::User, Some("mine"), at(0))
        .await
        .unwrap();
    keys.close().await;
    let kept = db.texts("SELECT hash || role || label FROM api_keys").await;
    assert_eq!(kept.len(), 1);
    assert!(kept[0].ends_with("usermine"), "{}", kept[0]);
    assert!(!kept[0].contains(&key.expose()[3..]), "{}", kept[0]);
    if db.is_sqlite {
        let bytes = std::fs::read(db.path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&key.expose()[3..13]));
    }
}

async fn what_cannot_be_read_is_named_without_a_hash(db: Db) {
    let mut keys = open(&db).await;
    let columns = "INSERT INTO api_keys (hash, user_id, role, created_at) VALUES";
    db.execute(&format!(
        "{columns} ('sw_hunter2', 7, 'user', '2026-02-09T10:00:00.000000Z')"
    ))
    .await;
    let error = keys.list().await.unwrap_err().with_causes();
    assert!(error.contains("api_keys, column hash"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

async fn two_processes_bring_the_tables_up_to_date_at_once(db: Db) {
    let (url, options) = (db.options().url, db.options());
    let (keys, store) = tokio::join!(Keys::open(&url), Store::open(&options));
    keys.unwrap().close().await;
    store.unwrap();
}
