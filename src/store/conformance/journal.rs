//! The memory: counts, purge, keys, forms.

use super::*;
use crate::store::{
    Acknowledgement, Answer, BodyId, Count, CountBy, Idempotency, PathForm, ReplayRequest, Retention, State, StoredKey,
};

const EVER: std::ops::Range<Timestamp> = Timestamp::EPOCH..Timestamp::MAX;
const KEPT: Retention =
    Retention { journal: Duration::from_secs(90 * 86_400), events: DAY, raw: Duration::from_secs(3600) };

fn line(counts: &[Count], name: &str) -> Count {
    counts.iter().find(|count| count.name == name).cloned().unwrap_or_default()
}

/// A store with one delivery in each state that counts apart.
async fn a_day(site: &dyn Site) -> Arc<dyn Store> {
    let store = site.open().await;
    let spring = |n, to: &str| NewMessage { mailing: Some("spring".into()), ..message(n, to) };
    let messages = vec![
        spring(1, "a.example"),
        spring(2, "a.example"),
        spring(3, "b.example"),
        message(4, "b.example"),
        message(5, "b.example"),
    ];
    enqueue_leased(&*store, messages).await;
    for (n, state) in [(1, Settled::Delivered), (2, Settled::Failed), (3, Settled::Delivered), (4, Settled::Held)] {
        settle(&*store, first(n), state).await;
    }
    store
}

pub(crate) async fn what_another_program_sends_is_remembered_at_once(site: &dyn Site) {
    let store = site.open().await;
    let sent = NewMessage { sent_elsewhere: true, ..message(1, "a.example") };
    store.enqueue(vec![sent.clone()], NOON, None).await.unwrap();
    assert_eq!(store.open_work().await.unwrap(), (0, 0));
    assert_eq!(store.next_due().await.unwrap(), None);
    assert_eq!(store.find(first(1)).await.unwrap().unwrap().state, State::Delivered);
    assert!(store.body(BodyId::of(&sent.body)).await.unwrap().is_none(), "its content is not needed here");
    store.record(inbound(vec![bounce(1, first(1), Reason::UserUnknown)])).await.unwrap();
    let counts = store.count(CountBy::Domain, EVER).await.unwrap();
    assert_eq!(line(&counts, "a.example").bounced, 1);
}

pub(crate) async fn a_late_bounce_moves_its_delivery(site: &dyn Site) {
    let store = a_day(site).await;
    let a = Count { name: "a.example".into(), queued: 2, delivered: 1, failed: 1, ..Count::default() };
    let b = Count { name: "b.example".into(), queued: 3, delivered: 1, open: 2, ..Count::default() };
    assert_eq!(store.count(CountBy::Domain, EVER).await.unwrap(), [b.clone(), a.clone()], "the largest first");
    let reasons = store.count(CountBy::Reason, EVER).await.unwrap();
    assert_eq!(reasons, [Count { name: "user_unknown".into(), queued: 1, failed: 1, ..Count::default() }]);

    let bounces = vec![
        bounce(1, first(3), Reason::MailboxFull),
        bounce(2, first(3), Reason::Spam),
        event(3, first(1), EventKind::Complaint),
        event(4, first(1), EventKind::Complaint),
    ];
    store.record(inbound(bounces)).await.unwrap();
    let counts = store.count(CountBy::Domain, EVER).await.unwrap();
    assert_eq!(line(&counts, "b.example"), Count { delivered: 0, bounced: 1, ..b });
    assert_eq!(line(&counts, "a.example"), Count { complained: 1, ..a });
    let counts = store.count(CountBy::Mailing, EVER).await.unwrap();
    let spring = Count { queued: 3, delivered: 1, failed: 1, bounced: 1, complained: 1, ..Count::default() };
    assert_eq!(line(&counts, "spring"), Count { name: "spring".into(), ..spring });
    assert_eq!(line(&counts, ""), Count { queued: 2, open: 2, ..Count::default() });
    let counts = store.count(CountBy::Reason, EVER).await.unwrap();
    assert_eq!(line(&counts, "mailbox_full").bounced, 1);
    assert_eq!(counts.iter().map(|count| count.failed + count.bounced).sum::<u64>(), 2, "nothing counts twice");
}

pub(crate) async fn deliveries_count_when_they_were_queued(site: &dyn Site) {
    let store = site.open().await;
    for (n, day) in [(1, 0), (2, 1), (3, 2)] {
        store.enqueue(vec![message(n, "example.net")], NOON + day * DAY, Some(NOON)).await.unwrap();
        settle(&*store, first(n), Settled::Delivered).await;
    }
    let late = EventRecord { at: NOON + 20 * DAY, ..bounce(1, first(2), Reason::UserUnknown) };
    store.record(inbound(vec![late])).await.unwrap();
    let second_day = store.count(CountBy::Domain, NOON + DAY..NOON + 2 * DAY).await.unwrap();
    assert_eq!(second_day, [Count { name: "example.net".into(), queued: 1, bounced: 1, ..Count::default() }]);
    assert_eq!(store.count(CountBy::Domain, NOON + 3 * DAY..Timestamp::MAX).await.unwrap(), []);
}

