//! The machine: what goes in, what comes out, and when.
//!
//! Replies are gathered while input lasts and go out in one write (RFC 2920 §3.2). However the input is cut, the
//! dialogue is the same. What each command does is in [`super::exchange`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::answer::{self, Answer, Effect};
use super::limits::{EarlyTalk, MAX_AHEAD, MAX_UNREAD};
use super::stage::{Stage, Transaction};
use super::{Action, Gate, Received, ReceptionConfig};
use crate::smtp::command::Command;
use crate::smtp::data::{Data, Taken};
use crate::smtp::line::LineFramer;
use crate::smtp::{Input, Machine, Output, Piece};

/// The server's half of one conversation.
pub(crate) struct Reception {
    pub(super) config: Arc<ReceptionConfig>,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) peer: SocketAddr,
    pub(super) tls: bool,

    pub(super) stage: Stage,
    /// The name in EHLO or HELO.
    pub(super) helo: Option<String>,
    pub(super) transaction: Option<Transaction>,
    framer: LineFramer,
    /// Input that has to wait: for the shell to store a message, or for the peer to read our replies.
    ahead: Vec<u8>,
    /// More was sent ahead than [`MAX_AHEAD`]; from there on it is lost.
    lost: bool,

    /// Replies that were not given out yet.
    pub(super) out: Vec<u8>,
    /// Octets of replies that were given out and are not flushed.
    unread: usize,
    action: Option<Action>,
    greeted: bool,
    stopping: bool,
    /// The peer sends nothing more.
    silent: bool,

    commands: u32,
    errors: u32,
    pub(super) guesses: u32,

    /// When the command line or the message that is awaited must be whole.
    due: Instant,
    session_due: Instant,
}

impl Reception {
    /// A new conversation. The first output is the greeting.
    pub(crate) fn new(
        config: Arc<ReceptionConfig>,
        gate: Arc<dyn Gate>,
        peer: SocketAddr,
        tls: bool,
        now: Instant,
    ) -> Reception {
        let mut out = Vec::new();
        answer::greeting(&mut out, &config);
        Reception {
            due: now + config.command_timeout,
            session_due: now + config.session_timeout,
            config,
            gate,
            peer,
            tls,
            stage: Stage::Commands,
            helo: None,
            transaction: None,
            framer: LineFramer::default(),
            ahead: Vec::new(),
            lost: false,
            out,
            unread: 0,
            action: None,
            greeted: false,
            stopping: false,
            silent: false,
            commands: 0,
            errors: 0,
            guesses: 0,
        }
    }

