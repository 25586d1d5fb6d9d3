//! Delivery status notifications (RFC 3464, internationalised in RFC 6533): the groups of fields, read leniently.
//!
//! Each field stands for itself: a group without Final-Recipient, with a status that has a comment, with an action
//! in capitals or with none is still a group. What the fields mean is judged in `verdict/`.

use std::collections::HashMap;

use mail_parser::DateTime;

use super::fields::{Fields, unfold};
use super::mailbox;
use super::parts::Part;
use crate::time::Timestamp;
use crate::verdict::{EnhancedStatus, Outcome, codes_in};

/// How many recipients of one report are read. A report about one message of ours has one.
const MAX_GROUPS: usize = 200;
/// How much of a report part is searched for the fields of a report under a wrong label, in bytes.
const SNIFFED: usize = 4 * 1024;

/// What a report says about one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) original_recipient: Option<String>,
    pub(crate) final_recipient: Option<String>,
    /// X-Actual-Recipient: whom an alias of the reporting host stood for.
    pub(crate) actual_recipient: Option<String>,
    /// From the Action field; `None` where it is missing or unknown.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) status: Option<EnhancedStatus>,
    /// The text of Diagnostic-Code without its type.
    pub(crate) diagnostic: String,
    /// The name in Remote-MTA: the host that is quoted in Diagnostic-Code.
    pub(crate) remote_host: Option<String>,
    /// Will-Retry-Until: how long the reporting host goes on.
    pub(crate) retries_until: Option<Timestamp>,
}

/// Whether a part is such a report, by its label or, where the label is wrong, by its fields.
pub(super) fn is_report(part: &Part<'_>) -> bool {
    match part.media.as_str() {
        "message/delivery-status" | "message/global-delivery-status" => true,
        "text/plain" | "application/octet-stream" | "text/" | "message/" => {
            let bytes = part.bytes();
            has_report_fields(bytes.get(..SNIFFED).unwrap_or(&bytes))
        }
        media => media.ends_with("delivery-status") || media.ends_with("delivery_status"),
    }
}

/// Reads the groups of a report; the first group of a report, which speaks of the message, is none of them.
pub(crate) fn read(report: &[u8]) -> Vec<Group> {
    let mut groups: Vec<Draft> = Vec::new();
    let mut rest = report;
    while !rest.is_empty() && groups.len() <= MAX_GROUPS {
        let (fields, length) = Fields::read(rest);
        rest = &rest[length..];
        let mut current: Option<Draft> = None;
        for (name, value) in fields.iter() {
            let Some(field) = RecipientField::named(name) else { continue };
            // A repeated recipient field begins the next group, though the empty line is missing.
            if current.as_ref().is_some_and(|draft| field.names_recipient() && draft.has(field)) {
                groups.extend(current.take());
            }
            current.get_or_insert_default().take(field, value);
        }
        match (current, groups.last_mut()) {
            // An empty line in the middle of a group: the rest of it names no recipient, or what the first half lacks.
            (Some(draft), Some(last)) if draft.completes(last) => last.append(draft),
            (Some(draft), _) => groups.push(draft),
            (None, _) => {}
        }
    }
    let read = groups.into_iter().filter(Draft::begins_group).take(MAX_GROUPS).map(Draft::finish);
    let mut kept: Vec<Group> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for group in read {
        let Some(named) = group.final_recipient.as_ref().or(group.original_recipient.as_ref()) else {
            kept.push(group);
            continue;
        };
        let next = kept.len();
        match *places.entry(named.to_lowercase()).or_insert(next) {
            place if place == next => kept.push(group),
            place => {
                if let Some(known) = kept.get_mut(place) {
                    known.hear_again(group);
                }
            }
        }
    }
    kept
}

impl Group {
    /// The same recipient once more: what is final, and what says more, is kept.
    fn hear_again(&mut self, other: Group) {
        let final_now = other.outcome == Some(Outcome::Failed) && self.outcome != Some(Outcome::Failed);
        let exact = |group: &Group| group.status.is_some_and(|status| status.subject() != 0);
        let says_more = self.outcome == other.outcome && exact(&other) && !exact(self);
        if final_now || says_more {
            let original = self.original_recipient.take();
            *self = other;
            self.original_recipient = self.original_recipient.take().or(original);
        } else if self.diagnostic.is_empty() {
            self.diagnostic = other.diagnostic;
        }
    }
}

/// The groups of a report that stands in a text, as a reader's program forwards it: at most the fields of one.
pub(super) fn read_in_text(text: &str) -> Vec<Group> {
    if has_report_fields(text.as_bytes()) { read(text.as_bytes()) } else { Vec::new() }
}

/// The fields that speak of one recipient (RFC 3464 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecipientField {
    Original,
    Final,
    Action,
    Status,
    Diagnostic,
    WillRetryUntil,
    Actual,
    RemoteMta,
}

