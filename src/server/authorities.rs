//! Whom to trust, replaced while the gateway runs: with its configuration, and when a revocation
//! list changes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinError, spawn_blocking};

use super::StartError;
use super::revocation::Shown;
use crate::certificate::{Ca, Trust, TrustError, Verifier};
use crate::clock;
use crate::config::{Config, ListFiles, Lists, Look, Problems};
use crate::telemetry::Metrics;

/// How often lists are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long they must stay as they are.
const SETTLED: Duration = Duration::from_millis(300);
/// How long that may take. What goes on changing is read all the same, so that it holds up no other:
/// half a list is none, and a file stays then as it was.
const SETTLED_WITHIN: Duration = Duration::from_secs(3);

/// The authorities that are trusted, and their lists.
pub(super) struct Authorities {
    verifier: Arc<Verifier>,
    metrics: Metrics,
    known: Mutex<Known>,
}

struct Known {
    /// The name of each, at its place.
    places: Vec<String>,
    /// As they are trusted now.
    cas: Vec<Ca>,
    sources: Vec<Option<ListFiles>>,
    lists: Lists,
    shown: Shown,
}

/// Other authorities, that are not trusted yet.
pub(super) struct Next<'a> {
    of: &'a Authorities,
    known: MutexGuard<'a, Known>,
    places: Vec<String>,
    cas: Vec<Ca>,
    sources: Vec<Option<ListFiles>>,
    lists: Lists,
    /// None when they are the ones that are trusted already.
    trust: Option<Trust>,
}

/// Why other authorities are not trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTrusted {
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is nothing to go on with.
    #[error(transparent)]
    Lists(#[from] Problems),
    #[error("the revocation lists could not be read: {0}")]
    Failed(#[from] JoinError),
}

impl Authorities {
    /// Those with which the gateway starts.
    pub(super) fn new(config: &Config, metrics: &Metrics) -> Result<Self, StartError> {
        let lists = Lists::read(config.lists.iter().flatten())?;
        let cas = lists.fill(config.cas.clone(), &config.lists);
        let trust = Trust::new(1, cas.clone())?;
        let mut known = Known {
            places: cas.iter().map(|ca| ca.name.clone()).collect(),
            cas,
            sources: config.lists.clone(),
            lists,
            shown: Shown::default(),
        };
        let now = clock::now();
        known.shown.begin(&trust, metrics, now);
        known.show(metrics);
        Ok(Self {
            verifier: Arc::new(Verifier::new(trust)),
            metrics: metrics.clone(),
            known: Mutex::new(known),
        })
    }

    /// What asks them.
    pub(super) const fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// Gives the authorities of `config` the places of those that are trusted, and reads their
    /// lists. They are trusted with [`Next::trust`].
    pub(super) async fn next(&self, config: &mut Config) -> Result<Next<'_>, NotTrusted> {
        let known = self.known.lock().await;
        let mut places = known.places.clone();
        config.put_in_places(&mut places);
        let (cas, sources) = (config.cas.clone(), config.lists.clone());
        let lists = known.lists.clone();
        let mut next = self.read(known, (cas, sources, lists), None).await?;
        let mut sources = next.sources.iter().flatten();
        if sources.any(|source| next.lists.lacks(source, &next.known.lists)) {
            return Err(next.lists.problems().clone().into());
        }
        next.places = places;
        Ok(next)
    }

    /// Trusts the authorities with other lists, when there are any.
    async fn look(&self) -> Result<(), NotTrusted> {
        let known = self.known.lock().await;
        let sources = known.sources.clone();
        let look = look_at(&sources).await?;
        if known.lists.are_current(&look) {
            return Ok(());
        }
        drop(known);
        let look = settled(look, &sources).await?;
        let known = self.known.lock().await;
        let (cas, sources, lists) = (
            known.cas.clone(),
            known.sources.clone(),
            known.lists.clone(),
        );
        let next = self.read(known, (cas, sources, lists), Some(look)).await?;
        if next.trust.is_some() {
            next.trust();
        } else {
            next.keep();
        }
        Ok(())
    }

    async fn read<'a>(
        &'a self,
        known: MutexGuard<'a, Known>,
        (cas, sources, mut lists): (Vec<Ca>, Vec<Option<ListFiles>>, Lists),
        look: Option<Look>,
    ) -> Result<Next<'a>, NotTrusted> {
        let generation = self.verifier.generation().saturating_add(1);
        let places = known.places.clone();
        let before = known.cas.clone();
        let read = move || {
            let look = look.unwrap_or_else(|| Look::at(sources.iter().flatten()));
            lists.read_again(look, sources.iter().flatten());
            let cas = lists.fill(cas, &sources);
            let trust = if cas == before {
                None
            } else {
                Some(Trust::new(generation, cas.clone())?)
            };
            Ok::<_, TrustError>((cas, sources, lists, trust))
        };
        let (cas, sources, lists, trust) = spawn_blocking(read).await??;
        Ok(Next {
            of: self,
            known,
            places,
            cas,
            sources,
            lists,
            trust,
        })
    }

    /// Shows how it stands with the lists now: they end without anybody touching them.
    async fn show(&self) {
        self.known.lock().await.show(&self.metrics);
    }
}

