//! What a failure means: the one file that decides. Other rooms report what was seen; this one judges it.
//!
//! A reply's first digit decides the outcome. For the reason and the address the evidence is asked in this order: a
//! provider's own words, an enhanced code that says one thing, a phrase, a plain word, the field of an enhanced code,
//! the three digits. In a report the remote host's own reply is heard before the reporting host.
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
use crate::verdict::quoted::{Codes, codes_in, moved_to, says_less, wait_in};
use crate::verdict::rules::{Masked, Rule, Rules, Speaker, Tier};
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
}

/// Judges a reply in our own conversation. `2xx` at the end of data is `Delivered`; every other reply given here
/// ended the attempt.
pub(crate) fn judge_reply(stage: Stage, reply: &Reply) -> (Verdict, Scope) {
    if reply.code / 100 == 2 && stage == Stage::EndOfData {
        return (delivered(reply), Scope::Message);
    }
    if !matches!(reply.code / 100, 4 | 5) {
        return judge_trouble(stage, &Trouble::OutOfStep(format!("{} {}", reply.code, reply.text)));
    }
    let words = Words { text: &reply.text, codes: Codes { code: Some(reply.code), status: reply.status } };
    let opinion = hear(Some(stage), &words, None);
    // Before MAIL nothing concerns this message; a host that closes (421) may take it next time.
    let early =
        matches!(stage, Stage::Dns | Stage::Connect | Stage::Banner | Stage::Ehlo | Stage::Starttls | Stage::Auth);
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

/// Judges a report.
pub(crate) fn judge_report(reported: &Reported) -> Verdict {
    let quoted = codes_in(&reported.diagnostic);
    let remote = Words {
        text: &reported.diagnostic,
        codes: Codes { code: quoted.code.or(reported.code), status: quoted.status },
    };
    let around = codes_in(&reported.prose);
    let reporter = Words {
        text: &reported.prose,
        codes: Codes { code: around.code, status: prefer(reported.status, around.status) },
    };
    let opinion = hear(None, &remote, Some(&reporter));
    let status = prefer(reported.status, quoted.status.or(around.status));
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
    if let (Outcome::Delayed, Some(wait)) = (outcome, reported.retry_after) {
        verdict.advice = Advice::RetryLater(Some(wait));
    }
    verdict
}

/// Words and the codes that stand in them.
struct Words<'t> {
    text: &'t str,
    codes: Codes,
}

/// The row that spoke, and how sure that makes us.
struct Opinion {
    rule: Option<&'static Rule>,
    confidence: f32,
}

/// Local facts and DNS answers.
const CERTAIN: f32 = 1.0;
/// A phrase in the text around the remote host's words, against one in these words themselves.
const HEARSAY: f32 = 0.9;

/// Asks the evidence in order: the remote host's own words first, then the reporting host's.
fn hear(stage: Option<Stage>, remote: &Words<'_>, reporter: Option<&Words<'_>>) -> Opinion {
    let rules = Rules::built_in();
    let spoken = rules.read(&Masked::new(remote.text), stage);
    let exact = |words: &Words<'_>| words.codes.status.and_then(|status| rules.exact(status));
    let vague = |words: &Words<'_>| words.codes.status.and_then(|status| rules.vague(status, stage));
    let basic = |words: &Words<'_>| words.codes.code.and_then(|code| rules.basic(code, stage));
    let exact_remote = exact(remote);
    if let Some(rule) = spoken.token.or(exact_remote).or(spoken.phrase) {
        // A code and a phrase that agree make each other surer.
        let agree = exact_remote.zip(spoken.phrase).is_some_and(|(code, phrase)| code.reason == phrase.reason);
        return Opinion { rule: Some(rule), confidence: if agree { 0.98 } else { weight(rule.tier) } };
    }
    let Some(reporter) = reporter else {
        return Opinion::of(spoken.word.or_else(|| vague(remote)).or_else(|| basic(remote)), 1.0);
    };
    let told = rules.read(&Masked::new(reporter.text), stage);
    if let Some(rule) = told.token.or_else(|| exact(reporter)).or_else(|| {
        // A single word of the remote host's is nearer to the cause than a sentence of the reporting host's.
        spoken.word.or(told.phrase)
    }) {
        return Opinion::of(Some(rule), HEARSAY);
    }
    let word = if remote.text.is_empty() { told.word } else { None };
    let left = word
        .or_else(|| vague(remote))
        .or_else(|| vague(reporter))
        .or_else(|| basic(remote))
        .or_else(|| basic(reporter));
    Opinion::of(left, HEARSAY)
}

/// How sure a row of this table makes us.
fn weight(tier: Tier) -> f32 {
    match tier {
        Tier::Token => 0.97,
        Tier::Code => 0.95,
        Tier::Phrase => 0.88,
        Tier::Word => 0.6,
        Tier::Fallback => 0.5,
    }
}

