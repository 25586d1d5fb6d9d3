//! The memory: looking a delivery up, and counting.

use std::ops::Range;
use std::sync::Arc;

use tokio_postgres::Row;

use super::columns::{address, damaged, delivery_id, delivery_key, message_id, optional_json, state, stream, tag};
use super::scope::Scope;
use crate::id::DeliveryId;
use crate::store::{BodyId, COUNTED, Count, CountBy, Found, StoreError};
use crate::time::Timestamp;

/// Looks a delivery up.
pub(super) async fn find(scope: &Scope<'_>, id: DeliveryId) -> Result<Option<Found>, StoreError> {
    let query = scope
        .db
        .prepare_cached(
            "SELECT d.id, d.message, d.recipient, d.return_path, m.tag, m.mailing, m.metadata, m.stream, d.state,
                 d.queued_at, d.attempts, d.last, d.bounced
             FROM returnpath.delivery d JOIN returnpath.message m ON m.id = d.message
             WHERE d.id = $1",
        )
        .await?;
    let row = scope.db.query_opt(&query, &[&delivery_key(id)]).await?;
    row.map(|row| found(scope, &row)).transpose()
}

fn found(scope: &Scope<'_>, row: &Row) -> Result<Found, StoreError> {
    Ok(Found {
        id: delivery_id(row.try_get(0)?),
        message: message_id(row.try_get(1)?),
        recipient: address(row, 2)?,
        return_path: address(row, 3)?,
        tag: tag(row.try_get(4)?)?,
        mailing: row.try_get(5)?,
        metadata: row.try_get(6)?,
        stream: stream(row.try_get(7)?)?,
        state: state(row.try_get::<_, i16>(8)?.into())?,
        queued_at: scope.times.at(row.try_get(9)?),
        attempts: u32::try_from(row.try_get::<_, i32>(10)?).map_err(|error| damaged("a count of attempts", error))?,
        last: optional_json(row, 11, "a delivery's last attempt")?,
        bounced: optional_json(row, 12, "a delivery's bounce")?,
    })
}

/// Reads a body.
pub(super) async fn body(scope: &Scope<'_>, id: BodyId) -> Result<Option<Arc<[u8]>>, StoreError> {
    let query = scope.db.prepare_cached("SELECT content FROM returnpath.body WHERE hash = $1").await?;
    let row = scope.db.query_opt(&query, &[&&id.0[..]]).await?;
    row.map(|row| Ok(Arc::from(row.try_get::<_, &[u8]>(0)?))).transpose()
}

/// Deliveries that are queued, leased or in flight, and events that are pending. A held one waits for a person, a
/// dead letter too: neither ends by itself, so neither is work that is open.
pub(super) async fn open_work(scope: &Scope<'_>) -> Result<(u64, u64), StoreError> {
    let query = scope
        .db
        .prepare_cached(
            "SELECT (SELECT count(*) FROM (SELECT FROM returnpath.delivery WHERE state <= 1 LIMIT $1) waiting)
                  + (SELECT count(*) FROM (
                         SELECT FROM returnpath.delivery WHERE in_doubt AND state = 2 LIMIT $1) in_flight),
                 (SELECT count(*) FROM (SELECT FROM returnpath.event WHERE state <= 1 LIMIT $1) pending)",
        )
        .await?;
    let row = scope.db.query_one(&query, &[&COUNTED]).await?;
    Ok((row.try_get::<_, i64>(0)?.unsigned_abs(), row.try_get::<_, i64>(1)?.unsigned_abs()))
}

/// Counts deliveries by when they were queued; the largest group first.
///
/// The counts of one line are taken from the state that each delivery is in now, so a late bounce moves it from one
/// column to the other in the line of the time at which it was queued.
pub(super) async fn count(scope: &Scope<'_>, by: CountBy, range: &Range<Timestamp>) -> Result<Vec<Count>, StoreError> {
    let (name, join) = match by {
        CountBy::Reason => ("d.reason", ""),
        CountBy::Domain => ("d.domain", ""),
        CountBy::Mailing => ("coalesce(m.mailing, '')", "JOIN returnpath.message m ON m.id = d.message"),
    };
    let query = scope
        .db
        .prepare_cached(&format!(
            "SELECT {name}, count(*),
                 count(*) FILTER (WHERE d.state = 4 AND d.bounced IS NULL), count(*) FILTER (WHERE d.state = 5),
                 count(*) FILTER (WHERE d.state = 4 AND d.bounced IS NOT NULL),
                 count(*) FILTER (WHERE d.state <= 3), count(*) FILTER (WHERE d.complained)
             FROM returnpath.delivery d {join}
             WHERE d.queued_at >= $1 AND d.queued_at < $2 AND {name} IS NOT NULL
             GROUP BY 1 ORDER BY 2 DESC, {name} COLLATE \"C\""
        ))
        .await?;
    let (start, end) = (scope.times.to_stored(range.start), scope.times.to_stored(range.end));
    let line = |row: &Row| -> Result<Count, StoreError> {
        let number = |column: usize| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(Count {
            name: row.try_get(0)?,
            queued: number(1)?,
            delivered: number(2)?,
            failed: number(3)?,
            bounced: number(4)?,
            open: number(5)?,
            complained: number(6)?,
        })
    };
    scope.db.query(&query, &[&start, &end]).await?.iter().map(line).collect()
}
