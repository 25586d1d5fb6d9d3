//! Which deliveries go next: due ones, fairly between destinations and processes, at a cost that does not grow with
//! the queue.
//!
//! The index on (destination, due) is walked from one destination to the next by seeks, starting behind the last one
//! that was served, so a destination with a million due messages costs as much as one with ten, and none starves.
//! What another process is taking at this moment is passed over. Where more destinations wait than one call looks
//! at, the eldest due deliveries are taken as well: many thousand destinations that are all postponed do not hide
//! the few that are due.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::columns::{address, damaged, delivery_id, delivery_key, limit, message_id, optional_json, stream, tag};
use super::scope::Scope;
use crate::id::DeliveryId;
use crate::store::{BodyId, ClaimRequest, Claimed, StoreError};
use crate::time::Timestamp;

/// Destinations looked at in one call, and due deliveries looked at behind them: some milliseconds.
const LOOKED_AT: i64 = 4096;

/// Leases due deliveries. Starts behind the destination `turn`; answers also where the next call starts.
pub(super) async fn claim(
    scope: &Scope<'_>,
    request: &ClaimRequest,
    turn: &str,
) -> Result<(Vec<Claimed>, String), StoreError> {
    let now = scope.now(request.now).await?;
    let until = until(scope, request, now);
    // The walk makes no more steps than are asked of it: it ends when the limit is reached.
    let walk = scope
        .db
        .prepare_cached(
            "WITH RECURSIVE ahead (destination, n) AS (
                 (SELECT destination, 1::bigint FROM returnpath.delivery WHERE state <= 1 AND destination > $1
                  ORDER BY destination LIMIT 1)
                 UNION ALL
                 SELECT next.destination, n + 1 FROM ahead CROSS JOIN LATERAL (
                     SELECT d.destination FROM returnpath.delivery d
                     WHERE d.state <= 1 AND d.destination > ahead.destination ORDER BY d.destination LIMIT 1) next
                 WHERE n < $2
             ), behind (destination, n) AS (
                 (SELECT destination, (SELECT count(*) FROM ahead) + 1 FROM returnpath.delivery
                  WHERE state <= 1 AND destination <= $1 AND (SELECT count(*) FROM ahead) < $2
                  ORDER BY destination LIMIT 1)
                 UNION ALL
                 SELECT next.destination, n + 1 FROM behind CROSS JOIN LATERAL (
                     SELECT d.destination FROM returnpath.delivery d
                     WHERE d.state <= 1 AND d.destination > behind.destination AND d.destination <= $1
                     ORDER BY d.destination LIMIT 1) next
                 WHERE n < $2
             ), walk AS MATERIALIZED (
                 SELECT destination, n FROM ahead UNION ALL SELECT destination, n FROM behind
             ), chosen AS MATERIALIZED (
                 SELECT due.id, walk.destination, walk.n FROM walk CROSS JOIN LATERAL (
                     SELECT d.id FROM returnpath.delivery d
                     WHERE d.state <= 1 AND d.destination = walk.destination AND d.due <= $3
                     ORDER BY d.due LIMIT $4 FOR UPDATE SKIP LOCKED) due
                 WHERE walk.destination <> ALL ($5) LIMIT $6
             ), leased AS (
                 UPDATE returnpath.delivery d SET state = 1, due = $7, process = $8
                 FROM chosen WHERE d.id = chosen.id RETURNING d.id, chosen.n, chosen.destination
             )
             SELECT (SELECT array_agg(id ORDER BY n) FROM leased),
                 (SELECT destination FROM leased ORDER BY n DESC LIMIT 1),
                 CASE WHEN (SELECT count(*) FROM chosen) < $6 THEN (SELECT destination FROM walk WHERE n = $2) END",
        )
        .await?;
    let (share, room) = (limit(request.per_destination), limit(request.limit));
    let row = scope
        .db
        .query_one(&walk, &[&turn, &LOOKED_AT, &now, &share, &request.skip, &room, &until, &scope.process])
        .await?;
    let mut ids: Vec<i64> = row.try_get::<_, Option<_>>(0)?.unwrap_or_default();
    let served: Option<String> = row.try_get(1)?;
    let cut: Option<String> = row.try_get(2)?;
    let next = match cut {
        Some(last) => {
            eldest(scope, request, now, &mut ids).await?;
            last
        }
        None if ids.len() >= request.limit => served.unwrap_or_else(|| turn.to_owned()),
        None => turn.to_owned(),
    };
    Ok((load(scope, &ids).await?, next))
}

/// The end of the lease, in the time that the database counts.
fn until(scope: &Scope<'_>, request: &ClaimRequest, now: i64) -> i64 {
    let length = request.lease_until.as_millis().saturating_sub(request.now.as_millis());
    if request.lease_until == Timestamp::MAX {
        scope.times.to_stored(Timestamp::MAX)
    } else {
        now.saturating_add(length)
    }
}