impl Opinion {
    fn of(rule: Option<&'static Rule>, factor: f32) -> Opinion {
        Opinion { rule, confidence: rule.map_or(0.2, |rule| weight(rule.tier) * factor) }
    }

    /// Whether a 5xx reply is to be tried again: the row names its speaker and asks for a slower pace.
    fn turns_to_retry(&self) -> bool {
        self.rule
            .is_some_and(|rule| matches!(rule.speaker, Speaker::Provider { .. }) && rule.advice == Advice::SlowDown)
    }

    /// The whole verdict. A delay never ends an address, and waits as long as the text asks.
    fn verdict(self, outcome: Outcome, status: Option<EnhancedStatus>, source: Source, text: &str) -> Verdict {
        let (reason, address, advice, id) = match self.rule {
            Some(rule) => (rule.reason, rule.address.clone(), rule.advice.clone(), rule.id.as_ref()),
            None => (Reason::Undetermined, AddressState::NoStatement, Advice::None, "none"),
        };
        let address = match address {
            AddressState::Moved(_) => AddressState::Moved(moved_to(text)),
            other => other,
        };
        let evidence = Evidence { source, text: text.into(), rule: rule_id(id, status), confidence: self.confidence };
        let mut verdict = Verdict { outcome, address, advice, reason, status, evidence };
        if outcome == Outcome::Delayed {
            if verdict.is_hard() {
                verdict.address = AddressState::NoStatement;
            }
            verdict.advice = match (wait_in(text), verdict.advice) {
                (Some(wait), _) => Advice::RetryLater(Some(wait)),
                (None, Advice::Remove | Advice::None) => Advice::RetryLater(None),
                (None, advice) => advice,
            };
        }
        verdict
    }
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

/// A row for both classes is named with the class that was seen: `code.5.1.1`.
fn rule_id(id: &str, status: Option<EnhancedStatus>) -> String {
    match (id.strip_prefix("code.x."), status) {
        (Some(rest), Some(status)) => format!("code.{}.{rest}", status.class()),
        _ => id.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        let (code, rest) = text.split_at(3);
        let rest = rest.trim_start();
        let first = rest.split(' ').next().unwrap_or_default();
        let status = first.parse().ok();
        let text = if status.is_some() { rest[first.len()..].trim_start() } else { rest };
        Reply { code: code.parse().unwrap(), status, text: text.into() }
    }

    fn judge(stage: Stage, text: &str) -> (Verdict, Scope) {
        judge_reply(stage, &reply(text))
    }

    #[test]
    fn refusals_of_a_recipient() {
        use AddressState::{Disabled, Full, NoMailbox, NoStatement};
        use Reason::*;
        let later = Advice::RetryLater(None);
        for (text, reason, address, advice) in [
            ("550 5.1.1 <ann@example.net>: no", UserUnknown, NoMailbox, Advice::Remove),
            ("550 User unknown", UserUnknown, NoMailbox, Advice::Remove),
            ("550 No user found", UserUnknown, NoMailbox, Advice::Remove),
            ("550 5.1.5 what is this", UserUnknown, NoMailbox, Advice::Remove),
            ("550 what is this", RecipientRejected, NoStatement, Advice::None),
            ("552 5.2.2 mailbox full", MailboxFull, Full, later.clone()),
            ("552 over quota", MailboxFull, Full, later.clone()),
            ("550 5.2.1 account off", MailboxDisabled, Disabled, Advice::Remove),
            ("550 This account has been disabled", MailboxDisabled, Disabled, Advice::Remove),
            ("554 5.7.1 <u@x.example>: Recipient address rejected: Access denied", Policy, NoStatement, Advice::None),
            (
                "550 5.1.0 <m@ses.example> sender rejected. AUP#In-1310",
                Blocklisted,
                AddressState::Fine,
                Advice::FixSender,
            ),
            ("550 5.1.8 bad sender's system address", SenderRejected, NoStatement, Advice::FixSender),
            ("550-Sender verify failed", SenderRejected, NoStatement, Advice::FixSender),
            (
                "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using list.example",
                Blocklisted,
                NoStatement,
                Advice::FixSender,
            ),
            ("550 5.7.26 This mail is unauthenticated", Authentication, AddressState::Fine, Advice::FixSender),
            ("552 5.3.4 too long", MessageTooLarge, AddressState::Fine, Advice::FixSender),
            ("554 relay access denied", RelayDenied, NoStatement, Advice::FixSender),
        ] {
            let (verdict, _) = judge(Stage::Rcpt, text);
            assert_eq!((verdict.reason, &verdict.address, &verdict.advice), (reason, &address, &advice), "{text}");
            assert_eq!(verdict.outcome, Outcome::Failed, "{text}");
        }
    }

    #[test]
    fn the_same_words_mean_what_their_speaker_means() {
        let words = "550 5.4.1 Recipient address rejected: Access denied. [node.prod.protection.outlook.com]";
        let (microsoft, _) = judge(Stage::Rcpt, words);
        assert_eq!((microsoft.reason, microsoft.is_hard()), (Reason::UserUnknown, true));
        assert_eq!(microsoft.evidence.rule, "token.microsoft.access_denied");
        let (other, _) = judge(Stage::Rcpt, "554 5.7.1 <u@x.example>: Recipient address rejected: Access denied");
        assert_eq!((other.reason, other.is_hard()), (Reason::Policy, false));
    }

    #[test]
    fn a_throttle_in_permanent_dress_is_tried_again() {
        for text in [
            "550 Connection frequency limited. http://service.mail.example/cgi-bin/help",
            "550 5.1.1 <u@rcpt.example> - 192.0.2.1 has sent to too many recipients this hour. IB607",
        ] {
            let (verdict, scope) = judge(Stage::Rcpt, text);
            assert_eq!(verdict.outcome, Outcome::Delayed, "{text}");
            assert_eq!((verdict.reason, verdict.advice.clone()), (Reason::RateLimited, Advice::SlowDown), "{text}");
            assert_eq!((verdict.is_hard(), scope), (false, Scope::Site), "{text}");
        }
        // Nobody in particular said this: the first digit stands.
        let (verdict, _) = judge(Stage::Rcpt, "550 rate limit exceeded");
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::Failed, Reason::RateLimited));
    }

    #[test]
    fn outcome_address_and_advice_come_from_one_verdict() {
        let (gone, scope) = judge(Stage::EndOfData, "552 1 Requested mail action aborted, mailbox not found");
        assert_eq!((gone.outcome, gone.is_hard(), scope), (Outcome::Failed, true, Scope::Recipient));
        let (full, _) = judge(Stage::EndOfData, "452 4.2.2 The recipient's inbox is out of storage space");
        assert_eq!((full.outcome, full.address), (Outcome::Delayed, AddressState::Full));
        let (content, scope) = judge(
            Stage::EndOfData,
            "552 5.7.0 This message was blocked because its content presents a potential security issue",
        );
        assert_eq!((content.reason, content.is_hard(), scope), (Reason::ContentRejected, false, Scope::Message));
    }

    #[test]
    fn only_the_text_after_the_host_name_speaks() {
        let (verdict, _) = judge(Stage::Rcpt, "550 mx10.mailspamprotection.example: Quota exceeded");
        assert_eq!(verdict.reason, Reason::MailboxFull);
    }

    #[test]
    fn nothing_said_before_rcpt_is_about_the_recipient() {
        for stage in [Stage::Banner, Stage::Ehlo, Stage::Starttls, Stage::Auth, Stage::Mail] {
            for text in ["550 5.1.1 User unknown", "550 5.1.2 Host unknown", "552 5.2.2 mailbox full", "554 go away"] {
                let (verdict, _) = judge(stage, text);
                assert_eq!(verdict.address, AddressState::NoStatement, "{stage:?} {text}");
                assert_ne!(verdict.advice, Advice::Remove, "{stage:?} {text}");
                assert_eq!(verdict.outcome == Outcome::Failed, stage == Stage::Mail, "{stage:?} {text}");
            }
        }
        assert_eq!(judge(Stage::Mail, "550 5.1.1 User unknown").0.reason, Reason::SenderRejected);
    }

    #[test]
    fn scopes() {
        for (stage, text, scope) in [
            (Stage::Banner, "554 no SMTP service here", Scope::Host),
            (Stage::Banner, "554 your host [192.0.2.1] is on our blocklist", Scope::Source),
            (Stage::Ehlo, "504 5.5.2 helo command rejected: need fully-qualified hostname", Scope::Host),
            (Stage::Auth, "535 5.7.8 bad credentials", Scope::Ourselves),
            (Stage::Mail, "552 5.3.4 message too large", Scope::Message),
            (Stage::Mail, "553 5.7.2 [TSS06] All messages from 192.0.2.1 will be permanently deferred", Scope::Source),
            (Stage::Mail, "421 4.7.0 [TSS04] Messages temporarily deferred due to unexpected volume", Scope::Site),
            (Stage::Rcpt, "450 4.2.0 Greylisted, try again in 300 seconds", Scope::Recipient),
            (Stage::Rcpt, "421 4.3.2 shutting down", Scope::Host),
            (Stage::EndOfData, "554 5.7.1 spam", Scope::Message),
            (Stage::EndOfData, "250 2.0.0 Ok", Scope::Message),
        ] {
            assert_eq!(judge(stage, text).1, scope, "{stage:?} {text}");
        }
        assert_eq!(judge(Stage::Rcpt, "421 4.3.2 shutting down").0.outcome, Outcome::Delayed);
        assert_eq!(judge(Stage::EndOfData, "250 2.0.0 Ok").0.outcome, Outcome::Delivered);
    }

    #[test]
    fn a_wait_that_is_asked_for_is_advised() {
        let (verdict, _) = judge(Stage::Rcpt, "450 4.2.0 Greylisted, try again in 300 seconds");
        assert_eq!(verdict.advice, Advice::RetryLater(Some(Duration::from_secs(300))));
        assert_eq!(judge(Stage::Rcpt, "450 busy").0.advice, Advice::RetryLater(None));
    }

    #[test]
    fn a_delay_never_ends_an_address() {
        let (verdict, _) = judge(Stage::Rcpt, "450 4.1.1 User unknown in relay table");
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::Delayed, Reason::UserUnknown));
        assert!(!verdict.is_hard());
    }

    #[test]
    fn a_moved_user_is_named() {
        let (verdict, _) = judge(Stage::Rcpt, "551 User not local; please try <ann@new.example>");
        assert_eq!(verdict.address, AddressState::Moved("ann@new.example".parse().ok()));
        assert!(verdict.is_hard());
    }

    #[test]
    fn trouble_is_judged_by_what_broke_and_when() {
        let text = || "x".to_string();
        for (stage, trouble, outcome, reason, scope) in [
            (Stage::Connect, Trouble::TimedOut, Outcome::Delayed, Reason::Network, Scope::Host),
            (Stage::EndOfData, Trouble::Closed, Outcome::Uncertain, Reason::Network, Scope::Message),
            (Stage::Body, Trouble::Broken(text()), Outcome::Delayed, Reason::Network, Scope::Host),
            (Stage::Rcpt, Trouble::OutOfStep(text()), Outcome::Delayed, Reason::Protocol, Scope::Host),
            (Stage::Starttls, Trouble::Tls(text()), Outcome::Delayed, Reason::Tls, Scope::Host),
            (Stage::Dns, Trouble::NoSuchDomain(text()), Outcome::Failed, Reason::DomainUnknown, Scope::Recipient),
            (Stage::Dns, Trouble::NullMx(text()), Outcome::Failed, Reason::DomainRefusesMail, Scope::Recipient),
            (Stage::Dns, Trouble::DnsTemporary(text()), Outcome::Delayed, Reason::Network, Scope::Site),
        ] {
            let (verdict, to) = judge_trouble(stage, &trouble);
            assert_eq!((verdict.outcome, verdict.reason, to), (outcome, reason, scope), "{stage:?} {trouble:?}");
            assert_eq!(verdict.status, None);
            assert_eq!(verdict.is_hard(), outcome == Outcome::Failed);
        }
        let size = Trouble::Unsupported(EnhancedStatus::new(5, 3, 4).unwrap(), text());
        assert_eq!(judge_trouble(Stage::Mail, &size).0.reason, Reason::MessageTooLarge);
        let utf8 = Trouble::Unsupported(EnhancedStatus::new(5, 6, 7).unwrap(), text());
        assert_eq!(judge_trouble(Stage::Mail, &utf8).0.reason, Reason::ContentRejected);
    }

    #[test]
    fn reports_hear_the_remote_host_before_the_reporting_one() {
        let invented = Reported {
            outcome: Some(Outcome::Failed),
            status: "5.1.1".parse().ok(),
            diagnostic: "550 message classified as spam".into(),
            prose: "User unknown".into(),
            ..Reported::default()
        };
        let verdict = judge_report(&invented);
        assert_eq!((verdict.reason, verdict.is_hard()), (Reason::Spam, false));

        let generic = Reported {
            outcome: Some(Outcome::Failed),
            status: "5.0.0".parse().ok(),
            prose: "Reported error: 550 5.1.10 RESOLVER.ADR.RecipientNotFound".into(),
            ..Reported::default()
        };
        let verdict = judge_report(&generic);
        assert_eq!((verdict.reason, verdict.is_hard()), (Reason::UserUnknown, true));
        assert_eq!(verdict.status, "5.1.10".parse().ok());

        let nothing = Reported { outcome: Some(Outcome::Failed), status: "5.0.0".parse().ok(), ..Reported::default() };
        let verdict = judge_report(&nothing);
        assert_eq!((verdict.reason, verdict.is_hard()), (Reason::Undetermined, false));
    }

    #[test]
    fn the_cause_outranks_the_giving_up() {
        let verdict = judge_report(&Reported {
            outcome: Some(Outcome::Failed),
            diagnostic: "mailbox is full: retry timeout exceeded".into(),
            ..Reported::default()
        });
        assert_eq!((verdict.reason, verdict.address), (Reason::MailboxFull, AddressState::Full));
    }
}
