//! What each reply means for its transaction, and how everything ends when the conversation does.

use std::time::Instant;

use super::body::Body;
use super::flight::{Command, Refused, Step};
use super::pipeline::{Action, Session};
use super::{Ended, Stage};
use crate::smtp::Reply;
use crate::verdict::Trouble;

impl Session {
    /// Takes bytes from the remote host.
    pub(super) fn hear(&mut self, mut bytes: &[u8], now: Instant) {
        while self.over.is_none() {
            match self.parser.next(&mut bytes) {
                Ok(Some(reply)) => self.take_reply(reply, now),
                Ok(None) => return,
                Err(error) => self.give_up(None, Trouble::OutOfStep(error.to_string())),
            }
        }
    }

    fn take_reply(&mut self, reply: Reply, now: Instant) {
        let Some(command) = self.awaited.front().copied() else {
            return self.take_unasked(reply);
        };
        if says_goodbye(&reply, command) {
            return self.take_goodbye(reply);
        }
        self.awaited.pop_front();
        self.reply_due = self.awaited.front().map(|next| now + self.timeout(*next));
        // QUIT has no flight: whatever its reply is, it was the last one.
        let Some(flight) = self.flights.front_mut() else {
            return self.give_up(None, Trouble::Closed);
        };
        let refused = reply.is_refusal();
        match (command, flight.refused) {
            (Command::Rset, _) if reply.is_success() => self.go_on(command),
            (Command::Mail, _) if reply.is_success() => self.go_on(command),
            (Command::Mail, _) if refused => {
                flight.refused = Refused::Mail;
                self.tell(Ended::Refused(Stage::Mail, reply));
                self.end_early(now);
            }
            // Without MAIL the answer to RCPT means nothing.
            (Command::Rcpt, Refused::Mail) if refused || reply.is_success() => {}
            (Command::Rcpt, _) if reply.is_success() => self.go_on(command),
            (Command::Rcpt, _) if refused => {
                flight.refused = Refused::Rcpt;
                self.tell(Ended::Refused(Stage::Rcpt, reply));
                self.end_early(now);
            }
            (Command::Data, Refused::Nothing) if reply.code == 354 => {
                flight.step = Step::Body(Body::new(
                    std::mem::take(&mut flight.transaction.prefix),
                    flight.transaction.body.clone(),
                ));
            }
            (Command::Data, Refused::Rcpt) if reply.code == 354 => flight.step = Step::LoneDot,
            (Command::Data, _) if refused => {
                // Tells nothing where MAIL or RCPT was refused before.
                self.tell(Ended::Refused(Stage::Data, reply));
                self.end(now);
            }
            (Command::End, _) if reply.is_success() => {
                self.tell(Ended::Accepted(reply));
                self.end(now);
            }
            (Command::End, _) if refused => {
                self.tell(Ended::Refused(Stage::EndOfData, reply));
                self.end(now);
            }
            (Command::LoneDot, _) if refused || reply.is_success() => self.end(now),
            _ => {
                self.awaited.push_front(command);
                self.give_up(None, Trouble::OutOfStep(format!("{} was answered with {reply}", command.name())));
            }
        }
    }

    /// A reply although none is due: before the end of data, or between transactions.
    fn take_unasked(&mut self, reply: Reply) {
        if matches!(reply.code, 421 | 221) {
            self.take_goodbye(reply);
        } else {
            self.give_up(None, Trouble::OutOfStep(format!("a reply that nothing asked for: {reply}")));
        }
    }

    /// The remote host ends the conversation instead of answering.
    fn take_goodbye(&mut self, reply: Reply) {
        self.tell(match self.reached() {
            None => Ended::NotTried(Some(reply.clone()), Trouble::Closed),
            Some(stage) if reply.is_refusal() => Ended::Refused(stage, reply.clone()),
            Some(stage) => Ended::Stopped(stage, Trouble::Closed),
        });
        self.give_up(Some(reply), Trouble::Closed);
    }

    /// The stage of the first flight; `None` until its MAIL was answered.
    fn reached(&self) -> Option<Stage> {
        match &self.flights.front()?.step {
            Step::Waiting => None,
            Step::Envelope(next) => match self.awaited.front().copied().or(*next)? {
                Command::Rset | Command::Mail => None,
                command => Some(command.stage()),
            },
            Step::Body(_) => Some(Stage::Body),
            Step::LoneDot => Some(Stage::Data),
            Step::Ended => Some(Stage::EndOfData),
        }
    }

    /// After an accepted command: the next one, where it was not sent along.
    fn go_on(&mut self, command: Command) {
        if let Some(flight) = self.flights.front_mut()
            && !self.pipelining
        {
            flight.step = Step::Envelope(command.following());
        }
    }

    /// After a refused command: with PIPELINING the replies to the rest of the flight are still due.
    fn end_early(&mut self, now: Instant) {
        if !self.pipelining {
            self.end(now);
        }
    }

    /// The first flight has had its last reply.
    fn end(&mut self, now: Instant) {
        self.flights.pop_front();
        if let Some(next) = self.flights.front_mut()
            && matches!(next.step, Step::Envelope(_))
        {
            next.due = Some(now + self.config.transaction_timeout);
        }
    }

    /// Tells how the first flight ended, once.
    fn tell(&mut self, ended: Ended) {
        if let Some(flight) = self.flights.front_mut()
            && !std::mem::replace(&mut flight.told, true)
        {
            self.actions.push_back(Action::Done(flight.transaction.delivery, ended));
        }
    }

    /// Ends the conversation and everything in it.
    pub(super) fn give_up(&mut self, reply: Option<Reply>, trouble: Trouble) {
        if self.over.is_some() {
            return;
        }
        let connection_ended = matches!(trouble, Trouble::Closed | Trouble::Broken(_));
        if let Some(flight) = self.flights.front() {
            let ended = match (&flight.step, self.reached()) {
                (Step::Ended, _) => Ended::Uncertain(trouble.clone()),
                (_, Some(stage)) => Ended::Stopped(stage, trouble.clone()),
                (Step::Envelope(_), None) if !connection_ended => Ended::Stopped(Stage::Mail, trouble.clone()),
                (_, None) => Ended::NotTried(reply.clone(), trouble.clone()),
            };
            self.tell(ended);
        }
        self.flights.pop_front();
        while !self.flights.is_empty() {
            self.tell(Ended::NotTried(reply.clone(), trouble.clone()));
            self.flights.pop_front();
        }
        self.awaited.clear();
        self.over = Some((reply, trouble));
    }
}

/// Whether the remote host says that it closes the connection (RFC 5321 §3.8, §4.2.2). After the end of data 221 is
/// success like any 2xx.
fn says_goodbye(reply: &Reply, command: Command) -> bool {
    reply.code == 421 || reply.code == 221 && command != Command::End
}
