//! What is due now and waits in memory for a connection: one bounded queue a destination.
//!
//! The bound holds for all destinations together, in messages and in bytes; what finds no room waits in the store.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::store::Claimed;

/// A leased delivery that waits for a connection.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) delivery: Claimed,
    pub(crate) body: Arc<[u8]>,
    /// Whether it was offered to a host of late: it may stand in the durable in-flight set.
    pub(crate) tried: bool,
}

/// How much may wait in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadyLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// Of one destination, so that a slow one cannot fill the whole room.
    pub(crate) per_destination: usize,
    /// Connections of one destination.
    pub(crate) connections: usize,
    /// Connections of all destinations.
    pub(crate) all_connections: usize,
}

impl Default for ReadyLimits {
    fn default() -> ReadyLimits {
        ReadyLimits {
            // 20,000 rows and 64 MiB of bodies: some seconds of work at full speed, a bounded share of a small machine.
            messages: 20_000,
            bytes: 64 << 20,
            per_destination: 1_000,
            // 4: large providers answer 421 to more from a sender that they do not know.
            connections: 4,
            all_connections: 200,
        }
    }
}

/// All ready queues.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    limits: ReadyLimits,
    /// Processes that share the connections of each destination with this one, itself among them; 0 before it is known.
    processes: usize,
    queues: HashMap<String, Queue>,
    messages: usize,
    bytes: usize,
    connections: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Room promised to messages that are being stored.
    reserved: usize,
    /// Of both.
    bytes: usize,
    connections: usize,
    /// Those of them that are about to end, for other processes.
    leaving: usize,
    /// Other processes have all connections of this destination: it takes nothing until the one that found out ends.
    closed: bool,
    /// Rings when a message comes, for an idle connection.
    bell: Arc<Notify>,
}

/// The room of one destination.
struct Share {
    messages: usize,
    bytes: usize,
}

impl Share {
    /// A message that is larger than what is left goes in when it is the next: it would find no room ever.
    fn is_used_up(&self, queue: &Queue) -> bool {
        queue.closed || queue.waiting.len() + queue.reserved >= self.messages || queue.bytes >= self.bytes
    }
}

impl Ready {
    pub(crate) fn new(limits: ReadyLimits) -> Ready {
        Ready { limits, ..Ready::default() }
    }

    /// Takes note of how many processes share the connections of each destination.
    pub(crate) fn share_with(&mut self, processes: u32) {
        self.processes = usize::try_from(processes).unwrap_or(usize::MAX);
    }

    /// Connections of one destination that all processes share.
    pub(crate) fn connections_of_all(&self) -> usize {
        self.limits.connections
    }

    /// Connections of one destination that this process opens.
    fn own_connections(&self) -> usize {
        (self.limits.connections / self.processes.max(1)).max(1)
    }

    /// Whether a connection of this destination is to end because other processes have come: this one has more than its
    /// part. Said once for each that is too much.
    pub(crate) fn ends_surplus(&mut self, destination: &str) -> bool {
        let own = self.own_connections();
        let Some(queue) = self.queues.get_mut(destination).filter(|_| self.processes > 1) else { return false };
        let is_surplus = queue.connections.saturating_sub(queue.leaving) > own;
        queue.leaving += usize::from(is_surplus);
        is_surplus
    }

    /// Whether enough waits here, for a destination or for all, that a new message is better left to the other processes.
    pub(crate) fn leaves_to_others(&self, destination: &str) -> bool {
        self.processes > 1
            && (self.messages >= LEFT_TO_OTHERS_IN_ALL
                || self.queues.get(destination).is_some_and(|queue| {
                    queue.waiting.len() + queue.reserved >= LEFT_TO_OTHERS.saturating_mul(self.own_connections())
                }))
    }

    /// This process's part of what is claimed at once by one that is alone.
    pub(crate) fn part_of(&self, batch: usize) -> usize {
        batch.div_ceil(self.processes.max(1))
    }

    /// Whether so little is left for a destination, of what is claimed beside other processes, that more is to be
    /// claimed now.
    pub(crate) fn runs_low(&self, destination: &str) -> bool {
        self.processes > 1 && self.len(destination) == ENOUGH_BESIDE_OTHERS / 2
    }

    /// No further connection to this destination is free in the fleet. Where this process has none but the one that
    /// found out, takes everything that waits, for the others, and takes nothing until that one has ended.
    pub(crate) fn close(&mut self, destination: &str) -> Vec<Waiting> {
        match self.queues.get_mut(destination) {
            Some(queue) if queue.connections <= 1 => queue.closed = true,
            _ => return Vec::new(),
        }
        self.take_all(destination)
    }

