//! Generated mail of every kind, and what must never be taken for what.
//!
//! Templates in many languages, crossed with ways to quote, with headers and with encodings. What returns nothing must
//! not be called returned mail, least of all hard; and so that this cannot be had by calling nothing returned mail,
//! reports and plain texts that do return something are generated beside it.

mod lures;
mod persons;
mod responders;
mod returned;
mod systems;
mod tongue;

use super::{Analysis, Kind, analyse};

/// A message before it is encoded.
#[derive(Debug, Clone)]
struct Mail {
    /// What it imitates; named where it is misread.
    about: String,
    /// Fields but Subject and what says how the text is encoded.
    fields: Vec<(String, String)>,
    subject: String,
    text: String,
    /// Further parts: their header fields and their body.
    parts: Vec<(String, String)>,
    /// The media type of the whole, if it has further parts.
    container: &'static str,
}

impl Mail {
    fn new(about: impl Into<String>, from: &str, subject: impl Into<String>, text: impl Into<String>) -> Mail {
        let mail = Mail {
            about: about.into(),
            fields: Vec::new(),
            subject: subject.into(),
            text: text.into(),
            parts: Vec::new(),
            container: "multipart/mixed",
        };
        mail.with("From", from).with("To", "b-tok@send.example").with("Date", "Mon, 2 Mar 2026 10:20:00 +0000")
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Mail {
        self.fields.push((name.into(), value.into()));
        self
    }

    fn null_sender(mut self) -> Mail {
        self.fields.insert(0, ("Return-Path".into(), "<>".into()));
        self
    }

    fn part(mut self, head: impl Into<String>, body: impl Into<String>) -> Mail {
        self.parts.push((head.into(), body.into()));
        self
    }

    fn container(mut self, media: &'static str) -> Mail {
        self.container = media;
        self
    }

    /// The message as octets, its text in one of the ways in which texts travel.
    fn dress(&self, dress: Dress) -> Vec<u8> {
        let mut message = String::new();
        for (name, value) in &self.fields {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        let subject = match dress {
            Dress::Plain | Dress::Page if self.subject.is_ascii() => self.subject.clone(),
            Dress::Plain => format!("=?UTF-8?B?{}?=", base64(self.subject.as_bytes())),
            Dress::Page | Dress::Alternative | Dress::Base64 => split_words(&self.subject),
        };
        message.push_str(&format!("Subject: {subject}\r\nMIME-Version: 1.0\r\n"));
        let text = self.text.replace('\n', "\r\n");
        let plain =
            format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n");
        let page = format!("Content-Type: text/html; charset=utf-8\r\n\r\n{}\r\n", page(&self.text));
        let body = match dress {
            Dress::Plain => plain,
            Dress::Base64 => format!(
                "Content-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
                folded(&base64(text.as_bytes()))
            ),
            Dress::Page => page,
            Dress::Alternative => format!(
                "Content-Type: multipart/alternative; boundary=alt\r\n\r\n--alt\r\n{plain}--alt\r\n{page}--alt--\r\n"
            ),
        };
        if self.parts.is_empty() {
            message.push_str(&body);
        } else {
            message.push_str(&format!("Content-Type: {}; boundary=\"=_x\"\r\n\r\n--=_x\r\n{body}", self.container));
            for (head, body) in &self.parts {
                message.push_str(&format!("\r\n--=_x\r\n{head}\r\n\r\n{}\r\n", body.replace('\n', "\r\n")));
            }
            message.push_str("--=_x--\r\n");
        }
        message.into_bytes()
    }
}

/// How the text of a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dress {
    Plain,
    Base64,
    Page,
    Alternative,
}

const DRESSES: [Dress; 4] = [Dress::Plain, Dress::Base64, Dress::Page, Dress::Alternative];

/// A text as a page; lines that are marked as quoted become a quotation.
fn page(text: &str) -> String {
    let mut html = String::from("<html><head><title>x</title></head><body>");
    let mut quoted = false;
    for line in text.lines() {
        let (marked, words) = line.strip_prefix('>').map_or((false, line), |words| (true, words));
        if marked != quoted {
            html.push_str(if marked { "<blockquote type=\"cite\">" } else { "</blockquote>" });
            quoted = marked;
        }
        let escaped = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        html.push_str(&format!("{escaped}<br>\r\n"));
    }
    if quoted {
        html.push_str("</blockquote>");
    }
    html + "</body></html>"
}

/// RFC 2047 words of a few octets each; characters are split between them, as some programs do.
fn split_words(text: &str) -> String {
    let words: Vec<String> =
        text.as_bytes().chunks(20).map(|octets| format!("=?utf-8?B?{}?=", base64(octets))).collect();
    words.join("\r\n ")
}

fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in octets.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) as usize & 63;
            text.push(if at <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

fn folded(text: &str) -> String {
    text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\r\n")
}

/// Analyses each message in each dress, and shows those that are misread.
fn judge(mails: &[Mail], right: impl Fn(&Analysis) -> bool) -> (usize, Vec<String>) {
    let mut asked = 0;
    let mut wrong = Vec::new();
    for mail in mails {
        for dress in DRESSES {
            let analysis = analyse(&mail.dress(dress));
            asked += 1;
            if !right(&analysis) {
                let hard = analysis.findings.iter().any(|finding| finding.verdict.is_hard());
                wrong.push(format!(
                    "{} as {dress:?}: {}{}",
                    mail.about,
                    analysis.kind,
                    if hard { ", hard" } else { "" }
                ));
            }
        }
    }
    (asked, wrong)
}

/// All that returns nothing.
fn others() -> Vec<Mail> {
    [persons::all(), responders::all(), systems::all(), lures::all()].concat()
}

#[test]
fn what_returns_nothing_is_not_called_returned() {
    let (asked, wrong) = judge(&others(), |analysis| analysis.kind != Kind::Bounce && analysis.kind != Kind::Delayed);
    assert!(asked >= 1_000, "{asked}");
    assert!(wrong.len() <= 1, "{} of {asked} are misread:\n{}", wrong.len(), wrong.join("\n"));
    let hard = wrong.iter().filter(|wrong| wrong.ends_with("hard")).count();
    assert_eq!(hard, 0, "{wrong:?}");
}

#[test]
fn automatic_answers_are_told_from_answers_of_people() {
    let (asked, wrong) = judge(&responders::all(), |analysis| analysis.kind == Kind::AutoReply);
    assert!(wrong.len() * 200 <= asked, "{} of {asked} are misread:\n{}", wrong.len(), wrong.join("\n"));
    let (asked, wrong) = judge(&persons::all(), |analysis| matches!(analysis.kind, Kind::Reply | Kind::Other));
    assert!(wrong.len() * 200 <= asked, "{} of {asked} are misread:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn notices_of_systems_are_no_answers() {
    let (asked, wrong) = judge(&[systems::all(), lures::all()].concat(), |analysis| analysis.kind == Kind::Other);
    assert!(wrong.len() * 100 <= asked, "{} of {asked} are misread:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_is_returned_is_called_returned() {
    let mails = returned::reports();
    let (asked, wrong) = judge(&mails, |analysis| analysis.kind == Kind::Bounce);
    assert!(asked >= 300 && wrong.is_empty(), "{} of {asked} are misread:\n{}", wrong.len(), wrong.join("\n"));
    let mails = returned::texts();
    let (asked, wrong) = judge(&mails, |analysis| analysis.kind == Kind::Bounce);
    assert!(
        asked >= 300 && wrong.len() * 200 <= asked,
        "{} of {asked} are misread:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
