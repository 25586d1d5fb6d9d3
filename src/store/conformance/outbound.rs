//! The way out: queueing, claiming, the in-flight set, settlements.

use super::*;
use crate::store::{BodyId, Idempotency, State};
use crate::tag::Tag;

pub(crate) async fn a_claim_gives_all_that_sending_needs(site: &dyn Site) {
    let store = site.open().await;
    let sent = NewMessage {
        smtputf8: true,
        eight_bit: true,
        tag: Some(Tag::from(4711)),
        mailing: Some("spring".into()),
        metadata: Some("{\"order\":17}".into()),
        stream: Stream::Bulk,
        expires: Timestamp::MAX,
        own_deadline: true,
        ..message(1, "example.net")
    };
    enqueue(&*store, vec![sent.clone()]).await;
    let claimed = store.claim(request(NOON)).await.unwrap().pop().unwrap();
    let to = &sent.deliveries[0];
    assert_eq!((claimed.id, claimed.message), (to.id, sent.id));
    assert_eq!((&claimed.recipient, &claimed.return_path), (&to.recipient, &to.return_path));
    assert_eq!((&claimed.prefix, &claimed.destination), (&to.prefix, &to.destination));
    assert_eq!((claimed.body, claimed.body_size), (BodyId::of(&sent.body), sent.body.len() as u64));
    assert_eq!((claimed.smtputf8, claimed.eight_bit, claimed.own_deadline), (true, true, true));
    assert_eq!(claimed.tag.map(|tag| tag.to_string()), Some("4711".to_string()), "a number stays a number");
    assert_eq!((claimed.mailing, claimed.metadata), (sent.mailing, sent.metadata));
    assert_eq!((claimed.stream, claimed.queued_at, claimed.expires), (Stream::Bulk, NOON, Timestamp::MAX));
    assert_eq!((claimed.attempts, claimed.delays_told, claimed.last), (0, 0, None));
    assert_eq!(store.body(claimed.body).await.unwrap().as_deref(), Some(&*sent.body));
    assert_eq!(store.body(BodyId([7; 32])).await.unwrap(), None);
}

pub(crate) async fn a_lease_is_due_when_it_ends(site: &dyn Site) {
    let store = site.open().await;
    enqueue_leased(&*store, vec![message(1, "example.net")]).await;
    assert_eq!(store.find(first(1)).await.unwrap().unwrap().state, State::Leased);
    assert_eq!(claim(&*store, NOON).await, []);
    assert_eq!(store.next_due().await.unwrap(), Some(NOON + MINUTE));
    assert_eq!(claim(&*store, NOON + MINUTE).await, [first(1)]);
    assert_eq!(claim(&*store, NOON + MINUTE).await, [], "leased again");
    assert_eq!(store.next_due().await.unwrap(), Some(NOON + 2 * MINUTE));
}

pub(crate) async fn a_lease_can_be_renewed(site: &dyn Site) {
    let store = site.open().await;
    enqueue_leased(&*store, vec![message(1, "example.net")]).await;
    enqueue(&*store, vec![message(2, "example.net")]).await;
    store.renew(vec![first(1), first(2)], NOON + 10 * MINUTE).await.unwrap();
    assert_eq!(claim(&*store, NOON + 9 * MINUTE).await, [first(2)], "only a lease can be renewed");
    assert_eq!(claim(&*store, NOON + 10 * MINUTE).await, [first(1), first(2)]);
}

pub(crate) async fn what_must_wait_is_not_leased(site: &dyn Site) {
    let store = site.open().await;
    enqueue_leased(&*store, vec![NewMessage { not_before: NOON + DAY, ..message(1, "example.net") }]).await;
    assert_eq!(store.find(first(1)).await.unwrap().unwrap().state, State::Queued);
    assert_eq!(store.next_due().await.unwrap(), Some(NOON + DAY));
    assert_eq!(claim(&*store, NOON + 2 * MINUTE).await, []);
    assert_eq!(claim(&*store, NOON + DAY).await, [first(1)]);
}

