//! Queueing messages: a batch in a handful of statements, whatever its size.
//!
//! What several processes do at once is settled by the database: a body is locked before a message names it, so that
//! nobody deletes it in between; an idempotency key belongs to whoever's message was stored first; and a call whose
//! answer to COMMIT was lost can be made again, since its messages have their ids already.

use std::collections::{HashMap, HashSet};

use super::columns::{address, delivery_id, delivery_key, message_id, message_key, size, state_code, stream_name};
use super::news::notify;
use super::scope::Scope;
use crate::store::{BodyId, Enqueued, Hashed, NewDelivery, NewMessage, News, State, StoreError};
use crate::time::Timestamp;

impl Hashed {
    fn id(&self) -> i64 {
        message_key(self.message.id)
    }

    fn key(&self) -> Option<&str> {
        self.message.idempotency.as_ref().map(|idempotency| &*idempotency.key)
    }
}

/// Queues each message whose key is not known yet.
pub(super) async fn enqueue(
    scope: &Scope<'_>,
    messages: &[Hashed],
    now: Timestamp,
    lease: Option<Timestamp>,
) -> Result<Vec<Enqueued>, StoreError> {
    let (stored, keys, bodies) = tokio::try_join!(
        biased;
        stored(scope, messages),
        keys(scope, messages),
        bodies(scope, messages)
    )?;
    let mut taken: HashSet<&str> = keys.keys().map(String::as_str).collect();
    let mut fresh = Vec::with_capacity(messages.len());
    for hashed in messages {
        let is_stored = stored.contains(&hashed.id());
        // A key that is known, from before or from this batch, is answered below.
        let is_first = hashed.key().is_none_or(|key| taken.insert(key));
        if is_first && !is_stored {
            fresh.push(hashed);
        }
    }
    // All of a call is stored or nothing: a repeated call finds every message, another one finds none.
    if let (Some(new), Some(old)) = (fresh.first(), stored.iter().next()) {
        return Err(StoreError::Failed(format!(
            "message {} is stored already, and {} of the same call is not: an id was used twice",
            message_id(*old),
            new.message.id
        )));
    }
    let queued: HashSet<i64> = fresh.iter().map(|hashed| hashed.id()).collect();
    if queued.len() < fresh.len() {
        return Err(StoreError::Failed("two messages of one call have the same id".to_owned()));
    }
    insert(scope, &mut fresh, bodies, now, lease).await?;
    if lease.is_none_or(|_| fresh.iter().any(|hashed| hashed.message.not_before > now)) && !fresh.is_empty() {
        notify(scope, News::Work).await?;
    }
    answers(scope, messages, |id| stored.contains(&id) || queued.contains(&id)).await
}

/// The highest id that was ever stored.
pub(super) async fn high_water(scope: &Scope<'_>) -> Result<u64, StoreError> {
    // Ids are unsigned and these columns are not: the upper half of them is below zero, and is looked at first.
    let query = scope
        .db
        .prepare_cached(
            "SELECT value FROM returnpath.meta WHERE name = 'high_water'
             UNION ALL SELECT max(id) FROM returnpath.message WHERE id < 0
             UNION ALL SELECT max(id) FROM returnpath.message WHERE id >= 0
             UNION ALL SELECT max(id) FROM returnpath.delivery WHERE id < 0
             UNION ALL SELECT max(id) FROM returnpath.delivery WHERE id >= 0",
        )
        .await?;
    let mut highest = 0;
    for row in scope.db.query(&query, &[]).await? {
        let id: Option<i64> = row.try_get(0)?;
        highest = highest.max(id.unwrap_or(0) as u64);
    }
    Ok(highest)
}

/// Writes the high-water mark down, before rows are deleted that it could otherwise be read from.
///
/// Not at every enqueue: all processes would wait for each other at this one row.
pub(super) async fn keep_high_water(scope: &Scope<'_>) -> Result<(), StoreError> {
    let highest = high_water(scope).await?;
    let update = scope
        .db
        .prepare_cached("UPDATE returnpath.meta SET value = $1 WHERE name = 'high_water' AND value <> $1")
        .await?;
    scope.db.execute(&update, &[&(highest as i64)]).await?;
    Ok(())
}

