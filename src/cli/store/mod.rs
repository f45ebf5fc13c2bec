//! `keyferry store`: backups, checks, compaction, and the secrets that what is stored depends on.

mod backup;
mod compact;
mod copy;
mod references;
mod reseal;
mod restore;
mod status;
mod verify;

use std::process::ExitCode;

use super::open::operate;
use super::{Failure, Globals, Out};
use crate::operation::{Bar, Operator, Settings};
use crate::store::backup::{BackupError, Secrets};
use crate::store::{Reseal, Resealed};

/// The store: back it up, restore it, copy it, check it, and sign its records anew
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write everything that the store holds into a file, while gateways run
    Backup(backup::Args),
    /// Bring back what a backup has and the store does not, and never what was revoked
    Restore(restore::Args),
    /// Bring everything into the store of another configuration, as a restore does
    Copy(copy::Args),
    /// Check the store, or a backup: that all of it can be read, is authentic, and fits together
    Verify(verify::Args),
    /// Give the space back that the embedded store's file does not need
    Compact,
    /// Show how many records each record key signed, and how many keys need which pepper
    Status,
    /// Sign every record with the first of `store.record_keys` that it did not sign, while
    /// gateways run; can be broken off and done again
    Reseal,
}

pub(super) fn run(command: Command, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    match command {
        Command::Backup(args) => operate(globals, out, async |operator, out| {
            backup::run(&args, operator, out).await
        }),
        Command::Restore(args) => operate(globals, out, async |operator, out| {
            restore::run(&args, operator, out).await
        }),
        Command::Copy(args) => operate(globals, out, async |operator, out| {
            copy::run(&args, operator, out).await
        }),
        Command::Verify(args) => verify::run(&args, globals, out),
        Command::Compact => compact::run(globals, out),
        Command::Status => operate(globals, out, async |operator, out| {
            status::run(operator, out).await.map(|()| ExitCode::SUCCESS)
        }),
        Command::Reseal => operate(globals, out, async |operator, out| {
            reseal::run(operator, out).await.map(|()| ExitCode::SUCCESS)
        }),
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::Data(error.to_string())
    }
}

/// The secrets that backups are authenticated with.
fn secrets(settings: &Settings) -> Secrets<'_> {
    Secrets {
        record_keys: settings.store.record_keys(),
        peppers: &settings.keys.peppers,
    }
}

async fn through(operator: &Operator, reseal: Reseal) -> Result<Resealed, Failure> {
    let bar = operator.bar(|| Bar::without_total("records"));
    let looked_at = |records| bar.advance(records);
    let found = Resealed::all(operator.store.as_ref(), reseal, looked_at).await;
    found.map_err(|error| operator.cannot_tell(&error))
}
