//! The model: every delivery and every event as a line in a table, each rule of the store as a few words.

use std::collections::BTreeMap;

use super::step::{BODIES, DESTINATIONS, End, How, Incoming, Reply, Sent, Step};
use super::{Agreement, same};
use crate::event::{EventKind, EventRecord, Origin, Trust};
use crate::id::{DeliveryId, EventId};
use crate::store::conformance::*;
use crate::store::{Acknowledgement, Answer, Count, Idempotency, Recorded, ReplayRequest, Retention, State};

/// Events that may come in for one delivery.
const BOUNDS: InboundBounds = InboundBounds { events: 3, raw_bytes: 1 << 20 };

const KEPT: Retention = Retention {
    journal: Duration::from_secs(40 * 86_400),
    events: Duration::from_secs(20 * 86_400),
    raw: Duration::from_secs(5 * 86_400),
};

pub(super) struct Model {
    pub(super) now: Timestamp,
    pub(super) deliveries: BTreeMap<DeliveryId, Delivery>,
    messages: Vec<NewMessage>,
    /// In the order in which they were stored.
    events: Vec<Event>,
    /// All that ever came in.
    reports: Vec<EventRecord>,
    /// What the store calls the events that it has handed out.
    sequences: BTreeMap<EventId, i64>,
    /// When the first report for a delivery came, and how many are stored.
    counters: BTreeMap<DeliveryId, (Timestamp, u32)>,
    made_events: u128,
    high_water: u64,
}

pub(super) struct Delivery {
    pub(super) new: NewDelivery,
    pub(super) state: State,
    pub(super) attempts: u32,
    pub(super) queued_at: Timestamp,
    pub(super) bounced: Option<Verdict>,
    /// False after a purge.
    pub(super) is_kept: bool,
    body: &'static str,
    due: Timestamp,
    in_doubt: bool,
    was_uncertain: bool,
    complained: bool,
}

struct Event {
    id: EventId,
    at: Timestamp,
    delivery: Option<DeliveryId>,
    standing: Standing,
    /// `None`: at once, whatever the clock says.
    due: Option<Timestamp>,
    attempts: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Pending,
    Done,
    Dead,
}

impl Default for Model {
    fn default() -> Model {
        Model {
            now: NOON,
            deliveries: BTreeMap::new(),
            messages: vec![],
            events: vec![],
            reports: vec![],
            sequences: BTreeMap::new(),
            counters: BTreeMap::new(),
            made_events: 0,
            high_water: 0,
        }
    }
}

impl Delivery {
    fn waits(&self) -> bool {
        self.is_kept && matches!(self.state, State::Queued | State::Leased)
    }

    fn has_ended(&self) -> bool {
        !matches!(self.state, State::Queued | State::Leased | State::InFlight | State::Held)
    }

    /// Whether somebody may have its end to tell: a delivery that merely waits is in nobody's hands.
    fn is_in_hand(&self) -> bool {
        !self.is_kept || self.state != State::Queued || self.in_doubt
    }

    fn settle(&mut self, end: &End, now: Timestamp) {
        let is_uncertain = matches!(end.how, How::Held | How::UncertainLater(_));
        self.state = match end.how {
            How::Held | How::UncertainLater(_) if self.bounced.is_some() => State::Delivered,
            How::Held => State::Held,
            How::Delivered => State::Delivered,
            How::Failed => State::Failed,
            How::Suppressed => State::Suppressed,
            How::Cancelled => State::Cancelled,
            How::Later(after) | How::UncertainLater(after) => {
                self.due = now + after;
                State::Queued
            }
        };
        self.in_doubt = false;
        self.was_uncertain |= is_uncertain;
        self.attempts += u32::from(end.attempted);
    }

