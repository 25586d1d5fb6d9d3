//! After an address was forgotten, none of the server's files holds it, and nothing that can be copied out.

use std::fs;
use std::path::Path;

use super::*;
use crate::event::{EventKind, EventRecord};
use crate::store::conformance::{NOON, bounce, enqueue, event, first, inbound, message, settlement};
use crate::store::outbox::encode;
use crate::store::{Idempotency, NewMessage, Settled, Settlement};
use crate::verdict::Reason;

/// No other test on this server has it.
const ADDRESS: &str = "found.in.files@example.net";

/// How often the files have the text, whatever its case.
fn hits(place: &Path, text: &str) -> usize {
    let mut hits = 0;
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            hits += self::hits(&path, text);
        } else if let Ok(content) = fs::read(&path) {
            // Some files are gone by the time that they are read: the server works on.
            hits += memchr::memmem::find_iter(&content.to_ascii_lowercase(), text).count();
        }
    }
    hits
}

/// All that `COPY` gives of every table and of the planner's statistics.
async fn copied(url: &str) -> String {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let tables = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'returnpath'::regnamespace
                  AND relkind = 'r' UNION ALL SELECT 'pg_statistic'";
    let mut rows = String::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let query =
            format!("SELECT string_agg(convert_from(convert_to(t::text, 'UTF8'), 'UTF8'), E'\n') FROM {table} t");
        rows.push_str(client.query_one(&query, &[]).await.unwrap().get::<_, Option<&str>>(0).unwrap_or_default());
        // The content of bodies, raw mail and payloads.
        let bytes = "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::text::regclass
                     AND atttypid = 'bytea'::regtype AND attnum > 0";
        for column in client.query(bytes, &[&table]).await.unwrap() {
            let column: String = column.get(0);
            let query = format!("SELECT string_agg(encode({column}, 'escape'), E'\n') FROM {table}");
            rows.push_str(client.query_one(&query, &[]).await.unwrap().get::<_, Option<&str>>(0).unwrap_or_default());
        }
    }
    drop(client);
    connection.await.unwrap().unwrap();
    rows.to_lowercase()
}

async fn put_into_outbox(url: &str, payload: &[u8]) {
    let digits: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    cluster::run(url, &format!("INSERT INTO returnpath.outbox (payload) VALUES ('\\x{digits}')")).await;
}

fn theirs(n: u64) -> NewMessage {
    let mut message = message(n, "example.net");
    message.deliveries[0].recipient = ADDRESS.parse().unwrap();
    message.body = format!("To: {ADDRESS}\r\n\r\nNumber {n}.\r\n").into_bytes().into();
    message.metadata = Some(format!(r#"{{"who":"{ADDRESS}"}}"#));
    message.idempotency = Some(Idempotency { key: format!("{n} to {ADDRESS}"), fingerprint: [1; 32] });
    message
}

#[tokio::test]
async fn an_address_is_in_no_file_any_more() {
    let site = databases!();
    let store = site.open().await;
    let url = site.last.lock().unwrap().clone();
    enqueue(&*store, (1..=60).map(theirs).collect()).await;
    enqueue(&*store, vec![message(70, "example.net"), message(71, "example.net")]).await;
    let ends = (1..=30).map(|n| {
        let about =
            EventRecord { recipient: Some(ADDRESS.parse().unwrap()), ..event(n, first(n.into()), EventKind::Fail) };
        Settlement { events: vec![about], ..settlement(first(n.into()), Settled::Failed) }
    });
    crate::store::conformance::claim(&*store, NOON).await;
    store.settle(ends.collect()).await.unwrap();
    let quoting = EventRecord {
        text: Some(format!("550 not like <{ADDRESS}>")),
        raw: Some(format!("Final-Recipient: rfc822; {ADDRESS}\r\n").repeat(400).into_bytes().into()),
        ..bounce(200, first(71), Reason::UserUnknown)
    };
    store.record(inbound(vec![quoting])).await.unwrap();
    // One waits in the outbox, one was set aside.
    put_into_outbox(&url, &encode(&theirs(80))).await;
    put_into_outbox(&url, format!("no message to {ADDRESS}").as_bytes()).await;
    cluster::run(&url, "ANALYZE").await;
    cluster::run(&url, "CHECKPOINT").await;
    let oid = cluster::count(&url, "SELECT oid::bigint FROM pg_database WHERE datname = current_database()").await;
    let (files, log) = (site.cluster.data.join(format!("base/{oid}")), site.cluster.data.join("pg_wal"));
    assert!(hits(&files, ADDRESS) > 60 && hits(&log, ADDRESS) > 60, "the search finds what is there");
    assert!(copied(&url).await.contains(ADDRESS));

    store.forget(&ADDRESS.to_uppercase().parse().unwrap(), NOON).await.unwrap();
    // What is heard late leaves nothing either.
    let late = EventRecord { recipient: Some(ADDRESS.parse().unwrap()), ..event(202, first(50), EventKind::Fail) };
    store.record(inbound(vec![late])).await.unwrap();
    cluster::run(&url, "ANALYZE").await;
    assert!(!copied(&url).await.contains(ADDRESS));
    // The server removes the old files, and the log that it does not need any more, with its next checkpoints. This
    // one is told not to use old segments again.
    for _ in 0..2 {
        cluster::run(&url, "SELECT pg_switch_wal()").await;
        cluster::run(&url, "CHECKPOINT").await;
    }
    assert_eq!(hits(&files, ADDRESS), 0);
    assert!(hits(&files, "user70@example.net") > 0, "others are there");
    assert_eq!(hits(&log, ADDRESS), 0);
    assert_eq!(cluster::count(&url, "SELECT count(*) FROM returnpath.forgotten WHERE length(hash) = 32").await, 1);
}

#[tokio::test]
async fn a_session_that_keeps_old_copies_is_named() {
    let site = databases!();
    let store = site.open().await;
    let url = site.last.lock().unwrap().clone();
    enqueue(&*store, vec![theirs(1)]).await;
    let (mut client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let old = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead).start().await;
    let old = old.unwrap();
    old.query_one("SELECT count(*) FROM returnpath.delivery", &[]).await.unwrap();
    let error = store.forget(&ADDRESS.parse().unwrap(), NOON).await.unwrap_err();
    assert!(matches!(&error, StoreError::Failed(why) if why.contains("old transaction")), "{error}");
    assert!(store.find(first(1)).await.unwrap().is_none(), "the rows are gone all the same");
    old.commit().await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    store.forget(&ADDRESS.parse().unwrap(), NOON).await.unwrap();
}
