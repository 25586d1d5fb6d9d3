//! Writes the content of a built message: its header fields and its MIME parts, through mail-builder.
//!
//! What mail-builder adds by itself (Date, Message-ID, boundaries that change with every call) is not wanted: the
//! first two come with the stamp, and the boundary is made from the fingerprint, so that the same message is the
//! same octets whenever it is written.

use encodify::{Fold, rfc2047};
use mail_send::mail_builder::headers::address::Address as AddressValue;
use mail_send::mail_builder::headers::content_type::ContentType;
use mail_send::mail_builder::headers::raw::Raw;
use mail_send::mail_builder::headers::text::Text;
use mail_send::mail_builder::headers::{Header as _, HeaderType};
use mail_send::mail_builder::mime::{BodyPart, MimePart};

use super::headers::InvalidMessage;
use super::mailbox::Mailbox;
use super::{builder::MessageBuilder, normalise};

/// A file beside the text.
#[derive(Debug, Clone)]
pub(super) struct Attachment {
    pub(super) name: String,
    /// Checked: `type/subtype`, perhaps with parameters, in printable ASCII.
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

impl Attachment {
    pub(super) fn new(name: String, media_type: String, bytes: Vec<u8>) -> Result<Attachment, InvalidMessage> {
        let refuse = |rule: String| Err(InvalidMessage::new("attachment", rule));
        if name.is_empty() || name.chars().count() > MAX_FILE_NAME || name.chars().any(char::is_control) {
            return refuse(format!("the name must have 1 to {MAX_FILE_NAME} characters and no control character"));
        }
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let token = |token: &str| !token.is_empty() && token.bytes().all(is_token);
        if !essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype)) {
            return refuse(format!("{name:?}: the media type is not of the form `type/subtype`"));
        }
        if media_type.len() > MAX_MEDIA_TYPE || !media_type.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return refuse(format!(
                "{name:?}: the media type is not {MAX_MEDIA_TYPE} printable ASCII characters or less"
            ));
        }
        if essence.starts_with("multipart/") {
            return refuse(format!(
                "{name:?}: a multipart cannot be attached as it is; give it within a message/rfc822"
            ));
        }
        let bytes = if essence == "message/rfc822" {
            normalise::nested(bytes).map_err(|error| InvalidMessage::new("attachment", format!("{name:?}: {error}")))?
        } else {
            bytes
        };
        let parameters = media_type.find(';').map_or("", |at| &media_type[at..]);
        Ok(Attachment { name, media_type: format!("{essence}{parameters}"), bytes })
    }

    fn part(&self) -> MimePart<'_> {
        let disposition = ContentType::new("attachment").attribute("filename", self.name.as_str());
        let part =
            MimePart::new(ContentType::new(self.media_type.as_str()), BodyPart::Binary((&self.bytes[..]).into()))
                .header("Content-Disposition", disposition);
        if self.media_type.starts_with("message/rfc822") {
            let label = if self.bytes.is_ascii() { "7bit" } else { "8bit" };
            return part.transfer_encoding(label);
        }
        // mail-builder leaves a bare CR in a text file where it is; mail cannot carry it.
        let carried = self.media_type.starts_with("text/") && memchr::memchr2(b'\r', 0, &self.bytes).is_none();
        if carried || !self.media_type.starts_with("text/") {
            return part;
        }
        let encoded = encodify::base64::MIME.encode(&self.bytes);
        MimePart { contents: BodyPart::Binary(encoded.into_bytes().into()), ..part.transfer_encoding("base64") }
    }
}