    fn book(&mut self, verdict: &Verdict) {
        let may_have_arrived = self.in_doubt || self.was_uncertain;
        let next = match self.state {
            State::Held | State::Delivered => State::Delivered,
            State::InFlight => State::InFlight,
            State::Queued | State::Leased if may_have_arrived => State::Delivered,
            State::Failed if may_have_arrived => State::Failed,
            _ => return,
        };
        let is_graver = self.bounced.as_ref().is_none_or(|known| verdict.is_hard() && !known.is_hard());
        if is_graver {
            self.bounced = Some(verdict.clone());
            self.state = next;
            self.in_doubt &= next != State::Delivered;
        }
    }
}

/// The steps.
impl Model {
    /// Takes one step on both sides.
    pub(super) async fn step(&mut self, store: &dyn Store, step: &Step) -> Agreement {
        match step {
            Step::Enqueue { messages, lease } => self.enqueue(store, messages, *lease).await,
            Step::Claim { limit, per_destination, skip } => self.claim(store, *limit, *per_destination, *skip).await,
            Step::Renew { deliveries, by } => {
                let (named, until) = (self.named(deliveries), self.now + *by);
                let leased = |delivery: &&mut Delivery| delivery.state == State::Leased;
                for id in &named {
                    self.deliveries.get_mut(id).filter(leased).into_iter().for_each(|delivery| delivery.due = until);
                }
                store.renew(named, until).await.map_err(told)
            }
            Step::Begin { deliveries } => {
                let named = self.named(deliveries);
                let mut begun = store.begin(named.clone()).await.map_err(told)?;
                begun.sort();
                let mut expected = Vec::new();
                for id in named {
                    let delivery = self.deliveries.get_mut(&id).expect("a known one");
                    if delivery.is_kept && matches!(delivery.state, State::Leased | State::InFlight) {
                        (delivery.state, delivery.in_doubt) = (State::InFlight, true);
                        expected.push(id);
                    }
                }
                same("begun", begun, expected)
            }
            Step::Settle { ends } => self.settle(store, ends).await,
            Step::Record { reports } => self.record(store, reports).await,
            Step::Acknowledge { answers } => self.acknowledge(store, answers).await,
            Step::HandOut { limit, busy } => self.hand_out(store, *limit, *busy).await,
            Step::Replay { days, dead_only } => self.replay(store, *days, *dead_only).await,
            Step::Crash { .. } => self.recover(store).await,
            Step::Purge => self.purge(store).await,
            Step::Forward(by) => {
                self.now = self.now + *by;
                Ok(())
            }
            Step::BackAnHour => {
                self.now = self.now - 60 * MINUTE;
                Ok(())
            }
        }
    }

    async fn enqueue(&mut self, store: &dyn Store, sent: &[Sent], lease: bool) -> Agreement {
        let (mut messages, mut expected) = (Vec::new(), Vec::new());
        for sent in sent {
            let n = self.messages.len() as u64 + 1;
            let to: Vec<&str> = sent.to.iter().map(|to| DESTINATIONS[*to]).collect();
            let key = |(key, content): (u8, u8)| Idempotency { key: format!("k{key}"), fingerprint: [content; 32] };
            let message = NewMessage {
                body: BODIES[sent.body].as_bytes().into(),
                not_before: self.now + sent.waits,
                idempotency: sent.key.map(key),
                sent_elsewhere: sent.elsewhere,
                ..message_to(n, &to)
            };
            expected.push(self.known_by_key(&message).unwrap_or(Enqueued::New));
            if expected.last() == Some(&Enqueued::New) {
                self.insert(&message, sent, lease);
                self.messages.push(message.clone());
            } else {
                // Its number is used up, and its key names another message.
                self.messages.push(NewMessage { deliveries: vec![], idempotency: None, ..message.clone() });
            }
            messages.push(message);
        }
        let until = lease.then_some(self.now + MINUTE);
        same("enqueued", store.enqueue(messages, self.now, until).await.map_err(told)?, expected)
    }

