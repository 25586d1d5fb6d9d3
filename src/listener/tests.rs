//! Plays `tests/dialogues/server/*.smtp`, and checks what no single dialogue can show.
//!
//! Settings: `size`, `keep`, `recipients`, `commands`, `errors`, `guesses` with a number; `starttls`, `tls`, `hasty`; `short` of room.
//! Orders: `> stored ok|failed|full`, `> secured`, `> stop`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::limits::{EarlyTalk, MAX_AHEAD, MAX_UNREAD};
use super::*;
use crate::id::DeliveryId;
use crate::net::clock::Clock;
use crate::return_path::{Form, Forms, Keyring, Layout, Refusal, TagPlacement};
use crate::smtp::dialogue::{Part, play_all};
use crate::smtp::{Input, Machine, Output};
use crate::tag::Tag;
use crate::time::Timestamp;

/// Admits the role addresses of `b.example`.
#[derive(Default)]
struct Roles {
    short: bool,
}

impl Gate for Roles {
    fn is_short_of_room(&self) -> bool {
        self.short
    }

    fn admit(&self, path: &str) -> Admission {
        match path.to_ascii_lowercase().as_str() {
            "postmaster" | "postmaster@b.example" => Admission::Role(Role::Postmaster),
            "abuse@b.example" => Admission::Role(Role::Abuse),
            "fbl@b.example" => Admission::Role(Role::Feedback),
            _ if path.ends_with("forged@b.example") => Admission::Refused(Refusal::Forged),
            _ => Admission::Refused(Refusal::NotOurs),
        }
    }
}

fn config() -> ReceptionConfig {
    ReceptionConfig { hostname: "mx.b.example".into(), ..ReceptionConfig::default() }
}

fn reception(config: ReceptionConfig, tls: bool, now: Instant) -> Reception {
    guarded(config, Roles::default(), tls, now)
}

fn guarded(config: ReceptionConfig, gate: Roles, tls: bool, now: Instant) -> Reception {
    Reception::new(Arc::new(config), Arc::new(gate), SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 25)), tls, now)
}

/// The server in a dialogue.
struct Server(Reception);

impl Part for Server {
    type Machine = Reception;
    const SIDE: char = 'S';

    fn enter(settings: &[String], now: Instant) -> Server {
        let (mut config, mut gate, mut tls) = (config(), Roles::default(), false);
        for setting in settings {
            let (name, value) = setting.split_once('=').unwrap_or((setting, "0"));
            let value: u32 = value.parse().unwrap();
            match name {
                "size" => config.max_size = value.into(),
                "keep" => config.keep = value as usize,
                "recipients" => config.max_recipients = value as usize,
                "commands" => config.max_commands = value,
                "errors" => config.max_errors = value,
                "guesses" => config.max_guesses = value,
                "starttls" => config.starttls = true,
                "hasty" => config.early_talk = EarlyTalk::Tolerate,
                "tls" => tls = true,
                "short" => gate.short = true,
                _ => panic!("unknown setting {setting}"),
            }
        }
        Server(guarded(config, gate, tls, now))
    }

    fn machine(&mut self) -> &mut Reception {
        &mut self.0
    }

    fn order(&mut self, verb: &str, arguments: &str, now: Instant) {
        match (verb, arguments) {
            ("stored", "ok") => self.0.stored(Ok(()), now),
            ("stored", "failed") => self.0.stored(Err(false), now),
            ("stored", "full") => self.0.stored(Err(true), now),
            ("secured", "") => self.0.secured(now),
            ("stop", "") => self.0.stop(now),
            _ => panic!("unknown order {verb} {arguments}"),
        }
    }

    fn render(&mut self, action: &Action) -> String {
        match action {
            Action::StartTls => "start tls".into(),
            Action::Store(received) => {
                let Received { mail_from, helo, recipients, data, size } = received;
                let to: Vec<String> = recipients.iter().map(name).collect();
                format!("store <{mail_from}> {helo} to {} size {size} {}", to.join(","), data.escape_ascii())
            }
        }
    }
}

fn name(recipient: &Recipient) -> String {
    match recipient {
        Recipient::Sealed(returned) => format!("{}", returned.delivery()),
        Recipient::Role(role) => format!("{role:?}").to_lowercase(),
    }
}

#[test]
fn dialogues() {
    play_all::<Server>("server");
}

fn start() -> Instant {
    Clock::system().instant()
}

