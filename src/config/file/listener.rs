//! Where clients connect, and whose certificates they may present.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::certificate::WhenUnknown;
use crate::client::Renewal;
use crate::config::period::Period;
use crate::door::{MinimumTls, Sessions};
use crate::policy::ClientCertificates;

/// Where clients connect, and with which TLS. docs/TLS.md has more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Listener")]
pub struct Listener {
    /// IP address and port, for instance `0.0.0.0:8443` or `[::]:8443`.
    #[schemars(required, extend("x-type" = "IP address and port"))]
    pub address: Option<String>,
    /// Whether clients are asked for a certificate in the handshake, and what becomes of one that
    /// is not good, at every server name that `server_name` does not list. "optional" is the same
    /// as "explain", and "off" as "never-ask". docs/TLS.md tells more of each.
    #[schemars(required)]
    pub client_certificates: Option<ClientCertificates>,
    /// What holds instead at some server names.
    #[serde(default)]
    pub server_name: Vec<ServerName>,
    /// Whether the handshake tells clients the names of the authorities in `[[ca]]`, by which those
    /// with several certificates choose one. Hundreds of them are too much for some clients.
    #[serde(default = "yes")]
    pub ca_names: bool,
    /// How long a client may take for the TLS handshake.
    #[serde(default = "Period::seconds::<10>")]
    pub handshake_timeout: Period,
    /// IP addresses and networks of the TCP balancers in front, and of nobody else. With it, every
    /// connection must come from there and begin with a header of the PROXY protocol (version 1 or
    /// 2), and the address in it is the client's everywhere: in logs and limits, for
    /// X-Forwarded-For and for `observe.from`. Whoever calls from there can name any address. No
    /// network wider than /8 (IPv6: /16) is taken. Without it, such a header is refused.
    #[schemars(extend("x-type" = "list of IP addresses and networks"))]
    pub proxy_protocol_from: Option<Vec<String>>,
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    pub minimum_tls: MinimumTls,
    /// Whether HTTP/2 is offered beside HTTP/1.1.
    #[serde(default = "yes")]
    pub http2: bool,
    /// The server's own certificates, chosen by the name that the client asks for (SNI). The first
    /// is the default.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub certificate: Vec<ServerCertificate>,
    /// Where the sessions are that clients resume when they come again: in the tickets that they were
    /// given ("tickets"), or in the memory of this gateway ("memory"), where no other replica finds
    /// them. "memory" needs a program that was built with OpenSSL.
    #[serde(default)]
    pub sessions: Sessions,
    /// With `sessions = "memory"`: how many bytes they may take. A usual one takes 1.1 KB.
    #[serde(default = "thirty_two_mebibytes")]
    #[schemars(range(min = 1_048_576, max = 1_073_741_824), extend("x-type" = "bytes"))]
    pub session_bytes: u32,
    /// The secret by which replicas take each other's session tickets. Without it each process has
    /// keys of its own, and a client's first connection to another replica is a full handshake.
    #[schemars(extend("x-type" = "secret file"))]
    pub ticket_key_file: Option<PathBuf>,
}

/// What becomes of clients' certificates at some server names (SNI), instead of what
/// `listener.client_certificates` says. docs/TLS.md has more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerName {
    /// The names that clients ask for, such as `api.example.com`, or `*.example.com` for every name
    /// of one label more. A certificate counts only at hosts of the same policy as the name that it
    /// was shown to.
    #[schemars(required, length(min = 1))]
    #[serde(default)]
    #[schemars(extend("x-type" = "list of host names"))]
    pub names: Vec<String>,
    /// As `listener.client_certificates`.
    #[schemars(required)]
    pub client_certificates: Option<ClientCertificates>,
}

/// A certificate of the server. It is chosen by the name that the client asks for (SNI); the first is
/// for clients that ask for none, or for another one. A running gateway takes a renewed one over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerCertificate {
    /// PEM: the server's certificate first, then its intermediates; not the root.
    #[schemars(required, extend("x-type" = "file"))]
    pub certificate_file: Option<PathBuf>,
    /// PEM: the key of the first of these, without a passphrase.
    #[schemars(required, extend("x-type" = "file with a private key"))]
    pub key_file: Option<PathBuf>,
}

/// A certificate authority of clients. At least one is needed where clients are asked for a
/// certificate. docs/CERTIFICATES.md tells how certificates are judged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ca {
    /// Its name in routes, logs and metrics, which no other has.
    #[schemars(required, regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: Option<String>,
    /// PEM: one or more certificates of this authority. The system's own authorities are never
    /// trusted.
    #[schemars(required, extend("x-type" = "file"))]
    pub file: Option<PathBuf>,
    /// Exceptions from what is asked of every certificate, for those that could not be accepted
    /// otherwise.
    #[serde(default)]
    pub allow: Vec<Exception>,
    /// How many intermediates there may be between a client's certificate and the authority's.
    #[serde(default = "four")]
    #[schemars(range(max = 16), extend("x-type" = "certificates"))]
    pub max_depth: u8,
    /// What is done with a new certificate of a client that is known: whether it is the client's
    /// at once ("auto"), waits for the operator's word ("approve"), is refused ("deny"), or is
    /// taken for somebody new's ("ignore"). docs/CERTIFICATES.md tells what speaks for each.
    #[serde(default)]
    pub renewal: Renewal,
    /// Where its revocation lists are. With this table, a certificate is good only when lists that
    /// hold tell of it and of its issuers that none was revoked; without it, nobody asks.
    pub crl: Option<Crl>,
}

/// Where the revocation lists of an authority are, in PEM or DER. Changed and new files count within
/// two seconds, also on open connections. In a file of PEM, the certificate of a list's issuer may
/// stand beside it. docs/CERTIFICATES.md has more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crl {
    /// Files with lists, each of which must be there when the gateway starts.
    #[serde(default)]
    #[schemars(extend("x-type" = "list of files"))]
    pub files: Vec<PathBuf>,
    /// Folders with lists: every file in them whose name ends in .pem, .crl or .der.
    #[serde(default)]
    #[schemars(extend("x-type" = "list of folders"))]
    pub folders: Vec<PathBuf>,
    /// What becomes of a certificate while nobody can tell whether it was revoked, since a list is
    /// missing or not current. Who stands on a list is refused in any case.
    #[serde(default)]
    pub when_unknown: WhenUnknown,
}

/// An exception from what is asked of every certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exception {
    /// Certificates that do not name the purpose "client authentication".
    MissingClientAuth,
    /// Keys and signatures below OpenSSL's security level 2, such as RSA with 1024 bits or SHA-1.
    Weak,
}

fn yes() -> bool {
    true
}

fn thirty_two_mebibytes() -> u32 {
    32 * 1024 * 1024
}

fn four() -> u8 {
    4
}