impl RecipientField {
    fn named(name: &str) -> Option<RecipientField> {
        const NAMES: [(&str, RecipientField); 9] = [
            ("original-recipient", RecipientField::Original),
            ("final-recipient", RecipientField::Final),
            ("action", RecipientField::Action),
            ("status", RecipientField::Status),
            ("diagnostic-code", RecipientField::Diagnostic),
            ("will-retry-until", RecipientField::WillRetryUntil),
            ("x-actual-recipient", RecipientField::Actual),
            ("diagnostic-text", RecipientField::Diagnostic),
            ("remote-mta", RecipientField::RemoteMta),
        ];
        NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, field)| *field)
    }

    fn names_recipient(self) -> bool {
        matches!(self, RecipientField::Original | RecipientField::Final)
    }
}

/// A group while its fields are collected: the first value of each field.
#[derive(Debug, Clone, Default)]
struct Draft {
    values: [Option<String>; 8],
}

impl Draft {
    fn take(&mut self, field: RecipientField, value: &[u8]) {
        self.values[field as usize].get_or_insert_with(|| unfold(value).into_owned());
    }

    fn has(&self, field: RecipientField) -> bool {
        self.values[field as usize].is_some()
    }

    fn begins_group(&self) -> bool {
        [RecipientField::Original, RecipientField::Final, RecipientField::Action, RecipientField::Status]
            .into_iter()
            .any(|field| self.has(field))
    }

    /// Whether this is the rest of a group that an empty line has cut: it begins none, or it only adds to a group
    /// that has no recipient, or that has nothing but its recipient.
    fn completes(&self, before: &Draft) -> bool {
        let named = |draft: &Draft| draft.has(RecipientField::Final) || draft.has(RecipientField::Original);
        let judged = |draft: &Draft| draft.has(RecipientField::Action) || draft.has(RecipientField::Status);
        !self.begins_group() || (!named(self) && named(before) && !judged(before))
    }

    fn append(&mut self, other: Draft) {
        for (mine, theirs) in self.values.iter_mut().zip(other.values) {
            if mine.is_none() {
                *mine = theirs;
            }
        }
    }

    fn finish(self) -> Group {
        let [original, last, action, status, diagnostic, until, actual, remote] = self.values;
        Group {
            actual_recipient: actual.and_then(|value| mailbox::in_field(&value)),
            original_recipient: original.and_then(|value| mailbox::in_field(&value)),
            final_recipient: last.and_then(|value| mailbox::in_field(&value)),
            outcome: action.and_then(|value| outcome(&value)),
            status: status.and_then(|value| self::status(&value)),
            diagnostic: diagnostic.map(|value| without_type(&value).to_string()).unwrap_or_default(),
            remote_host: remote.map(|value| host(without_type(&value)).to_owned()).filter(|host| !host.is_empty()),
            retries_until: until.and_then(|value| date(&value)),
        }
    }
}

/// The Action field (RFC 3464 §2.3.3), a comment after it or not.
fn outcome(value: &str) -> Option<Outcome> {
    let word = value.trim().split(|c: char| !c.is_ascii_alphabetic()).next()?;
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    match () {
        _ if [
            "failed",
            "failure",
            "fail",
            "error",
            "undeliverable",
            "undelivered",
            "expired",
            "bounced",
            "rejected",
        ]
        .into_iter()
        .any(is) =>
        {
            Some(Outcome::Failed)
        }
        _ if ["delayed", "delay", "deferred", "warning"].into_iter().any(is) => Some(Outcome::Delayed),
        _ if ["delivered", "relayed", "expanded", "transferred", "success"].into_iter().any(is) => {
            Some(Outcome::Delivered)
        }
        _ => None,
    }
}

/// The name in a field of an MTA (RFC 3464 §2.3.5), without the address that some write after it.
fn host(value: &str) -> &str {
    value.trim().split(|c: char| c.is_whitespace() || "([;,".contains(c)).next().unwrap_or_default()
}

/// The Status field (RFC 3464 §2.3.4): a code, with a comment or within other words.
fn status(value: &str) -> Option<EnhancedStatus> {
    let first = value.trim().trim_start_matches('#').split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    first.parse().ok().or_else(|| codes_in(value).status)
}

/// The text of a Diagnostic-Code field (RFC 3464 §2.3.6) without its type: `smtp;`, `X-Unix;`.
fn without_type(value: &str) -> &str {
    match value.split_once(';') {
        Some((kind, text)) if kind.len() <= 30 && !kind.trim().contains(char::is_whitespace) => text.trim(),
        _ => value.trim(),
    }
}

fn date(value: &str) -> Option<Timestamp> {
    let date = DateTime::parse_rfc822(value)?;
    date.is_valid().then(|| Timestamp::from_millis(date.to_timestamp().saturating_mul(1000)))
}

