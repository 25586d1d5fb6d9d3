//! The mailer as an application holds it: its settings, its runtime, its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use returnpath::event::{Event, EventKind, from_fn};
use returnpath::testing::{RemoteHost, Report};
use returnpath::verdict::Rules;
use returnpath::{
    DeliveryId, Envelope, FailureHandler, Mailer, MailerBuilder, Message, Outcome, Reason, Smarthost, StoreLocation,
};

fn builder() -> MailerBuilder {
    Mailer::builder("b.example.org").ehlo("mail.example.org").store(StoreLocation::memory()).handler(())
}

fn message() -> returnpath::MessageBuilder {
    Message::builder().from("news@example.org").to("ann@example.net").subject("Hello").text("Good morning.").tag(17)
}

fn noting(told: &Arc<Mutex<Vec<Event>>>) -> impl FailureHandler {
    let told = told.clone();
    from_fn(move |event: Event| {
        told.lock().unwrap().push(event);
        async { Ok(()) }
    })
}

#[tokio::test]
async fn everything_that_is_missing_is_named_at_once() {
    let error = Mailer::builder("b.example.org").start().await.unwrap_err();
    assert!(error.is_config());
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    for (line, (name, advice)) in lines.iter().zip([
        ("ehlo: missing", ".ehlo(\"mail.example.org\")"),
        ("store: missing", ".store(\"mail.db\")"),
        ("handler: missing", ".handler(())"),
    ]) {
        assert!(line.starts_with(name) && line.contains(advice), "{line}");
    }
    assert_eq!(lines.len(), 3, "{text}");
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_setting() {
    for (builder, words) in [
        (Mailer::builder("nodot").ehlo("mail.example.org").store("x.db").handler(()), &["\"nodot\"", "dot"][..]),
        (Mailer::builder("").ehlo("mail.example.org").store("x.db").handler(()), &["return-path domain"]),
        (
            Mailer::builder("b.example.org\r\n").ehlo("mail.example.org").store("x.db").handler(()),
            &["return-path domain"],
        ),
        (builder().ehlo("localhost"), &["ehlo", "\"localhost\"", "dot"]),
        (builder().ehlo("mail.example.org\r\nMAIL FROM:<>"), &["ehlo"]),
        (builder().retry(Vec::new()), &["retry", "empty"]),
        (builder().smtp_port(0), &["smtp_port"]),
        (builder().smarthost(Smarthost::new("relay.example")), &["smarthost", "relay.example", "host:port"]),
        (builder().tls_roots("/nonexistent/roots.pem"), &["tls_roots", "roots.pem"]),
    ] {
        let error = builder.start().await.unwrap_err();
        assert!(error.is_config(), "{error:?}");
        for word in words {
            assert!(error.to_string().contains(word), "no {word:?} in {error}");
        }
    }
}

#[test]
fn a_start_outside_a_runtime_is_an_error_and_no_panic() {
    let start = std::pin::pin!(builder().start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(started) = std::future::Future::poll(start, &mut context) else {
        panic!("it waits for something that cannot come");
    };
    let error = started.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("tokio"), "{error}");
}

#[test]
fn one_thread_is_enough() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let remote = RemoteHost::start().await.unwrap();
        let told = Arc::default();
        let mailer = builder()
            .smarthost(Smarthost::new(remote.address().to_string()))
            .handler(noting(&told))
            .start()
            .await
            .unwrap();
        let listener = mailer.listen("127.0.0.1:0").await.unwrap();
        let receipt = mailer.send(message()).await.unwrap();
        let delivery = &receipt.deliveries[0];
        let outcome = mailer.outcome(delivery.id, PATIENCE).await.unwrap();
        assert_eq!(outcome, Some(returnpath::Outcome::Delivered));
        let report =
            returnpath::testing::Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
        returnpath::testing::deliver_to(listener.local_addr(), delivery.return_path.as_str(), &report).await.unwrap();
        mailer.drain().await.unwrap();
        let kinds: Vec<EventKind> = told.lock().unwrap().iter().map(Event::kind).collect();
        assert_eq!(kinds, [EventKind::Delivered, EventKind::Bounce]);
        listener.stop(PATIENCE).await;
        mailer.shutdown(PATIENCE).await.unwrap();
        assert!(mailer.send(message()).await.unwrap_err().is_closed());
    });
}

