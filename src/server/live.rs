//! The parts that a running gateway replaces when its configuration changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::StartError;
use super::authorities::{self, Authorities};
use super::door::{refresh, settings};
use super::needed::{NotTaken, expect_peppers, expect_record_keys};
use super::next;
use super::secrets::CountSecrets;
use super::snapshots::Snapshots;
use crate::admin;
use crate::certificate::Verifier;
use crate::clock;
use crate::config::{Collector, Config, Fixed, Seen, Source, Webhook};
use crate::directory::Directory;
use crate::doctor::Running;
use crate::door::{self, Terms};
use crate::gateway;
use crate::operation;
use crate::policy::{Asking, Observing};
use crate::sign::VerifyingKey;
use crate::store::{RecordKeys, Store};
use crate::telemetry::{Filter, Levels, Metrics};
use crate::upstream::Backend;

/// What is replaced, and where it is used.
pub(super) struct Live {
    /// Where the configuration is read, what of it stays as it was at the start, and what was seen of it then.
    source: Arc<Source>,
    fixed: Fixed,
    started_with: Arc<Seen>,
    /// What requests begin with.
    gateway: Arc<ArcSwap<gateway::Live>>,
    /// What the operator's questions begin with.
    admin: Arc<ArcSwap<admin::Live>>,
    authorities: Arc<Authorities>,
    /// Whom handshakes ask for certificates: as in `gateway`.
    asking: Arc<ArcSwap<Asking>>,
    /// How hands are shaken.
    terms: Arc<Terms>,
    /// Those whose addresses are looked after: as in `gateway`.
    backends: watch::Sender<Vec<Arc<Backend>>>,
    /// Those of the store.
    record_keys: RecordKeys,
    snapshots: Option<Snapshots>,
    levels: Levels,
    /// Where spans go.
    collector: watch::Sender<Option<Collector>>,
    /// Who is told what happens.
    webhooks: watch::Sender<Vec<Webhook>>,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    metrics: Metrics,
}

/// Everything new that a configuration brings: it is right, and nothing of it is in use yet.
pub(super) struct Prepared<'a> {
    authorities: authorities::Next<'a>,
    gateway: gateway::Live,
    admin: admin::Live,
    terms: door::Prepared,
    record_keys: RecordKeys,
    filter: Filter,
    collector: Option<Collector>,
    webhooks: Vec<Webhook>,
}

/// What the operator's questions begin with, as `config` says.
fn admin_live(
    config: &Arc<Config>,
    (source, started_with): (&Arc<Source>, &Arc<Seen>),
    verifier: &Arc<Verifier>,
) -> Result<admin::Live, admin::TlsError> {
    let running = Running::new(
        Arc::clone(source),
        Arc::clone(started_with),
        Arc::clone(config),
    );
    let settings = config.admin.as_ref();
    let tls = settings.and_then(|admin| admin.tls.as_ref());
    Ok(admin::Live {
        tls: tls.map(admin::Tls::acceptor).transpose()?,
        tokens: settings
            .map(|admin| admin.tokens.clone())
            .unwrap_or_default(),
        operations: Arc::new(operation::Settings {
            verifier: Some(Arc::clone(verifier)),
            running: Some(Arc::new(running)),
            ..operation::Settings::from(config.as_ref())
        }),
        names: config.headers.names.clone(),
    })
}

