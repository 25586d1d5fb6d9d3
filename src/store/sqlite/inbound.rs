//! What comes in: stored once, within the bounds of its delivery, and booked on the delivery.
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

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{FIRST_ENDED, delivery_key, from_json, json, size, state, state_code};
use super::forget::is_forgotten;
use super::{events, outbound};
use crate::event::{EventKind, EventRecord, Origin, Trust};
use crate::id::{DeliveryId, EventId};
use crate::store::{Inbound, InboundBounds, Recorded, State, StoreError};
use crate::verdict::{Outcome, Verdict};

/// Stores each event that is new and within the bounds.
pub(super) fn record(db: &Connection, inbound: &Inbound) -> Result<Vec<Recorded>, StoreError> {
    inbound.events.iter().map(|event| record_one(db, event, inbound.bounds)).collect()
}

fn record_one(db: &Connection, event: &EventRecord, bounds: InboundBounds) -> Result<Recorded, StoreError> {
    if events::is_known(db, event)? {
        return Ok(Recorded::Repeated);
    }
    let Some(delivery) = event.delivery else {
        events::insert(db, event)?;
        return Ok(Recorded::New);
    };
    // As if it were known: the peer has done its part, and nothing is to be kept.
    if is_forgotten(db, delivery_key(delivery))? {
        return Ok(Recorded::Repeated);
    }
    // What this instance itself has to say is not what a stranger can make us store.
    if event.origin != Origin::Report {
        events::insert(db, event)?;
        return book(db, delivery, event).map(|()| Recorded::New);
    }
    let key = delivery_key(delivery);
    let (count, raw_bytes) = counters(db, key)?;
    if count >= i64::from(bounds.events) {
        return refuse(db, delivery, event, bounds);
    }
    let raw = event.raw.as_ref().map_or(0, |raw| size(raw.len()));
    let fits = raw_bytes.saturating_add(raw) <= i64::try_from(bounds.raw_bytes).unwrap_or(i64::MAX);
    if fits {
        events::insert(db, event)?;
    } else {
        events::insert(db, &EventRecord { raw: None, ..event.clone() })?;
    }
    db.prepare_cached(
        "INSERT INTO inbound (delivery, first_at, events, raw_bytes) VALUES (?1, ?2, 1, ?3)
         ON CONFLICT (delivery) DO UPDATE SET events = events + 1, raw_bytes = raw_bytes + ?3",
    )?
    .execute(params![key, event.at.as_millis(), if fits { raw } else { 0 }])?;
    book(db, delivery, event)?;
    Ok(Recorded::New)
}

/// Events and bytes of raw mail stored so far for a delivery.
fn counters(db: &Connection, delivery: i64) -> Result<(i64, i64), StoreError> {
    let counters = db
        .prepare_cached("SELECT events, raw_bytes FROM inbound WHERE delivery = ?1")?
        .query_row([delivery], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(counters.unwrap_or_default())
}

/// Counts an event that is over the bound; the first one makes an alert.
fn refuse(
    db: &Connection,
    delivery: DeliveryId,
    event: &EventRecord,
    bounds: InboundBounds,
) -> Result<Recorded, StoreError> {
    db.prepare_cached(
        "INSERT INTO inbound (delivery, first_at, events, raw_bytes, refused) VALUES (?1, ?2, 0, 0, 1)
         ON CONFLICT (delivery) DO UPDATE SET refused = refused + 1",
    )?
    .execute(params![delivery_key(delivery), event.at.as_millis()])?;
    let id = EventId::derive(&[b"flood", &delivery.as_u64().to_be_bytes()]);
    let alert = EventRecord {
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
    };
    Ok(Recorded::Flood { first: events::insert(db, &alert)? })
}

/// A delivery as far as booking needs it.
struct Booked {
    state: State,
    message: i64,
    may_be_accepted: bool,
    bounced: Option<String>,
}

fn book(db: &Connection, delivery: DeliveryId, event: &EventRecord) -> Result<(), StoreError> {
    if event.trust.is_none_or(|trust| trust == Trust::Claimed) {
        return Ok(());
    }
    let key = delivery_key(delivery);
    match (event.kind, &event.verdict) {
        (EventKind::Complaint, _) => {
            db.prepare_cached("UPDATE delivery SET complained = 1 WHERE id = ?1")?.execute([key])?;
            Ok(())
        }
        (EventKind::Bounce, Some(verdict)) => bounce(db, key, verdict),
        _ => Ok(()),
    }
}

fn bounce(db: &Connection, key: i64, verdict: &Verdict) -> Result<(), StoreError> {
    let found = db
        .prepare_cached("SELECT state, message, in_doubt OR was_uncertain, bounced FROM delivery WHERE id = ?1")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((code, message, may_be_accepted, bounced)) = found else { return Ok(()) };
    let delivery = Booked { state: state(code)?, message, may_be_accepted, bounced };
    let next = match delivery.state {
        State::Delivered | State::InFlight => delivery.state,
        State::Held => State::Delivered,
        State::Queued | State::Leased if delivery.may_be_accepted => State::Delivered,
        State::Failed if delivery.may_be_accepted => State::Failed,
        State::Queued | State::Leased | State::Failed | State::Suppressed | State::Cancelled => return Ok(()),
    };
    let known: Option<Verdict> =
        delivery.bounced.as_deref().map(|known| from_json("a delivery's bounce", known)).transpose()?;
    if known.is_some_and(|known| severity(&known) >= severity(verdict)) {
        return Ok(());
    }
    // The reason of a failure in our own conversation stays.
    let reason = (next != State::Failed).then(|| verdict.reason.name());
    db.prepare_cached(
        "UPDATE delivery SET bounced = ?2, reason = coalesce(?3, reason), state = ?4,
             in_doubt = iif(?5, 0, in_doubt), prefix = iif(?5, '', prefix)
         WHERE id = ?1",
    )?
    .execute(params![key, json(verdict)?, reason, state_code(next), next == State::Delivered])?;
    let has_ended = state_code(delivery.state) < FIRST_ENDED && state_code(next) >= FIRST_ENDED;
    if has_ended { outbound::close_one(db, delivery.message) } else { Ok(()) }
}

/// A dead address weighs more than a message that was lost, and that more than one that may still come through.
fn severity(verdict: &Verdict) -> u8 {
    match verdict.outcome {
        _ if verdict.is_hard() => 2,
        Outcome::Failed => 1,
        _ => 0,
    }
}
