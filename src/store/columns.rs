//! Between the crate's types and what a database keeps: one function a type, both ways side by side. How a value is
//! read out of a row is each store's own.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{State, StoreError, Stream};
use crate::id::{DeliveryId, EventId, MessageId};
use crate::tag::Tag;

// Ids are 64 bits and the integers of databases are signed: the same bits.

pub(crate) fn delivery_key(id: DeliveryId) -> i64 {
    id.as_u64() as i64
}

pub(crate) fn delivery_id(key: i64) -> DeliveryId {
    DeliveryId::from_u64(key as u64)
}

pub(crate) fn message_key(id: MessageId) -> i64 {
    id.as_u64() as i64
}

pub(crate) fn message_id(key: i64) -> MessageId {
    MessageId::from_u64(key as u64)
}

pub(crate) fn event_id(stored: &[u8]) -> Result<EventId, StoreError> {
    let bytes = stored.try_into().map_err(|_| damaged("an event's id", "it has not 16 bytes"))?;
    Ok(EventId::from_bytes(bytes))
}

pub(crate) fn state_code(state: State) -> i16 {
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

pub(crate) fn state(code: i64) -> Result<State, StoreError> {
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
pub(crate) const FIRST_ENDED: i16 = 4;

pub(crate) fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Transactional => "transactional",
        Stream::Bulk => "bulk",
    }
}

pub(crate) fn stream(name: &str) -> Result<Stream, StoreError> {
    match name {
        "transactional" => Ok(Stream::Transactional),
        "bulk" => Ok(Stream::Bulk),
        other => Err(damaged("a message's stream", format!("there is no stream {other:?}"))),
    }
}

pub(crate) fn tag(stored: Option<&[u8]>) -> Result<Option<Tag>, StoreError> {
    let read = |stored: &[u8]| Tag::from_stored(stored).ok_or_else(|| damaged("a message's tag", "it is no tag"));
    stored.map(read).transpose()
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(format!("a value has no JSON form: {error}")))
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &str, stored: &str) -> Result<T, StoreError> {
    serde_json::from_str(stored).map_err(|error| damaged(what, error))
}

/// A count of the caller as a SQL limit.
pub(crate) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A length or a count for a column.
pub(crate) fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A stored value that cannot be read: the database was changed by another program, or is damaged.
pub(crate) fn damaged(what: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("{what} in the database cannot be read: {why}"))
}
