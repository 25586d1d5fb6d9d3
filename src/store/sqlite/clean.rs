//! What is done to the files as a whole: rewriting the database without its free room, and cutting its log.

use std::time::Duration;

use rusqlite::Connection;

use crate::store::StoreError;

/// How often the log is tried to be cut, and the time between two tries: 10 s in all.
pub(super) const TRIES: u32 = 40;
/// See [`TRIES`].
pub(super) const WAIT: Duration = Duration::from_millis(250);

/// What is told when the log could not be cut.
pub(super) const KEPT_BY_A_READER: &str = "the rows that name the address are gone, but another program holds a read \
    transaction open on the database, so its log (the file that ends in -wal) still has older copies of them; end that \
    transaction and call this again";

/// Rewrites the database. As long as it takes, nothing else is written; it needs room for a second copy.
pub(super) fn rewrite(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute_batch("VACUUM")?)
}

/// Moves the whole log into the database and cuts it to nothing; whether that was possible. It does not wait for a
/// reader: the writer has other things to do.
pub(super) fn cut_log(db: &Connection) -> Result<bool, StoreError> {
    let wait: u32 = db.query_row("PRAGMA busy_timeout", [], |row| row.get(0))?;
    db.busy_timeout(Duration::ZERO)?;
    let blocked = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    db.busy_timeout(Duration::from_millis(wait.into()))?;
    Ok(blocked? == 0)
}
