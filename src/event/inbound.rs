//! From mail that came in to the events it makes: the proof, the analysis and the delivery's own row together.
//!
//! Only [`Returned`] – the proof that somebody holds the sealed return path – makes an event that is *sealed*.

use std::sync::Arc;

use super::{EventKind, EventRecord, Origin, Trust};
use crate::analysis::{Analysis, Finding, Kind};
use crate::id::{DeliveryId, EventId};
use crate::return_path::Returned;
use crate::store::Found;
use crate::time::Timestamp;
use crate::verdict::{AddressState, Advice};

/// How a piece of mail belongs to a delivery.
#[derive(Debug, Clone)]
pub(crate) enum Belonging {
    /// It came to the sealed return path; the row is missing only where it was purged or the store is a restored copy.
    Sealed(Returned, Option<Box<Found>>),
    /// It came to a role address and holds a valid mark of this delivery.
    Marked(Box<Found>),
    /// It came to a role address.
    Nothing {
        /// The role.
        role: &'static str,
    },
}

/// The event that one accepted recipient of one piece of mail makes.
pub(crate) fn inbound_event(
    belonging: &Belonging,
    analysis: &Analysis,
    sender: &str,
    raw: Arc<[u8]>,
    now: Timestamp,
) -> EventRecord {
    let (delivery, found, trust) = match belonging {
        Belonging::Sealed(returned, found) => (Some(returned.delivery()), found.as_deref(), Trust::Sealed),
        Belonging::Marked(found) => (Some(found.id), Some(&**found), Trust::Marked),
        Belonging::Nothing { .. } => (None, None, Trust::Claimed),
    };
    let finding = match found {
        Some(found) => attributed(&analysis.findings, found.recipient.as_str()),
        None => worst(&analysis.findings).cloned(),
    };
    let finding = finding.as_ref();
    let kind = match (belonging, found) {
        // A path of ours whose row is gone: still an event, but no recipient of ours can be named.
        (Belonging::Sealed(..), None) | (Belonging::Nothing { .. }, _) => EventKind::Other,
        // Whoever knows a mark has seen the message, or a copy of it: enough for a complaint, which nobody else can
        // send, and for nothing that changes the state of a delivery.
        (Belonging::Marked(_), _) if analysis.kind != Kind::Feedback => EventKind::Other,
        _ => kind_of(analysis, finding),
    };
    let id = event_id(kind, delivery, belonging, analysis);
    let mut event = EventRecord {
        trust: Some(trust),
        text: text_of(kind, analysis, finding, sender),
        raw: Some(raw),
        ..EventRecord::bare(id, kind, now, Origin::Report)
    };
    if let Some(finding) = finding.filter(|_| kind != EventKind::Reply && kind != EventKind::AutoReply) {
        event.code = finding.code;
        event.status = finding.verdict.status;
        event.verdict = Some(finding.verdict.clone());
        event.reported_recipient = finding.final_recipient.clone().or_else(|| finding.recipient.clone());
    }
    event.delivery = delivery;
    if let Belonging::Sealed(returned, _) = belonging {
        event.tag = returned.tag();
    }
    if let Some(found) = found {
        event.message = Some(found.message);
        event.recipient = Some(found.recipient.clone());
        // The row knows the tag whole, and how it was given; the path may not carry it.
        event.tag = found.tag.or(event.tag);
        event.mailing = found.mailing.clone();
        event.metadata = found.metadata.as_deref().and_then(|json| serde_json::from_str(json).ok());
        event.attempts = found.attempts;
    }
    event
}

/// The kind of event. What is told of our recipient in a report that mixes several counts, not the whole.
fn kind_of(analysis: &Analysis, finding: Option<&Finding>) -> EventKind {
    let kind = match analysis.kind {
        Kind::Bounce | Kind::Delayed | Kind::Delivered => finding.map_or(analysis.kind, |finding| finding.kind),
        kind => kind,
    };
    match kind {
        // The views of these promise a verdict.
        Kind::Bounce if finding.is_some() => EventKind::Bounce,
        Kind::Delayed if finding.is_some() => EventKind::Delay,
        Kind::Delivered => EventKind::Success,
        Kind::AutoReply => EventKind::AutoReply,
        Kind::Reply => EventKind::Reply,
        Kind::Feedback if is_complaint(analysis) => EventKind::Complaint,
        _ => EventKind::Other,
    }
}

/// Feedback that is a complaint: not `not-spam`, and not a report about authentication (RFC 5965 §7.3, RFC 6591).
fn is_complaint(analysis: &Analysis) -> bool {
    analysis
        .feedback_type
        .as_deref()
        .is_none_or(|kind| !["not-spam", "auth-failure", "dmarc"].iter().any(|other| kind.eq_ignore_ascii_case(other)))
}

