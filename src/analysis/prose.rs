//! Returned mail that says what it has to say in plain words only: its general structure.
//!
//! Such a text announces that something was not delivered, names each address at the start of a line or behind a
//! label, lets the reason follow, and appends the original. The forms of particular mail systems are read elsewhere.

use super::fields::Fields;
use super::labels::{self, Label};
use super::listed::{CLOSING, OPENING, mentions};
use super::mailbox;
use super::signs::{self, SubjectSigns};
use super::transcript;
use crate::verdict::{Outcome, codes_in};

/// How many recipients are read, and how long one reason is at most, in bytes.
pub(super) const MAX_RECIPIENTS: usize = 50;
pub(super) const MAX_REASON: usize = 2 * 1024;

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
    /// Whether it brings a message back, as a part or at the end of its text.
    pub(super) returns: bool,
}

/// Whether something around the text says that mail comes back: its media type, a field, who it is from, its subject,
/// or an empty return path with a message that is returned. Most other mail ends here, unread.
pub(super) fn is_announced(setting: &Setting<'_, '_>) -> bool {
    // Reports are marked as automatic answers too: what the subject calls itself counts for more.
    let answers = setting.subject.reply || setting.subject.answer;
    let announced = (setting.subject.failed || setting.subject.delayed) && !answers;
    setting.is_report
        || announced
        || failed_field(setting.fields).is_some()
        || is_from_daemon(setting.fields)
        || (setting.returns && has_null_path(setting.fields) && !setting.is_answer)
}

/// Reads a text whose returned original was cut off. Empty if it is no report of a failure or a delay.
pub(super) fn read(text: &str, setting: &Setting<'_, '_>) -> Vec<Mention> {
    let answers = setting.subject.reply || setting.subject.answer;
    let announced = is_announced(setting);
    // In a language that nobody has written down: an address, a refusal below it, and a message that is returned.
    if !announced && (!setting.returns || answers) {
        return Vec::new();
    }
    let mentions = mentions(text, setting.ours);
    let refused = mentions.iter().any(|mention| quotes_refusal(&mention.1));
    if (!announced && !refused) || (transcript::is_of_server(text) && transcript::refusals(text).is_empty()) {
        return Vec::new();
    }
    let said = Said::of(text);
    let by_name = setting.is_report || failed_field(setting.fields).is_some();
    let from_daemon = is_from_daemon(setting.fields);
    let titled = (setting.subject.failed || setting.subject.delayed) && !answers;
    let explained = mentions.iter().any(|mention| !mention.1.is_empty());
    let known = known(text, setting, mentions, &said, None);
    let names_one = known.iter().any(|mention| mention.recipient.is_some());
    // Who sends it, what it calls itself and what it brings back tell in any language; then an address is enough.
    let by_structure = from_daemon && (setting.returns || titled) && !setting.is_answer && names_one;
    // A title alone is anybody's ("Your parcel could not be delivered"): then the text must name an address and say
    // what became of it.
    let returns =
        by_name || setting.returns || explained || (names_one && (from_daemon || says_so_of_one(text, setting)));
    let speaks = said.failed || said.delayed || refused || quotes_refusal(text);
    if by_name || by_structure || (speaks && returns) { known } else { Vec::new() }
}

/// Whether a sentence names an address that is not ours and says that mail was not delivered.
fn says_so_of_one(text: &str, setting: &Setting<'_, '_>) -> bool {
    spoken_of_ranked(text, setting).is_some_and(|(rank, _)| rank < 2)
}

/// Reads a text of which it is known that it reports a failure or a delay, in a form that says which or not.
pub(super) fn read_known(text: &str, setting: &Setting<'_, '_>, outcome: Option<Outcome>) -> Vec<Mention> {
    known(text, setting, mentions(text, setting.ours), &Said::of(text), outcome)
}

/// What the words of a text say.
struct Said {
    failed: bool,
    delayed: bool,
    gave_up: bool,
    contact: bool,
}

impl Said {
    fn of(text: &str) -> Said {
        let marks = labels::marks_in(text);
        let signs = signs::in_text(text);
        Said {
            failed: signs.failed || marks.failed,
            delayed: signs.delayed || marks.delayed,
            gave_up: marks.gave_up,
            contact: marks.contact,
        }
    }
}

