//! Refusals from the field as reports bring them: what they say of the address, and what they do not. Every name in
//! them is made up.

use super::Kind;
use super::field_cases::{only, read, report};
use crate::verdict::{AddressState, Advice, Outcome, Reason};

/// A report about `user@rcpt.example` with this status and this reply.
fn refused(status: &str, reply: &str) -> String {
    let groups = format!(
        "Final-Recipient: rfc822; user@rcpt.example\r\nAction: failed\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {reply}\r\n"
    );
    report("", "Your message could not be delivered.", &groups, "")
}

/// What is said of a sender, a site or a message leaves the address alone, whatever the code.
#[test]
fn a_code_of_the_recipient_with_words_about_the_sender_is_not_hard() {
    for (status, reply, reasons) in [
        (
            "5.1.1",
            "550 5.1.1 <user@rcpt.example> - 192.0.2.1 has sent to too many recipients this hour. IB607",
            &[Reason::RateLimited][..],
        ),
        (
            "5.1.0",
            "550 5.1.0 <msgid@ses.example> sender rejected. AUP#In-1310",
            &[Reason::SenderRejected, Reason::Policy, Reason::Blocklisted],
        ),
        ("5.0.0", "550 Connection frequency limited. http://service.mail.example/", &[Reason::RateLimited]),
        ("5.0.0", "host mx10.mailspamprotection.example said: 550 Quota exceeded", &[Reason::MailboxFull]),
        (
            "5.7.0",
            "552-5.7.0 This message was blocked because its content presents a potential security issue",
            &[Reason::ContentRejected, Reason::Virus, Reason::Policy],
        ),
        (
            "5.7.1",
            "554 5.7.1 [CS01] Message rejected due to local policy",
            &[Reason::Policy, Reason::ContentRejected, Reason::Spam],
        ),
        (
            "5.7.1",
            "554 5.7.1 <user@rcpt.example>: Recipient address rejected: Access denied",
            &[Reason::Policy, Reason::RecipientRejected],
        ),
        (
            "5.7.2",
            "553 5.7.2 [TSS06] All messages from 192.0.2.1 will be permanently deferred",
            &[Reason::Blocklisted, Reason::RateLimited],
        ),
        (
            "5.7.25",
            "550-5.7.25 [2001:db8::1] The IP address sending this message does not have a PTR record",
            &[Reason::ReverseDns],
        ),
    ] {
        let (kind, recipient, reason, hard) = only(&refused(status, reply));
        assert_eq!((kind, recipient.as_deref(), hard), (Kind::Bounce, Some("user@rcpt.example"), false), "{reply}");
        assert!(reasons.contains(&reason), "{reply}: {reason:?}");
    }
}

#[test]
fn words_about_the_mailbox_decide_where_the_code_is_vague() {
    for (status, reply, reason, hard) in [
        ("5.0.0", "552 1 Requested mail action aborted, mailbox not found", Reason::UserUnknown, true),
        ("5.0.0", "550 No such user here", Reason::UserUnknown, true),
        ("5.2.2", "552 5.2.2 mailbox full", Reason::MailboxFull, false),
        ("5.0.0", "552 User has exceeded the storage quota", Reason::MailboxFull, false),
    ] {
        let (kind, _, found, is_hard) = only(&refused(status, reply));
        assert_eq!((kind, found, is_hard), (Kind::Bounce, reason, hard), "{reply}");
    }
}

#[test]
fn a_full_mailbox_ends_the_message_and_not_the_address() {
    let analysis = read(&refused("5.2.2", "552 5.2.2 mailbox full"));
    let verdict = &analysis.findings[0].verdict;
    assert_eq!((&verdict.outcome, &verdict.address), (&Outcome::Failed, &AddressState::Full));
    let groups = "Final-Recipient: rfc822; user@rcpt.example\r\nAction: delayed\r\nStatus: 4.2.2\r\n\
                  Diagnostic-Code: smtp; 452 4.2.2 The recipient's inbox is out of storage space\r\n";
    let analysis = read(&report("", "Still trying.", groups, ""));
    let verdict = &analysis.findings[0].verdict;
    assert_eq!((analysis.kind, &verdict.address), (Kind::Delayed, &AddressState::Full));
}

