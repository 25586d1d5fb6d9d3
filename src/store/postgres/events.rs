//! The queue of events: stored once by id, handed out in order per delivery, kept for replay.
//!
//! Of the pending events of one delivery only the eldest is `ready`; those behind it wait, and the next becomes
//! ready when it is done or dead. So the index of ready events holds exactly what may be handed out, however long
//! the handler has been failing. A dead letter does not block those behind it.
//!
//! One process hands an event over at a time: it writes its number and a time beside the event, and until that time
//! has come, or the process is dead, no other one takes it. Whoever changes the events of a delivery has locked that
//! delivery, so the order holds for all processes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio_postgres::Row;

use super::columns::{damaged, delivery_key, event_id, from_json, json, limit};
use super::news::notify;
use super::scope::Scope;
use crate::event::EventRecord;
use crate::store::transition::mixed;
use crate::store::{Acknowledgement, Answer, News, PendingEvent, ReplayRequest, StoreError};
use crate::time::Timestamp;

const READY: i16 = 0;
const WAITING: i16 = 1;
const DONE: i16 = 2;
const DEAD: i16 = 3;

/// `due` of an event that was not handed over yet. Not its time: a clock that was set back must not hide it.
const AT_ONCE: i64 = 0;

/// How long an event is with the process that claimed it: a handler has 60 s, and there may be one more try before
/// the answer is stored.
const HELD: Duration = Duration::from_secs(180);

/// The class of the advisory locks that stand for deliveries which are not in the journal, and how many there are.
const LOCK_CLASS: i32 = 0x7270;
const LOCKS: i64 = 64;

/// Waits until no other process changes the events of these deliveries; holds until the end of the transaction.
pub(super) async fn lock(scope: &Scope<'_>, deliveries: impl Iterator<Item = i64>) -> Result<(), StoreError> {
    let mut ids: Vec<i64> = deliveries.collect();
    if ids.is_empty() {
        return Ok(());
    }
    ids.sort_unstable();
    ids.dedup();
    let rows = scope
        .db
        .prepare_cached("SELECT id FROM returnpath.delivery WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE")
        .await?;
    let mut unknown: HashSet<i64> = ids.iter().copied().collect();
    for row in scope.db.query(&rows, &[&ids]).await? {
        unknown.remove(&row.try_get(0)?);
    }
    if !unknown.is_empty() {
        // A few locks for all of them: a server has not one for each.
        let numbers: BTreeSet<i32> = unknown.iter().map(|id| id.rem_euclid(LOCKS) as i32).collect();
        let numbers: Vec<i32> = numbers.into_iter().collect();
        let lock = scope
            .db
            .prepare_cached("SELECT count(pg_advisory_xact_lock($1, number)) FROM unnest($2::integer[]) number")
            .await?;
        scope.db.execute(&lock, &[&LOCK_CLASS, &numbers]).await?;
    }
    Ok(())
}

/// Stores those events whose id is not known, in this order; answers whether any was new. The deliveries are locked.
pub(super) async fn insert_locked(scope: &Scope<'_>, events: &[&EventRecord]) -> Result<bool, StoreError> {
    if events.is_empty() {
        return Ok(false);
    }
    let ids: Vec<&[u8]> = events.iter().map(|event| &event.id.as_bytes()[..]).collect();
    let deliveries: Vec<i64> = events.iter().filter_map(|event| event.delivery).map(delivery_key).collect();
    let (known, pending) = tokio::try_join!(
        biased;
        scope.db.prepare_cached("SELECT id FROM returnpath.event WHERE id = ANY ($1)"),
        scope.db.prepare_cached(
            "SELECT q.delivery FROM (SELECT DISTINCT unnest($1::bigint[])) q (delivery)
             WHERE EXISTS (SELECT FROM returnpath.event e WHERE e.delivery = q.delivery AND e.state <= 1)",
        )
    )?;
    let (known, pending) = tokio::try_join!(
        biased;
        async { scope.db.query(&known, &[&ids]).await },
        async { scope.db.query(&pending, &[&deliveries]).await }
    )?;
    let mut known: HashSet<&[u8]> = known.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let mut pending: HashSet<i64> = pending.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;

    let mut new = New::default();
    for event in events {
        if known.insert(event.id.as_bytes()) {
            let delivery = event.delivery.map(delivery_key);
            let is_first = delivery.is_none_or(|delivery| pending.insert(delivery));
            new.add(scope, event, delivery, if is_first { READY } else { WAITING })?;
        }
    }
    let stored = new.write(scope).await?;
    if stored {
        notify(scope, News::Events).await?;
    }
    Ok(stored)
}

