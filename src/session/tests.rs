//! The dialogues of the client: `tests/dialogues/client/*.smtp`, played with bytes cut in every way.
//!
//! ```text
//! with pipelining size=1000 8bitmime smtputf8 dsn     what the remote host offers
//! > offer 1 ann@example.net : Hello\r\n               delivery 1, to ann, with this body
//! > offer 1 ann@example.net 8bit utf8 times=9 : x     flags; the body nine times over
//! > release 1                                         its end of data may go out
//! > withdraw 1                                        it will not
//! > quit
//! ```
//!
//! The return path of delivery N is `bN@b.example.org`. A command may take 5 minutes, DATA and a stretch of a body 2,
//! the end of data 10, a transaction 30.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Action, Ended, Session, SessionConfig, Transaction};
use crate::id::DeliveryId;
use crate::net::clock::Clock;
use crate::smtp::dialogue::{Part, play_all, unescape};
use crate::smtp::extensions::Extensions;
use crate::smtp::{Input, Machine, Output};
use crate::verdict::Trouble;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn config() -> SessionConfig {
    SessionConfig {
        command_timeout: 5 * MINUTE,
        data_timeout: 2 * MINUTE,
        end_of_data_timeout: 10 * MINUTE,
        transaction_timeout: 30 * MINUTE,
        pipelining: true,
    }
}

pub(super) fn transaction(id: u64, recipient: &str, body: &[u8]) -> Transaction {
    Transaction {
        delivery: DeliveryId::from_u64(id),
        return_path: format!("b{id}@b.example.org").parse().unwrap(),
        recipient: recipient.parse().unwrap(),
        prefix: String::new(),
        body: body.into(),
        smtputf8: false,
        eight_bit: false,
    }
}

impl Part for Session {
    type Machine = Session;
    const SIDE: char = 'C';

    fn enter(settings: &[String], now: Instant) -> Session {
        let mut offers = Extensions::default();
        let mut config = config();
        for setting in settings {
            match setting.as_str() {
                "pipelining" => offers.pipelining = true,
                "8bitmime" => offers.eight_bit_mime = true,
                "smtputf8" => offers.smtputf8 = true,
                "dsn" => offers.dsn = true,
                "in-turn" => config.pipelining = false,
                size => offers.size = Some(size.strip_prefix("size=").and_then(|size| size.parse().ok()).unwrap()),
            }
        }
        Session::new(config, offers, now)
    }

    fn machine(&mut self) -> &mut Session {
        self
    }

    fn order(&mut self, verb: &str, arguments: &str, now: Instant) {
        match verb {
            "offer" => self.offer(offered(arguments), now),
            "release" => self.release(DeliveryId::from_u64(arguments.parse().unwrap()), now),
            "withdraw" => self.withdraw(DeliveryId::from_u64(arguments.parse().unwrap()), now),
            "quit" => self.quit(now),
            _ => panic!("unknown order {verb}"),
        }
    }

    fn render(&mut self, action: &Action) -> String {
        match action {
            Action::Ready => "ready".into(),
            Action::Done(delivery, ended) => format!("done {} {}", delivery.as_u64(), render(ended)),
        }
    }
}

/// Reads `1 ann@example.net flags : body`.
fn offered(arguments: &str) -> Transaction {
    let (words, body) = arguments.split_once(" : ").unwrap();
    let mut words = words.split_whitespace();
    let id = words.next().unwrap().parse().unwrap();
    let mut transaction = transaction(id, words.next().unwrap(), &unescape(body).unwrap());
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("8bit", _) => transaction.eight_bit = true,
            ("utf8", _) => transaction.smtputf8 = true,
            ("times", times) => transaction.body = transaction.body.repeat(times.parse().unwrap()).into(),
            ("prefix", prefix) => transaction.prefix = String::from_utf8(unescape(prefix).unwrap()).unwrap(),
            _ => panic!("unknown flag {word}"),
        }
    }
    transaction
}

