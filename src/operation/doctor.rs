//! `keyferry doctor`: is everything around the gateway as it should be, and if not, what is to be done?

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;

use super::words::HERE;
use super::{Failure, Operator, Out, open_store};
use crate::config::Source;
use crate::doctor::{self, Probe, Report};
use crate::store::redis::Login;

/// Check configuration, files, certificates, store, backends and the running gateway, and say what
/// to do
///
/// Ends with status 1 when there is an error, with --strict also when there is a warning, and on the
/// gateway's machine with 78 when the configuration cannot be read. It changes nothing. docs/DOCTOR.md explains each check
/// and says what backends are sent.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
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
    #[arg(long, value_name = "NAME", requires = "redis_password_file", help_heading = HERE)]
    redis_user: Option<String>,
    /// The file with that user's password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath, help_heading = HERE)]
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

/// Has the gateway that is asked look at what is around it.
pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<u8, Failure> {
    let (Some(running), Some(kept)) = (&operator.settings.running, &operator.kept) else {
        return Err(anyhow::anyhow!("no gateway runs here").into());
    };
    let probe = args.probe();
    let look = async || running.look(&probe, &operator.store).await;
    let report = kept.doctor.or(&probe, look).await;
    args.tell(&report, out)
}

impl Args {
    /// Looks at what is around a gateway that is started on this machine with what `source` says.
    pub(crate) fn here(&self, source: &Source, out: &mut Out) -> Result<u8, Failure> {
        let config = match source.read().config {
            Ok(config) => Arc::new(config),
            Err(problems) => {
                let report = doctor::unreadable(&problems);
                out.show(&report, report.text())?;
                return Ok(78);
            }
        };
        let (probe, administrator) = (self.probe(), self.administrator()?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (of, open) = ((source.path(), &config), async || {
            open_store(&config.store).await
        });
        let looking = doctor::look(&probe, of, administrator.as_ref(), open);
        let report = runtime.block_on(looking);
        // What still waits for an answer is not waited for.
        runtime.shutdown_background();
        self.tell(&report, out)
    }

    fn probe(&self) -> Probe {
        match &self.probe_path {
            _ if self.no_backends => Probe::Nothing,
            None => Probe::Route,
            Some(path) => Probe::Path(path.clone()),
        }
    }

    fn administrator(&self) -> Result<Option<Login>, Failure> {
        let Some(file) = &self.redis_password_file else {
            return Ok(None);
        };
        let password = doctor::password(file).map_err(Failure::Data)?;
        Ok(Some(Login {
            user: self.redis_user.clone(),
            password: Some(password),
        }))
    }

    fn tell(&self, report: &Report, out: &mut Out) -> Result<u8, Failure> {
        out.show(report, report.text())?;
        Ok(u8::from(report.is_bad(self.strict)))
    }
}