fn known(
    text: &str,
    setting: &Setting<'_, '_>,
    mut mentions: Vec<(String, String)>,
    said: &Said,
    outcome: Option<Outcome>,
) -> Vec<Mention> {
    let outcome = outcome.unwrap_or_else(|| {
        let titled_failed = setting.subject.failed && !setting.subject.delayed;
        let given_up = said.gave_up || (titled_failed && quotes_permanent(text));
        let is_delay = (setting.subject.delayed || said.delayed) && !given_up;
        if is_delay { Outcome::Delayed } else { Outcome::Failed }
    });
    if let Some(field) = failed_field(setting.fields) {
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
    add_replies(&mut mentions, text);
    if mentions.is_empty() {
        let recipient =
            spoken_of(text, setting).or_else(|| bare_name(text, setting.fields)).or_else(|| own(text, setting));
        return vec![Mention { recipient, outcome, reason: String::new() }];
    }
    mentions.into_iter().map(|(address, reason)| Mention { recipient: Some(address), outcome, reason }).collect()
}

/// Whether an address that stands where a failed recipient stands may be one: none of ours.
pub(super) fn may_have_failed(address: &str, setting: &Setting<'_, '_>) -> bool {
    !mailbox::is_among(address, setting.ours)
}

/// The first address that a text names as a failed recipient's.
pub(super) fn first_recipient(text: &str, ours: &[String]) -> Option<String> {
    let listed = mentions(text, ours).into_iter().next().map(|mention| mention.0);
    listed.or_else(|| {
        mailbox::in_text(text).map(|found| found.2).find(|address| is_foreign(address, ours)).map(str::to_string)
    })
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

/// A text without the subjects that it quotes: they are the sender's words. Their labels stay, by which a quoted head
/// is known.
pub(super) fn without_topics(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let label = line.split_once([':', '\u{ff1a}']).map(|(label, _)| label).filter(|label| label.len() <= 60);
        match label {
            Some(label) if !line.starts_with('{') && labels::read(label) == Some(Label::Topic) => {
                kept.push_str(label);
                kept.push_str(":\n");
            }
            _ => kept.push_str(line),
        }
    }
    kept
}

/// Adds what a transcript of the conversation says: the reply to a recipient's RCPT.
fn add_replies(mentions: &mut Vec<(String, String)>, text: &str) {
    for (address, reply) in transcript::refusals(text) {
        let has_room = mentions.len() < MAX_RECIPIENTS;
        match mentions.iter_mut().find(|mention| mailbox::same(&mention.0, &address)) {
            Some((_, reason)) if !quotes_refusal(reason) && reason.len() + reply.len() < MAX_REASON => {
                reason.push('\n');
                reason.push_str(&reply);
            }
            Some(_) => {}
            None if has_room => mentions.push((address, reply)),
            None => {}
        }
    }
}

/// The address that the sentences speak of: the first one beside words of failure, else beside a refusal, else the
/// first that is not named as somebody to write to.
fn spoken_of(text: &str, setting: &Setting<'_, '_>) -> Option<String> {
    spoken_of_ranked(text, setting).filter(|(rank, _)| *rank < 6).map(|(_, address)| address.to_string())
}

/// The same, with its rank; below 2 where the words beside it speak of failure.
fn spoken_of_ranked<'t>(text: &'t str, setting: &Setting<'_, '_>) -> Option<(u8, &'t str)> {
    let mut best: Option<(u8, &str)> = None;
    for paragraph in paragraphs(text) {
        let named: Vec<&str> = mailbox::in_text(paragraph)
            .map(|found| found.2)
            .filter(|address| may_have_failed(address, setting))
            .take(MAX_RECIPIENTS)
            .collect();
        if named.is_empty() {
            continue;
        }
        let said = Said::of(paragraph);
        let rank = match () {
            _ if said.failed || said.delayed => 0,
            _ if quotes_refusal(paragraph) => 1,
            _ if said.contact => 3,
            _ => 2,
        };
        let people = named.iter().find(|address| !is_daemon_address(address)).map(|address| (2 * rank, *address));
        // A postmaster may be a failed recipient; mostly it is whom to ask.
        let of_daemon = named.first().map(|address| (if rank == 0 { 1 } else { 6 }, *address));
        if let Some((rank, address)) = people.or(of_daemon)
            && best.is_none_or(|(known, _)| rank < known)
        {
            best = Some((rank, address));
        }
    }
    best
}

/// A text cut at its empty lines.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut at = 0;
        let mut words = false;
        for line in rest.split_inclusive('\n') {
            if line.trim().is_empty() && words {
                break;
            }
            words |= !line.trim().is_empty();
            at += line.len();
        }
        let (paragraph, after) = rest.split_at(at);
        rest = after;
        Some(paragraph)
    })
}