/// Which of the messages are stored.
async fn stored(scope: &Scope<'_>, messages: &[Hashed]) -> Result<HashSet<i64>, StoreError> {
    let ids: Vec<i64> = messages.iter().map(Hashed::id).collect();
    let query = scope.db.prepare_cached("SELECT id FROM returnpath.message WHERE id = ANY ($1)").await?;
    scope.db.query(&query, &[&ids]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The message and the fingerprint that a key stands for.
struct Known {
    message: i64,
    fingerprint: Vec<u8>,
}

async fn keys(scope: &Scope<'_>, messages: &[Hashed]) -> Result<HashMap<String, Known>, StoreError> {
    let keys: Vec<&str> = messages.iter().filter_map(Hashed::key).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let query = scope
        .db
        .prepare_cached("SELECT key, id, fingerprint FROM returnpath.message WHERE key = ANY ($1) AND key IS NOT NULL")
        .await?;
    let rows = scope.db.query(&query, &[&keys]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, Known { message: row.try_get(1)?, fingerprint: row.try_get(2)? })))
        .collect()
}

/// The rows of the bodies that are stored. They cannot be deleted before the end of the transaction.
async fn bodies(scope: &Scope<'_>, messages: &[Hashed]) -> Result<HashMap<BodyId, i64>, StoreError> {
    let hashes: Vec<&[u8]> =
        messages.iter().filter(|hashed| hashed.open() > 0).map(|hashed| &hashed.body.0[..]).collect();
    let query = scope
        .db
        .prepare_cached("SELECT hash, id FROM returnpath.body WHERE hash = ANY ($1) ORDER BY hash FOR KEY SHARE")
        .await?;
    let rows = scope.db.query(&query, &[&hashes]).await?;
    rows.iter().map(|row| Ok((body_id(row.try_get(0)?)?, row.try_get(1)?))).collect()
}

fn body_id(stored: &[u8]) -> Result<BodyId, StoreError> {
    let hash = stored.try_into().map_err(|_| super::columns::damaged("a body's hash", "it has not 32 bytes"))?;
    Ok(BodyId(hash))
}

/// Stores messages with their bodies and deliveries.
async fn insert(
    scope: &Scope<'_>,
    fresh: &mut [&Hashed],
    mut bodies: HashMap<BodyId, i64>,
    now: Timestamp,
    lease: Option<Timestamp>,
) -> Result<(), StoreError> {
    if fresh.is_empty() {
        return Ok(());
    }
    insert_bodies(scope, fresh, &mut bodies).await?;
    // Two processes that store the same keys wait for each other in this order only.
    fresh.sort_by(|a, b| (a.key(), a.id()).cmp(&(b.key(), b.id())));
    let (stored, deliveries) = tokio::join!(
        biased;
        insert_messages(scope, fresh, &bodies, now),
        insert_deliveries(scope, fresh, now, lease)
    );
    if stored? < fresh.len() as u64 {
        // The same key by another process, or our own call whose COMMIT is still under way on a connection that broke.
        // The next try finds that message before it has touched anything. To go on here would mean to wait for bodies
        // while others wait for our keys.
        return Err(StoreError::Temporary("the same message or key was stored at this moment".into()));
    }
    deliveries
}

