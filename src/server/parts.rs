//! From the configuration to the parts of the gateway.

use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use super::health::Health;
use super::secrets::CountSecrets;
use super::tasks::{Commands, Follow, KeepAsking, KeepSightings, KeepSnapshot, Learn};
use crate::certificate::{Ca, Trust, Verifier};
use crate::clock;
use crate::config::{self, Config, StoreSettings};
use crate::directory::{Directory, Lessons, Sightings, Snapshot};
use crate::door::{self, ClientCertificates};
use crate::gateway::{FirstSights, Parts, SelfService};
use crate::observe::Observations;
use crate::policy::{Asking, Routes};
use crate::secret::Secret;
use crate::sign::{Names, Signer};
use crate::store::Store;
use crate::store::embedded::{self, Embedded, OpenError};
use crate::store::local::Listener;
use crate::store::redis::Redis;
use crate::telemetry::Metrics;
use crate::upstream::{self, Backend};

/// What the key of snapshots is made for.
const SNAPSHOT: &[u8] = b"snapshot.v1\0";

/// How long a command that has the store open is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long until it is looked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Everything that runs.
pub(super) struct Opened {
    pub(super) parts: Parts,
    pub(super) door: door::Settings,
    pub(super) follow: Follow,
    pub(super) sightings: KeepSightings,
    pub(super) asking: KeepAsking,
    pub(super) learn: Learn,
    pub(super) secrets: CountSecrets,
    pub(super) snapshot: Option<KeepSnapshot>,
    pub(super) commands: Option<Commands>,
    pub(super) health: Health,
}

/// Opens the store and makes every part.
pub(super) fn open(config: Config) -> Result<Opened, StartError> {
    let metrics = Metrics::new()?;
    let header = config
        .observe
        .as_ref()
        .and_then(|observe| observe.identity_header.clone());
    metrics.observing.set(i64::from(config.observe.is_some()));
    let (store, listener) = store(&config.store)?;
    let directory = Arc::new(Directory::new(Arc::clone(&store)));
    let commands =
        listener.map(|listener| Commands::new(listener.acknowledging(directory.watch())));
    let snapshot = begun_with_snapshot(&config, &directory);
    let secrets = secrets(&config, &store, &directory, &metrics);
    let sightings = Arc::new(Sightings::default());
    let lessons = Arc::new(Lessons::default());
    let is_on = config.listener.client_certificates == ClientCertificates::Optional;
    let (routes, names) = (Routes::new(config.routes), names(&config.cas));
    let asking = Arc::new(Asking::new(Arc::clone(&directory), is_on, &routes, &names));
    let verifier = Arc::new(Verifier::new(Trust::new(1, config.cas)?));
    let backends: Result<Vec<_>, _> = config
        .backends
        .into_iter()
        .map(|backend| Backend::new(upstream(backend, &config.headers.names), &metrics))
        .collect();
    let (window, max_stale) = (config.migration.window, config.offline.max_stale);
    Ok(Opened {
        follow: Follow(Arc::clone(&directory)),
        sightings: KeepSightings::new(&sightings, &store, &directory, &metrics, window),
        asking: KeepAsking(Arc::clone(&asking)),
        learn: Learn::new(&lessons, &store, &directory),
        secrets,
        snapshot,
        health: Health::new(metrics.clone(), Arc::clone(&directory), max_stale),
        door: door(config.listener),
        commands,
        parts: Parts {
            routes,
            backends: backends?,
            directory,
            asking,
            store,
            sightings,
            lessons,
            verifier,
            format: config.keys.format,
            peppers: config.keys.peppers,
            keys_per_client: config.keys.per_client,
            enrolment: config.enrolment,
            renewal: config.renewal,
            first_sights: FirstSights {
                per_minute: config.first_sights.per_minute,
                at_most: config.first_sights.at_most,
            },
            names: config.headers.names.clone(),
            keep_ambiguous_headers: config.headers.keep_ambiguous,
            self_service: SelfService {
                path: config.self_service.path,
                retry_window: config.self_service.retry_window,
                expired_grace: config.self_service.expired_grace,
                per_credential: config.self_service.per_credential,
                per_address: config.self_service.per_address,
            },
            window,
            observing: config.observe,
            observations: Arc::new(Observations::begin(clock::now(), header)),
            max_stale,
            metrics,
        },
    })
}

