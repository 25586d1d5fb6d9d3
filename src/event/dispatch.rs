//! Hands stored events to the handler until it says `Ok`.
//!
//! One loop owns all state and never waits for anything but "something ended": calls of the handler, reads and writes
//! of the store are tasks of one set. So a handler that is slow, hangs or panics, and a store that fails, hold up
//! nothing but what depends on them.
//!
//! ```text
//! store ──read──► ready ──batch──► call ──Ok────────────────► answers ──write──► store
//!                   alone ◄─(batch failed)─┘ └─Err, one event──► answers (again, dead)
//! ```
//!
//! The store gives out at most one event of each delivery, and none whose delivery has an event here (`busy`): that
//! keeps the order. An event is here from the read until its answer is written, so nothing is called twice at a time.
//! Whatever is here when the process dies is still pending in the store.

mod desk;
mod refusal;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::desk::Desk;
use super::FailureHandler;
use crate::net::clock::Clock;
use crate::store::Store;
use crate::time::Timestamp;

/// Waits and limits.
#[derive(Debug, Clone)]
pub(crate) struct DispatchConfig {
    /// For one call.
    pub(crate) time_limit: Duration,
    /// Between tries: the first wait; it doubles up to `max_wait`.
    pub(crate) first_wait: Duration,
    pub(crate) max_wait: Duration,
    /// Tries before the dead letters.
    pub(crate) max_attempts: u32,
}

impl Default for DispatchConfig {
    /// 84 tries over three days: a database that goes away on Friday evening and comes back on Monday loses nothing.
    /// A minute is far more than a handler needs that writes to a database, and short enough that a call that hangs
    /// does not hold up its delivery for long.
    fn default() -> DispatchConfig {
        DispatchConfig {
            time_limit: Duration::from_secs(60),
            first_wait: Duration::from_secs(1),
            max_wait: Duration::from_secs(60 * 60),
            max_attempts: 84,
        }
    }
}

impl DispatchConfig {
    /// The wait after this many tries have failed.
    fn wait_after(&self, attempts: u32) -> Duration {
        self.first_wait.saturating_mul(1 << attempts.saturating_sub(1).min(30)).min(self.max_wait)
    }
}

/// See the module.
pub(crate) struct Dispatcher {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) handler: Arc<dyn FailureHandler>,
    pub(crate) clock: Clock,
    pub(crate) config: DispatchConfig,
    /// Notified when events were stored.
    pub(crate) wake: Arc<Notify>,
}

impl Dispatcher {
    /// Runs until `stop` says true (or its sender is gone), then lets the calls that run come to their end and writes
    /// their answers. Dropping the future stops everything at once, as a crash would.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let (wake, clock) = (Arc::clone(&self.wake), self.clock.clone());
        let mut desk = Desk::new(self);
        // Made before the store is read, so that no notification falls between the read and the wait.
        let stored = wake.notified();
        tokio::pin!(stored);
        while !desk.is_done() {
            desk.start_work();
            tokio::select! {
                Some(ended) = desk.tasks.join_next_with_id() => desk.ended(ended),
                () = &mut stored, if !desk.stopping => {
                    stored.set(wake.notified());
                    desk.unread = true;
                }
                () = reached(&clock, desk.next_due), if !desk.stopping => {
                    desk.next_due = None;
                    desk.unread = true;
                }
                () = rested(desk.reads.until) => desk.reads.until = None,
                () = rested(desk.writes.until) => desk.writes.until = None,
                () = said(&mut stop), if !desk.stopping => desk.stop(),
            }
        }
    }
}

/// Waits until the clock shows the time; for ever without one.
async fn reached(clock: &Clock, time: Option<Timestamp>) {
    match time {
        Some(time) => clock.sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits until the rest is over; for ever without one.
async fn rested(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Waits until `stop` says true or nobody can say it any more.
async fn said(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests;