/// Takes all out of `machine`, having each message stored at once, and all replies taken unless `reads` is false.
fn drain(machine: &mut Reception, said: &mut String, reads: bool, now: Instant) -> bool {
    let mut wrote = false;
    loop {
        match machine.poll(now) {
            Output::Send(pieces) => {
                wrote = true;
                pieces.iter().for_each(|piece| said.push_str(std::str::from_utf8(piece.as_bytes()).unwrap()));
            }
            Output::Act(Action::Store(received)) => {
                said.push_str(&format!("! {} {}\n", received.size, received.data.escape_ascii()));
                assert!(!received.recipients.is_empty());
                machine.stored(Ok(()), now);
            }
            Output::Act(Action::StartTls) => {
                said.push_str("! tls\n");
                machine.secured(now);
            }
            Output::Close => {
                said.push_str("! close\n");
                return false;
            }
            Output::Wait(_) if wrote && reads => {
                wrote = false;
                machine.handle(Input::Flushed, now);
            }
            Output::Wait(_) => return true,
        }
    }
}

/// Words that conversations are made of.
const WORDS: [&str; 22] = [
    "EHLO mx.example.net\r\n",
    "HELO a\r\n",
    "MAIL FROM:<>\r\n",
    "MAIL FROM:<ann@example.net> SIZE=100\r\n",
    "MAIL FROM:<> SIZE=1000\r\n",
    "RCPT TO:<postmaster>\r\n",
    "RCPT TO:<abuse@b.example>\r\n",
    "RCPT TO:<nobody@b.example>\r\n",
    "DATA\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "QUIT\r\n",
    "XYZ\r\n",
    "A line of text\r\n",
    "..a line with a dot, long enough to be one of those that do not fit together with others\r\n",
    ".\r\n",
    "\r\n.\r\n",
    "\r",
    "\n",
    ".",
    "\u{16}",
    "a",
];

/// Begins like a conversation that gets somewhere, so that more than greetings is tried.
fn conversations() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::collection::vec(prop::sample::select(&WORDS[..]), 0..30);
    (any::<bool>(), words).prop_map(|(envelope, words)| {
        let opening = "EHLO mx.example.net\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n";
        [if envelope { opening } else { "" }, &words.concat()].concat().into_bytes()
    })
}

proptest! {
    #[test]
    fn the_dialogue_is_the_same_however_the_input_is_cut(input in conversations()) {
        crate::fuzzing::reception(&input);
    }
}

#[test]
fn talk_before_the_greeting_is_refused_or_answered_in_order() {
    let now = start();
    for (early_talk, want) in [
        (EarlyTalk::Refuse, "220 mx.b.example ESMTP\r\n554 5.5.1 Wait for the greeting\r\n! close\n"),
        (EarlyTalk::Tolerate, "220 mx.b.example ESMTP\r\n250 mx.b.example\r\n250 2.1.0 Ok\r\n"),
    ] {
        // Before the greeting was given out, and before it was flushed.
        for polled in [false, true] {
            let mut machine = reception(ReceptionConfig { early_talk, ..config() }, false, now);
            let mut said = String::new();
            if polled {
                assert!(drain(&mut machine, &mut said, false, now));
            }
            machine.handle(Input::Bytes(b"HELO a\r\nMAIL FROM:<>\r\n"), now);
            drain(&mut machine, &mut said, true, now);
            assert_eq!(said, want);
        }
    }
}

#[test]
fn a_peer_that_does_not_read_makes_us_hold_little_and_is_let_go() {
    const MOST: usize = MAX_UNREAD + 1000;
    let now = start();
    let mut machine = reception(ReceptionConfig { max_commands: u32::MAX, ..config() }, false, now);
    let mut said = String::new();
    drain(&mut machine, &mut said, true, now);
    for _ in 0..100 {
        machine.handle(Input::Bytes(&b"EHLO a\r\n".repeat(1000)), now);
        assert!(drain(&mut machine, &mut said, false, now));
        assert!(said.len() <= MOST, "{} octets of replies", said.len());
    }
    // It hears why, should it read after all; and at no time more than it takes.
    while drain(&mut machine, &mut said, false, now) {
        said.clear();
        machine.handle(Input::Flushed, now);
        drain(&mut machine, &mut said, false, now);
        assert!(said.len() <= MOST, "{} octets of replies", said.len());
    }
    assert!(said.ends_with("421 4.7.0 Too much sent ahead of our replies\r\n! close\n! close\n"), "{said}");
}

#[test]
fn while_a_message_is_stored_input_waits_within_bounds() {
    let now = start();
    for (octets, closed) in [(MAX_AHEAD, false), (MAX_AHEAD + 6, true)] {
        let mut machine = reception(ReceptionConfig { max_commands: u32::MAX, ..config() }, false, now);
        let mut said = String::new();
        drain(&mut machine, &mut said, true, now);
        let message = b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n.\r\n";
        machine.handle(Input::Bytes(message), now);
        // Not polled: nothing is stored yet.
        for piece in b"NOOP\r\n".repeat(octets / 6).chunks(1000) {
            machine.handle(Input::Bytes(piece), now);
        }
        let open = drain(&mut machine, &mut said, true, now);
        assert_eq!(open, !closed, "{octets}");
        assert_eq!(said.matches("250 2.0.0 Stored\r\n").count(), 1);
        assert_eq!(said.contains("421 4.7.0"), closed);
    }
}

