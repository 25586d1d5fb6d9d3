//! All rows, ready to be matched: one pass over a text for every row of words, a look-up for codes.

use std::cmp::Reverse;
use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::masked::Masked;
use super::row::{Pattern, Rule, Speaker, Tier};
use crate::session::Stage;
use crate::verdict::EnhancedStatus;
use crate::verdict::quoted::Codes;

/// How far apart two fragments of a pattern may stand, in bytes: a sentence, not a paragraph.
const MAX_GAP: usize = 60;
/// How many sentences of one text are kept. What a text says further on explains what it said first.
const MAX_PHRASES: usize = 16;
/// Up to this many bytes of words the table of a whole DFA stays within a few megabytes; it is the fastest to walk.
/// Beyond, the states that are seldom visited would push the others out of the caches.
const MAX_DFA_WORDS: usize = 8 * 1024;

/// Rows of words, and those that match codes.
#[derive(Debug)]
pub(super) struct Tables {
    rows: Vec<Rule>,
    codes: Vec<Rule>,
    /// Rows without words: their speaker alone tells.
    wordless: Vec<usize>,
    /// Finds every distinct fragment of every row of words.
    automaton: AhoCorasick,
    /// For each fragment the automaton knows: the rows that use it, and as which of their fragments.
    uses: Vec<Vec<(usize, usize)>>,
}

/// Under which circumstances a text was said.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::verdict) struct Circumstances<'c> {
    pub(in crate::verdict) stage: Option<Stage>,
    /// Names of hosts that are known to have spoken, beside those in the text itself.
    pub(in crate::verdict) hosts: &'c [&'c str],
    /// The codes in the text.
    pub(in crate::verdict) codes: Codes,
}

/// What a text was found to hold.
#[derive(Debug, Clone, Default)]
pub(in crate::verdict) struct Found<'r> {
    /// The first row of the table.
    pub(in crate::verdict) token: Option<&'r Rule>,
    /// The rows that match, in the order of the text.
    pub(in crate::verdict) phrases: Vec<&'r Rule>,
    /// The first row of each table.
    pub(in crate::verdict) generic: Option<&'r Rule>,
    pub(in crate::verdict) word: Option<&'r Rule>,
}

