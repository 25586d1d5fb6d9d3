//! Two processes with several callers each, all at once, over the same bodies, keys and destinations.

use std::collections::HashSet;
use std::sync::Arc;

use super::*;
use crate::event::{EventKind, EventRecord, Origin};
use crate::id::{DeliveryId, EventId};
use crate::store::conformance::{NOON, ids, message_to, request, settlement};
use crate::store::{Acknowledgement, Answer, ClaimRequest, Enqueued, Idempotency, NewMessage, Settled, Settlement};

const CALLERS: u64 = 8;
const ROUNDS: u64 = 12;

/// Messages of one call.
const BATCH: u64 = 10;

/// One batch: few bodies, shared by all callers, and keys of which every second is the other callers' too.
fn batch(caller: u64, round: u64) -> Vec<NewMessage> {
    (0..BATCH)
        .map(|n| {
            let number = 1 + caller * 1000 + round * BATCH + n;
            // Callers go through the shared keys in different orders.
            let shared = if caller.is_multiple_of(2) { n } else { BATCH - 2 - n.min(BATCH - 2) };
            let key = if n % 2 == 0 { format!("shared {round} {shared}") } else { format!("own {number}") };
            NewMessage {
                body: format!("Subject: {}\r\n\r\n", (number + round) % 7).into_bytes().into(),
                idempotency: Some(Idempotency { key, fingerprint: [1; 32] }),
                ..message_to(number, &["a.example", "b.example", ["c.example", "d.example"][(n % 2) as usize]])
            }
        })
        .collect()
}

fn delivered(id: DeliveryId) -> Settlement {
    let told = EventId::derive(&[b"delivered", &id.as_u64().to_be_bytes()]);
    let event =
        EventRecord { delivery: Some(id), ..EventRecord::bare(told, EventKind::Delivered, NOON, Origin::Local) };
    Settlement { events: vec![event], ..settlement(id, Settled::Delivered) }
}

#[derive(Default)]
struct Worked {
    sent: Vec<DeliveryId>,
    handed_over: Vec<EventId>,
}

impl Worked {
    fn add(&mut self, more: Worked) {
        self.sent.extend(more.sent);
        self.handed_over.extend(more.handed_over);
    }
}

/// Takes what there is, ends it, and answers for the events.
async fn work(store: &dyn Store, limit: usize) -> Worked {
    let claimed = store.claim(ClaimRequest { limit, per_destination: 4, ..request(NOON) }).await.unwrap();
    let begun = store.begin(ids(&claimed)).await.unwrap();
    assert_eq!(begun, ids(&claimed), "what was claimed belongs to the one who claimed it");
    store.settle(begun.iter().copied().map(delivered).collect()).await.unwrap();
    let events = store.claim_events(limit, vec![], NOON).await.unwrap();
    let done = |sequence| Acknowledgement { sequence, answer: Answer::Done };
    store.acknowledge(events.iter().map(|event| done(event.sequence)).collect()).await.unwrap();
    Worked { sent: begun, handed_over: events.into_iter().map(|event| event.record.id).collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_of_two_processes_share_the_work() {
    let site = databases!();
    let stores = [site.open().await, site.join().await];
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let store: Arc<dyn Store> = stores[(caller % 2) as usize].clone();
        callers.push(tokio::spawn(async move {
            let (mut worked, mut new) = (Worked::default(), 0);
            for round in 0..ROUNDS {
                let answers = store.enqueue(batch(caller, round), NOON, None).await.unwrap();
                new += answers.iter().filter(|answer| **answer == Enqueued::New).count();
                assert!(!answers.contains(&Enqueued::KeyConflict));
                for _ in 0..3 {
                    worked.add(work(&*store, 9).await);
                }
            }
            (worked, new)
        }));
    }
    let (mut processes, mut new) = ([Worked::default(), Worked::default()], 0);
    for (caller, task) in callers.into_iter().enumerate() {
        let (more, answered) = task.await.unwrap();
        processes[caller % 2].add(more);
        new += answered;
    }
    loop {
        let more = work(&*stores[1], 100).await;
        if more.sent.is_empty() && more.handed_over.is_empty() {
            break;
        }
        processes[1].add(more);
    }
    // Each round has five keys that all callers use, and five of each caller.
    assert_eq!(new as u64, ROUNDS * (5 + 5 * CALLERS), "the shared keys have one message each");
    let [one, two] = processes;
    let sent: HashSet<_> = one.sent.iter().chain(&two.sent).collect();
    assert_eq!((sent.len(), one.sent.len() + two.sent.len()), (new * 3, new * 3), "a delivery is given to one caller");
    // The callers of one process do not tell each other what they have.
    let handed_over = |to: Worked| to.handed_over.into_iter().collect::<HashSet<_>>();
    let (one, two) = (handed_over(one), handed_over(two));
    assert!(one.is_disjoint(&two), "an event is given to one process");
    assert_eq!(one.len() + two.len(), new * 3);
    assert_eq!(stores[0].open_work().await.unwrap(), (0, 0));
    let url = site.last.lock().unwrap().clone();
    let left = "SELECT count(*) FROM returnpath.body";
    assert_eq!(cluster::count(&url, left).await, 0, "no body is left without a message");
    let open = "SELECT count(*) FROM returnpath.message WHERE open <> 0 OR body IS NOT NULL";
    assert_eq!(cluster::count(&url, open).await, 0);
}
