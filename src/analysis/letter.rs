//! A message, its parts told apart by who speaks in them: the machine-readable report, the text for people, and the
//! returned original, which is kept apart from the first line on.

use super::arf::{self, Feedback};
use super::auto_reply::{self, Automatic};
use super::body::{from_its_head, original_subject, prose_of};
use super::dsn::{self, Group};
use super::fields::Fields;
use super::hint::{self, Hint};
use super::parts::{self, Part};
use super::prose::{self, Mention, Setting};
use super::receipt::{self, Receipt};
use super::scene::Scene;
use super::signs::{self, SubjectSigns};
use super::status::{refusal_status, remote_status, status_of};
use super::{Finding, Kind, Options, dialect, kind_of, labels, mailbox, original};
use crate::verdict::{AddressState, Advice, Outcome, Reason, Reported, Source, codes_in, judge_report, says_less};

/// How long a subject is kept, in bytes.
const MAX_SUBJECT: usize = 1024;
/// How many traces are kept.
const MAX_TRACES: usize = 64;
/// How often a report may be wrapped in another message.
const MAX_WRAPPED: usize = 2;

/// A message.
pub(super) struct Letter<'p, 'm> {
    parts: &'p [Part<'m>],
    options: &'p Options,
    subject: Option<String>,
    signs: SubjectSigns,
    /// The text for people, without the returned original.
    prose: String,
    /// What followed it in the same text.
    tail: String,
    /// How many messages this one is wrapped in.
    depth: usize,
}

