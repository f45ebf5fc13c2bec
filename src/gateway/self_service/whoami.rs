//! `GET whoami`: who the gateway takes the caller for, and how far it has moved.

use serde::Serialize;

use super::{Answer, Call, days_left, json};
use crate::client::{ClientId, Stage};
use crate::clock::Timestamp;
use crate::credential::Assurance;
use crate::directory::Sightings;
use crate::gateway::{Exchange, Refusal};
use crate::key::{KeyId, Scope};
use crate::phase::{InForce, Phase, Schedule};

#[derive(Serialize)]
struct WhoAmI<'a> {
    client_id: &'a ClientId,
    key_id: KeyId,
    proven_by: &'static str,
    /// How it is known that the client holds the key of its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    assurance: Option<&'static str>,
    stage: Stage,
    phase: PhaseOf,
    scopes: &'a [Scope],
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateOf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_problem: Option<&'static str>,
    keys: Vec<KeyOf>,
    server_time: String,
}

#[derive(Serialize)]
struct CertificateOf {
    sha256: String,
    subject: String,
    not_after: String,
}

#[derive(Serialize)]
struct KeyOf {
    key_id: KeyId,
    expires_at: Option<String>,
    /// Whole days until then.
    days_left: Option<i64>,
}

/// What the operator has decided about the client's certificates.
#[derive(Serialize)]
struct PhaseOf {
    is: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    announced_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sunset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guide: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brownout: Option<BrownoutOf>,
}

/// When certificates are refused.
#[derive(Serialize)]
struct BrownoutOf {
    /// Until when the client's are, if they are now.
    refused_until: Option<String>,
    begins: String,
    ends: Option<String>,
    schedule: Schedule,
}

impl PhaseOf {
    fn of(
        phase: Option<&InForce>,
        client: &ClientId,
        sightings: &Sightings,
        now: Timestamp,
    ) -> Self {
        let refusals = phase.map_or(0, |phase| sightings.refusals(phase.version));
        let text = |at: Timestamp| at.to_string();
        let brownout = phase.and_then(|phase| phase.brownout());
        Self {
            is: phase.map_or(Phase::Accept, |phase| phase.phase()),
            since: phase.map(|phase| text(phase.since)),
            announced_at: phase.and_then(|phase| phase.announced).map(text),
            sunset: phase.and_then(|phase| phase.sunset).map(text),
            guide: phase.and_then(|phase| Some(phase.guide.as_ref()?.as_str().to_owned())),
            brownout: brownout.map(|brownout| BrownoutOf {
                refused_until: brownout.refuses(client, refusals, now).map(text),
                begins: text(brownout.plan.begins),
                ends: brownout.plan.ends.map(text),
                schedule: brownout.plan.schedule.clone(),
            }),
        }
    }
}

pub(super) async fn answer(call: &Call<'_>, exchange: &mut Exchange) -> Result<Answer, Refusal> {
    let identity = call.identity(exchange).await?;
    let parts = &call.gateway.parts;
    let view = parts.directory.view();
    let keys: Vec<_> = view
        .belongings(identity.client())
        .keys
        .iter()
        .filter_map(|id| view.key(id))
        .filter(|key| key.is_issued() && key.usable(exchange.now).is_ok())
        .map(|key| KeyOf {
            key_id: key.id(),
            expires_at: key.expires_at().map(|at| at.to_string()),
            days_left: days_left(key.expires_at(), exchange.now),
        })
        .collect();
    let seen = parts.sightings.of(identity.client());
    let certificate = call.connection.verified(&parts.verifier, exchange.now);
    json(
        200,
        &WhoAmI {
            client_id: identity.client(),
            key_id: identity.key(),
            proven_by: exchange.auth,
            assurance: identity.assurance().map(Assurance::as_str),
            stage: Stage::of(true, !keys.is_empty(), seen, call.live.window, exchange.now),
            phase: PhaseOf::of(
                view.phase_of(identity.client()).as_deref(),
                identity.client(),
                &parts.sightings,
                exchange.now,
            ),
            scopes: identity.scopes(),
            certificate: certificate.map(|certificate| CertificateOf {
                sha256: certificate.fingerprint().to_string(),
                subject: certificate.facts().subject.clone(),
                not_after: certificate.facts().not_after.to_string(),
            }),
            certificate_problem: identity
                .rejected_beside()
                .map(crate::certificate::Reason::code),
            keys,
            server_time: exchange.now.to_string(),
        },
    )
}
