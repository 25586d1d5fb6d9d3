//! The pipelined client (RFC 5321, RFC 2920).
//!
//! With PIPELINING the commands of a transaction go out in one write, and the commands of the next one in the write
//! that ends the body, so a message costs two round trips on its own and one in a row. Safety comes before that:
//!
//! - Every transaction but the first of a connection begins with RSET. A flight that rides with a dot cannot know
//!   whether that dot will be accepted, and in a flight RSET costs no round trip. It is sent also one command at a
//!   time, where it costs one: a host that keeps a refused transaction, or, against RFC 5321 §4.1.1.4, the recipients
//!   of an accepted one, would give one person's message to another.
//! - Once RSET or MAIL is refused, no body and no dot is sent for that flight: a remote host that asks for one (354)
//!   may have kept another transaction and would take the body for that. The connection is closed instead.
//! - A lone dot is sent only where MAIL was accepted, RCPT refused and the host says 354.
//! - A reply that nothing asked for, or of a kind that does not answer its command, means that replies and commands
//!   are out of step: nothing more is believed, the connection is closed. Before a dot such a reply stops the message.
//! - Only 2xx after the dot is success. Whatever happens between the dot and its reply leaves it open.
//!
//! The end of data is held back until [`Session::release`], so that the delivery can be made durable meanwhile.
//! This file has the state and what goes out; `hearing` has what comes in. Not done here: greeting, EHLO, STARTTLS
//! and AUTH, which mail-send speaks before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::flight::{Command, Flight, Step};
use super::{Ended, Stage, Transaction, envelope};
use crate::id::DeliveryId;
use crate::smtp::extensions::Extensions;
use crate::smtp::{Input, Machine, Output, Piece, Reply, ReplyParser};
use crate::verdict::Trouble;

/// Time limits and switches.
#[derive(Debug, Clone)]
pub(crate) struct SessionConfig {
    /// For a whole reply to a command.
    pub(crate) command_timeout: Duration,
    /// For the reply to DATA, and for each stretch of a body to be taken by the peer.
    pub(crate) data_timeout: Duration,
    /// For the reply to the end of data (RFC 5321 §4.5.3.2.6: ten minutes).
    pub(crate) end_of_data_timeout: Duration,
    /// For a whole transaction up to its end of data. From there on `end_of_data_timeout` counts alone: to give up
    /// then does not stop the message, it only makes it uncertain.
    pub(crate) transaction_timeout: Duration,
    /// Off: one command at a time, whatever is offered.
    pub(crate) pipelining: bool,
}

/// What the machine tells the shell.
#[derive(Debug)]
pub(crate) enum Action {
    /// A transaction ended.
    Done(DeliveryId, Ended),
    /// There is room for one more transaction. Told once; again after the next [`Session::offer`].
    Ready,
}

/// A conversation with one remote host. Whatever changes it takes the time, used or not, so that a time limit can be
/// added without a change to its callers.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) config: SessionConfig,
    offers: Extensions,
    pub(super) pipelining: bool,
    pub(super) parser: ReplyParser,
    /// The transactions in the conversation, in order. Only the first has a body under way; the second's envelope
    /// may be out once the first has ended its data.
    pub(super) flights: VecDeque<Flight>,
    /// The commands whose replies are due, in order. The first belongs to the first flight.
    pub(super) awaited: VecDeque<Command>,
    /// When the reply to the first of `awaited` must be whole.
    pub(super) reply_due: Option<Instant>,
    /// When the stretch of a body that is being written must have been taken.
    stretch_due: Option<Instant>,
    /// Whether an end of data was written and not yet taken.
    end_unflushed: bool,
    /// No transaction was begun on this connection.
    is_fresh: bool,
    pub(super) actions: VecDeque<Action>,
    ready_told: bool,
    quitting: bool,
    /// The conversation is over, for this reply or trouble.
    pub(super) over: Option<(Option<Reply>, Trouble)>,
}

