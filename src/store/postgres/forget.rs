//! Forgetting an address: every row that names it goes or is blanked, and then the tables are written anew.
//!
//! There is no index on addresses – nothing else would use it –, so the tables are read once, in pages, each in a
//! transaction of its own; what is found is then worked on in steps that hold nobody up. A deleted or changed row is
//! still readable in its table's file afterwards, also when PostgreSQL has made its room free: the tables are rewritten
//! (`VACUUM FULL`), as an embedded store is. What the server writes elsewhere is not in this store's hands; the manual
//! names it.
//!
//! What is left: a keyed hash of the address, and the numbers of its deliveries, by which their late settlements and
//! reports are known and not stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::Row;

use super::columns::FIRST_ENDED;
use super::scope::Scope;
use super::{enqueue, events, outbound};
use crate::store::outbox::decode;
use crate::store::random::random;
use crate::store::spellings::Spellings;
use crate::store::{NewMessage, StoreError};
use crate::time::Timestamp;

/// Rows worked on in one transaction.
pub(super) const STEP: usize = 200;

/// A table whose rows may name an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Delivery,
    Message,
    Event,
    Raw,
    /// Rows that could not be queued; the others are taken before.
    Outbox,
}

/// One row to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    Delivery(i64),
    /// Another delivery, or a message, whose texts name the address.
    Mention(i64),
    Message(i64),
    /// An event, and the delivery that it is about.
    Event(i64, Option<i64>),
    Raw(i64),
    Outbox(i64),
}

impl Table {
    /// In this order: what is found first is worked on first.
    pub(super) const ALL: [Table; 5] = [Table::Delivery, Table::Message, Table::Event, Table::Raw, Table::Outbox];

    /// Rows from a key on, and a limit.
    fn query(self) -> &'static str {
        match self {
            Table::Delivery => {
                "SELECT id, recipient, last, bounced FROM returnpath.delivery WHERE id >= $1 ORDER BY id LIMIT $2"
            }
            Table::Message => {
                "SELECT id, mailing, metadata, key FROM returnpath.message WHERE id >= $1 ORDER BY id LIMIT $2"
            }
            Table::Event => {
                "SELECT sequence, record, error, delivery FROM returnpath.event WHERE sequence >= $1
                 ORDER BY sequence LIMIT $2"
            }
            Table::Raw => {
                "SELECT sequence, content FROM returnpath.event_raw WHERE sequence >= $1 ORDER BY sequence LIMIT $2"
            }
            Table::Outbox => {
                "SELECT id, payload, error FROM returnpath.outbox WHERE id >= $1 AND error IS NOT NULL
                 ORDER BY id LIMIT $2"
            }
        }
    }

    /// Rows read in one transaction: they are all in memory.
    fn page(self) -> i64 {
        match self {
            Table::Delivery | Table::Message | Table::Event => 1000,
            Table::Raw | Table::Outbox => 16,
        }
    }

    /// What is to be done with a row, if anything is.
    fn look(self, row: &Row, spellings: &Spellings) -> Result<Option<Found>, StoreError> {
        let key: i64 = row.try_get(0)?;
        let text = |column: usize| row.try_get::<_, Option<&str>>(column);
        let is_in = |text: Option<&str>| text.is_some_and(|text| spellings.is_in(text.as_bytes()));
        let is_in_json = |text: Option<&str>| text.is_some_and(|text| spellings.is_in_json(text));
        Ok(match self {
            Table::Delivery if spellings.is(row.try_get(1)?) => Some(Found::Delivery(key)),
            Table::Delivery => (is_in_json(text(2)?) || is_in_json(text(3)?)).then_some(Found::Mention(key)),
            Table::Message => {
                (is_in(text(1)?) || is_in_json(text(2)?) || is_in(text(3)?)).then_some(Found::Message(key))
            }
            Table::Event => {
                let delivery = row.try_get(3)?;
                (is_in_json(text(1)?) || is_in(text(2)?)).then_some(Found::Event(key, delivery))
            }
            Table::Raw => spellings.is_in(row.try_get(1)?).then_some(Found::Raw(key)),
            Table::Outbox => {
                let payload: &[u8] = row.try_get(1)?;
                let is_to =
                    |message: NewMessage| message.deliveries.iter().any(|to| spellings.is(to.recipient.as_str()));
                let names_it = spellings.is_in(payload) || is_in(text(2)?) || decode(payload).is_ok_and(is_to);
                names_it.then_some(Found::Outbox(key))
            }
        })
    }
}

