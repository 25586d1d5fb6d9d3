//! Whose words are whose: the reply that a text quotes, and at which stage of the conversation it was given.
//!
//! A report wraps the remote host's reply into words of its own: "host mx.example said: 550 5.1.1 no such user (in
//! reply to RCPT TO command)". What was said is nearer to the cause than what was said about it; and a refusal at MAIL
//! or earlier says nothing of the recipient, whatever its words are.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::session::Stage;

/// How much of a text is searched, in bytes.
const MAX_READ: usize = 8 * 1024;

/// The reply that a text for people quotes: from the first reply code of class 4 or 5 that stands where a reply begins,
/// to the end of the paragraph or the next command. `None` if there is none.
pub(super) fn first_reply(text: &str) -> Option<&str> {
    let text = &text[..text.floor_char_boundary(MAX_READ)];
    let start = reply_starts(text).next()?;
    Some(paragraph(&text[start..]))
}

/// The reply that another one quotes: behind a colon or between quotes, not at the start. The last one is the nearest
/// to the cause.
pub(super) fn innermost_reply(text: &str) -> Option<&str> {
    let text = &text[..text.floor_char_boundary(MAX_READ)];
    let start = reply_starts(text)
        .filter(|start| {
            let before = text[..*start].trim_end();
            let quoted = text.get(start + 3..).is_some_and(|after| after.starts_with("-'"));
            let has_words = before.bytes().filter(u8::is_ascii_alphabetic).count() >= 3;
            has_words && (quoted || before.ends_with([':', '<', '\'', '"', '(']))
        })
        .last()?;
    Some(&text[start..])
}

/// The stage at which a reply was given, by the words that reports have for it.
pub(super) fn stage_in(text: &str) -> Option<Stage> {
    let text = text[..text.floor_char_boundary(MAX_READ)].to_ascii_lowercase();
    if let Some(stage) = stage_in_transcript(&text) {
        return Some(stage);
    }
    let mut words = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        words.push_str(word);
        words.push(' ');
    }
    // Of several, the one that stands first in the table: "in reply to" says more than "after".
    let said = SAYINGS.find_overlapping_iter(&words).map(|hit| hit.pattern().as_usize()).min()?;
    SPOKEN.get(said).map(|(_, stage)| *stage)
}

static SAYINGS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .build(SPOKEN.iter().map(|(said, _)| said))
        .expect("a few dozen constants, which a test builds")
});

/// The command that the first refusal of a transcript answers: `>>> RCPT To:<…>`, then `<<< 550 …`.
fn stage_in_transcript(text: &str) -> Option<Stage> {
    let mut command = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some((_, said)) = line.split_once("-->").or_else(|| line.split_once(">>>")) {
            command = Some(said.trim());
        } else if let Some((_, answer)) = line.split_once("<--").or_else(|| line.split_once("<<<"))
            && answer.trim().starts_with(['4', '5'])
        {
            return COMMANDS.iter().find(|(name, _)| command.unwrap_or_default().starts_with(name)).map(|(_, at)| *at);
        }
    }
    None
}

/// What stands at the start of a line that is no part of the reply before it: the next command, or what the reporting
/// host did then.
const ENDS_REPLY: [&str; 3] = [">>>", "Giving up", "I'm not going to try again"];

/// RCPT and DATA are often sent in one piece, and the transcript then shows the last command: no word of DATA.
const COMMANDS: [(&str, Stage); 7] = [
    ("mail from", Stage::Mail),
    ("rcpt to", Stage::Rcpt),
    ("ehlo", Stage::Ehlo),
    ("helo", Stage::Ehlo),
    ("starttls", Stage::Starttls),
    ("auth", Stage::Auth),
    (".", Stage::EndOfData),
];

