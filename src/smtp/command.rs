//! Reads a command line (RFC 5321 §4.1.1) into a [`Command`], or says what is wrong with it.
//!
//! Strict where two readers could understand different things: nothing is stripped or repaired, an address ends where
//! its brackets end, and no control character gets through. Lenient where everybody understands the same and real
//! hosts differ: the case of words, spaces after the colon and at the end, the order of parameters, what stands in
//! EHLO. Which extensions are offered is not known here; parameters of DSN, SIZE, 8BITMIME, SMTPUTF8 and AUTH are read
//! in any case, since hosts send them unasked.

/// A command, borrowed from its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// The name that the client gives itself, unchecked: hosts call themselves `localhost` and worse.
    Helo(&'a str),
    /// As for [`Command::Helo`].
    Ehlo(&'a str),
    Mail {
        /// Between the brackets, without a source route; empty for the null sender.
        from: &'a str,
        /// The size that the client declares (RFC 1870), where it does.
        size: Option<u64>,
    },
    Rcpt {
        /// Between the brackets, without a source route; never empty. Not taken apart: a quoted or percent-hacked
        /// local part, or one without a domain, comes as it is.
        to: &'a str,
    },
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
    /// A command of the standards that is not offered here.
    NotOffered,
}

/// Why a line is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandFault {
    /// No such command.
    Unknown,
    /// Not even a word: nothing, or something with control characters or octets beyond ASCII.
    Unreadable,
    /// A request line of HTTP: a browser was made to talk to us, and what follows is not SMTP either.
    Http,
    /// The command is known and what follows it is not understood.
    Arguments,
    /// MAIL with something that is not a path.
    BadSender,
    /// RCPT with something that is not a path.
    BadRecipient,
    /// A parameter of MAIL or RCPT that is not known.
    Parameter,
}

impl Command<'_> {
    /// Reads a line, given without its CRLF.
    pub(crate) fn parse(line: &[u8]) -> Result<Command<'_>, CommandFault> {
        let verb_end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (verb, rest) = line.split_at(verb_end);
        let arguments = trim(rest);
        let alone = |command| if arguments.is_empty() { Ok(command) } else { Err(CommandFault::Arguments) };
        let mut word = [0; LONGEST_VERB];
        let word = word.get_mut(..verb.len()).ok_or_else(|| unknown(verb))?;
        word.copy_from_slice(verb);
        word.make_ascii_uppercase();
        match &*word {
            b"EHLO" => host_name(arguments).map(Command::Ehlo),
            b"HELO" => host_name(arguments).map(Command::Helo),
            b"MAIL" => mail(arguments),
            b"RCPT" => rcpt(arguments),
            b"DATA" => alone(Command::Data),
            b"RSET" => alone(Command::Rset),
            b"QUIT" => alone(Command::Quit),
            b"STARTTLS" => alone(Command::StartTls),
            // These may have arguments, which are not used.
            b"NOOP" => text(arguments).map(|_| Command::Noop),
            b"HELP" => text(arguments).map(|_| Command::Help),
            b"VRFY" => text(arguments).map(|_| Command::Vrfy),
            b"EXPN" | b"AUTH" | b"BDAT" | b"ETRN" | b"TURN" | b"ATRN" | b"SEND" | b"SOML" | b"SAML" | b"BURL" => {
                Ok(Command::NotOffered)
            }
            b"GET" | b"POST" | b"PUT" | b"HEAD" | b"DELETE" | b"OPTIONS" | b"CONNECT" | b"TRACE" | b"PATCH"
            | b"PRI" => Err(CommandFault::Http),
            _ => Err(unknown(verb)),
        }
    }
}

/// What is wrong with a verb that is not known.
fn unknown(verb: &[u8]) -> CommandFault {
    let is_word = !verb.is_empty() && verb.iter().all(u8::is_ascii_graphic);
    if is_word { CommandFault::Unknown } else { CommandFault::Unreadable }
}

/// The longest verb that is known, in octets.
const LONGEST_VERB: usize = 8;

/// The longest path in RCPT in octets, without its brackets (RFC 5321 §4.5.3.1.3 counts them). The local part alone may
/// be longer than the 64 octets of §4.5.3.1.1: forwarders wrap return paths, and what they made must find its way back.
const MAX_PATH: usize = 256;