/// Writes the whole content: the header fields, then the parts.
pub(super) fn write(message: &MessageBuilder, fingerprint: &[u8; 32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(estimate(message));
    if let Some(from) = &message.from {
        write_mailboxes("From", std::slice::from_ref(from), &mut out);
    }
    if message.to.is_empty() && message.cc.is_empty() {
        // Nobody is shown; without this some filters take the message for a broken one.
        out.extend_from_slice(b"To: undisclosed-recipients:;\r\n");
    }
    write_mailboxes("To", &message.to, &mut out);
    write_mailboxes("Cc", &message.cc, &mut out);
    if let Some(subject) = &message.subject {
        write_subject(subject, &mut out);
    }
    write_beside(message, &mut out);
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    parts(message, fingerprint).write_part(&mut out);
    out
}

/// Writes the fields that may stand beside a raw message too: Reply-To and the application's own.
pub(super) fn write_beside(message: &MessageBuilder, out: &mut Vec<u8>) {
    write_mailboxes("Reply-To", &message.reply_to, out);
    for (name, value) in &message.fields {
        write_text(name, value, out);
    }
}

/// Writes an address field, if there is anything to list.
pub(super) fn write_mailboxes(name: &str, mailboxes: &[Mailbox], out: &mut Vec<u8>) {
    if mailboxes.is_empty() {
        return;
    }
    let list =
        mailboxes.iter().map(|mailbox| AddressValue::new_address(mailbox.name.as_deref(), mailbox.address.as_str()));
    write_field(name, AddressValue::new_list(list.collect()).into(), out);
}

/// Writes the Subject field so that it reads back as it was given.
fn write_subject(subject: &str, out: &mut Vec<u8>) {
    let words_fit = subject.split([' ', '\t']).all(|word| word.len() <= MAX_PLAIN_WORD);
    if subject.is_ascii() && subject.contains("=?") {
        // Left as it is, this would be taken for an encoded word.
        out.extend_from_slice(b"Subject: ");
        rfc2047::Q_TEXT.encode_words("us-ascii", subject, &mut "Subject: ".len(), Fold::HEADER, out);
        out.extend_from_slice(b"\r\n");
    } else if subject.is_ascii() && words_fit {
        write_field("Subject", Raw::new(subject).into(), out);
    } else {
        write_field("Subject", Text::new(subject).into(), out);
    }
}

/// Writes a field of the application's own: as it is where it is ASCII, else as encoded words.
fn write_text(name: &str, text: &str, out: &mut Vec<u8>) {
    let value = if text.is_ascii() { Raw::new(text).into() } else { Text::new(text).into() };
    write_field(name, value, out);
}

fn write_field(name: &str, value: HeaderType<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value.write_header(out, name.len() + 2);
}

/// The text, its HTML alternative, and the files beside them.
fn parts<'m>(message: &'m MessageBuilder, fingerprint: &[u8; 32]) -> MimePart<'m> {
    let text = message.text.as_deref().map(|text| MimePart::new("text/plain", normalise::text_line_ends(text)));
    let html = message.html.as_deref().map(|html| MimePart::new("text/html", normalise::text_line_ends(html)));
    let body = match (text, html) {
        (Some(text), Some(html)) => Some(multipart("alternative", vec![text, html], fingerprint)),
        (text, html) => text.or(html),
    };
    if message.attachments.is_empty() {
        return body.unwrap_or_else(|| MimePart::new("text/plain", ""));
    }
    multipart("mixed", body.into_iter().chain(message.attachments.iter().map(Attachment::part)).collect(), fingerprint)
}

fn multipart<'m>(subtype: &str, parts: Vec<MimePart<'m>>, fingerprint: &[u8; 32]) -> MimePart<'m> {
    // `=_` stands in no base64 and no quoted-printable line, and nobody can write a text that holds the hash of
    // itself.
    let hash: String = fingerprint[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let kind = ContentType::new(format!("multipart/{subtype}")).attribute("boundary", format!("=_{subtype}_{hash}"));
    MimePart::new(kind, parts)
}

/// About how many octets the content will have, so that it is written into one allocation.
fn estimate(message: &MessageBuilder) -> usize {
    let texts = [&message.text, &message.html].into_iter().flatten().map(|text| text.len() + text.len() / 8 + 256);
    let files = message.attachments.iter().map(|file| file.bytes.len() / 3 * 4 + file.bytes.len() / 32 + 512);
    let shown = (message.to.len() + message.cc.len()) * 64;
    1024 + shown + texts.sum::<usize>() + files.sum::<usize>()
}

/// RFC 2045 §5.1 `token`.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

/// In octets: a longer word of a subject is broken up by encoded words.
const MAX_PLAIN_WORD: usize = 200;
/// In characters; file systems of receivers take no more.
const MAX_FILE_NAME: usize = 255;
/// In octets: it stays on one line of a header field, which is not folded within a media type.
const MAX_MEDIA_TYPE: usize = 255;
