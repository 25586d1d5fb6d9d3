//! An application's own database, kept by its handler: whom to write to next, and why not.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use returnpath::event::{Delay, Delivered, EventKind};
use returnpath::{Bounce, Event, Failure, FailureHandler, HandlerError, HandlerResult, async_trait};
use rusqlite::{Connection, params};
use tokio::sync::watch;

use crate::within;

/// The handler, and the list that it keeps.
pub(crate) struct Subscribers {
    database: Mutex<Connection>,
    told: watch::Sender<Vec<Event>>,
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) id: i64,
    pub(crate) address: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) late: bool,
}

impl Subscribers {
    /// A new list in this file.
    pub(crate) fn create(file: &Path) -> Arc<Subscribers> {
        let database = Connection::open(file).expect("a new database");
        database
            .execute_batch(
                "CREATE TABLE subscriber (
                     id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE, state TEXT NOT NULL DEFAULT 'active',
                     reason TEXT, late INTEGER NOT NULL DEFAULT 0)",
            )
            .expect("a new table");
        Arc::new(Subscribers { database: Mutex::new(database), told: watch::Sender::new(Vec::new()) })
    }

    /// Adds a subscriber; the id becomes the tag of what is sent to the address.
    pub(crate) fn add(&self, id: i64, address: &str) {
        let added = self.database().execute("INSERT INTO subscriber (id, address) VALUES (?, ?)", params![id, address]);
        assert_eq!(added, Ok(1));
    }

    /// The whole table, by id.
    pub(crate) fn table(&self) -> Vec<Subscriber> {
        let database = self.database();
        let mut query =
            database.prepare("SELECT id, address, state, reason, late FROM subscriber ORDER BY id").unwrap();
        let rows = query.query_map([], |row| {
            let (id, address, state) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Subscriber { id, address, state, reason: row.get(3)?, late: row.get(4)? })
        });
        rows.unwrap().map(|row| row.expect("the types of the table")).collect()
    }

    /// All events so far, in the order in which they were told.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.told.borrow().clone()
    }

    /// Waits until so many events of this kind were told.
    pub(crate) async fn wait_for(&self, count: usize, kind: EventKind) {
        let mut told = self.told.subscribe();
        let enough = told.wait_for(|events| events.iter().filter(|event| event.kind() == kind).count() >= count);
        within(&format!("{count} events of kind {}", kind.name()), enough).await.expect("the sender is in self");
    }

    /// Takes a subscriber off the list. A second call with the same event changes nothing.
    fn stop(&self, event: &Event, state: &str) -> HandlerResult {
        let (id, address) = (tag(event)?, event.recipient().map(ToString::to_string));
        let reason = event.verdict().map(|verdict| verdict.reason.name());
        let changed = self.database().execute(
            "UPDATE subscriber SET state = ?, reason = ? WHERE id = ? AND address = ?",
            params![state, reason, id, address],
        )?;
        self.done(event, changed)
    }

    fn done(&self, event: &Event, changed: usize) -> HandlerResult {
        if changed != 1 {
            return Err(HandlerError::message(format!("{changed} subscribers belong to {event:?}")));
        }
        self.told.send_modify(|told| told.push(event.clone()));
        Ok(())
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tag(event: &Event) -> Result<i64, HandlerError> {
    event.tag().and_then(|tag| tag.as_i64()).ok_or_else(|| HandlerError::message("an event without our tag"))
}

#[async_trait]
impl FailureHandler for Subscribers {
    async fn on_fail(&self, failure: &Failure) -> HandlerResult {
        self.stop(failure, "refused")
    }

    async fn on_bounce(&self, bounce: &Bounce) -> HandlerResult {
        self.stop(bounce, "returned")
    }

    async fn on_delay(&self, delay: &Delay) -> HandlerResult {
        let id = tag(delay)?;
        let changed = self.database().execute("UPDATE subscriber SET late = 1 WHERE id = ?", params![id])?;
        self.done(delay, changed)
    }

    async fn on_delivered(&self, delivered: &Delivered) -> HandlerResult {
        self.done(delivered, 1)
    }
}