/// A local part alone on its line, below a line that announces recipients: a system that names its own users without
/// their domain. The domain is that of the reporting address.
pub(super) fn bare_name(text: &str, fields: &Fields<'_>) -> Option<String> {
    let from = fields.value("From")?;
    let domain = mailbox::in_text(&from).next()?.2.rsplit_once('@')?.1.to_string();
    let mut announced = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() {
            continue;
        }
        if announced {
            // The reason may stand beside it in brackets.
            let name = bare.split_once(" (").map_or(bare, |(name, _)| name);
            let name = name.trim_matches(|c: char| "<>\"'*-".contains(c) || c.is_whitespace());
            let fits = (2..=64).contains(&name.len())
                && line.starts_with([' ', '\t', '<'])
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b));
            if fits {
                return Some(format!("{name}@{domain}"));
            }
        }
        announced = bare.ends_with(':');
    }
    None
}

/// An address of ours, where it is the only one, stands where a failed recipient stands and has a refusal beside it:
/// mail sent to oneself. Not one that looks like a return path, and not an alias for bounces.
fn own(text: &str, setting: &Setting<'_, '_>) -> Option<String> {
    let looks_sealed = |address: &str| address.rsplit_once('@').is_some_and(|(local, _)| local.contains(['=', '+']));
    mentions(text, &[])
        .into_iter()
        .find(|(address, reason)| {
            mailbox::is_among(address, setting.ours) && !looks_sealed(address) && quotes_refusal(reason)
        })
        .map(|mention| mention.0)
        .or_else(|| {
            let daemons = mentions_of_daemons(text);
            daemons.filter(|address| !mailbox::is_among(address, setting.ours))
        })
}

/// A postmaster's address that stands where a failed recipient stands.
fn mentions_of_daemons(text: &str) -> Option<String> {
    let line = text.lines().filter(|line| !line.starts_with('>')).find_map(|line| {
        let (start, end, address) = mailbox::in_text(line).next()?;
        let alone = line[..start].trim_matches(|c: char| c.is_whitespace() || OPENING.contains(c)).is_empty()
            && line[end..].trim_matches(|c: char| c.is_whitespace() || CLOSING.contains(&c) || c == ':').is_empty();
        alone.then_some(address)
    });
    line.map(str::to_string)
}

/// Whether a text quotes a code of class 4 or 5.
pub(super) fn quotes_refusal(text: &str) -> bool {
    let codes = codes_in(text);
    codes.code.is_some_and(|code| code >= 400) || codes.status.is_some_and(|status| status.class() != 2)
}

fn quotes_permanent(text: &str) -> bool {
    let codes = codes_in(text);
    codes.code.is_some_and(|code| code >= 500) || codes.status.is_some_and(|status| status.is_permanent())
}

/// The field in which many systems name the failed recipients.
fn failed_field<'m>(fields: &Fields<'m>) -> Option<std::borrow::Cow<'m, str>> {
    ["X-Failed-Recipients", "X-Failed-Recipient", "X-Failed-To"].iter().find_map(|name| fields.value(name))
}

/// Whether the envelope sender was the null address (RFC 5321 §4.5.5), as far as the message shows it.
pub(super) fn has_null_path(fields: &Fields<'_>) -> bool {
    fields.value("Return-Path").is_some_and(|path| path.trim() == "<>")
}

/// Whether the From field names a mail system.
fn is_from_daemon(fields: &Fields<'_>) -> bool {
    fields.value("From").is_some_and(|from| match mailbox::in_text(&from).next() {
        Some((_, _, address)) => is_daemon_address(address) || has_daemon_name(&from),
        None => {
            from.split(|c: char| c.is_whitespace() || "<>\"@()".contains(c)).any(signs::is_daemon)
                || has_daemon_name(&from)
        }
    })
}

/// Whether the display name in a From field is that of a mail system.
fn has_daemon_name(from: &str) -> bool {
    let lower = from.to_ascii_lowercase();
    ["mail delivery s", "mailer-daemon", "mailer daemon", "mail administrator", "mail deliver", "delivery subsystem"]
        .iter()
        .any(|name| lower.contains(name))
}

/// An address that may be a failed recipient's.
pub(super) fn is_foreign(address: &str, ours: &[String]) -> bool {
    !mailbox::is_among(address, ours) && !is_daemon_address(address)
}

fn is_daemon_address(address: &str) -> bool {
    address.split('@').next().is_some_and(signs::is_daemon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::signs::in_subject;

    fn read_plain(head: &str, subject: &str, text: &str) -> Vec<Mention> {
        let (fields, _) = Fields::read(head.as_bytes());
        let ours = ["b-tok@send.example".to_string()];
        let subject = in_subject(subject);
        read(
            text,
            &Setting { fields: &fields, subject, ours: &ours, is_report: false, is_answer: false, returns: false },
        )
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
