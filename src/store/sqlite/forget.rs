//! Forgetting an address: every row that names it goes or is blanked, and then the files themselves are cleaned.
//!
//! There is no index on addresses – nothing else would use it –, so a reader walks the tables once and collects keys,
//! which holds nobody up. The writer then works through the keys in steps. Deleted rows are still readable in free
//! pages and in gaps of pages that are in use: the database is rewritten (VACUUM) and the log cut to nothing. Rewriting
//! was chosen over `secure_delete` for every delete: that would write each body twice, all day, for an order that comes
//! once a month, and it does not reach the copies that a page keeps when its rows move to a neighbour.
//!
//! What is left: a keyed hash of the address, and the numbers of its deliveries, by which their late settlements and
//! reports are known and not stored.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::FIRST_ENDED;
use super::events;
use super::outbound::close_one;
use crate::store::StoreError;
use crate::store::random::random;
use crate::store::spellings::Spellings;
use crate::time::Timestamp;

/// Keys worked on in one turn of the writer.
pub(super) const STEP: usize = 200;

/// One row to be worked on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    Delivery(i64),
    Event(i64),
    Raw(i64),
    /// A message, or another delivery, whose texts name the address.
    Message(i64),
    Mention(i64),
}

/// Walks all tables, on a reader.
pub(super) fn search(db: &Connection, spellings: &Spellings) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    let mut query = db.prepare_cached("SELECT id, recipient, last, bounced FROM delivery")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if spellings.is(&row.get::<_, String>(1)?) {
            found.push(Found::Delivery(id));
        } else if [row.get::<_, Option<String>>(2)?, row.get(3)?]
            .iter()
            .flatten()
            .any(|text| spellings.is_in_json(text))
        {
            found.push(Found::Mention(id));
        }
    }
    let mut query = db.prepare_cached("SELECT id, mailing, metadata, key FROM message")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let texts: [Option<String>; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        let metadata = texts[1].as_ref().is_some_and(|text| spellings.is_in_json(text));
        if metadata || texts.iter().flatten().any(|text| spellings.is_in(text.as_bytes())) {
            found.push(Found::Message(row.get(0)?));
        }
    }
    let mut query = db.prepare_cached("SELECT sequence, record, error FROM event")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let error: Option<String> = row.get(2)?;
        if spellings.is_in_json(&row.get::<_, String>(1)?)
            || error.is_some_and(|error| spellings.is_in(error.as_bytes()))
        {
            found.push(Found::Event(row.get(0)?));
        }
    }
    let mut query = db.prepare_cached("SELECT sequence, content FROM event_raw")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if row.get_ref(1)?.as_bytes().is_ok_and(|content| spellings.is_in(content)) {
            found.push(Found::Raw(row.get(0)?));
        }
    }
    Ok(found)
}

/// Keeps the hash of the address. It goes first: whoever looks an address up knows it as soon as its rows begin to go.
pub(super) fn remember(db: &Connection, spellings: &Spellings, now: Timestamp) -> Result<(), StoreError> {
    let fresh: [u8; 32] = random()?;
    db.prepare_cached("INSERT OR IGNORE INTO secret (name, value) VALUES ('forgotten', ?1)")?.execute([&fresh[..]])?;
    let secret: Vec<u8> =
        db.prepare_cached("SELECT value FROM secret WHERE name = 'forgotten'")?.query_row([], |row| row.get(0))?;
    db.prepare_cached("INSERT OR IGNORE INTO forgotten (hash, at) VALUES (?1, ?2)")?
        .execute(params![spellings.hash(&secret), now.as_millis()])?;
    Ok(())
}

/// Works on some rows; answers how many went or changed.
pub(super) fn step(db: &Connection, spellings: &Spellings, rows: &[Found], now: Timestamp) -> Result<u64, StoreError> {
    let mut changed = 0;
    for row in rows {
        changed += match *row {
            Found::Delivery(id) => delivery(db, id, now)?,
            Found::Mention(id) => mention(db, spellings, id)?,
            Found::Message(id) => message(db, spellings, id)?,
            Found::Event(sequence) => event(db, spellings, sequence)?,
            Found::Raw(sequence) => raw(db, sequence)?,
        };
    }
    Ok(changed as u64)
}

