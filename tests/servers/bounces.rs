//! One mailing through a real Postfix, with every way to fail in it, and what the application's table says afterwards.

use returnpath::event::{EventKind, Origin, Trust};
use returnpath::testing::RemoteHost;
use returnpath::verdict::{AddressState, Outcome, Source};
use returnpath::{Event, Mailer, Message, Reason, Smarthost, Stage};

use crate::postfix::Setup;
use crate::subscribers::{Subscriber, Subscribers};
use crate::within;

/// A subscriber, and how the mailing ends for them.
struct Expected {
    address: &'static str,
    state: &'static str,
    reason: Option<Reason>,
    /// Of the last event, as the remote host or its report gave it.
    status: Option<&'static str>,
    events: &'static [EventKind],
}

const EXPECTED: &[Expected] = &[
    // The mailbox exists.
    Expected { address: "ann@mail.example", state: "active", reason: None, status: Some("2.0.0"), events: TAKEN },
    // Accepted at RCPT; the program that delivers finds no such user of the system.
    Expected {
        address: "nobody-of-that-name@local.example",
        state: "returned",
        reason: Some(Reason::UserUnknown),
        status: Some("5.1.1"),
        events: RETURNED,
    },
    // The same from a program that knows its mailboxes from a table.
    Expected {
        address: "ghost@mail.example",
        state: "returned",
        reason: Some(Reason::UserUnknown),
        status: Some("5.1.1"),
        events: RETURNED,
    },
    Expected {
        address: "hoarder@mail.example",
        state: "returned",
        reason: Some(Reason::MailboxFull),
        status: Some("5.2.2"),
        events: RETURNED,
    },
    // Postfix relays these to a next host, which refuses: at RCPT, and after the data.
    Expected {
        address: "gone@next.example",
        state: "returned",
        reason: Some(Reason::UserUnknown),
        status: Some("5.1.1"),
        events: RETURNED,
    },
    Expected {
        address: "strict@filter.example",
        state: "returned",
        reason: Some(Reason::Spam),
        status: Some("5.7.1"),
        events: RETURNED,
    },
    // Refused by Postfix itself, in our conversation.
    Expected {
        address: "refused@mail.example",
        state: "refused",
        reason: Some(Reason::MailboxDisabled),
        status: Some("5.2.1"),
        events: &[EventKind::Fail],
    },
    Expected { address: "bob@next.example", state: "active", reason: None, status: Some("2.0.0"), events: TAKEN },
    // The next host is never ready: Postfix reports the delay, and gives up in the end.
    Expected {
        address: "late@slow.example",
        state: "returned",
        reason: Some(Reason::MailboxFull),
        status: Some("4.2.2"),
        events: &[EventKind::Delivered, EventKind::Delay, EventKind::Bounce],
    },
];

const TAKEN: &[EventKind] = &[EventKind::Delivered];
const RETURNED: &[EventKind] = &[EventKind::Delivered, EventKind::Bounce];

