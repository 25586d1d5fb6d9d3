//! Message disposition notifications (RFC 8098): receipts, and refusals that come in their form.
//!
//! A receipt says that somebody opened or threw away a message; it returns nothing. But filters of mailboxes (the
//! reject action of RFC 5429) report a refusal as a message that was deleted automatically; the text says so.

use super::fields::Fields;
use super::mailbox;
use super::original;
use super::parts::Part;
use super::signs;

/// What such a notification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Receipt {
    /// The message was seen, deleted, or whatever a reader does with a message that has arrived.
    Handled,
    /// The recipient's filter refused it.
    Refused {
        /// Final-Recipient, else Original-Recipient.
        recipient: Option<String>,
        /// The words of the refusal.
        reason: String,
    },
}

/// Reads the notification; `None` if the message holds none. `prose` is its text for people.
pub(super) fn read(parts: &[Part<'_>], prose: &str) -> Option<Receipt> {
    let notification = parts.iter().find(|part| {
        matches!(part.media.as_str(), "message/disposition-notification" | "message/global-disposition-notification")
    })?;
    let bytes = notification.bytes();
    let (fields, _) = Fields::read(bytes.trim_ascii_start());
    let disposition = fields.value("Disposition").unwrap_or_default().to_ascii_lowercase();
    let (mode, action) = disposition.split_once(';').unwrap_or_default();
    // Who deletes by hand has read at least the subject, and refuses nothing.
    let by_program = mode.contains("automatic-action");
    let gone = ["deleted", "denied", "failed", "dispatched"].iter().any(|word| action.contains(word));
    if !(by_program && gone && signs::in_text(prose).refused) {
        return Some(Receipt::Handled);
    }
    let recipient = ["Final-Recipient", "Original-Recipient"]
        .iter()
        .find_map(|name| fields.value(name).and_then(|value| mailbox::in_field(&value)));
    Some(Receipt::Refused { recipient, reason: reason(prose) })
}

/// The words behind the announcement: after its colon, or the whole.
fn reason(prose: &str) -> String {
    let text = prose.get(..original::start_in_text(prose)).unwrap_or(prose);
    let after = text.split_once(":\n").or_else(|| text.split_once(":\r\n")).map_or(text, |(_, after)| after);
    after.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::parts;

    fn receipt(disposition: &str, text: &str) -> Option<Receipt> {
        let message = format!(
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n--b\r\n\r\n{text}\r\n--b\r\n\
             Content-Type: message/disposition-notification\r\n\r\nReporting-UA: mx.rcpt.example\r\n\
             Final-Recipient: rfc822; user@rcpt.example\r\nDisposition: {disposition}\r\n--b--\r\n"
        );
        read(&parts::split(message.as_bytes()), text)
    }

    #[test]
    fn a_refusal_is_told_from_a_receipt() {
        let refused = |reason: &str| {
            Some(Receipt::Refused { recipient: Some("user@rcpt.example".into()), reason: reason.into() })
        };
        let sieve = "automatic-action/MDN-sent-automatically; deleted";
        for (disposition, text, right) in [
            (
                sieve,
                "Your message to <user@rcpt.example> was automatically rejected:\r\nNo news please.",
                refused("No news please."),
            ),
            (
                sieve,
                "Ihre Nachricht wurde automatisch abgelehnt.",
                refused("Ihre Nachricht wurde automatisch abgelehnt."),
            ),
            (sieve, "Your message was deleted without being read.", Some(Receipt::Handled)),
            ("manual-action/MDN-sent-manually; deleted", "It was rejected.", Some(Receipt::Handled)),
            ("manual-action/MDN-sent-manually; displayed", "It was read.", Some(Receipt::Handled)),
        ] {
            assert_eq!(receipt(disposition, text), right, "{disposition} {text}");
        }
        assert_eq!(read(&parts::split(b"Subject: x\r\n\r\nRead.\r\n"), "Read."), None);
    }
}
