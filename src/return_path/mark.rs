//! Marks: the delivery id under a seal of its own kind, for the Message-ID and a header field.
//!
//! A mark is a token without a tag, sealed under the label `mark`. It is public: it stands in the header, and
//! Message-IDs are quoted in replies and archives. So it must say less than the return path. It opens at no gate,
//! and since the keys of paths and marks have nothing in common but the secret behind both, whoever knows a mark
//! knows nothing of the path. What comes back with a mark alone is *marked*, not *sealed*.

use super::seal::Keys;
use super::token::{Token, VeiledTag};
use crate::id::DeliveryId;

/// The header field that carries the mark of one delivery, in front of the content that all recipients share.
pub(crate) const MARK_FIELD: &str = "X-Delivery-Mark";

/// The mark of a delivery under this key.
pub(crate) fn encode(keys: &Keys, key: u8, delivery: DeliveryId) -> String {
    let seal = keys.seal_mark(Token::header(key), delivery);
    Token { key, delivery, tag: VeiledTag::default(), seal }.encode()
}

/// Reads a mark: as it is, or as a Message-ID (`<mark@domain>`, RFC 5322 §3.6.4), whose right side is not looked at.
/// `keys` finds the keys of an id.
///
/// RFC 5322 has Message-IDs compared as they are, yet some hosts fold their case; the alphabet has one case, so
/// folding loses nothing.
pub(crate) fn decode<'a>(mark: &str, keys: impl FnOnce(u8) -> Option<&'a Keys>) -> Option<DeliveryId> {
    let mark = mark.trim().trim_start_matches('<');
    let mark = mark.find(['@', '>']).map_or(mark, |end| &mark[..end]);
    if mark.len() != Token::MIN_CHARS {
        return None;
    }
    let token = Token::decode(&mark.to_ascii_lowercase())?;
    let seal = keys(token.key)?.seal_mark(Token::header(token.key), token.delivery);
    token.seal.fits(&seal).then_some(token.delivery)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_from_a_header_and_from_a_message_id() {
        let keys = Keys::derive(&[3; 32]);
        let id = DeliveryId::from_u64(0x0123_4567_89ab_cdef);
        let mark = encode(&keys, 9, id);
        for text in [
            mark.clone(),
            mark.to_uppercase(),
            format!(" {mark}\r\n"),
            format!("<{mark}@b.example.org>"),
            format!("<{mark}@elsewhere.example>"),
        ] {
            assert_eq!(decode(&text, |key| (key == 9).then_some(&keys)), Some(id), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_mark_of_the_ring_is_none() {
        let (keys, others) = (Keys::derive(&[3; 32]), Keys::derive(&[4; 32]));
        let mark = encode(&keys, 9, DeliveryId::from_u64(77));
        assert_eq!(decode(&mark, |_| None), None, "an unknown key");
        assert_eq!(decode(&mark, |_| Some(&others)), None, "another secret");
        for text in ["", "<>", "@", "<@b.example.org>", "ann", &mark[1..], &format!("{mark}a"), &format!("b{mark}")] {
            assert_eq!(decode(text, |_| Some(&keys)), None, "{text}");
        }
        for at in 0..mark.len() {
            let mut other = mark.clone().into_bytes();
            other[at] = if other[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(decode(std::str::from_utf8(&other).unwrap(), |_| Some(&keys)), None, "changed at {at}");
        }
    }
}
