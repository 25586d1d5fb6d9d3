//! When the next attempt is made, when it is given up, and what waits where until then.
//!
//! Nothing here asks for the time or touches a socket: a week of retries runs in a test in milliseconds.

mod backoff;
mod conclude;
mod ready;
mod steady;

pub use backoff::UncertainPolicy;
pub(crate) use backoff::{Backoff, Plan};
pub(crate) use conclude::{Attempt, Seen, conclude, expired_unattempted, uncertain_after_crash};
pub(crate) use ready::{Ready, ReadyLimits, Waiting};
pub(crate) use steady::Steady;