    fn known_by_key(&self, message: &NewMessage) -> Option<Enqueued> {
        let asked = message.idempotency.as_ref()?;
        let is_kept = |new: &&NewDelivery| self.deliveries[&new.id].is_kept;
        self.messages.iter().find_map(|known| {
            let key = known.idempotency.as_ref().filter(|key| key.key == asked.key)?;
            let kept: Vec<_> = known.deliveries.iter().filter(is_kept).cloned().collect();
            if kept.is_empty() {
                return None;
            }
            if key.fingerprint != asked.fingerprint {
                return Some(Enqueued::KeyConflict);
            }
            let deliveries = kept.into_iter().map(|new| (new.id, new.recipient, new.return_path)).collect();
            Some(Enqueued::Repeated { message: known.id, deliveries })
        })
    }

    fn insert(&mut self, message: &NewMessage, sent: &Sent, lease: bool) {
        let (state, due) = match lease {
            _ if sent.elsewhere => (State::Delivered, self.now),
            true if sent.waits.is_zero() => (State::Leased, self.now + MINUTE),
            _ => (State::Queued, message.not_before),
        };
        self.high_water = self.high_water.max(message.id.as_u64());
        for new in &message.deliveries {
            self.high_water = self.high_water.max(new.id.as_u64());
            let delivery = Delivery {
                new: new.clone(),
                state,
                attempts: 0,
                queued_at: self.now,
                bounced: None,
                is_kept: true,
                body: BODIES[sent.body],
                due,
                in_doubt: false,
                was_uncertain: false,
                complained: false,
            };
            self.deliveries.insert(new.id, delivery);
        }
    }

    async fn claim(&mut self, store: &dyn Store, limit: usize, share: usize, skip: Option<usize>) -> Agreement {
        let skip = skip.map(|skip| DESTINATIONS[skip]);
        let mut due: BTreeMap<&str, usize> = BTreeMap::new();
        let now = self.now;
        let is_due = |delivery: &Delivery| delivery.waits() && delivery.due <= now;
        for delivery in self.deliveries.values().filter(|delivery| is_due(delivery)) {
            *due.entry(&delivery.new.destination).or_default() += 1;
        }
        let shares = due.iter().filter(|(name, _)| Some(**name) != skip).map(|(_, due)| (*due).min(share));
        let expected = shares.sum::<usize>().min(limit);
        let request = ClaimRequest {
            limit,
            per_destination: share,
            skip: skip.map(str::to_owned).into_iter().collect(),
            now,
            lease_until: now + MINUTE,
        };
        let claimed = store.claim(request).await.map_err(told)?;
        same("how many are claimed", claimed.len(), expected)?;
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for claimed in claimed {
            let known = self.deliveries.get_mut(&claimed.id).filter(|delivery| is_due(delivery));
            let Some(delivery) = known else { return Err(format!("{} was claimed and is not due", claimed.id)) };
            same("a claimed destination", &claimed.destination, &delivery.new.destination)?;
            same("attempts of a claimed one", claimed.attempts, delivery.attempts)?;
            (delivery.state, delivery.due) = (State::Leased, now + MINUTE);
            *taken.entry(claimed.destination).or_default() += 1;
        }
        let is_fair = taken.iter().all(|(name, taken)| *taken <= share && Some(&**name) != skip);
        same("claimed within the shares", is_fair, true)
    }

    async fn settle(&mut self, store: &dyn Store, ends: &[End]) -> Agreement {
        let mut settlements: Vec<Settlement> = Vec::new();
        for end in ends {
            let Some(id) = self.named(&[end.delivery]).pop() else { continue };
            let is_twice = settlements.iter().any(|settlement| settlement.delivery == id);
            if is_twice || !self.deliveries[&id].is_in_hand() {
                continue;
            }
            let state = match end.how {
                How::Delivered => Settled::Delivered,
                How::Failed => Settled::Failed,
                How::Suppressed => Settled::Suppressed,
                How::Cancelled => Settled::Cancelled,
                How::Held => Settled::Held,
                How::Later(after) | How::UncertainLater(after) => Settled::Queued(self.now + after),
            };
            let mut settlement = Settlement { attempted: end.attempted, ..settlement(id, state) };
            if let How::UncertainLater(_) = end.how {
                settlement.last = Some(attempt(Outcome::Uncertain, Reason::Network));
            }
            if end.with_event {
                settlement.events = vec![self.event(Some(id), EventKind::Other, Origin::Local, None)];
            }
            let delivery = self.deliveries.get_mut(&id).expect("a known one");
            // What is held is released, cancelled or found delivered; an attempt of it has had its end.
            let is_known =
                delivery.state == State::Held && settlement.attempted && settlement.state != Settled::Delivered;
            if !(delivery.is_kept && (delivery.has_ended() || is_known)) {
                delivery.settle(end, self.now);
                settlement.events.iter().for_each(|event| self.store_event(event));
            }
            settlements.push(settlement);
        }
        store.settle(settlements).await.map_err(told)
    }

