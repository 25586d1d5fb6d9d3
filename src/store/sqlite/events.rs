//! The queue of events: stored once by id, handed out in order per delivery, kept for replay.
//!
//! Of the pending events of one delivery only the eldest is `ready`; those behind it wait, and the next becomes
//! ready when it is done or dead. So the index of ready events holds exactly what may be handed out, however long
//! the handler has been failing. A dead letter does not block those behind it.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{damaged, delivery_key, event_id, from_json, json, limit, shared_bytes};
use crate::event::EventRecord;
use crate::store::transition::mixed;
use crate::store::{Acknowledgement, Answer, PendingEvent, ReplayRequest, StoreError};
use crate::time::Timestamp;

const READY: i64 = 0;
const WAITING: i64 = 1;
const DONE: i64 = 2;
const DEAD: i64 = 3;

/// `due` of an event that was not handed over yet. Not its time: a clock that was set back must not hide it.
const AT_ONCE: i64 = 0;

/// Stores an event unless its id is known; answers whether it was new.
pub(super) fn insert(db: &Connection, event: &EventRecord) -> Result<bool, StoreError> {
    let delivery = event.delivery.map(delivery_key);
    let state = match delivery {
        Some(delivery) if has_pending(db, delivery)? => WAITING,
        _ => READY,
    };
    let stored = db
        .prepare_cached(
            "INSERT OR IGNORE INTO event (id, state, due, at, delivery, kind, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            &event.id.as_bytes()[..],
            state,
            AT_ONCE,
            event.at.as_millis(),
            delivery,
            event.kind.name(),
            json(event)?
        ])?;
    if stored == 0 {
        return Ok(false);
    }
    if let Some(raw) = &event.raw {
        db.prepare_cached("INSERT INTO event_raw (sequence, at, content) VALUES (?1, ?2, ?3)")?.execute(params![
            db.last_insert_rowid(),
            event.at.as_millis(),
            &raw[..]
        ])?;
    }
    Ok(true)
}

/// Whether an event with this id is stored.
pub(super) fn is_known(db: &Connection, event: &EventRecord) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("SELECT 1 FROM event WHERE id = ?1")?.exists([&event.id.as_bytes()[..]])?)
}

fn has_pending(db: &Connection, delivery: i64) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("SELECT 1 FROM event WHERE delivery = ?1 AND state <= 1 LIMIT 1")?.exists([delivery])?)
}

/// Ready events that are due and not busy, in the order of their sequence.
pub(super) fn claim(
    db: &Connection,
    count: usize,
    busy: &[i64],
    now: Timestamp,
) -> Result<Vec<PendingEvent>, StoreError> {
    let busy = Busy::of(db, busy)?;
    let again = candidates(db, "due > 0 AND due <= ?1", now, count, &busy)?;
    let fresh = candidates(db, "due <= 0 AND due <= ?1", now, count, &busy)?;
    let mut chosen = mixed(again, fresh, count);
    chosen.sort_unstable();

    let mut query = db.prepare_cached(&format!("{SELECT} WHERE e.sequence = ?1"))?;
    let mut events = Vec::with_capacity(chosen.len());
    for sequence in chosen {
        let mut rows = query.query([sequence])?;
        if let Some(row) = rows.next()? {
            events.push(pending(row)?);
        }
    }
    Ok(events)
}

/// When the next ready event that is not busy is due.
pub(super) fn next_due(db: &Connection, busy: &[i64]) -> Result<Option<Timestamp>, StoreError> {
    let busy = Busy::of(db, busy)?;
    let mut query = db.prepare_cached("SELECT sequence, delivery, due FROM event WHERE state = 0 ORDER BY due")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if !busy.contains(row.get(0)?, row.get(1)?) {
            return Ok(Some(Timestamp::from_millis(row.get(2)?)));
        }
    }
    Ok(None)
}

/// Records the handler's answers. One about an event that is not pending changes nothing.
pub(super) fn acknowledge(db: &Connection, answers: &[Acknowledgement]) -> Result<(), StoreError> {
    for Acknowledgement { sequence, answer } in answers {
        match answer {
            Answer::Done => end(db, *sequence, DONE, None, None)?,
            Answer::Dead { attempts, error } => end(db, *sequence, DEAD, Some(*attempts), Some(error))?,
            Answer::Again { at, attempts, error } => {
                // Never at or below the mark of those that were not handed over yet.
                let due = at.as_millis().max(AT_ONCE + 1);
                db.prepare_cached(
                    "UPDATE event SET due = ?2, attempts = ?3, error = ?4 WHERE sequence = ?1 AND state <= 1",
                )?
                .execute(params![sequence, due, attempts, error])?;
            }
        }
    }
    Ok(())
}

fn end(
    db: &Connection,
    sequence: i64,
    state: i64,
    attempts: Option<u32>,
    error: Option<&String>,
) -> Result<(), StoreError> {
    let delivery: Option<Option<i64>> = db
        .prepare_cached("SELECT delivery FROM event WHERE sequence = ?1 AND state <= 1")?
        .query_row([sequence], |row| row.get(0))
        .optional()?;
    let Some(delivery) = delivery else { return Ok(()) };
    db.prepare_cached(
        "UPDATE event SET state = ?2, attempts = coalesce(?3, attempts), error = ?4 WHERE sequence = ?1",
    )?
    .execute(params![sequence, state, attempts, error])?;
    delivery.map_or(Ok(()), |delivery| ready_eldest(db, delivery))
}

