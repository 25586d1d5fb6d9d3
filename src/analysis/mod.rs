//! Reads what came back: which kind of mail it is, whom it speaks of, and what it says.

use crate::verdict::Verdict;

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
    /// The SMTP reply code that the report quotes.
    pub code: Option<u16>,
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
    /// Feedback-Type of a feedback report.
    pub feedback_type: Option<String>,
    /// The Subject, decoded.
    pub subject: Option<String>,
    /// Texts in the returned original that may hold a mark or a return path of ours: header values of Message-ID,
    /// Return-Path and the mark's field.
    pub(crate) traces: Vec<String>,
    /// Hash from the first field that is no trace field to the end: the same for a report that arrives twice.
    pub(crate) fingerprint: [u8; 32],
}

/// Reads a message. Never fails: what cannot be read is [`Kind::Other`].
pub fn analyse(message: &[u8]) -> Analysis {
    let _ = message;
    unimplemented!()
}