pub(crate) async fn open_work_is_what_ends_by_itself(site: &dyn Site) {
    let store = site.open().await;
    assert_eq!(store.open_work().await.unwrap(), (0, 0));
    enqueue(&*store, vec![message(1, "example.net")]).await;
    enqueue_leased(&*store, (2..=4).map(|n| message(n, "example.net")).collect()).await;
    store.begin(vec![first(3), first(4)]).await.unwrap();
    assert_eq!(store.open_work().await.unwrap(), (4, 0));
    settle(&*store, first(4), Settled::Held).await;
    settle(&*store, first(2), Settled::Delivered).await;
    assert_eq!(store.open_work().await.unwrap(), (2, 0));
    store.record(inbound((1..=3).map(|n| event(n, first(2), EventKind::Other)).collect())).await.unwrap();
    assert_eq!(store.open_work().await.unwrap(), (2, 3));
    let sequence = sequence_of(&*store, event_id(1)).await;
    let answer = Answer::Dead { attempts: 1, error: "no".into() };
    store.acknowledge(vec![Acknowledgement { sequence, answer }]).await.unwrap();
    assert_eq!(store.open_work().await.unwrap(), (2, 2));
    store.recover(NOON, NOON + DAY).await.unwrap();
    assert_eq!(store.open_work().await.unwrap(), (2, 2), "recovered deliveries are open, and count once");
}

pub(crate) async fn purge_keeps_what_is_open_or_young(site: &dyn Site) {
    let store = site.open().await;
    enqueue_leased(&*store, (1..=3).map(|n| message(n, "example.net")).collect()).await;
    settle(&*store, first(1), Settled::Delivered).await;
    store.enqueue(vec![message(4, "example.net")], NOON + 80 * DAY, Some(NOON)).await.unwrap();
    settle(&*store, first(4), Settled::Failed).await;
    settle(&*store, first(3), Settled::Held).await;
    let raw = |n: u8| EventRecord { raw: Some((*b"raw").into()), ..event(n, first(n.into()), EventKind::Other) };
    store.record(inbound(vec![raw(1), raw(2), raw(3)])).await.unwrap();
    let first_sequence = sequence_of(&*store, event_id(1)).await;
    let second_sequence = sequence_of(&*store, event_id(2)).await;
    let answer = Answer::Dead { attempts: 1, error: "no".into() };
    let done = Acknowledgement { sequence: first_sequence, answer: Answer::Done };
    store.acknowledge(vec![done, Acknowledgement { sequence: second_sequence, answer }]).await.unwrap();

    assert_eq!(store.purge(KEPT, NOON + MINUTE).await.unwrap(), 0, "everything is young");
    // The raw mail of the two that are answered goes; the third has not been handed over.
    assert_eq!(store.purge(KEPT, NOON + DAY / 2).await.unwrap(), 2);
    assert_eq!(store.claim_events(9, vec![], NOON).await.unwrap()[0].record, raw(3));
    // The event that was done goes; a dead letter stays until somebody has looked.
    assert_eq!(store.purge(KEPT, NOON + 2 * DAY).await.unwrap(), 1);
    let letters = store.dead_letters(9).await.unwrap();
    assert_eq!((letters.len(), &letters[0].record.raw), (1, &None));
    assert_eq!(store.replay(ReplayRequest { range: EVER, dead_only: false }, NOON).await.unwrap(), 1);

    let gone = store.purge(KEPT, NOON + 91 * DAY).await.unwrap();
    assert!(gone >= 2, "a delivery and its message, {gone}");
    assert!(store.find(first(1)).await.unwrap().is_none());
    for (n, state) in [(2, State::Leased), (3, State::Held), (4, State::Failed)] {
        assert_eq!(store.find(first(n)).await.unwrap().unwrap().state, state, "{n}");
    }
    assert!(store.body(BodyId::of(&message(2, "example.net").body)).await.unwrap().is_some());
    assert_eq!(store.recover(NOON, NOON).await.unwrap().high_water, first(4).as_u64());
}

