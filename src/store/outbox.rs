//! How a message lies in the outbox: written by one program, queued by another, maybe of another version.
//!
//! ```text
//! 1 octet   version: 1
//! 4 octets  length of the header, big-endian
//! header    JSON
//! rest      the content, as it is
//! ```
//!
//! The table is open to other programs, so nothing in a row is taken on trust.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Idempotency, NewDelivery, NewMessage, Stream};
use crate::address::Address;
use crate::id::{DeliveryId, MessageId};
use crate::tag::Tag;
use crate::time::Timestamp;

const VERSION: u8 = 1;

/// What stands before the header.
const FIXED: usize = 5;

/// The longest metadata, in octets.
const MAX_METADATA: usize = 4096;

/// The payload of a row.
pub(crate) fn encode(message: &NewMessage) -> Vec<u8> {
    let header = Header {
        id: message.id.as_u64(),
        smtputf8: message.smtputf8,
        eight_bit: message.eight_bit,
        tag: message.tag.map(Tag::to_stored),
        mailing: message.mailing.clone(),
        metadata: message.metadata.clone(),
        stream: message.stream,
        not_before: message.not_before,
        expires: message.expires,
        own_deadline: message.own_deadline,
        idempotency: message.idempotency.as_ref().map(|it| (it.key.clone(), it.fingerprint)),
        sent_elsewhere: message.sent_elsewhere,
        deliveries: message
            .deliveries
            .iter()
            .map(|to| Recipient {
                id: to.id.as_u64(),
                recipient: to.recipient.clone(),
                return_path: to.return_path.clone(),
                prefix: to.prefix.clone(),
                destination: to.destination.clone(),
            })
            .collect(),
    };
    let header = serde_json::to_vec(&header).expect("texts and numbers have a JSON form");
    let length = u32::try_from(header.len()).expect("a message has less than 4 GiB of recipients");
    [&[VERSION], &length.to_be_bytes()[..], &header, &message.body].concat()
}

