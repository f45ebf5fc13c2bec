//! Certificates with OpenSSL.

use openssl::md::{Md, MdRef};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sign::RsaPssSaltlen;

use crate::tls::asn1::Asn1Object;
use crate::tls::error::ErrorStack;
use crate::tls::hash::MessageDigest;
use crate::tls::pkey::{HasPublic, PKeyRef};
use crate::tls::x509::verify::{X509VerifyFlags, X509VerifyParam};
use crate::tls::x509::{
    X509Builder, X509Extension, X509PurposeId, X509Ref, X509StoreContextRef, X509VerifyResult,
};
use crate::tls::{Demands, Scheme};

/// Has dates left out of a verification.
pub const NO_CHECK_TIME: X509VerifyFlags = X509VerifyFlags::NO_CHECK_TIME;

/// Whether the library itself looks at all that is demanded of a chain: at strictness and strength, at
/// anchors, at address blocks (RFC 3779) and at mailboxes in all scripts (RFC 9598).
pub const DEMANDS_ALL: bool = true;

/// OpenSSL's security level 2: at least 112 bits of security.
const STRONG: i32 = 2;

/// Sets how chains are built and dates compared.
///
/// # Errors
///
/// When the library will not have it.
pub fn set_flags(param: &mut X509VerifyParam, flags: X509VerifyFlags) -> Result<(), ErrorStack> {
    param.set_flags(flags)
}

/// Has a verification make these demands.
///
/// # Errors
///
/// When the library will not have them.
pub fn demand(param: &mut X509VerifyParam, demands: Demands) -> Result<(), ErrorStack> {
    if demands.strict {
        param.set_flags(X509VerifyFlags::X509_STRICT)?;
    }
    param.set_auth_level(if demands.strong { STRONG } else { 0 });
    if demands.for_clients {
        param.set_purpose(X509PurposeId::SSL_CLIENT)?;
    }
    Ok(())
}

/// What a verification stopped at, as `X509_V_ERR_…` of OpenSSL by its number, and in its words.
#[must_use]
pub fn fault(context: &X509StoreContextRef) -> Option<(i32, &'static str)> {
    let error = context.error();
    (error != X509VerifyResult::OK).then(|| (error.as_raw(), error.error_string()))
}

/// How many bits of security a key has.
#[must_use]
pub fn security_bits<T: HasPublic>(key: &PKeyRef<T>) -> u32 {
    key.security_bits()
}

/// Whether by their names and key identifiers `issuer` issued the other one.
#[must_use]
pub fn has_issued(issuer: &X509Ref, other: &X509Ref) -> bool {
    issuer.issued(other) == X509VerifyResult::OK
}

/// Adds an extension to a certificate that is made.
///
/// # Errors
///
/// When the library will not have it.
pub fn append(builder: &mut X509Builder, extension: &X509Extension) -> Result<(), ErrorStack> {
    builder.append_extension2(extension)
}

/// The bytes of an object identifier.
#[must_use]
pub fn oid(object: &Asn1Object) -> Vec<u8> {
    object.as_slice().to_vec()
}

/// Whether `signature` was made with this key over `digest`, which `hash` gave.
///
/// # Errors
///
/// When the key is none for that.
pub fn is_over<T: HasPublic>(
    (hash, digest): (MessageDigest, &[u8]),
    signature: &[u8],
    scheme: Scheme,
    key: &PKeyRef<T>,
) -> Result<bool, ErrorStack> {
    let mut context = PkeyCtx::new(key)?;
    context.verify_init()?;
    match scheme {
        Scheme::Ecdsa => {}
        Scheme::Pkcs1 => context.set_rsa_padding(Padding::PKCS1)?,
        Scheme::Pss { mask, salt } => {
            context.set_rsa_padding(Padding::PKCS1_PSS)?;
            context.set_rsa_mgf1_md(md(mask)?)?;
            context.set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt.into()))?;
        }
    }
    context.set_signature_md(md(hash)?)?;
    context.verify(digest, signature)
}

/// A hash, under the other name that it has in the library.
fn md(hash: MessageDigest) -> Result<&'static MdRef, ErrorStack> {
    Md::from_nid(hash.type_()).ok_or_else(ErrorStack::get)
}
