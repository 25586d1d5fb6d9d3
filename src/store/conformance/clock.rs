//! Clocks that jump, and clocks that differ: mail may come late by as much as the clock was wrong, and no later.

use super::*;
use crate::store::State;

pub(crate) async fn set_back_an_hour(site: &dyn Site) {
    let store = site.open().await;
    enqueue(&*store, vec![message(1, "example.net")]).await;
    enqueue_leased(&*store, vec![message(2, "example.net")]).await;
    let back = NOON - 60 * MINUTE;
    let new = NewMessage { not_before: back, ..message(3, "example.net") };
    assert_eq!(store.enqueue(vec![new], back, None).await.unwrap(), [Enqueued::New]);
    assert_eq!(claim(&*store, back).await, [first(3)], "what is new does not wait behind what is old");
    store.begin(vec![first(2)]).await.unwrap();
    let late = Settlement {
        events: vec![EventRecord { at: back, ..event(1, first(2), EventKind::Delivered) }],
        ..settlement(first(2), Settled::Delivered)
    };
    store.settle(vec![late]).await.unwrap();
    assert_eq!(handed_out(&*store, back).await, [event_id(1)]);
    assert_eq!(store.next_due().await.unwrap(), Some(back + MINUTE), "a lease by the new clock");
    assert_eq!(claim(&*store, NOON).await, [first(1), first(3)], "late by an hour at most");
}

pub(crate) async fn set_forward_a_month(site: &dyn Site) {
    let store = site.open().await;
    in_flight(&*store, 1).await;
    enqueue_leased(&*store, vec![message(2, "example.net")]).await;
    enqueue(&*store, vec![message(3, "example.net")]).await;
    let month = NOON + 30 * DAY;
    assert_eq!(claim(&*store, month).await, [first(2), first(3)], "leases are over, what is in flight is not due");
    let claimed = store.claim(request(month + MINUTE)).await.unwrap();
    assert!(claimed.iter().all(|claimed| claimed.attempts == 0), "nothing was given up without an attempt");
    settle(&*store, first(1), Settled::Delivered).await;
    assert_eq!(store.find(first(1)).await.unwrap().unwrap().state, State::Delivered);
    assert_eq!(claim(&*store, NOON).await, [], "and the clock may come back: the leases last until then");
    assert_eq!(claim(&*store, month + 2 * MINUTE).await, [first(2), first(3)]);
}

pub(crate) async fn three_days_down(site: &dyn Site) {
    let store = site.open().await;
    enqueue(&*store, vec![message(1, "example.net")]).await;
    enqueue_leased(&*store, vec![message(2, "example.net")]).await;
    in_flight(&*store, 3).await;
    in_flight(&*store, 4).await;
    settle(&*store, first(4), Settled::Delivered).await;
    store.record(inbound(vec![bounce(1, first(3), Reason::MailboxFull)])).await.unwrap();
    let store = site.crash(store).await;
    let back = NOON + 3 * DAY;
    let left = store.recover(back, back + 30 * MINUTE).await.unwrap();
    assert_eq!((ids(&left.in_flight), left.leased), (vec![first(3)], 1));
    assert_eq!(claim(&*store, back).await, [first(1), first(2)]);
    assert_eq!(handed_out(&*store, back).await, [event_id(1)]);
    store.record(inbound(vec![bounce(2, first(4), Reason::UserUnknown)])).await.unwrap();
    assert!(store.find(first(4)).await.unwrap().unwrap().bounced.is_some(), "a bounce that the peer kept for us");
}

/// Where processes share a store. A store of one process has one clock.
pub(crate) async fn five_seconds_apart(site: &dyn Site) {
    let one = site.open().await;
    let Some(other) = site.second(&one).await else { return };
    let skew = Duration::from_secs(5);
    enqueue(&*one, (1..=20).map(|n| message(n, "example.net")).collect()).await;
    let half = |now| ClaimRequest { limit: 10, ..request(now) };
    let (mine, theirs) = tokio::join!(one.claim(half(NOON)), other.claim(half(NOON + skew)));
    let (mine, theirs) = (ids(&mine.unwrap()), ids(&theirs.unwrap()));
    assert!(mine.iter().all(|id| !theirs.contains(id)), "each to one of them");
    let later = NOON + MINUTE / 2;
    claim(&*other, later + skew).await;
    one.renew(mine.clone(), later + MINUTE).await.unwrap();
    let taken = claim(&*other, later + MINUTE / 2 + skew).await;
    assert!(mine.iter().all(|id| !taken.contains(id)), "a lease that is renewed in time is nobody else's");
    let mut begun = one.begin(mine.clone()).await.unwrap();
    begun.sort();
    let mut expected = mine;
    expected.sort();
    assert_eq!(begun, expected);
}
