//! The one loop that moves bytes between a protocol machine and a stream.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::clock::Clock;
use crate::smtp::{Input, Machine, Output, Piece};

/// A machine and its stream.
pub(crate) struct Driver<S, M> {
    stream: S,
    machine: M,
    clock: Clock,
    /// What is to be written, in order; `written` octets of the first one have gone.
    outgoing: VecDeque<Piece>,
    written: usize,
    /// Whether the operating system holds all that was given to it, but its buffer was not flushed yet.
    unflushed: bool,
    /// The peer closed its side: nothing is read any more. It may still read what is written.
    heard_all: bool,
    /// The connection broke: nothing is read or written any more.
    broken: bool,
    wait: Option<Instant>,
    buffer: Box<[u8]>,
}

/// What [`Driver::next`] comes back with.
#[derive(Debug)]
pub(crate) enum Step<A> {
    /// The machine tells the shell something.
    Act(A),
    /// The machine is done; what it wanted written has been written as far as the peer took it.
    Closed,
}

/// What the stream did.
enum Moved {
    Read(usize),
    Flushed,
    Broken(String),
}

impl<S: AsyncRead + AsyncWrite + Unpin, M: Machine> Driver<S, M> {
    pub(crate) fn new(stream: S, machine: M, clock: Clock) -> Driver<S, M> {
        Driver {
            stream,
            machine,
            clock,
            outgoing: VecDeque::new(),
            written: 0,
            unflushed: false,
            heard_all: false,
            broken: false,
            wait: None,
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
        }
    }

    /// The machine, to be told something; then call [`Driver::next`] again.
    pub(crate) fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The monotonic time.
    pub(crate) fn now(&self) -> Instant {
        self.clock.instant()
    }

    /// The stream and the machine, for a change of the stream (STARTTLS). Nothing may be left to write.
    pub(crate) fn into_parts(self) -> (S, M) {
        (self.stream, self.machine)
    }

    /// Runs until the machine has something for the shell. Cancel-safe: nothing that was read or written is lost
    /// when the future is dropped.
    pub(crate) async fn next(&mut self) -> Step<M::Action> {
        loop {
            // What the peer said already is heard before anything more goes out: a reply that waits before the end of
            // data means that the two are out of step.
            if let Some(moved) = self.heard().await {
                self.tell(moved);
                continue;
            }
            match self.machine.poll(self.clock.instant()) {
                Output::Send(pieces) => {
                    self.unflushed = true;
                    self.outgoing.extend(pieces.into_iter().filter(|piece| !piece.as_bytes().is_empty()));
                    continue;
                }
                Output::Act(action) => return Step::Act(action),
                Output::Close => {
                    self.last_words().await;
                    return Step::Closed;
                }
                Output::Wait(until) => self.wait = until,
            }
            let moved = match self.wait {
                None => Some(self.moved().await),
                Some(until) => {
                    let until = tokio::time::Instant::from_std(until);
                    // In favour of the stream: bytes that are there already are not late.
                    tokio::select! {
                        biased;
                        moved = self.moved() => Some(moved),
                        () = tokio::time::sleep_until(until) => None,
                    }
                }
            };
            match moved {
                None => self.machine.handle(Input::Time, self.clock.instant()),
                Some(moved) => self.tell(moved),
            }
        }
    }

    fn tell(&mut self, moved: Moved) {
        let now = self.clock.instant();
        match moved {
            Moved::Read(0) => {
                self.heard_all = true;
                self.machine.handle(Input::Closed, now);
            }
            Moved::Read(count) => self.machine.handle(Input::Bytes(&self.buffer[..count]), now),
            Moved::Flushed => self.machine.handle(Input::Flushed, now),
            Moved::Broken(why) => {
                self.broken = true;
                self.outgoing.clear();
                self.written = 0;
                self.unflushed = false;
                self.machine.handle(Input::Broken(&why), now);
            }
        }
    }

