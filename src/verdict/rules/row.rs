//! One row of a table: what it matches, who must have spoken, and what follows.

use crate::session::Stage;
use crate::verdict::{AddressState, Advice, Reason};

/// Which table a row stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::verdict) enum Tier {
    Token,
    Code,
    Phrase,
    Word,
    Fallback,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::verdict) struct Rule {
    pub(in crate::verdict) id: Box<str>,
    pub(in crate::verdict) tier: Tier,
    pub(in crate::verdict) speaker: Speaker,
    pub(super) pattern: Pattern,
    pub(in crate::verdict) reason: Reason,
    pub(in crate::verdict) address: AddressState,
    pub(in crate::verdict) advice: Advice,
}

/// Who speaks, or where.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::verdict) enum Speaker {
    Anyone,
    /// Only at this stage of the conversation.
    At(Stage),
    /// A provider; if `hosts` is not empty, only where a host under one of these names is named in the text.
    Provider {
        hosts: Box<[Box<str>]>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    /// Fragments in this order, each within [`MAX_GAP`](super::MAX_GAP) of the one before. Empty: the speaker alone tells.
    Words(Box<[Fragment]>),
    /// Subject and detail; no detail stands for any.
    Status(u16, Option<u16>),
    Basic(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) words: Box<str>,
    /// The first or last word may go on before or after the fragment.
    pub(super) open_start: bool,
    pub(super) open_end: bool,
}

impl Rule {
    /// Whether the row's speaker may be the one who spoke.
    pub(super) fn speaks(&self, stage: Option<Stage>, hosts: &[String]) -> bool {
        match &self.speaker {
            Speaker::Anyone => true,
            Speaker::At(at) => stage == Some(*at),
            Speaker::Provider { hosts: known } => {
                known.is_empty() || hosts.iter().any(|host| known.iter().any(|name| is_under(host, name)))
            }
        }
    }
}

/// Whether `host` is `name` or a name below it.
fn is_under(host: &str, name: &str) -> bool {
    host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Reads one line of a table; the error says what is wrong with it.
pub(super) fn parse_row(tier: Tier, line: &str) -> Result<Rule, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [id, scope, pattern, reason, address, advice, origin] = fields[..] else {
        return Err(format!(
            "{} fields, expected 7: id, scope, pattern, reason, address, advice, origin",
            fields.len()
        ));
    };
    if id.is_empty() || origin.is_empty() {
        return Err("the id or the origin is missing".into());
    }
    let speaker = parse_speaker(scope)?;
    let pattern = match tier {
        Tier::Token | Tier::Phrase | Tier::Word => parse_words(pattern)?,
        Tier::Code | Tier::Fallback => parse_code(pattern).ok_or_else(|| format!("no code: {pattern:?}"))?,
    };
    if matches!(&pattern, Pattern::Words(words) if words.is_empty())
        && !matches!(&speaker, Speaker::Provider { hosts } if !hosts.is_empty())
    {
        return Err("a row without words needs a provider and its hosts".into());
    }
    Ok(Rule {
        id: id.into(),
        tier,
        speaker,
        pattern,
        reason: Reason::from_name(reason).ok_or_else(|| format!("unknown reason {reason:?}"))?,
        address: match address {
            "no_mailbox" => AddressState::NoMailbox,
            "no_domain" => AddressState::NoDomain,
            "disabled" => AddressState::Disabled,
            "full" => AddressState::Full,
            "moved" => AddressState::Moved(None),
            "fine" => AddressState::Fine,
            "no_statement" => AddressState::NoStatement,
            _ => return Err(format!("unknown address statement {address:?}")),
        },
        advice: match advice {
            "remove" => Advice::Remove,
            "retry_later" => Advice::RetryLater(None),
            "slow_down" => Advice::SlowDown,
            "fix_sender" => Advice::FixSender,
            "none" => Advice::None,
            _ => return Err(format!("unknown advice {advice:?}")),
        },
    })
}

fn parse_speaker(scope: &str) -> Result<Speaker, String> {
    if scope == "any" {
        return Ok(Speaker::Anyone);
    }
    if let Some(stage) = scope.strip_prefix("at:") {
        return STAGES
            .into_iter()
            .find(|known| known.name() == stage)
            .map(Speaker::At)
            .ok_or_else(|| format!("unknown stage {stage:?}"));
    }
    let (name, hosts) = scope.split_once('@').unwrap_or((scope, ""));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err(format!("not a scope: {scope:?}"));
    }
    Ok(Speaker::Provider { hosts: hosts.split(',').filter(|host| !host.is_empty()).map(Into::into).collect() })
}

/// The stages at which a reply can be given.
const STAGES: [Stage; 9] = [
    Stage::Banner,
    Stage::Ehlo,
    Stage::Starttls,
    Stage::Auth,
    Stage::Mail,
    Stage::Rcpt,
    Stage::Data,
    Stage::Body,
    Stage::EndOfData,
];

fn parse_words(pattern: &str) -> Result<Pattern, String> {
    if pattern == "-" {
        return Ok(Pattern::Words([].into()));
    }
    let mut fragments = Vec::new();
    for words in pattern.split(" ... ") {
        let (open_start, words) = words.strip_prefix('*').map_or((false, words), |rest| (true, rest));
        let (open_end, words) = words.strip_suffix('*').map_or((false, words), |rest| (true, rest));
        if words.trim() != words || words.is_empty() || words.to_lowercase() != words {
            return Err(format!("words are lower case, without spaces at their ends: {pattern:?}"));
        }
        // A mark for something masked is no letter: whatever stands beside it is another word.
        let open = |mark: Option<char>| mark.is_some_and(|c| !c.is_ascii_alphanumeric());
        fragments.push(Fragment {
            words: words.into(),
            open_start: open_start || open(words.chars().next()),
            open_end: open_end || open(words.chars().next_back()),
        });
    }
    Ok(Pattern::Words(fragments.into()))
}

fn parse_code(pattern: &str) -> Option<Pattern> {
    let Some(status) = pattern.strip_prefix("x.") else {
        return pattern.parse().ok().filter(|code| (400..=599).contains(code)).map(Pattern::Basic);
    };
    let (subject, detail) = status.split_once('.')?;
    let detail = if detail == "*" { None } else { Some(detail.parse().ok()?) };
    Some(Pattern::Status(subject.parse().ok()?, detail))
}