#[tokio::test]
async fn a_mailing_through_postfix_ends_in_the_applications_table() {
    let Some(setup) = Setup::new() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let subscribers = Subscribers::create(&home.path().join("subscribers.db"));
    let mailer = Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(home.path().join("mail.db"))
        .smarthost(Smarthost::new(setup.address().to_string()))
        .handler(subscribers.clone())
        .start()
        .await
        .expect("all settings are there");
    let listener = mailer.listen("127.0.0.1:0").await.expect("a free port");

    let next = RemoteHost::start().await.expect("a free port");
    next.on_rcpt("gone@next.example", "550 5.1.1 <gone@next.example>: Recipient address rejected: User unknown");
    let filter = RemoteHost::start().await.expect("a free port");
    filter.on_end_of_data("554 5.7.1 Message rejected as spam by content filtering");
    let slow = RemoteHost::start().await.expect("a free port");
    slow.on_rcpt("late@slow.example", "452 4.2.2 <late@slow.example>: Mailbox full");
    let postfix = setup
        .transport("b.example.org", listener.local_addr())
        .transport("next.example", next.address())
        .transport("filter.example", filter.address())
        .transport("slow.example", slow.address())
        .mailbox("ann", 0)
        .mailbox("hoarder", 100_000)
        .refuse("refused@", "550 5.2.1 This mailbox is disabled")
        .start()
        .await;

    let message = |(id, expected): (usize, &Expected)| {
        let message = Message::builder().from("News <news@example.org>").to(expected.address).subject("Issue 1");
        message.text(format!("Good morning, number {id}.\n")).mailing("issue-1").tag(id as i64)
    };
    for (id, expected) in EXPECTED.iter().enumerate() {
        subscribers.add(id as i64, expected.address);
    }
    let receipts: Vec<_> = mailer.send_all(EXPECTED.iter().enumerate().map(message)).await;
    let receipts: Vec<_> = receipts.into_iter().map(|receipt| receipt.expect("on disk").deliveries.remove(0)).collect();

    let count = |kind| EXPECTED.iter().filter(|expected| expected.events.contains(&kind)).count();
    for kind in [EventKind::Fail, EventKind::Delivered, EventKind::Delay, EventKind::Bounce] {
        subscribers.wait_for(count(kind), kind).await;
    }
    postfix.logged(&["to=<ann@mail.example>", "status=sent"]).await;
    within("the queue", mailer.drain()).await.expect("the store works");

    // The table says whom to write to next, and why not.
    let table = EXPECTED.iter().enumerate().map(|(id, expected)| Subscriber {
        id: id as i64,
        address: expected.address.into(),
        state: expected.state.into(),
        reason: expected.reason.map(|reason| reason.name().into()),
        late: expected.events.contains(&EventKind::Delay),
    });
    assert_eq!(subscribers.table(), table.collect::<Vec<_>>());

    for ((id, expected), receipt) in EXPECTED.iter().enumerate().zip(&receipts) {
        let events = subscribers.events();
        let events: Vec<&Event> = events.iter().filter(|event| event.delivery() == Some(receipt.id)).collect();
        let kinds: Vec<EventKind> = events.iter().map(|event| event.kind()).collect();
        assert_eq!(kinds, expected.events, "{}", expected.address);
        for event in &events {
            assert_eq!(event.tag().and_then(|tag| tag.as_i64()), Some(id as i64));
            assert_eq!(event.recipient().map(|address| address.as_str()), Some(expected.address));
            assert_eq!(event.mailing(), Some("issue-1"));
            assert_eq!(event.trust(), Some(Trust::Sealed), "{event:?}");
            let report = matches!(event.kind(), EventKind::Bounce)
                || expected.state == "returned" && event.kind() == EventKind::Delay;
            assert_eq!(event.origin(), if report { Origin::Report } else { Origin::Conversation });
        }
        let last = events.last().expect("at least one");
        assert_eq!(last.status().map(|status| status.to_string()).as_deref(), expected.status, "{}", expected.address);
        let verdict = last.verdict().expect("of a delivery");
        if let Some(reason) = expected.reason {
            assert_eq!((verdict.reason, verdict.outcome), (reason, Outcome::Failed), "{}", expected.address);
        }
        let address = match (expected.reason, expected.state) {
            (Some(Reason::UserUnknown), _) => Some(AddressState::NoMailbox),
            (Some(Reason::MailboxFull), _) => Some(AddressState::Full),
            (Some(Reason::MailboxDisabled), _) => Some(AddressState::Disabled),
            (Some(Reason::Spam), _) => Some(AddressState::NoStatement),
            _ => None,
        };
        if let Some(address) = address {
            assert_eq!(verdict.address, address, "{}", expected.address);
        }
    }

    // The refusal names the stage and the words; a report that came back comes with its text.
    let events = subscribers.events();
    let of = |address: &str, kind| {
        let found =
            events.iter().find(|event| event.kind() == kind && event.recipient().is_some_and(|to| *to == *address));
        found.unwrap_or_else(|| panic!("{address}"))
    };
    let refusal = of("refused@mail.example", EventKind::Fail);
    assert_eq!((refusal.stage(), refusal.code()), (Some(Stage::Rcpt), Some(550)));
    assert!(refusal.text().is_some_and(|text| text.contains("This mailbox is disabled")), "{refusal:?}");
    let spam = of("strict@filter.example", EventKind::Bounce);
    assert_eq!(spam.code(), Some(554));
    assert_eq!(spam.verdict().map(|verdict| verdict.evidence.source), Some(Source::DsnField));
    let delay = of("late@slow.example", EventKind::Delay);
    assert_eq!(delay.verdict().map(|verdict| verdict.outcome), Some(Outcome::Delayed));

    // Who is said to have it, has it, under the return path of the receipt.
    assert!(postfix.mailbox("ann").contains("Good morning, number 0."));
    let bob = next.message(0).await;
    assert_eq!(bob.recipients, ["bob@next.example"]);
    assert_eq!(bob.return_path, receipts[7].return_path.as_str());
    assert!(bob.data.contains("Good morning, number 7."));
    assert_eq!((next.taken().len(), filter.taken().len(), slow.taken().len()), (1, 0, 0));
}
