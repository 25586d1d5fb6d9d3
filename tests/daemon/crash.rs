//! `kill -9` at each of the places where something could be lost, and a start over the same store.

use std::collections::HashMap;
use std::time::Duration;

use returnpath::event::{Event, EventKind, from_fn};
use returnpath::testing::{Clock, RemoteHost, Report, deliver_to};
use returnpath::{Mailer, Smarthost};
use serde_json::{Value, json};

use crate::process::{DOMAIN, Site};

/// A message with a tag and a key, both its number.
pub(crate) fn message(number: usize) -> Value {
    json!({
        "from": "news@example.org",
        "to": format!("r{number}@example.net"),
        "subject": "Hello",
        "text": "Good morning.",
        "tag": number,
        "mailing": "spring",
        "metadata": {"number": number},
        "key": format!("k{number}"),
    })
}

/// Opens the store as a program that embeds the crate would, lets the time pass after which what is uncertain is due for
/// its second attempt, lets everything end, and gives the events that were told.
pub(crate) async fn finish(site: &Site, remote: &RemoteHost) -> Vec<Event> {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let handler = from_fn(move |event: Event| {
        let _ = sender.send(event);
        async { Ok(()) }
    });
    let clock = Clock::manual(Clock::system().now());
    let mailer = Mailer::builder(DOMAIN)
        .ehlo("mail.example.org")
        .store(site.store())
        .smarthost(Smarthost::new(remote.address().to_string()))
        .clock(clock.clone())
        .handler(handler)
        .start()
        .await
        .unwrap();
    // After the start, which may tell of further ones.
    clock.advance(Duration::from_secs(31 * 60));
    tokio::time::timeout(Duration::from_secs(60), mailer.drain()).await.expect("everything ends").unwrap();
    mailer.shutdown(Duration::from_secs(10)).await.unwrap();
    drop(mailer);
    let mut events = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        events.push(event);
    }
    events
}

/// How often the remote host took the message of each return path.
pub(crate) fn copies(remote: &RemoteHost) -> HashMap<String, usize> {
    let mut copies = HashMap::new();
    for taken in remote.taken() {
        *copies.entry(taken.return_path).or_default() += 1;
    }
    copies
}

#[tokio::test]
async fn between_enqueue_and_the_queued_line() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    let relay = remote.address().to_string();
    let mut by_key: HashMap<String, Value> = HashMap::new();
    let mut uncertain = Vec::new();
    for round in 0..9 {
        let mut daemon = site.daemon(&["--relay", &relay]);
        for number in 0..MESSAGES {
            daemon.feed(&message(number)).await;
        }
        // The last run ends in good order; the others at a moment that moves over the time in which lines are taken.
        let lines = if round == 8 {
            daemon.until("every line to be queued", |lines| count(lines, "queued") == MESSAGES).await;
            daemon.kill().await
        } else {
            if round > 0 {
                daemon.until("some lines", |lines| count(lines, "queued") > (round - 1) * 5).await;
            }
            tokio::time::sleep(Duration::from_micros(700 * (round as u64 % 4))).await;
            daemon.kill().await
        };
        for line in lines {
            match line["event"].as_str() {
                Some("queued") => {
                    let before = by_key.entry(line["key"].as_str().unwrap().to_owned()).or_insert_with(|| line.clone());
                    assert_eq!(before["id"], line["id"], "one key, one id");
                    assert_eq!(before["return_path"], line["return_path"]);
                }
                Some("uncertain") => uncertain.push(line["id"].as_str().unwrap().to_owned()),
                Some("delivered") => {}
                _ => panic!("{line}"),
            }
        }
    }
    assert_eq!(by_key.len(), MESSAGES);
    let events = finish(&site, &remote).await;
    uncertain.extend(events.iter().filter(|event| event.kind() == EventKind::Uncertain).map(id));
    let copies = copies(&remote);
    assert_eq!(copies.len(), MESSAGES, "nothing else arrived");
    for queued in by_key.values() {
        let arrived = copies.get(queued["return_path"].as_str().unwrap()).copied().unwrap_or_default();
        assert!(arrived >= 1, "printed and lost: {queued}");
        assert!(arrived == 1 || uncertain.iter().any(|id| queued["id"] == **id), "{arrived} copies of {queued}");
    }
}

