//! Makes what requests begin with, of a configuration and of what runs and can stay.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::config::{self, Backend as BackendConfig, Config};
use crate::directory::Directory;
use crate::gateway::{self, FirstSights, KeySets, Masquerades, SelfService, link_to_keys};
use crate::observe::Observations;
use crate::policy::{Asking, Observing, Routes};
use crate::sign::Signer;
use crate::telemetry::Metrics;
use crate::upstream::{Backend, BackendError};

/// How long a new backend's names may take to be resolved, before it is used all the same.
const RESOLVE_WITHIN: Duration = Duration::from_secs(3);

/// The parts of `config`, whose authorities are in their places. What is as it was in `running` is the
/// same: a backend keeps its connections and what is known of its addresses.
pub(super) fn parts(
    config: &Config,
    running: Option<&gateway::Live>,
    directory: &Arc<Directory>,
    metrics: &Metrics,
) -> Result<gateway::Live, BackendError> {
    let backends = config.backends.iter();
    let backends = backends
        .map(|backend| same_or_new(backend, running, metrics))
        .collect::<Result<_, _>>()?;
    let names = &config.headers.names;
    let signer = |backend: &BackendConfig| {
        let key = backend.signing.clone()?;
        Some(Signer::new(key, names.clone()))
    };
    let routes = Routes::new(config.routes.clone());
    let authorities = config.cas.iter().map(|ca| ca.name.as_str().into());
    let authorities: Vec<_> = authorities.collect();
    let server_names = config.listener.names.clone();
    gateway::begin_counting(&config.fronts, metrics);
    Ok(gateway::Live {
        counts: routes
            .iter()
            .map(|route| metrics.route(&route.name))
            .collect(),
        asking: Arc::new(Asking::new(
            Arc::clone(directory),
            server_names,
            &routes,
            &authorities,
        )),
        masquerades: Masquerades::new(
            { config.backends.iter() }.map(|one| (one.name.as_str(), &one.masquerade)),
            metrics,
        ),
        routes,
        backends,
        signers: config.backends.iter().map(signer).collect(),
        key_sets: key_sets(&config.backends),
        fronts: Arc::clone(&config.fronts),
        peppers: config.keys.peppers.clone(),
        keys_per_client: config.keys.per_client,
        enrolment: config.enrolment,
        renewal: config.renewal.clone(),
        first_sights: FirstSights {
            per_minute: config.first_sights.per_minute,
            at_most: config.first_sights.at_most,
        },
        names: names.clone(),
        keep_ambiguous_headers: config.headers.keep_ambiguous,
        transport_security: config.http.transport_security.clone(),
        link_to_keys: link_to_keys(&config.self_service.path),
        self_service: self_service(&config.self_service),
        tracing: config.telemetry.tracing.requests,
        window: config.migration.window,
        observations: observations(config.observe.as_ref(), running),
        observing: config.observe.clone(),
    })
}

fn key_sets(backends: &[BackendConfig]) -> KeySets {
    let mut sets = KeySets::default();
    for backend in backends {
        if let Some(key) = &backend.signing {
            sets.add(&backend.name, &key.verifying(), &backend.also_published);
        }
    }
    sets
}

/// Looks for the addresses of the backends that are new.
pub(super) async fn resolve(next: &gateway::Live, running: &gateway::Live) {
    let is_new =
        |one: &&Arc<Backend>| !running.backends.iter().any(|known| Arc::ptr_eq(one, known));
    let mut looks = tokio::task::JoinSet::new();
    for backend in next.backends.iter().filter(is_new) {
        let backend = Arc::clone(backend);
        looks.spawn(async move { backend.resolve(RESOLVE_WITHIN).await });
    }
    looks.join_all().await;
}

/// Forgets the series of routes, fronts and backends that are no more.
pub(super) fn forget(before: &gateway::Live, now: &gateway::Live, metrics: &Metrics) {
    for route in before.routes.iter() {
        let is_there = now.routes.iter().any(|known| known.name == route.name);
        if !is_there && route.name != gateway::OWN_ROUTE {
            metrics.forget_route(&route.name);
        }
    }
    for (place, backend) in now.backends.iter().enumerate() {
        if !now.masquerades.is_told(place) {
            metrics.forget_masquerade(backend.name());
        }
    }
    gateway::forget_fronts(&before.fronts, &now.fronts, metrics);
    for backend in &before.backends {
        if !now
            .backends
            .iter()
            .any(|known| known.name() == backend.name())
        {
            metrics.forget_backend(backend.name());
        }
    }
}

fn same_or_new(
    backend: &BackendConfig,
    running: Option<&gateway::Live>,
    metrics: &Metrics,
) -> Result<Arc<Backend>, BackendError> {
    let settings = backend.upstream();
    let name = [settings.name.as_str()];
    let counts = (
        metrics.upstream_seconds.with_label_values(&name),
        metrics.upstream_failures.with_label_values(&name),
    );
    let mut known = running.into_iter().flat_map(|running| &running.backends);
    match known.find(|known| *known.settings() == settings) {
        Some(same) => Ok(Arc::clone(same)),
        None => Ok(Arc::new(Backend::new(settings, counts)?)),
    }
}

/// Those so far, unless it is something else that is compared.
fn observations(observe: Option<&Observing>, running: Option<&gateway::Live>) -> Arc<Observations> {
    let header = observe.and_then(|observe| observe.identity_header.clone());
    let running = running.and_then(|running| Some((running.observing.as_ref()?, running)));
    match running {
        Some((observing, running)) if observe.is_none() || observing.identity_header == header => {
            Arc::clone(&running.observations)
        }
        _ => Arc::new(Observations::begin(clock::now(), header)),
    }
}

fn self_service(own: &config::SelfService) -> SelfService {
    SelfService {
        path: own.path.clone(),
        retry_window: own.retry_window,
        expired_grace: own.expired_grace,
        per_credential: own.per_credential,
        per_address: own.per_address,
    }
}
