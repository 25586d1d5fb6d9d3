//! The whole story in one process: a mailer, its listener, and a remote host that refuses some recipients in the
//! conversation, takes others and returns their mail later, keeps one waiting, and answers one automatically.
//!
//! No root, no network, no files but one HTML report in the system's folder for temporary files.
//!
//! ```text
//! cargo run --example demo
//! ```

mod table;

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use returnpath::event::EventKind;
use returnpath::testing::{RemoteHost, Report, deliver_to, vacation_reply};
use returnpath::{Event, HandlerResult, Mailer, Message, Smarthost, StoreLocation, Timestamp, event};

const RECIPIENTS: usize = 60;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The application's own record: here a list, in earnest an SQL table.
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let record = told.clone();
    let handler = event::from_fn(move |event: Event| {
        record.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        async { HandlerResult::Ok(()) }
    });

    // The other side of the world.
    let remote = RemoteHost::start().await?;
    remote.on_rcpt("bob@example.net", "550 5.1.1 <bob@example.net>: no such user here");
    remote.on_rcpt("kim@example.net", "451 4.7.1 greylisted, please try again in a moment");
    remote.on_rcpt("kim@example.net", "250 2.1.5 welcome back");

    let mailer = Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(StoreLocation::memory())
        .smarthost(Smarthost::new(remote.address().to_string()))
        .retry([Duration::from_secs(1)])
        .delay_after([Duration::ZERO])
        .handler(handler)
        .start()
        .await?;
    let listener = mailer.listen("127.0.0.1:0").await?;
    println!("The mailer sends to {} and listens on {}.\n", remote.address(), listener.local_addr());

    let special = ["ann@example.net", "bob@example.net", "kim@example.net", "eve@example.net", "joe@example.net"];
    let recipients: Vec<String> = special
        .into_iter()
        .map(str::to_owned)
        .chain((special.len()..RECIPIENTS).map(|number| format!("subscriber{number}@example.net")))
        .collect();
    let mut receipts = Vec::new();
    for (number, recipient) in recipients.iter().enumerate() {
        let message = Message::builder()
            .from("News <news@example.org>")
            .to(recipient.as_str())
            .subject("The first issue")
            .text("Good morning.\n\nThis is the first issue of our newsletter.\n")
            .mailing("issue-1")
            .tag(1000 + number as i64);
        receipts.push(mailer.send(message).await?.deliveries.remove(0));
        table::progress("sending", number + 1, RECIPIENTS);
    }

    // One recipient is refused in the conversation; all others are taken, one of them at the second attempt.
    for number in 0..RECIPIENTS - 1 {
        remote.message(number).await;
        table::progress("taken by the remote host", number + 1, RECIPIENTS - 1);
    }

    // Hours later, in earnest: the remote host finds that eve's mailbox is gone, and returns her mail to the return
    // path. joe is on holiday, and his mail program answers to it.
    let path_of = |recipient: &str| {
        let receipt = receipts.iter().find(|receipt| receipt.recipient == *recipient);
        receipt.map(|receipt| receipt.return_path.to_string()).expect("one for each recipient")
    };
    let taken = remote.taken();
    let original = taken.iter().find(|taken| taken.recipients == ["eve@example.net"]).map(|taken| &*taken.data);
    let report = Report::failed("eve@example.net", "5.1.1", "550 5.1.1 <eve@example.net>: mailbox unavailable")
        .original(original.unwrap_or_default());
    deliver_to(listener.local_addr(), &path_of("eve@example.net"), &report.to_string()).await?;
    let away = vacation_reply("joe@example.net", &path_of("joe@example.net"), "The first issue");
    deliver_to(listener.local_addr(), &path_of("joe@example.net"), &away).await?;

    // Who guesses a return path is refused before any data.
    let forged = path_of("ann@example.net").replacen('b', "ba", 1);
    let refused = deliver_to(listener.local_addr(), &forged, &report.to_string()).await?;

    mailer.drain().await?;
    let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
    table::print(&told);
    println!("\nA forged return path was answered: {refused}");

    #[allow(clippy::disallowed_methods, reason = "this is the application: it asks for the time")]
    let now = Timestamp::from(std::time::SystemTime::now());
    let page = mailer.reports().html(Timestamp::EPOCH..Timestamp::MAX, now).await?;
    let path = std::env::temp_dir().join(format!("returnpath-demo-{}.html", std::process::id()));
    std::fs::write(&path, page)?;
    println!("The report for people: {}", path.display());

    listener.stop(Duration::from_secs(5)).await;
    mailer.shutdown(Duration::from_secs(5)).await?;

    for kind in [EventKind::Delivered, EventKind::Fail, EventKind::Bounce, EventKind::Delay, EventKind::AutoReply] {
        if !told.iter().any(|event| event.kind() == kind) {
            return Err(format!("no {} event was told", kind.name()).into());
        }
    }
    Ok(())
}