/// The columns of events that are to be stored.
#[derive(Default)]
struct New<'a> {
    ids: Vec<&'a [u8]>,
    states: Vec<i16>,
    times: Vec<i64>,
    deliveries: Vec<Option<i64>>,
    kinds: Vec<&'static str>,
    records: Vec<String>,
    raws: HashMap<&'a [u8], &'a [u8]>,
}

impl<'a> New<'a> {
    fn add(
        &mut self,
        scope: &Scope<'_>,
        event: &'a EventRecord,
        delivery: Option<i64>,
        state: i16,
    ) -> Result<(), StoreError> {
        let id = &event.id.as_bytes()[..];
        self.ids.push(id);
        self.states.push(state);
        self.times.push(scope.times.to_stored(event.at));
        self.deliveries.push(delivery);
        self.kinds.push(event.kind.name());
        self.records.push(json(event)?);
        if let Some(raw) = &event.raw {
            self.raws.insert(id, raw);
        }
        Ok(())
    }

    /// Whether any was stored.
    async fn write(&self, scope: &Scope<'_>) -> Result<bool, StoreError> {
        if self.ids.is_empty() {
            return Ok(false);
        }
        // One about no delivery may have been stored by another process since we looked.
        let insert = scope
            .db
            .prepare_cached(
                "INSERT INTO returnpath.event (due, id, state, at, delivery, kind, record)
                 SELECT $1::bigint, id, state, at, delivery, kind, record
                 FROM unnest($2::bytea[], $3::smallint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
                     WITH ORDINALITY n (id, state, at, delivery, kind, record, place)
                 ORDER BY place ON CONFLICT (id) DO NOTHING RETURNING id, sequence, at",
            )
            .await?;
        let rows = scope
            .db
            .query(
                &insert,
                &[&AT_ONCE, &self.ids, &self.states, &self.times, &self.deliveries, &self.kinds, &self.records],
            )
            .await?;
        let (mut sequences, mut times, mut contents): (Vec<i64>, Vec<i64>, Vec<&[u8]>) = Default::default();
        for row in &rows {
            if let Some(raw) = self.raws.get(row.try_get::<_, &[u8]>(0)?) {
                sequences.push(row.try_get(1)?);
                times.push(row.try_get(2)?);
                contents.push(raw);
            }
        }
        if !sequences.is_empty() {
            let insert = scope
                .db
                .prepare_cached(
                    "INSERT INTO returnpath.event_raw (sequence, at, content)
                     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])",
                )
                .await?;
            scope.db.execute(&insert, &[&sequences, &times, &contents]).await?;
        }
        Ok(!rows.is_empty())
    }
}

/// Whether an event with this id is stored.
pub(super) async fn is_known(scope: &Scope<'_>, event: &EventRecord) -> Result<bool, StoreError> {
    let query = scope.db.prepare_cached("SELECT 1 FROM returnpath.event WHERE id = $1").await?;
    Ok(scope.db.query_opt(&query, &[&&event.id.as_bytes()[..]]).await?.is_some())
}

/// SQL: what [`pending`] reads.
macro_rules! select {
    () => {
        "SELECT e.sequence, e.attempts, e.record, e.id, r.content, e.error
         FROM returnpath.event e LEFT JOIN returnpath.event_raw r ON r.sequence = e.sequence"
    };
}

