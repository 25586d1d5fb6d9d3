//! How fast messages that came back are analysed, against the whole-message parser of mail-parser on the same bytes.
//!
//! `cargo bench --bench analysis`. Each line: messages a second analysed, messages a second parsed, and the first by
//! the second.

use std::hint::black_box;
use std::time::{Duration, Instant};

use returnpath::analyse;

/// How long each measurement lasts.
const LASTS: Duration = Duration::from_millis(500);

fn main() {
    let body = "The quick brown fox jumps over the lazy dog, again and again.\r\n".repeat(150);
    let cases = [
        ("report, 1 kB", report("X-Mark: abc\r\n")),
        ("report with the original, 11 kB", report(&format!("X-Mark: abc\r\n\r\n{body}"))),
        ("plain words, 1 kB", plain_words()),
        ("a person's reply, 10 kB", format!("From: ann@example.net\r\nSubject: Re: News\r\n\r\n{body}")),
    ];
    let parser = mail_parser::MessageParser::default();
    for (name, message) in &cases {
        let message = message.as_bytes();
        let analysed = rate(|| analyse(black_box(message)).findings.len());
        let parsed = rate(|| parser.parse(black_box(message)).map_or(0, |parsed| parsed.parts.len()));
        println!("{name:34} {analysed:9.0}/s analysed {parsed:9.0}/s parsed   ratio {:.2}", analysed / parsed);
    }
}

/// Calls a second.
fn rate(call: impl Fn() -> usize) -> f64 {
    // A stopwatch is the one thing here that needs the clock.
    #[allow(clippy::disallowed_methods)]
    let begin = Instant::now();
    let mut calls = 0_u32;
    while begin.elapsed() < LASTS {
        for _ in 0..100 {
            black_box(call());
        }
        calls += 100;
    }
    f64::from(calls) / begin.elapsed().as_secs_f64()
}

fn report(returned: &str) -> String {
    format!(
        "Return-Path: <>\r\nReceived: from mx.example.net by mx.b.example.org; Fri, 2 Jan 2026 10:00:00 +0000\r\n\
         From: MAILER-DAEMON@mx.example.net (Mail Delivery System)\r\nTo: b-tok@b.example.org\r\n\
         Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"x.1/mx.example.net\"\r\n\r\n\
         --x.1/mx.example.net\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         Your message could not be delivered to one recipient. It is attached below.\r\n\r\n\
         <ann@example.net>: host mx.example.net[192.0.2.1] said: 550 5.1.1 <ann@example.net>: user unknown\r\n\
         (in reply to RCPT TO command)\r\n\r\n--x.1/mx.example.net\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example.net\r\nArrival-Date: Fri, 2 Jan 2026 09:59:58 +0000\r\n\r\n\
         Final-Recipient: rfc822; ann@example.net\r\nOriginal-Recipient: rfc822;ann@example.net\r\nAction: failed\r\n\
         Status: 5.1.1\r\nRemote-MTA: dns; mx.example.net\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 <ann@example.net>: user unknown\r\n\r\n\
         --x.1/mx.example.net\r\nContent-Type: message/rfc822\r\n\r\nReturn-Path: <b-tok@b.example.org>\r\n\
         Message-ID: <m.1@example.org>\r\nFrom: news@example.org\r\nSubject: News\r\n{returned}\r\n\
         --x.1/mx.example.net--\r\n"
    )
}

fn plain_words() -> String {
    "From: MAILER-DAEMON@mx.example.net\r\nTo: b-tok@b.example.org\r\nSubject: failure notice\r\n\r\n\
     Your message was not delivered to the following address.\r\n\r\n<ann@example.net>:\r\n\
     192.0.2.1 does not like the recipient.\r\nRemote host said: 550 5.1.1 no such user\r\n\r\n\
     --- Below this line is a copy of the message.\r\n\r\nReturn-Path: <b-tok@b.example.org>\r\n\
     Message-ID: <m.1@example.org>\r\nFrom: news@example.org\r\nSubject: News\r\n\r\nHello.\r\n"
        .to_string()
}
