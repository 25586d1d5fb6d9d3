//! Daemons and databases die while mail goes out, and nothing is lost.

use std::net::SocketAddr;

use returnpath::testing::{Clock, RemoteHost};

use crate::cluster::Cluster;
use crate::fleet::{ALL_DUE, Fleet, OPEN, key, message, patience, until_answer};
use crate::process::full;
use crate::story::Figures;

const DAEMONS: usize = 3;
const SITES: usize = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_daemons_and_the_database_die() {
    let Some(cluster) = Cluster::start() else { return };
    let mut run = Run::start(&cluster.url(), if full() { 30_000 } else { 1_500 }).await;

    run.until_taken(1, 5).await;
    run.fleet.signal(1, "STOP");
    run.until_taken(2, 5).await;
    run.fleet.kill(2).await;
    run.until_taken(3, 5).await;
    cluster.restart();
    // The first one has seen the leases of both end, and taken over what they had.
    until_answer(&cluster, LIVING, "1").await;
    run.fleet.signal(1, "CONT");

    let figures = run.end(&cluster, &[0, 1]).await;
    println!("one killed, one stopped past its lease, the database restarted: {figures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_standby_takes_over() {
    let Some(primary) = Cluster::start() else { return };
    let standby = primary.standby();
    let run = Run::start(&primary.url_with(&standby), if full() { 30_000 } else { 1_500 }).await;
    run.until_taken(1, 3).await;
    primary.kill();
    standby.promote();
    let figures = run.end(&standby, &[0, 1, 2]).await;
    println!("the primary killed, its standby promoted: {figures:?}");
}

/// A fleet that sends messages, each given to one of its daemons.
struct Run {
    fleet: Fleet,
    remote: RemoteHost,
    relay: SocketAddr,
    store: String,
    messages: usize,
}

impl Run {
    async fn start(store: &str, messages: usize) -> Run {
        let remote = RemoteHost::start().await.unwrap();
        let relay = remote.address();
        let flags = ["--relay", &relay.to_string(), "--lease", "6s"];
        let mut fleet = Fleet::start(DAEMONS, store, &flags).await;
        for who in 0..DAEMONS {
            fleet.feed(who, (who..messages).step_by(DAEMONS).map(|number| message(number, SITES)));
        }
        Run { fleet, remote, relay, store: store.to_owned(), messages }
    }

    /// Waits until the remote host took this part of all.
    async fn until_taken(&self, numerator: usize, denominator: usize) {
        let index = self.messages * numerator / denominator;
        tokio::time::timeout(patience(), self.remote.message(index)).await.expect("mail goes on");
    }

    /// What nobody was told to be queued is given again, under the same key; then everything goes to its end, also what
    /// waits because it may have arrived already.
    async fn end(mut self, cluster: &Cluster, alive: &[usize]) -> Figures {
        let started = Clock::system().now();
        let fed: Vec<usize> = (0..self.messages).filter(|number| alive.contains(&(number % DAEMONS))).collect();
        self.fleet.until("all messages are answered", |story| fed.iter().all(|n| story.has_answer(&key(*n)))).await;
        let again: Vec<usize> =
            (0..self.messages).filter(|number| !self.fleet.story.queued.contains_key(&key(*number))).collect();
        let mut helper = Fleet::start(1, &self.store, &["--relay", &self.relay.to_string(), "--lease", "6s"]).await;
        helper.feed(0, again.iter().map(|number| message(*number, SITES)));
        helper.until("the rest is queued", |story| again.iter().all(|n| story.queued.contains_key(&key(*n)))).await;
        // What may have arrived already waits for half an hour.
        until_answer(cluster, &format!("{ALL_DUE}; {OPEN}"), "0").await;
        self.fleet.story.join(helper.stop().await);
        let story = self.fleet.stop().await;
        assert_eq!(story.queued.len(), self.messages);
        let events = cluster.sql("SELECT encode(id, 'hex') FROM returnpath.event");
        println!(
            "{} given again, {:?} from the last death to the end",
            again.len(),
            Clock::system().now().since(started)
        );
        story.check(&self.remote, events.lines())
    }
}

const LIVING: &str = "SELECT count(*) FROM returnpath.process";
