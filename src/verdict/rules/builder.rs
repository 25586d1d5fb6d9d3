//! Rules from files: the built-in rows, and on top of them rows that a user adds, replaces or takes away.
//!
//! A file has one row a line, in the form of the built-in tables, and two kinds of line beside comments: `[phrases]`
//! names the table of the rows that follow (`tokens` until a line names another), and `-ID` takes a row away. A row
//! whose id is known replaces the row of that id where it stood; any other is tried before the built-in rows of its
//! table.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use super::row::{Rule, Tier, parse_row};
use super::tables::Tables;
use super::{Rules, TABLES};

/// Collects the sources of rules; see [`Rules`].
#[derive(Debug, Default)]
#[must_use]
pub struct RulesBuilder {
    sources: Vec<Source>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Text(String, String),
}

/// Rows that cannot be read: each with its file, its line and what is wrong with it.
///
/// ```
/// use returnpath::verdict::Rules;
///
/// let problems = Rules::builder().text("mine.tsv", "[phrases]\nmine.1\tany\tgone\tvanished\tfine\tnone\tx\n").build();
/// assert_eq!(problems.unwrap_err().to_string(), "mine.tsv line 2: unknown reason \"vanished\"");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidRules {
    problems: Vec<String>,
}

impl RulesBuilder {
    /// Adds the rows of a file. It is read by [`RulesBuilder::build`].
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::File(path.into()));
        self
    }

    /// Adds the rows of a text; `name` stands for the file in messages.
    pub fn text(mut self, name: impl Into<String>, rows: impl Into<String>) -> Self {
        self.sources.push(Source::Text(name.into(), rows.into()));
        self
    }

    /// Reads every source. Files that are named later have the last word.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and every line that cannot: with file, line, and the rule that it breaks.
    pub fn build(self) -> Result<Rules, InvalidRules> {
        let mut problems = Vec::new();
        let mut rows = Rows::default();
        for (tier, name, text) in TABLES {
            rows.read(name, text, tier, &mut problems);
        }
        for source in self.sources {
            let mut own = Rows::default();
            match source {
                Source::Text(name, text) => own.read(&name, &text, Tier::Token, &mut problems),
                Source::File(path) => match std::fs::read_to_string(&path) {
                    Ok(text) => own.read(&path.display().to_string(), &text, Tier::Token, &mut problems),
                    Err(error) => problems.push(format!("{}: {error}", path.display())),
                },
            }
            rows.overlay(own, &mut problems);
        }
        if !problems.is_empty() {
            return Err(InvalidRules { problems });
        }
        Tables::new(rows.rules).map(Rules::of).map_err(|problem| InvalidRules { problems: vec![problem] })
    }
}

/// The rows of one source, and what it takes away: an id and the place where that stands.
#[derive(Default)]
struct Rows {
    rules: Vec<Rule>,
    ids: HashSet<Box<str>>,
    taken_away: Vec<(String, String)>,
}

impl Rows {
    fn read(&mut self, name: &str, text: &str, mut tier: Tier, problems: &mut Vec<String>) {
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{name} line {}", number + 1);
            let line = line.trim_end_matches([' ', '\r']);
            if line.is_empty() || line.starts_with('#') {
            } else if let Some(table) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                match Tier::from_name(table) {
                    Some(named) => tier = named,
                    None => problems.push(format!("{}: there is no table {table:?}", place())),
                }
            } else if let Some(id) = line.strip_prefix('-') {
                self.taken_away.push((id.trim().to_owned(), place()));
            } else {
                match parse_row(tier, line) {
                    Ok(rule) if !self.ids.insert(rule.id.clone()) => {
                        problems.push(format!("{}: the id {:?} stands twice", place(), rule.id));
                    }
                    Ok(rule) => self.rules.push(rule),
                    Err(problem) => problems.push(format!("{}: {problem}", place())),
                }
            }
        }
    }

    /// Lays the rows of a later source over these.
    fn overlay(&mut self, own: Rows, problems: &mut Vec<String>) {
        for (id, place) in own.taken_away {
            match self.rules.iter().position(|rule| *rule.id == *id) {
                Some(at) => drop(self.rules.remove(at)),
                None => problems.push(format!("{place}: there is no rule {id:?} to take away")),
            }
        }
        let mut new = Vec::new();
        for rule in own.rules {
            match self.rules.iter_mut().find(|known| known.id == rule.id) {
                Some(known) => *known = rule,
                None => new.push(rule),
            }
        }
        new.append(&mut self.rules);
        self.rules = new;
    }
}

