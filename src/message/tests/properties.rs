//! What holds for every message, whatever was given.

use mail_parser::{Address as Parsed, MessageParser};
use proptest::prelude::*;

use super::*;
use crate::fuzzing;

/// Fields and lines that matter, put together in any order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"From: a@b.example\r\n",
        b"To: c@d.example\n",
        b"Bcc: e@f.example\r\n",
        b"DKIM-Signature: h=From:Date\r\n",
        b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/html\r\n",
        b"Content-Type: multipart/signed; boundary=\"b\"\r\n",
        b"Content-Transfer-Encoding: 8bit\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b" folded\r\n",
        b"\r\n",
        b"\n",
        b"\r\n--b\r\n",
        b"\r\n--b--\r\n",
        b"=C3=\r\n",
        b"\xe4\xf6 \r\n",
        b"\xc3\xa4.",
        &[b'x'; 1_100],
        &[b' '; 1_100],
        b"\r",
        b"\0",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..16).prop_map(|pieces| pieces.concat())
}

/// A good beginning, so that what follows is reached.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), pieces()).prop_map(|(begun, rest)| {
        let begin: &[u8] = if begun { b"From: a@b.example\r\nTo: c@d.example\r\n" } else { b"" };
        [begin, &rest].concat()
    })
}

/// The mailboxes of a parsed address field.
fn mailboxes(parsed: Option<&Parsed<'_>>) -> Vec<(Option<String>, String)> {
    let list = parsed.map(|list| list.clone().into_list()).unwrap_or_default();
    list.into_iter()
        .map(|one| (one.name.map(|name| name.into_owned()), one.address.unwrap_or_default().into_owned()))
        .collect()
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_fit_and_then_stay(bytes: Vec<u8>) {
        fuzzing::message(&bytes);
    }

    #[test]
    fn any_pieces_are_refused_or_fit_and_then_stay(bytes in plausible()) {
        fuzzing::message(&bytes);
    }

    #[test]
    fn what_is_built_reads_back_as_it_was_given(
        author in "[^\\p{Cc}]{0,40}",
        name in "[ a-zé\"\\\\(),.<>@;:]{1,40}",
        subject in "[^\\p{Cc}]{0,200}",
        text in any::<String>(),
        html in proptest::option::of(any::<String>()),
        file in proptest::option::of(any::<Vec<u8>>()),
        value in "[!-~]{1,30}( [!-~]{1,60}){0,20}",
    ) {
        let name = name.trim().to_string();
        let mut builder = Message::builder()
            .from((author.as_str(), "news@example.org"))
            .to((name.as_str(), "ann@example.net"))
            .to("bob@example.net")
            .subject(&*subject)
            .text(text.replace('\0', ""))
            .header("X-Value", &*value);
        if let Some(html) = &html {
            builder = builder.html(html.replace('\0', ""));
        }
        if let Some(file) = &file {
            builder = builder.attachment("a.bin", "application/octet-stream", &file[..]);
        }
        let composed = compose(builder).unwrap();
        assert_fit(&composed);
        assert!(composed.bytes.is_ascii());
        let parsed = MessageParser::default().parse(&composed.bytes[..]).unwrap();
        assert_eq!(parsed.subject().unwrap_or_default(), subject.trim());
        assert_eq!(parsed.header_raw("X-Value").unwrap().replace("\r\n", "").trim(), value);
        let to = mailboxes(parsed.to());
        assert_eq!(&to[0].1, "ann@example.net");
        assert_eq!(to[0].0.as_deref().unwrap_or_default(), name);
        assert_eq!(&to[1], &(None, "bob@example.net".to_string()));
        let lines = |text: &str| text.replace('\0', "").replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(lines(&parsed.body_text(0).unwrap()).trim_end_matches('\n'), lines(&text).trim_end_matches('\n'));
        if let Some(file) = &file {
            assert_eq!(parsed.attachment(0).unwrap().contents(), &file[..]);
        }
        fuzzing::message(&composed.bytes);
    }

    #[test]
    fn the_date_of_every_time_reads_back(millis in 0i64..4_000_000_000_000) {
        let stamp = Stamp { date: Timestamp::from_millis(millis), ..stamp() };
        let message = Message::try_from("From: a@b.example\r\nTo: c@d.example\r\n\r\n").unwrap();
        let composed = message.compose(&stamp).unwrap();
        let parsed = MessageParser::default().parse(&composed.bytes[..]).unwrap();
        assert_eq!(parsed.date().unwrap().to_timestamp(), millis / 1000);
        assert!(text(&composed).lines().next().unwrap().ends_with(" +0000"));
    }
}
