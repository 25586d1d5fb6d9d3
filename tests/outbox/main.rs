//! The outbox, from the transaction of another program to the remote host: with psql, tokio-postgres and sqlx.
//!
//! A PostgreSQL is started for each test, on loopback; without its programs a test prints `skipped: …` and passes, with
//! `CI=true` in the environment it fails.
#![cfg(all(feature = "postgres", feature = "testing", unix))]

mod client;
#[path = "../fleet/cluster.rs"]
#[expect(dead_code, reason = "the tests of the fleet use the rest of it")]
mod cluster;
#[path = "../servers/skipped.rs"]
mod skipped;

use std::time::Duration;

use returnpath::testing::{RemoteHost, Taken};
use returnpath::{Mailer, Message, Outbox, Postgres, Smarthost};

use client::{Client, End};
use cluster::Cluster;
use skipped::skipped;

/// A mailer that looks into the outbox by itself only every ten minutes: what comes sooner came because it was told.
async fn mailer(cluster: &Cluster, remote: &RemoteHost) -> Mailer {
    let store = Postgres::new(cluster.url()).lease(Duration::from_secs(3600));
    let builder = Mailer::builder("b.example.org").ehlo("mail.example.org").store(store).handler(());
    let builder = builder.smarthost(Smarthost::new(remote.address().to_string())).allow_loopback(true);
    builder.start().await.expect("the database is there")
}

fn order(mailer: &Mailer, number: i64) -> Outbox {
    let message = Message::builder().from("shop@example.org").to(format!("buyer{number}@example.net"));
    mailer.outbox(message.subject("Your order").text("Thank you.").tag(number)).expect("a good message")
}

/// What the remote host takes next. The time is only there to end a test that would hang.
async fn taken(remote: &RemoteHost, index: usize) -> Taken {
    tokio::time::timeout(PATIENCE, remote.message(index)).await.expect("it was told of the commit")
}

async fn told_from_end_to_end(client: Client) {
    let Some(cluster) = Cluster::start() else { return };
    cluster.sql("CREATE TABLE orders (number bigint PRIMARY KEY)");
    let remote = RemoteHost::start().await.unwrap();
    let running = mailer(&cluster, &remote).await;

    // Rolled back: neither the order nor its mail.
    let lost = order(&running, 1);
    client.run(&cluster, &lost, 1, End::Rollback).await;
    assert_eq!(cluster.sql("SELECT count(*) FROM orders"), "0");
    assert_eq!(cluster.sql("SELECT count(*) FROM returnpath.outbox"), "0");

    // Committed: both, and the mail goes out with the return path of the receipt.
    let kept = order(&running, 2);
    client.run(&cluster, &kept, 2, End::Commit).await;
    let mail = taken(&remote, 0).await;
    assert_eq!(mail.return_path, kept.receipt().deliveries[0].return_path.as_str());
    assert_eq!(mail.recipients, ["buyer2@example.net"]);
    running.drain().await.unwrap();

    // Written while no mailer runs: it goes out when one does.
    let early = order(&running, 3);
    running.shutdown(PATIENCE).await.unwrap();
    client.run(&cluster, &early, 3, End::Commit).await;
    assert_eq!(cluster.sql("SELECT count(*) FROM returnpath.outbox"), "1");
    let running = mailer(&cluster, &remote).await;
    assert_eq!(taken(&remote, 1).await.return_path, early.receipt().deliveries[0].return_path.as_str());
    running.drain().await.unwrap();

    // Each once, and nothing is left.
    assert_eq!(remote.taken().len(), 2);
    assert_eq!(cluster.sql("SELECT string_agg(number::text, ' ' ORDER BY number) FROM orders"), "2 3");
    assert_eq!(cluster.sql("SELECT count(*) FROM returnpath.outbox"), "0");
    let states = "SELECT count(*) FROM returnpath.delivery WHERE state = 4";
    assert_eq!(cluster.sql(states), "2", "delivered, and that of the order that was rolled back is not known");
    running.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_fills_it() {
    told_from_end_to_end(Client::Psql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokio_postgres_fills_it() {
    told_from_end_to_end(Client::TokioPostgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlx_fills_it() {
    told_from_end_to_end(Client::Sqlx).await;
}

/// Two mailers, and a key that both payloads carry: the second one is answered by the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_repeated_sends_once() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.sql("CREATE TABLE orders (number bigint)");
    let remote = RemoteHost::start().await.unwrap();
    let (one, two) = (mailer(&cluster, &remote).await, mailer(&cluster, &remote).await);
    let keyed = || {
        let message = Message::builder().from("shop@example.org").to("buyer@example.net").subject("Your order");
        one.outbox(message.text("Thank you.").idempotency_key("order 17")).unwrap()
    };
    // Its answer was lost, so the application does it again.
    Client::Psql.run(&cluster, &keyed(), 17, End::Commit).await;
    Client::TokioPostgres.run(&cluster, &keyed(), 17, End::Commit).await;
    Client::Sqlx.run(&cluster, &order(&two, 18), 18, End::Commit).await;
    let mut recipients = [taken(&remote, 0).await, taken(&remote, 1).await].map(|mail| mail.recipients.concat());
    recipients.sort();
    assert_eq!(recipients, ["buyer18@example.net", "buyer@example.net"]);
    let empty = async {
        while cluster.sql("SELECT count(*) FROM returnpath.outbox") != "0" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, empty).await.expect("the outbox is emptied");
    one.drain().await.unwrap();
    assert_eq!(remote.taken().len(), 2);
    for mailer in [one, two] {
        mailer.shutdown(PATIENCE).await.unwrap();
    }
}

/// A role that may do nothing else writes into it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rights_are_enough() {
    let Some(cluster) = Cluster::start() else { return };
    let remote = RemoteHost::start().await.unwrap();
    let mailer = mailer(&cluster, &remote).await;
    cluster.sql("CREATE ROLE shop LOGIN");
    cluster.sql("GRANT USAGE ON SCHEMA returnpath TO shop");
    cluster.sql("GRANT INSERT ON returnpath.outbox TO shop");
    cluster.sql("CREATE TABLE orders (number bigint); GRANT INSERT ON orders TO shop");
    let outbox = order(&mailer, 5);
    let order = format!("SET ROLE shop; BEGIN; INSERT INTO orders VALUES (5); {}; COMMIT", client::literal(&outbox));
    cluster.sql(&order);
    assert_eq!(taken(&remote, 0).await.recipients, ["buyer5@example.net"]);
    mailer.shutdown(PATIENCE).await.unwrap();
}

/// Far longer than anything here takes on a slow machine, and shorter than the ten minutes above.
const PATIENCE: Duration = Duration::from_secs(180);
