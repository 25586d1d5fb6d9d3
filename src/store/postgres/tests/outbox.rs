//! Rows that other programs put into the outbox.

use super::*;
use crate::store::conformance::{NOON, claim, first, message};
use crate::store::outbox::encode;
use crate::store::{Idempotency, NewMessage};

async fn put(url: &str, payload: &[u8]) {
    let digits: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    cluster::run(url, &format!("INSERT INTO returnpath.outbox (payload) VALUES ('\\x{digits}')")).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_queued_holds_up_no_other() {
    let site = databases!();
    let store = site.open().await;
    let url = site.last.lock().unwrap().clone();
    let keyed = |n, fingerprint| NewMessage {
        idempotency: Some(Idempotency { key: "order 17".into(), fingerprint: [fingerprint; 32] }),
        ..message(n, "example.net")
    };
    put(&url, &encode(&keyed(1, 1))).await;
    put(&url, b"\x01 no message").await;
    put(&url, &encode(&message(2, "example.net"))).await;
    assert_eq!(store.take_outbox(NOON).await.unwrap(), 2);

    // One uses a delivery's id again, one a key with other content, one repeats a key.
    put(&url, &encode(&NewMessage { deliveries: message(2, "example.net").deliveries, ..message(3, "example.net") }))
        .await;
    put(&url, &encode(&keyed(4, 9))).await;
    put(&url, &encode(&keyed(5, 1))).await;
    put(&url, &encode(&message(6, "example.net"))).await;
    assert_eq!(store.take_outbox(NOON).await.unwrap(), 2, "the repeated one is done with, too");
    assert_eq!(store.take_outbox(NOON).await.unwrap(), 0);
    assert_eq!(claim(&*store, NOON).await, [first(1), first(2), first(6)]);
    let set_aside = "SELECT count(*) FROM returnpath.outbox WHERE error IS NOT NULL";
    assert_eq!(cluster::count(&url, set_aside).await, 3, "with the reason beside them");
    assert_eq!(cluster::count(&url, "SELECT count(*) FROM returnpath.outbox").await, 3);
}

#[tokio::test]
async fn two_processes_take_different_rows() {
    let site = databases!();
    let (one, two) = (site.open().await, site.join().await);
    let url = site.last.lock().unwrap().clone();
    for n in 1..=40 {
        put(&url, &encode(&message(n, "example.net"))).await;
    }
    let (here, there) = tokio::join!(one.take_outbox(NOON), two.take_outbox(NOON));
    let (here, there) = (here.unwrap(), there.unwrap());
    assert_eq!(here + there + one.take_outbox(NOON).await.unwrap(), 40);
    assert_eq!(claim(&*two, NOON).await.len(), 40);
}
