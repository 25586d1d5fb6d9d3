//! Where the store is, and which one that means.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::config::Config;
use crate::error::Error;
#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
use crate::error::Kind;
use crate::store::Store;
#[cfg(feature = "postgres")]
use crate::store::postgres::{PostgresConfig, PostgresStore};
#[cfg(feature = "sqlite")]
use crate::store::sqlite::SqliteStore;

/// Where the store is.
///
/// A text that begins with `postgres://` or `postgresql://` is the URL of a PostgreSQL database that many processes
/// share (see [`Postgres`]). Any other text or path is the file of an embedded SQLite store; it is made if it does not
/// exist.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreLocation {
    /// A SQLite file; needs the feature `sqlite`.
    Sqlite(PathBuf),
    /// In memory: for tests. Everything is lost with the process. Needs the feature `sqlite`.
    Memory,
    /// A PostgreSQL database; needs the feature `postgres`.
    Postgres(Postgres),
}

/// A PostgreSQL database whose queue many processes, on many machines, share.
///
/// Its tables stand in the schema `returnpath`, which the first process makes.
///
/// ```
/// use std::time::Duration;
/// use returnpath::{Mailer, Postgres};
///
/// let store = Postgres::new("postgres://mail:secret@db.example.org/mail").lease(Duration::from_secs(60));
/// assert!(!format!("{store:?}").contains("secret"));
/// let builder = Mailer::builder("b.example.org").ehlo("mail.example.org").store(store);
/// # drop(builder);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Postgres {
    pub(crate) url: String,
    pub(crate) lease: Duration,
}

impl Postgres {
    /// The database at this URL: `postgres://user:password@host:port/database?parameters`. Several hosts are divided
    /// by commas; `target_session_attrs=read-write` takes the one of them that is the primary.
    pub fn new(url: impl Into<String>) -> Postgres {
        Postgres { url: url.into(), lease: DEFAULT_LEASE }
    }

    /// For how long this process may give no sign of life before the others take over what it has in hand. It gives
    /// one six times as often. 1 second to 1 hour; default: 30 seconds.
    pub fn lease(mut self, time: Duration) -> Postgres {
        self.lease = time;
        self
    }

    /// What is wrong, by field and rule. What stands behind the scheme is read when the store is opened.
    pub(super) fn check(&self) -> Option<String> {
        if !is_postgres(&self.url) {
            return Some("store: the URL of a PostgreSQL database begins with postgres:// or postgresql://".into());
        }
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&self.lease) {
            return Some(format!("lease: {:?} is not between 1 second and 1 hour", self.lease));
        }
        None
    }

    /// The URL with `***` for every password in it.
    fn masked(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let (rest, parameters) = rest.split_once('?').map_or((rest, None), |(rest, found)| (rest, Some(found)));
        let mut shown = format!("{scheme}://");
        match rest.rsplit_once('@') {
            Some((user, hosts)) => {
                let user = user.split_once(':').map_or(user.to_owned(), |(user, _)| format!("{user}:***"));
                shown.push_str(&format!("{user}@{hosts}"));
            }
            None => shown.push_str(rest),
        }
        for (index, parameter) in parameters.into_iter().flat_map(|all| all.split('&')).enumerate() {
            shown.push(if index == 0 { '?' } else { '&' });
            match parameter.split_once('=') {
                Some((name, _)) if name.to_ascii_lowercase().contains("password") => {
                    shown.push_str(&format!("{name}=***"));
                }
                _ => shown.push_str(parameter),
            }
        }
        shown
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("url", &self.masked()).field("lease", &self.lease).finish()
    }
}

