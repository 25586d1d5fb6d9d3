//! Makes the parts of a message 7-bit with short lines, where they may be re-encoded.
//!
//! RFC 2045 §6 and RFC 2046. A leaf is written as quoted-printable (text) or base64 (anything else, or text for
//! which it is shorter). A multipart and a message/rfc822 may not be encoded themselves (RFC 2045 §6.4, RFC 2046
//! §5.2.1): their own leaves are. Signed and encrypted multiparts and the other message types are left as they are:
//! 8-bit octets in them ask for a host that offers 8BITMIME, long lines are an error.

use std::ops::Range;

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use super::headers::{Field, Header, InvalidMessage, fold, long_line};
use super::normalise::{Place, ends_lines_properly};

/// One pass over a message, writing what comes out of it.
pub(super) struct Walk<'a> {
    /// The whole message; everything else is a range of it, so that a fault can name its line.
    whole: &'a [u8],
    place: Place,
    /// Line ends were LF: content that was binary is altered already.
    line_ends_altered: bool,
    pub(super) out: Vec<u8>,
    /// Octets above 127 were left in the body.
    pub(super) eight_bit: bool,
    /// The header of a part has UTF-8.
    pub(super) utf8_header: bool,
}

/// How a body may be treated.
enum Body {
    Text,
    Binary,
    Multipart {
        boundary: String,
        digest: bool,
    },
    /// message/rfc822.
    Message,
    /// Left as it is.
    Sealed,
}

/// The transfer encoding that a body arrived in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// None named, 7bit or 8bit.
    Plain,
    Binary,
    QuotedPrintable,
    Base64,
    /// One that we do not know.
    Other,
}

