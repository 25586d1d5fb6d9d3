//! What goes in and what comes out of the whole room: tables of messages, and the properties that every composed
//! message has.

use mail_parser::MessageParser;

use super::*;
use crate::fuzzing::assert_fit;
use crate::time::Timestamp;

mod properties;
mod raw;

fn stamp() -> Stamp {
    Stamp { date: Timestamp::from_millis(1_700_000_000_999), message_id: "0a1b@b.example.org".into() }
}

fn compose(message: impl TryInto<Message, Error = InvalidMessage>) -> Result<Composed, InvalidMessage> {
    message.try_into()?.compose(&stamp())
}

fn draft() -> MessageBuilder {
    Message::builder().from("News <news@example.org>").to("ann@example.net")
}

/// Arrays in each other.
fn nested(depth: usize) -> serde_json::Value {
    (1..depth).fold(serde_json::json!([]), |inner, _| serde_json::json!([inner]))
}

fn text(composed: &Composed) -> &str {
    std::str::from_utf8(&composed.bytes).unwrap()
}

/// What the composed message says after the fields of the stamp.
fn behind_stamp(composed: &Composed) -> &str {
    let text = text(composed);
    let added = "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <0a1b@b.example.org>\r\n";
    let rest = text.strip_prefix(added).unwrap_or_else(|| panic!("{text}"));
    rest.strip_prefix("MIME-Version: 1.0\r\n").unwrap_or(rest)
}

#[test]
fn a_built_message_is_written_as_it_is_given() {
    let message = Message::builder()
        .from("News, daily <news@example.org>")
        .to("Ann <ann@example.net>")
        .to(["bob@example.net", "\"Smith, Cy\" <cy@example.net>"])
        .cc(("Dée", "dee@example.net"))
        .bcc("eve@example.net")
        .reply_to("answers@example.org")
        .subject("Grüße")
        .text("Hello\nAnn\n.\n")
        .auto_submitted("auto-generated")
        .list_id("Daily news <news.example.org>")
        .header("X-Campaign", "spring");
    let composed = compose(message.clone()).unwrap();
    assert_fit(&composed);
    assert!(!composed.smtputf8 && !composed.eight_bit);
    assert_eq!(
        behind_stamp(&composed),
        "From: \"News, daily\" <news@example.org>\r\n\
         To: \"Ann\" <ann@example.net>, <bob@example.net>, \"Smith, Cy\" <cy@example.net>\r\n\
         Cc: =?utf-8?B?RMOpZQ==?= <dee@example.net>\r\n\
         Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\
         Reply-To: <answers@example.org>\r\n\
         Auto-Submitted: auto-generated\r\n\
         List-Id: \"Daily news\" <news.example.org>\r\n\
         X-Campaign: spring\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=\"utf-8\"\r\n\
         Content-Transfer-Encoding: 7bit\r\n\r\n\
         Hello\r\nAnn\r\n.\r\n"
    );
    let message = message.build().unwrap();
    assert_eq!(
        message.recipients(),
        ["ann@example.net", "bob@example.net", "cy@example.net", "dee@example.net", "eve@example.net"]
    );
    assert_eq!(message.author_domain(), "example.org");
}

#[test]
fn a_message_is_the_same_octets_whenever_it_is_written() {
    let build = || draft().text("a").html("<p>ä</p>").attachment("a.bin", "application/octet-stream", [0, 13, 10, 255]);
    let (one, two) = (build().build().unwrap(), build().build().unwrap());
    assert_eq!(one.compose(&stamp()).unwrap().bytes, two.compose(&stamp()).unwrap().bytes);
    assert_eq!(one.fingerprint(), two.fingerprint());
    for other in [build().text("b"), build().tag(1), build().bcc("bob@example.net"), build().mailing("m")] {
        assert_ne!(other.build().unwrap().fingerprint(), one.fingerprint());
    }
    let keyed = build().idempotency_key("k").build().unwrap();
    assert_eq!(keyed.fingerprint(), one.fingerprint(), "the key is not content");
}

#[test]
fn a_recipient_given_twice_gets_the_message_once() {
    let message = draft().to("Ann <ann@EXAMPLE.net>").cc("ann@example.net").text("…").build().unwrap();
    assert_eq!(message.recipients(), ["ann@example.net"]);
}

#[test]
fn nobody_is_shown_where_only_bcc_is_given() {
    let composed = compose(Message::builder().from("news@example.org").bcc("ann@example.net").text("Hello")).unwrap();
    assert!(text(&composed).contains("\r\nTo: undisclosed-recipients:;\r\n"));
    assert!(!text(&composed).contains("ann@example.net"));
}

#[test]
fn texts_html_and_files_read_back() {
    let html = format!("<p>{}</p>", "long ".repeat(800));
    let files: [(&str, &str, &[u8]); 4] = [
        ("Jahresabschluß.pdf", "application/pdf", &[0, 1, 13, 255, 10]),
        ("old.csv", "text/csv", b"a;b\rc;d\r"),
        ("unix.csv", "text/csv; charset=utf-8", b"a;b\nc;d\n"),
        ("original.eml", "message/rfc822", b"From: bob@example.net\nSubject: old\n\nGr\xfc\xdfe\n"),
    ];
    let mut builder = draft().subject("files").text("one\rtwo\r\nthree").html(&html);
    for (name, media_type, bytes) in files {
        builder = builder.attachment(name, media_type, bytes);
    }
    let composed = compose(builder).unwrap();
    assert_fit(&composed);
    assert!(composed.bytes.is_ascii());
    let parsed = MessageParser::default().parse(&composed.bytes[..]).unwrap();
    assert_eq!(parsed.body_text(0).unwrap(), "one\r\ntwo\r\nthree");
    assert_eq!(parsed.body_html(0).unwrap(), html);
    let parts: Vec<_> = parsed.attachments().collect();
    for (part, (name, _, bytes)) in parts.iter().zip(&files[..3]) {
        use mail_parser::MimeHeaders;
        assert_eq!(part.attachment_name(), Some(*name));
        assert_eq!(part.contents(), *bytes, "{name}");
    }
    assert_eq!(parts[3].message().unwrap().subject(), Some("old"));
    assert!(text(&composed).contains("Gr=FC=DFe"), "the attached message is re-encoded within");
}

