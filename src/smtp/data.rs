//! Receives a message after DATA (RFC 5321 §4.1.1.4, §4.5.2).
//!
//! CRLF `.` CRLF ends the message and nothing else does, whatever some hosts make of `LF . LF` and its kin: where two
//! hosts disagree about the end, a second message can be smuggled inside the first. A message with a lone CR or LF is
//! read to its real end, so that none of it is taken for a command, and then refused. Which reply that is, and what
//! becomes of the message, is for [`crate::listener`] to say.
//!
//! Lines of any length are taken: there is no line buffer, and reports with an HTML part in one line are common. NUL
//! and other odd octets are taken too: they cannot be confused with the end, and the analysis of reports must stand
//! them anyway, because they arrive there encoded as well.

use memchr::memchr2;

/// Takes bytes however they are cut, finds the end, takes the added dots away, counts, and keeps the start.
#[derive(Debug)]
pub(crate) struct DataReceiver {
    limits: DataLimits,
    place: Place,
    kept: Vec<u8>,
    /// Octets of the message so far, without added dots.
    size: u64,
    /// Octets as they came.
    read: u64,
    bare: bool,
}

/// How much of a message is read, taken and kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DataLimits {
    /// The largest message that is taken, in octets as RFC 1870 §3 counts them: with each CRLF, without added dots.
    pub(crate) size: u64,
    /// How many octets are kept in memory, from the start of the message.
    pub(crate) keep: usize,
    /// How many octets are read at most before the peer is given up, with added dots and the end itself.
    pub(crate) read: u64,
}

/// What came of a piece of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of it was taken, and the end has not come.
    More,
    /// The message ended with this octet of the input; what follows are commands.
    End(usize),
    /// [`DataLimits::read`] is used up without an end.
    Endless,
}

/// A message that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Data {
    /// Its start; all of it if it is no longer than [`DataLimits::keep`].
    pub(crate) kept: Vec<u8>,
    /// Its whole size in octets.
    pub(crate) size: u64,
}

/// Why a message that was read to its end is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataFault {
    /// CR without LF after it, or LF without CR before it.
    BareLineEnd,
    /// Larger than [`DataLimits::size`].
    TooLarge,
}

/// Where in a line the next octet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At its start. The whole message starts like this, so that `.` CRLF at once is an empty one.
    Start,
    /// After a dot at its start.
    Dot,
    /// After a dot at its start and CR.
    DotCr,
    /// Within.
    Within,
    /// After a CR.
    Cr,
}

impl DataReceiver {
    pub(crate) fn new(limits: DataLimits) -> DataReceiver {
        DataReceiver { limits, place: Place::Start, kept: Vec::new(), size: 0, read: 0, bare: false }
    }

    /// Takes a piece of input.
    pub(crate) fn take(&mut self, input: &[u8]) -> Taken {
        let allowed = usize::try_from(self.limits.read - self.read).unwrap_or(usize::MAX);
        let within = input.get(..allowed).unwrap_or(input);
        let end = self.scan(within);
        self.read += end.unwrap_or(within.len()) as u64;
        match end {
            Some(end) => Taken::End(end),
            None if within.len() < input.len() => Taken::Endless,
            None => Taken::More,
        }
    }

    /// What was received; to be called after [`Taken::End`].
    pub(crate) fn finish(self) -> Result<Data, DataFault> {
        if self.bare {
            Err(DataFault::BareLineEnd)
        } else if self.size > self.limits.size {
            Err(DataFault::TooLarge)
        } else {
            Ok(Data { kept: self.kept, size: self.size })
        }
    }

    /// Walks through `input`, from one line end to the next; answers where the message ended.
    fn scan(&mut self, input: &[u8]) -> Option<usize> {
        // `input[run..at]` belongs to the message and is not appended yet.
        let (mut run, mut at) = (0, 0);
        while let Some(&byte) = input.get(at) {
            match self.place {
                Place::Start if byte == b'.' => {
                    self.append(&input[run..at]);
                    at += 1;
                    run = at;
                    self.place = Place::Dot;
                }
                Place::Dot if byte == b'\r' => {
                    at += 1;
                    run = at;
                    self.place = Place::DotCr;
                }
                Place::DotCr if byte == b'\n' => return Some(at + 1),
                Place::DotCr => {
                    // The CR was held back, as it could have been part of the end.
                    self.append(b"\r");
                    self.refuse_bare();
                    self.place = if byte == b'\r' { Place::Cr } else { Place::Within };
                    at += 1;
                }
                Place::Cr => {
                    match byte {
                        b'\n' => self.place = Place::Start,
                        b'\r' => self.refuse_bare(),
                        _ => {
                            self.refuse_bare();
                            self.place = Place::Within;
                        }
                    }
                    at += 1;
                }
                Place::Start | Place::Dot | Place::Within => match memchr2(b'\r', b'\n', &input[at..]) {
                    None => {
                        at = input.len();
                        self.place = Place::Within;
                    }
                    Some(length) => {
                        at += length + 1;
                        if input[at - 1] == b'\r' {
                            self.place = Place::Cr;
                        } else {
                            self.refuse_bare();
                            self.place = Place::Within;
                        }
                    }
                },
            }
        }
        self.append(&input[run..]);
        None
    }