#[tokio::test]
async fn between_the_queued_line_and_sending() {
    let site = Site::new();
    // Takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut daemon = site.daemon(&["--relay", &silent.local_addr().unwrap().to_string()]);
    daemon.feed(&message(1)).await;
    let queued = daemon.event("queued").await;
    let _connection = silent.accept().await.unwrap();
    daemon.kill().await;

    let remote = RemoteHost::start().await.unwrap();
    let daemon = site.daemon(&["--relay", &remote.address().to_string()]);
    let delivered = daemon.event("delivered").await;
    for field in ["id", "message", "to", "tag"] {
        assert_eq!(delivered[field], queued[field]);
    }
    assert_eq!((&delivered["mailing"], &delivered["metadata"]), (&json!("spring"), &json!({"number": 1})));
    assert_eq!(delivered["attempts"], 1, "nothing was tried before");
    let taken = remote.message(0).await;
    assert_eq!(taken.return_path, queued["return_path"]);
    assert_eq!(taken.recipients, ["r1@example.net"]);
}

#[tokio::test]
async fn between_the_remote_hosts_250_and_settlement() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    let relay = remote.address().to_string();
    // It has the message, and does not say so in our time.
    remote.delay_end_of_data(Duration::from_secs(600));
    let mut daemon = site.daemon(&["--relay", &relay]);
    daemon.feed(&message(1)).await;
    let queued = daemon.event("queued").await;
    remote.message(0).await;
    daemon.kill().await;

    remote.delay_end_of_data(Duration::ZERO);
    let mut daemon = site.daemon(&["--relay", &relay, "--retry", "100ms"]);
    let uncertain = daemon.event("uncertain").await;
    assert_eq!((&uncertain["id"], &uncertain["tag"]), (&queued["id"], &queued["tag"]));
    assert_eq!((&uncertain["outcome"], &uncertain["stage"]), (&json!("uncertain"), &json!("end_of_data")));
    assert_eq!(uncertain["code"], Value::Null, "a reply that was not heard is not invented");
    // One that goes its whole way after the start shows that the first was not sent at once again.
    daemon.feed(&message(2)).await;
    daemon.event("delivered").await;
    daemon.kill().await;
    assert_eq!(remote.taken().len(), 2);

    // A further start tells nothing new; the second attempt comes in its time, and only one.
    let events = finish(&site, &remote).await;
    assert_eq!(remote.taken().len(), 3);
    assert_eq!(remote.taken()[2].return_path, queued["return_path"]);
    let last = events.iter().find(|event| queued["id"] == *id(event)).expect("the end of it is told");
    assert_eq!((last.kind(), last.attempts()), (EventKind::Delivered, 2));
}

/// The 250 may have been read, and even be on its way to the disk: either the delivery is known to be delivered, or it
/// is told as uncertain. There is no second copy in either case.
#[tokio::test]
async fn just_behind_the_remote_hosts_250() {
    let mut told = HashMap::<String, u32>::new();
    for round in 0..6 {
        let site = Site::new();
        let remote = RemoteHost::start().await.unwrap();
        let relay = remote.address().to_string();
        let mut daemon = site.daemon(&["--relay", &relay]);
        daemon.feed(&message(1)).await;
        daemon.event("queued").await;
        remote.message(0).await;
        tokio::time::sleep(Duration::from_micros(400 * round)).await;
        let mut lines = daemon.kill().await;
        if count(&lines, "delivered") == 0 {
            let daemon = site.daemon(&["--relay", &relay]);
            let is_end = |line: &Value| line["event"] == "delivered" || line["event"] == "uncertain";
            lines = vec![daemon.line("its fate", is_end).await];
        }
        assert_eq!(remote.taken().len(), 1);
        let kind = lines.iter().find(|line| line["event"] != "queued").unwrap()["event"].as_str().unwrap().to_owned();
        *told.entry(kind).or_default() += 1;
    }
    println!("killed just behind the 250: {told:?}");
}

