//! What the safe bindings of OpenSSL lack: all the unsafe code of a program that is built with it.

#![expect(
    unsafe_code,
    reason = "the openssl crate binds none of these; tests/tidy.rs keeps unsafe code to this file"
)]

use std::ffi::{c_int, c_long, c_uchar, c_void};
use std::ptr;
use std::sync::LazyLock;

use foreign_types::ForeignTypeRef as _;
use openssl::ex_data::Index;
use openssl::stack::StackRef;
use pingora::tls::ssl_sys as ffi;

use crate::tls::error::ErrorStack;
use crate::tls::ssl::{SslContext, SslContextBuilder, SslRef, SslSession, SslSessionRef};
use crate::tls::x509::{X509, X509Ref, X509StoreContextRef, X509VerifyResult};

/// How long the keys of tickets are together: a name of 16 bytes, an HMAC key and an AES key.
pub const TICKET_KEYS: usize = 80;

/// Decides whether a session of the peer with this certificate may be resumed.
type Judge = Box<dyn Fn(&X509Ref) -> bool + Send + Sync>;

static JUDGE: LazyLock<Result<Index<SslContext, Judge>, ErrorStack>> =
    LazyLock::new(SslContext::new_ex_index);

unsafe extern "C" {
    fn SSL_CTX_set_session_ticket_cb(
        context: *mut ffi::SSL_CTX,
        made: Option<unsafe extern "C" fn(*mut ffi::SSL, *mut c_void) -> c_int>,
        opened: Option<Opened>,
        argument: *mut c_void,
    ) -> c_int;
    fn SSL_SESSION_get0_peer(session: *mut ffi::SSL_SESSION) -> *mut ffi::X509;
    fn X509_STORE_CTX_get0_untrusted(context: *mut ffi::X509_STORE_CTX) -> *mut ffi::stack_st_X509;
}

type Opened = unsafe extern "C" fn(
    *mut ffi::SSL,
    *mut ffi::SSL_SESSION,
    *const c_uchar,
    usize,
    c_int,
    *mut c_void,
) -> c_int;

/// From now on tickets of `context` are sealed and opened with these keys.
///
/// # Errors
///
/// When OpenSSL will not have them.
pub(super) fn set_ticket_keys(
    context: &mut SslContextBuilder,
    keys: &[u8; TICKET_KEYS],
) -> Result<(), ErrorStack> {
    const SET_TLSEXT_TICKET_KEYS: c_int = 59;
    let length = c_long::try_from(TICKET_KEYS).unwrap_or_default();
    let start = keys.as_ptr().cast_mut().cast();
    // SAFETY: the context is alive; OpenSSL reads so many bytes, and keeps a copy.
    let done =
        unsafe { ffi::SSL_CTX_ctrl(context.as_ptr(), SET_TLSEXT_TICKET_KEYS, length, start) };
    if done == 1 {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}

/// A ticket of `context` that holds a certificate is taken only when `judge` says so; otherwise the
/// handshake is a full one. Without a certificate it is taken.
///
/// # Errors
///
/// When OpenSSL will not have it.
pub(super) fn resume_only_if(
    context: &mut SslContextBuilder,
    judge: impl Fn(&X509Ref) -> bool + Send + Sync + 'static,
) -> Result<(), ErrorStack> {
    context.set_ex_data(JUDGE.clone()?, Box::new(judge) as Judge);
    // SAFETY: the context is alive, and the callback keeps to OpenSSL's signature.
    let done = unsafe {
        SSL_CTX_set_session_ticket_cb(context.as_ptr(), None, Some(opened), ptr::null_mut())
    };
    if done == 1 {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}

/// Called by OpenSSL when it has opened a ticket, or could not (`SSL_CTX_set_session_ticket_cb(3)`).
unsafe extern "C" fn opened(
    ssl: *mut ffi::SSL,
    session: *mut ffi::SSL_SESSION,
    _: *const c_uchar,
    _: usize,
    status: c_int,
    _: *mut c_void,
) -> c_int {
    const SUCCESS: c_int = 5;
    const SUCCESS_RENEW: c_int = 6;
    const IGNORE_RENEW: c_int = 2;
    const USE: c_int = 3;
    const USE_RENEW: c_int = 4;
    let taken = match status {
        SUCCESS => USE,
        SUCCESS_RENEW => USE_RENEW,
        _ => return IGNORE_RENEW,
    };
    // SAFETY: OpenSSL gives a connection and, on success, a session, both alive for this call.
    let (ssl, session) = unsafe { (SslRef::from_ptr(ssl), SslSessionRef::from_ptr(session)) };
    let Some(peer) = peer(session) else {
        return taken;
    };
    let index = JUDGE.as_ref().ok();
    let judge = index.and_then(|index| ssl.ssl_context().ex_data(*index));
    if judge.is_some_and(|judge| judge(peer)) {
        taken
    } else {
        IGNORE_RENEW
    }
}

/// When a client names a session of `context`, `find` gives it; without one the handshake is a full one.
/// It must be made anew each time.
pub(super) fn find_sessions(
    context: &mut SslContextBuilder,
    find: impl Fn(&[u8]) -> Option<SslSession> + Send + Sync + 'static,
) {
    // SAFETY: a session that was just made belongs to no other context.
    unsafe { context.set_get_session_callback(move |_, id| find(id)) }
}

/// The certificate of the peer that a session began with.
pub(super) fn peer(session: &SslSessionRef) -> Option<&X509Ref> {
    // SAFETY: the session is alive, and what it gives belongs to it.
    let peer = unsafe { SSL_SESSION_get0_peer(session.as_ptr()) };
    // SAFETY: as above, and it is not null.
    (!peer.is_null()).then(|| unsafe { X509Ref::from_ptr(peer) })
}

/// All the certificates that a peer sent, while they are verified.
pub(super) fn sent(context: &X509StoreContextRef) -> Option<&StackRef<X509>> {
    // SAFETY: the context is alive, and what it gives belongs to it.
    let sent = unsafe { X509_STORE_CTX_get0_untrusted(context.as_ptr()) };
    // SAFETY: as above, and it is not null.
    (!sent.is_null()).then(|| unsafe { StackRef::from_ptr(sent) })
}

/// Has the verification end with this error (`X509_V_ERR_…`, by number), which decides the alert.
pub(super) fn set_error(context: &mut X509StoreContextRef, error: c_int) {
    // SAFETY: any number will do; one that OpenSSL does not know is told as such.
    context.set_error(unsafe { X509VerifyResult::from_raw(error) });
}
