//! The parts that a running gateway replaces when its configuration changes.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::authorities::{self, Authorities};
use super::needed::{NotTaken, expect_peppers, expect_record_keys};
use super::secrets::CountSecrets;
use super::snapshots::Snapshots;
use crate::config::{Backend, Config};
use crate::directory::Directory;
use crate::gateway;
use crate::sign::{Names, Signer};
use crate::store::{RecordKeys, Store};
use crate::telemetry::Metrics;

/// What is replaced, and where it is used.
pub(super) struct Live {
    gateway: Arc<ArcSwap<gateway::Live>>,
    authorities: Arc<Authorities>,
    /// Those of the store.
    record_keys: RecordKeys,
    snapshots: Option<Snapshots>,
    backends: Vec<String>,
    names: Names,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    metrics: Metrics,
}

/// Everything new that a configuration brings: it is right, and nothing of it is in use yet.
pub(super) struct Prepared<'a> {
    authorities: authorities::Next<'a>,
    gateway: gateway::Live,
    record_keys: RecordKeys,
}

/// A secret that is known: its kind, its name, and whether it is the one that is used now.
type Known = (&'static str, String, bool);

impl Live {
    /// The parts of `config`, with which the gateway starts. `store` has its record keys.
    pub(super) fn new(
        config: &Config,
        authorities: &Arc<Authorities>,
        (store, directory): (&Arc<dyn Store>, &Arc<Directory>),
        metrics: &Metrics,
    ) -> Self {
        let name = |backend: &Backend| backend.name.clone();
        let backends: Vec<_> = config.backends.iter().map(name).collect();
        let names = config.headers.names.clone();
        let parts = parts(config, &backends, &names);
        let snapshots = Snapshots::of(config);
        let live = Self {
            gateway: Arc::new(ArcSwap::from_pointee(parts)),
            authorities: Arc::clone(authorities),
            record_keys: config.store.record_keys().clone(),
            snapshots,
            backends,
            names,
            store: Arc::clone(store),
            directory: Arc::clone(directory),
            metrics: metrics.clone(),
        };
        live.show(&[]);
        live
    }

    /// What requests begin with.
    pub(super) const fn gateway(&self) -> &Arc<ArcSwap<gateway::Live>> {
        &self.gateway
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
    /// [`NotTaken`] when credentials that are good would be refused afterwards: who wants that
    /// restarts the gateway.
    pub(super) async fn prepare(&self, mut config: Config) -> Result<Prepared<'_>, NotTaken> {
        let running = self.gateway.load_full();
        let authorities = self.authorities.next(&mut config).await?;
        let mut gateway = parts(&config, &self.backends, &self.names);
        // A backend that is no longer there is there until the gateway is restarted.
        for (next, running) in gateway.signers.iter_mut().zip(&running.signers) {
            if next.is_none() {
                next.clone_from(running);
            }
        }
        let record_keys = config.store.record_keys().clone();
        expect_record_keys(&self.record_keys, &record_keys, self.store.as_ref()).await?;
        expect_peppers(&running.peppers, &gateway.peppers, &self.directory).await?;
        Ok(Prepared {
            authorities,
            gateway,
            record_keys,
        })
    }

    /// Puts what was prepared in the place of what is used, all of it. Gives the secrets that are
    /// known then.
    pub(super) fn commit(&self, prepared: Prepared<'_>) -> String {
        let Prepared {
            authorities,
            gateway,
            record_keys,
        } = prepared;
        warn_of_same_names(&self.gateway.load(), &gateway);
        let before = self.known();
        let believes_more = self.record_keys.believe_less_than(&record_keys);
        self.record_keys.replace(&record_keys);
        if let Some(snapshots) = &self.snapshots {
            snapshots.seal_under(&gateway.peppers);
        }
        // In this order: whom a new authority issued to is treated as it says.
        self.gateway.store(Arc::new(gateway));
        authorities.trust();
        let mut is_refused = false;
        self.directory.refused(|_, count| is_refused |= count > 0);
        if is_refused && believes_more {
            self.directory.load_again();
        }
        self.show(&before)
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
        peppers.chain(keys).chain(signers).collect()
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

/// What of `config` is replaced while the gateway runs, with the `backends` and the header `names`
/// with which it was started. What can be replaced without a restart is added here.
fn parts(config: &Config, backends: &[String], names: &Names) -> gateway::Live {
    let signer = |name: &String| {
        let backend = config.backends.iter().find(|backend| backend.name == *name);
        let key = backend.and_then(|backend| backend.signing.clone());
        key.map(|key| Signer::new(key, names.clone()))
    };
    gateway::Live {
        peppers: config.keys.peppers.clone(),
        renewal: config.renewal.clone(),
        signers: backends.iter().map(signer).collect(),
    }
}

/// A backend finds the secret by its name, so it cannot have two of one name.
fn warn_of_same_names(running: &gateway::Live, next: &gateway::Live) {
    let pairs = running
        .signers
        .iter()
        .flatten()
        .zip(next.signers.iter().flatten());
    for (before, after) in pairs.filter(|(before, after)| before.key().is_renewed_by(after.key())) {
        tracing::warn!(
            key_id = before.key().id(),
            backend_sees = after.key().id(),
            "a signing secret has become another under the same key_id: its backend cannot tell them \
             apart and refuses requests until it has the new one; give a new secret a new key_id"
        );
    }
}
