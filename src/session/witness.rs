//! A session watched by somebody who pairs replies with commands without its help, for fuzzing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Action, Ended, Session, SessionConfig, Stage, Transaction};
use crate::id::DeliveryId;
use crate::net::clock::Clock;
use crate::smtp::extensions::Extensions;
use crate::smtp::{Input, Machine, Output, Reply, ReplyParser};

/// Plays a remote host that says `data` and checks the promises of the session. The first byte chooses PIPELINING and
/// how the rest is cut; `0xff` stands for the next time limit, `0xfe` for the release of everything offered.
pub(crate) fn watch(data: &[u8]) {
    let Some((choice, said)) = data.split_first() else { return };
    let mut watch = Watch::new(choice & 1 == 1);
    watch.settle();
    for piece in said.chunks(1 + usize::from(choice >> 1)) {
        for bytes in piece.split_inclusive(|byte| *byte >= 0xfe) {
            let (bytes, signal) = match bytes.split_last() {
                Some((signal @ 0xfe.., bytes)) => (bytes, Some(*signal)),
                _ => (bytes, None),
            };
            watch.hear(bytes);
            match signal {
                Some(0xfe) => watch.release(),
                Some(_) => watch.wait(),
                None => {}
            }
        }
    }
    watch.session.handle(Input::Closed, watch.now);
    watch.settle();
    assert!(watch.closed, "a closed connection ends the conversation");
    assert_eq!(watch.told.len(), usize::from(watch.offered), "each transaction is told once");
}

/// A command that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Reset,
    Mail,
    Rcpt,
    Data,
    EndOfBody,
    LoneDot,
    Quit,
}

struct Watch {
    session: Session,
    now: Instant,
    due: Option<Instant>,
    closed: bool,
    offered: u8,
    /// Of the last MAIL.
    current: u64,
    in_body: bool,
    written: Vec<(u64, Written)>,
    parser: ReplyParser,
    /// The n-th belongs to the n-th of `written`.
    replies: Vec<Reply>,
    told: BTreeMap<u64, Ended>,
}

/// How many messages there are.
const MESSAGES: u8 = 4;

impl Watch {
    fn new(pipelining: bool) -> Watch {
        let limit = Duration::from_secs(60);
        let config = SessionConfig {
            command_timeout: limit,
            data_timeout: limit,
            end_of_data_timeout: limit,
            transaction_timeout: 10 * limit,
            pipelining: true,
        };
        let now = Clock::system().instant();
        Watch {
            session: Session::new(config, Extensions { pipelining, ..Extensions::default() }, now),
            now,
            due: None,
            closed: false,
            offered: 0,
            current: 0,
            in_body: false,
            written: Vec::new(),
            parser: ReplyParser::default(),
            replies: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Ok(Some(reply)) = self.parser.next(&mut rest) {
            self.replies.push(reply);
        }
        self.session.handle(Input::Bytes(bytes), self.now);
        self.settle();
    }

    fn release(&mut self) {
        for id in 1..=u64::from(self.offered) {
            self.session.release(DeliveryId::from_u64(id), self.now);
        }
        self.settle();
    }

    fn wait(&mut self) {
        if let Some(due) = self.due {
            assert!(due > self.now, "a time limit that is up ends the conversation");
            self.now = due;
            self.session.handle(Input::Time, due);
            self.settle();
        }
    }

    /// Takes everything out of the session.
    fn settle(&mut self) {
        loop {
            match self.session.poll(self.now) {
                Output::Send(pieces) => {
                    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_bytes().to_vec()).collect();
                    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                        self.read(std::str::from_utf8(line).expect("ASCII").trim_end());
                    }
                    self.session.handle(Input::Flushed, self.now);
                }
                Output::Act(Action::Done(delivery, ended)) => self.check_end(delivery.as_u64(), ended),
                Output::Act(Action::Ready) if self.offered == MESSAGES => self.session.quit(self.now),
                Output::Act(Action::Ready) => {
                    self.offered += 1;
                    self.session.offer(message(self.offered), self.now);
                }
                Output::Close => {
                    (self.closed, self.due) = (true, None);
                    return;
                }
                Output::Wait(due) => {
                    self.due = due;
                    return;
                }
            }
        }
    }

    /// Reads a line that the session wrote.
    fn read(&mut self, line: &str) {
        let command = match line.get(..4).unwrap_or(line) {
            "RSET" => Written::Reset,
            "MAIL" => {
                self.current += 1;
                assert!(line.starts_with(&format!("MAIL FROM:<b{}@", self.current)));
                Written::Mail
            }
            "RCPT" => Written::Rcpt,
            "DATA" => Written::Data,
            "QUIT" => Written::Quit,
            "body" => {
                self.in_body = true;
                let codes =
                    [Written::Mail, Written::Rcpt, Written::Data].map(|command| self.code(self.current, command));
                assert!(matches!(codes, [Some(200..300), Some(200..300), Some(354)]), "a body after {codes:?}");
                return;
            }
            "." if std::mem::take(&mut self.in_body) => Written::EndOfBody,
            "." => {
                let codes =
                    [Written::Mail, Written::Rcpt, Written::Data].map(|command| self.code(self.current, command));
                assert!(matches!(codes, [Some(200..300), Some(400..600), Some(354)]), "a lone dot after {codes:?}");
                Written::LoneDot
            }
            other => panic!("wrote {other:?}"),
        };
        self.written.push((self.current, command));
        let ends_data = matches!(command, Written::EndOfBody | Written::LoneDot);
        assert!(!ends_data || self.replies.len() < self.written.len(), "a reply waited before the end of data");
    }

    /// The code of the reply to a command of a transaction.
    fn code(&self, id: u64, command: Written) -> Option<u16> {
        let index = self.written.iter().position(|written| *written == (id, command))?;
        self.replies.get(index).map(|reply| reply.code)
    }

    fn check_end(&mut self, id: u64, ended: Ended) {
        let end_of_data = self.code(id, Written::EndOfBody);
        match &ended {
            Ended::Accepted(reply) => {
                assert_eq!(end_of_data, Some(reply.code));
                assert!(reply.is_success(), "accepted by {reply}");
            }
            Ended::Refused(Stage::EndOfData, reply) => assert!(end_of_data == Some(reply.code) && reply.is_refusal()),
            Ended::Uncertain(_) => assert!(self.written.contains(&(id, Written::EndOfBody))),
            Ended::Refused(..) | Ended::Stopped(..) | Ended::NotTried(..) => {
                assert!(!self.written.contains(&(id, Written::EndOfBody)), "{id} ended as {ended:?}");
            }
        }
        assert!(self.told.insert(id, ended).is_none(), "{id} was told twice");
    }
}

fn message(id: u8) -> Transaction {
    Transaction {
        delivery: DeliveryId::from_u64(id.into()),
        return_path: format!("b{id}@b.example.org").parse().expect("an address"),
        recipient: format!("r{id}@example.net").parse().expect("an address"),
        prefix: String::new(),
        body: b"body\r\n"[..].into(),
        smtputf8: false,
        eight_bit: false,
    }
}
