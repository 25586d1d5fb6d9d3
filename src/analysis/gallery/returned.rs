//! Mail that does return something: reports by the standard, and plain texts in the general forms.

use super::Mail;
use super::tongue::{TONGUES, Tongue};

const ORIGINAL: &str = "Return-Path: <b-tok@send.example>\nReceived: from app.send.example by mx.rcpt.example; Mon, 2 Mar 2026 10:15:00 +0000\n\
    From: News <news@send.example>\nTo: ann@example.net\nSubject: News of the week\nMessage-ID: <m.1@send.example>\n\nHello\n";

const REFUSALS: [(&str, &str); 4] = [
    ("5.1.1", "550 5.1.1 <ann@example.net>: Recipient address rejected: User unknown"),
    ("5.2.2", "552 5.2.2 Mailbox full"),
    ("5.7.1", "554 5.7.1 Message rejected as spam"),
    ("5.0.0", "550 Requested action not taken: mailbox unavailable"),
];

/// Reports by RFC 3464, their text in each language.
pub(super) fn reports() -> Vec<Mail> {
    let mut mails = Vec::new();
    for (number, tongue) in TONGUES.iter().enumerate() {
        for (which, (status, reply)) in REFUSALS.iter().enumerate() {
            let [subject, text] = tongue.failed;
            let from = froms(number + which);
            let mail = Mail::new(format!("report in {} about {status}", tongue.code), from, subject, format!("{text}\n\nann@example.net\n"))
                .container("multipart/report; report-type=delivery-status")
                .part(
                    "Content-Type: message/delivery-status",
                    format!("Reporting-MTA: dns; mx.rcpt.example\n\nFinal-Recipient: rfc822; ann@example.net\nAction: failed\nStatus: {status}\nDiagnostic-Code: smtp; {reply}\n"),
                )
                .part("Content-Type: message/rfc822", ORIGINAL);
            mails.push(match (number + which) % 3 {
                0 => mail.null_sender(),
                1 => mail.with("Auto-Submitted", "auto-replied"),
                _ => mail.with("In-Reply-To", "<m.1@send.example>"),
            });
        }
    }
    mails
}

/// Plain texts: an announcement, the address, the reason, the original.
pub(super) fn texts() -> Vec<Mail> {
    let mut mails = Vec::new();
    for (number, tongue) in TONGUES.iter().enumerate() {
        for (which, (_, reply)) in REFUSALS.iter().enumerate() {
            mails.push(text(tongue, number + which, reply));
        }
    }
    mails
}

fn text(tongue: &Tongue, number: usize, reply: &str) -> Mail {
    let [subject, words] = tongue.failed;
    let body = match number % 3 {
        0 => format!("{words}\n\n<ann@example.net>: {reply}\n\n"),
        1 => format!("{words}\n\n  ann@example.net\n    {reply}\n\n"),
        _ => format!("{words}\n\n<ann@example.net>:\nRemote host said: {reply}\n\n"),
    };
    let about = format!("text in {} number {number}", tongue.code);
    let mail = Mail::new(
        about,
        froms(number),
        subject,
        format!("{body}--- Below this line is a copy of the message.\n\n{ORIGINAL}"),
    );
    match number % 2 {
        0 => mail.null_sender(),
        _ => mail.with("Auto-Submitted", "auto-replied"),
    }
}

fn froms(number: usize) -> &'static str {
    [
        "MAILER-DAEMON@mx.rcpt.example (Mail Delivery System)",
        "postmaster@rcpt.example",
        "Mail Delivery Subsystem <mailer-daemon@rcpt.example>",
    ][number % 3]
}
