//! The gate at RCPT.

use crate::return_path::{Refusal, Returned};

/// Decides who may be written to.
pub(crate) trait Gate: Send + Sync + 'static {
    /// `path` as it stood between the angle brackets of RCPT TO; a source route is cut off, `Postmaster` may stand alone.
    fn admit(&self, path: &str) -> Admission;

    /// Whether nothing could be stored now: told at MAIL, before anything is sent in vain.
    fn is_short_of_room(&self) -> bool {
        false
    }
}

/// The gate's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A return path of ours: 250.
    Sealed(Returned),
    /// A role address: 250.
    Role(Role),
    /// It cannot be told now: 451.
    NotYet,
    /// 550, with this cause for the counters; the peer is not told which.
    Refused(Refusal),
}

/// A role address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Postmaster,
    Abuse,
    /// The address for feedback loops.
    Feedback,
}
