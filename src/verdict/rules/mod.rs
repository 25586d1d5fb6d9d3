//! The verdict rules: tables of rows, compiled in, matched in one pass over a masked text.
//!
//! A row has seven fields, separated by tabs: id, scope (who speaks), pattern, reason, address statement, advice, and
//! an origin note. A line that starts with `#` is a comment. The table a row stands in says how much it weighs; within
//! a table the earlier row wins.
//!
//! | table | pattern | weight |
//! |---|---|---|
//! | `tokens.tsv` | words, or `-` where the speaker alone tells | a provider's own words, and words that outweigh codes |
//! | `codes.tsv` | an enhanced code, `x.1.1` | codes that say one thing |
//! | `phrases.tsv` | words | sentences of general use |
//! | `words.tsv` | words | single words: hints, never a statement that ends an address |
//! | `fallback.tsv` | `x.1.*` or three digits | what is left |
//!
//! Which of them is asked, in which order, and what a hit means for the message is decided in `outcome.rs`.

mod masked;
mod row;

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

pub(super) use masked::Masked;
use row::{Pattern, parse_row};
pub(super) use row::{Rule, Speaker, Tier};

use crate::session::Stage;
use crate::verdict::EnhancedStatus;

/// How far apart two fragments of a pattern may stand, in bytes: a sentence, not a paragraph.
const MAX_GAP: usize = 60;

static BUILT_IN: LazyLock<Rules> = LazyLock::new(|| {
    Rules::load(&[
        (Tier::Token, "tokens.tsv", include_str!("tokens.tsv")),
        (Tier::Code, "codes.tsv", include_str!("codes.tsv")),
        (Tier::Phrase, "phrases.tsv", include_str!("phrases.tsv")),
        (Tier::Word, "words.tsv", include_str!("words.tsv")),
        (Tier::Fallback, "fallback.tsv", include_str!("fallback.tsv")),
    ])
    .expect("the tables are part of the program and a test loads them")
});

/// A row that cannot be read: in which table, at which line, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table} line {line}: {problem}")]
pub(super) struct InvalidRule {
    table: String,
    line: usize,
    problem: String,
}

/// All rows, ready to be matched.
#[derive(Debug)]
pub(super) struct Rules {
    /// Rows of words, and those that match codes.
    rows: Vec<Rule>,
    codes: Vec<Rule>,
    /// Rows without words: their speaker alone tells.
    wordless: Vec<usize>,
    /// Finds every distinct fragment of every `Words` row.
    automaton: AhoCorasick,
    /// For each fragment the automaton knows: the rows that use it, and as which of their fragments.
    uses: Vec<Vec<(usize, usize)>>,
}

/// What a text was found to hold: the first row of each table of words.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found<'r> {
    pub(super) token: Option<&'r Rule>,
    pub(super) phrase: Option<&'r Rule>,
    pub(super) word: Option<&'r Rule>,
}

