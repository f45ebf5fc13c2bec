//! Sessions that are kept here, which BoringSSL has no more since TLS 1.3.

use std::sync::Arc;

use crate::secret::SecretBytes;
use crate::tls::error::ErrorStack;
use crate::tls::ssl::{SslContextBuilder, SslOptions, SslRef, SslSessionCacheMode};
use crate::tls::x509::{X509, X509Ref};

/// Whether the library lets sessions be kept here for every version of TLS.
pub const KEEPS_SESSIONS: bool = false;

/// Resumes nothing. The configuration does not let it come to this.
///
/// # Errors
///
/// None.
pub fn keep_sessions(
    context: &mut SslContextBuilder,
    _: impl Fn(&SslRef, &[u8], Vec<u8>) + Send + Sync + 'static,
    _: impl Fn(&[u8]) -> Option<Arc<SecretBytes>> + Send + Sync + 'static,
    _: impl Fn(&X509Ref, Vec<X509>) -> bool + Send + Sync + 'static,
) -> Result<(), ErrorStack> {
    context.set_options(SslOptions::NO_TICKET);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    Ok(())
}
