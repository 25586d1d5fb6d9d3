//! The tables, as a list of additive steps from one format to the next.
//!
//! The format of a file is its `user_version`: how many steps it has been through. A step only adds tables, columns
//! and indexes, so that a reader's query keeps working; it is never changed after a release, a new one is appended.
//! `src/manual/store.md` draws what results.

use rusqlite::Connection;

use crate::store::StoreError;

/// Marks a file as ours (`PRAGMA application_id`): the letters "rpth".
pub(super) const APPLICATION_ID: i32 = 0x7270_7468;

/// The format that this version writes.
pub(super) const FORMAT: u32 = STEPS.len() as u32;

/// Brings a database from format `from` to [`FORMAT`]; each step is one transaction with its own format number.
pub(super) fn migrate(db: &Connection, from: u32) -> Result<(), StoreError> {
    for (step, format) in STEPS.iter().zip(1u32..).skip(from as usize) {
        db.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             {step}
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {format};
             COMMIT;"
        ))
        .inspect_err(|_| {
            // The first error is the one to tell; without this the next statement would fail for another reason.
            let _ = db.execute_batch("ROLLBACK");
        })?;
    }
    Ok(())
}

const STEPS: &[&str] = &[FIRST, SECOND];

// Times are milliseconds since the Unix epoch. Ids are the 64-bit numbers of the crate as signed integers. SQLite
// keeps the comments inside a table: whoever asks for `.schema` reads them.
//
// A partial index is used only where the query repeats the index's own condition, word for word.
const FIRST: &str = "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('high_water', 0);

CREATE TABLE body (
    id      INTEGER PRIMARY KEY,
    hash    BLOB NOT NULL UNIQUE, -- SHA-256 of the content
    content BLOB NOT NULL
);

CREATE TABLE message (
    id           INTEGER PRIMARY KEY,
    queued_at    INTEGER NOT NULL,
    body         INTEGER,          -- until the last delivery has its end
    body_size    INTEGER NOT NULL,
    open         INTEGER NOT NULL, -- deliveries without an end
    smtputf8     INTEGER NOT NULL,
    eight_bit    INTEGER NOT NULL,
    stream       TEXT NOT NULL,
    expires      INTEGER NOT NULL,
    own_deadline INTEGER NOT NULL,
    tag          BLOB,
    mailing      TEXT,
    metadata     TEXT,
    key          TEXT,
    fingerprint  BLOB
);
CREATE UNIQUE INDEX message_key ON message(key) WHERE key IS NOT NULL;
CREATE INDEX message_body ON message(body) WHERE body IS NOT NULL;

CREATE TABLE delivery (
    id            INTEGER PRIMARY KEY,
    message       INTEGER NOT NULL,
    queued_at     INTEGER NOT NULL,
    state         INTEGER NOT NULL, -- 0 queued 1 leased 2 in flight 3 held 4 delivered 5 failed 6 suppressed 7 cancelled
    due           INTEGER NOT NULL,
    in_doubt      INTEGER NOT NULL DEFAULT 0, -- the end of data may have gone out, its outcome is not recorded
    was_uncertain INTEGER NOT NULL DEFAULT 0, -- an earlier attempt ended without an answer
    attempts      INTEGER NOT NULL DEFAULT 0,
    delays_told   INTEGER NOT NULL DEFAULT 0,
    complained    INTEGER NOT NULL DEFAULT 0,
    recipient     TEXT NOT NULL,
    domain        TEXT NOT NULL,
    destination   TEXT NOT NULL CHECK (destination <> ''),
    return_path   TEXT NOT NULL,
    prefix        TEXT NOT NULL,
    reason        TEXT,
    last          TEXT, -- JSON: what the last attempt met
    bounced       TEXT  -- JSON: the verdict of the bounce that came back
);
CREATE INDEX delivery_message ON delivery(message);
CREATE INDEX delivery_queued ON delivery(queued_at);
CREATE INDEX delivery_turn ON delivery(destination, due) WHERE state <= 1;
CREATE INDEX delivery_due ON delivery(due) WHERE state <= 1;
CREATE INDEX delivery_leased ON delivery(id) WHERE state = 1;
CREATE INDEX delivery_in_doubt ON delivery(id) WHERE in_doubt = 1;

CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id       BLOB NOT NULL UNIQUE,
    state    INTEGER NOT NULL, -- 0 ready 1 waiting behind an elder event of its delivery 2 done 3 dead letter
    due      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    delivery INTEGER,
    kind     TEXT NOT NULL,
    error    TEXT,
    record   TEXT NOT NULL
);
CREATE INDEX event_ready ON event(due) WHERE state = 0;
CREATE INDEX event_pending ON event(delivery) WHERE state <= 1;
CREATE INDEX event_dead ON event(sequence) WHERE state = 3;
CREATE INDEX event_at ON event(at);

CREATE TABLE event_raw (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    content  BLOB NOT NULL
);
CREATE INDEX event_raw_at ON event_raw(at);

CREATE TABLE inbound (
    delivery  INTEGER PRIMARY KEY,
    first_at  INTEGER NOT NULL,
    events    INTEGER NOT NULL,
    raw_bytes INTEGER NOT NULL,
    refused   INTEGER NOT NULL DEFAULT 0 -- events over the bound: counted, not stored
);

CREATE TABLE ring_key (
    id          INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    secret      BLOB,
    state       TEXT NOT NULL,
    since       INTEGER NOT NULL
);

CREATE TABLE path_form (
    domain    TEXT NOT NULL,
    prefix    TEXT NOT NULL,
    separator TEXT NOT NULL,
    last_used INTEGER NOT NULL,
    PRIMARY KEY (domain, prefix, separator)
) WITHOUT ROWID;
";

/// What stays of an address that was forgotten.
const SECOND: &str = "
CREATE TABLE secret (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE forgotten (
    hash BLOB PRIMARY KEY, -- HMAC-SHA256 of the address in lower case, under the secret of this name
    at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE forgotten_delivery (
    id INTEGER PRIMARY KEY, -- what is still heard of it is not stored
    at INTEGER NOT NULL
);
";
