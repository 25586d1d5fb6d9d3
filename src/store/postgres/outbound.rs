//! From the lease to the end: the in-flight set, settlements, and what a dead process left behind.
//!
//! Two marks on a delivery say what is not known about it. `in_doubt`: the end of data may have gone out and how it
//! ended is not recorded; set by `begin`, cleared by `settle`, and kept over any number of crashes in between.
//! `was_uncertain`: some attempt ended without an answer, so a remote host may have the message although the
//! delivery is queued again.
//!
//! # Who may say what
//!
//! A delivery in the states 1 and 2 belongs to one process, and so does one that `recover` gave out, until it is
//! settled. Of a process that does not have it any more – its lease had ended, another one took over – only the news
//! that a remote host has taken the message is believed: that ends the delivery. All else it says is void.
//!
//! Rows are locked in one order by all: deliveries, messages, bodies, each by id or hash.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::claim::load;
use super::columns::{FIRST_ENDED, delivery_id, delivery_key, json, state_code};
use super::enqueue::{drop_bodies, high_water};
use super::events;
use super::forget::forgotten;
use super::scope::Scope;
use crate::id::DeliveryId;
use crate::store::transition::Transition;
use crate::store::{Recovered, Settled, Settlement, StoreError};
use crate::time::Timestamp;
use crate::verdict::Reason;

/// Moves leased deliveries into the in-flight set; answers those that are in it now. One that another host left
/// untouched after it had begun is in it already.
pub(super) async fn begin(scope: &Scope<'_>, deliveries: &[DeliveryId]) -> Result<Vec<DeliveryId>, StoreError> {
    let ids: Vec<i64> = deliveries.iter().copied().map(delivery_key).collect();
    // A process that was taken for dead begins nothing more, also before it has learned of it.
    let begin = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.delivery SET state = 2, in_doubt = true WHERE id IN (
                 SELECT id FROM returnpath.delivery WHERE id = ANY ($1) AND state IN (1, 2) AND process = $2
                     AND EXISTS (SELECT FROM returnpath.process p WHERE p.id = $2)
                 ORDER BY id FOR NO KEY UPDATE)
             RETURNING id",
        )
        .await?;
    let rows = scope.db.query(&begin, &[&ids, &scope.process]).await?;
    let begun: HashSet<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(deliveries.iter().copied().filter(|id| begun.contains(&delivery_key(*id))).collect())
}

/// Records ends of attempts with their events.
pub(super) async fn settle(scope: &Scope<'_>, settlements: &[Settlement]) -> Result<(), StoreError> {
    let named = settlements.iter().map(|settlement| settlement.delivery);
    let told = settlements.iter().flat_map(|settlement| &settlement.events).filter_map(|event| event.delivery);
    events::lock(scope, named.chain(told).map(delivery_key)).await?;

    let ids: Vec<i64> = settlements.iter().map(|settlement| delivery_key(settlement.delivery)).collect();
    let query = scope
        .db
        .prepare_cached(
            "SELECT id, state, message, bounced IS NOT NULL, process = $2, process IS NULL
                 AND EXISTS (SELECT FROM returnpath.process p WHERE p.id = $2)
             FROM returnpath.delivery WHERE id = ANY ($1)",
        )
        .await?;
    let mut standings = HashMap::with_capacity(ids.len());
    for row in scope.db.query(&query, &[&ids, &scope.process]).await? {
        let standing = Standing {
            has_ended: row.try_get::<_, i16>(1)? >= FIRST_ENDED,
            message: row.try_get(2)?,
            is_bounced: row.try_get(3)?,
            is_own: row.try_get::<_, Option<bool>>(4)?.unwrap_or(false),
            is_nobodys: row.try_get(5)?,
        };
        standings.insert(row.try_get::<_, i64>(0)?, standing);
    }

    let unknown = ids.iter().copied().filter(|id| !standings.contains_key(id));
    let forgotten = forgotten(scope, unknown).await?;
    let mut changes = Changes::default();
    let mut ended: BTreeMap<i64, i32> = BTreeMap::new();
    let mut events = Vec::new();
    for settlement in settlements {
        let id = delivery_key(settlement.delivery);
        // The events of a delivery that is not in the journal any more are told all the same, unless it was forgotten.
        if forgotten.contains(&id) {
            continue;
        }
        if let Some(standing) = standings.get_mut(&id) {
            // It has its end, and its events are stored: this is a repetition, or came too late.
            if standing.has_ended || !standing.believes(settlement) {
                continue;
            }
            let state = changes.add(scope, id, settlement, standing)?;
            // One delivery has one end of one attempt in a call.
            standing.has_ended = true;
            if state >= FIRST_ENDED {
                *ended.entry(standing.message).or_default() += 1;
            }
        }
        events.extend(&settlement.events);
    }
    changes.write(scope).await?;
    close(scope, &ended).await?;
    events::insert_locked(scope, &events).await?;
    Ok(())
}

/// What a settlement needs to know of its delivery.
struct Standing {
    has_ended: bool,
    message: i64,
    is_bounced: bool,
    /// It is with this process.
    is_own: bool,
    /// It is with nobody, and this process was not buried.
    is_nobodys: bool,
}

impl Standing {
    /// What is held or waits may be settled by whoever knows more. The end of an attempt is no such knowledge, unless a
    /// remote host has taken the message: the attempt was of one that had the delivery before, and either this is told
    /// again because the reply to the commit was lost, or it was released meanwhile.
    fn believes(&self, settlement: &Settlement) -> bool {
        self.is_own || settlement.state == Settled::Delivered || self.is_nobodys && !settlement.attempted
    }
}

