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

mod play;
mod script;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use play::{Cut, Play};
use script::Dialogue;
pub(crate) use script::unescape;

use super::Machine;

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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;
    use crate::smtp::{Input, Output, Piece};

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
