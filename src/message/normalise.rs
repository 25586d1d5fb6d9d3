//! Makes a message fit for any host before it is signed: CRLF line ends, no NUL, lines of at most 998 octets, 7-bit
//! where it may be re-encoded, and a header that no large host refuses.
//!
//! RFC 5321 §2.3.8 and §4.5.3.1.6, RFC 5322 §2.1 and §3.6, RFC 6532 for UTF-8 in the header. The body's parts are
//! `mime`'s matter. A message that carries DKIM-Signature is checked, not changed: what would have to be changed is
//! an error that names its line.

use std::borrow::Cow;

use super::custom::RETURN_PATH;
use super::headers::{Header, InvalidMessage, check_repeated, long_line};
use super::mime::Walk;
use super::{headers, mailbox};
use crate::address::Address;

/// In octets. Large hosts take 25 to 150 MB; a message is held in memory while it is written and sent.
pub(super) const MAX_MESSAGE: usize = 50 * 1024 * 1024;

/// A message fit for any host, but for what the stamp adds.
#[derive(Debug, Clone)]
pub(super) struct Normal {
    pub(super) bytes: Vec<u8>,
    pub(super) smtputf8: bool,
    pub(super) eight_bit: bool,
    pub(super) missing: Missing,
}

/// Fields that are not there and may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) date: bool,
    pub(super) message_id: bool,
    pub(super) mime_version: bool,
}

/// Normalises `bytes`, of which the first `lead` lines are ours: lines are counted from behind them.
pub(super) fn normalise(bytes: Vec<u8>, lead: usize) -> Result<Normal, InvalidMessage> {
    if bytes.len() > MAX_MESSAGE {
        return Err(too_large(bytes.len()));
    }
    let signed = carries(&bytes, "DKIM-Signature");
    let place = Place { lead };
    let bare_lf = check_octets(&bytes, place)?;
    let bytes = match bare_lf {
        Some(at) if signed => {
            return Err(place.fault(
                &bytes,
                at,
                "ends in a bare LF, and a signed message is not altered: sign CRLF lines",
            ));
        }
        Some(_) => with_crlf(&bytes),
        None => bytes,
    };
    let header = Header::parse(&bytes)
        .map_err(|at| place.fault(&bytes, at, "is not a header field of the form `Name: value`"))?;
    let covered = signed.then(|| covered_names(&header));
    let is_covered = |name: &str| covered.iter().flatten().any(|covered| covered.eq_ignore_ascii_case(name));
    check_header(&header, &bytes, place)?;
    let is_bcc = |field: &headers::Field<'_>| field.is("Bcc") || field.is("Resent-Bcc");
    let has_bcc = header.fields.iter().any(is_bcc);
    if has_bcc && is_covered("Bcc") {
        return Err(InvalidMessage::new("Bcc", "the field is signed and would be shown; remove it before signing"));
    }

    let lacks = |name: &str| header.named(name).next().is_none() && !is_covered(name);
    let missing = Missing { date: lacks("Date"), message_id: lacks("Message-ID"), mime_version: lacks("MIME-Version") };
    let smtputf8 = header.fields.iter().any(|field| !is_bcc(field) && !field.value.is_ascii());
    let body = header.body.map_or(&bytes[bytes.len()..], |at| &bytes[at..]);
    let long = long_line(&bytes);
    if signed && let Some(at) = long {
        return Err(place.fault(&bytes, at, "has more than 998 octets, and a signed message is not altered"));
    }
    let fits = body.is_ascii() && long.is_none();

    let normal = if (fits || signed) && !has_bcc {
        let eight_bit = !body.is_ascii();
        let has_body = header.body.is_some();
        let mut bytes = bytes;
        end_lines(&mut bytes, has_body);
        Normal { bytes, smtputf8, eight_bit, missing }
    } else {
        let kept = header.fields.iter().filter(|field| !is_bcc(field)).cloned().collect();
        let header = Header { fields: kept, ..header };
        let mut walk = Walk::new(&bytes, place, bare_lf.is_some());
        if signed {
            walk.copy(&header)
        } else {
            walk.message(&header)?
        }
        let has_body = header.body.is_some();
        let mut normal =
            Normal { smtputf8: smtputf8 || walk.utf8_header, eight_bit: walk.eight_bit, missing, bytes: walk.out };
        end_lines(&mut normal.bytes, has_body);
        normal
    };
    if normal.bytes.len() > MAX_MESSAGE {
        return Err(too_large(normal.bytes.len()));
    }
    Ok(normal)
}

/// Makes a message that is to be attached as message/rfc822 7-bit with short lines, without asking for the fields
/// of a message that is sent.
pub(super) fn nested(bytes: Vec<u8>) -> Result<Vec<u8>, InvalidMessage> {
    let place = Place { lead: 0 };
    let bare_lf = check_octets(&bytes, place)?;
    let bytes = if bare_lf.is_some() { with_crlf(&bytes) } else { bytes };
    if bytes.is_ascii() && long_line(&bytes).is_none() {
        return Ok(bytes);
    }
    let mut walk = Walk::new(&bytes, place, bare_lf.is_some());
    walk.nested()?;
    Ok(walk.out)
}

/// The text with CRLF line ends, whatever they were.
pub(super) fn text_line_ends(text: &str) -> Cow<'_, str> {
    if ends_lines_properly(text.as_bytes()) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + text.len() / 32 + 2);
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push_str("\r\n");
        let end = if rest[at..].starts_with("\r\n") { at + 2 } else { at + 1 };
        rest = &rest[end..];
    }
    out.push_str(rest);
    out.into()
}

