//! What a long queue costs: a start over a store in which very many messages wait, beside one with few.
//!
//! `cargo bench --bench durable --features testing [-- QUEUED DESTINATIONS [FOLDER]]`; small sizes unless
//! `RETURNPATH_SCALE=full` is set. For each size it prints the time from the start of the process to the first delivery,
//! messages a second to a host on loopback that throws all away, the mailer's own time on a processor for one message,
//! and the most memory that its process had. The host is in another process, so its memory and its work do not stand in
//! the figures. Memory and time are read from Linux's `/proc`. On a machine that others use as well, the processor's
//! time compares better than messages a second.
//!
//! A long queue that is filled in FOLDER stays there, and the next run with the same folder sends from what is left.
//!
//! Recipients are at address literals of 127.0.0.0/8: as many destinations as wanted, and no name to resolve. The file
//! was just written, so the system has most of it in memory: a first delivery after the machine itself has started
//! waits for some dozen reads of the disk more.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use returnpath::testing::Clock;
use returnpath::{Mailer, MailerBuilder, Message};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Messages a call while the queue is filled.
const BATCH: usize = 1_000;

/// How long before the start the queue was filled, and how long before it all of it became due.
const FILLED: Duration = Duration::from_secs(3_600);
const DUE: Duration = Duration::from_secs(1_800);

/// What one run has in its queue.
#[derive(Debug, Clone, Copy)]
struct Size {
    queued: usize,
    destinations: usize,
}

/// The messages that are timed, and those that are sent before memory is looked at: by then every buffer was full.
#[derive(Debug, Clone, Copy)]
struct Part {
    timed: usize,
    sent: usize,
}

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let (Ok(stage), Some(store)) = (std::env::var(STAGE), std::env::var_os(STORE)) {
        let store = Path::new(&store);
        return match (stage.as_str(), &numbers(&std::env::var(NUMBERS)?)?[..]) {
            ("fill", &[queued, destinations]) => runtime.block_on(fill(Size { queued, destinations }, store)),
            (_, &[port]) => runtime.block_on(send(store, u16::try_from(port)?)),
            _ => Err("the numbers of a stage are missing".into()),
        };
    }
    let is_full = std::env::var("RETURNPATH_SCALE").is_ok_and(|scale| scale == "full");
    let given: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let (few, many, part) = if is_full {
        (10_000, 1_000_000, Part { timed: 8_000, sent: 50_000 })
    } else {
        (3_000, 12_000, Part { timed: 2_500, sent: 10_000 })
    };
    let sizes = match numbers(&given[..given.len().min(2)].join(" "))?[..] {
        [queued, destinations] => vec![Size { queued, destinations }],
        _ if is_full => [1, 1_000, 100_000].map(|destinations| Size { queued: many, destinations }).to_vec(),
        _ => vec![Size { queued: many, destinations: 100 }],
    };
    let folder = given.get(2).map(PathBuf::from);
    println!(
        "{:>9}{:>14}{:>10}{:>16}{:>14}{:>18}{:>12}{:>14}",
        "queued", "destinations", "filled", "first delivery", "messages/s", "later messages/s", "µs each", "memory MiB"
    );
    for many in sizes {
        // Not fewer than ten messages a destination, as in the longest one.
        let few = Size { queued: few, destinations: many.destinations.min(few / 10) };
        let short = runtime.block_on(run(few, part, None))?;
        let long = runtime.block_on(run(many, part, folder.as_deref()))?;
        println!(
            "the long queue beside the short one: messages a second {:.2}, processor time {:.2}",
            long.rate / short.rate,
            long.processor / short.processor
        );
    }
    Ok(())
}

fn numbers(text: &str) -> Result<Vec<usize>, std::num::ParseIntError> {
    text.split_whitespace().map(str::parse).collect()
}

/// What one run is compared by.
struct Figures {
    /// Messages a second.
    rate: f64,
    /// Seconds of processor time a message.
    processor: f64,
}

