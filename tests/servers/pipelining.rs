//! Many messages in few connections to a real Postfix, some of them refused: nobody gets another one's mail.

use std::collections::BTreeMap;

use returnpath::event::EventKind;
use returnpath::testing::RemoteHost;
use returnpath::{Mailer, Message, Smarthost, StoreLocation};

use crate::postfix::{Postfix, Setup};
use crate::subscribers::Subscribers;
use crate::within;

const MESSAGES: usize = 200;

#[tokio::test]
async fn what_postfix_accepts_arrives_once_with_its_own_envelope_and_body() {
    // Every third is refused at RCPT.
    mixed(|number| number % 3 == 2).await;
}

#[tokio::test]
async fn a_run_of_refusals_past_the_limit_of_postfix_fails_nobody_else() {
    // After 20 errors without an accepted message Postfix answers 421 and closes. That is no verdict on the recipients
    // who were not asked about yet.
    if let Some(postfix) = mixed(|number| number < 120).await {
        postfix.logged(&["too many errors"]).await;
    }
}

/// Sends them all and asserts what became of each; `None` where there is no Postfix.
async fn mixed(refused: impl Fn(usize) -> bool) -> Option<Postfix> {
    let setup = Setup::new()?;
    let home = tempfile::tempdir().expect("a folder");
    let subscribers = Subscribers::create(&home.path().join("subscribers.db"));
    let mailer = Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(StoreLocation::memory())
        .smarthost(Smarthost::new(setup.address().to_string()))
        .handler(subscribers.clone())
        .start()
        .await
        .expect("all settings are there");
    let recorder = RemoteHost::start().await.expect("a free port");
    let postfix = setup
        .transport("list.example", recorder.address())
        .refuse("refused", "550 5.1.1 No such user here")
        .start()
        .await;

    let recipient = |number| match refused(number) {
        true => format!("refused{number}@list.example"),
        false => format!("reader{number}@list.example"),
    };
    let body = |number: usize| format!("This is for number {number} only.\r\n{}", ".a line\r\n".repeat(number % 7));
    let messages = (0..MESSAGES).map(|number| {
        subscribers.add(number as i64, &recipient(number));
        let message = Message::builder().from("news@example.org").to(recipient(number)).subject("Issue 1");
        message.text(body(number)).tag(number as i64)
    });
    let messages: Vec<_> = messages.collect();
    let receipts = mailer.send_all(messages).await;

    let refusals = (0..MESSAGES).filter(|number| refused(*number)).count();
    subscribers.wait_for(refusals, EventKind::Fail).await;
    subscribers.wait_for(MESSAGES - refusals, EventKind::Delivered).await;
    within("the recorder", recorder.message(MESSAGES - refusals - 1)).await;
    within("the queue", mailer.drain()).await.expect("the store works");

    let mut expected = BTreeMap::new();
    for (number, receipt) in receipts.into_iter().enumerate().filter(|(number, _)| !refused(*number)) {
        let path = receipt.expect("on disk").deliveries.remove(0).return_path.to_string();
        expected.insert(recipient(number), (path, body(number)));
    }
    let taken = recorder.taken();
    assert_eq!(taken.len(), expected.len(), "each exactly once");
    for taken in taken {
        let [recipient] = &taken.recipients[..] else { panic!("one recipient a message: {taken:?}") };
        let (path, body) = expected.remove(recipient).expect("each exactly once");
        assert_eq!(taken.return_path, path, "{recipient}");
        let (header, text) = taken.data.split_once("\r\n\r\n").expect("a header and a body");
        assert!(header.contains(&format!("To: <{recipient}>")), "{header}");
        assert_eq!(text, body, "{recipient}");
    }

    for row in subscribers.table() {
        let state = if refused(row.id as usize) { "refused" } else { "active" };
        assert_eq!(row.state, state, "{row:?}");
    }
    Some(postfix)
}
