//! One connection of one destination: finds a host, opens a conversation, and sends what waits there.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::drive::{Driver, Step};
use super::fleet::Place;
use super::instance::{Instance, lock};
use super::open::{Opened, Opening, Security, Stream, open};
use super::pump::give_back;
use crate::id::DeliveryId;
use crate::route::{Candidate, candidates, exchangers};
use crate::schedule::{Attempt, Seen, Waiting, conclude, expired_unattempted};
use crate::session::{Action, Ended, Session, Stage, Transaction};
use crate::smtp::Reply;
use crate::store::StoreError;
use crate::verdict::{Scope, Trouble};

/// Serves a destination until nothing waits for it, then gives its connection slot back.
pub(crate) async fn serve(instance: Arc<Instance>, destination: String) {
    let slot = Slot { instance: &instance, destination: &destination };
    let Some(place) = Place::take(&instance, &destination).await else {
        // Others have all connections of this destination. What waits here is theirs as soon as they have room; the
        // slot is kept for a while, so that nothing is asked again before.
        let at = instance.clock.now() + PLACE_WAIT;
        let waiting = lock(&instance.ready).close(&destination);
        for waiting in waiting {
            instance.settle(give_back(&waiting.delivery, at)).await;
        }
        tokio::select! {
            () = tokio::time::sleep(PLACE_WAIT) => {}
            () = instance.stopped() => {}
        }
        return;
    };
    let mut server =
        Server { instance: &instance, destination: &destination, carried: VecDeque::new(), is_leaving: false };
    while !instance.stopping() && server.has_work() {
        server.attempt().await;
    }
    // At a stop: nothing of these went out, and the next run must not take them for uncertain.
    let now = instance.clock.now();
    for (waiting, _) in std::mem::take(&mut server.carried) {
        instance.settle(give_back(&waiting.delivery, now)).await;
    }
    place.leave().await;
    drop(slot);
}

/// Gives the connection slot back, also when the task is dropped or panics.
struct Slot<'a> {
    instance: &'a Arc<Instance>,
    destination: &'a str,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        lock(&self.instance.ready).connection_ended(self.destination);
        self.instance.work.notify_one();
    }
}

struct Server<'a> {
    instance: &'a Arc<Instance>,
    destination: &'a str,
    /// Deliveries that one host has failed in this attempt, with what was seen: another host is next.
    carried: VecDeque<(Waiting, Option<Seen>)>,
    /// The connection is for other processes: what it has begun is the last.
    is_leaving: bool,
}

/// A host to try.
struct Host {
    name: String,
    address: SocketAddr,
}

impl Host {
    /// `name[ip]:port`.
    fn label(&self) -> String {
        format!("{}[{}]:{}", self.name, self.address.ip(), self.address.port())
    }
}

/// How a conversation ended.
struct Conversation {
    /// Whether the host answered about at least one message.
    progressed: bool,
    /// Why it ended, if the host or the network ended it.
    why: Option<Seen>,
}

