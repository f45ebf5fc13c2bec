//! The one name for the TLS library's types: OpenSSL, or BoringSSL by the feature `boringssl`.
//!
//! Used only by `door`, `admin`, `certificate`, `masquerade`, `upstream`, the store in Redis, the demo's own
//! certificate authority, and `doctor`. What the two libraries do differently has one name and one
//! signature in `openssl` and `boringssl`, so that nobody else sees which of them it is.

#[cfg(not(any(feature = "openssl", feature = "boringssl")))]
compile_error!(
    "Keyferry needs a TLS library: build it with the feature `openssl` (as by default) or with \
     `--no-default-features --features boringssl`"
);
#[cfg(all(feature = "openssl", feature = "boringssl"))]
compile_error!(
    "Keyferry has one TLS library: for the feature `boringssl`, leave `openssl` out with \
     `--no-default-features`"
);

pub use pingora::tls::*;

mod strength;

#[cfg(feature = "boringssl")]
#[path = "boringssl/mod.rs"]
mod library;
#[cfg(feature = "openssl")]
#[path = "openssl/mod.rs"]
mod library;

pub use library::*;
pub use strength::{STRONG_BITS, is_weak, weak_digest};

/// What a `ClientHello` offers, before anything in it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// Its version, which since TLS 1.3 says little (RFC 8446 section 4.1.2).
    pub version: Option<ssl::SslVersion>,
    /// Its cipher suites, two bytes each.
    pub ciphers: &'a [u8],
}

/// What a client is told whose certificate ends the handshake (RFC 8446 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// `bad_certificate`
    BadCertificate,
    /// `unsupported_certificate`
    UnsupportedCertificate,
    /// `certificate_revoked`
    CertificateRevoked,
    /// `certificate_expired`
    CertificateExpired,
    /// `unknown_ca`
    UnknownCa,
    /// `internal_error`
    InternalError,
}

/// How the signature was made that stands over a digest.
#[derive(Clone, Copy)]
pub enum Scheme {
    /// ECDSA.
    Ecdsa,
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
    /// RSASSA-PSS.
    Pss {
        /// The hash of its mask.
        mask: hash::MessageDigest,
        /// The length of its salt.
        salt: u8,
    },
}

/// What is demanded of a chain beside its signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// The rules of RFC 5280 that are left out by default.
    pub strict: bool,
    /// 112 bits of security in all keys and signatures.
    pub strong: bool,
    /// That every certificate may be used for a TLS client.
    pub for_clients: bool,
}