/// The address stands in a field, and again in front of an indented reply.
#[test]
fn a_plain_text_with_the_address_in_field_and_block_is_read() {
    let message = "From: MAILER-DAEMON@rcpt.example\r\nTo: b-tok@send.example\r\nSubject: Mail delivery failed\r\n\
        X-Failed-Recipients: user@rcpt.example\r\n\r\nDie folgende Adresse ist nicht erreichbar:\r\n\r\n\
        -----------------------------------\r\n<user@rcpt.example>\r\n    552 5.2.2 <user@rcpt.example> mailbox full, quota exceeded\r\n\
        -----------------------------------\r\n";
    assert_eq!(only(message), (Kind::Bounce, Some("user@rcpt.example".into()), Reason::MailboxFull, false));
}

/// A forwarder has rewritten the To field; it names neither the recipient nor a failure.
#[test]
fn a_delay_through_a_forwarder_is_a_delay() {
    let groups = "Final-Recipient: rfc822; user@fwd.example\r\nAction: delayed\r\nStatus: 4.4.1\r\n";
    let message = report("", "Delivery is delayed.", groups, "")
        .replace("To: b-tok@send.example", "To: <SRS0=Cpi3=WK=send.example=b-tok@srs.fwd.example>");
    let analysis = read(&message);
    assert_eq!((analysis.kind, analysis.findings[0].recipient.as_deref()), (Kind::Delayed, Some("user@fwd.example")));
}

#[test]
fn an_author_whose_domain_forbids_it_is_the_senders_matter() {
    let message = "From: MAILER-DAEMON@lists.example\r\nTo: b-tok@send.example\r\nSubject: failure notice\r\n\r\n\
        Hi. This is the program at lists.example.\r\nI'm afraid I wasn't able to deliver your message to the following addresses.\r\n\
        This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n<user@rcpt.example>:\r\n\
        192.0.2.7 failed after I sent the message.\r\nRemote host said: 550-5.7.1 Unauthenticated email from author.example is not accepted due to domain's\r\n\
        550 5.7.1 DMARC policy. Please contact the administrator of author.example\r\n\r\n--- Below this line is a copy of the message.\r\n\r\n\
        Return-Path: <b-tok@send.example>\r\nSubject: x\r\n\r\nHi\r\n";
    let analysis = read(message);
    let verdict = &analysis.findings[0].verdict;
    assert_eq!((analysis.kind, verdict.reason, verdict.is_hard()), (Kind::Bounce, Reason::Authentication, false));
    assert_eq!(verdict.advice, Advice::FixSender);
}

/// The machine's fields decide first; the language of the words around them changes nothing.
#[test]
fn the_language_does_not_change_the_verdict() {
    let groups = "Final-Recipient: rfc822; user@rcpt.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
                  Diagnostic-Code: smtp; 550-5.1.1 The account that you tried to reach does not exist.\r\n";
    for text in [
        "Ihre Nachricht wurde nicht zugestellt, weil die Adresse nicht gefunden wurde oder keine E-Mails empfangen kann.",
        "Votre message n'a pas pu être remis, car l'adresse est introuvable.",
        "アドレスが見つからないため、メールは配信されませんでした。",
        "Адрес не найден, письмо не доставлено.",
        "Message text in no language that anybody knows: blorf.",
    ] {
        let right = (Kind::Bounce, Some("user@rcpt.example".into()), Reason::UserUnknown, true);
        assert_eq!(only(&report("", text, groups, "")), right, "{text}");
    }
}

/// Refused after DATA: the transcript has the remote host's words, the last line is the reporting host's.
#[test]
fn a_transcript_is_heard_before_the_line_below_it() {
    let message = "From: MAILER-DAEMON@mx.send.example\r\nTo: b-tok@send.example\r\nSubject: Returned mail: see transcript for details\r\n\r\n\
           ----- The following addresses had permanent fatal errors -----\r\n<user@rcpt.example>\r\n\r\n\
           ----- Transcript of session follows -----\r\n... while talking to mx.rcpt.example.:\r\n>>> DATA\r\n\
        <<< 550 Unknown user user@rcpt.example\r\n554 5.0.0 Service unavailable\r\n";
    assert_eq!(only(message), (Kind::Bounce, Some("user@rcpt.example".into()), Reason::UserUnknown, true));
}