fn mail(arguments: &[u8]) -> Result<Command<'_>, CommandFault> {
    let (from, parameters) = path(arguments, b"FROM:", CommandFault::BadSender)?;
    let mut size: Option<u64> = None;
    for parameter in Parameters(parameters) {
        let (keyword, value) = parameter?;
        match (Keyword::of(keyword), value) {
            (Keyword::Size, Some(value)) => size = size.max(Some(number(value)?)),
            (Keyword::Body, Some(value)) if value.eq_ignore_ascii_case(b"7BIT") => {}
            (Keyword::Body, Some(value)) if value.eq_ignore_ascii_case(b"8BITMIME") => {}
            (Keyword::Smtputf8, None) | (Keyword::Ret | Keyword::Envid | Keyword::Auth, Some(_)) => {}
            (Keyword::Size | Keyword::Smtputf8 | Keyword::Ret | Keyword::Envid | Keyword::Auth, _) => {
                return Err(CommandFault::Arguments);
            }
            // BODY=BINARYMIME among them: it needs BDAT.
            _ => return Err(CommandFault::Parameter),
        }
    }
    Ok(Command::Mail { from, size })
}

fn rcpt(arguments: &[u8]) -> Result<Command<'_>, CommandFault> {
    let (to, parameters) = path(arguments, b"TO:", CommandFault::BadRecipient)?;
    if to.is_empty() || to.len() > MAX_PATH {
        return Err(CommandFault::BadRecipient);
    }
    for parameter in Parameters(parameters) {
        let (keyword, value) = parameter?;
        match (Keyword::of(keyword), value) {
            (Keyword::Notify | Keyword::Orcpt, Some(_)) => {}
            (Keyword::Notify | Keyword::Orcpt, None) => return Err(CommandFault::Arguments),
            _ => return Err(CommandFault::Parameter),
        }
    }
    Ok(Command::Rcpt { to })
}

/// Takes `word`, spaces and `<path>` off `arguments`; answers the path without its source route, and the parameters.
fn path<'a>(arguments: &'a [u8], word: &[u8], fault: CommandFault) -> Result<(&'a str, &'a [u8]), CommandFault> {
    let rest = match arguments.split_at_checked(word.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(word) => trim(rest),
        _ => return Err(CommandFault::Arguments),
    };
    let inner = rest.strip_prefix(b"<").ok_or(fault)?;
    let end = path_end(inner).ok_or(fault)?;
    let (path, after) = (&inner[..end], &inner[end + 1..]);
    if !(after.is_empty() || after.starts_with(b" ")) {
        return Err(fault);
    }
    let path = text(path).map_err(|_| fault)?;
    Ok((without_route(path).ok_or(fault)?, after))
}

/// Where the closing bracket stands. Brackets and spaces may stand within quotes only.
fn path_end(inner: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            b'<' | b' ' if !quoted => return None,
            _ => {}
        }
    }
    None
}

/// Cuts `@one.example,@two.example:` off (RFC 5321 §4.1.1.3: the route is to be ignored).
fn without_route(path: &str) -> Option<&str> {
    let mut rest = path;
    while let Some(host) = rest.strip_prefix('@') {
        // An IPv6 literal has colons of its own.
        let literal = if host.starts_with('[') { host.find(']')? } else { 0 };
        let end = literal + host.get(literal..)?.find([',', ':'])?;
        rest = host.get(end + 1..)?;
        if host.as_bytes().get(end) == Some(&b':') {
            return (!rest.is_empty() && !rest.starts_with('@')).then_some(rest);
        }
        if !rest.starts_with('@') {
            return None;
        }
    }
    Some(rest)
}

/// The parameters of MAIL and RCPT that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Size,
    Body,
    Smtputf8,
    Ret,
    Envid,
    Auth,
    Notify,
    Orcpt,
    Other,
}

impl Keyword {
    fn of(word: &[u8]) -> Keyword {
        const KNOWN: [(&[u8], Keyword); 8] = [
            (b"SIZE", Keyword::Size),
            (b"BODY", Keyword::Body),
            (b"SMTPUTF8", Keyword::Smtputf8),
            (b"RET", Keyword::Ret),
            (b"ENVID", Keyword::Envid),
            (b"AUTH", Keyword::Auth),
            (b"NOTIFY", Keyword::Notify),
            (b"ORCPT", Keyword::Orcpt),
        ];
        KNOWN.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map_or(Keyword::Other, |(_, keyword)| *keyword)
    }
}

/// Keywords with their values, parted by spaces.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<(&'a [u8], Option<&'a [u8]>), CommandFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = trim(self.0);
        if rest.is_empty() {
            return None;
        }
        let (word, after) = rest.split_at(rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len()));
        self.0 = after;
        let (keyword, value) = match word.iter().position(|byte| *byte == b'=') {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        };
        // `esmtp-keyword` and `esmtp-value` of RFC 5321 §4.1.2; a value may hold `=`, as some write it in ENVID.
        let keyword_fits = keyword.first().is_some_and(u8::is_ascii_alphanumeric)
            && keyword.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let value_fits = value.is_none_or(|value| !value.is_empty() && text(value).is_ok());
        Some(if keyword_fits && value_fits { Ok((keyword, value)) } else { Err(CommandFault::Arguments) })
    }
}

