//! `keyferry doctor`: is everything around the gateway as it should be, and if not, what is to be
//! done? It changes nothing.

mod backends;
mod certificates;
mod configuration;
mod files;
mod finding;
mod gateway;
mod lists;
mod redis_server;
mod report;
mod store;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Failure, Globals, Out};
use crate::config::{Config, StoreSettings};
use crate::store::redis::Login;
use finding::{Check, Finding};
use report::Report;

/// How long a group of checks may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Check configuration, files, certificates, store, backends and the running gateway, and say what
/// to do
///
/// Ends with status 1 when there is an error, with --strict also when there is a warning, and with
/// 78 when the configuration cannot be read. It changes nothing. docs/DOCTOR.md explains each check
/// and says what backends are sent.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End with status 1 also when there is a warning
    #[arg(long)]
    strict: bool,
    /// Send nothing to backends
    #[arg(long, conflicts_with = "probe_path")]
    no_backends: bool,
    /// What backends are asked for without a valid signature [default: the path of a route]
    #[arg(long, value_name = "PATH", value_parser = path)]
    probe_path: Option<String>,
    /// Look at Redis also as this user, who may ask more than the gateway
    #[arg(long, value_name = "NAME", requires = "redis_password_file")]
    redis_user: Option<String>,
    /// The file with that user's password
    #[arg(long, value_name = "FILE")]
    redis_password_file: Option<PathBuf>,
}

fn path(text: &str) -> Result<String, &'static str> {
    let fits = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
    if fits && !text.contains(['?', '#']) {
        Ok(text.to_owned())
    } else {
        Err("write a path that begins with \"/\", without \"?\" and \"#\"")
    }
}

pub(super) fn run(args: &Args, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let file = globals.config_file();
    let config = match globals.load_config() {
        Ok(config) => config,
        Err(problems) => {
            let report = Report::of(configuration::problems(&problems));
            out.show(&report, report.text())?;
            return Ok(ExitCode::from(78));
        }
    };
    let administrator = args.administrator()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let looking = look(args, &file, Arc::new(config), administrator);
    let report = Report::of(runtime.block_on(looking));
    // What still waits for an answer is not waited for.
    runtime.shutdown_background();
    out.show(&report, report.text())?;
    Ok(ExitCode::from(u8::from(report.is_bad(args.strict))))
}

impl Args {
    fn administrator(&self) -> Result<Option<Login>, Failure> {
        let Some(file) = &self.redis_password_file else {
            return Ok(None);
        };
        let password = files::password(file).map_err(Failure::Data)?;
        Ok(Some(Login {
            user: self.redis_user.clone(),
            password: Some(password),
        }))
    }
}

/// What can wait is looked at side by side.
async fn look(
    args: &Args,
    file: &Path,
    config: Arc<Config>,
    administrator: Option<Login>,
) -> Vec<Finding> {
    let mut findings = configuration::look(&file.display().to_string(), &config);
    findings.extend(files::look(file, &config));
    let mut certificates = certificates::look(&config);
    certificates.extend(lists::look(&config));
    let (for_snapshot, for_gateway) = (Arc::clone(&config), Arc::clone(&config));
    let snapshot = aside(Check::FileSnapshot, move || files::snapshot(&for_snapshot));
    let redis = async {
        match &config.store {
            StoreSettings::Redis(settings) => {
                redis_server::look(settings, administrator.as_ref()).await
            }
            StoreSettings::Embedded(_) => Vec::new(),
        }
    };
    let backends = async {
        if args.no_backends {
            return Vec::new();
        }
        backends::look(&config, args.probe_path.as_deref()).await
    };
    let (snapshot, redis, store, backends, gateway, shown) = tokio::join!(
        snapshot,
        within(Check::RedisPrimary, redis),
        within(Check::StoreReads, store::look(&config)),
        within(Check::BackendConnects, backends),
        aside(Check::GatewayRuns, move || gateway::look(&for_gateway)),
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
    findings
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
