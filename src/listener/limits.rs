//! Limits of one conversation, each with its reason.
//!
//! A listener stands open to the world and remembers strangers for as long as they keep a connection: whatever a peer
//! can make longer, larger or more numerous has an end here. How many connections there may be at once is for the
//! shell to say ([`crate::net`]).

use std::time::Duration;

use crate::smtp::data::DataLimits;

/// What one conversation may use; by default as each field says.
#[derive(Debug, Clone)]
pub(crate) struct ReceptionConfig {
    /// Our name in the greeting and in the answer to EHLO. Checked by whoever took it from the user: it goes out as
    /// it is. Default `localhost`, which tells a peer nothing wrong.
    pub(crate) hostname: String,
    /// The largest message, in octets; offered as SIZE. Default 64 MiB: a report may carry the whole original, and
    /// large providers let messages of 50 MB and more through. It costs time, not memory; see `keep`.
    pub(crate) max_size: u64,
    /// How much of a message is kept for the analysis, in octets from its start. Default 256 KiB: what a report says
    /// comes before the original that it returns. This is the memory that a connection can take.
    pub(crate) keep: usize,
    /// Accepted recipients of one message. Default 100, the least that RFC 5321 §4.5.3.1.8 allows.
    pub(crate) max_recipients: usize,
    /// Command lines of one conversation; then 421, and an honest peer comes back. Default 5,000: a thousand reports in
    /// a row.
    pub(crate) max_commands: u32,
    /// Commands that were not understood, or came at the wrong time; then 421. Default 10: a host that tries an
    /// extension or two stays far below, a program that does not speak SMTP does not.
    pub(crate) max_errors: u32,
    /// Refused recipients in one conversation; then 421. Default 20: guessing seals is hopeless at any rate, but should
    /// not be cheap.
    pub(crate) max_guesses: u32,
    /// For a whole command line, from the reply before it. Default 5 minutes (RFC 5321 §4.5.3.2.7). It does not start
    /// again with each octet.
    pub(crate) command_timeout: Duration,
    /// For a whole message, from the reply to DATA. Default 10 minutes: a message of the largest size at about
    /// 100 kB/s, and three times what RFC 5321 §4.5.3.2.5 gives to one block.
    pub(crate) message_timeout: Duration,
    /// For the whole conversation. Default 1 hour. A message that is being stored is still answered.
    pub(crate) session_timeout: Duration,
    /// Whether STARTTLS is offered. Default no: it needs a certificate.
    pub(crate) starttls: bool,
    /// What happens to a peer that talks before it has been greeted.
    pub(crate) early_talk: EarlyTalk,
}

/// What happens to a peer whose first bytes come before our greeting went out (RFC 5321 §3.1 makes it wait).
///
/// The greeting is not delayed to catch such peers. In both cases each of its commands gets its own reply, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum EarlyTalk {
    /// 554 after the greeting, and the end: no mail host does this, but programs that only write.
    #[default]
    Refuse,
    /// Its commands are answered after the greeting.
    #[allow(dead_code, reason = "the switch for peers that are known to be hasty")]
    Tolerate,
}

impl ReceptionConfig {
    /// The limits of one message. It is read to its end at twice the largest size: a message that may be taken is never
    /// cut off, though every line of it have an added dot, and an honest peer whose message is somewhat too large
    /// learns that it is, instead of finding the connection broken and trying for days.
    pub(super) fn data(&self) -> DataLimits {
        let read = self.max_size.saturating_mul(2).saturating_add(READ_ALLOWANCE);
        DataLimits { size: self.max_size, keep: self.keep, read }
    }
}

impl Default for ReceptionConfig {
    fn default() -> ReceptionConfig {
        ReceptionConfig {
            hostname: "localhost".into(),
            max_size: 64 * 1024 * 1024,
            keep: 256 * 1024,
            max_recipients: 100,
            max_commands: 5_000,
            max_errors: 10,
            max_guesses: 20,
            command_timeout: Duration::from_secs(5 * 60),
            message_timeout: Duration::from_secs(10 * 60),
            session_timeout: Duration::from_secs(60 * 60),
            starttls: false,
            early_talk: EarlyTalk::default(),
        }
    }
}

/// What is read of a message beyond twice the largest size, in octets, so that a small limit works like a large one.
const READ_ALLOWANCE: u64 = 64 * 1024;

/// What a peer may send ahead while it has to wait for us, in octets. RFC 2920 §3.1 lets it send the next envelope, up
/// to DATA, behind the end of a message: a hundred recipients of 300 octets are 30 kB.
pub(super) const MAX_AHEAD: usize = 64 * 1024;

/// How many octets of replies may wait for a peer that does not read them before its commands wait too.
pub(super) const MAX_UNREAD: usize = 64 * 1024;
