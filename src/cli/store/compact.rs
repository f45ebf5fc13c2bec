//! `keyferry store compact`.

use std::process::ExitCode;

use serde::Serialize;

use crate::cli::{Failure, Globals, Out};
use crate::config::StoreSettings;
use crate::store::embedded::{OpenError, compact};

/// What `--output json` prints.
#[derive(Serialize)]
struct Report {
    action: &'static str,
    bytes_before: u64,
    bytes_after: u64,
}

pub(super) fn run(globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let StoreSettings::Embedded(settings) = globals.load_config()?.store else {
        let why =
            "only the file of an embedded store is compacted; Redis gives memory back by itself";
        return Err(Failure::Usage(why.to_owned()));
    };
    let (bytes_before, bytes_after) = compact(&settings.path).map_err(|error| match error {
        OpenError::InUse { path } => Failure::Refused(format!(
            "{} is in use: stop the gateway first, or start it again, which compacts the file when \
             much of it is free",
            path.display()
        )),
        error => Failure::Unavailable(error.into()),
    })?;
    let report = Report {
        action: "compacted",
        bytes_before,
        bytes_after,
    };
    let text = format!("{bytes_before} bytes before, {bytes_after} bytes now");
    out.show(&report, text)?;
    Ok(ExitCode::SUCCESS)
}
