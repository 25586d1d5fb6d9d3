//! The queue to the handler.

use super::*;
use crate::store::{Acknowledgement, Answer, ReplayRequest};

async fn answer(store: &dyn Store, n: u8, answer: Answer) {
    let sequence = sequence_of(store, event_id(n)).await;
    store.acknowledge(vec![Acknowledgement { sequence, answer }]).await.unwrap();
}

fn again(at: Timestamp) -> Answer {
    Answer::Again { at, attempts: 1, error: "database is down".into() }
}

fn dead() -> Answer {
    Answer::Dead { attempts: 12, error: "no such subscriber".into() }
}

async fn record(store: &dyn Store, events: Vec<EventRecord>) {
    store.record(inbound(events)).await.unwrap();
}

pub(crate) async fn events_of_one_delivery_come_one_by_one(site: &dyn Site) {
    let store = site.open().await;
    let raw: Arc<[u8]> = (*b"From: a\r\n\r\n\xff").into();
    let other = EventRecord {
        delivery: None,
        raw: Some(raw),
        text: Some("тест".into()),
        ..event(4, first(1), EventKind::Other)
    };
    let events = vec![
        event(1, first(1), EventKind::Delay),
        event(2, first(1), EventKind::Bounce),
        event(3, first(2), EventKind::Bounce),
        other.clone(),
    ];
    record(&*store, events).await;
    let due = store.claim_events(100, vec![], NOON).await.unwrap();
    assert_eq!(due.iter().map(|event| event.record.id).collect::<Vec<_>>(), [event_id(1), event_id(3), event_id(4)]);
    assert_eq!((&due[2].record, due[2].attempts), (&other, 0), "all that the event says, with its raw mail");
    assert!(due.is_sorted_by_key(|event| event.sequence));
    assert_eq!(store.claim_events(2, vec![], NOON).await.unwrap().len(), 2, "no more than asked for");

    answer(&*store, 1, again(NOON + MINUTE)).await;
    assert_eq!(handed_out(&*store, NOON).await, [event_id(3), event_id(4)], "the younger one waits with the elder");
    let due = store.claim_events(1, vec![], NOON + MINUTE).await.unwrap();
    assert_eq!((due[0].record.id, due[0].attempts), (event_id(1), 1));
    assert_eq!(due[0].error.as_deref(), Some("database is down"));
    answer(&*store, 1, Answer::Done).await;
    assert_eq!(handed_out(&*store, NOON).await, [event_id(2), event_id(3), event_id(4)]);
    for n in [2, 3, 4] {
        answer(&*store, n, Answer::Done).await;
    }
    assert_eq!(handed_out(&*store, Timestamp::MAX).await, []);
}

pub(crate) async fn a_dead_letter_blocks_nothing(site: &dyn Site) {
    let store = site.open().await;
    record(&*store, vec![event(1, first(1), EventKind::Delay), event(2, first(1), EventKind::Bounce)]).await;
    let sequence = sequence_of(&*store, event_id(1)).await;
    answer(&*store, 1, dead()).await;
    assert_eq!(handed_out(&*store, NOON).await, [event_id(2)]);
    let letters = store.dead_letters(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].record.id, letters[0].attempts, letters[0].sequence), (event_id(1), 12, sequence));
    assert_eq!(letters[0].error.as_deref(), Some("no such subscriber"));
    // An answer that comes twice, or too late, changes nothing.
    store.acknowledge(vec![Acknowledgement { sequence, answer: Answer::Done }]).await.unwrap();
    store.acknowledge(vec![Acknowledgement { sequence, answer: again(NOON) }]).await.unwrap();
    assert_eq!(store.dead_letters(10).await.unwrap().len(), 1);
    assert_eq!(handed_out(&*store, NOON).await, [event_id(2)]);
}

pub(crate) async fn what_is_busy_is_left_out(site: &dyn Site) {
    let store = site.open().await;
    record(
        &*store,
        vec![
            event(1, first(1), EventKind::Delay),
            event(2, first(1), EventKind::Bounce),
            event(3, first(2), EventKind::Bounce),
        ],
    )
    .await;
    let busy = vec![sequence_of(&*store, event_id(1)).await];
    let due = store.claim_events(1, busy.clone(), NOON).await.unwrap();
    assert_eq!(due[0].record.id, event_id(3));
    let all = vec![busy[0], due[0].sequence];
    assert!(store.claim_events(1, all.clone(), NOON).await.unwrap().is_empty());
    assert_eq!(store.next_event_due(all).await.unwrap(), None);
}

