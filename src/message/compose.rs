//! A checked message, and the content that goes out for it.
//!
//! Everything is written and checked when the message is built; composing adds what the stamp brings and copies the
//! content once, into the one allocation that the store and every conversation share.

use std::fmt;
use std::sync::Arc;

use mail_send::mail_builder::headers::date::Date;

use super::builder::{MessageBuilder, Options};
use super::content;
use super::fingerprint::Fingerprint;
use super::headers::InvalidMessage;
use super::normalise::{self, MAX_MESSAGE, Missing, Normal};
use crate::address::Address;
use crate::store::Stream;
use crate::time::Timestamp;

/// What is added where it is missing.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) date: Timestamp,
    /// Without angle brackets; used only where the message has none.
    pub(crate) message_id: String,
}

/// A message fit for any host. It has CRLF line ends only and ends with one.
#[derive(Debug, Clone)]
pub(crate) struct Composed {
    pub(crate) bytes: Arc<[u8]>,
    /// Raw UTF-8 in a header: SMTPUTF8 is needed, whatever the addresses are.
    pub(crate) smtputf8: bool,
    /// Octets above 127 in the body that may not be re-encoded (the message was signed before).
    pub(crate) eight_bit: bool,
}

/// A message to be sent: built by [`Message::builder`], or given as bytes by [`Message::raw`]. Checked and complete.
///
/// # What is changed
///
/// - Date, Message-ID and MIME-Version are added at the top where they are missing; one that is there is kept.
/// - Bcc fields are removed. Their addresses are not delivered to, unless they are given by
///   [`bcc`](MessageBuilder::bcc).
/// - Line ends become CRLF, also where a message mixes CRLF and LF; the last line is ended.
/// - Parts with octets above 127 or with lines of more than 998 octets are re-encoded, as quoted-printable or
///   base64, so that no host on the way has a reason to do it after the message was signed. Long lines of the header
///   are folded.
///
/// A message that carries DKIM-Signature is not changed but for fields added in front (and none that the signature
/// covers as missing) and Bcc fields that it does not cover. Signed and encrypted parts (RFC 1847) are left as they
/// are. Octets above 127 in them ask for a host that offers 8BITMIME, UTF-8 in a header for one that offers SMTPUTF8.
///
/// # What is refused
///
/// A NUL, a CR without LF, a line that is too long and may not be re-encoded, a Return-Path field, a field that is
/// there twice, no author or several, no recipient or more than 1,000, more than 50 MiB: each with the line or field
/// and the rule.
///
/// ```
/// use returnpath::Message;
///
/// let message = Message::raw("From: news@example.org\nTo: ann@example.net\nSubject: Hello\n\nHello, Ann.\n")
///     .tag("subscriber-17")
///     .build()?;
/// assert_eq!(message.recipients(), ["ann@example.net"]);
///
/// let error = Message::raw(&b"From: news@example.org\r\n\r\nHello\rAnn"[..]).to("ann@example.net").build().unwrap_err();
/// assert_eq!(error.to_string(), "raw: line 3 has a CR that no LF follows (octet 31); lines end in CRLF");
/// # Ok::<(), returnpath::Error>(())
/// ```
#[derive(Clone)]
pub struct Message {
    pub(crate) options: Options,
    /// Shared between clones; `Arc<[u8]>` would cost a copy here that composing makes anyway.
    bytes: Arc<Vec<u8>>,
    smtputf8: bool,
    eight_bit: bool,
    missing: Missing,
    author_domain: Box<str>,
    fingerprint: [u8; 32],
}

impl Message {
    /// Begins a message.
    pub fn builder() -> MessageBuilder {
        MessageBuilder::default()
    }

