//! The user's own identifier on a message: up to 16 bytes that come back with every event.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The user's own identifier on a message: a subscriber's number, a UUID, a short text. At most 16 bytes.
///
/// Text is kept as UTF-8, an integer as big-endian two's complement in the fewest bytes, a UUID as its 16 bytes.
/// The return path carries the bytes alone, so a tag is read back as what the application knows it to be.
///
/// ```
/// use returnpath::Tag;
///
/// assert_eq!(Tag::from(4711).as_i64(), Some(4711));
/// assert_eq!(Tag::try_from("order-17")?.as_str(), Some("order-17"));
/// assert!(Tag::try_from("a text of more than sixteen bytes").is_err());
/// # Ok::<(), returnpath::TagTooLong>(())
/// ```
#[derive(Clone, Copy)]
pub struct Tag {
    bytes: [u8; Tag::MAX],
    len: u8,
    kind: Kind,
}

/// What the application gave; it only decides how the tag is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Uuid,
    /// Read from a return path alone.
    Unknown,
}

/// A tag has at most 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tag: {bytes} bytes; at most 16 fit (use a number or a UUID, or keep the long value in `metadata`)")]
#[non_exhaustive]
pub struct TagTooLong {
    bytes: usize,
}

impl Tag {
    /// The most bytes a tag can have.
    pub const MAX: usize = 16;

    /// The tag as the bytes that the return path carries.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The tag as text, if its bytes are UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }

    /// The tag as a signed integer, if it fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.integer()?.try_into().ok()
    }

    /// The tag as an unsigned integer, if it fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.integer()?.try_into().ok()
    }

    /// The tag as a UUID, if it has 16 bytes.
    pub fn as_uuid(&self) -> Option<Uuid> {
        (usize::from(self.len) == Tag::MAX).then(|| Uuid::from_bytes(self.bytes))
    }

    /// The tag of these bytes, as read from a return path.
    pub fn from_bytes(bytes: &[u8]) -> Result<Tag, TagTooLong> {
        Tag::new(bytes, Kind::Unknown)
    }

    fn new(value: &[u8], kind: Kind) -> Result<Tag, TagTooLong> {
        if value.len() > Tag::MAX {
            return Err(TagTooLong { bytes: value.len() });
        }
        let mut bytes = [0; Tag::MAX];
        bytes[..value.len()].copy_from_slice(value);
        Ok(Tag { bytes, len: value.len() as u8, kind })
    }

    fn from_integer(value: i128) -> Tag {
        let bytes = value.to_be_bytes();
        // A leading byte is needless where it only repeats the sign of the next one.
        let fill: u8 = if value < 0 { 0xff } else { 0 };
        let mut start = 0;
        while start < 15 && bytes[start] == fill && (bytes[start + 1] ^ fill) & 0x80 == 0 {
            start += 1;
        }
        Tag::new(&bytes[start..], Kind::Integer).expect("16 bytes hold every i128")
    }

    fn integer(&self) -> Option<i128> {
        let (first, _) = self.as_bytes().split_first()?;
        let mut value: i128 = if first & 0x80 == 0 { 0 } else { -1 };
        for byte in self.as_bytes() {
            value = (value << 8) | i128::from(*byte);
        }
        Some(value)
    }

    /// What the tag looks like to a person: the number, the UUID, the text, else hexadecimal digits.
    fn shown(&self) -> Cow<'_, str> {
        match (self.kind, self.as_str()) {
            (Kind::Integer, _) => self.integer().unwrap_or(0).to_string().into(),
            (Kind::Uuid, _) => Uuid::from_bytes(self.bytes).to_string().into(),
            (_, Some(text)) if !text.chars().any(char::is_control) => text.into(),
            _ => hex(self.as_bytes()).into(),
        }
    }

    /// The tag with a letter for its kind in front, as the store keeps it.
    #[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code, reason = "only a store calls it"))]
    pub(crate) fn to_stored(self) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Text => b't',
            Kind::Integer => b'i',
            Kind::Uuid => b'u',
            Kind::Unknown => b'x',
        };
        [&[kind], self.as_bytes()].concat()
    }

    /// The mirror of [`Tag::to_stored`].
    #[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code, reason = "only a store calls it"))]
    pub(crate) fn from_stored(stored: &[u8]) -> Option<Tag> {
        let (kind, bytes) = stored.split_first()?;
        let kind = match kind {
            b't' => Kind::Text,
            b'i' => Kind::Integer,
            b'u' if bytes.len() == Tag::MAX => Kind::Uuid,
            b'x' => Kind::Unknown,
            _ => return None,
        };
        Tag::new(bytes, kind).ok()
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Tag) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Tag {}

