//! The one clock: everything else takes the time as an argument.

#![allow(clippy::disallowed_methods, reason = "this is the place that the rule points to")]

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;

use crate::time::Timestamp;

/// Where a [`Mailer`](crate::Mailer) takes the time from: the system, or in tests a clock that is set by hand.
///
/// Schedules, retention and ids follow it. The deadlines of one conversation follow the monotonic clock of the
/// operating system, which tests steer with tokio's paused time.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The clock of the operating system.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at `start` until it is advanced.
    #[cfg(any(test, feature = "testing"))]
    pub fn manual(start: Timestamp) -> Clock {
        Clock(Source::Manual(Arc::new(watch::Sender::new(start))))
    }

    /// Sets a manual clock; whatever waits for an earlier time wakes up. Does nothing to the system clock.
    #[cfg(any(test, feature = "testing"))]
    pub fn set(&self, time: Timestamp) {
        if let Source::Manual(time_now) = &self.0 {
            time_now.send_replace(time);
        }
    }

    /// Moves a manual clock forward by `step`.
    #[cfg(any(test, feature = "testing"))]
    pub fn advance(&self, step: std::time::Duration) {
        self.set(self.now() + step);
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => SystemTime::now().into(),
            Source::Manual(time) => *time.borrow(),
        }
    }

    /// The monotonic time for the deadlines of a conversation.
    pub(crate) fn instant(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Waits until the clock shows `time`. Under the system clock it looks again at least once a minute, so that a
    /// clock that is set does not make it oversleep.
    pub(crate) async fn sleep_until(&self, time: Timestamp) {
        match &self.0 {
            Source::System => {
                while let wait = time.since(self.now())
                    && !wait.is_zero()
                {
                    tokio::time::sleep(wait.min(std::time::Duration::from_secs(60))).await;
                }
            }
            Source::Manual(now) => {
                // The sender is kept alive by `self`.
                let _ = now.subscribe().wait_for(|now| *now >= time).await;
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Clock::system",
            Source::Manual(_) => "Clock::manual",
        })
    }
}