#[test]
fn an_html_line_of_4000_octets_is_encoded() {
    let line = "<td>x</td>".repeat(400);
    let composed = compose(draft().html(&line)).unwrap();
    assert_fit(&composed);
    let parsed = MessageParser::default().parse(&composed.bytes[..]).unwrap();
    assert_eq!(parsed.body_html(0).unwrap().trim_end(), line);
}

#[test]
fn what_is_wrong_is_named_with_its_rule() {
    let long = "x".repeat(300);
    for (builder, problem) in [
        (Message::builder().to("ann@example.net").text("…"), "from: the author is missing"),
        (draft().from("other@example.org").text("…"), "from: more than one author"),
        (Message::builder().from("news@example.org").text("…"), "to: there is no recipient"),
        (draft(), "text: the message is empty"),
        (draft().text("…").to("ann@"), "to: address \"ann@\": the domain is missing"),
        (draft().text("…").cc("Ann\r\nBcc: eve@example.com <ann@example.net>"), "cc: address"),
        (draft().text("…").to(("Ann\nBcc: x", "ann@example.net")), "to: has a line break"),
        (draft().text("…").subject("a\nb"), "subject: has a line break"),
        (draft().text("…").subject("a\0b"), "subject: has a line break or another control"),
        (draft().text("a\0"), "text: has a NUL at octet 1"),
        (draft().html("\0"), "html: has a NUL at octet 0"),
        (draft().text("…").header("X Y", "a"), "header: the name \"X Y\""),
        (draft().text("…").header("", "a"), "header: the name \"\""),
        (draft().text("…").header("X-A:\r\nBcc", "a"), "header: the name"),
        (draft().text("…").header("X-A", "a\r\n b"), "X-A: has a line break"),
        (draft().text("…").header("return-path", "<a@b.example>"), "return-path: the last host writes this field"),
        (draft().text("…").header("BCC", "a@b.example"), "BCC: use `bcc`"),
        (draft().text("…").header("References", "<ä@b.example>"), "References: this field holds ids"),
        (
            draft().text("…").header("References", "<a@b.example>").header("references", "<a@b.example>"),
            "References: the field is there more than once",
        ),
        (draft().text("…").header("X-Long", "y".repeat(1_000)), "X-Long: has a word of more than 998"),
        (draft().text("…").tag("a text of more than sixteen bytes"), "tag: 33 bytes; at most 16 fit"),
        (draft().text("…").metadata("x".repeat(4_095)), "metadata: 4097 bytes"),
        (draft().text("…").metadata(nested(65)), "metadata: arrays and objects stand more than 64 deep"),
        (draft().text("…").mailing(""), "mailing: must have 1 to 128"),
        (draft().text("…").mailing(&long), "mailing: must have"),
        (draft().text("…").idempotency_key(&long), "idempotency_key: must have 1 to 255"),
        (draft().text("…").return_domain("a b"), "return_domain: the domain is not"),
        (draft().text("…").deadline(std::time::Duration::ZERO), "deadline: is zero"),
        (draft().text("…").auto_submitted("yes"), "auto_submitted: the keyword"),
        (draft().text("…").list_id("news"), "list_id: the id"),
        (draft().text("…").list_id("Grüße <news.example.org>"), "list_id: the description"),
        (draft().attachment("", "text/plain", "x"), "attachment: the name"),
        (draft().attachment("a", "text", "x"), "attachment: \"a\": the media type"),
        (draft().attachment("a", "text/plain\r\nX: y", "x"), "attachment: \"a\": the media type"),
        (draft().attachment("a", "Multipart/mixed", "x"), "attachment: \"a\": a multipart"),
        (draft().attachment("a", "message/rfc822", "A: b\r\n\r\na\rb"), "attachment: \"a\": raw: line 3 has a CR"),
        (
            draft().text("…").to((0..1_000).map(|n| format!("a{n}@example.net")).collect::<Vec<_>>()),
            "to: 1001 recipients; at most 1000",
        ),
        (draft().text("x".repeat(51 << 20)), "message: 51 MiB"),
        (Message::raw(vec![b'x'; 51 << 20]).to("ann@example.net"), "message: 51 MiB"),
        (Message::raw("").to("ann@example.net"), "raw: the message is empty"),
        (Message::raw("From: a@b.example\n\nx").text("y").to("ann@example.net"), "text: a raw message brings"),
    ] {
        let error = compose(builder).unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}\n  instead of\n{problem}");
    }
}

#[test]
fn every_problem_is_told() {
    let error = compose(Message::builder().to("ann").text("a\0").tag("seventeen letters")).unwrap_err();
    assert_eq!((error.field(), error.rule()), ("to", "address \"ann\": there is no `@`"));
    let told: Vec<&str> = error.problems().map(|(field, _)| field).collect();
    assert_eq!(told, ["to", "text", "tag", "from"], "{error}");
    assert!(error.to_string().ends_with("; from: the author is missing"), "{error}");
}
