//! Opens a conversation: connect, greeting, EHLO, STARTTLS, AUTH. The pipelined part is [`crate::session`]'s.
//!
//! mail-send speaks these steps, each under one deadline for the whole step. What it read is tapped, so that the
//! remote host's own words reach the verdict also where mail-send only says "unparseable".

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mail_send::{Credentials, SmtpClient};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsConnector, client, server};

use crate::schedule::Seen;
use crate::session::Stage;
use crate::smtp::extensions::Extensions;
use crate::smtp::{Reply, ReplyParser};
use crate::verdict::Trouble;

/// Whom to connect to, and how.
pub(crate) struct Opening<'a> {
    pub(crate) host: &'a str,
    pub(crate) address: SocketAddr,
    pub(crate) source: Option<IpAddr>,
    pub(crate) ehlo: &'a str,
    pub(crate) tls: Security<'a>,
    pub(crate) credentials: Option<&'a Credentials<String>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    /// For all of it.
    pub(crate) whole_timeout: Duration,
}

/// What TLS is wanted.
#[derive(Clone, Copy)]
pub(crate) enum Security<'a> {
    /// None: this host's STARTTLS is known to be broken.
    Clear,
    /// If it is offered, with any certificate.
    Opportunistic(&'a TlsConnector),
    /// Always, with a certificate for the host's name.
    Required(&'a TlsConnector),
}

/// A conversation in which MAIL comes next.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    pub(crate) extensions: Extensions,
}

/// Opens a conversation; on failure says at which stage and why.
pub(crate) async fn open(opening: &Opening<'_>) -> Result<Opened, Seen> {
    let mut stage = Stage::Connect;
    match tokio::time::timeout(opening.whole_timeout, open_steps(opening, &mut stage)).await {
        Ok(result) => result,
        Err(_) => Err(Seen::trouble(stage, Trouble::TimedOut)),
    }
}

