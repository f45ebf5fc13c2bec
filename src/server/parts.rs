//! From the configuration to the parts of the gateway.

use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use super::authorities::{Authorities, KeepLists};
use super::health::Health;
use super::live::{Live, Snapshots};
use super::reload::Reload;
use super::secrets::CountSecrets;
use super::tasks::{Commands, Follow, KeepAsking, KeepSightings, KeepSnapshot, Learn};
use crate::certificate::Ca;
use crate::clock;
use crate::config::{self, Config, Seen, Source, StoreSettings};
use crate::directory::{Directory, Lessons, Sightings};
use crate::door::{self, ClientCertificates};
use crate::front::Fronts;
use crate::gateway::{FirstSights, Parts, SelfService};
use crate::key::Peppers;
use crate::observe::Observations;
use crate::policy::{Asking, Routes};
use crate::store::Store;
use crate::store::embedded::{self, Embedded, OpenError};
use crate::store::local::Listener;
use crate::store::redis::Redis;
use crate::telemetry::Metrics;
use crate::upstream::Backend;

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
    pub(super) reload: Reload,
    pub(super) lists: KeepLists,
    pub(super) health: Health,
}

/// Opens the store and makes every part of `config`, which `source` gave when `seen` was seen of it.
pub(super) fn open(config: Config, (source, seen): (Source, Seen)) -> Result<Opened, StartError> {
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
    let authorities = Arc::new(Authorities::new(&config, &metrics)?);
    let live = Live::new(&config, &authorities, (&store, &directory), &metrics);
    let (window, max_stale) = (config.migration.window, config.offline.max_stale);
    let snapshot = live.snapshots().map(|snapshots| {
        begin_with(snapshots, &config.keys.peppers, &directory);
        KeepSnapshot::new(snapshots.watch(), &directory, max_stale)
    });
    let sightings = Arc::new(Sightings::default());
    let lessons = Arc::new(Lessons::default());
    let is_on = config.listener.client_certificates == ClientCertificates::Optional;
    let (routes, names) = (Routes::new(config.routes), names(&config.cas));
    let asking = Arc::new(Asking::new(Arc::clone(&directory), is_on, &routes, &names));
    let backends: Result<Vec<_>, _> = config
        .backends
        .iter()
        .map(|backend| Backend::new(backend.upstream(), &metrics))
        .collect();
    let gateway = Arc::clone(live.gateway());
    Ok(Opened {
        follow: Follow(Arc::clone(&directory)),
        sightings: KeepSightings::new(&sightings, &store, &directory, &metrics, window),
        asking: KeepAsking(Arc::clone(&asking)),
        learn: Learn::new(&lessons, &store, &directory),
        secrets: live.counting(),
        snapshot,
        health: Health::new(metrics.clone(), Arc::clone(&directory), max_stale),
        door: door(config.listener, config.fronts),
        commands,
        lists: KeepLists(Arc::clone(&authorities)),
        reload: Reload::new(source, seen, live, &metrics),
        parts: Parts {
            routes,
            backends: backends?,
            directory,
            asking,
            store,
            sightings,
            lessons,
            verifier: Arc::clone(authorities.verifier()),
            format: config.keys.format,
            live: gateway,
            keys_per_client: config.keys.per_client,
            enrolment: config.enrolment,
            first_sights: FirstSights {
                per_minute: config.first_sights.per_minute,
                at_most: config.first_sights.at_most,
            },
            names: config.headers.names.clone(),
            keep_ambiguous_headers: config.headers.keep_ambiguous,
            self_service: self_service(config.self_service),
            window,
            observing: config.observe,
            observations: Arc::new(Observations::begin(clock::now(), header)),
            max_stale,
            metrics,
        },
    })
}

fn self_service(own: config::SelfService) -> SelfService {
    SelfService {
        path: own.path,
        retry_window: own.retry_window,
        expired_grace: own.expired_grace,
        per_credential: own.per_credential,
        per_address: own.per_address,
    }
}

/// What the authorities are called.
fn names(cas: &[Ca]) -> Vec<Box<str>> {
    cas.iter().map(|ca| ca.name.as_str().into()).collect()
}

/// The directory begins with what the snapshot holds when it is of use. It may be from before the
/// pepper was changed.
fn begin_with(snapshots: &Snapshots, peppers: &Peppers, directory: &Directory) {
    let mut refused = None;
    for snapshot in snapshots.under(peppers) {
        match directory.resume(&snapshot, clock::now()) {
            Ok(false) => return,
            Ok(true) => {
                tracing::info!(
                    path = %snapshot.path().display(), age_s = directory.age().as_secs(), epoch = directory.epoch().0,
                    "begins with the snapshot, until the store answers"
                );
                return;
            }
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    if let Some(error) = refused {
        tracing::error!(%error, "begins without a snapshot");
    }
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
        match Embedded::open_compact(settings) {
            Err(OpenError::InUse { .. }) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            opened => return opened,
        }
    }
}

fn door(listener: config::Listener, fronts: Arc<Fronts>) -> door::Settings {
    let certificate = |certificate: config::ServerCertificate| door::ServerCertificate {
        chain_pem: certificate.chain.as_bytes().to_vec(),
        key_pem: certificate.key,
    };
    door::Settings {
        client_certificates: listener.client_certificates,
        handshake_timeout: listener.handshake_timeout,
        balancers: listener.balancers,
        fronts,
        minimum_tls: listener.minimum_tls,
        http2: listener.http2,
        certificates: listener.certificates.into_iter().map(certificate).collect(),
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
