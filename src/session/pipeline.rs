//! The pipelined client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Stage;
use crate::address::Address;
use crate::id::DeliveryId;
use crate::smtp::extensions::Extensions;
use crate::smtp::{Input, Machine, Output, Reply};
use crate::verdict::Trouble;

/// One message to one recipient.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) delivery: DeliveryId,
    pub(crate) return_path: Address,
    pub(crate) recipient: Address,
    /// Prepended to the body: whole header fields with their CRLF.
    pub(crate) prefix: String,
    pub(crate) body: Arc<[u8]>,
    pub(crate) smtputf8: bool,
    pub(crate) eight_bit: bool,
}

/// Time limits and switches.
#[derive(Debug, Clone)]
pub(crate) struct SessionConfig {
    /// For a whole reply to a command.
    pub(crate) command_timeout: Duration,
    /// For the reply to DATA, and for each stretch of a body to be taken by the peer.
    pub(crate) data_timeout: Duration,
    /// For the reply to the end of data (RFC 5321 §4.5.3.2.6: ten minutes).
    pub(crate) end_of_data_timeout: Duration,
    /// For a whole transaction.
    pub(crate) transaction_timeout: Duration,
    /// Off: one command at a time, whatever is offered.
    pub(crate) pipelining: bool,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ended {
    /// 2xx after the end of data.
    Accepted(Reply),
    /// Refused by this reply.
    Refused(Stage, Reply),
    /// Stopped before the end of data went out: the message was not accepted.
    Stopped(Stage, Trouble),
    /// The end of data went out and its reply did not come: the message may have been accepted.
    Uncertain(Trouble),
    /// Never begun: the connection ended before its first command was answered. No attempt, unless nothing was ever
    /// delivered on this connection and `Reply`/`Trouble` says why.
    NotTried(Option<Reply>, Trouble),
}

/// What the machine tells the shell.
#[derive(Debug)]
pub(crate) enum Action {
    /// A transaction ended.
    Done(DeliveryId, Ended),
    /// There is room for one more transaction.
    Ready,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {}

impl Session {
    /// A conversation whose greeting, EHLO, STARTTLS and AUTH are done.
    pub(crate) fn new(config: SessionConfig, extensions: Extensions, now: Instant) -> Session {
        let _ = (config, extensions, now);
        unimplemented!()
    }

    /// Puts a transaction in. Its end of data is held back until [`Session::release`].
    pub(crate) fn offer(&mut self, transaction: Transaction, now: Instant) {
        let _ = (transaction, now);
        unimplemented!()
    }

    /// The delivery stands in the durable in-flight set: its end of data may go out.
    pub(crate) fn release(&mut self, delivery: DeliveryId, now: Instant) {
        let _ = (delivery, now);
        unimplemented!()
    }

    /// No further transactions: QUIT when the last one has ended.
    pub(crate) fn quit(&mut self, now: Instant) {
        let _ = now;
        unimplemented!()
    }
}

impl Machine for Session {
    type Action = Action;

    fn handle(&mut self, input: Input<'_>, now: Instant) {
        let _ = (input, now);
        unimplemented!()
    }

    fn poll(&mut self, now: Instant) -> Output<Action> {
        let _ = now;
        unimplemented!()
    }
}