pub(crate) async fn failing_and_new_events_share_the_handler(site: &dyn Site) {
    let store = site.open().await;
    let events = |range: std::ops::RangeInclusive<u8>| {
        range.map(|n| event(n, first(n.into()), EventKind::Bounce)).collect::<Vec<_>>()
    };
    record(&*store, events(1..=20)).await;
    for n in 1..=20 {
        answer(&*store, n, again(NOON)).await;
    }
    record(&*store, events(21..=40)).await;
    let attempts = |due: Vec<crate::store::PendingEvent>| due.iter().map(|event| event.attempts).collect::<Vec<_>>();
    let due = store.claim_events(4, vec![], NOON).await.unwrap();
    assert_eq!(attempts(due), [1, 1, 0, 0]);
    for n in 21..=39 {
        answer(&*store, n, Answer::Done).await;
    }
    let due = store.claim_events(4, vec![], NOON).await.unwrap();
    assert_eq!(attempts(due), [1, 1, 1, 0], "where one kind is short, the other has its room");
}

pub(crate) async fn a_clock_that_was_set_back_hides_no_event(site: &dyn Site) {
    let store = site.open().await;
    record(&*store, vec![EventRecord { at: NOON + DAY, ..event(1, first(1), EventKind::Bounce) }]).await;
    assert_eq!(handed_out(&*store, NOON).await, [event_id(1)]);
}

pub(crate) async fn replay_hands_out_the_same_events_again(site: &dyn Site) {
    let store = site.open().await;
    let at = |n: u8, at| EventRecord { at, ..event(n, first(n.into()), EventKind::Bounce) };
    record(&*store, vec![at(1, NOON), at(2, NOON + MINUTE), at(3, NOON + 2 * MINUTE), at(4, NOON + MINUTE)]).await;
    for n in [1, 2, 3] {
        answer(&*store, n, Answer::Done).await;
    }
    answer(&*store, 4, again(NOON + DAY)).await;
    let range = NOON + MINUTE..NOON + 2 * MINUTE;
    let replayed = store.replay(ReplayRequest { range, dead_only: false }, NOON + DAY).await.unwrap();
    assert_eq!(replayed, 1, "one of them is pending anyway");
    let due = store.claim_events(10, vec![], NOON + DAY).await.unwrap();
    let seen: Vec<_> = due.iter().map(|event| (event.record.id, event.attempts)).collect();
    assert_eq!(seen, [(event_id(2), 0), (event_id(4), 1)]);
}

pub(crate) async fn replay_of_dead_letters_leaves_the_others(site: &dyn Site) {
    let store = site.open().await;
    let events = (1..=3).map(|n| event(n, first(n.into()), EventKind::Bounce)).collect();
    record(&*store, events).await;
    answer(&*store, 1, Answer::Done).await;
    answer(&*store, 2, dead()).await;
    let everything = Timestamp::EPOCH..Timestamp::MAX;
    let replayed = store.replay(ReplayRequest { range: everything, dead_only: true }, NOON).await.unwrap();
    assert_eq!(replayed, 1);
    assert_eq!(handed_out(&*store, NOON).await, [event_id(2), event_id(3)]);
    assert!(store.dead_letters(10).await.unwrap().is_empty());
}

pub(crate) async fn an_elder_event_that_is_replayed_goes_first(site: &dyn Site) {
    let store = site.open().await;
    let kinds = [EventKind::Delay, EventKind::Delivered, EventKind::Bounce];
    record(&*store, (1..).zip(kinds).map(|(n, kind)| event(n, first(1), kind)).collect()).await;
    answer(&*store, 1, Answer::Done).await;
    let second = sequence_of(&*store, event_id(2)).await;
    let everything = Timestamp::EPOCH..Timestamp::MAX;
    store.replay(ReplayRequest { range: everything, dead_only: false }, NOON).await.unwrap();
    assert!(store.claim_events(10, vec![second], NOON).await.unwrap().is_empty(), "its delivery is busy");
    assert_eq!(handed_out(&*store, NOON).await, [event_id(1)]);
    store.acknowledge(vec![Acknowledgement { sequence: second, answer: Answer::Done }]).await.unwrap();
    answer(&*store, 1, Answer::Done).await;
    assert_eq!(handed_out(&*store, NOON).await, [event_id(3)]);
}

pub(crate) async fn the_next_event_is_known(site: &dyn Site) {
    let store = site.open().await;
    assert_eq!(store.next_event_due(vec![]).await.unwrap(), None);
    record(&*store, vec![event(1, first(1), EventKind::Bounce), event(2, first(2), EventKind::Bounce)]).await;
    answer(&*store, 1, again(NOON + DAY)).await;
    assert!(store.next_event_due(vec![]).await.unwrap().unwrap() <= NOON);
    let second = sequence_of(&*store, event_id(2)).await;
    assert_eq!(store.next_event_due(vec![second]).await.unwrap(), Some(NOON + DAY));
}
