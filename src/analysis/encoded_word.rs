//! Encoded words in header fields (RFC 2047, RFC 2231 §5), and all that stands in their place in real mail.
//!
//! Read leniently: words without white space between them, inside quotes, with spaces inside, with wrong padding, cut
//! short; characters split between two words; octets above ASCII that are not encoded at all.

use super::charset;

/// How many octets of one value are read.
const MAX_VALUE: usize = 8 * 1024;

/// Decodes the raw value of a field of free text, unfolded.
pub(super) fn decode(raw: &[u8]) -> String {
    let raw = raw.get(..MAX_VALUE).unwrap_or(raw).trim_ascii();
    let mut text = String::with_capacity(raw.len());
    // Neighbours of one charset are decoded together: one character may be split between them.
    let mut words: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut rest = raw;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"=?") {
        let (before, from) = rest.split_at(at);
        let Some((word, after)) = Word::read(from) else {
            let (plain, after) = rest.split_at(at + 2);
            flush(&mut words, &mut text);
            push_plain(plain, &mut text);
            rest = after;
            continue;
        };
        // White space between two words is no part of the text.
        if !(words.is_some() && before.trim_ascii().is_empty()) {
            flush(&mut words, &mut text);
            push_plain(before, &mut text);
        }
        match &mut words {
            Some((label, octets)) if label.eq_ignore_ascii_case(word.label) => octets.extend(word.octets()),
            other => {
                flush(other, &mut text);
                *other = Some((word.label.to_vec(), word.octets()));
            }
        }
        rest = after;
    }
    flush(&mut words, &mut text);
    push_plain(rest, &mut text);
    text.trim().to_string()
}

fn flush(words: &mut Option<(Vec<u8>, Vec<u8>)>, text: &mut String) {
    if let Some((label, octets)) = words.take() {
        let label = String::from_utf8_lossy(&label);
        push_visible(&charset::decode(&octets, Some(&label)), text);
    }
}

/// What is not encoded: unfolded, and decoded leniently.
fn push_plain(octets: &[u8], text: &mut String) {
    if !octets.is_empty() {
        push_visible(&charset::lenient(octets), text);
    }
}

/// Line ends and tabs become one space.
fn push_visible(piece: &str, text: &mut String) {
    for c in piece.chars() {
        match c {
            '\r' | '\n' => {}
            '\t' if text.ends_with(' ') => {}
            '\t' => text.push(' '),
            c => text.push(c),
        }
    }
}

/// One encoded word.
struct Word<'w> {
    label: &'w [u8],
    is_base64: bool,
    text: &'w [u8],
}

impl<'w> Word<'w> {
    /// Reads a word at the start of `from`, which begins with `=?`; answers it and what follows it.
    fn read(from: &'w [u8]) -> Option<(Word<'w>, &'w [u8])> {
        // No charset has a name of that length.
        const MAX_LABEL: usize = 64;
        let from = from.get(2..)?;
        let label_end = from.iter().take(MAX_LABEL).position(|octet| *octet == b'?')?;
        let (label, from) = from.split_at(label_end);
        let [b'?', encoding, b'?', text @ ..] = from else { return None };
        let is_base64 = match encoding {
            b'B' | b'b' => true,
            b'Q' | b'q' => false,
            _ => return None,
        };
        if label.is_empty() || !label.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let label = label.split(|octet| *octet == b'*').next().unwrap_or(label);
        // The end may be missing: then the word ends where the next one begins, or with the value.
        let next = text.windows(2).position(|pair| pair == b"=?");
        // Looked for up to there only: a value full of beginnings would take quadratic time.
        let horizon = next.map_or(text.len(), |next| (next + 3).min(text.len()));
        let end = text[..horizon].windows(2).position(|pair| pair == b"?=");
        let (end, skip) = match (end, next) {
            // `=?=` at the end of quoted-printable is an escape that was cut, and the end.
            (Some(end), Some(next)) if next < end && next + 1 != end => (next, 0),
            (Some(end), _) => (end, 2),
            (None, Some(next)) => (next, 0),
            (None, None) => (text.len(), 0),
        };
        let after = text.get(end + skip..)?;
        Some((Word { label, is_base64, text: text.get(..end)? }, after))
    }

    fn octets(&self) -> Vec<u8> {
        if self.is_base64 { from_base64(self.text) } else { from_q(self.text) }
    }
}

