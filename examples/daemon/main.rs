//! A stand-alone sender and receiver around the library: JSON lines in, JSON lines out.
//!
//! ```text
//! echo '{"from":"news@example.org","to":"ann@example.net","subject":"Hello","text":"…","tag":17}' |
//!     cargo run --example daemon -- --domain b.example.org --store sqlite:mail.db --ehlo mail.example.org --listen 0.0.0.0:2525
//! ```
//!
//! `--help` lists the flags. Exit status: 0 ended, 1 could not start, 2 usage.

mod args;
mod input;
mod output;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use returnpath::verdict::Rules;
use returnpath::{Error, Keyring, Listener, Mailer, Message, Postgres, Smarthost, StoreLocation};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use args::{Args, StoreArg};
use output::{Output, Printer};

fn main() {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => return print!("{}", args::HELP),
        Err(problem) => {
            eprintln!("daemon: {problem}\n`--help` lists the flags");
            std::process::exit(2);
        }
    };
    if !args.quiet {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("daemon: {error}");
            std::process::exit(1);
        }
    };
    let ended = runtime.block_on(run(args));
    // A read of standard input that waits still must not hold the end up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    if let Err(error) = ended {
        eprintln!("daemon: {error}");
        std::process::exit(1);
    }
}

async fn run(args: Args) -> Result<(), Error> {
    // From here on a SIGHUP is no reason to end.
    let hangup = signal(SignalKind::hangup()).ok();
    let output = Output::start();
    let printer = Arc::new(Printer::new(output.clone(), args.handler_delay));
    let mailer = start(&args, printer.clone()).await?;
    if let Some(address) = &args.mint {
        return mint(&mailer, address, &output).await;
    }
    let mut listeners = Vec::new();
    for address in &args.listen {
        let listener = listen(&mailer, &args, address).await?;
        output.line(&json!({
            "event": "listening", "protocol": "smtp", "address": listener.local_addr().to_string(),
        }));
        listeners.push(listener);
    }
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| {
            eprintln!("daemon: no signal handler: {error}");
            error
        })
        .ok();
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let lines = input::feed(mailer.clone(), output.clone(), printer);
    let work = async {
        lines.await;
        if args.drain { mailer.drain().await } else { std::future::pending().await }
    };
    let ended = tokio::select! {
        ended = work => ended,
        () = caught(&mut terminate) => Ok(()),
        () = caught(&mut interrupt) => Ok(()),
        () = read_again(hangup, &mailer, &args) => Ok(()),
    };
    for listener in listeners {
        listener.stop(STOP).await;
    }
    mailer.shutdown(STOP).await?;
    output.end();
    ended
}

/// At each SIGHUP; never ends.
async fn read_again(mut hangup: Option<Signal>, mailer: &Mailer, args: &Args) {
    loop {
        caught(&mut hangup).await;
        let rules = args.rules.as_ref().map(|path| read_rules(path).map(|rules| mailer.reload_rules(rules)));
        let keys = match &args.keys {
            Some(path) => Some(match Keyring::file(path) {
                Ok(ring) => mailer.reload_keyring(ring).await,
                Err(error) => Err(error.into()),
            }),
            None if rules.is_none() => Some(mailer.rotate_key().await.map(|_| ())),
            None => None,
        };
        // What was wrong is said, and the rules and the ring of before go on.
        for error in [rules, keys].into_iter().flatten().filter_map(Result::err) {
            eprintln!("daemon: {error}");
        }
    }
}

fn read_rules(path: &Path) -> Result<Rules, Error> {
    Ok(Rules::builder().file(path).build()?)
}

async fn caught(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

async fn start(args: &Args, printer: Arc<Printer>) -> Result<Mailer, Error> {
    let store = match &args.store {
        StoreArg::Sqlite(path) => StoreLocation::from(path.as_path()),
        StoreArg::Memory => StoreLocation::memory(),
        StoreArg::Postgres(url) => {
            let database = Postgres::new(url);
            args.lease.map_or(database.clone(), |time| database.lease(time)).into()
        }
    };
    let mut builder = Mailer::builder(&args.domain)
        .ehlo(&args.ehlo)
        .store(store)
        .handler(printer)
        .allow_loopback(args.allow_loopback);
    if let Some(path) = &args.rules {
        builder = builder.rules(read_rules(path)?);
    }
    if let Some(path) = &args.keys {
        builder = builder.keyring(Keyring::file_or_create(path)?);
    }
    if let Some(relay) = &args.relay {
        builder = builder.smarthost(Smarthost::new(relay));
    }
    if let Some(path) = &args.tls_ca {
        builder = builder.tls_roots(path);
    }
    if let Some(dns) = args.dns {
        builder = builder.dns(dns);
    }
    if let Some(port) = args.smtp_port {
        builder = builder.smtp_port(port);
    }
    if let Some(source) = args.bind {
        builder = builder.bind(source);
    }
    if let Some(waits) = &args.retry {
        builder = builder.retry(waits.clone());
    }
    if let Some(bytes) = args.disk_reserve {
        builder = builder.disk_reserve(bytes);
    }
    if let Some(after) = args.give_up {
        builder = builder.give_up(after);
    }
    if let Some(ages) = &args.delay_after {
        builder = builder.delay_after(ages.clone());
    }
    if let Some(time) = args.command_timeout {
        builder = builder.command_timeout(time);
    }
    if let Some(time) = args.session_timeout {
        builder = builder.session_timeout(time);
    }
    if let Some(delay) = args.handler_delay {
        builder = builder.handler_timeout(delay + Duration::from_secs(60));
    }
    builder.start().await
}

async fn listen(mailer: &Mailer, args: &Args, address: &str) -> Result<Listener, Error> {
    let mut builder = mailer.listener();
    if let Some((certificate, key)) = &args.tls {
        builder = builder.tls(certificate, key);
    }
    if let Some(octets) = args.max_size {
        builder = builder.max_size(octets);
    }
    if let Some(connections) = args.max_connections {
        builder = builder.max_connections(connections);
    }
    if let Some(time) = args.command_timeout {
        builder = builder.command_timeout(time);
    }
    if let Some(time) = args.session_timeout {
        builder = builder.session_timeout(time);
    }
    builder.bind(address).await
}

/// Records a sent message and prints its return path.
async fn mint(mailer: &Mailer, address: &str, output: &Output) -> Result<(), Error> {
    let postmaster = format!("postmaster@{}", mailer.return_domain());
    let message = Message::builder().from(postmaster).to(address).subject("recorded").text("recorded");
    let receipt = mailer.register(message).await?;
    for delivery in receipt.deliveries {
        output.text(delivery.return_path.as_str());
    }
    mailer.shutdown(STOP).await?;
    output.end();
    Ok(())
}

/// For conversations and handler calls that run at the end.
const STOP: Duration = Duration::from_secs(10);