    /// Takes everything that waits: it is not this process's any more.
    pub(crate) fn take_everything(&mut self) -> Vec<Waiting> {
        let names: Vec<String> = self.queues.keys().cloned().collect();
        names.iter().flat_map(|name| self.take_all(name)).collect()
    }

    /// Reserves room for one message; [`Ready::push`] or [`Ready::give_up`] ends the reservation.
    pub(crate) fn reserve(&mut self, destination: &str, bytes: usize) -> bool {
        let share = self.share();
        if share.messages == 0
            || share.bytes == 0
            || self.queues.get(destination).is_some_and(|queue| share.is_used_up(queue))
        {
            return false;
        }
        let queue = self.queues.entry(destination.to_owned()).or_default();
        queue.reserved += 1;
        queue.bytes = queue.bytes.saturating_add(bytes);
        self.messages += 1;
        self.bytes += bytes;
        true
    }

    /// Puts a message into the room that was reserved for it.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        let queue = self.queues.entry(waiting.delivery.destination.clone()).or_default();
        queue.reserved = queue.reserved.saturating_sub(1);
        queue.waiting.push_back(waiting);
        queue.bell.notify_one();
    }

    /// Gives reserved room back.
    pub(crate) fn give_up(&mut self, destination: &str, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(queue) = self.queues.get_mut(destination) {
            queue.reserved = queue.reserved.saturating_sub(1);
            queue.bytes = queue.bytes.saturating_sub(bytes);
        }
        self.tidy(destination);
    }

    /// Takes the next message of a destination; its room is free again.
    pub(crate) fn pop(&mut self, destination: &str) -> Option<Waiting> {
        let queue = self.queues.get_mut(destination)?;
        let waiting = queue.waiting.pop_front()?;
        queue.bytes = queue.bytes.saturating_sub(waiting.body.len());
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(waiting.body.len());
        Some(waiting)
    }

    /// Puts a message back to the front: it was taken and not tried.
    pub(crate) fn put_back(&mut self, waiting: Waiting) {
        self.messages += 1;
        self.bytes += waiting.body.len();
        let queue = self.queues.entry(waiting.delivery.destination.clone()).or_default();
        queue.bytes += waiting.body.len();
        queue.waiting.push_front(waiting);
    }

    /// Takes what was offered to a host and waits again.
    pub(crate) fn take_tried(&mut self) -> Vec<Waiting> {
        let mut all = Vec::new();
        for queue in self.queues.values_mut() {
            let (tried, rest): (Vec<Waiting>, Vec<Waiting>) =
                std::mem::take(&mut queue.waiting).into_iter().partition(|waiting| waiting.tried);
            queue.waiting = rest.into();
            queue.bytes -= queue.bytes.min(tried_bytes(&tried));
            all.extend(tried);
        }
        self.messages -= all.len().min(self.messages);
        self.bytes -= self.bytes.min(tried_bytes(&all));
        all
    }

    /// Takes everything that waits for a destination.
    pub(crate) fn take_all(&mut self, destination: &str) -> Vec<Waiting> {
        let mut all = Vec::new();
        while let Some(waiting) = self.pop(destination) {
            all.push(waiting);
        }
        all
    }

    /// Rings when a message comes for this destination.
    pub(crate) fn bell(&mut self, destination: &str) -> Arc<Notify> {
        self.queues.entry(destination.to_owned()).or_default().bell.clone()
    }

    /// How many wait for a destination.
    pub(crate) fn len(&self, destination: &str) -> usize {
        self.queues.get(destination).map_or(0, |queue| queue.waiting.len())
    }

    /// How many more messages may be claimed in all.
    pub(crate) fn room(&self) -> usize {
        if self.bytes >= self.limits.bytes { 0 } else { self.limits.messages - self.messages.min(self.limits.messages) }
    }

    /// How many of one destination may be claimed at once.
    pub(crate) fn per_destination(&self) -> usize {
        self.limits.per_destination
    }

    /// What one destination may have: a part of what is still free, so that many slow ones, or one with large
    /// messages, cannot fill the room.
    fn share(&self) -> Share {
        Share {
            messages: self.limits.per_destination.min(self.limits.messages.saturating_sub(self.messages).div_ceil(8)),
            bytes: self.limits.bytes.saturating_sub(self.bytes).div_ceil(2),
        }
    }

    /// Destinations that have no room, or so much that the rest is for other processes to claim.
    pub(crate) fn full(&self) -> Vec<String> {
        let share = self.share();
        let has_enough =
            |queue: &Queue| self.processes > 1 && queue.waiting.len() + queue.reserved >= ENOUGH_BESIDE_OTHERS;
        let is_full = |queue: &Queue| share.is_used_up(queue) || has_enough(queue);
        self.queues.iter().filter(|(_, queue)| is_full(queue)).map(|(name, _)| name.clone()).collect()
    }

    /// Takes a connection for each destination that has messages and needs one: the first at once, a further one
    /// for every 16 messages that wait for those it has.
    pub(crate) fn open_connections(&mut self) -> Vec<String> {
        let mut opened = Vec::new();
        // First one for each destination that has none, then more: a busy one does not take the last from a small one.
        // Further ones leave a quarter free: a destination that comes later finds its first one at once.
        let all = self.limits.all_connections;
        let own = self.own_connections();
        for (first, most) in [(true, all), (false, all - all / 4)] {
            for (name, queue) in &mut self.queues {
                let wanted = match queue.waiting.len() {
                    0 => 0,
                    _ if first => 1,
                    waiting => (1 + waiting / MESSAGES_PER_CONNECTION).min(own),
                };
                while queue.connections < wanted && self.connections < most {
                    queue.connections += 1;
                    self.connections += 1;
                    opened.push(name.clone());
                }
            }
        }
        opened
    }

    /// A connection of this destination ended. Answers whether messages wait there still.
    pub(crate) fn connection_ended(&mut self, destination: &str) -> bool {
        self.connections = self.connections.saturating_sub(1);
        if let Some(queue) = self.queues.get_mut(destination) {
            queue.connections = queue.connections.saturating_sub(1);
            queue.leaving = queue.leaving.saturating_sub(1);
            queue.closed = false;
        }
        self.tidy(destination);
        self.len(destination) > 0
    }

    /// Forgets a destination that has nothing.
    fn tidy(&mut self, destination: &str) {
        let idle = |queue: &Queue| queue.waiting.is_empty() && queue.reserved == 0 && queue.connections == 0;
        if self.queues.get(destination).is_some_and(idle) {
            self.queues.remove(destination);
        }
    }
}

