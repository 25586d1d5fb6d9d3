//! Whole messages as they come back in the field. Every name in them is made up.

use proptest::prelude::*;

use super::*;
use crate::fuzzing;
use crate::verdict::Outcome;

/// A multipart/report with a text for people, a report, and a returned header.
pub(super) fn report(head: &str, text: &str, groups: &str, returned: &str) -> String {
    let returned = match returned {
        "" => String::new(),
        fields => format!("--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{fields}\r\n"),
    };
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.rcpt.example\r\nTo: b-tok@send.example\r\n{head}\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.rcpt.example\r\n\r\n{groups}\r\n\
         {returned}--b--\r\n"
    )
}

const FAILED: &str = "Final-Recipient: rfc822; user@rcpt.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
                      Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n";

pub(super) fn read(message: &str) -> Analysis {
    analyse(message.as_bytes())
}

/// Kind, recipient, reason and hardness of the only finding.
pub(super) fn only(message: &str) -> (Kind, Option<String>, Reason, bool) {
    let analysis = read(message);
    assert_eq!(analysis.findings.len(), 1, "{:?}", analysis.findings);
    let finding = &analysis.findings[0];
    (analysis.kind, finding.recipient.clone(), finding.verdict.reason, finding.verdict.is_hard())
}

fn dead_user() -> (Kind, Option<String>, Reason, bool) {
    (Kind::Bounce, Some("user@rcpt.example".into()), Reason::UserUnknown, true)
}

#[test]
fn the_exact_code_in_the_text_wins_and_our_own_address_is_not_the_failed_one() {
    let text = "Sender Address: b-tok@send.example\r\nRecipient Address: user@rcpt.example\r\n\
                Reported error: 550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found";
    let vague = "Final-Recipient: rfc822; user@rcpt.example\r\nAction: failed\r\nStatus: 5.0.0\r\n";
    assert_eq!(only(&report("", text, vague, "")), dead_user());
    // The same words without any report part.
    let plain =
        format!("From: postmaster@rcpt.example\r\nTo: b-tok@send.example\r\nSubject: Undeliverable\r\n\r\n{text}\r\n");
    assert_eq!(only(&plain), dead_user());
}

#[test]
fn parts_are_found_by_their_media_type_in_any_setting() {
    for head in ["", "Auto-Submitted: auto-replied\r\n", "Subject: Re: hello\r\n", "In-Reply-To: <m@send.example>\r\n"]
    {
        assert_eq!(only(&report(head, "Sorry.", FAILED, "Message-ID: <m@send.example>")), dead_user(), "{head}");
    }
    let strange = report("", "Sorry.", FAILED, "")
        .replace("MAILER-DAEMON@", "exchange0123456789abcdef0123456789abcdef@")
        .replace("Return-Path: <>", "Return-Path: <noreply@lists.example>");
    assert_eq!(only(&strange), dead_user());
}

#[test]
fn a_report_without_a_recipient_is_a_bounce_all_the_same() {
    let nameless = "Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 gone\r\n";
    assert_eq!(only(&report("", "Sorry.", nameless, "")), (Kind::Bounce, None, Reason::UserUnknown, true));
    assert_eq!(read(&report("", "Sorry.", "", "")).kind, Kind::Bounce);
}

#[test]
fn the_report_part_may_be_encoded_or_wrongly_labelled() {
    let base = report("", "Sorry.", FAILED, "");
    let quoted = base
        .replace(
            "Content-Type: message/delivery-status",
            "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: quoted-printable",
        )
        .replace("no such user", "no such=20=\r\nuser");
    assert_eq!(only(&quoted), dead_user());
    for label in ["text/plain", "application/octet-stream", "message/global-delivery-status"] {
        assert_eq!(only(&base.replace("message/delivery-status", label)), dead_user(), "{label}");
    }
    let capital = base.replace("Action: failed", "ACTION: Failed (final)").replace("rfc822; user", "user");
    assert_eq!(only(&capital), dead_user());
}

