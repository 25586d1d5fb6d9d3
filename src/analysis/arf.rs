//! Feedback: complaints of recipients and their like, in the standard's form (RFC 5965) and in older ones.
//!
//! Only Feedback-Type is needed; providers leave out the rest, or blank the recipient. Other forms are known by what
//! they enclose and in which fields: a message handed on with a recipient's complaint, a report in the form of X-ARF,
//! a request to be taken off a list that a mail program sent by itself.

use super::fields::{Fields, unfold};
use super::mailbox;
use super::original;
use super::parts::Part;
use super::signs::{self, SubjectSigns};

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

impl Feedback {
    fn of(kind: &str) -> Feedback {
        Feedback { kind: kind.into(), recipients: Vec::new() }
    }
}

/// The feedback that a message is, if it is one. `prose` is its text for people.
pub(super) fn of(parts: &[Part<'_>], subject: &str, prose: &str) -> Option<Feedback> {
    let message = parts.first()?;
    let labelled = parts.iter().find(|part| part.media == "message/feedback-report");
    if let Some(feedback) = labelled.and_then(|part| read(&part.bytes())) {
        return Some(feedback);
    }
    // The part under another label, in what calls itself such a report.
    if message.report_type.as_deref() == Some("feedback-report") {
        let told =
            parts.iter().skip(1).filter(|part| !original::is_original(part)).find_map(|part| read(&part.bytes()));
        return Some(told.unwrap_or_else(|| Feedback::of("abuse")));
    }
    x_arf(parts).or_else(|| handed_on(parts, subject, prose)).or_else(|| opt_out(&message.fields, subject))
}

/// Reads the fields of a feedback report. `None` without a Feedback-Type.
fn read(report: &[u8]) -> Option<Feedback> {
    // Some put an empty line in front of the fields.
    let (fields, _) = Fields::read(report.trim_ascii_start());
    let kind = fields.value("Feedback-Type")?;
    let kind = kind.split([';', '(']).next().unwrap_or_default().trim().to_ascii_lowercase();
    (!kind.is_empty()).then(|| Feedback { kind, recipients: recipients(&fields) })
}

/// The recipients whom the fields name, each once.
fn recipients(fields: &Fields<'_>) -> Vec<String> {
    const NAMES: [&str; 4] =
        ["Original-Rcpt-To", "Removal-Recipient", "X-HmXmrOriginalRecipient", "X-Original-Rcpt-To"];
    let named = fields
        .iter()
        .filter(|(name, _)| NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)))
        .filter_map(|(_, value)| mailbox::in_field(&unfold(value)))
        .filter(|address| mailbox::in_text(address).next().is_some_and(|(_, _, found)| found.len() == address.len()))
        .take(MAX_RECIPIENTS);
    let mut recipients: Vec<String> = Vec::new();
    for recipient in named {
        if !mailbox::is_among(&recipient, &recipients) {
            recipients.push(recipient);
        }
    }
    recipients
}

/// X-ARF: a field at the top, the details in a part of their own, one a line.
fn x_arf(parts: &[Part<'_>]) -> Option<Feedback> {
    let fields = &parts.first()?.fields;
    if !["X-ARF", "X-XARF"].iter().any(|name| fields.has(name)) {
        return None;
    }
    let category = parts.iter().skip(1).find_map(|part| {
        let bytes = part.bytes();
        let (fields, _) = Fields::read(&bytes);
        fields.value("Category").map(|value| value.trim().to_ascii_lowercase())
    });
    Some(Feedback::of(match category.as_deref() {
        Some("fraud") => "fraud",
        Some("malware" | "virus") => "virus",
        _ => "abuse",
    }))
}

/// A message handed on with a complaint: the original names its recipient in a field of the provider, or subject and
/// text say what it is.
fn handed_on(parts: &[Part<'_>], subject: &str, prose: &str) -> Option<Feedback> {
    let original = parts.iter().skip(1).find(|part| original::is_original(part))?;
    let bytes = original.bytes();
    let (fields, _) = Fields::read(bytes.trim_ascii_start());
    if fields.has("X-HmXmrOriginalRecipient") {
        return Some(Feedback { kind: "abuse".into(), recipients: recipients(&fields) });
    }
    let SubjectSigns { complaint, failed, reply, .. } = signs::in_subject(subject);
    let told = signs::in_text(prose).complaint;
    let is_report = parts.first().is_some_and(|message| message.report_type.is_some());
    (!reply && !failed && !is_report && complaint && told).then(|| Feedback::of("abuse"))
}

/// A mail program's own request to be taken off a list (RFC 8058 §1, RFC 2369 §3.2): the subject is the word, and
/// a field says that no person wrote it.
fn opt_out(fields: &Fields<'_>, subject: &str) -> Option<Feedback> {
    let asks =
        ["unsubscribe", "remove", "opt-out", "optout"].iter().any(|word| subject.trim().eq_ignore_ascii_case(word));
    // `X-…-Unsubscribe`: the name of the program in the middle.
    let named = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with("x-") && name.ends_with("-unsubscribe")
    };
    let by_program = fields.iter().any(|(name, _)| named(name))
        || fields.value("Auto-Submitted").is_some_and(|value| value.trim().to_ascii_lowercase().starts_with("auto-"));
    (asks && by_program).then(|| Feedback::of("opt-out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::parts;

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

    #[test]
    fn other_forms_are_known_by_what_they_hold() {
        let original = "--b\r\nContent-Type: message/rfc822\r\n\r\nX-HmXmrOriginalRecipient: ann@example.net\r\nSubject: News\r\n\r\nHi\r\n--b--\r\n";
        let plain = original.replace("X-HmXmrOriginalRecipient: ann@example.net\r\n", "");
        let mixed = "Content-Type: multipart/mixed; boundary=b\r\n";
        let report = "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n";
        for (message, text, kind, recipients) in [
            (format!("Subject: complaint about message from 192.0.2.1\r\n{mixed}\r\n{original}"), "", Some("abuse"), 1),
            (
                format!("Subject: Email Feedback Report for IP 192.0.2.1\r\n{mixed}\r\n{plain}"),
                "This is an email abuse report for a message",
                Some("abuse"),
                0,
            ),
            (format!("Subject: Re: spam complaint\r\n{mixed}\r\n{plain}"), "It was marked as spam by Ann.", None, 0),
            (
                format!(
                    "{report}\r\n--b\r\n\r\nHi\r\n--b\r\nContent-Type: text/plain\r\n\r\nFeedback-Type: not-spam\r\n{plain}"
                ),
                "",
                Some("not-spam"),
                0,
            ),
            (
                format!(
                    "X-XARF: PLAIN\r\n{mixed}\r\n--b\r\nContent-Type: text/plain; name=report.txt\r\n\r\nCategory: fraud\r\n--b--\r\n"
                ),
                "",
                Some("fraud"),
                0,
            ),
            (
                "Subject: unsubscribe\r\nAuto-Submitted: auto-replied\r\n\r\nSent by a mail program.\r\n".into(),
                "",
                Some("opt-out"),
                0,
            ),
            ("Subject: unsubscribe\r\n\r\nPlease take me off.\r\n".into(), "", None, 0),
        ] {
            let parts = parts::split(message.as_bytes());
            let subject = parts[0].fields.text("Subject").unwrap_or_default();
            let found = of(&parts, &subject, text);
            assert_eq!(found.as_ref().map(|feedback| feedback.kind.as_str()), kind, "{message}");
            assert_eq!(found.map_or(0, |feedback| feedback.recipients.len()), recipients, "{message}");
        }
    }
}
