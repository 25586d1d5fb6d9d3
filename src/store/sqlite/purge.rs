//! Deleting what is older than its class is kept, in steps so small that the writer is never held up.
//!
//! Each step is one job of the writer, so what waits goes in between two of them. A step looks at a bounded number
//! of rows behind a mark, and hands the mark on: rows that must stay are not looked at twice.

use rusqlite::{Connection, params};

use crate::store::{Retention, StoreError};
use crate::time::Timestamp;

/// Rows looked at in one step, and pages given back to the disk in one.
const STEP: i64 = 500;
/// Raw mail deleted in one step, in bytes: its pages are all written.
const STEP_BYTES: i64 = 8 << 20;

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
    Inbound { behind: Option<i64> },
    /// The numbers of forgotten deliveries, of which nothing can be heard any more.
    Forgotten,
    /// Free pages.
    Pages,
}

impl Stage {
    /// Where a purge starts.
    pub(super) const FIRST: Stage = Stage::Raw { behind: BEFORE_ALL };
}

/// One step: how many rows went, and where the next starts.
pub(super) fn step(
    db: &Connection,
    stage: Stage,
    retention: Retention,
    now: Timestamp,
) -> Result<(u64, Option<Stage>), StoreError> {
    let journal = (now - retention.journal).as_millis();
    match stage {
        Stage::Raw { behind } => raw(db, behind, (now - retention.raw).as_millis()),
        Stage::Events { behind } => events(db, behind, (now - retention.events).as_millis()),
        Stage::Journal { behind } => deliveries(db, behind, journal),
        Stage::Inbound { behind } => inbound(db, behind, journal),
        Stage::Forgotten => forgotten(db, journal),
        Stage::Pages => pages(db),
    }
}

type Step = Result<(u64, Option<Stage>), StoreError>;

