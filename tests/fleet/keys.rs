//! Keys change while mail goes out and comes back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use returnpath::testing::{RemoteHost, Report, deliver_to};

use crate::cluster::Cluster;
use crate::fleet::{ALL_DUE, Fleet, OPEN, message, patience, until_answer};
use crate::process::{eventually_within, full};

const DAEMONS: usize = 3;
/// The daemon that does not see the second rotation.
const STOPPED: usize = 1;

/// Each message comes back at once, to any of the daemons: the key of its return path may be a moment old, and the
/// daemon may have been stopped when the key was made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_valid_return_path_is_refused_while_keys_change() {
    let Some(cluster) = Cluster::start() else { return };
    let (rotations, each) = if full() { (8, 600) } else { (4, 120) };
    let remote = Arc::new(RemoteHost::start().await.unwrap());
    let relay = remote.address().to_string();
    let mut fleet = Fleet::start(DAEMONS, &cluster.url(), &["--relay", &relay, "--lease", "6s"]).await;
    let listeners = fleet.listeners().await;
    let post = Post::open(&remote, &listeners);

    let mut fed = 0;
    for key in 1..=rotations {
        let is_stopped = key == 2;
        if is_stopped {
            fleet.signal(STOPPED, "STOP");
        }
        let living: Vec<usize> = (0..DAEMONS).filter(|who| !is_stopped || *who != STOPPED).collect();
        // Some of them are sealed with the key of before, and the others with the new one.
        for part in 0..2 {
            for number in fed..fed + each / 2 {
                fleet.feed(living[number % living.len()], [message(number, 5)]);
            }
            fed += each / 2;
            if part == 0 {
                fleet.signal(living[key % living.len()], "HUP");
                let state = format!("SELECT state FROM returnpath.ring_key WHERE id = {key}");
                until_answer(&cluster, &state, "mint").await;
            }
        }
        // Reports wait before the door of one that is stopped, and come in with its first breath.
        tokio::time::timeout(patience(), remote.message(fed - 1)).await.expect("all are sent");
        if is_stopped {
            fleet.signal(STOPPED, "CONT");
        }
    }

    eventually_within(patience(), "everything came back", || post.taken.load(Ordering::Relaxed) >= fed).await;
    assert_eq!(*post.refused.lock().unwrap(), [""; 0], "each path was valid");
    let path = remote.message(0).await.return_path;
    for listener in listeners {
        let forged = forge(&path);
        let reply = deliver_to(listener, &forged, &report(&path, "Subject: x\r\n\r\n")).await.unwrap();
        assert!(reply.starts_with("550 "), "{forged}: {reply}");
    }
    until_answer(&cluster, &format!("{ALL_DUE}; {OPEN}"), "0").await;
    let states = cluster.sql("SELECT string_agg(state, ' ' ORDER BY id) FROM returnpath.ring_key");
    assert_eq!(states, "retire ".repeat(rotations) + "mint");
    let story = fleet.stop().await;
    let events = cluster.sql("SELECT encode(id, 'hex') FROM returnpath.event");
    let figures = story.check(&remote, events.lines());
    assert!(story.bounces >= fed, "{} bounces of {fed}", story.bounces);
    let put_off = post.put_off.load(Ordering::Relaxed);
    println!("{rotations} rotations, {} bounces, {put_off} put off, none refused: {figures:?}", story.bounces);
}

/// Another delivery under the same seal.
fn forge(path: &str) -> String {
    let (local, domain) = path.rsplit_once('@').unwrap();
    let (rest, last) = local.split_at(local.len() - 1);
    format!("{rest}{}@{domain}", if last == "a" { "b" } else { "a" })
}

fn report(recipient: &str, original: &str) -> String {
    Report::failed(recipient, "5.1.1", "550 5.1.1 no such user").original(original).to_string()
}

/// Returns every message to one of the daemons, until it is taken or refused.
struct Post {
    taken: Arc<AtomicUsize>,
    put_off: Arc<AtomicUsize>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Post {
    fn open(remote: &Arc<RemoteHost>, listeners: &[SocketAddr]) -> Post {
        let post = Post { taken: Arc::default(), put_off: Arc::default(), refused: Arc::default() };
        for first in 0..POSTMEN {
            let (remote, listeners) = (remote.clone(), listeners.to_owned());
            let (taken, put_off, refused) = (post.taken.clone(), post.put_off.clone(), post.refused.clone());
            tokio::spawn(async move {
                for index in (first..).step_by(POSTMEN) {
                    let message = remote.message(index).await;
                    let report = report(&message.recipients[0], &message.data);
                    // 7 has no factor in common with the number of postmen or of daemons: all come to all.
                    for listener in listeners.iter().cycle().skip(index / 7 % listeners.len()) {
                        match deliver_to(*listener, &message.return_path, &report).await {
                            Ok(reply) if reply.starts_with("250") => break,
                            Ok(reply) if reply.starts_with('5') => {
                                refused.lock().unwrap().push(format!("{}: {reply}", message.return_path));
                                break;
                            }
                            _ => drop(put_off.fetch_add(1, Ordering::Relaxed)),
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        post
    }
}

/// Many, for some wait for the daemon that is stopped.
const POSTMEN: usize = 40;
