//! The formats.

use serde::{Deserialize, Serialize};

/// What a file is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `map` blocks of a configuration, or a file that such a block includes
    Nginx,
    /// Manifests of Ingresses with annotations `auth-tls-…`
    IngressNginx,
    /// A map file: a key and a value to a line
    HaproxyMap,
    /// A file of patterns of an ACL: one to a line
    HaproxyAcl,
    /// A configuration with `SSLRequire` or `Require expr`
    Apache,
    /// A map of `RewriteMap` (`txt:`)
    ApacheMap,
    /// The user file of `FakeBasicAuth`
    ApacheUsers,
    /// A configuration with the filter `api_key_auth`
    Envoy,
    /// An export of decK
    Kong,
    /// Keys or API definitions in JSON
    Tyk,
    /// Consumers, from the admin API or a standalone file
    Apisix,
    /// A table with a header
    Csv,
    /// Certificates in PEM or DER: files, or folders of them
    Pem,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 13] = [
        Self::Nginx,
        Self::IngressNginx,
        Self::HaproxyMap,
        Self::HaproxyAcl,
        Self::Apache,
        Self::ApacheMap,
        Self::ApacheUsers,
        Self::Envoy,
        Self::Kong,
        Self::Tyk,
        Self::Apisix,
        Self::Csv,
        Self::Pem,
    ];

    /// The word for it on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::IngressNginx => "ingress-nginx",
            Self::HaproxyMap => "haproxy-map",
            Self::HaproxyAcl => "haproxy-acl",
            Self::Apache => "apache",
            Self::ApacheMap => "apache-map",
            Self::ApacheUsers => "apache-users",
            Self::Envoy => "envoy",
            Self::Kong => "kong",
            Self::Tyk => "tyk",
            Self::Apisix => "apisix",
            Self::Csv => "csv",
            Self::Pem => "pem",
        }
    }
}
