//! What an attempt leaves behind: the delivery's next state and the events, as one [`Settlement`].

use std::time::Duration;

use super::{Plan, UncertainPolicy};
use crate::event::{EventKind, EventRecord, Origin, Trust};
use crate::id::EventId;
use crate::session::Stage;
use crate::smtp::Reply;
use crate::store::{Claimed, LastAttempt, Settled, Settlement};
use crate::time::Timestamp;
use crate::verdict::{
    AddressState, Advice, Evidence, Outcome, Reason, Rules, Scope, Source, Trouble, Verdict, judge_reply, judge_trouble,
};

/// What was seen, and where.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) stage: Stage,
    pub(crate) what: What,
    /// `name[ip]:port`, once a host was chosen.
    pub(crate) host: Option<String>,
}

/// See [`Seen`].
#[derive(Debug, Clone)]
pub(crate) enum What {
    Reply(Reply),
    Trouble(Trouble),
}

impl Seen {
    pub(crate) fn reply(stage: Stage, reply: Reply) -> Seen {
        Seen { stage, what: What::Reply(reply), host: None }
    }

    pub(crate) fn trouble(stage: Stage, trouble: Trouble) -> Seen {
        Seen { stage, what: What::Trouble(trouble), host: None }
    }

    /// Whether it is something other than the remote host's own words.
    pub(crate) fn is_trouble(&self) -> bool {
        matches!(self.what, What::Trouble(_))
    }

    /// Whom it concerns, by these rules.
    pub(crate) fn scope(&self, rules: &Rules) -> Scope {
        match &self.what {
            What::Reply(reply) => judge_reply(rules, self.stage, self.host_name(), reply).1,
            What::Trouble(trouble) => judge_trouble(self.stage, trouble).1,
        }
    }

    /// In words, for people.
    pub(crate) fn text(&self) -> String {
        let host = self.host.as_deref().unwrap_or("-");
        match &self.what {
            What::Reply(reply) => format!("{host}: while {}: {reply}", self.stage),
            What::Trouble(trouble) => {
                format!("{host}: while {}: {}", self.stage, judge_trouble(self.stage, trouble).0.evidence.text)
            }
        }
    }

    /// The name of the host, without its address.
    fn host_name(&self) -> Option<&str> {
        self.host.as_deref().and_then(|host| host.split('[').next())
    }

