//! The returned original: what may hold a mark or a return path of ours, and where the rest of it begins.
//!
//! It never speaks for the remote host: its words are ours, or anybody's.

use super::fields::{Fields, unfold};
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
    // Fields in a row that only the header of a message has.
    let mut block = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        if announces_original(bare) {
            return at;
        }
        if is_header_field(bare) {
            let start = *block.get_or_insert(at);
            if bare.len() > 9 && is_trace_field(bare) {
                return start;
            }
        } else if !line.starts_with([' ', '\t']) {
            block = None;
        }
        at += line.len();
    }
    text.len()
}

/// A ruled line, or a line that ends in a colon, about the copy that follows.
fn announces_original(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let ruled = line.starts_with("--") || line.starts_with("==") || line.starts_with("__") || line.ends_with("--");
    let about = ["message", "mail", "copy", "original", "header"].iter().any(|word| lower.contains(word));
    let follows = [
        "follows",
        "below this line",
        "copy of",
        "original message",
        "original mail",
        "returned message",
        "unsent message",
        "message header",
        "included",
        "undelivered message",
        "begin message",
    ];
    (ruled || lower.ends_with(':') || lower.ends_with("follows."))
        && about
        && follows.iter().any(|word| lower.contains(word))
        && line.len() <= 100
}

fn is_header_field(line: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| {
        !name.is_empty() && name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

/// Fields that stand at the head of a message as it travelled, and hardly in a text about it.
fn is_trace_field(line: &str) -> bool {
    ["Received: from", "Received: by", "Received: (", "Return-Path:", "Message-ID:", "MIME-Version:", "DKIM-Signature:"]
        .iter()
        .any(|name| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
}

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
            ("gone\nDate: today\nFrom: a\nMessage-ID: <1@x.example>\n", "gone\n"),
            ("User: unknown\nStatus: gone\n", "User: unknown\nStatus: gone\n"),
        ] {
            assert_eq!(&text[..start_in_text(text)], kept);
        }
    }
}
