//! Many messages through many conversations with remote hosts that refuse, forget, repeat themselves and hang up at
//! random. Whatever such a host does: what it accepted is exactly what was offered, no message is accepted twice, and
//! what it accepted was told as accepted or uncertain.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use proptest::prelude::*;

use super::tests::{config, transaction};
use super::{Action, Ended, Session};
use crate::net::clock::Clock;
use crate::smtp::extensions::Extensions;
use crate::smtp::{Input, Machine, Output};

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// What kind of host it is.
#[derive(Debug, Clone, Copy)]
struct Habits {
    /// After a message, or a refused one, the transaction is gone. Otherwise only RSET ends it.
    resets: bool,
    /// A second MAIL is accepted and changes nothing but the sender.
    mixes: bool,
    /// DATA gets 354 although there is no recipient.
    eager: bool,
    /// Replies go missing or come twice, connections close.
    flaky: bool,
}

/// A host as far as the envelope matters: return path, recipients, content.
struct Host {
    habits: Habits,
    input: Vec<u8>,
    output: Vec<u8>,
    in_data: bool,
    sender: Option<String>,
    recipients: Vec<String>,
    content: String,
    accepted: Vec<(String, Vec<String>, String)>,
    closed: bool,
    hung: bool,
}

impl Host {
    fn read(&mut self, bytes: &[u8], dice: &mut Dice) {
        self.input.extend_from_slice(bytes);
        while let Some(end) =
            self.input.windows(2).position(|pair| pair == b"\r\n").filter(|_| !self.closed && !self.hung)
        {
            let line = String::from_utf8(self.input.drain(..end + 2).take(end).collect()).unwrap();
            if self.in_data {
                self.read_data(&line, dice);
            } else {
                self.read_command(&line, dice);
            }
        }
    }

    fn read_data(&mut self, line: &str, dice: &mut Dice) {
        if line != "." {
            self.content.push_str(line.strip_prefix('.').unwrap_or(line));
            self.content.push_str("\r\n");
            return;
        }
        self.in_data = false;
        let content = std::mem::take(&mut self.content);
        let reply = if self.recipients.is_empty() {
            "554 no recipients"
        } else if dice.one_in(5) {
            "451 not now"
        } else {
            self.accepted.push((self.sender.clone().unwrap_or_default(), self.recipients.clone(), content));
            "250 queued"
        };
        if self.habits.resets {
            self.reset();
        }
        // A lie about a message, or a reply to RSET in place of it, is beyond what anybody could see. Silence is not.
        match dice.below(40) {
            0 if self.habits.flaky => self.closed = true,
            1 if self.habits.flaky => self.hung = true,
            _ => self.output.extend(format!("{reply}\r\n").bytes()),
        }
    }

    fn read_command(&mut self, line: &str, dice: &mut Dice) {
        let argument =
            line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path.to_string());
        let reply = match (&line[..4], argument) {
            ("RSET", _) if self.habits.flaky && dice.one_in(30) => "503 not now",
            ("RSET", _) => {
                self.reset();
                "250 reset"
            }
            ("MAIL", _) if self.sender.is_some() && !self.habits.mixes => "503 nested",
            ("MAIL", _) if dice.one_in(6) => "451 no",
            ("MAIL", sender) => {
                self.sender = sender;
                "250 sender"
            }
            ("RCPT", _) if self.sender.is_none() => "503 no sender",
            ("RCPT", _) if dice.one_in(3) => "550 5.1.1 no such user",
            ("RCPT", recipient) => {
                self.recipients.extend(recipient);
                "250 recipient"
            }
            ("DATA", _) if self.recipients.is_empty() && !self.habits.eager => "503 no recipients",
            ("DATA", _) if dice.one_in(12) => "452 disk full",
            ("DATA", _) => {
                self.in_data = true;
                "354 go on"
            }
            _ => "502 what",
        };
        self.reply(reply, dice);
    }

    fn reply(&mut self, reply: &str, dice: &mut Dice) {
        if self.habits.flaky {
            match dice.below(60) {
                0 => self.output.extend(format!("{reply}\r\n").bytes()),
                1 => return,
                2 => self.output.extend(b"421 good night\r\n"),
                3 => {
                    self.closed = true;
                    return;
                }
                _ => {}
            }
        }
        self.output.extend(format!("{reply}\r\n").bytes());
    }

    fn reset(&mut self) {
        self.sender = None;
        self.recipients.clear();
    }
}

