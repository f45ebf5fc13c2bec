//! `GET explain`: what arrived on this connection, every check and its outcome, and what to do.
//!
//! By anybody, and about nothing but this connection: whose certificate it is is not told, and
//! whether any other is known cannot be asked.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Answer, Call, json, text};
use crate::certificate::{Explanation, Lineage, Mapping, Reason};
use crate::clock::Timestamp;
use crate::gateway::Refusal;
use crate::gateway::problem::{Links, prefers_text};

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    explanation: Told,
    connection: ConnectionOf,
    server_time: String,
    next_step: String,
}

/// An explanation, or that there is nothing to explain, in the same form.
#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    Certificate(Box<Explanation>),
    Nothing {
        verdict: &'static str,
        reasons: [Reason; 0],
        chain: [(); 0],
        sent: [(); 0],
        checks: [(); 0],
        problems: [(); 0],
    },
}

#[derive(Serialize)]
struct ConnectionOf {
    tls_version: &'static str,
    cipher: &'static str,
    resumed: bool,
    /// How it is known that the client holds the key of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    assurance: Option<&'static str>,
}

pub(super) fn answer(call: &Call<'_>, now: Timestamp) -> Result<Answer, Refusal> {
    let parts = &call.gateway.parts;
    let connection = call.connection;
    if connection.is_terse() {
        return Err(Refusal::ResourceNotFound);
    }
    let explanation = connection.explain(&parts.verifier, lineage(call, now), now);
    let links = Links {
        authority: &call.head.authority,
        base: &call.live.self_service.path,
    };
    let report = Report {
        next_step: next_step(explanation.as_ref(), &links.base_url()),
        explanation: explanation.map_or(Told::NOTHING, |told| Told::Certificate(Box::new(told))),
        connection: ConnectionOf {
            tls_version: connection.tls().version,
            cipher: connection.tls().cipher,
            resumed: connection.is_resumed(),
            assurance: connection.sent().map(|_| connection.assurance().as_str()),
        },
        server_time: now.to_string(),
    };
    if prefers_text(call.head.headers) {
        text(report.to_text())
    } else {
        json(200, &report)
    }
}

/// Whether a newer certificate took the place of the one that came; asked for a good one only.
fn lineage(call: &Call<'_>, now: Timestamp) -> Lineage {
    let parts = &call.gateway.parts;
    let good = call.connection.verified(&parts.verifier, now);
    let view = parts.directory.view();
    match good.and_then(|good| view.certificate(good.fingerprint())) {
        Some(Mapping::Mapped { .. }) => Lineage::Current,
        Some(Mapping::Superseded { .. }) => Lineage::Superseded,
        Some(Mapping::Pending | Mapping::Twin { .. } | Mapping::Removed { .. }) | None => {
            Lineage::Unknown
        }
    }
}

/// What to do next, with a line to paste.
fn next_step(explanation: Option<&Explanation>, base: &str) -> String {
    let Some(explanation) = explanation else {
        return format!(
            "No client certificate arrived. Send one: curl --cert client.pem --key client.key \
             {base}explain"
        );
    };
    if explanation.is_verified() {
        return format!(
            "Fetch your API key: curl --cert client.pem --key client.key -X POST {base}key"
        );
    }
    let chain = match explanation.reasons.first() {
        Some(Reason::ChainIncomplete) => "chain.pem",
        _ => "client.pem",
    };
    format!(
        "{} Then look again: curl --cert {chain} --key client.key {base}explain",
        explanation.advice()
    )
}

impl Told {
    const NOTHING: Self = Self::Nothing {
        verdict: "none",
        reasons: [],
        chain: [],
        sent: [],
        checks: [],
        problems: [],
    };
}

impl Report {
    fn to_text(&self) -> String {
        let Self {
            explanation,
            connection,
            server_time,
            next_step,
        } = self;
        let mut text = match explanation {
            Told::Certificate(explanation) => explanation.to_string(),
            Told::Nothing { .. } => "no certificate\n".to_owned(),
        };
        let ConnectionOf {
            tls_version,
            cipher,
            resumed,
            assurance,
        } = connection;
        let resumed = if *resumed {
            "resumed"
        } else {
            "full handshake"
        };
        let by_a_front = if *assurance == Some("asserted") {
            ", that of a proxy in front, which forwarded the certificate"
        } else {
            ""
        };
        let _ = write!(
            text,
            "\nconnection  {tls_version}, {cipher}, {resumed}{by_a_front}\nserver time {server_time}\n\n\
             next step: {next_step}\n"
        );
        text
    }
}