#[test]
fn the_cause_is_kept_where_the_time_was_up_and_every_run_says_the_same() {
    let message = "From: Mail Delivery System <Mailer-Daemon@mx.rcpt.example>\r\nTo: b-tok@send.example\r\n\
        Subject: Mail delivery failed: returning message to sender\r\n\r\nThis message was created automatically by mail delivery software.\r\n\r\n\
        A message that you sent could not be delivered to one or more of its\r\nrecipients. This is a permanent error. The following address(es) failed:\r\n\r\n\
        \x20 save to /var/mail/user\r\n    generated by user@rcpt.example\r\n    mailbox is full: retry timeout exceeded\r\n\r\n\
        ------ This is a copy of the message, including all the headers. ------\r\n\r\nReturn-path: <b-tok@send.example>\r\nSubject: x\r\n\r\nHi\r\n";
    let first = read(message);
    assert_eq!((first.kind, first.findings[0].recipient.as_deref()), (Kind::Bounce, Some("user@rcpt.example")));
    assert_eq!((first.findings[0].verdict.reason, first.findings[0].verdict.is_hard()), (Reason::MailboxFull, false));
    for _ in 0..5 {
        assert_eq!(read(message), first);
    }
}

/// Lists of some systems send ordinary mail with an empty return path.
#[test]
fn an_empty_return_path_makes_no_bounce() {
    let message = "Return-Path: <>\r\nFrom: Ann Example <ann@rcpt.example>\r\nTo: b-tok@send.example, team@send.example\r\n\
        Subject: Minutes of Monday\r\n\r\nDear all,\r\n\r\nplease find the minutes below. The delivery of the chairs failed again.\r\n\r\nAnn\r\n";
    let analysis = read(message);
    assert_eq!((analysis.kind, analysis.findings.len()), (Kind::Other, 0));
}

#[test]
fn a_damaged_group_is_read_field_by_field_and_leaves_the_others_alone() {
    let groups = "Original-Recipient: rfc822; user@rcpt.example\r\nAction: Failed\r\nStatus: 5.1.1\r\n\
                  Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n\
                  Final-Recipient: other@rcpt.example\r\nAction: failed\r\nStatus: 5.2.2 (mailbox full)\r\n";
    let analysis = read(&report("", "Sorry.", groups, ""));
    let found: Vec<_> = analysis.findings.iter().map(|f| (f.recipient.as_deref().unwrap(), f.verdict.reason)).collect();
    assert_eq!(found, [("user@rcpt.example", Reason::UserUnknown), ("other@rcpt.example", Reason::MailboxFull)]);
}

/// An answer that says its mailbox is given up is a hint for a person, and no verdict.
#[test]
fn a_mailbox_that_answers_is_not_dead() {
    let message = "Return-Path: <>\r\nFrom: kijitora@rcpt.example\r\nTo: b-tok@send.example\r\nAuto-Submitted: auto-replied\r\n\
        Subject: Re: News\r\n\r\nThe inbox kijitora@rcpt.example is no longer in use.\r\n";
    let analysis = read(message);
    assert_eq!((analysis.kind, analysis.findings.len()), (Kind::AutoReply, 0));
    assert_eq!(analysis.hint, Some(super::Hint::Retired));
}

/// "Access denied" under this code is one provider's way to say that there is no such recipient; others mean access.
#[test]
fn who_speaks_decides_what_access_denied_means() {
    let theirs =
        refused("5.4.1", "550 5.4.1 Recipient address rejected: Access denied. [node.prod.protection.outlook.com]");
    let (_, _, reason, _) = only(&theirs);
    assert!(matches!(reason, Reason::UserUnknown | Reason::RecipientRejected), "{reason:?}");
    let another = refused("5.7.1", "554 5.7.1 <user@rcpt.example>: Recipient address rejected: Access denied");
    assert!(!only(&another).3);
}
