//! What a failure means: the one file that decides. Other rooms report what was seen; this one judges it.
//!
//! A reply's first digit decides the outcome. For the reason and the address the evidence is asked in this order: a
//! provider's own words, an enhanced code that says one thing, a phrase, a plain word, the field of an enhanced code,
//! the three digits (`opinion.rs`). In a report the remote host's own reply is heard before the reporting host.
//!
//! Whom a failure concerns ([`Scope`]), the first row that fits:
//!
//! | seen | scope |
//! |---|---|
//! | words that blame the sending address (blocklist, reverse DNS), at any stage | `Source` |
//! | words that ask for a slower pace, at any stage | `Site` |
//! | 421 at any stage; greeting, EHLO, STARTTLS refused; connection, TLS or conversation broken | `Host` |
//! | AUTH refused | `Ourselves` |
//! | temporary DNS trouble | `Site` |
//! | a broken connection once the end of data is on its way; MAIL refused; DATA or end of data refused for the content; an extension that is missing | `Message` |
//! | RCPT refused; DATA or end of data refused with words about the address; the domain's DNS is final | `Recipient` |

use std::time::Duration;

use crate::session::Stage;
use crate::smtp::Reply;
use crate::verdict::opinion::{Scene, Words, hear};
use crate::verdict::quotation::{first_reply, innermost_reply, stage_in};
use crate::verdict::quoted::{Codes, codes_in, says_less};
use crate::verdict::rules::Rules;
use crate::verdict::{AddressState, Advice, EnhancedStatus, Evidence, Outcome, Reason, Source, Verdict};

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
    /// Names of hosts that may have spoken: the remote host, the recipient's domain.
    pub(crate) hosts: Vec<String>,
}

/// Judges a reply in our own conversation, given by `host` if its name is known. `2xx` at the end of data is `Delivered`;
/// every other reply given here ended the attempt.
pub(crate) fn judge_reply(rules: &Rules, stage: Stage, host: Option<&str>, reply: &Reply) -> (Verdict, Scope) {
    if reply.code / 100 == 2 && stage == Stage::EndOfData {
        return (delivered(reply), Scope::Message);
    }
    if !matches!(reply.code / 100, 4 | 5) {
        return judge_trouble(stage, &Trouble::OutOfStep(format!("{} {}", reply.code, reply.text)));
    }
    let words = Words {
        text: &reply.text,
        codes: Codes { code: Some(reply.code), status: reply.status.or(codes_in(&reply.text).status) },
    };
    let opinion = hear(Scene { rules, stage: Some(stage), hosts: host.as_slice() }, &words, None);
    // A host that closes (421) may take it next time.
    let early = is_early(stage);
    let retried = early || reply.code < 500 || opinion.turns_to_retry();
    let outcome = if retried { Outcome::Delayed } else { Outcome::Failed };
    let mut verdict = opinion.verdict(outcome, reply.status, Source::SmtpReply, &reply.text);
    if early || stage == Stage::Mail {
        verdict.blame_nobody(stage);
    }
    let scope = scope_of(stage, reply.code, &verdict);
    (verdict, scope)
}

