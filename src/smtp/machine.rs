//! The contract of a protocol machine without sockets, obeyed by the client ([`crate::session`]) and the server
//! ([`crate::listener`]), so that one driver and one test harness serve both.
//!
//! Put one thing in with [`Machine::handle`], then take everything out with [`Machine::poll`] until it says
//! [`Output::Wait`]. The machine never asks for the time: `now` is an argument.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Something that happened to the machine.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// Bytes from the peer, however they were cut.
    Bytes(&'a [u8]),
    /// The peer closed its side.
    Closed,
    /// The connection broke; the words of the operating system.
    Broken(&'a str),
    /// All that was given out by [`Output::Send`] so far has been handed to the operating system.
    Flushed,
    /// The time asked for by [`Output::Wait`] has come.
    Time,
}

/// What the machine wants done, one thing at a time, in this order.
#[derive(Debug)]
pub(crate) enum Output<A> {
    /// Write these to the peer, in order, in as few writes as possible.
    Send(Vec<Piece>),
    /// Tell the shell something.
    Act(A),
    /// Close the connection; nothing follows.
    Close,
    /// Nothing to do until there is an input, or until this time.
    Wait(Option<Instant>),
}

/// Bytes to write. A body is never copied: a slice of it is shared.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// Bytes made for this write.
    Bytes(Vec<u8>),
    /// A part of a shared body.
    Shared(Arc<[u8]>, Range<usize>),
}

impl Piece {
    /// The bytes to write.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Piece::Bytes(bytes) => bytes,
            Piece::Shared(body, range) => &body[range.clone()],
        }
    }
}

/// A protocol machine.
pub(crate) trait Machine {
    /// What it tells the shell.
    type Action;

    /// Takes one input.
    fn handle(&mut self, input: Input<'_>, now: Instant);

    /// Gives the next thing to do; after [`Output::Wait`] or [`Output::Close`] there is nothing more until the
    /// next input (or call of a method of the machine that is not `poll`).
    fn poll(&mut self, now: Instant) -> Output<Self::Action>;

    /// Whether what the peer says next is for this machine. If not, it is left in the stream for whoever takes that
    /// over.
    fn hears(&self) -> bool {
        true
    }
}
