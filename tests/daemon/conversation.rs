//! What remote hosts must see over several attempts and several messages.

use returnpath::testing::RemoteHost;
use serde_json::{Value, json};

use crate::crash::count;
use crate::process::Site;

/// A greylisting host knows an attempt by its address, its sender and its recipient: the return path is the same in each.
#[tokio::test]
async fn every_attempt_has_the_same_return_path() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    remote.on_rcpt("ann@example.net", "451 4.7.1 greylisted, come back later");
    remote.on_rcpt("ann@example.net", "451 4.7.1 greylisted, come back later");
    remote.on_rcpt("ann@example.net", "250 2.1.5 ok");
    let relay = remote.address().to_string();
    let mut daemon = site.daemon(&["--relay", &relay, "--retry", "100ms"]);
    daemon
        .feed(&json!({"from": "news@example.org", "to": "ann@example.net", "subject": "Hello", "text": "…", "tag": 17}))
        .await;
    let queued = daemon.event("queued").await;
    let delivered = daemon.event("delivered").await;
    assert_eq!(delivered["attempts"], 3);
    let offered = remote.offered();
    assert_eq!(offered.len(), 3, "{offered:?}");
    for (return_path, recipient) in &offered {
        assert_eq!(queued["return_path"], **return_path);
        assert_eq!(recipient, "ann@example.net");
    }
    // Also over a start: the path belongs to the delivery, not to the process.
    let last = remote.message(0).await;
    assert_eq!(last.return_path, queued["return_path"]);
}

#[tokio::test]
async fn an_attempt_of_the_next_run_has_the_same_return_path_too() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    remote.on_rcpt("ann@example.net", "451 4.7.1 greylisted, come back later");
    remote.on_rcpt("ann@example.net", "250 2.1.5 ok");
    let relay = remote.address().to_string();
    let flags = ["--relay", &relay, "--retry", "500ms", "--delay-after", "1ms"];
    let mut daemon = site.daemon(&flags);
    daemon.feed(&json!({"from": "news@example.org", "to": "ann@example.net", "subject": "Hello", "text": "…"})).await;
    daemon.event("delay").await;
    daemon.kill().await;
    let daemon = site.daemon(&flags);
    let delivered = daemon.event("delivered").await;
    assert_eq!(delivered["attempts"], 2);
    let offered = remote.offered();
    assert_eq!(offered.len(), 2, "{offered:?}");
    assert_eq!(offered[0], offered[1]);
}

/// A return path for each recipient costs a transaction, not a connection.
#[tokio::test]
async fn envelopes_of_their_own_share_one_connection() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    let relay = remote.address().to_string();
    let mut daemon = site.daemon(&["--relay", &relay]);
    let recipients: Vec<String> = (0..RECIPIENTS).map(|number| format!("r{number}@example.net")).collect();
    daemon
        .feed(&json!({"from": "news@example.org", "to": recipients, "subject": "Hello", "text": "Good morning."}))
        .await;
    let lines = daemon.until("all deliveries", |lines| count(lines, "delivered") == RECIPIENTS).await;
    let mut paths: Vec<&str> = lines
        .iter()
        .filter(|line| line["event"] == "queued")
        .map(|line| line["return_path"].as_str().unwrap())
        .collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), RECIPIENTS, "each its own");
    let taken = remote.taken();
    assert!(taken.iter().all(|taken| taken.recipients.len() == 1));
    let ids: Vec<&Value> = lines.iter().filter(|line| line["event"] == "queued").map(|line| &line["message"]).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one message");
    assert_eq!(remote.connections(), 1);
}

/// Few enough that a second connection would not pay.
const RECIPIENTS: usize = 15;