fn is_postgres(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

impl StoreLocation {
    /// A store in memory, for tests.
    pub fn memory() -> StoreLocation {
        StoreLocation::Memory
    }

    /// Opens what is there, or makes it.
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        expect(unused_variables, reason = "there is no store")
    )]
    pub(super) async fn open(&self, config: &Config) -> Result<Arc<dyn Store>, Error> {
        match self {
            #[cfg(feature = "sqlite")]
            StoreLocation::Sqlite(path) => {
                Ok(Arc::new(SqliteStore::open_waiting(path, config.disk_reserve, config.submit_timeout).await?))
            }
            #[cfg(feature = "sqlite")]
            StoreLocation::Memory => Ok(Arc::new(SqliteStore::memory().await?)),
            #[cfg(not(feature = "sqlite"))]
            StoreLocation::Sqlite(_) | StoreLocation::Memory => Err(not_compiled_in(self, "sqlite")),
            #[cfg(feature = "postgres")]
            StoreLocation::Postgres(postgres) => {
                let postgres = PostgresConfig {
                    url: postgres.url.clone(),
                    lease: postgres.lease,
                    wait: config.submit_timeout,
                    now_from_database: true,
                    clock: config.clock.clone(),
                };
                Ok(Arc::new(PostgresStore::open(&postgres).await?))
            }
            #[cfg(not(feature = "postgres"))]
            StoreLocation::Postgres(_) => Err(not_compiled_in(self, "postgres")),
        }
    }
}

impl From<&str> for StoreLocation {
    fn from(text: &str) -> StoreLocation {
        if is_postgres(text) { Postgres::new(text).into() } else { StoreLocation::Sqlite(text.into()) }
    }
}

impl From<String> for StoreLocation {
    fn from(text: String) -> StoreLocation {
        StoreLocation::from(text.as_str())
    }
}

impl From<Postgres> for StoreLocation {
    fn from(store: Postgres) -> StoreLocation {
        StoreLocation::Postgres(store)
    }
}

impl From<PathBuf> for StoreLocation {
    fn from(path: PathBuf) -> StoreLocation {
        StoreLocation::Sqlite(path)
    }
}

impl From<&Path> for StoreLocation {
    fn from(path: &Path) -> StoreLocation {
        StoreLocation::Sqlite(path.into())
    }
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn not_compiled_in(location: &StoreLocation, feature: &str) -> Error {
    Error::new(Kind::Config, format!("store: {location:?} needs the feature `{feature}`, which is not compiled in"))
}

/// Longer than a database takes to restart, short enough that what a dead process held does not wait long.
const DEFAULT_LEASE: Duration = Duration::from_secs(30);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mailer;

    #[test]
    fn a_text_is_a_file_or_the_url_of_a_database() {
        assert_eq!(StoreLocation::from("mail.db"), StoreLocation::Sqlite("mail.db".into()));
        for url in ["postgres://db.example.org/mail", "postgresql://db.example.org/mail"] {
            assert_eq!(StoreLocation::from(url.to_owned()), StoreLocation::Postgres(Postgres::new(url)));
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let cases = [
            ("postgres://mail:pa:ss@db.example.org/mail", "postgres://mail:***@db.example.org/mail"),
            ("postgres://mail:p@ss@db.example.org/mail", "postgres://mail:***@db.example.org/mail"),
            ("postgres://mail@a.example,b.example/mail?x=y", "postgres://mail@a.example,b.example/mail?x=y"),
            ("postgres://a.example/mail?user=u&password=pass&z=1", "postgres://a.example/mail?user=u&password=***&z=1"),
        ];
        for (url, shown) in cases {
            assert!(format!("{:?}", StoreLocation::from(url)).contains(&format!("{shown:?}")), "{url}");
        }
    }

    #[test]
    fn a_wrong_database_is_named_by_field_and_rule() {
        let check = |store: Postgres| {
            let builder = Mailer::builder("b.example.org").ehlo("mail.example.org").handler(()).store(store);
            builder.check().err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(check(Postgres::new("postgres://db.example.org/mail")), "");
        assert!(check(Postgres::new("db.example.org")).starts_with("store: the URL of a PostgreSQL database begins"));
        let lease = check(Postgres::new("postgres://db.example.org").lease(Duration::ZERO));
        assert!(lease.starts_with("lease: 0ns is not between"), "{lease}");
    }
}
