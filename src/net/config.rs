//! What can be set, with its defaults, and the check of all of it at once.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mail_send::Credentials;

use super::clock::Clock;
use super::location::StoreLocation;
use super::mailer::Mailer;
use crate::address::domain_to_ascii;
use crate::error::{Error, Kind};
use crate::event::{DispatchConfig, FailureHandler};
use crate::return_path::{Keyring, Layout, TagPlacement};
use crate::schedule::{Backoff, Plan, ReadyLimits, UncertainPolicy};
use crate::session::SessionConfig;
use crate::store::Retention;
use crate::verdict::Rules;

/// A host that takes all mail, instead of each domain's mail exchangers.
///
/// ```
/// use returnpath::Smarthost;
///
/// let relay = Smarthost::new("smtp.example.org:587").credentials("news", "secret");
/// ```
#[derive(Clone)]
pub struct Smarthost {
    pub(crate) host: String,
    pub(crate) credentials: Option<Credentials<String>>,
}

impl Smarthost {
    /// `host:port`, the host a name or an address (an IPv6 address in brackets).
    pub fn new(host: impl Into<String>) -> Smarthost {
        Smarthost { host: host.into(), credentials: None }
    }

    /// Authenticates with AUTH. TLS is then required, with a certificate for the host's name: a password is never
    /// sent in clear, nor to whom it may concern.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Smarthost {
        self.credentials = Some(Credentials::new(user.into(), password.into()));
        self
    }

    /// Host and port apart; the message names what is wrong.
    fn parse(&self) -> Result<(String, u16), String> {
        let bad = || format!("smarthost: {:?} is not `host:port`", self.host);
        let (host, port) = self.host.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok((address.to_string(), port));
        }
        let host = domain_to_ascii(host).map_err(|rule| format!("smarthost: {host:?}: {rule}"))?;
        Ok((host, port))
    }
}