fn render(ended: &Ended) -> String {
    let words = |trouble: &Trouble| match trouble {
        Trouble::TimedOut => "timed out".into(),
        Trouble::Closed => "closed".into(),
        Trouble::Broken(why) => format!("broken: {why}"),
        Trouble::OutOfStep(why) => format!("out of step: {why}"),
        Trouble::Unsupported(status, why) => format!("unsupported {status}: {why}"),
        other => panic!("not a trouble of a conversation: {other:?}"),
    };
    match ended {
        Ended::Accepted(reply) => format!("accepted: {reply}"),
        Ended::Refused(stage, reply) => format!("refused at {}: {reply}", stage.name()),
        Ended::Stopped(stage, trouble) => format!("stopped at {}: {}", stage.name(), words(trouble)),
        Ended::Uncertain(trouble) => format!("uncertain: {}", words(trouble)),
        Ended::NotTried(None, trouble) => format!("not tried: {}", words(trouble)),
        Ended::NotTried(Some(reply), trouble) => format!("not tried: {}: {reply}", words(trouble)),
    }
}

#[test]
fn the_dialogues_of_the_client() {
    play_all::<Session>("client");
}

/// What a session gives out until it waits.
fn outputs(session: &mut Session, now: Instant) -> Vec<Output<Action>> {
    std::iter::from_fn(|| Some(session.poll(now)).filter(|output| !matches!(output, Output::Wait(_)))).collect()
}

/// The writes among them.
fn writes(session: &mut Session, now: Instant) -> Vec<String> {
    let text = |output| match output {
        Output::Send(pieces) => Some(pieces.iter().map(|piece| String::from_utf8_lossy(piece.as_bytes())).collect()),
        _ => None,
    };
    outputs(session, now).into_iter().filter_map(text).collect()
}

#[test]
fn a_flight_is_one_write_and_rides_with_the_end_of_the_body_before_it() {
    let now = Clock::system().instant();
    let mut session = Session::enter(&["pipelining".into()], now);
    session.offer(transaction(1, "ann@example.net", b"one\r\n"), now);
    session.offer(transaction(2, "bob@example.net", b"two\r\n"), now);
    session.release(DeliveryId::from_u64(1), now);
    assert_eq!(
        writes(&mut session, now),
        ["MAIL FROM:<b1@b.example.org>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\n"],
        "the first flight of a connection"
    );
    session.handle(Input::Flushed, now);
    session.handle(Input::Bytes(b"250 a\r\n250 b\r\n354 c\r\n"), now);
    assert_eq!(
        writes(&mut session, now),
        ["one\r\n.\r\nRSET\r\nMAIL FROM:<b2@b.example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"]
    );
}

#[test]
fn a_large_body_is_given_out_as_it_is_taken_and_never_copied() {
    let now = Clock::system().instant();
    let mut session = Session::enter(&["pipelining".into()], now);
    let mut large = transaction(1, "ann@example.net", &b"x".repeat(1_000_000));
    large.prefix = "X: y\r\n".into();
    let body = large.body.clone();
    session.offer(large, now);
    session.release(DeliveryId::from_u64(1), now);
    outputs(&mut session, now);
    session.handle(Input::Flushed, now);
    session.handle(Input::Bytes(b"250 a\r\n250 b\r\n354 c\r\n"), now);
    let mut given = 0;
    while given < body.len() {
        let out = outputs(&mut session, now);
        let [Output::Send(pieces)] = &out[..] else { panic!("one write at a time, got {out:?}") };
        for piece in pieces {
            if let crate::smtp::Piece::Shared(shared, range) = piece {
                assert!(std::sync::Arc::ptr_eq(shared, &body));
                assert!(range.len() <= 64 * 1024);
                given += range.len();
            }
        }
        session.handle(Input::Flushed, now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The promises of the fuzz target, on replies that get further into a conversation than any bytes do.
    #[test]
    fn whatever_a_host_says_the_promises_hold(
        choice: u8,
        said in proptest::collection::vec(
            prop_oneof![
                8 => Just(&b"250 ok\r\n"[..]),
                4 => Just(&b"354 go on\r\n"[..]),
                2 => Just(&b"550 5.1.1 no\r\n"[..]),
                1 => Just(&b"451 later\r\n"[..]),
                4 => Just(&b"250 a\r\n250 b\r\n250 c\r\n354 d\r\n"[..]),
                4 => Just(&b"250 a\r\n250 b\r\n550 c\r\n354 d\r\n"[..]),
                1 => Just(&b"421 bye\r\n"[..]),
                1 => Just(&b"250-"[..]),
                1 => Just(&b"\xff"[..]),
                6 => Just(&b"\xfe"[..]),
            ],
            0..24,
        ),
    ) {
        super::watch(&[&[choice], said.concat().as_slice()].concat());
    }
}