/// Judges what else can end an attempt.
pub(crate) fn judge_trouble(stage: Stage, trouble: &Trouble) -> (Verdict, Scope) {
    use Reason::{ContentRejected, DomainRefusesMail, DomainUnknown, MessageTooLarge, Network, Protocol, Tls};
    let (later, no_domain) = (Advice::RetryLater(None), AddressState::NoDomain);
    let (rule, reason, scope, text) = match trouble {
        Trouble::TimedOut => ("network.timed_out", Network, Scope::Host, "no answer in time"),
        Trouble::Closed => ("network.closed", Network, Scope::Host, "the remote host closed the connection"),
        Trouble::Broken(text) => ("network.broken", Network, Scope::Host, text.as_str()),
        Trouble::OutOfStep(text) => ("network.out_of_step", Protocol, Scope::Host, text.as_str()),
        Trouble::Tls(text) => ("network.tls", Tls, Scope::Host, text.as_str()),
        Trouble::NoSuchDomain(text) => ("dns.no_such_domain", DomainUnknown, Scope::Recipient, text.as_str()),
        Trouble::NoMailExchanger(text) => ("dns.no_mail_exchanger", DomainUnknown, Scope::Recipient, text.as_str()),
        Trouble::NullMx(text) => ("dns.null_mx", DomainRefusesMail, Scope::Recipient, text.as_str()),
        Trouble::Unusable(text) => ("dns.unusable", DomainUnknown, Scope::Recipient, text.as_str()),
        Trouble::DnsTemporary(text) => ("dns.temporary", Network, Scope::Site, text.as_str()),
        Trouble::Unsupported(status, text) if (status.subject(), status.detail()) == (3, 4) => {
            ("local.too_large", MessageTooLarge, Scope::Message, text.as_str())
        }
        Trouble::Unsupported(_, text) => ("local.unsupported", ContentRejected, Scope::Message, text.as_str()),
    };
    let (outcome, address, advice) = match trouble {
        Trouble::NoSuchDomain(_) | Trouble::NoMailExchanger(_) | Trouble::NullMx(_) | Trouble::Unusable(_) => {
            (Outcome::Failed, no_domain, Advice::Remove)
        }
        Trouble::Unsupported(..) => (Outcome::Failed, AddressState::NoStatement, Advice::FixSender),
        // The reply to the end of data was lost: the remote host may have the message.
        Trouble::TimedOut | Trouble::Closed | Trouble::Broken(_) | Trouble::OutOfStep(_)
            if stage == Stage::EndOfData =>
        {
            (Outcome::Uncertain, AddressState::NoStatement, Advice::None)
        }
        _ => (Outcome::Delayed, AddressState::NoStatement, later),
    };
    let source = match trouble {
        Trouble::Unsupported(..) => Source::Local,
        _ if rule.starts_with("dns.") => Source::Dns,
        _ => Source::Network,
    };
    let evidence = Evidence { source, text: text.into(), rule: rule.into(), confidence: CERTAIN };
    let scope = if outcome == Outcome::Uncertain { Scope::Message } else { scope };
    (Verdict { outcome, address, advice, reason, status: None, evidence }, scope)
}

/// Local facts, DNS answers and success.
const CERTAIN: f32 = 1.0;

/// Judges a report.
pub(crate) fn judge_report(rules: &Rules, reported: &Reported) -> Verdict {
    let whole = codes_in(&reported.diagnostic);
    // A report in plain words quotes the remote host's reply, or tells of its own trouble only.
    let reply = if reported.diagnostic.trim().is_empty() {
        first_reply(&reported.prose).unwrap_or_default()
    } else {
        innermost_reply(&reported.diagnostic).unwrap_or(&reported.diagnostic)
    };
    let quoted = codes_in(reply);
    let remote = Words {
        text: reply,
        codes: Codes { code: quoted.code.or(whole.code).or(reported.code), status: quoted.status },
    };
    let around = codes_in(&reported.prose);
    let told = if reported.prose.trim().is_empty() { &reported.diagnostic } else { &reported.prose };
    let reporter = Words {
        text: told,
        codes: Codes { code: around.code, status: prefer(reported.status, around.status.or(whole.status)) },
    };
    let stage = stage_in(&reported.diagnostic).or_else(|| stage_in(&reported.prose));
    let hosts: Vec<&str> = reported.hosts.iter().map(String::as_str).collect();
    let opinion = hear(Scene { rules, stage, hosts: &hosts }, &remote, Some(&reporter));
    let status = prefer(reported.status, quoted.status.or(whole.status).or(around.status));
    let class = status.map(|status| u16::from(status.class())).or(remote.codes.code.map(|code| code / 100));
    let outcome = reported.outcome.unwrap_or(match class {
        Some(2) => Outcome::Delivered,
        Some(4) => Outcome::Delayed,
        _ => Outcome::Failed,
    });
    let text = if reported.diagnostic.is_empty() { &reported.prose } else { &reported.diagnostic };
    let source = reported.source.unwrap_or(Source::DsnField);
    if outcome == Outcome::Delivered {
        let evidence = Evidence { source, text: text.clone(), rule: "report.delivered".into(), confidence: CERTAIN };
        let (address, advice, reason) = (AddressState::Fine, Advice::None, Reason::Undetermined);
        return Verdict { outcome, address, advice, reason, status, evidence };
    }
    let mut verdict = opinion.verdict(outcome, status, source, text);
    // A reply of class 4 that ended in giving up says nothing lasting about the address.
    if class == Some(4) && verdict.is_hard() {
        verdict.address = AddressState::NoStatement;
        verdict.advice = Advice::RetryLater(None);
    }
    if let Some(stage) = stage.filter(|stage| is_early(*stage) || *stage == Stage::Mail) {
        verdict.blame_nobody(stage);
    }
    if let (Outcome::Delayed, Some(wait)) = (outcome, reported.retry_after) {
        verdict.advice = Advice::RetryLater(Some(wait));
    }
    verdict
}

