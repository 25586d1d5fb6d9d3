//! What a long queue costs: a start over a store in which very many messages wait, beside one with few.
//!
//! `cargo bench --bench durable --features testing`; small sizes unless `RETURNPATH_SCALE=full` is set. For each size
//! it prints the time from the start to the first delivery, the most memory that the process had while it sent, and
//! messages a second to a host on loopback that throws all away. Memory is read from Linux's `/proc`; each size runs
//! in a process of its own, so that one does not stand in the other's figures.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use returnpath::{Mailer, Message, Smarthost};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Messages that are sent in each run; the others stay queued.
const SENT: usize = 5_000;

/// Messages a call while the queue is filled.
const BATCH: usize = 1_000;

/// Distinct bodies: newsletters, each to many.
const BODIES: usize = 10;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some((size, store)) =
        std::env::var("RETURNPATH_BENCH_SIZE").ok().zip(std::env::var_os("RETURNPATH_BENCH_STORE"))
    {
        return runtime.block_on(measure(size.parse()?, Path::new(&store)));
    }
    let is_full = std::env::var("RETURNPATH_SCALE").is_ok_and(|scale| scale == "full");
    let (few, many) = if is_full { (10_000, 1_000_000) } else { (6_000, 30_000) };
    println!("{:>10}{:>12}{:>16}{:>14}{:>14}", "queued", "filled", "first delivery", "memory MiB", "messages/s");
    let few = in_own_process(few)?;
    let many = in_own_process(many)?;
    println!("throughput of the long queue beside the short one: {:.2}", many / few);
    Ok(())
}

/// Runs this program again for one size, and gives the throughput that it printed last.
fn in_own_process(size: usize) -> Result<f64, Failed> {
    let folder = std::env::temp_dir().join(format!("returnpath-durable-{}-{size}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let run = |stage: &str| {
        Command::new(std::env::current_exe()?)
            .env("RETURNPATH_BENCH_SIZE", size.to_string())
            .env("RETURNPATH_BENCH_STORE", folder.join("mail.db"))
            .env("RETURNPATH_BENCH_STAGE", stage)
            .output()
    };
    let outputs = run("fill").and_then(|filled| Ok([filled, run("send")?]));
    std::fs::remove_dir_all(&folder)?;
    let outputs = outputs?;
    if let Some(failed) = outputs.iter().find(|output| !output.status.success()) {
        return Err(String::from_utf8_lossy(&failed.stderr).into_owned().into());
    }
    let line: String = outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).collect();
    println!("{size:>10}{line}");
    Ok(line.split_whitespace().last().unwrap_or_default().parse()?)
}

async fn measure(size: usize, store: &Path) -> Result<(), Failed> {
    if std::env::var("RETURNPATH_BENCH_STAGE").is_ok_and(|stage| stage == "fill") {
        fill(size, store).await
    } else {
        send(store).await
    }
}

/// Fills the queue while there is nobody to send to.
async fn fill(size: usize, store: &Path) -> Result<(), Failed> {
    let start = now();
    // Nobody answers on this port while it is bound and not listened to.
    let nobody = tokio::net::TcpSocket::new_v4()?;
    nobody.bind("127.0.0.1:0".parse()?)?;
    let mailer = mailer(store, &nobody.local_addr()?.to_string()).await?;
    let bodies: Vec<String> = (0..BODIES).map(|n| format!("Newsletter {n}\n").repeat(60)).collect();
    for first in (0..size).step_by(BATCH) {
        let messages = (first..(first + BATCH).min(size)).map(|n| {
            let message = Message::builder().from("news@example.org").to(format!("reader{n}@host{}.example", n % 100));
            message.subject("News").text(bodies[n % BODIES].clone())
        });
        for receipt in mailer.send_all(messages).await {
            receipt?;
        }
    }
    mailer.shutdown(Duration::from_secs(10)).await?;
    print!("{:>11.1}s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Starts over the filled store and sends a part of it.
async fn send(store: &Path) -> Result<(), Failed> {
    let sink = TcpListener::bind("127.0.0.1:0").await?;
    let address = sink.local_addr()?.to_string();
    let (taken, arrived) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counted, rung) = (taken.clone(), arrived.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = sink.accept().await {
            tokio::spawn(discard(stream, counted.clone(), rung.clone()));
        }
    });
    let start = now();
    let mailer = mailer(store, &address).await?;
    let until = async |count: usize| {
        while taken.load(Ordering::Acquire) < count {
            arrived.notified().await;
        }
    };
    until(1).await;
    let first = start.elapsed();
    let sending = now();
    until(SENT).await;
    let rate = (SENT - 1) as f64 / sending.elapsed().as_secs_f64();
    println!("{:>15.3}s{:>14.1}{rate:>14.0}", first.as_secs_f64(), peak_memory());
    mailer.shutdown(Duration::from_secs(1)).await?;
    Ok(())
}

async fn mailer(store: &Path, smarthost: &str) -> Result<Mailer, Failed> {
    Ok(Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(store)
        .smarthost(Smarthost::new(smarthost))
        // Whatever met nobody is due again at the next start.
        .retry([Duration::from_secs(1)])
        .handler(())
        .start()
        .await?)
}

/// Takes every message of a conversation and keeps nothing.
async fn discard(stream: TcpStream, taken: Arc<AtomicUsize>, arrived: Arc<Notify>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink.example ESMTP\r\n").await?;
    let (mut line, mut is_data) = (Vec::new(), false);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match &line[..] {
            b".\r\n" if is_data => {
                is_data = false;
                taken.fetch_add(1, Ordering::AcqRel);
                arrived.notify_one();
                b"250 2.0.0 taken\r\n"
            }
            _ if is_data => continue,
            command if command.starts_with(b"EHLO") => b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            command if command.starts_with(b"DATA") => {
                is_data = true;
                b"354 go ahead\r\n"
            }
            _ => b"250 2.0.0 ok\r\n",
        };
        stream.write_all(reply).await?;
    }
}

/// The most memory that this process had, in MiB; 0 where the system does not say.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or_default() / 1024.0
}

#[allow(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
fn now() -> Instant {
    Instant::now()
}
