//! One message to one recipient: what goes into the conversation, and how it ends.

use std::sync::Arc;

use super::Stage;
use crate::address::Address;
use crate::id::DeliveryId;
use crate::smtp::Reply;
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
