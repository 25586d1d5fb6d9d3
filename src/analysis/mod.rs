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
mod charset;
mod dsn;
#[cfg(test)]
mod field_cases;
mod fields;
mod mailbox;
mod original;
mod parts;
mod prose;
mod signs;

use std::fmt;

use aws_lc_rs::digest;

#[cfg(any(test, fuzzing))]
pub(crate) use dsn::read as read_groups;

use crate::time::Timestamp;
use crate::verdict::{
    AddressState, Advice, Evidence, Outcome, Reason, Reported, Source, Verdict, codes_in, judge_report,
};
use auto_reply::Automatic;
use dsn::Group;
use parts::Part;
use prose::{Mention, Setting};

/// How much of the reporting host's text is judged, in bytes.
const MAX_PROSE: usize = 8 * 1024;
/// How long a subject is kept, in bytes.
const MAX_SUBJECT: usize = 1024;
/// How many traces are kept.
const MAX_TRACES: usize = 64;

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
    /// The failed address as the report names it: the original recipient where it is named, else the final one.
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
    /// The Subject, decoded.
    pub subject: Option<String>,
    /// Texts in the returned original that may hold a mark or a return path of ours: header values of Message-ID,
    /// Return-Path and the mark's field.
    pub(crate) traces: Vec<String>,
    /// Hash from the first field that is no trace field to the end: the same for a report that arrives twice.
    pub(crate) fingerprint: [u8; 32],
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
    let parts = parts::split(message);
    let letter = Letter::new(&parts);
    let mut analysis = Analysis {
        kind: Kind::Other,
        findings: Vec::new(),
        feedback_type: None,
        subject: letter.subject.clone(),
        traces: letter.traces(),
        fingerprint: fingerprint(message),
    };
    if let Some(feedback) = letter.feedback() {
        analysis.kind = Kind::Feedback;
        analysis.findings = feedback.recipients.iter().map(|address| complaint(&feedback.kind, address)).collect();
        analysis.feedback_type = Some(feedback.kind);
        return analysis;
    }
    analysis.findings = letter.report_findings().unwrap_or_else(|| letter.prose_findings());
    analysis.kind = kind_of(&analysis.findings).unwrap_or_else(|| letter.kind_without_findings());
    analysis
}

/// The whole of several findings: what failed is what counts.
fn kind_of(findings: &[Finding]) -> Option<Kind> {
    [Kind::Bounce, Kind::Delayed, Kind::Delivered].into_iter().find(|kind| findings.iter().any(|f| f.kind == *kind))
}

/// A message, its parts told apart by who speaks in them.
struct Letter<'p, 'm> {
    parts: &'p [Part<'m>],
    subject: Option<String>,
    /// The text for people, without the returned original.
    prose: String,
    /// What followed it in the same text.
    tail: String,
}