/// Whether CR and LF stand only together.
pub(super) fn ends_lines_properly(bytes: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', b'\n', bytes).all(|at| match bytes[at] {
        b'\r' => bytes.get(at + 1) == Some(&b'\n'),
        _ => at > 0 && bytes[at - 1] == b'\r',
    })
}

/// Whether the header has a field of this name. Line ends may be CRLF or LF.
pub(super) fn carries(bytes: &[u8], name: &str) -> bool {
    let mut rest = bytes;
    loop {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        if line.is_empty() {
            return false;
        }
        if line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
            return true;
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

/// The recipients that To and Cc of a normalised message name, in order.
pub(super) fn listed_recipients(bytes: &[u8]) -> Result<Vec<Address>, InvalidMessage> {
    let mut recipients = addresses(bytes, "To")?;
    recipients.extend(addresses(bytes, "Cc")?);
    Ok(recipients)
}

/// The one author that From of a normalised message names.
pub(super) fn author(bytes: &[u8]) -> Result<Address, InvalidMessage> {
    let mut authors = addresses(bytes, "From")?;
    match (authors.pop(), authors.is_empty()) {
        (Some(author), true) => Ok(author),
        (None, _) => Err(InvalidMessage::new("From", "the field names no address")),
        (Some(_), false) => Err(InvalidMessage::new(
            "From",
            "the field names more than one author; hosts that check DMARC accept only one",
        )),
    }
}

fn addresses(bytes: &[u8], name: &str) -> Result<Vec<Address>, InvalidMessage> {
    let header = Header::parse(bytes).map_err(|_| InvalidMessage::new("raw", "the header cannot be read"))?;
    let mut found = Vec::new();
    for field in header.named(name) {
        found.extend(mailbox::listed(field.value).map_err(|rule| InvalidMessage::new(name, rule))?);
    }
    Ok(found)
}

/// Where a fault is told to stand: by line, which no change of line ends moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Lines in front that the user did not write.
    lead: usize,
}

impl Place {
    pub(super) fn fault(self, bytes: &[u8], at: usize, rule: &str) -> InvalidMessage {
        let before = &bytes[..at.min(bytes.len())];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        InvalidMessage::new("raw", format!("line {} {rule}", line.saturating_sub(self.lead).max(1)))
    }
}

/// Finds octets that mail cannot carry. Answers where the first LF without CR stands.
fn check_octets(bytes: &[u8], place: Place) -> Result<Option<usize>, InvalidMessage> {
    let mut bare_lf = None;
    for at in memchr::memchr3_iter(b'\r', b'\n', 0, bytes) {
        match bytes[at] {
            0 => {
                return Err(place.fault(
                    bytes,
                    at,
                    &format!("has a NUL (octet {at}); encode binary content as base64"),
                ));
            }
            b'\r' if bytes.get(at + 1) != Some(&b'\n') => {
                let rule = format!("has a CR that no LF follows (octet {at}); lines end in CRLF");
                return Err(place.fault(bytes, at, &rule));
            }
            b'\n' if bare_lf.is_none() && (at == 0 || bytes[at - 1] != b'\r') => bare_lf = Some(at),
            _ => {}
        }
    }
    Ok(bare_lf)
}

/// Every LF without CR becomes CRLF; a message that mixes both comes out the same.
fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32 + 16);
    let mut start = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        let line = &bytes[start..at];
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out
}

/// Ends the last line, and the header where only a header was given. Both canonical forms of DKIM do the same
/// (RFC 6376 §3.4.3, §3.4.4), so no signature minds.
fn end_lines(bytes: &mut Vec<u8>, has_body: bool) {
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    if !has_body {
        bytes.extend_from_slice(b"\r\n");
    }
}

/// The rules of a header that is sent.
fn check_header(header: &Header<'_>, bytes: &[u8], place: Place) -> Result<(), InvalidMessage> {
    if let Some(field) = header.fields.iter().find(|field| std::str::from_utf8(field.value).is_err()) {
        let rule = "has octets that are not UTF-8; write other text as encoded words (RFC 2047)";
        return Err(InvalidMessage::new(field.name, place.fault(bytes, field.range.start, rule).rule));
    }
    if header.named("Return-Path").next().is_some() {
        return Err(InvalidMessage::new("Return-Path", RETURN_PATH));
    }
    if header.named("From").next().is_none() {
        return Err(InvalidMessage::new("From", "the field is missing"));
    }
    check_repeated(header)
}

/// The names that the DKIM signatures cover (RFC 6376 §3.5, `h=`): a covered field that is missing was signed as
/// missing, and adding it would break the signature.
fn covered_names(header: &Header<'_>) -> Vec<String> {
    header
        .named("DKIM-Signature")
        .filter_map(|field| std::str::from_utf8(field.value).ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|tag| tag.split_once('='))
        .filter(|(name, _)| name.trim() == "h")
        .flat_map(|(_, names)| names.split(':'))
        .map(|name| name.trim().to_string())
        .collect()
}

pub(super) fn too_large(len: usize) -> InvalidMessage {
    let megabytes = len.div_ceil(1024 * 1024);
    InvalidMessage::new(
        "message",
        format!("{megabytes} MiB; hosts take no more than {} MiB", MAX_MESSAGE / 1024 / 1024),
    )
}
