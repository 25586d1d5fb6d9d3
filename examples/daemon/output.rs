//! Standard output: one event a line, flushed; and the handler that prints.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use returnpath::event::{EventKind, Origin};
use returnpath::{Bounce, DeliveryId, Event, Failure, FailureHandler, HandlerError, HandlerResult, async_trait};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

/// A thread that writes, so that a slow reader of our output holds up no task.
#[derive(Clone)]
pub(crate) struct Output {
    lines: Sender<Line>,
}

enum Line {
    /// To be written and flushed.
    Text(String, Option<oneshot::Sender<()>>),
    /// Everything before is flushed.
    End(Sender<()>),
}

impl Output {
    pub(crate) fn start() -> Output {
        let (lines, receiver) = channel();
        std::thread::spawn(move || write(receiver));
        Output { lines }
    }

    pub(crate) fn line(&self, value: &Value) {
        self.text(&value.to_string());
    }

    pub(crate) fn text(&self, text: &str) {
        let _ = self.lines.send(Line::Text(text.to_owned(), None));
    }

    /// Waits until the lines are with the reader: only then is an event done.
    async fn written(&self, text: String) -> HandlerResult {
        let (done, written) = oneshot::channel();
        let _ = self.lines.send(Line::Text(text, Some(done)));
        written.await.map_err(|_| HandlerError::message("standard output is closed"))
    }

    /// Waits until everything is written.
    pub(crate) fn end(&self) {
        let (done, ended) = channel();
        let _ = self.lines.send(Line::End(done));
        let _ = ended.recv();
    }
}

fn write(lines: Receiver<Line>) {
    let mut output = std::io::stdout().lock();
    for line in lines {
        match line {
            Line::Text(text, done) => {
                if writeln!(output, "{text}").and_then(|()| output.flush()).is_err() {
                    // Nobody reads any more. Whoever waits for this line hears an error, and the event stays.
                    return;
                }
                if let Some(done) = done {
                    let _ = done.send(());
                }
            }
            Line::End(done) => {
                let _ = done.send(());
            }
        }
    }
}

/// The handler.
pub(crate) struct Printer {
    output: Output,
    delay: Option<Duration>,
    started: returnpath::Timestamp,
    /// Deliveries of this run whose `queued` line is printed and whose end is not.
    announced: Mutex<HashSet<DeliveryId>>,
    /// Batches of lines that were given to the mailer, and those of them whose `queued` lines are printed.
    begun: AtomicU64,
    ended: AtomicU64,
    news: Notify,
}

impl Printer {
    pub(crate) fn new(output: Output, delay: Option<Duration>) -> Printer {
        #[allow(clippy::disallowed_methods, reason = "this is the application: it asks for the time")]
        let started = std::time::SystemTime::now().into();
        Printer {
            output,
            delay,
            started,
            announced: Mutex::default(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            news: Notify::new(),
        }
    }

    /// A batch of lines goes to the mailer.
    pub(crate) fn batch_begins(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
    }

    /// All `queued` lines of the batch are printed.
    pub(crate) fn batch_ended(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.news.notify_waiters();
    }

    /// The `queued` lines of these are printed.
    pub(crate) fn announced(&self, deliveries: impl Iterator<Item = DeliveryId>) {
        self.announced.lock().expect("no panic while it is held").extend(deliveries);
        self.news.notify_waiters();
    }

    /// An event of our own conversation comes after its `queued` line, which `send` may still be on its way to print. The
    /// line of a delivery that another process has queued is not ours: nothing is waited for but the batch under way.
    async fn wait_for_queued(&self, event: &Event) {
        let Some(delivery) = event.delivery() else { return };
        if event.origin() != Origin::Conversation || delivery.issued_at() < self.started {
            return;
        }
        let begun = self.begun.load(Ordering::Acquire);
        loop {
            let news = self.news.notified();
            let ended = self.ended.load(Ordering::Acquire) >= begun;
            {
                let mut announced = self.announced.lock().expect("no panic while it is held");
                let ends = !matches!(event.kind(), EventKind::Delay | EventKind::Uncertain);
                if announced.contains(&delivery) {
                    if ends {
                        announced.remove(&delivery);
                    }
                    return;
                }
            }
            if ended {
                return;
            }
            if tokio::time::timeout(QUEUED_LINE, news).await.is_err() {
                return;
            }
        }
    }

    async fn print(&self, events: &[Event]) -> HandlerResult {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        let mut text = String::new();
        for event in events {
            self.wait_for_queued(event).await;
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&event.to_json().to_string());
        }
        self.output.written(text).await
    }
}

#[async_trait]
impl FailureHandler for Printer {
    async fn on_fail(&self, failure: &Failure) -> HandlerResult {
        self.print(&[Event::clone(failure)]).await
    }

    async fn on_bounce(&self, bounce: &Bounce) -> HandlerResult {
        self.print(&[Event::clone(bounce)]).await
    }

    fn batch(&self) -> usize {
        if self.delay.is_some() { 1 } else { 256 }
    }

    async fn on_events(&self, events: &[Event]) -> HandlerResult {
        self.print(events).await
    }
}

/// A `queued` line is printed once `send` returns; longer than this it has failed.
const QUEUED_LINE: Duration = Duration::from_secs(5);
