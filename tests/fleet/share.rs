//! Three daemons share one queue.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use returnpath::testing::{Clock, RemoteHost};

use crate::cluster::Cluster;
use crate::fleet::{ALL_DUE, Fleet, client, message, until_answer};
use crate::name_server::{Answer, NameServer};
use crate::process::full;

/// To one site the fleet has four connections; to fifty no process needs to wait for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_its_share_and_none_is_sent_twice() {
    let Some(cluster) = Cluster::start() else { return };
    let names = NameServer::start([("mx.example", Answer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)))]).await;
    let mut first = 0;
    for sites in [1, 50] {
        for site in 0..sites {
            names.set(&format!("d{site}.example"), Answer::Exchangers(vec![(10, "mx.example")]));
        }
        for queue in [Queue::AsItComes, Queue::AllAtOnce] {
            let messages = if full() { 30_000 } else { 1_800 };
            share(&cluster, &names, sites, queue, first..first + messages).await;
            first += messages;
        }
    }
}

/// How messages come to be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    /// Each daemon is given a third, and sends meanwhile.
    AsItComes,
    /// The remote host puts all off; when it takes them at last, all are in the store, due, and nobody's.
    AllAtOnce,
}

async fn share(cluster: &Cluster, names: &NameServer, sites: usize, queue: Queue, numbers: Range<usize>) {
    let started = Clock::system().now();
    let remote = RemoteHost::start().await.unwrap();
    let (dns, port) = (names.address(), remote.address().port().to_string());
    let flags = ["--dns", &dns, "--smtp-port", &port, "--allow-loopback"];
    let mut fleet = Fleet::start(3, &cluster.url(), &flags).await;
    let messages = numbers.len();
    if queue == Queue::AllAtOnce {
        remote.on_end_of_data("451 4.3.0 not now");
    }
    for who in 0..3 {
        fleet.feed(who, numbers.clone().skip(who).step_by(3).map(|number| message(number, sites)));
    }
    if queue == Queue::AllAtOnce {
        fleet.until("every message is queued", |story| story.queued.len() == messages).await;
        until_answer(cluster, UNTRIED, "0").await;
        remote.on_end_of_data("250 2.0.0 taken");
        cluster.sql(ALL_DUE);
    }
    fleet.until("every message has its end", |story| story.is_complete(messages)).await;
    let story = fleet.stop().await;
    let figures = story.check(&remote, std::iter::empty());
    let mut shares: BTreeMap<String, usize> = (0..3).map(|who| (client(who), 0)).collect();
    for taken in remote.taken() {
        *shares.get_mut(&taken.client).unwrap() += 1;
    }
    let time = Clock::system().now().since(started);
    println!("{sites} sites, {queue:?}: {:?} {figures:?} {time:?}", shares.values());
    for (client, share) in shares {
        assert!(share * 5 >= messages, "{client} sent {share} of {messages}");
    }
}

/// Deliveries that were not put off.
const UNTRIED: &str = "SELECT count(*) FROM returnpath.delivery WHERE state IN (1, 2) OR state = 0 AND attempts = 0";
