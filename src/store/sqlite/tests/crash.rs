//! Crashes in the middle of work: an image of the files while the writer writes, and a process that is killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rusqlite::Connection;
use tokio::sync::watch;

use super::*;
use crate::event::EventKind;
use crate::id::DeliveryId;
use crate::store::conformance::{DAY, NOON, bounce, claim, event, event_id, first, ids, inbound, message, settlement};
use crate::store::{NewMessage, Settled, Settlement, State};
use crate::verdict::Reason;

/// What the workload was told is done.
#[derive(Debug, Clone, Default)]
struct Done {
    queued: BTreeSet<DeliveryId>,
    settled: BTreeSet<DeliveryId>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_taken_in_the_middle_of_work_has_all_that_was_answered() {
    let files = Files::new();
    let path = files.next();
    let store = Arc::new(SqliteStore::open(&path, 0).await.unwrap());
    let done = Arc::new(Mutex::new(Done::default()));
    let (progress, mut seen) = watch::channel(());
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (store, done, progress) = (store.clone(), done.clone(), progress.clone());
            tokio::spawn(async move {
                // Bodies so large that the log is moved into the database several times.
                for n in (1..=120).map(|n| n * 4 + worker) {
                    let sent = NewMessage { body: vec![n as u8; 100_000].into(), ..message(n, "example.net") };
                    store.enqueue(vec![sent], NOON, Some(NOON)).await.unwrap();
                    done.lock().unwrap().queued.insert(first(n));
                    if n % 3 != 0 {
                        store.settle(vec![settlement(first(n), Settled::Delivered)]).await.unwrap();
                        done.lock().unwrap().settled.insert(first(n));
                    }
                    progress.send_replace(());
                }
            })
        })
        .collect();
    for wanted in [10, 100, 200, 300, 400] {
        while done.lock().unwrap().queued.len() < wanted {
            seen.changed().await.unwrap();
        }
        let before = done.lock().unwrap().clone();
        let to = files.next();
        {
            // A reader keeps the log from being begun anew between the copies of the two files; the database may be
            // copied while pages move into it, as a power cut would leave it.
            let reader = Connection::open(&path).unwrap();
            reader.execute_batch("BEGIN; SELECT count(*) FROM delivery").unwrap();
            copy_image(&path, &to);
        }
        whole(&to, &before).await;
    }
    for worker in workers {
        worker.await.unwrap();
    }
}

/// Opens what is left and looks for everything that was answered.
async fn whole(image: &Path, before: &Done) {
    let check = Connection::open(image).unwrap();
    let sound: String = check.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    drop(check);
    let store = SqliteStore::open(image, 0).await.unwrap();
    let high_water = store.recover(NOON, NOON).await.unwrap().high_water;
    assert!(before.queued.iter().all(|id| id.as_u64() <= high_water));
    for id in &before.queued {
        let found = store.find(*id).await.unwrap().unwrap_or_else(|| panic!("{id} is lost"));
        if before.settled.contains(id) {
            assert_eq!(found.state, State::Delivered, "{id}");
        }
    }
    // Nothing half-written: whatever is open can be sent.
    loop {
        let due = store.claim(crate::store::conformance::request(NOON)).await.unwrap();
        if due.is_empty() {
            break;
        }
        for delivery in due {
            let body = store.body(delivery.body).await.unwrap().expect("a body");
            assert_eq!(body.len() as u64, delivery.body_size);
        }
    }
}

/// The environment variable that turns the test below into a workload on the store it names.
const VICTIM: &str = "RETURNPATH_STORE_VICTIM";

/// A workload that says after each answer what is done. It ends by being killed.
#[tokio::test]
#[ignore = "the process that `a_killed_process_loses_nothing_it_answered` kills"]
async fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let store = SqliteStore::open(Path::new(&path), 0).await.unwrap();
    store.recover(NOON, NOON + DAY).await.unwrap();
    let say = |what: &str, n: u64| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "done {what} {n}").and_then(|()| out.flush()).unwrap();
    };
    for n in 1..=200 {
        store.enqueue(vec![message(n, "example.net")], NOON, Some(NOON)).await.unwrap();
        say("enqueue", n);
        say("beginning", n);
        store.begin(vec![first(n)]).await.unwrap();
        say("begin", n);
        let told = vec![event(n as u8, first(n), EventKind::Delivered)];
        store.settle(vec![Settlement { events: told, ..settlement(first(n), Settled::Delivered) }]).await.unwrap();
        say("settle", n);
        let report = crate::event::EventRecord { id: event_id(n as u8 ^ 0xff), ..bounce(0, first(n), Reason::Spam) };
        store.record(inbound(vec![report])).await.unwrap();
        say("record", n);
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_answered() {
    let files = Files::new();
    // Each kill comes after another step.
    for lines in [1, 3, 7, 13, 24, 40] {
        let path = files.next();
        let said = run_and_kill(&path, lines);
        let last = |what: &str| {
            let of = |line: &String| line.strip_prefix(&format!("done {what} "))?.trim().parse::<u64>().ok();
            said.iter().filter_map(of).max().unwrap_or(0)
        };
        assert!(last("enqueue") > 0);

        let store = SqliteStore::open(&path, 0).await.unwrap();
        let left = store.recover(NOON, NOON + DAY).await.unwrap();
        for n in 1..=last("enqueue") {
            let found = store.find(first(n)).await.unwrap().unwrap_or_else(|| panic!("{n} is lost"));
            if n <= last("settle") {
                assert_eq!(found.state, State::Delivered, "{n}");
            } else if n <= last("begin") {
                let is_uncertain = ids(&left.in_flight).contains(&first(n));
                assert!(is_uncertain || found.state == State::Delivered, "{n} is {:?}", found.state);
            }
            assert!(n > last("record") || found.bounced.is_some(), "{n}: its bounce is lost");
        }
        for id in ids(&left.in_flight) {
            assert!(id <= first(last("beginning")), "{id} cannot have gone out");
        }
        // Each delivery has its events once, the eldest first.
        let told = store.claim_events(1000, vec![], NOON).await.unwrap();
        assert!(told.len() as u64 >= last("settle"));
        assert!(told.iter().all(|event| event.record.kind == EventKind::Delivered));
        // What had not begun is due at once; what is uncertain is not.
        assert!(claim(&store, NOON).await.iter().all(|id| *id > first(last("begin"))));
    }
}

/// Runs the workload until it has said so many lines, kills it, and answers all that it said.
fn run_and_kill(path: &Path, lines: usize) -> Vec<String> {
    let name = concat!(module_path!(), "::victim").split_once("::").expect("a crate name").1;
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored", "--nocapture"])
        .env(VICTIM, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while said.len() < lines {
        let line = out.next().expect("the workload goes on until it is killed").unwrap();
        said.extend(line.starts_with("done ").then_some(line));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    // What it said until the kill counts as well; the last line may be cut.
    let rest: Vec<String> = out.map_while(Result::ok).collect();
    said.extend(rest);
    said
}
