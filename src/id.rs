//! Identifiers: one delivery (a message to one recipient), one message (one `send`), one event.
//!
//! A delivery id and a message id are 64 bits from one sequence: 41 bits of milliseconds since 2020, 10 bits
//! of node, 13 bits of sequence, so they sort by time and never repeat on one store. In text and in JSON an id
//! is 16 lower-case hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// Milliseconds from the Unix epoch to 2020-01-01T00:00:00Z, where ids start to count.
const EPOCH_2020: i64 = 1_577_836_800_000;
const NODE_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 13;

/// The text is not an id: 16 hexadecimal digits (32 for an event).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {text:?} (expected {digits} hexadecimal digits)")]
#[non_exhaustive]
pub struct InvalidId {
    text: String,
    digits: usize,
}

macro_rules! sixty_four_bit_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The id with this number.
            pub const fn from_u64(id: u64) -> Self {
                Self(id)
            }

            /// The id as a number.
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// When the id was made, to the millisecond.
            pub fn issued_at(self) -> Timestamp {
                issued_at(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:016x})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let bytes = hex(text).ok_or_else(|| InvalidId { text: text.into(), digits: 16 })?;
                Ok(Self(u64::from_be_bytes(bytes)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

sixty_four_bit_id! {
    /// One message to one recipient. It is what the return path carries.
    DeliveryId
}

sixty_four_bit_id! {
    /// One call of `send`: the same for all its recipients.
    MessageId
}

/// One event. Derived from what happened, not from when it was told: the same event that is handed over twice,
/// or a report that arrives twice, has the same id both times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// The id of what `parts` describe: the first 16 bytes of SHA-256 over the length-framed parts.
    pub(crate) fn derive(parts: &[&[u8]]) -> EventId {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in parts {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&digest.finish().as_ref()[..16]);
        EventId(id)
    }

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> EventId {
        EventId(bytes)
    }

    /// The id as bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

impl FromStr for EventId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<EventId, InvalidId> {
        hex(text).map(EventId).ok_or_else(|| InvalidId { text: text.into(), digits: 32 })
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EventId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes ids that rise, also when the clock does not.
///
/// An id is never at or below the one before, nor at or below the high-water mark that the store recorded: after
/// a clock that was set back, or on a restored copy, the sequence goes on from the mark.
#[derive(Debug)]
pub(crate) struct IdSource {
    node: u64,
    last: u64,
}

impl IdSource {
    /// A source for `node` (0 to 1023) whose ids are all above `high_water`.
    pub(crate) fn new(node: u16, high_water: u64) -> IdSource {
        IdSource { node: u64::from(node) & ((1 << NODE_BITS) - 1), last: high_water }
    }

    /// Goes on as another node, above all ids made so far.
    pub(crate) fn move_to(&mut self, node: u16) {
        *self = IdSource::new(node, self.last);
    }

    /// When the last id was made, or the high-water mark: with a clock that was set back, later than the clock says.
    pub(crate) fn last_issued_at(&self) -> Timestamp {
        issued_at(self.last)
    }

    /// The next id at `now`. When more than 8192 are asked for in a millisecond, it borrows from the next one.
    pub(crate) fn next(&mut self, now: Timestamp) -> u64 {
        let millis = u64::try_from(now.as_millis() - EPOCH_2020).unwrap_or(0);
        let fresh = (millis << (NODE_BITS + SEQUENCE_BITS)) | (self.node << SEQUENCE_BITS);
        let floor = self.last + 1;
        self.last = if fresh >= floor {
            fresh
        } else if (floor >> SEQUENCE_BITS) & ((1 << NODE_BITS) - 1) == self.node {
            floor
        } else {
            // The mark was left by another node, or the sequence is used up: the first of the next millisecond.
            (((floor >> (NODE_BITS + SEQUENCE_BITS)) + 1) << (NODE_BITS + SEQUENCE_BITS)) | (self.node << SEQUENCE_BITS)
        };
        self.last
    }
}

/// When the 64-bit id was made.
fn issued_at(id: u64) -> Timestamp {
    Timestamp::from_millis(EPOCH_2020 + (id >> (NODE_BITS + SEQUENCE_BITS)) as i64)
}

/// Reads exactly `2 * N` hexadecimal digits.
pub(crate) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_when_the_clock_stands_or_goes_back() {
        let noon = Timestamp::from_millis(1_700_000_000_000);
        let mut source = IdSource::new(7, 0);
        let mut last = source.next(noon);
        for step in 0..20_000 {
            let id = source.next(Timestamp::from_millis(noon.as_millis() - step));
            assert!(id > last);
            assert_eq!((id >> SEQUENCE_BITS) & 1023, 7, "the node stays in its bits");
            last = id;
        }
    }

    #[test]
    fn ids_start_above_the_high_water_mark_of_another_node() {
        let noon = Timestamp::from_millis(1_700_000_000_000);
        let mark = IdSource::new(9, 0).next(Timestamp::from_millis(1_800_000_000_000));
        assert!(IdSource::new(2, mark).next(noon) > mark);
    }

    #[test]
    fn an_id_tells_when_it_was_made_and_reads_back() {
        let noon = Timestamp::from_millis(1_700_000_000_123);
        let id = DeliveryId::from_u64(IdSource::new(1, 0).next(noon));
        assert_eq!(id.issued_at(), noon);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("12".parse::<DeliveryId>().is_err());
        assert!("zz0000000000000z".parse::<DeliveryId>().is_err());
    }
}