/// Fills a store and sends from it, each in a process of its own.
async fn run(size: Size, part: Part, kept: Option<&Path>) -> Result<Figures, Failed> {
    let Size { queued, destinations } = size;
    let folder = tempfile::tempdir()?;
    let store = kept.unwrap_or(folder.path()).join("mail.db");
    let stage = |name: &str, numbers: String| {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(STAGE, name).env(STORE, &store).env(NUMBERS, numbers);
        Ok::<_, Failed>(command)
    };
    let filling = now();
    if !store.exists() && !stage("fill", format!("{queued} {destinations}"))?.status()?.success() {
        return Err("the store could not be filled".into());
    }
    let filling = filling.elapsed();

    let host = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let port = host.local_addr()?.port();
    let taken = Arc::new(Taken::default());
    let counter = taken.clone();
    let taking = tokio::spawn(async move {
        while let Ok((stream, _)) = host.accept().await {
            tokio::spawn(discard(stream, counter.clone()));
        }
    });
    let begin = now();
    let mut mailer = stage("send", port.to_string())?.stdin(Stdio::piped()).spawn()?;
    let sent = part.sent.min(queued);
    let measured = tokio::time::timeout(LONGEST, async {
        taken.until(1).await;
        let first = begin.elapsed();
        let idle = processor_time(mailer.id());
        taken.until(part.timed).await;
        let timed = begin.elapsed();
        let busy = processor_time(mailer.id()) - idle;
        taken.until(sent).await;
        (first, timed, begin.elapsed(), busy)
    })
    .await;
    let memory = peak_memory(mailer.id());
    // The end of its input is the order to stop.
    drop(mailer.stdin.take());
    let ended = mailer.wait()?;
    taking.abort();
    let (first, timed, whole, busy) =
        measured.map_err(|_| format!("only {} were delivered in time", taken.count.load(Ordering::Acquire)))?;
    if !ended.success() {
        return Err("the mailer ended badly".into());
    }
    let processor = busy / (part.timed - 1) as f64;
    let rate = (part.timed - 1) as f64 / (timed - first).as_secs_f64();
    let later = (sent - part.timed) as f64 / (whole - timed).as_secs_f64();
    let (filling, first) = (filling.as_secs_f64(), first.as_secs_f64());
    let each = processor * 1e6;
    println!(
        "{queued:>9}{destinations:>14}{filling:>9.1}s{first:>15.3}s{rate:>14.0}{later:>18.0}{each:>12.0}{memory:>14.1}"
    );
    Ok(Figures { rate, processor })
}

/// Fills the queue with what is not due yet.
async fn fill(size: Size, store: &Path) -> Result<(), Failed> {
    let start = Clock::system().now() - FILLED;
    let due = start + (FILLED - DUE);
    let mailer = mailer(store).clock(Clock::manual(start)).start().await?;
    let text = "One line of a newsletter without pictures.\n".repeat(40);
    for first in (0..size.queued).step_by(BATCH) {
        let messages = (first..(first + BATCH).min(size.queued)).map(|n| {
            let host = Ipv4Addr::from_bits(FIRST_HOST + u32::try_from(n % size.destinations).unwrap_or_default());
            let message = Message::builder().from("news@example.org").to(format!("reader{n}@[{host}]"));
            message.subject("News").text(text.clone()).not_before(due)
        });
        for receipt in mailer.send_all(messages).await {
            receipt?;
        }
    }
    mailer.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}

/// Starts over the filled store and sends until the input ends.
async fn send(store: &Path, port: u16) -> Result<(), Failed> {
    let mailer = mailer(store).smtp_port(port).start().await?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    mailer.shutdown(Duration::from_secs(1)).await?;
    Ok(())
}

fn mailer(store: &Path) -> MailerBuilder {
    Mailer::builder("b.example.org").ehlo("mail.example.org").store(store).allow_loopback(true).handler(())
}

/// What the host on loopback has taken.
#[derive(Default)]
struct Taken {
    count: AtomicUsize,
    rung: Notify,
}

impl Taken {
    async fn until(&self, count: usize) {
        while self.count.load(Ordering::Acquire) < count {
            self.rung.notified().await;
        }
    }
}

/// Takes every message of a conversation and keeps nothing.
async fn discard(stream: TcpStream, taken: Arc<Taken>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 host.example ESMTP\r\n").await?;
    let (mut line, mut replies, mut is_data) = (Vec::new(), Vec::new(), false);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match &line[..] {
            b".\r\n" if is_data => {
                is_data = false;
                taken.count.fetch_add(1, Ordering::AcqRel);
                taken.rung.notify_one();
                b"250 2.0.0 taken\r\n"
            }
            _ if is_data => continue,
            command if command.starts_with(b"EHLO") => b"250-host.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            command if command.starts_with(b"DATA") => {
                is_data = true;
                b"354 go ahead\r\n"
            }
            _ => b"250 2.0.0 ok\r\n",
        };
        replies.extend_from_slice(reply);
        // Replies to commands that came together go together.
        if stream.buffer().is_empty() || is_data {
            stream.write_all(&replies).await?;
            replies.clear();
        }
    }
}

/// The most memory that a process had, in MiB; 0 where the system does not say.
fn peak_memory(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or_default() / 1024.0
}

/// Seconds that the threads of a process have been on a processor; 0 where the system does not say.
fn processor_time(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, in its brackets: the state is field 3, the times in and below the program are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

#[allow(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
fn now() -> Instant {
    Instant::now()
}

/// How the processes of one run are told what they are.
const STAGE: &str = "RETURNPATH_BENCH_STAGE";
const STORE: &str = "RETURNPATH_BENCH_STORE";
const NUMBERS: &str = "RETURNPATH_BENCH_NUMBERS";

/// 127.0.1.0: behind the addresses that a machine uses itself.
const FIRST_HOST: u32 = 0x7f00_0100;

/// Of the times in `/proc`, a second: the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// For what one run sends.
const LONGEST: Duration = Duration::from_secs(600);