    /// What can be read without waiting.
    async fn heard(&mut self) -> Option<Moved> {
        if self.heard_all || self.broken || !self.machine.hears() {
            return None;
        }
        poll_fn(|context| {
            Poll::Ready(match self.poll_read(context) {
                Poll::Ready(Ok(count)) => Some(Moved::Read(count)),
                Poll::Ready(Err(error)) => Some(Moved::Broken(error.to_string())),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// Waits until something was read, or everything is written.
    async fn moved(&mut self) -> Moved {
        poll_fn(|context| self.poll_moved(context)).await
    }

    fn poll_moved(&mut self, context: &mut Context<'_>) -> Poll<Moved> {
        // Writing first: what the peer waits for goes out before its next bytes are looked at.
        while self.unflushed {
            match self.poll_write(context) {
                Poll::Ready(Ok(true)) => {
                    self.unflushed = false;
                    return Poll::Ready(Moved::Flushed);
                }
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(error)) => {
                    // The peer may have said why before it went: read that first.
                    return match self.poll_read(context) {
                        Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Moved::Read(count)),
                        _ => Poll::Ready(Moved::Broken(error.to_string())),
                    };
                }
                Poll::Pending => break,
            }
        }
        if self.heard_all || self.broken || !self.machine.hears() {
            return Poll::Pending;
        }
        match self.poll_read(context) {
            Poll::Ready(Ok(count)) => Poll::Ready(Moved::Read(count)),
            Poll::Ready(Err(error)) => Poll::Ready(Moved::Broken(error.to_string())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes once; true when all is written and flushed.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        if self.outgoing.is_empty() {
            return Pin::new(&mut self.stream).poll_flush(context).map_ok(|()| true);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (index, (slice, piece)) in slices.iter_mut().zip(&self.outgoing).enumerate() {
            let skip = if index == 0 { self.written } else { 0 };
            *slice = IoSlice::new(piece.as_bytes().get(skip..).unwrap_or_default());
            count += 1;
        }
        let mut gone = match Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..count]) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(gone)) => gone,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        while let Some(first) = self.outgoing.front() {
            let left = first.as_bytes().len() - self.written;
            if gone < left {
                self.written += gone;
                break;
            }
            gone -= left;
            self.written = 0;
            self.outgoing.pop_front();
        }
        Poll::Ready(Ok(false))
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        Pin::new(&mut self.stream).poll_read(context, &mut buffer).map_ok(|()| buffer.filled().len())
    }

    /// Writes what is left and closes, within a short time: the peer's answer is no longer of interest.
    async fn last_words(&mut self) {
        let write = async {
            while !self.outgoing.is_empty() && !self.broken {
                if poll_fn(|context| self.poll_write(context)).await.is_err() {
                    return;
                }
            }
            let _ = self.stream.shutdown().await;
        };
        let _ = tokio::time::timeout(LAST_WORDS, write).await;
    }
}

/// Replies are short and reports are read in a stream: 16 KiB is one TLS record.
const READ_BUFFER: usize = 16 * 1024;
/// Pieces in one write: an envelope, a body in a few slices, the next envelope.
const SLICES: usize = 16;
/// For a last reply (421, QUIT) to be taken by a peer that may have gone.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    use super::*;
    use crate::listener::{Action, Admission, Gate, Reception, ReceptionConfig};
    use crate::return_path::Refusal;

    struct Nobody;

    impl Gate for Nobody {
        fn admit(&self, _: &str) -> Admission {
            Admission::Refused(Refusal::NotOurs)
        }
    }

    /// A peer that says its next line as soon as it has heard what it waits for.
    struct Prompt {
        heard: Vec<u8>,
        lines: VecDeque<(&'static [u8], &'static [u8])>,
    }

    impl AsyncRead for Prompt {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            let heard = |waits_for: &[u8]| self.heard.windows(waits_for.len()).any(|words| words == waits_for);
            if !self.lines.front().is_some_and(|(waits_for, _)| heard(waits_for)) {
                return Poll::Pending;
            }
            buffer.put_slice(self.lines.pop_front().unwrap().1);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Prompt {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
            self.heard.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_handshake_that_begins_at_once_is_left_to_tls() {
        let lines = [
            (&b"220 "[..], &b"EHLO mx.example.net\r\n"[..]),
            (b"STARTTLS", b"STARTTLS\r\n"),
            (b"Ready to start TLS", b"\x16\x03\x01"),
        ];
        let stream = Prompt { heard: Vec::new(), lines: lines.into() };
        let clock = Clock::system();
        let config = ReceptionConfig { starttls: true, ..ReceptionConfig::default() };
        let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 25));
        let machine = Reception::new(Arc::new(config), Arc::new(Nobody), peer, false, clock.instant());
        let mut line = Driver::new(stream, machine, clock);
        assert!(matches!(line.next().await, Step::Act(Action::StartTls)));
        assert_eq!(line.into_parts().0.lines.len(), 1, "the handshake's first bytes are still in the stream");
    }
}
