//! The conformance suite on a real server, and what only this store does.

/// A site, or the end of the test where there is no PostgreSQL.
macro_rules! databases {
    () => {{
        let Some(cluster) = Cluster::shared() else { return };
        Databases::new(cluster)
    }};
}

mod cluster;
mod forgotten;
mod outbox;
mod ring;
mod together;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use self::cluster::Cluster;
use super::{PostgresConfig, PostgresStore};
use crate::net::clock::Clock;
use crate::store::conformance::{NOON, Site, claim, enqueue, first, message, suite};
use crate::store::{Store, StoreError};

/// Stores in databases of their own, on one server.
struct Databases {
    cluster: &'static Cluster,
    last: Mutex<String>,
}

impl Databases {
    fn new(cluster: &'static Cluster) -> Databases {
        Databases { cluster, last: Mutex::default() }
    }

    async fn join(&self) -> Arc<dyn Store> {
        let url = self.last.lock().unwrap().clone();
        Arc::new(PostgresStore::open(&config(url)).await.unwrap())
    }
}

fn config(url: String) -> PostgresConfig {
    PostgresConfig {
        url,
        lease: Duration::from_secs(600),
        wait: Duration::from_secs(20),
        now_from_database: false,
        clock: Clock::system(),
    }
}

#[async_trait]
impl Site for Databases {
    async fn open(&self) -> Arc<dyn Store> {
        let url = self.cluster.database().await;
        *self.last.lock().unwrap() = url;
        self.join().await
    }

    /// Ends the lease of every process, as time does where one is killed.
    async fn crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        let url = self.last.lock().unwrap().clone();
        cluster::run(&url, "UPDATE returnpath.process SET lease_until = clock_timestamp() - interval '1 second'").await;
        self.join().await
    }

    async fn second(&self, _store: &Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        Some(self.join().await)
    }
}

suite!(databases!());

#[tokio::test]
async fn processes_have_numbers_and_places_of_their_own() {
    let site = databases!();
    let (one, two) = (site.open().await, site.join().await);
    assert_eq!((one.node(), two.node()), (0, 1));
    assert_eq!(one.beat(0b11).await.unwrap().common_keys, 0, "the other has not reported yet");
    two.beat(0b10).await.unwrap();
    let beat = one.beat(0b11).await.unwrap();
    assert_eq!((beat.processes, beat.common_keys, beat.was_fenced), (2, 0b10, false));

    assert_eq!(one.take_place("example.net", 2).await.unwrap(), Some(0));
    assert_eq!(two.take_place("example.net", 2).await.unwrap(), Some(1));
    assert_eq!(one.take_place("example.net", 2).await.unwrap(), None);
    one.leave_place("example.net", 1).await.unwrap();
    assert_eq!(one.take_place("example.net", 2).await.unwrap(), None, "it was not its own");
    one.leave_place("example.net", 0).await.unwrap();
    assert_eq!(two.take_place("example.net", 2).await.unwrap(), Some(0));
    two.close().await.unwrap();
    assert_eq!(one.take_place("example.net", 2).await.unwrap(), Some(0), "whoever goes leaves its places");
}

#[tokio::test]
async fn a_process_that_was_buried_goes_on_as_another() {
    let site = databases!();
    let one = site.open().await;
    let two = site.crash(site.join().await).await;
    two.recover(NOON, NOON).await.unwrap();
    assert!(one.beat(0).await.unwrap().was_fenced);
    assert!(!one.beat(0).await.unwrap().was_fenced);
    assert_ne!(one.node(), two.node());
}

#[tokio::test]
async fn what_a_newer_version_made_is_left_alone() {
    let site = databases!();
    site.open().await.close().await.unwrap();
    let url = site.last.lock().unwrap().clone();
    cluster::run(&url, "UPDATE returnpath.meta SET value = 99 WHERE name = 'format'").await;
    let refused = PostgresStore::open(&config(url)).await;
    assert!(matches!(refused, Err(StoreError::TooNew { found: 99, .. })));
}

#[tokio::test]
async fn connections_that_are_cut_are_made_again() {
    let site = databases!();
    let store = site.open().await;
    let url = site.last.lock().unwrap().clone();
    for n in 1..=5 {
        cluster::run(
            &url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        enqueue(&*store, vec![message(n, "example.net")]).await;
    }
    assert_eq!(store.open_work().await.unwrap(), (5, 0));
}

#[tokio::test]
async fn a_process_that_stands_still_in_a_transaction_holds_up_the_others_for_a_part_of_its_lease() {
    let site = databases!();
    let one = site.open().await;
    enqueue(&*one, vec![message(1, "example.net")]).await;
    let url = site.last.lock().unwrap().clone();
    let lease = Duration::from_secs(9);
    let still = PostgresStore::open(&PostgresConfig { lease, ..config(url) }).await.unwrap();
    let mut client = super::open::connection(&still.pool).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.execute("SELECT FROM returnpath.delivery FOR UPDATE", &[]).await.unwrap();
    transaction.execute("UPDATE returnpath.process SET keys = 7", &[]).await.unwrap();

    // Without an end of that transaction these would wait for ever.
    assert_eq!(one.beat(0b11).await.unwrap().processes, 2);
    assert_eq!(claim(&*one, NOON).await, [first(1)]);
    assert!(transaction.commit().await.is_err());
    drop(client);
    assert!(!still.beat(0b11).await.unwrap().was_fenced, "and it goes on with another connection");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_after_the_time_limit() {
    let config = PostgresConfig { wait: Duration::from_millis(50), ..config("postgres://127.0.0.1:1/none".into()) };
    assert!(matches!(PostgresStore::open(&config).await, Err(StoreError::Temporary(_))));
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_a_month_is_wrong_for_its_own_process_only() {
    use crate::store::conformance::{DAY, claim, first, message};
    let site = databases!();
    let open = async |clock: &Clock| {
        let url = site.last.lock().unwrap().clone();
        let config = PostgresConfig { now_from_database: true, clock: clock.clone(), ..config(url) };
        PostgresStore::open(&config).await.unwrap()
    };
    site.open().await.close().await.unwrap();
    let right = Clock::system();
    let late = Clock::manual(right.now() - 30 * DAY);
    let (one, two) = (open(&late).await, open(&right).await);
    let at_once =
        crate::store::NewMessage { not_before: late.now(), expires: late.now() + DAY, ..message(1, "a.example") };
    one.enqueue(vec![at_once], late.now(), None).await.unwrap();
    let claimed = two.claim(crate::store::conformance::request(right.now())).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.id).collect::<Vec<_>>(), [first(1)]);
    let skew = claimed[0].queued_at.since(right.now()).max(right.now().since(claimed[0].queued_at));
    assert!(skew < Duration::from_secs(60), "it was queued now, by the other's clock: {skew:?}");
    assert!(claim(&one, late.now()).await.is_empty(), "it is with the other one");
}

#[tokio::test]
async fn a_server_whose_certificate_must_be_verified_is() {
    let site = databases!();
    let url = site.cluster.database().await;
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), &site.cluster.root).unwrap();
    let verified = format!("{url}?sslmode=require&sslrootcert={}", root.path().display());
    PostgresStore::open(&config(verified)).await.unwrap().close().await.unwrap();
    let unknown = PostgresStore::open(&config(format!("{url}?sslmode=require"))).await;
    let Err(StoreError::Failed(why)) = unknown else { panic!("a certificate that nobody vouches for was taken") };
    assert!(why.contains("certificate"), "{why}");
}
