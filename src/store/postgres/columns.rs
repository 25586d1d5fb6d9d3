//! Between the crate's types and columns: one function a type, both ways side by side.

use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::fault::damaged;
use crate::address::Address;
use crate::id::{DeliveryId, EventId, MessageId};
use crate::store::{State, StoreError, Stream};
use crate::tag::Tag;

// Ids are 64 bits and PostgreSQL's integers are signed: the same bits.

pub(super) fn delivery_key(id: DeliveryId) -> i64 {
    id.as_u64() as i64
}

pub(super) fn delivery_id(key: i64) -> DeliveryId {
    DeliveryId::from_u64(key as u64)
}

pub(super) fn message_key(id: MessageId) -> i64 {
    id.as_u64() as i64
}

pub(super) fn message_id(key: i64) -> MessageId {
    MessageId::from_u64(key as u64)
}

pub(super) fn event_id(stored: &[u8]) -> Result<EventId, StoreError> {
    let bytes = stored.try_into().map_err(|_| damaged("an event's id", "it has not 16 bytes"))?;
    Ok(EventId::from_bytes(bytes))
}

pub(super) fn state_code(state: State) -> i16 {
    match state {
        State::Queued => 0,
        State::Leased => 1,
        State::InFlight => 2,
        State::Held => 3,
        State::Delivered => 4,
        State::Failed => 5,
        State::Suppressed => 6,
        State::Cancelled => 7,
    }
}

pub(super) fn state(code: i16) -> Result<State, StoreError> {
    Ok(match code {
        0 => State::Queued,
        1 => State::Leased,
        2 => State::InFlight,
        3 => State::Held,
        4 => State::Delivered,
        5 => State::Failed,
        6 => State::Suppressed,
        7 => State::Cancelled,
        other => return Err(damaged("a delivery's state", format!("there is no state {other}"))),
    })
}

/// The first state that is an end.
pub(super) const FIRST_ENDED: i16 = 4;

pub(super) fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Transactional => "transactional",
        Stream::Bulk => "bulk",
    }
}

pub(super) fn stream(name: &str) -> Result<Stream, StoreError> {
    match name {
        "transactional" => Ok(Stream::Transactional),
        "bulk" => Ok(Stream::Bulk),
        other => Err(damaged("a message's stream", format!("there is no stream {other:?}"))),
    }
}

pub(super) fn tag(stored: Option<&[u8]>) -> Result<Option<Tag>, StoreError> {
    let read = |stored: &[u8]| Tag::from_stored(stored).ok_or_else(|| damaged("a message's tag", "it is no tag"));
    stored.map(read).transpose()
}

pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(format!("a value has no JSON form: {error}")))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, stored: &str) -> Result<T, StoreError> {
    serde_json::from_str(stored).map_err(|error| damaged(what, error))
}

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

/// A count of the caller as a SQL limit.
pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A length or a count for a column.
pub(super) fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
