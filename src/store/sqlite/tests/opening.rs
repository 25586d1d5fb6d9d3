//! What an opener meets: a lock, a file that is no store, rights, a program beside.

use rusqlite::Connection;

use super::*;
use crate::store::StoreError;
use crate::store::conformance::{NOON, message};
use crate::store::sqlite::schema::{APPLICATION_ID, FORMAT};

async fn refusal(path: &Path) -> StoreError {
    match SqliteStore::open(path, 0).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn one_store_belongs_to_one_opener_at_a_time() {
    let files = Files::new();
    let path = files.next();
    let store = SqliteStore::open(&path, 0).await.unwrap();
    assert!(matches!(refusal(&path).await, StoreError::Locked { .. }));
    let other_spelling = files.directory.path().join(".").join("0.db");
    assert!(matches!(refusal(&other_spelling).await, StoreError::Locked { .. }));
    #[cfg(unix)]
    {
        let link = files.directory.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(refusal(&link).await, StoreError::Locked { .. }));
    }
    drop(store);
    let store = SqliteStore::open(&path, 0).await.unwrap();
    store.close().await.unwrap();
    SqliteStore::open(&path, 0).await.unwrap();
    drop(store);
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let files = Files::new();
    let directory = files.directory.path();
    let text = directory.join("text");
    fs::write(&text, "Dear diary,\n".repeat(100)).unwrap();
    let foreign = directory.join("foreign");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE subscriber (id)").unwrap();
    for (path, why) in [(&text, "not an SQLite database"), (&foreign, "of another program")] {
        let before = fs::read(path).unwrap();
        let error = refusal(path).await;
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(fs::read(path).unwrap(), before);
    }
    assert_eq!(names(directory), ["foreign", "text"], "nothing was made beside them");
}

#[tokio::test]
async fn a_database_that_turns_out_not_to_be_ours_is_refused_by_sqlite() {
    let files = Files::new();
    let path = files.next();
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("PRAGMA user_version = 1; CREATE TABLE subscriber (id)").unwrap();
    // A journal beside it keeps the look at the header from deciding.
    fs::write(format!("{}-journal", path.display()), b"").unwrap();
    assert!(matches!(refusal(&path).await, StoreError::NotAStore { .. }));
}

#[tokio::test]
async fn a_newer_format_is_refused_by_its_number() {
    let files = Files::new();
    let path = files.next();
    drop(SqliteStore::open(&path, 0).await.unwrap());
    let newer = FORMAT + 1;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", newer).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, StoreError::TooNew { found, known, .. } if (found, known) == (newer, FORMAT)), "{error}");
}

#[tokio::test]
async fn paths_that_cannot_be_opened_say_why() {
    let files = Files::new();
    let directory = files.directory.path();
    let read_only = directory.join("read-only");
    drop(SqliteStore::open(&read_only, 0).await.unwrap());
    let mut rights = fs::metadata(&read_only).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(&read_only, rights).unwrap();
    for (path, why) in [
        (directory.join("missing").join("mail.db"), "does not exist"),
        (directory.to_path_buf(), "is a directory"),
        (read_only.clone(), "is read-only"),
    ] {
        let error = refusal(&path).await;
        assert!(matches!(error, StoreError::CannotOpen { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    // In the working directory, a name alone is enough.
    assert_eq!(
        crate::store::sqlite::open::resolve(Path::new("mail.db")).unwrap(),
        std::env::current_dir().unwrap().canonicalize().unwrap().join("mail.db")
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_to_is_named() {
    use super::reserve::SmallDisk;
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this process may not mount a small file system");
        return;
    };
    let path = disk.path().join("mail.db");
    drop(SqliteStore::open(&path, 0).await.unwrap());
    fs::remove_file(disk.path().join("mail.db.lock")).unwrap();
    disk.make_read_only();
    for path in [path, disk.path().join("new.db")] {
        let error = refusal(&path).await;
        assert!(matches!(error, StoreError::CannotOpen { .. }), "{error}");
        assert!(error.to_string().contains("its directory cannot be written to"), "{error}");
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let files = Files::new();
    let path = files.next();
    fs::write(&path, "").unwrap();
    drop(SqliteStore::open(&path, 0).await.unwrap());
    let header = fs::read(&path).unwrap();
    assert_eq!(header[68..72], APPLICATION_ID.to_be_bytes(), "where the file format has it");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_store_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let path = files.next();
    let store = SqliteStore::open(&path, 0).await.unwrap();
    store.enqueue(vec![message(1, "example.net")], NOON, None).await.unwrap();
    assert_eq!(names(files.directory.path()), ["0.db", "0.db-shm", "0.db-wal", "0.db.lock"]);
    for name in names(files.directory.path()) {
        let mode = fs::metadata(files.directory.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: the secrets of the ring are in it");
    }
}

#[tokio::test]
async fn every_commit_is_synced() {
    let files = Files::new();
    let store = SqliteStore::open(&files.next(), 0).await.unwrap();
    let settings = store
        .write(|db| {
            let number = |pragma: &str| db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
            let mode: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
            Ok((mode, number("synchronous")?, number("auto_vacuum")?, number("freelist_count")?))
        })
        .await
        .unwrap();
    assert_eq!(settings, ("wal".into(), 2, 2, 0), "synchronous=FULL, auto_vacuum=INCREMENTAL");
}

#[tokio::test]
async fn another_programs_transaction_is_waited_for() {
    let files = Files::new();
    let path = files.next();
    let store = Arc::new(SqliteStore::open(&path, 0).await.unwrap());
    let beside = Connection::open(&path).unwrap();
    beside.execute_batch("CREATE TABLE subscriber (id); BEGIN IMMEDIATE; INSERT INTO subscriber VALUES (1)").unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.enqueue(vec![message(1, "example.net")], NOON, None).await }
    });
    assert!(store.find(crate::store::conformance::first(1)).await.unwrap().is_none(), "readers are not held up");
    assert!(!waiting.is_finished());
    beside.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
    let queued: i64 = beside.query_row("SELECT count(*) FROM delivery WHERE state = 0", [], |row| row.get(0)).unwrap();
    assert_eq!(queued, 1, "and it sees ours");
}

#[tokio::test]
async fn a_delivery_that_is_damaged_does_not_hold_up_the_others() {
    use crate::store::conformance::{MINUTE, claim, enqueue, first, in_flight};
    let files = Files::new();
    let path = files.next();
    let store = SqliteStore::open(&path, 0).await.unwrap();
    enqueue(&store, vec![message(1, "a.example"), message(2, "b.example")]).await;
    in_flight(&store, 3).await;
    in_flight(&store, 4).await;
    let beside = Connection::open(&path).unwrap();
    beside.execute("UPDATE delivery SET recipient = 'nobody' WHERE id IN (101, 301)", []).unwrap();
    assert_eq!(claim(&store, NOON).await, [first(2)]);
    let left = store.recover(NOON, NOON + MINUTE).await.unwrap();
    assert_eq!(left.in_flight.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [first(4)]);
}
