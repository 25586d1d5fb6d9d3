//! Verdicts on replies, troubles and reports as they happen in the field.

use std::time::Duration;

use super::*;
use crate::session::Stage;
use crate::smtp::Reply;

fn reply(text: &str) -> Reply {
    let (code, rest) = text.split_at(3);
    let rest = rest.trim_start();
    let first = rest.split(' ').next().unwrap_or_default();
    let status = first.parse().ok();
    let text = if status.is_some() { rest[first.len()..].trim_start() } else { rest };
    Reply { code: code.parse().unwrap(), status, text: text.into() }
}

fn judge(stage: Stage, text: &str) -> (Verdict, Scope) {
    judge_reply(&Rules::built_in(), stage, None, &reply(text))
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
        ("550 5.1.0 <m@ses.example> sender rejected. AUP#In-1310", Blocklisted, AddressState::Fine, Advice::FixSender),
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
    assert_eq!(microsoft.evidence.rule, "token.microsoft.recipient_address_rejected_access_denied");
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
    let verdict = judge_report(&Rules::built_in(), &invented);
    assert_eq!((verdict.reason, verdict.is_hard()), (Reason::Spam, false));

    let generic = Reported {
        outcome: Some(Outcome::Failed),
        status: "5.0.0".parse().ok(),
        prose: "Reported error: 550 5.1.10 RESOLVER.ADR.RecipientNotFound".into(),
        ..Reported::default()
    };
    let verdict = judge_report(&Rules::built_in(), &generic);
    assert_eq!((verdict.reason, verdict.is_hard()), (Reason::UserUnknown, true));
    assert_eq!(verdict.status, "5.1.10".parse().ok());

    let nothing = Reported { outcome: Some(Outcome::Failed), status: "5.0.0".parse().ok(), ..Reported::default() };
    let verdict = judge_report(&Rules::built_in(), &nothing);
    assert_eq!((verdict.reason, verdict.is_hard()), (Reason::Undetermined, false));
}

#[test]
fn the_cause_outranks_the_giving_up() {
    let verdict = judge_report(
        &Rules::built_in(),
        &Reported {
            outcome: Some(Outcome::Failed),
            diagnostic: "mailbox is full: retry timeout exceeded".into(),
            ..Reported::default()
        },
    );
    assert_eq!((verdict.reason, verdict.address), (Reason::MailboxFull, AddressState::Full));
}