#[tokio::test]
async fn between_the_250_given_to_a_bounce_and_the_handlers_return() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    let relay = remote.address().to_string();
    let mut daemon = site.daemon(&["--relay", &relay]);
    daemon.feed(&message(1)).await;
    let queued = daemon.event("queued").await;
    daemon.event("delivered").await;
    daemon.terminate();
    assert_eq!(daemon.end().await.code, Some(0));

    let report = Report::failed("r1@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    let path = queued["return_path"].as_str().unwrap();
    let slow = ["--relay", &relay, "--listen", "127.0.0.1:0", "--handler-delay", "5s"];
    let daemon = site.daemon(&slow);
    let reply = deliver_to(daemon.listener().await, path, &report).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let answered = Clock::system().now();
    let lines = daemon.kill().await;
    assert_eq!(count(&lines, "bounce"), 0, "the handler was still at it");

    // The event that was stored before the 250, now told; and killed before the answer of the handler counts.
    let daemon = site.daemon(&["--relay", &relay]);
    let first = daemon.event("bounce").await;
    daemon.kill().await;
    assert_eq!((&first["id"], &first["tag"], &first["to"]), (&queued["id"], &json!(1), &json!("r1@example.net")));
    assert_eq!((&first["reason"], &first["status"]), (&json!("user_unknown"), &json!("5.1.1")));
    assert_eq!(first["verified"], true);
    assert!(*first["at"].as_str().unwrap() <= *answered.to_string(), "it was stored before the host was told 250");

    // The same report once more, to a store that may have the acknowledgement or not: no second event.
    let daemon = site.daemon(&["--relay", &relay, "--listen", "127.0.0.1:0"]);
    let reply = deliver_to(daemon.listener().await, path, &report).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let other = Report::delayed("r1@example.net", "4.2.2", "452 4.2.2 mailbox full").to_string();
    deliver_to(daemon.listener().await, path, &other).await.unwrap();
    daemon.event("delay").await;
    for line in daemon.kill().await {
        assert!(line["event"] != "bounce" || line["event_id"] == first["event_id"], "a second event: {line}");
    }
}

/// Between the line and its acknowledgement there is a short time; some of these kills fall into it.
#[tokio::test]
async fn an_event_that_comes_again_has_the_same_id() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    let relay = remote.address().to_string();
    let mut daemon = site.daemon(&["--relay", &relay]);
    for number in 0..10 {
        daemon.feed(&message(number)).await;
    }
    daemon.until("the first end", |lines| count(lines, "queued") == 10 && count(lines, "delivered") > 0).await;
    // By what happened to whom; each such event has one id, however often it comes.
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut again = 0;
    let mut note = |lines: &[Value]| {
        for line in lines.iter().filter(|line| line["event"] != "queued") {
            let event_id = line["event_id"].as_str().unwrap();
            if let Some(before) = ids.insert(format!("{} {}", line["event"], line["id"]), event_id.to_owned()) {
                assert_eq!(before, event_id);
                again += 1;
            }
        }
        ids.len()
    };
    let mut known = note(&daemon.kill().await);
    for _ in 0..5 {
        if known < 10 {
            let daemon = site.daemon(&["--relay", &relay]);
            daemon.until("an event", |lines| !lines.is_empty()).await;
            known = note(&daemon.kill().await);
        }
    }
    let left = site.daemon(&["--relay", &relay]);
    let mut heard = 0;
    left.until("the ends of all", |lines| {
        known = note(&lines[heard..]);
        heard = lines.len();
        known == 10
    })
    .await;
    println!("{again} events came again, each with its id");
}

pub(crate) fn count(lines: &[Value], kind: &str) -> usize {
    lines.iter().filter(|line| line["event"] == kind).count()
}

fn id(event: &Event) -> String {
    event.delivery().unwrap().to_string()
}

const MESSAGES: usize = 40;
