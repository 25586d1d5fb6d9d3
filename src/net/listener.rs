//! The listener's sockets: accepts connections, drives [`crate::listener::Reception`], stores what came.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::config::check_time;
use super::drive::{Driver, Step};
use super::instance::{Instance, lock};
use super::open::Stream;
use super::tls::acceptor;
use crate::error::{Error, Kind};
use crate::listener::{Action, Reception, ReceptionConfig};
use crate::store::StoreError;

/// Settings of a [`Listener`]; from [`Mailer::listener`](crate::Mailer::listener).
#[must_use]
pub struct ListenerBuilder {
    instance: Arc<Instance>,
    reception: ReceptionConfig,
    certificate: Option<(PathBuf, PathBuf)>,
    max_connections: usize,
    max_connections_per_address: usize,
}

impl ListenerBuilder {
    pub(crate) fn new(instance: Arc<Instance>) -> ListenerBuilder {
        let reception = ReceptionConfig { hostname: instance.config.ehlo.clone(), ..ReceptionConfig::default() };
        ListenerBuilder {
            instance,
            reception,
            certificate: None,
            // 1,000: one report in flight each; more are answered 421 and come again.
            max_connections: 1_000,
            // 50: the largest providers bring reports over a dozen at a time.
            max_connections_per_address: 50,
        }
    }

    /// Offers STARTTLS with this certificate chain and key, both PEM files.
    pub fn tls(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((certificate.into(), key.into()));
        self
    }

    /// The largest message taken, in octets. Default: see the manual's page on defaults.
    pub fn max_size(mut self, octets: u64) -> Self {
        self.reception.max_size = octets;
        self.reception.keep = self.reception.keep.min(usize::try_from(octets).unwrap_or(usize::MAX));
        self
    }

    /// Connections at one time; more are answered 421. Default: 1,000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// For a whole command line.
    pub fn command_timeout(mut self, time: Duration) -> Self {
        self.reception.command_timeout = time;
        self
    }

    /// For a whole conversation, and so for each message in it.
    pub fn session_timeout(mut self, time: Duration) -> Self {
        self.reception.session_timeout = time;
        self.reception.message_timeout = self.reception.message_timeout.min(time);
        self
    }

    /// Opens the socket. Port 0 takes a free one; [`Listener::local_addr`] tells which.
    ///
    /// # Errors
    ///
    /// [`Error::is_network`]: the address is in use, or the port needs a right that the process lacks.
    /// [`Error::is_config`]: the certificate or the key cannot be used.
    pub async fn bind(mut self, address: &str) -> Result<Listener, Error> {
        let parsed: SocketAddr = address.parse().map_err(|_| {
            Error::new(Kind::Config, format!("listen: {address:?} is not an address and port such as `[::]:25`"))
        })?;
        let tls = match &self.certificate {
            Some((certificate, key)) => {
                Some(acceptor(certificate, key).map_err(|why| Error::new(Kind::Config, format!("tls: {why}")))?)
            }
            None => None,
        };
        let times =
            [("command_timeout", self.reception.command_timeout), ("session_timeout", self.reception.session_timeout)];
        if let Some(problem) = times.into_iter().find_map(|(name, time)| check_time(name, time)) {
            return Err(Error::new(Kind::Config, problem));
        }
        self.reception.starttls = tls.is_some();
        let socket = TcpListener::bind(parsed).await.map_err(|error| {
            let advice = match error.kind() {
                std::io::ErrorKind::AddrInUse => "another program listens there: stop it, or choose another port",
                std::io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need a right: CAP_NET_BIND_SERVICE, or a redirect from port 25 to a higher one"
                }
                std::io::ErrorKind::AddrNotAvailable => "no interface of this host has that address",
                _ => "the socket could not be opened",
            };
            Error::caused(Kind::Network, format!("listen: {parsed}: {error}; {advice}"), error)
        })?;
        let local = socket
            .local_addr()
            .map_err(|error| Error::caused(Kind::Network, format!("listen: {parsed}: {error}"), error))?;
        lock(&self.instance.own_sockets).push(local);
        let (stop, stopped) = watch::channel(false);
        let accepting = Accepting {
            instance: self.instance,
            reception: Arc::new(self.reception),
            tls,
            limits: Arc::new(Limits {
                most: self.max_connections,
                most_per_address: self.max_connections_per_address,
                open: Mutex::default(),
            }),
        };
        let task = tokio::spawn(accepting.run(socket, stopped));
        Ok(Listener { local, stop, task: Some(task) })
    }
}

impl fmt::Debug for ListenerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerBuilder").field("reception", &self.reception).finish_non_exhaustive()
    }
}