impl<'p, 'm> Letter<'p, 'm> {
    pub(super) fn new(parts: &'p [Part<'m>], options: &'p Options) -> Letter<'p, 'm> {
        Letter::wrapped(parts, options, 0)
    }

    fn wrapped(parts: &'p [Part<'m>], options: &'p Options, depth: usize) -> Letter<'p, 'm> {
        let subject = parts.first().and_then(|part| part.fields.text("Subject")).map(|mut subject| {
            subject.truncate(subject.floor_char_boundary(MAX_SUBJECT));
            subject
        });
        let signs = signs_of(subject.as_deref().unwrap_or_default());
        let (mut prose, tail) = prose_of(parts);
        if let Some(original) = original_subject(parts, &tail) {
            prose = prose.replace(&original, "");
        }
        Letter { parts, options, subject, signs, prose, tail, depth }
    }

    /// The Subject, decoded.
    pub(super) fn subject(&self) -> Option<String> {
        self.subject.clone()
    }

    fn fields(&self) -> Option<&Fields<'m>> {
        self.parts.first().map(|part| &part.fields)
    }

    /// The feedback report, if the message is one.
    pub(super) fn feedback(&self) -> Option<Feedback> {
        arf::of(self.parts, self.subject.as_deref().unwrap_or_default(), &self.prose)
    }

    /// The receipt, or the refusal in the form of one, if the message is one.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        receipt::read(self.parts, &self.prose)
    }

    /// A refusal by the recipient's own filter. His mailbox works: it is never hard.
    pub(super) fn finding_of_refusal(&self, recipient: Option<String>, reason: String) -> Finding {
        let reported = Reported {
            outcome: Some(Outcome::Failed),
            diagnostic: reason,
            source: Some(Source::Prose),
            ..Reported::default()
        };
        let mut verdict = judge_report(&self.options.rules, &reported);
        if verdict.is_hard() || verdict.reason == Reason::Undetermined {
            verdict.reason = Reason::RecipientRejected;
            verdict.address = AddressState::Fine;
            verdict.advice = Advice::None;
            verdict.evidence.rule = "report.receipt".into();
        }
        Finding { final_recipient: recipient.clone(), ..Finding::told(Kind::Bounce, recipient, verdict) }
    }

    /// What an automatic answer says about the mailbox that it comes from.
    pub(super) fn hint(&self) -> Option<Hint> {
        let mut known = self.ours();
        let from = self.fields().and_then(|fields| fields.value("From")).unwrap_or_default();
        known.extend(mailbox::in_text(&from).map(|(_, _, address)| address.to_string()).take(1));
        hint::read(&self.prose, &known)
    }

    /// What kind of mail it is, and what it says of each recipient.
    pub(super) fn read(&self) -> (Kind, Vec<Finding>) {
        if let Some(findings) = self.report_findings() {
            let disowned = self.is_doubtful(&findings) && self.scene().is_some_and(|scene| scene.disowns_report());
            return if disowned {
                (Kind::Other, Vec::new())
            } else {
                (kind_of(&findings).unwrap_or(Kind::Other), findings)
            };
        }
        let Some(scene) = self.scene() else { return (Kind::Other, Vec::new()) };
        if let Some(kind) = scene.kind() {
            return (kind, Vec::new());
        }
        let mut findings = self.findings_without_report();
        if findings.is_empty() && scene.returns_surely() {
            let recipient = prose::first_recipient(&self.prose, &self.ours());
            let outcome = if self.signs.delayed { Outcome::Delayed } else { Outcome::Failed };
            findings.push(self.finding_of_mention(Mention { recipient, outcome, reason: String::new() }, true));
        }
        (kind_of(&findings).unwrap_or_else(|| scene.kind_without_findings()), findings)
    }

    /// Whether a report may not be what it seems: the message does not call itself one, or it fails for a cause that
    /// passes. All others are spared the look at their words.
    fn is_doubtful(&self, findings: &[Finding]) -> bool {
        let passes = |finding: &Finding| {
            finding.kind != Kind::Delivered && finding.verdict.status.is_some_and(|status| status.is_transient())
        };
        self.parts.first().is_some_and(|message| message.report_type.is_none()) || findings.iter().any(passes)
    }

    /// What the message shows beside its reports.
    fn scene(&self) -> Option<Scene<'p, 'm>> {
        Scene::new(self.parts, self.signs, &self.prose, &self.tail, &self.ours())
    }

    /// What is said of each recipient; empty if the message speaks of no delivery.
    fn findings(&self) -> Vec<Finding> {
        self.report_findings().unwrap_or_else(|| self.findings_without_report())
    }

    /// The same of a message that holds no delivery report of its own.
    fn findings_without_report(&self) -> Vec<Finding> {
        if self.subject.as_deref().is_some_and(is_forward) {
            let sent_on = self.wrapped_findings();
            if !sent_on.is_empty() {
                return sent_on;
            }
        }
        let findings = self.prose_findings();
        if findings.iter().any(|finding| finding.recipient.is_some()) {
            return findings;
        }
        match self.wrapped_findings() {
            wrapped if wrapped.is_empty() => findings,
            wrapped => wrapped,
        }
    }

    /// What the delivery report says; `None` if there is none.
    fn report_findings(&self) -> Option<Vec<Finding>> {
        // The message itself and its text for people are no report, whatever they quote.
        let report =
            self.parts.iter().skip(2).find(|part| dsn::is_report(part)).or_else(|| {
                self.parts.iter().find(|part| part.media.starts_with("message/") && dsn::is_report(part))
            })?;
        let groups = dsn::read(&report.bytes());
        (!groups.is_empty()).then(|| self.findings_of_groups(groups))
    }

    fn findings_of_groups(&self, groups: Vec<Group>) -> Vec<Finding> {
        let names: Vec<String> =
            groups.iter().filter_map(|group| group.final_recipient.as_ref()).map(|name| name.to_lowercase()).collect();
        let single = groups.len() == 1;
        groups.into_iter().map(|group| self.finding_of_group(group, single, &names)).collect()
    }

    fn finding_of_group(&self, group: Group, single: bool, names: &[String]) -> Finding {
        let recipient = self.recipient_of(&group, single);
        // What surrounds the address speaks of it; the explanations before and after speak of mail in general.
        let about = recipient.as_deref().map(|address| prose::about(&self.prose, address)).unwrap_or_default();
        let prose = if about.is_empty() && single { self.prose.clone() } else { about };
        let quoted = codes_in(&group.diagnostic).code.or_else(|| codes_in(&prose).code);
        let mut status = status_of(&group);
        if single && status.is_none_or(says_less) {
            status = refusal_status(&prose).or_else(|| refusal_status(&self.prose)).or(status);
        }
        let another = speaks_of_another(&group, names);
        let given = status;
        let reported = Reported {
            outcome: self.outcome_of(&group, single.then_some(&prose)),
            code: None,
            status,
            diagnostic: group.diagnostic,
            prose,
            source: Some(Source::DsnField),
            retry_after: None,
            hosts: group.remote_host.into_iter().chain(recipient.as_deref().and_then(domain_of)).collect(),
        };
        let mut verdict = judge_report(&self.options.rules, &reported);
        // What a transcript quotes of other commands, or a number of a chapter, is no status of a failure.
        if verdict.outcome != Outcome::Delivered && verdict.status.is_some_and(|status| status.class() == 2) {
            verdict.status = given;
        }
        if another && verdict.outcome == Outcome::Failed {
            verdict.address = AddressState::NoStatement;
            verdict.advice = Advice::None;
            verdict.reason = Reason::Undetermined;
            verdict.evidence.rule = "report.speaks_of_another".into();
        }
        Finding {
            kind: kind_of_outcome(verdict.outcome),
            recipient,
            original_recipient: group.original_recipient,
            final_recipient: group.final_recipient,
            code: quoted,
            retries_until: group.retries_until,
            verdict,
        }
    }

    /// The failed address: a whole one of the group's, else the one that the header or the text names.
    fn recipient_of(&self, group: &Group, single: bool) -> Option<String> {
        let whole = |address: &&String| mailbox::in_text(address).any(|(start, _, _)| start == 0);
        let fields = [&group.final_recipient, &group.original_recipient, &group.actual_recipient];
        if let Some(address) = fields.into_iter().flatten().find(whole) {
            return Some(address.clone());
        }
        if single {
            let failed = self.fields().and_then(|fields| fields.value("X-Failed-Recipients"));
            let in_header =
                failed.as_deref().and_then(|value| mailbox::in_text(value).next().map(|found| found.2.to_string()));
            if let Some(address) = in_header.or_else(|| prose::first_recipient(&self.prose, &self.ours())) {
                return Some(address);
            }
        }
        group.final_recipient.clone().or_else(|| group.original_recipient.clone())
    }

    /// The Action, but for a delay that is the last one: some report giving up as `delayed`, and only their words, or
    /// a code, say so.
    fn outcome_of(&self, group: &Group, prose: Option<&String>) -> Option<Outcome> {
        if group.outcome != Some(Outcome::Delayed) || group.retries_until.is_some() {
            return group.outcome;
        }
        let gave_up = |text: &str| labels::marks_in(text).gave_up;
        let delay_code = group.status.is_some_and(|status| status.is_transient());
        let expired = group.status.is_some_and(|status| (status.subject(), status.detail()) == (4, 7));
        let said = gave_up(&group.diagnostic) || prose.is_some_and(|prose| gave_up(prose));
        let told_to_wait = self.signs.delayed || signs::in_text(&self.prose).delayed;
        if (said || (expired && !delay_code)) && !told_to_wait {
            return Some(Outcome::Failed);
        }
        group.outcome
    }

    /// What the plain words say; empty if they return no message.
    fn prose_findings(&self) -> Vec<Finding> {
        let Some(message) = self.parts.first() else { return Vec::new() };
        let report_type = message.report_type.as_deref();
        let other_report = report_type.is_some_and(|kind| kind != "delivery-status")
            || self.parts.iter().any(|part| part.media == "message/disposition-notification");
        if other_report {
            return match self.receipt() {
                Some(Receipt::Refused { recipient, reason }) => vec![self.finding_of_refusal(recipient, reason)],
                _ => Vec::new(),
            };
        }
        let setting = Setting {
            fields: &message.fields,
            subject: self.signs,
            ours: &self.ours(),
            is_report: calls_itself_report(message),
            is_answer: auto_reply::read(&message.fields, self.signs) == Automatic::Answer,
            returns: !self.tail.trim().is_empty() || self.parts.iter().any(original::is_original),
        };
        if prose::is_announced(&setting) {
            let groups = dsn::read_in_text(&self.prose);
            if groups.iter().any(|group| group.final_recipient.is_some()) {
                return self.findings_of_groups(groups);
            }
        }
        let known = if self.options.dialects { dialect::read(&self.prose, &setting) } else { Vec::new() };
        let mentions = if known.is_empty() { prose::read(&self.prose, &setting) } else { known };
        let single = mentions.len() == 1;
        mentions.into_iter().map(|mention| self.finding_of_mention(mention, single)).collect()
    }

    fn finding_of_mention(&self, mention: Mention, single: bool) -> Finding {
        let reported = Reported {
            outcome: Some(mention.outcome),
            prose: if single { self.prose.clone() } else { String::new() },
            status: remote_status(&mention.reason),
            diagnostic: mention.reason,
            source: Some(Source::Prose),
            hosts: mention.recipient.as_deref().and_then(domain_of).into_iter().collect(),
            ..Reported::default()
        };
        let code = codes_in(&reported.diagnostic).code.or_else(|| codes_in(&reported.prose).code);
        let mut verdict = judge_report(&self.options.rules, &reported);
        if verdict.outcome != Outcome::Delivered && verdict.status.is_some_and(|status| status.class() == 2) {
            verdict.status = refusal_status(&reported.diagnostic).or_else(|| refusal_status(&reported.prose));
        }
        Finding { code, ..Finding::told(kind_of_outcome(verdict.outcome), mention.recipient, verdict) }
    }

    /// A report that came inside another message: wrapped by a gateway, attached by who forwards it, or quoted whole
    /// in a text. Looked for only where this message has nothing of its own to say.
    fn wrapped_findings(&self) -> Vec<Finding> {
        let answers = self.signs.reply && !self.subject.as_deref().is_some_and(is_forward);
        if self.depth >= MAX_WRAPPED || answers {
            return Vec::new();
        }
        let attached = self.parts.iter().filter(|part| original::is_original(part));
        for part in attached.take(3) {
            let bytes = part.bytes();
            if let Some(findings) = self.findings_in(&bytes) {
                return findings;
            }
        }
        if !self.tail.trim().is_empty()
            && let Some(findings) =
                self.tail.find("\nFrom: ").and_then(|_| self.findings_in(from_its_head(&self.tail).as_bytes()))
        {
            return findings;
        }
        if self.subject.as_deref().is_some_and(is_forward) {
            let unquoted = unquoted(&[self.prose.as_str(), self.tail.as_str()].concat());
            let groups = dsn::read_in_text(&unquoted);
            if !groups.is_empty() {
                return self.findings_of_groups(groups);
            }
        }
        Vec::new()
    }

    /// The findings of a wrapped message, if it is itself a report by a mail system.
    fn findings_in(&self, message: &[u8]) -> Option<Vec<Finding>> {
        let inner = parts::split(message);
        let head = inner.first()?;
        if !calls_itself_report(head) {
            return None;
        }
        let findings = Letter::wrapped(&inner, self.options, self.depth + 1).findings();
        (kind_of(&findings).is_some() && findings.iter().any(|finding| finding.recipient.is_some())).then_some(findings)
    }

    /// The addresses that the message was sent to.
    fn ours(&self) -> Vec<String> {
        let Some(message) = self.parts.first() else { return Vec::new() };
        // Not X-Original-To or Delivered-To: some systems write the failed recipient there.
        let values = ["To", "Cc"].iter().filter_map(|name| message.fields.value(name));
        values
            .flat_map(|value| {
                mailbox::in_text(&value).map(|(_, _, address)| address.to_string()).take(20).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Texts of the returned original that may hold a mark.
    pub(super) fn traces(&self) -> Vec<String> {
        let originals = self.parts.iter().filter(|part| original::is_original(part));
        let mut traces: Vec<String> = originals.flat_map(|part| original::traces(&part.bytes())).collect();
        // In a text, an announcement and an empty line may stand in front of the fields.
        let mut rest = self.tail.as_bytes();
        for _ in 0..3 {
            traces.extend(original::traces(rest));
            let (_, length) = Fields::read(rest);
            rest = rest.get(length..).unwrap_or_default();
        }
        traces.truncate(MAX_TRACES);
        traces
    }
}

/// What a subject is a sign of. Many reports put the subject of the message behind their own, with a colon between:
/// then only what stands in front of it is theirs.
fn signs_of(subject: &str) -> SubjectSigns {
    let read = |line: &str| {
        let mut signs = signs::in_subject(line);
        let marks = labels::marks_in(line);
        signs.failed |= marks.failed && !signs.reply;
        signs.delayed |= marks.delayed && !signs.reply;
        signs
    };
    if let Some((title, _)) = subject.split_once([':', '\u{ff1a}']) {
        let of_title = read(title);
        if (of_title.failed || of_title.delayed) && !of_title.reply {
            return of_title;
        }
    }
    read(subject)
}

/// Whether a message is a delivery report by its media type (RFC 6522).
fn calls_itself_report(message: &Part<'_>) -> bool {
    message.media == "multipart/report" && message.report_type.as_deref().is_none_or(|kind| kind == "delivery-status")
}

fn domain_of(address: &str) -> Option<String> {
    address.rsplit_once('@').map(|(_, domain)| domain.to_owned())
}

fn kind_of_outcome(outcome: Outcome) -> Kind {
    match outcome {
        Outcome::Delivered => Kind::Delivered,
        Outcome::Delayed => Kind::Delayed,
        _ => Kind::Bounce,
    }
}

/// Whether the reply in a group names another recipient of the same report and not its own: some hosts report one
/// refusal for all.
fn speaks_of_another(group: &Group, names: &[String]) -> bool {
    let Some(own) = group.final_recipient.as_ref().map(|own| own.to_lowercase()) else { return false };
    if names.len() < 2 {
        return false;
    }
    let mut named = mailbox::in_text(&group.diagnostic).map(|found| found.2.to_lowercase()).peekable();
    if named.peek().is_none() {
        return false;
    }
    let mut others = false;
    for address in named.take(10) {
        if address == own || group.original_recipient.as_ref().is_some_and(|original| mailbox::same(original, &address))
        {
            return false;
        }
        others |= names.contains(&address);
    }
    others
}

/// Whether a subject says that the message was sent on by its reader.
fn is_forward(subject: &str) -> bool {
    const MARKS: [&str; 14] = [
        "fwd:",
        "fw:",
        "wg:",
        "tr:",
        "rv:",
        "enc:",
        "vb:",
        "vl:",
        "pd:",
        "\u{8f6c}\u{53d1}",
        "\u{8f49}\u{5bc4}",
        "\u{8ee2}\u{9001}",
        "fwd ",
        "[fwd",
    ];
    let subject = subject.trim_start().to_lowercase();
    MARKS.iter().any(|mark| subject.starts_with(mark))
}

/// A text with the marks of quotation taken off.
fn unquoted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        let bare = line.trim_start_matches(['>', ' ']);
        plain.push_str(if line.starts_with('>') { bare } else { line });
        plain.push('\n');
    }
    plain
}
