//! A small newsletter program: it keeps its subscribers in memory and stops writing to those whose mail fails.
//!
//! `consumer SMARTHOST:PORT ADDRESS…` sends one issue to these addresses and says what became of each.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use returnpath::{
    Bounce, Event, Failure, FailureHandler, HandlerError, HandlerResult, Mailer, Message, Smarthost, StoreLocation,
};

#[derive(Default)]
struct Subscribers {
    /// By id.
    rows: Mutex<BTreeMap<i64, Subscriber>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Subscriber {
    address: String,
    /// Why nothing more is sent.
    stopped: Option<String>,
}

impl Subscribers {
    fn of<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Arc<Subscribers> {
        let row = |address: &str| Subscriber { address: address.to_owned(), stopped: None };
        let rows = (1..).zip(addresses.into_iter().map(row)).collect();
        Arc::new(Subscribers { rows: Mutex::new(rows) })
    }

    fn rows(&self) -> BTreeMap<i64, Subscriber> {
        self.rows.lock().unwrap().clone()
    }

    fn stop(&self, event: &Event, how: &str) -> HandlerResult {
        let id = event.tag().and_then(|tag| tag.as_i64()).ok_or_else(|| HandlerError::message("a foreign tag"))?;
        let reason = event.verdict().map(|verdict| verdict.reason.to_string()).unwrap_or_default();
        match self.rows.lock().unwrap().get_mut(&id) {
            Some(row) => row.stopped = Some(format!("{how}: {reason}")),
            // Nothing will ever make this one work.
            None => return Err(HandlerError::give_up(std::io::Error::other(format!("there is no subscriber {id}")))),
        }
        Ok(())
    }
}

#[async_trait]
impl FailureHandler for Subscribers {
    async fn on_fail(&self, failure: &Failure) -> HandlerResult {
        self.stop(failure, "refused")
    }

    async fn on_bounce(&self, bounce: &Bounce) -> HandlerResult {
        self.stop(bounce, "returned")
    }
}

async fn start(
    smarthost: &str,
    store: StoreLocation,
    subscribers: Arc<Subscribers>,
) -> Result<Mailer, returnpath::Error> {
    Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(store)
        .smarthost(Smarthost::new(smarthost))
        .handler(subscribers)
        .start()
        .await
}

async fn send_issue(mailer: &Mailer, subscribers: &Subscribers) -> Result<Vec<String>, returnpath::Error> {
    let mut return_paths = Vec::new();
    for (id, row) in subscribers.rows() {
        if row.stopped.is_none() {
            let message = Message::builder()
                .from("News <news@example.org>")
                .to(row.address)
                .subject("Issue 1")
                .text("Good morning.")
                .tag(id);
            let receipt = mailer.send(message).await?;
            return_paths.extend(receipt.deliveries.iter().map(|delivery| delivery.return_path.to_string()));
        }
    }
    Ok(return_paths)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let smarthost = args.next().ok_or("usage: consumer SMARTHOST:PORT ADDRESS…")?;
    let addresses: Vec<String> = args.collect();
    let subscribers = Subscribers::of(addresses.iter().map(String::as_str));
    let mailer = start(&smarthost, "consumer.db".into(), subscribers.clone()).await?;
    let listener = mailer.listen("127.0.0.1:0").await?;
    println!("bounces are awaited on {}", listener.local_addr());
    send_issue(&mailer, &subscribers).await?;
    mailer.drain().await?;
    listener.stop(Duration::from_secs(5)).await;
    mailer.shutdown(Duration::from_secs(5)).await?;
    println!("{:#?}", subscribers.rows());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use returnpath::testing::{deliver_to, RemoteHost, Report};
    use returnpath::Reason;

    #[tokio::test]
    async fn the_handler_alone() {
        let subscribers = Subscribers::of(["ann@example.net"]);
        let bounce = Bounce::sample("ann@example.net").tag(1).reason(Reason::MailboxFull).build();
        subscribers.on_bounce(&bounce).await.unwrap();
        assert_eq!(subscribers.rows()[&1].stopped.as_deref(), Some("returned: mailbox_full"));
        let stranger = Bounce::sample("ann@example.net").tag(99).build();
        assert!(subscribers.on_bounce(&stranger).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refusal_and_a_bounce() -> Result<(), Box<dyn Error>> {
        let remote = RemoteHost::start().await?;
        remote.on_rcpt("bob@example.net", "550 5.1.1 no such user");
        let subscribers = Subscribers::of(["ann@example.net", "bob@example.net", "eve@example.net"]);
        let folder = std::env::temp_dir().join(format!("returnpath-consumer-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let store = folder.join("mail.db");
        let mailer = start(&remote.address().to_string(), store.into(), subscribers.clone()).await?;
        let listener = mailer.listen("127.0.0.1:0").await?;
        let return_paths = send_issue(&mailer, &subscribers).await?;

        let taken = remote.message(1).await;
        let report = Report::failed("eve@example.net", "5.2.1", "550 5.2.1 mailbox disabled").original(&taken.data);
        let answer = deliver_to(listener.local_addr(), &return_paths[2], &report.to_string()).await?;
        assert!(answer.starts_with("250"), "{answer}");
        mailer.drain().await?;

        let stopped: Vec<_> = subscribers.rows().into_values().map(|row| row.stopped).collect();
        let expected = [None, Some("refused: user_unknown".into()), Some("returned: mailbox_disabled".into())];
        assert_eq!(stopped, expected);
        listener.stop(Duration::from_secs(5)).await;
        mailer.shutdown(Duration::from_secs(5)).await?;
        std::fs::remove_dir_all(folder)?;
        Ok(())
    }
}