/// Makes the eldest pending event of a delivery the ready one.
pub(super) fn ready_eldest(db: &Connection, delivery: i64) -> Result<(), StoreError> {
    let eldest: Option<(i64, i64)> = db
        .prepare_cached(
            "SELECT sequence, state FROM event WHERE delivery = ?1 AND state <= 1 ORDER BY sequence LIMIT 1",
        )?
        .query_row([delivery], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((eldest, WAITING)) = eldest {
        db.prepare_cached("UPDATE event SET state = 1 WHERE delivery = ?1 AND state <= 1 AND state = 0")?
            .execute([delivery])?;
        db.prepare_cached("UPDATE event SET state = 0 WHERE sequence = ?1")?.execute([eldest])?;
    }
    Ok(())
}

/// One step of a replay: at most `count` events behind the mark. Answers how many, and the mark for the next step.
pub(super) fn replay(
    db: &Connection,
    request: &ReplayRequest,
    now: Timestamp,
    behind: (i64, i64),
    count: usize,
) -> Result<(u64, Option<(i64, i64)>), StoreError> {
    // The few dead letters are found by their own index, all others by time.
    let (index, class) = if request.dead_only { ("event_dead", "state = 3") } else { ("event_at", "state >= 2") };
    let mut query = db.prepare_cached(&format!(
        "SELECT at, sequence, delivery FROM event INDEXED BY {index}
         WHERE {class} AND at >= ?3 AND at < ?4 AND (at, sequence) > (?1, ?2) ORDER BY at, sequence LIMIT ?5"
    ))?;
    let (start, end) = (request.range.start.as_millis(), request.range.end.as_millis());
    let chosen: Vec<(i64, i64, Option<i64>)> = query
        .query_map(params![behind.0, behind.1, start, end, limit(count)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let due = now.as_millis().max(AT_ONCE + 1);
    let mut again =
        db.prepare_cached("UPDATE event SET state = ?2, due = ?3, attempts = 0, error = NULL WHERE sequence = ?1")?;
    for (_, sequence, delivery) in &chosen {
        let state = if delivery.is_some() { WAITING } else { READY };
        again.execute(params![sequence, state, due])?;
        if let Some(delivery) = delivery {
            ready_eldest(db, *delivery)?;
        }
    }
    Ok((chosen.len() as u64, chosen.last().map(|(at, sequence, _)| (*at, *sequence))))
}

/// Events of the dead letters, oldest first.
pub(super) fn dead_letters(db: &Connection, count: usize) -> Result<Vec<PendingEvent>, StoreError> {
    let mut query = db.prepare_cached(&format!("{SELECT} WHERE e.state = 3 ORDER BY e.sequence LIMIT ?1"))?;
    let mut rows = query.query([limit(count)])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(pending(row)?);
    }
    Ok(events)
}

const SELECT: &str = "SELECT e.sequence, e.attempts, e.record, e.id, r.content, e.error
     FROM event e LEFT JOIN event_raw r ON r.sequence = e.sequence";

fn pending(row: &Row<'_>) -> Result<PendingEvent, StoreError> {
    let mut record: EventRecord = from_json("an event", &row.get::<_, String>(2)?)?;
    if record.id != event_id(&row.get::<_, Vec<u8>>(3)?)? {
        return Err(damaged("an event", "its text has another id than its row"));
    }
    record.raw = shared_bytes(row, 4)?;
    Ok(PendingEvent { sequence: row.get(0)?, attempts: row.get(1)?, error: row.get(5)?, record })
}

/// What is with the handler now.
struct Busy {
    sequences: HashSet<i64>,
    deliveries: HashSet<i64>,
}

impl Busy {
    fn of(db: &Connection, busy: &[i64]) -> Result<Busy, StoreError> {
        let mut delivery_of = db.prepare_cached("SELECT delivery FROM event WHERE sequence = ?1")?;
        let mut deliveries = HashSet::new();
        for sequence in busy {
            let delivery: Option<Option<i64>> = delivery_of.query_row([sequence], |row| row.get(0)).optional()?;
            deliveries.extend(delivery.flatten());
        }
        Ok(Busy { sequences: busy.iter().copied().collect(), deliveries })
    }

    fn contains(&self, sequence: i64, delivery: Option<i64>) -> bool {
        self.sequences.contains(&sequence) || delivery.is_some_and(|delivery| self.deliveries.contains(&delivery))
    }
}

/// The first `count` ready events of a class that are not busy.
fn candidates(db: &Connection, class: &str, now: Timestamp, count: usize, busy: &Busy) -> Result<Vec<i64>, StoreError> {
    let mut query = db.prepare_cached(&format!(
        "SELECT sequence, delivery FROM event WHERE state = 0 AND {class} ORDER BY due, sequence"
    ))?;
    let mut rows = query.query([now.as_millis()])?;
    let mut chosen = Vec::new();
    while chosen.len() < count
        && let Some(row) = rows.next()?
    {
        let (sequence, delivery) = (row.get(0)?, row.get(1)?);
        if !busy.contains(sequence, delivery) {
            chosen.push(sequence);
        }
    }
    Ok(chosen)
}
