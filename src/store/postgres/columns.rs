//! Values out of PostgreSQL's rows.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use crate::address::Address;
use crate::store::StoreError;
pub(super) use crate::store::columns::*;

/// What [`json`] stored in a column that may be empty.
pub(super) fn optional_json<T: DeserializeOwned>(
    row: &Row,
    column: usize,
    what: &str,
) -> Result<Option<T>, StoreError> {
    let stored: Option<&str> = row.try_get(column)?;
    stored.map(|stored| from_json(what, stored)).transpose()
}

pub(super) fn address(row: &Row, column: usize) -> Result<Address, StoreError> {
    let stored: &str = row.try_get(column)?;
    Address::from_str(stored).map_err(|error| damaged("an address", error))
}