    async fn record(&mut self, store: &dyn Store, incoming: &[Incoming]) -> Agreement {
        let (mut events, mut expected) = (Vec::new(), Vec::new());
        for incoming in incoming {
            let event = match incoming {
                Incoming::Again(_) if self.reports.is_empty() => continue,
                Incoming::Again(n) => self.reports[n % self.reports.len()].clone(),
                Incoming::New { delivery: about, kind, reason } => {
                    // Where nothing was sent yet, one that the journal does not know.
                    let about = about.map(|n| self.named(&[n]).pop().unwrap_or(delivery(7)));
                    let verdict = (*kind == EventKind::Bounce).then(|| verdict(Outcome::Failed, *reason));
                    self.event(about, *kind, Origin::Report, verdict)
                }
            };
            expected.push(self.take_in(&event));
            self.reports.push(event.clone());
            events.push(event);
        }
        same("recorded", store.record(Inbound { events, bounds: BOUNDS }).await.map_err(told)?, expected)
    }

    fn take_in(&mut self, event: &EventRecord) -> Recorded {
        if self.events.iter().any(|known| known.id == event.id) {
            return Recorded::Repeated;
        }
        let Some(delivery) = event.delivery else {
            self.store_event(event);
            return Recorded::New;
        };
        let (_, count) = self.counters.entry(delivery).or_insert((event.at, 0));
        if *count >= BOUNDS.events {
            let id = EventId::derive(&[b"flood", &delivery.as_u64().to_be_bytes()]);
            let first = self.events.iter().all(|known| known.id != id);
            if first {
                self.store_event(&EventRecord { id, ..event.clone() });
            }
            return Recorded::Flood { first };
        }
        *count += 1;
        self.store_event(event);
        if let Some(delivery) = self.deliveries.get_mut(&delivery).filter(|delivery| delivery.is_kept) {
            delivery.complained |= event.kind == EventKind::Complaint;
            event.verdict.iter().for_each(|verdict| delivery.book(verdict));
        }
        Recorded::New
    }

    async fn acknowledge(&mut self, store: &dyn Store, replies: &[(usize, Reply)]) -> Agreement {
        self.learn_sequences(store).await?;
        let mut answers = Vec::new();
        for (n, reply) in replies {
            let Some((id, sequence)) = self.known_sequence(*n) else { continue };
            let now = self.now;
            let event = self.events.iter_mut().find(|event| event.id == id).expect("a stored one");
            let attempts = event.attempts + 1;
            let answer = match reply {
                Reply::Done => Answer::Done,
                Reply::Again(after) => Answer::Again { at: now + *after, attempts, error: "not now".into() },
                Reply::Dead => Answer::Dead { attempts, error: "never".into() },
            };
            if event.standing == Standing::Pending {
                match reply {
                    Reply::Done => event.standing = Standing::Done,
                    Reply::Again(after) => (event.due, event.attempts) = (Some(now + *after), attempts),
                    Reply::Dead => (event.standing, event.attempts) = (Standing::Dead, attempts),
                }
            }
            answers.push(Acknowledgement { sequence, answer });
        }
        store.acknowledge(answers).await.map_err(told)
    }

