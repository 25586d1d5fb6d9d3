//! A progress bar and a table on standard output.

use std::io::{IsTerminal, Write};

use returnpath::Event;
use returnpath::event::EventKind;

/// Draws the bar anew; on anything but a terminal only the full one.
pub(crate) fn progress(what: &str, done: usize, all: usize) {
    const WIDTH: usize = 32;
    let terminal = std::io::stdout().is_terminal();
    if !terminal && done < all {
        return;
    }
    let filled = done * WIDTH / all.max(1);
    let bar = format!("[{}{}] {done}/{all} {what}", "#".repeat(filled), "-".repeat(WIDTH - filled));
    if terminal && done < all {
        print!("{bar}\r");
        let _ = std::io::stdout().flush();
    } else {
        println!("{bar}");
    }
}

/// One line for each event; the many plain deliveries as one.
pub(crate) fn print(events: &[Event]) {
    println!("\n{:<10} {:<18} {:<5} {:<15} {:<7} what was said", "event", "recipient", "tag", "reason", "status");
    let mut plain = 0;
    for event in events {
        let recipient = event.recipient().map(ToString::to_string).unwrap_or_default();
        if event.kind() == EventKind::Delivered && recipient.starts_with("subscriber") {
            plain += 1;
            continue;
        }
        let reason = match event.kind() {
            EventKind::Fail | EventKind::Bounce | EventKind::Delay => {
                event.verdict().map(|verdict| verdict.reason.to_string()).unwrap_or_default()
            }
            _ => String::new(),
        };
        println!(
            "{:<10} {:<18} {:<5} {:<15} {:<7} {}",
            event.kind().name(),
            recipient,
            event.tag().map(|tag| tag.to_string()).unwrap_or_default(),
            reason,
            event.status().map(|status| status.to_string()).unwrap_or_default(),
            event.text().unwrap_or_default(),
        );
    }
    println!("{:<10} {plain} more recipients", "delivered");
}
