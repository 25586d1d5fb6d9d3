//! Group commit: what waits together is committed together, and what fails fails alone.

use std::pin::pin;
use std::sync::mpsc;

use rusqlite::Connection;

use super::*;
use crate::store::StoreError;
use crate::store::conformance::{NOON, first, in_flight, message, settlement};
use crate::store::sqlite::open::open_reader;
use crate::store::sqlite::writer::Abandoned;
use crate::store::{NewMessage, Settled, State};

/// Holds the writer inside a job, so that what is called meanwhile makes up the next group.
async fn hold(store: &Arc<SqliteStore>) -> mpsc::Sender<()> {
    let (open, gate) = mpsc::channel::<()>();
    let (arrived, here) = tokio::sync::oneshot::channel();
    let mut arrived = Some(arrived);
    let holder = store.clone();
    tokio::spawn(async move {
        holder
            .write(move |_| {
                if let Some(arrived) = arrived.take() {
                    arrived.send(()).unwrap();
                }
                let _ = gate.recv();
                Ok(())
            })
            .await
    });
    here.await.unwrap();
    open
}

/// Polls once, so that the call stands in the writer's queue.
macro_rules! start {
    ($call:expr) => {
        tokio::select! {
            biased;
            _ = $call.as_mut() => panic!("the writer is held"),
            () = std::future::ready(()) => {}
        }
    };
}

fn note(db: &Connection, name: &str) -> Result<(), StoreError> {
    db.execute("INSERT INTO meta VALUES (?1, 1)", [name])?;
    Ok(())
}

fn notes(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("SELECT count(*) FROM meta WHERE name <> 'high_water'", [], |row| row.get(0))?)
}

#[tokio::test]
async fn what_waits_is_committed_together_and_a_failure_is_undone_alone() {
    let files = Files::new();
    let path = files.next();
    let store = Arc::new(SqliteStore::open(&path, 0).await.unwrap());
    let open = hold(&store).await;
    let mut good = pin!(store.write(|db| note(db, "good")));
    let mut bad = pin!(store.write(|db| note(db, "half").and_then(|()| note(db, "half"))));
    let mut last = pin!(store.write(move |db| {
        let committed = notes(&open_reader(&path)?)?;
        Ok((notes(db)?, committed))
    }));
    start!(good);
    start!(bad);
    start!(last);
    open.send(()).unwrap();
    good.await.unwrap();
    assert!(matches!(bad.await, Err(StoreError::Failed(_))));
    assert_eq!(last.await.unwrap(), (1, 0), "the first is there, in the same transaction; the failed one is undone");
    assert_eq!(store.read(notes).await.unwrap(), 1);
}

#[tokio::test]
async fn a_call_that_was_given_up_before_its_turn_is_not_made() {
    let store = Arc::new(SqliteStore::memory().await.unwrap());
    let open = hold(&store).await;
    {
        let mut given_up = pin!(store.enqueue(vec![message(1, "example.net")], NOON, None));
        let mut recorded = pin!(store.writer.call(Abandoned::Run, |db| note(db, "happened")));
        start!(given_up);
        start!(recorded);
    }
    open.send(()).unwrap();
    assert_eq!(store.read(notes).await.unwrap(), 1, "what has happened is recorded all the same");
    assert!(store.find(first(1)).await.unwrap().is_none(), "nothing was queued");
}

#[tokio::test]
async fn where_a_message_does_not_fit_a_settlement_still_does() {
    let files = Files::new();
    let store = Arc::new(SqliteStore::open(&files.next(), 0).await.unwrap());
    in_flight(&*store, 1).await;
    let room = |pages: i64| {
        store.write(move |db| {
            let used: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            Ok(db.query_row(&format!("PRAGMA max_page_count = {}", used + pages), [], |row| row.get::<_, i64>(0))?)
        })
    };
    room(8).await.unwrap();
    let large = || NewMessage { body: vec![b'x'; 1 << 20].into(), ..message(2, "example.net") };
    let open = hold(&store).await;
    let mut before = pin!(store.enqueue(vec![message(3, "example.net")], NOON, None));
    let mut too_large = pin!(store.enqueue(vec![large()], NOON, None));
    let mut after = pin!(store.settle(vec![settlement(first(1), Settled::Failed)]));
    start!(before);
    start!(too_large);
    start!(after);
    open.send(()).unwrap();
    before.await.unwrap();
    let refused = too_large.await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    after.await.unwrap();
    assert_eq!(store.find(first(1)).await.unwrap().unwrap().state, State::Failed);
    assert!(store.find(first(2)).await.unwrap().is_none(), "nothing half-written");
    assert!(store.find(first(3)).await.unwrap().is_some());

    room(1000).await.unwrap();
    store.enqueue(vec![large()], NOON, None).await.unwrap();
}

#[tokio::test]
async fn a_store_whose_last_reference_goes_on_its_own_thread_ends() {
    let store = Arc::new(SqliteStore::memory().await.unwrap());
    let (open, gate) = mpsc::channel::<()>();
    let (dropped, seen) = tokio::sync::oneshot::channel();
    let mut owned = Some((store.clone(), dropped));
    {
        let mut call = pin!(store.writer.call(Abandoned::Run, move |_| {
            let _ = gate.recv();
            if let Some((store, dropped)) = owned.take() {
                drop(store);
                let _ = dropped.send(());
            }
            Ok(())
        }));
        start!(call);
    }
    drop(store);
    open.send(()).unwrap();
    // A thread that waited for its own end would never come here.
    seen.await.unwrap();
}

#[tokio::test]
async fn a_purge_gives_pages_back_to_the_disk() {
    let files = Files::new();
    let path = files.next();
    let store = SqliteStore::open(&path, 0).await.unwrap();
    let large = NewMessage { body: vec![b'x'; 16 << 20].into(), ..message(1, "example.net") };
    store.enqueue(vec![large], NOON, Some(NOON)).await.unwrap();
    store.settle(vec![settlement(first(1), Settled::Delivered)]).await.unwrap();
    let never = std::time::Duration::from_secs(u64::MAX / 1_000_000);
    let retention = crate::store::Retention { journal: never, events: never, raw: never };
    store.purge(retention, NOON).await.unwrap();
    store.close().await.unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 4 << 20, "a quarter may stay free");
}