/// Adds the bodies that are not stored yet.
async fn insert_bodies(
    scope: &Scope<'_>,
    fresh: &[&Hashed],
    bodies: &mut HashMap<BodyId, i64>,
) -> Result<(), StoreError> {
    let mut missing: Vec<(&[u8], &[u8])> = fresh
        .iter()
        .filter(|hashed| hashed.open() > 0 && !bodies.contains_key(&hashed.body))
        .map(|hashed| (&hashed.body.0[..], &hashed.message.body[..]))
        .collect();
    // Always in this order: two processes that store the same bodies do not wait for each other crosswise.
    missing.sort_unstable_by_key(|(hash, _)| *hash);
    missing.dedup_by_key(|(hash, _)| *hash);
    // Another process may have stored one since we looked: writing its content once more, which copies nothing, locks
    // that row against being deleted, and not against those who have locked it for the same purpose.
    let insert = scope
        .db
        .prepare_cached(
            "INSERT INTO returnpath.body AS body (hash, content) SELECT * FROM unnest($1::bytea[], $2::bytea[])
             ON CONFLICT (hash) DO UPDATE SET content = body.content RETURNING hash, id",
        )
        .await?;
    let mut rest = &missing[..];
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |(_, content): &&(&[u8], &[u8])| {
            bytes += content.len();
            bytes <= STATEMENT_BYTES
        };
        let (part, following) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = following;
        let (hashes, contents): (Vec<&[u8]>, Vec<&[u8]>) = part.iter().copied().unzip();
        for row in scope.db.query(&insert, &[&hashes, &contents]).await? {
            bodies.insert(body_id(row.try_get(0)?)?, row.try_get(1)?);
        }
    }
    Ok(())
}

/// Bodies sent in one statement: what it has is held in memory three times, here, on the way and in the server.
const STATEMENT_BYTES: usize = 16 << 20;

/// Answers how many were stored: all but those whose id or key is there already.
async fn insert_messages(
    scope: &Scope<'_>,
    fresh: &[&Hashed],
    bodies: &HashMap<BodyId, i64>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let insert = scope
        .db
        .prepare_cached(
            "INSERT INTO returnpath.message (queued_at, id, body, body_size, open, smtputf8, eight_bit, stream, expires,
                 own_deadline, tag, mailing, metadata, key, fingerprint)
             SELECT $1::bigint, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::boolean[],
                 $7::boolean[], $8::text[], $9::bigint[], $10::boolean[], $11::bytea[], $12::text[], $13::text[],
                 $14::text[], $15::bytea[])
             ON CONFLICT DO NOTHING",
        )
        .await?;
    fn column<'a, T>(fresh: &[&'a Hashed], of: impl Fn(&'a Hashed) -> T) -> Vec<T> {
        fresh.iter().map(|hashed| of(hashed)).collect()
    }
    let stored = scope
        .db
        .execute(
            &insert,
            &[
                &scope.times.to_stored(now),
                &column(fresh, Hashed::id),
                &column(fresh, |it| bodies.get(&it.body).filter(|_| it.open() > 0).copied()),
                &column(fresh, |it| size(it.message.body.len())),
                &column(fresh, |it| i32::try_from(it.open()).unwrap_or(i32::MAX)),
                &column(fresh, |it| it.message.smtputf8),
                &column(fresh, |it| it.message.eight_bit),
                &column(fresh, |it| stream_name(it.message.stream)),
                &column(fresh, |it| scope.times.to_stored(it.message.expires)),
                &column(fresh, |it| it.message.own_deadline),
                &column(fresh, |it| it.message.tag.map(|tag| tag.to_stored())),
                &column(fresh, |it| it.message.mailing.as_deref()),
                &column(fresh, |it| it.message.metadata.as_deref()),
                &column(fresh, Hashed::key),
                &column(fresh, |it| it.message.idempotency.as_ref().map(|it| &it.fingerprint[..])),
            ],
        )
        .await?;
    Ok(stored)
}