/// Reads a page of a table from a key on: what names the address, and where the next page starts.
pub(super) async fn search(
    scope: &Scope<'_>,
    table: Table,
    from: i64,
    spellings: &Spellings,
) -> Result<(Vec<Found>, Option<i64>), StoreError> {
    let query = scope.db.prepare_cached(table.query()).await?;
    let rows = scope.db.query(&query, &[&from, &table.page()]).await?;
    let mut found = Vec::new();
    for row in &rows {
        found.extend(table.look(row, spellings)?);
    }
    // Keys are any 64 bits.
    let last: Option<i64> = rows.last().map(|row| row.try_get(0)).transpose()?;
    let is_full = rows.len() as i64 == table.page();
    Ok((found, last.filter(|_| is_full).and_then(|last| last.checked_add(1))))
}

/// Keeps the hash of the address. It goes first: whoever looks an address up knows it as soon as its rows begin to go.
pub(super) async fn remember(scope: &Scope<'_>, spellings: &Spellings, now: Timestamp) -> Result<(), StoreError> {
    let fresh: [u8; 32] = random()?;
    let make = "INSERT INTO returnpath.secret (name, value) VALUES ('forgotten', $1) ON CONFLICT DO NOTHING";
    let make = scope.db.prepare_cached(make).await?;
    scope.db.execute(&make, &[&&fresh[..]]).await?;
    let query = scope.db.prepare_cached("SELECT value FROM returnpath.secret WHERE name = 'forgotten'").await?;
    let row = scope.db.query_one(&query, &[]).await?;
    let hash = spellings.hash(row.try_get(0)?);
    let keep = "INSERT INTO returnpath.forgotten (hash, at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let keep = scope.db.prepare_cached(keep).await?;
    scope.db.execute(&keep, &[&&hash[..], &scope.times.to_stored(now)]).await?;
    Ok(())
}

/// Works on some rows; answers how many went or changed.
pub(super) async fn step(
    scope: &Scope<'_>,
    spellings: &Spellings,
    rows: &[Found],
    now: Timestamp,
) -> Result<u64, StoreError> {
    // Each kind of row is locked by id; the deliveries of events before the events.
    let locked = rows.iter().filter_map(|row| match *row {
        Found::Delivery(id) | Found::Mention(id) | Found::Event(_, Some(id)) => Some(id),
        _ => None,
    });
    events::lock(scope, locked).await?;
    let named: Vec<i64> =
        rows.iter().filter_map(|row| if let Found::Delivery(id) = row { Some(*id) } else { None }).collect();
    let mut changed = deliveries(scope, &named, now).await?;
    for row in rows {
        changed += match *row {
            Found::Delivery(_) => 0,
            Found::Mention(id) => mention(scope, spellings, id).await?,
            Found::Message(id) => message(scope, spellings, id).await?,
            Found::Event(sequence, delivery) => event(scope, spellings, sequence, delivery).await?,
            Found::Raw(sequence) => delete(scope, RAW, sequence).await?,
            Found::Outbox(id) => delete(scope, OUTBOX, id).await?,
        };
    }
    Ok(changed)
}

