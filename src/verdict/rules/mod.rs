//! The verdict rules: tables of rows, matched in one pass over a masked text.
//!
//! A row has seven fields, separated by tabs: id, scope (who speaks), pattern, reason, address statement, advice, and
//! an origin note. A line that starts with `#` is a comment. The table a row stands in says how much it weighs:
//!
//! | table | pattern | weight |
//! |---|---|---|
//! | `tokens` | words, or `-` where the speaker alone tells | a provider's own words, and words that outweigh codes |
//! | `codes` | an enhanced code, `x.1.1` | codes that say one thing |
//! | `phrases` | words | sentences of general use; of several in one text the first one counts |
//! | `generic` | words | sentences that come with every cause: heard where no other one was said |
//! | `words` | words | single words: hints, never a statement that ends an address |
//! | `fallback` | `x.1.*` or three digits | what is left |
//!
//! In a table other than `phrases` the earlier row wins. The rows that come with the crate are files beside this one:
//! a table each, the rows of providers and products apart from those of general scope, and the phrases of each
//! language apart. Which table is asked when, and what a hit means for the message, is decided in `opinion.rs` and
//! `outcome.rs`.

mod builder;
mod live;
mod masked;
mod row;
mod tables;

use std::fmt;
use std::sync::{Arc, LazyLock};

pub use builder::{InvalidRules, RulesBuilder};
pub(crate) use live::LiveRules;
pub(super) use masked::Masked;
pub(super) use row::{Rule, Speaker, Tier};
use tables::Tables;
pub(super) use tables::{Circumstances, Found};

use crate::session::Stage;
use crate::verdict::EnhancedStatus;

/// What words and codes mean: the rows that come with the crate, and your own.
///
/// Cheap to clone. Build rules of your own on top of the built-in ones, give them to
/// [`MailerBuilder::rules`](crate::MailerBuilder::rules), [`Mailer::reload_rules`](crate::Mailer::reload_rules) or
/// [`Options::rules`](crate::analysis::Options::rules). How a row is written is said in [`manual::verdicts`](crate::manual::verdicts).
///
/// ```
/// use returnpath::Reason;
/// use returnpath::analysis::{Options, analyse_with};
/// use returnpath::verdict::Rules;
///
/// let mine = "mine.closed\tany\tthis desk is closed\tmailbox_disabled\tdisabled\tremove\tour partner's gateway\n";
/// let rules = Rules::builder().text("mine.tsv", mine).build()?;
/// let report = b"From: MAILER-DAEMON@mx.example.net\r\n\
///     Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
///     --b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
///     Reporting-MTA: dns; mx.example.net\r\n\r\n\
///     Final-Recipient: rfc822; ann@example.net\r\nAction: failed\r\nStatus: 5.0.0\r\n\
///     Diagnostic-Code: smtp; 550 This desk is closed\r\n--b--\r\n";
/// let analysis = analyse_with(report, &Options::default().rules(rules));
/// assert_eq!(analysis.findings[0].verdict.reason, Reason::MailboxDisabled);
/// assert_eq!(analysis.findings[0].verdict.evidence.rule, "mine.closed");
/// # Ok::<(), returnpath::verdict::InvalidRules>(())
/// ```
#[derive(Clone)]
pub struct Rules {
    tables: Arc<Tables>,
    /// Whether rows that name a speaker are heard.
    providers: bool,
}

impl Rules {
    /// The rows that come with the crate.
    pub fn built_in() -> Rules {
        BUILT_IN.clone()
    }

    /// Begins rules of your own on top of the built-in ones.
    pub fn builder() -> RulesBuilder {
        RulesBuilder::default()
    }

    /// The same rules without the rows whose scope is a provider or a product: what is left speaks of mail in general.
    pub fn general(&self) -> Rules {
        Rules { tables: self.tables.clone(), providers: false }
    }

    fn of(tables: Tables) -> Rules {
        Rules { tables: Arc::new(tables), providers: true }
    }

