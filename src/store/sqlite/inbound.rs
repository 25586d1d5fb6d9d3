//! What comes in: stored once, within the bounds of its delivery, and booked on the delivery. What a bounce is booked
//! on is a rule of its own, [`transition`](crate::store::transition).

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{FIRST_ENDED, delivery_key, from_json, json, size, state, state_code};
use super::forget::is_forgotten;
use super::{events, outbound};
use crate::event::{EventKind, EventRecord, Origin};
use crate::id::DeliveryId;
use crate::store::transition::{after_bounce, flood_alert, is_believed, is_graver};
use crate::store::{Inbound, InboundBounds, Recorded, State, StoreError};
use crate::verdict::Verdict;

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
    let alert = flood_alert(delivery, event, bounds);
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
    if !is_believed(event) {
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
    let Some(next) = after_bounce(delivery.state, delivery.may_be_accepted) else { return Ok(()) };
    let known: Option<Verdict> =
        delivery.bounced.as_deref().map(|known| from_json("a delivery's bounce", known)).transpose()?;
    if known.is_some_and(|known| !is_graver(verdict, &known)) {
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
