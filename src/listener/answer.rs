//! What the listener answers: replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034, RFC 3463).
//!
//! One row for each answer, so that what the listener can say stands on one page. The words are for people who read
//! their mail log; they tell no secret, least of all why a recipient was refused.

use super::ReceptionConfig;
use crate::smtp::command::CommandFault;
use crate::smtp::data::DataFault;
use crate::smtp::line::LineFault;

/// One reply of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    SenderTaken,
    RecipientTaken,
    CannotVerify,
    Help,
    Bye,
    ReadyForTls,
    GoAhead,
    Stored,
    TimedOut,
    Stopping,
    TooManyGuesses,
    TooManyErrors,
    TooManyCommands,
    TooMuchAhead,
    CannotTell,
    NotStored,
    NoRoom,
    TooManyRecipients,
    Unknown,
    Unreadable,
    LineTooLong,
    LineEnd,
    BadArguments,
    BadSender,
    BadRecipient,
    BadParameter,
    NotOffered,
    HelloFirst,
    MailFirst,
    RecipientFirst,
    SecondMail,
    SecondTls,
    NoSuchRecipient,
    NoRecipients,
    TooLarge,
    BareLineEnd,
    NotSmtp,
    TalksTooEarly,
}

/// What an answer means for the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It goes on. What is only refused is no error of the peer.
    GoesOn,
    /// The peer broke a rule of the protocol; so many of these end it.
    Error,
    /// The connection is closed behind this answer.
    Last,
}

impl Answer {
    /// The whole reply, and what it means.
    pub(super) fn row(self) -> (Effect, &'static str) {
        use Effect::{Error, GoesOn, Last};
        match self {
            Answer::Done => (GoesOn, "250 2.0.0 Ok\r\n"),
            Answer::SenderTaken => (GoesOn, "250 2.1.0 Ok\r\n"),
            Answer::RecipientTaken => (GoesOn, "250 2.1.5 Ok\r\n"),
            // The same for everybody: VRFY is not to be a cheaper RCPT.
            Answer::CannotVerify => (GoesOn, "252 2.0.0 Send a message and see\r\n"),
            Answer::Help => (GoesOn, "214 2.0.0 This host takes delivery reports, see RFC 5321 and RFC 3464\r\n"),
            Answer::Bye => (Last, "221 2.0.0 Bye\r\n"),
            Answer::ReadyForTls => (GoesOn, "220 2.0.0 Ready to start TLS\r\n"),
            Answer::GoAhead => (GoesOn, "354 End with a dot on a line of its own\r\n"),
            Answer::Stored => (GoesOn, "250 2.0.0 Stored\r\n"),
            Answer::TimedOut => (Last, "421 4.4.2 Waited too long\r\n"),
            Answer::Stopping => (Last, "421 4.3.2 Stopping, try again later\r\n"),
            Answer::TooManyGuesses => (Last, "421 4.7.0 Too many unknown recipients\r\n"),
            Answer::TooManyErrors => (Last, "421 4.7.0 Too many errors\r\n"),
            Answer::TooManyCommands => (Last, "421 4.7.0 Too many commands, connect again\r\n"),
            Answer::TooMuchAhead => (Last, "421 4.7.0 Too much sent ahead of our replies\r\n"),
            Answer::CannotTell => (GoesOn, "451 4.3.0 Cannot tell now, try again later\r\n"),
            Answer::NotStored => (GoesOn, "451 4.3.0 Not stored, try again later\r\n"),
            Answer::NoRoom => (GoesOn, "452 4.3.1 No room to store it, try again later\r\n"),
            Answer::TooManyRecipients => (GoesOn, "452 4.5.3 Too many recipients\r\n"),
            Answer::Unknown => (Error, "500 5.5.1 Unknown command\r\n"),
            Answer::Unreadable => (Error, "500 5.5.2 Not a command\r\n"),
            Answer::LineTooLong => (Last, "500 5.5.2 Line too long\r\n"),
            Answer::LineEnd => (Last, "500 5.5.2 Lines end with CR LF\r\n"),
            Answer::BadArguments => (Error, "501 5.5.4 Arguments not understood\r\n"),
            Answer::BadSender => (Error, "501 5.1.7 Sender is not an address in angle brackets\r\n"),
            Answer::BadRecipient => (Error, "501 5.1.3 Recipient is not an address in angle brackets\r\n"),
            Answer::BadParameter => (Error, "555 5.5.4 Unknown parameter\r\n"),
            Answer::NotOffered => (Error, "502 5.5.1 Not offered here\r\n"),
            Answer::HelloFirst => (Error, "503 5.5.1 EHLO first\r\n"),
            Answer::MailFirst => (Error, "503 5.5.1 MAIL first\r\n"),
            Answer::RecipientFirst => (Error, "503 5.5.1 RCPT first\r\n"),
            Answer::SecondMail => (Error, "503 5.5.1 A sender is set already\r\n"),
            Answer::SecondTls => (Error, "503 5.5.1 TLS is on already\r\n"),
            Answer::NoSuchRecipient => (GoesOn, "550 5.1.1 No such recipient\r\n"),
            Answer::NoRecipients => (GoesOn, "554 5.5.1 No valid recipients\r\n"),
            Answer::TooLarge => (GoesOn, "552 5.3.4 Message too large\r\n"),
            Answer::BareLineEnd => (GoesOn, "554 5.6.0 CR or LF alone in the message, see RFC 5321 section 2.3.8\r\n"),
            Answer::NotSmtp => (Last, "554 5.5.1 This is SMTP\r\n"),
            Answer::TalksTooEarly => (Last, "554 5.5.1 Wait for the greeting\r\n"),
        }
    }
}

