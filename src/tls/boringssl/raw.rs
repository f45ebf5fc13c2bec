//! What the safe bindings of BoringSSL lack: all the unsafe code of a program that is built with it.

#![expect(
    unsafe_code,
    reason = "the boring crate binds none of these; tests/tidy.rs keeps unsafe code to this file"
)]

use std::ffi::c_int;
use std::sync::LazyLock;
use std::{ptr, slice};

use boring::ex_data::Index;
use foreign_types_of_boring::ForeignTypeRef as _;
use pingora::tls::ssl_sys as ffi;

use super::ticket::{OVERHEAD, Tickets};
use crate::tls::Scheme;
use crate::tls::asn1::Asn1ObjectRef;
use crate::tls::error::ErrorStack;
use crate::tls::hash::MessageDigest;
use crate::tls::pkey::{HasPublic, PKeyRef, Public};
use crate::tls::ssl::{SslContext, SslContextBuilder, SslRef};
use crate::tls::x509::verify::X509VerifyParam;
use crate::tls::x509::{X509, X509Ref};

/// How long a session of TLS 1.3 can be resumed, in seconds: as long as one of TLS 1.2, and as with
/// OpenSSL.
const LIFETIME: u32 = 7200;

static TICKETS: LazyLock<Result<Index<SslContext, Tickets>, ErrorStack>> =
    LazyLock::new(SslContext::new_ex_index);

static METHOD: ffi::SSL_TICKET_AEAD_METHOD = ffi::SSL_TICKET_AEAD_METHOD {
    max_overhead: Some(overhead),
    seal: Some(seal),
    open: Some(open),
};

fn done(result: c_int) -> Result<(), ErrorStack> {
    if result == 1 {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}

/// From now on `context` gives one ticket a handshake, sealed and opened so.
pub(super) fn seal_tickets(
    context: &mut SslContextBuilder,
    tickets: Tickets,
) -> Result<(), ErrorStack> {
    context.set_ex_data(TICKETS.clone()?, tickets);
    // SAFETY: the context is alive, and the method lives for ever and keeps to its contract.
    unsafe {
        ffi::SSL_CTX_set_session_psk_dhe_timeout(context.as_ptr(), LIFETIME);
        ffi::SSL_CTX_set_ticket_aead_method(context.as_ptr(), &raw const METHOD);
        done(ffi::SSL_CTX_set_num_tickets(context.as_ptr(), 1))
    }
}

unsafe extern "C" fn overhead(_: *mut ffi::SSL) -> usize {
    OVERHEAD
}

unsafe extern "C" fn seal(
    ssl: *mut ffi::SSL,
    out: *mut u8,
    length: *mut usize,
    room: usize,
    session: *const u8,
    session_length: usize,
) -> c_int {
    // SAFETY: BoringSSL gives a connection and a session, both alive for this call.
    let (ssl, session) = unsafe {
        (
            SslRef::from_ptr(ssl),
            slice::from_raw_parts(session, session_length),
        )
    };
    let ticket = tickets(ssl).and_then(|tickets| tickets.seal(session));
    // SAFETY: there is so much room.
    c_int::from(ticket.is_some_and(|ticket| unsafe { put(&ticket, out, length, room) }))
}

/// Called with a ticket that a client shows (`SSL_TICKET_AEAD_METHOD`).
unsafe extern "C" fn open(
    ssl: *mut ffi::SSL,
    out: *mut u8,
    length: *mut usize,
    room: usize,
    ticket: *const u8,
    ticket_length: usize,
) -> ffi::ssl_ticket_aead_result_t {
    const IGNORED: ffi::ssl_ticket_aead_result_t =
        ffi::ssl_ticket_aead_result_t::ssl_ticket_aead_ignore_ticket;
    // SAFETY: BoringSSL gives a connection and a ticket, both alive for this call.
    let (ssl, ticket) = unsafe {
        (
            SslRef::from_ptr(ssl),
            slice::from_raw_parts(ticket, ticket_length),
        )
    };
    let Some(tickets) = tickets(ssl) else {
        return IGNORED;
    };
    let session = tickets.open(ticket);
    let Some(session) = session.filter(|session| may_resume(tickets, ssl, session)) else {
        return IGNORED;
    };
    // SAFETY: there is so much room.
    if unsafe { put(&session, out, length, room) } {
        ffi::ssl_ticket_aead_result_t::ssl_ticket_aead_success
    } else {
        IGNORED
    }
}

fn tickets(ssl: &SslRef) -> Option<&Tickets> {
    let index = TICKETS.as_ref().ok()?;
    ssl.ssl_context().ex_data(*index)
}

/// Whether a session is taken: one that holds a certificate only when that is good now.
fn may_resume(tickets: &Tickets, ssl: &SslRef, session: &[u8]) -> bool {
    // SAFETY: the bytes and the context are alive; the certificates are the session's, which is freed
    // after they were looked at. Of none the list is null, which has no length.
    unsafe {
        let context = ssl.ssl_context().as_ptr();
        let session = ffi::SSL_SESSION_from_bytes(session.as_ptr(), session.len(), context);
        if session.is_null() {
            let _ = ErrorStack::get();
            return false;
        }
        let peer = ffi::SSL_SESSION_get0_peer(session);
        let shown = ffi::SSL_SESSION_get0_peer_certificates(session).cast();
        let others = (1..ffi::OPENSSL_sk_num(shown)).map_while(|at| {
            let buffer = ffi::OPENSSL_sk_value(shown, at).cast::<ffi::CRYPTO_BUFFER>();
            let (at, length) = (
                ffi::CRYPTO_BUFFER_data(buffer),
                ffi::CRYPTO_BUFFER_len(buffer),
            );
            X509::from_der(slice::from_raw_parts(at, length)).ok()
        });
        let good = peer.is_null() || (tickets.judge)(X509Ref::from_ptr(peer), others.collect());
        ffi::SSL_SESSION_free(session);
        good
    }
}

/// Lets nothing be written to a connection any more, nor read from it.
pub(super) fn shut(ssl: &SslRef) {
    // SAFETY: the connection is alive, and its handshake is done.
    unsafe {
        let both = ffi::SSL_SENT_SHUTDOWN | ffi::SSL_RECEIVED_SHUTDOWN;
        ffi::SSL_set_shutdown(ssl.as_ptr(), both);
    }
}

/// The bytes of an object identifier.
pub(super) fn oid(object: &Asn1ObjectRef) -> Vec<u8> {
    // SAFETY: the object is alive, and has so many bytes; without any, where they are may be null.
    unsafe {
        let (at, length) = (
            ffi::OBJ_get0_data(object.as_ptr()),
            ffi::OBJ_length(object.as_ptr()),
        );
        if length == 0 {
            return Vec::new();
        }
        slice::from_raw_parts(at, length).to_vec()
    }
}

/// Hands `bytes` to BoringSSL, if they fit.
unsafe fn put(bytes: &[u8], out: *mut u8, length: *mut usize, room: usize) -> bool {
    if bytes.len() > room {
        return false;
    }
    // SAFETY: the caller has so much room, which is not ours.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), out, bytes.len());
        length.write(bytes.len());
    }
    true
}

