//! Codes and waits that stand inside a text: `550`, `550-5.1.1`, `#5.1.1`, "try again in 300 seconds", and the
//! address that a moved user has now.

use std::time::Duration;

use crate::address::Address;
use crate::verdict::EnhancedStatus;

/// How much of a text is searched, in bytes.
const MAX_READ: usize = 16 * 1024;
/// A longer wait is no greylisting hint but another number; the schedule knows better.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The codes that a text quotes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Codes {
    /// The first reply code of class 4 or 5, else of class 2.
    pub(crate) code: Option<u16>,
    /// The enhanced code that says most: one with a detail before one without, the first of equals.
    pub(crate) status: Option<EnhancedStatus>,
}

/// Finds the codes in a text that quotes replies.
pub(crate) fn codes_in(text: &str) -> Codes {
    let text = &text[..text.floor_char_boundary(MAX_READ)];
    let bytes = text.as_bytes();
    let mut codes = Codes::default();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let starts = matches!(byte, b'2' | b'4' | b'5') && (at == 0 || !part_of_word(bytes[at - 1]));
        if !starts {
            at += 1;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        let number = text[at..end].trim_end_matches('.');
        let next = bytes.get(at + number.len()).copied();
        if number.contains('.') {
            if let Some(status) = plausible(number)
                && next.is_none_or(|byte| !part_of_word(byte))
                && codes.status.is_none_or(|known| says_more(status, known))
            {
                codes.status = Some(status);
            }
        } else if number.len() == 3 && introduces_reply(&bytes[..at], &bytes[at + 3..]) {
            let code = number.parse::<u16>().ok();
            if codes.code.is_none_or(|known| known < 400 && code.is_some_and(|code| code >= 400)) {
                codes.code = code;
            }
        }
        at = end.max(at + 1);
    }
    codes
}

/// Whether a code says more than one that stands before it: a refusal more than a success, a field more than none.
fn says_more(status: EnhancedStatus, known: EnhancedStatus) -> bool {
    (known.class() == 2 && status.class() != 2) || (says_less(known) && !says_less(status) && status.class() != 2)
}

/// Whether a code names a class at most: `5.0.0`.
pub(crate) fn says_less(status: EnhancedStatus) -> bool {
    status.subject() == 0
}

/// The wait that a reply asks for: a number and a unit after "in", "after", "for" or "wait", in a text that speaks of
/// trying again.
pub(crate) fn wait_in(text: &str) -> Option<Duration> {
    let text = text[..text.floor_char_boundary(MAX_READ)].to_ascii_lowercase();
    const AGAIN: [&str; 8] = ["again", "retry", "wait", "later", "come back", "greylist", "graylist", "defer"];
    if !AGAIN.iter().any(|word| text.contains(word)) {
        return None;
    }
    let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric())).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        if !matches!(word, "in" | "after" | "for" | "wait" | "least") {
            continue;
        }
        let Some(next) = words.peek() else { break };
        let digits = next.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(number) = next[..digits].parse::<u64>() else { continue };
        let unit = if digits == next.len() {
            words.next();
            words.peek().copied().unwrap_or_default()
        } else {
            &next[digits..]
        };
        let seconds = match unit {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 60 * 60,
            _ => continue,
        };
        let wait = Duration::from_secs(number.saturating_mul(seconds));
        if (Duration::from_secs(1)..=MAX_WAIT).contains(&wait) {
            return Some(wait);
        }
    }
    None
}

/// The address that a moved user has now: the one after "try" (RFC 5321 §3.4) or "new address".
pub(crate) fn moved_to(text: &str) -> Option<Address> {
    let lower = text[..text.floor_char_boundary(MAX_READ)].to_ascii_lowercase();
    let after = ["please try", "try", "moved to", "new address"].iter().find_map(|words| {
        let at = lower.find(words)? + words.len();
        text.get(at..)
    })?;
    after.split(|c: char| c.is_whitespace() || "<>()\";,:".contains(c)).find_map(|word| {
        let word = word.trim_end_matches(['.', '!', '?']);
        word.contains('@').then(|| word.parse().ok())?
    })
}

/// An enhanced code as a text may hold one: subjects above 7 are version numbers or parts of addresses.
fn plausible(number: &str) -> Option<EnhancedStatus> {
    number.parse::<EnhancedStatus>().ok().filter(|status| status.subject() <= 7)
}

fn part_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'/' | b'=')
}

/// Whether three digits between these bytes are a reply code: at the start of the text or of a line, after a colon,
/// a semicolon or `<<<`, or in front of an enhanced code; and a space, a hyphen or the end after it.
fn introduces_reply(before: &[u8], after: &[u8]) -> bool {
    if !matches!(after.first(), None | Some(b' ' | b'-' | b'\t' | b'\r' | b'\n' | b'#' | b':')) {
        return false;
    }
    let rest = after.get(1..).unwrap_or_default().trim_ascii_start();
    let enhanced = rest.strip_prefix(b"#").unwrap_or(rest);
    let has_enhanced = matches!(enhanced, [b'2' | b'4' | b'5', b'.', b'0'..=b'9', ..]);
    let line = before.rsplit(|b| *b == b'\n').next().unwrap_or_default().trim_ascii();
    // An arrow in front of each line is how some hosts show what was said to them.
    has_enhanced
        || line.is_empty()
        || line.ends_with(b"<--")
        || matches!(line.last(), Some(b':' | b';' | b'<' | b'>' | b'"' | b'\'' | b'('))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_are_found_where_replies_are_quoted() {
        for (text, code, status) in [
            ("550 5.1.1 no", Some(550), Some("5.1.1")),
            ("smtp; 550-5.1.1 no\n 550 5.1.1 no", Some(550), Some("5.1.1")),
            ("host mx said: 554 #5.7.1 no", Some(554), Some("5.7.1")),
            ("Remote host said: 552 full", Some(552), None),
            ("we counted 500 messages", None, None),
            ("Postfix 5.96.1 on 5.1.1.1", None, None),
            ("failed (5.0.0), then 550 5.1.10 NotFound", Some(550), Some("5.1.10")),
            ("250 2.0.0 Ok: queued", Some(250), Some("2.0.0")),
            ("<-- 250 2.1.0 Ok\n<-- 550 5.1.1 no", Some(550), Some("5.1.1")),
            ("<<< 550 5.1.1:no", Some(550), Some("5.1.1")),
            ("", None, None),
        ] {
            let found = codes_in(text);
            assert_eq!((found.code, found.status), (code, status.map(|s| s.parse().unwrap())), "{text:?}");
        }
    }

    #[test]
    fn waits_are_read_where_the_text_speaks_of_trying_again() {
        for (text, seconds) in [
            ("Greylisted, try again in 300 seconds", Some(300)),
            ("please retry in 5 minutes", Some(300)),
            ("come back after 60s", Some(60)),
            ("wait 2 hours and try again", Some(7200)),
            ("too many messages in 60 minutes", None),
            ("try again in 900 days", None),
            ("try again later", None),
            ("try again in 99999999999999999999 seconds", None),
        ] {
            assert_eq!(wait_in(text), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn a_new_address_is_read() {
        assert_eq!(moved_to("User not local; please try <ann@new.example>.").unwrap(), "ann@new.example");
        assert_eq!(moved_to("please try later"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_searched(text in "[ 0-9.245#:@<>a-z\\-]{0,200}") {
            let _ = (codes_in(&text), wait_in(&text), moved_to(&text));
        }
    }
}