impl fmt::Debug for Smarthost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smarthost")
            .field("host", &self.host)
            .field("credentials", &self.credentials.is_some())
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Mailer`]; [`MailerBuilder::start`] checks them all at once.
#[must_use]
pub struct MailerBuilder {
    domain: String,
    further_domains: Vec<(String, String)>,
    layout: Layout,
    ehlo: Option<String>,
    store: Option<StoreLocation>,
    handler: Option<Arc<dyn FailureHandler>>,
    keyring: Option<Keyring>,
    smarthost: Option<Smarthost>,
    tls_roots: Option<PathBuf>,
    config: Config,
}

/// Settings with defaults, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) ehlo: String,
    pub(crate) placement: TagPlacement,
    pub(crate) honour_for: Duration,
    pub(crate) plan: Plan,
    pub(crate) ready: ReadyLimits,
    pub(crate) retention: Retention,
    pub(crate) dispatch: DispatchConfig,
    pub(crate) session: SessionConfig,
    pub(crate) connect_timeout: Duration,
    pub(crate) opening_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) submit_timeout: Duration,
    pub(crate) disk_reserve: u64,
    pub(crate) smtp_port: u16,
    pub(crate) dns: Option<SocketAddr>,
    pub(crate) allow_loopback: bool,
    pub(crate) source: Option<IpAddr>,
    pub(crate) relay: Option<Relay>,
    pub(crate) clock: Clock,
}

/// A checked smarthost.
#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) credentials: Option<Credentials<String>>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({}:{})", self.host, self.port)
    }
}

/// Everything that [`MailerBuilder::start`] needs, checked.
pub(crate) struct Checked {
    pub(crate) domain: String,
    pub(crate) further_domains: Vec<(String, String)>,
    pub(crate) layout: Layout,
    pub(crate) store: StoreLocation,
    pub(crate) handler: Arc<dyn FailureHandler>,
    pub(crate) keyring: Option<Keyring>,
    pub(crate) tls_roots: Option<PathBuf>,
    pub(crate) config: Config,
}

impl MailerBuilder {
    pub(crate) fn new(domain: String) -> MailerBuilder {
        MailerBuilder {
            domain,
            further_domains: Vec::new(),
            layout: Layout::default(),
            ehlo: None,
            store: None,
            handler: None,
            keyring: None,
            smarthost: None,
            tls_roots: None,
            config: Config::default(),
        }
    }

    /// The name this host gives in EHLO: fully qualified, with an address record that leads here. Required.
    pub fn ehlo(mut self, name: impl Into<String>) -> Self {
        self.ehlo = Some(name.into());
        self
    }

    /// Where the store is: the path of a SQLite file, the URL of a PostgreSQL database (or [`Postgres`](crate::Postgres)), or
    /// [`StoreLocation::memory`]. Required.
    pub fn store(mut self, location: impl Into<StoreLocation>) -> Self {
        self.store = Some(location.into());
        self
    }

    /// Who is told. Required; `.handler(())` says on purpose that nobody is.
    pub fn handler(mut self, handler: impl FailureHandler) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// Uses this return-path domain for messages whose From is at `from_domain` or below it, so that SPF passes
    /// aligned with From (DMARC, RFC 7489 §3.1.2).
    pub fn return_domain_for(mut self, from_domain: impl Into<String>, return_domain: impl Into<String>) -> Self {
        self.further_domains.push((from_domain.into(), return_domain.into()));
        self
    }

    /// How the local part of return paths begins. Default: prefix `b`, no separator.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Where tags go. Default: [`TagPlacement::Fit`].
    pub fn tag_placement(mut self, placement: TagPlacement) -> Self {
        self.config.placement = placement;
        self
    }

    /// How long a return path opens after it was made. Default: 90 days.
    pub fn honour_for(mut self, time: Duration) -> Self {
        self.config.honour_for = time;
        self
    }

    /// The ring of secrets. Default: one that is made at the first start and lives in the store.
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// Sends everything through this host instead of each domain's mail exchangers.
    pub fn smarthost(mut self, smarthost: Smarthost) -> Self {
        self.smarthost = Some(smarthost);
        self
    }

    /// A PEM file of root certificates for the smarthost, instead of the system's.
    pub fn tls_roots(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls_roots = Some(file.into());
        self
    }

    /// Exactly these waits between attempts, without jitter; the last one repeats. Default: 5 minutes growing to 4
    /// hours, with jitter.
    pub fn retry(mut self, waits: impl Into<Vec<Duration>>) -> Self {
        self.config.plan.backoff = Backoff::Fixed(waits.into());
        self
    }

    /// When a message is given up. Default: 5 days, 2 for bulk (RFC 5321 §4.5.4.1).
    pub fn give_up(mut self, after: Duration) -> Self {
        self.config.plan.give_up = after;
        self.config.plan.give_up_bulk = after;
        self
    }

    /// At which ages `on_delay` is told, rising. Default: 4 hours.
    pub fn delay_after(mut self, ages: impl Into<Vec<Duration>>) -> Self {
        self.config.plan.delay_after = ages.into();
        self
    }

    /// What is done where the reply to the end of data was lost. Default: one more attempt after 30 minutes.
    pub fn uncertain(mut self, policy: UncertainPolicy) -> Self {
        self.config.plan.uncertain = policy;
        self
    }

    /// What refusals and reports mean: rules of your own on top of the built-in ones. Default: [`Rules::built_in`]. They
    /// can be exchanged while the mailer runs: [`Mailer::reload_rules`].
    pub fn rules(self, rules: Rules) -> Self {
        self.config.plan.rules.replace(rules);
        self
    }

    /// The name server to ask, instead of the system's.
    pub fn dns(mut self, server: SocketAddr) -> Self {
        self.config.dns = Some(server);
        self
    }

    /// The port of mail exchangers. Default: 25; other ports are for tests.
    pub fn smtp_port(mut self, port: u16) -> Self {
        self.config.smtp_port = port;
        self
    }

    /// Also delivers to loopback and private addresses that the DNS gives: for tests and closed networks. Default: no.
    pub fn allow_loopback(mut self, allow: bool) -> Self {
        self.config.allow_loopback = allow;
        self
    }

    /// The address that connections start from. Default: the system's choice.
    pub fn bind(mut self, source: IpAddr) -> Self {
        self.config.source = Some(source);
        self
    }

    /// For connecting, and for a whole reply to a command. Default: 30 seconds and 5 minutes
    /// (RFC 5321 §4.5.3.2); 3 minutes for the reply to DATA and for each 64 KiB of a message to be taken.
    pub fn command_timeout(mut self, time: Duration) -> Self {
        self.config.connect_timeout = time;
        self.config.session.command_timeout = time;
        self.config.session.data_timeout = time;
        self
    }

    /// For opening a conversation, and for a whole transaction in it; caps the wait after the end of data, which is
    /// 10 minutes otherwise. Default: 10 minutes and 1 hour.
    pub fn session_timeout(mut self, time: Duration) -> Self {
        self.config.opening_timeout = time;
        self.config.session.transaction_timeout = time;
        self.config.session.end_of_data_timeout = self.config.session.end_of_data_timeout.min(time);
        self
    }

    /// How long `send` waits while the store has no room, and while another program has a write transaction open in the
    /// file of a SQLite store. Default: 30 seconds.
    pub fn submit_timeout(mut self, time: Duration) -> Self {
        self.config.submit_timeout = time;
        self
    }

    /// How many bytes of the disk a SQLite store keeps for what is under way when the disk is full, in a file of its own
    /// beside the database (`FILE.reserve`). Default: 256 MiB; 0 is none. The file is filled in the background. When a
    /// write finds no room, it is given up: `send` fails, the listener answers 452 at MAIL, nothing new is begun, and
    /// outcomes are still stored. When the disk has room for it and a quarter more, everything goes on by itself.
    pub fn disk_reserve(mut self, bytes: u64) -> Self {
        self.config.disk_reserve = bytes;
        self
    }

    /// For one call of the handler; then its future is dropped and the call counts as an error. Default: 60 seconds.
    pub fn handler_timeout(mut self, time: Duration) -> Self {
        self.config.dispatch.time_limit = time;
        self
    }

    /// The clock, for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.config.clock = clock;
        self
    }

    /// Opens the store and starts the tasks.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] lists every setting that is missing or wrong, and says so when there is no tokio runtime;
    /// [`Error::is_storage`] says why the store cannot be opened.
    pub async fn start(self) -> Result<Mailer, Error> {
        Mailer::start(self.check()?).await
    }

    pub(super) fn check(mut self) -> Result<Checked, Error> {
        let mut problems = Vec::new();
        let mut wrong = |problem: String| problems.push(problem);
        match domain_to_ascii(&self.domain) {
            Ok(domain) if domain.contains('.') => self.domain = domain,
            Ok(_) => wrong(format!("builder: the return-path domain {:?} has no dot", self.domain)),
            Err(rule) => wrong(format!("builder: the return-path domain {:?}: {rule}", self.domain)),
        }
        for (from, to) in &mut self.further_domains {
            for name in [from, to] {
                match domain_to_ascii(name) {
                    Ok(domain) => *name = domain,
                    Err(rule) => wrong(format!("return_domain_for: {name:?}: {rule}")),
                }
            }
        }
        match &self.ehlo {
            None => wrong("ehlo: missing; name this host, for example `.ehlo(\"mail.example.org\")`".into()),
            Some(name) => match check_ehlo(name) {
                Ok(name) => self.config.ehlo = name,
                Err(rule) => wrong(format!("ehlo: {name:?}: {rule}")),
            },
        }
        match &self.store {
            None => wrong("store: missing; name a file, for example `.store(\"mail.db\")`".into()),
            Some(StoreLocation::Postgres(postgres)) => {
                if let Some(problem) = postgres.check() {
                    wrong(problem);
                }
            }
            Some(StoreLocation::Sqlite(_) | StoreLocation::Memory) => {}
        }
        if self.handler.is_none() {
            wrong("handler: missing; `.handler(())` says that nobody is to be told".into());
        }
        if matches!(&self.config.plan.backoff, Backoff::Fixed(waits) if waits.is_empty()) {
            wrong("retry: the list of waits is empty".into());
        }
        if self.config.plan.delay_after.is_empty() || !self.config.plan.delay_after.is_sorted() {
            wrong("delay_after: one age at least, rising".into());
        }
        let times = [
            ("command_timeout", self.config.session.command_timeout),
            ("session_timeout", self.config.session.transaction_timeout),
            ("submit_timeout", self.config.submit_timeout),
            ("handler_timeout", self.config.dispatch.time_limit),
        ];
        for problem in times.into_iter().filter_map(|(name, time)| check_time(name, time)) {
            wrong(problem);
        }
        if self.config.smtp_port == 0 {
            wrong("smtp_port: 0 is not a port to connect to".into());
        }
        if let Some(smarthost) = self.smarthost.take() {
            match smarthost.parse() {
                Ok((host, port)) => {
                    self.config.relay = Some(Relay { host, port, credentials: smarthost.credentials });
                }
                Err(problem) => wrong(problem),
            }
        }
        match (problems.is_empty(), self.store, self.handler) {
            (true, Some(store), Some(handler)) => {
                self.config.retention.journal = self.config.retention.journal.max(self.config.honour_for);
                Ok(Checked {
                    domain: self.domain,
                    further_domains: self.further_domains,
                    layout: self.layout,
                    store,
                    handler,
                    keyring: self.keyring,
                    tls_roots: self.tls_roots,
                    config: self.config,
                })
            }
            _ => Err(Error::new(Kind::Config, problems.join("\n"))),
        }
    }
}