/// Base64 whatever the padding: what is no letter of it is skipped, and bits that make no octet are dropped.
fn from_base64(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for letter in text {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                // The next group begins afresh: some encode line by line and join.
                (bits, held) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = (bits << 6 | u32::from(value)) & 0xfff;
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.extend(u8::try_from(bits >> held & 0xff));
        }
    }
    octets
}

/// The Q encoding: an underscore is a space, an escape that is none stays.
fn from_q(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'_', _) => octets.push(b' '),
            (b'=', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    octets.push(high << 4 | low);
                    rest = after;
                }
                _ => octets.push(b'='),
            },
            _ => octets.push(*first),
        }
    }
    octets
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_decoded_in_every_shape() {
        for (raw, text) in [
            (&b" =?utf-8?Q?Gr=C3=BC=C3=9Fe_an?=\r\n alle"[..], "Gr\u{fc}\u{df}e an alle"),
            (b"=?UTF-8?B?R3LDvMOfZQ==?=", "Gr\u{fc}\u{df}e"),
            (b"=?UTF-8?B?R3LDvMOfZQ?=", "Gr\u{fc}\u{df}e"),
            (b"=?UTF-8?B?R3LDvMOfZQ=?=", "Gr\u{fc}\u{df}e"),
            (b"=?UTF-8?B?R3LD?= =?UTF-8?B?vMOfZQ==?=", "Gr\u{fc}\u{df}e"),
            (b"=?UTF-8?Q?Gr=C3?=\r\n\t=?utf-8?q?=BC=C3=9Fe?=", "Gr\u{fc}\u{df}e"),
            (b"=?UTF-8*de?Q?Gr=C3=BC=C3=9Fe?=", "Gr\u{fc}\u{df}e"),
            (
                b"=?iso-8859-1?Q?Gr=FC=DFe?= an =?koi8-r?B?0NLJ18XU?=",
                "Gr\u{fc}\u{df}e an \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}",
            ),
            (b"\"=?iso-8859-1?Q?Gr=FC=DFe?=\"", "\"Gr\u{fc}\u{df}e\""),
            (b"x=?iso-8859-1?Q?=FC?=y", "x\u{fc}y"),
            (b"=?iso-8859-1?Q?a b c?= d", "a b c d"),
            (b"=?iso-8859-1?Q?cut =FC", "cut \u{fc}"),
            (b"=?iso-8859-1?Q?cut =F?= d", "cut =F d"),
            (b"=?x-nobody?Q?plain?=", "plain"),
            (b"=?utf-8?X?as it is?=", "=?utf-8?X?as it is?="),
            (b"=? no word ?=", "=? no word ?="),
            (b"Gr\xc3\xbc\xc3\x9fe", "Gr\u{fc}\u{df}e"),
            (b"Gr\xfc\xdfe", "Gr\u{fc}\u{df}e"),
            (b"\x1b$B4A;z\x1b(B test", "\u{6f22}\u{5b57} test"),
            (b"=?ISO-2022-JP?B?GyRCNEE7ehsoQg==?=", "\u{6f22}\u{5b57}"),
            (b"=?gb2312?B?1tDOxA==?=", "\u{4e2d}\u{6587}"),
            (b"=?utf-7?Q?+AOk-?=", "\u{e9}"),
            (b"=?UTF-8?Q?a?==?UTF-8?Q?b?=", "ab"),
            (b"[mixed =?iso-8859-2?Q?odpowied=BC?=] test", "[mixed odpowied\u{17a}] test"),
        ] {
            assert_eq!(decode(raw), text, "{}", raw.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_value_is_decoded(raw in proptest::collection::vec(prop_oneof![Just(b'='), Just(b'?'), Just(b'B'), Just(b'q'), any::<u8>()], 0..120)) {
            prop_assert!(decode(&raw).len() <= raw.len() * 3 + 3);
        }

        #[test]
        fn what_is_encoded_comes_back(text in "[a-zA-Z0-9 äöüßéñ漢字привет]{1,40}", cut in 1_usize..12) {
            let trimmed = text.trim();
            let words: Vec<String> = trimmed.as_bytes().chunks(cut)
                .map(|octets| format!("=?utf-8?Q?{}?=", octets.iter().map(|octet| format!("={octet:02X}")).collect::<String>()))
                .collect();
            prop_assert_eq!(decode(words.join("\r\n ").as_bytes()), trimmed);
        }
    }
}
