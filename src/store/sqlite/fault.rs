//! What SQLite's errors mean to the caller. No type of the driver leaves this room.

use rusqlite::ffi;
use rusqlite::{Connection, ErrorCode};

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
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => StoreError::Busy,
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => {
                StoreError::Damaged { path: String::new(), why: error.to_string() }
            }
            _ => StoreError::Failed(error.to_string()),
        }
    }
}

impl StoreError {
    /// Names the file, where the error is about one.
    pub(super) fn of(self, db: &Connection) -> StoreError {
        match self {
            StoreError::Damaged { path, why } if path.is_empty() => {
                StoreError::Damaged { path: db.path().unwrap_or("in memory").to_owned(), why }
            }
            other => other,
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
        assert!(matches!(failure(ffi::SQLITE_CORRUPT), StoreError::Damaged { .. }));
        assert!(matches!(failure(ffi::SQLITE_NOTADB), StoreError::Damaged { .. }));
        assert!(failure(ffi::SQLITE_BUSY).to_string().contains("another program"));
    }
}
