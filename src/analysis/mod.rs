//! Reads what came back: which kind of mail it is, whom it speaks of, and what it says.
//!
//! Evidence is heard in this order: a machine-readable report (RFC 3464, RFC 6533, RFC 5965), header fields, plain
//! words. The kind follows from what the message contains, never from who seems to have sent it. The returned
//! original is kept apart from the first line on: it may hold a mark of ours, and it never speaks for the remote host.
//! Work is linear in the size of the message, memory is bounded, and whatever cannot be read is [`Kind::Other`].
//!
//! What the words and codes mean is decided by the same rules as a reply in a conversation, in [`verdict`](crate::verdict).

mod arf;
mod auto_reply;
mod body;
mod charset;
mod dialect;
mod dsn;
mod encoded_word;
#[cfg(test)]
mod field_cases;
#[cfg(test)]
mod field_refusals;
mod fields;
#[cfg(test)]
mod gallery;
#[cfg(test)]
mod general;
mod hint;
mod html;
mod labels;
mod letter;
mod listed;
mod mailbox;
mod original;
mod parts;
mod prose;
mod receipt;
mod rows;
mod scene;
mod signs;
mod status;
mod tnef;
mod transcript;
mod voice;

use std::fmt;

use aws_lc_rs::digest;

#[cfg(any(test, fuzzing))]
pub(crate) use dsn::read as read_groups;

use crate::time::Timestamp;
use crate::verdict::{AddressState, Advice, Evidence, Outcome, Reason, Rules, Source, Verdict};
pub use hint::Hint;
use letter::Letter;
use receipt::Receipt;

/// What kind of mail it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A message of ours was returned.
    Bounce,
    /// A remote host goes on trying.
    Delayed,
    /// A remote host reports success (delivered, relayed, expanded).
    Delivered,
    /// An automatic answer.
    AutoReply,
    /// A complaint or another feedback report (RFC 5965).
    Feedback,
    /// A person's answer.
    Reply,
    /// Anything else, and everything in doubt.
    Other,
}

impl Kind {
    /// The kind as one word: `bounce`, `delayed`, `delivered`, `autoreply`, `feedback`, `reply`, `other`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Bounce => "bounce",
            Kind::Delayed => "delayed",
            Kind::Delivered => "delivered",
            Kind::AutoReply => "autoreply",
            Kind::Feedback => "feedback",
            Kind::Reply => "reply",
            Kind::Other => "other",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What was found about one recipient.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// What this recipient's group says: a report may mix failures, delays and successes.
    pub kind: Kind,
    /// The failed address as the report names it: the final recipient, or the original one where that is no whole
    /// address. Neither need be the address that was sent to: an alias or a forwarder may stand between.
    pub recipient: Option<String>,
    /// The Original-Recipient field.
    pub original_recipient: Option<String>,
    /// The Final-Recipient field: with a forwarder, the forward target.
    pub final_recipient: Option<String>,
    /// The SMTP reply code that the report quotes; never invented.
    pub code: Option<u16>,
    /// Until when the reporting host goes on trying, if it says so (Will-Retry-Until).
    pub retries_until: Option<Timestamp>,
    /// What it means.
    pub verdict: Verdict,
}

impl Finding {
    /// What is said of a recipient elsewhere than in the fields of a delivery report.
    fn told(kind: Kind, recipient: Option<String>, verdict: Verdict) -> Finding {
        Finding {
            kind,
            recipient,
            original_recipient: None,
            final_recipient: None,
            code: None,
            retries_until: None,
            verdict,
        }
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Analysis {
    /// The kind of the whole.
    pub kind: Kind,
    /// One for each recipient that the report speaks of.
    pub findings: Vec<Finding>,
    /// Feedback-Type of a feedback report, in lower case: `abuse`, `not-spam`, `auth-failure` and others.
    pub feedback_type: Option<String>,
    /// What an automatic answer says about its mailbox; never a verdict.
    pub hint: Option<Hint>,
    /// The Subject, decoded.
    pub subject: Option<String>,
    /// Texts in the returned original that may hold a mark or a return path of ours: header values of Message-ID,
    /// Return-Path and the mark's field.
    pub(crate) traces: Vec<String>,
    /// Hash from the first field that is no trace field to the end: the same for a report that arrives twice.
    pub(crate) fingerprint: [u8; 32],
}

/// How a message is read.
///
/// ```
/// use returnpath::analysis::{Options, analyse, analyse_with};
///
/// let message = b"From: MAILER-DAEMON@mx.example.net\r\nSubject: Returned mail\r\n\r\n<ann@example.net>: no such user\r\n";
/// assert_eq!(analyse_with(message, &Options::default().without_dialects()).findings, analyse(message).findings);
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    dialects: bool,
    rules: Rules,
}

impl Options {
    /// Reads by general structure and prose only, without what is known of particular mail systems and the words of
    /// particular providers: for measuring how well a system is read that nobody has seen.
    #[must_use]
    pub fn without_dialects(mut self) -> Options {
        self.dialects = false;
        self.rules = self.rules.general();
        self
    }

