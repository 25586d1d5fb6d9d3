//! What SQLite's errors mean to the caller. No type of the driver leaves this room.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::open::BUSY_TIMEOUT;
use crate::store::StoreError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let Some(cause) = error.sqlite_error() else {
            return StoreError::Failed(error.to_string());
        };
        match (cause.code, cause.extended_code) {
            (ErrorCode::DiskFull, _) => StoreError::Full(error.to_string()),
            // A quota that is used up, and a shared-memory file that cannot grow, come as failed writes.
            (_, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE) => StoreError::Full(error.to_string()),
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => StoreError::Failed(format!(
                "another program has held a write transaction on the database for more than {} s",
                BUSY_TIMEOUT.as_secs()
            )),
            _ => StoreError::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_from_other_trouble() {
        let failure = |code| StoreError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(matches!(failure(ffi::SQLITE_FULL), StoreError::Full(_)));
        assert!(matches!(failure(ffi::SQLITE_IOERR_WRITE), StoreError::Full(_)));
        assert!(matches!(failure(ffi::SQLITE_IOERR_FSYNC), StoreError::Failed(_)));
        assert!(matches!(failure(ffi::SQLITE_CORRUPT), StoreError::Failed(_)));
        assert!(failure(ffi::SQLITE_BUSY).to_string().contains("another program"));
    }
}