/// The columns of one update of many deliveries.
#[derive(Default)]
struct Changes {
    ids: Vec<i64>,
    states: Vec<i16>,
    dues: Vec<Option<i64>>,
    uncertain: Vec<bool>,
    attempts: Vec<i32>,
    delays: Vec<i32>,
    lasts: Vec<Option<String>>,
    reasons: Vec<Option<&'static str>>,
}

impl Changes {
    /// Adds what a settlement changes; answers the state that it leads to.
    fn add(
        &mut self,
        scope: &Scope<'_>,
        id: i64,
        settlement: &Settlement,
        standing: &Standing,
    ) -> Result<i16, StoreError> {
        let Transition { state, due, is_uncertain, reason } = Transition::of(settlement, standing.is_bounced);
        self.ids.push(id);
        self.states.push(state_code(state));
        self.dues.push(due.map(|due| scope.times.to_stored(due)));
        self.uncertain.push(is_uncertain);
        self.attempts.push(settlement.attempted.into());
        self.delays.push(settlement.delay_told.into());
        self.lasts.push(settlement.last.as_ref().map(json).transpose()?);
        self.reasons.push(reason.map(Reason::name));
        Ok(state_code(state))
    }

    async fn write(&self, scope: &Scope<'_>) -> Result<(), StoreError> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let update = scope
            .db
            .prepare_cached(
                "UPDATE returnpath.delivery d SET state = s.state, due = coalesce(s.due, d.due), process = NULL,
                     in_doubt = false, was_uncertain = d.was_uncertain OR s.uncertain,
                     attempts = d.attempts + s.attempts, delays_told = d.delays_told + s.delays,
                     last = coalesce(s.last, d.last), reason = coalesce(s.reason, d.reason),
                     prefix = CASE WHEN s.state >= 4 THEN '' ELSE d.prefix END
                 FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::boolean[], $5::integer[], $6::integer[],
                     $7::text[], $8::text[]) s (id, state, due, uncertain, attempts, delays, last, reason)
                 WHERE d.id = s.id",
            )
            .await?;
        scope
            .db
            .execute(
                &update,
                &[
                    &self.ids,
                    &self.states,
                    &self.dues,
                    &self.uncertain,
                    &self.attempts,
                    &self.delays,
                    &self.lasts,
                    &self.reasons,
                ],
            )
            .await?;
        Ok(())
    }
}

/// Counts open deliveries of messages less, this many of each; with the last one the body goes, unless another
/// message has it.
pub(super) async fn close(scope: &Scope<'_>, ended: &BTreeMap<i64, i32>) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    let messages: Vec<i64> = ended.keys().copied().collect();
    let counts: Vec<i32> = ended.values().copied().collect();
    let (lock, update) = tokio::try_join!(
        biased;
        scope.db.prepare_cached(
            "SELECT id, open, body FROM returnpath.message WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
        ),
        scope.db.prepare_cached(
            "UPDATE returnpath.message m SET open = m.open - c.ended,
                 body = CASE WHEN m.open > c.ended THEN m.body END
             FROM unnest($1::bigint[], $2::integer[]) c (id, ended) WHERE m.id = c.id",
        )
    )?;
    let (rows, _) = tokio::try_join!(
        biased;
        async { scope.db.query(&lock, &[&messages]).await },
        async { scope.db.execute(&update, &[&messages, &counts]).await }
    )?;
    let mut bodies = Vec::new();
    for row in rows {
        let (id, open, body): (i64, i32, Option<i64>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if ended.get(&id).is_some_and(|ended| open <= *ended) {
            bodies.extend(body);
        }
    }
    drop_bodies(scope, &bodies).await
}

/// Voids the leases of dead processes and gives their in-flight sets out, each delivery to one finder.
pub(super) async fn recover(
    scope: &Scope<'_>,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Recovered, StoreError> {
    // Before anything of theirs is touched: one that is only late finds that it is gone, and begins nothing more.
    let bury = scope
        .db
        .prepare_cached(
            "WITH dead AS (DELETE FROM returnpath.process WHERE lease_until <= clock_timestamp() RETURNING id)
             DELETE FROM returnpath.place p USING dead WHERE p.process = dead.id",
        )
        .await?;
    scope.db.execute(&bury, &[]).await?;
    let length = lease_until.as_millis().saturating_sub(now.as_millis());
    let now = scope.now(now).await?;

    // The mark stays until the settlement: a second crash before it finds the same set again.
    let in_doubt = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.delivery SET state = 0, due = $1, was_uncertain = true, process = $2 WHERE id IN (
                 SELECT d.id FROM returnpath.delivery d WHERE d.in_doubt
                     AND NOT EXISTS (SELECT FROM returnpath.process p WHERE p.id = d.process)
                 ORDER BY d.id FOR NO KEY UPDATE SKIP LOCKED)
             RETURNING id",
        )
        .await?;
    let leased = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.delivery SET state = 0, due = $1, process = NULL WHERE id IN (
                 SELECT d.id FROM returnpath.delivery d WHERE d.state = 1 AND d.process IS NOT NULL
                     AND NOT EXISTS (SELECT FROM returnpath.process p WHERE p.id = d.process)
                 ORDER BY d.id FOR NO KEY UPDATE SKIP LOCKED)",
        )
        .await?;
    let rows = scope.db.query(&in_doubt, &[&now.saturating_add(length), &scope.process]).await?;
    let mut ids: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    ids.sort_unstable_by_key(|id| delivery_id(*id));
    let leased = scope.db.execute(&leased, &[&now]).await?;
    Ok(Recovered { in_flight: load(scope, &ids).await?, leased, high_water: high_water(scope).await? })
}