impl<'a> Walk<'a> {
    pub(super) fn new(whole: &'a [u8], place: Place, line_ends_altered: bool) -> Walk<'a> {
        let out = Vec::with_capacity(whole.len() + whole.len() / 2 + 256);
        Walk { whole, place, line_ends_altered, out, eight_bit: false, utf8_header: false }
    }

    /// The fields of this header, and the body as it is.
    pub(super) fn copy(&mut self, header: &Header<'a>) {
        header.fields.iter().for_each(|field| self.out.extend_from_slice(&self.whole[field.range.clone()]));
        self.out.extend_from_slice(&self.whole[header.end..]);
        self.eight_bit = header.body.is_some_and(|body| !self.whole[body..].is_ascii());
    }

    /// The whole message, whose header may have lost fields.
    pub(super) fn message(&mut self, header: &Header<'a>) -> Result<(), InvalidMessage> {
        self.entity(header, 0, self.whole.len(), false, 0)
    }

    /// The whole as a message within another.
    pub(super) fn nested(&mut self) -> Result<(), InvalidMessage> {
        self.part(0..self.whole.len(), false, 0)
    }

    /// A part, or a message within this one. `digest` says what a part without Content-Type is (RFC 2046 §5.1.5).
    fn part(&mut self, range: Range<usize>, digest: bool, depth: usize) -> Result<(), InvalidMessage> {
        let bytes = &self.whole[range.clone()];
        if bytes.is_ascii() && long_line(bytes).is_none() {
            self.out.extend_from_slice(bytes);
            return Ok(());
        }
        match Header::parse(bytes) {
            Ok(header) if std::str::from_utf8(&bytes[..header.end]).is_ok() => {
                if !bytes[..header.end].is_ascii() {
                    // UTF-8 here is SMTPUTF8's (RFC 6532 §3), and for SMTP these octets are body.
                    self.utf8_header = true;
                    self.eight_bit = true;
                }
                self.entity(&header, range.start, range.end, digest, depth)
            }
            _ => self.leave(range),
        }
    }

    /// A header and its body. `offset` is where the header's own positions count from.
    fn entity(
        &mut self,
        header: &Header<'a>,
        offset: usize,
        end: usize,
        digest: bool,
        depth: usize,
    ) -> Result<(), InvalidMessage> {
        let encodings: Vec<&Field<'a>> = header.named("Content-Transfer-Encoding").collect();
        let encoding = encodings.first().map_or(Encoding::Plain, |field| Encoding::read(field.value));
        let Some(body) = header.body.map(|body| body + offset..end) else {
            return self.fields(header, offset, |_| true);
        };
        let blank = header.end + offset..body.start;
        let octets = &self.whole[body.clone()];
        if octets.is_ascii() && long_line(octets).is_none() {
            self.fields(header, offset, |_| true)?;
            self.out.extend_from_slice(&self.whole[blank.start..body.end]);
            return Ok(());
        }

        let kept = |field: &Field<'_>| !field.is("Content-Transfer-Encoding");
        let nests = matches!(encoding, Encoding::Plain | Encoding::Binary) && depth < MAX_DEPTH;
        match Body::of(header, digest) {
            Body::Multipart { boundary, digest } if nests => {
                let label = self.container(header, offset, !encodings.is_empty())?;
                self.out.extend_from_slice(&self.whole[blank]);
                let outside = std::mem::take(&mut self.eight_bit);
                self.multipart(body, boundary.as_bytes(), digest, depth + 1)?;
                self.relabel(label, outside);
            }
            Body::Message if nests => {
                let label = self.container(header, offset, !encodings.is_empty())?;
                self.out.extend_from_slice(&self.whole[blank]);
                let outside = std::mem::take(&mut self.eight_bit);
                self.part(body, false, depth + 1)?;
                self.relabel(label, outside);
            }
            kind @ (Body::Text | Body::Binary) if encoding != Encoding::Other => {
                let text = matches!(kind, Body::Text);
                let decoded = self.decoded(&body, encoding, text)?;
                let (octets, lines) = match &decoded {
                    Some((octets, lines)) => (&octets[..], *lines),
                    None => (octets, text),
                };
                self.fields(header, offset, kept)?;
                let unnamed = header.named("Content-Type").next().is_none();
                if unnamed && !octets.is_ascii() && std::str::from_utf8(octets).is_ok() {
                    // The default is US-ASCII, which this is not.
                    self.out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
                }
                self.leaf(octets, lines);
            }
            _ => {
                self.fields(header, offset, |_| true)?;
                self.out.extend_from_slice(&self.whole[blank]);
                self.leave(body)?;
            }
        }
        Ok(())
    }

    /// The fields of a multipart or a message/rfc822. Answers where the label of its encoding stands, to be set once
    /// it is known what is within.
    fn container(
        &mut self,
        header: &Header<'a>,
        offset: usize,
        labelled: bool,
    ) -> Result<Option<usize>, InvalidMessage> {
        self.fields(header, offset, |field| !field.is("Content-Transfer-Encoding"))?;
        if !labelled {
            return Ok(None);
        }
        self.out.extend_from_slice(b"Content-Transfer-Encoding: ");
        let at = self.out.len();
        self.out.extend_from_slice(b"7bit\r\n");
        Ok(Some(at))
    }

    /// Ends a multipart or a message/rfc822: `7bit` and `8bit` are of one length.
    fn relabel(&mut self, label: Option<usize>, outside: bool) {
        if let (Some(at), true) = (label, self.eight_bit) {
            self.out[at] = b'8';
        }
        self.eight_bit |= outside;
    }

    /// The parts of a multipart between its delimiters (RFC 2046 §5.1.1).
    fn multipart(
        &mut self,
        body: Range<usize>,
        boundary: &[u8],
        digest: bool,
        depth: usize,
    ) -> Result<(), InvalidMessage> {
        let mut at = body.start;
        let mut outside = true;
        while let Some(delimiter) = Delimiter::find(&self.whole[..body.end], at, boundary) {
            // The line end before a delimiter belongs to it.
            let before = at..delimiter.start.saturating_sub(2).max(at);
            match outside {
                true => self.ignorable(before.clone()),
                false => self.part(before.clone(), digest, depth)?,
            }
            self.out.extend_from_slice(&self.whole[before.end..delimiter.end]);
            at = delimiter.end;
            outside = delimiter.closes;
            if outside {
                break;
            }
        }
        match outside {
            true => self.ignorable(at..body.end),
            false => self.part(at..body.end, digest, depth)?,
        }
        Ok(())
    }

    /// What stands before the first delimiter and after the last is shown to nobody: it goes where it does not fit.
    fn ignorable(&mut self, range: Range<usize>) {
        let bytes = &self.whole[range];
        if bytes.is_ascii() && long_line(bytes).is_none() {
            self.out.extend_from_slice(bytes);
        }
    }

    /// The decoded body, where it is encoded in a way that does not fit, and whether it is lines of text.
    fn decoded(
        &self,
        body: &Range<usize>,
        encoding: Encoding,
        text: bool,
    ) -> Result<Option<(Vec<u8>, bool)>, InvalidMessage> {
        let octets = &self.whole[body.clone()];
        let decoded = match encoding {
            Encoding::QuotedPrintable => encodify::qp::BODY.decode(octets).map(|decoded| decoded.into_owned()),
            Encoding::Base64 => encodify::base64::MIME.decode(octets),
            Encoding::Binary if self.line_ends_altered && !text => {
                let rule = "begins binary content in a message whose lines end in LF; encode it as base64";
                return Err(self.place.fault(self.whole, body.start, rule));
            }
            _ => return Ok(None),
        };
        let decoded = decoded.map_err(|error| {
            self.place.fault(self.whole, body.start, &format!("begins content that its encoding does not fit: {error}"))
        })?;
        let lines = text && ends_lines_properly(&decoded);
        Ok(Some((decoded, lines)))
    }

    /// A leaf in the encoding that is shorter; the label, the empty line and the octets.
    fn leaf(&mut self, octets: &[u8], lines: bool) {
        use encodify::{base64::MIME, qp::BODY};
        let longest = MIME.encoded_len(octets.len());
        if lines && BODY.encoded_len_within(octets, longest).is_some() {
            self.out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
            BODY.encode_append(octets, &mut self.out);
        } else {
            self.out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
            MIME.encode_append(octets, &mut self.out);
        }
    }

    /// What may not be changed.
    fn leave(&mut self, range: Range<usize>) -> Result<(), InvalidMessage> {
        let bytes = &self.whole[range.clone()];
        if let Some(at) = long_line(bytes) {
            let rule = "has more than 998 octets, in a part that may not be re-encoded";
            return Err(self.place.fault(self.whole, range.start + at, rule));
        }
        self.eight_bit |= !bytes.is_ascii();
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn fields(
        &mut self,
        header: &Header<'a>,
        offset: usize,
        keep: impl Fn(&Field<'_>) -> bool,
    ) -> Result<(), InvalidMessage> {
        for field in header.fields.iter().filter(|field| keep(field)) {
            let range = field.range.start + offset..field.range.end + offset;
            if !fold(&self.whole[range], &mut self.out) {
                return Err(InvalidMessage::new(
                    field.name,
                    "has a word of more than 998 octets, which no line can hold",
                ));
            }
        }
        Ok(())
    }
}

impl Body {
    fn of(header: &Header<'_>, digest: bool) -> Body {
        let Some(field) = header.named("Content-Type").next() else {
            return if digest { Body::Message } else { Body::Text };
        };
        // The parser wants a line end.
        let line = [field.value, b"\r\n"].concat();
        let HeaderValue::ContentType(content_type) = MessageStream::new(&line).parse_content_type() else {
            return Body::Binary;
        };
        let subtype = content_type.subtype().unwrap_or_default().to_ascii_lowercase();
        match (content_type.ctype().to_ascii_lowercase().as_str(), subtype.as_str()) {
            ("text", _) => Body::Text,
            ("multipart", "signed" | "encrypted") => Body::Sealed,
            ("multipart", _) => match content_type.attribute("boundary") {
                Some(boundary) if !boundary.is_empty() => {
                    Body::Multipart { boundary: boundary.to_string(), digest: subtype == "digest" }
                }
                _ => Body::Sealed,
            },
            ("message", "rfc822") => Body::Message,
            // RFC 6532 §3.7 lets this one be encoded.
            ("message", "global") => Body::Binary,
            ("message", _) => Body::Sealed,
            _ => Body::Binary,
        }
    }
}

impl Encoding {
    fn read(value: &[u8]) -> Encoding {
        match value.trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"7bit" | b"8bit" => Encoding::Plain,
            b"binary" => Encoding::Binary,
            b"quoted-printable" => Encoding::QuotedPrintable,
            b"base64" => Encoding::Base64,
            _ => Encoding::Other,
        }
    }
}

/// A line `--boundary` or `--boundary--`.
struct Delimiter {
    start: usize,
    end: usize,
    closes: bool,
}

impl Delimiter {
    fn find(bytes: &[u8], from: usize, boundary: &[u8]) -> Option<Delimiter> {
        let mut at = from;
        loop {
            let rest = &bytes[at..];
            let end = memchr::memchr(b'\n', rest).map_or(bytes.len(), |lf| at + lf + 1);
            let line = bytes[at..end].strip_suffix(b"\r\n").unwrap_or(&bytes[at..end]);
            let tail = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
            if let Some(tail) = tail {
                let closing = tail.strip_prefix(b"--");
                if closing.unwrap_or(tail).iter().all(|b| matches!(b, b' ' | b'\t')) {
                    return Some(Delimiter { start: at, end, closes: closing.is_some() });
                }
            }
            if end >= bytes.len() {
                return None;
            }
            at = end;
        }
    }
}

/// How deep parts and messages may stand in each other; deeper ones are left as they are. Mail programs read no
/// deeper, and the stack stays small.
const MAX_DEPTH: usize = 32;
