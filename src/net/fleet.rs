//! What a process does because others share its store: gives signs of life, takes over from the dead, hears what the
//! others have done, and keeps to its part of the connections.
//!
//! A process that missed its lease is fenced: what it had in hand belongs to others. The store answers it so, and it
//! goes on as a new one, with a new node in its ids. What it has in a conversation right then is not begun any more
//! (`begin` does not answer it), and of what it had begun only a 2xx counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::instance::{Instance, lock};
use crate::schedule::uncertain_after_crash;
use crate::store::{Beat, News, Recovered, Settlement, StoreError};
use crate::time::Timestamp;

/// How this process stands to those that share its store.
#[derive(Debug)]
pub(crate) struct Fleet {
    shared: bool,
    /// Wakes whoever gives signs of life: the others wait for what this process has to say.
    hurry: Notify,
    /// The count of changes up to which the ring in the store was read.
    ring: std::sync::Mutex<Option<i64>>,
    /// When the last sign of life was given for which the ring was as new as the store's.
    heard: std::sync::Mutex<Option<Instant>>,
    /// Places that could not be given back, for the database was away.
    left_over: std::sync::Mutex<Vec<(String, u32)>>,
}

impl Fleet {
    pub(crate) fn new(shared: bool) -> Fleet {
        Fleet {
            shared,
            hurry: Notify::new(),
            ring: std::sync::Mutex::default(),
            heard: std::sync::Mutex::default(),
            left_over: std::sync::Mutex::default(),
        }
    }

    /// Whether other processes may share the store.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Takes note of a sign of life that was given then, for which the ring was as new as the store's. Every key that
    /// mints before the lease of that sign ends is in the ring: others let none mint that a living process lacks.
    fn heard(&self, now: Instant) {
        *lock(&self.heard) = Some(now);
    }

    /// Whether the others may have changed the ring without this process: its signs of life, which are due every
    /// `every`, stay away.
    fn is_out_of_touch(&self, now: Instant, every: Duration) -> bool {
        self.shared && lock(&self.heard).is_none_or(|heard| now.duration_since(heard) > every * 2)
    }

    /// Asks for a sign of life now.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
    }
}

/// Gives signs of life as long as it is polled, and does what is due with each; never ends.
pub(crate) async fn keep_in_touch(instance: Arc<Instance>) {
    let Some(every) = instance.store.beat_every() else { return std::future::pending().await };
    let mut wait = FIRST_RETRY;
    let mut is_away = false;
    loop {
        let asked = instance.clock.instant();
        let pause = match instance.beat().await {
            Ok(beat) => {
                if std::mem::take(&mut is_away) {
                    tracing::info!("the store is reached again");
                }
                wait = FIRST_RETRY;
                instance.care(beat, asked).await;
                every
            }
            Err(StoreError::Closed) => return std::future::pending().await,
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    tracing::error!(%error, "the lease of this process could not be renewed; trying again");
                }
                let pause = wait.min(every);
                wait *= 2;
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = instance.fleet.hurry.notified(), if !is_away => {}
        }
    }
}

/// Acts on what other processes have done, until the instance stops.
pub(crate) async fn listen_for_news(instance: Arc<Instance>, mut stop: watch::Receiver<bool>) {
    loop {
        let news = tokio::select! {
            news = instance.store.news() => news,
            _ = stop.changed() => return,
        };
        match news {
            News::Work => instance.look_for_work().await,
            News::Events => instance.events.notify_one(),
            News::Keys => {
                instance.follow_ring().await;
                instance.fleet.hurry();
            }
            News::Processes => instance.fleet.hurry(),
        }
    }
}

impl Instance {
    /// Renews the lease, and takes in how the fleet stands.
    pub(super) async fn beat(&self) -> Result<Beat, StoreError> {
        let beat = self.store.beat(self.ring().bits()).await?;
        if beat.was_fenced {
            self.start_anew();
        }
        lock(&self.ready).share_with(beat.processes);
        Ok(beat)
    }

    /// Whether a key that is not in the ring may have come into it without this process: one that was stopped for
    /// longer than its lease does not know what the others have done meanwhile.
    pub(super) fn may_lack_a_key(&self) -> bool {
        let every = self.store.beat_every().unwrap_or_default();
        let lacks = self.fleet.is_out_of_touch(self.clock.instant(), every);
        if lacks {
            self.fleet.hurry();
        }
        lacks
    }

    /// What this process had in hand is not its own any more.
    fn start_anew(&self) {
        let node = self.store.node();
        lock(&self.ids).move_to(node);
        lock(&self.fleet.left_over).clear();
        let lost = lock(&self.ready).take_everything();
        {
            // Those in a conversation stay held: if one of them is claimed anew, its conversation goes on with it.
            let mut held = lock(&self.held);
            for waiting in &lost {
                held.remove(&waiting.delivery.id);
            }
        }
        tracing::warn!(
            node,
            waiting = lost.len(),
            "this process gave no sign of life for longer than its lease; others have taken over what it had in hand"
        );
        self.due_at(self.clock.now());
        self.events.notify_one();
    }