async fn insert_deliveries(
    scope: &Scope<'_>,
    fresh: &[&Hashed],
    now: Timestamp,
    lease: Option<Timestamp>,
) -> Result<(), StoreError> {
    struct Row<'a> {
        message: &'a NewMessage,
        delivery: &'a NewDelivery,
        state: State,
        due: Timestamp,
    }
    let rows: Vec<Row<'_>> = fresh
        .iter()
        .flat_map(|hashed| {
            let message = &hashed.message;
            let (state, due) = hashed.first_state(now, lease);
            message.deliveries.iter().map(move |delivery| Row { message, delivery, state, due })
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let insert = scope
        .db
        .prepare_cached(
            "INSERT INTO returnpath.delivery (queued_at, id, message, state, due, process, recipient, domain,
                 destination, return_path, prefix)
             SELECT $1::bigint, * FROM unnest($2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[],
                 $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])",
        )
        .await?;
    fn column<'a, T>(rows: &[Row<'a>], of: impl Fn(&Row<'a>) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    scope
        .db
        .execute(
            &insert,
            &[
                &scope.times.to_stored(now),
                &column(&rows, |row| delivery_key(row.delivery.id)),
                &column(&rows, |row| message_key(row.message.id)),
                &column(&rows, |row| state_code(row.state)),
                &column(&rows, |row| scope.times.to_stored(row.due)),
                &column(&rows, |row| (row.state == State::Leased).then_some(scope.process)),
                &column(&rows, |row| row.delivery.recipient.as_str()),
                &column(&rows, |row| row.delivery.recipient.domain()),
                &column(&rows, |row| &*row.delivery.destination),
                &column(&rows, |row| row.delivery.return_path.as_str()),
                &column(&rows, |row| &*row.delivery.prefix),
            ],
        )
        .await?;
    Ok(())
}

/// Deletes bodies that no message has any more.
pub(super) async fn drop_bodies(scope: &Scope<'_>, bodies: &[i64]) -> Result<(), StoreError> {
    if bodies.is_empty() {
        return Ok(());
    }
    // Locked first, asked then: who queues a message with this body has locked it before, and a statement sees what
    // was committed before it began, not before it got its locks.
    let lock =
        scope.db.prepare_cached("SELECT 1 FROM returnpath.body WHERE id = ANY ($1) ORDER BY hash FOR UPDATE").await?;
    let delete = scope
        .db
        .prepare_cached(
            "DELETE FROM returnpath.body b WHERE b.id = ANY ($1)
                 AND NOT EXISTS (SELECT FROM returnpath.message m WHERE m.body = b.id AND m.body IS NOT NULL)",
        )
        .await?;
    tokio::try_join!(
        biased;
        async { scope.db.execute(&lock, &[&bodies]).await },
        async { scope.db.execute(&delete, &[&bodies]).await }
    )?;
    Ok(())
}

/// What became of each message: `is_new` says which were queued by this call, now or before its answer was lost.
async fn answers(
    scope: &Scope<'_>,
    messages: &[Hashed],
    is_new: impl Fn(i64) -> bool,
) -> Result<Vec<Enqueued>, StoreError> {
    if messages.iter().all(|hashed| is_new(hashed.id())) {
        return Ok(vec![Enqueued::New; messages.len()]);
    }
    let known = keys(scope, messages).await?;
    let ids: Vec<i64> = known.values().map(|known| known.message).collect();
    let query = scope
        .db
        .prepare_cached(
            "SELECT message, id, recipient, return_path FROM returnpath.delivery WHERE message = ANY ($1) ORDER BY id",
        )
        .await?;
    let mut deliveries: HashMap<i64, Vec<_>> = HashMap::new();
    for row in scope.db.query(&query, &[&ids]).await? {
        let delivery = (delivery_id(row.try_get(1)?), address(&row, 2)?, address(&row, 3)?);
        deliveries.entry(row.try_get(0)?).or_default().push(delivery);
    }
    messages
        .iter()
        .map(|hashed| {
            if is_new(hashed.id()) {
                return Ok(Enqueued::New);
            }
            let idempotency = hashed.message.idempotency.as_ref();
            match idempotency.and_then(|it| Some((it, known.get(&it.key)?))) {
                Some((it, known)) if known.fingerprint == it.fingerprint => Ok(Enqueued::Repeated {
                    message: message_id(known.message),
                    deliveries: deliveries.get(&known.message).cloned().unwrap_or_default(),
                }),
                Some(_) => Ok(Enqueued::KeyConflict),
                // It was there when ours was refused.
                None => Err(StoreError::Failed(format!(
                    "the message with the idempotency key of {} was deleted while the key was looked up",
                    hashed.message.id
                ))),
            }
        })
        .collect()
}
