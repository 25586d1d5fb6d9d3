//! Words that tell which kind of mail a text is, as a table; a language is added by adding rows.
//!
//! A sign is a hint and no proof: what it means depends on who speaks and on what else the message holds. That is
//! decided where the signs are asked for.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::rows;

/// How much of a text is read, in bytes: what kind of mail it is stands in its first paragraphs.
const MAX_READ: usize = 8 * 1024;

static SIGNS: LazyLock<Signs> = LazyLock::new(|| {
    Signs::load(include_str!("signs.tsv")).expect("the table is part of the program and a test loads it")
});

/// Declares the signs of subjects or texts: the enumeration, the names in the table, and the tally.
macro_rules! signs {
    ($(#[$about:meta])* $sign:ident, $tally:ident { $($(#[$doc:meta])* $variant:ident $field:ident $name:literal,)+ }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum $sign { $($variant,)+ }

        impl $sign {
            fn named(name: &str) -> Option<$sign> {
                match name { $($name => Some($sign::$variant),)+ _ => None }
            }
        }

        $(#[$about])*
        #[derive(Debug, Clone, Copy, Default)]
        struct $tally { $($(#[$doc])* $field: Count,)+ }

        impl $tally {
            fn count(&mut self, sign: $sign) {
                match sign { $($sign::$variant => self.$field.0 = self.$field.0.saturating_add(1),)+ }
            }
        }
    };
}

/// How often a sign was seen.
#[derive(Debug, Clone, Copy, Default)]
struct Count(u8);

impl Count {
    /// Whether it was seen at all.
    const fn any(self) -> bool {
        self.0 > 0
    }
}

signs! {
    /// What the words of a subject are signs of.
    SubjectSign, SubjectTally {
        Failed failed "failed_subject",
        Delayed delayed "delayed_subject",
        /// At the start.
        Answer answer "answer_subject",
        AnswerWithin answer_within "answer_within",
        /// At the start: an answer or a forwarded message.
        Reply reply "reply_subject",
        /// At the start.
        Receipt receipt "receipt_subject",
        /// At the start.
        Calendar calendar "calendar_subject",
        Recall recall "recall_subject",
        /// A summary, a log, a list of many events.
        Digest digest "digest_subject",
        /// An aggregate report about a domain (DMARC, TLS).
        Aggregate aggregate "aggregate_subject",
        Moderation moderation "moderation_subject",
        Quota quota "quota_subject",
        Complaint complaint "complaint_subject",
        Challenge challenge "challenge_subject",
    }
}

signs! {
    /// What the words of a text are signs of.
    TextSign, TextTally {
        Failed failed "failed",
        Delayed delayed "delayed",
        Delivered delivered "delivered",
        /// The recipient or his program turned the message away.
        Refused refused "refused",
        /// The sender is to prove that he is a person.
        Challenge challenge "challenge",
        /// A mailing list and the people who look after it.
        Moderation moderation "moderation",
        /// The reader's own mailbox.
        Quota quota "quota",
        /// The reader is to open, to click, to pay.
        Lure lure "lure",
        Recall recall "recall",
        /// The message was read, or deleted unread.
        Read read "read_text",
        /// The text calls itself automatic.
        Automatic automatic "automatic",
        /// The writer is away, or has left.
        Away away "away",
        /// The owner of the mailbox has left, or nobody reads it.
        Left left "left",
        /// What was sent has come in: tickets and thanks.
        Received received "received",
        /// What people write to people.
        Person person "person",
        /// The line above a quotation.
        Attribution attribution "attribution",
        Complaint complaint "complaint_text",
    }
}

/// What a subject is a sign of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SubjectSigns {
    pub(super) failed: bool,
    pub(super) delayed: bool,
    pub(super) answer: bool,
    pub(super) reply: bool,
    pub(super) receipt: bool,
    pub(super) calendar: bool,
    pub(super) recall: bool,
    pub(super) digest: bool,
    pub(super) aggregate: bool,
    pub(super) moderation: bool,
    pub(super) quota: bool,
    pub(super) complaint: bool,
    pub(super) challenge: bool,
}

/// What a text is a sign of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TextSigns {
    pub(super) failed: bool,
    pub(super) delayed: bool,
    pub(super) delivered: bool,
    pub(super) refused: bool,
    pub(super) challenge: bool,
    pub(super) moderation: bool,
    pub(super) quota: bool,
    pub(super) recall: bool,
    pub(super) read: bool,
    pub(super) automatic: bool,
    pub(super) away: bool,
    pub(super) left: bool,
    pub(super) received: bool,
    pub(super) complaint: bool,
    /// How many words that lure were seen.
    pub(super) lures: u8,
    /// How many words of one person to another were seen.
    pub(super) personal: u8,
}

/// Reads a decoded subject.
pub(super) fn in_subject(subject: &str) -> SubjectSigns {
    let subject = normal(subject);
    let bare = subject.trim_start_matches(|c: char| c.is_whitespace() || "[(\"'*【［「『（<".contains(c));
    let start = subject.len() - bare.len();
    // Behind its own words a report quotes the subject of what it returns, mostly after a colon.
    let own = bare.find([':', '\u{ff1a}']).map_or(subject.len(), |colon| start + colon);
    let found: Vec<(SubjectSign, usize)> = SIGNS.subject.find(&subject).collect();
    let told = |sign: SubjectSign| matches!(sign, SubjectSign::Failed | SubjectSign::Delayed);
    let told_at = found.iter().filter(|(sign, _)| told(*sign)).map(|(_, at)| *at).min().unwrap_or(subject.len());
    let mut tally = SubjectTally::default();
    for (sign, at) in found {
        use SubjectSign::{Answer, AnswerWithin, Calendar, Challenge, Delayed, Failed, Moderation, Receipt, Reply};
        let counts = match sign {
            Answer | Reply | Receipt | Calendar => at == start,
            Failed | Delayed => true,
            AnswerWithin | Moderation | Challenge => at <= told_at,
            _ => at < own && at <= told_at,
        };
        if counts {
            tally.count(sign);
        }
    }
    let reply = tally.reply.any();
    SubjectSigns {
        // What is answered or forwarded is quoted; the sender does not say it.
        failed: tally.failed.any() && !reply,
        delayed: tally.delayed.any() && !reply,
        answer: tally.answer.any() || tally.answer_within.any(),
        reply,
        receipt: tally.receipt.any(),
        calendar: tally.calendar.any(),
        recall: tally.recall.any() && !reply,
        digest: tally.digest.any(),
        aggregate: tally.aggregate.any(),
        moderation: tally.moderation.any(),
        quota: tally.quota.any() && !reply,
        complaint: tally.complaint.any() && !reply,
        challenge: tally.challenge.any(),
    }
}

/// Reads a text.
pub(super) fn in_text(text: &str) -> TextSigns {
    let mut tally = TextTally::default();
    for (sign, _) in SIGNS.text.find(&normal(text)) {
        tally.count(sign);
    }
    TextSigns {
        failed: tally.failed.any(),
        delayed: tally.delayed.any(),
        delivered: tally.delivered.any(),
        refused: tally.refused.any(),
        challenge: tally.challenge.any(),
        moderation: tally.moderation.any(),
        quota: tally.quota.any(),
        recall: tally.recall.any(),
        read: tally.read.any(),
        automatic: tally.automatic.any(),
        away: tally.away.any(),
        left: tally.left.any(),
        received: tally.received.any(),
        complaint: tally.complaint.any(),
        lures: tally.lure.0,
        personal: tally.person.0,
    }
}

/// Whether a line stands above a quotation: it says who wrote what follows, and when, or that a message follows.
pub(super) fn is_attribution(line: &str) -> bool {
    // A sentence that mentions such words goes on behind them, or is long.
    line.len() <= 300 && SIGNS.text.find(&normal(line)).any(|(sign, _)| sign == TextSign::Attribution)
}

/// Whether a local part is one that mail systems report from.
pub(super) fn is_daemon(local: &str) -> bool {
    SIGNS.daemons.iter().any(|known| local.eq_ignore_ascii_case(known))
}

/// The whole table.
struct Signs {
    subject: Table<SubjectSign>,
    text: Table<TextSign>,
    daemons: Vec<Box<str>>,
}

impl Signs {
    fn load(table: &str) -> Result<Signs, String> {
        let (mut subject, mut text, mut daemons) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows::read(table) {
            let row = row?;
            let (name, words) = (row.mark, row.words);
            if words.is_empty() || normal(words) != words {
                return Err(row.wrong("words are in lower case, with one space between them"));
            }
            if let Some(sign) = SubjectSign::named(name) {
                subject.push((sign, words.into()));
            } else if let Some(sign) = TextSign::named(name) {
                text.push((sign, words.into()));
            } else if name == "daemon" {
                daemons.push(words.into());
            } else {
                return Err(row.wrong(format_args!("unknown sign {name:?}")));
            }
        }
        Ok(Signs { subject: Table::build(subject)?, text: Table::build(text)?, daemons })
    }
}

/// Rows of one tally, and the automaton that finds all of them in one pass.
struct Table<S> {
    rows: Vec<(S, Box<str>)>,
    words: AhoCorasick,
}

impl<S: Copy + PartialEq> Table<S> {
    fn build(rows: Vec<(S, Box<str>)>) -> Result<Table<S>, String> {
        let words = AhoCorasick::new(rows.iter().map(|(_, words)| words.as_bytes()));
        Ok(Table { rows, words: words.map_err(|error| error.to_string())? })
    }

    /// The signs in a text in normal form, each with where it begins.
    fn find<'t>(&'t self, text: &'t str) -> impl Iterator<Item = (S, usize)> + 't {
        self.words.find_overlapping_iter(text.as_bytes()).filter_map(|hit| {
            let (sign, words) = self.rows.get(hit.pattern().as_usize())?;
            stands_alone(text, words, hit.start(), hit.end()).then_some((*sign, hit.start()))
        })
    }
}

/// Whether what was found begins where a word begins; if it is short, it ends with a word too. Scripts that set no
/// spaces are not asked.
fn stands_alone(text: &str, words: &str, start: usize, end: usize) -> bool {
    let spaced = |c: char| c.is_alphanumeric() && c < '\u{590}';
    let begins = !words.starts_with(spaced) || !text.get(..start).unwrap_or_default().ends_with(spaced);
    let ends = words.len() > SHORT
        || !words.ends_with(spaced)
        || !text.get(end..).unwrap_or_default().starts_with(char::is_alphanumeric);
    begins && ends
}

/// Up to this length, in bytes, words are taken for whole words: a longer one may be the stem of another.
const SHORT: usize = 5;

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
            // Marks of direction and of no width stand anywhere in mail of some languages.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}' | '\u{ad}' => {}
            // Its lower case would be two characters.
            '\u{130}' => plain.push('i'),
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
    fn subjects_are_read_in_many_languages() {
        for subject in [
            "Automatische Antwort: Neues",
            "【自動返信】お問い合わせ",
            "[Automatyczna odpowied\u{17a}] test",
            "Автоответ: новости",
            "자동 회신: 소식",
            "自动回复：你好",
        ] {
            assert!(in_subject(subject).answer, "{subject}");
        }
        for subject in ["AW: Unzustellbar", "TR : Undeliverable", "回复：Undeliverable", "Odp: Undelivered Mail"] {
            let signs = in_subject(subject);
            assert!(signs.reply && !signs.failed, "{subject}");
        }
        let rows = [("Read: News", true), ("Reading list", false), ("Gelesen: Neues", true)];
        for (subject, receipt) in rows {
            assert_eq!(in_subject(subject).receipt, receipt, "{subject}");
        }
    }

    #[test]
    fn texts_are_read_over_line_ends() {
        assert!(in_text("Your message could not\r\n  be delivered.").failed);
        assert!(in_text("The server will keep trying").delayed);
        assert_eq!(in_text("The sun was shining"), TextSigns::default());
    }

    #[test]
    fn words_are_no_parts_of_words() {
        assert!(in_text("Hej Anna, tack!").personal > 0);
        assert_eq!(in_text("Jackhejson attacked").personal, 0);
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        assert_eq!(Signs::load("# c\nfailed\ten").err().unwrap(), "line 2: 2 fields, expected 3");
        assert!(Signs::load("lost\ten\tx").err().unwrap().contains("unknown sign"));
        assert!(Signs::load("failed\ten\tNot so").err().unwrap().contains("lower case"));
    }
}
