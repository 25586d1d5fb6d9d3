//! What all daemons of a run said, and what the remote host took: read together at the end.

use std::collections::{HashMap, HashSet};

use returnpath::testing::RemoteHost;
use serde_json::Value;

use crate::process::Daemon;

/// All that was printed, by all daemons.
#[derive(Default)]
pub(crate) struct Story {
    /// Return path and delivery of each key that was told `queued`.
    pub(crate) queued: HashMap<String, (String, String)>,
    /// By delivery.
    pub(crate) delivered: HashSet<String>,
    pub(crate) uncertain: HashSet<String>,
    pub(crate) errors: Vec<Value>,
    read: HashMap<usize, usize>,
}

impl Story {
    /// Takes in what daemon number `who` has printed since the last time.
    pub(crate) fn hear(&mut self, who: usize, daemon: &Daemon) {
        let read = self.read.entry(who).or_default();
        let lines = daemon.lines_after(*read);
        *read += lines.len();
        self.take(lines);
    }

    /// Takes in all that a daemon had printed which is gone.
    pub(crate) fn take(&mut self, lines: Vec<Value>) {
        for line in lines {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            match line["event"].as_str() {
                Some("queued") => drop(self.queued.insert(text("key"), (text("return_path"), text("id")))),
                Some("delivered") => drop(self.delivered.insert(text("id"))),
                Some("uncertain") => drop(self.uncertain.insert(text("id"))),
                Some("error") => self.errors.push(line),
                _ => {}
            }
        }
    }

    /// Whether every message that was queued has an end: delivered, or told to be uncertain.
    pub(crate) fn is_complete(&self, messages: usize) -> bool {
        self.queued.len() == messages
            && self.queued.values().all(|(_, id)| self.delivered.contains(id) || self.uncertain.contains(id))
    }

    /// Each message arrived; more than once only where its end was told to be uncertain. Answers how many arrived twice.
    pub(crate) fn check(&self, remote: &RemoteHost) -> usize {
        let mut copies: HashMap<String, usize> = HashMap::new();
        for taken in remote.taken() {
            *copies.entry(taken.return_path).or_default() += 1;
        }
        let mut twice = 0;
        for (key, (path, id)) in &self.queued {
            let arrived = copies.get(path).copied().unwrap_or_default();
            assert!(arrived >= 1 || self.uncertain.contains(id), "{key} was queued and never arrived");
            assert!(arrived <= 1 || self.uncertain.contains(id), "{arrived} copies of {key} without a warning");
            twice += usize::from(arrived > 1);
        }
        let paths: HashSet<&String> = self.queued.values().map(|(path, _)| path).collect();
        assert!(copies.keys().all(|path| paths.contains(path)), "nothing arrived that was not queued");
        twice
    }
}
