//! Returned mail that says what it has to say in plain words only: its general structure.
//!
//! Such a text announces that something was not delivered, names each address at the start of a line or behind a
//! label, lets the reason follow, and appends the original. The forms of particular mail systems are read elsewhere.

use super::fields::Fields;
use super::mailbox;
use super::signs::{self, SubjectSigns};
use crate::verdict::{Outcome, codes_in};

/// How many recipients are read, how many lines one reason has at most, and how long it is at most, in bytes.
const MAX_RECIPIENTS: usize = 50;
const MAX_REASON_LINES: usize = 12;
const MAX_REASON: usize = 2 * 1024;

/// What a text says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) recipient: Option<String>,
    pub(super) outcome: Outcome,
    /// The words that follow the address.
    pub(super) reason: String,
}

/// What is known of the message around the text.
pub(super) struct Setting<'s, 'm> {
    pub(super) fields: &'s Fields<'m>,
    pub(super) subject: SubjectSigns,
    /// Addresses that the message was sent to, which are ours and no failed recipients.
    pub(super) ours: &'s [String],
    /// Whether the message calls itself a delivery report, by its media type.
    pub(super) is_report: bool,
    /// Whether it calls itself an automatic answer.
    pub(super) is_answer: bool,
}

/// Reads a text whose returned original was cut off. Empty if it is no report of a failure or a delay.
pub(super) fn read(text: &str, setting: &Setting<'_, '_>) -> Vec<Mention> {
    let failed_field = setting.fields.value("X-Failed-Recipients");
    let from_daemon = is_from_daemon(setting.fields);
    let announced = (setting.subject.failed || setting.subject.delayed) && !setting.is_answer && !setting.subject.reply;
    let calls_itself_returned = setting.is_report || failed_field.is_some();
    // Most other mail ends here, unread.
    if !(calls_itself_returned || from_daemon || announced) {
        return Vec::new();
    }
    let mentions = mentions(text, setting.ours);
    let signs = signs::in_text(text);
    let quotes_code = || mentions.iter().any(|mention| quotes_refusal(&mention.1)) || quotes_refusal(text);
    if !(calls_itself_returned || signs.failed || signs.delayed || quotes_code()) {
        return Vec::new();
    }
    let given_up = setting.subject.failed && quotes_permanent(text);
    let delayed = setting.subject.delayed || (signs.delayed && !given_up);
    let outcome = if delayed { Outcome::Delayed } else { Outcome::Failed };
    if let Some(field) = failed_field {
        let named: Vec<&str> = mailbox::in_text(&field).map(|(_, _, address)| address).take(MAX_RECIPIENTS).collect();
        if !named.is_empty() {
            let reason_of = |address: &str| {
                let about = mentions.iter().find(|mention| mailbox::same(&mention.0, address));
                about.map(|mention| mention.1.clone()).unwrap_or_default()
            };
            return named
                .into_iter()
                .map(|address| Mention { recipient: Some(address.into()), outcome, reason: reason_of(address) })
                .collect();
        }
    }
    if mentions.is_empty() {
        let recipient = mailbox::in_text(text)
            .map(|(_, _, address)| address)
            .find(|address| !is_ours(address, setting.ours) && !is_daemon_address(address));
        return vec![Mention { recipient: recipient.map(str::to_string), outcome, reason: String::new() }];
    }
    mentions.into_iter().map(|(address, reason)| Mention { recipient: Some(address), outcome, reason }).collect()
}

