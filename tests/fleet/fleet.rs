//! Daemons that share a store: fed by tasks of their own, heard together, and ended one by one or all.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::process::{DOMAIN, Daemon, PATIENCE, eventually_within, full};
use crate::story::Story;

/// So many daemons that all listen; one that was killed leaves its place empty.
pub(crate) struct Fleet {
    daemons: Vec<Option<Daemon>>,
    /// What feeds each. It has the input still when it ends: a daemon whose input is closed has nothing more to expect.
    feeding: Vec<Option<JoinHandle<ChildStdin>>>,
    pub(crate) story: Story,
}

impl Fleet {
    pub(crate) async fn start(count: usize, store: &str, flags: &[&str]) -> Fleet {
        let mut fleet = Fleet { daemons: Vec::new(), feeding: Vec::new(), story: Story::default() };
        for who in 0..count {
            let name = client(who);
            let own = ["--domain", DOMAIN, "--ehlo", &name, "--quiet", "--listen", "127.0.0.1:0", "--store", store];
            let mut daemon = Daemon::start([&own[..], flags].concat());
            let input = daemon.take_input();
            fleet.feeding.push(Some(tokio::spawn(async { input })));
            fleet.daemons.push(Some(daemon));
        }
        for daemon in fleet.daemons.iter().flatten() {
            daemon.listener().await;
        }
        fleet
    }

    /// Where all of them listen.
    pub(crate) async fn listeners(&self) -> Vec<SocketAddr> {
        let mut listeners = Vec::new();
        for daemon in self.daemons.iter().flatten() {
            listeners.push(daemon.listener().await);
        }
        listeners
    }

    /// Gives one daemon lines, behind those that it was given before, while the test goes on.
    pub(crate) fn feed(&mut self, who: usize, lines: impl IntoIterator<Item = Value>) {
        let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
        let before = self.feeding[who].take().expect("it is put back");
        self.feeding[who] = Some(tokio::spawn(async move {
            let mut input = before.await.expect("feeding does not panic");
            // One that has died takes nothing more, which is no error here.
            let _ = input.write_all(text.as_bytes()).await;
            input
        }));
    }

    /// Takes in what they have printed.
    pub(crate) fn hear(&mut self) {
        for (who, daemon) in self.daemons.iter().enumerate() {
            if let Some(daemon) = daemon {
                self.story.hear(who, daemon);
            }
        }
    }

    /// Hears them until this holds of the story.
    pub(crate) async fn until(&mut self, what: &str, mut holds: impl FnMut(&Story) -> bool) {
        eventually_within(patience(), what, || {
            self.hear();
            holds(&self.story)
        })
        .await;
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self, who: usize) {
        self.hear();
        let lines = self.daemons[who].take().expect("it runs").kill().await;
        self.story.hear_the_last(who, lines);
    }

    pub(crate) fn signal(&self, who: usize, name: &str) {
        let process = self.daemons[who].as_ref().expect("it runs").process_id();
        let status = std::process::Command::new("kill").args([&format!("-{name}"), &process]).status();
        assert!(status.unwrap().success());
    }

    /// Asks all to stop, and hears the rest.
    pub(crate) async fn stop(mut self) -> Story {
        for daemon in self.daemons.iter().flatten() {
            daemon.terminate();
        }
        for (who, daemon) in self.daemons.into_iter().enumerate() {
            if let Some(daemon) = daemon {
                let ended = daemon.end().await;
                assert_eq!(ended.code, Some(0), "{}", ended.errors);
                self.story.hear_the_last(who, ended.lines);
            }
        }
        self.story
    }
}

/// The name that a daemon gives in EHLO.
pub(crate) fn client(who: usize) -> String {
    format!("mail{who}.example.org")
}

/// A line for a daemon.
pub(crate) fn message(number: usize, domains: usize) -> Value {
    json!({
        "from": "news@example.org",
        "to": format!("r{number}@d{}.example", number % domains),
        "subject": "Hello",
        "text": "Good morning.",
        "tag": number,
        "key": key(number),
    })
}

pub(crate) fn key(number: usize) -> String {
    format!("k{number}")
}

/// Asks the database again and again until it answers this.
pub(crate) async fn until_answer(cluster: &Cluster, query: &str, answer: &str) {
    let ask = async {
        while cluster.sql(query) != answer {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(patience(), ask).await.unwrap_or_else(|_| panic!("waited in vain for {answer}: {query}"));
}

/// Lets time pass for all that waits in the store.
pub(crate) const ALL_DUE: &str = "UPDATE returnpath.delivery SET due = 0 WHERE state = 0; NOTIFY returnpath, 'work'";

/// Deliveries and events that have no end.
pub(crate) const OPEN: &str = "SELECT (SELECT count(*) FROM returnpath.delivery WHERE state <= 3)
                                    + (SELECT count(*) FROM returnpath.event WHERE state <= 1)";

/// For all that must happen in a test of this size.
pub(crate) fn patience() -> Duration {
    if full() { 10 * PATIENCE } else { 2 * PATIENCE }
}
