//! Words that say one thing and mean another: each is a row with what it means.

use super::*;
use crate::session::Stage;
use crate::smtp::Reply;

/// A refusal at RCPT by a host of this name, as `CODE [STATUS] WORDS`.
fn refusal(host: &str, text: &str) -> Verdict {
    let (code, rest) = text.split_at(3);
    let rest = rest.trim_start();
    let first = rest.split(' ').next().unwrap_or_default();
    let status = first.parse().ok();
    let text = if status.is_some() { rest[first.len()..].trim_start() } else { rest };
    let reply = Reply { code: code.parse().unwrap(), status, text: text.into() };
    judge_reply(&Rules::built_in(), Stage::Rcpt, Some(host), &reply).0
}

fn report(status: &str, diagnostic: &str, prose: &str) -> Verdict {
    let status = status.parse().ok();
    let (diagnostic, prose) = (diagnostic.into(), prose.into());
    judge_report(
        &Rules::built_in(),
        &Reported { outcome: Some(Outcome::Failed), status, diagnostic, prose, ..Reported::default() },
    )
}

#[test]
fn a_reply_means_what_its_speaker_means() {
    use AddressState::{Disabled, Fine, Full, NoMailbox, NoStatement};
    use Reason::*;
    const MX: &str = "mx.rcpt.example";
    let mut wrong = Vec::new();
    for (host, text, reason, address) in [
        // The sender is spoken of, under codes of the address field and at RCPT.
        (MX, "550 5.1.7 bad sender's mailbox address syntax", SenderRejected, NoStatement),
        (MX, "550 5.1.7 user unknown to us", SenderRejected, NoStatement),
        (MX, "550 5.1.8 <b@send.example>: Sender address rejected: Domain not found", SenderRejected, NoStatement),
        (MX, "550 5.1.1 Sender verify failed", SenderRejected, NoStatement),
        (MX, "550 5.1.1 Callback setup failed while verifying <b@send.example>", SenderRejected, NoStatement),
        (MX, "553 5.1.8 Domain of sender address b@send.example does not exist", SenderRejected, NoStatement),
        // Pace, under codes of a dead mailbox.
        (MX, "450 4.2.1 The user you are trying to contact is receiving mail at a rate that", RateLimited, Fine),
        (MX, "550 5.2.1 The user you are trying to contact is receiving mail too quickly", RateLimited, Fine),
        (MX, "550 5.1.1 <u@rcpt.example> too many recipients this hour", RateLimited, Fine),
        (MX, "550 5.1.1 rate limit exceeded", RateLimited, Fine),
        // One consumer service's "mailbox unavailable" is a missing user; its tokens are lists.
        ("mx1.hotmail.com", "550 5.5.0 Requested action not taken: mailbox unavailable", UserUnknown, NoMailbox),
        (MX, "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent (S3140)", Blocklisted, NoStatement),
        (MX, "550 5.7.1 part of their network is on our block list (S3150)", Blocklisted, NoStatement),
        // Dead, or only failed.
        (
            MX,
            "554 delivery error: dd This user doesn't have a rcpt.example account (u@rcpt.example) [0]",
            UserUnknown,
            NoMailbox,
        ),
        (
            MX,
            "554 delivery error: dd Sorry, this account has been disabled or discontinued [#102]",
            MailboxDisabled,
            Disabled,
        ),
        (MX, "554 delivery error: dd", Policy, NoStatement),
        // Codes of one meaning.
        (MX, "550 5.7.26 This mail has been blocked because the sender is unauthenticated", Authentication, Fine),
        (MX, "550 5.4.14 Hop count exceeded - possible mail loop", RoutingLoop, NoStatement),
        (MX, "554 5.4.14 whatever", RoutingLoop, NoStatement),
        // Who may write to whom: the address works.
        (MX, "550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized", Policy, Fine),
        (MX, "550 5.7.1 RESOLVER.RST.RestrictedToRecipientsPermission; restricted", Policy, Fine),
        (MX, "550 5.7.133 the group only accepts messages from people in its organization", Policy, Fine),
        // Switched off, for whatever cause.
        (MX, "550 This account has been disabled due to inactivity", MailboxDisabled, Disabled),
        (MX, "550 5.1.1 account ann is suspended for lack of payment", MailboxDisabled, Disabled),
        (MX, "550 mailbox is inactive", MailboxDisabled, Disabled),
        // The same words of two speakers.
        (
            "rcpt.mail.protection.outlook.com",
            "550 5.4.1 Recipient address rejected: Access denied",
            UserUnknown,
            NoMailbox,
        ),
        (MX, "550 5.4.1 Recipient address rejected: Access denied", Policy, NoStatement),
        // A full mailbox is there, whatever the code.
        (MX, "550 5.1.1 mailbox full", MailboxFull, Full),
        (MX, "550 5.1.1 user is over quota", MailboxFull, Full),
        (MX, "550 your mailbox is not full but the user does not exist", UserUnknown, NoMailbox),
        // A code that a gateway puts in front of everything, and words that say more exactly.
        (MX, "550 5.1.1 message classified as spam", Spam, NoStatement),
        (MX, "550 5.1.1 blocked using a blocklist", Blocklisted, NoStatement),
        (MX, "550 5.2.1 User unknown", UserUnknown, NoMailbox),
        (MX, "550 5.1.6 recipient no longer exists", UserUnknown, NoMailbox),
        // Filtered mail and missing mailboxes have one answer, or nearly.
        ("mfsmax.docomo.ne.jp", "550 Unknown user u@docomo.ne.jp", Policy, NoStatement),
        ("lsean.ezweb.ne.jp", "550 : User unknown", Policy, NoStatement),
        ("lsean.ezweb.ne.jp", "550 <u@ezweb.ne.jp>: User unknown", UserUnknown, NoMailbox),
        // A recipient table of a gateway, which says no more.
        (MX, "550 #5.1.0 Address rejected.", UserUnknown, NoMailbox),
        (MX, "550 Address rejected.", RecipientRejected, NoStatement),
        // Hosts that take no mail, and name servers that do not answer.
        (MX, "521 mx.rcpt.example does not accept mail", DomainRefusesMail, AddressState::NoDomain),
        (MX, "550 Host or domain name not found", DomainUnknown, AddressState::NoDomain),
        (MX, "550 Name service error: Host not found, try again", Network, NoStatement),
        // Many languages, with their marks and without.
        (MX, "550 Benutzer existiert nicht", UserUnknown, NoMailbox),
        (MX, "552 Boîte aux lettres pleine", MailboxFull, Full),
        (MX, "552 boite aux lettres pleine", MailboxFull, Full),
        (MX, "550 Нет такого пользователя", UserUnknown, NoMailbox),
        (MX, "550 用户不存在", UserUnknown, NoMailbox),
        (MX, "550 宛先不明", UserUnknown, NoMailbox),
    ] {
        let verdict = refusal(host, text);
        if (verdict.reason, &verdict.address) != (reason, &address) {
            wrong.push(format!("{host}: {text}: {} {:?}", verdict.evidence.rule, verdict.address));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_reporting_host_adds_ends_no_address() {
    use Reason::*;
    let mut wrong = Vec::new();
    let added = "<<< 550 5.7.1 refused by policy\n550 5.1.1 <u@rcpt.example>... User unknown\n";
    for (status, diagnostic, prose, reason, hard) in [
        // Made up from three digits; the words tell, or nothing does.
        ("5.1.1", "550 go somewhere else", "550 5.1.1 <u@rcpt.example>... User unknown", RecipientRejected, false),
        ("5.2.2", "552 message does not fit", "", MessageTooLarge, false),
        ("5.1.1", "550 no such user", "", UserUnknown, true),
        ("5.1.1", "550 5.7.1 refused by policy", "User unknown", Policy, false),
        ("5.1.1", "", added, Policy, false),
        // The reporting host's own finding.
        ("5.1.1", "", "The user is unknown here.", UserUnknown, true),
        ("5.1.2", "", "Host unknown", DomainUnknown, true),
        ("5.0.0", "", "host mx.rcpt.example said: 550 5.1.1 no such user", UserUnknown, true),
        // What one gateway makes of another's reply.
        ("5.0.0", "5.1.0 - Unknown address error 550-'5.7.1 Access denied' (delivery attempts: 0)", "", Policy, false),
        // Refused before any recipient was named.
        ("5.1.1", "550 5.1.1 user unknown (in reply to MAIL FROM command)", "", SenderRejected, false),
        ("5.0.0", "", "SMTP error after initial connection: 550 no such user", Policy, false),
        // Given up.
        ("4.4.7", "", "message expired", Expired, false),
        ("5.4.7", "", "mailbox full, retry timeout exceeded", MailboxFull, false),
        // A class 4 that was turned into class 5, and one that was not.
        ("5.1.1", "450 4.1.1 user unknown", "", UserUnknown, true),
        ("4.1.1", "450 4.1.1 user unknown", "", UserUnknown, false),
    ] {
        let verdict = report(status, diagnostic, prose);
        if (verdict.reason, verdict.is_hard()) != (reason, hard) {
            wrong.push(format!("{status} {diagnostic:?} {prose:?}: {}", verdict.evidence.rule));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn our_own_smarthost_speaks_of_the_sender() {
    for (prose, reason) in [
        ("Relay access denied", Reason::RelayDenied),
        ("connect to mx.rcpt.example[192.0.2.1]:25: Connection timed out", Reason::Network),
        ("delivery temporarily suspended: no route to host", Reason::Network),
        ("message expired, retry timeout exceeded", Reason::Expired),
        ("message size exceeds the limit of this server", Reason::MessageTooLarge),
    ] {
        let verdict = report("5.0.0", "", prose);
        assert_eq!((verdict.reason, verdict.is_hard()), (reason, false), "{prose}: {}", verdict.evidence.rule);
    }
}
