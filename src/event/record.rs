//! One event as it is stored and told.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::id::{DeliveryId, EventId, MessageId};
use crate::session::Stage;
use crate::tag::Tag;
use crate::time::Timestamp;
use crate::verdict::{EnhancedStatus, Reason, Verdict};

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// See [`Delivered`](super::Delivered).
    Delivered,
    /// See [`Failure`](super::Failure).
    Fail,
    /// See [`Bounce`](super::Bounce).
    Bounce,
    /// See [`Delay`](super::Delay).
    Delay,
    /// See [`Complaint`](super::Complaint).
    Complaint,
    /// See [`AutoReply`](super::AutoReply).
    AutoReply,
    /// See [`Reply`](super::Reply).
    Reply,
    /// See [`Success`](super::Success).
    Success,
    /// See [`Unsubscribe`](super::Unsubscribe).
    Unsubscribe,
    /// See [`Uncertain`](super::Uncertain).
    Uncertain,
    /// See [`Suppressed`](super::Suppressed).
    Suppressed,
    /// See [`Cancelled`](super::Cancelled).
    Cancelled,
    /// See [`Other`](super::Other).
    Other,
    /// See [`Alert`](super::Alert).
    Alert,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [EventKind; 14] = [
        EventKind::Delivered,
        EventKind::Fail,
        EventKind::Bounce,
        EventKind::Delay,
        EventKind::Complaint,
        EventKind::AutoReply,
        EventKind::Reply,
        EventKind::Success,
        EventKind::Unsubscribe,
        EventKind::Uncertain,
        EventKind::Suppressed,
        EventKind::Cancelled,
        EventKind::Other,
        EventKind::Alert,
    ];

    /// The kind as one word, as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Delivered => "delivered",
            EventKind::Fail => "fail",
            EventKind::Bounce => "bounce",
            EventKind::Delay => "delay",
            EventKind::Complaint => "complaint",
            EventKind::AutoReply => "auto_reply",
            EventKind::Reply => "reply",
            EventKind::Success => "success",
            EventKind::Unsubscribe => "unsubscribe",
            EventKind::Uncertain => "uncertain",
            EventKind::Suppressed => "suppressed",
            EventKind::Cancelled => "cancelled",
            EventKind::Other => "other",
            EventKind::Alert => "alert",
        }
    }
}

/// How an event is known to belong to its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trust {
    /// Nothing but the sender's word.
    Claimed,
    /// A valid mark or return path stood inside the returned original.
    Marked,
    /// It came to the sealed return path of this delivery, or from our own conversation.
    Sealed,
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// Our own conversation with a remote host, or the attempt to have one.
    Conversation,
    /// Mail that came in.
    Report,
    /// This instance: a deadline, an order, an alert.
    Local,
}

/// Everything an event says. Its JSON is what the store keeps; [`Event::to_json`] gives a flat one for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    pub(crate) id: EventId,
    pub(crate) kind: EventKind,
    pub(crate) at: Timestamp,
    pub(crate) delivery: Option<DeliveryId>,
    pub(crate) message: Option<MessageId>,
    /// The address that we sent to.
    pub(crate) recipient: Option<Address>,
    pub(crate) tag: Option<Tag>,
    pub(crate) mailing: Option<String>,
    pub(crate) metadata: Option<serde_json::Value>,
    pub(crate) verdict: Option<Verdict>,
    /// With reason `expired`: the reason of the last temporary refusal.
    pub(crate) cause: Option<Reason>,
    /// The SMTP reply code, from our conversation or as the report quotes it; never invented.
    pub(crate) code: Option<u16>,
    pub(crate) status: Option<EnhancedStatus>,
    /// The remote host's words, or what happened in ours.
    pub(crate) text: Option<String>,
    pub(crate) stage: Option<Stage>,
    /// `name[ip]:port`.
    pub(crate) host: Option<String>,
    pub(crate) attempts: u32,
    /// The address that the report names as failed, if it is not ours.
    pub(crate) reported_recipient: Option<String>,
    pub(crate) trust: Option<Trust>,
    pub(crate) origin: Origin,
    /// The raw message, for `other`, `reply` and reports, cut to what the store keeps. Kept beside the JSON.
    #[serde(skip)]
    pub(crate) raw: Option<Arc<[u8]>>,
}

impl EventRecord {
    /// An event about no delivery: an alert, or mail that belongs to none.
    pub(crate) fn bare(id: EventId, kind: EventKind, at: Timestamp, origin: Origin) -> EventRecord {
        EventRecord {
            id,
            kind,
            at,
            delivery: None,
            message: None,
            recipient: None,
            tag: None,
            mailing: None,
            metadata: None,
            verdict: None,
            cause: None,
            code: None,
            status: None,
            text: None,
            stage: None,
            host: None,
            attempts: 0,
            reported_recipient: None,
            trust: None,
            origin,
            raw: None,
        }
    }
}

/// One event. Cheap to clone.
#[derive(Clone)]
pub struct Event(Arc<EventRecord>);

impl Event {
    pub(crate) fn new(record: EventRecord) -> Event {
        Event(Arc::new(record))
    }

    pub(crate) fn record(&self) -> &EventRecord {
        &self.0
    }

    /// The id: the same each time this event is handed over.
    pub fn id(&self) -> EventId {
        self.0.id
    }

    /// What kind of thing happened.
    pub fn kind(&self) -> EventKind {
        self.0.kind
    }

    /// When it happened (for mail that came in: when it was received).
    pub fn at(&self) -> Timestamp {
        self.0.at
    }

