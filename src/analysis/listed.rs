//! The addresses that a text lists: each at the start of a line or behind a label, and the words that follow it.

use super::labels::{self, Label};
use super::mailbox;
use super::prose::{MAX_REASON, MAX_RECIPIENTS, is_foreign};

/// How many lines one reason has at most.
const MAX_REASON_LINES: usize = 12;
/// How many lines of a quoted head are read for its subject or date.
const MAX_HEAD_LINES: usize = 8;

/// The addresses that stand at the start of a line or behind a label, each with the words that follow.
pub(super) fn mentions(text: &str, ours: &[String]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    // Which mention the lines belong to, and how many of them were taken.
    let mut current: Option<(usize, usize)> = None;
    // Addresses that stand one below the other share the reason that follows the last.
    let mut sharing: Vec<usize> = Vec::new();
    let mut in_list = false;
    let lines: Vec<&str> = text.lines().collect();
    let quoted_head = quoted_heads(&lines);
    for (line, in_head) in lines.iter().zip(quoted_head) {
        // A quoted line is what somebody answered to; the head of the message that is spoken of names whom it was for.
        if line.starts_with('>') || in_head {
            current = None;
            continue;
        }
        let named = head(line, in_list).filter(|(address, _)| is_foreign(address, ours));
        if let Some((address, rest)) = named {
            let known = found.iter().position(|(known, _)| mailbox::same(known, address));
            let place = known.unwrap_or(found.len());
            if known.is_none() && found.len() < MAX_RECIPIENTS {
                found.push((address.to_string(), String::new()));
            }
            if current.is_none_or(|(before, lines)| lines > 0 || found.get(before).is_some_and(|m| !m.1.is_empty())) {
                sharing.clear();
            }
            sharing.push(place);
            current = Some((place, 0));
            in_list = true;
            add(&mut found, place, rest);
        } else if let Some((place, lines)) = current {
            let empty = line.trim().is_empty();
            let has_reason = found.get(place).is_some_and(|(_, reason)| !reason.is_empty());
            if (empty && has_reason) || lines >= MAX_REASON_LINES {
                current = None;
                in_list = false;
                share(&mut found, &sharing);
            } else if !empty {
                add(&mut found, place, line);
                current = Some((place, lines + 1));
                in_list = false;
            }
        } else if !line.trim().is_empty() {
            in_list = line.trim_end().ends_with([':', '\u{ff1a}', '-', '=']);
        }
    }
    share(&mut found, &sharing);
    found
}

/// Gives the reason of the last to those above it that have none.
fn share(found: &mut [(String, String)], sharing: &[usize]) {
    let Some(reason) = sharing.last().and_then(|last| found.get(*last)).map(|mention| mention.1.clone()) else {
        return;
    };
    for place in sharing {
        if let Some((_, own)) = found.get_mut(*place)
            && own.is_empty()
        {
            own.clone_from(&reason);
        }
    }
}

fn add(found: &mut [(String, String)], place: usize, words: &str) {
    let words = words.trim();
    if let Some((_, reason)) = found.get_mut(place)
        && !words.is_empty()
        && reason.len() + words.len() < MAX_REASON
    {
        if !reason.is_empty() {
            reason.push('\n');
        }
        reason.push_str(words);
    }
}

/// Which lines belong to a quoted head: labels in a row, one of them of a subject or a date.
fn quoted_heads(lines: &[&str]) -> Vec<bool> {
    let mut inside = vec![false; lines.len()];
    let mut start = None;
    let mut topics = 0;
    for (at, line) in lines.iter().enumerate() {
        let label = line.split_once([':', '\u{ff1a}']).and_then(|(label, _)| labels::read(label));
        match label {
            Some(Label::Reason) => (start, topics) = (None, 0),
            Some(label) => {
                let first = *start.get_or_insert(at);
                topics += usize::from(label == Label::Topic);
                if topics > 0 && at - first < MAX_HEAD_LINES {
                    inside[first..=at].fill(true);
                }
            }
            None if line.trim().is_empty() || line.starts_with(['\t', ' ']) => {}
            None => (start, topics) = (None, 0),
        }
    }
    // A label of a recipient alone below the topics, as in a table of subject, sender and recipient, stays readable
    // where nothing else names one: `spoken_of` asks there again.
    inside
}

/// An address at the start of a line, or behind a label that speaks of a recipient, or, in a list, behind a person's
/// name; and what follows it.
fn head(line: &str, in_list: bool) -> Option<(&str, &str)> {
    let (start, end, address) = mailbox::in_text(line).next()?;
    let before = line[..start].trim_matches(|c: char| c.is_whitespace() || OPENING.contains(c));
    let after = after_link(line[end..].trim_start_matches(CLOSING), address);
    let after = after.trim_start_matches(CLOSING);
    let before = before.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ')');
    let before = before.trim_matches(|c: char| c.is_whitespace() || OPENING.contains(c));
    if before.is_empty() {
        // A sentence may begin with an address too; a reason follows it directly, behind a colon, or on the next line.
        return Some((address, after.trim_start_matches([':', ';', ',', '.', ' ', '\t', '-', '\u{ff1a}'])));
    }
    if let Some(label) = before.strip_suffix([':', '=', ';', '\u{ff1a}']) {
        // The type of a field in front of its address: `Recipient: rfc822; ann@example.net`.
        let label = label.trim_end();
        let label = match label.split_once([':', ';']) {
            Some((label, kind)) if ["rfc822", "smtp"].iter().any(|known| kind.trim().eq_ignore_ascii_case(known)) => {
                label
            }
            Some(_) => return None,
            None => label,
        };
        return (labels::read(label) == Some(Label::Recipient))
            .then_some((address, after.trim_start_matches([':', ';', ' ', '\t'])));
    }
    let bracketed = line[..start].ends_with(['<', '(', '[']);
    let is_name =
        before.len() <= 60 && !before.contains([':', '.', ';', '!', '?']) && before.split_whitespace().count() <= 5;
    (in_list && bracketed && is_name && (after.trim().is_empty() || after.starts_with([':', ' '])))
        .then_some((address, after.trim_start_matches([':', ' '])))
}

/// What stands in front of an address in a list, and behind it.
pub(super) const OPENING: &str = "<([{\"'`*-+#|\u{2022}\u{b7}\u{2013}\u{2014}\u{25cf}\u{300c}\u{ab}\u{201c}";
pub(super) const CLOSING: [char; 9] = ['>', ')', ']', '}', '"', '\'', '\u{300d}', '\u{bb}', '\u{201d}'];

/// Takes off the same address once more, as a link: `ann@example.net<mailto:ann@example.net>`.
fn after_link<'l>(after: &'l str, address: &str) -> &'l str {
    let link = after.trim_start().strip_prefix("<mailto:").or_else(|| after.trim_start().strip_prefix("(mailto:"));
    match link.and_then(|link| link.get(..address.len()).map(|same| (same, link))) {
        Some((same, link)) if mailbox::same(same, address) => &link[address.len()..],
        _ => after,
    }
}
