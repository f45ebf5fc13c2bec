//! What ended long ago.

use std::time::Duration;

use super::View;
use crate::certificate::Mapping;
use crate::client::CredentialId;
use crate::clock::Timestamp;
use crate::key::KeyStatus;

/// For how long after its end it still matters when a credential was used.
const OVER_AFTER: Duration = Duration::from_hours(24);

impl View {
    /// Whether the credential ended more than a day ago, or is none. What expired may still
    /// claim a key, so for a certificate only what shut it counts.
    #[must_use]
    pub fn is_over(&self, credential: &CredentialId, now: Timestamp) -> bool {
        let end = match credential {
            CredentialId::Key(id) => self.key(id).map(|key| match key.status() {
                KeyStatus::Revoked { at, .. } => Some(at),
                KeyStatus::Active => key.expires_at(),
            }),
            CredentialId::Certificate(id) => self.certificate(id).map(|mapping| match mapping {
                Mapping::Removed { at } | Mapping::Superseded { at, .. } => Some(at),
                Mapping::Mapped { .. } | Mapping::Pending | Mapping::Twin { .. } => None,
            }),
        };
        end.is_none_or(|end| end.is_some_and(|end| end.plus(OVER_AFTER) <= now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{CertificateRecord, Fingerprint, Source};
    use crate::client::ClientId;
    use crate::key::{KeyId, KeyRecord};
    use crate::store::{Epoch, Record, Versioned};

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    #[test]
    fn a_credential_is_over_a_day_after_its_end_but_for_certificates_that_only_expired() {
        let view = View::default();
        let key = KeyId::generate();
        let client: ClientId = "acme".parse().unwrap();
        let put = |version, record: Record| {
            let version = Epoch(version);
            view.apply(Versioned { version, record });
        };
        let over = |id| [NOW, NOW.plus(OVER_AFTER)].map(|now| view.is_over(&id, now));
        assert_eq!(over(CredentialId::Key(key)), [true; 2], "there is none");
        let record = KeyRecord::reserved(key, client.clone(), NOW);
        put(1, record.clone().into());
        assert_eq!(over(CredentialId::Key(key)), [false; 2]);
        let expires_at = Some(NOW);
        put(
            2,
            KeyRecord {
                expires_at,
                ..record
            }
            .into(),
        );
        assert_eq!(over(CredentialId::Key(key)), [false, true]);

        let certificate = Fingerprint::of(b"a");
        for (version, mapping, is_over) in [
            (3, Mapping::Mapped { client, key }, [false; 2]),
            (4, Mapping::Removed { at: NOW }, [false, true]),
        ] {
            let record = CertificateRecord::new(certificate, mapping, Source::FirstSight, NOW);
            put(version, record.into());
            assert_eq!(over(CredentialId::Certificate(certificate)), is_over);
        }
    }
}