    /// The delivery, if it belongs to one.
    pub fn delivery(&self) -> Option<DeliveryId> {
        self.0.delivery
    }

    /// The message, if it belongs to one.
    pub fn message(&self) -> Option<MessageId> {
        self.0.message
    }

    /// The address that we sent to; not the one that a forwarder's report names.
    pub fn recipient(&self) -> Option<&Address> {
        self.0.recipient.as_ref()
    }

    /// The tag that was given at sending.
    pub fn tag(&self) -> Option<Tag> {
        self.0.tag
    }

    /// The mailing that was given at sending.
    pub fn mailing(&self) -> Option<&str> {
        self.0.mailing.as_deref()
    }

    /// The metadata that was given at sending.
    pub fn metadata(&self) -> Option<&serde_json::Value> {
        self.0.metadata.as_ref()
    }

    /// What was decided, and why.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.0.verdict.as_ref()
    }

    /// With reason `expired`: the reason of the last temporary refusal.
    pub fn cause(&self) -> Option<Reason> {
        self.0.cause
    }

    /// The SMTP reply code, from our conversation or as the report quotes it; never invented.
    pub fn code(&self) -> Option<u16> {
        self.0.code
    }

    /// The enhanced status code that the remote host gave; never invented.
    pub fn status(&self) -> Option<EnhancedStatus> {
        self.0.status
    }

    /// The remote host's words, or what happened in ours.
    pub fn text(&self) -> Option<&str> {
        self.0.text.as_deref()
    }

    /// At which stage of our own conversation.
    pub fn stage(&self) -> Option<Stage> {
        self.0.stage
    }

    /// The remote host of our own conversation, as `name[ip]:port`.
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// How many attempts were made.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The address that the report names, if the report names one.
    pub fn reported_recipient(&self) -> Option<&str> {
        self.0.reported_recipient.as_deref()
    }

    /// How the event is known to belong to its delivery.
    pub fn trust(&self) -> Option<Trust> {
        self.0.trust
    }

    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// The raw message that came in, as far as the store keeps it.
    pub fn raw(&self) -> Option<&[u8]> {
        self.0.raw.as_deref()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verdict::{AddressState, Advice, Evidence, Outcome, Source};

    fn record() -> EventRecord {
        EventRecord {
            delivery: Some(DeliveryId::from_u64(0x12)),
            message: Some(MessageId::from_u64(0x11)),
            recipient: Some("ann@example.net".parse().unwrap()),
            tag: Some(Tag::from(4711)),
            mailing: Some("autumn".into()),
            metadata: Some(json!({"list": 3})),
            verdict: Some(Verdict {
                outcome: Outcome::Failed,
                address: AddressState::NoMailbox,
                advice: Advice::Remove,
                reason: Reason::Expired,
                status: EnhancedStatus::new(4, 1, 1),
                evidence: Evidence {
                    source: Source::SmtpReply,
                    text: "No such user".into(),
                    rule: "code.x.1.1".into(),
                    confidence: 0.5,
                },
            }),
            cause: Some(Reason::UserUnknown),
            code: Some(450),
            status: EnhancedStatus::new(4, 1, 1),
            text: Some("No such user".into()),
            stage: Some(Stage::EndOfData),
            host: Some("mx.example.net[192.0.2.25]:25".into()),
            attempts: 3,
            reported_recipient: Some("a.smith@example.com".into()),
            trust: Some(Trust::Sealed),
            raw: Some(Arc::from(&b"Subject: x"[..])),
            ..EventRecord::bare(
                EventId::from_bytes([0xab; 16]),
                EventKind::AutoReply,
                Timestamp::from_millis(1_700_000_000_000),
                Origin::Conversation,
            )
        }
    }

    #[test]
    fn json_has_snake_case_names_and_ids_as_text_and_nulls_for_what_is_absent() {
        assert_eq!(
            serde_json::to_value(record()).unwrap(),
            json!({
                "id": "abababababababababababababababab",
                "kind": "auto_reply",
                "at": 1_700_000_000_000_i64,
                "delivery": "0000000000000012",
                "message": "0000000000000011",
                "recipient": "ann@example.net",
                "tag": 4711,
                "mailing": "autumn",
                "metadata": {"list": 3},
                "verdict": {
                    "outcome": "failed",
                    "address": "no_mailbox",
                    "advice": "remove",
                    "reason": "expired",
                    "status": "4.1.1",
                    "evidence": {
                        "source": "smtp_reply",
                        "text": "No such user",
                        "rule": "code.x.1.1",
                        "confidence": 0.5,
                    },
                },
                "cause": "user_unknown",
                "code": 450,
                "status": "4.1.1",
                "text": "No such user",
                "stage": "end_of_data",
                "host": "mx.example.net[192.0.2.25]:25",
                "attempts": 3,
                "reported_recipient": "a.smith@example.com",
                "trust": "sealed",
                "origin": "conversation",
            })
        );
        let bare = EventRecord::bare(EventId::from_bytes([0; 16]), EventKind::Alert, Timestamp::EPOCH, Origin::Local);
        let bare = serde_json::to_value(bare).unwrap();
        assert_eq!(bare["delivery"], json!(null));
        assert_eq!(bare.as_object().unwrap().len(), 20, "every key is there");
    }

    #[test]
    fn what_is_stored_reads_back() {
        let record = record();
        let stored = serde_json::to_string(&record).unwrap();
        let back: EventRecord = serde_json::from_str(&stored).unwrap();
        assert_eq!(EventRecord { raw: record.raw.clone(), ..back }, record, "all but the raw message, kept beside");
    }

    #[test]
    fn the_name_of_a_kind_is_its_json() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
