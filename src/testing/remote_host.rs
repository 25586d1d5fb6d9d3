//! A scripted remote host on loopback: what it says to whom is set by the test.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A small SMTP server on a free loopback port. It takes every message unless it is told otherwise, and keeps what
/// it took. Dropped, it closes.
///
/// ```
/// use returnpath::testing::RemoteHost;
/// use returnpath::{Mailer, Message, Smarthost, StoreLocation};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let remote = RemoteHost::start().await?;
/// remote.on_rcpt("bob@example.net", "550 5.1.1 no such user");
/// let mailer = Mailer::builder("b.example.org")
///     .ehlo("mail.example.org")
///     .store(StoreLocation::memory())
///     .smarthost(Smarthost::new(remote.address().to_string()))
///     .handler(())
///     .start()
///     .await?;
/// let message = Message::builder().from("news@example.org").to("ann@example.net").subject("Hello").text("…");
/// let receipt = mailer.send(message).await?;
/// let taken = remote.message(0).await;
/// assert_eq!(taken.return_path, receipt.deliveries[0].return_path.as_str());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RemoteHost {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// A message that a [`RemoteHost`] took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The name that its sender gave in EHLO or HELO.
    pub client: String,
    /// From MAIL FROM, without the brackets.
    pub return_path: String,
    /// From RCPT TO, without the brackets.
    pub recipients: Vec<String>,
    /// The message, dot-stuffing removed.
    pub data: String,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    taken: watch::Sender<Vec<Taken>>,
    offered: Mutex<Vec<(String, String)>>,
    connections: AtomicUsize,
    resets: AtomicUsize,
}

#[derive(Debug, Default)]
struct Script {
    /// By recipient: replies to RCPT in turn; the last one repeats.
    rcpt: HashMap<String, Vec<String>>,
    end_of_data: Option<String>,
    end_of_data_delay: Duration,
    resets: Option<Resets>,
}

/// When connections are reset.
#[derive(Debug)]
struct Resets {
    /// The state of an xorshift generator, never 0.
    random: u64,
    one_in: u64,
}

