//! What a store that is restored from a backup repeats, and what it never does.

use std::collections::HashSet;
use std::time::Duration;

use returnpath::event::EventKind;
use returnpath::testing::{Clock, RemoteHost, Report, deliver_to};

use crate::beside::{letter, mailer, next};
use crate::process::{PATIENCE, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_queued_is_sent_again_under_the_same_ids_and_new_mail_gets_new_ones() {
    let site = Site::new();
    let remote = RemoteHost::start().await.unwrap();
    let clock = Clock::manual(Clock::system().now());
    let (sender, mut events) = mailer(&site.store(), &remote, PATIENCE, clock.clone()).await;
    let listener = sender.listen("127.0.0.1:0").await.unwrap();
    let early = sender.send(letter("ann@example.net")).await.unwrap().deliveries.remove(0);
    assert_eq!(next(&mut events).await.kind(), EventKind::Delivered);
    // Queued when the copy is made, delivered after it.
    let soon =
        sender.send(letter("kim@example.net").not_before(clock.now() + HOUR)).await.unwrap().deliveries.remove(0);
    let copy = site.path("copy.db");
    sender.backup(&copy).await.unwrap();
    clock.advance(HOUR);
    let kim = next(&mut events).await;
    assert_eq!((kim.kind(), kim.delivery()), (EventKind::Delivered, Some(soon.id)));
    let report = Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    deliver_to(listener.local_addr(), early.return_path.as_str(), &report).await.unwrap();
    let bounce = next(&mut events).await;
    let mut ids = HashSet::from([early.id, soon.id]);
    for number in 0..20 {
        let receipt = sender.send(letter(&format!("r{number}@example.net"))).await.unwrap();
        ids.insert(receipt.deliveries[0].id);
        assert_eq!(next(&mut events).await.kind(), EventKind::Delivered);
    }
    listener.stop(PATIENCE).await;
    sender.shutdown(PATIENCE).await.unwrap();
    drop(sender);

    let taken = remote.taken().len();
    let (restored, mut events) = mailer(&copy, &remote, PATIENCE, clock).await;
    let again = next(&mut events).await;
    assert_eq!((again.delivery(), again.id()), (Some(soon.id), kim.id()), "the same end, the same event");
    assert_eq!(remote.taken().len(), taken + 1, "this one, and none of those that had their end");
    assert_eq!(remote.taken()[taken].return_path, soon.return_path.as_str());
    // The host that returned the mail does so once more: the store knows nothing of the first time, the handler does.
    let listener = restored.listen("127.0.0.1:0").await.unwrap();
    deliver_to(listener.local_addr(), early.return_path.as_str(), &report).await.unwrap();
    assert_eq!(next(&mut events).await.id(), bounce.id());
    for number in 0..20 {
        let receipt = restored.send(letter(&format!("r{number}@example.net"))).await.unwrap();
        assert!(ids.insert(receipt.deliveries[0].id), "this id was given before");
    }
    listener.stop(PATIENCE).await;
    restored.shutdown(PATIENCE).await.unwrap();
}

const HOUR: Duration = Duration::from_secs(3600);