fn secrets(
    config: &Config,
    store: &Arc<dyn Store>,
    directory: &Arc<Directory>,
    metrics: &Metrics,
) -> CountSecrets {
    CountSecrets {
        store: Arc::clone(store),
        directory: Arc::clone(directory),
        record_keys: config.store.record_keys().clone(),
        peppers: config.keys.peppers.clone(),
        metrics: metrics.clone(),
    }
}

/// What the authorities are called.
fn names(cas: &[Ca]) -> Vec<Box<str>> {
    cas.iter().map(|ca| ca.name.as_str().into()).collect()
}

/// The snapshot that is kept, if any is to be. The directory begins with it when it is of use.
fn begun_with_snapshot(config: &Config, directory: &Arc<Directory>) -> Option<KeepSnapshot> {
    let path = config.offline.snapshot.clone()?;
    let store = config.store.to_string();
    let key = config.keys.peppers.derive(SNAPSHOT, &[store.as_bytes()]);
    let snapshot = Snapshot::new(path, Secret::new(key.to_vec()));
    match directory.resume(&snapshot, clock::now()) {
        Ok(true) => tracing::info!(
            path = %snapshot.path().display(), age_s = directory.age().as_secs(), epoch = directory.epoch().0,
            "begins with the snapshot, until the store answers"
        ),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "begins without a snapshot"),
    }
    let max_stale = config.offline.max_stale;
    Some(KeepSnapshot::new(snapshot, directory, max_stale))
}

/// The store, and for the embedded one the socket by which commands reach it meanwhile.
fn store(settings: &StoreSettings) -> Result<(Arc<dyn Store>, Option<Listener>), StartError> {
    match settings {
        StoreSettings::Embedded(settings) => {
            // Nothing runs yet: this runtime only waits.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .map_err(|source| OpenError::Io {
                    path: settings.path.clone(),
                    source,
                })?;
            let embedded = Arc::new(runtime.block_on(embedded(settings))?);
            let listener = Listener::bind(Arc::clone(&embedded))?;
            Ok((embedded, Some(listener)))
        }
        StoreSettings::Redis(settings) => Ok((Arc::new(Redis::new(settings)), None)),
    }
}

/// The store in a file, once no command has it open any more.
async fn embedded(settings: &embedded::Settings) -> Result<Embedded, OpenError> {
    let begun = clock::monotonic();
    loop {
        match Embedded::open_with(settings) {
            Err(OpenError::InUse { .. }) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            opened => return opened,
        }
    }
}

fn door(listener: config::Listener) -> door::Settings {
    let certificate = |certificate: config::ServerCertificate| door::ServerCertificate {
        chain_pem: certificate.chain.as_bytes().to_vec(),
        key_pem: certificate.key,
    };
    door::Settings {
        client_certificates: listener.client_certificates,
        handshake_timeout: listener.handshake_timeout,
        balancers: listener.balancers,
        minimum_tls: listener.minimum_tls,
        http2: listener.http2,
        certificates: listener.certificates.into_iter().map(certificate).collect(),
    }
}

fn upstream(backend: config::Backend, names: &Names) -> upstream::Settings {
    let tls = |tls: config::BackendTls| upstream::Tls {
        ca_pem: tls.ca.as_bytes().to_vec(),
        server_name: tls.server_name,
        identity: tls
            .certificate
            .map(|own| (own.chain.as_bytes().to_vec(), own.key)),
    };
    upstream::Settings {
        name: backend.name,
        addresses: backend.addresses.iter().map(ToString::to_string).collect(),
        protocol: backend.protocol,
        tls: backend.tls.map(tls),
        connect_timeout: backend.connect_timeout,
        read_timeout: backend.read_timeout,
        signer: backend.signing.map(|key| Signer::new(key, names.clone())),
        health_check: backend.health_check.map(|check| upstream::HealthCheck {
            path: check.path,
            interval: check.interval,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_has_the_store_open_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyferry.redb");
        let settings = embedded::Settings::new(path);
        let command = Embedded::open_with(&settings).unwrap();
        // The command ends when it was found in use.
        let (opened, ()) = tokio::join!(embedded(&settings), async { drop(command) });
        assert!(opened.is_ok());
    }
}
