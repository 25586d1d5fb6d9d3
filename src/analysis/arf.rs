//! Feedback reports (RFC 5965): complaints of recipients and their like.
//!
//! Only Feedback-Type is needed; providers leave out the rest, or blank the recipient.

use super::fields::{Fields, unfold};
use super::mailbox;

/// How many recipients of one report are read.
const MAX_RECIPIENTS: usize = 20;

/// What a feedback report says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Feedback {
    /// `abuse`, `fraud`, `not-spam`, `auth-failure`, `opt-out` and others, in lower case.
    pub(super) kind: String,
    /// Original-Rcpt-To, where it is an address and not blanked.
    pub(super) recipients: Vec<String>,
}

/// Reads the fields of a feedback report. `None` without a Feedback-Type.
pub(super) fn read(report: &[u8]) -> Option<Feedback> {
    // Some put an empty line in front of the fields.
    let (fields, _) = Fields::read(report.trim_ascii_start());
    let kind = fields.value("Feedback-Type")?.trim().to_ascii_lowercase();
    let recipients = fields
        .iter()
        .filter(|(name, _)| {
            ["original-rcpt-to", "removal-recipient"].iter().any(|known| name.eq_ignore_ascii_case(known))
        })
        .filter_map(|(_, value)| mailbox::in_field(&unfold(value)))
        .filter(|address| mailbox::in_text(address).next().is_some_and(|(_, _, found)| found.len() == address.len()))
        .take(MAX_RECIPIENTS);
    let mut feedback = Feedback { kind, recipients: Vec::new() };
    for recipient in recipients {
        if !feedback.recipients.iter().any(|known| mailbox::same(known, &recipient)) {
            feedback.recipients.push(recipient);
        }
    }
    (!feedback.kind.is_empty()).then_some(feedback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_fields_are_enough_and_a_blanked_recipient_is_none() {
        let bare = read(b"Feedback-Type: abuse\r\nUser-Agent: example/1.0\r\nVersion: 1\r\n").unwrap();
        assert_eq!((bare.kind.as_str(), bare.recipients.len()), ("abuse", 0));
        let blanked = read(b"\r\nFeedback-Type: Abuse\r\nOriginal-Rcpt-To: redacted\r\n").unwrap();
        assert_eq!((blanked.kind.as_str(), blanked.recipients.len()), ("abuse", 0));
        let named =
            read(b"Original-Rcpt-To: <ann@example.net>\nFeedback-Type: fraud\nRemoval-Recipient: Ann@example.net\n");
        assert_eq!(named.unwrap().recipients, ["ann@example.net"]);
        assert_eq!(read(b"Version: 1\n"), None);
    }
}