    async fn hand_out(&mut self, store: &dyn Store, limit: usize, busy: Option<usize>) -> Agreement {
        self.learn_sequences(store).await?;
        let busy = busy.and_then(|n| self.known_sequence(n));
        let busy_delivery = busy.and_then(|(id, _)| self.events.iter().find(|event| event.id == id)?.delivery);
        let is_free = |event: &&Event| {
            busy.is_none_or(|(id, _)| id != event.id) && (busy_delivery.is_none() || event.delivery != busy_delivery)
        };
        let free: Vec<EventId> =
            self.ready().filter(|event| self.is_due(event)).filter(is_free).map(|e| e.id).collect();
        let busy = busy.map(|(_, sequence)| sequence).into_iter().collect();
        let given = store.claim_events(limit, busy, self.now).await.map_err(told)?;
        same("how many events", given.len(), free.len().min(limit))?;
        let is_free = given.iter().all(|event| free.contains(&event.record.id));
        same("events that are free and in order", is_free && given.is_sorted_by_key(|event| event.sequence), true)
    }

    async fn replay(&mut self, store: &dyn Store, days: u32, dead_only: bool) -> Agreement {
        let range = self.now - days * DAY..Timestamp::MAX;
        let mut count = 0;
        for event in &mut self.events {
            let is_meant = event.standing == Standing::Dead || (event.standing == Standing::Done && !dead_only);
            if is_meant && range.contains(&event.at) {
                (event.standing, event.due, event.attempts) = (Standing::Pending, Some(self.now), 0);
                count += 1;
            }
        }
        let replayed = store.replay(ReplayRequest { range, dead_only }, self.now).await.map_err(told)?;
        same("replayed", replayed, count)
    }

    async fn recover(&mut self, store: &dyn Store) -> Agreement {
        let (now, until) = (self.now, self.now + 30 * MINUTE);
        let (mut in_flight, mut leased) = (Vec::new(), 0);
        for (id, delivery) in self.deliveries.iter_mut().filter(|(_, delivery)| delivery.is_kept) {
            if delivery.in_doubt {
                (delivery.state, delivery.due, delivery.was_uncertain) = (State::Queued, until, true);
                in_flight.push(*id);
            } else if delivery.state == State::Leased {
                (delivery.state, delivery.due) = (State::Queued, now);
                leased += 1;
            }
        }
        let left = store.recover(now, until).await.map_err(told)?;
        let found = (ids(&left.in_flight), left.leased, left.high_water);
        same("recovered", found, (in_flight, leased, self.high_water))
    }

    async fn purge(&mut self, store: &dyn Store) -> Agreement {
        let (journal, told_before) = (self.now - KEPT.journal, self.now - KEPT.events);
        for (id, delivery) in &mut self.deliveries {
            if delivery.is_kept && delivery.has_ended() && delivery.queued_at < journal {
                delivery.is_kept = false;
                self.counters.remove(id);
            }
        }
        let is_known = |id: &DeliveryId| self.deliveries.get(id).is_some_and(|delivery| delivery.is_kept);
        self.counters.retain(|id, (first_at, _)| *first_at >= journal || is_known(id));
        self.events.retain(|event| event.standing != Standing::Done || event.at >= told_before);
        // One that comes again gets another sequence.
        self.sequences.retain(|id, _| self.events.iter().any(|event| event.id == *id));
        store.purge(KEPT, self.now).await.map(drop).map_err(told)
    }

    /// The deliveries that these numbers name, each once, in order.
    fn named(&self, numbers: &[usize]) -> Vec<DeliveryId> {
        let all: Vec<_> = self.deliveries.keys().copied().collect();
        let mut named: Vec<_> = numbers.iter().filter_map(|n| all.get(n % all.len().max(1)).copied()).collect();
        named.sort();
        named.dedup();
        named
    }