    pub(crate) fn at(mut self, host: &str) -> Seen {
        self.host = Some(host.to_owned());
        self
    }
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(crate) enum Attempt {
    /// 2xx after the end of data, from this host.
    Delivered(Reply, String),
    /// Refused, or stopped before the end of data went out.
    Refused(Seen),
    /// The end of data went out and its reply did not come.
    Uncertain(Seen),
}

/// Settles one attempt.
pub(crate) fn conclude(delivery: &Claimed, attempt: Attempt, plan: &Plan, now: Timestamp) -> Settlement {
    let (mut last, uncertain) = match attempt {
        Attempt::Delivered(reply, host) => return delivered(delivery, reply, &host, &plan.rules.current(), now),
        Attempt::Refused(seen) => (judged(seen, &plan.rules.current(), now), false),
        Attempt::Uncertain(seen) => (uncertain_verdict(judged(seen, &plan.rules.current(), now)), true),
    };
    last.after_uncertain = was_uncertain(delivery);
    let attempts = delivery.attempts + 1;
    if uncertain {
        return settle_uncertain(delivery, last, attempts, plan, now);
    }
    if last.verdict.outcome == Outcome::Failed {
        return failed(delivery, last, None, attempts, now);
    }
    if now >= delivery.expires {
        return expired(delivery, last, attempts, now);
    }
    let mut wait = plan.backoff.wait(attempts, delivery.id);
    if let (Advice::RetryLater(Some(hint)), super::Backoff::Growing { longest, .. }) =
        (&last.verdict.advice, &plan.backoff)
    {
        // The host knows best how long it wants to be left alone; within our own longest wait.
        wait = (*hint).clamp(Duration::from_secs(60), *longest);
    }
    let age = now.since(delivery.queued_at);
    let due_delays = plan.delay_after.iter().filter(|after| age >= **after).count() as u32;
    let tell_delay = due_delays > delivery.delays_told;
    let mut events = Vec::new();
    if tell_delay {
        events.push(event(delivery, EventKind::Delay, &due_delays.to_be_bytes(), &last, attempts, now));
    }
    Settlement {
        delivery: delivery.id,
        state: Settled::Queued((now + wait).min(delivery.expires)),
        attempted: true,
        delay_told: tell_delay,
        last: Some(last),
        events,
    }
}

/// Settles a delivery that came due when its time was over, without another attempt; `None` if it must be tried
/// once more first: nothing expires without one attempt since `since` (the start, or a jump of the clock), unless
/// its own deadline says so or a further attempt might be a second delivery.
pub(crate) fn expired_unattempted(delivery: &Claimed, since: Timestamp, now: Timestamp) -> Option<Settlement> {
    if now < delivery.expires {
        return None;
    }
    let last = match &delivery.last {
        Some(last) => {
            let uncertain = last.verdict.outcome == Outcome::Uncertain;
            if last.at < since && !delivery.own_deadline && !uncertain {
                return None;
            }
            last.clone()
        }
        None if delivery.own_deadline => {
            let text = "the deadline passed before the first attempt";
            LastAttempt {
                at: now,
                verdict: local_verdict(Outcome::Failed, Reason::Expired, "local.deadline", text),
                code: None,
                text: Some(text.into()),
                stage: None,
                host: None,
                after_uncertain: false,
            }
        }
        None => return None,
    };
    Some(Settlement { attempted: false, ..expired(delivery, last, delivery.attempts, now) })
}

/// Settles a delivery that was in the in-flight set when the process died.
pub(crate) fn uncertain_after_crash(delivery: &Claimed, plan: &Plan, now: Timestamp) -> Settlement {
    let seen = Seen::trouble(
        Stage::EndOfData,
        Trouble::Broken("the process ended before the reply to the end of data was recorded".into()),
    );
    conclude(delivery, Attempt::Uncertain(seen), plan, now)
}

fn delivered(delivery: &Claimed, reply: Reply, host: &str, rules: &Rules, now: Timestamp) -> Settlement {
    let last = judged(Seen::reply(Stage::EndOfData, reply).at(host), rules, now);
    Settlement {
        delivery: delivery.id,
        state: Settled::Delivered,
        attempted: true,
        delay_told: false,
        events: vec![event(delivery, EventKind::Delivered, b"", &last, delivery.attempts + 1, now)],
        last: Some(last),
    }
}

fn failed(delivery: &Claimed, last: LastAttempt, cause: Option<Reason>, attempts: u32, now: Timestamp) -> Settlement {
    let mut fail = event(delivery, EventKind::Fail, b"", &last, attempts, now);
    fail.cause = cause;
    Settlement {
        delivery: delivery.id,
        state: Settled::Failed,
        attempted: true,
        delay_told: false,
        last: Some(last),
        events: vec![fail],
    }
}

/// Given up: reason `expired`, with the last temporary refusal as its cause, its code, text, stage and host.
fn expired(delivery: &Claimed, mut last: LastAttempt, attempts: u32, now: Timestamp) -> Settlement {
    let cause = match last.verdict.reason {
        Reason::Expired => None,
        reason => Some(reason),
    };
    if last.verdict.outcome != Outcome::Uncertain {
        last.verdict.outcome = Outcome::Failed;
    }
    last.verdict.reason = Reason::Expired;
    failed(delivery, last, cause, attempts, now)
}

fn settle_uncertain(delivery: &Claimed, last: LastAttempt, attempts: u32, plan: &Plan, now: Timestamp) -> Settlement {
    let state = match plan.uncertain {
        UncertainPolicy::Hold => Settled::Held,
        UncertainPolicy::RetryAfter(_) if last.after_uncertain => return expired(delivery, last, attempts, now),
        UncertainPolicy::RetryAfter(wait) => Settled::Queued((now + wait).min(delivery.expires.max(now))),
    };
    let told = event(delivery, EventKind::Uncertain, &attempts.to_be_bytes(), &last, attempts, now);
    Settlement {
        delivery: delivery.id,
        state,
        attempted: true,
        delay_told: false,
        last: Some(last),
        events: vec![told],
    }
}

/// Whether an attempt before this one may have delivered the message.
fn was_uncertain(delivery: &Claimed) -> bool {
    delivery.last.as_ref().is_some_and(|last| last.after_uncertain || last.verdict.outcome == Outcome::Uncertain)
}

fn judged(seen: Seen, rules: &Rules, now: Timestamp) -> LastAttempt {
    let (verdict, code, text) = match &seen.what {
        What::Reply(reply) => {
            (judge_reply(rules, seen.stage, seen.host_name(), reply).0, Some(reply.code), reply.text.clone())
        }
        What::Trouble(trouble) => {
            let verdict = judge_trouble(seen.stage, trouble).0;
            let text = verdict.evidence.text.clone();
            (verdict, None, text)
        }
    };
    LastAttempt {
        at: now,
        verdict,
        code,
        text: Some(text),
        stage: Some(seen.stage),
        host: seen.host,
        after_uncertain: false,
    }
}

/// The same sight, seen after the end of data: nothing is known.
fn uncertain_verdict(mut last: LastAttempt) -> LastAttempt {
    last.verdict.outcome = Outcome::Uncertain;
    last.verdict.address = AddressState::NoStatement;
    last.verdict.advice = Advice::None;
    last
}

/// A verdict of this instance's own.
fn local_verdict(outcome: Outcome, reason: Reason, rule: &str, text: &str) -> Verdict {
    Verdict {
        outcome,
        address: AddressState::NoStatement,
        advice: Advice::None,
        reason,
        status: None,
        evidence: Evidence { source: Source::Local, text: text.into(), rule: rule.into(), confidence: 1.0 },
    }
}

/// An event about this delivery. `discriminator` tells apart those of one kind.
fn event(
    delivery: &Claimed,
    kind: EventKind,
    discriminator: &[u8],
    last: &LastAttempt,
    attempts: u32,
    now: Timestamp,
) -> EventRecord {
    let id = EventId::derive(&[kind.name().as_bytes(), &delivery.id.as_u64().to_be_bytes(), discriminator]);
    EventRecord {
        delivery: Some(delivery.id),
        message: Some(delivery.message),
        recipient: Some(delivery.recipient.clone()),
        tag: delivery.tag,
        mailing: delivery.mailing.clone(),
        metadata: delivery.metadata.as_deref().and_then(|json| serde_json::from_str(json).ok()),
        verdict: Some(last.verdict.clone()),
        code: last.code,
        status: last.verdict.status,
        text: last.text.clone(),
        stage: last.stage,
        host: last.host.clone(),
        attempts,
        trust: Some(Trust::Sealed),
        ..EventRecord::bare(id, kind, now, Origin::Conversation)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::id::{DeliveryId, MessageId};
    use crate::store::{BodyId, Stream};
    use crate::tag::Tag;

    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    pub(crate) fn claimed() -> Claimed {
        Claimed {
            id: DeliveryId::from_u64(1 << 40),
            message: MessageId::from_u64(1),
            recipient: "ann@example.net".parse().unwrap(),
            return_path: "b1@b.example.org".parse().unwrap(),
            prefix: String::new(),
            destination: "example.net".into(),
            body: BodyId([0; 32]),
            body_size: 4,
            smtputf8: false,
            eight_bit: false,
            tag: Some(Tag::from(17)),
            mailing: None,
            metadata: Some("{\"order\":17}".into()),
            stream: Stream::Transactional,
            queued_at: NOON,
            expires: NOON + Duration::from_secs(3600),
            own_deadline: false,
            attempts: 0,
            delays_told: 0,
            last: None,
        }
    }

    fn busy() -> Attempt {
        let reply = Reply { code: 451, status: None, text: "try again later".into() };
        Attempt::Refused(Seen::reply(Stage::Rcpt, reply).at("mx.example.net[192.0.2.1]:25"))
    }

    fn lost() -> Attempt {
        Attempt::Uncertain(Seen::trouble(Stage::EndOfData, Trouble::Closed))
    }

    fn plan() -> Plan {
        Plan { delay_after: vec![Duration::from_secs(600)], ..Plan::default() }
    }

    /// Applies a settlement as the store would.
    fn apply(delivery: &mut Claimed, settlement: &Settlement) {
        delivery.attempts += u32::from(settlement.attempted);
        delivery.delays_told += u32::from(settlement.delay_told);
        delivery.last = settlement.last.clone();
    }

    #[test]
    fn a_temporary_refusal_waits_and_tells_a_delay_once_at_its_age() {
        let mut delivery = claimed();
        let first = conclude(&delivery, busy(), &plan(), NOON);
        assert!(first.events.is_empty());
        apply(&mut delivery, &first);
        let at = NOON + Duration::from_secs(700);
        let second = conclude(&delivery, busy(), &plan(), at);
        assert_eq!(second.events[0].kind, EventKind::Delay);
        assert_eq!(second.events[0].attempts, 2);
        apply(&mut delivery, &second);
        assert!(conclude(&delivery, busy(), &plan(), at + Duration::from_secs(60)).events.is_empty());
    }

    #[test]
    fn it_is_given_up_at_its_time_with_the_last_refusal_as_the_cause() {
        let mut delivery = claimed();
        let first = conclude(&delivery, busy(), &plan(), NOON + Duration::from_secs(3500));
        assert_eq!(first.state, Settled::Queued(delivery.expires), "the last wait ends at the deadline");
        apply(&mut delivery, &first);
        let end = expired_unattempted(&delivery, NOON, delivery.expires).unwrap();
        let fail = &end.events[0];
        assert_eq!((end.state, end.attempted), (Settled::Failed, false));
        assert_eq!(fail.verdict.as_ref().unwrap().reason, Reason::Expired);
        assert!(fail.cause.is_some());
        assert_eq!((fail.code, fail.stage, fail.attempts), (Some(451), Some(Stage::Rcpt), 1));
        assert_eq!(fail.host.as_deref(), Some("mx.example.net[192.0.2.1]:25"));
    }

    #[test]
    fn nothing_expires_without_an_attempt_since_the_start() {
        let mut delivery = claimed();
        let late = delivery.expires + Duration::from_secs(86_400 * 3);
        assert!(expired_unattempted(&delivery, late, late).is_none(), "never tried");
        let first = conclude(&delivery, busy(), &plan(), NOON);
        apply(&mut delivery, &first);
        assert!(expired_unattempted(&delivery, late, late).is_none(), "not tried since this start");
        assert_eq!(conclude(&delivery, busy(), &plan(), late).state, Settled::Failed, "then it is");
        delivery.own_deadline = true;
        assert!(expired_unattempted(&delivery, late, late).is_some(), "its own deadline is kept");
    }

    #[test]
    fn a_lost_reply_is_uncertain_once_and_fails_the_second_time() {
        let mut delivery = claimed();
        let first = conclude(&delivery, lost(), &plan(), NOON);
        assert_eq!(first.state, Settled::Queued(NOON + Duration::from_secs(1800)));
        assert_eq!(first.events[0].kind, EventKind::Uncertain);
        apply(&mut delivery, &first);
        let second = conclude(&delivery, lost(), &plan(), NOON + Duration::from_secs(1800));
        let verdict = second.events[0].verdict.clone().unwrap();
        assert_eq!(second.events[0].kind, EventKind::Fail);
        assert_eq!((verdict.reason, verdict.outcome), (Reason::Expired, Outcome::Uncertain));
        let held = Plan { uncertain: UncertainPolicy::Hold, ..plan() };
        assert_eq!(conclude(&claimed(), lost(), &held, NOON).state, Settled::Held);
    }

    #[test]
    fn a_refusal_in_between_does_not_allow_a_third_copy() {
        let mut delivery = claimed();
        for attempt in [lost(), busy()] {
            let settlement = conclude(&delivery, attempt, &plan(), NOON);
            assert!(matches!(settlement.state, Settled::Queued(_)));
            apply(&mut delivery, &settlement);
        }
        assert_eq!(conclude(&delivery, lost(), &plan(), NOON).state, Settled::Failed);
    }

    #[test]
    fn an_uncertain_one_is_never_tried_after_its_time() {
        let mut delivery = claimed();
        delivery.expires = NOON + Duration::from_secs(60);
        let first = conclude(&delivery, lost(), &plan(), NOON);
        assert_eq!(first.state, Settled::Queued(delivery.expires));
        apply(&mut delivery, &first);
        let restart = NOON + Duration::from_secs(90);
        let end = expired_unattempted(&delivery, restart, restart).expect("without an attempt");
        assert_eq!(end.events[0].verdict.as_ref().unwrap().outcome, Outcome::Uncertain);
    }

    #[test]
    fn events_carry_what_was_given_at_sending_and_keep_their_ids() {
        let reply = Reply { code: 250, status: None, text: "queued".into() };
        let tell = |at| {
            let attempt = Attempt::Delivered(reply.clone(), "mx.example.net[192.0.2.1]:25".into());
            conclude(&claimed(), attempt, &plan(), at).events.remove(0)
        };
        let event = tell(NOON);
        assert_eq!(event.tag, Some(Tag::from(17)));
        assert_eq!(event.metadata.as_ref().unwrap()["order"], 17);
        assert_eq!(event.id, tell(NOON + Duration::from_secs(5)).id);
    }
}
