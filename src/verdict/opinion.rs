//! What the rules say of a text and the codes beside it: the order of evidence, and how sure each kind makes us.
//!
//! Of one text, the first that speaks: a token; a code that says one thing; a phrase; a sentence of general use. A
//! code that would end an address gives way to words that name another cause, and to words that say more exactly how
//! the address ended: such codes are the ones that gateways put in front of whatever they pass on.
//!
//! The remote host's own words are heard before the reporting host's. What the reporting host adds of its own never
//! ends an address that the remote host gave another reason for.

use crate::session::Stage;
use crate::verdict::quoted::{Codes, moved_to, wait_in};
use crate::verdict::rules::{Circumstances, Found, Masked, Rule, Rules, Speaker, Tier};
use crate::verdict::{AddressState, Advice, EnhancedStatus, Evidence, Outcome, Reason, Source, Verdict};

/// Words and the codes that stand in them.
pub(super) struct Words<'t> {
    pub(super) text: &'t str,
    pub(super) codes: Codes,
}

/// Where and by whom the words were said.
#[derive(Clone, Copy)]
pub(super) struct Scene<'s> {
    pub(super) rules: &'s Rules,
    pub(super) stage: Option<Stage>,
    /// Names of hosts that may be the speaker.
    pub(super) hosts: &'s [&'s str],
}

/// The row that spoke, and how sure that makes us.
#[derive(Clone, Copy)]
pub(super) struct Opinion<'r> {
    rule: Option<&'r Rule>,
    confidence: f32,
}

/// Words around the remote host's words, against these themselves.
const HEARSAY: f32 = 0.9;

/// Asks the evidence in order: the remote host's own words first, then the reporting host's.
pub(super) fn hear<'r>(scene: Scene<'r>, remote: &Words<'_>, reporter: Option<&Words<'_>>) -> Opinion<'r> {
    let spoken = scene.listen(remote);
    let Some(reporter) = reporter else {
        return scene.decide(&spoken, remote.codes).unwrap_or_else(|| {
            let left = spoken.generic.or(spoken.word).or_else(|| scene.vague(remote)).or_else(|| scene.basic(remote));
            Opinion::of(left, 1.0)
        });
    };
    // Words without any code are no reply: they are the reporting host's, and its codes belong to them.
    let is_reply = remote.codes != Codes::default();
    let made_up = is_reply && invented(remote, reporter.codes);
    let told_codes = if made_up { Codes::default() } else { reporter.codes };
    let codes = if is_reply { remote.codes } else { told_codes };
    let says_something = is_reply || spoken.token.is_some() || !spoken.phrases.is_empty();
    if let Some(opinion) = scene.decide(&spoken, codes).filter(|_| says_something) {
        return opinion;
    }
    if let Some(rule) = spoken.generic.filter(|_| is_reply) {
        return Opinion::of(Some(rule), 1.0);
    }
    let told = scene.listen(reporter);
    // What the remote host said by a single word or a field of codes stands against an end of the address that only
    // the reporting host speaks of, and against its sentences.
    let own = if is_reply { spoken.word.or_else(|| scene.vague(remote)) } else { None };
    match scene.decide(&told, told_codes) {
        Some(opinion) if opinion.ends_address() && (own.is_some() || made_up) => {}
        Some(opinion) if own.is_none() || opinion.is_of(&[Tier::Token, Tier::Code]) => return opinion.heard_say(),
        _ => {}
    }
    let generic = spoken.generic.or(told.generic).filter(|rule| !(rule.ends_address() && made_up));
    // A word in a reply is a hint; in a letter to a person it may be any word.
    let hint = |word: Option<&'r Rule>, text: &str| word.filter(|_| is_reply || text.len() <= MAX_HINTED);
    let left = own
        .or(generic)
        .or_else(|| hint(spoken.word, remote.text))
        .or_else(|| scene.vague(reporter).filter(|_| !made_up))
        .or_else(|| hint(told.word, reporter.text).filter(|_| remote.text.is_empty()))
        .or_else(|| scene.basic(remote))
        .or_else(|| scene.basic(reporter));
    Opinion::of(left, HEARSAY)
}

/// A longer text that quotes no reply is a letter, in bytes.
const MAX_HINTED: usize = 160;

/// Whether the reporting host's status is no more than its translation of three digits that the remote host gave
/// without an enhanced code.
fn invented(remote: &Words<'_>, told: Codes) -> bool {
    let Some(status) = told.status.filter(|_| remote.codes.status.is_none()) else { return false };
    matches!(
        (remote.codes.code, status.subject(), status.detail()),
        (Some(550), 1, 1) | (Some(551), 1, 6) | (Some(552), 2, 2) | (Some(553), 1, 3)
    )
}

