//! Sessions that are kept here, with OpenSSL.

use std::sync::Arc;

use super::raw;
use crate::secret::SecretBytes;
use crate::tls::error::ErrorStack;
use crate::tls::ssl::{SslContextBuilder, SslOptions, SslRef, SslSession, SslSessionCacheMode};
use crate::tls::x509::{X509, X509Ref};

/// Whether the library lets sessions be kept here for every version of TLS.
pub const KEEPS_SESSIONS: bool = true;

/// Gives no tickets: `keep` is given one session a handshake, encoded, and the name that the client
/// knows it by, and `find` is asked for it. One that holds a certificate is taken only when `judge` says
/// so; otherwise the handshake is a full one.
///
/// The library's own memory of sessions stays empty: each context would have one, behind one lock.
///
/// # Errors
///
/// When the library will not have it.
pub fn keep_sessions(
    context: &mut SslContextBuilder,
    keep: impl Fn(&SslRef, &[u8], Vec<u8>) + Send + Sync + 'static,
    find: impl Fn(&[u8]) -> Option<Arc<SecretBytes>> + Send + Sync + 'static,
    judge: impl Fn(&X509Ref, Vec<X509>) -> bool + Send + Sync + 'static,
) -> Result<(), ErrorStack> {
    context.set_options(SslOptions::NO_TICKET);
    context.set_num_tickets(1)?;
    context.set_session_cache_mode(
        SslSessionCacheMode::SERVER
            | SslSessionCacheMode::NO_INTERNAL
            | SslSessionCacheMode::NO_AUTO_CLEAR,
    );
    context.set_new_session_callback(move |ssl, session| {
        if let Ok(encoded) = session.to_der() {
            keep(ssl, session.id(), encoded);
        }
        // What failed there must not stay in the thread's queue, or the next incomplete read would pass
        // for an error of the connection.
        let _ = ErrorStack::get();
    });
    raw::find_sessions(context, move |id| {
        let session = SslSession::from_der(find(id)?.expose()).ok();
        let is_good =
            |session: &SslSession| raw::peer(session).is_none_or(|leaf| judge(leaf, Vec::new()));
        let session = session.filter(is_good);
        let _ = ErrorStack::get();
        session
    });
    Ok(())
}