#[test]
fn an_automatic_answer_is_no_bounce() {
    for (head, text) in [
        (
            "Auto-Submitted: auto-replied\r\nSubject: Re: News\r\n",
            "The inbox kijitora@rcpt.example is no longer in use.",
        ),
        (
            "Auto-Submitted: auto-replied\r\nSubject: Out of office\r\n",
            "I am away until Monday. For 550 euros call 555.",
        ),
        ("Subject: Auto: thank you\r\n", "We have received your message."),
    ] {
        let message =
            format!("Return-Path: <>\r\nFrom: ann@rcpt.example\r\nTo: b-tok@send.example\r\n{head}\r\n{text}\r\n");
        let analysis = read(&message);
        assert_eq!((analysis.kind, analysis.findings.len()), (Kind::AutoReply, 0), "{head}");
    }
}

#[test]
fn a_delay_is_a_delay_and_no_code_is_invented() {
    let delayed = "Final-Recipient: rfc822; user@rcpt.example\r\nAction: delayed\r\nStatus: 4.4.1\r\n\
                   Will-Retry-Until: Fri, 2 Jan 2026 10:00:00 +0000\r\n";
    let analysis = read(&report("", "Still trying.", delayed, ""));
    let finding = &analysis.findings[0];
    assert_eq!((analysis.kind, finding.verdict.outcome, finding.code), (Kind::Delayed, Outcome::Delayed, None));
    assert_eq!(finding.retries_until.unwrap().to_string(), "2026-01-02T10:00:00.000Z");
    let silent = "Final-Recipient: rfc822; user@rcpt.example\r\nAction: failed\r\nStatus: 5.0.0\r\n";
    let analysis = read(&report("", "Sorry.", silent, ""));
    let finding = &analysis.findings[0];
    assert_eq!((finding.kind, finding.code, finding.verdict.is_hard()), (Kind::Bounce, None, false));
}

#[test]
fn markup_is_no_address() {
    let html = "<!DOCTYPE html><html><head><style>td@media {}</style></head><body><td role=\"module-content\"><br>\
                Delivery failed: &lt;user@rcpt.example&gt;: 550 5.1.1 user unknown<br></td></body></html>";
    for media in ["text/html", "text/plain"] {
        let message = format!(
            "From: postmaster@rcpt.example\r\nTo: b-tok@send.example\r\nSubject: Undeliverable\r\nContent-Type: {media}\r\n\r\n{html}"
        );
        assert_eq!(only(&message), dead_user(), "{media}");
    }
}

#[test]
fn original_and_final_recipient_are_kept_apart() {
    let forwarded = "Original-Recipient: rfc822;alias@rcpt.example\r\nFinal-Recipient: rfc822;person@inner.example\r\n\
                     Action: failed\r\nStatus: 5.1.1\r\n";
    let analysis = read(&report("", "Sorry.", forwarded, ""));
    let finding = &analysis.findings[0];
    assert_eq!(finding.recipient.as_deref(), Some("person@inner.example"));
    assert_eq!(finding.original_recipient.as_deref(), Some("alias@rcpt.example"));
    assert_eq!(finding.final_recipient.as_deref(), Some("person@inner.example"));
}

#[test]
fn each_group_has_its_own_kind() {
    let groups = "Final-Recipient: rfc822; a@rcpt.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n\r\n\
                  Final-Recipient: rfc822; b@rcpt.example\r\nAction: delayed\r\nStatus: 4.2.2\r\n\r\n\
                  Final-Recipient: rfc822; c@rcpt.example\r\nAction: failed\r\nStatus: 5.1.1\r\n";
    let analysis = read(&report("", "<c@rcpt.example>: user unknown", groups, ""));
    let kinds: Vec<Kind> = analysis.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::Delivered, Kind::Delayed, Kind::Bounce]);
    assert_eq!(analysis.kind, Kind::Bounce);
    let reasons: Vec<Reason> = analysis.findings.iter().map(|finding| finding.verdict.reason).collect();
    assert_eq!(reasons[1..], [Reason::MailboxFull, Reason::UserUnknown]);
}

