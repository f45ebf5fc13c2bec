//! Records and their stored form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Epoch;
use crate::certificate::{Alias, AliasRecord, CertificateRecord, Fingerprint, Mapping};
use crate::client::{ClientId, ClientRecord};
use crate::key::{KeyId, KeyRecord};
use crate::phase::{PhaseRecord, Target};

/// One thing that the store remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Record {
    /// A client.
    Client(ClientRecord),
    /// A certificate.
    Certificate(CertificateRecord),
    /// Another name of a certificate that is to come.
    Alias(AliasRecord),
    /// A key.
    Key(KeyRecord),
    /// The phases of a target.
    Phase(PhaseRecord),
}

/// What names a record.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub enum RecordId {
    /// A client by its id.
    Client(ClientId),
    /// A certificate by its fingerprint.
    Certificate(Fingerprint),
    /// A certificate that is to come, by its other name.
    Alias(Alias),
    /// A key by its id.
    Key(KeyId),
    /// The phases of a target by what it is.
    Phase(Target),
}

/// A part of the records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Those that are this client's, see [`Record::owner`].
    OwnedBy(ClientId),
    /// The phases of every target.
    Phases,
}

/// A record and the epoch of the change that wrote it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Versioned {
    /// The epoch of the change that wrote it.
    pub version: Epoch,
    /// The record.
    pub record: Record,
}

/// A stored value that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be read: {why}")]
pub struct Unreadable {
    /// What it is.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
}

impl Record {
    /// What names it.
    #[must_use]
    pub fn id(&self) -> RecordId {
        match self {
            Self::Client(record) => RecordId::Client(record.id.clone()),
            Self::Certificate(record) => RecordId::Certificate(record.fingerprint),
            Self::Alias(record) => RecordId::Alias(record.alias),
            Self::Key(record) => RecordId::Key(record.id),
            Self::Phase(record) => RecordId::Phase(record.target.clone()),
        }
    }

    /// The client whose it is: of a certificate, a certificate that is to come, or a key.
    #[must_use]
    pub const fn owner(&self) -> Option<&ClientId> {
        match self {
            Self::Certificate(record) => match &record.mapping {
                Mapping::Mapped { client, .. } | Mapping::Superseded { client, .. } => Some(client),
                Mapping::Pending | Mapping::Removed { .. } | Mapping::Twin { .. } => None,
            },
            Self::Alias(record) => Some(&record.client),
            Self::Key(record) => Some(&record.client),
            Self::Client(_) | Self::Phase(_) => None,
        }
    }
}

impl RecordId {
    /// The kind, as the prefix of the text form and the name of the stored collection.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Certificate(_) => "certificate",
            Self::Alias(_) => "alias",
            Self::Key(_) => "key",
            Self::Phase(_) => "phase",
        }
    }

    /// The name within its kind.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Client(id) => id.to_string(),
            Self::Certificate(fingerprint) => fingerprint.to_string(),
            Self::Alias(alias) => alias.to_string(),
            Self::Key(id) => id.to_string(),
            Self::Phase(target) => target.to_string(),
        }
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

impl FromStr for RecordId {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let unreadable = |why: &dyn fmt::Display| Unreadable {
            what: format!("record id {text:?}"),
            why: why.to_string(),
        };
        match text.split_once(':') {
            Some(("client", id)) => id.parse().map(Self::Client).map_err(|e| unreadable(&e)),
            Some(("certificate", id)) => id
                .parse()
                .map(Self::Certificate)
                .map_err(|e| unreadable(&e)),
            Some(("alias", id)) => id.parse().map(Self::Alias).map_err(|e| unreadable(&e)),
            Some(("key", id)) => id.parse().map(Self::Key).map_err(|e| unreadable(&e)),
            Some(("phase", target)) => target.parse().map(Self::Phase).map_err(|e| unreadable(&e)),
            _ => Err(unreadable(&"it has no known kind")),
        }
    }
}

impl TryFrom<String> for RecordId {
    type Error = Unreadable;

    fn try_from(text: String) -> Result<Self, Unreadable> {
        text.parse()
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.to_string()
    }
}

impl From<ClientRecord> for Record {
    fn from(record: ClientRecord) -> Self {
        Self::Client(record)
    }
}

impl From<CertificateRecord> for Record {
    fn from(record: CertificateRecord) -> Self {
        Self::Certificate(record)
    }
}

impl From<AliasRecord> for Record {
    fn from(record: AliasRecord) -> Self {
        Self::Alias(record)
    }
}

impl From<KeyRecord> for Record {
    fn from(record: KeyRecord) -> Self {
        Self::Key(record)
    }
}

impl From<PhaseRecord> for Record {
    fn from(record: PhaseRecord) -> Self {
        Self::Phase(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn client(id: &str) -> Record {
        ClientRecord::new(id.parse().unwrap(), None, Timestamp::from_unix(1)).into()
    }

    #[test]
    fn a_record_id_has_one_text_form() {
        let id = client("a.b").id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("client:A".parse::<RecordId>().is_err() && "x:a".parse::<RecordId>().is_err());
    }
}
