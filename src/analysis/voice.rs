//! What the writer of a text says himself, and what he only quotes.
//!
//! A person who answers a report has its words in the answer; they are not what the answer says. Quotations are told
//! by their form in any language: marked lines, a line of attribution above them, a block of header fields.

use super::signs;

/// How many lines are looked at.
const MAX_LINES: usize = 2_000;
/// Within how many lines after a line of attribution the quotation is marked, if it is.
const MARKS_WITHIN: usize = 4;

/// A text without its quotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Voice {
    /// The writer's own words.
    pub(super) own: String,
    /// Whether he quotes somebody.
    pub(super) quotes: bool,
}

impl Voice {
    /// Takes marked lines out of a text, and everything from a line on that says that a message follows.
    pub(super) fn of(text: &str) -> Voice {
        let mut voice = Voice { own: String::with_capacity(text.len()), quotes: false };
        // Lines in a row that look like header fields, and where they began in the own words.
        let (mut fields, mut block) = (0, 0);
        let lines: Vec<&str> = text.lines().take(MAX_LINES).collect();
        for (at, line) in lines.iter().enumerate() {
            if is_marked(line) {
                voice.quotes = true;
                continue;
            }
            if signs::is_attribution(line) && introduces(line) {
                voice.quotes = true;
                // What is marked ends where the marks end, and own words may follow.
                if lines.iter().skip(at + 1).take(MARKS_WITHIN).any(|line| is_marked(line)) {
                    continue;
                }
                break;
            }
            if is_field(line) {
                if fields == 0 {
                    block = voice.own.len();
                }
                fields += 1;
                if fields == HEADER {
                    voice.own.truncate(block);
                    voice.quotes = true;
                    break;
                }
            } else if !line.trim().is_empty() {
                fields = 0;
            }
            voice.own.push_str(line);
            voice.own.push('\n');
        }
        voice
    }
}

/// Takes out of a report what somebody quotes in it; what is not marked is the report's own.
pub(super) fn unmarked(text: &str) -> Voice {
    let mut voice = Voice { own: String::with_capacity(text.len()), quotes: false };
    for line in text.lines() {
        if is_marked(line) {
            voice.quotes = true;
        } else {
            voice.own.push_str(line);
            voice.own.push('\n');
        }
    }
    voice
}

/// From how many fields in a row on a block is the header of a message that is passed on: sender, date, recipient,
/// subject.
const HEADER: usize = 4;

/// A line that is marked as a quotation. Three marks and a space begin a line of a transcript.
fn is_marked(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t', '\u{a0}']);
    (line.starts_with('>') && !line.starts_with(">>> ")) || line.starts_with("&gt;")
}

/// Whether such a line is the last one before the quotation: it ends in a colon, or is ruled.
fn introduces(line: &str) -> bool {
    let line = line.trim();
    line.ends_with([':', '\u{ff1a}']) || line.starts_with(['-', '_', '=', '*']) || line.ends_with(['-', '_', '='])
}

/// A line that looks like a header field in any language: a short name, a colon, a value.
fn is_field(line: &str) -> bool {
    let line = line.trim_start_matches(['*', ' ']);
    let Some((name, value)) = line.split_once([':', '\u{ff1a}']) else { return false };
    let name = name.trim();
    !name.is_empty()
        && name.chars().count() <= 16
        && name.chars().all(|c| c.is_alphabetic() || c == ' ' || c == '-' || c == '*' || !c.is_ascii())
        && !value.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_words_end_where_a_quotation_begins() {
        for (text, own, quotes) in [
            ("Thanks!\n\nOn Monday Ann <a@example.net> wrote:\n> 550 unknown\n> bye\n", "Thanks!\n\n", true),
            ("On Monday Ann wrote:\n\n> 550 unknown\n\nSee above.\n", "\n\nSee above.\n", true),
            ("> 550 unknown\n\nWhat is this?\n", "\nWhat is this?\n", true),
            ("Merci.\nLe lundi, Anne a écrit :\nUndelivered\n", "Merci.\n", true),
            ("Hallo\n\n-----Ursprüngliche Nachricht-----\nVon: x\n", "Hallo\n\n", true),
            (
                "Ok\n\nFrom: a@example.net\nSent: Monday\nTo: b@example.net\nSubject: Undeliverable\n\n550\n",
                "Ok\n\n",
                true,
            ),
            ("He wrote: a letter of thanks\n", "He wrote: a letter of thanks\n", false),
            (">>> DATA\n<<< 550 no\n", ">>> DATA\n<<< 550 no\n", false),
        ] {
            let voice = Voice::of(text);
            assert_eq!((voice.own.as_str(), voice.quotes), (own, quotes), "{text}");
        }
    }
}