/// Has every certificate looked at as to whether it may be used for a TLS client.
pub(super) fn set_for_clients(param: &mut X509VerifyParam) -> Result<(), ErrorStack> {
    // SAFETY: the parameters are alive.
    done(unsafe {
        ffi::X509_VERIFY_PARAM_set_purpose(param.as_ptr(), ffi::X509_PURPOSE_SSL_CLIENT)
    })
}

/// A context for one use of a key.
struct Context(*mut ffi::EVP_PKEY_CTX);

impl Context {
    fn new<T: HasPublic>(key: &PKeyRef<T>) -> Result<Self, ErrorStack> {
        // SAFETY: the key is alive, and the context holds on to it.
        let context = unsafe { ffi::EVP_PKEY_CTX_new(key.as_ptr(), ptr::null_mut()) };
        if context.is_null() {
            return Err(ErrorStack::get());
        }
        Ok(Self(context))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it is ours, and used no more.
        unsafe { ffi::EVP_PKEY_CTX_free(self.0) }
    }
}

/// Whether `signature` was made with this key over `digest`, which `hash` gave.
pub(super) fn is_over<T: HasPublic>(
    (hash, digest): (MessageDigest, &[u8]),
    signature: &[u8],
    scheme: Scheme,
    key: &PKeyRef<T>,
) -> Result<bool, ErrorStack> {
    let context = Context::new(key)?;
    // SAFETY: the context is alive, hashes live for ever, and so many bytes are read.
    unsafe {
        done(ffi::EVP_PKEY_verify_init(context.0))?;
        if let Scheme::Pkcs1 = scheme {
            let padding = ffi::RSA_PKCS1_PADDING;
            done(ffi::EVP_PKEY_CTX_set_rsa_padding(context.0, padding))?;
        }
        if let Scheme::Pss { mask, salt } = scheme {
            let padding = ffi::RSA_PKCS1_PSS_PADDING;
            done(ffi::EVP_PKEY_CTX_set_rsa_padding(context.0, padding))?;
            done(ffi::EVP_PKEY_CTX_set_rsa_mgf1_md(context.0, mask.as_ptr()))?;
            let salt = c_int::from(salt);
            done(ffi::EVP_PKEY_CTX_set_rsa_pss_saltlen(context.0, salt))?;
        }
        done(ffi::EVP_PKEY_CTX_set_signature_md(context.0, hash.as_ptr()))?;
        let (at, length) = (signature.as_ptr(), signature.len());
        let result = ffi::EVP_PKEY_verify(context.0, at, length, digest.as_ptr(), digest.len());
        Ok(result == 1)
    }
}

/// `secret` encrypted with RSAES-OAEP, SHA-256 throughout.
pub(super) fn transported(key: &PKeyRef<Public>, secret: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let context = Context::new(key)?;
    let sha256 = MessageDigest::sha256();
    let mut encrypted = vec![0; key.size()];
    let mut length = encrypted.len();
    // SAFETY: the context is alive, the hash lives for ever, and there is as much room as is said.
    unsafe {
        done(ffi::EVP_PKEY_encrypt_init(context.0))?;
        let padding = ffi::RSA_PKCS1_OAEP_PADDING;
        done(ffi::EVP_PKEY_CTX_set_rsa_padding(context.0, padding))?;
        done(ffi::EVP_PKEY_CTX_set_rsa_oaep_md(
            context.0,
            sha256.as_ptr(),
        ))?;
        done(ffi::EVP_PKEY_CTX_set_rsa_mgf1_md(
            context.0,
            sha256.as_ptr(),
        ))?;
        let (out, room) = (encrypted.as_mut_ptr(), &raw mut length);
        done(ffi::EVP_PKEY_encrypt(
            context.0,
            out,
            room,
            secret.as_ptr(),
            secret.len(),
        ))?;
    }
    encrypted.truncate(length);
    Ok(encrypted)
}