impl Server<'_> {
    fn has_work(&self) -> bool {
        !self.carried.is_empty() || !self.is_leaving && lock(&self.instance.ready).len(self.destination) > 0
    }

    /// Whether the connection is to end because others have a right to it.
    fn leaves(&mut self) -> bool {
        self.is_leaving = self.is_leaving || lock(&self.instance.ready).ends_surplus(self.destination);
        self.is_leaving
    }

    /// One pass over the hosts of the destination. Afterwards something was settled, or nothing waits.
    async fn attempt(&mut self) {
        // Before MAIL nothing is under way, so a stop does not wait for it.
        let hosts = tokio::select! {
            hosts = self.hosts() => hosts,
            () = self.instance.stopped() => return,
        };
        let hosts = match hosts {
            Ok(hosts) => hosts,
            Err(seen) => return self.settle_all(seen).await,
        };
        let mut worst: Option<Seen> = None;
        let mut progressed = false;
        for host in &hosts {
            if self.instance.stopping() || !self.has_work() {
                return;
            }
            let opened = tokio::select! {
                opened = self.open(host) => opened,
                () = self.instance.stopped() => return,
            };
            match opened {
                Ok(opened) => {
                    let conversation = self.converse(opened, &host.label()).await;
                    worst = None;
                    progressed |= conversation.progressed;
                    if conversation.progressed && self.carried.is_empty() {
                        // Closed between two messages, or ended in order: the same host is asked again.
                        return;
                    }
                    if let Some(why) = conversation.why {
                        self.blame(&why);
                        if self.carried.is_empty() {
                            // It ended the conversation before the first message: like a host that did not open one.
                            worst = Some(why);
                        }
                    }
                }
                Err(seen) => {
                    let seen = seen.at(&host.label());
                    // A host's own words say more than a broken connection.
                    if worst.as_ref().is_none_or(|before| before.is_trouble() || !seen.is_trouble()) {
                        worst = Some(seen);
                    }
                }
            }
        }
        for (waiting, seen) in std::mem::take(&mut self.carried) {
            match seen.or_else(|| worst.clone()) {
                Some(seen) => self.settle(&waiting, Attempt::Refused(seen)).await,
                None => lock(&self.instance.ready).put_back(waiting),
            }
        }
        // Where one host took messages, another that cannot be reached says nothing about those that still wait.
        if let Some(seen) = worst.filter(|_| !progressed) {
            if seen.scope(&self.instance.config.plan.rules.current()) == Scope::Ourselves {
                // Our own login, most likely: no recipient is told of it, a person is.
                self.instance.alert("refused-credentials", &seen).await;
            }
            self.settle_all(seen).await;
        }
    }

    /// Marks what was offered to a host and not tried there with why: if no host is left, that is its attempt.
    fn blame(&mut self, why: &Seen) {
        for (_, seen) in &mut self.carried {
            seen.get_or_insert_with(|| why.clone());
        }
    }

    /// The hosts of this destination, in order.
    async fn hosts(&self) -> Result<Vec<Host>, Seen> {
        let instance = self.instance;
        let config = &instance.config;
        let dns = |trouble| Seen::trouble(Stage::Dns, trouble);
        let host = |name: &str, address, port| Host { name: name.to_owned(), address: SocketAddr::new(address, port) };
        if let Some(relay) = &config.relay {
            let addresses = match relay.host.parse() {
                Ok(address) => Ok(vec![address]),
                Err(_) => instance.resolver.addresses(&relay.host).await,
            };
            let exchangers = crate::route::Exchangers { hosts: vec![relay.host.clone()], implicit: true };
            // The user named this host: a private address is what they meant.
            let found = candidates(&relay.host, &exchangers, vec![addresses], |_| false, true).map_err(|trouble| {
                // A relay whose name is wrong is our own fault and may be mended: no message fails for it.
                dns(match trouble {
                    Trouble::DnsTemporary(why) => Trouble::DnsTemporary(why),
                    other => Trouble::DnsTemporary(format!("the smarthost {} has no address: {other:?}", relay.host)),
                })
            })?;
            return Ok(found.into_iter().map(|found| host(&found.host, found.address, relay.port)).collect());
        }
        let domain = self.destination;
        if let Some(literal) = domain.strip_prefix('[').and_then(|domain| domain.strip_suffix(']')) {
            let address = literal.strip_prefix("ipv6:").unwrap_or(literal).parse();
            let exchangers = crate::route::Exchangers { hosts: vec![domain.to_owned()], implicit: true };
            let answers = vec![Ok(address.into_iter().collect())];
            let found = candidates(domain, &exchangers, answers, |_| false, config.allow_loopback).map_err(dns)?;
            return Ok(found.into_iter().map(|found| host(&found.host, found.address, config.smtp_port)).collect());
        }
        let answer = instance.resolver.mx(domain).await;
        let seed = instance.clock.now().as_millis().unsigned_abs();
        let exchangers =
            exchangers(domain, answer, |name| name.eq_ignore_ascii_case(&config.ehlo), seed).map_err(dns)?;
        let mut answers = Vec::with_capacity(exchangers.hosts.len());
        for name in &exchangers.hosts {
            answers.push(instance.resolver.addresses(name).await);
        }
        let is_self = |address| instance.is_own_socket(address, config.smtp_port);
        let found = candidates(domain, &exchangers, answers, is_self, config.allow_loopback).map_err(dns)?;
        Ok(found.into_iter().map(|Candidate { host: name, address }| host(&name, address, config.smtp_port)).collect())
    }

    /// Opens a conversation, in clear if STARTTLS is offered there and broken.
    async fn open(&self, host: &Host) -> Result<Opened, Seen> {
        let instance = self.instance;
        let config = &instance.config;
        let ip = host.address.ip();
        let credentials = config.relay.as_ref().and_then(|relay| relay.credentials.as_ref());
        let broken = lock(&instance.broken_tls).get(&ip).is_some_and(|until| *until > instance.clock.now());
        let tls = match (&instance.connectors.verified, credentials.is_some()) {
            (Ok(connector), true) => Security::Required(connector),
            (Err(why), true) => return Err(Seen::trouble(Stage::Starttls, Trouble::Tls(why.clone()))),
            (_, false) if broken => Security::Clear,
            (_, false) => Security::Opportunistic(&instance.connectors.opportunistic),
        };
        let mut opening = Opening {
            host: &host.name,
            address: host.address,
            source: config.source,
            ehlo: &config.ehlo,
            tls,
            credentials,
            connect_timeout: config.connect_timeout,
            command_timeout: config.session.command_timeout,
            whole_timeout: config.opening_timeout,
        };
        match open(&opening).await {
            Err(seen) if seen.stage == Stage::Starttls && matches!(tls, Security::Opportunistic(_)) => {
                tracing::warn!(host = host.label(), "STARTTLS is offered and broken; sending in clear for a while");
                let until = instance.clock.now() + BROKEN_TLS;
                {
                    let mut memory = lock(&instance.broken_tls);
                    memory.retain(|_, until| *until > instance.clock.now());
                    memory.insert(ip, until);
                }
                opening.tls = Security::Clear;
                open(&opening).await
            }
            result => result,
        }
    }

    /// Sends what waits over one conversation. What it leaves undone is carried.
    async fn converse(&mut self, opened: Opened, label: &str) -> Conversation {
        let instance = self.instance;
        let clock = &instance.clock;
        let session = Session::new(instance.config.session.clone(), opened.extensions, clock.instant());
        let mut line: Driver<Stream, Session> = Driver::new(opened.stream, session, clock.clone());
        let mut stop = instance.stop.subscribe();
        let bell = lock(&instance.ready).bell(self.destination);
        let mut flying: Vec<Waiting> = Vec::new();
        // Those of them that stand in the durable in-flight set.
        let mut marked: HashSet<DeliveryId> = HashSet::new();
        let mut begin = Begin::default();
        let mut open_slots = 0_usize;
        let mut was_ready = false;
        let mut store_failed = false;
        let mut quitting = false;
        let mut end = Conversation { progressed: false, why: None };
        // What this host has failed stays aside: it goes to the next one.
        let mut failed: VecDeque<(Waiting, Option<Seen>)> = VecDeque::new();
        loop {
            if !quitting && open_slots > 0 && self.leaves() && self.carried.is_empty() {
                quitting = true;
                let now = line.now();
                line.machine().quit(now);
            }
            while open_slots > 0 && !quitting && !*stop.borrow() {
                let Some(mut waiting) = self.next().await else { break };
                waiting.tried = true;
                open_slots -= 1;
                begin.wanted.push(waiting.delivery.id);
                let now = line.now();
                line.machine().offer(transaction(&waiting), now);
                flying.push(waiting);
            }
            if *stop.borrow() && !quitting {
                quitting = true;
                let now = line.now();
                line.machine().quit(now);
            }
            begin.start(instance);
            let idle = open_slots > 0 && flying.is_empty() && !quitting;
            tokio::select! {
                biased;
                begun = begin.next(), if begin.running.is_some() => match begun {
                    Ok(begun) => {
                        let now = line.now();
                        for delivery in &begun.may_go_on {
                            line.machine().release(*delivery, now);
                            marked.insert(*delivery);
                        }
                        // Cancelled, or the lease was lost: somebody else has it. One that was refused meanwhile is
                        // in the conversation no more, and its mark was not needed.
                        let is_lost = |waiting: &mut Waiting| {
                            let id = &waiting.delivery.id;
                            begun.asked.contains(id) && !begun.may_go_on.contains(id)
                        };
                        for waiting in flying.extract_if(.., is_lost) {
                            line.machine().withdraw(waiting.delivery.id, now);
                            line.machine().quit(now);
                            quitting = true;
                            lock(&instance.held).remove(&waiting.delivery.id);
                            end.progressed = true;
                        }
                    }
                    Err(error) => {
                        // Without the in-flight mark no end of data may go out. One whose end is out keeps its
                        // conversation until the reply: it may have been accepted.
                        tracing::error!(%error, "deliveries could not be marked as in flight");
                        let now = line.now();
                        for waiting in flying.extract_if(.., |waiting| !marked.contains(&waiting.delivery.id)) {
                            line.machine().withdraw(waiting.delivery.id, now);
                            failed.push_back((waiting, None));
                        }
                        begin.wanted.clear();
                        line.machine().quit(now);
                        quitting = true;
                        store_failed = true;
                    }
                },
                step = line.next() => match step {
                    Step::Act(Action::Ready) => {
                        open_slots += 1;
                        was_ready = true;
                    }
                    Step::Act(Action::Done(delivery, ended)) => {
                        let Some(index) = flying.iter().position(|waiting| waiting.delivery.id == delivery) else {
                            continue;
                        };
                        let waiting = flying.remove(index);
                        begin.wanted.retain(|wanted| *wanted != delivery);
                        marked.remove(&delivery);
                        self.done(waiting, ended, label, &mut end, &mut failed).await;
                    }
                    Step::Closed => break,
                },
                () = bell.notified(), if idle => {}
                () = tokio::time::sleep(instance.config.idle_timeout), if idle => {
                    quitting = true;
                    let now = line.now();
                    line.machine().quit(now);
                }
                _ = stop.changed() => {}
            }
        }
        if let (false, Some((reply, trouble))) = (was_ready || quitting, line.machine().ending()) {
            end.why = Some(before_mail(reply.clone(), trouble.clone()).at(label));
        }
        if store_failed {
            tokio::time::sleep(STORE_WAIT).await;
        }
        failed.extend(flying.into_iter().map(|waiting| (waiting, None)));
        // In the order in which they were taken.
        failed.append(&mut self.carried);
        self.carried = failed;
        end
    }

    /// The next delivery to offer: what another host failed first, then the queue. One whose time is over is settled.
    async fn next(&mut self) -> Option<Waiting> {
        loop {
            let waiting = match self.carried.pop_front() {
                Some((waiting, _)) => waiting,
                None => {
                    let mut ready = lock(&self.instance.ready);
                    let waiting = ready.pop(self.destination)?;
                    if ready.runs_low(self.destination) {
                        drop(ready);
                        self.instance.due_at(self.instance.clock.now());
                    }
                    waiting
                }
            };
            let now = self.instance.clock.now();
            match expired_unattempted(&waiting.delivery, self.instance.since(now), now) {
                Some(settlement) => self.instance.settle(settlement).await,
                None => return Some(waiting),
            }
        }
    }

    /// Takes in how a transaction ended.
    async fn done(
        &self,
        waiting: Waiting,
        ended: Ended,
        label: &str,
        end: &mut Conversation,
        failed: &mut VecDeque<(Waiting, Option<Seen>)>,
    ) {
        let attempt = match ended {
            Ended::Accepted(reply) => Attempt::Delivered(reply, label.to_owned()),
            Ended::Refused(stage, reply) => Attempt::Refused(Seen::reply(stage, reply).at(label)),
            Ended::Stopped(stage, trouble @ Trouble::Unsupported(..)) => {
                Attempt::Refused(Seen::trouble(stage, trouble).at(label))
            }
            Ended::Stopped(stage, trouble) => {
                let seen = Seen::trouble(stage, trouble).at(label);
                failed.push_back((waiting, Some(seen.clone())));
                end.why = Some(seen);
                return;
            }
            Ended::Uncertain(trouble) => Attempt::Uncertain(Seen::trouble(Stage::EndOfData, trouble).at(label)),
            Ended::NotTried(reply, trouble) => {
                if end.progressed {
                    // Closed between two messages: it is asked again, without an attempt.
                    lock(&self.instance.ready).put_back(waiting);
                } else {
                    failed.push_back((waiting, None));
                    end.why.get_or_insert_with(|| before_mail(reply, trouble).at(label));
                }
                return;
            }
        };
        end.progressed = true;
        self.settle(&waiting, attempt).await;
    }

    async fn settle(&self, waiting: &Waiting, attempt: Attempt) {
        let now = self.instance.clock.now();
        self.instance.settle(conclude(&waiting.delivery, attempt, &self.instance.config.plan, now)).await;
    }

    /// The destination as a whole failed: that is one attempt of everything that waits for it.
    async fn settle_all(&mut self, seen: Seen) {
        let waiting = lock(&self.instance.ready).take_all(self.destination);
        for (waiting, _) in std::mem::take(&mut self.carried) {
            self.settle(&waiting, Attempt::Refused(seen.clone())).await;
        }
        for waiting in waiting {
            self.settle(&waiting, Attempt::Refused(seen.clone())).await;
        }
    }
}