    /// What is done with each sign of life, which was given at `asked`.
    async fn care(&self, beat: Beat, asked: Instant) {
        let known = self.ring().bits();
        // News of it may have been lost, or be of a time before this process.
        let mut is_known = *lock(&self.fleet.ring) == Some(beat.ring);
        if !is_known && self.follow_ring().await {
            *lock(&self.fleet.ring) = Some(beat.ring);
            is_known = true;
        }
        if is_known {
            self.fleet.heard(asked);
        }
        if let Err(error) = self.promote_keys(beat.common_keys).await {
            tracing::error!(%error, "a key that every process has could not be made the one that mints");
        }
        if self.ring().bits() != known {
            self.fleet.hurry();
        }
        let left_over = std::mem::take(&mut *lock(&self.fleet.left_over));
        for (destination, place) in left_over {
            leave_place(self, destination, place).await;
        }
        if self.stopping() {
            return;
        }
        self.take_over().await;
        self.look_for_work().await;
    }

    /// Takes over what dead processes left behind.
    async fn take_over(&self) {
        let now = self.clock.now();
        match self.store.recover(now, now + RECOVERY_LEASE).await {
            Ok(recovered) => {
                for settlement in self.uncertain(&recovered, now) {
                    self.settle(settlement).await;
                }
            }
            Err(error) => tracing::error!(%error, "what dead processes left behind could not be looked for"),
        }
    }

    /// Takes in what the outbox has, and asks for what is due.
    async fn look_for_work(&self) {
        loop {
            match self.store.take_outbox(self.clock.now()).await {
                Ok(0) => break,
                Ok(messages) => tracing::debug!(messages, "taken from the outbox"),
                Err(error) => {
                    tracing::error!(%error, "the outbox could not be read; trying again");
                    break;
                }
            }
        }
        self.due_at(self.clock.now());
    }

    /// What was in flight when a process died may have been accepted: exactly that is told as uncertain.
    pub(super) fn uncertain(&self, recovered: &Recovered, now: Timestamp) -> Vec<Settlement> {
        if !recovered.in_flight.is_empty() {
            tracing::warn!(
                deliveries = recovered.in_flight.len(),
                "were in flight when their process ended; their fate is uncertain"
            );
        }
        let settle = |delivery| uncertain_after_crash(delivery, &self.config.plan, now);
        recovered.in_flight.iter().map(settle).collect()
    }
}

/// One of the connections to a destination that all processes share. A store of one process counts them itself.
pub(super) struct Place<'a> {
    instance: &'a Arc<Instance>,
    destination: &'a str,
    number: Option<u32>,
}

impl<'a> Place<'a> {
    /// Takes one, if one is free.
    pub(super) async fn take(instance: &'a Arc<Instance>, destination: &'a str) -> Option<Place<'a>> {
        if !instance.fleet.is_shared() {
            return Some(Place { instance, destination, number: None });
        }
        let limit = lock(&instance.ready).connections_of_all();
        match instance.store.take_place(destination, limit).await {
            Ok(number) => number.map(|number| Place { instance, destination, number: Some(number) }),
            Err(error) => {
                tracing::error!(%error, destination, "no place for a connection could be asked for");
                None
            }
        }
    }

    /// Gives it back.
    pub(super) async fn leave(mut self) {
        if let Some(number) = self.number.take() {
            leave_place(self.instance, self.destination.to_owned(), number).await;
        }
    }
}

impl Drop for Place<'_> {
    /// The task ended before its time. Without a runtime the process ends, too, and its places are free.
    fn drop(&mut self) {
        if let (Some(number), Ok(runtime)) = (self.number.take(), tokio::runtime::Handle::try_current()) {
            let (instance, destination) = (self.instance.clone(), self.destination.to_owned());
            runtime.spawn(async move { leave_place(&instance, destination, number).await });
        }
    }
}

async fn leave_place(instance: &Instance, destination: String, place: u32) {
    if let Err(error) = instance.store.leave_place(&destination, place).await {
        tracing::debug!(%error, destination, "a place for a connection could not be given back; trying again");
        lock(&instance.fleet.left_over).push((destination, place));
    }
}

/// Until what was taken over is settled, which is the next thing that happens.
pub(super) const RECOVERY_LEASE: Duration = Duration::from_secs(60);
/// Doubles up to the interval of the signs of life.
const FIRST_RETRY: Duration = Duration::from_millis(250);

#[cfg(all(test, feature = "sqlite"))]
mod tests;
