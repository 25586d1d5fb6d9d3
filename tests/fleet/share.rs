//! Three daemons share one queue.

use std::sync::Arc;
use std::time::Duration;

use returnpath::testing::RemoteHost;
use serde_json::{Value, json};

use crate::cluster::{Cluster, PAST_ITS_LEASE};
use crate::process::{DOMAIN, Daemon, eventually, full};
use crate::story::Story;

fn message(number: usize, domains: usize) -> Value {
    json!({
        "from": "news@example.org",
        "to": format!("r{number}@d{}.example", number % domains),
        "subject": "Hello",
        "text": "Good morning.",
        "tag": number,
        "key": format!("k{number}"),
    })
}

/// So many daemons that all listen; one that is killed leaves its place empty.
async fn fleet(count: usize, url: &str, remote: &RemoteHost) -> Vec<Option<Daemon>> {
    let relay = remote.address().to_string();
    let flags = ["--domain", DOMAIN, "--ehlo", "mail.example.org", "--quiet", "--listen", "127.0.0.1:0"];
    let store = ["--store", url, "--relay", &relay];
    let fleet: Vec<Option<Daemon>> = (0..count).map(|_| Some(Daemon::start([&flags[..], &store].concat()))).collect();
    for daemon in fleet.iter().flatten() {
        daemon.listener().await;
    }
    fleet
}

fn hear(story: &mut Story, fleet: &[Option<Daemon>]) {
    for (who, daemon) in fleet.iter().enumerate() {
        if let Some(daemon) = daemon {
            story.hear(who, daemon);
        }
    }
}

/// Waits until all are queued and have an end.
async fn until_complete(story: &mut Story, fleet: &[Option<Daemon>], messages: usize) {
    eventually("every message has an end", || {
        hear(story, fleet);
        story.is_complete(messages)
    })
    .await;
}

/// What nobody was told to be queued is given again, under the same key, to the first daemon; then as above.
async fn give_again(story: &mut Story, fleet: &mut [Option<Daemon>], messages: usize) {
    let lost: Vec<usize> = (0..messages).filter(|n| !story.queued.contains_key(&format!("k{n}"))).collect();
    for number in lost {
        fleet[0].as_mut().unwrap().feed(&message(number, 7)).await;
    }
    until_complete(story, fleet, messages).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_its_share_and_none_is_sent_twice() {
    let Some(cluster) = Cluster::start() else { return };
    for domains in [1, 50] {
        let messages = if full() { 30_000 } else { 1_500 };
        let remote = Arc::new(RemoteHost::start().await.unwrap());
        let mut fleet = fleet(3, &cluster.url(), &remote).await;
        for number in 0..messages {
            let key = number + domains * 1_000_000;
            fleet[number % 3].as_mut().unwrap().feed(&message(key, domains)).await;
        }
        let mut story = Story::default();
        until_complete(&mut story, &fleet, messages).await;
        assert_eq!(story.check(&remote), 0);
        assert!(story.uncertain.is_empty(), "nobody died");
        let shares: Vec<usize> = fleet
            .iter()
            .flatten()
            .map(|daemon| daemon.lines().iter().filter(|line| line["event"] == "delivered").count())
            .collect();
        println!("{domains} destinations: {shares:?} events of {messages} messages");
        for daemon in fleet.into_iter().flatten() {
            daemon.terminate();
            daemon.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_daemons_and_the_database_die() {
    let Some(cluster) = Cluster::start() else { return };
    let messages = if full() { 30_000 } else { 1_200 };
    let remote = Arc::new(RemoteHost::start().await.unwrap());
    let mut story = Story::default();
    let mut fleet = fleet(3, &cluster.url(), &remote).await;
    for number in 0..messages {
        fleet[number % 3].as_mut().unwrap().feed(&message(number, 7)).await;
    }
    let seen = |fleet: &[Option<Daemon>]| -> usize {
        fleet
            .iter()
            .flatten()
            .map(|daemon| daemon.lines().iter().filter(|line| line["event"] == "queued").count())
            .sum()
    };
    eventually("a part is queued", || seen(&fleet) > messages / 4).await;
    signal(fleet[1].as_ref().unwrap(), "STOP");
    let killed = fleet[2].take().unwrap();
    story.take(killed.kill().await);
    cluster.restart();
    tokio::time::sleep(PAST_ITS_LEASE).await;
    signal(fleet[1].as_ref().unwrap(), "CONT");
    hear(&mut story, &fleet);
    give_again(&mut story, &mut fleet, messages).await;
    let twice = story.check(&remote);
    println!("{messages} messages: {} uncertain, {twice} sent twice", story.uncertain.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_standby_takes_over() {
    let Some(primary) = Cluster::start() else { return };
    let standby = primary.standby();
    let url = primary.url_with(&standby);
    let messages = if full() { 30_000 } else { 600 };
    let remote = Arc::new(RemoteHost::start().await.unwrap());
    let mut story = Story::default();
    let mut fleet = fleet(2, &url, &remote).await;
    for number in 0..messages {
        fleet[number % 2].as_mut().unwrap().feed(&message(number, 7)).await;
    }
    eventually("a part is delivered", || remote.taken().len() > messages / 4).await;
    primary.kill();
    standby.promote();
    tokio::time::sleep(Duration::from_secs(2)).await;
    eventually("every message is queued or refused", || {
        hear(&mut story, &fleet);
        story.queued.len() + story.errors.len() >= messages
    })
    .await;
    give_again(&mut story, &mut fleet, messages).await;
    let twice = story.check(&remote);
    println!("{messages} messages: {} uncertain, {twice} sent twice", story.uncertain.len());
}

fn signal(daemon: &Daemon, name: &str) {
    let status = std::process::Command::new("kill").args([&format!("-{name}"), &daemon.process_id()]).status();
    assert!(status.unwrap().success());
}
