//! What PostgreSQL's errors mean to the caller. No type of the driver leaves this room.

use tokio_postgres::error::SqlState;

use crate::store::StoreError;

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> StoreError {
        match error.as_db_error() {
            Some(cause) => by_state(cause.code(), cause.to_string()),
            // Without an answer of the server: the connection failed or broke.
            None if is_lost(&error) => StoreError::Temporary(with_cause(&error)),
            None => StoreError::Failed(with_cause(&error)),
        }
    }
}

fn by_state(code: &SqlState, text: String) -> StoreError {
    match code.code() {
        // No room on the disk, and no memory.
        "53100" | "53200" => StoreError::Full(text),
        // Too many connections; shut down or starting; a server that only reads, as the old primary does after a
        // fail-over; a transaction that another one stood in the way of, or that was left open for too long. Also a
        // statement behind the one that failed: the next try tells what that one met.
        "53300" | "57P01" | "57P02" | "57P03" | "25006" | "40001" | "40P01" | "55P03" | "25P02" | "25P03" => {
            StoreError::Temporary(text)
        }
        code if code.starts_with("08") => StoreError::Temporary(text),
        _ => StoreError::Failed(text),
    }
}

/// Whether the way to the database was lost, and not a value or a setting is wrong.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    use std::error::Error;
    // A certificate that is refused comes as data that is not valid, and does not become better by itself.
    let io = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let io = io.is_some_and(|cause| cause.kind() != std::io::ErrorKind::InvalidData);
    // The driver tells this kind by its text only: no host of the list was one that takes writes.
    error.is_closed() || io || error.to_string().starts_with("error connecting to server")
}

fn with_cause(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) if !error.to_string().contains(&cause.to_string()) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_apart_from_what_is_wrong() {
        let of = |code| by_state(&SqlState::from_code(code), "text".into());
        for code in ["57P01", "57P03", "08006", "40001", "40P01", "25006", "25P02", "25P03", "53300"] {
            assert!(matches!(of(code), StoreError::Temporary(_)), "{code}");
        }
        assert!(matches!(of("53100"), StoreError::Full(_)));
        for code in ["42P01", "23505", "28P01"] {
            assert!(matches!(of(code), StoreError::Failed(_)), "{code}");
        }
    }
}