/// A recipient field beside an action or a status, each at the start of a line.
fn has_report_fields(text: &[u8]) -> bool {
    let (mut recipient, mut verdict) = (false, false);
    for line in text.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().take(30).position(|b| *b == b':') else { continue };
        match std::str::from_utf8(&line[..colon]).ok().and_then(RecipientField::named) {
            Some(RecipientField::Original | RecipientField::Final) => recipient = true,
            Some(RecipientField::Action | RecipientField::Status) => verdict = true,
            _ => {}
        }
    }
    recipient && verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_groups_survive() {
        for (report, recipient, outcome, status) in [
            (
                "Final-Recipient: rfc822;a@x.example\nAction: Failed\nStatus: 5.1.1 (no such user)\n",
                "a@x.example",
                Some(Outcome::Failed),
                Some("5.1.1"),
            ),
            (
                "Final-Recipient: a@x.example\nAction: failed (bad)\nStatus: #5.0.0\n",
                "a@x.example",
                Some(Outcome::Failed),
                Some("5.0.0"),
            ),
            (
                "Original-Recipient: rfc822;a@x.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 no\n",
                "a@x.example",
                Some(Outcome::Failed),
                Some("5.1.1"),
            ),
            ("FINAL-RECIPIENT: RFC822; a@x.example\nSTATUS: 550 5.1.1\n", "a@x.example", None, Some("5.1.1")),
            (
                "Reporting-MTA: dns; mx.example\nFinal-Recipient: rfc822; a@x.example\nAction: delayed\nStatus: 4.4.1\n",
                "a@x.example",
                Some(Outcome::Delayed),
                Some("4.4.1"),
            ),
            ("Final-Recipient: rfc822; a@x.example\nAction: unheard\nStatus: whatever\n", "a@x.example", None, None),
        ] {
            let groups = read(report.as_bytes());
            assert_eq!(groups.len(), 1, "{report}");
            let group = &groups[0];
            let named = group.final_recipient.as_deref().or(group.original_recipient.as_deref());
            assert_eq!((named, group.outcome), (Some(recipient), outcome), "{report}");
            assert_eq!(group.status, status.map(|s| s.parse().unwrap()), "{report}");
        }
    }

    #[test]
    fn groups_are_kept_apart_and_their_pieces_together() {
        let report = b"Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; a@x.example\r\nAction: failed\r\n\r\n\
            Diagnostic-Code: smtp; 550\r\n no such user\r\n\r\nFinal-Recipient: rfc822; b@x.example\r\nAction: relayed\r\n\
            Final-Recipient: rfc822; c@x.example\r\nAction: delayed\r\nWill-Retry-Until: Fri, 2 Jan 2026 10:00:00 +0000\r\n";
        let groups = read(report);
        let actions: Vec<_> = groups.iter().map(|group| group.outcome).collect();
        assert_eq!(actions, [Some(Outcome::Failed), Some(Outcome::Delivered), Some(Outcome::Delayed)]);
        assert_eq!(groups[0].diagnostic, "550 no such user");
        assert_eq!(groups[2].retries_until.unwrap().to_string(), "2026-01-02T10:00:00.000Z");
    }

    #[test]
    fn a_thousand_groups_are_bounded() {
        let report: String =
            (0..1000).map(|n| format!("Final-Recipient: rfc822; a{n}@x.example\nAction: failed\n\n")).collect();
        assert_eq!(read(report.as_bytes()).len(), MAX_GROUPS);
    }

    #[test]
    fn a_recipient_is_heard_once_and_what_is_final_counts() {
        let group = |action: &str, status: &str| {
            format!("Final-Recipient: rfc822; A@x.example\nAction: {action}\nStatus: {status}\n\n")
        };
        for (first, second, outcome, status) in [
            (("delayed", "4.4.1"), ("failed", "5.1.1"), Outcome::Failed, "5.1.1"),
            (("failed", "5.1.1"), ("delayed", "4.4.1"), Outcome::Failed, "5.1.1"),
            (("failed", "5.0.0"), ("failed", "5.2.2"), Outcome::Failed, "5.2.2"),
            (("failed", "5.2.2"), ("failed", "5.0.0"), Outcome::Failed, "5.2.2"),
        ] {
            let groups = read((group(first.0, first.1) + &group(second.0, second.1)).as_bytes());
            assert_eq!(groups.len(), 1);
            assert_eq!((groups[0].outcome, groups[0].status), (Some(outcome), Some(status.parse().unwrap())));
        }
    }

    #[test]
    fn a_group_that_an_empty_line_has_cut_is_one() {
        let groups = read(b"Final-Recipient: rfc822; a@x.example\n\nAction: failed\nStatus: 5.1.1\n");
        assert_eq!((groups.len(), groups[0].outcome), (1, Some(Outcome::Failed)));
        let doubled = read(
            b"Original-Recipient: rfc822; a@x.example\nFinal-Recipient: rfc822; b@x.example\nAction: failed\n\
              Original-Recipient: rfc822; c@x.example\nFinal-Recipient: rfc822; d@x.example\nAction: failed\n",
        );
        assert_eq!(doubled.len(), 2);
        assert_eq!(doubled[1].original_recipient.as_deref(), Some("c@x.example"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(report in "((Final-Recipient|Action|Status|X): ?[a-z@.;0-9 ]{0,12}\r?\n|\r?\n| [a-z]{0,4}\n){0,30}") {
            let _ = read(report.as_bytes());
        }
    }
}