#[test]
fn success_never_lowers_an_address() {
    for action in ["delivered", "relayed", "expanded"] {
        let group = format!(
            "Final-Recipient: rfc822; user@rcpt.example\r\nAction: {action}\r\nStatus: 2.0.0\r\n\
             Diagnostic-Code: smtp; 250 2.0.0 Ok: queued as ABC\r\n"
        );
        let analysis = read(&report("", "Delivered.", &group, ""));
        let verdict = &analysis.findings[0].verdict;
        assert_eq!((analysis.kind, &verdict.outcome), (Kind::Delivered, &Outcome::Delivered), "{action}");
        assert_eq!((verdict.is_hard(), analysis.findings[0].code), (false, Some(250)));
    }
}

#[test]
fn a_wrapped_reply_is_read_as_one() {
    let message = "From: postmaster@mx.rcpt.example\r\nTo: b-tok@send.example\r\nSubject: Delivery failed\r\n\r\n\
        Your message was not delivered.\r\n\r\nFailed Recipient: user@rcpt.example\r\n\
        Reason: Remote host said: 550 5.1.1 The account does not exist. Please try\r\n5.1.1 double-checking\r\n";
    assert_eq!(only(message), dead_user());
}

#[test]
fn no_charset_stops_the_reading() {
    for (charset, encoding) in
        [("unicode-1-1-utf-7", "7bit"), ("us_ascii", "8bits"), ("x-nobody-knows", "x-unknown"), ("", "base64")]
    {
        let label = format!("text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}");
        let message = report("", "Sorry, n\u{fc}t.", FAILED, "").replace("text/plain", &label);
        assert_eq!(only(&message), dead_user(), "{charset}");
    }
}

#[test]
fn identifiers_come_from_the_returned_fields_as_far_as_they_are_there() {
    let returned = "Return-Path: <prvs=190694bd6d=b-tok@send.example>\r\nMessage-ID: <m.1@send.example>\r\nX-Mark: abc";
    let analysis = read(&report("", "Sorry.", FAILED, returned));
    assert_eq!(analysis.traces, ["prvs=190694bd6d=b-tok@send.example", "m.1@send.example", "abc"]);
    assert!(read(&report("", "Sorry.", FAILED, "From: a@send.example\r\nSubject: x")).traces.is_empty());
    assert!(read(&report("", "Sorry.", FAILED, "")).traces.is_empty());
}

#[test]
fn the_returned_original_does_not_speak() {
    let returned = "Subject: your mailbox is full, user unknown, 550 5.1.1\r\nX-Failed-Recipients: other@rcpt.example";
    let silent = "Final-Recipient: rfc822; user@rcpt.example\r\nAction: failed\r\nStatus: 5.0.0\r\n";
    let expected = (Kind::Bounce, Some("user@rcpt.example".into()), Reason::Undetermined, false);
    assert_eq!(only(&report("", "Sorry.", silent, returned)), expected);
}

#[test]
fn a_complaint_needs_its_type_only() {
    let complaint = |fields: &str| {
        format!(
            "From: fbl@provider.example\r\nTo: b-tok@send.example\r\n\
             Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
             --b\r\n\r\nA complaint.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n{fields}\r\n\
             --b\r\nContent-Type: message/rfc822\r\n\r\nReturn-Path: <b-tok@send.example>\r\nX-Mark: abc\r\n\r\nHi\r\n--b--\r\n"
        )
    };
    let bare = read(&complaint("Feedback-Type: abuse\r\nUser-Agent: example/1\r\nVersion: 0.1\r\n"));
    assert_eq!((bare.kind, bare.feedback_type.as_deref()), (Kind::Feedback, Some("abuse")));
    assert_eq!((bare.findings.len(), bare.traces.len()), (0, 2));
    let named = read(&complaint("Feedback-Type: abuse\r\nOriginal-Rcpt-To: <user@rcpt.example>\r\n"));
    assert_eq!(named.findings[0].recipient.as_deref(), Some("user@rcpt.example"));
    assert_eq!((named.findings[0].kind, named.findings[0].verdict.is_hard()), (Kind::Feedback, false));
    let blanked = read(&complaint("Feedback-Type: abuse\r\nOriginal-Rcpt-To: redacted\r\n"));
    assert_eq!((blanked.kind, blanked.findings.len()), (Kind::Feedback, 0));
}