    /// Counts a part of the message and keeps what there is room for.
    fn append(&mut self, part: &[u8]) {
        self.size += part.len() as u64;
        if self.size > self.limits.size || self.bare {
            // It will be refused: its memory is better used elsewhere.
            self.kept = Vec::new();
            return;
        }
        let part = &part[..part.len().min(self.limits.keep - self.kept.len())];
        let needed = self.kept.len() + part.len();
        if needed > self.kept.capacity() {
            let room = needed.max(2 * self.kept.capacity()).clamp(FIRST_ROOM.min(self.limits.keep), self.limits.keep);
            self.kept.reserve_exact(room - self.kept.len());
        }
        self.kept.extend_from_slice(part);
    }

    fn refuse_bare(&mut self) {
        self.bare = true;
        self.kept = Vec::new();
    }
}

/// The first allocation for a message, in octets: most reports are between 4 and 16 KiB.
const FIRST_ROOM: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: DataLimits = DataLimits { size: 10_000, keep: 10_000, read: 20_000 };

    /// What is received from pieces of `size` octets: the octets that were used, and the result.
    fn receive(input: &[u8], size: usize, limits: DataLimits) -> (Taken, Result<Data, DataFault>) {
        let mut receiver = DataReceiver::new(limits);
        let mut before = 0;
        for piece in input.chunks(size) {
            let taken = receiver.take(piece);
            assert!(receiver.kept.capacity() <= limits.keep, "{} octets held", receiver.kept.capacity());
            match taken {
                Taken::More => before += piece.len(),
                Taken::End(used) => return (Taken::End(before + used), receiver.finish()),
                Taken::Endless => return (Taken::Endless, receiver.finish()),
            }
        }
        (Taken::More, receiver.finish())
    }

    #[test]
    fn the_end_of_data_is_found_where_it_is_and_nowhere_else() {
        let ok = |kept: &[u8]| Ok(Data { kept: kept.to_vec(), size: kept.len() as u64 });
        let bare = || Err(DataFault::BareLineEnd);
        // Each input is followed by a command that must be left behind, or must have been read as data.
        for (input, rest, want) in [
            (&b"a\r\n.\r\n"[..], &b"QUIT\r\n"[..], ok(b"a\r\n")),
            // An empty message; one empty line; a line of nothing but dots.
            (b".\r\n", b"QUIT\r\n", ok(b"")),
            (b"\r\n.\r\n", b"QUIT\r\n", ok(b"\r\n")),
            (b"..\r\n.\r\n", b"QUIT\r\n", ok(b".\r\n")),
            (b"...\r\n.\r\n", b"", ok(b"..\r\n")),
            // Added dots go, others stay.
            (b"..a\r\n.b\r\nc.\r\n.\r\n", b"", ok(b".a\r\nb\r\nc.\r\n")),
            (b"a\r\n..\r\n.\r\n", b".\r\n", ok(b"a\r\n.\r\n")),
            // What other hosts have taken for the end.
            (b"a\n.\nMAIL FROM:<>\r\n.\r\n", b"", bare()),
            (b"a\n.\r\nMAIL FROM:<>\r\n.\r\n", b"", bare()),
            (b"a\r\n.\nMAIL FROM:<>\r\n.\r\n", b"", bare()),
            (b"a\r.\rMAIL FROM:<>\r\n.\r\n", b"", bare()),
            (b"a\r\n.\rMAIL FROM:<>\r\n.\r\n", b"", bare()),
            (b"a\r.\r\nMAIL FROM:<>\r\n.\r\n", b"", bare()),
            (b"a\r\n.\r\r\nMAIL FROM:<>\r\n.\r\n", b"", bare()),
            (b"a\r\n.\r\rb\r\n.\r\n", b"", bare()),
            (b".\r\r\n.\r\n", b"QUIT\r\n", bare()),
            (b".\n.\r\n\r\n.\r\n", b"", bare()),
            (b"a\r\n\0.\r\nMAIL FROM:<>\r\n.\r\n", b"", ok(b"a\r\n\0.\r\nMAIL FROM:<>\r\n")),
            (b"a\r\n.\0\r\nb\r\n.\r\n", b"", ok(b"a\r\n\0\r\nb\r\n")),
            // This holds CRLF . CRLF and ends, but has a lone CR before it.
            (b"a\r\r\n.\r\n", b"QUIT\r\n", bare()),
            (b"\r\r\n.\r\n", b"QUIT\r\n", bare()),
            (b"a\rb\r\n.\r\n", b"QUIT\r\n", bare()),
            (b"a\nb\r\n.\r\n", b"QUIT\r\n", bare()),
            (b"\n.\n\r\n.\r\n", b"", bare()),
            // Odd octets are kept.
            (b"\0\xff\x80\x1a\r\n.\r\n", b"", ok(b"\0\xff\x80\x1a\r\n")),
        ] {
            let whole = [input, rest].concat();
            crate::fuzzing::data(&whole);
            for size in 1..=whole.len() {
                let got = receive(&whole, size, LIMITS);
                assert_eq!(got, (Taken::End(input.len()), want.clone()), "{} by {size}", whole.escape_ascii());
            }
            for cut in 0..=input.len() {
                let mut receiver = DataReceiver::new(LIMITS);
                let taken = match receiver.take(&whole[..cut]) {
                    Taken::More => receiver.take(&whole[cut..]),
                    taken => taken,
                };
                let used = if cut == input.len() { cut } else { input.len() - cut };
                assert_eq!(taken, Taken::End(used), "{} cut at {cut}", whole.escape_ascii());
                assert_eq!(receiver.finish(), want);
            }
        }
    }

    #[test]
    fn a_message_without_an_end_has_none() {
        for input in
            [&b""[..], b".", b".\r", b"a\r\n.\r", b"a\r\n.", b"a.\r\n", b" .\r\n", b"\n.\r\n", b".\n", b".\r\r\n"]
        {
            assert_eq!(receive(input, 1, LIMITS).0, Taken::More, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn the_size_is_counted_exactly() {
        let limits = DataLimits { size: 6, keep: 100, read: 1000 };
        for (input, want) in [
            (&b"abcd\r\n.\r\n"[..], Ok(6)),
            (b"..bcd\r\n.\r\n", Ok(6)),
            (b"abcde\r\n.\r\n", Err(DataFault::TooLarge)),
            (b"a\r\n..\r\n.\r\n", Ok(6)),
            (b"a\r\nb\r\n..\r\n.\r\n", Err(DataFault::TooLarge)),
        ] {
            for size in 1..=input.len() {
                assert_eq!(receive(input, size, limits).1.map(|data| data.size), want, "{}", input.escape_ascii());
            }
        }
    }

    #[test]
    fn only_the_start_is_kept_and_memory_stays_flat() {
        let limits = DataLimits { size: 1 << 30, keep: 20_000, read: 1 << 31 };
        for line in [&b"0123456789\r\n"[..], b"..............", b"\r\n"] {
            let mut receiver = DataReceiver::new(limits);
            let piece = line.repeat(1000);
            for _ in 0..50 {
                assert_eq!(receiver.take(&piece), Taken::More);
                assert!(receiver.kept.capacity() <= limits.keep);
            }
            assert_eq!(receiver.take(b"\r\n.\r\n"), Taken::End(5));
            let data = receiver.finish().unwrap();
            assert!(data.kept.len() <= limits.keep && data.size >= data.kept.len() as u64);
            assert_eq!(data.kept.len() as u64, data.size.min(20_000));
        }
    }

    #[test]
    fn a_message_without_end_is_given_up_at_the_same_octet_however_it_is_cut() {
        let limits = DataLimits { size: 10, keep: 10, read: 20 };
        let ends = [&b"x"[..].repeat(15), &b"\r\n.\r\n"[..]].concat();
        let late = [&b"x"[..].repeat(16), &b"\r\n.\r\n"[..]].concat();
        for size in 1..=30 {
            assert_eq!(receive(&ends, size, limits), (Taken::End(20), Err(DataFault::TooLarge)));
            assert_eq!(receive(&late, size, limits).0, Taken::Endless);
        }
    }

    proptest! {
        #[test]
        fn fast_and_plain_agree_however_the_input_is_cut(
            input in prop::collection::vec(prop::sample::select(&b"\r\n.a\0"[..]), 0..60),
        ) {
            crate::fuzzing::data(&input);
            crate::fuzzing::data(&[&input[..], b"\r\n.\r\n"].concat());
        }
    }
}
