//! Proxies in front that forward the certificates of clients.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// A proxy in front that ends the clients' TLS and forwards their certificates. It is believed when
/// it calls from its addresses and shows either its own certificate or a secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Its name in logs and metrics.
    #[schemars(required, regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: Option<String>,
    /// IP addresses and networks that it calls from.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub from: Vec<String>,
    /// How it forwards certificates.
    #[schemars(required)]
    pub format: Option<FrontFormat>,
    /// The header of the format "nginx".
    pub header: Option<String>,
    /// The certificate that it shows in its own TLS handshake with the gateway.
    pub certificate: Option<FrontCertificate>,
    /// Files with the secret that it sends in X-Front-Secret; two while it is being replaced.
    pub secret_files: Option<Vec<PathBuf>>,
    /// Whether it signs with the secret, in X-Front-Signature, instead of sending it.
    #[serde(default)]
    pub signed: bool,
    /// Whether a client may fetch its key with a certificate that this front forwards.
    #[serde(default)]
    pub may_claim: bool,
    /// The header whose last address is the client's, for logs, limits and X-Forwarded-For. Without
    /// it, all its clients have the front's address.
    pub client_address_header: Option<String>,
}

/// How a front forwards certificates.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FrontFormat {
    /// `Client-Cert` and `Client-Cert-Chain`.
    Rfc9440,
    /// `X-Forwarded-Client-Cert`: Envoy.
    Xfcc,
    /// `X-Amzn-Mtls-Clientcert` and `-Leaf`: the Application Load Balancer of AWS.
    Alb,
    /// PEM, percent-encoded, in a header of its own: nginx.
    Nginx,
    /// `X-Forwarded-Tls-Client-Cert`: Traefik.
    Traefik,
    /// In the header of the PROXY protocol, version 2.
    ProxyV2,
}

/// The certificate of a front: by its authority and a name, or by its fingerprint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontCertificate {
    /// PEM: the authorities of fronts' certificates, none of which is one of the clients'.
    pub ca_file: Option<PathBuf>,
    /// Alternative names, of which the certificate must have one: names of the DNS, or URIs.
    #[serde(default)]
    pub names: Vec<String>,
    /// SHA-256 fingerprints, instead of authority and names.
    #[serde(default)]
    pub sha256: Vec<String>,
}
