//! A message for the transaction of another program.

use super::mailer::Mailer;
use super::submit::Receipt;
use crate::error::{Error, Kind};
use crate::message::Message;
use crate::store::outbox::encode;

/// A message that becomes mail when a transaction of your own commits, and vanishes with it when it does not.
///
/// Made by [`Mailer::outbox`]. Run [`Outbox::sql`] with [`Outbox::payload`] as its one parameter (`bytea`), in any
/// driver, in the database that the mailer's store is in. The mailer hears of the commit and queues the message.
#[derive(Debug, Clone)]
#[must_use = "nothing is queued until its statement is run"]
pub struct Outbox {
    payload: Vec<u8>,
    receipt: Receipt,
}

impl Outbox {
    /// The statement; `$1` is the payload.
    pub fn sql(&self) -> &'static str {
        "INSERT INTO returnpath.outbox (payload) VALUES ($1)"
    }

    /// The message, for this version of the crate and later ones.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The ids and return paths that the message will have once the transaction commits.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }
}

impl Mailer {
    /// Makes a message ready to be queued by a transaction of your own in the PostgreSQL database of the store: your
    /// rows and the mail about them commit together, or not at all. Nothing is written here.
    ///
    /// With tokio-postgres:
    ///
    /// ```no_run
    /// # async fn order(mailer: &returnpath::Mailer, database: &mut tokio_postgres::Client)
    /// #     -> Result<(), Box<dyn std::error::Error>> {
    /// use returnpath::Message;
    ///
    /// let message = Message::builder().from("shop@example.org").to("ann@example.net").subject("Your order").text("…");
    /// let outbox = mailer.outbox(message)?;
    /// let transaction = database.transaction().await?;
    /// transaction.execute("INSERT INTO orders (buyer) VALUES ($1)", &[&"ann@example.net"]).await?;
    /// transaction.execute(outbox.sql(), &[&outbox.payload()]).await?;
    /// transaction.commit().await?; // now, and only now, it is queued
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With sqlx: `sqlx::query(outbox.sql()).bind(outbox.payload()).execute(&mut *transaction).await?`. In psql the
    /// payload is a hexadecimal literal: `INSERT INTO returnpath.outbox (payload) VALUES ('\x…')`. The role that runs
    /// it needs `USAGE` on the schema `returnpath` and `INSERT` on the table `returnpath.outbox`, no more.
    ///
    /// # Errors
    ///
    /// [`Error::is_message`]: the message cannot be sent as it is. [`Error::is_config`]: the store is not PostgreSQL.
    /// An idempotency key that was used for another content is found out only when the outbox is read: the row stays
    /// there with the reason beside it.
    pub fn outbox<M>(&self, message: M) -> Result<Outbox, Error>
    where
        M: TryInto<Message>,
        Error: From<M::Error>,
    {
        let message = message.try_into()?;
        if !self.instance().fleet.is_shared() {
            return Err(Error::new(Kind::Config, "outbox: the store is not PostgreSQL; use `send`"));
        }
        let (new, receipt) = self.instance().prepare_outbox(&message)?;
        Ok(Outbox { payload: encode(&new), receipt })
    }
}