#[test]
fn mail_without_a_report_is_no_bounce_whatever_it_quotes() {
    let person = "From: ann@rcpt.example\r\nTo: b-tok@send.example\r\n";
    for (head, text, kind) in [
        ("Return-Path: <>\r\nSubject: Minutes\r\n", "Here are the minutes.", Kind::Other),
        ("Subject: Re: News\r\nIn-Reply-To: <m@send.example>\r\n", "Thank you!", Kind::Reply),
        ("Subject: Re: Undelivered Mail\r\n", "> 550 5.1.1 user unknown\r\nWhat is this?", Kind::Reply),
        ("Subject: hello\r\n", "X-Id: tok\r\nX-Mark: abc\r\nMessage-ID: <m@send.example>", Kind::Other),
        ("Subject: Report Domain: send.example\r\n", "aggregate report", Kind::Other),
        ("Subject: Re: [list] x\r\nList-Id: <l.rcpt.example>\r\nIn-Reply-To: <a@b.example>\r\n", "post", Kind::Other),
    ] {
        let analysis = read(&format!("{person}{head}\r\n{text}\r\n"));
        assert_eq!((analysis.kind, analysis.findings.len()), (kind, 0), "{head}");
    }
    let receipt = report("Subject: Read: News\r\n", "Your message was read.", "Disposition: displayed\r\n", "")
        .replace("report-type=delivery-status", "report-type=disposition-notification")
        .replace("message/delivery-status", "message/disposition-notification");
    assert_eq!(read(&receipt).kind, Kind::Other);
}

#[test]
fn the_fingerprint_leaves_out_what_hosts_put_in_front() {
    let message = report("", "Sorry.", FAILED, "");
    let travelled = format!("Received: from a\r\n\tby b\r\nDelivered-To: x@send.example\r\n{message}");
    assert_eq!(read(&message).fingerprint, read(&travelled).fingerprint);
    assert_ne!(read(&message).fingerprint, read(&message.replace("Sorry", "sorry")).fingerprint);
}

#[test]
fn bombs_are_read_in_bounded_work() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(40_000);
    assert_eq!(read(&nested).kind, Kind::Other);
    let siblings: String =
        (0..20_000).map(|n| format!("--b\r\nContent-Type: multipart/mixed; boundary=never{n}\r\n\r\n")).collect();
    assert_eq!(read(&format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{siblings}")).kind, Kind::Other);
    let at_signs = format!("From: postmaster@x.example\r\nSubject: undeliverable\r\n\r\n{}", "a@".repeat(500_000));
    assert_eq!(read(&at_signs).findings.len(), 0);
    assert_eq!(read("").kind, Kind::Other);
}

proptest! {
    /// A real report with pieces taken out, doubled and overwritten.
    #[test]
    fn mangled_reports_are_read(cuts in proptest::collection::vec((0_usize..900, 0_usize..60, 0_u8..4, any::<u8>()), 1..8)) {
        let mut message = report("Subject: Undelivered\r\n", "<user@rcpt.example>: 550 5.1.1 unknown", FAILED, "Message-ID: <m@x.example>").into_bytes();
        for (at, length, action, byte) in cuts {
            let at = at.min(message.len());
            let end = (at + length).min(message.len());
            let piece = message[at..end].to_vec();
            match action {
                0 => drop(message.drain(at..end)),
                1 => drop(message.splice(at..at, piece)),
                2 => message[at..end].fill(byte),
                _ => message.insert(at, byte),
            }
        }
        fuzzing::analysis(&message);
        fuzzing::dsn(&message);
    }
}