#[test]
fn a_message_of_any_length_keeps_no_more_than_was_said() {
    let now = start();
    let mut machine = reception(ReceptionConfig { keep: 1000, ..config() }, false, now);
    let mut said = String::new();
    drain(&mut machine, &mut said, true, now);
    machine.handle(Input::Bytes(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n"), now);
    drain(&mut machine, &mut said, true, now);
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..800 {
        machine.handle(Input::Bytes(&piece), now);
    }
    machine.handle(Input::Bytes(b"\r\n.\r\n"), now);
    let received = loop {
        match machine.poll(now) {
            Output::Act(Action::Store(received)) => break received,
            Output::Send(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((received.data.len(), received.size), (1000, 800 * 64 * 1024 + 2));
}

#[test]
fn octets_that_keep_coming_do_not_move_a_deadline() {
    for opening in ["", "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n"] {
        let mut now = start();
        let mut machine = reception(config(), false, now);
        let mut said = String::new();
        drain(&mut machine, &mut said, true, now);
        machine.handle(Input::Bytes(opening.as_bytes()), now);
        let mut seconds = 0;
        // The shell prefers input to its timer, so that `Input::Time` may never come.
        while drain(&mut machine, &mut said, true, now) && seconds < 10_000 {
            now += Duration::from_secs(1);
            seconds += 1;
            machine.handle(Input::Bytes(b"x"), now);
        }
        assert!(said.ends_with("421 4.4.2 Waited too long\r\n! close\n"), "{said}");
        assert_eq!(seconds, if opening.is_empty() { 300 } else { 600 });
    }
}

/// Admits what one ring has sealed, at one time.
struct Sealed {
    ring: Keyring,
    forms: Forms,
    now: Timestamp,
}

impl Gate for Sealed {
    fn admit(&self, path: &str) -> Admission {
        match self.ring.open(path, &self.forms, Duration::from_secs(90 * 86_400), self.now) {
            Ok(returned) => Admission::Sealed(returned),
            Err(cause) => Admission::Refused(cause),
        }
    }
}

#[test]
fn a_sealed_path_is_known_in_every_dress_and_in_no_other() {
    let (ring, form) = (Keyring::generate(), Form::new("b.example", Layout::default()).unwrap());
    let delivery = DeliveryId::from_u64(0x0123_4567_89ab_cdef);
    let tag = Tag::from(42);
    let path = ring.mint(&form, delivery, Some(tag), TagPlacement::Always).unwrap();
    let path = path.address().as_str();
    let (local, domain) = path.split_once('@').unwrap();
    let other = Keyring::generate().mint(&form, delivery, None, TagPlacement::Store).unwrap();
    let gate = Sealed { ring, forms: Forms::new([&form], &[], Duration::ZERO), now: delivery.issued_at() };

    let start = start();
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 25));
    let mut machine = Reception::new(Arc::new(config()), Arc::new(gate), peer, false, start);
    let mut said = String::new();
    drain(&mut machine, &mut said, true, start);
    machine.handle(Input::Bytes(b"HELO a\r\nMAIL FROM:<>\r\n"), start);
    drain(&mut machine, &mut said, true, start);
    for (recipient, code) in [
        (path.to_string(), "250 2.1.5"),
        (path.to_ascii_uppercase(), "250 2.1.5"),
        (format!("@relay.example.net:{path}"), "250 2.1.5"),
        (format!("\"{local}\"@{domain}"), "250 2.1.5"),
        (format!("prvs=1234abcdef={path}"), "250 2.1.5"),
        (format!("SRS0=abcd=ef={domain}={local}@relay.example.net"), "250 2.1.5"),
        (other.address().to_string(), "550 5.1.1"),
        (format!("{local}a@{domain}"), "550 5.1.1"),
        (format!("{local}@other.example"), "550 5.1.1"),
        (format!("{local}%{domain}@other.example"), "550 5.1.1"),
        (format!("{local}\r@{domain}"), "501 5.1.3"),
        (format!("{local}\0@{domain}"), "501 5.1.3"),
        (format!("{local} @{domain}"), "501 5.1.3"),
    ] {
        said.clear();
        machine.handle(Input::Bytes(format!("RCPT TO:<{recipient}>\r\n").as_bytes()), start);
        drain(&mut machine, &mut said, true, start);
        assert!(said.starts_with(code), "{recipient}: {said}");
    }
    machine.handle(Input::Bytes(b"DATA\r\n.\r\n"), start);
    let received = loop {
        match machine.poll(start) {
            Output::Act(Action::Store(received)) => break received,
            Output::Send(_) => {}
            other => panic!("{other:?}"),
        }
    };
    // Six spellings, one recipient.
    let [Recipient::Sealed(returned)] = &received.recipients[..] else { panic!("{:?}", received.recipients) };
    assert_eq!((returned.delivery(), returned.tag()), (delivery, Some(tag)));
}
