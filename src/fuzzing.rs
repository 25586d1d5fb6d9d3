//! What a fuzzer drives: each function takes any octets and panics where a promise is broken.
//!
//! The programs around them are in `tests/fuzz`, with inputs that are worth keeping; a unit test here plays those
//! again, and property tests in the rooms call the same functions with inputs that are more like the real thing.

mod mail;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::Timestamp;
use crate::analysis::{Kind, analyse, read_groups};
use crate::listener::{Action, Admission, Gate, Reception, ReceptionConfig, Role};
use crate::message::{Composed, Message, Stamp};
use crate::net::clock::Clock;
use crate::return_path::{Form, Forms, Keyring, Layout, Refusal, TagPlacement};
use crate::smtp::command::Command;
use crate::smtp::data::{Data, DataFault, DataLimits, DataReceiver, Taken};
use crate::smtp::line::{LineFramer, MAX_LINE};
use crate::smtp::{Input, Machine, Output, ReplyParser};

pub use mail::{delivery_report, mime_tree, plain_words};

/// Command lines: the same lines however they are cut, and no path that holds what could end one.
pub fn command(input: &[u8]) {
    let lines = |size: usize| {
        let mut framer = LineFramer::default();
        let mut lines = Vec::new();
        for mut piece in input.chunks(size) {
            while let Some(line) = framer.next(&mut piece) {
                lines.push(line.map(<[u8]>::to_vec));
                if line.is_err() {
                    return lines;
                }
            }
        }
        lines
    };
    let whole = lines(input.len().max(1));
    assert_eq!(whole, lines(1));
    assert_eq!(whole, lines(7));
    for line in whole.into_iter().flatten() {
        assert!(line.len() < MAX_LINE && !line.contains(&b'\n'));
        if let Ok(Command::Mail { from: path, .. } | Command::Rcpt { to: path }) = Command::parse(&line) {
            assert!(!path.starts_with('@') && !path.chars().any(char::is_control), "{path:?}");
            let closed = [path.as_bytes(), b">"].concat();
            assert!(line.windows(closed.len()).any(|window| window == closed), "{path:?} is not in the line");
        }
    }
}

/// A message: fast and plain reading agree, however it is cut, and only the start is kept.
pub fn data(input: &[u8]) {
    let (end, want) = read_plainly(input);
    for keep in [usize::MAX >> 1, 10] {
        for size in [1, 2, 3, 7, input.len().max(1)] {
            let mut receiver = DataReceiver::new(DataLimits { size: u64::MAX, keep, read: u64::MAX });
            let mut used = 0;
            let mut ended = false;
            for piece in input.chunks(size) {
                match receiver.take(piece) {
                    Taken::More => used += piece.len(),
                    Taken::End(octets) => {
                        used += octets;
                        ended = true;
                        break;
                    }
                    Taken::Endless => unreachable!("there is no limit"),
                }
            }
            assert_eq!(ended.then_some(used), end, "{} in pieces of {size}", input.escape_ascii());
            if ended {
                let want =
                    want.clone().map(|data| Data { kept: data.kept[..data.kept.len().min(keep)].into(), ..data });
                assert_eq!(receiver.finish(), want, "{} in pieces of {size}", input.escape_ascii());
            }
        }
    }
}

/// The same as [`DataReceiver`], slow and plain: looks for the end first.
fn read_plainly(input: &[u8]) -> (Option<usize>, Result<Data, DataFault>) {
    let framed = [b"\r\n", input].concat();
    let end = framed.windows(5).position(|window| window == b"\r\n.\r\n");
    let body = &framed[2..end.map_or(framed.len(), |at| at + 2)];
    let bare = (0..body.len()).any(|at| match body[at] {
        b'\r' => body.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || body[at - 1] != b'\r',
        _ => false,
    });
    let mut kept = Vec::new();
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        kept.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    let data = Data { size: kept.len() as u64, kept };
    (end.map(|at| at + 3), if bare { Err(DataFault::BareLineEnd) } else { Ok(data) })
}

/// A message given as octets: refused, or made fit for any host and then the same for ever.
pub fn message(input: &[u8]) {
    let stamp = Stamp { date: Timestamp::EPOCH, message_id: "id@b.example".into() };
    let compose =
        |raw: &[u8]| Message::raw(raw).to("ann@example.net").build()?.compose(&stamp).map_err(crate::Error::from);
    // The recipients are read from the fields only where none is given.
    let _ = Message::from_rfc5322(input);
    let Ok(composed) = compose(input) else { return };
    assert_fit(&composed);
    let again = compose(&composed.bytes).expect("what was made fit is fit");
    assert!(again.bytes == composed.bytes, "{}\nbecame\n{}", composed.bytes.escape_ascii(), again.bytes.escape_ascii());
    assert_eq!((again.smtputf8, again.eight_bit), (composed.smtputf8, composed.eight_bit));
}