/// A number of at most 20 digits (RFC 1870 §3); one that does not fit is as large as can be.
fn number(digits: &[u8]) -> Result<u64, CommandFault> {
    if digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(CommandFault::Arguments);
    }
    Ok(digits.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// The name in EHLO and HELO: something without control characters, of at most 255 octets.
fn host_name(arguments: &[u8]) -> Result<&str, CommandFault> {
    if arguments.is_empty() || arguments.len() > 255 {
        return Err(CommandFault::Arguments);
    }
    text(arguments)
}

/// UTF-8 without control characters.
fn text(bytes: &[u8]) -> Result<&str, CommandFault> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control)).ok_or(CommandFault::Arguments)
}

/// Without spaces at either end. Only spaces: other white space is a control character.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from(from: &str, size: Option<u64>) -> Result<Command<'_>, CommandFault> {
        Ok(Command::Mail { from, size })
    }

    fn to(to: &str) -> Result<Command<'_>, CommandFault> {
        Ok(Command::Rcpt { to })
    }

    #[test]
    fn words_are_known_in_any_case_and_nothing_else_is() {
        for (line, want) in [
            ("EHLO mx.example.net", Ok(Command::Ehlo("mx.example.net"))),
            ("ehlo  [192.0.2.1] ", Ok(Command::Ehlo("[192.0.2.1]"))),
            ("HELO localhost", Ok(Command::Helo("localhost"))),
            ("HELO my computer", Ok(Command::Helo("my computer"))),
            ("EHLO", Err(CommandFault::Arguments)),
            ("EHLO a\rb", Err(CommandFault::Arguments)),
            ("DATA", Ok(Command::Data)),
            ("data ", Ok(Command::Data)),
            ("DATA now", Err(CommandFault::Arguments)),
            ("RSET", Ok(Command::Rset)),
            ("NOOP", Ok(Command::Noop)),
            ("NOOP whatever", Ok(Command::Noop)),
            ("NOOP \0", Err(CommandFault::Arguments)),
            ("VRFY ann", Ok(Command::Vrfy)),
            ("HELP MAIL", Ok(Command::Help)),
            ("Quit", Ok(Command::Quit)),
            ("STARTTLS", Ok(Command::StartTls)),
            ("STARTTLS x", Err(CommandFault::Arguments)),
            ("EXPN list", Ok(Command::NotOffered)),
            ("BDAT 86 LAST", Ok(Command::NotOffered)),
            ("GET / HTTP/1.1", Err(CommandFault::Http)),
            ("", Err(CommandFault::Unreadable)),
            (" DATA", Err(CommandFault::Unreadable)),
            ("DA\rTA", Err(CommandFault::Unreadable)),
            ("DATA\r", Err(CommandFault::Unreadable)),
            ("DATA\t", Err(CommandFault::Unreadable)),
            ("DATA\0", Err(CommandFault::Unreadable)),
            ("RCPTTO:<a@b.example>", Err(CommandFault::Unknown)),
            ("XCLIENT ADDR=192.0.2.1", Err(CommandFault::Unknown)),
            ("Received: from a.example", Err(CommandFault::Unknown)),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), want, "{line:?}");
        }
    }

    #[test]
    fn senders_and_their_parameters() {
        for (line, want) in [
            ("MAIL FROM:<>", from("", None)),
            ("mail from:<>", from("", None)),
            ("MAIL FROM: <>", from("", None)),
            ("MAIL  FROM:   <>  ", from("", None)),
            ("MAIL FROM:<> SIZE=2048 BODY=8BITMIME", from("", Some(2048))),
            ("MAIL FROM:<> BODY=8BITMIME", from("", None)),
            ("MAIL FROM:<> SIZE=0", from("", Some(0))),
            ("MAIL FROM:<a@b.example> ENVID=abc RET=HDRS", from("a@b.example", None)),
            ("MAIL FROM:<> RET=FULL SMTPUTF8 BODY=7bit AUTH=<> ENVID=a=b size=7", from("", Some(7))),
            ("MAIL FROM:<> SIZE=1 SIZE=3 SIZE=2", from("", Some(3))),
            ("MAIL FROM:<> SIZE=99999999999999999999", from("", Some(u64::MAX))),
            ("MAIL FROM:<@a.example,@b.example:c@d.example>", from("c@d.example", None)),
            ("MAIL FROM:<MAILER-DAEMON>", from("MAILER-DAEMON", None)),
            ("MAIL FROM:<\"a > b\"@c.example> SIZE=1", from("\"a > b\"@c.example", Some(1))),
            ("MAIL FROM:<jos\u{e9}@example.net> SMTPUTF8", from("jos\u{e9}@example.net", None)),
            ("MAIL FROM:<> FOO=1", Err(CommandFault::Parameter)),
            ("MAIL FROM:<> BODY=BINARYMIME", Err(CommandFault::Parameter)),
            ("MAIL FROM:<> NOTIFY=NEVER", Err(CommandFault::Parameter)),
            ("MAIL FROM:<> SIZE=", Err(CommandFault::Arguments)),
            ("MAIL FROM:<> SIZE", Err(CommandFault::Arguments)),
            ("MAIL FROM:<> SIZE=-1", Err(CommandFault::Arguments)),
            ("MAIL FROM:<> SIZE=100000000000000000000", Err(CommandFault::Arguments)),
            ("MAIL FROM:<> SMTPUTF8=1", Err(CommandFault::Arguments)),
            ("MAIL FROM:<> =1", Err(CommandFault::Arguments)),
            ("MAIL FROM:<> ENVID=a\0", Err(CommandFault::Arguments)),
            ("MAIL FROM:<>SIZE=1", Err(CommandFault::BadSender)),
            ("MAIL FROM:a@b.example", Err(CommandFault::BadSender)),
            ("MAIL FROM:", Err(CommandFault::BadSender)),
            ("MAIL FROM:<a@b.example", Err(CommandFault::BadSender)),
            ("MAIL FROM:<a b@c.example>", Err(CommandFault::BadSender)),
            ("MAIL FROM:<a@b.example>>", Err(CommandFault::BadSender)),
            ("MAIL FROM:<a\r@b.example>", Err(CommandFault::BadSender)),
            ("MAIL", Err(CommandFault::Arguments)),
            ("MAIL TO:<a@b.example>", Err(CommandFault::Arguments)),
            ("MAIL FROM <a@b.example>", Err(CommandFault::Arguments)),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), want, "{line:?}");
        }
    }

    #[test]
    fn recipients_are_taken_as_they_are_or_not_at_all() {
        let longest = format!("RCPT TO:<{}@{}>", "s".repeat(240), "d".repeat(15));
        let too_long = format!("RCPT TO:<{}@{}>", "s".repeat(240), "d".repeat(16));
        for (line, want) in [
            ("RCPT TO:<b-token@b.example>", to("b-token@b.example")),
            ("rcpt to: <b-token@b.example> NOTIFY=NEVER ORCPT=rfc822;a@b.example", to("b-token@b.example")),
            ("RCPT TO:<POSTmaster>", to("POSTmaster")),
            ("RCPT TO:<a%b@c.example>", to("a%b@c.example")),
            ("RCPT TO:<\"b-token\"@b.example>", to("\"b-token\"@b.example")),
            ("RCPT TO:<\"a\\\">\"@b.example>", to("\"a\\\">\"@b.example")),
            ("RCPT TO:<@a.example:c@d.example>", to("c@d.example")),
            ("RCPT TO:<@[IPv6:2001:db8::1],@b.example:c@d.example>", to("c@d.example")),
            (&longest, to(&longest[9..longest.len() - 1])),
            (&too_long, Err(CommandFault::BadRecipient)),
            ("RCPT TO:<>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<@a.example:>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<@a.example>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<@a.example,b.example:c@d.example>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<@[a:c@d.example>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:a@b.example", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<a@b.example\r>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<a\n@b.example>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<a\0@b.example>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<a\t@b.example>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<a\x7f@b.example>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<a\u{85}@b.example>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<\"a\r\"@b.example>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<<a@b.example>>", Err(CommandFault::BadRecipient)),
            ("RCPT TO:<a@b.example> NOTIFY", Err(CommandFault::Arguments)),
            ("RCPT TO:<a@b.example> SIZE=1", Err(CommandFault::Parameter)),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), want, "{line:?}");
        }
        assert_eq!(Command::parse(b"RCPT TO:<\xff@b.example>"), Err(CommandFault::BadRecipient));
    }

    proptest! {
        #[test]
        fn no_path_can_hold_what_ends_one(
            word in prop::sample::select(&["MAIL FROM:", "RCPT TO:", "mail from: <", "rcpt to:<"][..]),
            rest in "[<>@,:\"\\\\ a\u{0}\r\né=\\[\\]]{0,24}",
        ) {
            crate::fuzzing::command(format!("{word}{rest}\r\n").as_bytes());
        }

        #[test]
        fn any_line_is_read_without_a_panic(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Command::parse(&line);
        }
    }
}
