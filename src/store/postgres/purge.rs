//! Deleting what is older than its class is kept, in steps so small that nobody is held up.
//!
//! Each step is a transaction of its own. It looks at a bounded number of rows behind a mark, and hands the mark on:
//! rows that must stay are not looked at twice. Several processes may purge at once.

use super::enqueue;
use super::scope::Scope;
use crate::store::{Retention, StoreError};
use crate::time::Timestamp;

/// Rows looked at in one step.
const STEP: i64 = 500;

/// The mark in front of every row: a time and a key.
const BEFORE_ALL: (i64, i64) = (i64::MIN, i64::MIN);

/// What a purge goes through, in this order, with the mark that each step leaves for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Raw mail of events; that of a pending event stays, the handler has not seen it.
    Raw { behind: (i64, i64) },
    /// Events that the handler has done with. Dead letters stay until somebody has looked at them.
    Events { behind: (i64, i64) },
    /// Ended deliveries, their messages and keys, what was counted for their return paths.
    Journal { behind: (i64, i64) },
    /// What was counted for deliveries that the journal does not know.
    Inbound { from: i64 },
    /// The numbers of forgotten deliveries, of which nothing can be heard any more.
    Forgotten,
}

impl Stage {
    /// Where a purge starts.
    pub(super) const FIRST: Stage = Stage::Raw { behind: BEFORE_ALL };
}

/// One step: how many rows went, and where the next starts.
pub(super) async fn step(
    scope: &Scope<'_>,
    stage: Stage,
    retention: Retention,
    now: Timestamp,
) -> Result<(u64, Option<Stage>), StoreError> {
    let stored = |time: Timestamp| scope.times.to_stored(time);
    match stage {
        Stage::Raw { behind } => {
            let (gone, last) = timed(scope, RAW, behind, stored(now - retention.raw)).await?;
            let next = last.map_or(Stage::Events { behind: BEFORE_ALL }, |behind| Stage::Raw { behind });
            Ok((gone, Some(next)))
        }
        Stage::Events { behind } => {
            let (gone, last) = timed(scope, EVENTS, behind, stored(now - retention.events)).await?;
            let next = last.map_or(Stage::Journal { behind: BEFORE_ALL }, |behind| Stage::Events { behind });
            Ok((gone, Some(next)))
        }
        Stage::Journal { behind } => {
            if behind == BEFORE_ALL {
                enqueue::keep_high_water(scope).await?;
            }
            let (gone, last) = timed(scope, DELIVERIES, behind, stored(now - retention.journal)).await?;
            let next = last.map_or(Stage::Inbound { from: i64::MIN }, |behind| Stage::Journal { behind });
            Ok((gone, Some(next)))
        }
        Stage::Inbound { from } => inbound(scope, from, stored(now - retention.journal)).await,
        Stage::Forgotten => forgotten(scope, stored(now - retention.journal)).await,
    }
}

// Each of the three takes a mark, a time and a number of rows; answers how many rows went, and the last one's mark.

const RAW: &str = "
    WITH seen AS MATERIALIZED (
        SELECT r.at, r.sequence, coalesce(e.state, 2) >= 2 AS was_told
        FROM returnpath.event_raw r LEFT JOIN returnpath.event e ON e.sequence = r.sequence
        WHERE r.at < $3 AND (r.at, r.sequence) > ($1, $2) ORDER BY r.at, r.sequence LIMIT $4
    ), gone AS (
        DELETE FROM returnpath.event_raw r USING seen WHERE r.sequence = seen.sequence AND seen.was_told RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), at, sequence FROM seen ORDER BY at DESC, sequence DESC LIMIT 1";