async fn open_steps(opening: &Opening<'_>, stage: &mut Stage) -> Result<Opened, Seen> {
    let stream = tokio::time::timeout(opening.connect_timeout, connect(opening.address, opening.source))
        .await
        .map_err(|_| Seen::trouble(Stage::Connect, Trouble::TimedOut))?
        .map_err(|error| Seen::trouble(Stage::Connect, Trouble::Broken(error.to_string())))?;
    let mut client = Client::new(Stream::Plain(stream), opening.command_timeout);

    *stage = Stage::Banner;
    let greeting = client.greeting().await.map_err(at(Stage::Banner))?;
    if greeting.code != 220 {
        return Err(Seen::reply(Stage::Banner, greeting));
    }

    *stage = Stage::Ehlo;
    let mut extensions = client.introduce(opening.ehlo).await?;

    let wants_tls = match opening.tls {
        Security::Clear => None,
        Security::Opportunistic(connector) => extensions.starttls.then_some((connector, false)),
        Security::Required(connector) => Some((connector, true)),
    };
    if let Some((connector, required)) = wants_tls {
        *stage = Stage::Starttls;
        if required && !extensions.starttls {
            let why = format!("TLS is required and {} does not offer STARTTLS", opening.host);
            return Err(Seen::trouble(Stage::Starttls, Trouble::Tls(why)));
        }
        client = client.start_tls(connector, opening.host).await?;
        *stage = Stage::Ehlo;
        extensions = client.introduce(opening.ehlo).await?;
    }
    if let Some(credentials) = opening.credentials {
        *stage = Stage::Auth;
        client.authenticate(credentials).await?;
    }
    Ok(Opened { stream: client.finish()?, extensions })
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source
        && source.is_ipv4() == address.is_ipv4()
    {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    // A flight is one write; without this the next one waits for the peer's delayed acknowledgement.
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

fn at(stage: Stage) -> impl Fn(Trouble) -> Seen {
    move |trouble| Seen::trouble(stage, trouble)
}

/// mail-send's client over a tapped stream.
struct Client {
    smtp: SmtpClient<Tap>,
    ehlo: Option<smtp_proto::EhloResponse<String>>,
}

impl Client {
    fn new(stream: Stream, timeout: Duration) -> Client {
        Client { smtp: SmtpClient { stream: Tap { stream, heard: Vec::new(), closed: false }, timeout }, ehlo: None }
    }

    async fn greeting(&mut self) -> Result<Reply, Trouble> {
        let timeout = self.smtp.timeout;
        let read = tokio::time::timeout(timeout, self.smtp.read()).await;
        match read {
            Ok(result) => self.heard(result.map(drop)),
            Err(_) => Err(Trouble::TimedOut),
        }
    }

    /// EHLO, or HELO where EHLO is not known (RFC 5321 §3.2); every other refusal is the answer.
    async fn introduce(&mut self, name: &str) -> Result<Extensions, Seen> {
        self.smtp.stream.heard.clear();
        let result = self.smtp.ehlo(name).await;
        match result {
            Ok(ehlo) => {
                self.in_step(Stage::Ehlo)?;
                let extensions = Extensions::from(&ehlo);
                self.ehlo = Some(ehlo);
                return Ok(extensions);
            }
            Err(error) => match self.heard(Err(error)) {
                Ok(reply) if matches!(reply.code, 500 | 502 | 504) => {}
                Ok(reply) => return Err(Seen::reply(Stage::Ehlo, reply)),
                Err(trouble) => return Err(Seen::trouble(Stage::Ehlo, trouble)),
            },
        }
        let reply = self.command(&format!("HELO {name}\r\n")).await.map_err(at(Stage::Ehlo))?;
        self.ehlo = None;
        if reply.code == 250 { Ok(Extensions::default()) } else { Err(Seen::reply(Stage::Ehlo, reply)) }
    }

    async fn start_tls(mut self, connector: &TlsConnector, host: &str) -> Result<Client, Seen> {
        let reply = self.command("STARTTLS\r\n").await.map_err(at(Stage::Starttls))?;
        if reply.code != 220 {
            return Err(Seen::reply(Stage::Starttls, reply));
        }
        let timeout = self.smtp.timeout;
        // Text behind the 220 must not be read as if it had come through TLS.
        let Stream::Plain(stream) = self.finish()? else {
            return Err(Seen::trouble(Stage::Starttls, Trouble::OutOfStep("TLS is on already".into())));
        };
        let tls = |why: String| Seen::trouble(Stage::Starttls, Trouble::Tls(why));
        let name = rustls::pki_types::ServerName::try_from(host.to_owned())
            .map_err(|_| tls(format!("{host} is not a name that a certificate can be for")))?;
        let stream = tokio::time::timeout(timeout, connector.connect(name, stream))
            .await
            .map_err(|_| Seen::trouble(Stage::Starttls, Trouble::TimedOut))?
            .map_err(|error| tls(error.to_string()))?;
        Ok(Client::new(Stream::Client(Box::new(stream)), timeout))
    }

    async fn authenticate(&mut self, credentials: &Credentials<String>) -> Result<(), Seen> {
        let Some(ehlo) = self.ehlo.take() else {
            let why = "the remote host does not know EHLO, so it cannot take AUTH";
            return Err(Seen::trouble(Stage::Auth, Trouble::OutOfStep(why.into())));
        };
        self.smtp.stream.heard.clear();
        match self.smtp.authenticate(credentials, &ehlo).await {
            Ok(_) => self.in_step(Stage::Auth),
            Err(mail_send::Error::UnsupportedAuthMechanism) => Err(Seen::trouble(
                Stage::Auth,
                Trouble::OutOfStep("the remote host offers no AUTH mechanism that fits the credentials".into()),
            )),
            Err(error) => match self.heard(Err(error)) {
                Ok(reply) => Err(Seen::reply(Stage::Auth, reply)),
                Err(trouble) => Err(Seen::trouble(Stage::Auth, trouble)),
            },
        }
    }

    async fn command(&mut self, line: &str) -> Result<Reply, Trouble> {
        self.smtp.stream.heard.clear();
        let result = self.smtp.cmd(line).await;
        self.heard(result.map(drop))
    }

    /// The last reply as it was heard; else what went wrong.
    fn heard(&mut self, result: mail_send::Result<()>) -> Result<Reply, Trouble> {
        let heard = std::mem::take(&mut self.smtp.stream.heard);
        let mut parser = ReplyParser::default();
        let mut last = None;
        let mut rest = &heard[..];
        while !rest.is_empty() {
            match parser.next(&mut rest) {
                Ok(Some(reply)) => last = Some(reply),
                Ok(None) => break,
                Err(error) => return Err(Trouble::OutOfStep(error.to_string())),
            }
        }
        let trouble = match (result, last) {
            (Err(mail_send::Error::Timeout), _) => Trouble::TimedOut,
            (_, Some(reply)) => return Ok(reply),
            (Err(mail_send::Error::Io(error)), None) => Trouble::Broken(error.to_string()),
            (_, None) if self.smtp.stream.closed => Trouble::Closed,
            (Err(error), None) => Trouble::OutOfStep(error.to_string()),
            (Ok(()), None) => Trouble::OutOfStep("no whole reply was heard".into()),
        };
        Err(trouble)
    }

    /// Checks that nothing was said beyond the reply that was asked for.
    fn in_step(&mut self, stage: Stage) -> Result<(), Seen> {
        let last = self.heard(Ok(())).map_err(at(stage))?;
        // Behind the answer that was asked for: most likely 421, by a host that thinks better of it.
        if last.is_success() { Ok(()) } else { Err(Seen::reply(stage, last)) }
    }

    /// The stream, once nothing that was read is left over.
    fn finish(mut self) -> Result<Stream, Seen> {
        self.smtp.stream.heard.clear();
        Ok(self.smtp.stream.stream)
    }
}

/// A stream that keeps a copy of what was read since it was last looked at.
struct Tap {
    stream: Stream,
    heard: Vec<u8>,
    closed: bool,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let tap = &mut *self;
        let poll = Pin::new(&mut tap.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &poll {
            let new = &buffer.filled()[before..];
            tap.closed = new.is_empty();
            let room = MOST_HEARD.saturating_sub(tap.heard.len());
            tap.heard.extend_from_slice(&new[..new.len().min(room)]);
        }
        poll
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A connection, with or without TLS, on either side.
pub(crate) enum Stream {
    Plain(TcpStream),
    Client(Box<client::TlsStream<TcpStream>>),
    Server(Box<server::TlsStream<TcpStream>>),
}

macro_rules! each_stream {
    ($stream:expr, $inner:ident => $call:expr) => {
        match &mut *$stream {
            Stream::Plain($inner) => $call,
            Stream::Client($inner) => $call,
            Stream::Server($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each_stream!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each_stream!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each_stream!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Client(stream) => stream.is_write_vectored(),
            Stream::Server(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_stream!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_stream!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}

/// More than the 4,096 octets that mail-send takes for one reply.
const MOST_HEARD: usize = 8 * 1024;
