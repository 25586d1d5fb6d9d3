//! The returned original: what may hold a mark or a return path of ours, and where the rest of it begins.
//!
//! It never speaks for the remote host: its words are ours, or anybody's.

use super::fields::{Fields, unfold};
use super::labels;
use super::parts::Part;

/// How many values are kept, and how long each may be, in bytes: a return path has at most 320, a mark less.
const MAX_TRACES: usize = 32;
const MAX_TRACE: usize = 512;

/// Whether a part is the returned original, whole or its header fields only (RFC 6522 §3, RFC 6533 §5).
pub(super) fn is_original(part: &Part<'_>) -> bool {
    matches!(
        part.media.as_str(),
        "message/rfc822"
            | "message/global"
            | "text/rfc822-headers"
            | "message/global-headers"
            | "text/rfc822-header"
            | "message/rfc822-headers"
            | "message/partial"
    )
}

/// Values of the original's Message-ID, Return-Path and `X-` fields.
pub(super) fn traces(original: &[u8]) -> Vec<String> {
    let (fields, _) = Fields::read(original.trim_ascii_start());
    let mut traces = Vec::new();
    for (name, value) in fields.iter() {
        let kept = name.eq_ignore_ascii_case("Message-ID")
            || name.eq_ignore_ascii_case("Return-Path")
            || name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("X-"));
        if kept && value.len() <= MAX_TRACE && traces.len() < MAX_TRACES {
            let value = unfold(value);
            let bare = value.trim_matches(|c: char| c == '<' || c == '>' || c.is_whitespace());
            if !bare.is_empty() {
                traces.push(bare.to_string());
            }
        }
    }
    traces
}

/// Where the returned original begins in a text without parts: after a line that announces it, or at the first of
/// its own fields. The length of the text if it is not there.
pub(super) fn start_in_text(text: &str) -> usize {
    let mut at = 0;
    // The last line with words: where it begins, and whether it leads over to what follows.
    let mut lead: Option<(usize, bool)> = None;
    let mut head = Head::default();
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        if announces_original(bare) {
            return at;
        }
        if let Some((name, value)) = field(bare) {
            if head.take(at, name, value) {
                let start = head.start;
                return lead.filter(|(_, leads)| *leads).map_or(start, |(announcement, _)| announcement);
            }
        } else if bare.is_empty() || !line.starts_with([' ', '\t']) {
            head = Head::default();
        }
        if !bare.is_empty() && head.fields == 0 {
            lead = Some((at, is_ruled(bare) || bare.ends_with(':')));
        }
        at += line.len();
    }
    text.len()
}

/// Whether a part of text is the head of a message, or a whole one, though it is labelled as text: it begins with
/// the fields of a message.
pub(super) fn begins_like_one(text: &str) -> bool {
    let text = text.trim_start();
    field(text.lines().next().unwrap_or_default()).is_some() && start_in_text(text) == 0
}

/// Fields in a row, as at the head of a message.
#[derive(Default)]
struct Head {
    start: usize,
    /// How many of them are fields that every message has.
    fields: usize,
    /// Whether one of them is written as a message travels.
    travelled: bool,
    /// Whether a line is of a report instead.
    spoilt: bool,
}

impl Head {
    /// Takes a field; answers whether the block is surely a message's.
    fn take(&mut self, at: usize, name: &str, value: &str) -> bool {
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        self.spoilt |= is(REPORT_FIELDS);
        // "Received: yesterday" is no trace; "Received: from mx by mx" is.
        let trace = is(TRACE_FIELDS)
            || (name.eq_ignore_ascii_case("Received")
                && ["from", "by", "(", "id"].iter().any(|start| value.trim_start().starts_with(start)));
        if !trace && !is(MESSAGE_FIELDS) && self.fields == 0 {
            return false;
        }
        if self.fields == 0 {
            self.start = at;
        }
        self.fields += usize::from(trace || is(MESSAGE_FIELDS));
        self.travelled |= trace;
        !self.spoilt && (self.travelled || self.fields >= 4)
    }
}