pub(crate) async fn claims_are_fair_between_destinations(site: &dyn Site) {
    let store = site.open().await;
    let mut messages: Vec<_> = (1..=300).map(|n| message(n, "slow.example")).collect();
    messages.extend((301..=303).map(|n| message(n, "quick.example")));
    messages.extend((304..=305).map(|n| message(n, "other.example")));
    enqueue(&*store, messages).await;
    let fair = ClaimRequest { limit: 10, per_destination: 4, ..request(NOON) };
    let claimed = store.claim(fair.clone()).await.unwrap();
    let of = |name: &str| claimed.iter().filter(|claimed| claimed.destination == name).count();
    assert_eq!((of("slow.example"), of("quick.example"), of("other.example")), (4, 3, 2));
    let more = store.claim(fair).await.unwrap();
    assert_eq!(more.len(), 4, "the others have nothing left");
    assert!(ids(&more).iter().all(|id| !ids(&claimed).contains(id)));
}

pub(crate) async fn no_destination_starves(site: &dyn Site) {
    let store = site.open().await;
    let names = ["a.example", "b.example", "c.example", "d.example"];
    let messages = (0..40).map(|n| message(n + 1, names[n as usize % 4])).collect();
    enqueue(&*store, messages).await;
    let one = ClaimRequest { limit: 1, ..request(NOON) };
    for round in 0..3 {
        let mut served = Vec::new();
        for _ in names {
            served.push(store.claim(one.clone()).await.unwrap().pop().unwrap().destination);
        }
        served.sort();
        assert_eq!(served, names, "round {round}");
    }
}

pub(crate) async fn a_destination_without_room_is_skipped(site: &dyn Site) {
    let store = site.open().await;
    enqueue(&*store, vec![message(1, "full.example"), message(2, "free.example")]).await;
    let skip = ClaimRequest { skip: vec!["full.example".into()], ..request(NOON) };
    assert_eq!(ids(&store.claim(skip).await.unwrap()), [first(2)]);
    assert_eq!(claim(&*store, NOON).await, [first(1)]);
}

pub(crate) async fn postponed_destinations_do_not_hide_due_ones(site: &dyn Site) {
    let store = site.open().await;
    let mut messages: Vec<_> =
        (1..=5_000).map(|n| NewMessage { not_before: NOON + DAY, ..message(n, &format!("a{n}.example")) }).collect();
    messages.extend((5_001..=5_003).map(|n| message(n, "z.example")));
    enqueue(&*store, messages).await;
    let fair = ClaimRequest { per_destination: 2, ..request(NOON) };
    assert_eq!(store.claim(fair.clone()).await.unwrap().len(), 2, "found at once, within its share");
    assert_eq!(store.claim(fair).await.unwrap().len(), 1);
    assert_eq!(store.claim(request(NOON)).await.unwrap().len(), 0);
}

pub(crate) async fn only_a_leased_delivery_can_begin(site: &dyn Site) {
    let store = site.open().await;
    enqueue_leased(&*store, vec![message(1, "example.net"), message(2, "example.net")]).await;
    enqueue(&*store, vec![message(3, "example.net")]).await;
    settle(&*store, first(2), Settled::Cancelled).await;
    let asked = vec![first(1), first(2), first(3), first(99)];
    assert_eq!(store.begin(asked.clone()).await.unwrap(), [first(1)]);
    assert_eq!(store.begin(asked).await.unwrap(), [first(1)], "the next host is offered it, and it is marked still");
    assert_eq!(store.find(first(1)).await.unwrap().unwrap().state, State::InFlight);
    assert_eq!(claim(&*store, NOON + DAY).await, [first(3)], "what is in flight is never due");
}

pub(crate) async fn a_settlement_leaves_the_state_it_names(site: &dyn Site) {
    let store = site.open().await;
    let later = NOON + DAY;
    let table = [
        (Settled::Delivered, State::Delivered),
        (Settled::Failed, State::Failed),
        (Settled::Suppressed, State::Suppressed),
        (Settled::Cancelled, State::Cancelled),
        (Settled::Held, State::Held),
        (Settled::Queued(later), State::Queued),
    ];
    for (n, (settled, state)) in (1..).zip(table) {
        in_flight(&*store, n).await;
        let settlement = Settlement {
            delay_told: settled == Settled::Queued(later),
            events: vec![event(n as u8, first(n), EventKind::Other)],
            ..settlement(first(n), settled)
        };
        store.settle(vec![settlement.clone()]).await.unwrap();
        let found = store.find(first(n)).await.unwrap().unwrap();
        assert_eq!((found.state, found.attempts, &found.last), (state, 1, &settlement.last), "{settled:?}");
    }
    assert_eq!(store.claim_events(100, vec![], NOON).await.unwrap().len(), table.len(), "each with its event");
    assert_eq!(store.next_due().await.unwrap(), Some(later));
    let again = store.claim(request(later)).await.unwrap();
    assert_eq!(ids(&again), [first(6)]);
    assert_eq!((again[0].attempts, again[0].delays_told), (1, 1));
    assert_eq!(again[0].last, Some(attempt(Outcome::Delayed, Reason::MailboxFull)));

    store.settle(vec![Settlement { attempted: false, ..settlement(first(6), Settled::Queued(later)) }]).await.unwrap();
    assert_eq!(store.find(first(6)).await.unwrap().unwrap().attempts, 1, "a pause is no attempt");
    store.settle(vec![Settlement { attempted: false, ..settlement(first(5), Settled::Queued(later)) }]).await.unwrap();
    assert_eq!(store.find(first(5)).await.unwrap().unwrap().state, State::Queued, "what is held can be let go");
}

