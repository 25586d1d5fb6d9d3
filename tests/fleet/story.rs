//! What all daemons of a run said, and what the remote host took: read together at the end.

use std::collections::{HashMap, HashSet};

use returnpath::testing::RemoteHost;
use serde_json::Value;

use crate::process::Daemon;

/// All that was printed, by all daemons.
#[derive(Default)]
pub(crate) struct Story {
    /// What was told `queued`, by key.
    pub(crate) queued: HashMap<String, Queued>,
    /// Keys of messages that were refused at one time or another.
    pub(crate) refused: HashSet<String>,
    /// Deliveries that were told as delivered.
    pub(crate) delivered: HashSet<String>,
    /// The events that told a delivery to be uncertain.
    uncertain: HashMap<String, HashSet<String>>,
    /// Bounces that were told, each counted once.
    pub(crate) bounces: usize,
    /// The ids of all events that reached a handler.
    events: HashSet<String>,
    /// Events that reached one again.
    told_again: usize,
    /// How many lines of each daemon are in here.
    heard: HashMap<usize, usize>,
}

pub(crate) struct Queued {
    pub(crate) delivery: String,
    pub(crate) return_path: String,
}

/// What a run came to.
#[derive(Debug)]
#[expect(dead_code, reason = "printed")]
pub(crate) struct Figures {
    messages: usize,
    /// The sum of the in-flight sets: attempts whose end nobody knows.
    uncertain: usize,
    second_copies: usize,
    events: usize,
    events_told_again: usize,
}

impl Story {
    /// Takes in what daemon number `who` has printed since the last time.
    pub(crate) fn hear(&mut self, who: usize, daemon: &Daemon) {
        let heard = self.heard.entry(who).or_default();
        let lines = daemon.lines_after(*heard);
        *heard += lines.len();
        self.take(lines);
    }

    /// Takes in the rest of all that a daemon had printed which is gone.
    pub(crate) fn hear_the_last(&mut self, who: usize, mut lines: Vec<Value>) {
        let rest = lines.split_off(self.heard.remove(&who).unwrap_or_default());
        self.take(rest);
    }

    fn take(&mut self, lines: Vec<Value>) {
        for line in lines {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let is_new = line["event_id"].is_null() || self.events.insert(text("event_id"));
            self.told_again += usize::from(!is_new);
            match line["event"].as_str() {
                Some("queued") => {
                    let queued = Queued { delivery: text("id"), return_path: text("return_path") };
                    if let Some(before) = self.queued.insert(text("key"), queued) {
                        assert_eq!(before.delivery, line["id"], "one key, one delivery");
                    }
                }
                Some("error") => drop(self.refused.insert(text("key"))),
                Some("delivered") => drop(self.delivered.insert(text("id"))),
                Some("uncertain") => drop(self.uncertain.entry(text("id")).or_default().insert(text("event_id"))),
                Some("bounce") => self.bounces += usize::from(is_new),
                Some("listening") => {}
                _ => panic!("{line}"),
            }
        }
    }

    /// Adds what another fleet has said.
    pub(crate) fn join(&mut self, other: Story) {
        self.queued.extend(other.queued);
        self.refused.extend(other.refused);
        self.delivered.extend(other.delivered);
        for (delivery, events) in other.uncertain {
            self.uncertain.entry(delivery).or_default().extend(events);
        }
        self.told_again += other.told_again + self.events.intersection(&other.events).count();
        self.events.extend(other.events);
    }

    /// Whether this message was answered: queued, or refused.
    pub(crate) fn has_answer(&self, key: &str) -> bool {
        self.queued.contains_key(key) || self.refused.contains(key)
    }

    /// Whether so many messages were queued and told as delivered.
    pub(crate) fn is_complete(&self, messages: usize) -> bool {
        self.queued.len() == messages && self.queued.values().all(|queued| self.delivered.contains(&queued.delivery))
    }

    /// Each message arrived, and again only as often as an attempt of it was told to be uncertain; each of the `events`
    /// that the store has was told.
    pub(crate) fn check<'a>(&self, remote: &RemoteHost, events: impl Iterator<Item = &'a str>) -> Figures {
        let mut copies: HashMap<String, usize> = HashMap::new();
        for taken in remote.taken() {
            *copies.entry(taken.return_path).or_default() += 1;
        }
        for (key, Queued { delivery, return_path }) in &self.queued {
            let arrived = copies.get(return_path).copied().unwrap_or_default();
            let allowed = 1 + self.uncertain.get(delivery).map_or(0, HashSet::len);
            assert!(arrived >= 1, "{key} was queued and never arrived");
            assert!(arrived <= allowed, "{arrived} copies of {key}, after {} warnings", allowed - 1);
        }
        assert_eq!(copies.len(), self.queued.len(), "nothing arrived that was not queued");
        let untold: Vec<&str> = events.filter(|event| !self.events.contains(*event)).collect();
        assert!(untold.is_empty(), "no handler was told of {untold:?}");
        let figures = Figures {
            messages: self.queued.len(),
            uncertain: self.uncertain.values().map(HashSet::len).sum(),
            second_copies: copies.values().map(|copies| copies - 1).sum(),
            events: self.events.len(),
            events_told_again: self.told_again,
        };
        assert!(figures.second_copies <= figures.uncertain, "{figures:?}");
        figures
    }
}
