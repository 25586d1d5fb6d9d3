//! The way back: what comes in, its bounds, and what it is booked on.

use super::*;
use crate::store::{BodyId, InboundBounds, Recorded, State};

pub(crate) async fn the_same_report_is_stored_once(site: &dyn Site) {
    let store = site.open().await;
    let report = bounce(1, first(1), Reason::UserUnknown);
    assert_eq!(
        store.record(inbound(vec![report.clone(), report.clone()])).await.unwrap(),
        [Recorded::New, Recorded::Repeated]
    );
    assert_eq!(store.record(inbound(vec![report])).await.unwrap(), [Recorded::Repeated]);
    assert_eq!(handed_out(&*store, NOON).await, [event_id(1)]);
}

pub(crate) async fn a_flood_is_bounded_and_told_once(site: &dyn Site) {
    let store = site.open().await;
    let bounds = InboundBounds { events: 3, raw_bytes: 1000 };
    let events = (1..=5).map(|n| event(n, first(1), EventKind::Other)).collect();
    assert_eq!(
        store.record(Inbound { events, bounds }).await.unwrap(),
        [
            Recorded::New,
            Recorded::New,
            Recorded::New,
            Recorded::Flood { first: true },
            Recorded::Flood { first: false },
        ]
    );
    let repeated = vec![event(2, first(1), EventKind::Other)];
    assert_eq!(store.record(Inbound { events: repeated, bounds }).await.unwrap(), [Recorded::Repeated]);
    let elsewhere = vec![
        event(6, first(2), EventKind::Other),
        EventRecord { delivery: None, ..event(7, first(2), EventKind::Other) },
    ];
    assert_eq!(store.record(Inbound { events: elsewhere, bounds }).await.unwrap(), [Recorded::New; 2]);

    let mut kinds = Vec::new();
    while let Some(event) = store.claim_events(1, vec![], NOON).await.unwrap().pop() {
        let done = crate::store::Acknowledgement { sequence: event.sequence, answer: crate::store::Answer::Done };
        store.acknowledge(vec![done]).await.unwrap();
        if event.record.delivery == Some(first(1)) {
            kinds.push(event.record.kind);
        }
        if event.record.kind == EventKind::Alert {
            assert_eq!(event.record.id, EventId::derive(&[b"flood", &first(1).as_u64().to_be_bytes()]));
            assert_eq!(event.record.origin, Origin::Local);
        }
    }
    assert_eq!(kinds, [EventKind::Other, EventKind::Other, EventKind::Other, EventKind::Alert]);
}

pub(crate) async fn raw_mail_is_bounded(site: &dyn Site) {
    let store = site.open().await;
    let bounds = InboundBounds { events: 20, raw_bytes: 1000 };
    let sizes = [600, 600, 400, 1];
    let events = (1..)
        .zip(sizes)
        .map(|(n, size)| EventRecord { raw: Some(vec![b'x'; size].into()), ..event(n, first(1), EventKind::Other) })
        .collect();
    assert_eq!(store.record(Inbound { events, bounds }).await.unwrap(), [Recorded::New; 4]);
    let mut kept = Vec::new();
    for n in 1..=4 {
        let event = store.claim_events(1, vec![], NOON).await.unwrap().pop().unwrap();
        assert_eq!(event.record.id, event_id(n));
        kept.push(event.record.raw.map_or(0, |raw| raw.len()));
        let done = crate::store::Acknowledgement { sequence: event.sequence, answer: crate::store::Answer::Done };
        store.acknowledge(vec![done]).await.unwrap();
    }
    assert_eq!(kept, [600, 0, 400, 0], "the event is stored without what does not fit");
}

/// Brings a delivery somewhere, on a fresh store.
async fn bring(store: &dyn Store, n: u64, to: &str) {
    match to {
        "queued" => enqueue(store, vec![message(n, "example.net")]).await,
        "leased" => enqueue_leased(store, vec![message(n, "example.net")]).await,
        "in flight" => in_flight(store, n).await,
        "held" | "delivered" | "failed" | "suppressed" | "cancelled" | "refused for now" | "uncertain, queued" => {
            in_flight(store, n).await;
            let later = Settled::Queued(NOON + DAY);
            let end = match to {
                "held" => settlement(first(n), Settled::Held),
                "delivered" => settlement(first(n), Settled::Delivered),
                "failed" => settlement(first(n), Settled::Failed),
                "suppressed" => settlement(first(n), Settled::Suppressed),
                "cancelled" => settlement(first(n), Settled::Cancelled),
                "refused for now" => settlement(first(n), later),
                _ => Settlement {
                    last: Some(attempt(Outcome::Uncertain, Reason::Network)),
                    ..settlement(first(n), later)
                },
            };
            store.settle(vec![end]).await.unwrap();
        }
        "uncertain, failed" => {
            Box::pin(bring(store, n, "uncertain, queued")).await;
            let expired = Settlement { attempted: false, ..settlement(first(n), Settled::Failed) };
            store.settle(vec![expired]).await.unwrap();
        }
        // Of the process that dies after this.
        "recovered" => in_flight(store, n).await,
        other => unreachable!("{other}"),
    }
}

