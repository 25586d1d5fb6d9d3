//! The machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Gate, ReceptionConfig, Role};
use crate::return_path::Returned;
use crate::smtp::{Input, Machine, Output};

/// One accepted recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipient {
    Sealed(Returned),
    Role(Role),
}

/// A message that was received to its end; the peer waits for [`Reception::stored`].
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// As given in MAIL FROM; empty for the null sender.
    pub(crate) mail_from: String,
    /// As given in EHLO or HELO.
    pub(crate) helo: String,
    pub(crate) recipients: Vec<Recipient>,
    /// The message from its start, cut at `keep`.
    pub(crate) data: Vec<u8>,
    /// Its whole size.
    pub(crate) size: u64,
}

/// What the machine tells the shell.
#[derive(Debug)]
pub(crate) enum Action {
    /// Everything before is flushed: start TLS, then call [`Reception::secured`].
    StartTls,
    /// Store this, then call [`Reception::stored`].
    Store(Received),
}

/// See the module.
pub(crate) struct Reception {}

impl Reception {
    /// A new conversation. The first output is the greeting.
    pub(crate) fn new(
        config: Arc<ReceptionConfig>,
        gate: Arc<dyn Gate>,
        peer: SocketAddr,
        tls: bool,
        now: Instant,
    ) -> Reception {
        let _ = (config, gate, peer, tls, now);
        unimplemented!()
    }

    /// TLS is up: everything heard before is forgotten.
    pub(crate) fn secured(&mut self, now: Instant) {
        let _ = now;
        unimplemented!()
    }

    /// Whether the message is durable: 250, or 451 4.3.0, or (disk full) 452 4.3.1.
    pub(crate) fn stored(&mut self, result: Result<(), bool>, now: Instant) {
        let _ = (result, now);
        unimplemented!()
    }

    /// The instance is shutting down: 421 before the next command.
    pub(crate) fn stop(&mut self, now: Instant) {
        let _ = now;
        unimplemented!()
    }
}

impl Machine for Reception {
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
