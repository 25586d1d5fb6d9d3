//! The way to the database: its address, the pool, the tries while it is away, and the tables.

use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::schema::{ADVISORY_LOCK, STEPS};
use super::tls;
use crate::net::clock::Clock;
use crate::store::StoreError;

/// Connections of one process, beside the one that listens: calls come in batches, so few go on at once.
const CONNECTIONS: usize = 8;

/// How long one try to connect may take, where the URL says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long sent bytes may stay unconfirmed before a connection counts as dead, where the URL says nothing.
const SILENCE: Duration = Duration::from_secs(15);

/// Between the first two tries of a call; twice as long each time, up to the second one.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The name of the database in errors. The URL is not shown: there may be a password in it.
const DATABASE: &str = "the PostgreSQL database";

/// Run on each new connection. A commit is durable when it is answered, whatever the server's default is; and two
/// settings of a role that would change what our statements mean.
///
/// A prepared statement keeps the plan that was made while the tables were small, until the server has counted them
/// anew. Ours are all written for an index, so a plan that reads whole tables is never the right one: to take a hundred
/// of 300,000 waiting deliveries took 50 ms with such a plan, and 3 ms without.
const SESSION: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') IN ('off', 'local');
    SET default_transaction_isolation = 'read committed';
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET client_min_messages = warning";

/// Where the database is and how it is reached.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: Option<PathBuf>,
}

impl Address {
    /// Reads a URL or a list of `key=value`, as PostgreSQL's own programs take them. `sslrootcert` and the two modes
    /// that verify are understood beyond what the driver knows.
    pub(super) fn parse(url: &str) -> Result<Address, StoreError> {
        let (rest, tls) = without_root_certificate(url);
        let rest =
            rest.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
        let mut config = Config::from_str(&rest).map_err(|error| cannot_open(chain(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(cannot_open("the URL names no host".into()));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        if config.get_application_name().is_none() {
            config.application_name("returnpath");
        }
        Ok(Address { config, tls })
    }

    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, StoreError> {
        let mode: SslMode = self.config.get_ssl_mode();
        tls::connector(mode, self.tls.as_deref()).map_err(cannot_open)
    }

    /// Connections for transactions, of which the server gives up each that is left open for longer than `patience`: a
    /// process that is stopped in the middle of one, or cut off, would hold up all others for as long as it is away.
    pub(super) fn pool(&self, tls: MakeRustlsConnect, patience: Duration) -> Result<Pool, StoreError> {
        let session = format!("{SESSION}; SET idle_in_transaction_session_timeout = {}", patience.as_millis().max(1));
        let session: Arc<str> = session.into();
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        Pool::builder(Manager::from_connect(self.config.clone(), Quiet { tls }, recycling))
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(CONNECT_TIMEOUT * 3))
            .post_create(Hook::async_fn(move |client, _| {
                let session = session.clone();
                Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
            }))
            .pre_recycle(Hook::sync_fn(|client, _| {
                if client.is_closed() { Err(HookError::message("the connection is closed")) } else { Ok(()) }
            }))
            .build()
            .map_err(|error| cannot_open(error.to_string()))
    }
}

/// Connects as the pool does by itself, but leaves it to the calls that fail to tell of a broken connection: when a
/// database restarts, each connection would warn, and each call that finds them all again is told once.
struct Quiet {
    tls: MakeRustlsConnect,
}

impl Connect for Quiet {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let (config, tls) = (config.clone(), self.tls.clone());
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the database is gone");
                }
            });
            Ok((client, task))
        })
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes `sslrootcert` out of the URL.
fn without_root_certificate(url: &str) -> (String, Option<PathBuf>) {
    const NAME: &str = "sslrootcert=";
    let Some(start) = url.find(NAME) else { return (url.to_owned(), None) };
    let value = &url[start + NAME.len()..];
    let end = value.find(['&', ' ']).unwrap_or(value.len());
    let (head, tail) = (&url[..start], &value[end..]);
    // What stood between it and its neighbour goes as well.
    let rest = match tail.strip_prefix(['&', ' ']) {
        Some(tail) => format!("{head}{tail}"),
        None => head.trim_end_matches(['&', '?', ' ']).to_owned(),
    };
    (rest, Some(PathBuf::from(value[..end].trim_matches('\''))))
}

