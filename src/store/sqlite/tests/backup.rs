//! A copy that is made while the store is used, and what becomes of it.

use std::collections::HashSet;

use rusqlite::Connection;

use super::*;
use crate::id::IdSource;
use crate::store::conformance::{MINUTE, NOON, enqueue, first, in_flight, message};
use crate::store::sqlite::schema::{APPLICATION_ID, FORMAT};
use crate::store::{State, StoreError};

#[tokio::test]
async fn a_copy_is_whole_in_one_file_and_its_owners_alone() {
    let files = Files::new();
    let path = files.next();
    let copy = files.directory.path().join("copy.db");
    let store = Arc::new(SqliteStore::open(&path, 0).await.unwrap());
    enqueue(&*store, (1..=50).map(|n| message(n, "example.net")).collect()).await;
    let others = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 51..=100 {
                enqueue(&*store, vec![message(n, "example.org")]).await;
            }
        }
    });
    store.backup(&copy).await.unwrap();
    others.await.unwrap();
    let mut names: Vec<_> = fs::read_dir(files.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("copy"))
        .collect();
    names.sort();
    assert_eq!(names, ["copy.db"], "nothing beside it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let db = Connection::open(&copy).unwrap();
    let number = |pragma: &str| db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("application_id"), i64::from(APPLICATION_ID));
    assert_eq!((number("user_version"), number("auto_vacuum")), (i64::from(FORMAT), 2));
    let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    drop(db);
    let restored = SqliteStore::open(&copy, 0).await.unwrap();
    for n in 1..=50 {
        assert_eq!(restored.find(first(n)).await.unwrap().unwrap().state, State::Queued);
    }
    assert!(store.find(first(100)).await.unwrap().is_some(), "the store went on");
}

#[tokio::test]
async fn a_store_in_memory_can_be_copied_to_a_file() {
    let files = Files::new();
    let copy = files.next();
    let store = SqliteStore::memory().await.unwrap();
    enqueue(&store, vec![message(1, "example.net")]).await;
    store.backup(&copy).await.unwrap();
    let restored = SqliteStore::open(&copy, 0).await.unwrap();
    assert!(restored.find(first(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn nothing_is_written_over_and_nothing_half_written_is_left() {
    let files = Files::new();
    let store = SqliteStore::open(&files.next(), 0).await.unwrap();
    let directory = files.directory.path();
    let taken = directory.join("taken");
    fs::write(&taken, "Dear diary").unwrap();
    let running = directory.join("running");
    fs::write(directory.join("running.partial"), "").unwrap();
    for (path, why) in [
        (taken.clone(), "there is a file of this name already"),
        (running, "another backup to it runs, or one was cut off"),
        (directory.join("missing").join("copy"), "does not exist"),
        (PathBuf::from("/"), "it does not name a file"),
    ] {
        let error = store.backup(&path).await.unwrap_err().to_string();
        assert!(error.starts_with("the store failed: no backup was made at ") && error.contains(why), "{error}");
    }
    assert_eq!(fs::read(&taken).unwrap(), b"Dear diary");
    assert!(!directory.join("taken.partial").exists() && !directory.join("running.partial.partial").exists());
}

/// The clock was behind the newest id when the copy was made, so that both go on from the same number.
#[tokio::test]
async fn ids_made_after_the_copy_are_not_made_again_by_it() {
    let files = Files::new();
    let store = SqliteStore::open(&files.next(), 0).await.unwrap();
    let (copy, second) = (files.next(), files.next());
    enqueue(&store, vec![message(1, "example.net")]).await;
    store.backup(&copy).await.unwrap();
    store.backup(&second).await.unwrap();
    let long_ago = crate::time::Timestamp::from_millis(1_600_000_000_000);
    let mut made = HashSet::new();
    let mut mint = |node, high_water| {
        let mut source = IdSource::new(node, high_water);
        (0..20_000).for_each(|_| assert!(made.insert(source.next(long_ago)), "made before"));
    };
    let high_water = store.recover(NOON, NOON + MINUTE).await.unwrap().high_water;
    mint(store.node(), high_water);
    let restored = SqliteStore::open(&copy, 0).await.unwrap();
    assert_ne!(restored.node(), store.node());
    let (node, high_water) = (restored.node(), restored.recover(NOON, NOON + MINUTE).await.unwrap().high_water);
    mint(node, high_water);
    restored.close().await.unwrap();
    drop(restored);
    let restored = SqliteStore::open(&copy, 0).await.unwrap();
    assert_eq!(restored.node(), node, "it stays: one change is enough");
}

#[tokio::test]
async fn what_was_in_flight_is_uncertain_in_the_copy() {
    let files = Files::new();
    let store = SqliteStore::open(&files.next(), 0).await.unwrap();
    let copy = files.next();
    in_flight(&store, 1).await;
    store.backup(&copy).await.unwrap();
    let restored = SqliteStore::open(&copy, 0).await.unwrap();
    let left = restored.recover(NOON, NOON + MINUTE).await.unwrap();
    assert_eq!(left.in_flight.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [first(1)]);
    assert!(matches!(store.recover(NOON, NOON).await, Ok(found) if found.in_flight.len() == 1));
    let _: Result<(), StoreError> = restored.close().await;
}
