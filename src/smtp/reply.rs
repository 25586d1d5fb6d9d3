//! Replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034).
//!
//! [`ReplyParser`] is strict where a mistake would pair a reply with the wrong command: the code is 200 to 599 and the
//! same on every line of a reply. It is lenient where remote hosts are sloppy and nothing can go wrong: lines without
//! text, line ends without CR, any bytes in the text, enhanced codes written `#5.1.1` or `5.1.1:`. Everything is bounded.
//!
//! The receiver of the smtp-proto crate is not used for this: it takes codes from 000 to 999, lets the code change
//! within a reply, fails on replies above 4,096 bytes, and does not know the two other spellings of enhanced codes.
//! How a reply fits the command it answers is decided by [`crate::session`], what it means by [`crate::verdict`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::verdict::EnhancedStatus;

/// One whole reply of a remote host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// 200 to 599.
    pub(crate) code: u16,
    /// The enhanced code, parsed once, also as `#5.1.1` or `5.1.1:`; only where its class agrees with `code`.
    pub(crate) status: Option<EnhancedStatus>,
    /// All lines joined with a space, without the enhanced code that is in `status` and without repetitions of it,
    /// decoded leniently, free of control characters.
    pub(crate) text: String,
}

impl Reply {
    /// 2xx.
    pub(crate) fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4xx or 5xx.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.code / 100, 4 | 5)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

/// A reply that mail-send read (greeting, EHLO, STARTTLS, AUTH).
impl From<smtp_proto::Response<String>> for Reply {
    fn from(response: smtp_proto::Response<String>) -> Reply {
        let mut parser = ReplyParser { code: Some(response.code), ..ReplyParser::default() };
        for line in response.message.split('\n') {
            parser.add_text(line.as_bytes());
        }
        let [class, subject, detail] = response.esc;
        let mut reply = parser.finish();
        reply.status = EnhancedStatus::new(class, subject.into(), detail.into())
            .filter(|status| agrees(*status, reply.code))
            .or(reply.status);
        reply
    }
}

/// Bytes that are no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadReply {
    /// The line does not begin with a code from 200 to 599 and a space, a hyphen or the end of the line.
    #[error("not a reply: {0}")]
    NotAReply(String),
    /// The code changes within a reply.
    #[error("the lines of one reply have the codes {0} and {1}")]
    CodeChanged(u16, u16),
    /// See [`MAX_LINE`].
    #[error("a reply line is longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// See [`MAX_LINES`] and [`MAX_BYTES`].
    #[error("a reply is longer than {MAX_LINES} lines or {MAX_BYTES} bytes")]
    TooLong,
}

/// Takes bytes however they are cut and gives whole replies.
#[derive(Debug, Default)]
pub(crate) struct ReplyParser {
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// Of the reply's first line.
    code: Option<u16>,
    /// The first enhanced code at the start of a line, whether its class agrees or not.
    enhanced: Option<EnhancedStatus>,
    text: String,
    lines: usize,
    bytes: usize,
}

