//! What comes back to a sealed path becomes the right event of the right delivery.

use returnpath::event::{Event, EventKind};
use returnpath::testing::{Report, deliver_to, vacation_reply};
use returnpath::{Envelope, Queued, Reason, Reception};
use serde_json::json;

use crate::peer::Peer;
use crate::rig::Rig;

/// It belongs to this delivery, and carries all that was given when it was sent.
fn assert_belongs(event: &Event, queued: &Queued) {
    assert_eq!(event.delivery(), Some(queued.id), "{}", event.to_json());
    assert_eq!(event.recipient(), Some(&queued.recipient));
    assert_eq!(event.tag().and_then(|tag| tag.as_i64()), Some(17));
    assert_eq!(event.mailing(), Some("spring"));
    assert_eq!(event.metadata(), Some(&json!({"order": 4711})));
    assert_eq!(event.to_json()["verified"], true);
}

fn complaint(original: &str) -> String {
    let original = original.split("\r\n\r\n").next().unwrap();
    [
        "From: <feedback@provider.example>\r\nSubject: A report\r\nMIME-Version: 1.0\r\n",
        "Content-Type: multipart/report; report-type=feedback-report; boundary=\"=arf\"\r\n\r\n",
        "--=arf\r\nContent-Type: text/plain\r\n\r\nThis is a report of abuse.\r\n",
        "--=arf\r\nContent-Type: message/feedback-report\r\n\r\n",
        "Feedback-Type: abuse\r\nUser-Agent: Feedback/1.0\r\nVersion: 1\r\n\r\n",
        "--=arf\r\nContent-Type: text/rfc822-headers\r\n\r\n",
        original,
        "\r\n\r\n--=arf--\r\n",
    ]
    .concat()
}

#[tokio::test]
async fn each_kind_of_mail_to_a_sealed_path_is_told_as_what_it_is() {
    let rig = Rig::new().await;
    let queued = rig.sent("ann@example.net").await;
    let original = rig.remote.message(0).await.data;
    let reply = "From: Ann <ann@example.net>\r\nTo: news@example.org\r\nSubject: Re: Hello\r\nMessage-ID: <1@example.net>\r\n\
                 In-Reply-To: <x@example.org>\r\n\r\nThank you, that is what I was looking for.\r\n";
    let delayed = Report::delayed("ann@example.net", "4.2.2", "452 4.2.2 mailbox full, trying again");
    for (mail, kind) in [
        (
            Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").original(&original).to_string(),
            EventKind::Bounce,
        ),
        (delayed.original(&original).to_string(), EventKind::Delay),
        (Report::delivered("ann@example.net").original(&original).to_string(), EventKind::Success),
        (vacation_reply("ann@example.net", "news@example.org", "Hello"), EventKind::AutoReply),
        (complaint(&original), EventKind::Complaint),
        (reply.to_owned(), EventKind::Reply),
    ] {
        let answer = deliver_to(rig.address(), queued.return_path.as_str(), &mail).await.unwrap();
        assert!(answer.starts_with("250"), "{answer}");
        assert_belongs(&rig.told_of(kind).await, &queued);
    }
    let told = rig.all_that_came_back().await;
    assert_eq!(told.len(), 6, "{:?}", told.iter().map(Event::kind).collect::<Vec<_>>());
    let bounce = told.iter().find(|event| event.kind() == EventKind::Bounce).unwrap();
    assert_eq!(bounce.verdict().unwrap().reason, Reason::UserUnknown);
    assert_eq!((bounce.code(), bounce.status().map(|status| status.to_string())), (Some(550), Some("5.1.1".into())));
    assert_eq!(bounce.reported_recipient(), Some("ann@example.net"));
    let auto_reply = told.iter().find(|event| event.kind() == EventKind::AutoReply).unwrap();
    assert!(auto_reply.verdict().is_none(), "an absence note says nothing about the address");
}

#[tokio::test]
async fn a_report_about_a_forwarded_address_is_told_about_ours() {
    let rig = Rig::new().await;
    let queued = rig.sent("ann@example.net").await;
    let mail = Report::failed("a.smith@elsewhere.example", "5.2.2", "552 5.2.2 mailbox full").to_string();
    deliver_to(rig.address(), queued.return_path.as_str(), &mail).await.unwrap();
    let bounce = rig.told_of(EventKind::Bounce).await;
    assert_belongs(&bounce, &queued);
    assert_eq!(bounce.reported_recipient(), Some("a.smith@elsewhere.example"));
}

#[tokio::test]
async fn the_same_report_twice_is_one_event() {
    let rig = Rig::new().await;
    let queued = rig.sent("ann@example.net").await;
    let report = Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    for _ in 0..2 {
        let reply = deliver_to(rig.address(), queued.return_path.as_str(), &report).await.unwrap();
        assert!(reply.starts_with("250"), "who sends it again is told that all is well: {reply}");
    }
    let again = rig.mailer.receive(&Envelope::to(queued.return_path.as_str()), report.as_bytes()).await.unwrap();
    assert_eq!(again, [Reception::Repeated]);
    assert_eq!(rig.all_that_came_back().await.len(), 1);
    let other = Report::failed("ann@example.net", "5.2.1", "550 5.2.1 mailbox disabled").to_string();
    deliver_to(rig.address(), queued.return_path.as_str(), &other).await.unwrap();
    assert_eq!(rig.all_that_came_back().await.len(), 2, "another report is another event");
}

