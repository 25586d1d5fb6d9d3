//! One row of a table: what it matches, who must have spoken, and what follows.

use super::masked::{Masked, folded};
use super::tables::Circumstances;
use crate::session::Stage;
use crate::verdict::quoted::Codes;
use crate::verdict::{AddressState, Advice, Reason};

/// Which table a row stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verdict) enum Tier {
    Token,
    Code,
    Phrase,
    Generic,
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
    /// Fragments in this order, each within one sentence of the one before. None: the speaker alone tells.
    Words {
        when: Option<When>,
        fragments: Box<[Fragment]>,
    },
    /// Subject and detail; no detail stands for any.
    Status(u16, Option<u16>),
    Basic(u16),
}

/// The code that must stand beside the words: `[5.1.0]`, `[x.2.*]`, `[542]`, `[4]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Status {
        class: Option<u8>,
        subject: u16,
        detail: Option<u16>,
    },
    Basic(u16),
    /// The first digit.
    Class(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) words: Box<str>,
    /// The first or last word may go on before or after the fragment.
    pub(super) open_start: bool,
    pub(super) open_end: bool,
}

impl Tier {
    /// The table's name, as it stands in a file of rules.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Tier::Token => "tokens",
            Tier::Code => "codes",
            Tier::Phrase => "phrases",
            Tier::Generic => "generic",
            Tier::Word => "words",
            Tier::Fallback => "fallback",
        }
    }

    /// The table with this name.
    pub(super) fn from_name(name: &str) -> Option<Tier> {
        [Tier::Token, Tier::Code, Tier::Phrase, Tier::Generic, Tier::Word, Tier::Fallback]
            .into_iter()
            .find(|tier| tier.name() == name)
    }
}

impl Rule {
    /// Whether a row whose words were found speaks here: its speaker may be the one who spoke, and the code that it
    /// asks for stands beside the words.
    pub(super) fn applies(&self, text: &Masked, said: &Circumstances<'_>) -> bool {
        let speaks = match &self.speaker {
            Speaker::Provider { hosts: known } => {
                let named = |host: &str| known.iter().any(|name| is_under(host, name));
                known.is_empty()
                    || text.hosts.iter().any(|host| named(host))
                    || said.hosts.iter().any(|host| named(&host.trim_end_matches('.').to_ascii_lowercase()))
            }
            speaker => speaker.may_be_at(said.stage),
        };
        speaks
            && match &self.pattern {
                Pattern::Words { when: Some(when), .. } => when.holds(said.codes),
                _ => true,
            }
    }

    /// Whether the row says that an address will not take mail again.
    pub(in crate::verdict) fn ends_address(&self) -> bool {
        self.address.ends_address()
    }
}

impl Speaker {
    /// Whether this may be said at that stage.
    pub(super) fn may_be_at(&self, stage: Option<Stage>) -> bool {
        match self {
            Speaker::At(at) => stage == Some(*at),
            Speaker::Anyone | Speaker::Provider { .. } => true,
        }
    }
}

impl When {
    fn holds(self, codes: Codes) -> bool {
        match self {
            When::Status { class, subject, detail } => codes.status.is_some_and(|status| {
                class.is_none_or(|class| class == status.class())
                    && subject == status.subject()
                    && detail.is_none_or(|detail| detail == status.detail())
            }),
            When::Basic(code) => codes.code == Some(code),
            When::Class(class) => match (codes.code, codes.status) {
                (Some(code), _) => code / 100 == class,
                (None, status) => status.is_some_and(|status| u16::from(status.class()) == class),
            },
        }
    }

    fn parse(text: &str) -> Option<When> {
        let mut parts = text.split('.');
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        let any = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
        match (second, third, parts.next()) {
            (None, ..) => match first.parse().ok()? {
                class @ (4 | 5) => Some(When::Class(class)),
                code @ 400..=599 => Some(When::Basic(code)),
                _ => None,
            },
            (Some(subject), Some(detail), None) => {
                let class = if first == "x" { None } else { Some(first.parse().ok().filter(|c| matches!(c, 4 | 5))?) };
                Some(When::Status { class, subject: subject.parse().ok()?, detail: any(detail)? })
            }
            _ => None,
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
        Tier::Token | Tier::Phrase | Tier::Generic | Tier::Word => parse_words(pattern)?,
        Tier::Code | Tier::Fallback => parse_code(pattern).ok_or_else(|| format!("no code: {pattern:?}"))?,
    };
    if matches!(&pattern, Pattern::Words { fragments, .. } if fragments.is_empty())
        && !matches!(&speaker, Speaker::Provider { hosts } if !hosts.is_empty())
    {
        return Err("a row without words needs a provider and its hosts".into());
    }
    let rule = Rule {
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
    };
    if rule.tier == Tier::Word && rule.ends_address() {
        return Err("a single word is a hint: it never ends an address".into());
    }
    Ok(rule)
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
    let (when, words) = match pattern.strip_prefix('[') {
        None => (None, pattern),
        Some(rest) => {
            let (code, words) = rest.split_once("] ").ok_or_else(|| format!("no `] ` after the code: {pattern:?}"))?;
            (Some(When::parse(code).ok_or_else(|| format!("no code: {code:?}"))?), words)
        }
    };
    if words == "-" {
        return Ok(Pattern::Words { when, fragments: [].into() });
    }
    let mut fragments = Vec::new();
    for words in words.split(" ... ") {
        let (open_start, words) = words.strip_prefix('*').map_or((false, words), |rest| (true, rest));
        let (open_end, words) = words.strip_suffix('*').map_or((false, words), |rest| (true, rest));
        if words.trim() != words || words.is_empty() || words.to_lowercase() != words {
            return Err(format!("words are lower case, without spaces at their ends: {pattern:?}"));
        }
        // A mark for something masked is no letter: whatever stands beside it is another word.
        let open = |mark: Option<char>| mark.is_some_and(|c| !c.is_ascii_alphanumeric());
        let words = folded(words);
        fragments.push(Fragment {
            open_start: open_start || open(words.chars().next()),
            open_end: open_end || open(words.chars().next_back()),
            words: words.into(),
        });
    }
    Ok(Pattern::Words { when, fragments: fragments.into() })
}

fn parse_code(pattern: &str) -> Option<Pattern> {
    let Some(status) = pattern.strip_prefix("x.") else {
        return pattern.parse().ok().filter(|code| (400..=599).contains(code)).map(Pattern::Basic);
    };
    let (subject, detail) = status.split_once('.')?;
    let detail = if detail == "*" { None } else { Some(detail.parse().ok()?) };
    Some(Pattern::Status(subject.parse().ok()?, detail))
}