/// The tries of one call while the database is away.
pub(super) struct Tries {
    until: Instant,
    wait: Duration,
    limit: Duration,
}

impl Tries {
    pub(super) fn new(limit: Duration) -> Tries {
        Tries { until: Clock::system().instant() + limit, wait: BACK_OFF.0, limit }
    }

    /// Waits for the next one, or says that it is over.
    pub(super) async fn again(&mut self, why: String) -> Result<(), StoreError> {
        let left = self.until.saturating_duration_since(Clock::system().instant());
        if left.is_zero() {
            return Err(StoreError::Temporary(format!("{why} (tried for {} s)", self.limit.as_secs())));
        }
        tokio::time::sleep(self.wait.min(left)).await;
        self.wait = (self.wait * 2).min(BACK_OFF.1);
        Ok(())
    }
}

/// A connection of the pool.
pub(super) async fn connection(pool: &Pool) -> Result<Object, StoreError> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error.into(),
        PoolError::Closed => StoreError::Closed,
        PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
        error => StoreError::Temporary(error.to_string()),
    })
}

/// Makes the tables, or brings them to this version's format. Of several processes that start at once one does it.
pub(super) async fn migrate(client: &mut Object) -> Result<(), StoreError> {
    let db = client.transaction().await?;
    db.execute("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK]).await?;
    // Asked first: a role without the right to make schemas may use one that is there.
    let there = db
        .query_one("SELECT to_regnamespace('returnpath') IS NOT NULL, to_regclass('returnpath.meta') IS NOT NULL", &[])
        .await?;
    if !there.try_get::<_, bool>(0)? {
        db.batch_execute("CREATE SCHEMA IF NOT EXISTS returnpath").await?;
    }
    let found: i64 = if there.try_get(1)? {
        db.query_one("SELECT value FROM returnpath.meta WHERE name = 'format'", &[]).await?.try_get(0)?
    } else {
        0
    };
    let found = u32::try_from(found).map_err(|_| StoreError::NotAStore {
        path: DATABASE.into(),
        why: format!("its format has the number {found}"),
    })?;
    let known = STEPS.len() as u32;
    if found > known {
        return Err(StoreError::TooNew { path: DATABASE.into(), found, known });
    }
    for step in STEPS.iter().skip(found as usize) {
        db.batch_execute(step).await?;
    }
    if found < known {
        db.execute("UPDATE returnpath.meta SET value = $1 WHERE name = 'format'", &[&i64::from(known)]).await?;
    }
    Ok(db.commit().await?)
}

pub(super) fn cannot_open(why: String) -> StoreError {
    StoreError::CannotOpen { path: DATABASE.into(), why }
}

fn chain(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("the URL cannot be read: {cause}"),
        None => format!("the URL cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_and_the_roots_of_tls_are_read() {
        let url = "postgres://mail:secret@a.example:5433,b.example/mail\
                   ?sslrootcert=/etc/roots.pem&target_session_attrs=read-write&sslmode=verify-full";
        let address = Address::parse(url).unwrap();
        assert_eq!(address.config.get_hosts().len(), 2);
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(address.tls, Some(PathBuf::from("/etc/roots.pem")));
        let listed = Address::parse("host=a.example sslrootcert=/etc/roots.pem").unwrap();
        assert_eq!(listed.tls, Some(PathBuf::from("/etc/roots.pem")));
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in ["postgres://mail:secret@a.example/mail?colour=red", "postgres://mail:secret@a.example:port/mail"] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains("the URL") && !error.contains("secret"), "{error}");
        }
    }
}
