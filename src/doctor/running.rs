//! A gateway that runs: its doctor looks at what it runs with, and at the file that it would be started with.

use std::path::Path;
use std::sync::Arc;

use super::finding::Check;
use super::{Finding, Probe, Report, aside, configuration, look};
use crate::config::{Config, Seen, Source};
use crate::store::Store;

/// What a gateway runs with, and where that was read.
pub(crate) struct Running {
    source: Arc<Source>,
    started_with: Arc<Seen>,
    config: Arc<Config>,
}

impl Running {
    /// A gateway runs with `config`, which `source` gave; at the start `started_with` was seen of that.
    pub(crate) const fn new(
        source: Arc<Source>,
        started_with: Arc<Seen>,
        config: Arc<Config>,
    ) -> Self {
        Self {
            source,
            started_with,
            config,
        }
    }

    /// The file that holds the configuration.
    pub(crate) fn file(&self) -> &Path {
        self.source.path()
    }

    /// Looks at what is around this gateway, whose store is `store`. When its file is wrong by now, or says
    /// what needs a restart, that is told first.
    pub(crate) async fn look(&self, probe: &Probe, store: &Arc<dyn Store>) -> Report {
        let open = async || Ok(Arc::clone(store));
        // It is large, and few ever have it run.
        let looking = Box::pin(look(probe, (self.file(), &self.config), None, open));
        let (source, started_with) = (Arc::clone(&self.source), Arc::clone(&self.started_with));
        let news = aside(Check::ConfigurationReads, move || {
            news(&source, &started_with)
        });
        let (news, report) = tokio::join!(news, looking);
        report.but_for(news)
    }
}

/// What is wrong with the file as it is now, or waits in it for a restart.
fn news(source: &Source, started_with: &Seen) -> Vec<Finding> {
    if !source.can_be_read_again() {
        return Vec::new();
    }
    let read = source.read_again();
    match read.config {
        Ok(_) => {
            let waiting = read.seen.changes_since(started_with).needs_restart;
            configuration::needs_restart(&waiting).into_iter().collect()
        }
        Err(problems) => configuration::problems(&problems),
    }
}