const EVENTS: &str = "
    WITH seen AS MATERIALIZED (
        SELECT at, sequence, state FROM returnpath.event
        WHERE at < $3 AND (at, sequence) > ($1, $2) ORDER BY at, sequence LIMIT $4
    ), gone AS (
        DELETE FROM returnpath.event e USING seen WHERE e.sequence = seen.sequence AND e.state = 2
        RETURNING e.sequence
    ), raw AS (
        DELETE FROM returnpath.event_raw r USING gone WHERE r.sequence = gone.sequence RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM raw), at, sequence
    FROM seen ORDER BY at DESC, sequence DESC LIMIT 1";

const DELIVERIES: &str = "
    WITH seen AS MATERIALIZED (
        SELECT queued_at, id FROM returnpath.delivery
        WHERE queued_at < $3 AND (queued_at, id) > ($1, $2) ORDER BY queued_at, id LIMIT $4
    ), gone AS (
        DELETE FROM returnpath.delivery d USING seen WHERE d.id = seen.id AND d.state >= 4
        RETURNING d.id, d.message
    ), counted AS (
        DELETE FROM returnpath.inbound i USING gone WHERE i.delivery = gone.id RETURNING 1
    ), messages AS (
        DELETE FROM returnpath.message m USING (SELECT DISTINCT message FROM gone) last
        WHERE m.id = last.message AND NOT EXISTS (
            SELECT FROM returnpath.delivery d
            WHERE d.message = m.id AND d.id NOT IN (SELECT id FROM gone))
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM counted) + (SELECT count(*) FROM messages),
        queued_at, id
    FROM seen ORDER BY queued_at DESC, id DESC LIMIT 1";

async fn timed(
    scope: &Scope<'_>,
    sql: &str,
    behind: (i64, i64),
    cutoff: i64,
) -> Result<(u64, Option<(i64, i64)>), StoreError> {
    let statement = scope.db.prepare_cached(sql).await?;
    let Some(row) = scope.db.query_opt(&statement, &[&behind.0, &behind.1, &cutoff, &STEP]).await? else {
        return Ok((0, None));
    };
    Ok((row.try_get::<_, i64>(0)?.unsigned_abs(), Some((row.try_get(1)?, row.try_get(2)?))))
}

async fn inbound(scope: &Scope<'_>, from: i64, cutoff: i64) -> Result<(u64, Option<Stage>), StoreError> {
    // Keys are any 64 bits, so the mark is the first key that was not looked at yet.
    let statement = scope
        .db
        .prepare_cached(
            "WITH seen AS MATERIALIZED (
                 SELECT delivery, first_at FROM returnpath.inbound WHERE delivery >= $1 ORDER BY delivery LIMIT $3
             ), gone AS (
                 DELETE FROM returnpath.inbound i USING seen
                 WHERE i.delivery = seen.delivery AND seen.first_at < $2
                     AND NOT EXISTS (SELECT FROM returnpath.delivery d WHERE d.id = seen.delivery)
                 RETURNING 1
             )
             SELECT (SELECT count(*) FROM gone), max(delivery) FROM seen",
        )
        .await?;
    let row = scope.db.query_one(&statement, &[&from, &cutoff, &STEP]).await?;
    let last: Option<i64> = row.try_get(1)?;
    let next = last.and_then(|last| last.checked_add(1)).map_or(Stage::Forgotten, |from| Stage::Inbound { from });
    Ok((row.try_get::<_, i64>(0)?.unsigned_abs(), Some(next)))
}

async fn forgotten(scope: &Scope<'_>, cutoff: i64) -> Result<(u64, Option<Stage>), StoreError> {
    // Few, so they have no index by time.
    let delete = "DELETE FROM returnpath.forgotten_delivery WHERE id IN (
                      SELECT id FROM returnpath.forgotten_delivery WHERE at < $1 LIMIT $2)";
    let delete = scope.db.prepare_cached(delete).await?;
    let gone = scope.db.execute(&delete, &[&cutoff, &STEP]).await?;
    Ok((gone, (gone == STEP.unsigned_abs()).then_some(Stage::Forgotten)))
}