impl Session {
    /// A conversation whose greeting, EHLO, STARTTLS and AUTH are done.
    pub(crate) fn new(config: SessionConfig, extensions: Extensions, _now: Instant) -> Session {
        Session {
            pipelining: config.pipelining && extensions.pipelining,
            config,
            offers: extensions,
            parser: ReplyParser::default(),
            flights: VecDeque::new(),
            awaited: VecDeque::new(),
            reply_due: None,
            stretch_due: None,
            end_unflushed: false,
            is_fresh: true,
            actions: VecDeque::new(),
            ready_told: false,
            quitting: false,
            over: None,
        }
    }

    /// Puts a transaction in. Its end of data is held back until [`Session::release`].
    ///
    /// It may come when the conversation has just ended, since the two cross: then it was not tried.
    pub(crate) fn offer(&mut self, transaction: Transaction, _now: Instant) {
        self.ready_told = false;
        let delivery = transaction.delivery;
        let ended = match (&self.over, envelope::check(&transaction, &self.offers)) {
            (Some((reply, trouble)), _) => Ended::NotTried(reply.clone(), trouble.clone()),
            _ if self.quitting => Ended::NotTried(None, Trouble::Closed),
            (None, Err(unsupported)) => Ended::Stopped(Stage::Mail, unsupported),
            (None, Ok(())) => return self.flights.push_back(Flight::new(transaction)),
        };
        self.actions.push_back(Action::Done(delivery, ended));
    }

    /// The delivery stands in the durable in-flight set: its end of data may go out.
    pub(crate) fn release(&mut self, delivery: DeliveryId, _now: Instant) {
        if let Some(flight) = self.flights.iter_mut().find(|flight| flight.transaction.delivery == delivery) {
            flight.released = true;
        }
    }

    /// The end of data of this delivery will not go out. What is in front of it comes to its end, then the
    /// conversation is over: closing is the only way to take a message back whose envelope is out.
    pub(crate) fn withdraw(&mut self, delivery: DeliveryId, _now: Instant) {
        if let Some(flight) = self.flights.iter_mut().find(|flight| flight.transaction.delivery == delivery) {
            flight.withdrawn = true;
        }
    }

    /// Why the conversation is over: the remote host's last word, if it had one, and what happened.
    pub(crate) fn ending(&self) -> Option<&(Option<Reply>, Trouble)> {
        self.over.as_ref()
    }

    /// No further transactions: QUIT when the last one has ended.
    pub(crate) fn quit(&mut self, _now: Instant) {
        self.quitting = true;
    }
}

impl Machine for Session {
    type Action = Action;

    fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Bytes(bytes) => self.hear(bytes, now),
            Input::Closed => self.give_up(None, Trouble::Closed),
            Input::Broken(why) => self.give_up(None, Trouble::Broken(why.into())),
            Input::Flushed => {
                self.stretch_due = None;
                if std::mem::take(&mut self.end_unflushed) && self.awaited.front() == Some(&Command::End) {
                    self.reply_due = Some(now + self.config.end_of_data_timeout);
                }
            }
            Input::Time => {
                if self.due().is_some_and(|due| due <= now) {
                    self.give_up(None, Trouble::TimedOut);
                }
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Output<Action> {
        if self.flights.front().is_some_and(|flight| flight.withdrawn) {
            self.give_up(None, Trouble::Closed);
        }
        if let Some(action) = self.actions.pop_front() {
            return Output::Act(action);
        }
        if self.over.is_some() {
            return Output::Close;
        }
        if !self.ready_told && !self.quitting && self.flights.len() < self.window() {
            self.ready_told = true;
            return Output::Act(Action::Ready);
        }
        let pieces = self.write(now);
        if pieces.is_empty() { Output::Wait(self.due()) } else { Output::Send(pieces) }
    }
}

/// What goes out.
impl Session {
    /// How many transactions are in the conversation: with PIPELINING one more, so that its flight can ride.
    fn window(&self) -> usize {
        if self.pipelining { 2 } else { 1 }
    }