#[tokio::test]
async fn mail_from_another_transport_has_the_same_promises() {
    let rig = Rig::new().await;
    let queued = rig.sent("ann@example.net").await;
    let report = Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    let envelope = Envelope::to(queued.return_path.as_str());
    assert_eq!(rig.mailer.receive(&envelope, report.as_bytes()).await.unwrap(), [Reception::Stored]);
    assert_belongs(&rig.told_of(EventKind::Bounce).await, &queued);
    // It comes by SMTP as well.
    let reply = deliver_to(rig.address(), queued.return_path.as_str(), &report).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(rig.all_that_came_back().await.len(), 1);
    assert!(rig.mailer.accepts(queued.return_path.as_str()));
    assert!(!rig.mailer.accepts("bforged@b.example.org"));
}

#[tokio::test]
async fn one_report_to_two_paths_is_an_event_of_each() {
    let rig = Rig::new().await;
    let first = rig.sent("ann@example.net").await;
    let second = rig.sent("bob@example.net").await;
    let mut peer = Peer::connect(rig.address()).await;
    assert!(peer.offer(first.return_path.as_str()).await.starts_with("250"));
    assert!(peer.say(&format!("RCPT TO:<{}>", second.return_path)).await.starts_with("250"));
    let report = Report::failed("bob@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    assert!(peer.send(&report).await.starts_with("250"));
    let told = rig.all_that_came_back().await;
    assert_eq!(told.len(), 2);
    for queued in [&first, &second] {
        assert_belongs(told.iter().find(|event| event.delivery() == Some(queued.id)).unwrap(), queued);
    }
    assert_ne!(told[0].id(), told[1].id());
}

/// What speaks of our message is not therefore a bounce, and what is unsealed changes nothing.
#[tokio::test]
async fn mail_that_quotes_our_marks_is_judged_by_its_content_and_by_where_it_came() {
    let rig = Rig::new().await;
    let queued = rig.sent("ann@example.net").await;
    let original = rig.remote.message(0).await.data;
    let header = original.split("\r\n\r\n").next().unwrap();
    let field = |name: &str| {
        let line = header.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:"))).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    let message_id = field("message-id");
    let quote = header.replace("\r\n", "\r\n> ");
    let forward = format!(
        "From: ann@example.net\r\nTo: friend@example.com\r\nSubject: Fwd: Hello\r\nMessage-ID: <f@example.net>\r\n\
         References: {message_id}\r\n\r\nLook what I got, and what became of it:\r\n> {quote}\r\n> 550 5.1.1 user unknown\r\n"
    );
    for role in ["postmaster@b.example.org", "abuse@b.example.org"] {
        let reply = deliver_to(rig.address(), role, &forward).await.unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    // A whole report to a role address, with the true original in it: anyone who had the message can write one.
    let report = Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").original(&original).to_string();
    deliver_to(rig.address(), "postmaster@b.example.org", &report).await.unwrap();
    // And a vacation note that quotes everything, to the sealed path.
    let vacation = vacation_reply("ann@example.net", "news@example.org", "Hello") + &format!("> {quote}\r\n");
    deliver_to(rig.address(), queued.return_path.as_str(), &vacation).await.unwrap();
    // The Message-ID and the mark are no addresses of ours.
    for public in [
        message_id.trim_matches(['<', '>']),
        &format!("{}@b.example.org", message_id.trim_matches(['<', '>']).split('@').next().unwrap()),
    ] {
        let reply = deliver_to(rig.address(), public, &report).await.unwrap();
        assert!(reply.starts_with("550"), "{public}: {reply}");
    }
    let told = rig.all_that_came_back().await;
    let kinds: Vec<EventKind> = told.iter().map(Event::kind).collect();
    assert!(!kinds.contains(&EventKind::Bounce), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Other).count(), 3, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::AutoReply).count(), 1, "{kinds:?}");
    assert_eq!(
        rig.mailer.outcome(queued.id, std::time::Duration::ZERO).await.unwrap(),
        Some(returnpath::Outcome::Delivered)
    );
}

#[tokio::test]
async fn a_bounce_that_comes_after_a_start_still_finds_its_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("mail.db");
    let rig = Rig::over(store.clone(), None).await;
    let queued = rig.sent("ann@example.net").await;
    rig.mailer.shutdown(std::time::Duration::from_secs(10)).await.unwrap();
    drop(rig);

    let rig = Rig::over(store, None).await;
    let report = Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    let reply = deliver_to(rig.address(), queued.return_path.as_str(), &report).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    assert_belongs(&rig.told_of(EventKind::Bounce).await, &queued);
}
