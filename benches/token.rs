//! What a return path costs: minted, opened and refused, beside one HMAC-SHA256 over as many octets.
//!
//! `cargo bench --features testing --bench token`. Each row is the median of many short rounds, the rows taken in
//! turn, so that a busy machine slows all of them alike; the ratio to the plain HMAC is the figure to compare.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use returnpath::bench::Sealing;
use returnpath::{DeliveryId, Tag};

/// Calls in one round: some hundred microseconds, far above what reading the clock costs.
const CALLS: u32 = 200;
/// Rounds of each row.
const ROUNDS: usize = 500;

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 3 };
    let instance = Sealing::new();
    let delivery = DeliveryId::from_u64(0x0e38_bf40_0000_6000);
    let tag = Some(Tag::from(4_711));
    let path = instance.mint(delivery, tag);
    let token = path.find('@').expect("an address");
    let forged = format!(
        "{}{}{}",
        &path[..token - 8],
        if &path[token - 8..token - 7] == "a" { "b" } else { "a" },
        &path[token - 7..]
    );
    let wrapped = format!("SRS0=HHHH=TT=b.example.org={}@forward.example", &path[..token]);
    assert!(
        instance.opens(&path, delivery) && instance.opens(&wrapped, delivery) && !instance.opens(&forged, delivery)
    );

    // As much as a seal covers: label, domain, layout, header, id, tag, and their lengths.
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let covered = [0x5a; 48];

    let rows: [(&str, &dyn Fn()); 7] = [
        ("one HMAC-SHA256 over 48 octets", &|| _ = black_box(hmac::sign(&key, black_box(&covered)))),
        ("mint", &|| drop(black_box(instance.mint(black_box(delivery), None)))),
        ("mint with a tag", &|| drop(black_box(instance.mint(black_box(delivery), tag)))),
        ("open with a tag", &|| assert!(instance.opens(black_box(&path), delivery))),
        ("open out of a forwarder's wrapper", &|| assert!(instance.opens(black_box(&wrapped), delivery))),
        ("refuse a wrong seal", &|| assert!(!instance.opens(black_box(&forged), delivery))),
        ("refuse another address", &|| assert!(!instance.opens(black_box("ann@b.example.org"), delivery))),
    ];
    let mut times = vec![Vec::with_capacity(rounds); rows.len()];
    for _ in 0..rounds {
        for ((_, call), times) in rows.iter().zip(&mut times) {
            times.push(round(call));
        }
    }
    let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
    println!("{:<36}{:>10}{:>9}{:>14}", "", "ns", "ratio", "per second");
    for ((name, _), nanos) in rows.iter().zip(&medians) {
        println!("{name:<36}{nanos:>10.0}{:>9.2}{:>14.0}", nanos / medians[0], 1e9 / nanos);
    }
}

/// How long one call takes.
#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
fn round(call: &dyn Fn()) -> Duration {
    let start = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    start.elapsed() / CALLS
}

/// In nanoseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e9
}
