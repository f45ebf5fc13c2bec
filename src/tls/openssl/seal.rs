//! Sealing with OpenSSL.

use openssl::cipher::Cipher;
use openssl::cipher_ctx::{CipherCtx, CipherCtxFlags};
use openssl::cms::CmsContentInfo;
use openssl::md::Md;
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;

use crate::tls::error::ErrorStack;
use crate::tls::pkey::{PKeyRef, Public};

/// `secret` encrypted with RSAES-OAEP, SHA-256 throughout (RFC 4055 section 4).
///
/// # Errors
///
/// When the library fails.
pub fn transported(key: &PKeyRef<Public>, secret: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut context = PkeyCtx::new(key)?;
    context.encrypt_init()?;
    context.set_rsa_padding(Padding::PKCS1_OAEP)?;
    context.set_rsa_oaep_md(Md::sha256())?;
    context.set_rsa_mgf1_md(Md::sha256())?;
    let mut encrypted = Vec::new();
    context.encrypt_to_vec(secret, &mut encrypted)?;
    Ok(encrypted)
}

/// `secret` in the AES key wrap of RFC 3394.
///
/// # Errors
///
/// When the library fails.
pub fn wrapped(key: &[u8; 32], secret: &[u8; 32]) -> Result<Vec<u8>, ErrorStack> {
    let mut context = CipherCtx::new()?;
    context.set_flags(CipherCtxFlags::FLAG_WRAP_ALLOW);
    context.encrypt_init(Some(Cipher::aes_256_wrap()), Some(key), None)?;
    let mut wrapped = Vec::new();
    context.cipher_update_vec(secret, &mut wrapped)?;
    context.cipher_final_vec(&mut wrapped)?;
    Ok(wrapped)
}

/// A sealed message in PEM (RFC 7468 section 9). The library writes only what it can read.
///
/// # Errors
///
/// When it cannot.
pub fn message(der: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    CmsContentInfo::from_der(der)?.to_pem()
}