/// Nobody called `shutdown`: the tasks stop, the store is free, and the next start goes on where this one was.
#[tokio::test]
async fn dropping_the_last_clone_stops_as_a_crash_would() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("mail.db");
    // Takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Smarthost::new(silent.local_addr().unwrap().to_string());
    let told = Arc::default();
    let mailer = builder().store(&*store).smarthost(relay).handler(noting(&told)).start().await.unwrap();
    let clone = mailer.clone();
    let receipt = mailer.send(message()).await.unwrap();
    let (mut connection, _) = silent.accept().await.unwrap();
    drop(mailer);
    assert!(clone.send(message().to("bob@example.net")).await.is_ok(), "a clone is left");
    drop(clone);
    let mut octet = [0];
    let read = tokio::io::AsyncReadExt::read(&mut connection, &mut octet);
    assert!(matches!(tokio::time::timeout(PATIENCE, read).await, Ok(Ok(0) | Err(_))), "its connections are closed");

    let remote = RemoteHost::start().await.unwrap();
    let relay = Smarthost::new(remote.address().to_string());
    // The lock ends with the store's own thread, which ends behind the tasks.
    let start = async {
        loop {
            let start = builder().store(&*store).smarthost(relay.clone()).handler(noting(&told)).start().await;
            match start {
                Ok(mailer) => break mailer,
                Err(error) if error.to_string().contains("in use") => {
                    tokio::time::sleep(Duration::from_millis(10)).await
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let mailer = tokio::time::timeout(PATIENCE, start).await.expect("the store is free");
    mailer.drain().await.unwrap();
    let told = told.lock().unwrap();
    assert!(
        told.iter()
            .any(|event| event.kind() == EventKind::Delivered && event.delivery() == Some(receipt.deliveries[0].id))
    );
    assert_eq!(told.iter().filter(|event| event.kind() == EventKind::Delivered).count(), 3);
    assert_eq!(remote.taken().len(), 3);
}

/// For anything that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_host_that_says_nothing() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Smarthost::new(silent.local_addr().unwrap().to_string());
    let mailer = builder().smarthost(relay).start().await.unwrap();
    mailer.send(message()).await.unwrap();
    let (_connection, _) = silent.accept().await.unwrap();
    let shutdown = mailer.shutdown(Duration::from_secs(600));
    tokio::time::timeout(PATIENCE, shutdown).await.expect("nothing was under way").unwrap();
}

#[tokio::test]
async fn a_shutdown_that_is_given_up_leaves_no_task_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("mail.db");
    let remote = RemoteHost::start().await.unwrap();
    let relay = Smarthost::new(remote.address().to_string());
    let (called, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let stuck = from_fn(move |_| {
        let _ = called.send(());
        std::future::pending()
    });
    let mailer = builder().store(&*store).smarthost(relay).handler(stuck).start().await.unwrap();
    mailer.send(message()).await.unwrap();
    calls.recv().await.unwrap();
    {
        let shutdown = std::pin::pin!(mailer.shutdown(Duration::from_secs(600)));
        assert!(tokio::time::timeout(Duration::from_millis(20), shutdown).await.is_err());
    }
    drop(mailer);
    let free = async {
        while let Err(error) = builder().store(&*store).start().await {
            assert!(error.to_string().contains("in use"), "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("the store is free");
}

#[tokio::test]
async fn an_outcome_that_is_known_is_told_without_waiting() {
    let remote = RemoteHost::start().await.unwrap();
    let mailer = builder().smarthost(Smarthost::new(remote.address().to_string())).start().await.unwrap();
    let id = mailer.send(message()).await.unwrap().deliveries[0].id;
    assert_eq!(mailer.outcome(id, Duration::MAX).await.unwrap(), Some(Outcome::Delivered));
    for _ in 0..20 {
        assert_eq!(mailer.outcome(id, Duration::ZERO).await.unwrap(), Some(Outcome::Delivered));
    }
    assert_eq!(mailer.outcome(DeliveryId::from_u64(1), Duration::ZERO).await.unwrap(), None, "not known");
}

#[tokio::test]
async fn a_time_limit_that_is_none_is_refused_by_its_name() {
    let error = builder().command_timeout(Duration::MAX).handler_timeout(Duration::ZERO).start().await.unwrap_err();
    let text = error.to_string();
    assert!(
        error.is_config() && text.contains("command_timeout: ") && text.contains("handler_timeout: zero"),
        "{text}"
    );
    let mailer = builder().start().await.unwrap();
    let error = mailer.listener().session_timeout(Duration::ZERO).bind("127.0.0.1:0").await.unwrap_err();
    assert!(error.is_config(), "{error}");
    mailer.shutdown(Duration::MAX).await.unwrap();
}

/// A reply that no built-in row knows, and what a row of the user's makes of it.
#[tokio::test]
async fn rules_of_ones_own_judge_replies_and_reports_and_are_exchanged_while_mail_flows() {
    const WORDS: &str = "550 this desk is closed";
    fn row(reason: &str) -> Rules {
        let row = format!("mine.desk\tany\tthis desk is closed\t{reason}\tno_statement\tnone\ta partner's gateway\n");
        Rules::builder().text("rules.tsv", row).build().unwrap()
    }
    let remote = RemoteHost::start().await.unwrap();
    remote.on_rcpt("ann@example.net", WORDS);
    let told = Arc::new(Mutex::new(Vec::new()));
    let relay = Smarthost::new(remote.address().to_string());
    let mailer = builder().handler(noting(&told)).smarthost(relay).rules(row("spam")).start().await.unwrap();
    for reason in [Reason::Spam, Reason::Virus] {
        mailer.reload_rules(row(reason.name()));
        mailer.send(message()).await.unwrap();
        let bob = Message::builder().from("news@example.org").to("bob@example.net").subject("Hello").text("Hello.");
        let path = mailer.register(bob).await.unwrap().deliveries[0].return_path.to_string();
        let report = Report::failed("bob@example.net", "5.0.0", WORDS).to_string();
        mailer.receive(&Envelope::to(path), report.as_bytes()).await.unwrap();
        mailer.drain().await.unwrap();
        let events = std::mem::take(&mut *told.lock().unwrap());
        for kind in [EventKind::Fail, EventKind::Bounce] {
            let event = events.iter().find(|event| event.kind() == kind).unwrap_or_else(|| panic!("{kind:?}"));
            let verdict = event.verdict().unwrap();
            assert_eq!((verdict.reason, verdict.evidence.rule.as_str()), (reason, "mine.desk"), "{kind:?}");
        }
    }
    // Rules that cannot be read never reach the mailer.
    let error: returnpath::Error = Rules::builder().text("rules.tsv", "mine.desk\n").build().unwrap_err().into();
    assert!(error.is_config() && error.to_string().contains("rules.tsv line 1"), "{error}");
}
