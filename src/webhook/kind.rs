//! What can be told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The type of a message, as it is sent.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Kind {
    /// A client was given a key.
    #[serde(rename = "key.issued")]
    KeyIssued,
    /// The last certificate of a client that has not moved ends soon.
    #[serde(rename = "certificate.expiring")]
    CertificateExpiring,
    /// A certificate and a key of two clients came in one request.
    #[serde(rename = "credential.conflict")]
    CredentialConflict,
    /// A brownout refuses certificates from now on.
    #[serde(rename = "brownout.begun")]
    BrownoutBegun,
    /// It no longer does, by its schedule or since somebody changed the phase.
    #[serde(rename = "brownout.ended")]
    BrownoutEnded,
    /// It no longer does, since it refused as often as its budget allows.
    #[serde(rename = "brownout.stopped")]
    BrownoutStopped,
    /// Every client has moved or is disabled.
    #[serde(rename = "migration.finished")]
    MigrationFinished,
    /// Every client of a cohort has moved or is disabled.
    #[serde(rename = "cohort.finished")]
    CohortFinished,
    /// Changes could not be read any more, so messages about them may be missing.
    #[serde(rename = "history.missed")]
    HistoryMissed,
    /// The operator tries the webhook.
    #[serde(rename = "webhook.test")]
    Test,
}

impl Kind {
    /// Those that happen.
    pub const ALL: [Self; 9] = [
        Self::KeyIssued,
        Self::CertificateExpiring,
        Self::CredentialConflict,
        Self::BrownoutBegun,
        Self::BrownoutEnded,
        Self::BrownoutStopped,
        Self::MigrationFinished,
        Self::CohortFinished,
        Self::HistoryMissed,
    ];

    /// As it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyIssued => "key.issued",
            Self::CertificateExpiring => "certificate.expiring",
            Self::CredentialConflict => "credential.conflict",
            Self::BrownoutBegun => "brownout.begun",
            Self::BrownoutEnded => "brownout.ended",
            Self::BrownoutStopped => "brownout.stopped",
            Self::MigrationFinished => "migration.finished",
            Self::CohortFinished => "cohort.finished",
            Self::HistoryMissed => "history.missed",
            Self::Test => "webhook.test",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_as_it_is_sent() {
        for kind in Kind::ALL.into_iter().chain([Kind::Test]) {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