    /// Begins with a whole message as bytes (RFC 5322), for example what another library formatted.
    ///
    /// The recipients are those of its To and Cc fields unless some are given. `tag`, `mailing` and the other options
    /// are the same as for a built message; `header`, `reply_to`, `list_id` and `auto_submitted` add fields in front;
    /// `subject`, `text`, `html` and `attachment` are refused.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> MessageBuilder {
        MessageBuilder { raw: Some(bytes.into()), ..MessageBuilder::default() }
    }

    /// A whole message as bytes, to the recipients of its To and Cc fields, without options.
    ///
    /// ```
    /// use returnpath::Message;
    ///
    /// let formatted = b"From: news@example.org\r\nTo: Ann <ann@example.net>\r\n\r\nHello\r\n".to_vec();
    /// assert_eq!(Message::from_rfc5322(formatted)?.recipients(), ["ann@example.net"]);
    /// # Ok::<(), returnpath::Error>(())
    /// ```
    pub fn from_rfc5322(bytes: impl Into<Vec<u8>>) -> Result<Message, crate::Error> {
        Message::raw(bytes).build()
    }

    /// Who it is delivered to, each once, in the order given: To, Cc, Bcc.
    pub fn recipients(&self) -> &[Address] {
        &self.options.recipients
    }

    /// Octets of the content, but for the few fields that are added at sending.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The domain of the author, by which the return-path domain is chosen.
    pub(crate) fn author_domain(&self) -> &str {
        &self.author_domain
    }

    /// A hash over everything that was given, for the idempotency key.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The content that goes out, complete but for what is prepended per delivery.
    pub(crate) fn compose(&self, stamp: &Stamp) -> Result<Composed, InvalidMessage> {
        let mut added = String::new();
        if self.missing.date {
            let date = Date::new(stamp.date.as_millis().div_euclid(1000)).to_rfc822();
            added.push_str(&format!("Date: {date}\r\n"));
        }
        if self.missing.message_id {
            added.push_str(&format!("Message-ID: <{}>\r\n", stamp.message_id));
        }
        if self.missing.mime_version {
            added.push_str("MIME-Version: 1.0\r\n");
        }
        let len = added.len() + self.bytes.len();
        if len > MAX_MESSAGE {
            return Err(normalise::too_large(len));
        }
        // Zeroed first: the safe way to a shared slice of known length without a second copy of the content.
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
        let whole = Arc::get_mut(&mut bytes).expect("nobody else has it yet");
        let (front, rest) = whole.split_at_mut(added.len());
        front.copy_from_slice(added.as_bytes());
        rest.copy_from_slice(&self.bytes);
        Ok(Composed { bytes, smtputf8: self.smtputf8, eight_bit: self.eight_bit })
    }
}