impl Tables {
    /// Puts rows together; within a table the earlier one wins.
    pub(super) fn new(rules: Vec<Rule>) -> Result<Tables, String> {
        let (rows, codes): (Vec<Rule>, Vec<Rule>) =
            rules.into_iter().partition(|rule| matches!(rule.pattern, Pattern::Words { .. }));
        let mut fragments: Vec<&str> = Vec::new();
        let mut index = HashMap::new();
        let mut uses: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut wordless = Vec::new();
        for (row, rule) in rows.iter().enumerate() {
            let Pattern::Words { fragments: words, .. } = &rule.pattern else { continue };
            if words.is_empty() {
                wordless.push(row);
            }
            for (place, fragment) in words.iter().enumerate() {
                let known = *index.entry(&*fragment.words).or_insert_with(|| {
                    fragments.push(&fragment.words);
                    uses.push(Vec::new());
                    uses.len() - 1
                });
                uses[known].push((row, place));
            }
        }
        let size: usize = fragments.iter().map(|words| words.len()).sum();
        let kind = if size <= MAX_DFA_WORDS { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let automaton = AhoCorasick::builder().kind(Some(kind)).build(&fragments).map_err(|error| error.to_string())?;
        Ok(Tables { rows, codes, wordless, automaton, uses })
    }

    /// Reads a text once. Without `providers`, rows that name a speaker are passed over.
    pub(super) fn read(&self, text: &Masked, said: &Circumstances<'_>, providers: bool) -> Found<'_> {
        let mut taken = Taken::default();
        let mut take = |row: usize, at: usize, end: usize| {
            let rule = &self.rows[row];
            if (providers || !matches!(rule.speaker, Speaker::Provider { .. })) && rule.applies(text, said) {
                taken.take(rule.tier, row, at, end);
            }
        };
        for &row in &self.wordless {
            take(row, 0, 0);
        }
        // How far each row of several fragments has come: the next fragment, where the last one ended, where the
        // first one began.
        let mut reached: HashMap<usize, (usize, usize, usize)> = HashMap::new();
        let bytes = text.text.as_bytes();
        for hit in self.automaton.find_overlapping_iter(bytes) {
            let before = hit.start().checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
            let after = bytes.get(hit.end()).is_some_and(u8::is_ascii_alphanumeric);
            for &(row, place) in &self.uses[hit.pattern().as_usize()] {
                let Pattern::Words { fragments, .. } = &self.rows[row].pattern else { continue };
                let fragment = &fragments[place];
                if (before && !fragment.open_start) || (after && !fragment.open_end) {
                    continue;
                }
                if fragments.len() == 1 {
                    take(row, hit.start(), hit.end());
                    continue;
                }
                if place == 0 {
                    reached.insert(row, (1, hit.end(), hit.start()));
                    continue;
                }
                let Some(&(next, last_end, start)) = reached.get(&row) else { continue };
                let gap = text.text.get(last_end..hit.start());
                if next != place || !gap.is_some_and(within_one_sentence) {
                    continue;
                }
                if place + 1 == fragments.len() {
                    take(row, start, hit.end());
                    reached.remove(&row);
                } else {
                    reached.insert(row, (place + 1, hit.end(), start));
                }
            }
        }
        taken.found(&self.rows)
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
        self.codes.iter().find(|rule| {
            rule.tier == Tier::Fallback && rule.pattern == Pattern::Basic(code) && rule.speaker.may_be_at(stage)
        })
    }

    fn by_status(&self, tier: Tier, status: EnhancedStatus, stage: Option<Stage>) -> Option<&Rule> {
        self.codes.iter().find(|rule| {
            rule.tier == tier
                && matches!(rule.pattern, Pattern::Status(subject, detail)
                    if subject == status.subject() && detail.is_none_or(|detail| detail == status.detail()))
                && rule.speaker.may_be_at(stage)
        })
    }

    #[cfg(test)]
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rows.iter().chain(&self.codes)
    }
}

/// The rows that matched so far: of tables whose order counts the first one, of sentences each with its place.
#[derive(Default)]
struct Taken {
    token: Option<usize>,
    generic: Option<usize>,
    word: Option<usize>,
    /// Where each begins, and of two that begin at one place the longer one first; then its row.
    phrases: Vec<(usize, Reverse<usize>, usize)>,
}

impl Taken {
    fn take(&mut self, tier: Tier, row: usize, at: usize, end: usize) {
        let first = match tier {
            Tier::Token => &mut self.token,
            Tier::Generic => &mut self.generic,
            Tier::Word => &mut self.word,
            Tier::Phrase => {
                if self.phrases.len() < MAX_PHRASES && !self.phrases.iter().any(|(_, _, known)| *known == row) {
                    self.phrases.push((at, Reverse(end), row));
                }
                return;
            }
            Tier::Code | Tier::Fallback => return,
        };
        if first.is_none_or(|known| row < known) {
            *first = Some(row);
        }
    }

    fn found(mut self, rows: &[Rule]) -> Found<'_> {
        self.phrases.sort_unstable();
        let row = |index: Option<usize>| index.and_then(|index| rows.get(index));
        Found {
            token: row(self.token),
            generic: row(self.generic),
            word: row(self.word),
            phrases: self.phrases.into_iter().filter_map(|(_, _, index)| rows.get(index)).collect(),
        }
    }
}

/// Whether what stands between two fragments leaves them one statement: not too much of it, no end of a sentence, and
/// no "not" that turns it round.
fn within_one_sentence(gap: &str) -> bool {
    let ends = gap.match_indices(". ").any(|(at, _)| at.checked_sub(1).is_none_or(|at| gap.as_bytes()[at] != b'.'));
    gap.len() <= MAX_GAP && !ends && !gap.split(' ').any(|word| word == "not" || word.ends_with("n't"))
}