/// A secret that is known: its kind, its name, and whether it is the one that is used now.
type Known = (&'static str, String, bool);

impl Live {
    /// The parts of `config`, with which the gateway starts. `store` has its record keys.
    pub(super) fn new(
        (config, source, seen): (&Arc<Config>, &Arc<Source>, &Arc<Seen>),
        authorities: &Arc<Authorities>,
        (store, directory): (&Arc<dyn Store>, &Arc<Directory>),
        (levels, metrics): (Levels, &Metrics),
    ) -> Result<Self, StartError> {
        let parts = next::parts(config, None, directory, metrics)?;
        directory.keep_whole(!parts.masquerades.are_none());
        let (settings, judge) = (settings(config), authorities.verifier());
        let terms = Terms::new(settings, Arc::clone(judge), metrics.clone(), clock::now())?;
        let live = Self {
            source: Arc::clone(source),
            fixed: Fixed::of(config),
            started_with: Arc::clone(seen),
            asking: Arc::new(ArcSwap::new(Arc::clone(&parts.asking))),
            terms: Arc::new(terms),
            backends: watch::Sender::new(parts.backends.clone()),
            gateway: Arc::new(ArcSwap::from_pointee(parts)),
            admin: Arc::new(ArcSwap::from_pointee(admin_live(
                config,
                (source, seen),
                authorities.verifier(),
            )?)),
            authorities: Arc::clone(authorities),
            record_keys: config.store.record_keys().clone(),
            snapshots: Snapshots::of(config),
            levels,
            collector: watch::Sender::new(config.telemetry.tracing.collector.clone()),
            webhooks: watch::Sender::new(config.webhooks.clone()),
            store: Arc::clone(store),
            directory: Arc::clone(directory),
            metrics: metrics.clone(),
        };
        live.show(&[]);
        live.tell_of_observing(None);
        Ok(live)
    }

    /// What requests begin with.
    pub(super) const fn gateway(&self) -> &Arc<ArcSwap<gateway::Live>> {
        &self.gateway
    }

    /// What the operator's questions begin with.
    pub(super) const fn admin(&self) -> &Arc<ArcSwap<admin::Live>> {
        &self.admin
    }

    /// Whom handshakes ask for certificates.
    pub(super) const fn asking(&self) -> &Arc<ArcSwap<Asking>> {
        &self.asking
    }

    /// How hands are shaken.
    pub(super) const fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The backends that are in use, now and from now on.
    pub(super) fn backends(&self) -> watch::Receiver<Vec<Arc<Backend>>> {
        self.backends.subscribe()
    }

    /// Where spans go, now and from now on.
    pub(super) fn collector(&self) -> watch::Receiver<Option<Collector>> {
        self.collector.subscribe()
    }

    /// Who is told what happens, now and from now on.
    pub(super) fn webhooks(&self) -> watch::Receiver<Vec<Webhook>> {
        self.webhooks.subscribe()
    }

    /// Counts what depends on each secret.
    pub(super) fn counting(&self) -> CountSecrets {
        CountSecrets {
            store: Arc::clone(&self.store),
            directory: Arc::clone(&self.directory),
            record_keys: self.record_keys.clone(),
            live: Arc::clone(&self.gateway),
            metrics: self.metrics.clone(),
        }
    }

    /// Where the snapshot is, and under which pepper it is written.
    pub(super) const fn snapshots(&self) -> Option<&Snapshots> {
        self.snapshots.as_ref()
    }

    /// Makes everything new that `config` brings. Whatever can go wrong does so here, and changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`NotTaken`]: mostly when credentials that are good would be refused afterwards. Who wants
    /// that restarts the gateway.
    pub(super) async fn prepare(&self, mut config: Config) -> Result<Prepared<'_>, NotTaken> {
        let filter = Filter::read(&config.telemetry.log)?;
        let running = self.gateway.load_full();
        let terms = settings(&config);
        let terms = self.terms.prepare(terms, clock::now())?;
        let record_keys = config.store.record_keys().clone();
        expect_record_keys(&self.record_keys, &record_keys, self.store.as_ref()).await?;
        expect_peppers(&running.peppers, &config.keys.peppers, &self.directory).await?;
        // Until it is done, nobody reads revocation lists: what may take its time comes before.
        let authorities = self.authorities.next(&mut config).await?;
        config.stay_where(&self.fixed);
        let config = Arc::new(config);
        let gateway = next::parts(&config, Some(&running), &self.directory, &self.metrics)?;
        next::resolve(&gateway, &running).await;
        // Else everybody is asked for a while.
        let asking = Arc::clone(&gateway.asking);
        let worked_out = spawn_blocking(move || asking.work_out()).await;
        worked_out.map_err(|error| NotTaken::Failed(error.to_string()))?;
        Ok(Prepared {
            authorities,
            gateway,
            admin: admin_live(
                &config,
                (&self.source, &self.started_with),
                self.authorities.verifier(),
            )?,
            terms,
            record_keys,
            filter,
            collector: config.telemetry.tracing.collector.clone(),
            webhooks: config.webhooks.clone(),
        })
    }

    /// Puts what was prepared in the place of what is used, all of it. Gives the secrets that are
    /// known then.
    pub(super) fn commit(&self, prepared: Prepared<'_>) -> String {
        let Prepared {
            authorities,
            gateway,
            admin,
            terms,
            record_keys,
            filter,
            collector,
            webhooks,
        } = prepared;
        self.admin.store(Arc::new(admin));
        let before = self.gateway.load_full();
        warn_of_same_names(&before, &gateway);
        let known_before = self.known();
        let believes_more = self.record_keys.believe_less_than(&record_keys);
        self.record_keys.replace(&record_keys);
        if let Some(snapshots) = &self.snapshots {
            snapshots.seal_under(&gateway.peppers);
        }
        let gateway = Arc::new(gateway);
        self.asking.store(Arc::clone(&gateway.asking));
        self.backends.send_replace(gateway.backends.clone());
        // In this order: whom a new authority issued to is treated as it says.
        self.gateway.store(Arc::clone(&gateway));
        self.directory.keep_whole(!gateway.masquerades.are_none());
        authorities.trust();
        self.terms.commit(terms);
        refresh(&self.terms);
        self.levels.set(filter);
        self.collector.send_replace(collector);
        self.webhooks.send_replace(webhooks);
        next::forget(&before, &gateway, &self.metrics);
        self.tell_of_observing(before.observing.as_ref());
        let mut is_refused = false;
        self.directory.refused(|_, count| is_refused |= count > 0);
        if is_refused && believes_more {
            self.directory.load_again();
        }
        self.show(&known_before)
    }

    /// Says whom it only observes, now that these are no longer whom it observed `before`.
    fn tell_of_observing(&self, before: Option<&Observing>) {
        let live = self.gateway.load();
        let observing = live.observing.as_ref();
        self.metrics.observing.set(i64::from(observing.is_some()));
        let from = observing.map(Observing::addresses);
        if from == before.map(Observing::addresses) {
            return;
        }
        let Some(from) = from else {
            tracing::warn!("this gateway no longer observes: it enforces, for everybody");
            return;
        };
        tracing::warn!(
            from,
            "THIS GATEWAY ONLY OBSERVES: what comes from these addresses is passed on as it came, \
             also what would be refused; where SNAT or a balancer of TCP hides the callers' own \
             addresses, that is everybody, so name only addresses that nothing but the existing \
             gateway uses; take [observe] out of the configuration to enforce"
        );
    }

    fn known(&self) -> Vec<Known> {
        let parts = self.gateway.load();
        let (pepper, record_key) = (parts.peppers.current(), self.record_keys.current());
        let peppers = parts.peppers.versions();
        let peppers = peppers.map(|version| ("pepper", version.to_string(), version == pepper));
        let keys = self.record_keys.versions().into_iter();
        let keys = keys.map(|key| ("record_key", key.to_string(), Some(key) == record_key));
        let signers = parts.signers.iter().flatten();
        let signers = signers.map(|signer| ("signing", signer.key().id().to_owned(), true));
        let waiting = parts.key_sets.waiting().iter();
        let waiting = waiting.map(|key| ("signing", key.id().to_owned(), false));
        peppers.chain(keys).chain(signers).chain(waiting).collect()
    }

    /// Shows which secrets are known, now that they are no longer those `before`.
    fn show(&self, before: &[Known]) -> String {
        let (known, gauges) = (self.known(), &self.metrics.secret_current);
        for (kind, name, is_current) in &known {
            let gauge = gauges.with_label_values(&[kind, name.as_str()]);
            gauge.set(i64::from(*is_current));
        }
        let is_gone =
            |(kind, name, _): &&Known| !known.iter().any(|now| (now.0, &now.1) == (*kind, name));
        for (kind, name, _) in before.iter().filter(is_gone) {
            // There is none when two went by one name.
            let _ = gauges.remove_label_values(&[kind, name.as_str()]);
        }
        let told = known.iter().map(|(kind, name, is_current)| {
            let mark = if *is_current { " (current)" } else { "" };
            format!("{kind} {name}{mark}")
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

/// A backend finds a key by its name, so it cannot have two of one name; whether the gateway signs with them
/// or only publishes them.
fn warn_of_same_names(running: &gateway::Live, next: &gateway::Live) {
    let (before, after) = (keys_of(running), keys_of(next));
    let is_renewed =
        |after: &&VerifyingKey| before.iter().any(|before| before.is_renewed_by(after));
    for after in after.iter().filter(is_renewed) {
        tracing::warn!(
            key_id = after.id(),
            "a signing key has become another under the same key_id: its backend cannot tell them \
             apart and refuses requests until it has the new one; give a new key a new key_id"
        );
    }
}

/// What backends check signatures with: what is signed with now, and what is published beside it.
fn keys_of(parts: &gateway::Live) -> Vec<VerifyingKey> {
    let signers = parts.signers.iter().flatten();
    let signers = signers.map(|signer| signer.key().verifying());
    { signers }
        .chain(parts.key_sets.waiting().iter().cloned())
        .collect()
}
