//! Stores that earlier versions left behind, one of each format, as SQL text: this version opens them, brings them up to
//! its own format, and goes on with what is in them.
//!
//! Each was made by the version that introduced the format, with four messages of one mailing: to ann and eve, taken by
//! the remote host, to eve also returned; to bob, refused, whose event the handler would not take; to kim, put off by a
//! greylisting host and still queued. Their secrets were made for these files and never sealed real mail.
#![cfg(feature = "sqlite")]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use returnpath::event::{Event, EventKind, from_fn};
use returnpath::testing::{Clock, RemoteHost, Report, deliver_to};
use returnpath::{Mailer, Message, MessageBuilder, Smarthost, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc;

const FORMATS: [(i64, &str); 2] = [(1, include_str!("stores/format-1.sql")), (2, include_str!("stores/format-2.sql"))];

/// When the stores were left.
const LEFT: Timestamp = Timestamp::from_millis(1_768_478_404_000);
const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(60);

/// A store as it was left.
fn left(format: i64, dump: &str) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(dump).unwrap();
    assert_eq!(number(&db, "PRAGMA user_version"), format);
    (folder, path)
}

fn number(db: &Connection, query: &str) -> i64 {
    db.query_row(query, [], |row| row.get(0)).unwrap()
}

/// The return path of each recipient, and the id of the delivery as its text.
fn paths(store: &Path) -> HashMap<String, (String, String)> {
    let db = Connection::open(store).unwrap();
    let mut query = db.prepare("SELECT recipient, return_path, printf('%016x', id) FROM delivery").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// The message as the program gave it then.
fn letter(number: i64, name: &str) -> MessageBuilder {
    Message::builder()
        .from("News <news@example.org>")
        .to(format!("{name}@example.net"))
        .subject("The first issue")
        .text(format!("Good morning, {name}.\n"))
        .mailing("issue-1")
        .tag(100 + number)
        .metadata(serde_json::json!({"number": number}))
        .idempotency_key(format!("issue-1/{name}"))
}

#[tokio::test]
async fn what_an_earlier_version_left_goes_on() {
    for (format, dump) in FORMATS {
        let (_folder, store) = left(format, dump);
        let paths = paths(&store);
        let remote = RemoteHost::start().await.unwrap();
        let (sender, mut events) = mpsc::unbounded_channel();
        let handler = from_fn(move |event: Event| {
            let _ = sender.send(event);
            async { Ok(()) }
        });
        let mailer = Mailer::builder("b.example.org")
            .ehlo("mail.example.org")
            .store(store.as_path())
            .disk_reserve(0)
            .clock(Clock::manual(LEFT + HOUR))
            .smarthost(Smarthost::new(remote.address().to_string()))
            .handler(handler)
            .start()
            .await
            .unwrap();
        let listener = mailer.listen("127.0.0.1:0").await.unwrap();
        let mut told = HashMap::new();
        let mut hear = async |kind: EventKind| -> Event {
            while !told.contains_key(&kind) {
                let event: Event = tokio::time::timeout(PATIENCE, events.recv())
                    .await
                    .unwrap_or_else(|_| panic!("format {format}: {kind:?} is not told"))
                    .unwrap();
                assert!(told.insert(event.kind(), event).is_none(), "format {format}: one of each kind");
            }
            told[&kind].clone()
        };

        // The message that was queued arrives, with the return path of then.
        let kim = hear(EventKind::Delivered).await;
        assert_eq!((kim.recipient().unwrap().as_str(), kim.attempts()), ("kim@example.net", 2), "format {format}");
        assert_eq!(kim.tag().and_then(|tag| tag.as_i64()), Some(103));
        let taken = remote.taken();
        assert_eq!(taken.len(), 1, "format {format}: nothing else was left to be sent");
        assert_eq!(taken[0].return_path, paths["kim@example.net"].0);
        assert!(taken[0].data.contains("Good morning, kim."));

        // The event that the handler would not take is told again.
        let bob = hear(EventKind::Fail).await;
        assert_eq!(
            (bob.recipient().unwrap().as_str(), bob.verdict().unwrap().reason.name()),
            ("bob@example.net", "user_unknown")
        );

        // A bounce to a path of then.
        let report = Report::failed("ann@example.net", "5.2.2", "552 5.2.2 mailbox full").to_string();
        let reply = deliver_to(listener.local_addr(), &paths["ann@example.net"].0, &report).await.unwrap();
        assert!(reply.starts_with("250"), "format {format}: {reply}");
        let ann = hear(EventKind::Bounce).await;
        assert_eq!(ann.recipient().unwrap().as_str(), "ann@example.net");
        assert_eq!((ann.tag().and_then(|tag| tag.as_i64()), ann.mailing()), (Some(100), Some("issue-1")));
        assert_eq!(ann.delivery().unwrap().to_string(), paths["ann@example.net"].1);

        // A key of then, and ids that go on above those of then.
        let repeated = mailer.send(letter(2, "eve")).await.unwrap();
        assert!(repeated.repeated, "format {format}");
        assert_eq!(repeated.deliveries[0].id.to_string(), paths["eve@example.net"].1);
        let new = mailer.send(letter(4, "joe")).await.unwrap();
        assert!(paths.values().all(|(_, id)| *id < new.deliveries[0].id.to_string()));

        listener.stop(PATIENCE).await;
        mailer.shutdown(PATIENCE).await.unwrap();
        let db = Connection::open(&store).unwrap();
        assert_eq!(number(&db, "PRAGMA user_version"), FORMATS.last().unwrap().0, "each format has its store here");
        let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

/// The tables that come of all steps are those of a new store.
#[tokio::test]
async fn an_upgraded_store_has_the_tables_of_a_new_one() {
    let tables = |path: &Path| {
        let db = Connection::open(path).unwrap();
        let mut query =
            db.prepare("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1, 2").unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<Vec<(String, String, String)>, _>>().unwrap()
    };
    let open = async |path: &Path| {
        let builder = Mailer::builder("b.example.org").ehlo("mail.example.org").store(path).disk_reserve(0).handler(());
        builder.clock(Clock::manual(LEFT)).start().await.unwrap().shutdown(PATIENCE).await.unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.db");
    open(&new).await;
    for (format, dump) in FORMATS {
        let (_folder, store) = left(format, dump);
        open(&store).await;
        assert_eq!(tables(&store), tables(&new), "format {format}");
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let (format, dump) = FORMATS[FORMATS.len() - 1];
    let (_folder, store) = left(format, dump);
    let newer = format + 1;
    Connection::open(&store).unwrap().pragma_update(None, "user_version", newer).unwrap();
    let before = std::fs::read(&store).unwrap();
    let builder = Mailer::builder("b.example.org").ehlo("mail.example.org").store(store.as_path()).handler(());
    let refused = builder.start().await.unwrap_err();
    assert!(refused.is_storage());
    let text = refused.to_string();
    let parts =
        ["was written by a newer version", &format!("format {newer}"), &format!("knows {format}"), "use that version"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert_eq!(std::fs::read(&store).unwrap(), before);
}
