//! What the work of one call stands on: a transaction, who asks, and what time it is.

use deadpool_postgres::Transaction;

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
}

impl Times {
    pub(super) fn to_stored(self, time: Timestamp) -> i64 {
        // The ends of time stay where they are.
        if time == Timestamp::MAX { time.as_millis() } else { time.as_millis().saturating_add(self.ahead) }
    }

    pub(super) fn from_stored(self, millis: i64) -> Timestamp {
        match Timestamp::from_millis(millis) {
            Timestamp::MAX => Timestamp::MAX,
            _ => Timestamp::from_millis(millis.saturating_sub(self.ahead)),
        }
    }
}
