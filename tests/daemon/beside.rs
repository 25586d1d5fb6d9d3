//! Another program that uses the same database file, in its own transactions.

use std::path::Path;
use std::time::Duration;

use returnpath::event::{Event, EventKind, from_fn};
use returnpath::testing::{Clock, RemoteHost, Report, deliver_to};
use returnpath::{Mailer, Message, Smarthost};
use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::process::{PATIENCE, Site};

pub(crate) fn letter(to: &str) -> returnpath::MessageBuilder {
    Message::builder().from("news@example.org").to(to).subject("Hello").text("Good morning.")
}

pub(crate) async fn mailer(
    store: &Path,
    remote: &RemoteHost,
    wait: Duration,
    clock: Clock,
) -> (Mailer, mpsc::UnboundedReceiver<Event>) {
    let (sender, events) = mpsc::unbounded_channel();
    let handler = from_fn(move |event: Event| {
        let _ = sender.send(event);
        async { Ok(()) }
    });
    let mailer = Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(store)
        .disk_reserve(0)
        .submit_timeout(wait)
        .clock(clock)
        .smarthost(Smarthost::new(remote.address().to_string()))
        .handler(handler)
        .start()
        .await
        .unwrap();
    (mailer, events)
}

pub(crate) async fn next(events: &mut mpsc::UnboundedReceiver<Event>) -> Event {
    tokio::time::timeout(PATIENCE, events.recv()).await.expect("an event is told").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_write_transaction_is_waited_for_and_then_told() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    let (mailer, mut events) = mailer(&site.store(), &remote, Duration::from_secs(1), Clock::system()).await;
    let listener = mailer.listen("127.0.0.1:0").await.unwrap();
    let receipt = mailer.send(letter("ann@example.net")).await.unwrap();
    assert_eq!(next(&mut events).await.kind(), EventKind::Delivered);

    let beside = Connection::open(site.store()).unwrap();
    beside.busy_timeout(PATIENCE).unwrap();
    beside
        .execute_batch("CREATE TABLE subscriber (name); BEGIN IMMEDIATE; INSERT INTO subscriber VALUES ('ann')")
        .unwrap();
    let refused = mailer.send(letter("bob@example.net")).await.unwrap_err();
    assert!(refused.is_busy(), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("another program") && text.contains("nothing was changed, try again later"), "{text}");
    let path = receipt.deliveries[0].return_path.as_str();
    let report = Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    let reply = deliver_to(listener.local_addr(), path, &report).await.unwrap();
    assert!(reply.starts_with("451 4.3.0 "), "{reply}");

    beside.execute_batch("COMMIT").unwrap();
    mailer.send(letter("bob@example.net")).await.unwrap();
    assert_eq!(next(&mut events).await.recipient().unwrap().as_str(), "bob@example.net");
    let reply = deliver_to(listener.local_addr(), path, &report).await.unwrap();
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(next(&mut events).await.kind(), EventKind::Bounce);
    assert_eq!(remote.taken().len(), 2, "one copy each");
    mailer.shutdown(PATIENCE).await.unwrap();
    let subscribers: i64 = beside.query_row("SELECT count(*) FROM subscriber", [], |row| row.get(0)).unwrap();
    assert_eq!(subscribers, 1, "the other program's row is there");
}

/// What is on its way when the transaction begins ends when it is over, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_survives_an_open_write_transaction() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    // The end of data is heard long after the other program has begun.
    remote.delay_end_of_data(Duration::from_millis(500));
    let (mailer, mut events) = mailer(&site.store(), &remote, Duration::from_millis(100), Clock::system()).await;
    let receipt = mailer.send(letter("ann@example.net")).await.unwrap();
    remote.message(0).await;
    let beside = Connection::open(site.store()).unwrap();
    beside.busy_timeout(PATIENCE).unwrap();
    beside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let outcome = mailer.outcome(receipt.deliveries[0].id, Duration::from_millis(1500)).await.unwrap();
    assert_eq!(outcome, None, "the reply was heard and waits for the database");
    beside.execute_batch("ROLLBACK").unwrap();
    let event = next(&mut events).await;
    assert_eq!((event.kind(), event.attempts()), (EventKind::Delivered, 1));
    mailer.shutdown(PATIENCE).await.unwrap();
    assert_eq!(remote.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_with_a_long_transaction_holds_nothing_up() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    let (mailer, mut events) = mailer(&site.store(), &remote, PATIENCE, Clock::system()).await;
    let reader = Connection::open(site.store()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = || reader.query_row("SELECT count(*) FROM delivery", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 0);
    for number in 0..50 {
        mailer.send(letter(&format!("r{number}@example.net"))).await.unwrap();
    }
    for _ in 0..50 {
        assert_eq!(next(&mut events).await.kind(), EventKind::Delivered);
    }
    assert_eq!(count(), 0, "its snapshot");
    let copy = site.path("copy.db");
    mailer.backup(&copy).await.unwrap();
    mailer.shutdown(PATIENCE).await.unwrap();
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count(), 50);
    let copied: i64 = Connection::open(&copy)
        .unwrap()
        .query_row("SELECT count(*) FROM delivery WHERE state = 4", [], |row| row.get(0))
        .unwrap();
    assert_eq!(copied, 50);
}
