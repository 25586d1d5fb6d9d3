//! Dialogues as files: reads `tests/dialogues/*/*.smtp` and plays them against a [`Machine`], client or server.
//!
//! A dialogue reads from top to bottom. One side is the machine, the other is the file. Lines of the file's side are
//! given to the machine, lines of the machine's side must come out of it, in this order and with nothing else between.
//!
//! ```text
//! # A comment. Empty lines are skipped.
//! with pipelining size=1000      settings, read by the test that makes the machine; only at the top
//! > offer 1 to=ann@example.net   an order to the machine, read by the test
//! C: MAIL FROM:<a@example.org>   bytes of the client; CRLF is added
//! S: 250 2.1.0 Ok                bytes of the server; CRLF is added
//! S: 250-no line end yet\        a backslash at the end: no CRLF
//! S: \xc7\xeb\0\t\r\n\\          escapes: any byte, NUL, tab, CR, LF, backslash
//! S~ 250 2.1.5                   a line of the machine that only has to begin like this
//! S repeat 1000 "250-x\r\n"      the quoted text a thousand times; no CRLF is added
//! ! done 1 accepted              the machine tells its shell this, in the words of the test
//! time +30s                      time passes (ms, s, m, h); the machine is woken at each time that it asked for
//! S close                        this side closes the connection
//! S broken reset by peer         the connection breaks under the machine (the file's side only)
//! hold                           from here on, what the machine writes is not taken ...
//! flush                          ... until this line: all of it is
//! ```
//!
//! Neighbouring lines of the file's side are one piece of input. Each file is played with such pieces whole, byte by
//! byte, and cut at random places, and must come out the same. What the machine writes is taken at once, unless held.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Input, Machine, Output};
use crate::net::clock::Clock;

/// The part that a machine plays, supplied by its test.
pub(crate) trait Part: Sized {
    /// The machine.
    type Machine: Machine;
    /// `C` or `S`: the lines that come out of the machine.
    const SIDE: char;

    /// A fresh machine, made by the words of the `with` lines.
    fn enter(settings: &[String], now: Instant) -> Self;

    /// The machine.
    fn machine(&mut self) -> &mut Self::Machine;

    /// Carries out a `>` line.
    fn order(&mut self, verb: &str, arguments: &str, now: Instant);

    /// An action as it stands in a `!` line; each line of the text is a `!` line of its own.
    fn render(&mut self, action: &<Self::Machine as Machine>::Action) -> String;
}

/// Plays every dialogue in `tests/dialogues/FOLDER`, cut in every way; panics with all that differed.
pub(crate) fn play_all<P: Part>(folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "smtp"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}: no dialogues", folder.display());
    let mut differences = Vec::new();
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Err(difference) = play_every_way::<P>(&text) {
            differences.push(format!("{name}:{difference}"));
        }
    }
    assert!(differences.is_empty(), "{} of {} differ\n{}", differences.len(), files.len(), differences.join("\n"));
}

/// Plays one dialogue, cut in every way.
fn play_every_way<P: Part>(text: &str) -> Result<(), String> {
    let dialogue = Dialogue::parse(text, P::SIDE)?;
    let ways = [Cut::Whole, Cut::Bytes].into_iter().chain((1..=RANDOM_CUTS).map(Cut::Random));
    ways.into_iter().try_for_each(|cut| Play::<P>::run(&dialogue, cut).map_err(|error| format!("{error} ({cut:?})")))
}

/// How many times each dialogue is cut at random.
const RANDOM_CUTS: u64 = 4;

/// How the bytes given to the machine are cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Whole,
    Bytes,
    Random(u64),
}

