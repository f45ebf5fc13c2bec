//! A certificate that is kept as it is, for backends that are still told of it (docs/MASQUERADE.md).

use std::fmt;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::content::Content;
use super::{CertificateRecord, Fingerprint, Mapping};
use crate::clock::Timestamp;
use crate::store::{Change, Record};

/// A certificate in DER. In records it is base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Whole(Arc<[u8]>);

impl Whole {
    /// Its bytes.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    /// Whether it has this fingerprint.
    #[must_use]
    pub fn is(&self, fingerprint: &Fingerprint) -> bool {
        Fingerprint::of(&self.0) == *fingerprint
    }

    /// From when it is valid; none when it cannot be read.
    #[must_use]
    pub fn valid_from(&self) -> Option<Timestamp> {
        Some(Content::read(&self.0).ok()?.facts.not_before)
    }
}

impl From<Vec<u8>> for Whole {
    fn from(der: Vec<u8>) -> Self {
        Self(der.into())
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Whole({} bytes)", self.0.len())
    }
}

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let der = BASE64_STANDARD.decode(text);
        der.map(Self::from).map_err(serde::de::Error::custom)
    }
}

/// By which the newest certificate of a client is found, which backends are told of when it comes by key
/// alone: from when it is valid. Of two that begin at once, every gateway takes the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(Timestamp, Fingerprint);

impl Age {
    /// That of a certificate which identifies a client and is kept as it is; none of others.
    #[must_use]
    pub fn of(record: &CertificateRecord) -> Option<Self> {
        let whole = record.whole.as_ref()?;
        let counts =
            matches!(record.mapping, Mapping::Mapped { .. }) && whole.is(&record.fingerprint);
        let from = whole.valid_from().filter(|_| counts)?;
        Some(Self(from, record.fingerprint))
    }
}

/// The same change, which keeps the certificate `whole` where it writes its record.
#[must_use]
pub fn keep_whole(mut change: Change, whole: &Whole) -> Change {
    for write in &mut change.writes {
        if let Record::Certificate(record) = &mut write.record
            && whole.is(&record.fingerprint)
        {
            record.whole = Some(whole.clone());
        }
    }
    change
}
