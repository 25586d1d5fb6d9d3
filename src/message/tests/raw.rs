//! Messages given as bytes: what is kept octet by octet, what is re-encoded, what is refused and where.

use mail_parser::{MessageParser, MimeHeaders};

use super::*;

/// A message as another library formats it: CRLF, quoted-printable, no Bcc.
const FORMATTED: &str = "From: News <news@example.org>\r\n\
    To: Ann <ann@example.net>, bob@example.net\r\n\
    Cc: \"Smith, Cy\" <cy@example.net>\r\n\
    Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\
    Message-ID: <own.id@example.org>\r\n\
    Date: Mon, 13 Nov 2023 08:00:00 +0100\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\
    \r\n\
    Gr=C3=BC=C3=9Fe\r\n\
    ..\r\n\
    .\r\n";

/// A message without Date and Message-ID, whose header and body are given.
fn raw(header: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let lead = format!("From: news@example.org\r\nTo: ann@example.net\r\nMIME-Version: 1.0\r\n{header}\r\n");
    [lead.as_bytes(), body.as_ref()].concat()
}

/// Composes what must come out with its added fields only.
fn unchanged(bytes: &[u8]) -> Composed {
    let composed = compose(bytes).unwrap();
    let tail = &composed.bytes[composed.bytes.len() - bytes.len()..];
    assert!(tail == bytes, "{}", String::from_utf8_lossy(&composed.bytes));
    composed
}

#[test]
fn a_complete_message_is_kept_octet_by_octet() {
    let message = Message::from_rfc5322(FORMATTED).unwrap();
    assert_eq!(message.recipients(), ["ann@example.net", "bob@example.net", "cy@example.net"]);
    assert_eq!(message.author_domain(), "example.org");
    let composed = message.compose(&stamp()).unwrap();
    assert_eq!(text(&composed), FORMATTED);
    assert_fit(&composed);
    assert!(!composed.smtputf8 && !composed.eight_bit);
}

#[test]
fn every_way_in_makes_the_same_message() {
    let ways = [
        Message::try_from(FORMATTED).unwrap(),
        Message::try_from(FORMATTED.to_string()).unwrap(),
        Message::try_from(FORMATTED.as_bytes()).unwrap(),
        Message::try_from(FORMATTED.as_bytes().to_vec()).unwrap(),
    ];
    for way in &ways {
        assert_eq!(way.fingerprint(), ways[0].fingerprint());
    }
}

#[test]
fn recipients_that_are_given_replace_those_of_the_fields() {
    let message = Message::raw(FORMATTED).to("dee@example.net").bcc("eve@example.net").build().unwrap();
    assert_eq!(message.recipients(), ["dee@example.net", "eve@example.net"]);
    assert_eq!(text(&message.compose(&stamp()).unwrap()), FORMATTED);
}

#[test]
fn options_add_their_fields_in_front() {
    let message = Message::raw("To: ann@example.net\nSubject: Hello\n\nHello\n")
        .from("News <news@example.org>")
        .reply_to("answers@example.org")
        .list_id("news.example.org")
        .header("X-Campaign", "spring");
    assert_eq!(
        behind_stamp(&compose(message).unwrap()),
        "From: \"News\" <news@example.org>\r\nReply-To: <answers@example.org>\r\nList-Id: <news.example.org>\r\n\
         X-Campaign: spring\r\nTo: ann@example.net\r\nSubject: Hello\r\n\r\nHello\r\n"
    );
    let error = compose(Message::raw(FORMATTED).header("Message-ID", "<a@b.example>")).unwrap_err();
    assert_eq!(error.field(), "Message-ID");
    let own = Message::raw(FORMATTED).from("other@example.com").build().unwrap();
    assert_eq!(own.author_domain(), "example.org", "the field decides");
    let error =
        compose(Message::raw("To: ann@example.net\n\na\rb").from("a@b.example").header("X-A", "b")).unwrap_err();
    assert!(error.rule().starts_with("line 3 "), "lines count from the user's first: {error}");
}

