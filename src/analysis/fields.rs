//! Header fields and the fields of machine-readable reports, split leniently (RFC 5322 §2.2, RFC 3464 §2.1.1).
//!
//! A block of fields is cut at line starts only: whatever has a colon after a name of visible characters is a field,
//! what starts with white space continues the one before, and every other line is skipped. Values are slices of the
//! message; decoding happens only for the fields that are asked for.

use std::borrow::Cow;

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

/// How many fields of one block are kept. Real messages have some dozens.
const MAX_FIELDS: usize = 400;
/// How much of one value is decoded, in bytes.
const MAX_VALUE: usize = 8 * 1024;

/// One block of fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields<'m> {
    fields: Vec<(&'m str, &'m [u8])>,
}

impl<'m> Fields<'m> {
    /// Reads fields up to the first empty line. Answers them and how many bytes they and that line take.
    pub(super) fn read(block: &'m [u8]) -> (Fields<'m>, usize) {
        let mut fields = Fields::default();
        let mut at = 0;
        for line in block.split_inclusive(|b| *b == b'\n') {
            let start = at;
            at += line.len();
            let bare = line.trim_ascii_end();
            if bare.is_empty() && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                return (fields, at);
            }
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                fields.continue_to(block, start, at);
            } else if let Some((name, colon)) = field_name(bare)
                && fields.fields.len() < MAX_FIELDS
            {
                fields.fields.push((name, &block[start + colon + 1..at]));
            }
        }
        (fields, at)
    }

    /// The fields in order: name as it was written, raw value with its folding.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'m str, &'m [u8])> + '_ {
        self.fields.iter().copied()
    }

    /// The raw value of the first field with this name.
    pub(super) fn raw(&self, name: &str) -> Option<&'m [u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first field with this name, unfolded, leniently decoded; encoded words are left as they are.
    pub(super) fn value(&self, name: &str) -> Option<Cow<'m, str>> {
        self.raw(name).map(unfold)
    }

    /// The value of the first field with this name, its encoded words (RFC 2047) decoded.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.raw(name).map(super::encoded_word::decode)
    }

    /// Whether there is a field with this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The Content-Type with its parameters (RFC 2045 §5.1, RFC 2231).
    pub(super) fn content_type(&self) -> Option<ContentType<'static>> {
        let line = complete(self.raw("Content-Type")?);
        match MessageStream::new(&line).parse_content_type().into_owned() {
            HeaderValue::ContentType(media) => Some(media),
            _ => None,
        }
    }

    /// Lets the last field go on to `end`, if the line at `start` follows it directly.
    fn continue_to(&mut self, block: &'m [u8], start: usize, end: usize) {
        if let Some((_, value)) = self.fields.last_mut() {
            let from = start.checked_sub(value.len());
            // Where the value stands, not what it says: comparing texts line by line would take quadratic time.
            let goes_on = |whole: &&[u8]| std::ptr::eq(whole.as_ptr(), value.as_ptr());
            if let Some(whole) = from.and_then(|from| block.get(from..end)).filter(goes_on) {
                *value = whole;
            }
        }
    }
}

/// A raw value on one line, white space at its ends taken off.
pub(super) fn unfold(raw: &[u8]) -> Cow<'_, str> {
    let raw = raw.get(..MAX_VALUE).unwrap_or(raw).trim_ascii();
    let text = super::charset::lenient(raw);
    let text = match super::charset::unescape(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(plain) => Cow::Owned(plain),
    };
    if !text.contains(['\r', '\n', '\t']) {
        return text;
    }
    let mut line = String::with_capacity(text.len());
    for piece in text.split(['\r', '\n', '\t']).filter(|piece| !piece.is_empty()) {
        if !line.is_empty() && !line.ends_with(' ') && !piece.starts_with(' ') {
            line.push(' ');
        }
        line.push_str(if line.ends_with(' ') { piece.trim_start() } else { piece });
    }
    Cow::Owned(line)
}

/// A raw value with the line end that the field parsers wait for.
fn complete(raw: &[u8]) -> Cow<'_, [u8]> {
    let raw = raw.get(..MAX_VALUE).unwrap_or(raw);
    if raw.ends_with(b"\n") { Cow::Borrowed(raw) } else { Cow::Owned([raw, b"\r\n"].concat()) }
}

/// The name in front of the colon, and where the colon stands.
fn field_name(line: &[u8]) -> Option<(&str, usize)> {
    // RFC 5322 allows 998 octets to a line; no real name comes near a tenth of that.
    let colon = line.iter().take(100).position(|b| *b == b':')?;
    let name = std::str::from_utf8(line[..colon].trim_ascii_end()).ok()?;
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())).then_some((name, colon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_unfolded_and_decoded() {
        let block = b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n folded\r\nnonsense\r\nX-A : one\r\n\ttwo\r\nx-a: three\r\n\r\nbody: no\r\n";
        let (fields, length) = Fields::read(block);
        assert_eq!(fields.text("subject").unwrap(), "Gr\u{fc}\u{df}e folded");
        assert_eq!(fields.value("x-a").unwrap(), "one two");
        assert_eq!(fields.iter().count(), 3);
        assert_eq!(&block[length..], b"body: no\r\n");
    }

    #[test]
    fn a_line_continues_the_field_directly_before_it_only() {
        let (fields, _) = Fields::read(b"A:x\nx\n more\nB:y\n more\n\tand more\n");
        assert_eq!((fields.value("A").unwrap(), fields.value("B").unwrap()), ("x".into(), "y more and more".into()));
    }

    #[test]
    fn a_field_without_line_end_is_read() {
        let (fields, _) = Fields::read(b"Content-Type: multipart/report; boundary=\"=_x\"");
        let media = fields.content_type().unwrap();
        assert_eq!(
            (media.ctype(), media.subtype(), media.attribute("boundary")),
            ("multipart", Some("report"), Some("=_x"))
        );
    }
}