pub(crate) async fn a_settled_delivery_stays_settled(site: &dyn Site) {
    let store = site.open().await;
    in_flight(&*store, 1).await;
    let delivered = Settlement {
        events: vec![event(1, first(1), EventKind::Delivered)],
        ..settlement(first(1), Settled::Delivered)
    };
    store.settle(vec![delivered.clone()]).await.unwrap();
    store.settle(vec![delivered]).await.unwrap();
    let late =
        Settlement { events: vec![event(2, first(1), EventKind::Fail)], ..settlement(first(1), Settled::Failed) };
    store.settle(vec![late]).await.unwrap();
    let found = store.find(first(1)).await.unwrap().unwrap();
    assert_eq!((found.state, found.attempts, found.last), (State::Delivered, 1, None));
    assert_eq!(handed_out(&*store, NOON).await, [event_id(1)]);
}

/// As where the reply to the commit was lost.
pub(crate) async fn an_attempt_that_is_told_again_counts_once(site: &dyn Site) {
    let store = site.open().await;
    let later = NOON + DAY;
    for (n, settled, state) in [(1, Settled::Queued(later), State::Queued), (2, Settled::Held, State::Held)] {
        in_flight(&*store, n).await;
        let end = Settlement {
            delay_told: true,
            events: vec![event(n as u8, first(n), EventKind::Delay)],
            ..settlement(first(n), settled)
        };
        for _ in 0..3 {
            store.settle(vec![end.clone()]).await.unwrap();
        }
        // Nor does it bring another end.
        settle(&*store, first(n), Settled::Failed).await;
        let found = store.find(first(n)).await.unwrap().unwrap();
        assert_eq!((found.state, found.attempts, &found.last), (state, 1, &end.last), "{settled:?}");
    }
    assert_eq!(handed_out(&*store, NOON).await, [event_id(1), event_id(2)]);
    let again = store.claim(request(later)).await.unwrap();
    assert_eq!((ids(&again), again[0].delays_told), (vec![first(1)], 1));
    // The next attempt counts, and what a host has taken is delivered whoever says so.
    settle(&*store, first(1), Settled::Queued(later)).await;
    assert_eq!(store.find(first(1)).await.unwrap().unwrap().attempts, 2);
    for n in [1, 2] {
        settle(&*store, first(n), Settled::Delivered).await;
        assert_eq!(store.find(first(n)).await.unwrap().unwrap().state, State::Delivered);
    }
}

/// Where processes share a store: one whose lease had ended goes on with what it had in hand.
pub(crate) async fn a_former_owner_is_believed_that_a_host_has_taken_it_and_no_more(site: &dyn Site) {
    let one = site.open().await;
    let Some(other) = site.second(&one).await else { return };
    enqueue_leased(&*one, vec![message(1, "example.net"), message(2, "example.net")]).await;
    assert_eq!(one.begin(vec![first(1)]).await.unwrap(), [first(1)]);
    let later = NOON + 2 * MINUTE;
    assert_eq!(claim(&*other, later).await, [first(2)], "its lease has ended");
    settle(&*one, first(2), Settled::Failed).await;
    let found = other.find(first(2)).await.unwrap().unwrap();
    assert_eq!((found.state, found.attempts), (State::Leased, 0), "it is with the other one");
    settle(&*other, first(1), Settled::Queued(later)).await;
    assert_eq!(one.find(first(1)).await.unwrap().unwrap().state, State::InFlight, "nor the other way");
    settle(&*one, first(2), Settled::Delivered).await;
    assert_eq!(other.find(first(2)).await.unwrap().unwrap().state, State::Delivered);
    settle(&*other, first(2), Settled::Queued(later)).await;
    assert_eq!(one.find(first(2)).await.unwrap().unwrap().state, State::Delivered, "its end stays");
}

