//! After an address was forgotten, nothing that the mailer gives out names it: no event, no report, no file.
#![cfg(all(feature = "sqlite", feature = "testing"))]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use returnpath::event::{Event, EventKind, from_fn};
use returnpath::testing::{RemoteHost, Report, deliver_to};
use returnpath::{HandlerError, Mailer, Message, Smarthost, Timestamp};
use serde_json::json;

const ADDRESS: &str = "ann@example.net";

/// Whether it is in the text, in any case.
fn is_in(text: &str) -> bool {
    text.to_lowercase().contains(ADDRESS)
}

fn files_with_it(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap();
    files.filter(|file| is_in(&String::from_utf8_lossy(&std::fs::read(file.as_ref().unwrap().path()).unwrap()))).count()
}

/// All that is told of events and counts.
async fn exported(mailer: &Mailer, told: &Mutex<Vec<Event>>) -> String {
    told.lock().unwrap().clear();
    let ever = Timestamp::EPOCH..Timestamp::MAX;
    let mut texts = Vec::new();
    for letter in mailer.events().dead_letters(100).await.unwrap() {
        texts.push(letter.event().to_json().to_string());
        texts.extend(letter.error().map(str::to_owned));
    }
    mailer.events().replay(ever.clone()).await.unwrap();
    mailer.drain().await.unwrap();
    for event in told.lock().unwrap().iter() {
        texts.push(event.to_json().to_string());
        texts.extend(event.raw().map(|raw| String::from_utf8_lossy(raw).into_owned()));
    }
    let report = mailer.reports().report(ever, Timestamp::from_millis(1_800_000_000_000)).await.unwrap();
    texts.extend([report.to_json().to_string(), report.to_csv(), report.to_html()]);
    texts.join("\n")
}

#[tokio::test]
async fn nothing_that_is_given_out_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let remote = RemoteHost::start().await.unwrap();
    remote.on_rcpt(ADDRESS, "550 5.1.1 <ann@example.net>: no such user");
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let handler = from_fn({
        let told = told.clone();
        move |event: Event| {
            told.lock().unwrap().push(event.clone());
            async move {
                match event.kind() {
                    EventKind::Fail => Err(HandlerError::give_up(format!("no row for {ADDRESS}"))),
                    _ => Ok(()),
                }
            }
        }
    });
    let builder = Mailer::builder("b.example.org").ehlo("mail.example.org").handler(handler);
    let builder = builder.store(folder.path().join("mail.db")).smarthost(Smarthost::new(remote.address().to_string()));
    let mailer = builder.start().await.unwrap();
    let listener = mailer.listen("127.0.0.1:0").await.unwrap();
    let message = |to: &str| {
        let message = Message::builder().from("news@example.org").to(to).subject("Hello").text("Good morning.");
        message.metadata(json!({ "invited_by": "Ann@example.net" }))
    };
    let refused = mailer.send(message("Ann@example.net")).await.unwrap().deliveries[0].id;
    let other = mailer.send(message("bob@example.net")).await.unwrap().deliveries[0].clone();
    mailer.drain().await.unwrap();
    // A report about one recipient that names the other.
    let report = Report::failed("bob@example.net", "5.2.2", "552 5.2.2 full, like \"Ann\"@example.net").to_string();
    deliver_to(listener.local_addr(), other.return_path.as_str(), &report).await.unwrap();
    mailer.drain().await.unwrap();
    assert!(
        is_in(&exported(&mailer, &told).await) && files_with_it(folder.path()) > 0,
        "the search finds what is there"
    );

    assert!(mailer.forget("ANN@Example.net").await.unwrap() > 0);
    let left = exported(&mailer, &told).await;
    assert!(!is_in(&left) && !left.to_lowercase().contains("\"ann"), "{left}");
    assert!(left.contains("bob@example.net"), "what is about others is there: {left}");
    assert_eq!(mailer.outcome(refused, Duration::ZERO).await.unwrap(), None);
    assert!(mailer.outcome(other.id, Duration::ZERO).await.unwrap().is_some());
    assert_eq!(files_with_it(folder.path()), 0);
    listener.stop(PATIENCE).await;
    mailer.shutdown(PATIENCE).await.unwrap();
    assert_eq!(files_with_it(folder.path()), 0);
}

/// For anything that must happen.
const PATIENCE: Duration = Duration::from_secs(60);
