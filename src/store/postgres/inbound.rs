//! What comes in: stored once, within the bounds of its delivery, and booked on the delivery. What a bounce is booked
//! on is a rule of its own, [`transition`](crate::store::transition).

use std::collections::BTreeMap;

use super::columns::{FIRST_ENDED, delivery_key, from_json, json, size, state, state_code};
use super::forget::forgotten;
use super::scope::Scope;
use super::{events, outbound};
use crate::event::{EventKind, EventRecord, Origin};
use crate::id::DeliveryId;
use crate::store::transition::{after_bounce, flood_alert, is_believed, is_graver};
use crate::store::{Inbound, InboundBounds, Recorded, State, StoreError};
use crate::verdict::Verdict;

/// Stores each event that is new and within the bounds.
pub(super) async fn record(scope: &Scope<'_>, inbound: &Inbound) -> Result<Vec<Recorded>, StoreError> {
    // What one delivery may make us store is counted by one process at a time.
    let deliveries = inbound.events.iter().filter_map(|event| event.delivery).map(delivery_key);
    events::lock(scope, deliveries.clone()).await?;
    let forgotten = forgotten(scope, deliveries).await?;
    let mut answers = Vec::with_capacity(inbound.events.len());
    for event in &inbound.events {
        // As if it were known: the peer has done its part, and nothing is to be kept.
        let is_forgotten = event.delivery.is_some_and(|delivery| forgotten.contains(&delivery_key(delivery)));
        answers.push(if is_forgotten { Recorded::Repeated } else { record_one(scope, event, inbound.bounds).await? });
    }
    Ok(answers)
}

async fn record_one(scope: &Scope<'_>, event: &EventRecord, bounds: InboundBounds) -> Result<Recorded, StoreError> {
    let bare;
    let mut stored = event;
    let mut counted = None;
    // What this instance itself has to say is not what a stranger can make us store.
    if let (Some(delivery), Origin::Report) = (event.delivery, event.origin) {
        if events::is_known(scope, event).await? {
            return Ok(Recorded::Repeated);
        }
        let (count, raw_bytes) = counters(scope, delivery_key(delivery)).await?;
        if count >= i64::from(bounds.events) {
            return refuse(scope, delivery, event, bounds).await;
        }
        let raw = event.raw.as_ref().map_or(0, |raw| size(raw.len()));
        let fits = raw_bytes.saturating_add(raw) <= i64::try_from(bounds.raw_bytes).unwrap_or(i64::MAX);
        if !fits {
            bare = EventRecord { raw: None, ..event.clone() };
            stored = &bare;
        }
        counted = Some(if fits { raw } else { 0 });
    }
    if !events::insert_locked(scope, &[stored]).await? {
        return Ok(Recorded::Repeated);
    }
    let Some(delivery) = event.delivery else { return Ok(Recorded::New) };
    if let Some(raw) = counted {
        let count = scope
            .db
            .prepare_cached(
                "INSERT INTO returnpath.inbound AS i (delivery, first_at, events, raw_bytes) VALUES ($1, $2, 1, $3)
                 ON CONFLICT (delivery) DO UPDATE SET events = i.events + 1, raw_bytes = i.raw_bytes + $3",
            )
            .await?;
        scope.db.execute(&count, &[&delivery_key(delivery), &scope.times.to_stored(event.at), &raw]).await?;
    }
    book(scope, delivery, event).await?;
    Ok(Recorded::New)
}

/// Events and bytes of raw mail stored so far for a delivery.
async fn counters(scope: &Scope<'_>, delivery: i64) -> Result<(i64, i64), StoreError> {
    let query = scope.db.prepare_cached("SELECT events, raw_bytes FROM returnpath.inbound WHERE delivery = $1").await?;
    let row = scope.db.query_opt(&query, &[&delivery]).await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.try_get(0)?, row.try_get(1)?)))
}

/// Counts an event that is over the bound; the first one makes an alert.
async fn refuse(
    scope: &Scope<'_>,
    delivery: DeliveryId,
    event: &EventRecord,
    bounds: InboundBounds,
) -> Result<Recorded, StoreError> {
    let count = scope
        .db
        .prepare_cached(
            "INSERT INTO returnpath.inbound AS i (delivery, first_at, events, raw_bytes, refused)
             VALUES ($1, $2, 0, 0, 1) ON CONFLICT (delivery) DO UPDATE SET refused = i.refused + 1",
        )
        .await?;
    scope.db.execute(&count, &[&delivery_key(delivery), &scope.times.to_stored(event.at)]).await?;
    let alert = flood_alert(delivery, event, bounds);
    Ok(Recorded::Flood { first: events::insert_locked(scope, &[&alert]).await? })
}

/// A delivery as far as booking needs it.
struct Booked {
    state: State,
    message: i64,
    may_be_accepted: bool,
    bounced: Option<Verdict>,
}

async fn book(scope: &Scope<'_>, delivery: DeliveryId, event: &EventRecord) -> Result<(), StoreError> {
    if !is_believed(event) {
        return Ok(());
    }
    let key = delivery_key(delivery);
    match (event.kind, &event.verdict) {
        (EventKind::Complaint, _) => {
            let complain =
                scope.db.prepare_cached("UPDATE returnpath.delivery SET complained = true WHERE id = $1").await?;
            scope.db.execute(&complain, &[&key]).await?;
            Ok(())
        }
        (EventKind::Bounce, Some(verdict)) => bounce(scope, key, verdict).await,
        _ => Ok(()),
    }
}

async fn bounce(scope: &Scope<'_>, key: i64, verdict: &Verdict) -> Result<(), StoreError> {
    let query = scope
        .db
        .prepare_cached(
            "SELECT state, message, in_doubt OR was_uncertain, bounced FROM returnpath.delivery WHERE id = $1",
        )
        .await?;
    let Some(row) = scope.db.query_opt(&query, &[&key]).await? else { return Ok(()) };
    let known: Option<&str> = row.try_get(3)?;
    let delivery = Booked {
        state: state(row.try_get::<_, i16>(0)?.into())?,
        message: row.try_get(1)?,
        may_be_accepted: row.try_get(2)?,
        bounced: known.map(|known| from_json("a delivery's bounce", known)).transpose()?,
    };
    let Some(next) = after_bounce(delivery.state, delivery.may_be_accepted) else { return Ok(()) };
    if delivery.bounced.is_some_and(|known| !is_graver(verdict, &known)) {
        return Ok(());
    }
    // The reason of a failure in our own conversation stays.
    let reason = (next != State::Failed).then(|| verdict.reason.name());
    let update = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.delivery SET bounced = $2, reason = coalesce($3, reason), state = $4,
                 in_doubt = in_doubt AND NOT $5, prefix = CASE WHEN $5 THEN '' ELSE prefix END,
                 process = CASE WHEN NOT $5 THEN process END
             WHERE id = $1",
        )
        .await?;
    let is_delivered = next == State::Delivered;
    scope.db.execute(&update, &[&key, &json(verdict)?, &reason, &state_code(next), &is_delivered]).await?;
    if state_code(delivery.state) < FIRST_ENDED && state_code(next) >= FIRST_ENDED {
        outbound::close(scope, &BTreeMap::from([(delivery.message, 1)])).await?;
    }
    Ok(())
}
