//! Starting a mailer: what can be wrong is found out first, then its parts are put together.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicUsize};
use std::sync::{Arc, Mutex, RwLock};

use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::config::Checked;
use super::dns::HickoryResolver;
use super::fleet::{Fleet, RECOVERY_LEASE, keep_in_touch, listen_for_news};
use super::instance::Instance;
use super::mailer::Mailer;
use super::pump::{cleaner, keeper, pump};
use super::ring::open_keyring;
use super::settle::settler;
use super::tls::{Connectors, certificates};
use crate::error::{Error, Kind};
use crate::event::Dispatcher;
use crate::id::IdSource;
use crate::return_path::{Forms, ReturnDomains};
use crate::schedule::{Ready, Steady};
use crate::store::Store;

/// What can be wrong and is found out before a store is made.
pub(super) struct Ground {
    domains: ReturnDomains,
    roots: Option<Vec<CertificateDer<'static>>>,
    resolver: HickoryResolver,
}

impl Ground {
    pub(super) fn lay(checked: &Checked) -> Result<Ground, Error> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::new(Kind::Config, "start: there is no tokio runtime here; call it within one"));
        }
        let domains =
            ReturnDomains::new(&checked.domain, &checked.further_domains, &checked.layout).map_err(|wrong| {
                Error::new(Kind::Config, wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            })?;
        let roots = match &checked.tls_roots {
            Some(path) => {
                Some(certificates(path).map_err(|why| Error::new(Kind::Config, format!("tls_roots: {why}")))?)
            }
            None => None,
        };
        let resolver = HickoryResolver::new(checked.config.dns)
            .map_err(|why| Error::new(Kind::Config, format!("dns: the resolver cannot be set up: {why}")))?;
        Ok(Ground { domains, roots, resolver })
    }
}

impl Mailer {
    pub(crate) async fn start(checked: Checked) -> Result<Mailer, Error> {
        let ground = Ground::lay(&checked)?;
        let store = checked.store.open(&checked.config).await?;
        Mailer::start_on(store, ground, checked).await
    }

    /// Starts on a store that is open.
    pub(super) async fn start_on(store: Arc<dyn Store>, ground: Ground, checked: Checked) -> Result<Mailer, Error> {
        let Ground { domains, roots, resolver } = ground;
        let config = checked.config;
        let clock = config.clock.clone();
        let now = clock.now();
        let ring_in_store = checked.keyring.is_none();
        let keyring = open_keyring(&*store, checked.keyring, now).await?;
        let recovered = store.recover(now, now + RECOVERY_LEASE).await?;
        let (settlements, waiting) = mpsc::channel(SETTLEMENTS);
        let instance = Arc::new(Instance {
            fleet: Fleet::new(store.beat_every().is_some()),
            store: store.clone(),
            clock: clock.clone(),
            keyring: RwLock::new(keyring),
            ring_turn: tokio::sync::Mutex::default(),
            ring_in_store,
            domains,
            forms: RwLock::new(Forms::default()),
            ids: Mutex::new(IdSource::new(store.node(), recovered.high_water)),
            resolver: Arc::new(resolver),
            connectors: Connectors::new(roots.as_deref()),
            since: Mutex::new(Steady::new(now, clock.instant())),
            ready: Mutex::new(Ready::new(config.ready)),
            held: Mutex::new(HashSet::new()),
            turn: tokio::sync::Mutex::default(),
            broken_tls: Mutex::default(),
            own_sockets: Mutex::default(),
            work: Notify::new(),
            due: AtomicI64::new(now.as_millis()),
            events: Arc::new(Notify::new()),
            settled: watch::Sender::new(0),
            settlements,
            pending: AtomicUsize::new(0),
            submissions: Arc::new(Semaphore::new(SUBMISSIONS)),
            stop: watch::Sender::new(false),
            config,
        });
        instance.refresh_forms(now).await?;
        tracing::info!(leases = recovered.leased, in_flight = recovered.in_flight.len(), "the store is open");
        // Exactly what was in flight when the process died may have been accepted: told before anything is sent.
        let uncertain = instance.uncertain(&recovered, now);
        if !uncertain.is_empty() {
            store.settle(uncertain).await?;
        }
        let stop = || instance.stop.subscribe();
        let dispatcher = Dispatcher {
            store,
            handler: checked.handler,
            clock,
            config: instance.config.dispatch.clone(),
            wake: instance.events.clone(),
        };
        let tasks = vec![
            tokio::spawn(settler(instance.clone(), waiting)),
            // Signs of life are given until the last conversation has ended.
            tokio::spawn({
                let instance = instance.clone();
                async move {
                    tokio::select! {
                        () = pump(instance.clone()) => {}
                        () = keep_in_touch(instance) => {}
                    }
                }
            }),
            tokio::spawn(keeper(instance.clone(), stop())),
            tokio::spawn(listen_for_news(instance.clone(), stop())),
            tokio::spawn(cleaner(instance.clone(), stop())),
            tokio::spawn(dispatcher.run(stop())),
        ];
        Ok(Mailer::of(instance, tasks))
    }
}

/// Outcomes on their way to the store.
const SETTLEMENTS: usize = 4_096;
/// Calls of `send` that may wait for the store at one time; further ones wait for those.
const SUBMISSIONS: usize = 1_024;