    /// Reads a text once and answers what it holds.
    pub(super) fn read(&self, text: &Masked, said: &Circumstances<'_>) -> Found<'_> {
        self.tables.read(text, said, self.providers)
    }

    /// The row of an enhanced code that says one thing.
    pub(super) fn exact(&self, status: EnhancedStatus) -> Option<&Rule> {
        self.tables.exact(status)
    }

    /// The row of the field an enhanced code names.
    pub(super) fn vague(&self, status: EnhancedStatus, stage: Option<Stage>) -> Option<&Rule> {
        self.tables.vague(status, stage)
    }

    /// The row of the three digits of a reply.
    pub(super) fn basic(&self, code: u16, stage: Option<Stage>) -> Option<&Rule> {
        self.tables.basic(code, stage)
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::built_in()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("providers", &self.providers).finish_non_exhaustive()
    }
}

static BUILT_IN: LazyLock<Rules> =
    LazyLock::new(|| Rules::builder().build().expect("the tables are part of the program and a test loads them"));

/// The built-in rows, in the order in which they are tried.
const TABLES: [(Tier, &str, &str); 8] = [
    (Tier::Token, "providers.tsv", include_str!("providers.tsv")),
    (Tier::Token, "tokens.tsv", include_str!("tokens.tsv")),
    (Tier::Code, "codes.tsv", include_str!("codes.tsv")),
    (Tier::Phrase, "phrases.tsv", include_str!("phrases.tsv")),
    (Tier::Phrase, "languages.tsv", include_str!("languages.tsv")),
    (Tier::Generic, "generic.tsv", include_str!("generic.tsv")),
    (Tier::Word, "words.tsv", include_str!("words.tsv")),
    (Tier::Fallback, "fallback.tsv", include_str!("fallback.tsv")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{AddressState, Advice, codes_in};

    /// Token, first phrase, generic, word.
    fn ids(text: &str) -> [Option<String>; 4] {
        let rules = Rules::built_in();
        let said = Circumstances { codes: codes_in(text), ..Circumstances::default() };
        let found = rules.read(&Masked::new(text), &said);
        let phrase = found.phrases.first().copied();
        [found.token, phrase, found.generic, found.word].map(|rule| rule.map(|rule| rule.id.to_string()))
    }

    #[test]
    fn the_tables_load_and_their_ids_are_distinct() {
        let rules = Rules::built_in();
        let mut seen = std::collections::HashSet::new();
        for rule in rules.tables.rules() {
            assert!(seen.insert(&rule.id), "{} stands twice", rule.id);
            assert!(
                !(rule.ends_address() && rule.advice != Advice::Remove),
                "{}: advice and address disagree",
                rule.id
            );
            let full = rule.address == AddressState::Full;
            assert!(
                !full || matches!(rule.advice, Advice::RetryLater(_)),
                "{}: a full mailbox is tried later",
                rule.id
            );
        }
        assert!(seen.len() > 3000, "{}", seen.len());
    }

    #[test]
    fn rows_of_general_scope_name_no_product_company_or_host() {
        const NAMES: [&str; 52] = [
            "gmail",
            "google",
            "microsoft",
            "outlook",
            "hotmail",
            "office365",
            "exchange",
            "yahoo",
            "aol",
            "apple",
            "icloud",
            "comcast",
            "verizon",
            "charter",
            "orange",
            "laposte",
            "gmx",
            "web.de",
            "1und1",
            "t-online",
            "libero",
            "mail.ru",
            "yandex",
            "qq",
            "netease",
            "163",
            "naver",
            "docomo",
            "kddi",
            "softbank",
            "mimecast",
            "proofpoint",
            "barracuda",
            "cloudmark",
            "spamhaus",
            "spamcop",
            "sorbs",
            "sophos",
            "symantec",
            "ironport",
            "cisco",
            "postfix",
            "exim",
            "sendmail",
            "qmail",
            "courier",
            "dovecot",
            "cyrus",
            "domino",
            "groupwise",
            "spamassassin",
            "rspamd",
        ];
        for (_, table, text) in TABLES.into_iter().filter(|(_, table, _)| *table != "providers.tsv") {
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let scope = line.split('\t').nth(1).unwrap();
                assert!(scope == "any" || scope.starts_with("at:"), "{table}: {line}");
                let words: Vec<&str> = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).collect();
                let named = NAMES.iter().find(|name| words.contains(*name));
                assert_eq!(named, None, "{table}: {line}");
                let pattern = line.split('\t').nth(2).unwrap();
                let names_a_host = [".com", ".org", ".net"].iter().any(|end| pattern.contains(end));
                assert!(!names_a_host, "{table}: {line}");
            }
        }
    }

    #[test]
    fn words_are_whole_and_fragments_stand_in_order() {
        assert_eq!(ids("no such username here")[1], None, "`no such user` is not part of a longer word");
        assert!(ids("the user <ann@example.net> is unknown")[1].as_ref().unwrap().starts_with("phrase.user_unknown"));
        assert_eq!(ids("unknown.")[1], None);
        let far = format!("mailbox {} is full", "word ".repeat(30));
        assert_eq!(ids(&far)[1], None, "fragments that stand a paragraph apart are no sentence");
        assert_eq!(ids("your mailbox is not full")[1], None, "a denial is no statement");
        assert_eq!(ids("a mailbox. One is full")[1], None, "two sentences are not one");
    }

    #[test]
    fn the_first_sentence_counts() {
        let id = ids("Address does not exist. Your network is not on a blocklist and nothing is over quota")[1].clone();
        assert!(id.unwrap().starts_with("phrase.user_unknown"));
    }

    #[test]
    fn a_host_name_is_no_evidence_but_names_the_speaker() {
        assert_eq!(ids("mx1.spam-quarantine.example said nothing"), [None, None, None, None]);
        assert_eq!(ids("see https://www.spamhaus.org/query/ip/192.0.2.1")[0].as_deref(), Some("token.spamhaus"));
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

    #[test]
    fn without_providers_only_general_rows_speak() {
        let text = "550 5.4.1 Recipient address rejected: Access denied. [AB1.mail.protection.outlook.com]";
        let said = Circumstances { codes: codes_in(text), ..Circumstances::default() };
        let all = Rules::built_in();
        assert!(all.read(&Masked::new(text), &said).token.is_some());
        assert_eq!(all.general().read(&Masked::new(text), &said).token, None);
    }
}
