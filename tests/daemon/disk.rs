//! A disk that is full for a while, under load: nothing is lost, nothing is sent twice, and all goes on afterwards.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use returnpath::event::EventKind;
use returnpath::testing::{Clock, RemoteHost};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::crash::{copies, finish};
use crate::postman::{Postman, is_returned};
use crate::process::{Daemon, PATIENCE, Site, full};
use crate::skipped::skipped;

/// Another program has taken all the room, once. What the store gives up of its reserve is the store's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_sends_nothing_twice() {
    full_for_a_while("full", Greed::Once).await;
}

/// Another program takes every octet that becomes free, the reserve too: not even an outcome can be stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_on_which_another_program_takes_the_reserve_too_loses_nothing_either() {
    full_for_a_while("full, reserve taken", Greed::Always).await;
}

async fn full_for_a_while(name: &str, greed: Greed) {
    let Some(disk) = SmallDisk::mount() else {
        assert!(std::env::var_os("CI").is_none(), "in CI a small file system can be mounted");
        skipped("this process may not mount a small file system");
        return;
    };
    let clock = Clock::system();
    let stays = Duration::from_secs(if full() { 60 } else { 3 });
    let site = Site::under(disk.path());
    let remote = Arc::new(RemoteHost::start().await.unwrap());
    // So that some messages are on their way at any moment.
    remote.delay_end_of_data(Duration::from_millis(20));
    let postman = Postman::start(remote.clone());
    let reserve = RESERVE.to_string();
    let relay = remote.address().to_string();
    let daemon = site.daemon(&["--relay", &relay, "--listen", "127.0.0.1:0", "--disk-reserve", &reserve]);
    postman.goes_to(daemon.listener().await);
    let mut load = Load::new(daemon);
    let reserve = site.path("mail.db.reserve");
    load.until("the reserve is filled", || size(&reserve) == RESERVE).await;
    load.until_of("a good part is delivered and returned", |load| {
        load.delivered.len() > 300 && load.bounces.len() > 50
    })
    .await;

    let filler = Filler::start(disk.path(), greed);
    let begun = clock.now();
    load.until("the disk is full", || filler.is_full()).await;
    let (queued_before, delivered_before) = (load.queued.len(), load.delivered.len());
    load.until_of("the first message is refused", |load| !load.refusals.is_empty()).await;
    load.until("a bounce is put off", || !postman.put_off().is_empty()).await;
    load.until("its time is over", || clock.now().since(begun) >= stays).await;
    let taken_by_filler = filler.octets();
    let (queued_after, delivered_after) = (load.queued.len(), load.delivered.len());
    drop(filler);

    load.until_of("as much again is taken", |load| load.queued.len() > queued_after + 300).await;
    load.brings_new = false;
    load.until_of("all is told", |load| {
        load.waiting.is_empty()
            && load.again.is_empty()
            && load.queued.values().all(|queued| load.delivered.contains(&queued.id))
            && remote.taken().iter().all(|taken| !is_returned(taken) || postman.has_posted(&taken.return_path))
            && postman.posted().iter().all(|path| load.is_told(path))
    })
    .await;
    assert_eq!(size(&reserve), RESERVE, "it stands again");
    load.daemon.terminate();
    let Load { daemon, queued, fed, bounces, refusals, repeated, .. } = load;
    let ended = daemon.end().await;
    assert_eq!(ended.code, Some(0), "the same process, and it ends in good order: {}", ended.errors);

    assert_eq!(queued.len(), fed, "each that was fed was taken in the end, under one key once");
    let copies = copies(&remote);
    assert_eq!(copies.len(), fed, "each arrived, and nothing else");
    for (path, queued) in &queued {
        assert_eq!(copies.get(path), Some(&1), "copies of {}", queued.key);
    }
    assert!(bounces.values().all(|ids| ids.len() == 1), "one report, one event id");
    assert_eq!(postman.refused(), Vec::<String>::new());
    let put_off = postman.put_off();
    assert!(
        put_off.keys().all(|reply| reply.starts_with("452 4.3.1 ") || reply.starts_with("451 4.3.0 ")),
        "{put_off:?}"
    );
    let no_room: usize =
        put_off.iter().filter(|(reply, _)| reply.starts_with("452 4.3.1 ")).map(|(_, times)| times).sum();
    assert!(no_room > 0, "{put_off:?}");
    assert!(refusals.keys().all(|text| text.contains("the store is full or the disk is")), "{refusals:?}");
    // A further run has nothing left to send, nor to be unsure of.
    for event in finish(&site, &remote).await {
        assert!(matches!(event.kind(), EventKind::Delivered | EventKind::Bounce), "{}", event.to_json());
    }
    assert_eq!(remote.taken().len(), fed);
    println!(
        "{name} for {stays:?}: {fed} messages, one copy each; {queued_before} were queued and {delivered_before} of them \
         delivered when it began, {queued_after} and {delivered_after} when it ended; {} refusals told to the feeder, \
         {put_off:?} to the postman; {} bounces; {repeated} events told again; the filler had {taken_by_filler} octets",
        refusals.values().sum::<usize>(),
        bounces.len(),
    );
}

/// Lines in, all the time, and what became of them.
struct Load {
    daemon: Daemon,
    heard: usize,
    /// Messages made so far.
    fed: usize,
    brings_new: bool,
    /// Keys whose line has no answer yet.
    waiting: HashSet<String>,
    /// Numbers of messages that were refused, to be fed again.
    again: Vec<usize>,
    /// By return path.
    queued: HashMap<String, Queued>,
    /// Delivery ids.
    delivered: HashSet<String>,
    /// The event ids of the bounces, by delivery id.
    bounces: HashMap<String, HashSet<String>>,
    /// Texts of refusals, and how often each was told.
    refusals: BTreeMap<String, usize>,
    seen: HashSet<String>,
    repeated: usize,
}

