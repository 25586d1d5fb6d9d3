//! What every store must do, written against `dyn Store`: an implementation passes by putting `suite!` into a test
//! module of its own.
//!
//! A [`Site`] makes stores and crashes them. Each test gets a store of its own, and no test knows which kind it is.

pub(crate) mod clock;
pub(crate) mod crash;
pub(crate) mod events;
pub(crate) mod forget;
pub(crate) mod inbound;
pub(crate) mod journal;
pub(crate) mod model;
pub(crate) mod outbound;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    ClaimRequest, Claimed, Enqueued, Inbound, InboundBounds, LastAttempt, NewDelivery, NewMessage, Settled, Settlement,
    Store, StoreError, Stream,
};
use crate::event::{EventKind, EventRecord, Origin, Trust};
use crate::id::{DeliveryId, EventId, MessageId};
use crate::session::Stage;
use crate::time::Timestamp;
use crate::verdict::{AddressState, Advice, Evidence, Outcome, Reason, Source, Verdict};

/// Where a kind of store lives.
#[async_trait]
pub(crate) trait Site: Send + Sync {
    /// A new, empty store.
    async fn open(&self) -> Arc<dyn Store>;

    /// What another process finds after the one with this store was killed at this instant.
    ///
    /// A store that dies with its process answers the same store: what is left is then what `recover` has to mend.
    async fn crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store>;

    /// The same store for a second process beside the first; `None` where one process owns it.
    async fn second(&self, store: &Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        let _ = store;
        None
    }
}

/// One test function per requirement, each with a site from the expression.
macro_rules! suite {
    ($site:expr) => {
        $crate::store::conformance::suite! { $site =>
            outbound: [
                a_claim_gives_all_that_sending_needs,
                a_lease_is_due_when_it_ends,
                a_lease_can_be_renewed,
                what_must_wait_is_not_leased,
                claims_are_fair_between_destinations,
                no_destination_starves,
                a_destination_without_room_is_skipped,
                postponed_destinations_do_not_hide_due_ones,
                only_a_leased_delivery_can_begin,
                a_settlement_leaves_the_state_it_names,
                a_settled_delivery_stays_settled,
                an_attempt_that_is_told_again_counts_once,
                a_former_owner_is_believed_that_a_host_has_taken_it_and_no_more,
                a_body_is_kept_once_and_while_it_is_needed,
                a_repeated_key_gives_the_first_ids,
                the_high_water_mark_only_rises,
                one_failing_call_spoils_no_other,
            ];
            events: [
                events_of_one_delivery_come_one_by_one,
                a_dead_letter_blocks_nothing,
                what_is_busy_is_left_out,
                failing_and_new_events_share_the_handler,
                a_clock_that_was_set_back_hides_no_event,
                replay_hands_out_the_same_events_again,
                replay_of_dead_letters_leaves_the_others,
                an_elder_event_that_is_replayed_goes_first,
                the_next_event_is_known,
            ];
            inbound: [
                the_same_report_is_stored_once,
                a_flood_is_bounded_and_told_once,
                raw_mail_is_bounded,
                a_bounce_is_booked_only_where_mail_was_taken,
                a_bounce_frees_the_body_and_stops_the_queue,
                the_first_bounce_stays_unless_a_graver_one_comes,
                a_bounce_that_overtakes_its_settlement_is_kept,
                a_mere_claim_is_told_and_not_booked,
            ];
            journal: [
                what_another_program_sends_is_remembered_at_once,
                a_late_bounce_moves_its_delivery,
                deliveries_count_when_they_were_queued,
                open_work_is_what_ends_by_itself,
                purge_keeps_what_is_open_or_young,
                purge_forgets_the_key_with_its_message,
                purge_takes_many_rows_in_steps,
                a_foreign_key_changes_nothing,
                a_key_only_goes_forward,
                forms_remember_their_last_use,
                a_closed_store_says_so,
            ];
            forget: [
                nothing_names_an_address_that_was_forgotten,
                what_names_an_address_is_found_before,
                what_is_heard_late_of_a_forgotten_delivery_is_not_stored,
                other_recipients_get_their_mail,
                an_address_that_only_looks_like_it_stays,
                what_stood_behind_a_forgotten_event_is_free,
                the_high_water_mark_outlives_what_was_forgotten,
            ];
            crash: [
                after_enqueue,
                after_enqueue_with_a_lease,
                after_claim,
                after_begin,
                after_a_second_crash_before_the_settlement,
                after_settle,
                after_record,
                after_acknowledge,
                after_keys_and_forms,
            ];
            clock: [
                set_back_an_hour,
                set_forward_a_month,
                three_days_down,
                five_seconds_apart,
            ];
            model: [
                agrees_with_a_simple_model,
            ];
        }
    };
    ($site:expr => $($room:ident: [$($test:ident,)*];)*) => {
        $(mod $room {
            use super::*;

            $(#[tokio::test]
            async fn $test() {
                $crate::store::conformance::$room::$test(&$site).await;
            })*
        })*
    };
}
pub(crate) use suite;

/// When every test begins.
pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A message to one recipient at `destination`, numbered `n`; its delivery has the number after it.
pub(crate) fn message(n: u64, destination: &str) -> NewMessage {
    message_to(n, &[destination])
}

