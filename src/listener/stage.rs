//! Where a conversation stands, and what has been heard so far.

use super::Role;
use crate::return_path::Returned;
use crate::smtp::data::DataReceiver;

/// What the next octet from the peer is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Part of a command.
    Commands,
    /// Part of a message.
    Data(DataReceiver),
    /// Sent ahead: it waits until the shell has stored a message.
    Storing,
    /// Thrown away: it was sent behind STARTTLS without TLS, by the peer or by somebody between us (RFC 3207 §5).
    Securing,
    /// Thrown away: the conversation is over.
    Over,
}

/// The envelope between MAIL and the end of data.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) from: String,
    pub(super) recipients: Vec<Recipient>,
    /// Whether a recipient was named and not accepted.
    pub(super) refused: bool,
}

/// One accepted recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipient {
    Sealed(Returned),
    Role(Role),
}

/// A message that was received to its end; the peer waits for [`Reception::stored`](super::Reception::stored).
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// As given in MAIL FROM; empty for the null sender.
    pub(crate) mail_from: String,
    /// As given in EHLO or HELO.
    pub(crate) helo: String,
    /// Each once, in the order of their first RCPT; never empty.
    pub(crate) recipients: Vec<Recipient>,
    /// The message from its start, cut at `keep`.
    pub(crate) data: Vec<u8>,
    /// Its whole size.
    pub(crate) size: u64,
}

/// What the machine tells the shell.
#[derive(Debug)]
pub(crate) enum Action {
    /// Everything before is flushed: start TLS, then call [`Reception::secured`](super::Reception::secured).
    StartTls,
    /// Store this, then call [`Reception::stored`](super::Reception::stored).
    Store(Received),
}
