//! From the lease to the end: the in-flight set, settlements, and what a dead process left behind.
//!
//! Two marks on a delivery say what is not known about it. `in_doubt`: the end of data may have gone out and how it
//! ended is not recorded; set by `begin`, cleared by `settle`, and kept over any number of crashes in between.
//! `was_uncertain`: some attempt ended without an answer, so a remote host may have the message although the
//! delivery is queued again.

use rusqlite::{Connection, OptionalExtension, params};

use super::claim::load_readable;
use super::columns::{FIRST_ENDED, delivery_key, json, state_code};
use super::forget::is_forgotten;
use super::{enqueue, events};
use crate::id::DeliveryId;
use crate::store::transition::Transition;
use crate::store::{Claimed, Recovered, Settled, Settlement, StoreError};
use crate::time::Timestamp;
use crate::verdict::Reason;

/// Moves leased deliveries into the in-flight set; answers those that are in it now. One that another host left
/// untouched after it had begun is in it already.
pub(super) fn begin(db: &Connection, deliveries: &[DeliveryId]) -> Result<Vec<DeliveryId>, StoreError> {
    let mut begin =
        db.prepare_cached("UPDATE delivery SET state = 2, in_doubt = 1 WHERE id = ?1 AND state IN (1, 2)")?;
    let mut begun = Vec::with_capacity(deliveries.len());
    for id in deliveries {
        if begin.execute([delivery_key(*id)])? == 1 {
            begun.push(*id);
        }
    }
    Ok(begun)
}

/// Records ends of attempts with their events.
pub(super) fn settle(db: &Connection, settlements: &[Settlement]) -> Result<(), StoreError> {
    settlements.iter().try_for_each(|settlement| settle_one(db, settlement))
}

/// What a settlement needs to know of its delivery.
struct Standing {
    state: i16,
    message: i64,
    is_bounced: bool,
    /// Somebody has it: it is leased or in flight, or was so in a process that died.
    is_in_hand: bool,
}

impl Standing {
    /// What is held or waits may be settled by whoever knows more. The end of an attempt is no such knowledge: it is told
    /// a second time, unless a remote host has taken the message.
    fn believes(&self, settlement: &Settlement) -> bool {
        self.is_in_hand || settlement.state == Settled::Delivered || !settlement.attempted
    }
}

fn settle_one(db: &Connection, settlement: &Settlement) -> Result<(), StoreError> {
    let id = delivery_key(settlement.delivery);
    let standing = db
        .prepare_cached(
            "SELECT state, message, bounced IS NOT NULL, state IN (1, 2) OR in_doubt = 1 FROM delivery WHERE id = ?1",
        )?
        .query_row([id], |row| {
            let (state, message) = (row.get(0)?, row.get(1)?);
            Ok(Standing { state, message, is_bounced: row.get(2)?, is_in_hand: row.get(3)? })
        })
        .optional()?;
    if let Some(standing) = standing {
        // It has its end, and its events are stored: this is a repetition, or came too late.
        if standing.state >= FIRST_ENDED || !standing.believes(settlement) {
            return Ok(());
        }
        update(db, id, settlement, &standing)?;
    } else if is_forgotten(db, id)? {
        return Ok(());
    }
    // The events of a delivery that is not in the journal any more are told all the same.
    settlement.events.iter().try_for_each(|event| events::insert(db, event).map(drop))
}

fn update(db: &Connection, id: i64, settlement: &Settlement, standing: &Standing) -> Result<(), StoreError> {
    let Transition { state, due, is_uncertain, reason } = Transition::of(settlement, standing.is_bounced);
    let has_ended = state_code(state) >= FIRST_ENDED;
    db.prepare_cached(
        "UPDATE delivery SET state = ?2, due = coalesce(?3, due), in_doubt = 0, was_uncertain = was_uncertain OR ?4,
             attempts = attempts + ?5, delays_told = delays_told + ?6, last = coalesce(?7, last),
             reason = coalesce(?8, reason), prefix = iif(?9, '', prefix)
         WHERE id = ?1",
    )?
    .execute(params![
        id,
        state_code(state),
        due.map(Timestamp::as_millis),
        is_uncertain,
        settlement.attempted,
        settlement.delay_told,
        settlement.last.as_ref().map(json).transpose()?,
        reason.map(Reason::name),
        has_ended,
    ])?;
    if has_ended { close_one(db, standing.message) } else { Ok(()) }
}

/// Counts one open delivery of the message less; with the last one the body goes, unless another message has it.
pub(super) fn close_one(db: &Connection, message: i64) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE message SET open = open - 1 WHERE id = ?1")?.execute([message])?;
    let body: Option<Option<i64>> = db
        .prepare_cached("SELECT body FROM message WHERE id = ?1 AND open <= 0")?
        .query_row([message], |row| row.get(0))
        .optional()?;
    let Some(Some(body)) = body else { return Ok(()) };
    db.prepare_cached("UPDATE message SET body = NULL WHERE id = ?1")?.execute([message])?;
    db.prepare_cached(
        "DELETE FROM body WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM message WHERE body = ?1 AND body IS NOT NULL)",
    )?
    .execute([body])?;
    Ok(())
}

/// Voids the leases of a dead process and gives its in-flight set out.
pub(super) fn recover(db: &Connection, now: Timestamp, lease_until: Timestamp) -> Result<Recovered, StoreError> {
    let mut in_flight: Vec<Claimed> = Vec::new();
    let mut in_doubt = db.prepare_cached("SELECT id FROM delivery WHERE in_doubt = 1 ORDER BY id")?;
    let ids: Vec<i64> = in_doubt.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // The mark stays until the settlement: a second crash before it finds the same set again.
    let mut requeue = db.prepare_cached("UPDATE delivery SET state = 0, due = ?2, was_uncertain = 1 WHERE id = ?1")?;
    for id in ids {
        requeue.execute(params![id, lease_until.as_millis()])?;
        in_flight.extend(load_readable(db, id)?);
    }
    let leased =
        db.prepare_cached("UPDATE delivery SET state = 0, due = ?1 WHERE state = 1")?.execute([now.as_millis()])?;
    Ok(Recovered { in_flight, leased: leased as u64, high_water: enqueue::high_water(db)? })
}
