//! From bytes to text, whatever the label says: a report is never lost to its charset.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

/// Decodes by the label of a Content-Type, or leniently where the label is missing, unknown or says nothing.
pub(super) fn decode<'b>(bytes: &'b [u8], label: Option<&str>) -> Cow<'b, str> {
    let label = label.map(|label| label.trim_matches(|c: char| c.is_whitespace() || "\"';".contains(c)));
    let Some(label) = label.filter(|label| !label.is_empty() && label.len() <= 45 && !extends_ascii(label)) else {
        return lenient(bytes);
    };
    // Bytes that are ASCII mean themselves under every label but those that shift.
    if !is_shifted(label) && bytes.is_ascii() {
        return lenient(bytes);
    }
    match charset_decoder(alias(label).unwrap_or(label).as_bytes()) {
        Some(decoder) => Cow::Owned(decoder(bytes)),
        None => lenient(bytes),
    }
}

/// UTF-8 where it is valid, else windows-1252: 8-bit text under a wrong or missing label is mostly one of the two.
pub(super) fn lenient(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => match charset_decoder(b"windows-1252") {
            Some(decoder) => Cow::Owned(decoder(bytes)),
            None => String::from_utf8_lossy(bytes),
        },
    }
}

/// Labels that say no more than "ASCII and perhaps something above it".
fn extends_ascii(label: &str) -> bool {
    ["us-ascii", "us_ascii", "ascii", "utf-8", "utf8", "unknown-8bit", "x-unknown"]
        .iter()
        .any(|known| label.eq_ignore_ascii_case(known))
}

/// Labels under which ASCII bytes do not mean themselves.
fn is_shifted(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    ["utf-7", "utf7", "utf-16", "utf16", "iso-2022", "hz-gb", "iso_2022"].iter().any(|known| label.contains(known))
}

/// Names of charsets that stand in mail and in no registry.
fn alias(label: &str) -> Option<&'static str> {
    let known = |name: &str| label.eq_ignore_ascii_case(name);
    if known("unicode-1-1-utf-7") || known("utf7") {
        Some("utf-7")
    } else if known("iso-8859-8-i") {
        Some("iso-8859-8")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_gives_a_text() {
        for (bytes, label, text) in [
            (&b"caf\xe9"[..], Some("iso-8859-1"), "caf\u{e9}"),
            (b"caf\xc3\xa9", Some("us_ascii"), "caf\u{e9}"),
            (b"caf\xe9", Some("utf-8"), "caf\u{e9}"),
            (b"caf\xe9", Some("x-no-such-charset"), "caf\u{e9}"),
            (b"caf\xe9", None, "caf\u{e9}"),
            (b"+AOk-", Some("unicode-1-1-utf-7"), "\u{e9}"),
            (b"\x1b$B4A;z\x1b(B", Some("ISO-2022-JP"), "\u{6f22}\u{5b57}"),
            (b"plain", Some(""), "plain"),
        ] {
            assert_eq!(decode(bytes, label), text, "{label:?}");
        }
    }
}
