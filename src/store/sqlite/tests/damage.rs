//! Damaged pages: told with the file and what to do; what is not on them goes on.

use std::io::{Seek, SeekFrom, Write};

use rusqlite::Connection;

use super::*;
use crate::event::EventKind;
use crate::store::conformance::{MINUTE, NOON, enqueue, event, first, in_flight, inbound, message, settlement};
use crate::store::{Settled, State, StoreError};

/// Writes nonsense over the root page of a table, in a database that nobody has open.
fn damage(path: &Path, table: &str) {
    let db = Connection::open(path).unwrap();
    let page: u32 =
        db.query_row("SELECT rootpage FROM sqlite_master WHERE name = ?1", [table], |row| row.get(0)).unwrap();
    let size: u32 = db.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    drop(db);
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(u64::from(page - 1) * u64::from(size))).unwrap();
    file.write_all(&vec![0xa5; size as usize]).unwrap();
}

fn assert_tells(error: &StoreError, path: &Path) {
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let text = error.to_string();
    for part in [&*path.canonicalize().unwrap().display().to_string(), "is damaged", "nothing was changed", ".recover"]
    {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// A store with a queued message and one in flight, closed; then damaged.
async fn damaged(files: &Files, table: &str) -> PathBuf {
    let path = files.next();
    let store = SqliteStore::open(&path, 0).await.unwrap();
    enqueue(&store, vec![message(1, "example.net")]).await;
    in_flight(&store, 2).await;
    store.close().await.unwrap();
    drop(store);
    damage(&path, table);
    path
}

#[tokio::test]
async fn a_damaged_list_of_tables_is_told_by_the_opener() {
    let files = Files::new();
    let path = damaged(&files, "delivery").await;
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    // Behind the header of the file, on the first page.
    file.seek(SeekFrom::Start(100)).unwrap();
    file.write_all(&[0xa5; 512]).unwrap();
    let before = fs::read(&path).unwrap();
    let error = SqliteStore::open(&path, 0).await.err().expect("it is damaged");
    assert_tells(&error, &path);
    assert_eq!(fs::read(&path).unwrap(), before, "left alone");
}

#[tokio::test]
async fn a_damaged_table_is_told_by_whoever_meets_it() {
    let files = Files::new();
    let path = damaged(&files, "body").await;
    let store = SqliteStore::open(&path, 0).await.unwrap();
    let error = store.enqueue(vec![message(3, "example.net")], NOON, None).await.unwrap_err();
    assert_tells(&error, &path);
    assert!(store.find(first(3)).await.unwrap().is_none(), "refused as a whole");
    let public = crate::Error::from(error);
    assert!(public.is_storage(), "{public}");
    // The end of an attempt would remove the content: it is refused, and the delivery stays in flight.
    let error = store.settle(vec![settlement(first(2), Settled::Delivered)]).await.unwrap_err();
    assert_tells(&error, &path);
    drop(store);
    let store = SqliteStore::open(&path, 0).await.unwrap();
    // A start needs the contents, so it says so; the mark by which the delivery is uncertain is still there.
    assert_tells(&store.recover(NOON, NOON + MINUTE).await.unwrap_err(), &path);
    assert_eq!(store.find(first(2)).await.unwrap().unwrap().state, State::InFlight);
    assert_eq!(store.find(first(1)).await.unwrap().unwrap().state, State::Queued);
}

#[tokio::test]
async fn what_is_not_on_a_damaged_page_goes_on() {
    let files = Files::new();
    let path = damaged(&files, "event").await;
    let store = SqliteStore::open(&path, 0).await.unwrap();
    let error = store.record(inbound(vec![event(1, first(1), EventKind::Bounce)])).await.unwrap_err();
    assert_tells(&error, &path);
    enqueue(&store, vec![message(3, "example.net")]).await;
    store.settle(vec![settlement(first(2), Settled::Delivered)]).await.unwrap();
    assert_eq!(store.find(first(2)).await.unwrap().unwrap().state, State::Delivered);
    assert_eq!(store.find(first(3)).await.unwrap().unwrap().state, State::Queued);
}