/// SQL: whether no other process has event `e` now. `$me` and `$now` are its parameters.
macro_rules! is_free {
    ($me:literal, $now:literal) => {
        concat!(
            "(e.process IS NULL OR e.process = ",
            $me,
            " OR e.until <= ",
            $now,
            " OR NOT EXISTS (SELECT FROM returnpath.process p
                             WHERE p.id = e.process AND p.lease_until > clock_timestamp()))"
        )
    };
}

/// Takes ready events that are due and not busy, in the order of their sequence.
pub(super) async fn claim(
    scope: &Scope<'_>,
    count: usize,
    busy: &[i64],
    now: Timestamp,
) -> Result<Vec<PendingEvent>, StoreError> {
    let now = scope.now(now).await?;
    let deliveries = deliveries_of(scope, busy).await?;
    let again = candidates(scope, (AT_ONCE + 1, now), now, count, busy, &deliveries).await?;
    let fresh = candidates(scope, (i64::MIN, AT_ONCE), now, count, busy, &deliveries).await?;
    let chosen = mixed(again, fresh, count);
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let hold = scope
        .db
        .prepare_cached("UPDATE returnpath.event SET process = $2, until = $3 WHERE sequence = ANY ($1)")
        .await?;
    let read = scope.db.prepare_cached(concat!(select!(), " WHERE e.sequence = ANY ($1) ORDER BY e.sequence")).await?;
    let until = now.saturating_add(HELD.as_millis() as i64);
    let (_, rows) = tokio::try_join!(
        biased;
        async { scope.db.execute(&hold, &[&chosen, &scope.process, &until]).await },
        async { scope.db.query(&read, &[&chosen]).await }
    )?;
    rows.iter().map(pending).collect()
}

