//! Cuts what a client sends into command lines (RFC 5321 §2.3.8).
//!
//! Only CRLF ends a line. What stands in the line is the parser's business ([`super::command`]); here a line is only
//! found, and three things are seen that leave no way to go on: a line without end, a lone LF, and TLS on a plain
//! connection.

use memchr::memchr;

/// Takes bytes however they are cut and gives whole lines.
///
/// A line that came in one piece is borrowed from the input; only a line that was cut is copied, into at most
/// [`MAX_LINE`] octets.
#[derive(Debug, Default)]
pub(crate) struct LineFramer {
    /// The start of a line whose end has not come.
    partial: Vec<u8>,
    /// Whether `partial` is a whole line that was given out.
    given: bool,
}

/// Why there is no next line, and will be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineFault {
    /// More than [`MAX_LINE`] octets without CRLF.
    TooLong,
    /// LF without CR before it. The peer and we do not agree where lines end, so that whatever follows could be one
    /// command to us and two to a proxy between us: the conversation cannot go on.
    BareLineFeed,
    /// The first bytes of a TLS handshake record.
    Tls,
}

impl LineFramer {
    /// Takes the next line off `input`, without its CRLF. `None`: the input is used up.
    pub(crate) fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Result<&'a [u8], LineFault>> {
        if std::mem::take(&mut self.given) {
            self.partial.clear();
        }
        let bytes: &'i [u8] = input;
        let end = memchr(b'\n', bytes);
        let (head, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        *input = rest;
        if self.partial.iter().chain(head).take(TLS_RECORD.len()).eq(&TLS_RECORD) {
            return Some(Err(LineFault::Tls));
        }
        if self.partial.len() + head.len() > MAX_LINE {
            return Some(Err(LineFault::TooLong));
        }
        let line = if end.is_some() && self.partial.is_empty() {
            head
        } else {
            self.partial.extend_from_slice(head);
            end?;
            self.given = true;
            &self.partial
        };
        Some(line.strip_suffix(b"\r\n").ok_or(LineFault::BareLineFeed))
    }
}

/// The longest command line in octets, CRLF included. 512 (RFC 5321 §4.5.3.1.4), and what parameters may add that we
/// know: 500 for AUTH (RFC 4954 §3), 528 for ORCPT and NOTIFY, 115 for ENVID and RET (RFC 3461 §4), 36 for SIZE and
/// SMTPUTF8; rounded up, for peers that count less well.
pub(crate) const MAX_LINE: usize = 2048;

/// How a TLS record of type `handshake` begins (RFC 8446 §5.1). No command does.
const TLS_RECORD: [u8; 2] = [0x16, 0x03];

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of `bytes`, given in pieces of `size` octets; ends at the first fault.
    fn lines(bytes: &[u8], size: usize) -> Vec<Result<Vec<u8>, LineFault>> {
        let mut framer = LineFramer::default();
        let mut lines = Vec::new();
        for mut piece in bytes.chunks(size) {
            while let Some(line) = framer.next(&mut piece) {
                lines.push(line.map(<[u8]>::to_vec));
                if line.is_err() {
                    return lines;
                }
            }
            assert!(framer.partial.len() <= MAX_LINE);
        }
        lines
    }

    #[test]
    fn only_crlf_ends_a_line_however_it_is_cut() {
        let ok = |line: &[u8]| Ok(line.to_vec());
        let longest = [vec![b'x'; MAX_LINE - 2], b"\r\n".to_vec()].concat();
        let too_long = [vec![b'x'; MAX_LINE - 1], b"\r\n".to_vec()].concat();
        for (bytes, want) in [
            (&b"EHLO a\r\nQUIT\r\n"[..], vec![ok(b"EHLO a"), ok(b"QUIT")]),
            (b"\r\n\r\n", vec![ok(b""), ok(b"")]),
            (b"QUIT", vec![]),
            (b"QUIT\r", vec![]),
            (b"DA\rTA\r\n", vec![ok(b"DA\rTA")]),
            (b"NOOP\r\r\nNOOP\r\n", vec![ok(b"NOOP\r"), ok(b"NOOP")]),
            (b"NOOP\r\nNOOP\nRSET\r\n", vec![ok(b"NOOP"), Err(LineFault::BareLineFeed)]),
            (b"\n", vec![Err(LineFault::BareLineFeed)]),
            (b"\x16\x03\x01\x02\x00\x01\r\n", vec![Err(LineFault::Tls)]),
            (b"\x16x\r\n", vec![ok(b"\x16x")]),
            (&longest, vec![ok(&longest[..MAX_LINE - 2])]),
            (&too_long, vec![Err(LineFault::TooLong)]),
            (&[b'x'; 5000], vec![Err(LineFault::TooLong)]),
        ] {
            for size in [1, 2, 3, 7, usize::MAX >> 1] {
                assert_eq!(lines(bytes, size), want, "{}, {size} at a time", bytes.escape_ascii());
            }
        }
    }
}
