//! What the user writes: the builder of a message, and the rule of each of its settings.
//!
//! No method fails: what is wrong is collected and told by [`MessageBuilder::build`], all of it at once. What a
//! header field of the application's own may be is `custom`'s matter, how the content is written `content`'s, what bytes
//! given as a message must look like `normalise`'s.

use std::fmt::Display;
use std::time::Duration;

use super::content::Attachment;
use super::custom::{self, CONTROL_IN_VALUE};
use super::headers::InvalidMessage;
use super::mailbox::{IntoMailboxes, Mailbox};
use crate::address::{Address, InvalidAddress, domain_to_ascii};
use crate::store::Stream;
use crate::tag::Tag;
use crate::time::Timestamp;

/// Builds a [`Message`](super::Message).
///
/// Its methods never fail; [`build`](MessageBuilder::build), or `Mailer::send`, which takes a builder as it is, tells
/// everything that is wrong at once, each with the name of the method or field and the rule.
///
/// ```
/// use returnpath::Message;
///
/// let message = Message::builder()
///     .from("News, daily <news@example.org>")
///     .to("ann@example.net")
///     .subject("Grüße")
///     .text("Hello")
///     .html("<p>Hello</p>")
///     .tag(4711)
///     .mailing("2026-11")
///     .build()?;
/// assert_eq!(message.recipients(), ["ann@example.net"]);
///
/// let error = Message::builder().to("ann").subject("a\r\nBcc: eve@example.com").build().unwrap_err();
/// assert!(error.is_message());
/// assert_eq!(
///     error.to_string(),
///     "to: address \"ann\": there is no `@`; \
///      subject: has a line break or another control character (this would inject header fields); \
///      from: the author is missing"
/// );
/// # Ok::<(), returnpath::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is built or sent"]
pub struct MessageBuilder {
    /// The message as bytes; everything else is then beside it.
    pub(super) raw: Option<Vec<u8>>,
    pub(super) from: Option<Mailbox>,
    pub(super) to: Vec<Mailbox>,
    pub(super) cc: Vec<Mailbox>,
    pub(super) bcc: Vec<Mailbox>,
    pub(super) reply_to: Vec<Mailbox>,
    pub(super) subject: Option<String>,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) attachments: Vec<Attachment>,
    /// Custom fields, name and value.
    pub(super) fields: Vec<(String, String)>,
    pub(super) options: Options,
    pub(super) problems: Vec<InvalidMessage>,
}

/// What is not content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// In the order given, each once.
    pub(crate) recipients: Vec<Address>,
    pub(crate) tag: Option<Tag>,
    /// JSON.
    pub(crate) metadata: Option<String>,
    pub(crate) mailing: Option<String>,
    pub(crate) stream: Stream,
    pub(crate) deadline: Option<Duration>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) idempotency_key: Option<String>,
    /// In lower case and as an A-label.
    pub(crate) return_domain: Option<String>,
}

/// Who it is from and to.
impl MessageBuilder {
    /// The author: one mailbox, `news@example.org` or `News <news@example.org>`.
    ///
    /// This is the From field. The envelope sender is always a sealed return path; its domain is chosen by the
    /// domain of this address unless [`return_domain`](MessageBuilder::return_domain) says otherwise. On a
    /// [raw](super::Message::raw) message it is added only where the From field is missing.
    pub fn from(mut self, author: impl IntoMailboxes) -> MessageBuilder {
        let mut given = Vec::new();
        self.take("from", author, &mut given);
        if given.len() > 1 || (self.from.is_some() && !given.is_empty()) {
            self.problem("from", "more than one author is given; hosts that check DMARC accept only one");
        }
        self.from = given.pop().or(self.from);
        self
    }

    /// Adds recipients, shown in the To field with their names. Each recipient gets a delivery, a return path and
    /// events of its own; one that is given twice gets the message once. At most 1,000 in all.
    ///
    /// On a [raw](super::Message::raw) message the first recipient given here, by [`cc`](MessageBuilder::cc) or by
    /// [`bcc`](MessageBuilder::bcc) replaces all that its To and Cc fields name; the fields stay as they are.
    pub fn to(mut self, recipients: impl IntoMailboxes) -> MessageBuilder {
        let mut given = std::mem::take(&mut self.to);
        self.take("to", recipients, &mut given);
        self.to = given;
        self
    }

    /// Adds recipients that are shown in the Cc field.
    pub fn cc(mut self, recipients: impl IntoMailboxes) -> MessageBuilder {
        let mut given = std::mem::take(&mut self.cc);
        self.take("cc", recipients, &mut given);
        self.cc = given;
        self
    }

    /// Adds recipients that are delivered to and never shown to anybody.
    pub fn bcc(mut self, recipients: impl IntoMailboxes) -> MessageBuilder {
        let mut given = std::mem::take(&mut self.bcc);
        self.take("bcc", recipients, &mut given);
        self.bcc = given;
        self
    }

