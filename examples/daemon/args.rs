//! The flags.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const HELP: &str = "\
A sender and receiver around returnpath: JSON lines in, JSON lines out.

  --domain D               the return-path domain (required)
  --store sqlite:FILE      the embedded store (required); `memory` forgets everything at the end
  --store postgres://URL   instead: a PostgreSQL database that many processes share (feature `postgres`)
  --lease 30s              with PostgreSQL: how long without a sign of life until the others take over
  --ehlo NAME              this host's name in EHLO; default: mail.DOMAIN
  --rules FILE             rules of your own for what refusals and reports mean, on top of the built-in ones
  --keys FILE              the ring of secrets; default: in the store
  --listen ADDR:PORT       listens for what comes back; port 0 takes a free one; may stand several times
  --tls CERT KEY           STARTTLS for the listener, PEM files
  --tls-ca FILE            root certificates for a smarthost that is authenticated to
  --bind ADDR              the address that connections start from
  --relay HOST:PORT        sends everything through this host
  --dns ADDR:PORT          asks this name server
  --smtp-port P            the port of mail exchangers; default 25
  --allow-loopback         also delivers to loopback and private addresses from the DNS
  --disk-reserve N         bytes that the store keeps on the disk for what is under way; 0 is none
  --retry 1s,2s,5s         waits between attempts, without jitter; the last one repeats
  --give-up 60s            when a message is given up
  --delay-after 4h         ages at which a delay is told
  --command-timeout 5s     for connecting, and for a whole command or its reply, both ways
  --session-timeout 20s    for opening a conversation and for a transaction in it, both ways
  --max-size N             the largest message that the listener takes, in octets
  --max-connections N      connections of the listener at one time
  --handler-delay S        waits inside the handler
  --drain                  ends after standard input ends, the queue is empty and every event is printed
  --quiet                  no log on standard error
  --mint ADDRESS           records a sent message, prints its return path and ends

On SIGHUP the files of --rules and --keys are read again; one that cannot be read changes nothing. Without both a new
key is added to the ring in the store, and mints as soon as every process that shares the store has it.

Times are numbers with ms, s, m, h or d; a bare number is seconds.
";

pub(crate) enum StoreArg {
    Sqlite(PathBuf),
    Memory,
    Postgres(String),
}

pub(crate) struct Args {
    pub(crate) domain: String,
    pub(crate) store: StoreArg,
    pub(crate) lease: Option<Duration>,
    pub(crate) ehlo: String,
    pub(crate) rules: Option<PathBuf>,
    pub(crate) keys: Option<PathBuf>,
    pub(crate) listen: Vec<String>,
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) tls_ca: Option<PathBuf>,
    pub(crate) bind: Option<IpAddr>,
    pub(crate) relay: Option<String>,
    pub(crate) dns: Option<SocketAddr>,
    pub(crate) smtp_port: Option<u16>,
    pub(crate) allow_loopback: bool,
    pub(crate) retry: Option<Vec<Duration>>,
    pub(crate) disk_reserve: Option<u64>,
    pub(crate) give_up: Option<Duration>,
    pub(crate) delay_after: Option<Vec<Duration>>,
    pub(crate) command_timeout: Option<Duration>,
    pub(crate) session_timeout: Option<Duration>,
    pub(crate) max_size: Option<u64>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) handler_delay: Option<Duration>,
    pub(crate) drain: bool,
    pub(crate) quiet: bool,
    pub(crate) mint: Option<String>,
}

