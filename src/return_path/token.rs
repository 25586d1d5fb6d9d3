//! The token in the local part: bytes to text and back, as mirror images.
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 1 | header | format version in the upper 2 bits (now 0), key id in the lower 6 |
//! | 8 | delivery | the delivery id, big-endian: 41 bits of milliseconds since 2020, 10 of node, 13 of sequence |
//! | 0–16 | tag | the user's tag, veiled with a keystream; its length follows from the token's |
//! | 7 | seal | HMAC-SHA256, truncated |
//!
//! It is written in lower-case base32 (RFC 4648 §6, without the padding of §3.2): 26 characters without a tag, 52
//! with the longest. No recipient is written out in it, so its length does not depend on who is written to.
//!
//! Where the text is read more kindly than it was written, and why:
//!
//! - **Case.** RFC 5321 §2.4 says that a local part is case-sensitive and that only its own host may say otherwise.
//!   This host does: relays and mailboxes fold case, so the alphabet has one case only and the caller folds before
//!   it decodes.
//! - **Nothing else.** RFC 4648 §3.5 lets a decoder refuse encodings whose spare bits are not zero, §3.3 wants
//!   foreign characters refused. The decoder of the `base32` crate ignores spare bits and accepts one character
//!   too many, so what was decoded is encoded again and must give the same octets: one token has one text.
//!
//! The longest local part is 64 octets (RFC 5321 §4.5.3.1.1); [`Layout`](super::Layout) leaves room for that.
//! Whether the seal fits is not judged here but in the ring.

use base32::Alphabet;

use super::seal::Seal;
use crate::id::DeliveryId;
use crate::tag::Tag;

/// A token, its tag still veiled and its seal not yet checked.
pub(crate) struct Token {
    /// 0 to 63.
    pub(crate) key: u8,
    pub(crate) delivery: DeliveryId,
    pub(crate) tag: VeiledTag,
    pub(crate) seal: Seal,
}

/// The bytes of a tag under the keystream.
#[derive(Clone, Copy, Default)]
pub(crate) struct VeiledTag {
    bytes: [u8; Tag::MAX],
    len: u8,
}

impl Token {
    /// The highest key id.
    pub(crate) const MAX_KEY: u8 = 63;
    /// Characters of a token without a tag.
    pub(crate) const MIN_CHARS: usize = Token::chars(0);
    /// Characters of a token with the longest tag.
    pub(crate) const MAX_CHARS: usize = Token::chars(Tag::MAX);

    /// Characters of a token whose tag has `tag` bytes.
    pub(crate) const fn chars(tag: usize) -> usize {
        ((FIXED + tag) * 8).div_ceil(5)
    }

    /// The first byte: version and key id.
    pub(crate) fn header(key: u8) -> u8 {
        (VERSION << KEY_BITS) | (key & Token::MAX_KEY)
    }

    pub(crate) fn encode(&self) -> String {
        let mut bytes = [0; FIXED + Tag::MAX];
        let tag = self.tag.as_bytes();
        let end = FIXED + tag.len();
        bytes[0] = Token::header(self.key);
        bytes[1..9].copy_from_slice(&self.delivery.as_u64().to_be_bytes());
        bytes[9..9 + tag.len()].copy_from_slice(tag);
        bytes[9 + tag.len()..end].copy_from_slice(self.seal.as_bytes());
        base32::encode(ALPHABET, &bytes[..end])
    }

    /// The mirror of [`Token::encode`]; `text` in lower case. `None` if it is not exactly what `encode` writes.
    pub(crate) fn decode(text: &str) -> Option<Token> {
        if !(Token::MIN_CHARS..=Token::MAX_CHARS).contains(&text.len()) {
            return None;
        }
        let bytes = base32::decode(ALPHABET, text)?;
        if base32::encode(ALPHABET, &bytes) != text {
            return None;
        }
        let (header, rest) = bytes.split_first()?;
        if header >> KEY_BITS != VERSION {
            return None;
        }
        let (delivery, rest) = rest.split_first_chunk::<8>()?;
        let (tag, seal) = rest.split_last_chunk::<{ Seal::LEN }>()?;
        Some(Token {
            key: header & Token::MAX_KEY,
            delivery: DeliveryId::from_u64(u64::from_be_bytes(*delivery)),
            tag: VeiledTag::new(tag)?,
            seal: Seal::from_bytes(*seal),
        })
    }
}

