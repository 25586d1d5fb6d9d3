//! How many messages a second one PostgreSQL carries: queued, claimed, begun, settled, told to the handler, and
//! answered, each step durable before the next.
//!
//! `cargo bench --bench fleet --features postgres,testing`; rows of a few seconds and a queue of 20,000 unless
//! `RETURNPATH_SCALE=full` is set. It starts a server of its own with syncs on, and says `skipped` where there is none.
//! Server and clients share the machine. What SMTP costs is not in the figures: `benches/durable.rs` has that.
//!
//! Syncs and octets of the write-ahead log are what the server counts for all of them; they say what another disk, or a
//! way to a standby, must bear.

#[path = "../tests/fleet/cluster.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod cluster;

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use returnpath::bench::Carrying;

use self::cluster::Cluster;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Octets of a body: a short message. Random letters, since the server packs what repeats itself.
const BODY: usize = 4_000;

/// Where a queue is short.
const SITES: u64 = 100;

fn skipped(why: &str) {
    println!("skipped: {why}");
}

fn main() -> Result<(), Failed> {
    let Some(cluster) = Cluster::start() else { return Ok(()) };
    // The tests' own way to start it does without.
    for setting in ["fsync = on", "shared_buffers = '256MB'", "max_wal_size = '4GB'"] {
        cluster.sql(&format!("ALTER SYSTEM SET {setting}"));
    }
    cluster.restart();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(rows(&cluster))
}

async fn rows(cluster: &Cluster) -> Result<(), Failed> {
    let is_full = std::env::var("RETURNPATH_SCALE").is_ok_and(|scale| scale == "full");
    let (run, queue) = if is_full { (Duration::from_secs(10), 1_000_000) } else { (Duration::from_secs(2), 20_000) };
    println!("{} of 8 KiB, each synced, a second on this disk", syncs()? as u64);
    println!("{BODY} octets a message; each call waits for its commit");
    println!(
        "{:>10}{:>8}{:>8}{:>14}{:>12}{:>16}{:>16}",
        "queued", "a call", "stores", "messages/s", "commits/s", "syncs/message", "WAL/message"
    );
    for batch in [1, 10, 100] {
        for stores in [1, 2, 4] {
            measure(cluster, Row { batch, stores, queue: 0, sites: SITES }, run).await?;
        }
    }
    sizes(cluster);
    for sites in [1, 50_000] {
        measure(cluster, Row { batch: 100, stores: 2, queue, sites }, run).await?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// Messages a call.
    batch: usize,
    /// Processes that share the database.
    stores: usize,
    /// Messages that wait all the time.
    queue: usize,
    sites: u64,
}

async fn measure(cluster: &Cluster, row: Row, run: Duration) -> Result<(), Failed> {
    cluster.sql("DROP SCHEMA IF EXISTS returnpath CASCADE");
    let mut stores = Vec::new();
    for _ in 0..row.stores {
        stores.push(Carrying::join(&cluster.url(), row.sites).await?);
    }
    if let (Some(first), 1..) = (stores.first_mut(), row.queue) {
        for done in (0..row.queue).step_by(FILL) {
            // One body for all: it is the rows that make a queue long.
            first.fill(vec![b"The same to all.\r\n".to_vec(); FILL.min(row.queue - done)]).await?;
        }
        cluster.sql("CHECKPOINT");
    }
    let before = Counters::read(cluster)?;
    let start = now();
    let running: Vec<_> =
        stores.into_iter().enumerate().map(|(n, store)| tokio::spawn(carry(store, n, row, start, run))).collect();
    let mut messages = 0;
    for one in running {
        messages += one.await??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = Counters::read(cluster)?;
    let (count, of) = (messages as f64, |now: u64, then: u64| now.saturating_sub(then) as f64);
    println!(
        "{:>10}{:>8}{:>8}{:>14.0}{:>12.0}{:>16.2}{:>16.0}",
        row.queue,
        row.batch,
        row.stores,
        count / seconds,
        of(after.commits, before.commits) / seconds,
        of(after.syncs, before.syncs) / count,
        of(after.wal, before.wal) / count,
    );
    Ok(())
}

/// Carries messages until the time is over; answers how many came to their end.
async fn carry(mut store: Carrying, n: usize, row: Row, start: Instant, run: Duration) -> Result<usize, Failed> {
    let mut letters = Letters(0x9e37_79b9_7f4a_7c15 ^ (n as u64 + 1));
    let mut messages = 0;
    while start.elapsed() < run {
        let bodies = (0..row.batch).map(|_| letters.take(BODY)).collect();
        messages += store.step(bodies).await?;
    }
    store.leave().await?;
    Ok(messages)
}

/// Letters without a pattern: Marsaglia's xorshift.
struct Letters(u64);

impl Letters {
    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            b'a' + (self.0 >> 33) as u8 % 26
        };
        (0..count).map(|_| next()).collect()
    }
}

/// What the server has counted since it was made.
struct Counters {
    commits: u64,
    syncs: u64,
    /// Octets.
    wal: u64,
}

impl Counters {
    fn read(cluster: &Cluster) -> Result<Counters, Failed> {
        // A server process reports when it ends, and at most once a second before.
        std::thread::sleep(Duration::from_millis(1_500));
        let read = cluster.sql(
            "SELECT concat_ws(' ', xact_commit, (SELECT wal_sync FROM pg_stat_wal), pg_current_wal_lsn() - '0/0')
             FROM pg_stat_database WHERE datname = 'postgres'",
        );
        match read.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?[..] {
            [commits, syncs, wal] => Ok(Counters { commits, syncs, wal }),
            _ => Err(format!("the server's counters cannot be read: {read}").into()),
        }
    }
}

/// Prints what a message takes in the tables once it was delivered and told.
fn sizes(cluster: &Cluster) {
    cluster.sql("VACUUM ANALYZE");
    println!("octets a message, delivered and told: the table's rows, the table's file, its indexes");
    for table in ["message", "delivery", "event"] {
        let sizes = cluster.sql(&format!(
            "SELECT (SELECT avg(pg_column_size(t)) FROM returnpath.{table} t)::bigint || ' '
                 || pg_table_size('returnpath.{table}') / count(*) || ' '
                 || pg_indexes_size('returnpath.{table}') / count(*) FROM returnpath.{table}"
        ));
        println!("{table:>10} {sizes}");
    }
}

/// How often the disk syncs in a second, one page each.
fn syncs() -> Result<f64, Failed> {
    let mut file: File = tempfile::tempfile()?;
    let start = now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(2) {
        file.write_all(&[b'.'; 8_192])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

#[allow(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
fn now() -> Instant {
    Instant::now()
}

/// Messages a call while a long queue is filled.
const FILL: usize = 1_000;
