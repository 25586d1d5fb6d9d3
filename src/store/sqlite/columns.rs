//! Values out of SQLite's rows.

use std::str::FromStr;
use std::sync::Arc;

use rusqlite::Row;
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::store::StoreError;
pub(super) use crate::store::columns::*;
use crate::time::Timestamp;

/// What [`json`] stored in a column that may be empty.
pub(super) fn optional_json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
    what: &str,
) -> Result<Option<T>, StoreError> {
    let stored: Option<String> = row.get(column)?;
    stored.map(|stored| from_json(what, &stored)).transpose()
}

pub(super) fn address(row: &Row<'_>, column: usize) -> Result<Address, StoreError> {
    let stored: String = row.get(column)?;
    Address::from_str(&stored).map_err(|error| damaged("an address", error))
}

/// A large value, copied once, out of SQLite's page into the shared bytes.
pub(super) fn shared_bytes(row: &Row<'_>, column: usize) -> Result<Option<Arc<[u8]>>, StoreError> {
    let stored = row.get_ref(column)?.as_blob_or_null().map_err(|error| damaged("a body or raw mail", error))?;
    Ok(stored.map(Arc::from))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_millis(row.get(column)?))
}
