//! Whether a certificate that is seen for the first time belongs to a client that is known.

use super::{Exchange, Gateway, Refusal};
use crate::certificate::{Alias, AliasState, Fingerprint, Mapping, Verified};
use crate::client::{self, Recognised, Related};
use crate::directory::Unavailable;
use crate::store::{Change, Record, RecordId};

/// How far back from a certificate that ended those that it renewed are looked at.
const PREDECESSORS: usize = 8;

impl Gateway {
    /// The change that a certificate's first sight makes: it is given to the client that it is
    /// recognised as, or else enrols. None when it makes none.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    pub(super) async fn first_sight(
        &self,
        certificate: &Verified,
        exchange: &Exchange,
    ) -> Result<Option<Change>, Refusal> {
        let (parts, now) = (&self.parts, exchange.now);
        let trust = parts.verifier.trust();
        let ca = trust.ca_name(certificate.ca());
        // Not of when the request began: the authority may be newer.
        let newest = parts.live.load();
        let policy = newest.renewal.get(usize::from(certificate.ca().0)).copied();
        let policy = policy.ok_or(Refusal::Internal("an authority has no policy"))?;
        let related = self.related(certificate).await?;
        match client::recognise(certificate, ca, policy, &related, now) {
            Recognised::Nobody => {
                let enrolment = exchange.live.enrolment;
                Ok(client::at_first_sight(enrolment, certificate, ca, now))
            }
            Recognised::As(_, change) => Ok(Some(*change)),
            Recognised::Refused(rung, why) => {
                let renewals = &parts.metrics.renewals;
                renewals
                    .with_label_values(&[rung.as_str(), "refused"])
                    .inc();
                tracing::warn!(
                    certificate = %certificate.fingerprint(), subject = certificate.facts().subject,
                    by = rung.as_str(), %why, request_id = exchange.request_id,
                    "refused a certificate that seems to be a known client's"
                );
                Ok(None)
            }
        }
    }

    /// What may be related to the certificate. Where memory knows of nothing, the store is not
    /// asked.
    async fn related(&self, certificate: &Verified) -> Result<Related, Unavailable> {
        let directory = &self.parts.directory;
        let view = directory.view().clone();
        let facts = certificate.facts();
        let candidates = view.alike(facts);
        let mut related = Related {
            too_many_keys: candidates.too_many_keys,
            too_many_names: candidates.too_many_names,
            ..Related::default()
        };
        let spki = Alias::spki(&facts.spki);
        for alias in certificate.sha1s().iter().chain(&spki) {
            let withdrawn = |state| matches!(state, AliasState::Withdrawn { .. });
            let id = RecordId::Alias(*alias);
            if view.alias(alias).is_none() && view.is_doubted(&id) {
                return Err(Unavailable);
            }
            if view.alias(alias).is_some_and(|state| !withdrawn(state))
                && let Some((version, Record::Alias(record))) = directory.stored(&id).await?
            {
                related.aliases.push((version, record));
            }
        }
        for fingerprint in candidates.certificates {
            self.add(fingerprint, &mut related).await?;
        }
        let of_certificates = related.certificates.iter().filter_map(|(_, record)| {
            let Mapping::Mapped { client, .. } = &record.mapping else {
                return None;
            };
            Some(client)
        });
        let of_aliases = related.aliases.iter().map(|(_, record)| &record.client);
        let mut clients: Vec<_> = of_certificates.chain(of_aliases).cloned().collect();
        clients.sort_unstable();
        clients.dedup();
        for client in clients {
            related.clients.extend(directory.holdings(&client).await?);
        }
        Ok(related)
    }

    /// Adds a certificate, and when it ended, those that it took over from.
    async fn add(&self, first: Fingerprint, related: &mut Related) -> Result<(), Unavailable> {
        let mut next = Some(first);
        for _ in 0..PREDECESSORS {
            let Some(fingerprint) = next else {
                break;
            };
            let has = |(_, known): &(_, crate::certificate::CertificateRecord)| {
                known.fingerprint == fingerprint
            };
            if related.certificates.iter().any(has) {
                break;
            }
            let id = RecordId::Certificate(fingerprint);
            let Some((version, Record::Certificate(record))) =
                self.parts.directory.stored(&id).await?
            else {
                break;
            };
            let ended = matches!(
                record.mapping,
                Mapping::Removed { .. } | Mapping::Superseded { .. }
            );
            next = record.renews.filter(|_| ended);
            related.certificates.push((version, record));
        }
        Ok(())
    }
}