    /// Where answers of people go instead of to the author: the Reply-To field.
    pub fn reply_to(mut self, mailboxes: impl IntoMailboxes) -> MessageBuilder {
        let mut given = std::mem::take(&mut self.reply_to);
        self.take("reply_to", mailboxes, &mut given);
        self.reply_to = given;
        self
    }
}

/// What it says.
impl MessageBuilder {
    /// The Subject field: one line of text, written as encoded words (RFC 2047) where it is not ASCII.
    pub fn subject(mut self, subject: impl Into<String>) -> MessageBuilder {
        let subject = subject.into();
        if custom::has_control(&subject) {
            self.problem("subject", CONTROL_IN_VALUE);
        }
        self.subject = Some(subject.trim().into());
        self
    }

    /// The text for people who read no HTML. Line ends of every kind become CRLF.
    pub fn text(mut self, text: impl Into<String>) -> MessageBuilder {
        let text = text.into();
        self.check_no_nul("text", &text);
        self.text = Some(text);
        self
    }

    /// The HTML text. With [`text`](MessageBuilder::text) both go as alternatives of each other.
    pub fn html(mut self, html: impl Into<String>) -> MessageBuilder {
        let html = html.into();
        self.check_no_nul("html", &html);
        self.html = Some(html);
        self
    }

    /// Adds a file: its name, its media type (`application/pdf`), its bytes.
    ///
    /// A `message/rfc822` attachment is a message itself: it is checked and made 7-bit as one, since it may not be
    /// encoded (RFC 2046 §5.2.1).
    pub fn attachment(
        mut self,
        name: impl Into<String>,
        media_type: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> MessageBuilder {
        match Attachment::new(name.into(), media_type.into(), bytes.into()) {
            Ok(attachment) => self.attachments.push(attachment),
            Err(problem) => self.problems.push(problem),
        }
        self
    }

    /// Adds a header field of the application's own.
    ///
    /// An ASCII value is written as it is, folded at its spaces; any other is written as encoded words. The fields
    /// that have a method of their own, that describe the content, or that belong to the way of a message
    /// (`Return-Path`, `Received`, `DKIM-Signature`) are refused.
    ///
    /// ```
    /// use returnpath::Message;
    ///
    /// let draft = || Message::builder().from("news@example.org").to("ann@example.net").text("Hello");
    /// assert!(draft().header("X-Campaign", "spring").build().is_ok());
    ///
    /// let error = draft().header("Return-Path", "<bounces@example.org>").build().unwrap_err();
    /// assert!(error.to_string().starts_with("Return-Path: "));
    /// let error = draft().header("X-Name", "Ann\r\nBcc: eve@example.com").build().unwrap_err();
    /// assert!(error.to_string().starts_with("X-Name: has a line break"));
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> MessageBuilder {
        self.field(custom::field(name.into(), value.into()));
        self
    }

    /// Says that a program made this message (RFC 3834, RFC 5436): `auto-generated`, `auto-replied` or
    /// `auto-notified`; `no` says the contrary. Vacation programs do not answer what is marked so.
    pub fn auto_submitted(mut self, keyword: impl AsRef<str>) -> MessageBuilder {
        self.field(custom::auto_submitted(keyword.as_ref()));
        self
    }

    /// The list that this message belongs to (RFC 2919): `news.example.org`, or
    /// `Daily news <news.example.org>` with a description that is ASCII.
    pub fn list_id(mut self, id: impl AsRef<str>) -> MessageBuilder {
        self.field(custom::list_id(id.as_ref()));
        self
    }
}

/// What comes back with it, and how it is sent.
impl MessageBuilder {
    /// The application's own identifier, at most 16 bytes: a number, a UUID, a short text. It comes back with every
    /// event, and where it fits it travels in the return path itself.
    pub fn tag<T: TryInto<Tag, Error: Display>>(mut self, tag: T) -> MessageBuilder {
        match tag.try_into() {
            Ok(tag) => self.options.tag = Some(tag),
            Err(error) => {
                // The crate's own error names the field already.
                let text = error.to_string();
                self.problem("tag", text.strip_prefix("tag: ").unwrap_or(&text));
            }
        }
        self
    }

