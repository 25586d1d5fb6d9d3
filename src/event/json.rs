//! An event as one flat JSON object: for logs, queues and web hooks.

use serde_json::{Value, json};

use super::{Event, Trust};
use crate::time::Timestamp;
use crate::verdict::{AddressState, Advice, Outcome};

impl Event {
    /// Everything the event says as one flat JSON object, the raw message apart. Values are lower snake_case; what is
    /// not known is null; ids are strings; `code`, `attempts` and `retry_after_s` are numbers.
    ///
    /// | key | value |
    /// |---|---|
    /// | `event`, `event_id`, `at` | the kind; the event's id; when, in RFC 3339 |
    /// | `id`, `message`, `to`, `tag`, `mailing`, `metadata` | the delivery, and what was given at sending |
    /// | `reason`, `cause`, `outcome`, `address_state`, `moved_to`, `advice`, `retry_after_s` | the verdict |
    /// | `status`, `code`, `text`, `stage`, `host`, `attempts` | what the remote host said, and where |
    /// | `reported_recipient` | the address that the report names |
    /// | `trust`, `verified`, `origin`, `rule`, `confidence` | what it rests on; `verified`: it is sealed |
    ///
    /// ```
    /// use returnpath::verdict::Reason;
    ///
    /// # #[cfg(feature = "testing")] {
    /// let bounce = returnpath::Bounce::sample("ann@example.net").tag(17).reason(Reason::UserUnknown).build();
    /// let json = bounce.to_json();
    /// assert_eq!(json["event"], "bounce");
    /// assert_eq!(json["to"], "ann@example.net");
    /// assert_eq!(json["reason"], "user_unknown");
    /// assert_eq!(json["tag"], 17);
    /// # }
    /// ```
    pub fn to_json(&self) -> Value {
        let event = self.record();
        let verdict = event.verdict.as_ref();
        let (address_state, moved_to) = match verdict.map(|verdict| &verdict.address) {
            None => (None, None),
            Some(AddressState::NoMailbox) => (Some("no_mailbox"), None),
            Some(AddressState::NoDomain) => (Some("no_domain"), None),
            Some(AddressState::Disabled) => (Some("disabled"), None),
            Some(AddressState::Full) => (Some("full"), None),
            Some(AddressState::Moved(to)) => (Some("moved"), to.as_ref()),
            Some(AddressState::Fine) => (Some("fine"), None),
            Some(AddressState::NoStatement) => (Some("no_statement"), None),
        };
        let (advice, retry_after) = match verdict.map(|verdict| &verdict.advice) {
            None => (None, None),
            Some(Advice::Remove) => (Some("remove"), None),
            Some(Advice::RetryLater(after)) => (Some("retry_later"), after.map(|after| after.as_secs())),
            Some(Advice::SlowDown) => (Some("slow_down"), None),
            Some(Advice::FixSender) => (Some("fix_sender"), None),
            Some(Advice::None) => (Some("none"), None),
        };
        json!({
            "event": event.kind,
            "event_id": event.id,
            "at": Timestamp::to_string(&event.at),
            "id": event.delivery,
            "message": event.message,
            "to": event.recipient,
            "tag": event.tag,
            "mailing": event.mailing,
            "metadata": event.metadata,
            "reason": verdict.filter(|verdict| verdict.outcome != Outcome::Delivered).map(|verdict| verdict.reason),
            "cause": event.cause,
            "status": event.status,
            "code": event.code,
            "text": event.text,
            "stage": event.stage,
            "host": event.host,
            "attempts": event.attempts,
            "outcome": verdict.map(|verdict| verdict.outcome),
            "address_state": address_state,
            "moved_to": moved_to,
            "advice": advice,
            "retry_after_s": retry_after,
            "reported_recipient": event.reported_recipient,
            "trust": event.trust,
            "verified": event.trust == Some(Trust::Sealed),
            "origin": event.origin,
            "rule": verdict.map(|verdict| &verdict.evidence.rule),
            // Two places: more would only show how a float is stored.
            "confidence": verdict.map(|verdict| (f64::from(verdict.evidence.confidence) * 100.0).round() / 100.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, EventRecord, Origin};
    use crate::id::EventId;

    #[test]
    fn what_is_not_known_is_null_and_every_key_is_there() {
        let alert = EventRecord::bare(EventId::derive(&[b"x"]), EventKind::Alert, Timestamp::EPOCH, Origin::Local);
        let json = Event::new(alert).to_json();
        let keys = json.as_object().unwrap();
        assert_eq!(keys.len(), 28);
        let known = ["event", "event_id", "at", "attempts", "verified", "origin"];
        assert!(keys.iter().all(|(key, value)| value.is_null() != known.contains(&key.as_str())), "{json}");
    }
}