fn raw(db: &Connection, behind: (i64, i64), cutoff: i64) -> Step {
    let mut query = db.prepare_cached(
        "SELECT r.at, r.sequence, coalesce(e.state, 2) >= 2, length(r.content)
         FROM event_raw r LEFT JOIN event e ON e.sequence = r.sequence
         WHERE r.at < ?3 AND (r.at, r.sequence) > (?1, ?2) ORDER BY r.at, r.sequence LIMIT ?4",
    )?;
    let mut rows: Vec<(i64, i64, bool, i64)> = query
        .query_map(params![behind.0, behind.1, cutoff, STEP], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    bound(&mut rows, |row| row.3);
    let mut delete = db.prepare_cached("DELETE FROM event_raw WHERE sequence = ?1")?;
    let mut gone = 0;
    for (_, sequence, was_told, _) in &rows {
        if *was_told {
            gone += delete.execute([sequence])? as u64;
        }
    }
    let next = match rows.last() {
        Some((at, sequence, ..)) => Stage::Raw { behind: (*at, *sequence) },
        None => Stage::Events { behind: BEFORE_ALL },
    };
    Ok((gone, Some(next)))
}

/// Leaves so many rows that their bytes are within the bound, and one at least.
fn bound<T>(rows: &mut Vec<T>, bytes: impl Fn(&T) -> i64) {
    let mut sum = 0;
    let fits = rows.iter().take_while(|row| {
        sum += bytes(row);
        sum <= STEP_BYTES
    });
    let fitting = fits.count().max(1);
    rows.truncate(fitting);
}

fn events(db: &Connection, behind: (i64, i64), cutoff: i64) -> Step {
    let mut query = db.prepare_cached(
        "SELECT at, sequence, state, coalesce((SELECT length(content) FROM event_raw r WHERE r.sequence = e.sequence), 0)
         FROM event e
         WHERE at < ?3 AND (at, sequence) > (?1, ?2) ORDER BY at, sequence LIMIT ?4",
    )?;
    let mut rows: Vec<(i64, i64, i64, i64)> = query
        .query_map(params![behind.0, behind.1, cutoff, STEP], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    bound(&mut rows, |row| row.3);
    let mut delete = db.prepare_cached("DELETE FROM event WHERE sequence = ?1")?;
    let mut delete_raw = db.prepare_cached("DELETE FROM event_raw WHERE sequence = ?1")?;
    let mut gone = 0;
    for (_, sequence, state, _) in &rows {
        if *state == 2 {
            gone += (delete.execute([sequence])? + delete_raw.execute([sequence])?) as u64;
        }
    }
    let next = match rows.last() {
        Some((at, sequence, ..)) => Stage::Events { behind: (*at, *sequence) },
        None => Stage::Journal { behind: BEFORE_ALL },
    };
    Ok((gone, Some(next)))
}

fn deliveries(db: &Connection, behind: (i64, i64), cutoff: i64) -> Step {
    let mut query = db.prepare_cached(
        "SELECT queued_at, id, state >= 4, message FROM delivery
         WHERE queued_at < ?3 AND (queued_at, id) > (?1, ?2) ORDER BY queued_at, id LIMIT ?4",
    )?;
    let rows: Vec<(i64, i64, bool, i64)> = query
        .query_map(params![behind.0, behind.1, cutoff, STEP], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut delete = db.prepare_cached("DELETE FROM delivery WHERE id = ?1")?;
    let mut delete_inbound = db.prepare_cached("DELETE FROM inbound WHERE delivery = ?1")?;
    let mut delete_message = db.prepare_cached(
        "DELETE FROM message WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM delivery WHERE message = ?1)",
    )?;
    let mut gone = 0;
    for (_, id, has_ended, message) in &rows {
        if *has_ended {
            gone += delete.execute([id])? + delete_inbound.execute([id])? + delete_message.execute([message])?;
        }
    }
    let next = match rows.last() {
        Some((queued_at, id, ..)) => Stage::Journal { behind: (*queued_at, *id) },
        None => Stage::Inbound { behind: None },
    };
    Ok((gone as u64, Some(next)))
}

fn inbound(db: &Connection, behind: Option<i64>, cutoff: i64) -> Step {
    let mut query = db.prepare_cached(
        "SELECT delivery, first_at < ?2 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = i.delivery)
         FROM inbound i WHERE delivery >= ?1 ORDER BY delivery LIMIT ?3",
    )?;
    // Keys are any 64 bits, so the mark is the first key that was not looked at yet.
    let rows: Vec<(i64, bool)> = query
        .query_map(params![behind.unwrap_or(i64::MIN), cutoff, STEP], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut delete = db.prepare_cached("DELETE FROM inbound WHERE delivery = ?1")?;
    let mut gone = 0;
    for (delivery, is_old) in &rows {
        if *is_old {
            gone += delete.execute([delivery])? as u64;
        }
    }
    let next = match rows.last().and_then(|(last, _)| last.checked_add(1)) {
        Some(first) => Stage::Inbound { behind: Some(first) },
        None => Stage::Forgotten,
    };
    Ok((gone, Some(next)))
}

fn forgotten(db: &Connection, cutoff: i64) -> Step {
    let gone = db
        .prepare_cached(
            "DELETE FROM forgotten_delivery WHERE id IN (SELECT id FROM forgotten_delivery WHERE at < ?1 LIMIT ?2)",
        )?
        .execute([cutoff, STEP])?;
    Ok((gone as u64, Some(if gone as i64 == STEP { Stage::Forgotten } else { Stage::Pages })))
}

/// Gives pages back while more than a quarter of the file is free; what stays free is used by the next messages.
fn pages(db: &Connection) -> Step {
    let number = |pragma: &str| db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let free = number("freelist_count")?;
    if free <= STEP || free < number("page_count")? / 4 {
        return Ok((0, None));
    }
    // One page a row of its result.
    let mut vacuum = db.prepare_cached(&format!("PRAGMA incremental_vacuum({STEP})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok((0, if number("freelist_count")? < free { Some(Stage::Pages) } else { None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{DAY, NOON};

    /// Rows of each class, in any number: what a step may do does not depend on it.
    fn filled(rows: i64) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").unwrap();
        crate::store::sqlite::schema::migrate(&db, 0).unwrap();
        let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})");
        let at = NOON.as_millis();
        db.execute_batch(&format!(
            "INSERT INTO message (id, queued_at, body_size, open, smtputf8, eight_bit, stream, expires, own_deadline)
             {numbers} SELECT i, {at}, 0, 0, 0, 0, 'bulk', {at}, 0 FROM n;
             INSERT INTO delivery (id, message, queued_at, state, due, recipient, domain, destination, return_path, prefix)
             {numbers} SELECT i, i, {at}, 4, 0, 'r', 'd', 'd', 'p', '' FROM n;
             INSERT INTO event (id, state, due, at, kind, record)
             {numbers} SELECT CAST(i AS BLOB), 2, 0, {at}, 'bounce', zeroblob(1000) FROM n;
             INSERT INTO event_raw (sequence, at, content) {numbers} SELECT i, {at}, zeroblob(6000) FROM n;
             INSERT INTO inbound (delivery, first_at, events, raw_bytes) {numbers} SELECT -i, {at}, 1, 1 FROM n;
             INSERT INTO forgotten_delivery (id, at) {numbers} SELECT i, {at} FROM n;"
        ))
        .unwrap();
        db
    }

    #[test]
    fn each_step_is_bounded() {
        let db = filled(1300);
        let number = |query: &str| db.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
        let retention = Retention { journal: DAY, events: DAY, raw: DAY };
        let (mut next, mut steps, mut pages_back) = (Some(Stage::FIRST), 0, 0);
        while let Some(stage) = next {
            let (changes, pages) = (number("SELECT total_changes()"), number("PRAGMA page_count"));
            next = step(&db, stage, retention, NOON + DAY * 30).unwrap().1;
            // A delivery goes with its message and its counter, an event with its raw mail.
            let changed = number("SELECT total_changes()") - changes;
            assert!(changed <= 3 * STEP, "{changed} rows in {stage:?}");
            let back = pages - number("PRAGMA page_count");
            // Maps of pages go with the pages that they stand for.
            assert!(back <= STEP + STEP / 100, "{back} pages in {stage:?}");
            pages_back += back;
            steps += 1;
        }
        assert!(steps > 5 * 1300 / STEP, "{steps} steps");
        assert!(pages_back > 2 * STEP, "{pages_back} pages were given back");
        assert_gone(&db);
    }

    #[test]
    fn a_step_is_bounded_in_bytes_too() {
        let db = filled(10);
        db.execute("UPDATE event_raw SET content = zeroblob(?1)", [STEP_BYTES / 3]).unwrap();
        let retention = Retention { journal: DAY, events: DAY, raw: DAY };
        let (mut next, mut raw) = (Some(Stage::FIRST), Vec::new());
        while let Some(stage) = next {
            let (gone, following) = step(&db, stage, retention, NOON + DAY * 30).unwrap();
            if matches!(stage, Stage::Raw { .. }) {
                raw.push(gone);
            }
            next = following;
        }
        assert_eq!(raw, [3, 3, 3, 1, 0], "three of them fit");
        assert_gone(&db);
    }

    fn assert_gone(db: &Connection) {
        for table in ["message", "delivery", "event", "event_raw", "inbound", "forgotten_delivery"] {
            let left: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0, "{table}");
        }
    }
}