impl Cut {
    /// The pieces of `bytes`, in order.
    fn pieces(self, mut bytes: &[u8]) -> Vec<&[u8]> {
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

/// A file, read.
struct Dialogue {
    settings: Vec<String>,
    /// With the number of the line.
    steps: Vec<(usize, Step)>,
}

/// One line, or several that belong together.
#[derive(Debug)]
enum Step {
    Order(String, String),
    Give(Vec<u8>),
    GiveClose,
    GiveBroken(String),
    Time(Duration),
    Hold,
    Flush,
    Expect(Vec<u8>),
    ExpectStart(Vec<u8>),
    ExpectAction(String),
    ExpectClose,
}

impl Dialogue {
    fn parse(text: &str, side: char) -> Result<Dialogue, String> {
        let mut dialogue = Dialogue { settings: Vec::new(), steps: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(settings) = line.strip_prefix("with ") {
                dialogue.settings.extend(settings.split_whitespace().map(String::from));
                continue;
            }
            let step = Step::parse(line, side).ok_or_else(|| format!("{number}: cannot be read: {line}"))?;
            match (dialogue.steps.last_mut(), step) {
                (Some((_, Step::Give(bytes))), Step::Give(more)) => bytes.extend(more),
                (_, step) => dialogue.steps.push((number, step)),
            }
        }
        Ok(dialogue)
    }
}

impl Step {
    fn parse(line: &str, side: char) -> Option<Step> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            ">" => {
                let (verb, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
                return Some(Step::Order(verb.into(), arguments.into()));
            }
            "!" => return Some(Step::ExpectAction(rest.into())),
            "time" => return duration(rest.strip_prefix('+')?).map(Step::Time),
            "hold" => return Some(Step::Hold),
            "flush" => return Some(Step::Flush),
            _ => {}
        }
        let ours = word.starts_with(side);
        let bytes = |bytes| if ours { Step::Expect(bytes) } else { Step::Give(bytes) };
        match word {
            "C:" | "S:" => Some(bytes(match rest.strip_suffix('\\') {
                Some(open) if !open.ends_with('\\') => unescape(open)?,
                _ => [unescape(rest)?.as_slice(), b"\r\n"].concat(),
            })),
            "C~" | "S~" if ours => Some(Step::ExpectStart(unescape(rest)?)),
            "C" | "S" => match rest.split_once(' ').unwrap_or((rest, "")) {
                ("close", "") if ours => Some(Step::ExpectClose),
                ("close", "") => Some(Step::GiveClose),
                ("broken", why) if !ours => Some(Step::GiveBroken(why.into())),
                ("repeat", what) => {
                    let (times, text) = what.split_once(' ')?;
                    let text = unescape(text.strip_prefix('"')?.strip_suffix('"')?)?;
                    Some(bytes(text.repeat(times.parse().ok()?)))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// `30s`, `500ms`, `10m`, `2h`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        "h" => Some(Duration::from_secs(number * 3600)),
        _ => None,
    }
}

/// The bytes that a text with escapes stands for.
pub(crate) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

/// What came out of the machine and was not yet expected.
#[derive(Debug)]
enum Said {
    Bytes(Vec<u8>),
    Action(String),
    Close,
}

/// One run of one dialogue.
struct Play<P: Part> {
    part: P,
    now: Instant,
    said: VecDeque<Said>,
    /// The time that the machine asked for.
    wake: Option<Instant>,
    holds: bool,
    closed: bool,
}

impl<P: Part> Play<P> {
    fn run(dialogue: &Dialogue, cut: Cut) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::Piece;

    /// Answers each line with itself, tells its shell of it, and closes after ten seconds of silence.
    struct Echo {
        line: Vec<u8>,
        out: VecDeque<Output<String>>,
        until: Instant,
    }

    impl Machine for Echo {
        type Action = String;

        fn handle(&mut self, input: Input<'_>, now: Instant) {
            match input {
                Input::Bytes(bytes) => {
                    self.until = now + Duration::from_secs(10);
                    for byte in bytes {
                        self.line.push(*byte);
                        if *byte == b'\n' {
                            let line = std::mem::take(&mut self.line);
                            self.out.push_back(Output::Act(format!("heard {}", line.trim_ascii().escape_ascii())));
                            self.out.push_back(Output::Send(vec![Piece::Bytes(line)]));
                        }
                    }
                }
                Input::Flushed => {}
                Input::Time if now < self.until => {}
                _ => self.out.push_back(Output::Close),
            }
        }

        fn poll(&mut self, _: Instant) -> Output<String> {
            self.out.pop_front().unwrap_or(Output::Wait(Some(self.until)))
        }
    }

    impl Part for Echo {
        type Machine = Echo;
        const SIDE: char = 'S';

        fn enter(_: &[String], now: Instant) -> Echo {
            Echo { line: Vec::new(), out: VecDeque::new(), until: now + Duration::from_secs(10) }
        }

        fn machine(&mut self) -> &mut Echo {
            self
        }

        fn order(&mut self, verb: &str, arguments: &str, _: Instant) {
            self.out.push_back(Output::Send(vec![Piece::Bytes(format!("{verb} {arguments}").into_bytes())]));
        }

        fn render(&mut self, action: &String) -> String {
            action.clone()
        }
    }

    #[test]
    fn a_dialogue_that_holds_is_played_to_its_end() {
        play_every_way::<Echo>(
            "# every kind of line\nC: one\n! heard one\nS: one\n> say a\\b\nS: say a\\\\b\\\nC: \\x41\\\nC repeat 2 \"\\x42\\n\"\n\
             ! heard AB\nS: AB\\n\\\n! heard B\nS~ B\ntime +9s\nC: x\\\ntime +9s\ntime +1s\nS close\n",
        )
        .unwrap();
    }

    #[test]
    fn a_dialogue_that_differs_names_its_line() {
        for (text, complaint) in [
            ("C: one\n! heard one\nS: two\n", "3: expected `two\\r\\n`, got `one\\r\\n`"),
            ("C: one\n! heard one\n", "end: not expected: `one\\r\\n`"),
            ("C: one\n! heard two\nS: one\n", "2: expected action `heard two`, got action `heard one`"),
            ("time +10s\nC: one\n", "2: not expected: close"),
            ("S close\n", "1: expected close, got nothing"),
            ("C; one\n", "1: cannot be read"),
            ("C: \\q\n", "1: cannot be read"),
        ] {
            let error = play_every_way::<Echo>(text).unwrap_err();
            assert!(error.starts_with(complaint), "{text:?}: {error}");
        }
    }

    #[test]
    fn cuts_lose_nothing() {
        let bytes: Vec<u8> = (0..=255).collect();
        for cut in [Cut::Whole, Cut::Bytes, Cut::Random(1), Cut::Random(2)] {
            assert_eq!(cut.pieces(&bytes).concat(), bytes);
        }
        assert_ne!(Cut::Random(1).pieces(&bytes), Cut::Random(2).pieces(&bytes));
    }
}
