//! What is left after a kill, at each step of a message's way.

use super::*;
use crate::store::{Acknowledgement, Answer, BodyId, PathForm, State, StoredKey};

pub(crate) async fn after_enqueue(site: &dyn Site) {
    let store = site.open().await;
    enqueue(&*store, vec![message(1, "example.net")]).await;
    let store = site.crash(store).await;
    let left = store.recover(NOON, NOON + MINUTE).await.unwrap();
    assert_eq!((left.in_flight.len(), left.leased, left.high_water), (0, 0, first(1).as_u64()));
    assert!(store.body(BodyId::of(&message(1, "example.net").body)).await.unwrap().is_some());
    assert_eq!(claim(&*store, NOON).await, [first(1)]);
}

pub(crate) async fn after_enqueue_with_a_lease(site: &dyn Site) {
    let store = site.open().await;
    enqueue_leased(&*store, vec![message(1, "example.net"), message(2, "example.net")]).await;
    let store = site.crash(store).await;
    assert_eq!(store.recover(NOON, NOON + DAY).await.unwrap().leased, 2);
    assert_eq!(claim(&*store, NOON).await, [first(1), first(2)], "due at once, the lease is void");
}

pub(crate) async fn after_claim(site: &dyn Site) {
    let store = site.open().await;
    enqueue(&*store, vec![message(1, "example.net")]).await;
    claim(&*store, NOON).await;
    let store = site.crash(store).await;
    assert_eq!(store.recover(NOON, NOON + DAY).await.unwrap().leased, 1);
    assert_eq!(claim(&*store, NOON).await, [first(1)]);
}

pub(crate) async fn after_begin(site: &dyn Site) {
    let store = site.open().await;
    enqueue_leased(&*store, (1..=3).map(|n| message(n, "example.net")).collect()).await;
    store.begin(vec![first(2), first(3)]).await.unwrap();
    let store = site.crash(store).await;
    let left = store.recover(NOON, NOON + MINUTE).await.unwrap();
    assert_eq!((ids(&left.in_flight), left.leased), (vec![first(2), first(3)], 1), "exactly the in-flight set");
    assert_eq!(left.in_flight[0].prefix, message(2, "example.net").deliveries[0].prefix);
    assert_eq!(claim(&*store, NOON).await, [first(1)], "what is uncertain is not tried at once");
    settle(&*store, first(3), Settled::Held).await;
    assert_eq!(claim(&*store, NOON + MINUTE).await, [first(1), first(2)], "unless settled, it is due in the end");
}

pub(crate) async fn after_a_second_crash_before_the_settlement(site: &dyn Site) {
    let store = site.open().await;
    in_flight(&*store, 1).await;
    let store = site.crash(store).await;
    store.recover(NOON, NOON + DAY).await.unwrap();
    let store = site.crash(store).await;
    let left = store.recover(NOON, NOON + DAY).await.unwrap();
    assert_eq!(ids(&left.in_flight), [first(1)], "nobody has said yet what became of it");
    settle(&*store, first(1), Settled::Queued(NOON + MINUTE)).await;
    let store = site.crash(store).await;
    assert!(store.recover(NOON, NOON + DAY).await.unwrap().in_flight.is_empty());
    assert_eq!(claim(&*store, NOON + MINUTE).await, [first(1)]);
}

pub(crate) async fn after_settle(site: &dyn Site) {
    let store = site.open().await;
    in_flight(&*store, 1).await;
    in_flight(&*store, 2).await;
    let end = Settlement { events: vec![event(1, first(1), EventKind::Fail)], ..settlement(first(1), Settled::Failed) };
    store.settle(vec![end.clone(), settlement(first(2), Settled::Queued(NOON + MINUTE))]).await.unwrap();
    let store = site.crash(store).await;
    assert!(store.recover(NOON, NOON + MINUTE).await.unwrap().in_flight.is_empty());
    let found = store.find(first(1)).await.unwrap().unwrap();
    assert_eq!((found.state, found.attempts, &found.last), (State::Failed, 1, &end.last));
    // Whoever does not know that it was settled settles it again.
    store.settle(vec![end]).await.unwrap();
    assert_eq!(handed_out(&*store, NOON).await, [event_id(1)]);
    assert_eq!(claim(&*store, NOON + MINUTE).await, [first(2)]);
}

pub(crate) async fn after_record(site: &dyn Site) {
    let store = site.open().await;
    in_flight(&*store, 1).await;
    settle(&*store, first(1), Settled::Delivered).await;
    let report = EventRecord { raw: Some((*b"raw").into()), ..bounce(1, first(1), Reason::UserUnknown) };
    store.record(inbound(vec![report.clone()])).await.unwrap();
    let store = site.crash(store).await;
    store.recover(NOON, NOON).await.unwrap();
    assert_eq!(store.claim_events(9, vec![], NOON).await.unwrap()[0].record, report);
    assert!(store.find(first(1)).await.unwrap().unwrap().bounced.is_some());
    // The peer did not read our 250 and sends the report again.
    store.record(inbound(vec![report])).await.unwrap();
    assert_eq!(handed_out(&*store, NOON).await, [event_id(1)]);
}

pub(crate) async fn after_acknowledge(site: &dyn Site) {
    let store = site.open().await;
    store.record(inbound((1..=4).map(|n| event(n, first(n.into()), EventKind::Bounce)).collect())).await.unwrap();
    let mut answers = Vec::new();
    for (n, answer) in [
        (1, Answer::Done),
        (2, Answer::Again { at: NOON + MINUTE, attempts: 3, error: "down".into() }),
        (3, Answer::Dead { attempts: 12, error: "never".into() }),
    ] {
        answers.push(Acknowledgement { sequence: sequence_of(&*store, event_id(n)).await, answer });
    }
    store.acknowledge(answers).await.unwrap();
    let store = site.crash(store).await;
    assert_eq!(handed_out(&*store, NOON).await, [event_id(4)], "what was with the handler comes again");
    let due = store.claim_events(9, vec![], NOON + MINUTE).await.unwrap();
    assert_eq!(due.iter().map(|event| event.attempts).collect::<Vec<_>>(), [3, 0]);
    assert_eq!(store.dead_letters(9).await.unwrap().len(), 1);
}

pub(crate) async fn after_keys_and_forms(site: &dyn Site) {
    let store = site.open().await;
    let key = StoredKey { id: 3, fingerprint: [1; 16], secret: Some([2; 32]), state: "mint".into(), since: NOON };
    let form =
        PathForm { domain: "b.example.org".into(), prefix: "b".into(), separator: String::new(), last_used: NOON };
    store.save_keys(vec![key.clone()]).await.unwrap();
    store.record_forms(vec![form.clone()]).await.unwrap();
    let store = site.crash(store).await;
    assert_eq!((store.keys().await.unwrap(), store.forms().await.unwrap()), (vec![key], vec![form]));
}