fn tried_bytes(tried: &[Waiting]) -> usize {
    tried.iter().map(|waiting| waiting.body.len()).sum()
}

/// A second connection pays its greeting, EHLO and TLS back after about this many messages.
const MESSAGES_PER_CONNECTION: usize = 16;
/// For each connection; enough to keep it busy while more is claimed.
const LEFT_TO_OTHERS: usize = 50;
/// For all destinations together: a burst of some hundred goes out without a way through the store.
const LEFT_TO_OTHERS_IN_ALL: usize = 200;
/// For one destination: a tenth of a second of work, and several claims are made before a thousand are shared out.
const ENOUGH_BESIDE_OTHERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::conclude::tests::claimed;

    fn waiting(destination: &str) -> Waiting {
        let mut delivery = claimed();
        delivery.destination = destination.into();
        Waiting { delivery, body: Arc::from(&b"body"[..]), tried: false }
    }

    #[test]
    fn one_destination_cannot_fill_the_room() {
        let limits = ReadyLimits { messages: 40, per_destination: 4, ..ReadyLimits::default() };
        let mut ready = Ready::new(limits);
        for _ in 0..4 {
            assert!(ready.reserve("slow.example", 4));
            ready.push(waiting("slow.example"));
        }
        assert!(!ready.reserve("slow.example", 4));
        assert_eq!(ready.full(), ["slow.example"]);
        assert!(ready.reserve("fast.example", 4));
        assert_eq!(ready.room(), 35);
    }

    #[test]
    fn beside_other_processes_no_more_is_taken_than_keeps_the_connections_busy() {
        let mut ready = Ready::new(ReadyLimits::default());
        for n in 0..LEFT_TO_OTHERS_IN_ALL {
            assert!(ready.reserve(&format!("d{n}.example"), 4) && ready.reserve("busy.example", 4));
            ready.push(waiting("busy.example"));
        }
        assert!(ready.full().is_empty() && !ready.leaves_to_others("new.example"), "one that is alone takes all");
        assert_eq!((ready.part_of(500), ready.runs_low("busy.example")), (500, false));
        ready.share_with(3);
        assert_eq!(ready.full(), ["busy.example"]);
        assert!(ready.leaves_to_others("busy.example") && ready.leaves_to_others("new.example"));
        assert_eq!(ready.part_of(500), 167);
        while !ready.runs_low("busy.example") {
            ready.pop("busy.example").unwrap();
        }
        assert_eq!(ready.len("busy.example"), ENOUGH_BESIDE_OTHERS / 2);
        assert!(ready.full().is_empty());
    }

    #[test]
    fn connections_are_ended_when_other_processes_come() {
        let mut ready = Ready::new(ReadyLimits::default());
        for _ in 0..100 {
            assert!(ready.reserve("busy.example", 4));
            ready.push(waiting("busy.example"));
        }
        assert_eq!(ready.open_connections().len(), 4);
        assert!(!ready.ends_surplus("busy.example") && !ready.ends_surplus("other.example"));
        ready.share_with(2);
        assert_eq!([(); 4].map(|()| ready.ends_surplus("busy.example")), [true, true, false, false]);
        ready.connection_ended("busy.example");
        ready.connection_ended("busy.example");
        assert!(!ready.ends_surplus("busy.example") && ready.open_connections().is_empty());
    }

    #[test]
    fn slow_destinations_and_large_messages_leave_room_for_others() {
        let limits = ReadyLimits { messages: 100, bytes: 1_000, per_destination: 30, ..ReadyLimits::default() };
        let mut ready = Ready::new(limits);
        for slow in 0..10 {
            while ready.reserve(&format!("slow{slow}.example"), 1) {}
        }
        assert!(ready.reserve("fast.example", 1));
        let mut ready = Ready::new(limits);
        while ready.reserve("slow.example", 50) {}
        assert_eq!(ready.full(), ["slow.example"]);
        assert!(ready.reserve("fast.example", 5_000), "one larger than the room is sent, too");
        assert!(!ready.reserve("other.example", 1));
    }

    #[test]
    fn a_quarter_of_the_connections_is_for_destinations_without_one() {
        let mut ready = Ready::new(ReadyLimits { all_connections: 8, ..ReadyLimits::default() });
        let mut add = |name: &str| {
            for _ in 0..100 {
                assert!(ready.reserve(name, 4));
                ready.push(waiting(name));
            }
            ready.open_connections().len()
        };
        assert_eq!((add("a.example"), add("b.example")), (4, 2));
        assert_eq!((add("c.example"), add("d.example"), add("e.example")), (1, 1, 0));
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let mut ready = Ready::new(ReadyLimits { bytes: 20, ..ReadyLimits::default() });
        assert!(ready.reserve("a.example", 4));
        ready.push(waiting("a.example"));
        assert!(ready.reserve("a.example", 4));
        assert!(!ready.reserve("a.example", 4));
        ready.give_up("a.example", 4);
        let taken = ready.pop("a.example").unwrap();
        assert_eq!(ready.bytes, 0);
        ready.put_back(taken);
        assert_eq!((ready.bytes, ready.len("a.example")), (4, 1));
    }

    #[test]
    fn a_fleet_shares_connections_and_work() {
        let mut ready = Ready::new(ReadyLimits::default());
        ready.share_with(3);
        for _ in 0..50 {
            assert!(!ready.leaves_to_others("a.example"));
            assert!(ready.reserve("a.example", 4));
            ready.push(waiting("a.example"));
        }
        assert!(ready.leaves_to_others("a.example") && !ready.leaves_to_others("b.example"));
        assert_eq!(ready.open_connections(), ["a.example"], "a third of four, and one at least");
        assert_eq!(ready.close("a.example").len(), 50);
        assert!(!ready.reserve("a.example", 4));
        assert_eq!(ready.full(), ["a.example"]);
        assert!(!ready.connection_ended("a.example"));
        assert!(ready.reserve("a.example", 4), "asked again when the one that found no place has ended");
        ready.share_with(1);
        assert!(!ready.leaves_to_others("a.example"));
    }

    #[test]
    fn a_place_refused_to_a_further_connection_stops_nothing() {
        let mut ready = Ready::new(ReadyLimits::default());
        for _ in 0..40 {
            assert!(ready.reserve("a.example", 4));
            ready.push(waiting("a.example"));
        }
        assert_eq!(ready.open_connections().len(), 3);
        assert!(ready.close("a.example").is_empty());
        assert!(ready.reserve("a.example", 4));
        assert_eq!(ready.take_everything().len(), 40);
    }

    #[test]
    fn connections_follow_the_work_within_their_limits() {
        let limits = ReadyLimits { connections: 2, all_connections: 3, ..ReadyLimits::default() };
        let mut ready = Ready::new(limits);
        for name in ["a.example", "b.example", "c.example"] {
            for _ in 0..40 {
                assert!(ready.reserve(name, 4));
                ready.push(waiting(name));
            }
        }
        let opened = ready.open_connections();
        assert_eq!(opened.len(), 3);
        assert!(ready.open_connections().is_empty());
        assert!(ready.connection_ended(&opened[0]), "messages wait there still");
        assert_eq!(ready.open_connections().len(), 1);
    }
}