/// The first `count` ready events with `due` in the range that are neither busy nor with another process. They are
/// locked.
async fn candidates(
    scope: &Scope<'_>,
    due: (i64, i64),
    now: i64,
    count: usize,
    busy: &[i64],
    deliveries: &[i64],
) -> Result<Vec<i64>, StoreError> {
    // An elder event that was made pending again stands behind a younger one that is with a handler elsewhere.
    let query = scope
        .db
        .prepare_cached(concat!(
            "SELECT e.sequence FROM returnpath.event e
             WHERE e.state = 0 AND e.due >= $3 AND e.due <= $4 AND e.sequence <> ALL ($5)
                 AND (e.delivery IS NULL OR e.delivery <> ALL ($6)) AND ",
            is_free!("$1", "$2"),
            " AND (e.delivery IS NULL OR NOT EXISTS (
                 SELECT FROM returnpath.event o JOIN returnpath.process p ON p.id = o.process
                 WHERE o.delivery = e.delivery AND o.state = 1 AND o.process <> $1 AND o.until > $2
                     AND p.lease_until > clock_timestamp()))
             ORDER BY e.due, e.sequence LIMIT $7 FOR NO KEY UPDATE OF e SKIP LOCKED"
        ))
        .await?;
    let rows =
        scope.db.query(&query, &[&scope.process, &now, &due.0, &due.1, &busy, &deliveries, &limit(count)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The deliveries that have an event among these.
async fn deliveries_of(scope: &Scope<'_>, busy: &[i64]) -> Result<Vec<i64>, StoreError> {
    if busy.is_empty() {
        return Ok(Vec::new());
    }
    let query = scope
        .db
        .prepare_cached("SELECT delivery FROM returnpath.event WHERE sequence = ANY ($1) AND delivery IS NOT NULL")
        .await?;
    scope.db.query(&query, &[&busy]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// When the next ready event that is not busy is due. One that another process has is due when that may have it no
/// longer.
pub(super) async fn next_due(scope: &Scope<'_>, busy: &[i64]) -> Result<Option<Timestamp>, StoreError> {
    let deliveries = deliveries_of(scope, busy).await?;
    let query = scope
        .db
        .prepare_cached(
            "SELECT min(due) FROM (
                 SELECT CASE WHEN e.process IS NULL OR e.process = $1
                         OR NOT EXISTS (SELECT FROM returnpath.process p
                                        WHERE p.id = e.process AND p.lease_until > clock_timestamp())
                     THEN e.due ELSE greatest(e.due, e.until) END AS due
                 FROM returnpath.event e
                 WHERE e.state = 0 AND e.sequence <> ALL ($2) AND (e.delivery IS NULL OR e.delivery <> ALL ($3))
                 ORDER BY e.due LIMIT $4) ready",
        )
        .await?;
    let row = scope.db.query_one(&query, &[&scope.process, &busy, &deliveries, &LOOKED_AT]).await?;
    let due: Option<i64> = row.try_get(0)?;
    Ok(due.map(|due| scope.times.at(due)))
}

/// Ready events looked at to find the next one: more than all processes together have at a time.
const LOOKED_AT: i64 = 4096;

/// Records the handler's answers. One about an event that is not pending changes nothing.
pub(super) async fn acknowledge(scope: &Scope<'_>, answers: &[Acknowledgement]) -> Result<(), StoreError> {
    let mut rest: Vec<&Acknowledgement> = answers.iter().collect();
    // Several answers about one event count in their order.
    while !rest.is_empty() {
        let mut seen = HashSet::new();
        let (round, following) = rest.into_iter().partition(|answer| seen.insert(answer.sequence));
        acknowledge_each_once(scope, round).await?;
        rest = following;
    }
    Ok(())
}

async fn acknowledge_each_once(scope: &Scope<'_>, answers: Vec<&Acknowledgement>) -> Result<(), StoreError> {
    let sequences: Vec<i64> = answers.iter().map(|answer| answer.sequence).collect();
    let deliveries = deliveries_of(scope, &sequences).await?;
    lock(scope, deliveries.iter().copied()).await?;
    let (mut states, mut dues, mut attempts, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for Acknowledgement { answer, .. } in answers {
        let (state, due, tries, error) = match answer {
            Answer::Done => (Some(DONE), None, None, None),
            Answer::Dead { attempts, error } => (Some(DEAD), None, Some(*attempts), Some(error)),
            // Never at or below the mark of those that were not handed over yet.
            Answer::Again { at, attempts, error } => {
                (None, Some(scope.times.to_stored(*at).max(AT_ONCE + 1)), Some(*attempts), Some(error))
            }
        };
        states.push(state);
        dues.push(due);
        attempts.push(tries.map(|tries| i32::try_from(tries).unwrap_or(i32::MAX)));
        // The handler's words may be anything, and the database's texts have no NUL.
        errors.push(error.map(|error| error.replace('\0', "\u{fffd}")));
    }
    // An event that another process has by now is not put off, or given up, by one that was too slow. The addition
    // keeps the planner to the primary key: the index of pending events has the sequence in second place only.
    let update = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.event e SET state = coalesce(a.state, e.state), due = coalesce(a.due, e.due),
                 attempts = coalesce(a.attempts, e.attempts), error = a.error, process = NULL, until = NULL
             FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::integer[], $5::text[])
                 a (sequence, state, due, attempts, error)
             WHERE e.sequence = a.sequence AND e.state + 0 <= 1
                 AND (a.state = 2 OR e.process IS NULL OR e.process = $6)",
        )
        .await?;
    scope.db.execute(&update, &[&sequences, &states, &dues, &attempts, &errors, &scope.process]).await?;
    ready_eldest(scope, &deliveries).await
}

/// Makes the eldest pending event of each delivery the ready one.
pub(super) async fn ready_eldest(scope: &Scope<'_>, deliveries: &[i64]) -> Result<(), StoreError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let update = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.event e SET state = CASE WHEN e.sequence = eldest.sequence THEN 0 ELSE 1 END
             FROM (SELECT q.delivery, (SELECT min(p.sequence) FROM returnpath.event p
                                       WHERE p.delivery = q.delivery AND p.state <= 1) AS sequence
                   FROM (SELECT DISTINCT unnest($1::bigint[])) q (delivery)) eldest
             WHERE e.delivery = eldest.delivery AND e.state <= 1
                 AND e.state <> CASE WHEN e.sequence = eldest.sequence THEN 0 ELSE 1 END",
        )
        .await?;
    scope.db.execute(&update, &[&deliveries]).await?;
    Ok(())
}

/// One step of a replay: at most `count` events behind the mark. Answers how many, and the mark for the next step.
pub(super) async fn replay(
    scope: &Scope<'_>,
    request: &ReplayRequest,
    now: Timestamp,
    behind: (i64, i64),
    count: usize,
) -> Result<(u64, Option<(i64, i64)>), StoreError> {
    // The few dead letters are found by their own index, all others by time.
    let query = if request.dead_only {
        "SELECT at, sequence, delivery FROM returnpath.event WHERE state = 3 AND at >= $3 AND at < $4
             AND (at, sequence) > ($1, $2) ORDER BY at, sequence LIMIT $5"
    } else {
        "SELECT at, sequence, delivery FROM returnpath.event WHERE state >= 2 AND at >= $3 AND at < $4
             AND (at, sequence) > ($1, $2) ORDER BY at, sequence LIMIT $5"
    };
    let query = scope.db.prepare_cached(query).await?;
    let (start, end) = (scope.times.to_stored(request.range.start), scope.times.to_stored(request.range.end));
    let rows = scope.db.query(&query, &[&behind.0, &behind.1, &start, &end, &limit(count)]).await?;
    let mut last = None;
    let (mut sequences, mut deliveries): (Vec<i64>, Vec<i64>) = Default::default();
    for row in &rows {
        last = Some((row.try_get(0)?, row.try_get(1)?));
        sequences.push(row.try_get(1)?);
        deliveries.extend(row.try_get::<_, Option<i64>>(2)?);
    }
    if sequences.is_empty() {
        return Ok((0, None));
    }
    lock(scope, deliveries.iter().copied()).await?;
    let again = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.event SET state = CASE WHEN delivery IS NULL THEN 0 ELSE 1 END, due = $2, attempts = 0,
                 error = NULL, process = NULL, until = NULL
             WHERE sequence = ANY ($1) AND state >= 2",
        )
        .await?;
    let due = scope.times.to_stored(now).max(AT_ONCE + 1);
    let replayed = scope.db.execute(&again, &[&sequences, &due]).await?;
    ready_eldest(scope, &deliveries).await?;
    notify(scope, News::Events).await?;
    Ok((replayed, last))
}

/// Events of the dead letters, oldest first.
pub(super) async fn dead_letters(scope: &Scope<'_>, count: usize) -> Result<Vec<PendingEvent>, StoreError> {
    let query = scope.db.prepare_cached(concat!(select!(), " WHERE e.state = 3 ORDER BY e.sequence LIMIT $1")).await?;
    scope.db.query(&query, &[&limit(count)]).await?.iter().map(pending).collect()
}

fn pending(row: &Row) -> Result<PendingEvent, StoreError> {
    let mut record: EventRecord = from_json("an event", row.try_get(2)?)?;
    if record.id != event_id(row.try_get(3)?)? {
        return Err(damaged("an event", "its text has another id than its row"));
    }
    let raw: Option<&[u8]> = row.try_get(4)?;
    record.raw = raw.map(Into::into);
    let attempts: i32 = row.try_get(1)?;
    Ok(PendingEvent {
        sequence: row.try_get(0)?,
        attempts: u32::try_from(attempts).unwrap_or(0),
        error: row.try_get(5)?,
        record,
    })
}