/// What holds for every message that goes out.
pub(crate) fn assert_fit(composed: &Composed) {
    let shown = composed.bytes.escape_ascii();
    assert!(composed.bytes.ends_with(b"\r\n"), "{shown}");
    for line in composed.bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("a bare LF in {shown}"));
        assert!(!line.contains(&b'\r') && !line.contains(&0), "a bare CR or a NUL in {shown}");
        assert!(line.len() <= 998, "a line of {} octets in {shown}", line.len());
    }
    let told = composed.smtputf8 || composed.eight_bit;
    assert!(composed.bytes.is_ascii() || told, "octets above 127 that nobody is told of in {shown}");
}

/// A conversation: the same however it is cut, a reply of one shape to everything, and an end.
pub fn reception(input: &[u8]) {
    let whole = converse(input, input.len().max(1));
    assert_eq!(whole, converse(input, 1));
    assert_eq!(whole, converse(input, 17));
    let mut waiting = 0;
    for line in whole.lines() {
        if let Some(stored) = line.strip_prefix("! store ") {
            waiting += 1;
            let size: usize = stored.parse().expect("a size");
            assert!(size <= MOST && size < input.len());
        } else if line == "250 2.0.0 Stored" {
            waiting -= 1;
        } else if !line.starts_with('!') {
            let (code, text) = line.split_at(3);
            assert!(code.parse::<u16>().is_ok_and(|code| (200..600).contains(&code)), "{line}");
            assert!(text.starts_with([' ', '-']) && !text.chars().any(char::is_control), "{line}");
        }
    }
    assert_eq!(waiting, 0, "each message that was stored is answered, after it was stored");
    assert!(whole.ends_with("! close\n"));
}

/// A message that came back: read whatever it is, within bounds, to a verdict that does not contradict itself.
pub fn analysis(input: &[u8]) {
    let analysis = analyse(input);
    assert!(analysis.findings.len() <= 200 && analysis.traces.len() <= 64);
    assert!(analysis.findings.iter().all(|finding| (0.0..=1.0).contains(&finding.verdict.evidence.confidence)));
    for finding in &analysis.findings {
        let hard = finding.verdict.is_hard();
        assert!(!hard || finding.kind == Kind::Bounce, "{finding:?}");
        let recipient = finding.recipient.as_deref().unwrap_or("some");
        assert!(!recipient.is_empty() && recipient.len() <= 320, "{recipient:?}");
    }
    assert_eq!(analysis, analyse(input), "the same message, the same analysis");
}

/// The groups of a delivery report: bounded, and each of them about somebody or something.
pub fn dsn(input: &[u8]) {
    let groups = read_groups(input);
    assert!(groups.len() <= 200);
    for group in groups {
        for recipient in [group.original_recipient, group.final_recipient].into_iter().flatten() {
            assert!(!recipient.is_empty() && recipient.len() <= 320, "{recipient:?}");
        }
        assert!(!group.diagnostic.contains(['\r', '\n']));
    }
}

/// The largest message of [`converse`], in octets.
const MOST: usize = 200;

/// The whole dialogue with a peer that sends `input` in pieces of `size` octets and then closes.
fn converse(input: &[u8], size: usize) -> String {
    let now = Clock::system().instant();
    let config = ReceptionConfig {
        hostname: "mx.b.example".into(),
        max_size: MOST as u64,
        keep: 50,
        starttls: true,
        max_errors: 4,
        ..ReceptionConfig::default()
    };
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 25));
    let mut machine = Reception::new(Arc::new(config), Arc::new(Roles), peer, false, now);
    let mut said = String::new();
    let mut pieces = input.chunks(size);
    let mut wrote = false;
    loop {
        match machine.poll(now) {
            Output::Send(pieces) => {
                wrote = true;
                for piece in pieces {
                    said.push_str(std::str::from_utf8(piece.as_bytes()).expect("replies are text"));
                }
            }
            Output::Act(Action::Store(received)) => {
                assert!(!received.recipients.is_empty());
                assert_eq!(received.data.len() as u64, received.size.min(50));
                said.push_str(&format!("! store {}\n", received.size));
                machine.stored(Ok(()), now);
            }
            Output::Act(Action::StartTls) => {
                // What was sent behind STARTTLS is gone; how much that is, the cut decides.
                said.push_str("! tls\n");
                machine.secured(now);
                pieces = [].chunks(1);
            }
            Output::Close => {
                said.push_str("! close\n");
                return said;
            }
            Output::Wait(_) if std::mem::take(&mut wrote) => machine.handle(Input::Flushed, now),
            Output::Wait(_) => match pieces.next() {
                Some(piece) => machine.handle(Input::Bytes(piece), now),
                None => machine.handle(Input::Closed, now),
            },
        }
    }
}