impl VeiledTag {
    /// Takes at most [`Tag::MAX`] bytes.
    pub(crate) fn new(bytes: &[u8]) -> Option<VeiledTag> {
        let mut tag = VeiledTag { len: u8::try_from(bytes.len()).ok()?, ..VeiledTag::default() };
        tag.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(tag)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }
}

const ALPHABET: Alphabet = Alphabet::Rfc4648Lower { padding: false };
/// The format of the table above. The seal covers it.
const VERSION: u8 = 0;
const KEY_BITS: u32 = 6;
/// Bytes of header, delivery id and seal.
const FIXED: usize = 1 + 8 + Seal::LEN;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(key: u8, delivery: u64, tag: &[u8], seal: [u8; Seal::LEN]) -> Token {
        Token {
            key,
            delivery: DeliveryId::from_u64(delivery),
            tag: VeiledTag::new(tag).unwrap(),
            seal: Seal::from_bytes(seal),
        }
    }

    #[test]
    fn the_format_stands_as_the_table_says() {
        // 0x05, then the id, then the tag, then the seal: a change here orphans all mail in flight.
        let text = token(5, 0x0102_0304_0506_0708, &[0xaa], [9, 10, 11, 12, 13, 14, 15]).encode();
        assert_eq!(text, "auaqeayeaudaocfkbefawdanbyhq");
        assert_eq!(token(0, 0, b"", [0; 7]).encode(), "a".repeat(26));
    }

    #[test]
    fn every_length_of_a_tag_has_its_own_length_of_text() {
        let lengths: Vec<usize> = (0..=Tag::MAX).map(Token::chars).collect();
        assert!(lengths.is_sorted_by(|a, b| a < b), "{lengths:?}");
        assert_eq!((lengths[0], lengths[Tag::MAX]), (26, 52));
    }

    #[test]
    fn spare_bits_and_a_surplus_character_are_not_ignored() {
        // 26 characters hold 130 bits, 2 more than 16 bytes; the decoder takes what is left of them for granted.
        let text = token(0, 1, b"", [1; 7]).encode();
        let decoded = base32::decode(ALPHABET, &text).unwrap();
        let same: Vec<String> = "abcdefghijklmnopqrstuvwxyz234567"
            .chars()
            .map(|last| format!("{}{last}", &text[..25]))
            .filter(|other| base32::decode(ALPHABET, other).as_ref() == Some(&decoded))
            .collect();
        assert_eq!(same.len(), 4, "the crate reads four texts as these bytes");
        assert_eq!(same.iter().filter(|other| Token::decode(other).is_some()).collect::<Vec<_>>(), [&text]);
        assert_eq!(base32::decode(ALPHABET, &format!("{text}a")), Some(decoded), "the crate takes one more character");
        assert!(Token::decode(&format!("{text}a")).is_none());
    }

    #[test]
    fn another_version_is_not_read() {
        for version in 1..4u8 {
            let mut bytes = [0; 16];
            bytes[0] = version << 6;
            assert!(Token::decode(&base32::encode(ALPHABET, &bytes)).is_none(), "version {version}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(key in 0..64u8, id: u64, tag in prop::collection::vec(any::<u8>(), 0..=16), seal: [u8; 7]) {
            let text = token(key, id, &tag, seal).encode();
            prop_assert_eq!(text.len(), Token::chars(tag.len()));
            let back = Token::decode(&text).unwrap();
            prop_assert_eq!((back.key, back.delivery.as_u64(), back.tag.as_bytes()), (key, id, &tag[..]));
            prop_assert_eq!(back.seal.as_bytes(), &seal);
        }

        #[test]
        fn what_decodes_is_the_text_of_one_token(text in "[a-z2-7=0189A-Z]{20,56}") {
            if let Some(token) = Token::decode(&text) {
                prop_assert_eq!(token.encode(), text);
            }
        }
    }
}
