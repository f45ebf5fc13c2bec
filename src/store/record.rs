//! Records and their stored form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Epoch;
use crate::certificate::{Alias, AliasRecord, CertificateRecord, Fingerprint, Mapping};
use crate::client::{ClientId, ClientRecord};
use crate::key::{KeyId, KeyRecord};
use crate::phase::{PhaseRecord, Target};

/// The version of the stored form. A record of another version is an error, never a guess.
pub(super) const SCHEMA: u32 = 1;

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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug)]
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

/// The stored form: the schema first, so that it can be read before the rest is understood.
#[derive(Serialize)]
struct Stored<'a> {
    schema: u32,
    version: Epoch,
    record: &'a Record,
}

/// As much of any stored form as every version of this program understands.
#[derive(Deserialize)]
pub(super) struct SchemaOnly {
    schema: u32,
}

impl SchemaOnly {
    /// Whether this program knows the schema of what is `stored`; if not, why.
    pub(super) fn check(stored: &[u8]) -> Result<(), String> {
        match serde_json::from_slice(stored) {
            Ok(Self { schema: SCHEMA }) => Ok(()),
            Ok(Self { schema }) => Err(format!(
                "it has schema {schema}, and this program knows {SCHEMA}; run the version that wrote it"
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    schema: u32,
    version: Epoch,
    record: Record,
}

impl Versioned {
    /// The stored form of `record` as of `version`.
    #[must_use]
    pub fn encode(version: Epoch, record: &Record) -> String {
        serde_json::to_string(&Stored {
            schema: SCHEMA,
            version,
            record,
        })
        .unwrap_or_default()
    }

    /// Reads the stored form of the record `id`.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when it is damaged, of another schema, or another record than `id` says.
    pub fn decode(id: &RecordId, stored: &[u8]) -> Result<Self, Unreadable> {
        let unreadable = |why: String| Unreadable {
            what: id.to_string(),
            why,
        };
        let read = match serde_json::from_slice::<Read>(stored) {
            Ok(read) if read.schema == SCHEMA => read,
            // What is of another schema says so, whatever else is wrong with it.
            read => {
                SchemaOnly::check(stored).map_err(unreadable)?;
                read.map_err(|error| unreadable(error.to_string()))?
            }
        };
        if read.record.id() != *id {
            return Err(unreadable(format!(
                "it says that it is {}",
                read.record.id()
            )));
        }
        Ok(Self {
            version: read.version,
            record: read.record,
        })
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
    fn what_is_stored_reads_back() {
        let stored = Versioned::encode(Epoch(7), &client("a"));
        let read = Versioned::decode(&client("a").id(), stored.as_bytes()).unwrap();
        assert_eq!(
            (read.version, read.record.id()),
            (Epoch(7), client("a").id())
        );
    }

    #[test]
    fn o4_a_damaged_foreign_or_misplaced_record_is_an_error() {
        let stored = Versioned::encode(Epoch(7), &client("a"));
        let newer = stored.replace("\"schema\":1", "\"schema\":2");
        let more = stored.replace("\"version\"", "\"extra\":1,\"version\"");
        for (id, bytes) in [
            ("a", stored.trim_start_matches('{')),
            ("a", &newer),
            ("a", &more),
            ("b", &stored),
        ] {
            assert!(
                Versioned::decode(&client(id).id(), bytes.as_bytes()).is_err(),
                "{id} {bytes}"
            );
        }
    }

    #[test]
    fn a_record_id_has_one_text_form() {
        let id = client("a.b").id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("client:A".parse::<RecordId>().is_err() && "x:a".parse::<RecordId>().is_err());
    }
}