impl TryFrom<&str> for Tag {
    type Error = TagTooLong;

    fn try_from(text: &str) -> Result<Tag, TagTooLong> {
        Tag::new(text.as_bytes(), Kind::Text)
    }
}

impl TryFrom<String> for Tag {
    type Error = TagTooLong;

    fn try_from(text: String) -> Result<Tag, TagTooLong> {
        Tag::try_from(text.as_str())
    }
}

impl From<i32> for Tag {
    fn from(value: i32) -> Tag {
        Tag::from_integer(value.into())
    }
}

impl From<i64> for Tag {
    fn from(value: i64) -> Tag {
        Tag::from_integer(value.into())
    }
}

impl From<u64> for Tag {
    fn from(value: u64) -> Tag {
        Tag::from_integer(value.into())
    }
}

impl From<Uuid> for Tag {
    fn from(value: Uuid) -> Tag {
        Tag::new(value.as_bytes(), Kind::Uuid).expect("a UUID has 16 bytes")
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// In JSON an integer is a number, a UUID and a text are strings, and bytes that are no text (which come from a return
/// path alone, where nothing says what they were) are `{"hex": "00ff"}`. Each reads back as the tag that it was.
impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (integer, text) = (self.kind == Kind::Integer, self.as_str());
        match (self.as_i64(), self.as_u64(), text) {
            (Some(value), _, _) if integer => serializer.serialize_i64(value),
            (_, Some(value), _) if integer => serializer.serialize_u64(value),
            (_, _, Some(text)) if self.kind != Kind::Uuid => serializer.serialize_str(text),
            _ if self.kind == Kind::Uuid => serializer.serialize_str(&self.shown()),
            _ => Written::Bytes { hex: hex(self.as_bytes()) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tag, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Signed(value) => Ok(value.into()),
            Written::Unsigned(value) => Ok(value.into()),
            // No text has more than 16 bytes, so a UUID is told by its length.
            Written::Text(text) => match text.parse::<Uuid>() {
                Ok(uuid) if text.len() > Tag::MAX => Ok(uuid.into()),
                _ => Tag::try_from(text).map_err(serde::de::Error::custom),
            },
            Written::Bytes { hex } => {
                let bytes =
                    unhex(&hex).ok_or_else(|| serde::de::Error::custom("tag: not an even count of hex digits"))?;
                Tag::from_bytes(&bytes).map_err(serde::de::Error::custom)
            }
        }
    }
}

/// The forms of a tag in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Signed(i64),
    Unsigned(u64),
    Text(String),
    Bytes { hex: String },
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8));
    bytes.collect::<Option<_>>().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_take_the_fewest_bytes_and_read_back() {
        for (value, bytes) in [(0i64, 1), (127, 1), (128, 2), (-128, 1), (-129, 2), (i64::MAX, 8), (i64::MIN, 8)] {
            let tag = Tag::from(value);
            assert_eq!(tag.as_bytes().len(), bytes, "{value}");
            assert_eq!(tag.as_i64(), Some(value));
            assert_eq!(Tag::from_bytes(tag.as_bytes()).unwrap().as_i64(), Some(value), "without knowing its kind");
        }
        assert_eq!(Tag::from(u64::MAX).as_u64(), Some(u64::MAX));
        assert_eq!(Tag::from(u64::MAX).as_bytes().len(), 9);
    }

    #[test]
    fn a_stored_tag_keeps_how_it_is_shown() {
        for (tag, shown) in [
            (Tag::from(-17), "-17"),
            (Tag::try_from("ann").unwrap(), "ann"),
            (Tag::from(Uuid::from_u128(1)), "00000000-0000-0000-0000-000000000001"),
            (Tag::from_bytes(&[0, 255]).unwrap(), "00ff"),
        ] {
            assert_eq!(tag.to_string(), shown);
            let back = Tag::from_stored(&tag.to_stored()).unwrap();
            assert_eq!((back, back.to_string()), (tag, shown.to_string()));
        }
    }

    #[test]
    fn json_reads_back_as_the_same_tag() {
        for (tag, json) in [
            (Tag::from(-17), "-17"),
            (Tag::from(u64::MAX), "18446744073709551615"),
            (Tag::try_from("17").unwrap(), "\"17\""),
            (Tag::try_from("a\nb").unwrap(), "\"a\\nb\""),
            (Tag::try_from("").unwrap(), "\"\""),
            (Tag::from(Uuid::from_u128(1)), "\"00000000-0000-0000-0000-000000000001\""),
            // 16 bytes that are a text, as a UUID may be by chance.
            (Tag::from(Uuid::from_bytes(*b"0123456789abcdef")), "\"30313233-3435-3637-3839-616263646566\""),
            (Tag::from_bytes(&[0, 255]).unwrap(), "{\"hex\":\"00ff\"}"),
        ] {
            assert_eq!(serde_json::to_string(&tag).unwrap(), json);
            let back: Tag = serde_json::from_str(json).unwrap();
            assert_eq!((back, back.to_string()), (tag, tag.to_string()), "{json}");
        }
        for json in ["\"seventeen letters\"", "{\"hex\":\"0\"}", "{\"hex\":\"zz\"}", "1.5", "null", "[]"] {
            assert!(serde_json::from_str::<Tag>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_tag_is_read_only_as_what_its_bytes_can_be() {
        let text = Tag::try_from("order-17").unwrap();
        assert_eq!((text.as_str(), text.as_uuid()), (Some("order-17"), None));
        assert_eq!(Tag::try_from("").unwrap().as_i64(), None);
        assert_eq!(Tag::from(u64::MAX).as_i64(), None);
        assert_eq!(Tag::from(-1).as_u64(), None);
        assert_eq!(Tag::from(i32::MIN).as_i64(), Some(i64::from(i32::MIN)));
        let uuid = Uuid::from_u128(u128::MAX);
        assert_eq!((Tag::from(uuid).as_uuid(), Tag::from(uuid).as_str()), (Some(uuid), None));
        assert_eq!(Tag::from_bytes(&[0; 17]).unwrap_err().to_string().split(';').next(), Some("tag: 17 bytes"));
    }

    fn tags() -> impl Strategy<Value = Tag> {
        prop_oneof![
            any::<i64>().prop_map(Tag::from),
            any::<u64>().prop_map(Tag::from),
            any::<u128>().prop_map(|value| Tag::from(Uuid::from_u128(value))),
            any::<String>().prop_filter_map("too long", |text| Tag::try_from(text).ok()),
            proptest::collection::vec(any::<u8>(), 0..=16).prop_map(|bytes| Tag::from_bytes(&bytes).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn every_tag_survives_the_store_json_and_the_return_path(tag in tags()) {
            let stored = Tag::from_stored(&tag.to_stored()).unwrap();
            assert_eq!((stored, stored.to_string()), (tag, tag.to_string()));
            let json: Tag = serde_json::from_str(&serde_json::to_string(&tag).unwrap()).unwrap();
            assert_eq!(json, tag);
            let path = Tag::from_bytes(tag.as_bytes()).unwrap();
            assert_eq!((path.as_i64(), path.as_u64(), path.as_uuid()), (tag.as_i64(), tag.as_u64(), tag.as_uuid()));
            assert!(!tag.to_string().chars().any(char::is_control));
        }

        #[test]
        fn any_integer_reads_back(signed: i64, unsigned: u64) {
            assert_eq!(Tag::from(signed).as_i64(), Some(signed));
            assert_eq!(Tag::from(unsigned).as_u64(), Some(unsigned));
        }

        #[test]
        fn any_stored_bytes_are_read_without_a_panic(stored: Vec<u8>) {
            if let Some(tag) = Tag::from_stored(&stored) {
                assert_eq!(tag.to_stored(), stored);
            }
        }
    }
}
