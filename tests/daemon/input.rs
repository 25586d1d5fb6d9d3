//! Lines that cannot be sent: each is answered by a line that names the field and the rule, and the rest goes on.

use returnpath::testing::RemoteHost;
use serde_json::{Value, json};

use crate::process::Daemon;

#[tokio::test]
async fn a_bad_line_is_named_and_the_rest_goes_on() {
    let good =
        json!({"from": "news@example.org", "to": "ann@example.net", "subject": "Hello", "text": "Good morning."});
    let but = |field: &str, value: Value| {
        let mut line = good.clone();
        line[field] = value;
        line
    };
    let without = |field: &str| {
        let mut line = good.clone();
        line.as_object_mut().unwrap().remove(field);
        line
    };
    let raw = |text: &str| json!({"to": "ann@example.net", "raw": text});
    let bad = [
        (but("to", json!("ann")), "to", "\"ann\""),
        (but("to", json!("ann@example.net\r\nRCPT TO:<eve@example.net>")), "to", "address"),
        (but("to", json!("")), "to", ""),
        (but("to", json!([])), "to", "recipient"),
        (but("to", json!(["ann@example.net", "bob@@example.net"])), "to", "bob@@example.net"),
        (without("to"), "to", "missing"),
        (but("from", json!("News\r\nBcc: eve@example.net <news@example.org>")), "from", ""),
        (but("from", json!("news")), "from", "\"news\""),
        (without("from"), "from", ""),
        (but("subject", json!("Hello\r\nBcc: eve@example.net")), "subject", "line"),
        (but("subject", json!("Hello\u{0}")), "subject", ""),
        (but("tag", json!("a tag of 17 bytes")), "tag", "16"),
        (but("mailing", json!("m".repeat(10_000))), "mailing", ""),
        (but("metadata", json!({"all": "x".repeat(5_000)})), "metadata", "4"),
        (but("key", json!("")), "key", ""),
        (but("deadline", json!(-1)), "deadline", "below 0"),
        (but("deadline", json!(1e300)), "deadline", ""),
        (but("colour", json!("red")), "colour", "unknown field"),
        (but("tag", json!(1.5)), "tag", ""),
        (but("raw", json!("Subject: Hello\r\n\r\nHello\r\n")), "raw", ""),
        (
            raw("Return-Path: <eve@example.net>\r\nFrom: news@example.org\r\n\r\nHello\r\n"),
            "Return-Path",
            "return path",
        ),
        (raw("From: news@example.org\r\nSubject: a\rb\r\n\r\nHello\r\n"), "raw", "CR"),
        (raw("From: news@example.org\r\n\r\nHel\u{0}lo\r\n"), "raw", "NUL"),
        (raw("no header at all"), "raw", ""),
        (json!({"to": "ann@example.net", "raw_base64": "@@@@"}), "raw_base64", "base64"),
    ];
    let remote = RemoteHost::start().await.unwrap();
    let relay = remote.address().to_string();
    let mut daemon =
        Daemon::start(["--domain", "b.example.org", "--store", "memory", "--quiet", "--drain", "--relay", &relay]);
    daemon.feed_text("this is not JSON").await;
    for (line, ..) in &bad {
        daemon.feed(line).await;
    }
    daemon.feed(&good).await;
    daemon.end_input();
    let ended = daemon.end().await;
    assert_eq!(ended.code, Some(0), "bad input is no reason to end: {}", ended.errors);
    let errors: Vec<&Value> = ended.lines.iter().filter(|line| line["event"] == "error").collect();
    assert_eq!(errors[0]["line"], 1);
    assert!(errors[0]["text"].as_str().unwrap().contains("JSON"), "{}", errors[0]);
    let mut wrong = Vec::new();
    for (index, (line, field, words)) in bad.iter().enumerate() {
        let Some(error) = errors.iter().find(|error| error["line"] == index + 2) else {
            wrong.push(format!("accepted: {line}"));
            continue;
        };
        let text = error["text"].as_str().unwrap();
        if error["field"] != *field || !text.contains(words) || error["to"] != line["to"] {
            wrong.push(format!("{field} {words:?}: {error}"));
        }
        assert!(text.len() < 500, "{text}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let queued: Vec<&Value> = ended.lines.iter().filter(|line| line["event"] == "queued").collect();
    assert_eq!(queued.len(), 1, "{queued:?}");
    assert_eq!(ended.lines.iter().filter(|line| line["event"] == "delivered").count(), 1);
    let taken = remote.taken();
    assert_eq!(taken.len(), 1, "nothing of a bad line was sent");
    assert_eq!(taken[0].recipients, ["ann@example.net"]);
}

#[tokio::test]
async fn a_key_stands_for_one_content() {
    let remote = RemoteHost::start().await.unwrap();
    let relay = remote.address().to_string();
    let mut daemon =
        Daemon::start(["--domain", "b.example.org", "--store", "memory", "--quiet", "--drain", "--relay", &relay]);
    let mut line =
        json!({"from": "news@example.org", "to": "ann@example.net", "subject": "One", "text": "1", "key": "k"});
    daemon.feed(&line).await;
    daemon.feed(&line).await;
    line["subject"] = json!("Two");
    daemon.feed(&line).await;
    daemon.end_input();
    let ended = daemon.end().await;
    let queued: Vec<&Value> = ended.lines.iter().filter(|line| line["event"] == "queued").collect();
    assert_eq!((queued.len(), &queued[0]["id"]), (2, &queued[1]["id"]));
    let error = ended.lines.iter().find(|line| line["event"] == "error").expect("the conflict");
    assert_eq!((&error["line"], &error["key"], &error["field"]), (&json!(3), &json!("k"), &json!("key")));
    assert_eq!(remote.taken().len(), 1);
}

#[tokio::test]
async fn bcc_is_delivered_to_nobody_and_told_to_nobody() {
    let remote = RemoteHost::start().await.unwrap();
    let relay = remote.address().to_string();
    let mut daemon =
        Daemon::start(["--domain", "b.example.org", "--store", "memory", "--quiet", "--drain", "--relay", &relay]);
    let raw = "From: news@example.org\r\nTo: ann@example.net\r\nBcc: eve@example.net,\r\n mallory@example.net\r\nSubject: Hello\r\n\r\nHello\r\n";
    daemon.feed(&json!({"to": "ann@example.net", "raw": raw})).await;
    daemon.end_input();
    let ended = daemon.end().await;
    assert_eq!(ended.code, Some(0));
    let taken = remote.taken();
    assert_eq!(taken.len(), 1, "{:?}", ended.lines);
    assert_eq!(taken[0].recipients, ["ann@example.net"]);
    assert!(!taken[0].data.contains("eve@") && !taken[0].data.contains("mallory@"), "{}", taken[0].data);
}