impl RemoteHost {
    /// Opens a free port of 127.0.0.1.
    pub async fn start() -> std::io::Result<RemoteHost> {
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            taken: watch::Sender::new(Vec::new()),
            offered: Mutex::default(),
            connections: AtomicUsize::new(0),
            resets: AtomicUsize::new(0),
        });
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            let mut conversations = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = socket.accept().await {
                accepting.connections.fetch_add(1, Ordering::Relaxed);
                conversations.spawn(converse(accepting.clone(), stream));
            }
        });
        Ok(RemoteHost { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says to RCPT TO this recipient. Called again for the same recipient, it adds the next reply: the first
    /// attempt hears the first, and the last one repeats.
    pub fn on_rcpt(&self, recipient: &str, reply: &str) {
        self.script().rcpt.entry(recipient.to_ascii_lowercase()).or_default().push(reply.to_owned());
    }

    /// What it says to the end of data from now on; a message is taken only with 2xx.
    pub fn on_end_of_data(&self, reply: &str) {
        self.script().end_of_data = Some(reply.to_owned());
    }

    /// How long it thinks before it answers the end of data. The message is taken before.
    pub fn delay_end_of_data(&self, delay: Duration) {
        self.script().end_of_data_delay = delay;
    }

    /// From now on resets one in `one_in` steps of its conversations, in an order that `seed` decides: a step is a
    /// command that came, or the end of a message. A message whose end is met was taken before; its sender cannot
    /// know that. With 0 it resets none.
    pub fn reset_at_random(&self, seed: u64, one_in: u64) {
        self.script().resets = (one_in > 0).then_some(Resets { random: seed.max(1), one_in });
    }

    /// How many connections it has reset.
    pub fn resets(&self) -> usize {
        self.shared.resets.load(Ordering::Relaxed)
    }

    /// What it took so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.borrow().clone()
    }

    /// Waits until it took more than `index` messages, and gives that one, counted from 0.
    pub async fn message(&self, index: usize) -> Taken {
        let mut taken = self.shared.taken.subscribe();
        let taken = taken.wait_for(|taken| taken.len() > index).await.expect("the sender is in self");
        taken[index].clone()
    }

    /// Return path and recipient of every RCPT TO, taken or refused, in order.
    pub fn offered(&self) -> Vec<(String, String)> {
        self.shared.offered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RemoteHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn rcpt_reply(&self, recipient: &str) -> String {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        match script.rcpt.get_mut(&recipient.to_ascii_lowercase()) {
            Some(replies) if replies.len() > 1 => replies.remove(0),
            Some(replies) => replies[0].clone(),
            None => "250 2.1.5 recipient ok".to_owned(),
        }
    }

    /// Whether this is a step at which the connection is to be reset.
    fn is_reset(&self) -> bool {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(resets) = &mut script.resets else { return false };
        resets.random ^= resets.random << 13;
        resets.random ^= resets.random >> 7;
        resets.random ^= resets.random << 17;
        let is_reset = resets.random.is_multiple_of(resets.one_in);
        self.resets.fetch_add(usize::from(is_reset), Ordering::Relaxed);
        is_reset
    }
}

/// One conversation; ends at QUIT or when the peer goes.
async fn converse(shared: Arc<Shared>, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 remote.example ESMTP\r\n").await?;
    let mut envelope =
        Taken { client: String::new(), return_path: String::new(), recipients: Vec::new(), data: String::new() };
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if shared.is_reset() {
            return stream.get_ref().set_zero_linger();
        }
        let command = line.trim_end().to_owned();
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        if matches!(verb.as_str(), "EHLO" | "HELO") {
            envelope.client = command.split_whitespace().nth(1).unwrap_or_default().to_owned();
        }
        let reply = match verb.as_str() {
            "EHLO" => "250-remote.example\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME".to_owned(),
            "HELO" => "250 remote.example".to_owned(),
            "MAIL" => {
                envelope.return_path = path(&command);
                "250 2.1.0 sender ok".to_owned()
            }
            "RCPT" => {
                let recipient = path(&command);
                let offer = (envelope.return_path.clone(), recipient.clone());
                shared.offered.lock().unwrap_or_else(PoisonError::into_inner).push(offer);
                let reply = shared.rcpt_reply(&recipient);
                if reply.starts_with('2') {
                    envelope.recipients.push(recipient);
                }
                reply
            }
            "DATA" if envelope.recipients.is_empty() => "554 5.5.1 no valid recipients".to_owned(),
            "DATA" => {
                stream.write_all(b"354 go ahead\r\n").await?;
                envelope.data = data(&mut stream).await?;
                let (reply, delay) = {
                    let script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
                    let reply = script.end_of_data.clone().unwrap_or_else(|| "250 2.0.0 taken".to_owned());
                    (reply, script.end_of_data_delay)
                };
                if reply.starts_with('2') {
                    shared.taken.send_modify(|taken| taken.push(envelope.clone()));
                }
                tokio::time::sleep(delay).await;
                if shared.is_reset() {
                    return stream.get_ref().set_zero_linger();
                }
                envelope.recipients.clear();
                reply
            }
            "RSET" => {
                envelope.recipients.clear();
                "250 2.0.0 reset".to_owned()
            }
            "NOOP" => "250 2.0.0 ok".to_owned(),
            "QUIT" => {
                stream.write_all(b"221 2.0.0 bye\r\n").await?;
                return Ok(());
            }
            _ => "500 5.5.1 not known".to_owned(),
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

/// Reads to the end of data.
async fn data(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut message = Vec::new();
    loop {
        let start = message.len();
        if stream.read_until(b'\n', &mut message).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if &message[start..] == b".\r\n" {
            message.truncate(start);
            return Ok(String::from_utf8_lossy(&message).into_owned());
        }
        if message[start] == b'.' {
            message.remove(start);
        }
    }
}

/// What stands between the angle brackets.
fn path(command: &str) -> String {
    let inner = command.split_once('<').map_or("", |(_, rest)| rest);
    inner.split_once('>').map_or(inner, |(path, _)| path).to_owned()
}
