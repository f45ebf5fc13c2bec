//! Proxies in front that forward the certificates of clients.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// A proxy in front that ends the clients' TLS and forwards their certificates. It is believed when
/// it calls from its addresses and shows either its own certificate or a secret: one of `certificate`
/// and `secret_files` is required. From everybody else, what it forwards counts for nothing.
/// docs/FRONTS.md has what to write into the proxy's own configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Its name in logs and metrics, which no other front has.
    #[schemars(required, regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: Option<String>,
    /// IP addresses and networks that it calls from: those that connect, or that a PROXY header
    /// names. No network wider than /8 (IPv6: /16) is taken.
    #[serde(default)]
    #[schemars(length(min = 1), extend("x-type" = "list of IP addresses and networks"))]
    pub from: Vec<String>,
    /// How it forwards certificates.
    #[schemars(required)]
    pub format: Option<FrontFormat>,
    /// The header of the format "nginx", which begins with X-SSL-Client-, SSL-Client- or
    /// X-Client-Cert. Without it: X-SSL-Client-Cert.
    #[schemars(extend("x-type" = "name of a header"))]
    pub header: Option<String>,
    /// The certificate that it shows in its own TLS handshake with the gateway.
    pub certificate: Option<FrontCertificate>,
    /// The front sends what one of them holds as X-Front-Secret. Name two while the secret is being
    /// replaced.
    #[schemars(extend("x-type" = "list of secret files"))]
    pub secret_files: Option<Vec<PathBuf>>,
    /// Whether it signs with the secret, in X-Front-Signature, instead of sending it.
    #[serde(default)]
    pub signed: bool,
    /// Whether a client may fetch its key with a certificate that this front forwards. That the
    /// client holds the key of the certificate is then the front's word alone.
    #[serde(default)]
    pub may_claim: bool,
    /// The header whose last address is the client's, for logs, limits and X-Forwarded-For. Without
    /// it, all its clients have the front's address.
    #[schemars(extend("x-type" = "name of a header"))]
    pub client_address_header: Option<String>,
    /// It asks about each request that it got, at `authenticate` below `self_service.path`, and passes
    /// the request on by itself: docs/AUTHENTICATE.md. How it tells of the request. Then nothing that it
    /// sends is passed on. Without it, it sends requests, and its questions are refused. Goes
    /// neither with `may_claim` nor with `signed`.
    pub asks: Option<FrontAsks>,
}

/// How a front that asks tells of the request.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FrontAsks {
    /// `X-Original-Method`, `X-Original-URI` and `Host`: nginx, HAProxy.
    Original,
    /// `X-Forwarded-Method`, `X-Forwarded-Uri` and `X-Forwarded-Host`: Traefik.
    Forwarded,
    /// The question is a request like it, with its target behind the path: Envoy.
    RequestLine,
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
    /// PEM: the authorities of fronts' certificates, none of which is one of the clients'. With it,
    /// `names` is required.
    #[schemars(extend("x-type" = "file"))]
    pub ca_file: Option<PathBuf>,
    /// Alternative names, of which the certificate must have one: names of the DNS, or URIs.
    #[serde(default)]
    #[schemars(extend("x-type" = "list of names"))]
    pub names: Vec<String>,
    /// SHA-256 fingerprints, instead of authority and names. The certificate's dates do not count
    /// then.
    #[serde(default)]
    #[schemars(extend("x-type" = "list of fingerprints"))]
    pub sha256: Vec<String>,
}
