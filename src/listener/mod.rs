//! The server's half of an SMTP conversation (RFC 5321), without sockets: takes what comes back.
//!
//! [`Reception`] greets, answers commands, asks the [`Gate`] at RCPT, reads messages to their end, and has them stored
//! before it says 250. It speaks PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531),
//! STARTTLS (RFC 3207) and ENHANCEDSTATUSCODES (RFC 2034). It never sends a report of its own: what it has not refused
//! within the conversation, it has taken.
//!
//! Sockets, TLS, the number of connections and the store are for the shell ([`crate::net`]); what a message means is
//! for [`crate::analysis`].

mod admit;
mod answer;
mod exchange;
mod limits;
mod reception;
mod stage;
#[cfg(test)]
mod tests;

pub(crate) use admit::{Admission, Gate, Role};
pub(crate) use limits::ReceptionConfig;
pub(crate) use reception::Reception;
pub(crate) use stage::{Action, Received, Recipient};
