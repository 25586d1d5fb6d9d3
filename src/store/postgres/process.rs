//! The processes that share the store: a row with a lease each, a node number each, and places for connections.

use std::time::Duration;

use super::columns::size;
use super::news::notify;
use super::scope::Scope;
use crate::store::{Beat, News, StoreError};

/// What this process is to the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// Its row.
    pub(super) id: i64,
    pub(super) node: u16,
}

/// Becomes a member, with the smallest node number that is free.
pub(super) async fn register(scope: &Scope<'_>, keys: u64, lease: Duration) -> Result<Member, StoreError> {
    // One at a time: two that start at once would choose the same number.
    scope.db.batch_execute("LOCK TABLE returnpath.process IN SHARE ROW EXCLUSIVE MODE").await?;
    let insert = scope
        .db
        .prepare_cached(
            "INSERT INTO returnpath.process (node, lease_until, keys)
             SELECT min(free)::smallint, clock_timestamp() + $1::bigint * interval '1 millisecond', $2
             FROM generate_series(0, 1023) free
             WHERE NOT EXISTS (SELECT FROM returnpath.process p WHERE p.node = free)
             HAVING min(free) IS NOT NULL
             RETURNING id, node",
        )
        .await?;
    let Some(row) = scope.db.query_opt(&insert, &[&millis(lease), &(keys as i64)]).await? else {
        return Err(StoreError::Failed("1,024 processes share this database already; there is no number left".into()));
    };
    // The others leave it its part at once.
    notify(scope, News::Processes).await?;
    let node: i16 = row.try_get(1)?;
    Ok(Member { id: row.try_get(0)?, node: node.unsigned_abs() })
}

/// Renews the lease. One that finds its row gone becomes a member anew, which is the second answer.
pub(super) async fn beat(scope: &Scope<'_>, keys: u64, lease: Duration) -> Result<(Beat, Option<Member>), StoreError> {
    // Whose lease has ended but whom nobody buried yet is late and not lost: its deliveries are still its own.
    let renew = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.process SET lease_until = clock_timestamp() + $2::bigint * interval '1 millisecond',
                 keys = $3
             WHERE id = $1",
        )
        .await?;
    let renewed = scope.db.execute(&renew, &[&scope.process, &millis(lease), &(keys as i64)]).await?;
    let anew = if renewed == 0 { Some(register(scope, keys, lease).await?) } else { None };
    let living = scope
        .db
        .prepare_cached(
            "SELECT count(*), bit_and(keys), (SELECT value FROM returnpath.meta WHERE name = 'ring')
             FROM returnpath.process WHERE lease_until > clock_timestamp()",
        )
        .await?;
    let row = scope.db.query_one(&living, &[]).await?;
    let (processes, common): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let beat = Beat {
        processes: u32::try_from(processes.max(1)).unwrap_or(u32::MAX),
        common_keys: common.map_or(keys, |common| common as u64),
        was_fenced: anew.is_some(),
        ring: row.try_get::<_, Option<i64>>(2)?.unwrap_or(0),
    };
    Ok((beat, anew))
}

/// Says goodbye: the places are free at once, and what is still leased is due by `recover` of another.
pub(super) async fn leave(scope: &Scope<'_>) -> Result<(), StoreError> {
    for statement in ["DELETE FROM returnpath.place WHERE process = $1", "DELETE FROM returnpath.process WHERE id = $1"]
    {
        let statement = scope.db.prepare_cached(statement).await?;
        scope.db.execute(&statement, &[&scope.process]).await?;
    }
    notify(scope, News::Processes).await
}

/// Takes one of the first `limit` places at a destination, or one that a dead process had.
pub(super) async fn take_place(scope: &Scope<'_>, destination: &str, limit: usize) -> Result<Option<u32>, StoreError> {
    // Two that want the same one: the second waits for the first, is told that nothing changed, and looks again.
    const TRIES: usize = 8;
    let take = scope
        .db
        .prepare_cached(
            "INSERT INTO returnpath.place AS held (destination, number, process)
             SELECT $1, free, $3 FROM generate_series(0::bigint, $2::bigint - 1) free
             WHERE NOT EXISTS (
                 SELECT FROM returnpath.place taken JOIN returnpath.process p ON p.id = taken.process
                 WHERE taken.destination = $1 AND taken.number = free AND p.lease_until > clock_timestamp())
             ORDER BY free LIMIT 1
             ON CONFLICT (destination, number) DO UPDATE SET process = excluded.process
                 WHERE NOT EXISTS (SELECT FROM returnpath.process p
                                   WHERE p.id = held.process AND p.lease_until > clock_timestamp())
             RETURNING number",
        )
        .await?;
    let count = scope
        .db
        .prepare_cached(
            "SELECT count(*) FROM returnpath.place taken JOIN returnpath.process p ON p.id = taken.process
             WHERE taken.destination = $1 AND taken.number < $2::bigint AND p.lease_until > clock_timestamp()",
        )
        .await?;
    let limit = size(limit).min(i64::from(i32::MAX));
    for _ in 0..TRIES {
        if let Some(row) = scope.db.query_opt(&take, &[&destination, &limit, &scope.process]).await? {
            return Ok(u32::try_from(row.try_get::<_, i32>(0)?).ok());
        }
        if scope.db.query_one(&count, &[&destination, &limit]).await?.try_get::<_, i64>(0)? >= limit {
            break;
        }
    }
    Ok(None)
}

/// Gives a place back, if this process has it.
pub(super) async fn leave_place(scope: &Scope<'_>, destination: &str, place: u32) -> Result<(), StoreError> {
    let leave = scope
        .db
        .prepare_cached("DELETE FROM returnpath.place WHERE destination = $1 AND number = $2 AND process = $3")
        .await?;
    scope.db.execute(&leave, &[&destination, &i32::try_from(place).unwrap_or(-1), &scope.process]).await?;
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
