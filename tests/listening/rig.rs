//! A mailer with a listener, a remote host that takes everything, and a handler that writes down what it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use returnpath::event::{Event, EventKind, from_fn};
use returnpath::testing::RemoteHost;
use returnpath::{Keyring, Listener, Mailer, Message, Queued, Smarthost, StoreLocation};
use serde_json::json;
use tokio::sync::watch;

pub(crate) struct Rig {
    pub(crate) mailer: Mailer,
    pub(crate) listener: Listener,
    pub(crate) remote: Arc<RemoteHost>,
    told: watch::Receiver<Vec<Event>>,
}

impl Rig {
    /// Over a store in memory.
    pub(crate) async fn new() -> Rig {
        Rig::over(StoreLocation::memory(), None).await
    }

    pub(crate) async fn over(store: impl Into<StoreLocation>, keyring: Option<Keyring>) -> Rig {
        let remote = Arc::new(RemoteHost::start().await.unwrap());
        let (sender, told) = watch::channel(Vec::new());
        let handler = from_fn(move |event: Event| {
            sender.send_modify(|told| told.push(event));
            async { Ok(()) }
        });
        let mut builder = Mailer::builder("b.example.org")
            .ehlo("mail.example.org")
            .store(store)
            .smarthost(Smarthost::new(remote.address().to_string()))
            .handler(handler);
        if let Some(keyring) = keyring {
            builder = builder.keyring(keyring);
        }
        let mailer = builder.start().await.unwrap();
        let listener = mailer.listen("127.0.0.1:0").await.unwrap();
        Rig { mailer, listener, remote, told }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Sends a message with tag, mailing and metadata, and waits until the remote host has it.
    pub(crate) async fn sent(&self, recipient: &str) -> Queued {
        let message = Message::builder()
            .from("news@example.org")
            .to(recipient)
            .subject("Hello")
            .text("Good morning.")
            .tag(17)
            .mailing("spring")
            .metadata(json!({"order": 4711}));
        let queued = self.mailer.send(message).await.unwrap().deliveries.remove(0);
        self.told("delivered", |event| event.delivery() == Some(queued.id) && event.kind() == EventKind::Delivered)
            .await;
        queued
    }

    /// Waits for an event.
    pub(crate) async fn told(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let mut told = self.told.clone();
        let waited = tokio::time::timeout(PATIENCE, told.wait_for(|told| told.iter().any(&is_it))).await;
        match waited {
            Ok(told) => told.unwrap().iter().find(|event| is_it(event)).unwrap().clone(),
            Err(_) => panic!("waited in vain for {what}; told were {:?}", self.kinds()),
        }
    }

    /// Waits for an event of this kind.
    pub(crate) async fn told_of(&self, kind: EventKind) -> Event {
        self.told(kind.name(), |event| event.kind() == kind).await
    }

    /// All that was told, once nothing is left to tell.
    pub(crate) async fn all(&self) -> Vec<Event> {
        tokio::time::timeout(PATIENCE, self.mailer.drain()).await.expect("drained in time").unwrap();
        self.told.borrow().clone()
    }

    /// What was told besides that messages were delivered.
    pub(crate) async fn all_that_came_back(&self) -> Vec<Event> {
        self.all().await.into_iter().filter(|event| event.kind() != EventKind::Delivered).collect()
    }

    fn kinds(&self) -> Vec<EventKind> {
        self.told.borrow().iter().map(Event::kind).collect()
    }
}

/// For anything that must happen.
const PATIENCE: Duration = Duration::from_secs(30);
