//! What the rules say of a text and the codes beside it: the order of evidence, and how sure each kind makes us.

use crate::session::Stage;
use crate::verdict::quoted::{Codes, moved_to, wait_in};
use crate::verdict::rules::{Masked, Rule, Rules, Speaker, Tier};
use crate::verdict::{AddressState, Advice, EnhancedStatus, Evidence, Outcome, Reason, Source, Verdict};

/// Words and the codes that stand in them.
pub(super) struct Words<'t> {
    pub(super) text: &'t str,
    pub(super) codes: Codes,
}

/// The row that spoke, and how sure that makes us.
pub(super) struct Opinion {
    rule: Option<&'static Rule>,
    confidence: f32,
}

/// A phrase in the text around the remote host's words, against one in these words themselves.
const HEARSAY: f32 = 0.9;

/// Asks the evidence in order: the remote host's own words first, then the reporting host's.
pub(super) fn hear(stage: Option<Stage>, remote: &Words<'_>, reporter: Option<&Words<'_>>) -> Opinion {
    let rules = Rules::built_in();
    let spoken = rules.read(&Masked::new(remote.text), stage);
    let exact = |words: &Words<'_>| words.codes.status.and_then(|status| rules.exact(status));
    let vague = |words: &Words<'_>| words.codes.status.and_then(|status| rules.vague(status, stage));
    let basic = |words: &Words<'_>| words.codes.code.and_then(|code| rules.basic(code, stage));
    let exact_remote = exact(remote);
    if let Some(rule) = spoken.token.or(exact_remote).or(spoken.phrase) {
        // A code and a phrase that agree make each other surer.
        let agree = exact_remote.zip(spoken.phrase).is_some_and(|(code, phrase)| code.reason == phrase.reason);
        return Opinion { rule: Some(rule), confidence: if agree { 0.98 } else { weight(rule.tier) } };
    }
    let Some(reporter) = reporter else {
        return Opinion::of(spoken.word.or_else(|| vague(remote)).or_else(|| basic(remote)), 1.0);
    };
    let told = rules.read(&Masked::new(reporter.text), stage);
    if let Some(rule) = told.token.or_else(|| exact(reporter)).or_else(|| {
        // A single word of the remote host's is nearer to the cause than a sentence of the reporting host's.
        spoken.word.or(told.phrase)
    }) {
        return Opinion::of(Some(rule), HEARSAY);
    }
    let word = if remote.text.is_empty() { told.word } else { None };
    let left = word
        .or_else(|| vague(remote))
        .or_else(|| vague(reporter))
        .or_else(|| basic(remote))
        .or_else(|| basic(reporter));
    Opinion::of(left, HEARSAY)
}

/// How sure a row of this table makes us.
fn weight(tier: Tier) -> f32 {
    match tier {
        Tier::Token => 0.97,
        Tier::Code => 0.95,
        Tier::Phrase => 0.88,
        Tier::Word => 0.6,
        Tier::Fallback => 0.5,
    }
}

impl Opinion {
    fn of(rule: Option<&'static Rule>, factor: f32) -> Opinion {
        Opinion { rule, confidence: rule.map_or(0.2, |rule| weight(rule.tier) * factor) }
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
