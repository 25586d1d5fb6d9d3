//! Words by which the parts of a report in plain text are known, as a table; a language is added by adding rows.
//!
//! A label stands in front of a colon and says what follows it: a recipient, the sender, a reason, or the subject and
//! date of a quoted head. Other rows are looked for in whole lines.

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::rows;

/// A label is some words, not a sentence.
const MAX_LABEL: usize = 60;
const MAX_LABEL_WORDS: usize = 7;

static LABELS: LazyLock<Labels> = LazyLock::new(|| {
    Labels::load(include_str!("labels.tsv")).expect("the table is part of the program and a test loads it")
});

/// What a row marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Recipient,
    Sender,
    Topic,
    Reason,
    Original,
    GaveUp,
    Contact,
    Failed,
    Delayed,
}

/// What the words in front of a colon announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// The address of a recipient.
    Recipient,
    /// The sender, or another party that is no recipient.
    Sender,
    /// Subject or date of the message that is spoken of.
    Topic,
    /// Why it failed.
    Reason,
}

/// What a line, or a text, has in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LineMarks {
    /// Words that announce the returned message.
    pub(super) original: bool,
    /// Words that say it is not tried again.
    pub(super) gave_up: bool,
    /// Words that say whom to ask.
    pub(super) contact: bool,
    /// Words that say that mail was not delivered, or is not yet.
    pub(super) failed: bool,
    pub(super) delayed: bool,
}

struct Labels {
    labels: HashMap<Box<str>, Label>,
    marks: Vec<Mark>,
    words: AhoCorasick,
}

/// Reads the words in front of a colon. `None` if they are no label.
pub(super) fn read(label: &str) -> Option<Label> {
    let label = label.trim().trim_matches(|c: char| c.is_whitespace() || "*-#>|•·=:".contains(c));
    if label.is_empty() || label.len() > MAX_LABEL * 2 || label.chars().count() > MAX_LABEL {
        return None;
    }
    let label = label.to_lowercase();
    if let Some(known) = LABELS.labels.get(label.as_str()) {
        return Some(*known);
    }
    let mut words = 0;
    let mut found = None;
    for word in label.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        words += 1;
        // A short word ("an", "do") marks in its own language only, where it is the whole label.
        let tells = word.len() > 3 || word == "to";
        let known = LABELS.labels.get(word).or_else(|| LABELS.labels.get(word.strip_suffix('s')?)).copied();
        let known = known.filter(|_| tells);
        found = match (found, known) {
            // "Recipient's reply", "address of the sender": who is named beside the recipient decides.
            (_, Some(Label::Sender)) | (Some(Label::Sender), _) => Some(Label::Sender),
            (Some(Label::Recipient), _) | (_, Some(Label::Recipient)) => Some(Label::Recipient),
            (found, known) => found.or(known),
        };
    }
    found.filter(|_| words <= MAX_LABEL_WORDS)
}

/// Looks for words that mark a line, or a text.
pub(super) fn marks_in(text: &str) -> LineMarks {
    let mut found = LineMarks::default();
    for hit in LABELS.words.find_overlapping_iter(text.to_lowercase().as_bytes()) {
        match LABELS.marks.get(hit.pattern().as_usize()) {
            Some(Mark::Original) => found.original = true,
            Some(Mark::GaveUp) => found.gave_up = true,
            Some(Mark::Contact) => found.contact = true,
            Some(Mark::Failed) => found.failed = true,
            Some(Mark::Delayed) => found.delayed = true,
            _ => {}
        }
    }
    found
}

impl Labels {
    fn load(table: &str) -> Result<Labels, String> {
        let mut labels = HashMap::new();
        let (mut marks, mut words) = (Vec::new(), Vec::new());
        for row in rows::read(table) {
            let row = row?;
            let text = row.words;
            if text.is_empty() || text.to_lowercase() != text {
                return Err(row.wrong("words are in lower case"));
            }
            let mark = Mark::named(row.mark).ok_or_else(|| row.wrong(format_args!("unknown mark {:?}", row.mark)))?;
            let label = match mark {
                Mark::Recipient => Label::Recipient,
                Mark::Sender => Label::Sender,
                Mark::Topic => Label::Topic,
                Mark::Reason => Label::Reason,
                mark => {
                    marks.push(mark);
                    words.push(text);
                    continue;
                }
            };
            if labels.insert(text.into(), label).is_some_and(|known| known != label) {
                return Err(row.wrong(format_args!("{text:?} marks two things")));
            }
        }
        // Not the table of a whole DFA: with a thousand rows it has many megabytes, more than the caches hold.
        let words = AhoCorasick::new(&words).map_err(|error| error.to_string())?;
        Ok(Labels { labels, marks, words })
    }
}

impl Mark {
    fn named(name: &str) -> Option<Mark> {
        Some(match name {
            "recipient" => Mark::Recipient,
            "sender" => Mark::Sender,
            "topic" => Mark::Topic,
            "reason" => Mark::Reason,
            "original" => Mark::Original,
            "gave_up" => Mark::GaveUp,
            "contact" => Mark::Contact,
            "failed" => Mark::Failed,
            "delayed" => Mark::Delayed,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_in_many_languages() {
        for (label, read_as) in [
            ("Recipient", Some(Label::Recipient)),
            ("Failed recipients", Some(Label::Recipient)),
            ("Empf\u{e4}nger", Some(Label::Recipient)),
            ("\u{6536}\u{4ef6}\u{4eba}", Some(Label::Recipient)),
            ("Sender Address", Some(Label::Sender)),
            ("address of the sender", Some(Label::Sender)),
            ("* Betreff", Some(Label::Topic)),
            ("The error was", Some(Label::Reason)),
            ("Cr\u{e9}\u{e9}", None),
            ("we are sorry to have to tell you that the address below did not work", None),
        ] {
            assert_eq!(read(label), read_as, "{label}");
        }
    }

    #[test]
    fn lines_are_marked() {
        assert!(marks_in("--- below this line is a copy of the message.").original);
        assert!(marks_in("this is a permanent error; i've given up.").gave_up);
        assert!(marks_in("for further assistance, please send mail to postmaster.").contact);
        assert_eq!(marks_in("user unknown"), LineMarks::default());
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        assert_eq!(Labels::load("# c\nreason\ten").err().unwrap(), "line 2: 2 fields, expected 3");
        assert!(Labels::load("lost\ten\tx").err().unwrap().contains("unknown mark"));
        assert!(Labels::load("reason\ten\tx\nsender\ten\tx").err().unwrap().contains("two things"));
    }
}