/// Admits the postmaster and the address for abuse of `b.example`.
struct Roles;

impl Gate for Roles {
    fn admit(&self, path: &str) -> Admission {
        match path {
            "postmaster" => Admission::Role(Role::Postmaster),
            "abuse@b.example" => Admission::Role(Role::Abuse),
            _ => Admission::Refused(Refusal::NotOurs),
        }
    }
}

/// The text of RCPT TO, and of a mark: what opens is what the same ring mints for that delivery, and stands in the text.
pub fn return_path(input: &[u8]) {
    // The ring before a key was changed, and after: the later one opens what the earlier one minted.
    static RINGS: LazyLock<[Keyring; 2]> =
        LazyLock::new(|| [Keyring::of_secrets(&[[1; 32]]), Keyring::of_secrets(&[[1; 32], [2; 32]])]);
    static FORMS: LazyLock<[Form; 3]> = LazyLock::new(|| {
        [("b.example.org", "b", ""), ("b.example.org", "b", "-"), ("b.test", "", "")].map(
            |(domain, prefix, separator)| {
                Form::new(domain, Layout::new(prefix, separator).expect("a layout")).expect("a domain")
            },
        )
    });
    static ACCEPTED: LazyLock<Forms> = LazyLock::new(|| Forms::new(&*FORMS, &[], Duration::ZERO));

    let text = String::from_utf8_lossy(input);
    let folded = text.to_ascii_lowercase();
    let now = Timestamp::from_millis(1_700_000_000_000);
    let ring = &RINGS[1];
    if let Ok(returned) = ring.open(&text, &ACCEPTED, Duration::from_secs(90 * 86_400), now) {
        let plain: String = folded.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        let (delivery, tag) = (returned.delivery(), returned.tag());
        let stands = RINGS.iter().flat_map(|ring| FORMS.iter().map(move |form| (ring, form))).any(|(ring, form)| {
            let minted = ring.mint(form, delivery, tag, TagPlacement::Always).expect("it fits");
            plain.contains(minted.address().local()) && plain.contains(&form.domain)
        });
        assert!(stands, "{text:?} opened as {returned:?}");
    }
    if let Some(delivery) = ring.open_mark(&text) {
        let marks = RINGS.each_ref().map(|ring| ring.mark(delivery).expect("a key mints"));
        assert!(marks.iter().any(|mark| folded.contains(mark)), "{text:?} opened as {delivery:?}");
    }
}

/// Replies of a remote host: bounded, with codes from 200 to 599 and texts without control characters, however they are
/// cut.
pub fn reply(input: &[u8]) {
    let read = |size: usize| {
        let mut parser = ReplyParser::default();
        let mut replies = Vec::new();
        for mut piece in input.chunks(size) {
            while !piece.is_empty() {
                match parser.next(&mut piece) {
                    Ok(reply) => replies.extend(reply),
                    Err(error) => return (replies, Some(error.to_string())),
                }
            }
        }
        (replies, None)
    };
    let whole = read(input.len().max(1));
    assert_eq!(whole, read(1));
    for reply in &whole.0 {
        assert!((200..600).contains(&reply.code));
        assert!(!reply.text.chars().any(char::is_control));
        assert!(reply.status.is_none_or(|status| u16::from(status.class()) == reply.code / 100));
    }
}

/// A conversation with a remote host, whatever it says: no body goes out but to an accepted envelope, no message is told as accepted without
/// 2xx in answer to its own end of input, and each is told once.
pub fn session(input: &[u8]) {
    crate::session::watch(input);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    /// Each target by the name of its program and of the folder with its inputs.
    const TARGETS: &[Target] = &[
        ("analysis", super::analysis),
        ("command", super::command),
        ("data", super::data),
        ("delivery_report", super::delivery_report),
        ("dsn", super::dsn),
        ("message", super::message),
        ("mime_tree", super::mime_tree),
        ("plain_words", super::plain_words),
        ("reception", super::reception),
        ("reply", super::reply),
        ("return_path", super::return_path),
        ("session", super::session),
    ];

    #[test]
    fn inputs_that_were_worth_keeping_break_nothing() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
        for &(name, target) in TARGETS {
            assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).is_file(), "{name} has no program");
            let mut inputs = 0;
            for entry in fs::read_dir(fuzz.join("corpus").join(name)).unwrap() {
                target(&fs::read(entry.unwrap().path()).unwrap());
                inputs += 1;
            }
            assert!(inputs > 0, "{name} has no inputs");
        }
    }
}