/// Shows no content: messages are private, and logs are not.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("options", &self.options)
            .field("octets", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl TryFrom<MessageBuilder> for Message {
    type Error = InvalidMessage;

    fn try_from(mut given: MessageBuilder) -> Result<Message, InvalidMessage> {
        check_content(&mut given);
        InvalidMessage::joined(std::mem::take(&mut given.problems))?;
        let fingerprint = fingerprint(&given);
        let raw = given.raw.take();
        let (normal, author) = match raw {
            Some(raw) => from_raw(&given, raw)?,
            None => {
                let normal = normalise::normalise(content::write(&given, &fingerprint), 0)?;
                let author = given.from.take().map(|from| from.address);
                (normal, author.ok_or_else(|| InvalidMessage::new("from", "the author is missing"))?)
            }
        };
        let mut options = given.options;
        let chosen = given.to.into_iter().chain(given.cc).chain(given.bcc).map(|mailbox| mailbox.address);
        options.recipients = once_each(chosen);
        if options.recipients.is_empty() {
            options.recipients = once_each(normalise::listed_recipients(&normal.bytes)?);
        }
        match options.recipients.len() {
            0 => return Err(InvalidMessage::new("to", "there is no recipient")),
            1..=MAX_RECIPIENTS => {}
            many => {
                let rule = format!("{many} recipients; at most {MAX_RECIPIENTS} in one message, send several");
                return Err(InvalidMessage::new("to", rule));
            }
        }
        Ok(Message {
            options,
            smtputf8: normal.smtputf8,
            eight_bit: normal.eight_bit,
            missing: normal.missing,
            bytes: Arc::new(normal.bytes),
            author_domain: author.domain().into(),
            fingerprint,
        })
    }
}

impl TryFrom<Vec<u8>> for Message {
    type Error = InvalidMessage;

    fn try_from(bytes: Vec<u8>) -> Result<Message, InvalidMessage> {
        Message::raw(bytes).try_into()
    }
}

impl TryFrom<&[u8]> for Message {
    type Error = InvalidMessage;

    fn try_from(bytes: &[u8]) -> Result<Message, InvalidMessage> {
        Message::raw(bytes).try_into()
    }
}

impl TryFrom<&str> for Message {
    type Error = InvalidMessage;

    fn try_from(text: &str) -> Result<Message, InvalidMessage> {
        Message::raw(text).try_into()
    }
}

impl TryFrom<String> for Message {
    type Error = InvalidMessage;

    fn try_from(text: String) -> Result<Message, InvalidMessage> {
        Message::raw(text).try_into()
    }
}

/// The rules that concern several settings together.
fn check_content(given: &mut MessageBuilder) {
    let told = |given: &MessageBuilder, field: &str| given.problems.iter().any(|problem| problem.field == field);
    if given.raw.is_some() {
        let content = [
            ("subject", given.subject.is_some()),
            ("text", given.text.is_some()),
            ("html", given.html.is_some()),
            ("attachment", !given.attachments.is_empty()),
        ];
        for (field, _) in content.into_iter().filter(|(_, present)| *present) {
            given.problem(field, "a raw message brings its own content");
        }
        return;
    }
    let texts = [&given.text, &given.html].into_iter().flatten().map(String::len);
    let octets = texts.chain(given.attachments.iter().map(|file| file.bytes.len())).sum();
    if octets > MAX_MESSAGE {
        given.problems.push(normalise::too_large(octets));
    }
    if given.from.is_none() && !told(given, "from") {
        given.problem("from", "the author is missing");
    }
    let recipients = given.to.len() + given.cc.len() + given.bcc.len();
    if recipients == 0 && !["to", "cc", "bcc"].iter().any(|field| told(given, field)) {
        given.problem("to", "there is no recipient");
    }
    let files = given.attachments.is_empty() && !told(given, "attachment");
    if given.subject.is_none() && given.text.is_none() && given.html.is_none() && files {
        given.problem("text", "the message is empty: give it a subject, a text, HTML or a file");
    }
}

/// Normalises a raw message behind the fields that are given beside it.
fn from_raw(given: &MessageBuilder, raw: Vec<u8>) -> Result<(Normal, Address), InvalidMessage> {
    if raw.is_empty() {
        return Err(InvalidMessage::new("raw", "the message is empty"));
    }
    let mut front = Vec::new();
    if let Some(from) = &given.from
        && !normalise::carries(&raw, "From")
    {
        content::write_mailboxes("From", std::slice::from_ref(from), &mut front);
    }
    content::write_beside(given, &mut front);
    let normal = if front.is_empty() {
        normalise::normalise(raw, 0)?
    } else {
        let lead = memchr::memchr_iter(b'\n', &front).count();
        front.extend_from_slice(&raw);
        normalise::normalise(front, lead)?
    };
    let author = normalise::author(&normal.bytes)?;
    Ok((normal, author))
}

fn once_each(addresses: impl IntoIterator<Item = Address>) -> Vec<Address> {
    let mut seen = std::collections::HashSet::new();
    addresses.into_iter().filter(|address| seen.insert(address.clone())).collect()
}

fn fingerprint(given: &MessageBuilder) -> [u8; 32] {
    let MessageBuilder {
        raw,
        from,
        to,
        cc,
        bcc,
        reply_to,
        subject,
        text,
        html,
        attachments,
        fields,
        options,
        problems: _,
    } = given;
    let Options {
        recipients: _,
        tag,
        metadata,
        mailing,
        stream,
        deadline,
        not_before,
        idempotency_key: _,
        return_domain,
    } = options;
    let mut hash = Fingerprint::new();
    hash.add_option(raw.as_ref());
    for list in [from.as_slice(), to, cc, bcc, reply_to] {
        hash.add((list.len() as u64).to_be_bytes());
        for mailbox in list {
            hash.add_option(mailbox.name.as_ref());
            hash.add(mailbox.address.as_str());
        }
    }
    for text in [subject, text, html] {
        hash.add_option(text.as_ref());
    }
    hash.add((attachments.len() as u64).to_be_bytes());
    for file in attachments {
        hash.add_list([file.name.as_bytes(), file.media_type.as_bytes(), &file.bytes]);
    }
    hash.add((fields.len() as u64).to_be_bytes());
    for (name, value) in fields {
        hash.add_list([name, value]);
    }
    hash.add_option(tag.as_ref().map(|tag| tag.as_bytes()));
    hash.add_option(metadata.as_ref());
    hash.add_option(mailing.as_ref());
    hash.add(match stream {
        Stream::Transactional => "transactional",
        Stream::Bulk => "bulk",
    });
    hash.add_option(deadline.map(|deadline| deadline.as_nanos().to_be_bytes()));
    hash.add_option(not_before.map(|time| time.as_millis().to_be_bytes()));
    hash.add_option(return_domain.as_ref());
    hash.finish()
}

/// In one message: each recipient is a row of the one transaction that queues it, and a failure of that transaction
/// is a failure of all. RFC 5321 §4.5.3.1.10 asks hosts for 100.
const MAX_RECIPIENTS: usize = 1_000;
