//! One run of a dialogue against a machine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Part;
use super::script::{Dialogue, Step};
use crate::net::clock::Clock;
use crate::smtp::{Input, Machine, Output};

/// How the bytes given to the machine are cut.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut {
    Whole,
    Bytes,
    Random(u64),
}

impl Cut {
    /// The pieces of `bytes`, in order.
    pub(super) fn pieces(self, mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut state = match self {
            Cut::Random(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            _ => 0,
        };
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let length = match self {
                Cut::Whole => bytes.len(),
                Cut::Bytes => 1,
                Cut::Random(_) => {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    1 + (state >> 33) as usize % 23
                }
            };
            let (piece, rest) = bytes.split_at(length.min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

/// What came out of the machine and was not yet expected.
#[derive(Debug)]
enum Said {
    Bytes(Vec<u8>),
    Action(String),
    Close,
}

/// One run of one dialogue.
pub(super) struct Play<P: Part> {
    part: P,
    now: Instant,
    said: VecDeque<Said>,
    /// The time that the machine asked for.
    wake: Option<Instant>,
    holds: bool,
    closed: bool,
}

impl<P: Part> Play<P> {
    pub(super) fn run(dialogue: &Dialogue, cut: Cut) -> Result<(), String> {
        let now = Clock::system().instant();
        let part = P::enter(&dialogue.settings, now);
        let mut play = Play { part, now, said: VecDeque::new(), wake: None, holds: false, closed: false };
        play.drain().map_err(|error| format!("0: {error}"))?;
        for (number, step) in &dialogue.steps {
            play.step(step, cut).map_err(|error| format!("{number}: {error}"))?;
        }
        play.nothing_left().map_err(|error| format!("end: {error}"))
    }

    fn step(&mut self, step: &Step, cut: Cut) -> Result<(), String> {
        match step {
            Step::Expect(want) => return self.expect_bytes(want),
            Step::ExpectStart(want) => {
                self.expect_bytes(want)?;
                return self.skip_line();
            }
            Step::ExpectAction(want) => {
                return match self.said.pop_front() {
                    Some(Said::Action(got)) if got == *want => Ok(()),
                    got => Err(format!("expected action `{want}`, got {}", show(got.as_ref()))),
                };
            }
            Step::ExpectClose => {
                return match self.said.pop_front() {
                    Some(Said::Close) => Ok(()),
                    got => Err(format!("expected close, got {}", show(got.as_ref()))),
                };
            }
            _ => self.nothing_left()?,
        }
        match step {
            Step::Order(verb, arguments) => {
                self.part.order(verb, arguments, self.now);
                self.drain()
            }
            Step::Give(bytes) => cut.pieces(bytes).into_iter().try_for_each(|piece| self.give(Input::Bytes(piece))),
            Step::GiveClose => self.give(Input::Closed),
            Step::GiveBroken(why) => self.give(Input::Broken(why)),
            Step::Time(step) => self.pass(*step),
            Step::Flush => self.give(Input::Flushed),
            Step::Hold => {
                self.holds = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Gives one input and takes everything out. A machine that has closed hears nothing more.
    fn give(&mut self, input: Input<'_>) -> Result<(), String> {
        if self.closed {
            return Ok(());
        }
        self.part.machine().handle(input, self.now);
        self.drain()
    }

    /// Takes everything out, and takes what was written off the machine's hands unless held.
    fn drain(&mut self) -> Result<(), String> {
        let mut wrote = false;
        for _ in 0..MOST_OUTPUTS {
            match self.part.machine().poll(self.now) {
                Output::Send(pieces) => {
                    wrote = true;
                    for piece in pieces {
                        match self.said.back_mut() {
                            Some(Said::Bytes(bytes)) => bytes.extend_from_slice(piece.as_bytes()),
                            _ => self.said.push_back(Said::Bytes(piece.as_bytes().to_vec())),
                        }
                    }
                }
                Output::Act(action) => {
                    self.said.extend(self.part.render(&action).lines().map(|line| Said::Action(line.into())));
                }
                Output::Close => {
                    if !std::mem::replace(&mut self.closed, true) {
                        self.said.push_back(Said::Close);
                    }
                    self.wake = None;
                    return Ok(());
                }
                Output::Wait(_) if wrote && !self.holds => {
                    wrote = false;
                    self.part.machine().handle(Input::Flushed, self.now);
                }
                Output::Wait(until) => {
                    self.wake = until;
                    return Ok(());
                }
            }
        }
        Err("the machine does not stop".into())
    }

    /// Lets time pass, waking the machine whenever it asked for it.
    fn pass(&mut self, step: Duration) -> Result<(), String> {
        let end = self.now + step;
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.give(Input::Time)?;
            if self.wake == Some(wake) {
                return Err("the machine was woken and asks for the same time again".into());
            }
        }
        self.now = end;
        Ok(())
    }

    fn expect_bytes(&mut self, want: &[u8]) -> Result<(), String> {
        if let Some(Said::Bytes(got)) = self.said.front_mut()
            && got.starts_with(want)
        {
            got.drain(..want.len());
            if got.is_empty() {
                self.said.pop_front();
            }
            return Ok(());
        }
        Err(format!("expected `{}`, got {}", shorten(want), show(self.said.front())))
    }

    /// Drops the rest of a line.
    fn skip_line(&mut self) -> Result<(), String> {
        let Some(Said::Bytes(got)) = self.said.front_mut() else {
            return Err("the line has no end".into());
        };
        let end = got.iter().position(|byte| *byte == b'\n').ok_or("the line has no end")?;
        got.drain(..=end);
        if got.is_empty() {
            self.said.pop_front();
        }
        Ok(())
    }

    fn nothing_left(&self) -> Result<(), String> {
        if self.said.is_empty() { Ok(()) } else { Err(format!("not expected: {}", show(self.said.front()))) }
    }
}

/// A machine that gives more than this without an input is taken to be stuck.
const MOST_OUTPUTS: usize = 100_000;

fn show(said: Option<&Said>) -> String {
    match said {
        None => "nothing".into(),
        Some(Said::Bytes(bytes)) => format!("`{}`", shorten(bytes)),
        Some(Said::Action(action)) => format!("action `{action}`"),
        Some(Said::Close) => "close".into(),
    }
}

/// The start of `bytes`, with what cannot be printed escaped.
fn shorten(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(300)];
    format!("{}{}", start.escape_ascii(), if start.len() < bytes.len() { "…" } else { "" })
}
