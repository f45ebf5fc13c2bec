//! From the configuration to the parts of the gateway.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::StartError;
use super::authorities::{Authorities, KeepLists};
use super::balancers::Balancers;
use super::door::KeepTerms;
use super::export::Export;
use super::health::{Health, OfGateway};
use super::live::Live;
use super::reload::Reload;
use super::replicas::TellReplicas;
use super::secrets::CountSecrets;
use super::share::ShareBudgets;
use super::sightings::KeepSightings;
use super::snapshots::Snapshots;
use super::tasks::{Commands, Follow, KeepSnapshot, Learn};
use super::webhooks::{TellWebhooks, World};
use crate::admin;
use crate::admin::reload::Asked;
use crate::clock;
use crate::config::{Config, Seen, Source, StoreSettings};
use crate::directory::{Directory, Lessons, Sightings};
use crate::door::{Bounds, HttpLimits, Lifetimes, Terms};
use crate::gateway::{self, Conflicts, Parts};
use crate::key::Peppers;
use crate::policy::Asking;
use crate::store::Store;
use crate::store::embedded::{self, Embedded, OpenError};
use crate::store::local::Listener;
use crate::store::redis::Redis;
use crate::telemetry::{Levels, Metrics};

/// How long a command that has the store open is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long until it is looked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Everything that runs.
pub(super) struct Opened {
    pub(super) parts: Parts,
    pub(super) terms: Arc<Terms>,
    /// Of connections, and of the time they may take.
    pub(super) limits: (Bounds, Lifetimes),
    pub(super) http: HttpLimits,
    pub(super) beside: Beside,
    pub(super) health: Health<OfGateway>,
    pub(super) admin: Arc<ArcSwap<admin::Live>>,
}

/// What goes on beside the requests.
pub(super) struct Beside {
    pub(super) follow: Follow,
    pub(super) sightings: KeepSightings,
    pub(super) asking: Arc<ArcSwap<Asking>>,
    pub(super) balancers: Balancers,
    pub(super) learn: Learn,
    pub(super) terms: KeepTerms,
    pub(super) secrets: CountSecrets,
    pub(super) budgets: Option<ShareBudgets>,
    pub(super) snapshot: Option<KeepSnapshot>,
    pub(super) commands: Option<Commands>,
    pub(super) reload: Reload,
    pub(super) lists: KeepLists,
    pub(super) export: Option<Export>,
    pub(super) webhooks: TellWebhooks,
    pub(super) replicas: TellReplicas,
}

/// Opens the store and makes every part of `config`, which `source` gave when `seen` was seen of it.
pub(super) fn open(
    config: Config,
    (source, seen, asked): (Source, Seen, mpsc::Receiver<Asked>),
    levels: Levels,
) -> Result<Opened, StartError> {
    let (config, source, seen) = (Arc::new(config), Arc::new(source), Arc::new(seen));
    let metrics = Metrics::new()?;
    let (store, listener) = store(&config.store)?;
    let directory = Arc::new(Directory::new(Arc::clone(&store)));
    let commands =
        listener.map(|listener| Commands::new(listener.acknowledging(directory.watch())));
    let authorities = Arc::new(Authorities::new(&config, &metrics)?);
    let shared = (&store, &directory);
    let live = Live::new(
        (&config, &source, &seen),
        &authorities,
        shared,
        (levels, &metrics),
    )?;
    let max_stale = config.offline.max_stale;
    let snapshot = live.snapshots().map(|snapshots| {
        begin_with(snapshots, &config.keys.peppers, &directory);
        KeepSnapshot::new(snapshots.watch(), &directory, max_stale)
    });
    let (sightings, lessons) = (Arc::<Sightings>::default(), Arc::<Lessons>::default());
    let (gateway, terms) = (Arc::clone(live.gateway()), Arc::clone(live.terms()));
    let (budgets, http) = (config.limits.gateway.budgets(), config.http.limits);
    let (spans, export) = Export::of(live.collector(), &metrics);
    let (conflicts, noted) = Conflicts::channel();
    let world = (&store, &directory, &sightings, &metrics);
    let webhooks = TellWebhooks::new(live.webhooks(), noted, told(&config.store, &gateway, world));
    let digest = watch::Sender::new(seen.digest(&seen));
    let health = OfGateway::new(metrics.clone(), Arc::clone(&directory), max_stale);
    Ok(Opened {
        admin: Arc::clone(live.admin()),
        beside: Beside {
            follow: Follow(Arc::clone(&directory)),
            sightings: KeepSightings::new(&sightings, &store, &directory, &metrics, &gateway),
            asking: Arc::clone(live.asking()),
            balancers: Balancers(live.backends()),
            learn: Learn::new(&lessons, &store, &directory),
            terms: KeepTerms(Arc::clone(&terms)),
            secrets: live.counting(),
            budgets: ShareBudgets::of(budgets.as_ref(), &store, &metrics),
            snapshot,
            commands,
            lists: KeepLists(Arc::clone(&authorities)),
            export,
            webhooks,
            replicas: TellReplicas::new(digest.subscribe(), shared, &metrics, max_stale),
            reload: Reload::new((source, seen, digest), live, asked, &metrics),
        },
        health: Health(health),
        terms,
        limits: (config.limits.door.clone(), config.lifetimes),
        http,
        parts: Parts {
            directory,
            store,
            sightings,
            conflicts,
            lessons,
            verifier: Arc::clone(authorities.verifier()),
            format: config.keys.format.clone(),
            head: http.head,
            max_stale,
            bounds: config.limits.gateway.clone(),
            budgets,
            spans,
            metrics,
            live: gateway,
        },
    })
}

/// What whoever tells webhooks needs.
fn told(
    settings: &StoreSettings,
    live: &Arc<ArcSwap<gateway::Live>>,
    (store, directory, sightings, metrics): (
        &Arc<dyn Store>,
        &Arc<Directory>,
        &Arc<Sightings>,
        &Metrics,
    ),
) -> World {
    World {
        store: Arc::clone(store),
        record_keys: settings.record_keys().clone(),
        directory: Arc::clone(directory),
        sightings: Arc::clone(sightings),
        live: Arc::clone(live),
        metrics: metrics.clone(),
        is_shared: matches!(settings, StoreSettings::Redis(_)),
    }
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