/// The part of a text that speaks of one address: from each line that names it to the next one that names another,
/// or to a ruled line.
pub(super) fn about(text: &str, address: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.lines() {
        let mut named = mailbox::in_text(line).map(|(_, _, found)| found).peekable();
        if named.peek().is_some() {
            inside = named.any(|found| mailbox::same(found, address));
        } else if line.trim_start().starts_with("----") {
            inside = false;
        }
        if inside && kept.len() < MAX_REASON {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The addresses that stand at the start of a line or behind a label, each with the words that follow.
fn mentions(text: &str, ours: &[String]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    // Which mention the lines belong to, and how many of them were taken.
    let mut current: Option<(usize, usize)> = None;
    for line in text.lines() {
        // A quoted line is what somebody answered to.
        if line.starts_with('>') {
            continue;
        }
        if let Some((address, rest)) =
            head(line).filter(|(address, _)| !is_ours(address, ours) && !is_daemon_address(address))
        {
            let known = found.iter().position(|(known, _)| mailbox::same(known, address));
            let place = known.unwrap_or(found.len());
            if known.is_none() && found.len() < MAX_RECIPIENTS {
                found.push((address.to_string(), String::new()));
            }
            current = Some((place, 0));
            add(&mut found, place, rest);
        } else if let Some((place, lines)) = current {
            let empty = line.trim().is_empty();
            let has_reason = found.get(place).is_some_and(|(_, reason)| !reason.is_empty());
            if (empty && has_reason) || lines >= MAX_REASON_LINES {
                current = None;
            } else if !empty {
                add(&mut found, place, line);
                current = Some((place, lines + 1));
            }
        }
    }
    found
}

fn add(found: &mut [(String, String)], place: usize, words: &str) {
    let words = words.trim();
    if let Some((_, reason)) = found.get_mut(place)
        && !words.is_empty()
        && reason.len() + words.len() < MAX_REASON
    {
        if !reason.is_empty() {
            reason.push('\n');
        }
        reason.push_str(words);
    }
}

/// An address at the start of a line, or behind a label that speaks of a recipient, and what follows it.
fn head(line: &str) -> Option<(&str, &str)> {
    let (start, end, address) = mailbox::in_text(line).next()?;
    let before = line[..start].trim_matches(|c: char| c.is_whitespace() || "<([\"'*-".contains(c));
    let after = line[end..].trim_start_matches(['>', ')', ']', '"', '\'']);
    if before.is_empty() {
        // A sentence may begin with an address too; a reason follows it directly, behind a colon, or on the next line.
        return Some((address, after.trim_start_matches([':', ';', ',', '.', ' ', '\t', '-'])));
    }
    let label = before.strip_suffix([':', '=', ';'])?.trim_end().to_ascii_lowercase();
    let label = label.rsplit([';', ':']).next().unwrap_or_default().trim();
    let names_recipient =
        ["recipient", "rcpt", "user", "to", "address", "addressee", "mailbox", "rfc822"].iter().any(|word| {
            label
                .split(|c: char| !c.is_ascii_alphanumeric())
                .any(|part| part.trim_end_matches('s') == *word || part == *word)
        });
    let names_sender = ["sender", "from", "reply"].iter().any(|word| label.contains(word));
    (names_recipient && !names_sender && label.len() <= 60)
        .then_some((address, after.trim_start_matches([':', ';', ' ', '\t'])))
}

/// Whether a text quotes a code of class 4 or 5.
fn quotes_refusal(text: &str) -> bool {
    let codes = codes_in(text);
    codes.code.is_some_and(|code| code >= 400) || codes.status.is_some_and(|status| status.class() != 2)
}

fn quotes_permanent(text: &str) -> bool {
    let codes = codes_in(text);
    codes.code.is_some_and(|code| code >= 500) || codes.status.is_some_and(|status| status.is_permanent())
}

/// Whether the From field names a mail system.
fn is_from_daemon(fields: &Fields<'_>) -> bool {
    fields.value("From").is_some_and(|from| match mailbox::in_text(&from).next() {
        Some((_, _, address)) => is_daemon_address(address),
        None => from.split(|c: char| c.is_whitespace() || "<>\"@()".contains(c)).any(signs::is_daemon),
    })
}

fn is_daemon_address(address: &str) -> bool {
    address.rsplit_once('@').is_some_and(|(local, _)| signs::is_daemon(local))
}

fn is_ours(address: &str, ours: &[String]) -> bool {
    ours.iter().any(|known| mailbox::same(known, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::signs::in_subject;

    fn read_plain(head: &str, subject: &str, text: &str) -> Vec<Mention> {
        let (fields, _) = Fields::read(head.as_bytes());
        let ours = ["b-tok@send.example".to_string()];
        let subject = in_subject(subject);
        read(text, &Setting { fields: &fields, subject, ours: &ours, is_report: false, is_answer: false })
    }

    #[test]
    fn labelled_recipients_and_wrapped_replies_are_read() {
        let text = "Your message was not delivered.\r\n\r\nSender: b-tok@send.example\r\nFailed Recipient: u@gmail.example\r\n\
            Reason: Remote host said: 550 5.1.1 The account does not exist. Please try\r\n5.1.1 double-checking\r\n\r\nBye\r\n";
        let found = read_plain("From: MAILER-DAEMON@mx.example\n", "Delivery failed", text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].recipient.as_deref(), Some("u@gmail.example"));
        assert!(found[0].reason.ends_with("double-checking") && !found[0].reason.contains("Bye"));
    }

    #[test]
    fn each_address_at_the_start_of_a_line_has_its_own_reason() {
        let text = "could not be delivered to:\n\n<ann@example.net>:\n550 no such user\n\n<bob@example.net>: 552 over quota\n\nThe end of bob@example.net\n";
        let found = read_plain("From: postmaster@mx.example\n", "x", text);
        let reasons: Vec<_> =
            found.iter().map(|mention| (mention.recipient.as_deref().unwrap(), mention.reason.as_str())).collect();
        assert_eq!(reasons, [("ann@example.net", "550 no such user"), ("bob@example.net", "552 over quota")]);
    }

    #[test]
    fn what_does_not_speak_of_failure_is_none() {
        assert!(read_plain("From: ann@example.net\n", "Re: Undelivered mail", "> 550 user unknown\nThanks").is_empty());
        assert!(read_plain("From: ann@example.net\nReturn-Path: <>\n", "Meeting", "See you at five.").is_empty());
        assert!(read_plain("From: postmaster@example.net\n", "Welcome", "Your mailbox is ready.").is_empty());
    }

    #[test]
    fn a_delay_is_a_delay() {
        let text = "Delivery to ann@example.net is delayed. The server will keep trying.";
        assert_eq!(read_plain("From: postmaster@mx.example\n", "Delivery delayed", text)[0].outcome, Outcome::Delayed);
    }
}
