//! Forgetting an address: everything that names it goes.
//!
//! Large and small letters are the same here, also in the local part, where the standard would tell them apart
//! (RFC 5321 §2.4): who asks to be forgotten means every spelling. The tables are read from end to end; it is asked
//! for rarely.
//!
//! Messages in the outbox are not looked at: whoever calls this takes them first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::columns::FIRST_ENDED;
use super::scope::Scope;
use super::{enqueue, events, outbound};
use crate::address::Address;
use crate::store::StoreError;

/// Deletes the deliveries to `address`, with their events, raw mail and counters, and all other events and raw mail
/// that have the address in their text. Answers how many rows went.
pub(super) async fn forget(scope: &Scope<'_>, address: &Address) -> Result<u64, StoreError> {
    let address = address.as_str().to_lowercase();
    enqueue::keep_high_water(scope).await?;
    let named = scope.db.prepare_cached("SELECT id FROM returnpath.delivery WHERE lower(recipient) = $1").await?;
    let rows = scope.db.query(&named, &[&address]).await?;
    let deliveries: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let told = events_that_name(scope, &address).await?;
    let locked: BTreeSet<i64> =
        deliveries.iter().chain(told.iter().filter_map(|(_, of)| of.as_ref())).copied().collect();
    events::lock(scope, locked.iter().copied()).await?;

    let mut gone = cancel(scope, &deliveries).await?;
    let sequences: Vec<i64> = told.iter().map(|(sequence, _)| *sequence).collect();
    let delete = scope
        .db
        .prepare_cached(
            "WITH gone AS (DELETE FROM returnpath.event WHERE delivery = ANY ($1) OR sequence = ANY ($2)
                           RETURNING sequence),
                 raw AS (DELETE FROM returnpath.event_raw WHERE sequence IN (SELECT sequence FROM gone) RETURNING 1),
                 counter AS (DELETE FROM returnpath.inbound WHERE delivery = ANY ($1) RETURNING 1)
             SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM raw) + (SELECT count(*) FROM counter)",
        )
        .await?;
    gone += rows_gone(scope.db.query_one(&delete, &[&deliveries, &sequences]).await?.try_get(0)?);
    // Those behind a deleted event are not held up by it.
    events::ready_eldest(scope, &locked.into_iter().collect::<Vec<_>>()).await?;
    // Raw mail of other events that quotes the address, in whatever surroundings.
    let raw = scope
        .db
        .prepare_cached(
            "DELETE FROM returnpath.event_raw
             WHERE position(encode(convert_to($1::text, 'UTF8'), 'escape') IN lower(encode(content, 'escape'))) > 0",
        )
        .await?;
    Ok(gone + scope.db.execute(&raw, &[&address]).await?)
}

/// Deletes deliveries, open ones too; their messages as well where no other delivery is left.
async fn cancel(scope: &Scope<'_>, deliveries: &[i64]) -> Result<u64, StoreError> {
    let delete =
        scope.db.prepare_cached("DELETE FROM returnpath.delivery WHERE id = ANY ($1) RETURNING message, state").await?;
    let rows = scope.db.query(&delete, &[&deliveries]).await?;
    let mut messages: BTreeSet<i64> = BTreeSet::new();
    let mut open: BTreeMap<i64, i32> = BTreeMap::new();
    for row in &rows {
        let (message, state): (i64, i16) = (row.try_get(0)?, row.try_get(1)?);
        messages.insert(message);
        if state < FIRST_ENDED {
            *open.entry(message).or_default() += 1;
        }
    }
    outbound::close(scope, &open).await?;
    let messages: Vec<i64> = messages.into_iter().collect();
    let delete = scope
        .db
        .prepare_cached(
            "DELETE FROM returnpath.message m WHERE m.id = ANY ($1)
                 AND NOT EXISTS (SELECT FROM returnpath.delivery d WHERE d.message = m.id)",
        )
        .await?;
    Ok(rows.len() as u64 + scope.db.execute(&delete, &[&messages]).await?)
}

/// Events that name the address somewhere in their record: `(sequence, delivery)`.
async fn events_that_name(scope: &Scope<'_>, address: &str) -> Result<Vec<(i64, Option<i64>)>, StoreError> {
    // The JSON of a quoted local part has its quotation marks escaped.
    let escaped = Value::from(address).to_string();
    let escaped = escaped.trim_matches('"');
    let query = scope
        .db
        .prepare_cached(
            "SELECT sequence, delivery, record FROM returnpath.event WHERE position($1 IN lower(record)) > 0",
        )
        .await?;
    let mut found = Vec::new();
    for row in scope.db.query(&query, &[&escaped]).await? {
        // What cannot be read has the letters of the address in it: better gone than kept.
        let record = serde_json::from_str(row.try_get(2)?).unwrap_or_else(|_| Value::from(address));
        if names(&record, address) {
            found.push((row.try_get(0)?, row.try_get(1)?));
        }
    }
    Ok(found)
}

fn rows_gone(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// Whether a text in the value has the address in it, and not only as the end or the start of a longer one.
fn names(value: &Value, address: &str) -> bool {
    match value {
        Value::String(text) => has_address(&text.to_lowercase(), address),
        Value::Array(values) => values.iter().any(|value| names(value, address)),
        Value::Object(fields) => fields.values().any(|value| names(value, address)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn has_address(text: &str, address: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || "!#$%&*+-/?^_`{|}~.".contains(c);
    text.match_indices(address).any(|(start, found)| {
        let before = text[..start].chars().next_back();
        let mut behind = text[start + found.len()..].chars();
        let is_end = match behind.next() {
            // The full stop of a sentence.
            Some('.') => behind.next().is_none_or(|c| !c.is_alphanumeric()),
            Some(c) => !(c.is_alphanumeric() || c == '-'),
            None => true,
        };
        is_end && !before.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_as_a_whole_only() {
        for (text, is_named) in [
            ("ann@example.org", true),
            ("550 <ann@example.org>: no such user", true),
            ("no mailbox ann@example.org.", true),
            ("rfc822;ann@example.org", true),
            ("joann@example.org", false),
            ("to.ann@example.org", false),
            ("ann@example.org.example", false),
            ("ann@example.orgs", false),
            ("", false),
        ] {
            let record = serde_json::json!({ "kind": "bounce", "texts": [null, { "text": text }] });
            assert_eq!(names(&record, "ann@example.org"), is_named, "{text}");
        }
    }
}
