//! Mail made from a fuzzer's octets: trees of parts, groups of a report, plain words, rather than noise that no reader
//! takes for mail.

use crate::analysis::{Kind, analyse};

/// Octets as a row of choices; when they are used up every choice is the first.
struct Choices<'f> {
    octets: &'f [u8],
}

impl<'f> Choices<'f> {
    fn next(&mut self) -> usize {
        match self.octets.split_first() {
            Some((first, rest)) => {
                self.octets = rest;
                usize::from(*first)
            }
            None => 0,
        }
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() % from.len()]
    }

    /// Some octets as they are, for the places where anything may stand.
    fn raw(&mut self) -> &'f [u8] {
        let length = (self.next() % 24).min(self.octets.len());
        let (raw, rest) = self.octets.split_at(length);
        self.octets = rest;
        raw
    }
}

const MEDIA: [&str; 14] = [
    "text/plain",
    "text/plain; charset=utf-7",
    "text/plain; charset=\"iso-2022-jp\"",
    "text/html",
    "message/delivery-status",
    "message/rfc822",
    "text/rfc822-headers",
    "message/disposition-notification",
    "message/feedback-report",
    "multipart/mixed; boundary=B",
    "multipart/report; report-type=delivery-status; boundary=B",
    "multipart/alternative; boundary=\"B",
    "application/zip; name=a!b!1!2.zip",
    "text/calendar",
];

const ENCODINGS: [&str; 4] = ["7bit", "base64", "quoted-printable", "x-none"];

const SUBJECTS: [&str; 10] = [
    "Undelivered Mail Returned to Sender",
    "Re: Undelivered Mail",
    "Fwd: Undelivered Mail",
    "Automatic reply: News",
    "Warning: message delayed",
    "=?utf-8?B?Tsik?= =?iso-2022-jp?Q?=1B?=",
    "Read: News",
    "Report Domain: send.example",
    "unsubscribe",
    "",
];

const WORDS: [&str; 26] = [
    "Your message could not be delivered.\n",
    "<ann@example.net>: ",
    "550 5.1.1 User unknown\n",
    "552 5.2.2 mailbox full\n",
    "will keep trying\n",
    "> quoted\n",
    "On Monday Ann wrote:\n",
    "--- Below this line is a copy of the message.\n",
    "Received: from a by b\n",
    "Return-Path: <b-tok@send.example>\n",
    ">>> DATA\n<<< 550 no\n",
    "Recipient: bob@example.net\n",
    "From: x\nSent: x\nTo: x\nSubject: x\n",
    "I am out of the office\n",
    "click here http://spam.example/?x\n",
    "To confirm that you are a human\n",
    "\\303\\251\\303",
    "\x1b$B4A;z\x1b(B",
    "+AOk-",
    "<blockquote><br>&lt;&#1;<style>",
    "{\"notificationType\":\"Bounce\",",
    "list moderator\n",
    "Mar  2 10:15:01 mx log\n",
    "Final-Recipient: rfc822; ann@example.net\nAction: failed\n",
    "was automatically rejected:\n",
    "\n",
];

const FROMS: [&str; 5] = [
    "MAILER-DAEMON@mx.rcpt.example",
    "Ann <ann@rcpt.example>",
    "postmaster@rcpt.example",
    "system0123456789abcdef0123456789abcdef@rcpt.example",
    "",
];

fn words(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    for _ in 0..choices.next() % 12 {
        match choices.next() {
            0..200 => out.extend_from_slice(choices.of(&WORDS).as_bytes()),
            _ => out.extend_from_slice(choices.raw()),
        }
    }
}

fn head(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let fields = [
        "Return-Path: <>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Precedence: bulk\r\n",
        "List-Id: <l.example>\r\n",
        "In-Reply-To: <m@send.example>\r\n",
        "X-Failed-Recipients: ann@example.net\r\n",
        "",
    ];
    for _ in 0..choices.next() % 4 {
        out.extend_from_slice(choices.of(&fields).as_bytes());
    }
    let (from, subject) = (choices.of(&FROMS), choices.of(&SUBJECTS));
    out.extend_from_slice(format!("From: {from}\r\nTo: b-tok@send.example\r\nSubject: {subject}\r\n").as_bytes());
}