/// A message to one recipient at each destination.
pub(crate) fn message_to(n: u64, destinations: &[&str]) -> NewMessage {
    NewMessage {
        id: MessageId::from_u64(n * 100),
        body: format!("Subject: number {n}\r\n\r\nHello.\r\n").into_bytes().into(),
        smtputf8: false,
        eight_bit: false,
        tag: None,
        mailing: None,
        metadata: None,
        stream: Stream::Transactional,
        not_before: NOON,
        expires: NOON + 5 * DAY,
        own_deadline: false,
        idempotency: None,
        sent_elsewhere: false,
        deliveries: destinations
            .iter()
            .zip(1..)
            .map(|(destination, i)| NewDelivery {
                id: delivery(n * 100 + i),
                recipient: format!("user{n}@{destination}").parse().unwrap(),
                return_path: format!("b{n}x{i}@b.example.org").parse().unwrap(),
                prefix: format!("X-Mark: {n}.{i}\r\n"),
                destination: destination.to_string(),
            })
            .collect(),
    }
}

pub(crate) fn delivery(id: u64) -> DeliveryId {
    DeliveryId::from_u64(id)
}

/// The only delivery of `message(n, …)`.
pub(crate) fn first(n: u64) -> DeliveryId {
    delivery(n * 100 + 1)
}

/// Queues messages that nothing is known about yet.
pub(crate) async fn enqueue(store: &dyn Store, messages: Vec<NewMessage>) {
    let expected = vec![Enqueued::New; messages.len()];
    assert_eq!(store.enqueue(messages, NOON, None).await.unwrap(), expected);
}

/// Queues messages, leased for a minute.
pub(crate) async fn enqueue_leased(store: &dyn Store, messages: Vec<NewMessage>) {
    store.enqueue(messages, NOON, Some(NOON + MINUTE)).await.unwrap();
}

/// Brings `message(n, …)` into the in-flight set.
pub(crate) async fn in_flight(store: &dyn Store, n: u64) {
    enqueue_leased(store, vec![message(n, "example.net")]).await;
    assert_eq!(store.begin(vec![first(n)]).await.unwrap(), [first(n)]);
}

pub(crate) fn request(now: Timestamp) -> ClaimRequest {
    ClaimRequest { limit: 100, per_destination: 100, skip: vec![], now, lease_until: now + MINUTE }
}

/// The ids of all that is due, leased for a minute.
pub(crate) async fn claim(store: &dyn Store, now: Timestamp) -> Vec<DeliveryId> {
    let mut ids = ids(&store.claim(request(now)).await.unwrap());
    ids.sort();
    ids
}

pub(crate) fn ids(claimed: &[Claimed]) -> Vec<DeliveryId> {
    claimed.iter().map(|claimed| claimed.id).collect()
}

pub(crate) fn verdict(outcome: Outcome, reason: Reason) -> Verdict {
    Verdict {
        outcome,
        address: if reason == Reason::UserUnknown { AddressState::NoMailbox } else { AddressState::NoStatement },
        advice: Advice::None,
        reason,
        status: "5.1.1".parse().ok(),
        evidence: Evidence {
            source: Source::SmtpReply,
            text: "550 5.1.1 no such user – здесь нет".into(),
            rule: "code.5.1.1".into(),
            confidence: 0.9,
        },
    }
}

pub(crate) fn attempt(outcome: Outcome, reason: Reason) -> LastAttempt {
    LastAttempt {
        at: NOON,
        verdict: verdict(outcome, reason),
        code: Some(550),
        text: Some("550 5.1.1 no such user".into()),
        stage: Some(Stage::Rcpt),
        host: Some("mx.example.net[192.0.2.1]:25".into()),
        after_uncertain: false,
    }
}

/// A counted attempt that ended so, without events.
pub(crate) fn settlement(delivery: DeliveryId, state: Settled) -> Settlement {
    let last = match state {
        Settled::Failed => Some(attempt(Outcome::Failed, Reason::UserUnknown)),
        Settled::Queued(_) => Some(attempt(Outcome::Delayed, Reason::MailboxFull)),
        Settled::Held => Some(attempt(Outcome::Uncertain, Reason::Network)),
        _ => None,
    };
    Settlement { delivery, state, attempted: true, delay_told: false, last, events: vec![] }
}

pub(crate) async fn settle(store: &dyn Store, delivery: DeliveryId, state: Settled) {
    store.settle(vec![settlement(delivery, state)]).await.unwrap();
}

/// Event number `n`, of this delivery, as mail that came back to its sealed path.
pub(crate) fn event(n: u8, delivery: DeliveryId, kind: EventKind) -> EventRecord {
    EventRecord {
        delivery: Some(delivery),
        trust: Some(Trust::Sealed),
        ..EventRecord::bare(event_id(n), kind, NOON, Origin::Report)
    }
}

pub(crate) fn event_id(n: u8) -> EventId {
    EventId::from_bytes([n; 16])
}

/// A bounce with this reason.
pub(crate) fn bounce(n: u8, delivery: DeliveryId, reason: Reason) -> EventRecord {
    EventRecord { verdict: Some(verdict(Outcome::Failed, reason)), ..event(n, delivery, EventKind::Bounce) }
}

pub(crate) fn inbound(events: Vec<EventRecord>) -> Inbound {
    Inbound { events, bounds: InboundBounds { events: 20, raw_bytes: 1 << 20 } }
}

/// Hands out what is due: the ids.
pub(crate) async fn handed_out(store: &dyn Store, now: Timestamp) -> Vec<EventId> {
    store.claim_events(100, vec![], now).await.unwrap().into_iter().map(|event| event.record.id).collect()
}

/// The sequence of a pending event that is due.
pub(crate) async fn sequence_of(store: &dyn Store, id: EventId) -> i64 {
    let events = store.claim_events(1000, vec![], Timestamp::MAX).await.unwrap();
    events.iter().find(|event| event.record.id == id).expect("a ready event").sequence
}

pub(crate) fn is_failure<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Failed(_)))
}