    /// TLS is up: everything heard before is forgotten (RFC 3207 §4.2), but for what counts against the peer.
    pub(crate) fn secured(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Securing) {
            return;
        }
        self.tls = true;
        self.helo = None;
        self.transaction = None;
        self.framer = LineFramer::default();
        self.ahead = Vec::new();
        self.lost = false;
        self.await_command(now);
        self.settle(now);
    }

    /// Whether the message is durable: 250, or 451 4.3.0, or (disk full) 452 4.3.1.
    pub(crate) fn stored(&mut self, result: Result<(), bool>, now: Instant) {
        if !matches!(self.stage, Stage::Storing) {
            return;
        }
        self.await_command(now);
        self.answer(match result {
            Ok(()) => Answer::Stored,
            Err(false) => Answer::NotStored,
            Err(true) => Answer::NoRoom,
        });
        self.settle(now);
    }

    /// The instance is shutting down: 421 before the next command. A message that is on its way is received, stored
    /// and answered first.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.settle(now);
    }

    /// Says something; the stage and the counters follow.
    pub(super) fn answer(&mut self, answer: Answer) {
        let (mut effect, mut line) = answer.row();
        if effect == Effect::Error {
            self.errors += 1;
            if self.errors > self.config.max_errors {
                (effect, line) = Answer::TooManyErrors.row();
            }
        }
        self.out.extend_from_slice(line.as_bytes());
        if effect == Effect::Last {
            self.finish();
        }
    }

    /// Waits for a message, from now on.
    pub(super) fn await_data(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.due = now + self.config.message_timeout;
    }

    /// Waits for a command, from now on.
    fn await_command(&mut self, now: Instant) {
        self.stage = Stage::Commands;
        self.due = now + self.config.command_timeout;
    }

    /// The conversation is over; what is to be said has been said.
    fn finish(&mut self) {
        self.stage = Stage::Over;
        self.transaction = None;
        self.ahead = Vec::new();
    }

    /// Whether the next input can be looked at.
    fn is_ready(&self) -> bool {
        self.unread + self.out.len() <= MAX_UNREAD && matches!(self.stage, Stage::Commands | Stage::Data(_))
    }

    /// Takes new input, behind what waits already.
    fn hear(&mut self, input: &[u8], now: Instant) {
        if !self.greeted && self.config.early_talk == EarlyTalk::Refuse {
            if !matches!(self.stage, Stage::Over) {
                self.answer(Answer::TalksTooEarly);
            }
        } else if self.is_ready() && self.ahead.is_empty() {
            self.work(input, now);
        } else {
            self.put_ahead(input);
        }
    }

    /// Works through input until it is used up or the next octet has to wait.
    fn work(&mut self, mut input: &[u8], now: Instant) {
        while !input.is_empty() {
            if !self.is_ready() {
                return self.put_ahead(input);
            }
            match &mut self.stage {
                Stage::Commands => {
                    // Out of `self` for as long as the line is borrowed from it.
                    let mut framer = std::mem::take(&mut self.framer);
                    match framer.next(&mut input) {
                        None => {}
                        Some(Ok(line)) => self.hear_line(line, now),
                        Some(Err(fault)) => self.answer(fault.into()),
                    }
                    self.framer = framer;
                }
                Stage::Data(receiver) => match receiver.take(input) {
                    Taken::More => return,
                    Taken::End(used) => {
                        self.end_data(now);
                        input = input.get(used..).unwrap_or_default();
                    }
                    Taken::Endless => {
                        // 421 would make an honest peer try the same message again for days.
                        self.answer(Answer::TooLarge);
                        self.finish();
                    }
                },
                Stage::Storing | Stage::Securing | Stage::Over => return,
            }
        }
    }

    fn hear_line(&mut self, line: &[u8], now: Instant) {
        self.await_command(now);
        self.commands += 1;
        if self.stopping {
            self.answer(Answer::Stopping);
        } else if self.commands > self.config.max_commands {
            self.answer(Answer::TooManyCommands);
        } else {
            match Command::parse(line) {
                Ok(command) => self.obey(command, now),
                Err(fault) => self.fault(fault),
            }
        }
    }

    /// The message has been read to its end.
    fn end_data(&mut self, now: Instant) {
        let transaction = self.transaction.take().unwrap_or_default();
        let Stage::Data(receiver) = std::mem::replace(&mut self.stage, Stage::Storing) else {
            return;
        };
        match receiver.finish() {
            Ok(Data { kept, size }) => {
                self.action = Some(Action::Store(Received {
                    mail_from: transaction.from,
                    helo: self.helo.clone().unwrap_or_default(),
                    recipients: transaction.recipients,
                    data: kept,
                    size,
                }));
            }
            Err(fault) => {
                self.await_command(now);
                self.answer(fault.into());
            }
        }
    }

    /// Keeps input for later, within bounds. It is never worked on with a gap in it.
    fn put_ahead(&mut self, input: &[u8]) {
        if matches!(self.stage, Stage::Securing | Stage::Over) || self.lost {
            return;
        }
        let room = MAX_AHEAD - self.ahead.len();
        self.lost = input.len() > room;
        self.ahead.extend_from_slice(&input[..input.len().min(room)]);
    }

    /// After anything that happened: works on what waited, and ends what has to end.
    fn settle(&mut self, now: Instant) {
        while self.is_ready() && !self.ahead.is_empty() && !(self.stopping && matches!(self.stage, Stage::Commands)) {
            let ahead = std::mem::take(&mut self.ahead);
            self.work(&ahead, now);
        }
        match self.stage {
            Stage::Commands if self.stopping => self.answer(Answer::Stopping),
            Stage::Commands | Stage::Data(_) if now >= self.until() => self.answer(Answer::TimedOut),
            Stage::Commands | Stage::Data(_) if self.ahead.is_empty() => {
                if self.lost {
                    self.answer(Answer::TooMuchAhead);
                } else if self.silent {
                    self.finish();
                }
            }
            Stage::Securing if now >= self.until() || self.silent => self.finish(),
            _ => {}
        }
    }

    /// The nearest deadline.
    fn until(&self) -> Instant {
        self.due.min(self.session_due)
    }
}

impl Machine for Reception {
    type Action = Action;

    fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Bytes(bytes) => self.hear(bytes, now),
            // A peer may close its side and still read: what it sent before is answered.
            Input::Closed => self.silent = true,
            Input::Broken(_) => {
                self.out = Vec::new();
                self.action = None;
                self.finish();
            }
            Input::Flushed => {
                self.greeted = true;
                self.unread = 0;
                if matches!(self.stage, Stage::Securing) && self.out.is_empty() {
                    self.action = Some(Action::StartTls);
                }
            }
            Input::Time => {}
        }
        // Octets that came in time are looked at first; whoever has not finished by then is late, however busy.
        self.settle(now);
    }

    fn poll(&mut self, _: Instant) -> Output<Action> {
        if !self.out.is_empty() {
            self.unread += self.out.len();
            return Output::Send(vec![Piece::Bytes(std::mem::take(&mut self.out))]);
        }
        if let Some(action) = self.action.take() {
            return Output::Act(action);
        }
        match self.stage {
            Stage::Over => Output::Close,
            // The shell is at work, and will say when it is done.
            Stage::Storing => Output::Wait(None),
            _ => Output::Wait(Some(self.until())),
        }
    }

    /// Once the peer has its 220, what it says is a handshake.
    fn hears(&self) -> bool {
        !(matches!(self.stage, Stage::Securing) && self.action.is_some())
    }
}
