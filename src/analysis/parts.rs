//! A message as a flat list of its parts (RFC 2045, RFC 2046), read in one pass.
//!
//! Why not the whole-message parser of mail-parser: nested messages cost it stack, siblings whose boundary never
//! comes cost it quadratic time, and both can hide from any count of the raw bytes inside a base64 part. Here the
//! lines are walked once, the boundaries that are open are on a short list, and a nested message is a leaf. The
//! values of header fields are still read by mail-parser, one line at a time.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;

use super::charset;
use super::fields::Fields;
use super::html;

/// How much of a message is read, in bytes. A report says what it has to say long before that; what follows is the
/// returned original.
const MAX_MESSAGE: usize = 1024 * 1024;
/// How many parts are kept.
const MAX_PARTS: usize = 100;
/// How many multiparts may be open at once.
const MAX_DEPTH: usize = 10;
/// How much of one part is decoded, in bytes.
const MAX_TEXT: usize = 128 * 1024;

/// One part; the first of a list is the message itself.
#[derive(Debug, Clone)]
pub(super) struct Part<'m> {
    pub(super) fields: Fields<'m>,
    /// `type/subtype` in lower case; `text/plain` where the field is missing or cannot be read.
    pub(super) media: String,
    /// The report-type parameter of a multipart/report (RFC 6522), in lower case.
    pub(super) report_type: Option<String>,
    charset: Option<String>,
    /// Of a multipart whose boundary is looked for: the place of its boundary among those that are open.
    level: Option<usize>,
    /// As it came, before the transfer encoding is taken off. Empty for a multipart that has parts.
    pub(super) body: &'m [u8],
}

/// Splits a message.
pub(super) fn split(message: &[u8]) -> Vec<Part<'_>> {
    let message = message.get(..MAX_MESSAGE).unwrap_or(message);
    let mut parts = Vec::new();
    let mut open: Vec<Boundary> = Vec::new();
    let mut rest = begin(message, &mut parts, &mut open);
    let mut body_start = rest;
    // Whether the lines belong to the body of the last part, or to nobody (a preamble or an epilogue).
    let mut in_body = true;
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        let Some((level, closes)) = line.starts_with(b"--").then(|| boundary(&open, line)).flatten() else {
            rest = after;
            continue;
        };
        // What stands in front of a multipart's first part is for readers that know no MIME.
        let is_preamble = level + 1 == open.len() && parts.last().is_some_and(|part| part.level == Some(level));
        if in_body
            && !is_preamble
            && let Some(part) = parts.last_mut()
        {
            part.body = without_line_end(&body_start[..body_start.len() - rest.len()]);
        }
        open.truncate(level + 1);
        rest = after;
        in_body = !closes && parts.len() < MAX_PARTS;
        if closes {
            open.pop();
        } else if in_body {
            rest = begin(after, &mut parts, &mut open);
        }
        body_start = rest;
    }
    if in_body && let Some(part) = parts.last_mut() {
        part.body = body_start;
    }
    parts
}

/// A boundary that is open, with its leading hyphens.
struct Boundary(Vec<u8>);

/// Reads the fields of a part; a multipart opens its boundary. Answers what follows the fields.
fn begin<'m>(block: &'m [u8], parts: &mut Vec<Part<'m>>, open: &mut Vec<Boundary>) -> &'m [u8] {
    let (fields, length) = Fields::read(block);
    let content = fields.content_type();
    let media = content.as_ref().map_or_else(
        || "text/plain".to_string(),
        |media| format!("{}/{}", media.ctype(), media.subtype().unwrap_or_default()).to_ascii_lowercase(),
    );
    let parameter = |name: &str| content.as_ref().and_then(|media| media.attribute(name));
    let mut level = None;
    if media.starts_with("multipart/")
        && let Some(boundary) = parameter("boundary").map(str::trim_end).filter(|boundary| !boundary.is_empty())
        && open.len() < MAX_DEPTH
    {
        level = Some(open.len());
        open.push(Boundary([b"--", boundary.as_bytes()].concat()));
    }
    parts.push(Part {
        media,
        report_type: parameter("report-type").map(str::to_ascii_lowercase),
        charset: parameter("charset").map(str::to_string),
        fields,
        level,
        body: &[],
    });
    &block[length..]
}

/// Which open boundary a line is, the innermost first, and whether it is the closing one.
fn boundary(open: &[Boundary], line: &[u8]) -> Option<(usize, bool)> {
    let line = line.trim_ascii_end();
    open.iter().enumerate().rev().find_map(|(level, boundary)| match line.strip_prefix(boundary.0.as_slice())? {
        b"" => Some((level, false)),
        b"--" => Some((level, true)),
        _ => None,
    })
}

/// The line end in front of a boundary belongs to the boundary (RFC 2046 §5.1.1).
fn without_line_end(body: &[u8]) -> &[u8] {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body)
}