pub(crate) async fn purge_forgets_the_key_with_its_message(site: &dyn Site) {
    let store = site.open().await;
    let keyed = |n, to: &[&str]| NewMessage {
        idempotency: Some(Idempotency { key: "k".into(), fingerprint: [1; 32] }),
        ..message_to(n, to)
    };
    enqueue_leased(&*store, vec![keyed(1, &["a.example", "b.example"])]).await;
    settle(&*store, delivery(101), Settled::Delivered).await;
    let late = NOON + 100 * DAY;
    store.purge(KEPT, late).await.unwrap();
    let answer = store.enqueue(vec![keyed(2, &["a.example"])], late, None).await.unwrap();
    assert!(matches!(answer[..], [Enqueued::Repeated { .. }]), "one recipient is still open: {answer:?}");
    settle(&*store, delivery(102), Settled::Delivered).await;
    store.purge(KEPT, late).await.unwrap();
    assert_eq!(store.enqueue(vec![keyed(3, &["a.example"])], late, None).await.unwrap(), [Enqueued::New]);
}

pub(crate) async fn purge_takes_many_rows_in_steps(site: &dyn Site) {
    let store = site.open().await;
    enqueue_leased(&*store, (1..=1300).map(|n| message(n, "example.net")).collect()).await;
    let odd = (1..=1300).filter(|n| n % 2 == 1);
    store.settle(odd.map(|n| settlement(first(n), Settled::Delivered)).collect()).await.unwrap();
    assert_eq!(store.purge(KEPT, NOON + 91 * DAY).await.unwrap(), 1300, "650 deliveries and their messages");
    let left = store.count(CountBy::Domain, EVER).await.unwrap();
    assert_eq!((left[0].queued, left[0].open), (650, 650));
}

pub(crate) async fn a_foreign_key_changes_nothing(site: &dyn Site) {
    let store = site.open().await;
    let key = |id, fingerprint: u8, state: &str| StoredKey {
        id,
        fingerprint: [fingerprint; 16],
        secret: Some([fingerprint; 32]),
        state: state.into(),
        since: NOON,
    };
    store.save_keys(vec![key(1, 1, "accept"), StoredKey { secret: None, ..key(63, 2, "mint") }]).await.unwrap();
    let foreign = store.save_keys(vec![key(1, 1, "retire"), key(63, 9, "mint"), key(5, 5, "mint")]).await;
    assert!(matches!(foreign, Err(StoreError::ForeignKey { id: 63 })), "{foreign:?}");
    assert_eq!(store.keys().await.unwrap(), [key(1, 1, "accept"), StoredKey { secret: None, ..key(63, 2, "mint") }]);
    store.save_keys(vec![key(1, 1, "retire")]).await.unwrap();
    assert_eq!(store.keys().await.unwrap()[0], key(1, 1, "retire"));
}

pub(crate) async fn a_key_only_goes_forward(site: &dyn Site) {
    let store = site.open().await;
    let key = |id, state: &str, since| StoredKey {
        id,
        fingerprint: [id; 16],
        secret: Some([id; 32]),
        state: state.into(),
        since,
    };
    store.save_keys(vec![key(0, "mint", NOON)]).await.unwrap();
    let ahead = [key(0, "retire", NOON + DAY), key(1, "mint", NOON + DAY)];
    store.save_keys(ahead.to_vec()).await.unwrap();
    // One that has slept since then brings its own key, and sets none back.
    store.save_keys(vec![key(0, "mint", NOON), key(2, "accept", NOON + DAY)]).await.unwrap();
    store.save_keys(vec![key(1, "accept", NOON)]).await.unwrap();
    let [retired, minting] = ahead;
    assert_eq!(store.keys().await.unwrap(), [retired.clone(), minting.clone(), key(2, "accept", NOON + DAY)]);
    // The same state again is no change: its time is the first one.
    store.save_keys(vec![key(0, "retire", NOON + 2 * DAY)]).await.unwrap();
    assert_eq!(store.keys().await.unwrap()[0], retired);
    // The ring moved into a file.
    store.save_keys(vec![StoredKey { secret: None, ..minting.clone() }]).await.unwrap();
    assert_eq!(store.keys().await.unwrap()[1], StoredKey { secret: None, ..minting });
}

pub(crate) async fn forms_remember_their_last_use(site: &dyn Site) {
    let store = site.open().await;
    let form = |prefix: &str, last_used| PathForm {
        domain: "b.example.org".into(),
        prefix: prefix.into(),
        separator: "+".into(),
        last_used,
    };
    store.record_forms(vec![form("b", NOON), form("x", NOON)]).await.unwrap();
    store.record_forms(vec![form("b", NOON + DAY), form("x", NOON - DAY)]).await.unwrap();
    assert_eq!(store.forms().await.unwrap(), [form("b", NOON + DAY), form("x", NOON)]);
}

pub(crate) async fn a_closed_store_says_so(site: &dyn Site) {
    let store = site.open().await;
    let accepted: Vec<_> = (1..=5)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.enqueue(vec![message(n, "example.net")], NOON, None).await })
        })
        .collect();
    for call in accepted {
        call.await.unwrap().unwrap();
    }
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.find(first(1)).await, Err(StoreError::Closed)));
    assert!(matches!(store.enqueue(vec![message(9, "example.net")], NOON, None).await, Err(StoreError::Closed)));
}
