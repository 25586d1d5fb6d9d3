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

use aws_lc_rs::{hmac, rand};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::columns::state_code;
use super::outbound::close_one;
use crate::address::{Address, domain_to_ascii};
use crate::store::{State, StoreError};
use crate::time::Timestamp;

/// Keys worked on in one turn of the writer.
pub(super) const STEP: usize = 200;

/// What stands where the address stood. It is an address itself, so that a field that must hold one still does.
const BLANK: &str = "forgotten@forgotten.invalid";

/// The ways to write one address, in lower case.
#[derive(Clone)]
pub(super) struct Spellings {
    all: Vec<String>,
}

impl Spellings {
    pub(super) fn of(address: &Address) -> Spellings {
        let mut all = vec![address.as_str().to_lowercase()];
        if let Ok(domain) = domain_to_ascii(address.domain()) {
            all.push(format!("{}@{domain}", address.local().to_lowercase()));
        }
        all.dedup();
        Spellings { all }
    }

    /// The name under which the hash is kept.
    fn canonical(&self) -> &str {
        self.all.last().map_or("", String::as_str)
    }

    fn is(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.all.contains(&text)
    }

    /// Whether the text names the address; one that only ends or begins like it is another one.
    fn is_in(&self, text: &[u8]) -> bool {
        self.find(text).is_some()
    }

    fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        self.all.iter().find_map(|spelling| {
            let wanted = spelling.as_bytes();
            let at = memchr::memchr_iter(b'@', text).find_map(|at| {
                let start = at.checked_sub(wanted.iter().position(|byte| *byte == b'@')?)?;
                let found = text.get(start..start + wanted.len())?;
                let is_whole = !continues_before(&text[..start]) && !continues_behind(&text[start + wanted.len()..]);
                (is_whole && equal(found, wanted)).then_some(start)
            })?;
            Some((at, at + wanted.len()))
        })
    }

    /// The text with the address blanked; `None` if it does not name it.
    fn blanked(&self, text: &str) -> Option<String> {
        let mut rest = text;
        let mut out = String::new();
        // Both ends are next to ASCII or at a letter's beginning: the spelling is whole UTF-8.
        while let Some((start, end)) = self.find(rest.as_bytes()) {
            out.push_str(rest.get(..start).unwrap_or_default());
            out.push_str(BLANK);
            rest = rest.get(end..).unwrap_or_default();
        }
        if out.is_empty() {
            return None;
        }
        out.push_str(rest);
        Some(out)
    }

    /// As [`Spellings::blanked`], within the texts and names of a JSON value.
    fn blanked_json(&self, stored: &str) -> Option<String> {
        let mut value: Value = serde_json::from_str(stored).ok()?;
        self.blank_value(&mut value).then(|| value.to_string())
    }

    fn blank_value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.blanked(text) {
                Some(blanked) => {
                    *text = blanked;
                    true
                }
                None => false,
            },
            Value::Array(values) => values.iter_mut().fold(false, |changed, value| self.blank_value(value) | changed),
            Value::Object(fields) => {
                let mut changed = fields.values_mut().fold(false, |changed, value| self.blank_value(value) | changed);
                let names: Vec<(String, String)> =
                    fields.keys().filter_map(|name| Some((name.clone(), self.blanked(name)?))).collect();
                for (name, blanked) in names {
                    if let Some(value) = fields.remove(&name) {
                        fields.insert(blanked, value);
                        changed = true;
                    }
                }
                changed
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

fn equal(found: &[u8], wanted: &[u8]) -> bool {
    found.eq_ignore_ascii_case(wanted)
        || (!wanted.is_ascii()
            && std::str::from_utf8(found).is_ok_and(|found| found.to_lowercase().as_bytes() == wanted))
}

/// Whether a local part goes on to the left of an address.
fn continues_before(before: &[u8]) -> bool {
    before.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(byte) || *byte >= 0x80)
}

/// Whether a domain goes on to the right of an address.
fn continues_behind(behind: &[u8]) -> bool {
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte >= 0x80;
    match behind {
        [b'.', next, ..] => goes_on(next),
        [next, ..] => goes_on(next),
        [] => false,
    }
}

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
            .any(|text| spellings.blanked_json(text).is_some())
        {
            found.push(Found::Mention(id));
        }
    }
    let mut query = db.prepare_cached("SELECT id, mailing, metadata, key FROM message")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let texts: [Option<String>; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        // Letters may be escaped in JSON, so it is looked at as what it means.
        let metadata = texts[1].as_ref().is_some_and(|text| spellings.blanked_json(text).is_some());
        if metadata || texts.iter().flatten().any(|text| spellings.is_in(text.as_bytes())) {
            found.push(Found::Message(row.get(0)?));
        }
    }
    let mut query = db.prepare_cached("SELECT sequence, record, error FROM event")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let error: Option<String> = row.get(2)?;
        if spellings.blanked_json(&row.get::<_, String>(1)?).is_some()
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
    let mut fresh = [0; 32];
    rand::fill(&mut fresh).map_err(|_| StoreError::Failed("the system gives no random numbers".into()))?;
    db.prepare_cached("INSERT OR IGNORE INTO secret (name, value) VALUES ('forgotten', ?1)")?.execute([&fresh[..]])?;
    let secret: Vec<u8> =
        db.prepare_cached("SELECT value FROM secret WHERE name = 'forgotten'")?.query_row([], |row| row.get(0))?;
    let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), spellings.canonical().as_bytes());
    db.prepare_cached("INSERT OR IGNORE INTO forgotten (hash, at) VALUES (?1, ?2)")?
        .execute(params![hash.as_ref(), now.as_millis()])?;
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
    if state < state_code(State::Delivered) {
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
    let found: Option<(String, Option<String>)> = db
        .prepare_cached("SELECT record, error FROM event WHERE sequence = ?1")?
        .query_row([sequence], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((record, error)) = found else { return Ok(0) };
    let value: Option<Value> = serde_json::from_str(&record).ok();
    let is_about = value.as_ref().and_then(|value| value.get("recipient")?.as_str()).is_some_and(|to| spellings.is(to));
    if is_about {
        let gone = db.prepare_cached("DELETE FROM event WHERE sequence = ?1")?.execute([sequence])?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_whole_and_in_any_case() {
        let ann = Spellings::of(&"Ann@Example.org".parse().unwrap());
        for (text, named) in [
            ("<ANN@example.ORG>", true),
            ("rfc822;ann@example.org.", true),
            ("joann@example.org", false),
            ("jo.ann@example.org, ann@example.org", true),
            ("ann@example.org.example", false),
            ("ann@example.orgs", false),
            ("ann@", false),
            ("@example.org", false),
        ] {
            assert_eq!(ann.is_in(text.as_bytes()), named, "{text}");
            assert_eq!(ann.blanked(text).is_some(), named, "{text}");
        }
        assert_eq!(ann.blanked("a ann@example.org b ANN@EXAMPLE.ORG").unwrap(), format!("a {BLANK} b {BLANK}"));
        let escaped = r#"{"text":"to\nann@example.org","ann@example.org":1}"#;
        assert!(!ann.blanked_json(escaped).unwrap().contains("ann@"));
        let blank: Address = BLANK.parse().unwrap();
        assert_eq!(blank.as_str(), BLANK);
    }
}
