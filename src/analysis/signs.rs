//! Words that tell which kind of mail a text is, as a table; a language is added by adding rows.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// How much of a text is read, in bytes: what kind of mail it is stands in its first paragraphs.
const MAX_READ: usize = 8 * 1024;

static SIGNS: LazyLock<Signs> = LazyLock::new(|| {
    Signs::load(include_str!("signs.tsv")).expect("the table is part of the program and a test loads it")
});

/// What a row is a sign of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Daemon,
    FailedSubject,
    DelayedSubject,
    Failed,
    Delayed,
    AnswerSubject,
    ReplySubject,
}

impl Sign {
    fn named(name: &str) -> Option<Sign> {
        Some(match name {
            "daemon" => Sign::Daemon,
            "failed_subject" => Sign::FailedSubject,
            "delayed_subject" => Sign::DelayedSubject,
            "failed" => Sign::Failed,
            "delayed" => Sign::Delayed,
            "answer_subject" => Sign::AnswerSubject,
            "reply_subject" => Sign::ReplySubject,
            _ => return None,
        })
    }
}

struct Signs {
    rows: Vec<(Sign, Box<str>)>,
    words: AhoCorasick,
}

/// What a subject is a sign of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SubjectSigns {
    pub(super) failed: bool,
    pub(super) delayed: bool,
    pub(super) answer: bool,
    pub(super) reply: bool,
}

/// What a text is a sign of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TextSigns {
    pub(super) failed: bool,
    pub(super) delayed: bool,
}

/// Reads a decoded subject.
pub(super) fn in_subject(subject: &str) -> SubjectSigns {
    let subject = normal(subject);
    let bare = subject.trim_start_matches(|c: char| c.is_whitespace() || "[(\"'*".contains(c));
    let begins = |sign| SIGNS.rows.iter().any(|(known, words)| *known == sign && bare.starts_with(&**words));
    let (answer, reply) = (begins(Sign::AnswerSubject), begins(Sign::ReplySubject));
    let mut signs = SubjectSigns { answer, reply, ..SubjectSigns::default() };
    for sign in SIGNS.find(&subject) {
        // What is answered or forwarded is quoted; the sender does not say it.
        signs.failed |= sign == Sign::FailedSubject && !reply;
        signs.delayed |= sign == Sign::DelayedSubject && !reply;
    }
    signs
}

/// Reads a text.
pub(super) fn in_text(text: &str) -> TextSigns {
    let mut signs = TextSigns::default();
    for sign in SIGNS.find(&normal(text)) {
        signs.failed |= sign == Sign::Failed;
        signs.delayed |= sign == Sign::Delayed;
    }
    signs
}

/// Whether a local part is one that mail systems report from.
pub(super) fn is_daemon(local: &str) -> bool {
    SIGNS.rows.iter().any(|(sign, words)| *sign == Sign::Daemon && local.eq_ignore_ascii_case(words))
}

impl Signs {
    fn load(table: &str) -> Result<Signs, String> {
        let mut rows = Vec::new();
        for (number, line) in table.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [sign, _language, words] = fields[..] else {
                return Err(format!("line {}: {} fields, expected 3", number + 1, fields.len()));
            };
            let sign = Sign::named(sign).ok_or_else(|| format!("line {}: unknown sign {sign:?}", number + 1))?;
            if words.is_empty() || words.to_lowercase() != words {
                return Err(format!("line {}: words are in lower case", number + 1));
            }
            rows.push((sign, words.into()));
        }
        // Some hundred rows: the table of a whole DFA stays small, and it is the fastest to walk.
        let words = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .build(rows.iter().map(|(_, words): &(Sign, Box<str>)| words.as_bytes()))
            .map_err(|error| error.to_string())?;
        Ok(Signs { rows, words })
    }

    fn find<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Sign> + 't {
        self.words
            .find_overlapping_iter(text.as_bytes())
            .filter_map(|hit| self.rows.get(hit.pattern().as_usize()))
            .map(|row| row.0)
    }
}

/// Lower case, one space between words, straight apostrophes.
fn normal(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(MAX_READ)];
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if c.is_whitespace() => {
                if !plain.ends_with(' ') {
                    plain.push(' ');
                }
            }
            '\u{2018}' | '\u{2019}' => plain.push('\''),
            _ if c.is_ascii() => plain.push(c.to_ascii_lowercase()),
            _ => plain.extend(c.to_lowercase()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read() {
        let read = |subject: &str| {
            let signs = in_subject(subject);
            (signs.failed, signs.delayed, signs.answer, signs.reply)
        };
        assert_eq!(read("Undelivered Mail Returned to Sender"), (true, false, false, false));
        assert_eq!(read("Delivery Status Notification (Delay)"), (true, true, false, false));
        assert_eq!(read("Re: Undelivered Mail"), (false, false, false, true));
        assert_eq!(read("[Out of Office] Delivery"), (false, false, true, false));
        assert_eq!(read("AUTO: thank you"), (false, false, true, false));
        assert_eq!(read("Automobile for sale"), (false, false, false, false));
    }

    #[test]
    fn texts_are_read_over_line_ends() {
        assert!(in_text("Your message could not\r\n  be delivered.").failed);
        assert!(in_text("The server will keep trying").delayed);
        assert_eq!(in_text("Thank you for your message"), TextSigns::default());
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        assert_eq!(Signs::load("# c\nfailed\ten").err().unwrap(), "line 2: 2 fields, expected 3");
        assert!(Signs::load("lost\ten\tx").err().unwrap().contains("unknown sign"));
    }
}