impl<'r> Scene<'r> {
    fn listen(&self, words: &Words<'_>) -> Found<'r> {
        let said = Circumstances { stage: self.stage, hosts: self.hosts, codes: words.codes };
        self.rules.read(&Masked::new(words.text), &said)
    }

    /// What one text and its codes say by themselves, unless it is only a saying or a hint.
    fn decide(&self, found: &Found<'r>, codes: Codes) -> Option<Opinion<'r>> {
        if let Some(token) = found.token {
            return Some(Opinion::of(Some(token), 1.0));
        }
        let phrase = found.phrases.first().copied();
        let Some(code) = codes.status.and_then(|status| self.rules.exact(status)) else {
            return phrase.map(|rule| Opinion::of(Some(rule), 1.0));
        };
        let another = phrase.filter(|phrase| phrase.reason != code.reason);
        let closer = if !code.ends_address() {
            another.filter(|_| code.reason == Reason::Expired)
        } else if another.is_some_and(|phrase| names_another_cause(phrase.reason)) {
            another
        } else if found.phrases.iter().any(|phrase| phrase.reason == code.reason) {
            None
        } else {
            found.phrases.iter().copied().find(|phrase| phrase.ends_address())
        };
        Some(match closer {
            Some(phrase) => Opinion { rule: Some(phrase), confidence: CONTRADICTED },
            // A code and a phrase that agree make each other surer.
            None if found.phrases.iter().any(|phrase| phrase.reason == code.reason) => {
                Opinion { rule: Some(code), confidence: AGREED }
            }
            None => Opinion::of(Some(code), 1.0),
        })
    }

    fn vague(&self, words: &Words<'_>) -> Option<&'r Rule> {
        words.codes.status.and_then(|status| self.rules.vague(status, self.stage))
    }

    fn basic(&self, words: &Words<'_>) -> Option<&'r Rule> {
        words.codes.code.and_then(|code| self.rules.basic(code, self.stage))
    }
}

/// Reasons that a code of a missing mailbox cannot stand beside. Policy is none of them: hosts say "denied" of
/// mailboxes that they do not have.
fn names_another_cause(reason: Reason) -> bool {
    use Reason::*;
    matches!(
        reason,
        MailboxFull
            | MessageTooLarge
            | RateLimited
            | Spam
            | ContentRejected
            | Virus
            | Authentication
            | Blocklisted
            | ReverseDns
            | SenderRejected
            | RelayDenied
            | RoutingLoop
            | Tls
            | Mailer
    )
}

const AGREED: f32 = 0.98;
const CONTRADICTED: f32 = 0.8;

/// How sure a row of this table makes us.
fn weight(tier: Tier) -> f32 {
    match tier {
        Tier::Token => 0.97,
        Tier::Code => 0.95,
        Tier::Phrase => 0.92,
        Tier::Generic => 0.75,
        Tier::Word => 0.6,
        Tier::Fallback => 0.5,
    }
}

impl<'r> Opinion<'r> {
    fn of(rule: Option<&'r Rule>, factor: f32) -> Opinion<'r> {
        Opinion { rule, confidence: rule.map_or(0.2, |rule| weight(rule.tier) * factor) }
    }

    fn heard_say(self) -> Opinion<'r> {
        Opinion { confidence: self.confidence * HEARSAY, ..self }
    }

    fn ends_address(&self) -> bool {
        self.rule.is_some_and(Rule::ends_address)
    }

    fn is_of(&self, tiers: &[Tier]) -> bool {
        self.rule.is_some_and(|rule| tiers.contains(&rule.tier))
    }

    /// Whether a 5xx reply is to be tried again: the row names its speaker and asks for a slower pace.
    pub(super) fn turns_to_retry(&self) -> bool {
        self.rule
            .is_some_and(|rule| matches!(rule.speaker, Speaker::Provider { .. }) && rule.advice == Advice::SlowDown)
    }

    /// The whole verdict. A delay never ends an address, and waits as long as the text asks.
    pub(super) fn verdict(
        self,
        outcome: Outcome,
        status: Option<EnhancedStatus>,
        source: Source,
        text: &str,
    ) -> Verdict {
        let (reason, address, advice, id) = match self.rule {
            Some(rule) => (rule.reason, rule.address.clone(), rule.advice.clone(), rule.id.as_ref()),
            None => (Reason::Undetermined, AddressState::NoStatement, Advice::None, "none"),
        };
        let address = match address {
            AddressState::Moved(_) => AddressState::Moved(moved_to(text)),
            other => other,
        };
        let evidence = Evidence { source, text: text.into(), rule: rule_id(id, status), confidence: self.confidence };
        let mut verdict = Verdict { outcome, address, advice, reason, status, evidence };
        if outcome == Outcome::Delayed {
            if verdict.is_hard() {
                verdict.address = AddressState::NoStatement;
            }
            verdict.advice = match (wait_in(text), verdict.advice) {
                (Some(wait), _) => Advice::RetryLater(Some(wait)),
                (None, Advice::Remove | Advice::None) => Advice::RetryLater(None),
                (None, advice) => advice,
            };
        }
        verdict
    }
}

/// A row for both classes is named with the class that was seen: `code.5.1.1`.
fn rule_id(id: &str, status: Option<EnhancedStatus>) -> String {
    match (id.strip_prefix("code.x."), status) {
        (Some(rest), Some(status)) => format!("code.{}.{rest}", status.class()),
        _ => id.into(),
    }
}
