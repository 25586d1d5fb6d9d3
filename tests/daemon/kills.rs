//! Killed at random, again and again, while mail goes out and bounces come in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use returnpath::event::EventKind;
use returnpath::testing::{Clock, RemoteHost};
use serde_json::Value;

use crate::crash::{copies, finish, message};
use crate::postman::{Postman, is_returned};
use crate::process::{PATIENCE, Site, eventually_within, full};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_however_often_the_process_is_killed() {
    let (rounds, lines_each) = if full() { (200, 100) } else { (10, 40) };
    kill_again_and_again("steady connections", rounds, lines_each, Arc::new(RemoteHost::start().await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_connections_are_reset_as_well() {
    let (rounds, lines_each) = if full() { (200, 100) } else { (10, 40) };
    let remote = Arc::new(RemoteHost::start().await.unwrap());
    // One in 40 steps of a conversation: about every tenth message meets one.
    remote.reset_at_random(0xdead, 40);
    kill_again_and_again("connections reset", rounds, lines_each, remote).await;
}

async fn kill_again_and_again(name: &str, rounds: usize, lines_each: usize, remote: Arc<RemoteHost>) {
    let messages = rounds * lines_each;
    let started = Clock::system().now();
    let site = Site::new();
    let postman = Postman::start(remote.clone());
    let relay = remote.address().to_string();
    let mut random = Random(0x5eed);
    let mut story = Story::default();

    for round in 1..=rounds {
        let mut daemon = site.daemon(&["--relay", &relay, "--listen", "127.0.0.1:0", "--retry", "100ms"]);
        postman.goes_to(daemon.listener().await);
        let time = Duration::from_micros(random.below(250_000));
        let kill = tokio::time::sleep(time);
        let feed = async {
            // A program that was not told `queued` gives its message again, under the same key.
            for number in (0..round * lines_each).filter(|number| !story.queued.contains_key(&format!("k{number}"))) {
                daemon.feed(&message(number)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = feed => {}
            () = kill => {}
        }
        story.hear(daemon.kill().await);
    }

    // The last run is left alone until all is told.
    let mut daemon = site.daemon(&["--relay", &relay, "--listen", "127.0.0.1:0", "--retry", "100ms"]);
    postman.goes_to(daemon.listener().await);
    for number in (0..messages).filter(|number| !story.queued.contains_key(&format!("k{number}"))) {
        daemon.feed(&message(number)).await;
    }
    let mut heard = 0;
    let patience = if full() { Duration::from_secs(600) } else { PATIENCE };
    eventually_within(patience, "every message is queued and has an end, and every bounce is told", || {
        let lines = daemon.lines_after(heard);
        heard += lines.len();
        story.hear(lines);
        story.queued.len() == messages
            && story.queued.values().all(|queued| story.has_end(&queued.id))
            && remote.taken().iter().all(|taken| !is_returned(taken) || postman.has_posted(&taken.return_path))
            && postman.posted().iter().all(|path| story.bounces.contains_key(path))
    })
    .await;
    let lines = daemon.kill().await;
    story.hear(lines[heard..].to_vec());
    let resets = remote.resets();
    remote.reset_at_random(0, 0);

    let mut delivered = story.delivered.clone();
    for event in finish(&site, &remote).await {
        let id = event.delivery().unwrap().to_string();
        let is_new = story.seen.insert(event.id().to_string());
        story.warnings += usize::from(is_new && event.kind() == EventKind::Uncertain);
        match event.kind() {
            EventKind::Delivered => drop(delivered.insert(id)),
            EventKind::Uncertain => drop(story.uncertain.insert(id)),
            // Told in the last run, and killed before that was recorded.
            EventKind::Bounce => {}
            _ => panic!("{}", event.to_json()),
        }
    }
    let copies = copies(&remote);
    assert_eq!(copies.len(), messages, "each message once at least, and none that was not asked for");
    for (key, queued) in &story.queued {
        let arrived = copies.get(&queued.path).copied().unwrap_or_default();
        assert!(arrived >= 1, "{key} was printed and lost");
        assert!(arrived == 1 || story.uncertain.contains(&queued.id), "{arrived} copies of {key} without a warning");
        // A bounce says that an uncertain one had arrived: that is its end, and there is no second attempt.
        let told = delivered.contains(&queued.id) || story.bounces.contains_key(&queued.path);
        assert!(told, "the end of {key} was never told");
    }
    assert!(postman.refused().is_empty(), "{:?}", postman.refused());
    let posted = postman.posted();
    assert!(posted.len() > messages / 4, "bounces came in all the time: {}", posted.len());
    for path in &posted {
        assert_eq!(story.bounces[path].len(), 1, "one report, one event id");
    }
    let beyond_the_first: usize = copies.values().map(|copies| copies - 1).sum();
    assert!(beyond_the_first <= story.warnings, "{beyond_the_first} second copies, {} warnings", story.warnings);
    println!(
        "{name}: {rounds} kills, {resets} resets, {messages} messages: {} warnings of a second copy, {} came, \
         {} bounces, {} events told again, {:?}",
        story.warnings,
        beyond_the_first,
        posted.len(),
        story.repeated,
        Clock::system().now().since(started),
    );
}

/// All that was printed, over all runs.
#[derive(Default)]
struct Story {
    /// By key.
    queued: HashMap<String, Queued>,
    delivered: HashSet<String>,
    uncertain: HashSet<String>,
    /// The event ids of the bounces, by return path.
    bounces: HashMap<String, HashSet<String>>,
    paths: HashMap<String, String>,
    /// Bounces whose return path was not printed yet when they were.
    early: Vec<Value>,
    /// Event ids.
    seen: HashSet<String>,
    repeated: usize,
    /// Events that said that a delivery was uncertain, each counted once: the sum of the in-flight sets.
    warnings: usize,
}

struct Queued {
    id: String,
    path: String,
}

impl Story {
    fn hear(&mut self, lines: Vec<Value>) {
        for line in lines {
            let id = line["id"].as_str().unwrap_or_default().to_owned();
            if let Some(event) = line["event_id"].as_str()
                && !self.seen.insert(event.to_owned())
            {
                self.repeated += 1;
            } else if line["event"] == "uncertain" {
                self.warnings += 1;
            }
            match line["event"].as_str() {
                Some("listening") => {}
                Some("queued") => {
                    let path = line["return_path"].as_str().unwrap().to_owned();
                    self.paths.insert(id.clone(), path.clone());
                    let key = line["key"].as_str().unwrap().to_owned();
                    let queued = self.queued.entry(key).or_insert(Queued { id: id.clone(), path });
                    assert_eq!(queued.id, id, "one key, one id");
                }
                Some("delivered") => drop(self.delivered.insert(id)),
                Some("uncertain") => drop(self.uncertain.insert(id)),
                Some("bounce") => {
                    assert_eq!(line["to"], format!("r{}@example.net", line["tag"]));
                    assert_eq!(
                        (line["reason"].as_str(), line["verified"].as_bool()),
                        (Some("user_unknown"), Some(true))
                    );
                    self.early.push(line);
                }
                _ => panic!("{line}"),
            }
        }
        let paths = &self.paths;
        for line in self.early.extract_if(.., |line| paths.contains_key(line["id"].as_str().unwrap())) {
            let path = paths[line["id"].as_str().unwrap()].clone();
            self.bounces.entry(path).or_default().insert(line["event_id"].as_str().unwrap().to_owned());
        }
    }

    fn has_end(&self, id: &str) -> bool {
        self.delivered.contains(id) || self.uncertain.contains(id)
    }
}

/// Numbers without a pattern (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