/// Before MAIL nothing concerns this message.
fn is_early(stage: Stage) -> bool {
    matches!(stage, Stage::Dns | Stage::Connect | Stage::Banner | Stage::Ehlo | Stage::Starttls | Stage::Auth)
}

impl Verdict {
    /// Takes back what was said about the recipient at a stage that knows none: at MAIL it was the return path.
    fn blame_nobody(&mut self, stage: Stage) {
        let recipients = matches!(
            self.reason,
            Reason::UserUnknown
                | Reason::MailboxDisabled
                | Reason::MailboxFull
                | Reason::RecipientMoved
                | Reason::RecipientRejected
                | Reason::DomainUnknown
                | Reason::DomainRefusesMail
        );
        if recipients {
            self.reason = match stage {
                Stage::Mail => Reason::SenderRejected,
                _ => Reason::Policy,
            };
        }
        self.address = AddressState::NoStatement;
        if recipients && self.outcome == Outcome::Failed {
            self.advice = Advice::FixSender;
        }
        match stage {
            Stage::Starttls => self.reason = Reason::Tls,
            Stage::Auth => self.advice = Advice::FixSender,
            _ => {}
        }
    }
}

/// Whom a refusal concerns; the table at the head of this file.
fn scope_of(stage: Stage, code: u16, verdict: &Verdict) -> Scope {
    match (verdict.reason, stage) {
        (_, Stage::Auth) => Scope::Ourselves,
        (Reason::Blocklisted | Reason::ReverseDns, _) => Scope::Source,
        (Reason::RateLimited, _) if matches!(verdict.advice, Advice::SlowDown) => Scope::Site,
        _ if code == 421 => Scope::Host,
        (_, Stage::Dns | Stage::Connect | Stage::Banner | Stage::Ehlo | Stage::Starttls) => Scope::Host,
        (_, Stage::Mail) => Scope::Message,
        (_, Stage::Rcpt) => Scope::Recipient,
        _ if verdict.is_hard() || verdict.address == AddressState::Full => Scope::Recipient,
        (_, Stage::Data | Stage::Body | Stage::EndOfData) => Scope::Message,
    }
}

fn delivered(reply: &Reply) -> Verdict {
    Verdict {
        outcome: Outcome::Delivered,
        address: AddressState::Fine,
        advice: Advice::None,
        reason: Reason::Undetermined,
        status: reply.status,
        evidence: Evidence {
            source: Source::SmtpReply,
            text: reply.text.clone(),
            rule: format!("basic.{}", reply.code),
            confidence: CERTAIN,
        },
    }
}

/// The code that says more; the first of equals.
fn prefer(first: Option<EnhancedStatus>, second: Option<EnhancedStatus>) -> Option<EnhancedStatus> {
    match (first, second) {
        (Some(vague), Some(exact)) if says_less(vague) && !says_less(exact) => Some(exact),
        _ => first.or(second),
    }
}