/// What the report says of our recipient: the groups that name it, else all, since a forwarder names the address it
/// forwarded to. Of several the most severe counts. What that one says about an address counts for ours only where no
/// other group could be the one that speaks of ours: an alias with one dead member is not dead.
fn attributed(findings: &[Finding], ours: &str) -> Option<Finding> {
    let of_ours: Vec<&Finding> = findings.iter().filter(|finding| names(finding, ours)).collect();
    let is_named = !of_ours.is_empty();
    let heard = if is_named { of_ours } else { findings.iter().collect() };
    let mut finding = worst(heard.iter().copied())?.clone();
    let is_hard = finding.verdict.is_hard();
    let is_agreed = heard.len() == 1 || (is_named && heard.iter().all(|other| other.verdict.is_hard() == is_hard));
    if !is_agreed && matches!(finding.kind, Kind::Bounce | Kind::Delayed) {
        finding.verdict.address = AddressState::NoStatement;
        if finding.verdict.advice == Advice::Remove {
            finding.verdict.advice = Advice::None;
        }
    }
    Some(finding)
}

/// Whether a finding names this address.
fn names(finding: &Finding, ours: &str) -> bool {
    [&finding.original_recipient, &finding.recipient, &finding.final_recipient]
        .into_iter()
        .flatten()
        .any(|name| name.eq_ignore_ascii_case(ours))
}

/// The most severe finding.
fn worst<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Option<&'a Finding> {
    findings.into_iter().max_by_key(|finding| {
        let severity = match finding.kind {
            Kind::Bounce => 3,
            Kind::Delayed => 2,
            Kind::Delivered => 1,
            _ => 0,
        };
        (severity, finding.verdict.is_hard())
    })
}

fn text_of(kind: EventKind, analysis: &Analysis, finding: Option<&Finding>, sender: &str) -> Option<String> {
    match (kind, finding) {
        (EventKind::Bounce | EventKind::Delay | EventKind::Success, Some(finding)) => {
            Some(finding.verdict.evidence.text.clone())
        }
        (EventKind::Complaint, _) => analysis.feedback_type.clone(),
        _ => match (&analysis.subject, sender) {
            (Some(subject), _) => Some(subject.clone()),
            (None, "") => None,
            (None, sender) => Some(format!("from {sender}")),
        },
    }
}

/// The same for the same mail to the same delivery, however often it arrives.
fn event_id(kind: EventKind, delivery: Option<DeliveryId>, belonging: &Belonging, analysis: &Analysis) -> EventId {
    let whose = match (delivery, belonging) {
        (Some(delivery), _) => delivery.as_u64().to_be_bytes().to_vec(),
        (None, Belonging::Nothing { role }) => role.as_bytes().to_vec(),
        (None, _) => Vec::new(),
    };
    EventId::derive(&[kind.name().as_bytes(), &whose, &analysis.fingerprint])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::analyse;
    use crate::verdict::Reason;

    const OURS: &str = "Team@example.net";

    /// A report with these groups: the fields that name the recipient, and what is said of it.
    fn report(groups: &[(&str, &str)]) -> Vec<Finding> {
        let groups: Vec<String> = groups.iter().map(|(name, said)| format!("{name}\r\n{said}\r\n\r\n")).collect();
        let message = format!(
            "From: MAILER-DAEMON@mx.example.net\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
             --b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; mx.example.net\r\n\r\n{}--b--\r\n",
            groups.concat()
        );
        analyse(message.as_bytes()).findings
    }

    #[test]
    fn a_verdict_on_another_address_is_none_on_ours_unless_it_is_the_only_one() {
        const GONE: &str = "Action: failed\r\nStatus: 5.1.1";
        const LATER: &str = "Action: delayed\r\nStatus: 4.2.0";
        const TAKEN: &str = "Action: relayed\r\nStatus: 2.0.0";
        let us = "Final-Recipient: rfc822; team@example.net";
        let (ann, bob) = ("Final-Recipient: rfc822; ann@example.org", "Final-Recipient: rfc822; bob@example.org");
        let (our_ann, our_bob) = (
            &*format!("Original-Recipient: rfc822; team@example.net\r\n{ann}"),
            &*format!("Original-Recipient: rfc822; team@example.net\r\n{bob}"),
        );
        for (groups, kind, is_hard) in [
            (&[(us, GONE)][..], Kind::Bounce, true),
            (&[(ann, GONE), (us, LATER)], Kind::Delayed, false),
            (&[(ann, GONE), (us, TAKEN)], Kind::Delivered, false),
            (&[(ann, LATER), (us, GONE)], Kind::Bounce, true),
            // Forwarded: to one address, to several, and to several of an alias of ours.
            (&[(ann, GONE)], Kind::Bounce, true),
            (&[(ann, GONE), (bob, TAKEN)], Kind::Bounce, false),
            (&[(ann, GONE), (bob, GONE)], Kind::Bounce, false),
            (&[(our_ann, TAKEN), (our_bob, GONE)], Kind::Bounce, false),
            (&[(our_ann, GONE), (our_bob, GONE)], Kind::Bounce, true),
        ] {
            let finding = attributed(&report(groups), OURS).unwrap();
            assert_eq!((finding.kind, finding.verdict.is_hard()), (kind, is_hard), "{groups:?}");
            if kind == Kind::Bounce {
                assert_eq!(finding.verdict.reason, Reason::UserUnknown, "{groups:?}");
                assert_eq!(finding.verdict.advice == Advice::Remove, is_hard, "{groups:?}");
            }
        }
        assert_eq!(attributed(&[], OURS), None);
    }
}