impl Args {
    /// `None` when help was asked for.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
        let mut args = args;
        let mut found = Args {
            domain: String::new(),
            store: StoreArg::Memory,
            lease: None,
            ehlo: String::new(),
            rules: None,
            keys: None,
            listen: Vec::new(),
            tls: None,
            tls_ca: None,
            bind: None,
            relay: None,
            dns: None,
            smtp_port: None,
            allow_loopback: false,
            retry: None,
            disk_reserve: None,
            give_up: None,
            delay_after: None,
            command_timeout: None,
            session_timeout: None,
            max_size: None,
            max_connections: None,
            handler_delay: None,
            drain: false,
            quiet: false,
            mint: None,
        };
        let mut store = None;
        while let Some(flag) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{flag}: its value is missing"));
            match flag.as_str() {
                "--help" | "-h" => return Ok(None),
                "--domain" => found.domain = value()?,
                "--store" => store = Some(parse_store(&value()?)?),
                "--lease" => found.lease = Some(time(&flag, &value()?)?),
                "--ehlo" => found.ehlo = value()?,
                "--rules" => found.rules = Some(value()?.into()),
                "--keys" => found.keys = Some(value()?.into()),
                "--listen" => found.listen.push(value()?),
                "--tls" => found.tls = Some((value()?.into(), value()?.into())),
                "--tls-ca" => found.tls_ca = Some(value()?.into()),
                "--bind" => found.bind = Some(parse(&flag, &value()?, "an IP address")?),
                "--relay" => found.relay = Some(value()?),
                "--dns" => found.dns = Some(parse(&flag, &value()?, "an address and port")?),
                "--smtp-port" => found.smtp_port = Some(parse(&flag, &value()?, "a port")?),
                "--allow-loopback" => found.allow_loopback = true,
                "--retry" => found.retry = Some(times(&flag, &value()?)?),
                "--disk-reserve" => found.disk_reserve = Some(parse(&flag, &value()?, "a number of bytes")?),
                "--give-up" => found.give_up = Some(time(&flag, &value()?)?),
                "--delay-after" => found.delay_after = Some(times(&flag, &value()?)?),
                "--command-timeout" => found.command_timeout = Some(time(&flag, &value()?)?),
                "--session-timeout" => found.session_timeout = Some(time(&flag, &value()?)?),
                "--max-size" => found.max_size = Some(parse(&flag, &value()?, "a number of octets")?),
                "--max-connections" => found.max_connections = Some(parse(&flag, &value()?, "a number")?),
                "--handler-delay" => found.handler_delay = Some(time(&flag, &value()?)?),
                "--drain" => found.drain = true,
                "--quiet" => found.quiet = true,
                "--mint" => found.mint = Some(value()?),
                "--lmtp" | "--dashboard" | "--check" => return Err(format!("{flag}: not in this version")),
                _ => return Err(format!("{flag}: there is no such flag")),
            }
        }
        if found.domain.is_empty() {
            return Err("--domain: missing; name the return-path domain".into());
        }
        found.store = store.ok_or("--store: missing; for example sqlite:mail.db, or memory")?;
        if found.ehlo.is_empty() {
            found.ehlo = format!("mail.{}", found.domain);
        }
        Ok(Some(found))
    }
}

fn parse_store(text: &str) -> Result<StoreArg, String> {
    match text.split_once(':') {
        _ if text == "memory" => Ok(StoreArg::Memory),
        Some(("sqlite", path)) if !path.is_empty() => Ok(StoreArg::Sqlite(path.into())),
        Some(("postgres" | "postgresql", _)) if cfg!(feature = "postgres") => Ok(StoreArg::Postgres(text.to_owned())),
        Some(("postgres" | "postgresql", _)) => {
            Err("--store: postgres needs the feature `postgres`, which is not compiled in".into())
        }
        _ => Err(format!("--store: {text:?} is none of sqlite:FILE, postgres://URL and memory")),
    }
}

fn parse<T: std::str::FromStr>(flag: &str, text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag}: {text:?} is not {what}"))
}

fn times(flag: &str, text: &str) -> Result<Vec<Duration>, String> {
    text.split(',').map(|part| time(flag, part)).collect()
}

fn time(flag: &str, text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("{flag}: {text:?} is not a time such as 500ms, 5s, 10m, 4h or 2d")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{flag}: {text:?} is not a time such as 5s"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("{flag}: {text:?} is too long"))
}
