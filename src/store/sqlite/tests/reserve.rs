//! A full disk: what is under way is settled from the reserve, nothing new comes in, and all goes on afterwards.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::store::conformance::{NOON, enqueue, enqueue_leased, first, message, request, settlement};
use crate::store::{NewMessage, Settled, State, StoreError};

const RESERVE: u64 = 3 << 20;

/// A file system of 16 MiB in memory; `None` where this process may not mount one.
pub(super) struct SmallDisk(TempDir);

impl SmallDisk {
    pub(super) fn mount() -> Option<SmallDisk> {
        let directory = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(directory.path())
            .output()
            .is_ok_and(|mount| mount.status.success());
        mounted.then_some(SmallDisk(directory))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn make_read_only(&self) {
        let mount = Command::new("mount").args(["-o", "remount,ro"]).arg(self.0.path()).status();
        assert!(mount.is_ok_and(|status| status.success()));
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.path().join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Waits for what another thread does, at most a minute.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}"));
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

#[tokio::test]
async fn the_reserve_is_written_to_its_end_and_is_its_owners() {
    let files = Files::new();
    let path = files.next();
    let side = PathBuf::from(format!("{}.reserve", path.display()));
    let store = SqliteStore::open(&path, RESERVE).await.unwrap();
    until("it is filled", || size(&side) == RESERVE).await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(&side).unwrap();
        assert_eq!(found.mode() & 0o777, 0o600);
        assert!(found.blocks() * 512 >= RESERVE, "no hole");
    }
    assert!(!store.is_short_of_room());
    store.close().await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path, 0).await.unwrap();
    assert!(!side.exists(), "without a reserve its room is given back");
    drop(store);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_stops_only_what_is_new() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this process may not mount a small file system");
        return;
    };
    let path = disk.0.path().join("mail.db");
    let side = disk.0.path().join("mail.db.reserve");
    let store = SqliteStore::open(&path, RESERVE).await.unwrap();
    until("it is filled", || size(&side) == RESERVE).await;
    enqueue_leased(&store, (1..=200).map(|n| message(n, "example.net")).collect()).await;
    let under_way: Vec<_> = (1..=200).map(first).collect();
    assert_eq!(store.begin(under_way.clone()).await.unwrap().len(), 200);

    disk.fill();
    let mut accepted = Vec::new();
    let refused = loop {
        let n = 1000 + accepted.len() as u64;
        let large =
            NewMessage { body: format!("{n}{}", "x".repeat(50_000)).into_bytes().into(), ..message(n, "example.org") };
        match store.enqueue(vec![large], NOON, None).await {
            Ok(_) => accepted.push(n),
            Err(error) => break error,
        }
        assert!(accepted.len() < 1000, "the disk does not fill up");
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused}");
    assert!(store.is_short_of_room());
    assert!(store.claim(request(NOON)).await.unwrap().is_empty());
    let refused = store.enqueue(vec![message(900, "example.org")], NOON, None).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    // What is under way ends, all of it, in the room of the reserve.
    for id in &under_way {
        store.settle(vec![settlement(*id, Settled::Delivered)]).await.unwrap();
    }

    disk.free();
    until("the reserve stands again", || !store.is_short_of_room()).await;
    assert_eq!(size(&side), RESERVE);
    enqueue(&store, vec![message(901, "example.org")]).await;
    store.close().await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path, RESERVE).await.unwrap();
    for id in under_way {
        assert_eq!(store.find(id).await.unwrap().unwrap().state, State::Delivered);
    }
    for n in accepted.into_iter().chain([901]) {
        assert!(store.find(first(n)).await.unwrap().is_some(), "{n} was accepted");
    }
    drop(store);
}

#[tokio::test]
async fn a_disk_without_room_for_the_reserve_is_told_at_once() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this process may not mount a small file system");
        return;
    };
    let path = disk.0.path().join("mail.db");
    let store = SqliteStore::open(&path, 64 << 20).await.unwrap();
    until("it is noticed", || store.is_short_of_room()).await;
    let refused = store.enqueue(vec![message(1, "example.org")], NOON, None).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    store.close().await.unwrap();
}