/// Reads what [`encode`] wrote; the error says what is wrong with it.
pub(crate) fn decode(payload: &[u8]) -> Result<NewMessage, String> {
    let (fixed, rest) = payload.split_first_chunk::<FIXED>().ok_or("the payload is cut off")?;
    let [version, length @ ..] = *fixed;
    if version != VERSION {
        return Err(format!("the payload has version {version}, this one knows {VERSION}"));
    }
    let length = u32::from_be_bytes(length) as usize;
    let (header, body) = rest.split_at_checked(length).ok_or("the header is cut off")?;
    let header: Header = serde_json::from_slice(header).map_err(|error| format!("the header: {error}"))?;
    header.check()?;
    let tag = header.tag.map(|tag| Tag::from_stored(&tag).ok_or("the tag is none")).transpose()?;
    Ok(NewMessage {
        id: MessageId::from_u64(header.id),
        body: body.into(),
        smtputf8: header.smtputf8,
        eight_bit: header.eight_bit,
        tag,
        mailing: header.mailing,
        metadata: header.metadata,
        stream: header.stream,
        not_before: header.not_before,
        expires: header.expires,
        own_deadline: header.own_deadline,
        idempotency: header.idempotency.map(|(key, fingerprint)| Idempotency { key, fingerprint }),
        sent_elsewhere: header.sent_elsewhere,
        deliveries: header
            .deliveries
            .into_iter()
            .map(|to| NewDelivery {
                id: DeliveryId::from_u64(to.id),
                recipient: to.recipient,
                return_path: to.return_path,
                prefix: to.prefix,
                destination: to.destination,
            })
            .collect(),
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    id: u64,
    smtputf8: bool,
    eight_bit: bool,
    tag: Option<Vec<u8>>,
    mailing: Option<String>,
    metadata: Option<String>,
    stream: Stream,
    not_before: Timestamp,
    expires: Timestamp,
    own_deadline: bool,
    idempotency: Option<(String, [u8; 32])>,
    sent_elsewhere: bool,
    deliveries: Vec<Recipient>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipient {
    id: u64,
    recipient: Address,
    return_path: Address,
    prefix: String,
    destination: String,
}

impl Header {
    fn check(&self) -> Result<(), String> {
        if self.deliveries.is_empty() {
            return Err("there is no recipient".to_owned());
        }
        let mut ids = HashSet::new();
        for to in &self.deliveries {
            if !ids.insert(to.id) {
                return Err(format!("{}: two recipients have the same id", to.recipient));
            }
            if to.destination.is_empty() || to.destination.contains(char::is_control) {
                return Err(format!("{}: the destination is empty or has control characters", to.recipient));
            }
            if !is_prefix(&to.prefix) {
                return Err(format!("{}: the prefix is no header field", to.recipient));
            }
        }
        let metadata = self.metadata.as_deref().unwrap_or("null");
        if metadata.len() > MAX_METADATA || serde_json::from_str::<serde::de::IgnoredAny>(metadata).is_err() {
            return Err(format!("the metadata is no JSON of at most {MAX_METADATA} octets"));
        }
        if self.mailing.as_deref().is_some_and(|mailing| mailing.contains(char::is_control)) {
            return Err("the mailing has control characters".to_owned());
        }
        if self.idempotency.as_ref().is_some_and(|(key, _)| key.is_empty() || key.contains('\0')) {
            return Err("the idempotency key is empty or has a NUL".to_owned());
        }
        Ok(())
    }
}

/// Whether a text is nothing or whole lines of a header (RFC 5322 §2.2): nothing that could end the header.
fn is_prefix(text: &str) -> bool {
    let is_line = |line: &str| {
        line.strip_suffix("\r\n").is_some_and(|line| {
            !line.trim_start_matches([' ', '\t']).is_empty() && !line.contains(|c: char| c.is_control() && c != '\t')
        })
    };
    text.is_ascii()
        && text.split_inclusive('\n').all(is_line)
        && (text.is_empty() || text.split(':').next().is_some_and(|name| name.bytes().all(|c| c.is_ascii_graphic())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{NOON, message_to};

    fn full() -> NewMessage {
        NewMessage {
            body: (*b"Subject: a\r\n\r\n\xff\0").into(),
            tag: Some(Tag::from(-17)),
            mailing: Some("spring".into()),
            metadata: Some(r#"{"order":17}"#.into()),
            stream: Stream::Bulk,
            own_deadline: true,
            idempotency: Some(Idempotency { key: "order 17".into(), fingerprint: [7; 32] }),
            expires: Timestamp::MAX,
            id: MessageId::from_u64(u64::MAX),
            ..message_to(3, &["a.example", "b.example"])
        }
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        for message in [full(), message_to(1, &["a.example"])] {
            let read = decode(&encode(&message)).unwrap();
            assert_eq!(format!("{read:?}"), format!("{message:?}"));
        }
    }

    #[test]
    fn a_payload_that_is_wrong_is_refused_by_name() {
        let refused = |change: fn(&mut NewMessage)| {
            let mut message = full();
            change(&mut message);
            decode(&encode(&message)).unwrap_err()
        };
        assert!(refused(|message| message.deliveries.clear()).contains("no recipient"));
        assert!(refused(|message| message.deliveries[0].prefix = "X-Mark: 1\r\n\r\n".into()).contains("prefix"));
        assert!(refused(|message| message.deliveries[0].prefix = "X-Mark: 1".into()).contains("prefix"));
        assert!(refused(|message| message.deliveries[0].destination.clear()).contains("destination"));
        assert!(refused(|message| message.deliveries[1].id = message.deliveries[0].id).contains("same id"));
        assert!(refused(|message| message.metadata = Some("{".into())).contains("metadata"));
        assert!(refused(|message| message.mailing = Some("a\0".into())).contains("mailing"));
        let mut other = encode(&full());
        other[0] = 9;
        assert!(decode(&other).unwrap_err().contains("version 9"));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let message = NewMessage { not_before: NOON, body: (*b"").into(), ..full() };
        let payload = encode(&message);
        for end in 0..payload.len() {
            assert!(decode(&payload[..end]).is_err(), "{end}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(payload: Vec<u8>) {
            let _ = decode(&payload);
            let _ = decode(&[&[VERSION, 0, 0, 0, 2][..], &payload].concat());
        }
    }
}
