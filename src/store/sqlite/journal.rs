//! The memory: looking a delivery up, and counting.

use std::ops::Range;
use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::columns::{
    address, delivery_id, delivery_key, message_id, optional_json, shared_bytes, state, stream, tag, time,
};
use crate::id::DeliveryId;
use crate::store::{BodyId, COUNTED, Count, CountBy, Found, StoreError};
use crate::time::Timestamp;

/// Looks a delivery up.
pub(super) fn find(db: &Connection, id: DeliveryId) -> Result<Option<Found>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT d.id, d.message, d.recipient, d.return_path, m.tag, m.mailing, m.metadata, m.stream, d.state,
             d.queued_at, d.attempts, d.last, d.bounced
         FROM delivery d JOIN message m ON m.id = d.message
         WHERE d.id = ?1",
    )?;
    let mut rows = query.query([delivery_key(id)])?;
    rows.next()?.map(found).transpose()
}

fn found(row: &Row<'_>) -> Result<Found, StoreError> {
    Ok(Found {
        id: delivery_id(row.get(0)?),
        message: message_id(row.get(1)?),
        recipient: address(row, 2)?,
        return_path: address(row, 3)?,
        tag: tag(row.get::<_, Option<Vec<u8>>>(4)?.as_deref())?,
        mailing: row.get(5)?,
        metadata: row.get(6)?,
        stream: stream(&row.get::<_, String>(7)?)?,
        state: state(row.get(8)?)?,
        queued_at: time(row, 9)?,
        attempts: row.get(10)?,
        last: optional_json(row, 11, "a delivery's last attempt")?,
        bounced: optional_json(row, 12, "a delivery's bounce")?,
    })
}

/// Reads a body.
pub(super) fn body(db: &Connection, id: BodyId) -> Result<Option<Arc<[u8]>>, StoreError> {
    let mut query = db.prepare_cached("SELECT content FROM body WHERE hash = ?1")?;
    let mut rows = query.query([&id.0[..]])?;
    Ok(rows.next()?.map(|row| shared_bytes(row, 0)).transpose()?.flatten())
}

/// Deliveries that are queued, leased or in flight, and events that are pending. A held one waits for a person, a
/// dead letter too: neither ends by itself, so neither is work that is open.
pub(super) fn open_work(db: &Connection) -> Result<(u64, u64), StoreError> {
    let number =
        |sql: &str| -> Result<i64, StoreError> { Ok(db.prepare_cached(sql)?.query_row([COUNTED], |row| row.get(0))?) };
    let waiting = number("SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state <= 1 LIMIT ?1)")?;
    let in_flight = number("SELECT count(*) FROM (SELECT 1 FROM delivery WHERE in_doubt = 1 AND state = 2 LIMIT ?1)")?;
    let events = number("SELECT count(*) FROM (SELECT 1 FROM event WHERE state <= 1 LIMIT ?1)")?;
    Ok(((waiting + in_flight).unsigned_abs(), events.unsigned_abs()))
}

/// Counts deliveries by when they were queued; the largest group first.
///
/// The counts of one line are taken from the state that each delivery is in now, so a late bounce moves it from one
/// column to the other in the line of the time at which it was queued.
pub(super) fn count(db: &Connection, by: CountBy, range: &Range<Timestamp>) -> Result<Vec<Count>, StoreError> {
    let (name, join) = match by {
        CountBy::Reason => ("d.reason", ""),
        CountBy::Domain => ("d.domain", ""),
        CountBy::Mailing => ("coalesce(m.mailing, '')", "JOIN message m ON m.id = d.message"),
    };
    let mut query = db.prepare_cached(&format!(
        "SELECT {name} AS name, count(*),
             sum(d.state = 4 AND d.bounced IS NULL), sum(d.state = 5), sum(d.state = 4 AND d.bounced IS NOT NULL),
             sum(d.state <= 3), sum(d.complained)
         FROM delivery d {join}
         WHERE d.queued_at >= ?1 AND d.queued_at < ?2 AND name IS NOT NULL
         GROUP BY name ORDER BY 2 DESC, 1"
    ))?;
    let mut rows = query.query(params![range.start.as_millis(), range.end.as_millis()])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        counts.push(Count {
            name: row.get(0)?,
            queued: number(1)?,
            delivered: number(2)?,
            failed: number(3)?,
            bounced: number(4)?,
            open: number(5)?,
            complained: number(6)?,
        });
    }
    Ok(counts)
}