/// An open listener. Dropped, it closes its socket and drops its conversations: a peer that was not told 250 sends again.
#[derive(Debug)]
pub struct Listener {
    local: SocketAddr,
    stop: watch::Sender<bool>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Listener {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Stops: no new connections, 421 before the next command of those that are open; messages under way are taken
    /// to their end within `deadline`.
    pub async fn stop(mut self, deadline: Duration) {
        let _ = self.stop.send(true);
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(deadline, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Accepting {
    instance: Arc<Instance>,
    reception: Arc<ReceptionConfig>,
    tls: Option<TlsAcceptor>,
    limits: Arc<Limits>,
}

impl Accepting {
    async fn run(self, socket: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut conversations = JoinSet::new();
        let mut stop_instance = self.instance.stop.subscribe();
        loop {
            tokio::select! {
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let conversation = Conversation {
                            instance: self.instance.clone(),
                            reception: self.reception.clone(),
                            tls: self.tls.clone(),
                            peer,
                        };
                        let place = self.limits.take(peer.ip());
                        conversations.spawn(conversation.run(stream, place, stop.clone()));
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: those that close give some back.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                },
                Some(ended) = conversations.join_next(), if !conversations.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a conversation's task ended badly");
                    }
                }
                _ = stop.changed() => break,
                _ = stop_instance.changed() => break,
            }
        }
        drop(socket);
        while conversations.join_next().await.is_some() {}
    }
}

/// How many connections are open, in all and by address.
struct Limits {
    most: usize,
    most_per_address: usize,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

impl Limits {
    /// A place for a connection; `None` when there is none left.
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut open = lock(&self.open);
        let (all, by_address) = &mut *open;
        let of_peer = by_address.entry(peer).or_default();
        if *all >= self.most || *of_peer >= self.most_per_address {
            if *of_peer == 0 {
                by_address.remove(&peer);
            }
            return None;
        }
        *all += 1;
        *of_peer += 1;
        Some(Place { limits: self.clone(), peer })
    }
}

/// A connection's place; given back when it is dropped.
struct Place {
    limits: Arc<Limits>,
    peer: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.limits.open);
        let (all, by_address) = &mut *open;
        *all -= 1;
        if let Some(of_peer) = by_address.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                by_address.remove(&self.peer);
            }
        }
    }
}

struct Conversation {
    instance: Arc<Instance>,
    reception: Arc<ReceptionConfig>,
    tls: Option<TlsAcceptor>,
    peer: SocketAddr,
}

impl Conversation {
    async fn run(self, stream: TcpStream, place: Option<Place>, mut stop: watch::Receiver<bool>) {
        let _ = stream.set_nodelay(true);
        if place.is_none() {
            return self.turn_away(stream).await;
        }
        let clock = self.instance.clock.clone();
        let machine = Reception::new(self.reception.clone(), self.instance.clone(), self.peer, false, clock.instant());
        let mut line = Driver::new(Stream::Plain(stream), machine, clock.clone());
        let mut stop_instance = self.instance.stop.subscribe();
        let mut stopping = false;
        loop {
            let step = tokio::select! {
                step = line.next() => step,
                () = said(&mut stop, &mut stop_instance), if !stopping => {
                    stopping = true;
                    let now = line.now();
                    line.machine().stop(now);
                    continue;
                }
            };
            match step {
                Step::Closed => return,
                Step::Act(Action::StartTls) => {
                    let (stream, mut machine) = line.into_parts();
                    let (Some(acceptor), Stream::Plain(stream)) = (&self.tls, stream) else { return };
                    let shake = tokio::time::timeout(self.reception.command_timeout, acceptor.accept(stream)).await;
                    let Ok(Ok(stream)) = shake else {
                        tracing::debug!(peer = %self.peer, "a TLS handshake failed");
                        return;
                    };
                    machine.secured(clock.instant());
                    line = Driver::new(Stream::Server(Box::new(stream)), machine, clock.clone());
                }
                Step::Act(Action::Store(received)) => {
                    tracing::debug!(peer = %self.peer, helo = received.helo, octets = received.size, "a message was received");
                    let stored = self
                        .instance
                        .take_in(&received.mail_from, &received.recipients, &received.data)
                        .await
                        .map(drop)
                        .map_err(|error| {
                            tracing::error!(%error, peer = %self.peer, "a report could not be stored");
                            error.is_full()
                        });
                    let now = line.now();
                    line.machine().stored(stored, now);
                }
            }
        }
    }

    /// Too many connections: 421 at once, so that a good client comes again later.
    async fn turn_away(&self, mut stream: TcpStream) {
        use tokio::io::AsyncWriteExt;
        let line = format!("421 4.3.2 {} too many connections, try again later\r\n", self.reception.hostname);
        let _ = tokio::time::timeout(TURN_AWAY, stream.write_all(line.as_bytes())).await;
    }
}

/// Waits until the listener or the whole instance is to stop, or nobody can say it any more.
async fn said(listener: &mut watch::Receiver<bool>, instance: &mut watch::Receiver<bool>) {
    tokio::select! {
        _ = listener.changed() => {}
        _ = instance.wait_for(|stop| *stop) => {}
    }
}

impl Error {
    /// Whether the store has no room.
    fn is_full(&self) -> bool {
        use std::error::Error as _;
        self.source()
            .and_then(|source| source.downcast_ref::<StoreError>())
            .is_some_and(|error| matches!(error, StoreError::Full(_)))
    }
}

const ACCEPT_RETRY: Duration = Duration::from_millis(100);
const TURN_AWAY: Duration = Duration::from_secs(2);
