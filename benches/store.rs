//! Durable enqueues a second beside the bare disk: the same bytes appended to a file, with a sync after each batch.
//!
//! `cargo bench --bench store --features testing [-- DIRECTORY]`; the directory decides which disk is measured.
//! Both sides run in turn in the same process, so that a busy machine slows both.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use returnpath::bench::Enqueueing;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Octets of a body: a newsletter without pictures.
const BODY: usize = 10_000;

/// How long each row runs.
const RUN: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let directory = directory.map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("returnpath-bench-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let result = rows(&directory).await;
    fs::remove_dir_all(&directory)?;
    result
}

async fn rows(directory: &Path) -> Result<(), Failed> {
    let store = Arc::new(Enqueueing::open(&directory.join("mail.db")).await?);
    let next = Arc::new(AtomicU64::new(1));
    println!("{BODY} octets a message; messages a second, each durable when it counts");
    println!("{:<32}{:>10}{:>20}{:>8}", "", "store", "append + fdatasync", "ratio");
    for (name, callers, batch) in
        [("one by one", 1, 1), ("64 callers, one each", 64, 1), ("one caller, 64 a call", 1, 64)]
    {
        let disk = appended(directory, callers * batch)?;
        let stored = enqueued(&store, &next, callers, batch).await?;
        println!("{name:<32}{stored:>10.0}{disk:>20.0}{:>8.2}", stored / disk);
    }
    Ok(())
}

/// Messages a second through `callers` that each wait for their answer.
async fn enqueued(store: &Arc<Enqueueing>, next: &Arc<AtomicU64>, callers: usize, batch: usize) -> Result<f64, Failed> {
    let start = now();
    let mut running = Vec::new();
    for _ in 0..callers {
        let (store, next) = (store.clone(), next.clone());
        running.push(tokio::spawn(async move {
            let mut count = 0;
            while start.elapsed() < RUN {
                let first = next.fetch_add(batch as u64, Ordering::Relaxed);
                store.enqueue(first, (first..first + batch as u64).map(body).collect()).await?;
                count += batch;
            }
            Ok::<_, Failed>(count)
        }));
    }
    let mut total = 0;
    for caller in running {
        total += caller.await??;
    }
    Ok(total as f64 / start.elapsed().as_secs_f64())
}

/// Messages a second when `batch` of them are appended between two syncs.
fn appended(directory: &Path, batch: usize) -> Result<f64, Failed> {
    let mut file = File::create(directory.join("append"))?;
    let start = now();
    let mut count = 0;
    while start.elapsed() < RUN {
        let bytes: Vec<u8> = (0..batch).flat_map(|n| body((count + n) as u64)).collect();
        file.write_all(&bytes)?;
        file.sync_data()?;
        count += batch;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// A body that no other message has.
fn body(n: u64) -> Vec<u8> {
    let mut body = n.to_be_bytes().repeat(BODY / 8);
    body.resize(BODY, b'.');
    body
}

#[allow(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
fn now() -> Instant {
    Instant::now()
}