impl InvalidRules {
    /// One line for each problem: the file, the line, and the rule that it breaks.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str)
    }
}

impl fmt::Display for InvalidRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for InvalidRules {}

#[cfg(test)]
mod tests {
    use super::super::{Circumstances, Masked};
    use super::*;
    use crate::verdict::codes_in;

    fn problem(text: &str) -> String {
        Rules::builder().text("mine.tsv", text).build().unwrap_err().to_string()
    }

    fn token(rules: &Rules, text: &str) -> Option<String> {
        let said = Circumstances { codes: codes_in(text), ..Circumstances::default() };
        rules.read(&Masked::new(text), &said).token.map(|rule| rule.id.to_string())
    }

    #[test]
    fn a_bad_row_is_named_by_file_and_line() {
        assert_eq!(
            problem("# c\na\tany\tx"),
            "mine.tsv line 2: 3 fields, expected 7: id, scope, pattern, reason, address, advice, origin"
        );
        for (row, why) in [
            ("a\tany\tx\tnonsense\tfine\tnone\to", "unknown reason \"nonsense\""),
            ("a\tany\tx\tspam\tnice\tnone\to", "unknown address statement"),
            ("a\tany\tx\tspam\tfine\tcall\to", "unknown advice"),
            ("a\tany\tX y\tspam\tfine\tnone\to", "lower case"),
            ("a\tany\t-\tspam\tfine\tnone\to", "needs a provider"),
            ("a\tany\t[5.1] x\tspam\tfine\tnone\to", "no code"),
            ("a\tany\t[5.1.1 x\tspam\tfine\tnone\to", "after the code"),
            ("a\tat:lunch\tx\tspam\tfine\tnone\to", "unknown stage"),
            ("a\tA Firm\tx\tspam\tfine\tnone\to", "not a scope"),
            ("\tany\tx\tspam\tfine\tnone\to", "the id or the origin is missing"),
            ("[words]\na\tany\tgone\tuser_unknown\tno_mailbox\tremove\to", "never ends an address"),
            ("[codes]\na\tany\tgone\tuser_unknown\tno_mailbox\tremove\to", "no code"),
            ("[verbs]", "there is no table \"verbs\""),
            ("-no.such.row", "there is no rule \"no.such.row\""),
            ("a\tany\tx\tspam\tfine\tnone\to\na\tany\ty\tspam\tfine\tnone\to", "stands twice"),
        ] {
            let told = problem(row);
            assert!(told.starts_with("mine.tsv line ") && told.contains(why), "{row:?}: {told}");
        }
        assert_eq!(problem("a\nb").lines().count(), 2, "every problem is told");
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let told = Rules::builder().file("/nowhere/rules.tsv").build().unwrap_err().to_string();
        assert!(told.starts_with("/nowhere/rules.tsv: "), "{told}");
    }

    #[test]
    fn rows_are_added_replaced_and_taken_away() {
        let text = "550 5.1.1 too many recipients this hour";
        let built_in = Rules::built_in();
        let known = token(&built_in, text).expect("a built-in row knows this");
        let added = Rules::builder().text("a", "mine\tany\tthis hour\tsystem\tfine\tnone\to\n").build().unwrap();
        assert_eq!(token(&added, text).as_deref(), Some("mine"));
        let replaced = format!("{known}\tany\tnever said\tsystem\tfine\tnone\to\n");
        let replaced = Rules::builder().text("a", replaced).build().unwrap();
        assert_ne!(token(&replaced, text), Some(known.clone()));
        let less = Rules::builder().text("a", format!("-{known}\n")).build().unwrap();
        assert_ne!(token(&less, text), Some(known.clone()));
        // The later file has the last word.
        let both = Rules::builder()
            .text("a", "mine\tany\tthis hour\tsystem\tfine\tnone\to\n")
            .text("b", "mine\tany\tthis hour\tpolicy\tfine\tnone\to\n-token.callout.sender_verify_failed\n")
            .build()
            .unwrap();
        assert_eq!(token(&both, text).as_deref(), Some("mine"));
        assert_eq!(token(&both, "sender verify failed"), None);
    }
}