/// Which of these deliveries were forgotten: what is still heard of them is not stored.
pub(super) async fn forgotten(
    scope: &Scope<'_>,
    deliveries: impl Iterator<Item = i64>,
) -> Result<BTreeSet<i64>, StoreError> {
    let ids: Vec<i64> = deliveries.collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let query = scope.db.prepare_cached("SELECT id FROM returnpath.forgotten_delivery WHERE id = ANY ($1)").await?;
    scope.db.query(&query, &[&ids]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Deletes deliveries, open ones too, with all that hangs on them; their messages where no other delivery is left.
async fn deliveries(scope: &Scope<'_>, ids: &[i64], now: Timestamp) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    enqueue::keep_high_water(scope).await?;
    let keep = "INSERT INTO returnpath.forgotten_delivery (id, at) SELECT unnest($1::bigint[]), $2::bigint
                ON CONFLICT DO NOTHING";
    let keep = scope.db.prepare_cached(keep).await?;
    scope.db.execute(&keep, &[&ids, &scope.times.to_stored(now)]).await?;
    let gone = "DELETE FROM returnpath.delivery WHERE id = ANY ($1) RETURNING message, state";
    let gone = scope.db.prepare_cached(gone).await?;
    let rows = scope.db.query(&gone, &[&ids]).await?;
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
    let emptied = scope.db.execute(&delete, &[&messages]).await?;
    let delete = scope
        .db
        .prepare_cached(
            "WITH gone AS (DELETE FROM returnpath.event WHERE delivery = ANY ($1) RETURNING sequence),
                 raw AS (DELETE FROM returnpath.event_raw WHERE sequence IN (SELECT sequence FROM gone) RETURNING 1),
                 counter AS (DELETE FROM returnpath.inbound WHERE delivery = ANY ($1) RETURNING 1)
             SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM raw) + (SELECT count(*) FROM counter)",
        )
        .await?;
    let told: i64 = scope.db.query_one(&delete, &[&ids]).await?.try_get(0)?;
    Ok(rows.len() as u64 + emptied + told.unsigned_abs())
}

/// Another delivery whose conversation or bounce named the address. It is locked.
async fn mention(scope: &Scope<'_>, spellings: &Spellings, id: i64) -> Result<u64, StoreError> {
    let query = scope.db.prepare_cached("SELECT last, bounced FROM returnpath.delivery WHERE id = $1").await?;
    let Some(row) = scope.db.query_opt(&query, &[&id]).await? else { return Ok(0) };
    let blanked = |text: Option<&str>| text.and_then(|text| spellings.blanked_json(text));
    let update =
        "UPDATE returnpath.delivery SET last = coalesce($2, last), bounced = coalesce($3, bounced) WHERE id = $1";
    let update = scope.db.prepare_cached(update).await?;
    Ok(scope.db.execute(&update, &[&id, &blanked(row.try_get(0)?), &blanked(row.try_get(1)?)]).await?)
}

/// A message of others. Its key is kept while it is open: without it, a repeated call would send it twice.
async fn message(scope: &Scope<'_>, spellings: &Spellings, id: i64) -> Result<u64, StoreError> {
    let query = "SELECT mailing, metadata, CASE WHEN open <= 0 THEN key END FROM returnpath.message WHERE id = $1
                 FOR NO KEY UPDATE";
    let query = scope.db.prepare_cached(query).await?;
    let Some(row) = scope.db.query_opt(&query, &[&id]).await? else { return Ok(0) };
    let mailing = row.try_get::<_, Option<&str>>(0)?.and_then(|text| spellings.blanked(text));
    let metadata = row.try_get::<_, Option<&str>>(1)?.and_then(|text| spellings.blanked_json(text));
    let names_it = row.try_get::<_, Option<&str>>(2)?.is_some_and(|key| spellings.is_in(key.as_bytes()));
    let update = scope
        .db
        .prepare_cached(
            "UPDATE returnpath.message SET mailing = coalesce($2, mailing), metadata = coalesce($3, metadata),
                 key = CASE WHEN NOT $4 THEN key END, fingerprint = CASE WHEN NOT $4 THEN fingerprint END
             WHERE id = $1",
        )
        .await?;
    Ok(scope.db.execute(&update, &[&id, &mailing, &metadata, &names_it]).await?)
}

/// An event of another delivery, or of none. One whose recipient is the address goes.
async fn event(
    scope: &Scope<'_>,
    spellings: &Spellings,
    sequence: i64,
    delivery: Option<i64>,
) -> Result<u64, StoreError> {
    let query = "SELECT record, error FROM returnpath.event WHERE sequence = $1 FOR NO KEY UPDATE";
    let query = scope.db.prepare_cached(query).await?;
    let Some(row) = scope.db.query_opt(&query, &[&sequence]).await? else { return Ok(0) };
    let (record, error): (&str, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
    if spellings.is_recipient_in(record) {
        let gone = delete(scope, EVENT, sequence).await? + delete(scope, RAW, sequence).await?;
        // Those behind it are not held up by it.
        events::ready_eldest(scope, &delivery.into_iter().collect::<Vec<_>>()).await?;
        return Ok(gone);
    }
    let update = "UPDATE returnpath.event SET record = coalesce($2, record), error = coalesce($3, error)
                  WHERE sequence = $1";
    let update = scope.db.prepare_cached(update).await?;
    let error = error.and_then(|error| spellings.blanked(error));
    Ok(scope.db.execute(&update, &[&sequence, &spellings.blanked_json(record), &error]).await?)
}

const EVENT: &str = "DELETE FROM returnpath.event WHERE sequence = $1";
const RAW: &str = "DELETE FROM returnpath.event_raw WHERE sequence = $1";
const OUTBOX: &str = "DELETE FROM returnpath.outbox WHERE id = $1";

async fn delete(scope: &Scope<'_>, statement: &str, key: i64) -> Result<u64, StoreError> {
    let delete = scope.db.prepare_cached(statement).await?;
    Ok(scope.db.execute(&delete, &[&key]).await?)
}

/// The end of all that was done so far: what has begun before it may still see what was deleted.
pub(super) async fn mark(scope: &Scope<'_>) -> Result<String, StoreError> {
    let query = scope.db.prepare_cached("SELECT pg_current_xact_id()::xid::text").await?;
    Ok(scope.db.query_one(&query, &[]).await?.try_get(0)?)
}

/// Writes the tables anew, without what was in their free room and in the gaps of their pages. As long as it takes,
/// nobody else uses the one that is being written; it needs room for a second copy of it. False: somebody looks at the
/// tables as they were before the mark.
pub(super) async fn rewrite(client: Object, mark: &str) -> Result<bool, StoreError> {
    // Not given back to the pool: it has a setting of its own.
    let client = Object::take(client);
    client.batch_execute(REWRITING).await?;
    let foreign = client.query_one(FOREIGN, &[]).await?;
    if let Some(tables) = foreign.try_get::<_, Option<String>>(0)? {
        return Err(StoreError::Failed(format!(
            "the rows that name the address are gone, but the role of this mailer does not own {tables} and cannot \
             write them anew: until their owner runs VACUUM FULL on them, their files still have older copies"
        )));
    }
    if client.query_one(ELDER, &[&mark]).await?.try_get(0)? {
        return Ok(false);
    }
    for table in TABLES {
        client.batch_execute(&format!("VACUUM (FULL) returnpath.{table}")).await?;
    }
    Ok(true)
}

/// How often the tables are tried to be written anew, and the time between two tries: 10 s in all.
pub(super) const TRIES: u32 = 40;
/// See [`TRIES`].
pub(super) const WAIT: Duration = Duration::from_millis(250);

/// What is told when that was not possible.
pub(super) const KEPT_BY_A_READER: &str = "the rows that name the address are gone, but another session holds an old \
    transaction or a lock open in the database, so the tables could not be written anew and their files still have older \
    copies; end that transaction and call this again";

/// The tables that may have named an address.
const TABLES: [&str; 6] = ["delivery", "message", "body", "event", "event_raw", "outbox"];

/// Whoever waits for a lock on a table holds up all that come after: it is not waited for long.
const REWRITING: &str = "SET lock_timeout = '2s'";

/// The tables that another role owns; it would be a mere warning that they are left as they are.
const FOREIGN: &str = "
    SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
    WHERE relnamespace = to_regnamespace('returnpath') AND relkind = 'r' AND NOT pg_has_role(relowner, 'USAGE')";

/// Whether a session has a view of the database from before the mark: its copies of deleted rows are kept.
const ELDER: &str = "
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                   AND age(backend_xmin) >= age($1::text::xid))";