impl From<LineFault> for Answer {
    fn from(fault: LineFault) -> Answer {
        match fault {
            LineFault::TooLong => Answer::LineTooLong,
            LineFault::BareLineFeed => Answer::LineEnd,
            LineFault::Tls => Answer::NotSmtp,
        }
    }
}

impl From<CommandFault> for Answer {
    fn from(fault: CommandFault) -> Answer {
        match fault {
            CommandFault::Unknown => Answer::Unknown,
            CommandFault::Unreadable => Answer::Unreadable,
            CommandFault::Http => Answer::NotSmtp,
            CommandFault::Arguments => Answer::BadArguments,
            CommandFault::BadSender => Answer::BadSender,
            CommandFault::BadRecipient => Answer::BadRecipient,
            CommandFault::Parameter => Answer::BadParameter,
        }
    }
}

impl From<DataFault> for Answer {
    fn from(fault: DataFault) -> Answer {
        match fault {
            DataFault::BareLineEnd => Answer::BareLineEnd,
            DataFault::TooLarge => Answer::TooLarge,
        }
    }
}

/// Writes the greeting.
pub(super) fn greeting(out: &mut Vec<u8>, config: &ReceptionConfig) {
    write(out, &["220 ", &config.hostname, " ESMTP\r\n"]);
}

/// Writes the answer to HELO.
pub(super) fn hello(out: &mut Vec<u8>, config: &ReceptionConfig) {
    write(out, &["250 ", &config.hostname, "\r\n"]);
}

/// Writes the answer to EHLO. DSN is not offered: it would oblige us to send reports of success, and this host never
/// sends a report of its own.
pub(super) fn extended_hello(out: &mut Vec<u8>, config: &ReceptionConfig, tls: bool) {
    let size = config.max_size.to_string();
    write(out, &["250-", &config.hostname, "\r\n250-PIPELINING\r\n250-SIZE ", &size, "\r\n"]);
    if config.starttls && !tls {
        write(out, &["250-STARTTLS\r\n"]);
    }
    write(out, &["250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n"]);
}

fn write(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::ReplyParser;

    const ALL: [Answer; 38] = [
        Answer::Done,
        Answer::SenderTaken,
        Answer::RecipientTaken,
        Answer::CannotVerify,
        Answer::Help,
        Answer::Bye,
        Answer::ReadyForTls,
        Answer::GoAhead,
        Answer::Stored,
        Answer::TimedOut,
        Answer::Stopping,
        Answer::TooManyGuesses,
        Answer::TooManyErrors,
        Answer::TooManyCommands,
        Answer::TooMuchAhead,
        Answer::NotStored,
        Answer::NoRoom,
        Answer::TooManyRecipients,
        Answer::Unknown,
        Answer::Unreadable,
        Answer::LineTooLong,
        Answer::LineEnd,
        Answer::BadArguments,
        Answer::BadSender,
        Answer::BadRecipient,
        Answer::BadParameter,
        Answer::NotOffered,
        Answer::HelloFirst,
        Answer::MailFirst,
        Answer::RecipientFirst,
        Answer::SecondMail,
        Answer::SecondTls,
        Answer::NoSuchRecipient,
        Answer::NoRecipients,
        Answer::TooLarge,
        Answer::BareLineEnd,
        Answer::NotSmtp,
        Answer::TalksTooEarly,
    ];

    #[test]
    fn each_answer_is_one_reply_whose_codes_agree() {
        for answer in ALL {
            let (effect, line) = answer.row();
            let mut input = line.as_bytes();
            let reply = ReplyParser::default().next(&mut input).unwrap().unwrap();
            assert!(input.is_empty(), "{line}");
            // RFC 2034 §4: every reply but those of the first digit 3 has an enhanced code.
            assert_eq!(reply.status.is_some(), answer != Answer::GoAhead, "{line}");
            if let Some(status) = reply.status {
                assert_eq!(u16::from(status.class()), reply.code / 100, "{line}");
            }
            assert_eq!(reply.code == 421, effect == Effect::Last && reply.is_refusal() && reply.code < 500, "{line}");
        }
    }
}
