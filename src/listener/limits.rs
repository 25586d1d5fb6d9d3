//! Limits of one conversation, each with its reason.

use std::time::Duration;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct ReceptionConfig {
    /// Our name in the greeting and in the answer to EHLO.
    pub(crate) hostname: String,
    /// The largest message, in octets.
    pub(crate) max_size: u64,
    /// How much of a message is kept for the analysis, from its start.
    pub(crate) keep: usize,
    pub(crate) max_recipients: usize,
    pub(crate) max_commands: u32,
    pub(crate) max_errors: u32,
    /// Refused recipients in one conversation; then 421.
    pub(crate) max_guesses: u32,
    /// For a whole command line.
    pub(crate) command_timeout: Duration,
    /// For a whole message.
    pub(crate) message_timeout: Duration,
    /// For the whole conversation.
    pub(crate) session_timeout: Duration,
    /// Whether STARTTLS is offered.
    pub(crate) starttls: bool,
}
