//! What can happen to a store. Deliveries and events are named by numbers that are taken modulo how many there are,
//! so that every sequence has a meaning, also after a part of it was left out.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{DAY, MINUTE};
use crate::event::EventKind;
use crate::verdict::Reason;

/// The bodies that messages share.
pub(super) const BODIES: [&str; 3] = ["Subject: one\r\n\r\n", "Subject: two\r\n\r\n", "Subject: three\r\n\r\n"];

/// Where mail goes.
pub(super) const DESTINATIONS: [&str; 3] = ["a.example", "b.example", "c.example"];

#[derive(Debug, Clone)]
pub(super) enum Step {
    Enqueue { messages: Vec<Sent>, lease: bool },
    Claim { limit: usize, per_destination: usize, skip: Option<usize> },
    Renew { deliveries: Vec<usize>, by: Duration },
    Begin { deliveries: Vec<usize> },
    Settle { ends: Vec<End> },
    Record { reports: Vec<Incoming> },
    Acknowledge { answers: Vec<(usize, Reply)> },
    HandOut { limit: usize, busy: Option<usize> },
    Replay { days: u32, dead_only: bool },
    Crash { down: Duration },
    Purge,
    Forward(Duration),
    BackAnHour,
}

#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) to: Vec<usize>,
    pub(super) body: usize,
    /// The key and which content was given under it.
    pub(super) key: Option<(u8, u8)>,
    pub(super) waits: Duration,
    pub(super) elsewhere: bool,
}

#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) delivery: usize,
    pub(super) how: How,
    pub(super) attempted: bool,
    pub(super) with_event: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Delivered,
    Failed,
    Suppressed,
    Cancelled,
    Held,
    /// Refused for now.
    Later(Duration),
    /// The end of the attempt is not known.
    UncertainLater(Duration),
}

#[derive(Debug, Clone)]
pub(super) enum Incoming {
    /// About a delivery, or about none.
    New { delivery: Option<usize>, kind: EventKind, reason: Reason },
    /// One that came before.
    Again(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    Done,
    Again(Duration),
    Dead,
}

/// Sequences of steps. Weights keep the queue busy: most steps move mail on, few end an age.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..40)
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0..1000_usize;
    prop_oneof![
        6 => (vec(sent(), 1..4), any::<bool>()).prop_map(|(messages, lease)| Step::Enqueue { messages, lease }),
        4 => (1..8_usize, 1..4_usize, proptest::option::of(0..3_usize))
            .prop_map(|(limit, per_destination, skip)| Step::Claim { limit, per_destination, skip }),
        2 => Just(Step::Claim { limit: 1000, per_destination: 1000, skip: None }),
        2 => (vec(number(), 1..5), short()).prop_map(|(deliveries, by)| Step::Renew { deliveries, by }),
        5 => vec(number(), 1..6).prop_map(|deliveries| Step::Begin { deliveries }),
        6 => vec(end(), 1..5).prop_map(|ends| Step::Settle { ends }),
        4 => vec(incoming(), 1..4).prop_map(|reports| Step::Record { reports }),
        4 => vec((number(), reply()), 1..4).prop_map(|answers| Step::Acknowledge { answers }),
        1 => (1..5_usize, proptest::option::of(number())).prop_map(|(limit, busy)| Step::HandOut { limit, busy }),
        1 => (0..40_u32, any::<bool>()).prop_map(|(days, dead_only)| Step::Replay { days, dead_only }),
        2 => prop_oneof![Just(Duration::ZERO), Just(MINUTE), Just(3 * DAY)].prop_map(|down| Step::Crash { down }),
        1 => Just(Step::Purge),
        3 => short().prop_map(Step::Forward),
        1 => Just(Step::Forward(30 * DAY)),
        1 => Just(Step::BackAnHour),
    ]
}

fn short() -> impl Strategy<Value = Duration> {
    (0..5_u32).prop_map(|minutes| minutes * MINUTE)
}

fn sent() -> impl Strategy<Value = Sent> {
    let key = proptest::option::weighted(0.3, (0..3_u8, prop_oneof![4 => Just(0_u8), 1 => Just(1)]));
    let waits = prop_oneof![4 => Just(Duration::ZERO), 1 => Just(60 * MINUTE)];
    (vec(0..DESTINATIONS.len(), 1..4), 0..BODIES.len(), key, waits, proptest::bool::weighted(0.1))
        .prop_map(|(to, body, key, waits, elsewhere)| Sent { to, body, key, waits, elsewhere })
}

fn end() -> impl Strategy<Value = End> {
    let how = prop_oneof![
        4 => Just(How::Delivered),
        1 => Just(How::Failed),
        1 => Just(How::Suppressed),
        1 => Just(How::Cancelled),
        1 => Just(How::Held),
        2 => short().prop_map(How::Later),
        2 => short().prop_map(How::UncertainLater),
    ];
    (0..1000_usize, how, any::<bool>(), any::<bool>()).prop_map(|(delivery, how, attempted, with_event)| End {
        delivery,
        how,
        attempted,
        with_event,
    })
}

fn incoming() -> impl Strategy<Value = Incoming> {
    let kind = prop_oneof![3 => Just(EventKind::Bounce), 1 => Just(EventKind::Complaint), 1 => Just(EventKind::Delay)];
    let reason = prop_oneof![Just(Reason::UserUnknown), Just(Reason::MailboxFull), Just(Reason::Spam)];
    let new = (proptest::option::weighted(0.9, 0..1000_usize), kind, reason)
        .prop_map(|(delivery, kind, reason)| Incoming::New { delivery, kind, reason });
    prop_oneof![3 => new, 1 => (0..1000_usize).prop_map(Incoming::Again)]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![3 => Just(Reply::Done), 2 => short().prop_map(Reply::Again), 1 => Just(Reply::Dead)]
}