impl<'p, 'm> Letter<'p, 'm> {
    fn new(parts: &'p [Part<'m>]) -> Letter<'p, 'm> {
        let subject = parts.first().and_then(|part| part.fields.text("Subject"));
        let mut prose = parts.iter().find(|part| part.is_prose()).map(Part::text).unwrap_or_default();
        let tail = prose.split_off(original::start_in_text(&prose));
        prose.truncate(prose.floor_char_boundary(MAX_PROSE));
        let subject = subject.map(|mut subject| {
            subject.truncate(subject.floor_char_boundary(MAX_SUBJECT));
            subject
        });
        Letter { parts, subject, prose, tail }
    }

    /// The feedback report, if the message is one.
    fn feedback(&self) -> Option<arf::Feedback> {
        let part = self.parts.iter().find(|part| part.media == "message/feedback-report")?;
        arf::read(&part.bytes())
    }

    /// What the delivery report says; `None` if there is none.
    fn report_findings(&self) -> Option<Vec<Finding>> {
        // The message itself and its text for people are no report, whatever they quote.
        let report =
            self.parts.iter().skip(2).find(|part| dsn::is_report(part)).or_else(|| {
                self.parts.iter().find(|part| part.media.starts_with("message/") && dsn::is_report(part))
            })?;
        let groups = dsn::read(&report.bytes());
        if groups.is_empty() {
            return None;
        }
        let single = groups.len() == 1;
        Some(groups.into_iter().map(|group| self.finding_of_group(group, single)).collect())
    }

    fn finding_of_group(&self, group: Group, single: bool) -> Finding {
        let full = |address: &&String| address.contains('@');
        let recipient = group
            .original_recipient
            .as_ref()
            .filter(full)
            .or(group.final_recipient.as_ref())
            .or(group.original_recipient.as_ref())
            .cloned();
        // What surrounds the address speaks of it; the explanations before and after speak of mail in general.
        let about = recipient.as_deref().map(|address| prose::about(&self.prose, address)).unwrap_or_default();
        let prose = if about.is_empty() && single { self.prose.clone() } else { about };
        let quoted = codes_in(&group.diagnostic).code.or_else(|| codes_in(&prose).code);
        let reported = Reported {
            outcome: group.outcome,
            code: None,
            status: group.status,
            diagnostic: group.diagnostic,
            prose,
            source: Some(Source::DsnField),
            retry_after: None,
        };
        let verdict = judge_report(&reported);
        Finding {
            kind: kind_of_outcome(verdict.outcome),
            recipient,
            original_recipient: group.original_recipient,
            final_recipient: group.final_recipient,
            code: quoted,
            retries_until: group.retries_until,
            verdict,
        }
    }

    /// What the plain words say; empty if they return no message.
    fn prose_findings(&self) -> Vec<Finding> {
        let Some(message) = self.parts.first() else { return Vec::new() };
        let report_type = message.report_type.as_deref();
        let is_report = message.media == "multipart/report" && report_type.is_none_or(|kind| kind == "delivery-status");
        let other_report = report_type.is_some_and(|kind| kind != "delivery-status")
            || self.parts.iter().any(|part| part.media == "message/disposition-notification");
        if other_report {
            return Vec::new();
        }
        let subject = signs::in_subject(self.subject.as_deref().unwrap_or_default());
        let setting = Setting {
            fields: &message.fields,
            subject,
            ours: &self.ours(),
            is_report,
            is_answer: auto_reply::read(&message.fields, subject) == Automatic::Answer,
        };
        let mentions = prose::read(&self.prose, &setting);
        let single = mentions.len() == 1;
        mentions.into_iter().map(|mention| self.finding_of_mention(mention, single)).collect()
    }

    fn finding_of_mention(&self, mention: Mention, single: bool) -> Finding {
        let reported = Reported {
            outcome: Some(mention.outcome),
            prose: if single { self.prose.clone() } else { String::new() },
            diagnostic: mention.reason,
            source: Some(Source::Prose),
            ..Reported::default()
        };
        let code = codes_in(&reported.diagnostic).code.or_else(|| codes_in(&reported.prose).code);
        let verdict = judge_report(&reported);
        Finding {
            kind: kind_of_outcome(verdict.outcome),
            recipient: mention.recipient,
            original_recipient: None,
            final_recipient: None,
            code,
            retries_until: None,
            verdict,
        }
    }

    /// The kind of a message that speaks of no delivery: an answer, by a program or a person, or anything else.
    fn kind_without_findings(&self) -> Kind {
        let Some(message) = self.parts.first() else { return Kind::Other };
        if message.report_type.is_some() {
            return Kind::Other;
        }
        let fields = &message.fields;
        let subject = signs::in_subject(self.subject.as_deref().unwrap_or_default());
        let answers = fields.has("In-Reply-To") || fields.has("References") || subject.reply;
        match auto_reply::read(fields, subject) {
            Automatic::Answer => return Kind::AutoReply,
            Automatic::Notice if answers => return Kind::AutoReply,
            Automatic::Notice => return Kind::Other,
            Automatic::No => {}
        }
        let bulk = fields.has("List-Id")
            || fields.has("List-Unsubscribe")
            || fields.value("Precedence").is_some_and(|value| {
                ["bulk", "list", "junk"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
            });
        if answers && !bulk { Kind::Reply } else { Kind::Other }
    }

    /// The addresses that the message was sent to.
    fn ours(&self) -> Vec<String> {
        let Some(message) = self.parts.first() else { return Vec::new() };
        // Not X-Original-To or Delivered-To: some systems write the failed recipient there.
        let values = ["To", "Cc"].iter().filter_map(|name| message.fields.value(name));
        values
            .flat_map(|value| {
                mailbox::in_text(&value).map(|(_, _, address)| address.to_string()).take(20).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Texts of the returned original that may hold a mark.
    fn traces(&self) -> Vec<String> {
        let originals = self.parts.iter().filter(|part| original::is_original(part));
        let mut traces: Vec<String> = originals.flat_map(|part| original::traces(&part.bytes())).collect();
        // In a text, an announcement and an empty line may stand in front of the fields.
        let mut rest = self.tail.as_bytes();
        for _ in 0..3 {
            traces.extend(original::traces(rest));
            let (_, length) = fields::Fields::read(rest);
            rest = rest.get(length..).unwrap_or_default();
        }
        traces.truncate(MAX_TRACES);
        traces
    }
}

fn kind_of_outcome(outcome: Outcome) -> Kind {
    match outcome {
        Outcome::Delivered => Kind::Delivered,
        Outcome::Delayed => Kind::Delayed,
        _ => Kind::Bounce,
    }
}

/// A recipient's complaint. The message was delivered; what it says about the sender depends on the kind of report.
fn complaint(kind: &str, recipient: &str) -> Finding {
    let (reason, advice) = match kind {
        "not-spam" => (Reason::Undetermined, Advice::None),
        "auth-failure" => (Reason::Authentication, Advice::FixSender),
        "virus" => (Reason::Virus, Advice::FixSender),
        _ => (Reason::Spam, Advice::Remove),
    };
    Finding {
        kind: Kind::Feedback,
        recipient: Some(recipient.to_string()),
        original_recipient: Some(recipient.to_string()),
        final_recipient: None,
        code: None,
        retries_until: None,
        verdict: Verdict {
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
        },
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
