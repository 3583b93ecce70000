//! What is opened, and what is refused.

use strikewire_store::{Change, DatabaseUrl, Error, List, Options, Store};

use crate::common::{Db, item, on_both, on_sqlite};

on_both!(
    a_newer_database_is_refused_and_not_touched,
    opening_twice_changes_nothing,
);

const NEWER: &str = "INSERT INTO _sqlx_migrations \
                     (version, description, installed_on, success, checksum, execution_time) \
                     VALUES (999, 'from the future', CURRENT_TIMESTAMP, TRUE, 'x', 0)";

async fn a_newer_database_is_refused_and_not_touched(db: Db) {
    db.start().await.stop().await;
    db.execute(NEWER).await;
    let before = db.is_sqlite.then(|| std::fs::read(db.path()).unwrap());
    let tables = "SELECT table_name::text FROM information_schema.tables \
                  WHERE table_schema = current_schema() ORDER BY 1";
    let named = if db.is_sqlite {
        Vec::new()
    } else {
        // One table less: a start that changed anything would make it again.
        db.execute("DROP TABLE atm_cache").await;
        db.texts(tables).await
    };
    let error = Store::open(&db.options()).await.unwrap_err();
    let Error::Newer { found, known, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*found, *known), (999, 2));
    assert!(error.to_string().contains("of version 999"), "{error}");
    if let Some(before) = before {
        assert!(before == std::fs::read(db.path()).unwrap());
    } else {
        assert_eq!(db.texts(tables).await, named);
    }
}

async fn opening_twice_changes_nothing(db: Db) {
    let mut running = db.start().await;
    let kept = item(1, List::Watchlist, "ITC");
    let last = running.recorder.ask(Change::Put(Box::new(kept.clone())));
    running.recorder.commit();
    running.durable(last).await;
    running.stop().await;
    let found = db.recover().await;
    assert_eq!(found.items, [kept]);
    assert_eq!(db.recover().await, found);
}

#[test]
fn what_a_killed_process_leaves_is_opened() {
    on_sqlite(|db| async move {
        let mut running = db.start().await;
        let kept = item(1, List::Watchlist, "ITC");
        let last = running.recorder.ask(Change::Put(Box::new(kept.clone())));
        running.recorder.commit();
        running.durable(last).await;
        // The files as they are while the writer is at work: with a log that was not
        // moved into the database, and without the memory beside it.
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("strikewire.db");
        let wal = |path: &str| format!("{path}-wal");
        std::fs::copy(db.path(), &copy).unwrap();
        let copy = copy.to_str().unwrap();
        std::fs::copy(wal(db.path()), wal(copy)).unwrap();
        assert!(std::fs::metadata(wal(copy)).unwrap().len() > 0);
        let options = Options::new(DatabaseUrl::Sqlite(copy.into()));
        let store = Store::open(&options).await.unwrap();
        assert_eq!(store.recover().await.unwrap().items, [kept]);
        running.stop().await;
    });
}

#[test]
fn a_file_that_is_no_database_is_refused_and_kept() {
    on_sqlite(|db| async move {
        std::fs::write(db.path(), "these are the accounts of 1998\n".repeat(200)).unwrap();
        let before = std::fs::read(db.path()).unwrap();
        let error = Store::open(&db.options()).await.unwrap_err();
        assert!(error.with_causes().contains("not a database"), "{error}");
        assert_eq!(std::fs::read(db.path()).unwrap(), before);
    });
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    on_sqlite(|_| async move {
        let url: DatabaseUrl = "sqlite:/nowhere/at/all/strikewire.db".parse().unwrap();
        let error = Store::open(&Options::new(url)).await.unwrap_err();
        assert!(matches!(error, Error::Open { .. }), "{error}");
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    });
}

#[test]
fn a_server_that_is_not_there_is_named_without_the_password() {
    on_sqlite(|_| async move {
        // No process listens on a socket in a folder that is not there.
        let url: DatabaseUrl = "postgres:///db?host=/nowhere&user=u&password=hunter2"
            .parse()
            .unwrap();
        let error = Store::open(&Options::new(url)).await.unwrap_err();
        let text = format!("{} {error:?}", error.with_causes());
        assert!(text.contains("/nowhere"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    });
}