    /// Any JSON, at most 4 KiB when it is written out and nested at most 64 deep; it is stored and comes back with every event.
    ///
    /// ```
    /// use returnpath::Message;
    ///
    /// let draft = || Message::builder().from("shop@example.org").to("ann@example.net").text("Thank you");
    /// assert!(draft().metadata(serde_json::json!({ "order": 17, "shop": "north" })).build().is_ok());
    /// assert!(draft().metadata("x".repeat(5_000)).build().unwrap_err().to_string().starts_with("metadata: "));
    /// ```
    pub fn metadata(mut self, metadata: impl Into<serde_json::Value>) -> MessageBuilder {
        let metadata = metadata.into();
        let json = metadata.to_string();
        if json.len() > MAX_METADATA {
            self.problem("metadata", format!("{} bytes of JSON; at most {MAX_METADATA} are stored", json.len()));
        } else if depth(&metadata) > MAX_METADATA_DEPTH {
            self.problem(
                "metadata",
                format!("arrays and objects stand more than {MAX_METADATA_DEPTH} deep in each other"),
            );
        } else {
            self.options.metadata = Some(json);
        }
        self
    }

    /// The mailing (campaign) that this message belongs to: reports count by it. At most 128 characters.
    pub fn mailing(mut self, mailing: impl Into<String>) -> MessageBuilder {
        let mailing = mailing.into();
        if mailing.is_empty() || mailing.chars().count() > MAX_MAILING || mailing.chars().any(char::is_control) {
            self.problem("mailing", format!("must have 1 to {MAX_MAILING} characters and no control character"));
        } else {
            self.options.mailing = Some(mailing);
        }
        self
    }

    /// The stream: [`Stream::Transactional`] (the default), or [`Stream::Bulk`], which is tried for a shorter time.
    pub fn stream(mut self, stream: Stream) -> MessageBuilder {
        self.options.stream = stream;
        self
    }

    /// Give up this long after the message was queued, even if that means not a single attempt. The default is the
    /// time that the stream is tried for.
    pub fn deadline(mut self, after: Duration) -> MessageBuilder {
        if after.is_zero() {
            self.problem("deadline", "is zero; the message could never be sent");
        } else {
            self.options.deadline = Some(after);
        }
        self
    }

    /// Do not send before this time.
    pub fn not_before(mut self, time: impl Into<Timestamp>) -> MessageBuilder {
        self.options.not_before = Some(time.into());
        self
    }

    /// A name for this act of sending, 1 to 255 characters: the same key with the same content is sent once, and
    /// answered with the first receipt; the same key with other content is an error.
    ///
    /// Everything that was given counts as content, `not_before` and `deadline` too.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> MessageBuilder {
        let key = key.into();
        if key.is_empty() || key.chars().count() > MAX_KEY || key.chars().any(char::is_control) {
            self.problem("idempotency_key", format!("must have 1 to {MAX_KEY} characters and no control character"));
        } else {
            self.options.idempotency_key = Some(key);
        }
        self
    }

    /// Which of the mailer's domains the return path is to have.
    pub fn return_domain(mut self, domain: impl AsRef<str>) -> MessageBuilder {
        match domain_to_ascii(domain.as_ref()) {
            Ok(domain) => self.options.return_domain = Some(domain),
            Err(rule) => self.problem("return_domain", rule),
        }
        self
    }

    /// Checks everything and writes the content. The error tells all that is wrong.
    pub fn build(self) -> Result<super::Message, crate::Error> {
        Ok(super::Message::try_from(self)?)
    }
}

impl MessageBuilder {
    pub(super) fn problem(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.problems.push(InvalidMessage::new(field, rule));
    }

    /// Takes the mailboxes that are good, and remembers what is wrong with the others.
    fn take(&mut self, field: &str, given: impl IntoMailboxes, list: &mut Vec<Mailbox>) {
        let mut mailboxes: Vec<Result<Mailbox, InvalidAddress>> = Vec::new();
        given.add_to(&mut mailboxes);
        for mailbox in mailboxes {
            match mailbox {
                Err(error) => self.problem(field, error.to_string()),
                Ok(Mailbox { name: Some(name), .. }) if name.chars().any(char::is_control) => {
                    self.problem(field, CONTROL_IN_VALUE)
                }
                Ok(mailbox) => list.push(mailbox),
            }
        }
    }

    fn field(&mut self, checked: Result<(String, String), InvalidMessage>) {
        match checked {
            Ok(field) => self.fields.push(field),
            Err(problem) => self.problems.push(problem),
        }
    }

    fn check_no_nul(&mut self, field: &str, text: &str) {
        if let Some(at) = memchr::memchr(0, text.as_bytes()) {
            self.problem(field, format!("has a NUL at octet {at}, which mail cannot carry"));
        }
    }
}

/// How deep arrays and objects stand in each other.
fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(values) => 1 + values.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// In bytes of JSON: it is stored with every delivery and handed over with every event.
const MAX_METADATA: usize = 4096;
/// An event is JSON around it, and readers of JSON stop at some depth, ours at 127: what was written must be readable.
const MAX_METADATA_DEPTH: usize = 64;
/// In characters: it is the name of a line in a report.
const MAX_MAILING: usize = 128;
/// In characters: long enough for two UUIDs and a word, short enough for an index.
const MAX_KEY: usize = 255;
