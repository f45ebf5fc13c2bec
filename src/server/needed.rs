//! Whether a secret that goes is still needed: without it, clients would be refused.

use super::authorities::NotTrusted;
use crate::admin::TlsError;
use crate::admin::reload::Outcome;
use crate::clock;
use crate::directory::Directory;
use crate::door::AcceptorError;
use crate::key::Peppers;
use crate::store::{RecordKeys, Reseal, Resealed, Store};
use crate::telemetry::LogError;
use crate::upstream::BackendError;

/// Why a configuration that is right is not taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    /// What is made or written now would be worth nothing a moment later.
    #[error(
        "{what} {version} is the current one, and is gone or has another secret; keep it, write the \
         new one beside it, and make that the current one first"
    )]
    Current { what: &'static str, version: u32 },
    /// Clients would be refused.
    #[error(
        "pepper {version} is gone or has another secret, and {keys} keys that can be used need it; \
         take it away when keyferry store status counts none"
    )]
    PepperNeeded { version: u32, keys: u64 },
    /// Clients would become unknown.
    #[error(
        "a record key is gone or has another secret, or unsigned_records refuses, and {records} \
         records would no longer be believed; run keyferry store reseal first"
    )]
    RecordKeyNeeded { records: u64 },
    /// Nobody could be verified, or fewer than are meant.
    #[error(transparent)]
    Authorities(#[from] NotTrusted),
    /// The store does not answer.
    #[error(
        "a secret is gone or has become another, and whether it is needed cannot be told now: {0}"
    )]
    CannotTell(String),
    /// The listener could not speak TLS.
    #[error(transparent)]
    Tls(#[from] AcceptorError),
    /// The admin listener could not speak TLS.
    #[error(transparent)]
    Admin(#[from] TlsError),
    /// A backend cannot be talked to.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The logs have no such levels.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Something that should not happen.
    #[error("it cannot be made ready: {0}")]
    Failed(String),
}

impl NotTaken {
    /// What it comes to for whoever asked.
    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::Authorities(_) => Outcome::Wrong,
            Self::CannotTell(_) | Self::Failed(_) => Outcome::Unavailable,
            _ => Outcome::Refused,
        }
    }
}

/// Every record must be believed afterwards, and what is written until then.
pub(super) async fn expect_record_keys(
    running: &RecordKeys,
    next: &RecordKeys,
    store: &dyn Store,
) -> Result<(), NotTaken> {
    let (what, missing) = ("record key", running.missing_in(next));
    if let Some(version) = running.current().filter(|now| missing.contains(now)) {
        return Err(NotTaken::Current { what, version });
    }
    let unsigned = running.accepts_unsigned() && !next.accepts_unsigned();
    if missing.is_empty() && !unsigned {
        return Ok(());
    }
    let found = Resealed::all(store, Reseal::Count, |_| {}).await;
    let found = found.map_err(|error| NotTaken::CannotTell(error.to_string()))?;
    let kept = next.versions();
    let lost = found.by_key.iter();
    let lost = lost.filter(|(key, _)| missing.contains(key) || !kept.contains(key));
    let unsigned = if unsigned { found.unsigned } else { 0 };
    match lost
        .map(|(_, records)| records)
        .sum::<u64>()
        .saturating_add(unsigned)
    {
        0 => Ok(()),
        records => Err(NotTaken::RecordKeyNeeded { records }),
    }
}

/// Every key must be good afterwards, and what is issued until then.
pub(super) async fn expect_peppers(
    running: &Peppers,
    next: &Peppers,
    directory: &Directory,
) -> Result<(), NotTaken> {
    let (what, missing) = ("pepper", running.missing_in(next).collect::<Vec<_>>());
    if let Some(version) = Some(running.current()).filter(|now| missing.contains(now)) {
        return Err(NotTaken::Current { what, version });
    }
    if missing.is_empty() {
        return Ok(());
    }
    let caught_up = directory.catch_up().await;
    caught_up.map_err(|error| NotTaken::CannotTell(error.to_string()))?;
    let needed = directory.view().keys_by_pepper(clock::now());
    let needed = missing
        .iter()
        .find_map(|version| needed.get_key_value(version));
    match needed {
        None => Ok(()),
        Some((&version, &keys)) => Err(NotTaken::PepperNeeded { version, keys }),
    }
}
