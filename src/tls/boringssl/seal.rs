//! Sealing with BoringSSL, which has no CMS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boring::aes::{AesKey, wrap_key};

use super::raw;
use crate::tls::error::ErrorStack;
use crate::tls::pkey::{PKeyRef, Public};

/// `secret` encrypted with RSAES-OAEP, SHA-256 throughout (RFC 4055 section 4).
///
/// # Errors
///
/// When the library fails.
pub fn transported(key: &PKeyRef<Public>, secret: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    raw::transported(key, secret)
}

/// `secret` in the AES key wrap of RFC 3394.
///
/// # Errors
///
/// When the library fails.
pub fn wrapped(key: &[u8; 32], secret: &[u8; 32]) -> Result<Vec<u8>, ErrorStack> {
    let mut wrapped = vec![0; 40];
    let key = AesKey::new_encrypt(key).map_err(|_| ErrorStack::get())?;
    wrap_key(&key, None, &mut wrapped, secret).map_err(|_| ErrorStack::get())?;
    Ok(wrapped)
}

/// A sealed message in PEM (RFC 7468 section 9).
///
/// # Errors
///
/// None: OpenSSL would read it once more.
pub fn message(der: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    const LINE: usize = 64;
    let text = STANDARD.encode(der);
    let mut pem = b"-----BEGIN CMS-----\n".to_vec();
    for line in text.as_bytes().chunks(LINE) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END CMS-----\n");
    Ok(pem)
}
