//! Is everything around the gateway as it should be, and if not, what is to be done? It changes
//! nothing.

mod backends;
mod certificates;
mod configuration;
mod files;
mod finding;
mod gateway;
mod last;
mod lists;
mod redis_server;
mod report;
mod running;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::config::{Config, Problems, StoreSettings};
use crate::store::Store;
use crate::store::redis::Login;
pub(crate) use files::password;
use finding::Check;
pub(crate) use finding::{Finding, Outcome};
pub(crate) use last::Last;
pub(crate) use report::Report;
pub(crate) use running::Running;

/// How long a group of checks may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What backends are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Nothing.
    Nothing,
    /// A request for the path of a route.
    #[default]
    Route,
    /// A request for this path.
    Path(String),
}

/// What there is to say of a configuration that cannot be read.
pub(crate) fn unreadable(problems: &Problems) -> Report {
    Report::of(configuration::problems(problems))
}

/// Looks at what is around a gateway with this `config`, whose store is what `open` gives. Redis is looked
/// at as `administrator`, too. What can wait is looked at side by side.
pub(crate) async fn look(
    probe: &Probe,
    (file, config): (&Path, &Arc<Config>),
    administrator: Option<&Login>,
    open: impl AsyncFnOnce() -> anyhow::Result<Arc<dyn Store>>,
) -> Report {
    let mut findings = configuration::look(&file.display().to_string(), config);
    findings.extend(files::look(file, config));
    let mut certificates = certificates::look(config);
    certificates.extend(lists::look(config));
    let for_snapshot = Arc::clone(config);
    let snapshot = aside(Check::FileSnapshot, move || files::snapshot(&for_snapshot));
    // What asks it reads the authorities of the system first, and holds up everything else meanwhile.
    let (here, for_gateway) = (Handle::current(), Arc::clone(config));
    let gateway = aside(Check::GatewayRuns, move || {
        here.block_on(gateway::look(&for_gateway))
    });
    let redis = async {
        match &config.store {
            StoreSettings::Redis(settings) => redis_server::look(settings, administrator).await,
            StoreSettings::Embedded(_) => Vec::new(),
        }
    };
    let (snapshot, redis, store, backends, gateway, shown) = tokio::join!(
        snapshot,
        within(Check::RedisPrimary, redis),
        within(Check::StoreReads, store::look(config, open)),
        within(Check::BackendConnects, backends::look(config, probe)),
        gateway,
        within(Check::GatewayCertificate, gateway::shows(&config.listener)),
    );
    let groups = [
        snapshot,
        certificates,
        redis,
        store,
        backends,
        gateway,
        shown,
    ];
    findings.extend(groups.into_iter().flatten());
    Report::of(findings)
}

/// On a thread of its own, since it waits there.
async fn aside(check: Check, look: impl FnOnce() -> Vec<Finding> + Send + 'static) -> Vec<Finding> {
    let looking = tokio::task::spawn_blocking(look);
    within(check, async { looking.await.unwrap_or_default() }).await
}

async fn within(check: Check, looking: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    match timeout(PATIENCE, looking).await {
        Ok(findings) => findings,
        Err(_) => vec![check.error(
            format!("not done within {PATIENCE:?}"),
            "see what keeps it waiting: a network that drops packets, or a disk",
        )],
    }
}
