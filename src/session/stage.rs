//! Where in a conversation something happened, and what that means for the message.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stage of an attempt at which something happened. Its `Display` says what it means for the message.
///
/// ```
/// use returnpath::Stage;
///
/// assert_eq!(Stage::EndOfData.name(), "end_of_data");
/// assert_eq!(
///     Stage::EndOfData.to_string(),
///     "waiting for the reply to the end of data; the message may already have been accepted"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Looking up the recipient domain's mail exchangers.
    Dns,
    /// Opening the connection.
    Connect,
    /// Waiting for the greeting.
    Banner,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS and the handshake.
    Starttls,
    /// AUTH.
    Auth,
    /// MAIL FROM, or the RSET in front of it.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, before the body.
    Data,
    /// Sending the body.
    Body,
    /// From the first octet of the end of data until its reply was read.
    EndOfData,
}

impl Stage {
    /// The stage as one word, as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Dns => "dns",
            Stage::Connect => "connect",
            Stage::Banner => "banner",
            Stage::Ehlo => "ehlo",
            Stage::Starttls => "starttls",
            Stage::Auth => "auth",
            Stage::Mail => "mail",
            Stage::Rcpt => "rcpt",
            Stage::Data => "data",
            Stage::Body => "body",
            Stage::EndOfData => "end_of_data",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Dns => "looking up the mail exchangers of the recipient's domain",
            Stage::Connect => "connecting to the remote host",
            Stage::Banner => "waiting for the greeting of the remote host",
            Stage::Ehlo => "introducing ourselves with EHLO",
            Stage::Starttls => "negotiating TLS with STARTTLS",
            Stage::Auth => "authenticating with AUTH",
            Stage::Mail => "giving the return path with MAIL FROM",
            Stage::Rcpt => "giving the recipient with RCPT TO",
            Stage::Data => "asking to send the message with DATA",
            Stage::Body => "sending the message; its end has not gone out, so it was not accepted",
            Stage::EndOfData => "waiting for the reply to the end of data; the message may already have been accepted",
        })
    }
}