impl ReplyParser {
    /// Takes bytes off the front of `input`, up to the end of one reply at most. `Ok(None)`: all were taken and the
    /// reply is not whole yet. After an error the conversation cannot go on: nobody knows where the next reply starts.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, BadReply> {
        while let Some(end) = memchr::memchr(b'\n', input) {
            let (line, rest) = input.split_at(end + 1);
            *input = rest;
            let is_last = if self.line.is_empty() {
                self.take_line(line)?
            } else {
                self.keep(line)?;
                let mut line = std::mem::take(&mut self.line);
                let is_last = self.take_line(&line)?;
                line.clear();
                self.line = line;
                is_last
            };
            if is_last {
                return Ok(Some(self.finish()));
            }
        }
        self.keep(input)?;
        *input = &[];
        Ok(None)
    }

    /// Whether the start of a reply has come and its end has not.
    pub(crate) fn is_inside(&self) -> bool {
        self.lines > 0 || !self.line.is_empty()
    }

    /// Keeps a part of a line.
    fn keep(&mut self, part: &[u8]) -> Result<(), BadReply> {
        if self.line.len() + part.len() > MAX_LINE {
            return Err(BadReply::LineTooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Takes a whole line; answers whether it was the reply's last.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, BadReply> {
        if line.len() > MAX_LINE {
            return Err(BadReply::LineTooLong);
        }
        self.lines += 1;
        self.bytes += line.len();
        if self.lines > MAX_LINES || self.bytes > MAX_BYTES {
            return Err(BadReply::TooLong);
        }
        let line = line.trim_ascii_end();
        let not_a_reply = || BadReply::NotAReply(decode(&line[..line.len().min(80)]));
        let [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else {
            return Err(not_a_reply());
        };
        let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
        let (is_last, text) = match rest {
            [] => (true, rest),
            [b' ' | b'\t', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err(not_a_reply()),
        };
        match self.code {
            Some(first) if first != code => return Err(BadReply::CodeChanged(first, code)),
            _ => self.code = Some(code),
        }
        self.add_text(text);
        Ok(is_last)
    }

    /// Adds the text of a line, without an enhanced code that is known by then.
    fn add_text(&mut self, text: &[u8]) {
        let mut text = text.trim_ascii();
        if let Some((status, rest)) = split_enhanced(text) {
            let is_first = self.enhanced.is_none();
            if *self.enhanced.get_or_insert(status) == status && (!is_first || self.agrees(status)) {
                text = rest;
            }
        }
        if text.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        if std::str::from_utf8(text).is_err() {
            tracing::debug!(bytes = %text.escape_ascii(), "reply text is not UTF-8");
        }
        self.text.push_str(&decode(text));
    }

    /// The reply, and a fresh start.
    fn finish(&mut self) -> Reply {
        let text = std::mem::take(&mut self.text);
        let code = self.code.take().unwrap_or(0);
        let status = self.enhanced.take().filter(|status| agrees(*status, code));
        (self.lines, self.bytes) = (0, 0);
        Reply { code, status: status.or_else(|| find_hashed(&text, code)), text }
    }

    fn agrees(&self, status: EnhancedStatus) -> bool {
        self.code.is_some_and(|code| agrees(status, code))
    }
}

/// Whether the first digits are the same (RFC 2034 §4).
fn agrees(status: EnhancedStatus, code: u16) -> bool {
    u16::from(status.class()) == code / 100
}

/// Splits `5.1.1 text`, `#5.1.1 text` or `5.1.1: text`.
fn split_enhanced(text: &[u8]) -> Option<(EnhancedStatus, &[u8])> {
    let digits = text.strip_prefix(b"#").unwrap_or(text);
    let end = digits.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !matches!(rest, [] | [b' ' | b'\t' | b':', ..]) {
        return None;
    }
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((status, rest.strip_prefix(b":").unwrap_or(rest).trim_ascii_start()))
}

/// The enhanced code in a text like `no mailbox here by that name (#5.1.1)`, as qmail writes it.
fn find_hashed(text: &str, code: u16) -> Option<EnhancedStatus> {
    text.split('#').skip(1).find_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        rest[..end].trim_end_matches('.').parse().ok().filter(|status| agrees(*status, code))
    })
}

/// UTF-8 where it is, else each byte as its Latin-1 character: nothing is known about the character set (GBK and
/// ISO-2022-JP happen), and whatever is ASCII stays readable. Control characters would let a remote host write into
/// the terminal or the log of whoever reads them: a tab becomes a space, any other one the replacement character.
fn decode(text: &[u8]) -> String {
    let visible = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    match std::str::from_utf8(text) {
        Ok(text) => text.chars().map(visible).collect(),
        Err(_) => text.iter().map(|byte| visible(char::from(*byte))).collect(),
    }
}

/// The longest reply line in bytes with its end. RFC 5321 §4.5.3.1.5 says 512; texts with a URL and an id in each of
/// several sentences were seen to be longer.
const MAX_LINE: usize = 16 * 1024;

/// The most lines of a reply: far above the longest EHLO or HELP, and a bound on the work for empty lines.
const MAX_LINES: usize = 4_000;

/// The longest reply in bytes: room for the wordiest refusal, and what one conversation may cost in memory.
const MAX_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Reply, BadReply> {
        let mut parser = ReplyParser::default();
        let mut input = bytes;
        parser.next(&mut input).map(|reply| reply.expect("a whole reply"))
    }

    #[test]
    fn replies_as_they_come() {
        for (bytes, code, status, text) in [
            (&b"250 2.1.5 Ok\r\n"[..], 250, "2.1.5", "Ok"),
            (b"250\r\n", 250, "", ""),
            (b"354\r\n", 354, "", ""),
            (b"250 \r\n", 250, "", ""),
            (b"250-\r\n250\r\n", 250, "", ""),
            (b"250-one\r\n250\r\n", 250, "", "one"),
            (b"250 only a line feed\n", 250, "", "only a line feed"),
            (b"550-5.1.1 No such\r\n550-5.1.1  user \r\n550 5.1.1 here\r\n", 550, "5.1.1", "No such user here"),
            (b"550 #5.1.1 No such user\r\n", 550, "5.1.1", "No such user"),
            (b"550 5.1.1: No such user\r\n", 550, "5.1.1", "No such user"),
            (b"550 5.1.1\r\n", 550, "5.1.1", ""),
            (b"550-Sorry\r\n550 5.7.1 policy\r\n", 550, "5.7.1", "Sorry policy"),
            (b"550-5.7.1 a\r\n550 5.1.1 b\r\n", 550, "5.7.1", "a 5.1.1 b"),
            (b"550 4.2.2 over quota\r\n", 550, "", "4.2.2 over quota"),
            (b"550-4.2.2 over\r\n550 4.2.2 quota\r\n", 550, "", "4.2.2 over quota"),
            (b"550 5.1 short\r\n", 550, "", "5.1 short"),
            (b"550 5.1.1.1 long\r\n", 550, "", "5.1.1.1 long"),
            (b"550 5.1.1000 big\r\n", 550, "", "5.1.1000 big"),
            (b"552 1 Requested action aborted\r\n", 552, "", "1 Requested action aborted"),
            (b"554 192.0.2.1 is listed\r\n", 554, "", "192.0.2.1 is listed"),
            (
                b"550 sorry, no mailbox here by that name. (#5.1.1)\r\n",
                550,
                "5.1.1",
                "sorry, no mailbox here by that name. (#5.1.1)",
            ),
            (b"550 see #4.1.1\r\n", 550, "", "see #4.1.1"),
            // GBK.
            (b"550 \xc7\xeb\xca\xb9\xd3\xc3 SMTP\r\n", 550, "", "ÇëÊ¹ÓÃ SMTP"),
            (b"550 na\xc3\xafve\r\n", 550, "", "naïve"),
            (b"550 a\0b\x1b[2Jc\td\r\n", 550, "", "a\u{fffd}b\u{fffd}[2Jc d"),
        ] {
            let reply = parse(bytes).unwrap();
            let found = reply.status.map(|status| status.to_string()).unwrap_or_default();
            assert_eq!((reply.code, &*found, &*reply.text), (code, status, text), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [
            &b"HTTP/1.1 400 Bad\r\n"[..],
            b"\r\n",
            b"25\r\n",
            b"199 x\r\n",
            b"600 x\r\n",
            b"2500 x\r\n",
            b"250_x\r\n",
            b" 250 x\r\n",
        ] {
            assert!(matches!(parse(bytes), Err(BadReply::NotAReply(_))), "{}", bytes.escape_ascii());
        }
        assert_eq!(parse(b"250-a\r\n550 b\r\n"), Err(BadReply::CodeChanged(250, 550)));
    }

    #[test]
    fn replies_are_bounded() {
        let lines = |count: usize, text: &str| format!("{}250 end\r\n", format!("250-{text}\r\n").repeat(count));
        let long = parse(lines(1_000, &"x".repeat(94)).as_bytes()).unwrap();
        assert_eq!(long.text.len(), 1_000 * 95 + 3, "a reply of 100 kB is taken whole");
        assert_eq!(parse(lines(1_400, &"x".repeat(94)).as_bytes()), Err(BadReply::TooLong));
        assert_eq!(parse(lines(5_000, "").as_bytes()), Err(BadReply::TooLong));
        assert_eq!(parse(format!("250 {}\r\n", "x".repeat(MAX_LINE)).as_bytes()), Err(BadReply::LineTooLong));
        let mut parser = ReplyParser::default();
        let endless = (0..=MAX_LINE).map(|_| parser.next(&mut &b"2"[..])).find(|result| *result != Ok(None));
        assert_eq!(endless, Some(Err(BadReply::LineTooLong)));
        assert!(parser.line.len() <= MAX_LINE);
    }

    #[test]
    fn several_replies_are_kept_apart() {
        let mut input = &b"250 2.0.0 a\r\n550-5.1.1 b\r\n550 c\r\n354"[..];
        let mut parser = ReplyParser::default();
        let first = parser.next(&mut input).unwrap().unwrap();
        assert!(!parser.is_inside());
        let second = parser.next(&mut input).unwrap().unwrap();
        assert_eq!((first.to_string(), second.to_string()), ("250 2.0.0 a".into(), "550 5.1.1 b c".into()));
        assert_eq!(parser.next(&mut input), Ok(None));
        assert!(parser.is_inside());
        assert_eq!(parser.next(&mut &b"\r\n"[..]).unwrap().unwrap().code, 354);
    }

    #[test]
    fn a_reply_read_by_mail_send_becomes_the_same() {
        for bytes in
            [&b"554-5.7.1 Blocked\r\n554 5.7.1 see below\r\n"[..], b"554 Blocked\r\n", b"421 #4.7.0 slow down\r\n"]
        {
            let response = smtp_proto::response::parser::ResponseReceiver::default().parse(&mut bytes.iter()).unwrap();
            assert_eq!(Reply::from(response), parse(bytes).unwrap());
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'2'), Just(b'5'), Just(b'0'), Just(b'-'), Just(b' '), Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'\n'), any::<u8>()],
                0..200,
            ),
            start in prop_oneof![Just(&b""[..]), Just(&b"250-"[..]), Just(&b"550 5.1.1 x\n"[..])],
            cut in 1_usize..9,
        ) {
            let bytes = [start, &bytes].concat();
            let read = |size: usize| {
                let mut parser = ReplyParser::default();
                let mut replies = Vec::new();
                for mut piece in bytes.chunks(size) {
                    while !piece.is_empty() {
                        match parser.next(&mut piece) {
                            Ok(reply) => replies.extend(reply),
                            Err(error) => return (replies, Some(error)),
                        }
                    }
                }
                (replies, None)
            };
            let whole = read(bytes.len().max(1));
            prop_assert_eq!(&whole, &read(1));
            prop_assert_eq!(&whole, &read(cut));
            for reply in whole.0 {
                prop_assert!((200..600).contains(&reply.code));
                prop_assert!(!reply.text.chars().any(char::is_control));
            }
        }
    }
}