    /// An event with an id of its own.
    fn event(
        &mut self,
        delivery: Option<DeliveryId>,
        kind: EventKind,
        origin: Origin,
        verdict: Option<Verdict>,
    ) -> EventRecord {
        self.made_events += 1;
        let id = EventId::from_bytes(self.made_events.to_be_bytes());
        EventRecord { delivery, verdict, trust: Some(Trust::Sealed), ..EventRecord::bare(id, kind, self.now, origin) }
    }

    fn store_event(&mut self, event: &EventRecord) {
        let (id, at, delivery) = (event.id, event.at, event.delivery);
        self.events.push(Event { id, at, delivery, standing: Standing::Pending, due: None, attempts: 0 });
    }

    async fn learn_sequences(&mut self, store: &dyn Store) -> Agreement {
        for event in store.claim_events(10_000, vec![], self.now).await.map_err(told)? {
            self.sequences.insert(event.record.id, event.sequence);
        }
        Ok(())
    }

    fn known_sequence(&self, n: usize) -> Option<(EventId, i64)> {
        let count = self.sequences.len().max(1);
        self.sequences.iter().nth(n % count).map(|(id, sequence)| (*id, *sequence))
    }
}

/// What the store must show.
impl Model {
    /// The eldest pending event of each delivery, and all that belong to none.
    fn ready(&self) -> impl Iterator<Item = &Event> {
        let pending = || self.events.iter().filter(|event| event.standing == Standing::Pending);
        pending().filter(move |event| {
            let eldest = pending().find(|elder| elder.delivery == event.delivery);
            event.delivery.is_none() || eldest.is_some_and(|eldest| eldest.id == event.id)
        })
    }

    fn is_due(&self, event: &Event) -> bool {
        event.due.is_none_or(|due| due <= self.now)
    }

    pub(super) fn ready_events(&self) -> Vec<(EventId, u32)> {
        self.ready().filter(|event| self.is_due(event)).map(|event| (event.id, event.attempts)).collect()
    }

    pub(super) fn next_event_due(&self) -> Option<Timestamp> {
        self.ready().map(|event| event.due.unwrap_or(self.now).max(self.now)).min()
    }

    pub(super) fn dead_letters(&self) -> Vec<EventId> {
        self.events.iter().filter(|event| event.standing == Standing::Dead).map(|event| event.id).collect()
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let waiting = self.deliveries.values().filter(|delivery| delivery.waits());
        waiting.map(|delivery| delivery.due.max(self.now)).min()
    }

    pub(super) fn open_work(&self) -> (u64, u64) {
        let is_open = |delivery: &&Delivery| delivery.waits() || delivery.state == State::InFlight;
        let deliveries = self.deliveries.values().filter(is_open).count();
        let events = self.events.iter().filter(|event| event.standing == Standing::Pending).count();
        (deliveries as u64, events as u64)
    }

    pub(super) fn needs_body(&self, body: &str) -> bool {
        self.deliveries.values().any(|delivery| delivery.body == body && !delivery.has_ended())
    }

    /// By destination, which is the recipient's domain here; the largest first.
    pub(super) fn counts(&self) -> Vec<Count> {
        let mut counts: Vec<Count> = Vec::new();
        for name in DESTINATIONS {
            let mut count = Count { name: name.into(), ..Count::default() };
            let here = |delivery: &&Delivery| delivery.is_kept && delivery.new.destination == name;
            for delivery in self.deliveries.values().filter(here) {
                count.queued += 1;
                count.complained += u64::from(delivery.complained);
                match delivery.state {
                    State::Delivered if delivery.bounced.is_some() => count.bounced += 1,
                    State::Delivered => count.delivered += 1,
                    State::Failed => count.failed += 1,
                    State::Suppressed | State::Cancelled => {}
                    State::Queued | State::Leased | State::InFlight | State::Held => count.open += 1,
                }
            }
            counts.extend((count.queued > 0).then_some(count));
        }
        // Stable: equal ones stay in the order of their names.
        counts.sort_by_key(|count| std::cmp::Reverse(count.queued));
        counts
    }
}

fn told(error: StoreError) -> String {
    error.to_string()
}
