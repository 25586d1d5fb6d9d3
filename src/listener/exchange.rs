//! What each command does (RFC 5321 §4.1.1, in the order of §4.1.4).

use std::time::Instant;

use super::answer::{self, Answer};
use super::stage::{Stage, Transaction};
use super::{Admission, Reception, Recipient};
use crate::smtp::command::{Command, CommandFault};
use crate::smtp::data::DataReceiver;

impl Reception {
    /// Carries out a command.
    pub(super) fn obey(&mut self, command: Command<'_>, now: Instant) {
        match command {
            Command::Ehlo(name) => {
                self.hello(name);
                answer::extended_hello(&mut self.out, &self.config, self.tls);
            }
            Command::Helo(name) => {
                self.hello(name);
                answer::hello(&mut self.out, &self.config);
            }
            Command::Mail { from, size } => self.mail(from, size),
            Command::Rcpt { to } => self.rcpt(to),
            Command::Data => self.data(now),
            Command::Rset => {
                self.transaction = None;
                self.answer(Answer::Done);
            }
            Command::Noop => self.answer(Answer::Done),
            Command::Vrfy => self.answer(Answer::CannotVerify),
            Command::Help => self.answer(Answer::Help),
            Command::Quit => self.answer(Answer::Bye),
            Command::StartTls => self.start_tls(),
            Command::NotOffered => self.answer(Answer::NotOffered),
        }
    }

    /// Answers a line that is no command.
    pub(super) fn fault(&mut self, fault: CommandFault) {
        if fault == CommandFault::BadRecipient
            && let Some(transaction) = &mut self.transaction
        {
            transaction.refused = true;
        }
        self.answer(fault.into());
    }

    /// EHLO and HELO begin afresh (RFC 5321 §4.1.4).
    fn hello(&mut self, name: &str) {
        self.helo = Some(name.into());
        self.transaction = None;
    }

    /// Any sender is welcome: not all reports come from the null sender, and what people write to a return path does
    /// not either.
    fn mail(&mut self, from: &str, size: Option<u64>) {
        if self.helo.is_none() {
            self.answer(Answer::HelloFirst);
        } else if self.transaction.is_some() {
            self.answer(Answer::SecondMail);
        } else if size.is_some_and(|size| size > self.config.max_size) {
            self.answer(Answer::TooLarge);
        } else if self.gate.is_short_of_room() {
            self.answer(Answer::NoRoom);
        } else {
            self.transaction = Some(Transaction { from: from.into(), ..Transaction::default() });
            self.answer(Answer::SenderTaken);
        }
    }

    /// Asks the gate. A host that only calls to ask whether a sender exists ends here, and leaves no trace.
    fn rcpt(&mut self, to: &str) {
        let Some(transaction) = &mut self.transaction else {
            return self.answer(Answer::MailFirst);
        };
        if transaction.recipients.len() >= self.config.max_recipients {
            return self.answer(Answer::TooManyRecipients);
        }
        let recipient = match self.gate.admit(to) {
            Admission::Sealed(returned) => Recipient::Sealed(returned),
            Admission::Role(role) => Recipient::Role(role),
            Admission::NotYet => {
                transaction.refused = true;
                return self.answer(Answer::CannotTell);
            }
            Admission::Refused(cause) => {
                transaction.refused = true;
                tracing::debug!(peer = %self.peer, %cause, "recipient refused");
                self.guesses += 1;
                let enough = self.guesses > self.config.max_guesses;
                return self.answer(if enough { Answer::TooManyGuesses } else { Answer::NoSuchRecipient });
            }
        };
        if !transaction.recipients.contains(&recipient) {
            transaction.recipients.push(recipient);
        }
        self.answer(Answer::RecipientTaken);
    }

    fn data(&mut self, now: Instant) {
        match &self.transaction {
            None => self.answer(Answer::MailFirst),
            Some(transaction) if transaction.recipients.is_empty() => {
                // A pipelining client could not know: this is the answer that RFC 2920 §3.1 makes it wait for.
                self.answer(if transaction.refused { Answer::NoRecipients } else { Answer::RecipientFirst });
            }
            Some(_) => {
                self.answer(Answer::GoAhead);
                self.await_data(Stage::Data(DataReceiver::new(self.config.data())), now);
            }
        }
    }

    fn start_tls(&mut self) {
        if !self.config.starttls {
            self.answer(Answer::NotOffered);
        } else if self.tls {
            self.answer(Answer::SecondTls);
        } else {
            self.answer(Answer::ReadyForTls);
            self.stage = Stage::Securing;
        }
    }
}
