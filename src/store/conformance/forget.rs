//! After an address was forgotten, nothing that a store answers names it, and nobody else has lost anything.

use super::*;
use crate::address::Address;
use crate::store::spellings::Spellings;
use crate::store::{Acknowledgement, Answer, BodyId, Recorded, ReplayRequest, Retention, State};
use crate::verdict::Reason;

const EVER: std::ops::Range<Timestamp> = Timestamp::EPOCH..Timestamp::MAX;

fn ann() -> Address {
    "ann@example.net".parse().unwrap()
}

/// A message to the address, which it names in all that belongs to it, in other letters than it is forgotten by.
fn theirs(n: u64) -> NewMessage {
    let mut message = message(n, "example.net");
    message.deliveries[0].recipient = "Ann@EXAMPLE.net".parse().unwrap();
    message.body = format!("To: ann@example.net\r\n\r\nNumber {n}.\r\n").into_bytes().into();
    message.metadata = Some(r#"{"who":"ANN@example.net"}"#.into());
    message
}

/// The text in front of the address differs from event to event, so that each is told apart when blanked.
fn naming(event: EventRecord, spelling: &str) -> EventRecord {
    let text = format!("550 5.1.1 <{spelling}>: no such user");
    EventRecord {
        text: Some(text),
        raw: Some(format!("Final-Recipient: rfc822; {spelling}\r\n").into_bytes().into()),
        ..event
    }
}

/// Whether anything that the store answers names the address.
async fn is_named(store: &dyn Store, address: &Address, numbers: std::ops::RangeInclusive<u64>) -> bool {
    let spellings = Spellings::of(address);
    let names = |text: String| spellings.is_in(text.as_bytes());
    let mut named = false;
    for letter in store.dead_letters(1000).await.unwrap() {
        named |= names(serde_json::to_string(&letter.record).unwrap()) || letter.error.is_some_and(names);
    }
    store.replay(ReplayRequest { range: EVER, dead_only: false }, NOON).await.unwrap();
    // One of each delivery at a time.
    loop {
        let events = store.claim_events(1000, vec![], Timestamp::MAX).await.unwrap();
        if events.is_empty() {
            break;
        }
        let mut answers = Vec::new();
        for event in events {
            named |= names(serde_json::to_string(&event.record).unwrap()) || event.error.is_some_and(names);
            named |= event.record.raw.is_some_and(|raw| spellings.is_in(&raw));
            answers.push(Acknowledgement { sequence: event.sequence, answer: Answer::Done });
        }
        store.acknowledge(answers).await.unwrap();
    }
    for n in numbers {
        named |= names(format!("{:?}", store.find(first(n)).await.unwrap()));
    }
    for claimed in store.claim(request(NOON + DAY)).await.unwrap() {
        named |= names(format!("{claimed:?}"));
    }
    named
}

/// Deliveries in each state, events of each kind and state, and others that name the address.
async fn fill(store: &dyn Store) {
    enqueue_leased(store, (1..=6).map(theirs).collect()).await;
    enqueue(store, vec![theirs(7)]).await;
    in_flight(store, 20).await;
    enqueue_leased(store, vec![NewMessage { metadata: theirs(21).metadata, ..message(21, "example.org") }]).await;
    assert_eq!(store.begin(vec![first(3), first(4)]).await.unwrap(), [first(3), first(4)]);
    let about =
        |n, of| EventRecord { recipient: Some(ann()), ..naming(event(n, of, EventKind::Fail), "ANN@example.net") };
    let end = |n: u64, state| Settlement { events: vec![about(n as u8, first(n))], ..settlement(first(n), state) };
    store.settle(vec![end(1, Settled::Failed), end(2, Settled::Delivered), end(3, Settled::Held)]).await.unwrap();
    let other = Settlement {
        last: Some(LastAttempt {
            text: Some("550 not after <ann@example.net>".into()),
            ..attempt(Outcome::Delayed, Reason::MailboxFull)
        }),
        ..settlement(first(21), Settled::Queued(NOON + MINUTE))
    };
    store.settle(vec![other, settlement(first(20), Settled::Delivered)]).await.unwrap();
    let report =
        EventRecord { recipient: Some(ann()), ..naming(bounce(30, first(2), Reason::Spam), "ann@example.net") };
    let quoting = naming(bounce(31, first(20), Reason::UserUnknown), "\"Ann\"@example.net");
    let stray = EventRecord { delivery: None, recipient: Some(ann()), ..event(32, first(1), EventKind::Complaint) };
    let behind = event(33, first(20), EventKind::Other);
    store.record(inbound(vec![report, quoting, stray, behind])).await.unwrap();
    let sequence = sequence_of(store, event_id(31)).await;
    let answer = Answer::Dead { attempts: 9, error: "no row for ann@example.net".into() };
    store.acknowledge(vec![Acknowledgement { sequence, answer }]).await.unwrap();
}

pub(crate) async fn nothing_names_an_address_that_was_forgotten(site: &dyn Site) {
    let store = site.open().await;
    fill(&*store).await;
    assert!(store.forget(&ann(), NOON).await.unwrap() >= 14);
    assert_eq!(store.open_work().await.unwrap(), (1, 1), "one delivery of others waits, and one event of theirs");
    for n in 1..=7 {
        assert!(store.find(first(n)).await.unwrap().is_none(), "{n}");
        assert!(store.body(BodyId::of(&theirs(n).body)).await.unwrap().is_none(), "{n}");
    }
    let other = store.find(first(21)).await.unwrap().unwrap();
    assert_eq!(other.state, State::Queued, "others are not touched");
    assert_eq!(other.last.unwrap().text.unwrap(), "550 not after <forgotten@forgotten.invalid>");
    let letter = store.dead_letters(9).await.unwrap().remove(0);
    assert_eq!((letter.record.id, letter.record.raw), (event_id(31), None));
    assert!(!is_named(&*store, &ann(), 1..=30).await);
    assert_eq!(store.forget(&ann(), NOON).await.unwrap(), 0);
}

/// That the look above finds what is there.
pub(crate) async fn what_names_an_address_is_found_before(site: &dyn Site) {
    let store = site.open().await;
    fill(&*store).await;
    assert!(is_named(&*store, &ann(), 1..=30).await);
}

pub(crate) async fn what_is_heard_late_of_a_forgotten_delivery_is_not_stored(site: &dyn Site) {
    let store = site.open().await;
    enqueue_leased(&*store, vec![theirs(1), theirs(2), theirs(3)]).await;
    assert_eq!(store.begin(vec![first(1), first(2)]).await.unwrap(), [first(1), first(2)]);
    store.forget(&ann(), NOON).await.unwrap();
    // What is under way comes to its end, and what comes back late is taken.
    let late = naming(bounce(1, first(1), Reason::UserUnknown), "ann@example.net");
    let told = EventRecord { recipient: Some(ann()), ..event(2, first(2), EventKind::Fail) };
    store.settle(vec![Settlement { events: vec![told], ..settlement(first(2), Settled::Failed) }]).await.unwrap();
    settle(&*store, first(1), Settled::Delivered).await;
    assert_eq!(store.record(inbound(vec![late.clone()])).await.unwrap(), [Recorded::Repeated]);
    assert!(store.begin(vec![first(3)]).await.unwrap().is_empty());
    assert_eq!(store.open_work().await.unwrap(), (0, 0));
    assert!(!is_named(&*store, &ann(), 1..=3).await);
    // Also by another process, which has not forgotten anything itself.
    let store = site.crash(store).await;
    assert_eq!(store.record(inbound(vec![late.clone()])).await.unwrap(), [Recorded::Repeated]);
    // The numbers stay as long as a return path is honoured.
    let kept = Retention { journal: 90 * DAY, events: DAY, raw: DAY };
    store.purge(kept, NOON + 89 * DAY).await.unwrap();
    assert_eq!(store.record(inbound(vec![late.clone()])).await.unwrap(), [Recorded::Repeated]);
    store.purge(kept, NOON + 91 * DAY).await.unwrap();
    assert_eq!(store.record(inbound(vec![late])).await.unwrap(), [Recorded::New]);
}

pub(crate) async fn other_recipients_get_their_mail(site: &dyn Site) {
    let store = site.open().await;
    let mut shared = message_to(1, &["example.net", "example.org"]);
    shared.deliveries[0].recipient = ann();
    let body = BodyId::of(&shared.body);
    enqueue_leased(&*store, vec![shared]).await;
    assert_eq!(store.forget(&ann(), NOON).await.unwrap(), 1);
    let other = delivery(102);
    assert!(store.body(body).await.unwrap().is_some());
    assert_eq!(store.begin(vec![first(1), other]).await.unwrap(), [other]);
    store.settle(vec![settlement(other, Settled::Delivered)]).await.unwrap();
    assert!(store.body(body).await.unwrap().is_none(), "gone with the last that waited for it");
    assert_eq!(store.forget(&ann(), NOON + MINUTE).await.unwrap(), 0);
}

pub(crate) async fn an_address_that_only_looks_like_it_stays(site: &dyn Site) {
    let store = site.open().await;
    let mut others = vec![message(1, "example.net"), message(2, "example.net")];
    others[0].deliveries[0].recipient = "joann@example.net".parse().unwrap();
    others[1].deliveries[0].recipient = "ann@example.net.example".parse().unwrap();
    enqueue(&*store, others).await;
    let about = naming(event(1, first(1), EventKind::Other), "joann@example.net");
    store.record(inbound(vec![about.clone()])).await.unwrap();
    assert_eq!(store.forget(&ann(), NOON).await.unwrap(), 0);
    assert_eq!(claim(&*store, NOON).await, [first(1), first(2)]);
    assert_eq!(store.claim_events(9, vec![], NOON).await.unwrap()[0].record, about);
}

pub(crate) async fn what_stood_behind_a_forgotten_event_is_free(site: &dyn Site) {
    let store = site.open().await;
    in_flight(&*store, 1).await;
    let about = EventRecord { recipient: Some(ann()), ..event(1, first(1), EventKind::Other) };
    store.record(inbound(vec![about, event(2, first(1), EventKind::Other)])).await.unwrap();
    assert_eq!(handed_out(&*store, NOON).await, [event_id(1)]);
    store.forget(&ann(), NOON).await.unwrap();
    assert_eq!(handed_out(&*store, NOON).await, [event_id(2)]);
}

pub(crate) async fn the_high_water_mark_outlives_what_was_forgotten(site: &dyn Site) {
    let store = site.open().await;
    enqueue(&*store, vec![theirs(7)]).await;
    store.forget(&ann(), NOON).await.unwrap();
    assert_eq!(store.recover(NOON, NOON).await.unwrap().high_water, first(7).as_u64());
}
