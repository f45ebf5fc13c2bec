//! Observing beside an existing gateway: requests go on as they came, whatever was decided, and
//! what was decided is recorded.

use std::net::IpAddr;

use super::{Exchange, Gateway, Refusal};
use crate::certificate::Mapping;
use crate::head::Head;
use crate::identity::Refused;
use crate::observe::{HeaderText, Observation, Who, Would};
use crate::policy::{self, Observed, Permit};

impl Exchange {
    /// Leave to pass the request on as it came; none on a gateway that enforces, for requests that
    /// do not come from the existing gateway, and where no single route serves the request.
    pub(super) fn observed(&self, head: &Head<'_>) -> Option<Observed> {
        let observing = self.live.observing.as_ref()?;
        policy::observe(observing, self.live.route(head).ok()?, self.connected)
    }
}

impl Gateway {
    /// Records what was `decided` of a request that goes on as it came.
    pub(super) fn record(
        &self,
        head: &Head<'_>,
        address: Option<IpAddr>,
        decided: &Result<Permit, Refusal>,
        exchange: &mut Exchange,
    ) {
        let Some(address) = address else { return };
        let would = match decided {
            Ok(permit) => permit.identity().map_or(Would::AskNobody, |identity| {
                Would::Know(identity.client().clone())
            }),
            Err(refusal) => {
                exchange.note_would_refuse(refusal);
                self.refused(refusal, exchange);
                Would::Refuse {
                    reason: refusal.code().as_str(),
                    who: self.who(refusal),
                }
            }
        };
        let observing = exchange.live.observing.as_ref();
        let header = observing.and_then(|observing| observing.identity_header.as_ref());
        let read = |name| HeaderText::read(head.headers, name, &self.parts.format);
        exchange.live.observations.note(Observation {
            would,
            told: header.and_then(read),
            address: address.to_canonical(),
            at: exchange.now,
        });
    }

    /// Who was refused, as far as what was presented tells.
    fn who(&self, refusal: &Refusal) -> Who {
        let view = self.parts.directory.view();
        let certificate = |fingerprint| Who {
            client_id: match view.certificate(fingerprint) {
                Some(Mapping::Mapped { client, .. }) => Some(client),
                _ => None,
            },
            fingerprint: Some(*fingerprint),
            key_id: None,
        };
        let client = |client| Who {
            client_id: Some(client),
            ..Who::default()
        };
        match refusal {
            Refusal::Identity(Refused::KeyInvalid { id, .. }) => Who {
                client_id: view.key(id).map(|entry| entry.client().clone()),
                fingerprint: None,
                key_id: Some(*id),
            },
            Refusal::Identity(Refused::CertificateRejected(rejected)) => {
                certificate(rejected.fingerprint())
            }
            Refusal::Identity(Refused::Unregistered(verified)) => {
                certificate(verified.fingerprint())
            }
            Refusal::Identity(Refused::ApprovalPending(fingerprint)) => certificate(fingerprint),
            Refusal::Identity(
                Refused::Conflict {
                    certificate: id, ..
                }
                | Refused::ClientDisabled(id),
            ) => client(id.clone()),
            _ => refusal
                .caller()
                .map_or_else(Who::default, |identity| client(identity.client().clone())),
        }
    }
}