pub(crate) async fn a_bounce_is_booked_only_where_mail_was_taken(site: &dyn Site) {
    for (standing, state, is_booked) in [
        ("queued", State::Queued, false),
        ("leased", State::Leased, false),
        ("refused for now", State::Queued, false),
        ("failed", State::Failed, false),
        ("suppressed", State::Suppressed, false),
        ("cancelled", State::Cancelled, false),
        ("delivered", State::Delivered, true),
        ("in flight", State::InFlight, true),
        ("held", State::Delivered, true),
        ("uncertain, queued", State::Delivered, true),
        ("uncertain, failed", State::Failed, true),
        ("recovered", State::Delivered, true),
    ] {
        let mut store = site.open().await;
        bring(&*store, 1, standing).await;
        if standing == "recovered" {
            store = site.crash(store).await;
            store.recover(NOON, NOON + DAY).await.unwrap();
        }
        let report = bounce(1, first(1), Reason::MailboxFull);
        let verdict = report.verdict.clone();
        assert_eq!(store.record(inbound(vec![report])).await.unwrap(), [Recorded::New], "{standing}");
        let found = store.find(first(1)).await.unwrap().unwrap();
        assert_eq!((found.state, found.bounced), (state, verdict.filter(|_| is_booked)), "{standing}");
        assert_eq!(handed_out(&*store, NOON).await, [event_id(1)], "{standing}: it is told in any case");
    }
}

pub(crate) async fn a_bounce_frees_the_body_and_stops_the_queue(site: &dyn Site) {
    let store = site.open().await;
    let body = BodyId::of(&message(1, "example.net").body);
    bring(&*store, 1, "uncertain, queued").await;
    assert!(store.body(body).await.unwrap().is_some());
    store.record(inbound(vec![bounce(1, first(1), Reason::UserUnknown)])).await.unwrap();
    assert_eq!(store.body(body).await.unwrap(), None);
    assert_eq!(claim(&*store, NOON + 2 * DAY).await, [], "not sent again");
    assert!(store.recover(NOON, NOON).await.unwrap().in_flight.is_empty());
}

pub(crate) async fn the_first_bounce_stays_unless_a_graver_one_comes(site: &dyn Site) {
    let store = site.open().await;
    bring(&*store, 1, "delivered").await;
    let reasons = [Reason::MailboxFull, Reason::Spam, Reason::UserUnknown, Reason::MailboxFull];
    let booked = [Reason::MailboxFull, Reason::MailboxFull, Reason::UserUnknown, Reason::UserUnknown];
    for (n, (reason, booked)) in (1..).zip(reasons.into_iter().zip(booked)) {
        store.record(inbound(vec![bounce(n, first(1), reason)])).await.unwrap();
        let found = store.find(first(1)).await.unwrap().unwrap();
        assert_eq!(found.bounced.map(|verdict| verdict.reason), Some(booked), "bounce {n}");
    }
}

pub(crate) async fn a_bounce_that_overtakes_its_settlement_is_kept(site: &dyn Site) {
    let uncertain = |settled| Settlement {
        last: Some(attempt(Outcome::Uncertain, Reason::Network)),
        events: vec![event(2, first(1), EventKind::Uncertain)],
        ..settlement(first(1), settled)
    };
    let refused = settlement(first(1), Settled::Queued(NOON));
    for (settlement, state) in [
        (settlement(first(1), Settled::Delivered), State::Delivered),
        // The reply was lost, but a bounce proves that the mail was taken: it is not sent again.
        (uncertain(Settled::Queued(NOON)), State::Delivered),
        (uncertain(Settled::Held), State::Delivered),
        (refused, State::Queued),
    ] {
        let store = site.open().await;
        in_flight(&*store, 1).await;
        store.record(inbound(vec![bounce(1, first(1), Reason::UserUnknown)])).await.unwrap();
        store.settle(vec![settlement]).await.unwrap();
        let found = store.find(first(1)).await.unwrap().unwrap();
        assert_eq!((found.state, found.bounced.is_some()), (state, true));
    }
}

pub(crate) async fn a_mere_claim_is_told_and_not_booked(site: &dyn Site) {
    let store = site.open().await;
    bring(&*store, 1, "delivered").await;
    let claimed = |event| EventRecord { trust: Some(Trust::Claimed), ..event };
    let events =
        vec![claimed(bounce(1, first(1), Reason::UserUnknown)), claimed(event(2, first(1), EventKind::Complaint))];
    assert_eq!(store.record(inbound(events)).await.unwrap(), [Recorded::New; 2]);
    assert_eq!(store.find(first(1)).await.unwrap().unwrap().bounced, None);
    let marked = EventRecord { trust: Some(Trust::Marked), ..bounce(3, first(1), Reason::UserUnknown) };
    store.record(inbound(vec![marked])).await.unwrap();
    assert!(store.find(first(1)).await.unwrap().unwrap().bounced.is_some());
}
