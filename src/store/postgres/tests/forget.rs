//! What is left of an address that was forgotten.

use super::*;
use crate::event::{EventKind, EventRecord};
use crate::store::conformance::{NOON, bounce, claim, delivery, enqueue, event, event_id, first, handed_out, inbound};
use crate::store::conformance::{message, message_to};
use crate::verdict::Reason;

/// A message to `user1@a.example` and another recipient, one to somebody else, and events that name the first.
async fn fill(store: &dyn Store) {
    enqueue(store, vec![message_to(1, &["a.example", "b.example"]), message(2, "c.example")]).await;
    let named = EventRecord {
        recipient: Some("User1@a.example".parse().unwrap()),
        raw: Some((*b"To: USER1@A.example\r\n\r\n\xff\\").into()),
        ..bounce(1, first(1), Reason::Spam)
    };
    let quoted =
        EventRecord { text: Some("550 <user1@a.example> is gone".into()), ..event(2, first(2), EventKind::Other) };
    let raw = EventRecord {
        raw: Some((*b"Final-Recipient: rfc822;user1@a.example\r\n").into()),
        ..event(3, first(2), EventKind::Other)
    };
    let other = EventRecord {
        text: Some("550 <xuser1@a.example> is gone".into()),
        ..event(4, delivery(102), EventKind::Other)
    };
    store.record(inbound(vec![named, quoted, raw, other])).await.unwrap();
}

#[tokio::test]
async fn nothing_names_an_address_that_was_forgotten() {
    let site = databases!();
    let store = site.open().await;
    let url = site.last.lock().unwrap().clone();
    fill(&*store).await;
    assert_eq!(handed_out(&*store, NOON).await, [event_id(1), event_id(2), event_id(4)]);
    let address = "USER1@a.example".parse().unwrap();
    // The delivery, its counter, its event and that one's raw mail, the other event, the other raw mail.
    assert_eq!(store.forget(&address, NOON).await.unwrap(), 6);
    assert_eq!(
        handed_out(&*store, NOON).await,
        [event_id(3), event_id(4)],
        "what stood behind a deleted event is free"
    );
    let raw = "SELECT count(*) FROM returnpath.event_raw";
    assert_eq!(cluster::count(&url, raw).await, 0);
    assert!(store.find(first(1)).await.unwrap().is_none());
    assert_eq!(claim(&*store, NOON).await, [delivery(102), first(2)], "the other recipients are not touched");
    assert_eq!(store.forget(&address, NOON).await.unwrap(), 0);
}

#[tokio::test]
async fn the_high_water_mark_outlives_the_rows() {
    let site = databases!();
    let store = site.open().await;
    enqueue(&*store, vec![message(1, "a.example")]).await;
    store.forget(&"user1@a.example".parse().unwrap(), NOON).await.unwrap();
    let url = site.last.lock().unwrap().clone();
    for table in ["message", "delivery", "body"] {
        let left = format!("SELECT count(*) FROM returnpath.{table}");
        assert_eq!(cluster::count(&url, &left).await, 0, "{table}");
    }
    assert_eq!(store.recover(NOON, NOON).await.unwrap().high_water, first(1).as_u64());
}
