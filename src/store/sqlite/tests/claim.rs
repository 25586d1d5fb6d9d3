//! Which rows a call takes where many destinations have hardly more than a delivery each.

use std::collections::HashSet;

use crate::store::conformance::{NOON, enqueue, first, ids, message, request};
use crate::store::sqlite::SqliteStore;
use crate::store::{ClaimRequest, Store};

/// The destinations stand in the reverse order of the rows.
async fn filled(each: u64) -> SqliteStore {
    let store = SqliteStore::memory().await.unwrap();
    for n in 1..=100 {
        enqueue(&store, vec![message(n, &format!("{:03}.example", (100 - n) / each))]).await;
    }
    store
}

#[tokio::test]
async fn where_each_destination_has_one_most_are_the_eldest() {
    let store = filled(1).await;
    let claimed = store.claim(ClaimRequest { limit: 20, ..request(NOON) }).await.unwrap();
    let taken: HashSet<_> = ids(&claimed).into_iter().collect();
    let in_turn = (96..=100).map(first);
    let eldest = (1..=15).map(first);
    assert_eq!(taken, in_turn.chain(eldest).collect());
}

#[tokio::test]
async fn where_each_has_many_all_are_taken_in_turn() {
    let store = filled(10).await;
    let claimed = store.claim(ClaimRequest { limit: 20, per_destination: 4, ..request(NOON) }).await.unwrap();
    let destinations: Vec<_> = claimed.iter().map(|delivery| &*delivery.destination).collect();
    let in_turn = (0..5).flat_map(|n| [n; 4]).map(|n| format!("{n:03}.example"));
    assert_eq!(destinations, in_turn.collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_is_left_behind_and_nothing_is_taken_twice() {
    for each in [1, 2, 3, 50] {
        let store = filled(each).await;
        let mut taken = HashSet::new();
        loop {
            let claimed = store.claim(ClaimRequest { limit: 7, per_destination: 2, ..request(NOON) }).await.unwrap();
            assert!(ids(&claimed).into_iter().all(|id| taken.insert(id)), "{each} of each destination");
            if claimed.is_empty() {
                break;
            }
        }
        assert_eq!(taken.len(), 100, "{each} of each destination");
    }
}
