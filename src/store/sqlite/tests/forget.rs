//! After an address was forgotten, no file of the store holds it.

use rusqlite::Connection;

use super::*;
use crate::address::Address;
use crate::event::{EventKind, EventRecord};
use crate::store::conformance::{NOON, bounce, enqueue_leased, event, first, in_flight, inbound, message, settlement};
use crate::store::{BodyId, NewMessage, Recorded, Retention, Settled, Settlement, StoreError};
use crate::verdict::Reason;

/// Names the address nowhere but in what belongs to it. Its own spelling differs from the one that is forgotten.
fn theirs(n: u64) -> NewMessage {
    let mut message = message(n, "example.net");
    message.deliveries[0].recipient = "Ann@EXAMPLE.net".parse().unwrap();
    message.body = format!("To: ann@example.net\r\n\r\nNumber {n}.\r\n{}", "long ".repeat(5000)).into_bytes().into();
    message.metadata = Some(r#"{"who":"ANN@example.net"}"#.into());
    message
}

/// How often the files of the store have the text, whatever its case.
fn hits(path: &Path, text: &str) -> usize {
    let mut hits = 0;
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap().to_ascii_lowercase();
        hits += content.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    }
    hits
}

fn ann() -> Address {
    "ann@example.net".parse().unwrap()
}

#[tokio::test]
async fn an_address_is_in_no_file_any_more() {
    let files = Files::new();
    let path = files.next();
    let store = SqliteStore::open(&path, 0).await.unwrap();
    enqueue_leased(&store, (1..=60).map(theirs).collect()).await;
    in_flight(&store, 70).await;
    in_flight(&store, 71).await;
    // Half of them ended, with events; some are already deleted rows whose pages are free.
    let ends = (1..=30)
        .map(|n| {
            let about = EventRecord {
                recipient: Some(ann()),
                text: Some("<ANN@example.net>".into()),
                ..event(n, first(n.into()), EventKind::Fail)
            };
            Settlement { events: vec![about], ..settlement(first(n.into()), Settled::Failed) }
        })
        .collect();
    store.settle(ends).await.unwrap();
    store.settle(vec![settlement(first(71), Settled::Delivered)]).await.unwrap();
    let raw = || Some(b"Final-Recipient: rfc822; ann@example.net\r\n".repeat(400).into());
    let others = EventRecord {
        text: Some("about\nann@example.net".into()),
        raw: raw(),
        ..bounce(200, first(71), Reason::UserUnknown)
    };
    let stray = EventRecord {
        delivery: None,
        recipient: Some(ann()),
        raw: raw(),
        ..event(201, first(1), EventKind::Complaint)
    };
    store.record(inbound(vec![others, stray])).await.unwrap();
    let zero = std::time::Duration::ZERO;
    store.purge(Retention { journal: zero, events: zero, raw: zero }, NOON).await.unwrap();

    assert!(store.forget(&ann(), NOON).await.unwrap() > 60);
    assert_eq!(store.find(first(40)).await.unwrap().map(|found| found.id), None);
    assert_eq!(store.find(first(70)).await.unwrap().unwrap().id, first(70), "others are not touched");
    assert!(store.body(BodyId::of(&theirs(40).body)).await.unwrap().is_none());
    let left = store.claim_events(100, vec![], NOON).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        (left[0].record.raw.as_ref(), left[0].record.text.as_deref()),
        (None, Some("about\nforgotten@forgotten.invalid"))
    );

    // What is under way comes to its end, and what comes back late is taken: nothing of it is stored.
    let late = EventRecord { recipient: Some(ann()), ..event(202, first(50), EventKind::Fail) };
    store
        .settle(vec![Settlement { events: vec![late.clone()], ..settlement(first(50), Settled::Failed) }])
        .await
        .unwrap();
    assert_eq!(store.record(inbound(vec![late])).await.unwrap(), [Recorded::Repeated]);
    assert!(store.begin(vec![first(51)]).await.unwrap().is_empty());
    // As it is found in the running store's files, its log among them.
    assert_eq!(hits(&path, "ann@example.net"), 0);
    assert!(hits(&path, "user70@example.net") > 0, "the search finds what is there");
    store.close().await.unwrap();
    assert_eq!(hits(&path, "ann@example.net"), 0);
    let db = Connection::open(&path).unwrap();
    let kept: (i64, i64) = db
        .query_row("SELECT count(*), length(max(hash)) FROM forgotten", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(kept, (1, 32), "a hash, to know it again");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_keeps_old_copies_is_named() {
    let files = Files::new();
    let path = files.next();
    let store = SqliteStore::open(&path, 0).await.unwrap();
    enqueue_leased(&store, vec![theirs(1)]).await;
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM delivery").unwrap();
    let error = store.forget(&ann(), NOON).await.unwrap_err();
    assert!(matches!(&error, StoreError::Failed(why) if why.contains("read transaction")), "{error}");
    assert!(store.find(first(1)).await.unwrap().is_none(), "the rows are gone all the same");
    reader.execute_batch("COMMIT").unwrap();
    store.forget(&ann(), NOON).await.unwrap();
    assert_eq!(hits(&path, "ann@example.net"), 0);
}
