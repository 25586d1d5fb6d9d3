//! Who returns mail to its return path while the daemon runs, dies or has no room.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use returnpath::testing::{RemoteHost, Report, deliver_to};
use tokio::sync::watch;

/// How many return mail at the same time.
const POSTMEN: usize = 4;

/// Returns every third message to where it came from, until somebody says 250.
pub(crate) struct Postman {
    listener: watch::Sender<Option<SocketAddr>>,
    posted: Arc<Mutex<HashSet<String>>>,
    refused: Arc<Mutex<Vec<String>>>,
    put_off: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Postman {
    pub(crate) fn start(remote: Arc<RemoteHost>) -> Postman {
        let (listener, place) = watch::channel(None::<SocketAddr>);
        let postman = Postman { listener, posted: Arc::default(), refused: Arc::default(), put_off: Arc::default() };
        for first in 0..POSTMEN {
            let (remote, mut place) = (remote.clone(), place.clone());
            let (posted, refused) = (postman.posted.clone(), postman.refused.clone());
            let put_off = postman.put_off.clone();
            tokio::spawn(async move {
                for index in (first..).step_by(POSTMEN) {
                    let taken = remote.message(index).await;
                    if !is_returned(&taken) || posted.lock().unwrap().contains(&taken.return_path) {
                        continue;
                    }
                    let report = Report::failed(&taken.recipients[0], "5.1.1", "550 5.1.1 no such user")
                        .original(&taken.data)
                        .to_string();
                    loop {
                        let Ok(place) = place.wait_for(Option::is_some).await.map(|place| place.unwrap()) else {
                            return;
                        };
                        match deliver_to(place, &taken.return_path, &report).await {
                            Ok(reply) if reply.starts_with("250") => break,
                            Ok(reply) if reply.starts_with('5') => {
                                refused.lock().unwrap().push(format!("{reply} for {}", taken.return_path));
                                break;
                            }
                            Ok(reply) => {
                                *put_off.lock().unwrap().entry(reply).or_default() += 1;
                                tokio::time::sleep(Duration::from_millis(5)).await;
                            }
                            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                        }
                    }
                    posted.lock().unwrap().insert(taken.return_path);
                }
            });
        }
        postman
    }

    /// From now on to this listener.
    pub(crate) fn goes_to(&self, listener: SocketAddr) {
        self.listener.send_replace(Some(listener));
    }

    /// The replies that nobody should have given.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }

    /// The replies that asked to come again, and how often each was given.
    pub(crate) fn put_off(&self) -> BTreeMap<String, usize> {
        self.put_off.lock().unwrap().clone()
    }

    pub(crate) fn posted(&self) -> HashSet<String> {
        self.posted.lock().unwrap().clone()
    }

    pub(crate) fn has_posted(&self, path: &str) -> bool {
        self.posted.lock().unwrap().contains(path)
    }
}

pub(crate) fn is_returned(taken: &returnpath::testing::Taken) -> bool {
    let local = taken.recipients[0].split('@').next().unwrap();
    local[1..].parse::<usize>().unwrap() % 3 == 0
}
