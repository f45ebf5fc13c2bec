//! `keyferry reload`: the running gateway reads its configuration again, now.

use std::process::ExitCode;
use std::time::Duration;

use super::ask::order;
use super::{Failure, Globals, Out};
use crate::admin::reload::{Outcome, PATIENCE, Report};

/// Longer than the gateway waits for itself.
const MARGIN: Duration = Duration::from_secs(10);

/// Make the running gateway read its configuration again, and show what changed
///
/// It does so by itself within seconds after a file has changed; this waits for it. Ends with status
/// 0 when the gateway runs with the configuration as it is now, but for what needs a restart; 1 when
/// it would refuse clients that are served now; 69 when there is no gateway, or it cannot tell; 78
/// when the configuration is wrong. Whenever it is not 0, the gateway goes on with what it had.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let otherwise = ", or send it SIGHUP and read its log";
    let answer = order(
        globals,
        "/reload",
        PATIENCE.saturating_add(MARGIN),
        otherwise,
    )?;
    let report: Report = serde_json::from_value(answer)
        .map_err(|error| anyhow::anyhow!("{error}; is the gateway of another version?"))?;
    out.show(&report, text(&report))?;
    Ok(ExitCode::from(match report.outcome {
        Outcome::TakenOver => 0,
        Outcome::Refused => 1,
        Outcome::Unavailable => 69,
        Outcome::Wrong => 78,
    }))
}

fn text(report: &Report) -> String {
    let mut lines: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    lines.extend(report.error.clone());
    match report.outcome {
        Outcome::TakenOver if report.changed.is_empty() => {
            lines.push("nothing has changed that the gateway takes over".to_owned());
        }
        Outcome::TakenOver => {
            lines.push("the gateway took over:".to_owned());
            lines.extend(report.changed.iter().map(|setting| format!("  {setting}")));
        }
        Outcome::Refused | Outcome::Unavailable | Outcome::Wrong => {
            lines.push("nothing was taken over; the gateway goes on with what it had".to_owned());
        }
    }
    if !report.needs_restart.is_empty() {
        lines.push("needs a restart of the gateway:".to_owned());
        let settings = report.needs_restart.iter();
        lines.extend(settings.map(|setting| format!("  {setting}")));
    }
    lines.join("\n")
}