/// Whether this delivery was forgotten: what is still heard of it is not stored.
pub(super) fn is_forgotten(db: &Connection, delivery: i64) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("SELECT 1 FROM forgotten_delivery WHERE id = ?1")?.exists([delivery])?)
}

fn delivery(db: &Connection, id: i64, now: Timestamp) -> Result<usize, StoreError> {
    let found: Option<(i64, i16)> = db
        .prepare_cached("SELECT message, state FROM delivery WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((message, state)) = found else { return Ok(0) };
    db.prepare_cached("INSERT OR IGNORE INTO forgotten_delivery (id, at) VALUES (?1, ?2)")?
        .execute(params![id, now.as_millis()])?;
    if state < FIRST_ENDED {
        close_one(db, message)?;
    }
    let mut gone = db.prepare_cached("DELETE FROM delivery WHERE id = ?1")?.execute([id])?;
    gone += db.prepare_cached("DELETE FROM inbound WHERE delivery = ?1")?.execute([id])?;
    gone += db
        .prepare_cached("DELETE FROM event_raw WHERE sequence IN (SELECT sequence FROM event WHERE delivery = ?1)")?
        .execute([id])?;
    gone += db.prepare_cached("DELETE FROM event WHERE delivery = ?1")?.execute([id])?;
    gone += db
        .prepare_cached("DELETE FROM message WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM delivery WHERE message = ?1)")?
        .execute([message])?;
    Ok(gone)
}

/// Another delivery whose conversation or bounce named the address.
fn mention(db: &Connection, spellings: &Spellings, id: i64) -> Result<usize, StoreError> {
    let found: Option<(Option<String>, Option<String>)> = db
        .prepare_cached("SELECT last, bounced FROM delivery WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((last, bounced)) = found else { return Ok(0) };
    let blanked = |text: Option<String>| text.and_then(|text| spellings.blanked_json(&text));
    Ok(db
        .prepare_cached("UPDATE delivery SET last = coalesce(?2, last), bounced = coalesce(?3, bounced) WHERE id = ?1")?
        .execute(params![id, blanked(last), blanked(bounced)])?)
}

/// A message of others. Its key is kept while it is open: without it, a repeated call would send it twice.
fn message(db: &Connection, spellings: &Spellings, id: i64) -> Result<usize, StoreError> {
    let found: Option<(Option<String>, Option<String>, Option<String>)> = db
        .prepare_cached("SELECT mailing, metadata, iif(open <= 0, key, NULL) FROM message WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((mailing, metadata, key)) = found else { return Ok(0) };
    let mailing = mailing.and_then(|text| spellings.blanked(&text));
    let metadata = metadata.and_then(|text| spellings.blanked_json(&text));
    let names_it = key.is_some_and(|key| spellings.is_in(key.as_bytes()));
    Ok(db
        .prepare_cached(
            "UPDATE message SET mailing = coalesce(?2, mailing), metadata = coalesce(?3, metadata),
                 key = iif(?4, NULL, key), fingerprint = iif(?4, NULL, fingerprint)
             WHERE id = ?1",
        )?
        .execute(params![id, mailing, metadata, names_it])?)
}

/// An event of another delivery, or of none. One whose recipient is the address goes.
fn event(db: &Connection, spellings: &Spellings, sequence: i64) -> Result<usize, StoreError> {
    let found: Option<(String, Option<String>, Option<i64>)> = db
        .prepare_cached("SELECT record, error, delivery FROM event WHERE sequence = ?1")?
        .query_row([sequence], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((record, error, delivery)) = found else { return Ok(0) };
    if spellings.is_recipient_in(&record) {
        let gone = db.prepare_cached("DELETE FROM event WHERE sequence = ?1")?.execute([sequence])?;
        // Those behind it are not held up by it.
        delivery.map_or(Ok(()), |delivery| events::ready_eldest(db, delivery))?;
        return Ok(gone + raw(db, sequence)?);
    }
    Ok(db
        .prepare_cached(
            "UPDATE event SET record = coalesce(?2, record), error = coalesce(?3, error) WHERE sequence = ?1",
        )?
        .execute(params![
            sequence,
            spellings.blanked_json(&record),
            error.and_then(|error| spellings.blanked(&error))
        ])?)
}

fn raw(db: &Connection, sequence: i64) -> Result<usize, StoreError> {
    Ok(db.prepare_cached("DELETE FROM event_raw WHERE sequence = ?1")?.execute([sequence])?)
}
