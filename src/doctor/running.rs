//! A gateway that runs: its doctor looks at what it runs with, and at the file that it would be started with.

use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::configuration;
use super::{Finding, Probe, Report, look};
use crate::config::{Config, Source};
use crate::store::Store;

/// What a gateway runs with, and where that was read.
pub(crate) struct Running {
    source: Arc<Source>,
    config: Arc<Config>,
}

impl Running {
    /// A gateway runs with `config`, which `source` gave.
    pub(crate) const fn new(source: Arc<Source>, config: Arc<Config>) -> Self {
        Self { source, config }
    }

    /// The file that holds the configuration.
    pub(crate) fn file(&self) -> &Path {
        self.source.path()
    }

    /// Looks at what is around this gateway, whose store is `store`. When its file is wrong by now, that is
    /// told first.
    pub(crate) async fn look(&self, probe: &Probe, store: &Arc<dyn Store>) -> Report {
        let open = async || Ok(Arc::clone(store));
        // It is large, and few ever have it run.
        let looking = Box::pin(look(probe, (self.file(), &self.config), None, open));
        let (wrong, report) = tokio::join!(self.wrong(), looking);
        report.but_for(wrong)
    }

    /// What is wrong with the file as it is now.
    async fn wrong(&self) -> Vec<Finding> {
        if !self.source.can_be_read_again() {
            return Vec::new();
        }
        let source = Arc::clone(&self.source);
        let read = spawn_blocking(move || source.read_again().config).await;
        match read {
            Ok(Err(problems)) => configuration::problems(&problems),
            Ok(Ok(_)) | Err(_) => Vec::new(),
        }
    }
}
