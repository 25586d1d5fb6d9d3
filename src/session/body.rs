//! A message on its way into DATA (RFC 5321 §4.5.2): dots at the start of a line doubled, CRLF before the end of data.
//!
//! The content is shared and never copied. A dot is doubled by two slices that overlap in it: one ends with the dot,
//! the next begins with it. It is given out in stretches, so that a large message does not sit in a queue and a reply
//! that comes while it is sent is seen.

use std::sync::Arc;

use memchr::memmem;

use crate::smtp::Piece;

/// A message and how much of it was given out.
#[derive(Debug)]
pub(super) struct Body {
    /// Header fields in front of the content, until they are given out.
    prefix: String,
    content: Arc<[u8]>,
    /// The first byte of `content` that was not given out.
    at: usize,
    /// Dots before this are doubled. It is ahead of `at` by the one dot that ended the last slice.
    doubled: usize,
    /// Whether the content begins at the start of a line.
    starts_line: bool,
    /// What ends the message.
    end: &'static [u8],
}

impl Body {
    /// `prefix`, then `content`; both have CRLF line ends.
    pub(super) fn new(mut prefix: String, content: Arc<[u8]>) -> Body {
        let starts_line = prefix.is_empty() || prefix.ends_with('\n');
        let last: &[u8] = if content.is_empty() { prefix.as_bytes() } else { &content };
        let end: &[u8] = if last.is_empty() || last.ends_with(b"\r\n") { b".\r\n" } else { b"\r\n.\r\n" };
        // Header fields do not begin with a dot, but what they are is not known here.
        if prefix.starts_with('.') {
            prefix.insert(0, '.');
        }
        if memmem::find(prefix.as_bytes(), b"\n.").is_some() {
            prefix = prefix.replace("\n.", "\n..");
        }
        Body { prefix, content, at: 0, doubled: 0, starts_line, end }
    }

    /// Gives out the next stretch.
    pub(super) fn write_stretch(&mut self, pieces: &mut Vec<Piece>) {
        if !self.prefix.is_empty() {
            pieces.push(Piece::Bytes(std::mem::take(&mut self.prefix).into_bytes()));
        }
        let stretch_end = self.content.len().min(self.at + STRETCH);
        for _ in 0..STRETCH_SLICES {
            let (slice_end, next) = match self.next_dot(stretch_end) {
                Some(dot) => (dot + 1, dot),
                None => (stretch_end, stretch_end),
            };
            if self.at < slice_end {
                pieces.push(Piece::Shared(Arc::clone(&self.content), self.at..slice_end));
            }
            (self.at, self.doubled) = (next, slice_end);
            if next == stretch_end {
                return;
            }
        }
    }

    /// Whether all but the end of data was given out.
    pub(super) fn is_written(&self) -> bool {
        self.prefix.is_empty() && self.at == self.content.len()
    }

    /// The end of data, with the CRLF that the message may lack.
    pub(super) fn end(&self) -> &'static [u8] {
        self.end
    }

    /// The next dot before `stretch_end` that stands at the start of a line and is not doubled yet.
    fn next_dot(&self, stretch_end: usize) -> Option<usize> {
        let from = self.doubled;
        let rest = self.content.get(from..stretch_end)?;
        let at_line_start = match from.checked_sub(1) {
            Some(before) => self.content.get(before) == Some(&b'\n'),
            None => self.starts_line,
        };
        if at_line_start && rest.first() == Some(&b'.') {
            return Some(from);
        }
        memmem::find(rest, b"\n.").map(|line_end| from + line_end + 1)
    }
}

/// How much of a message is given out before what was written must have been taken: enough to keep a fast connection
/// busy, little enough for thousands of connections.
const STRETCH: usize = 64 * 1024;

/// How many slices a stretch has at most. A message that is all dots would have one for every third byte; this many
/// still go out in one vectored write (`IOV_MAX` is 1,024 on Linux) together with the commands around them.
const STRETCH_SLICES: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that goes out for a message, and how many stretches it took.
    fn written(prefix: &str, content: &[u8]) -> (Vec<u8>, usize) {
        let mut body = Body::new(prefix.into(), content.into());
        let mut bytes = Vec::new();
        let mut stretches = 0;
        while !body.is_written() {
            let mut pieces = Vec::new();
            body.write_stretch(&mut pieces);
            assert!(pieces.len() <= STRETCH_SLICES + 1);
            assert!(pieces.iter().map(|piece| piece.as_bytes().len()).sum::<usize>() <= 2 * STRETCH + prefix.len());
            bytes.extend(pieces.iter().flat_map(|piece| piece.as_bytes().to_vec()));
            stretches += 1;
        }
        bytes.extend_from_slice(body.end());
        (bytes, stretches)
    }

    /// What a server reads: the plain reading of RFC 5321 §4.5.2. `None`: the data does not end with the last byte.
    fn read(data: &[u8]) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let mut rest = data;
        loop {
            let line_end = rest.windows(2).position(|pair| pair == b"\r\n")? + 2;
            let (line, more) = rest.split_at(line_end);
            if line == b".\r\n" {
                return more.is_empty().then_some(content);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            rest = more;
        }
    }

    #[test]
    fn dots_at_the_start_of_a_line_are_doubled() {
        for (prefix, content, data) in [
            ("", "", ".\r\n"),
            ("", ".", "..\r\n.\r\n"),
            ("", ".\r\n", "..\r\n.\r\n"),
            ("", "..\r\n", "...\r\n.\r\n"),
            ("", "a", "a\r\n.\r\n"),
            ("", "a\r\n", "a\r\n.\r\n"),
            ("", "a.b\r\n.c\r\n.\r\n..\r\n", "a.b\r\n..c\r\n..\r\n...\r\n.\r\n"),
            ("X: y\r\n", ".a\r\n", "X: y\r\n..a\r\n.\r\n"),
            ("X: y\r\n", "", "X: y\r\n.\r\n"),
            (".X: y\r\n .z\r\n", "a\r\n", "..X: y\r\n .z\r\na\r\n.\r\n"),
            // A line feed alone is never sent on purpose; a dot behind it could end the data of a sloppy server.
            ("", "a\n.\r\nb\r\n", "a\n..\r\nb\r\n.\r\n"),
            ("", "a\n", "a\n\r\n.\r\n"),
        ] {
            let (bytes, _) = written(prefix, content.as_bytes());
            assert_eq!(bytes.escape_ascii().to_string(), data.as_bytes().escape_ascii().to_string(), "{content:?}");
        }
    }

    #[test]
    fn a_dot_at_the_edge_of_a_stretch_is_doubled_once() {
        for shift in 0..4 {
            let content = format!("{}\r\n.tail\r\n", "x".repeat(STRETCH - 4 + shift));
            let (bytes, stretches) = written("", content.as_bytes());
            assert_eq!(stretches, 2);
            assert_eq!(read(&bytes).unwrap(), content.as_bytes());
            assert_eq!(bytes.len(), content.len() + 1 + 3);
        }
        let (bytes, stretches) = written("", &b".\r\n".repeat(2_000));
        assert_eq!(stretches, 4, "bounded by slices");
        assert_eq!(read(&bytes).unwrap(), b".\r\n".repeat(2_000));
    }

    proptest! {
        #[test]
        fn a_server_reads_what_was_given(
            lines in proptest::collection::vec("[.a]{0,3}", 0..40),
            repeats in prop_oneof![Just(1_usize), Just(700)],
        ) {
            let content = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>().repeat(repeats);
            let (bytes, _) = written("", content.as_bytes());
            prop_assert_eq!(read(&bytes), Some(content.into_bytes()));
        }
    }
}