/// What ended a conversation before MAIL was answered: the host's own words, if it said any.
fn before_mail(reply: Option<Reply>, trouble: Trouble) -> Seen {
    match reply {
        Some(reply) => Seen::reply(Stage::Mail, reply),
        None => Seen::trouble(Stage::Mail, trouble),
    }
}

fn transaction(waiting: &Waiting) -> Transaction {
    let delivery = &waiting.delivery;
    Transaction {
        delivery: delivery.id,
        return_path: delivery.return_path.clone(),
        recipient: delivery.recipient.clone(),
        prefix: delivery.prefix.clone(),
        body: waiting.body.clone(),
        smtputf8: delivery.smtputf8,
        eight_bit: delivery.eight_bit,
    }
}

/// The marks of deliveries as in flight, on their way to the store: one commit at a time, while the envelope is
/// under way to the host.
#[derive(Default)]
struct Begin {
    wanted: Vec<DeliveryId>,
    running: Option<Pin<Box<Marking>>>,
}

type Marking = dyn Future<Output = Result<Begun, StoreError>> + Send;

/// What the store answered.
#[derive(Default)]
struct Begun {
    asked: Vec<DeliveryId>,
    may_go_on: Vec<DeliveryId>,
}

impl Begin {
    fn start(&mut self, instance: &Arc<Instance>) {
        if self.running.is_none() && !self.wanted.is_empty() {
            let store = instance.store.clone();
            let asked = std::mem::take(&mut self.wanted);
            self.running = Some(Box::pin(async move {
                let may_go_on = store.begin(asked.clone()).await?;
                Ok(Begun { asked, may_go_on })
            }));
        }
    }

    /// Waits for the running one. Cancel-safe: it stays here until it has ended.
    async fn next(&mut self) -> Result<Begun, StoreError> {
        let Some(running) = &mut self.running else { return Ok(Begun::default()) };
        let result = running.await;
        self.running = None;
        result
    }
}

/// A host whose STARTTLS failed is asked again after an hour.
const BROKEN_TLS: Duration = Duration::from_secs(3600);
/// Until a destination whose connections other processes have is asked for again.
const PLACE_WAIT: Duration = Duration::from_secs(1);
/// After the store could not mark deliveries as in flight.
const STORE_WAIT: Duration = Duration::from_secs(1);
