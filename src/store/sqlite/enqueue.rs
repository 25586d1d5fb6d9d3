//! Queueing messages: the body once, a row per message, a small row per recipient.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{address, delivery_id, delivery_key, message_id, message_key, size, state_code, stream_name};
use crate::store::{BodyId, Enqueued, Hashed, Idempotency, StoreError};
use crate::time::Timestamp;

/// Queues each message whose key is not known yet, and raises the high-water mark over every id that was stored.
pub(super) fn enqueue(
    db: &Connection,
    messages: &[Hashed],
    now: Timestamp,
    lease: Option<Timestamp>,
) -> Result<Vec<Enqueued>, StoreError> {
    let mut answers = Vec::with_capacity(messages.len());
    let mut highest = 0;
    for hashed in messages {
        if let Some(known) = hashed.message.idempotency.as_ref().map(|key| repeated(db, key)).transpose()?.flatten() {
            answers.push(known);
            continue;
        }
        insert(db, hashed, now, lease)?;
        let message = &hashed.message;
        let ids = message.deliveries.iter().map(|delivery| delivery.id.as_u64());
        highest = ids.fold(highest.max(message.id.as_u64()), u64::max);
        answers.push(Enqueued::New);
    }
    raise_high_water(db, highest)?;
    Ok(answers)
}

/// The highest id that was ever stored.
pub(super) fn high_water(db: &Connection) -> Result<u64, StoreError> {
    let stored: i64 =
        db.prepare_cached("SELECT value FROM meta WHERE name = 'high_water'")?.query_row([], |row| row.get(0))?;
    Ok(stored as u64)
}

fn raise_high_water(db: &Connection, highest: u64) -> Result<(), StoreError> {
    // Compared here: the numbers are unsigned, SQLite's are not.
    if highest > high_water(db)? {
        db.prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'high_water'")?.execute([highest as i64])?;
    }
    Ok(())
}

fn repeated(db: &Connection, idempotency: &Idempotency) -> Result<Option<Enqueued>, StoreError> {
    let known: Option<(i64, Vec<u8>)> = db
        .prepare_cached("SELECT id, fingerprint FROM message WHERE key = ?1 AND key IS NOT NULL")?
        .query_row([&idempotency.key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((message, fingerprint)) = known else { return Ok(None) };
    if fingerprint != idempotency.fingerprint {
        return Ok(Some(Enqueued::KeyConflict));
    }
    let mut deliveries = Vec::new();
    let mut query =
        db.prepare_cached("SELECT id, recipient, return_path FROM delivery WHERE message = ?1 ORDER BY id")?;
    let mut rows = query.query([message])?;
    while let Some(row) = rows.next()? {
        deliveries.push((delivery_id(row.get(0)?), address(row, 1)?, address(row, 2)?));
    }
    Ok(Some(Enqueued::Repeated { message: message_id(message), deliveries }))
}

fn insert(db: &Connection, hashed: &Hashed, now: Timestamp, lease: Option<Timestamp>) -> Result<(), StoreError> {
    let Hashed { message, body } = hashed;
    let open = hashed.open();
    let body = if open == 0 { None } else { Some(body_row(db, *body, &message.body)?) };
    let id = message_key(message.id);
    let queued_at = now.as_millis();
    db.prepare_cached(
        "INSERT INTO message (id, queued_at, body, body_size, open, smtputf8, eight_bit, stream, expires, own_deadline,
             tag, mailing, metadata, key, fingerprint)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        id,
        queued_at,
        body,
        size(message.body.len()),
        size(open),
        message.smtputf8,
        message.eight_bit,
        stream_name(message.stream),
        message.expires.as_millis(),
        message.own_deadline,
        message.tag.map(|tag| tag.to_stored()),
        message.mailing,
        message.metadata,
        message.idempotency.as_ref().map(|idempotency| &idempotency.key),
        message.idempotency.as_ref().map(|idempotency| &idempotency.fingerprint[..]),
    ])?;
    let (state, due) = hashed.first_state(now, lease);
    let mut insert = db.prepare_cached(
        "INSERT INTO delivery (id, message, queued_at, state, due, recipient, domain, destination, return_path, prefix)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for delivery in &message.deliveries {
        insert.execute(params![
            delivery_key(delivery.id),
            id,
            queued_at,
            state_code(state),
            due.as_millis(),
            delivery.recipient.as_str(),
            delivery.recipient.domain(),
            delivery.destination,
            delivery.return_path.as_str(),
            delivery.prefix,
        ])?;
    }
    Ok(())
}

/// The row of a body: the one that is there, or a new one.
fn body_row(db: &Connection, id: BodyId, content: &[u8]) -> Result<i64, StoreError> {
    let known = db
        .prepare_cached("SELECT id FROM body WHERE hash = ?1")?
        .query_row([&id.0[..]], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    Ok(db.prepare_cached("INSERT INTO body (hash, content) VALUES (?1, ?2)")?.insert(params![&id.0[..], content])?)
}