/// A part with its header; a multipart has parts of its own, down to a depth that no real mail has.
fn part(choices: &mut Choices<'_>, depth: usize, out: &mut Vec<u8>) {
    let media =
        choices.of(&MEDIA).replace("boundary=B", &format!("boundary=b{depth}")).replace("\"B", &format!("b{depth}"));
    out.extend_from_slice(format!("Content-Type: {media}\r\n").as_bytes());
    if choices.next().is_multiple_of(3) {
        out.extend_from_slice(format!("Content-Transfer-Encoding: {}\r\n", choices.of(&ENCODINGS)).as_bytes());
    }
    if !choices.next().is_multiple_of(16) {
        out.extend_from_slice(b"\r\n");
    }
    if !media.starts_with("multipart/") || depth > 14 {
        if media.starts_with("message/rfc822") {
            head(choices, out);
            out.extend_from_slice(b"\r\n");
        }
        if media.starts_with("message/delivery-status") {
            groups(choices, out);
        }
        words(choices, out);
        return;
    }
    for _ in 0..choices.next() % 5 {
        out.extend_from_slice(format!("\r\n--b{depth}\r\n").as_bytes());
        part(choices, depth + 1, out);
    }
    if !choices.next().is_multiple_of(4) {
        out.extend_from_slice(format!("\r\n--b{depth}--\r\n").as_bytes());
    }
}

const LINES: [&str; 18] = [
    "Final-Recipient: rfc822; ann@example.net",
    "Final-Recipient: rfc822; bob@example.net",
    "Original-Recipient: rfc822; carl@example.net",
    "Final-Recipient: utf-8; jos\\x{E9}@example.net",
    "Final-Recipient:",
    "Action: failed",
    "Action: delayed",
    "Action: relayed",
    "Status: 5.1.1 (no such user)",
    "Status: 4.4.7",
    "Status: 2.0.0",
    "Status: 9.9.9",
    "Diagnostic-Code: smtp; 550 5.1.1 <ann@example.net> no such user",
    "Diagnostic-Code: smtp; 452 4.2.2 mailbox full",
    "Will-Retry-Until: Fri, 2 Jan 2026 10:00:00 +0000",
    "\tfolded",
    "Remote-MTA: dns; mx.example.net",
    "",
];

fn groups(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Reporting-MTA: dns; mx.rcpt.example\r\n\r\n");
    for _ in 0..choices.next() % 24 {
        out.extend_from_slice(choices.of(&LINES).as_bytes());
        if choices.next().is_multiple_of(12) {
            out.extend_from_slice(choices.raw());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// A tree of parts: whatever it is, it is read within bounds.
pub fn mime_tree(input: &[u8]) {
    let mut choices = Choices { octets: input };
    let mut message = Vec::new();
    head(&mut choices, &mut message);
    part(&mut choices, 0, &mut message);
    super::analysis(&message);
}

/// A delivery report: whom it speaks of stands in its groups, and the returned original adds nothing to what it says.
pub fn delivery_report(input: &[u8]) {
    let mut choices = Choices { octets: input };
    let mut report = Vec::new();
    groups(&mut choices, &mut report);
    let message = |original: &str| {
        let mut message = b"From: MAILER-DAEMON@mx.rcpt.example\r\nTo: b-tok@send.example\r\n\
            Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n\
            --b\r\nContent-Type: message/delivery-status\r\n\r\n"
            .to_vec();
        message.extend_from_slice(&report);
        message.extend_from_slice(b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: ");
        message.extend_from_slice(original.as_bytes());
        message.extend_from_slice(b"\r\n--b--\r\n");
        message
    };
    // Octets among the choices may close the part early; what follows is then no original.
    let closed = report.windows(3).any(|window| window == b"--b");
    let quiet = message("news\r\n\r\nHello\r\n");
    super::analysis(&quiet);
    if closed {
        return;
    }
    let told = analyse(&quiet);
    let shouted = analyse(&message(
        "550 5.1.1 user unknown\r\nX-Failed-Recipients: eve@example.org\r\n\r\n<eve@example.org>: 550 5.1.1 no such user\r\n",
    ));
    assert_eq!((told.kind, &told.findings), (shouted.kind, &shouted.findings), "the original spoke");
    for recipient in told.findings.iter().filter_map(|finding| finding.recipient.as_deref()) {
        assert!(!recipient.starts_with("b-tok@"), "our own return path failed");
    }
}

/// A message in plain words: within bounds, and never hard where a person answers with a quotation.
pub fn plain_words(input: &[u8]) {
    let mut choices = Choices { octets: input };
    let mut message = Vec::new();
    head(&mut choices, &mut message);
    message.extend_from_slice(b"\r\n");
    let start = message.len();
    words(&mut choices, &mut message);
    super::analysis(&message);
    let text = String::from_utf8_lossy(&message[start..]).into_owned();
    let quoted: String = text.lines().map(|line| format!("> {line}\r\n")).collect();
    let answer = format!(
        "From: Carl <carl@rcpt.example>\r\nTo: b-tok@send.example\r\nSubject: Re: Undelivered Mail\r\nIn-Reply-To: <m@send.example>\r\n\r\n\
         Thank you, I will phone her.\r\n\r\nOn Monday the mail system wrote:\r\n{quoted}"
    );
    let analysis = analyse(answer.as_bytes());
    assert_ne!(analysis.kind, Kind::Bounce, "{answer}");
}
