//! A transaction in the conversation: which commands it takes, and how far it is.

use std::time::Instant;

use super::body::Body;
use super::{Stage, Transaction};

/// What a reply is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Rset,
    Mail,
    Rcpt,
    Data,
    /// The end of data after a body.
    End,
    /// The end of data of a message that was never begun, since it has no recipient.
    LoneDot,
    Quit,
}

impl Command {
    /// What follows in the envelope.
    pub(super) fn following(self) -> Option<Command> {
        match self {
            Command::Rset => Some(Command::Mail),
            Command::Mail => Some(Command::Rcpt),
            Command::Rcpt => Some(Command::Data),
            Command::Data | Command::End | Command::LoneDot | Command::Quit => None,
        }
    }

    /// As it is called in a text for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Command::Rset => "RSET",
            Command::Mail => "MAIL",
            Command::Rcpt => "RCPT",
            Command::Data => "DATA",
            Command::End => "the end of data",
            Command::LoneDot => "a lone dot",
            Command::Quit => "QUIT",
        }
    }

    pub(super) fn stage(self) -> Stage {
        match self {
            Command::Rset | Command::Mail => Stage::Mail,
            Command::Rcpt => Stage::Rcpt,
            Command::Data | Command::LoneDot => Stage::Data,
            Command::End | Command::Quit => Stage::EndOfData,
        }
    }
}

/// A transaction in the conversation.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) transaction: Transaction,
    pub(super) step: Step,
    pub(super) refused: Refused,
    /// Whether the shell was told how it ended. Its last replies may still be due.
    pub(super) told: bool,
    /// Whether its end of data may go out.
    pub(super) released: bool,
    /// Whether its end of data will never go out.
    pub(super) withdrawn: bool,
    /// When the time for the whole transaction is up; it runs from the first command, or from the end of the
    /// transaction before it.
    pub(super) due: Option<Instant>,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing of it was sent.
    Waiting,
    /// Its commands go out, its replies come in; this command is the next to be sent.
    Envelope(Option<Command>),
    /// The body goes out.
    Body(Body),
    /// A lone dot is to be sent.
    LoneDot,
    /// The end of data, or the lone dot, went out.
    Ended,
}

/// What of its envelope was refused. The body is sent only if nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Nothing,
    /// The remote host does not have this transaction, or, worse, has another one.
    Mail,
    /// The remote host has a transaction without a recipient.
    Rcpt,
}

impl Flight {
    pub(super) fn new(transaction: Transaction) -> Flight {
        Flight {
            transaction,
            step: Step::Waiting,
            refused: Refused::Nothing,
            told: false,
            released: false,
            withdrawn: false,
            due: None,
        }
    }
}
