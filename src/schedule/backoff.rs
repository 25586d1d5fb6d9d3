//! How long to wait between attempts, and when to stop (RFC 5321 §4.5.4.1).

use std::time::Duration;

use crate::id::DeliveryId;
use crate::store::Stream;
use crate::time::Timestamp;
use crate::verdict::LiveRules;

/// The waits between the attempts of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backoff {
    /// From `first` doubling up to `longest`, each with a jitter of up to a fifth either way, so that messages
    /// refused together do not come back together.
    Growing { first: Duration, longest: Duration },
    /// Exactly these, without jitter; the last one repeats.
    Fixed(Vec<Duration>),
}

impl Backoff {
    /// The wait after attempt number `attempts` (the first attempt is 1). The jitter is a function of the delivery
    /// and the attempt: the same plan gives the same times.
    pub(crate) fn wait(&self, attempts: u32, delivery: DeliveryId) -> Duration {
        match self {
            Backoff::Fixed(waits) => {
                let index = (attempts.max(1) as usize - 1).min(waits.len().saturating_sub(1));
                waits.get(index).copied().unwrap_or(FIRST_WAIT)
            }
            Backoff::Growing { first, longest } => {
                let wait = first.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(*longest);
                // 801 to 1,200 thousandths of the wait.
                let parts = 801 + scatter(delivery.as_u64() ^ (u64::from(attempts) << 56)) % 400;
                wait.saturating_mul(parts as u32) / 1000
            }
        }
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::Growing { first: FIRST_WAIT, longest: LONGEST_WAIT }
    }
}

/// What is done with a delivery whose fate is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UncertainPolicy {
    /// One more attempt, not before this time; it may deliver the message twice. After a second lost reply the
    /// delivery fails with reason `expired`.
    RetryAfter(Duration),
    /// No further attempt: the delivery ends as uncertain.
    Hold,
}

impl Default for UncertainPolicy {
    /// One more attempt, not before 30 minutes: a host that took the message has filed it by then, and its
    /// duplicate suppression, if it has one, still knows the Message-ID.
    fn default() -> UncertainPolicy {
        UncertainPolicy::RetryAfter(UNCERTAIN_WAIT)
    }
}

/// All that decides about times.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) backoff: Backoff,
    /// Given up after this time, for [`Stream::Transactional`].
    pub(crate) give_up: Duration,
    /// Given up after this time, for [`Stream::Bulk`].
    pub(crate) give_up_bulk: Duration,
    /// Ages at which a delay is told, rising.
    pub(crate) delay_after: Vec<Duration>,
    pub(crate) uncertain: UncertainPolicy,
    /// What replies mean; can be exchanged while the plan is followed.
    pub(crate) rules: LiveRules,
}

impl Plan {
    /// When a message that is queued at `now` is given up.
    pub(crate) fn expires(&self, stream: Stream, deadline: Option<Duration>, now: Timestamp) -> Timestamp {
        let longest = match stream {
            Stream::Bulk => self.give_up_bulk,
            Stream::Transactional => self.give_up,
        };
        now + deadline.map_or(longest, |deadline| deadline.min(longest))
    }
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            backoff: Backoff::default(),
            give_up: GIVE_UP_AFTER,
            give_up_bulk: GIVE_UP_BULK_AFTER,
            delay_after: vec![DELAY_AFTER],
            uncertain: UncertainPolicy::default(),
            rules: LiveRules::default(),
        }
    }
}

/// Spreads a number over 64 bits (the finaliser of SplitMix64).
fn scatter(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 5 minutes: a greylist lets a second try in after that, and RFC 5321 §4.5.4.1 asks for at least 30 minutes only
/// in general; two tries in the first hour are what it advises.
const FIRST_WAIT: Duration = Duration::from_secs(5 * 60);
/// 4 hours: six tries a day to a host that is down.
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 3600);
/// 5 days: "the give-up time generally needs to be at least 4-5 days" (RFC 5321 §4.5.4.1).
const GIVE_UP_AFTER: Duration = Duration::from_secs(5 * 86_400);
/// 2 days: a newsletter is old news then, and its queue would hold up the next one.
const GIVE_UP_BULK_AFTER: Duration = Duration::from_secs(2 * 86_400);
/// 4 hours: the age at which mail systems customarily warn.
const DELAY_AFTER: Duration = Duration::from_secs(4 * 3600);
/// 30 minutes; see [`UncertainPolicy`].
const UNCERTAIN_WAIT: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_four_hours_and_scatter() {
        let backoff = Backoff::default();
        let wait = |attempts, id| backoff.wait(attempts, DeliveryId::from_u64(id)).as_secs();
        assert!((240..=360).contains(&wait(1, 7)));
        assert!((480..=720).contains(&wait(2, 7)));
        assert!((11_520..=17_280).contains(&wait(40, 7)));
        let spread: std::collections::HashSet<u64> = (0..100).map(|id| wait(1, id)).collect();
        assert!(spread.len() > 50, "messages refused together come back apart");
        assert_eq!(wait(3, 9), wait(3, 9), "the same plan gives the same times");
    }

    #[test]
    fn fixed_waits_have_no_jitter_and_the_last_repeats() {
        let backoff = Backoff::Fixed([1, 2, 5].map(Duration::from_secs).to_vec());
        let waits: Vec<u64> = (1..=5).map(|n| backoff.wait(n, DeliveryId::from_u64(1)).as_secs()).collect();
        assert_eq!(waits, [1, 2, 5, 5, 5]);
    }

    #[test]
    fn bulk_mail_is_given_up_sooner_and_a_deadline_only_shortens() {
        let plan = Plan::default();
        let hours = |stream, deadline| {
            plan.expires(stream, deadline, Timestamp::EPOCH).since(Timestamp::EPOCH).as_secs() / 3600
        };
        assert_eq!(hours(Stream::Transactional, None), 120);
        assert_eq!(hours(Stream::Bulk, None), 48);
        assert_eq!(hours(Stream::Bulk, Some(Duration::from_secs(7200))), 2);
        assert_eq!(hours(Stream::Bulk, Some(Duration::from_secs(86_400 * 30))), 48);
    }
}
