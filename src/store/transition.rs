//! What a settlement and a bounce make of a delivery, and what is handed out: the rules that hold in every store.
//!
//! # What a bounce is booked on
//!
//! Only on a delivery that a remote host has taken, or may have taken: `delivered`, `held`, `in_flight`, and one that
//! is queued or leased (or has failed) after an attempt whose end is not known. For every other one a bounce says
//! nothing that the conversation did not say better; the event is stored and told, the delivery stays as it is.
//! It must also be more than a claim: the report came to the sealed path, or carries a valid mark.
//!
//! A booked bounce proves that the message was taken, so a delivery that is `held`, or is queued or leased after an
//! unknown end, becomes `delivered` (and returned): it is not sent again. One that is in flight keeps its state for
//! the settlement that is on its way. The first bounce is kept, and replaced only by a more severe one.

use super::{InboundBounds, Settled, Settlement, State};
use crate::event::{EventKind, EventRecord, Origin, Trust};
use crate::id::{DeliveryId, EventId};
use crate::time::Timestamp;
use crate::verdict::{Outcome, Reason, Verdict};

/// Where a settlement leads.
pub(crate) struct Transition {
    pub(crate) state: State,
    /// For a delivery that is queued again.
    pub(crate) due: Option<Timestamp>,
    /// A remote host may have the message.
    pub(crate) is_uncertain: bool,
    /// Of an end that is no delivery.
    pub(crate) reason: Option<Reason>,
}

impl Transition {
    /// `is_bounced`: a bounce is booked on the delivery already.
    pub(crate) fn of(settlement: &Settlement, is_bounced: bool) -> Transition {
        let verdict = settlement.last.as_ref().map(|last| &last.verdict);
        let is_uncertain =
            settlement.state == Settled::Held || verdict.is_some_and(|verdict| verdict.outcome == Outcome::Uncertain);
        let (state, due) = match settlement.state {
            // The bounce overtook this settlement. It is the proof that a remote host had taken the message.
            Settled::Queued(_) | Settled::Held if is_uncertain && is_bounced => (State::Delivered, None),
            Settled::Queued(due) => (State::Queued, Some(due)),
            Settled::Held => (State::Held, None),
            Settled::Delivered => (State::Delivered, None),
            Settled::Failed => (State::Failed, None),
            Settled::Suppressed => (State::Suppressed, None),
            Settled::Cancelled => (State::Cancelled, None),
        };
        let reason = match state {
            State::Failed | State::Cancelled => verdict.map(|verdict| verdict.reason),
            State::Suppressed => Some(verdict.map_or(Reason::Suppressed, |verdict| verdict.reason)),
            _ => None,
        };
        Transition { state, due, is_uncertain, reason }
    }
}

/// Whether what came in is more than a claim: it came to the sealed path, or carries a valid mark.
pub(crate) fn is_believed(event: &EventRecord) -> bool {
    event.trust.is_some_and(|trust| trust != Trust::Claimed)
}

/// The state of a delivery after a bounce, if one is booked on it at all. `may_be_accepted`: the end of an attempt is,
/// or was, not known.
pub(crate) fn after_bounce(state: State, may_be_accepted: bool) -> Option<State> {
    match state {
        State::Delivered | State::InFlight => Some(state),
        State::Held => Some(State::Delivered),
        State::Queued | State::Leased if may_be_accepted => Some(State::Delivered),
        State::Failed if may_be_accepted => Some(State::Failed),
        State::Queued | State::Leased | State::Failed | State::Suppressed | State::Cancelled => None,
    }
}

/// Whether a bounce replaces the one that is booked.
pub(crate) fn is_graver(verdict: &Verdict, booked: &Verdict) -> bool {
    severity(verdict) > severity(booked)
}

/// A dead address weighs more than a message that was lost, and that more than one that may still come through.
fn severity(verdict: &Verdict) -> u8 {
    match verdict.outcome {
        _ if verdict.is_hard() => 2,
        Outcome::Failed => 1,
        _ => 0,
    }
}

/// What is told once when more comes back to a return path than is kept.
pub(crate) fn flood_alert(delivery: DeliveryId, event: &EventRecord, bounds: InboundBounds) -> EventRecord {
    let id = EventId::derive(&[b"flood", &delivery.as_u64().to_be_bytes()]);
    EventRecord {
        delivery: Some(delivery),
        message: event.message,
        recipient: event.recipient.clone(),
        tag: event.tag,
        mailing: event.mailing.clone(),
        text: Some(format!(
            "more than {} pieces of mail came back to one return path; from here on they are counted, not stored",
            bounds.events
        )),
        ..EventRecord::bare(id, EventKind::Alert, event.at, Origin::Local)
    }
}

/// Which events are handed out, `count` at most: those that failed before get half of the room, so that neither a
/// stream of new events starves them nor they it.
pub(crate) fn mixed(again: Vec<i64>, fresh: Vec<i64>, count: usize) -> Vec<i64> {
    let again_share = count.div_ceil(2).max(count.saturating_sub(fresh.len())).min(again.len());
    let mut chosen: Vec<i64> = again.into_iter().take(again_share).collect();
    chosen.extend(fresh.into_iter().take(count.saturating_sub(chosen.len())));
    chosen
}
