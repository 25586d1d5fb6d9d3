//! The header of a message or of one of its parts: its fields, and the rules that each must keep.
//!
//! RFC 5322 §2.2 and §3.6. Only the shape is read here; what a field means is left to who asks for it.

use std::ops::Range;

/// The message cannot be sent as it is; the text names the field and the rule.
///
/// Every problem that was found is told, the first one by [`field`](InvalidMessage::field) and
/// [`rule`](InvalidMessage::rule), all of them by `Display`, joined by semicolons.
///
/// ```
/// use returnpath::Message;
/// use returnpath::message::InvalidMessage;
///
/// let error: InvalidMessage = Message::try_from("Subject: no author\r\n\r\nHello").unwrap_err();
/// assert_eq!(error.field(), "From");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}{}", more.iter().map(|next| format!("; {next}")).collect::<String>())]
#[non_exhaustive]
pub struct InvalidMessage {
    pub(crate) field: String,
    pub(crate) rule: String,
    /// The problems after the first.
    more: Vec<InvalidMessage>,
}

impl InvalidMessage {
    pub(crate) fn new(field: impl Into<String>, rule: impl Into<String>) -> InvalidMessage {
        InvalidMessage { field: field.into(), rule: rule.into(), more: Vec::new() }
    }

    /// Joins what was found into one error: the first problem leads.
    pub(super) fn joined(problems: Vec<InvalidMessage>) -> Result<(), InvalidMessage> {
        let mut problems = problems.into_iter();
        match problems.next() {
            None => Ok(()),
            Some(first) => Err(InvalidMessage { more: problems.collect(), ..first }),
        }
    }

    /// Every problem as field and rule, in the order in which they were found.
    ///
    /// ```
    /// use returnpath::Message;
    /// use returnpath::message::InvalidMessage;
    ///
    /// let error: InvalidMessage = Message::try_from(Message::builder().to("ann").mailing("").text("…")).unwrap_err();
    /// let fields: Vec<&str> = error.problems().map(|(field, _)| field).collect();
    /// assert_eq!(fields, ["to", "mailing", "from"]);
    /// ```
    pub fn problems(&self) -> impl Iterator<Item = (&str, &str)> {
        std::iter::once(self).chain(&self.more).map(|problem| (&*problem.field, &*problem.rule))
    }

    /// What the first problem is about: a method of the builder (`to`, `mailing`), a header field (`From`), or
    /// `raw` where the bytes as such are wrong.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The rule that the first problem breaks, as a sentence without its first letter raised.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

/// The longest line in octets without its CRLF (RFC 5322 §2.1.1, RFC 5321 §4.5.3.1.6).
pub(super) const MAX_LINE: usize = 998;

/// Fields that a message may have at most once (RFC 5322 §3.6). Large hosts refuse a message that repeats one.
const AT_MOST_ONCE: [&str; 13] = [
    "From",
    "Date",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// A header: its fields in order, and where the body begins.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) fields: Vec<Field<'a>>,
    /// Where the last field ends: the empty line stands here, if there is one.
    pub(super) end: usize,
    /// Where the body begins; `None` where the empty line is missing.
    pub(super) body: Option<usize>,
}

/// One field of a header.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    /// Printable ASCII without a colon.
    pub(super) name: &'a str,
    /// What follows the colon, with its folds and without its last line end.
    pub(super) value: &'a [u8],
    /// Where the field stands, with its last line end.
    pub(super) range: Range<usize>,
    /// Where the value begins.
    after_colon: usize,
}

impl<'a> Header<'a> {
    /// Reads the header at the start of `bytes`, whose line ends are CRLF. The error is where the line begins
    /// that is not part of a field.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Header<'a>, usize> {
        let mut fields: Vec<Field<'a>> = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let next = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |lf| at + lf + 1);
            let line = bytes[at..next].strip_suffix(b"\r\n").unwrap_or(&bytes[at..next]);
            if line.is_empty() {
                return Ok(Header { fields, end: at, body: Some(next) });
            }
            let line_end = at + line.len();
            if matches!(line[0], b' ' | b'\t') {
                let field = fields.last_mut().ok_or(at)?;
                field.value = &bytes[field.after_colon..line_end];
                field.range.end = next;
            } else {
                let colon = memchr::memchr(b':', line).ok_or(at)?;
                let name = std::str::from_utf8(&line[..colon]).map_err(|_| at)?;
                if !is_field_name(name) {
                    return Err(at);
                }
                let after_colon = at + colon + 1;
                fields.push(Field { name, value: &bytes[after_colon..line_end], range: at..next, after_colon });
            }
            at = next;
        }
        Ok(Header { fields, end: at, body: None })
    }

    /// The fields of this name.
    pub(super) fn named<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h Field<'a>> {
        self.fields.iter().filter(move |field| field.is(name))
    }
}

impl Field<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Whether this may be the name of a header field (RFC 5322 §3.6.8).
pub(super) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// Finds a field twice that may be there once.
pub(super) fn check_repeated(header: &Header<'_>) -> Result<(), InvalidMessage> {
    for name in AT_MOST_ONCE {
        if header.named(name).nth(1).is_some() {
            return Err(InvalidMessage::new(name, "the field is there more than once (RFC 5322 §3.6 allows one)"));
        }
    }
    Ok(())
}

/// Writes a field, its over-long lines folded at their last white space (RFC 5322 §2.2.3). False if a word alone is
/// longer than a line may be.
pub(super) fn fold(field: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = field;
    while !rest.is_empty() {
        let (mut line, next) = match memchr::memmem::find(rest, b"\r\n") {
            Some(end) => (&rest[..end], &rest[end + 2..]),
            None => (rest, &rest[rest.len()..]),
        };
        while line.len() > MAX_LINE {
            // The part before the fold must hold more than white space, or the line would look like the end of
            // the header to a sloppy reader.
            let start = line.iter().position(|b| !matches!(b, b' ' | b'\t')).unwrap_or(line.len());
            let Some(cut) = (start + 1..=MAX_LINE).rev().find(|&at| matches!(line[at], b' ' | b'\t')) else {
                return false;
            };
            out.extend_from_slice(&line[..cut]);
            out.extend_from_slice(b"\r\n");
            line = &line[cut..];
            if line.iter().all(|b| matches!(b, b' ' | b'\t')) {
                // White space at the end of a field says nothing.
                out.truncate(out.len() - 2);
                line = b"";
            }
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
        rest = next;
    }
    true
}

/// Where the first line longer than [`MAX_LINE`] begins.
pub(super) fn long_line(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        // The LF stands for itself and its CR.
        if end - start > MAX_LINE + 1 {
            return Some(start);
        }
        start = end + 1;
    }
    (bytes.len() - start > MAX_LINE).then_some(start)
}