/// How reports say at which stage it was. The words before a stage's name tell it from a mere mention.
const SPOKEN: [(&str, Stage); 38] = [
    ("in reply to end of data", Stage::EndOfData),
    ("in reply to data", Stage::Data),
    ("in reply to rcpt to", Stage::Rcpt),
    ("in reply to mail from", Stage::Mail),
    ("in reply to ehlo", Stage::Ehlo),
    ("in reply to helo", Stage::Ehlo),
    ("in reply to starttls", Stage::Starttls),
    ("in reply to auth", Stage::Auth),
    ("after initial connection", Stage::Banner),
    ("after pipelined mail from", Stage::Mail),
    ("after pipelined rcpt to", Stage::Rcpt),
    ("after pipelined end of data", Stage::EndOfData),
    ("after end of data", Stage::EndOfData),
    ("after rcpt to", Stage::Rcpt),
    ("after mail from", Stage::Mail),
    ("after data:", Stage::Data),
    ("after ehlo", Stage::Ehlo),
    ("after helo", Stage::Ehlo),
    ("after starttls", Stage::Starttls),
    ("after auth", Stage::Auth),
    ("did not like our rcpt to", Stage::Rcpt),
    ("did not like our mail from", Stage::Mail),
    ("did not like our data", Stage::Data),
    ("did not like our ehlo", Stage::Ehlo),
    ("did not like our helo", Stage::Ehlo),
    ("refused to talk to me", Stage::Banner),
    ("but greeting failed", Stage::Banner),
    ("but my name was rejected", Stage::Ehlo),
    ("but sender was rejected", Stage::Mail),
    ("does not like recipient", Stage::Rcpt),
    ("failed on data command", Stage::Data),
    ("failed after i sent the message", Stage::EndOfData),
    ("response to rcpt to", Stage::Rcpt),
    ("response to mail from", Stage::Mail),
    ("response to end of data", Stage::EndOfData),
    ("response to the rcpt to", Stage::Rcpt),
    ("response to the mail from", Stage::Mail),
    ("[rcpt_to]", Stage::Rcpt),
];

/// Where replies of class 4 and 5 begin: three digits at the start of a line, behind `:`, `<<<`, a quote or a bracket,
/// and a space, a hyphen or a colon after them.
fn reply_starts(text: &str) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).filter(move |&at| {
        let Some([b'4' | b'5', b'0'..=b'9', b'0'..=b'9', rest @ ..]) = bytes.get(at..) else { return false };
        if !matches!(rest.first(), Some(b' ' | b'-' | b'\t' | b'\r' | b'\n' | b':')) {
            return false;
        }
        let before = bytes[..at].trim_ascii_end();
        let gap = &bytes[before.len()..at];
        let opens = before.ends_with(b"<--")
            || matches!(before.last(), None | Some(b':' | b';' | b'<' | b'>' | b'"' | b'\'' | b'('));
        let quoted = rest.starts_with(b"-'");
        opens || quoted || gap.contains(&b'\n')
    })
}

/// To the first empty line, or the next command of a transcript.
fn paragraph(text: &str) -> &str {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if end > 0 && (bare.is_empty() || ENDS_REPLY.iter().any(|mark| bare.starts_with(mark)) || bare.contains("-->"))
        {
            break;
        }
        end += line.len();
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_reply_in_a_text_is_found() {
        for (text, reply) in [
            ("Sorry.\nhost mx.example said: 550 5.1.1 no\n such user\n\nBye", Some("550 5.1.1 no\n such user\n")),
            (">>> RCPT To:<a@b>\n<<< 550 policy\n>>> QUIT\n", Some("550 policy\n")),
            ("Remote host said:\n550 gone", Some("550 gone")),
            ("We counted 550 messages", None),
            ("250 ok", None),
            ("", None),
        ] {
            assert_eq!(first_reply(text), reply, "{text:?}");
        }
    }

    #[test]
    fn the_reply_in_a_reply_is_found() {
        for (text, reply) in [
            ("5.1.0 - Unknown address 550-'5.7.1 denied' (1)", Some("550-'5.7.1 denied' (1)")),
            ("554 gateway: mx.example said: 550 gone", Some("550 gone")),
            ("550 5.1.1 gone", None),
            ("550-5.1.1 a\n550 5.1.1 b", None),
        ] {
            assert_eq!(innermost_reply(text), reply, "{text:?}");
        }
    }

    #[test]
    fn stages_are_named_in_many_ways() {
        for (text, stage) in [
            ("said: 550 no (in reply to end of DATA\n    command)", Some(Stage::EndOfData)),
            ("error after MAIL FROM:<a@b> SIZE=1: 550 no", Some(Stage::Mail)),
            (">>> MAIL From:<a@b>\n<<< 250 ok\n>>> RCPT To:<c@d>\n<<< 550 no", Some(Stage::Rcpt)),
            (">>> DATA\n<<< 550 no", None),
            ("192.0.2.1 does not like recipient.", Some(Stage::Rcpt)),
            ("refused to talk to me: 554 no", Some(Stage::Banner)),
            ("mail from nobody", None),
        ] {
            assert_eq!(stage_in(text), stage, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_searched(text in "[ 0-9.245:<>a-z'\\-\\n\u{e9}]{0,200}") {
            let _ = (first_reply(&text), innermost_reply(&text), stage_in(&text));
        }
    }
}