/// Checks a time limit; the message names it and the rule.
pub(crate) fn check_time(name: &str, time: Duration) -> Option<String> {
    if time.is_zero() {
        return Some(format!("{name}: zero leaves no time for anything"));
    }
    (time > LONGEST_TIME).then(|| format!("{name}: {time:?} is more than a year"))
}

/// No time limit is longer: a year is no limit any more, and still a time that every clock can reach.
pub(crate) const LONGEST_TIME: Duration = Duration::from_secs(365 * 86_400);

/// Checks an EHLO name: a domain with a dot, or an address literal (RFC 5321 §4.1.3).
fn check_ehlo(name: &str) -> Result<String, String> {
    if name.starts_with('[') {
        let literal = format!("x@{name}");
        return literal
            .parse::<crate::Address>()
            .map(|_| name.to_owned())
            .map_err(|_| "not an address literal such as [192.0.2.1]".to_owned());
    }
    let name = domain_to_ascii(name)?;
    if !name.contains('.') {
        return Err("a fully qualified name has a dot; many hosts refuse any other (or give an address literal, \
                    [192.0.2.1])"
            .into());
    }
    Ok(name)
}

impl Default for Config {
    fn default() -> Config {
        Config {
            ehlo: String::new(),
            placement: TagPlacement::Fit,
            // 90 days: reports come weeks late from queues that were stuck, and complaints later still.
            honour_for: DAY * 90,
            plan: Plan::default(),
            ready: ReadyLimits::default(),
            retention: Retention { journal: DAY * 90, events: DAY * 400, raw: DAY * 30 },
            dispatch: DispatchConfig::default(),
            session: SessionConfig {
                command_timeout: Duration::from_secs(300),
                data_timeout: Duration::from_secs(180),
                end_of_data_timeout: Duration::from_secs(600),
                transaction_timeout: Duration::from_secs(3600),
                pipelining: true,
            },
            connect_timeout: Duration::from_secs(30),
            opening_timeout: Duration::from_secs(600),
            // Long enough for the next message of a burst, short enough not to hold a slot that others want.
            idle_timeout: Duration::from_secs(2),
            submit_timeout: Duration::from_secs(30),
            disk_reserve: 256 << 20,
            smtp_port: 25,
            dns: None,
            allow_loopback: false,
            source: None,
            relay: None,
            clock: Clock::system(),
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);
