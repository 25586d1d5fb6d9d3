//! What the work of one call stands on: a transaction, who asks, and what time it is.

use deadpool_postgres::Transaction;

use crate::store::StoreError;
use crate::time::Timestamp;

/// One transaction of one process.
pub(super) struct Scope<'a> {
    pub(super) db: &'a Transaction<'a>,
    /// The row of `returnpath.process` that this process has now.
    pub(super) process: i64,
    pub(super) times: Times,
}

/// Between this process's clock and the database's, which decides about leases and due times for all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// What the database's clock is ahead, in milliseconds.
    pub(super) ahead: i64,
    /// Whether the database says what time it is, not the caller.
    pub(super) now_from_database: bool,
}

impl Scope<'_> {
    /// The time by which leases and due times are judged: the database's own, unless times are given by the caller.
    pub(super) async fn now(&self, now: Timestamp) -> Result<i64, StoreError> {
        if self.times.now_from_database { self.clock().await } else { Ok(self.times.to_stored(now)) }
    }

    /// The database's clock, in milliseconds.
    pub(super) async fn clock(&self) -> Result<i64, StoreError> {
        let query = self.db.prepare_cached("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").await?;
        Ok(self.db.query_one(&query, &[]).await?.try_get(0)?)
    }
}

impl Times {
    pub(super) fn to_stored(self, time: Timestamp) -> i64 {
        // The ends of time stay where they are.
        if time == Timestamp::MAX { time.as_millis() } else { time.as_millis().saturating_add(self.ahead) }
    }

    pub(super) fn at(self, millis: i64) -> Timestamp {
        match Timestamp::from_millis(millis) {
            Timestamp::MAX => Timestamp::MAX,
            _ => Timestamp::from_millis(millis.saturating_sub(self.ahead)),
        }
    }
}