/// One conversation: offers what is left in `queue`, answers how each transaction ended.
fn converse(
    queue: &mut Vec<u64>,
    habits: Habits,
    pipelining: bool,
    dice: &mut Dice,
    now: &mut Instant,
) -> (Vec<(u64, Ended)>, Host) {
    let offers = Extensions { pipelining, ..Extensions::default() };
    let mut session = Session::new(config(), offers, *now);
    let mut host = Host {
        habits,
        input: Vec::new(),
        output: Vec::new(),
        in_data: false,
        sender: None,
        recipients: Vec::new(),
        content: String::new(),
        accepted: Vec::new(),
        closed: false,
        hung: false,
    };
    let mut ends = Vec::new();
    let mut held = Vec::new();
    loop {
        let mut wrote = false;
        let due = loop {
            match session.poll(*now) {
                Output::Send(pieces) => {
                    wrote = true;
                    pieces.iter().for_each(|piece| host.read(piece.as_bytes(), dice));
                }
                Output::Act(Action::Ready) => match queue.pop() {
                    Some(id) => {
                        session.offer(message(id), *now);
                        held.push(id);
                    }
                    None => session.quit(*now),
                },
                Output::Act(Action::Done(delivery, ended)) => ends.push((delivery.as_u64(), ended)),
                Output::Close => return (ends, host),
                Output::Wait(due) => break due,
            }
        };
        if wrote {
            session.handle(Input::Flushed, *now);
        } else if !held.is_empty() && (host.output.is_empty() || dice.one_in(3)) {
            let id = held.swap_remove(dice.below(held.len() as u64) as usize);
            session.release(crate::id::DeliveryId::from_u64(id), *now);
        } else if !host.output.is_empty() {
            let cut = 1 + dice.below(host.output.len() as u64) as usize;
            let piece: Vec<u8> = host.output.drain(..cut).collect();
            session.handle(Input::Bytes(&piece), *now);
        } else if host.closed {
            session.handle(Input::Closed, *now);
        } else {
            *now = due.expect("a session that waits for a reply has a time limit");
            session.handle(Input::Time, *now);
        }
    }
}

fn message(id: u64) -> super::Transaction {
    transaction(id, &format!("r{id}@example.net"), content(id).as_bytes())
}

fn content(id: u64) -> String {
    format!("Subject: {id}\r\n\r\n.dotted {id}\r\n.\r\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_mixed_lost_or_sent_twice(
        seed in 1_u64..,
        pipelining: bool,
        (resets, mixes, eager, flaky) in any::<(bool, bool, bool, bool)>(),
    ) {
        let habits = Habits { resets, mixes, eager, flaky };
        let mut dice = Dice(seed);
        let mut now = Clock::system().instant();
        let mut queue: Vec<u64> = (1..=40).collect();
        let mut told: BTreeMap<u64, Ended> = BTreeMap::new();
        let mut accepted: BTreeSet<u64> = BTreeSet::new();
        let mut conversations = 0;
        while !queue.is_empty() {
            conversations += 1;
            prop_assert!(conversations < 2_000, "the queue does not empty");
            let (ends, host) = converse(&mut queue, habits, pipelining, &mut dice, &mut now);
            for (sender, recipients, content_sent) in host.accepted {
                let id: u64 = sender.trim_start_matches('b').split('@').next().unwrap().parse().unwrap();
                prop_assert_eq!(&recipients, &vec![format!("r{id}@example.net")]);
                prop_assert_eq!(content_sent, content(id));
                prop_assert!(accepted.insert(id), "{} was accepted twice", id);
            }
            for (id, ended) in ends {
                let again = match &ended {
                    Ended::NotTried(..) | Ended::Stopped(..) => true,
                    Ended::Refused(_, reply) => reply.code / 100 == 4,
                    _ => false,
                };
                match &ended {
                    Ended::Accepted(_) => prop_assert!(accepted.contains(&id), "{} was not accepted", id),
                    Ended::Uncertain(_) => {}
                    _ => prop_assert!(!accepted.contains(&id), "{} was accepted: {:?}", id, ended),
                }
                if again {
                    queue.push(id);
                } else {
                    prop_assert!(told.insert(id, ended).is_none(), "{} ended twice", id);
                }
            }
        }
        prop_assert_eq!(told.len(), 40);
    }
}