    /// Judges by these rules; the built-in ones by default.
    #[must_use]
    pub fn rules(mut self, rules: Rules) -> Options {
        self.rules = if self.dialects { rules } else { rules.general() };
        self
    }
}

impl Default for Options {
    /// Everything that is known is used.
    fn default() -> Options {
        Options { dialects: true, rules: Rules::built_in() }
    }
}

/// Reads a message: RFC 5322 bytes with CRLF or LF line ends. Never fails: what cannot be read is [`Kind::Other`].
///
/// Of a message larger than 1 MiB the beginning is read.
///
/// ```
/// use returnpath::Reason;
/// use returnpath::analysis::{Kind, analyse};
///
/// let report = b"From: MAILER-DAEMON@mx.example.net\r\n\
///     Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
///     --b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
///     Reporting-MTA: dns; mx.example.net\r\n\r\n\
///     Final-Recipient: rfc822; ann@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n";
/// let analysis = analyse(report);
/// assert_eq!(analysis.kind, Kind::Bounce);
/// assert_eq!(analysis.findings[0].recipient.as_deref(), Some("ann@example.net"));
/// assert_eq!(analysis.findings[0].verdict.reason, Reason::UserUnknown);
/// assert!(analysis.findings[0].verdict.is_hard());
/// ```
pub fn analyse(message: &[u8]) -> Analysis {
    analyse_with(message, &Options::default())
}

/// Reads a message as [`analyse`] does, in the way that `options` say.
pub fn analyse_with(message: &[u8], options: &Options) -> Analysis {
    let parts = parts::split(message);
    let letter = Letter::new(&parts, options);
    let mut analysis = Analysis {
        kind: Kind::Other,
        findings: Vec::new(),
        feedback_type: None,
        hint: None,
        subject: letter.subject(),
        traces: letter.traces(),
        fingerprint: fingerprint(message),
    };
    if let Some(feedback) = letter.feedback() {
        analysis.kind = Kind::Feedback;
        analysis.findings = feedback.recipients.iter().map(|address| complaint(&feedback.kind, address)).collect();
        analysis.feedback_type = Some(feedback.kind);
        return analysis;
    }
    match letter.receipt() {
        Some(Receipt::Handled) => return analysis,
        Some(Receipt::Refused { recipient, reason }) => {
            analysis.kind = Kind::Bounce;
            analysis.findings.push(letter.finding_of_refusal(recipient, reason));
            return analysis;
        }
        None => {}
    }
    (analysis.kind, analysis.findings) = letter.read();
    if analysis.kind == Kind::AutoReply {
        analysis.hint = letter.hint();
    }
    analysis
}

/// The whole of several findings: what failed is what counts.
fn kind_of(findings: &[Finding]) -> Option<Kind> {
    [Kind::Bounce, Kind::Delayed, Kind::Delivered].into_iter().find(|kind| findings.iter().any(|f| f.kind == *kind))
}

/// A recipient's complaint. The message was delivered; what it says about the sender depends on the kind of report.
fn complaint(kind: &str, recipient: &str) -> Finding {
    let (reason, advice) = match kind {
        "not-spam" => (Reason::Undetermined, Advice::None),
        "auth-failure" => (Reason::Authentication, Advice::FixSender),
        "virus" => (Reason::Virus, Advice::FixSender),
        "opt-out" | "opt-out-list" => (Reason::Undetermined, Advice::Remove),
        _ => (Reason::Spam, Advice::Remove),
    };
    let verdict = Verdict {
        outcome: Outcome::Delivered,
        address: AddressState::Fine,
        advice,
        reason,
        status: None,
        evidence: Evidence {
            source: Source::DsnField,
            text: format!("Feedback-Type: {kind}"),
            rule: "report.feedback".into(),
            confidence: 1.0,
        },
    };
    Finding {
        original_recipient: Some(recipient.to_string()),
        ..Finding::told(Kind::Feedback, Some(recipient.to_string()), verdict)
    }
}

/// SHA-256 from the first field that no host on the way has put in front, to the end.
fn fingerprint(message: &[u8]) -> [u8; 32] {
    let mut start = 0;
    let mut at = 0;
    let mut in_trace = false;
    for line in message.split_inclusive(|b| *b == b'\n') {
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        in_trace = if continues { in_trace } else { is_trace_field(line) };
        if !in_trace {
            start = at;
            break;
        }
        at += line.len();
    }
    let hash = digest::digest(&digest::SHA256, message.get(start..).unwrap_or(message));
    hash.as_ref().try_into().unwrap_or([0; 32])
}

/// Fields that hosts put in front of a message as it passes.
fn is_trace_field(line: &[u8]) -> bool {
    const FIELDS: [&str; 10] = [
        "Return-Path",
        "Received",
        "Received-SPF",
        "Delivered-To",
        "X-Original-To",
        "DKIM-Signature",
        "ARC-Seal",
        "ARC-Message-Signature",
        "ARC-Authentication-Results",
        "Authentication-Results",
    ];
    FIELDS.iter().any(|name| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
            && line.get(name.len()..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
    })
}
