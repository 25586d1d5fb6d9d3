//! Hosts that misbehave before the first message: each is told with its stage, and the message goes on when it can.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use returnpath::event::EventKind;
use returnpath::verdict::AddressState;
use returnpath::{Event, HandlerResult, Mailer, Message, Reason, Smarthost, Stage, StoreLocation, event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a host does in one connection.
#[derive(Clone, Copy)]
enum Step {
    /// Says this.
    Say(&'static str),
    /// Says this octet by octet, with a wait after each.
    Dribble(&'static str),
    /// Waits until a command that starts like this was heard.
    Hear(&'static str),
    /// Says nothing until the peer goes.
    Silence,
}

use Step::{Dribble, Hear, Say, Silence};

/// A host that plays one script a connection; the last one repeats.
async fn host(scripts: Vec<Vec<Step>>) -> (String, Arc<Mutex<usize>>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let connections = Arc::new(Mutex::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let index = {
                let mut count = count.lock().unwrap();
                *count += 1;
                (*count - 1).min(scripts.len() - 1)
            };
            tokio::spawn(play(stream, scripts[index].clone()));
        }
    });
    (address, connections)
}

async fn play(mut stream: TcpStream, script: Vec<Step>) -> std::io::Result<()> {
    let mut heard = Vec::new();
    for step in script {
        match step {
            Say(text) => stream.write_all(text.as_bytes()).await?,
            Dribble(text) => {
                for byte in text.bytes().cycle() {
                    stream.write_all(&[byte]).await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Hear(start) => loop {
                if let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = heard.drain(..=end).collect();
                    if line.starts_with(start.as_bytes()) {
                        break;
                    }
                } else if stream.read_buf(&mut heard).await? == 0 {
                    return Ok(());
                }
            },
            Silence => {
                let mut rest = [0; 256];
                while stream.read(&mut rest).await? > 0 {}
            }
        }
    }
    stream.shutdown().await
}

const GREETING: Step = Say("220 mx.example ESMTP\r\n");
const EHLO: Step = Hear("EHLO");
const OFFER: Step = Say("250-mx.example\r\n250 PIPELINING\r\n");
const TAKE: [Step; 5] =
    [Hear("DATA"), Say("250 ok\r\n250 ok\r\n354 go\r\n"), Hear("."), Say("250 2.0.0 taken\r\n"), Silence];

/// Sends one message and gives the first event that is told, and how many connections there were.
async fn first_event(scripts: Vec<Vec<Step>>) -> (Event, usize) {
    let (address, connections) = host(scripts).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let handler = event::from_fn(move |event: Event| {
        let _ = tell.send(event);
        async { HandlerResult::Ok(()) }
    });
    let mailer = Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(StoreLocation::memory())
        .smarthost(Smarthost::new(address))
        .delay_after([Duration::ZERO])
        .command_timeout(Duration::from_millis(700))
        .session_timeout(Duration::from_millis(1500))
        .handler(handler)
        .start()
        .await
        .unwrap();
    let message = Message::builder().from("news@example.org").to("ann@example.net").subject("Hello").text("Hello");
    mailer.send(message).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(30), told.recv()).await.expect("an event in time").unwrap();
    mailer.shutdown(Duration::from_secs(1)).await.unwrap();
    let connections = *connections.lock().unwrap();
    (event, connections)
}

fn take_after(start: &[Step]) -> Vec<Step> {
    [start, &TAKE].concat()
}

/// The stage, the code and the reason of the delay that one script makes.
async fn refused(script: Vec<Step>) -> (Option<Stage>, Option<u16>, Reason) {
    let (event, _) = first_event(vec![script]).await;
    assert_eq!(event.kind(), EventKind::Delay, "{event:?}");
    (event.stage(), event.code(), event.verdict().unwrap().reason)
}

#[tokio::test]
async fn a_refusing_greeting_blames_no_recipient_and_is_tried_again() {
    let (event, _) =
        first_event(vec![vec![Say("554 5.7.0 Blocked, see https://ip.example/?ip=192.0.2.1\r\n"), Silence]]).await;
    assert_eq!((event.kind(), event.stage(), event.code()), (EventKind::Delay, Some(Stage::Banner), Some(554)));
    assert_eq!(event.verdict().unwrap().address, AddressState::NoStatement);
}

#[tokio::test]
async fn a_421_to_ehlo_is_not_hidden_by_a_helo() {
    let seen = refused(vec![GREETING, EHLO, Say("421 your host name does not match your DNS\r\n")]).await;
    assert_eq!((seen.0, seen.1), (Some(Stage::Ehlo), Some(421)));
}

#[tokio::test]
async fn refusing_both_ehlo_and_helo_is_one_failure() {
    let script =
        vec![GREETING, EHLO, Say("500 5.5.2 not known\r\n"), Hear("HELO"), Say("500 5.5.2 not known\r\n"), Silence];
    let (event, connections) = first_event(vec![script]).await;
    assert_eq!((event.stage(), event.code(), connections), (Some(Stage::Ehlo), Some(500), 1));
}

#[tokio::test]
async fn a_host_without_ehlo_is_served_one_command_at_a_time() {
    let script = vec![
        GREETING,
        EHLO,
        Say("502 not known\r\n"),
        Hear("HELO"),
        Say("250 old.example\r\n"),
        Hear("MAIL FROM:<b"),
        Say("250 ok\r\n"),
        Hear("RCPT TO:<ann@example.net>"),
        Say("250 ok\r\n"),
        Hear("DATA"),
        Say("354 go\r\n"),
        Hear("."),
        Say("250 taken\r\n"),
        Silence,
    ];
    let (event, _) = first_event(vec![script]).await;
    assert_eq!(event.kind(), EventKind::Delivered);
}

#[tokio::test]
async fn a_greeting_that_dribbles_or_never_ends_is_given_up_in_time() {
    let seen = refused(vec![Say("220 "), Dribble("hello ")]).await;
    assert_eq!((seen.0, seen.2), (Some(Stage::Banner), Reason::Network));
    let seen = refused(vec![Dribble("220-still here\r\n")]).await;
    assert_eq!(seen.0, Some(Stage::Banner));
    let seen = refused(vec![Silence]).await;
    assert_eq!((seen.0, seen.2), (Some(Stage::Banner), Reason::Network));
}

#[tokio::test]
async fn starttls_that_is_offered_and_broken_gives_clear_text_in_the_same_attempt() {
    let broken = |reply| {
        let offer = Say("250-mx.example\r\n250-STARTTLS\r\n250 PIPELINING\r\n");
        vec![GREETING, EHLO, offer, Hear("STARTTLS"), Say(reply)]
    };
    for reply in ["220 go ahead\r\n", "454 4.7.0 TLS not available\r\n", "220 go ahead\r\n250 injected\r\n"] {
        let scripts = vec![broken(reply), take_after(&[GREETING, EHLO, OFFER])];
        let (event, connections) = first_event(scripts).await;
        assert_eq!((event.kind(), event.attempts(), connections), (EventKind::Delivered, 1, 2), "{reply:?}");
    }
}

#[tokio::test]
async fn a_connection_that_closes_between_two_commands_is_a_network_failure_of_its_stage() {
    let seen = refused(vec![GREETING, EHLO]).await;
    assert_eq!((seen.0, seen.2), (Some(Stage::Ehlo), Reason::Network));
    let seen = refused(vec![
        GREETING,
        EHLO,
        OFFER,
        Hear("DATA"),
        Say("250 ok\r\n250 ok\r\n354 go\r\n421 4.3.2 shutting down\r\n"),
    ])
    .await;
    assert_eq!(seen.1, Some(421));
}

#[tokio::test]
async fn a_lost_reply_to_the_end_of_data_is_uncertain() {
    let (event, connections) = first_event(vec![[&[GREETING, EHLO, OFFER][..], &TAKE[..3]].concat()]).await;
    assert_eq!((event.kind(), event.stage(), connections), (EventKind::Uncertain, Some(Stage::EndOfData), 1));
}

#[tokio::test]
async fn replies_in_another_charset_or_without_text_are_understood() {
    let script = take_after(&[Say("220\r\n"), EHLO, OFFER]);
    assert_eq!(first_event(vec![script]).await.0.kind(), EventKind::Delivered);
    let seen =
        refused(vec![GREETING, EHLO, OFFER, Hear("DATA"), Say("250\r\n451 \u{c0}\u{e9}\r\n503 no\r\n"), Silence]).await;
    assert_eq!((seen.0, seen.1), (Some(Stage::Rcpt), Some(451)));
}

/// A host that thinks better of it behind EHLO is met once an attempt, not again and again.
#[tokio::test]
async fn a_host_that_closes_before_the_first_message_costs_an_attempt() {
    const GOODBYE: Step = Say("421 4.3.2 too many connections\r\n");
    for script in [vec![GREETING, EHLO, OFFER], vec![GREETING, EHLO, OFFER, GOODBYE]] {
        let (event, connections) = first_event(vec![script]).await;
        assert_eq!((event.kind(), event.attempts()), (EventKind::Delay, 1));
        assert_eq!(connections, 1);
    }
    let told_with_it = Say("250-mx.example\r\n250 PIPELINING\r\n421 4.3.2 too many connections\r\n");
    let (event, _) = first_event(vec![vec![GREETING, EHLO, told_with_it]]).await;
    assert_eq!((event.kind(), event.attempts()), (EventKind::Delay, 1));
}

/// The second message was marked as in flight, and its host closed behind the first: the next connection takes it.
#[tokio::test]
async fn a_message_that_was_marked_and_not_tried_goes_out_over_the_next_connection() {
    let first =
        [[GREETING, EHLO, OFFER].as_slice(), &TAKE[..2], &[Hear("."), Hear("DATA"), Say("250 2.0.0 taken\r\n")]]
            .concat();
    let (address, connections) = host(vec![first, take_after(&[GREETING, EHLO, OFFER])]).await;
    let mailer = Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(StoreLocation::memory())
        .smarthost(Smarthost::new(address))
        .handler(())
        .start()
        .await
        .unwrap();
    let message = || Message::builder().from("news@example.org").to("ann@example.net").subject("Hello").text("Hello");
    for receipt in mailer.send_all([message(), message()]).await {
        let id = receipt.unwrap().deliveries[0].id;
        let outcome = mailer.outcome(id, Duration::from_secs(20)).await.unwrap();
        assert_eq!(outcome, Some(returnpath::Outcome::Delivered));
    }
    assert_eq!(*connections.lock().unwrap(), 2);
}
