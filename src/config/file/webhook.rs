//! Who is told what happens.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ClientTls;
use crate::config::period::Period;
use crate::webhook::Kind;

/// Somebody who is told what happens, by signed messages over HTTP. Of several gateways on one store,
/// one tells. docs/WEBHOOKS.md has more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name, which no other webhook has. What was told is remembered under it: with another name it
    /// begins anew.
    #[schemars(required, regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: Option<String>,
    /// Where messages are posted to: https, or http to this machine. It is not shown, since it may hold
    /// a token, but for its host.
    #[schemars(required, extend("x-type" = "URL"))]
    pub url: Option<String>,
    /// What messages are signed with, after the Standard Webhooks specification: `whsec_` and 24 to 64
    /// bytes in base64.
    #[schemars(required, extend("x-type" = "secret file"))]
    pub secret_file: Option<PathBuf>,
    /// The secret before, while the receiver may still have that one: messages are then signed with
    /// both.
    #[schemars(extend("x-type" = "secret file"))]
    pub former_secret_file: Option<PathBuf>,
    /// What it is told: "key.issued", "certificate.expiring", "credential.conflict", "brownout.begun",
    /// "brownout.ended", "brownout.stopped", "migration.finished", "cohort.finished" or
    /// "history.missed". Empty: everything.
    #[serde(default)]
    #[schemars(extend("x-type" = "list of words"))]
    pub events: Vec<Kind>,
    /// How long it may take, from the look-up of its name to its answer.
    #[serde(default = "Period::seconds::<10>")]
    pub timeout: Period,
    /// TLS with it, when its URL begins with https. Without it, the authorities of the system are
    /// trusted: /etc/ssl/certs/ca-certificates.crt.
    pub tls: Option<ClientTls>,
    /// Whether its URL may begin with http where it is not on this machine. Whoever is on the way can
    /// then read what it is told.
    #[serde(default)]
    pub plain_http: bool,
}