#[test]
fn bcc_fields_are_removed_with_their_folds() {
    for bcc in [
        "Bcc: eve@example.com",
        "BCC: Eve\r\n <eve@example.com>,\r\n\tmallory@example.com",
        "Resent-Bcc: eve@example.com",
    ] {
        for times in [1, 2] {
            let header = format!("{}Subject: Hello\r\n", format!("{bcc}\r\n").repeat(times));
            let message = Message::try_from(raw(&header, "Hello\r\n")).unwrap();
            assert_eq!(message.recipients(), ["ann@example.net"]);
            let composed = message.compose(&stamp()).unwrap();
            assert_eq!(
                behind_stamp(&composed),
                "From: news@example.org\r\nTo: ann@example.net\r\nMIME-Version: 1.0\r\nSubject: Hello\r\n\r\nHello\r\n"
            );
        }
    }
}

#[test]
fn line_ends_become_crlf_and_the_last_line_ends() {
    let wanted = "From: a@b.example\r\nTo: ann@example.net\r\n\r\n.\r\n..\r\nend\r\n";
    for given in [
        "From: a@b.example\nTo: ann@example.net\n\n.\n..\nend\n",
        "From: a@b.example\r\nTo: ann@example.net\r\n\r\n.\n..\nend\n",
        "From: a@b.example\nTo: ann@example.net\n\n.\r\n..\r\nend",
        "From: a@b.example\r\nTo: ann@example.net\r\n\r\n.\r\n..\r\nend",
    ] {
        assert_eq!(behind_stamp(&compose(given).unwrap()), wanted, "{given:?}");
    }
    for (given, wanted) in [
        ("From: a@b.example\r\nTo: ann@example.net\r\n\r\n", "From: a@b.example\r\nTo: ann@example.net\r\n\r\n"),
        ("From: a@b.example\r\nTo: ann@example.net\r\n", "From: a@b.example\r\nTo: ann@example.net\r\n\r\n"),
        ("From: a@b.example\r\nTo: ann@example.net", "From: a@b.example\r\nTo: ann@example.net\r\n\r\n"),
        ("From: a@b.example\nTo: ann@example.net\n\n\n", "From: a@b.example\r\nTo: ann@example.net\r\n\r\n\r\n"),
    ] {
        assert_eq!(behind_stamp(&compose(given).unwrap()), wanted, "{given:?}");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_with_its_place() {
    let long = "x".repeat(999);
    for (given, problem) in [
        (
            &b"From: a@b.example\r\nTo: c@d.example\r\n\r\na\rb"[..],
            "raw: line 4 has a CR that no LF follows (octet 39)",
        ),
        (b"From: a@b.example\r\nTo: c@d.example\r\n\r\nab\r", "raw: line 4 has a CR that no LF follows (octet 40)"),
        (b"From: a@b.example\r\nTo: c@d.example\r\r\n\r\nab", "raw: line 2 has a CR that no LF follows (octet 34)"),
        (b"From: a@b.example\nTo: c@d.example\n\nab\n\0", "raw: line 5 has a NUL (octet 38)"),
        (b"From: a@b.example\nno field\n\nab\n", "raw: line 2 is not a header field"),
        (b"From: a@b.example\nSubject : a\n\nab\n", "raw: line 2 is not a header field"),
        (b" folded: a\nFrom: a@b.example\n\nab\n", "raw: line 1 is not a header field"),
        (b"From mailbox Mon Nov 13 08:00:00 2023\nFrom: a@b.example\n\nab\n", "raw: line 1 is not a header field"),
        (b"\xef\xbb\xbfFrom: a@b.example\n\nab\n", "raw: line 1 is not a header field"),
        (b"From: a@b.example\nSubject: Gr\xfc\xdfe\n\nab\n", "Subject: line 2 has octets that are not UTF-8"),
        (b"From: a@b.example\nReturn-Path: <c@d.example>\n\nab\n", "Return-Path: the last host writes this field"),
        (b"From: a@b.example\nFrom: c@d.example\n\nab\n", "From: the field is there more than once"),
        (b"From: a@b.example\nSubject: a\nSubject: b\n\nab\n", "Subject: the field is there more than once"),
        (b"To: a@b.example\n\nab\n", "From: the field is missing"),
        (b"\r\nab\n", "From: the field is missing"),
        (b"From: a@b.example, c@d.example\nTo: c@d.example\n\nab\n", "From: the field names more than one author"),
        (b"From: nobody:;\nTo: c@d.example\n\nab\n", "From: the field names no address"),
        (b"From: a@b.example\nTo: Ann Smith\n\nab\n", "To: address \"Ann Smith\": there is no `@`"),
        (b"From: a@b.example\nBcc: c@d.example\n\nab\n", "to: there is no recipient"),
        (
            format!("From: a@b.example\nTo: c@d.example\nX-A: {long}\n\nab\n").as_bytes(),
            "X-A: has a word of more than 998",
        ),
    ] {
        let error = compose(given).unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}\n  instead of\n{problem}");
    }
}

#[test]
fn a_text_with_octets_above_127_is_encoded() {
    for (header, body, encoding) in [
        (
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Grüße aus Köln, wo es heute nicht regnet.\r\n",
            "quoted-printable",
        ),
        (
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
            "Grüße aus Köln, wo es nicht regnet\r\n",
            "quoted-printable",
        ),
        ("Content-Transfer-Encoding: BINARY \r\n", "Grüße aus Köln, wo es heute nicht regnet.\r\n", "quoted-printable"),
        ("Content-Type: text/plain; charset=utf-8\r\n", "中文內容比較短\r\n中文內容比較短\r\n", "base64"),
        ("", "Grüße, ohne alles, aber doch auch mit etwas Text.\r\n", "quoted-printable"),
    ] {
        let composed = compose(raw(header, body)).unwrap();
        assert_fit(&composed);
        assert!(composed.bytes.is_ascii() && !composed.eight_bit && !composed.smtputf8);
        assert_eq!(text(&composed).matches("Content-Transfer-Encoding").count(), 1);
        let parsed = MessageParser::default().parse(&composed.bytes[..]).unwrap();
        assert_eq!(parsed.content_transfer_encoding(), Some(encoding), "{}", text(&composed));
        assert_eq!(parsed.body_text(0).unwrap(), body);
    }
    // Another character set is kept: its octets are encoded, not its characters.
    let composed =
        compose(raw("Content-Type: text/plain; charset=iso-8859-1\r\n", b"Gr\xfc\xdfe aus K\xf6ln, wo es regnet"))
            .unwrap();
    let parsed = MessageParser::default().parse(&composed.bytes[..]).unwrap();
    assert_eq!(parsed.body_text(0).unwrap().trim_end(), "Grüße aus Köln, wo es regnet");
}

#[test]
fn long_lines_are_encoded() {
    let line = "<td>x</td>".repeat(400);
    let base64 = encodify::base64::STANDARD.encode(&line);
    let octets = encodify::base64::STANDARD.encode([0u8, 255, 13, 10].repeat(500));
    for (header, body, content) in [
        ("Content-Type: text/html\r\n", line.as_str(), line.as_bytes()),
        ("Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n", &base64, line.as_bytes()),
        ("Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n", &line, line.as_bytes()),
        ("Content-Type: application/json\r\n", &line, line.as_bytes()),
        ("Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n", &octets, &[0, 255, 13, 10].repeat(500)),
    ] {
        let composed = compose(raw(header, body)).unwrap();
        assert_fit(&composed);
        let parsed = MessageParser::default().parse(&composed.bytes[..]).unwrap();
        let found = parsed.part(0).unwrap().contents();
        // The last line of the message has ended; for content in lines that is one line end more.
        let found = found.strip_suffix(b"</td>\r\n").map_or(found, |_| &found[..found.len() - 2]);
        assert!(found == content, "{header}: {}", text(&composed));
    }
}

#[test]
fn a_long_header_line_is_folded() {
    let references = (0..60).map(|n| format!("<{n}.0123456789@example.org>")).collect::<Vec<_>>().join(" ");
    let composed = compose(raw(&format!("References: {references}\r\n"), "Hello\r\n")).unwrap();
    assert_fit(&composed);
    assert_eq!(text(&composed).replace("\r\n <", " <").matches(&references).count(), 1);
}

#[test]
fn parts_are_encoded_each_for_itself() {
    let inner = "From: bob@example.net\r\nSubject: old\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße von früher, es war schön\r\n";
    let body = format!(
        "Eine Präambel\r\n\
         --outer \r\n\
         Content-Type: multipart/alternative; boundary=outer2\r\n\
         Content-Transfer-Encoding: binary\r\n\
         \r\n\
         --outer2\r\n\
         \r\n\
         plain and 7-bit\r\n\
         --outer2\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\
         \r\n\
         <p>Grüße aus Köln, wo es heute nicht regnet</p>\r\n\
         --outer2--\r\n\
         \r\n\
         --outer\r\n\
         Content-Type: message/rfc822\r\n\
         Content-Transfer-Encoding: 8bit\r\n\
         \r\n\
         {inner}\r\n\
         --outer\r\n\
         Content-Type: application/octet-stream; name=a.bin\r\n\
         \r\n\
         ä--outer\r\n\
         --outer--\r\n\
         Ein Epilog mit Ümlaut\r\n"
    );
    let composed =
        compose(raw("Content-Type: multipart/mixed; boundary=\"outer\"\r\nContent-Transfer-Encoding: 8bit\r\n", body))
            .unwrap();
    assert_fit(&composed);
    let text = text(&composed);
    assert!(composed.bytes.is_ascii() && !composed.eight_bit);
    assert!(!text.contains("8bit") && !text.contains("binary"), "{text}");
    assert!(text.contains("--outer2\r\n\r\nplain and 7-bit\r\n--outer2\r\n"), "{text}");
    assert!(!text.contains("Präambel") && !text.contains("Epilog"));
    let parsed = MessageParser::default().parse(&composed.bytes[..]).unwrap();
    assert_eq!(parsed.body_text(0).unwrap(), "plain and 7-bit");
    assert_eq!(parsed.body_html(0).unwrap(), "<p>Grüße aus Köln, wo es heute nicht regnet</p>");
    let old = parsed.attachment(0).unwrap().message().unwrap();
    assert_eq!(old.body_text(0).unwrap().trim_end(), "Grüße von früher, es war schön");
    assert_eq!(parsed.attachment(1).unwrap().contents(), "ä--outer".as_bytes());
}

#[test]
fn a_part_of_a_digest_is_a_message() {
    let body = "--d\r\n\r\nFrom: bob@example.net\r\nSubject: old\r\n\r\nGrüße von früher, es war schön\r\n--d--\r\n";
    let composed = compose(raw("Content-Type: multipart/digest; boundary=d\r\n", body)).unwrap();
    assert!(composed.bytes.is_ascii());
    let wanted = "--d\r\n\r\nFrom: bob@example.net\r\nSubject: old\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n";
    assert!(text(&composed).contains(wanted), "{}", text(&composed));
}

#[test]
fn signed_parts_are_left_as_they_are() {
    let body = "--s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n--s\r\n\
         Content-Type: application/pgp-signature\r\n\r\nabc\r\n--s--\r\n";
    let composed = unchanged(&raw("Content-Type: multipart/signed; boundary=s\r\n", body));
    assert!(composed.eight_bit && !composed.smtputf8);

    // Beside another part, which is encoded; the label of what holds both says 8bit.
    let both = format!(
        "--m\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n{body}\r\n--m\r\n\r\nGrüße aus Köln, wo es nicht regnet\r\n--m--\r\n"
    );
    let header = "Content-Type: multipart/mixed; boundary=m\r\nContent-Transfer-Encoding: binary\r\n";
    let composed = compose(raw(header, &both)).unwrap();
    assert!(composed.eight_bit);
    let composed = String::from_utf8(composed.bytes.to_vec()).unwrap();
    assert!(composed.contains(body) && composed.contains("boundary=m\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
    assert!(composed.contains("Gr=C3=BC=C3=9Fe aus"));

    let long = body.replace("Grüße", &"x".repeat(999));
    let error = compose(raw("Content-Type: multipart/signed; boundary=s\r\n", long)).unwrap_err();
    assert!(error.to_string().starts_with("raw: line 10 has more than 998 octets, in a part"), "{error}");
}

#[test]
fn what_we_cannot_read_is_left_as_it_is() {
    for header in [
        "Content-Transfer-Encoding: x-uuencode\r\n",
        "Content-Transfer-Encoding: 8bits\r\n",
        "Content-Type: multipart/mixed\r\n",
        "Content-Type: message/partial; id=a\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n",
    ] {
        assert!(unchanged(&raw(header, "Grüße\r\n")).eight_bit, "{header}");
    }
    let nested = (0..40).map(|n| format!("--b{n}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n", n + 1));
    let deep = format!("{}--b40\r\n\r\nGrüße\r\n", nested.collect::<String>());
    assert!(unchanged(&raw("Content-Type: multipart/mixed; boundary=b0\r\n", deep)).eight_bit);
}

#[test]
fn binary_content_whose_line_ends_would_change_is_refused() {
    let header = "Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n";
    let error = compose(raw(header, b"\x89PNG\n\xff")).unwrap_err();
    assert!(error.to_string().starts_with("raw: line 7 begins binary content"), "{error}");
}

#[test]
fn utf8_in_a_header_is_kept_and_told() {
    assert!(unchanged(&raw("Subject: Grüße\r\n", "Hello\r\n")).smtputf8);
    let composed = compose("From: josé@example.org\nTo: ann@example.net\n\nHello\n").unwrap();
    assert!(composed.smtputf8 && !composed.eight_bit);
    let composed = compose(Message::builder().from("josé@example.org").to("ann@example.net").text("Hello")).unwrap();
    assert!(composed.smtputf8 && !composed.eight_bit, "a local part has no ASCII form");
    let composed = compose(Message::builder().from("jose@grå.example").to("ann@example.net").text("Hello")).unwrap();
    assert!(!composed.smtputf8, "a domain has one");

    // In the header of a part it is SMTPUTF8's too, and for the conversation it is body.
    let body = "--m\r\nContent-Type: text/plain; name=\"Grüße.txt\"\r\n\r\nHello\r\n--m--\r\n";
    let composed = unchanged(&raw("Content-Type: multipart/mixed; boundary=m\r\n", body));
    assert!(composed.smtputf8 && composed.eight_bit);
    // Removed with its field, it is nobody's.
    let composed = compose(raw("Bcc: Grüße <eve@example.com>\r\n", "Hello\r\n")).unwrap();
    assert!(!composed.smtputf8);
}

/// A message as a signer leaves it.
fn signed(h: &str, rest: &str, body: &str) -> Vec<u8> {
    let signature =
        format!("DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=a;\r\n\th={h};\r\n bh=AAAA; b=AAAA\r\n");
    format!("{signature}From: news@example.org\r\nTo: ann@example.net\r\n{rest}\r\n{body}").into_bytes()
}

#[test]
fn a_signed_message_is_kept_octet_by_octet() {
    let long_names = "X-Folded: a\r\n\tb\r\nSubject:  two  spaces \r\n";
    for body in ["Hello \r\n\r\n\r\n", "", "--a\r\n.\r\n..\r\n", "no end"] {
        let given = signed("From:To:Subject", long_names, body);
        let composed = compose(&given[..]).unwrap();
        let kept = String::from_utf8(given).unwrap();
        let ended = if body.is_empty() || body.ends_with('\n') { kept } else { format!("{kept}\r\n") };
        assert_eq!(behind_stamp(&composed), ended);
    }
    let composed = unchanged(&signed("From", "Content-Type: text/plain; charset=utf-8\r\n", "Grüße\r\n"));
    assert!(composed.eight_bit && !composed.smtputf8);
}

#[test]
fn no_field_is_added_that_a_signature_covers_as_missing() {
    let composed = compose(signed("From : Date:\r\n\tMessage-ID:message-id", "", "Hello\r\n")).unwrap();
    assert!(text(&composed).starts_with("MIME-Version: 1.0\r\nDKIM-Signature: "), "{}", text(&composed));
}

#[test]
fn a_signed_message_that_would_have_to_change_is_refused() {
    for (given, problem) in [
        (signed("From", "", "a\nb\r\n"), "raw: line 7 ends in a bare LF"),
        (signed("From", "", &"x".repeat(999)), "raw: line 7 has more than 998 octets, and a signed"),
        (signed("From:bcc", "Bcc: eve@example.com\r\n", "a"), "Bcc: the field is signed"),
        (signed("From", "", "a\rb"), "raw: line 7 has a CR"),
    ] {
        let error = compose(given).unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}\n  instead of\n{problem}");
    }
    let composed = compose(signed("From", "Bcc: eve@example.com\r\nX-A: b\r\n", "Grüße\r\n")).unwrap();
    assert_eq!(behind_stamp(&composed).as_bytes(), signed("From", "X-A: b\r\n", "Grüße\r\n"));
    assert!(composed.eight_bit);
}

#[test]
fn a_file_name_reads_back() {
    let composed = compose(draft().text("…").attachment("Grüße \"neu\".txt", "text/plain", "Hello")).unwrap();
    let parsed = MessageParser::default().parse(&composed.bytes[..]).unwrap();
    assert_eq!(parsed.attachment(0).unwrap().attachment_name(), Some("Grüße \"neu\".txt"));
}