impl Known {
    fn show(&mut self, metrics: &Metrics) {
        let problems = self.lists.problems().iter();
        let unreadable: Vec<_> = problems
            .filter_map(|problem| {
                let is_its = |source: &Option<ListFiles>| {
                    let source = source.as_ref();
                    source.is_some_and(|source| source.is_named_by(&problem.key))
                };
                let place = self.sources.iter().position(is_its)?;
                Some((self.places.get(place)?.clone(), problem.clone()))
            })
            .collect();
        self.shown.look(&unreadable, metrics, clock::now());
    }
}

impl Next<'_> {
    /// Trusts them from now on, and nobody else. Verdicts are found anew, at the next request of
    /// each connection.
    pub(super) fn trust(mut self) {
        if let Some(trust) = self.trust.take() {
            let generation = trust.generation();
            let replaced = self.of.verifier.replace(trust);
            // What is shown takes longer with many lists: nobody waits for it with old authorities.
            let trust = self.of.verifier.trust();
            self.known
                .shown
                .begin(&trust, &self.of.metrics, clock::now());
            match replaced {
                Ok(()) => tracing::info!(
                    generation,
                    authorities = self.cas.iter().filter(|ca| !ca.is_gone).count(),
                    "certificates are verified by other authorities or revocation lists from now on"
                ),
                // Nobody else replaces them.
                Err(error) => tracing::error!(%error, "the authorities stay as they were"),
            }
        }
        self.keep();
    }

    fn keep(mut self) {
        self.known.places = std::mem::take(&mut self.places);
        self.known.cas = std::mem::take(&mut self.cas);
        self.known.sources = std::mem::take(&mut self.sources);
        self.known.lists = std::mem::take(&mut self.lists);
        self.known.show(&self.of.metrics);
    }
}

async fn look_at(sources: &[Option<ListFiles>]) -> Result<Look, JoinError> {
    let sources = sources.to_vec();
    spawn_blocking(move || Look::at(sources.iter().flatten())).await
}

/// A look like the one before it, when there is one in time.
async fn settled(mut before: Look, sources: &[Option<ListFiles>]) -> Result<Look, JoinError> {
    let begun = clock::monotonic();
    loop {
        tokio::time::sleep(SETTLED).await;
        let now = look_at(sources).await?;
        if now == before || begun.elapsed() > SETTLED_WITHIN {
            return Ok(now);
        }
        before = now;
    }
}

/// Keeps the lists in step with their files.
pub(super) struct KeepLists(pub(super) Arc<Authorities>);

#[async_trait]
impl BackgroundService for KeepLists {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut again = tokio::time::interval(LOOK_EVERY);
        let keep = async {
            loop {
                again.tick().await;
                if let Err(error) = self.0.look().await {
                    tracing::error!(%error, "the revocation lists stay as they were");
                }
                self.0.show().await;
            }
        };
        tokio::select! {
            () = keep => {}
            _ = shutdown.changed() => {}
        }
    }
}
