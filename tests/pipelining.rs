//! Pipelined sending to a server that never ends a transaction by itself: its envelope lasts until RSET, and what a
//! careless client says next is added to it. Each accepted message must still arrive once, with its own return path,
//! recipient and body.
#![cfg(feature = "sqlite")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use returnpath::event::{EventKind, from_fn};
use returnpath::{Event, Mailer, Message, Smarthost, StoreLocation};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const MESSAGES: usize = 200;

#[tokio::test]
async fn envelopes_are_never_mixed_where_data_without_recipients_is_refused() {
    mixed("503 5.5.1 no valid recipients").await;
}

#[tokio::test]
async fn envelopes_are_never_mixed_where_data_without_recipients_is_begun() {
    mixed("354 go ahead").await;
}

/// Every third of the messages is refused at RCPT; `data` is the answer to DATA without a recipient.
async fn mixed(data: &'static str) {
    let server = Keeper::start(data).await;
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let record = told.clone();
    let mailer = Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(StoreLocation::memory())
        .smarthost(Smarthost::new(server.address.to_string()))
        .handler(from_fn(move |event: Event| {
            record.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            async { Ok(()) }
        }))
        .start()
        .await
        .expect("all settings are there");

    let refused = |number: usize| number % 3 == 2;
    let recipient = |number| format!("{}{number}@list.example", if refused(number) { REFUSED } else { "reader" });
    let body = |number: usize| format!("This is for number {number} only.\r\n{}", ".a line\r\n".repeat(number % 7));
    let messages = (0..MESSAGES).map(|number| {
        let message = Message::builder().from("news@example.org").to(recipient(number)).subject("Issue 1");
        message.text(body(number)).tag(number as i64)
    });
    let receipts = mailer.send_all(messages.collect::<Vec<_>>()).await;
    tokio::time::timeout(PATIENCE, mailer.drain()).await.expect("it ends").expect("the store works");

    let mut expected = BTreeMap::new();
    for (number, receipt) in receipts.into_iter().enumerate().filter(|(number, _)| !refused(*number)) {
        let path = receipt.expect("on disk").deliveries.remove(0).return_path.to_string();
        expected.insert(recipient(number), (path, body(number)));
    }
    let heard = server.heard();
    assert_eq!(heard.taken.len(), expected.len(), "each exactly once");
    for Taken { return_path, recipients, data } in &heard.taken {
        let [recipient] = &recipients[..] else { panic!("one recipient a message: {recipients:?}") };
        let (path, body) = expected.remove(recipient).expect("each exactly once");
        assert_eq!(*return_path, path, "{recipient}");
        let (header, text) = data.split_once("\r\n\r\n").expect("a header and a body");
        assert!(header.contains(&format!("To: <{recipient}>")), "{header}");
        assert_eq!(text, body, "{recipient}");
    }
    // It was pipelined indeed: MAIL, RCPT and DATA came together far more often than not.
    assert!(heard.together > MESSAGES, "{} commands came with others", heard.together);

    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    for event in told.iter() {
        let number = event.tag().and_then(|tag| tag.as_i64()).expect("our tag") as usize;
        let kind = if refused(number) { EventKind::Fail } else { EventKind::Delivered };
        assert_eq!((event.kind(), event.recipient().map(ToString::to_string)), (kind, Some(recipient(number))));
    }
    assert_eq!(told.len(), MESSAGES, "one end each");
}

/// The server.
struct Keeper {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    taken: Vec<Taken>,
    /// Commands that another one had followed before they were answered.
    together: usize,
}

/// A message, with the envelope as the server has it.
#[derive(Clone, Default)]
struct Taken {
    /// Of the first MAIL since RSET.
    return_path: String,
    /// Of every accepted RCPT since RSET.
    recipients: Vec<String>,
    data: String,
}

impl Keeper {
    async fn start(data: &'static str) -> Keeper {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let shared = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(converse(BufReader::new(stream), shared.clone(), data));
            }
        });
        Keeper { address, heard }
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn converse(
    mut stream: BufReader<TcpStream>,
    heard: Arc<Mutex<Heard>>,
    without_recipients: &str,
) -> std::io::Result<()> {
    stream.write_all(b"220 keeper.example\r\n").await?;
    let mut envelope = Taken::default();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if !stream.buffer().is_empty() {
            heard.lock().unwrap_or_else(PoisonError::into_inner).together += 1;
        }
        let path = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let reply = match line.get(..4).unwrap_or_default() {
            "EHLO" => "250-keeper.example\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES",
            "MAIL" => {
                if envelope.return_path.is_empty() {
                    envelope.return_path = path();
                }
                "250 2.1.0 ok"
            }
            "RCPT" if path().starts_with(REFUSED) => "550 5.1.1 No such user here",
            "RCPT" => {
                envelope.recipients.push(path());
                "250 2.1.5 ok"
            }
            "DATA" => {
                let begun = if envelope.recipients.is_empty() { without_recipients } else { "354 go ahead" };
                if begun.starts_with('3') {
                    stream.write_all(format!("{begun}\r\n").as_bytes()).await?;
                    envelope.data = data(&mut stream).await?;
                    match envelope.recipients.is_empty() {
                        true => "554 5.5.1 no valid recipients",
                        false => {
                            heard.lock().unwrap_or_else(PoisonError::into_inner).taken.push(envelope.clone());
                            "250 2.0.0 taken"
                        }
                    }
                } else {
                    begun
                }
            }
            "RSET" => {
                envelope = Taken::default();
                "250 2.0.0 ok"
            }
            "QUIT" => "221 2.0.0 bye",
            _ => "500 5.5.1 not known",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

/// Reads to the end of data, and takes the added dots away.
async fn data(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut message = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

const REFUSED: &str = "refused";
/// Far longer than it takes on a slow machine that is busy otherwise.
const PATIENCE: Duration = Duration::from_secs(180);
