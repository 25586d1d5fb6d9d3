//! The text for people in a message, and the returned original that may stand in it.

use super::fields::Fields;
use super::parts::Part;
use super::{original, prose, tnef};

/// How much of the reporting host's text is judged, in bytes.
const MAX_PROSE: usize = 8 * 1024;
/// How many parts of text for people are read.
const MAX_PROSE_PARTS: usize = 4;
/// A shorter subject is not looked for in the text: it may be any word.
const MIN_SUBJECT: usize = 6;

/// The text for people, and what of the returned original stood in it.
pub(super) fn prose_of(parts: &[Part<'_>]) -> (String, String) {
    let (mut prose, mut tail) = (String::new(), String::new());
    let mut html = String::new();
    for part in parts
        .iter()
        .take_while(|part| !original::is_original(part))
        .filter(|part| part.is_prose())
        .take(MAX_PROSE_PARTS)
    {
        let mut text = part.text();
        if !prose.is_empty() && original::begins_like_one(&text) {
            tail.push_str(&text);
            break;
        }
        let rest = text.split_off(original::start_in_text(&text));
        let kept = if part.media == "text/html" { &mut html } else { &mut prose };
        if kept.len() < MAX_PROSE {
            kept.push_str(&text);
            kept.push('\n');
        }
        tail.push_str(&rest);
        if !rest.trim().is_empty() {
            break;
        }
    }
    if prose.trim().is_empty() && html.trim().is_empty() {
        // The original first, or the report in a capsule.
        let capsule =
            parts.iter().find(|part| part.media == "application/ms-tnef" || part.media == "application/vnd.ms-tnef");
        let late = parts.iter().skip_while(|part| !original::is_original(part)).find(|part| part.is_prose());
        let text =
            capsule.and_then(|part| tnef::text(&part.bytes())).or_else(|| late.map(Part::text)).unwrap_or_default();
        prose.push_str(&text[..original::start_in_text(&text)]);
    }
    // The same in two forms, mostly; the plain one may say only that there is another.
    if !prose.contains('@') && (html.contains('@') || prose.trim().is_empty()) {
        prose.push_str(&html);
    }
    prose.truncate(prose.floor_char_boundary(MAX_PROSE));
    (prose::without_topics(&prose), tail)
}

/// The subject of the returned original. Where a report quotes it, it is the sender who speaks: "Your mailbox is full
/// of news" tells nothing of the mailbox.
pub(super) fn original_subject(parts: &[Part<'_>], tail: &str) -> Option<String> {
    let returned = parts.iter().find(|part| original::is_original(part));
    let subject = match returned {
        Some(part) => Fields::read(part.bytes().trim_ascii_start()).0.text("Subject"),
        None => Fields::read(from_its_head(tail).as_bytes()).0.text("Subject"),
    };
    subject
        .map(|subject| subject.trim().to_string())
        .filter(|subject| subject.chars().count() >= MIN_SUBJECT && !subject.contains('@'))
}

/// A text from the first line that is a header field.
pub(super) fn from_its_head(text: &str) -> &str {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let name = line.split_once(':').map_or("", |(name, _)| name);
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            break;
        }
        at += line.len();
    }
    text.get(at..).unwrap_or_default()
}
