//! The ring that processes share.

use std::collections::HashSet;

use super::*;
use crate::return_path::KeyState;
use crate::store::StoredKey;
use crate::store::conformance::NOON;
use crate::{Mailer, Postgres};

fn key(id: u8, state: &str) -> StoredKey {
    StoredKey { id, fingerprint: [id; 16], secret: Some([id; 32]), state: state.into(), since: NOON }
}

#[tokio::test]
async fn what_changes_nothing_is_not_told() {
    let site = databases!();
    let store = site.open().await;
    let url = site.last.lock().unwrap().clone();
    let written = "SELECT sum(xmin::text::bigint)::bigint FROM returnpath.ring_key";
    store.save_keys(vec![key(0, "mint"), key(1, "accept")]).await.unwrap();
    let (first, rows) = (store.beat(0).await.unwrap().ring, cluster::count(&url, written).await);
    store.save_keys(vec![key(0, "mint"), key(1, "accept")]).await.unwrap();
    store.save_keys(vec![key(0, "accept")]).await.unwrap();
    assert_eq!((store.beat(0).await.unwrap().ring, cluster::count(&url, written).await), (first, rows));
    store.save_keys(vec![key(1, "mint")]).await.unwrap();
    assert_eq!(store.beat(0).await.unwrap().ring, first + 1);
}

#[tokio::test]
async fn two_that_take_a_ring_forward_at_once_set_nothing_back() {
    let site = databases!();
    let (one, two) = (site.open().await, site.join().await);
    one.save_keys((0..8).map(|id| key(id, "accept")).collect()).await.unwrap();
    for id in 0..8 {
        let (early, late) = tokio::join!(one.save_keys(vec![key(id, "mint")]), two.save_keys(vec![key(id, "retire")]));
        early.and(late).unwrap();
        assert_eq!(one.keys().await.unwrap()[usize::from(id)].state, "retire");
    }
}

/// Waits until the mailer has given so many signs of life more. It is the one whose lease ends within a minute.
async fn beats(url: &str, count: usize) {
    let query = "SELECT coalesce((extract(epoch FROM max(lease_until)) * 1000)::bigint, 0) FROM returnpath.process
                 WHERE lease_until < clock_timestamp() + interval '1 minute'";
    let mut seen = HashSet::new();
    let wait = async {
        while seen.len() <= count {
            seen.insert(cluster::count(url, query).await);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it gives signs of life");
}

#[tokio::test]
async fn a_key_mints_only_when_the_slowest_process_has_it() {
    let site = databases!();
    // It lives, by its long lease, and says nothing.
    let slow = site.open().await;
    let url = site.last.lock().unwrap().clone();
    let quick = Mailer::builder("b.example.org").ehlo("mail.example.org").handler(());
    let quick = quick.store(Postgres::new(&url).lease(Duration::from_secs(3))).start().await.unwrap();
    slow.beat(0b1).await.unwrap();
    assert_eq!(quick.rotate_key().await.unwrap(), 1);
    let state = |id: usize| quick.keyring().keys().nth(id).map(|key| key.state);
    beats(&url, 4).await;
    assert_eq!((state(0), state(1)), (Some(KeyState::Mint), Some(KeyState::Accept)), "it was not heard of yet");
    slow.beat(0b11).await.unwrap();
    beats(&url, 2).await;
    assert_eq!((state(0), state(1)), (Some(KeyState::Retire), Some(KeyState::Mint)));
    let stored = slow.keys().await.unwrap();
    assert_eq!(stored.iter().map(|key| &*key.state).collect::<Vec<_>>(), ["retire", "mint"]);
    quick.shutdown(Duration::from_secs(10)).await.unwrap();
}