    /// Everything that can go out now, as one write.
    fn write(&mut self, now: Instant) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let nothing_due = self.awaited.is_empty();
        let mut commands = String::new();
        match self.flights.front_mut() {
            None if self.quitting && nothing_due => {
                commands.push_str("QUIT\r\n");
                self.awaited.push_back(Command::Quit);
            }
            None => {}
            Some(flight) => {
                // A reply, or the start of one, that waits before the end of data: it must be read first.
                let is_hearing = self.parser.is_inside();
                match &mut flight.step {
                    Step::Waiting => {
                        flight.due = Some(now + self.config.transaction_timeout);
                        self.write_envelope(0, &mut commands);
                    }
                    Step::Envelope(_) => self.write_envelope(0, &mut commands),
                    Step::Body(body) if self.stretch_due.is_none() && !is_hearing => {
                        body.write_stretch(&mut pieces);
                        if body.is_written() && flight.released {
                            pieces.push(Piece::Bytes(body.end().to_vec()));
                            flight.step = Step::Ended;
                            self.awaited.push_back(Command::End);
                            self.end_unflushed = true;
                        } else if !pieces.is_empty() {
                            self.stretch_due = Some(now + self.config.data_timeout);
                        }
                    }
                    Step::LoneDot if !is_hearing => {
                        pieces.push(Piece::Bytes(b".\r\n".to_vec()));
                        flight.step = Step::Ended;
                        self.awaited.push_back(Command::LoneDot);
                    }
                    Step::Body(_) | Step::LoneDot | Step::Ended => {}
                }
            }
        }
        if self.pipelining
            && matches!(self.flights.front(), Some(Flight { step: Step::Ended, .. }))
            && matches!(self.flights.get(1), Some(Flight { step: Step::Waiting, withdrawn: false, .. }))
        {
            self.write_envelope(1, &mut commands);
        }
        if nothing_due {
            self.reply_due = self.awaited.front().map(|command| now + self.timeout(*command));
        }
        if !commands.is_empty() {
            pieces.push(Piece::Bytes(commands.into_bytes()));
        }
        pieces
    }

    /// Writes the commands of a flight that can go out now: with PIPELINING all, otherwise the next one.
    fn write_envelope(&mut self, index: usize, out: &mut String) {
        let Some(flight) = self.flights.get_mut(index) else { return };
        let mut next = match flight.step {
            Step::Waiting if self.is_fresh => Some(Command::Mail),
            Step::Waiting => Some(Command::Rset),
            Step::Envelope(next) => next,
            _ => None,
        };
        self.is_fresh = false;
        while let Some(command) = next {
            match command {
                Command::Mail => envelope::write_mail(&flight.transaction, &self.offers, out),
                Command::Rcpt => envelope::write_rcpt(&flight.transaction, &self.offers, out),
                Command::Data => out.push_str("DATA\r\n"),
                _ => out.push_str("RSET\r\n"),
            }
            self.awaited.push_back(command);
            next = command.following().filter(|_| self.pipelining);
        }
        flight.step = Step::Envelope(None);
    }

    pub(super) fn timeout(&self, command: Command) -> Duration {
        match command {
            Command::Rset | Command::Mail | Command::Rcpt => self.config.command_timeout,
            Command::Data | Command::LoneDot => self.config.data_timeout,
            Command::End => self.config.end_of_data_timeout,
            Command::Quit => self.config.command_timeout.min(QUIT_TIMEOUT),
        }
    }

    /// When the first of the time limits that run is up.
    fn due(&self) -> Option<Instant> {
        let transaction_due = match self.flights.front() {
            Some(Flight { step: Step::Ended, .. }) | None => None,
            Some(flight) => flight.due,
        };
        [self.reply_due, self.stretch_due, transaction_due].into_iter().flatten().min()
    }
}

/// For the reply to QUIT: everything is done by then, it is only polite to wait.
const QUIT_TIMEOUT: Duration = Duration::from_secs(10);