impl<'m> Part<'m> {
    /// Whether the part is meant for people: plain text or HTML that is not attached as a file, or a multipart in
    /// which no part was found.
    pub(super) fn is_prose(&self) -> bool {
        let attached = self
            .fields
            .raw("Content-Disposition")
            .is_some_and(|value| value.trim_ascii().get(..10).is_some_and(|v| v.eq_ignore_ascii_case(b"attachment")));
        match self.media.as_str() {
            "text/plain" | "text/html" | "text/" | "text" => !attached,
            media => media.starts_with("multipart/") && !self.body.is_empty(),
        }
    }

    /// The body with the transfer encoding taken off; as it came where the encoding is unknown or broken.
    pub(super) fn bytes(&self) -> Cow<'m, [u8]> {
        let body = self.body.get(..MAX_TEXT).unwrap_or(self.body);
        let encoding = self.fields.raw("Content-Transfer-Encoding").unwrap_or_default().trim_ascii();
        if encoding.eq_ignore_ascii_case(b"base64") {
            // A cut may leave a group of four incomplete; the decoder then refuses the whole.
            base64_decode(body).map_or(Cow::Borrowed(body), Cow::Owned)
        } else if encoding.eq_ignore_ascii_case(b"quoted-printable") {
            Cow::Owned(unquote(body))
        } else {
            Cow::Borrowed(body)
        }
    }

    /// The body as text; HTML is reduced to what a reader sees.
    pub(super) fn text(&self) -> String {
        let bytes = self.bytes();
        let text = charset::decode(&bytes, self.charset.as_deref());
        let text = charset::unescape(&text);
        if self.media == "text/html" || looks_like_html(&text) { html::to_text(&text) } else { text.into_owned() }
    }
}

/// HTML sent as plain text: it begins with a tag that begins documents.
fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start();
    ["<!doctype html", "<html", "<body", "<head", "<div", "<table", "<p>", "<br"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag)))
}

/// Takes quoted-printable off (RFC 2045 §6.7); an escape that is none stays as it is.
fn unquote(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.iter().position(|b| *b == b'=') {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            plain.extend(u8::try_from(high * 16 + low));
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")) {
            rest = after;
        } else {
            plain.push(b'=');
        }
    }
    plain.extend_from_slice(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn media(message: &[u8]) -> Vec<String> {
        split(message).into_iter().map(|part| part.media).collect()
    }

    #[test]
    fn parts_are_found_in_order_with_their_bodies() {
        let message = b"Content-Type: multipart/report; boundary=a\r\n\r\npreamble\r\n--a\r\n\r\nHello\r\n--a\r\n\
            Content-Type: multipart/alternative; boundary=\"b b\"\r\n\r\n--b b\r\nContent-Type: text/html\r\n\r\n<p>Hi</p>\r\n\
            --b b--\r\nepilogue\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nbody\r\n--a--\r\n--a\r\n";
        assert_eq!(
            media(message),
            ["multipart/report", "text/plain", "multipart/alternative", "text/html", "message/rfc822"]
        );
        let parts = split(message);
        assert_eq!((parts[1].body, parts[4].body), (&b"Hello"[..], &b"Subject: x\r\n\r\nbody"[..]));
        assert_eq!(parts[3].text().trim(), "Hi");
        assert!(parts[0].body.is_empty());
    }

    #[test]
    fn a_missing_end_and_a_missing_boundary_lose_nothing() {
        let cut = split(b"Content-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--a\n\ntwo");
        assert_eq!(cut.last().unwrap().body, b"two");
        let none = split(b"Content-Type: multipart/mixed; boundary=a\n\nonly text\n");
        assert_eq!((none.len(), none[0].body, none[0].is_prose()), (1, &b"only text\n"[..], true));
    }

    #[test]
    fn transfer_encodings_are_taken_off_leniently() {
        let text = |encoding: &str, body: &str| {
            let message = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n{body}");
            split(message.as_bytes())[0].text()
        };
        assert_eq!(text("BASE64", "SGVsbG8=\r\n"), "Hello");
        assert_eq!(text("base64", "no base64!"), "no base64!");
        assert_eq!(text("quoted-printable", "a=3Db=\r\nc=zz=C3=A9"), "a=bc=zz\u{e9}");
        assert_eq!(text("8bits", "plain"), "plain");
    }

    #[test]
    fn a_bomb_stays_small() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(40_000);
        assert_eq!(split(nested.as_bytes()).len(), 1);
        let deep: String =
            (0..5_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect();
        assert!(split(deep.as_bytes()).len() <= MAX_PARTS);
        let wide = format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{}", "--a\r\n\r\nx\r\n".repeat(50_000));
        assert_eq!(split(wide.as_bytes()).len(), MAX_PARTS);
    }

    proptest! {
        #[test]
        fn any_bytes_are_split(message in "(Content-Type: multipart/x; boundary=[ab]{1,2}\r?\n|\r?\n|--[ab]{1,2}(--)?\r?\n|[a-z:=]{0,5}\n){0,40}") {
            for part in split(message.as_bytes()) {
                let _ = part.text();
            }
        }
    }
}
