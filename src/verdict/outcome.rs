//! What a failure means: the one file that decides. Other rooms report what was seen; this one judges it.

use std::time::Duration;

use crate::session::Stage;
use crate::smtp::Reply;
use crate::verdict::{EnhancedStatus, Outcome, Source, Verdict};

/// Whom a failure concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This message, whoever gets it.
    Message,
    /// This recipient.
    Recipient,
    /// The host we spoke with: another one of the same destination may take it.
    Host,
    /// All hosts of the destination: everything queued for it.
    Site,
    /// The address we send from.
    Source,
    /// Our own settings.
    Ourselves,
}

/// What stopped an attempt, other than a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The time for this step was up.
    TimedOut,
    /// The remote host closed the connection.
    Closed,
    /// The connection could not be opened, or broke; the operating system's words.
    Broken(String),
    /// Bytes that are no reply, or a reply that does not fit what was asked.
    OutOfStep(String),
    /// TLS could not be negotiated.
    Tls(String),
    /// The domain does not exist.
    NoSuchDomain(String),
    /// The domain exists and has neither mail exchanger nor address.
    NoMailExchanger(String),
    /// Null MX (RFC 7505).
    NullMx(String),
    /// Every mail exchanger of the domain is unusable: this host itself, a private address.
    Unusable(String),
    /// The DNS did not answer, or answered with an error that may pass.
    DnsTemporary(String),
    /// The message needs an extension that the remote host does not offer (SMTPUTF8: 5.6.7, 8BITMIME: 5.6.3, SIZE: 5.3.4).
    Unsupported(EnhancedStatus, String),
}

/// Judges a reply in our own conversation. `2xx` at the end of data is `Delivered`; every other reply given here
/// ended the attempt.
pub(crate) fn judge_reply(stage: Stage, reply: &Reply) -> (Verdict, Scope) {
    let _ = (stage, reply);
    unimplemented!("verdict room")
}

/// Judges what else can end an attempt.
pub(crate) fn judge_trouble(stage: Stage, trouble: &Trouble) -> (Verdict, Scope) {
    let _ = (stage, trouble);
    unimplemented!("verdict room")
}

/// What a report says about one recipient, as far as it was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reported {
    /// From the Action field or the report's form.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) code: Option<u16>,
    pub(crate) status: Option<EnhancedStatus>,
    /// The remote host's own words.
    pub(crate) diagnostic: String,
    /// The reporting host's words around them.
    pub(crate) prose: String,
    pub(crate) source: Option<Source>,
    pub(crate) retry_after: Option<Duration>,
}

/// Judges a report.
pub(crate) fn judge_report(reported: &Reported) -> Verdict {
    let _ = reported;
    unimplemented!("verdict room")
}
