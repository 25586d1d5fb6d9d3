//! A host that talks to the listener, command by command.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A conversation; its stream may be a secured one.
pub(crate) struct Peer<S = TcpStream> {
    stream: BufReader<S>,
}

impl Peer {
    /// Connects, and has heard the greeting and the answer to EHLO.
    pub(crate) async fn connect(listener: SocketAddr) -> Peer {
        let mut peer = Peer::over(TcpStream::connect(listener).await.unwrap());
        assert!(peer.reply().await.starts_with("220 mail.example.org ESMTP"));
        assert!(peer.say("EHLO remote.example").await.starts_with("250"));
        peer
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.stream.buffer().is_empty());
        self.stream.into_inner()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn over(stream: S) -> Peer<S> {
        Peer { stream: BufReader::new(stream) }
    }

    /// Says a line and gives the whole reply to it.
    pub(crate) async fn say(&mut self, line: &str) -> String {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    /// The next reply, all its lines; empty when the connection was closed.
    pub(crate) async fn reply(&mut self) -> String {
        let read = async {
            let mut reply = String::new();
            loop {
                let start = reply.len();
                let end = self.stream.read_line(&mut reply).await.unwrap_or(0) == 0;
                if end || reply.as_bytes().get(start + 3) != Some(&b'-') {
                    return reply;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), read).await.expect("a reply in time")
    }

    /// Offers a recipient; gives the reply.
    pub(crate) async fn offer(&mut self, recipient: &str) -> String {
        assert!(self.say("MAIL FROM:<>").await.starts_with("250"));
        self.say(&format!("RCPT TO:<{recipient}>")).await
    }

    /// Sends the message to whom was offered; gives the reply.
    pub(crate) async fn send(&mut self, message: &str) -> String {
        assert!(self.say("DATA").await.starts_with("354"));
        let text = message.replace("\r\n.", "\r\n..");
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.say(if text.ends_with("\r\n") { "." } else { "\r\n." }).await
    }
}