/// A line that is ruled, or ends in a colon or a full stop, about the copy that follows.
fn announces_original(line: &str) -> bool {
    let bare = line.trim();
    if bare.len() > 160 || bare.starts_with('>') {
        return false;
    }
    let ends = is_ruled(bare) || bare.ends_with([':', '.', '\u{3002}', '\u{ff1a}']) || bare.ends_with("follows");
    ends && labels::marks_in(bare).original && !is_sentence(bare)
}

/// Whether an announcement is only a remark within a paragraph: it goes on after the full stop, or speaks long.
fn is_sentence(line: &str) -> bool {
    let ruled = is_ruled(line);
    let words = line.split_whitespace().count();
    !ruled
        && line.ends_with('.')
        && (words > 12 || !(line.ends_with("follows.") || line.ends_with("follow.") || line.contains("below")))
}

/// A line that draws a rule: it begins or ends with some hyphens or their like.
fn is_ruled(line: &str) -> bool {
    let line = line.trim().trim_matches('|');
    ["--", "==", "__", "**", "##", "~~", "++"].iter().any(|rule| line.starts_with(rule) || line.ends_with(rule))
}

/// The header field that a line is, if it is one: name and value.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let fits = !name.is_empty() && name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then_some((name, value))
}

/// Fields that stand at the head of a message as it travelled, and hardly in a text about it.
const TRACE_FIELDS: &[&str] =
    &["Return-Path", "MIME-Version", "DKIM-Signature", "Delivered-To", "X-Received", "ARC-Seal"];
/// Fields that a message has, and that a text about it may name too.
const MESSAGE_FIELDS: &[&str] = &[
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "Sender",
    "Content-Type",
    "In-Reply-To",
    "References",
    "Content-Transfer-Encoding",
    "User-Agent",
    "X-Mailer",
    "List-Id",
    "List-Unsubscribe",
    "Precedence",
];
/// Lines that look like fields and belong to what is said about the message.
const REPORT_FIELDS: &[&str] = &[
    "Action",
    "Status",
    "Final-Recipient",
    "Original-Recipient",
    "Diagnostic-Code",
    "Reporting-MTA",
    "Reason",
    "Error",
    "Recipient",
    "Recipients",
    "Remote-MTA",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_values_that_may_hold_a_mark() {
        let original =
            b"\r\nReturn-Path: <b-tok@send.example>\r\nReceived: from a\r\nMessage-ID:\r\n <m.1@send.example>\r\n\
            X-Mark: abc\r\nSubject: hi\r\n\r\nX-Not: body\r\n";
        assert_eq!(traces(original), ["b-tok@send.example", "m.1@send.example", "abc"]);
    }

    #[test]
    fn the_original_begins_at_its_announcement_or_its_fields() {
        for (text, kept) in [
            ("gone\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <a>\n", "gone\n\n"),
            ("gone\nReceived: from a by b\n", "gone\n"),
            ("gone\nDate: today\nFrom: a\nTo: b\nMessage-ID: <1@x.example>\n", "gone\n"),
            ("User: unknown\nStatus: gone\n", "User: unknown\nStatus: gone\n"),
            ("weg\n\nUrspr\u{fc}ngliche Nachricht:\n\nHallo\n", "weg\n\n"),
            ("weg\nwas kam:\n\nReceived: from a\n", "weg\n"),
            (
                "To: b\nSubject: hi\nSent: today\n\ndid not reach\n",
                "To: b\nSubject: hi\nSent: today\n\ndid not reach\n",
            ),
            (
                "Recipient: b\nMessage-ID: <1@x.example>\nReason: no\n",
                "Recipient: b\nMessage-ID: <1@x.example>\nReason: no\n",
            ),
            (
                "delete your own text from the attached returned message.\n<a@b.example>: no\n",
                "delete your own text from the attached returned message.\n<a@b.example>: no\n",
            ),
        ] {
            assert_eq!(&text[..start_in_text(text)], kept);
        }
    }
}
