//! Handshakes with OpenSSL.

use super::raw;
use crate::tls::error::ErrorStack;
use crate::tls::ssl::{ClientHelloResponse, SslContextBuilder, SslRef, SslVerifyMode};
use crate::tls::x509::{X509, X509Ref, X509StoreContextRef, X509VerifyResult};
use crate::tls::{Alert, Hello};

pub use raw::TICKET_KEYS;

/// What the keys of tickets are derived for.
pub const TICKET_LABEL: &[u8] = b"keyferry session tickets.v1\0";

/// Sets the groups of the key exchange, best first.
///
/// # Errors
///
/// When the library will not have them.
pub fn set_groups(context: &mut SslContextBuilder, groups: &str) -> Result<(), ErrorStack> {
    context.set_groups_list(groups)
}

/// Shows each whole `ClientHello` to `note`, before anything in it is judged.
pub fn on_hello(context: &mut SslContextBuilder, note: fn(Hello<'_>)) {
    context.set_client_hello_callback(move |ssl, _| {
        note(Hello {
            version: ssl.client_hello_legacy_version(),
            ciphers: ssl.client_hello_ciphers().unwrap_or_default(),
        });
        Ok(ClientHelloResponse::SUCCESS)
    });
}

/// The certificates that a client sent, while it shakes hands.
pub struct Sent<'a>(&'a X509StoreContextRef);

impl Sent<'_> {
    /// All of them, its own first.
    #[must_use]
    pub fn certificates(&self) -> Vec<X509> {
        let sent = raw::sent(self.0).into_iter().flatten();
        sent.map(ToOwned::to_owned).collect()
    }
}

/// Asks clients for a certificate, and has `judge` say which end the handshake, and how.
///
/// The chain is judged by that alone, and never by OpenSSL, which checks signatures of its own
/// before: a depth of 0 keeps that to one, however long the chain is that a stranger sends.
///
/// # Errors
///
/// None: BoringSSL would have to be told which signatures it takes.
pub fn judge(
    context: &mut SslContextBuilder,
    judge: impl Fn(&Sent<'_>) -> Result<(), Alert> + Send + Sync + 'static,
) -> Result<(), ErrorStack> {
    context.set_verify_depth(0);
    context.set_verify_callback(SslVerifyMode::PEER, move |_, shown| {
        let judged = judge(&Sent(shown));
        // What failed there must not stay in the thread's queue, or the next incomplete read
        // would pass for an error of the connection.
        let _ = ErrorStack::get();
        if let Err(alert) = judged {
            raw::set_error(shown, error(alert));
        }
        judged.is_ok()
    });
    Ok(())
}

/// The error of OpenSSL (`X509_V_ERR_…`) that it tells by this alert.
const fn error(alert: Alert) -> i32 {
    match alert {
        // CERT_REJECTED
        Alert::BadCertificate => 28,
        // INVALID_PURPOSE
        Alert::UnsupportedCertificate => 26,
        // CERT_REVOKED
        Alert::CertificateRevoked => 23,
        // CERT_HAS_EXPIRED
        Alert::CertificateExpired => 10,
        // UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        Alert::UnknownCa => 20,
        // UNSPECIFIED
        Alert::InternalError => 1,
    }
}

/// Gives one ticket a handshake, sealed with `keys`. One that holds a certificate is taken only when
/// `judge` says so, who is given nothing that was sent with it; otherwise the handshake is a full one.
///
/// # Errors
///
/// When the library will not have it.
pub fn seal_tickets(
    context: &mut SslContextBuilder,
    keys: &[u8; TICKET_KEYS],
    judge: impl Fn(&X509Ref, Vec<X509>) -> bool + Send + Sync + 'static,
) -> Result<(), ErrorStack> {
    context.set_num_tickets(1)?;
    raw::set_ticket_keys(context, keys)?;
    raw::resume_only_if(context, move |leaf| judge(leaf, Vec::new()))
}

/// What the library says of a failed handshake, as it is noted.
#[must_use]
pub fn words(said: &str) -> String {
    said.to_owned()
}

/// What of that is its reason (`error:CODE:LIBRARY:FUNCTION:REASON:FILE:LINE:MORE`).
#[must_use]
pub fn reason(words: &str) -> Option<&str> {
    words.split(':').nth(4)
}

/// Why the certificate of the server was not accepted; none when it was, or none came.
#[must_use]
pub fn distrust(ssl: &SslRef) -> Option<&'static str> {
    let result = ssl.verify_result();
    (result != X509VerifyResult::OK).then(|| result.error_string())
}