impl Rules {
    /// The rows that come with the crate.
    pub(super) fn built_in() -> &'static Rules {
        &BUILT_IN
    }

    /// Reads tables of rows.
    pub(super) fn load(tables: &[(Tier, &str, &str)]) -> Result<Rules, InvalidRule> {
        let (mut rows, mut codes, mut wordless) = (Vec::new(), Vec::new(), Vec::new());
        let mut fragments: Vec<Box<str>> = Vec::new();
        let mut index = HashMap::new();
        let mut uses: Vec<Vec<(usize, usize)>> = Vec::new();
        for &(tier, table, text) in tables {
            for (number, line) in text.lines().enumerate() {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let rule = parse_row(tier, line).map_err(|problem| InvalidRule {
                    table: table.into(),
                    line: number + 1,
                    problem,
                })?;
                let Pattern::Words(words) = &rule.pattern else {
                    codes.push(rule);
                    continue;
                };
                if words.is_empty() {
                    wordless.push(rows.len());
                }

                for (place, fragment) in words.iter().enumerate() {
                    let known = *index.entry(fragment.words.clone()).or_insert_with(|| {
                        fragments.push(fragment.words.clone());
                        uses.push(Vec::new());
                        fragments.len() - 1
                    });
                    uses[known].push((rows.len(), place));
                }

                rows.push(rule);
            }
        }
        // Some hundred rows: the table of a whole DFA stays small, and it is the fastest to walk.
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .build(fragments.iter().map(|fragment| fragment.as_bytes()))
            .map_err(|error| InvalidRule { table: "all tables".into(), line: 0, problem: error.to_string() })?;
        Ok(Rules { rows, codes, wordless, automaton, uses })
    }

    /// Reads a text once and answers the first matching row of each table of words.
    pub(super) fn read(&self, text: &Masked, stage: Option<Stage>) -> Found<'_> {
        let mut first: [Option<usize>; 3] = [None; 3];
        let mut take = |row: usize| {
            let slot = match self.rows[row].tier {
                Tier::Token => 0,
                Tier::Phrase => 1,
                Tier::Word => 2,
                Tier::Code | Tier::Fallback => return,
            };
            if first[slot].is_none_or(|known| row < known) && self.rows[row].speaks(stage, &text.hosts) {
                first[slot] = Some(row);
            }
        };
        for &row in &self.wordless {
            take(row);
        }
        // How far each row of several fragments has come: the next fragment, and where the last one ended.
        let mut reached: HashMap<usize, (usize, usize)> = HashMap::new();
        let bytes = text.text.as_bytes();
        for hit in self.automaton.find_overlapping_iter(bytes) {
            let before = hit.start().checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
            let after = bytes.get(hit.end()).is_some_and(u8::is_ascii_alphanumeric);
            for &(row, place) in &self.uses[hit.pattern().as_usize()] {
                let Pattern::Words(fragments) = &self.rows[row].pattern else { continue };
                let fragment = &fragments[place];
                if (before && !fragment.open_start) || (after && !fragment.open_end) {
                    continue;
                }
                if fragments.len() == 1 {
                    take(row);
                    continue;
                }
                let (next, last_end) = reached.get(&row).copied().unwrap_or((0, 0));
                let follows = next == place && hit.start() >= last_end && hit.start() - last_end <= MAX_GAP;
                if place == 0 {
                    reached.insert(row, (1, hit.end()));
                } else if follows && place + 1 == fragments.len() {
                    take(row);
                    reached.remove(&row);
                } else if follows {
                    reached.insert(row, (place + 1, hit.end()));
                }
            }
        }
        let [token, phrase, word] = first.map(|row| row.and_then(|row| self.rows.get(row)));
        Found { token, phrase, word }
    }

    /// The row of an enhanced code that says one thing.
    pub(super) fn exact(&self, status: EnhancedStatus) -> Option<&Rule> {
        self.by_status(Tier::Code, status, None)
    }

    /// The row of the field an enhanced code names.
    pub(super) fn vague(&self, status: EnhancedStatus, stage: Option<Stage>) -> Option<&Rule> {
        self.by_status(Tier::Fallback, status, stage)
    }

    /// The row of the three digits of a reply.
    pub(super) fn basic(&self, code: u16, stage: Option<Stage>) -> Option<&Rule> {
        self.codes
            .iter()
            .find(|rule| rule.tier == Tier::Fallback && rule.pattern == Pattern::Basic(code) && rule.speaks(stage, &[]))
    }

    fn by_status(&self, tier: Tier, status: EnhancedStatus, stage: Option<Stage>) -> Option<&Rule> {
        self.codes.iter().find(|rule| {
            rule.tier == tier
                && matches!(rule.pattern, Pattern::Status(subject, detail)
                    if subject == status.subject() && detail.is_none_or(|detail| detail == status.detail()))
                && rule.speaks(stage, &[])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{AddressState, Advice};

    fn ids(text: &str) -> [Option<&str>; 3] {
        let found = Rules::built_in().read(&Masked::new(text), None);
        [found.token, found.phrase, found.word].map(|rule| rule.map(|rule| &*rule.id))
    }

    #[test]
    fn the_tables_load_and_their_ids_are_distinct() {
        let rules = Rules::built_in();
        let mut seen = std::collections::HashSet::new();
        for rule in rules.rows.iter().chain(&rules.codes) {
            assert!(seen.insert(&rule.id), "{} stands twice", rule.id);
            let ends = !matches!(rule.address, AddressState::Full | AddressState::Fine | AddressState::NoStatement);
            assert!(!(rule.tier == Tier::Word && ends), "{}: a single word never ends an address", rule.id);
            assert!(!(ends && rule.advice != Advice::Remove), "{}: advice and address disagree", rule.id);
        }
        assert!(rules.rows.len() > 500);
    }

    #[test]
    fn a_bad_row_is_named_by_table_and_line() {
        let load = |text: &str| Rules::load(&[(Tier::Phrase, "mine.tsv", text)]).unwrap_err().to_string();
        assert_eq!(
            load("# c\na\tany\tx"),
            "mine.tsv line 2: 3 fields, expected 7: id, scope, pattern, reason, address, advice, origin"
        );
        assert!(load("a\tany\tx\tnonsense\tfine\tnone\to").contains("unknown reason \"nonsense\""));
        assert!(load("a\tany\tX y\tspam\tfine\tnone\to").contains("lower case"));
        assert!(load("a\tany\t-\tspam\tfine\tnone\to").contains("needs a provider"));
        assert!(load("a\tat:lunch\tx\tspam\tfine\tnone\to").contains("unknown stage"));
    }

    #[test]
    fn words_are_whole_and_fragments_stand_in_order() {
        assert_eq!(ids("no such username here")[1], None, "`no such user` is not part of a longer word");
        assert!(ids("the user <ann@example.net> is unknown")[1].unwrap().starts_with("phrase.user_unknown"));
        assert_eq!(ids("unknown.")[1], None);
        let far = format!("mailbox {} is full", "word ".repeat(30));
        assert_eq!(ids(&far)[1], None, "fragments that stand a paragraph apart are no sentence");
    }

    #[test]
    fn a_host_name_is_no_evidence_but_names_the_speaker() {
        assert_eq!(ids("mx1.spam-quarantine.example said nothing"), [None, None, None]);
        assert_eq!(ids("see https://www.spamhaus.org/query/ip/192.0.2.1")[0], Some("token.spamhaus"));
        assert_eq!(ids("see https://www.notspamhaus.org/")[0], None);
    }

    #[test]
    fn codes_are_looked_up_by_exactness() {
        let rules = Rules::built_in();
        let status = |text: &str| text.parse::<EnhancedStatus>().unwrap();
        assert_eq!(&*rules.exact(status("4.2.2")).unwrap().id, "code.x.2.2");
        assert_eq!(rules.exact(status("5.7.1")), None);
        assert_eq!(&*rules.vague(status("5.7.1"), None).unwrap().id, "code.x.7.*");
        assert_eq!(rules.vague(status("5.0.0"), None), None);
        assert_eq!(&*rules.basic(552, Some(Stage::Rcpt)).unwrap().id, "basic.552.rcpt");
        assert_eq!(&*rules.basic(552, Some(Stage::EndOfData)).unwrap().id, "basic.552");
    }
}