struct Queued {
    id: String,
    key: String,
}

impl Load {
    fn new(daemon: Daemon) -> Load {
        Load {
            daemon,
            heard: 0,
            fed: 0,
            brings_new: true,
            waiting: HashSet::new(),
            again: Vec::new(),
            queued: HashMap::new(),
            delivered: HashSet::new(),
            bounces: HashMap::new(),
            refusals: BTreeMap::new(),
            seen: HashSet::new(),
            repeated: 0,
        }
    }

    async fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        self.until_of(what, |_| holds()).await;
    }

    /// Goes on until this holds.
    async fn until_of(&mut self, what: &str, mut holds: impl FnMut(&Load) -> bool) {
        let work = async {
            loop {
                self.hear();
                if holds(self) {
                    return;
                }
                self.feed().await;
                tokio::time::sleep(STEP).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE * 2, work).await;
        assert!(
            done.is_ok(),
            "waited in vain until {what}: {} fed, {} queued, {} delivered, {} bounces, {:?}",
            self.fed,
            self.queued.len(),
            self.delivered.len(),
            self.bounces.len(),
            self.refusals
        );
    }

    /// Some lines: those that were refused first, then new ones.
    async fn feed(&mut self) {
        for _ in 0..LINES_A_STEP {
            if self.waiting.len() >= WAITING {
                return;
            }
            let number = match self.again.pop() {
                Some(number) => number,
                None if self.brings_new && self.fed - self.queued.len() < WAITING => {
                    self.fed += 1;
                    self.fed - 1
                }
                None => return,
            };
            self.waiting.insert(format!("k{number}"));
            self.daemon.feed(&message(number)).await;
        }
    }

    /// Whether the bounce to this return path is.
    fn is_told(&self, path: &str) -> bool {
        self.queued.get(path).is_some_and(|queued| self.bounces.contains_key(&queued.id))
    }

    fn hear(&mut self) {
        let lines = self.daemon.lines_after(self.heard);
        self.heard += lines.len();
        for line in lines {
            if let Some(event) = line["event_id"].as_str() {
                self.repeated += usize::from(!self.seen.insert(event.to_owned()));
            }
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            match line["event"].as_str() {
                Some("listening") => {}
                Some("queued") => {
                    self.waiting.remove(&text("key"));
                    let queued = Queued { id: text("id"), key: text("key") };
                    assert!(self.queued.insert(text("return_path"), queued).is_none(), "queued once: {line}");
                }
                Some("error") => {
                    let key = text("key");
                    assert!(self.waiting.remove(&key), "{line}");
                    *self.refusals.entry(text("text")).or_default() += 1;
                    self.again.push(key[1..].parse().unwrap());
                }
                Some("delivered") => drop(self.delivered.insert(text("id"))),
                // It may come before the line of its message: hosts are fast here.
                Some("bounce") => drop(self.bounces.entry(text("id")).or_default().insert(text("event_id"))),
                _ => panic!("{line}"),
            }
        }
    }
}

/// A message of some size, so that the log grows.
fn message(number: usize) -> Value {
    json!({
        "from": "news@example.org",
        "to": format!("r{number}@example.net"),
        "subject": "Hello",
        "text": format!("Good morning, {number}.\n{}", "It is a long letter, as letters go.\n".repeat(200)),
        "tag": number,
        "key": format!("k{number}"),
    })
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

/// A file system of 48 MiB in memory.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where this process may not mount one.
    fn mount() -> Option<SmallDisk> {
        let directory = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(directory.path()).output();
        mount.is_ok_and(|mount| mount.status.success()).then_some(SmallDisk(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// How much another program takes.
#[derive(Clone, Copy, PartialEq)]
enum Greed {
    /// What is free at one moment.
    Once,
    /// And whatever becomes free after it.
    Always,
}

/// A file that takes all the room, to the last octet; dropped, it is removed.
struct Filler {
    stop: Arc<AtomicBool>,
    is_full: Arc<AtomicBool>,
    octets: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    fn start(directory: &Path, greed: Greed) -> Filler {
        let (stop, is_full, octets) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default(), Arc::default());
        let mut filler = Filler { stop, is_full, octets, thread: None };
        let (stop, is_full, octets) = (filler.stop.clone(), filler.is_full.clone(), filler.octets.clone());
        let path = directory.join("filler");
        filler.thread = Some(std::thread::spawn(move || {
            let mut file = std::fs::File::create(&path).unwrap();
            while !stop.load(Ordering::Acquire) {
                match file.write(&[0; 4096]) {
                    Ok(written) => drop(octets.fetch_add(written as u64, Ordering::AcqRel)),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::StorageFull);
                        is_full.store(true, Ordering::Release);
                        if greed == Greed::Once {
                            break;
                        }
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
            }
            while !stop.load(Ordering::Acquire) {
                std::thread::park();
            }
            std::fs::remove_file(&path).unwrap();
        }));
        filler
    }

    /// Whether a write found not one octet of room.
    fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    fn octets(&self) -> u64 {
        self.octets.load(Ordering::Acquire)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().unwrap();
        }
    }
}

const RESERVE: u64 = 4 << 20;
/// Messages that were made and are not queued yet, at most.
const WAITING: usize = 64;
const LINES_A_STEP: usize = 8;
const STEP: Duration = Duration::from_millis(5);