pub(crate) async fn a_body_is_kept_once_and_while_it_is_needed(site: &dyn Site) {
    let store = site.open().await;
    let two = message_to(1, &["a.example", "b.example"]);
    let same = NewMessage { body: two.body.clone(), ..message(2, "c.example") };
    let body = BodyId::of(&two.body);
    enqueue_leased(&*store, vec![two, same]).await;
    for id in [delivery(101), first(2)] {
        settle(&*store, id, Settled::Delivered).await;
        assert!(store.body(body).await.unwrap().is_some(), "one delivery is still open");
    }
    settle(&*store, delivery(102), Settled::Queued(NOON + MINUTE)).await;
    assert!(store.body(body).await.unwrap().is_some(), "it will be tried again");
    assert_eq!(claim(&*store, NOON + MINUTE).await, [delivery(102)]);
    settle(&*store, delivery(102), Settled::Failed).await;
    assert_eq!(store.body(body).await.unwrap(), None);

    // The same content again is a new body.
    let again = NewMessage { body: message(1, "a.example").body, ..message(3, "a.example") };
    enqueue(&*store, vec![again]).await;
    assert!(store.body(body).await.unwrap().is_some());
    assert_eq!(claim(&*store, NOON).await, [first(3)]);
}

pub(crate) async fn a_repeated_key_gives_the_first_ids(site: &dyn Site) {
    let store = site.open().await;
    let keyed = |n, fingerprint| NewMessage {
        idempotency: Some(Idempotency { key: "order 17".into(), fingerprint: [fingerprint; 32] }),
        ..message_to(n, &["a.example", "b.example"])
    };
    let first = keyed(1, 1);
    let deliveries = first.deliveries.iter().map(|to| (to.id, to.recipient.clone(), to.return_path.clone())).collect();
    let repeated = Enqueued::Repeated { message: first.id, deliveries };
    // Also within one call.
    let answers = store.enqueue(vec![first, keyed(2, 1), keyed(3, 9)], NOON, None).await.unwrap();
    assert_eq!(answers, [Enqueued::New, repeated.clone(), Enqueued::KeyConflict]);
    for delivery in claim(&*store, NOON).await {
        settle(&*store, delivery, Settled::Delivered).await;
    }
    let answers = store.enqueue(vec![keyed(4, 1), message(5, "a.example")], NOON, None).await.unwrap();
    assert_eq!(answers, [repeated, Enqueued::New], "also after the end");
    assert_eq!(claim(&*store, NOON).await, [super::first(5)], "nothing else was queued");
}

pub(crate) async fn the_high_water_mark_only_rises(site: &dyn Site) {
    let store = site.open().await;
    assert_eq!(store.recover(NOON, NOON).await.unwrap().high_water, 0);
    enqueue(&*store, vec![message(7, "example.net"), message(3, "example.net")]).await;
    assert_eq!(store.recover(NOON, NOON).await.unwrap().high_water, first(7).as_u64());
    enqueue(&*store, vec![message(5, "example.net")]).await;
    assert_eq!(store.recover(NOON, NOON).await.unwrap().high_water, first(7).as_u64());
    // Ids use all 64 bits.
    let high = NewMessage { id: MessageId::from_u64(u64::MAX - 1), deliveries: vec![], ..message(8, "example.net") };
    enqueue(&*store, vec![high]).await;
    enqueue(&*store, vec![message(9, "example.net")]).await;
    assert_eq!(store.recover(NOON, NOON).await.unwrap().high_water, u64::MAX - 1);
}

pub(crate) async fn one_failing_call_spoils_no_other(site: &dyn Site) {
    let store = site.open().await;
    enqueue(&*store, vec![message(1, "example.net")]).await;
    let calls: Vec<_> = (1..=20)
        .map(|n| {
            let store = store.clone();
            // Number 1 is there already: an id that is used twice is refused.
            let messages = vec![message(100 + n, "example.net"), message(n, "example.net")];
            tokio::spawn(async move { store.enqueue(messages, NOON, None).await })
        })
        .collect();
    for (n, call) in (1..).zip(calls) {
        let answer = call.await.unwrap();
        assert_eq!(is_failure(&answer), n == 1, "{n}: {answer:?}");
    }
    assert!(store.find(first(101)).await.unwrap().is_none(), "a call is queued whole or not at all");
    assert_eq!(claim(&*store, NOON).await.len(), 39);
}
