//! What processes tell each other: `NOTIFY` on one channel, within the transaction that it is about.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::scope::Scope;
use crate::store::{News, StoreError};

/// Between two tries to listen again.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells the other processes when the transaction is committed. This one hears it too.
pub(super) async fn notify(scope: &Scope<'_>, news: News) -> Result<(), StoreError> {
    let name = match news {
        News::Work => "work",
        News::Events => "events",
        News::Keys => "keys",
        News::Processes => "processes",
    };
    let notify = scope.db.prepare_cached("SELECT pg_notify('returnpath', $1)").await?;
    scope.db.execute(&notify, &[&name]).await?;
    Ok(())
}

/// A connection of its own that listens, and connects again whenever it breaks.
pub(super) struct Listener {
    heard: Arc<Heard>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What was heard and not yet told. A hundred notes about one thing are one.
#[derive(Default)]
struct Heard {
    work: AtomicBool,
    events: AtomicBool,
    keys: AtomicBool,
    processes: AtomicBool,
    something: Notify,
}

impl Listener {
    pub(super) fn start(config: Config, tls: MakeRustlsConnect) -> Listener {
        let heard = Arc::<Heard>::default();
        let task = tokio::spawn(listen(config, tls, heard.clone()));
        Listener { heard, task: Mutex::new(Some(task)) }
    }

    /// Waits for news. Cancel-safe.
    pub(super) async fn next(&self) -> News {
        loop {
            let something = self.heard.something.notified();
            for (flag, news) in [
                (&self.heard.keys, News::Keys),
                (&self.heard.processes, News::Processes),
                (&self.heard.work, News::Work),
                (&self.heard.events, News::Events),
            ] {
                if flag.swap(false, Ordering::AcqRel) {
                    return news;
                }
            }
            something.await;
        }
    }

    pub(super) fn stop(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take() {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Heard {
    fn hear(&self, payload: &str) {
        match payload {
            // What others put into the outbox is fetched by whoever looks for work.
            "work" | "outbox" => self.work.store(true, Ordering::Release),
            "events" => self.events.store(true, Ordering::Release),
            "keys" => self.keys.store(true, Ordering::Release),
            "processes" => self.processes.store(true, Ordering::Release),
            // A newer version tells more.
            _ => return,
        }
        self.something.notify_one();
    }
}

async fn listen(config: Config, tls: MakeRustlsConnect, heard: Arc<Heard>) {
    loop {
        if let Err(error) = listen_once(&config, tls.clone(), &heard).await {
            tracing::debug!(%error, "the connection for news is gone; what is due is still looked for in turn");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn listen_once(config: &Config, tls: MakeRustlsConnect, heard: &Heard) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = config.connect(tls).await?;
    let listening = async {
        client.batch_execute("LISTEN returnpath").await?;
        // While nobody listened, anything may have happened.
        for payload in ["work", "events", "keys", "processes"] {
            heard.hear(payload);
        }
        std::future::pending::<Result<(), tokio_postgres::Error>>().await
    };
    let hearing = async {
        while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(note) = message? {
                heard.hear(note.payload());
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = hearing => ended,
        failed = listening => failed,
    }
}
