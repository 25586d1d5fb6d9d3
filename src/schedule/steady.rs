//! Notices when the clock was set, or the machine slept.

use std::time::{Duration, Instant};

use crate::time::Timestamp;

/// Since when the clock has run steadily: the start, or its last jump.
#[derive(Debug)]
pub(crate) struct Steady {
    since: Timestamp,
    /// What the two clocks showed at the last look.
    seen: (Timestamp, Instant),
}

impl Steady {
    pub(crate) fn new(now: Timestamp, instant: Instant) -> Steady {
        Steady { since: now, seen: (now, instant) }
    }

    /// Compares the clock with the monotonic one, which does not jump.
    pub(crate) fn look(&mut self, now: Timestamp, instant: Instant) -> Timestamp {
        let (before, then) = std::mem::replace(&mut self.seen, (now, instant));
        let expected = before + instant.saturating_duration_since(then);
        if now.since(expected).max(expected.since(now)) > CLOCK_JUMP {
            tracing::warn!(%expected, %now, "the clock jumped; nothing expires without another attempt");
            self.since = now;
        }
        self.since
    }
}

/// A clock that is off by more than this between two looks was set, or the machine slept.
const CLOCK_JUMP: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock::Clock;

    #[test]
    fn a_jump_is_told_from_time_that_passes() {
        const DAY: Duration = Duration::from_secs(86_400);
        let (start, instant) = (Timestamp::from_millis(1_700_000_000_000), Clock::system().instant());
        let mut steady = Steady::new(start, instant);
        assert_eq!(steady.look(start + DAY, instant + DAY), start, "a day without a look");
        let ahead = start + DAY * 7;
        assert_eq!(steady.look(ahead, instant + DAY), ahead);
        assert_eq!(steady.look(ahead + DAY, instant + DAY * 2), ahead);
        assert_eq!(steady.look(start, instant + DAY * 2), start, "set back");
    }
}
