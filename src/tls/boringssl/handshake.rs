//! Handshakes with BoringSSL.

use super::raw;
use super::server::{TOO_WEAK, WORDS};
use super::ticket::{TICKET_KEYS, Tickets};
use crate::tls::error::ErrorStack;
use crate::tls::ssl::{
    SslAlert, SslContextBuilder, SslRef, SslSignatureAlgorithm, SslVerifyError, SslVerifyMode,
};
use crate::tls::x509::{X509, X509Ref, X509VerifyError};
use crate::tls::{Alert, Hello};

/// How clients may prove to hold the key of their certificate: by the kinds of signatures that
/// OpenSSL takes as well, best first. BoringSSL's own list has SHA-1, and neither Ed25519 nor P-521.
pub(super) const SIGNATURES: [SslSignatureAlgorithm; 10] = [
    SslSignatureAlgorithm::ECDSA_SECP256R1_SHA256,
    SslSignatureAlgorithm::ED25519,
    SslSignatureAlgorithm::ECDSA_SECP384R1_SHA384,
    SslSignatureAlgorithm::ECDSA_SECP521R1_SHA512,
    SslSignatureAlgorithm::RSA_PSS_RSAE_SHA256,
    SslSignatureAlgorithm::RSA_PSS_RSAE_SHA384,
    SslSignatureAlgorithm::RSA_PSS_RSAE_SHA512,
    SslSignatureAlgorithm::RSA_PKCS1_SHA256,
    SslSignatureAlgorithm::RSA_PKCS1_SHA384,
    SslSignatureAlgorithm::RSA_PKCS1_SHA512,
];

/// Sets the groups of the key exchange, best first.
///
/// # Errors
///
/// When the library will not have them.
pub fn set_groups(context: &mut SslContextBuilder, groups: &str) -> Result<(), ErrorStack> {
    context.set_curves_list(groups)
}

/// Shows each whole `ClientHello` to `note`, before anything in it is judged.
pub fn on_hello(context: &mut SslContextBuilder, note: fn(Hello<'_>)) {
    context.set_select_certificate_callback(move |hello| {
        note(Hello {
            version: Some(hello.client_version()),
            ciphers: hello.ciphers(),
        });
        Ok(())
    });
}

/// The certificates that a client sent, while it shakes hands.
pub struct Sent<'a>(&'a SslRef);

impl Sent<'_> {
    /// All of them, its own first.
    #[must_use]
    pub fn certificates(&self) -> Vec<X509> {
        let others = self.0.peer_cert_chain().into_iter().flatten();
        let others = others.map(ToOwned::to_owned);
        self.0
            .peer_certificate()
            .into_iter()
            .chain(others)
            .collect()
    }
}

/// Asks clients for a certificate, and has `judge` say which end the handshake, and how. BoringSSL
/// verifies nothing of the chain itself then.
///
/// # Errors
///
/// When the library will not have it.
pub fn judge(
    context: &mut SslContextBuilder,
    judge: impl Fn(&Sent<'_>) -> Result<(), Alert> + Send + Sync + 'static,
) -> Result<(), ErrorStack> {
    context.set_verify_algorithm_prefs(&SIGNATURES)?;
    context.set_custom_verify_callback(SslVerifyMode::PEER, move |ssl| {
        let judged = judge(&Sent(ssl));
        // What failed there must not stay in the thread's queue, or the next incomplete read
        // would pass for an error of the connection.
        let _ = ErrorStack::get();
        judged.map_err(|alert| SslVerifyError::Invalid(own(alert)))
    });
    Ok(())
}

const fn own(alert: Alert) -> SslAlert {
    match alert {
        Alert::BadCertificate => SslAlert::BAD_CERTIFICATE,
        Alert::UnsupportedCertificate => SslAlert::UNSUPPORTED_CERTIFICATE,
        Alert::CertificateRevoked => SslAlert::CERTIFICATE_REVOKED,
        Alert::CertificateExpired => SslAlert::CERTIFICATE_EXPIRED,
        Alert::UnknownCa => SslAlert::UNKNOWN_CA,
        Alert::InternalError => SslAlert::INTERNAL_ERROR,
    }
}

/// Gives one ticket a handshake, sealed with `keys`. One that holds a certificate is taken only when
/// `judge` says so, who is given what was sent with it; otherwise the handshake is a full one.
///
/// # Errors
///
/// When the library will not have it.
pub fn seal_tickets(
    context: &mut SslContextBuilder,
    keys: &[u8; TICKET_KEYS],
    judge: impl Fn(&X509Ref, Vec<X509>) -> bool + Send + Sync + 'static,
) -> Result<(), ErrorStack> {
    raw::seal_tickets(context, Tickets::new(keys, Box::new(judge)))
}

/// What the library says of a failed handshake, as it is noted: in words instead of `[ITS_NAMES]`.
#[must_use]
pub fn words(said: &str) -> String {
    let named = said.strip_prefix('[');
    named.map_or_else(
        || said.to_owned(),
        |names| {
            names
                .replace(['[', ']'], "")
                .replace('_', " ")
                .to_ascii_lowercase()
        },
    )
}

/// What of that is its reason.
#[must_use]
pub fn reason(words: &str) -> Option<&str> {
    Some(words).filter(|words| !words.is_empty())
}

/// Why the certificate of the server was not accepted; none when it was, or none came.
#[must_use]
pub fn distrust(ssl: &SslRef) -> Option<&'static str> {
    match ssl.verify_result().err()? {
        // None was verified.
        X509VerifyError::INVALID_CALL => None,
        TOO_WEAK => Some(WORDS),
        error => Some(error.error_string()),
    }
}
