//! A certificate that is kept as it is, for backends that are still told of it (docs/MASQUERADE.md).

use std::fmt;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::content::Content;
use super::{CertificateRecord, Fingerprint};
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

/// The certificate that backends are told of when its client comes by key alone: of these, which are
/// the client's, the one that was issued last of those that are kept.
#[must_use]
pub fn newest_whole<'a>(
    own: impl IntoIterator<Item = &'a CertificateRecord>,
) -> Option<&'a CertificateRecord> {
    let age = |record: &&CertificateRecord| {
        let from = record.whole.as_ref().and_then(Whole::valid_from);
        from.map(|from| (from, record.fingerprint))
    };
    let kept = own.into_iter().filter(|record| age(record).is_some());
    kept.max_by_key(age)
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