/// Leases the eldest due deliveries, whatever their destination, within the same shares.
async fn eldest(scope: &Scope<'_>, request: &ClaimRequest, now: i64, ids: &mut Vec<i64>) -> Result<(), StoreError> {
    let (due, of) = tokio::try_join!(
        biased;
        scope.db.prepare_cached(
            "SELECT id, destination FROM returnpath.delivery WHERE state <= 1 AND due <= $1 ORDER BY due LIMIT $2",
        ),
        scope.db.prepare_cached("SELECT destination FROM returnpath.delivery WHERE id = ANY ($1)")
    )?;
    let mut shares: HashMap<String, usize> = HashMap::new();
    for row in scope.db.query(&of, &[&*ids]).await? {
        *shares.entry(row.try_get(0)?).or_default() += 1;
    }
    let mut chosen: Vec<i64> = Vec::new();
    for row in scope.db.query(&due, &[&now, &LOOKED_AT]).await? {
        let (id, destination): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        if ids.len() + chosen.len() >= request.limit {
            break;
        }
        if request.skip.contains(&destination) {
            continue;
        }
        let share = shares.entry(destination).or_default();
        if *share < request.per_destination {
            *share += 1;
            chosen.push(id);
        }
    }
    // The addition keeps the planner to the primary key, and off the index of all that is due.
    let lease = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.delivery SET state = 1, due = $2, process = $3 WHERE id IN (
                 SELECT id FROM returnpath.delivery WHERE id = ANY ($1) AND state + 0 <= 1 AND due <= $4
                 FOR UPDATE SKIP LOCKED)
             RETURNING id",
        )
        .await?;
    let until = until(scope, request, now);
    for row in scope.db.query(&lease, &[&chosen, &until, &scope.process, &now]).await? {
        ids.push(row.try_get(0)?);
    }
    Ok(())
}

/// When the next queued or leased delivery is due.
pub(super) async fn next_due(scope: &Scope<'_>) -> Result<Option<Timestamp>, StoreError> {
    let query =
        scope.db.prepare_cached("SELECT due FROM returnpath.delivery WHERE state <= 1 ORDER BY due LIMIT 1").await?;
    let row = scope.db.query_opt(&query, &[]).await?;
    row.map(|row| Ok(scope.times.at(row.try_get(0)?))).transpose()
}

/// Renews leases that have not been lost.
pub(super) async fn renew(scope: &Scope<'_>, deliveries: &[DeliveryId], until: Timestamp) -> Result<(), StoreError> {
    let ids: Vec<i64> = deliveries.iter().copied().map(delivery_key).collect();
    let renew = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.delivery SET due = $2 WHERE id IN (
                 SELECT id FROM returnpath.delivery WHERE id = ANY ($1) AND state = 1 AND process = $3
                 ORDER BY id FOR NO KEY UPDATE)",
        )
        .await?;
    scope.db.execute(&renew, &[&ids, &scope.times.to_stored(until), &scope.process]).await?;
    Ok(())
}

/// Everything that sending these deliveries needs, in their order. One that is damaged, or has lost its message or
/// body, is reported and left out: only another program or a broken disk can have done that, and it must not hold up
/// all others.
pub(super) async fn load(scope: &Scope<'_>, ids: &[i64]) -> Result<Vec<Claimed>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let query = scope
        .db
        .prepare_cached(
            "SELECT d.id, d.message, d.recipient, d.return_path, d.prefix, d.destination, b.hash, m.body_size,
                 m.smtputf8, m.eight_bit, m.tag, m.mailing, m.metadata, m.stream, m.queued_at, m.expires,
                 m.own_deadline, d.attempts, d.delays_told, d.last
             FROM returnpath.delivery d JOIN returnpath.message m ON m.id = d.message
                 JOIN returnpath.body b ON b.id = m.body
             WHERE d.id = ANY ($1)",
        )
        .await?;
    let mut found = HashMap::with_capacity(ids.len());
    for row in scope.db.query(&query, &[&ids]).await? {
        found.insert(row.try_get::<_, i64>(0)?, claimed(scope, &row));
    }
    let readable = |id: &i64| {
        let why = match found.remove(id) {
            Some(Ok(delivery)) => return Some(delivery),
            Some(Err(error)) => error.to_string(),
            None => "it has no message or body".to_owned(),
        };
        tracing::error!(delivery = %delivery_id(*id), why, "a delivery in the store cannot be read");
        None
    };
    Ok(ids.iter().filter_map(readable).collect())
}

fn claimed(scope: &Scope<'_>, row: &Row) -> Result<Claimed, StoreError> {
    let body: &[u8] = row.try_get(6)?;
    let body = body.try_into().map_err(|_| damaged("a body's hash", "it has not 32 bytes"))?;
    Ok(Claimed {
        id: delivery_id(row.try_get(0)?),
        message: message_id(row.try_get(1)?),
        recipient: address(row, 2)?,
        return_path: address(row, 3)?,
        prefix: row.try_get(4)?,
        destination: row.try_get(5)?,
        body: BodyId(body),
        body_size: u64::try_from(row.try_get::<_, i64>(7)?).unwrap_or(0),
        smtputf8: row.try_get(8)?,
        eight_bit: row.try_get(9)?,
        tag: tag(row.try_get(10)?)?,
        mailing: row.try_get(11)?,
        metadata: row.try_get(12)?,
        stream: stream(row.try_get(13)?)?,
        queued_at: scope.times.at(row.try_get(14)?),
        expires: scope.times.at(row.try_get(15)?),
        own_deadline: row.try_get(16)?,
        attempts: u32::try_from(row.try_get::<_, i32>(17)?).unwrap_or(0),
        delays_told: u32::try_from(row.try_get::<_, i32>(18)?).unwrap_or(0),
        last: optional_json(row, 19, "a delivery's last attempt")?,
    })
}
