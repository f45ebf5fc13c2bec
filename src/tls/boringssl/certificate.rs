//! Certificates with BoringSSL.

use super::raw;
use crate::tls::asn1::Asn1Object;
use crate::tls::error::ErrorStack;
use crate::tls::hash::MessageDigest;
use crate::tls::pkey::{HasPublic, Id, PKeyRef};
use crate::tls::x509::verify::{X509VerifyFlags, X509VerifyParam};
use crate::tls::x509::{X509Builder, X509Extension, X509Ref, X509StoreContextRef};
use crate::tls::{Demands, Scheme};

/// Has dates left out of a verification.
pub const NO_CHECK_TIME: X509VerifyFlags = X509VerifyFlags::from_bits_retain(0x20_0000);

/// Whether the library itself looks at all that is demanded of a chain: at strictness and strength, at
/// anchors, at address blocks (RFC 3779) and at mailboxes in all scripts (RFC 9598).
pub const DEMANDS_ALL: bool = false;

/// Sets how chains are built and dates compared.
///
/// # Errors
///
/// When the library will not have it.
pub fn set_flags(param: &mut X509VerifyParam, flags: X509VerifyFlags) -> Result<(), ErrorStack> {
    param.try_set_flags(flags)
}

/// Has a verification make these demands. Those of strictness and strength are our own rules' alone:
/// BoringSSL has none.
///
/// # Errors
///
/// When the library will not have them.
pub fn demand(param: &mut X509VerifyParam, demands: Demands) -> Result<(), ErrorStack> {
    if demands.for_clients {
        raw::set_for_clients(param)?;
    }
    Ok(())
}

/// What a verification stopped at, as `X509_V_ERR_…` of OpenSSL by its number, and in its words.
#[must_use]
pub fn fault(context: &X509StoreContextRef) -> Option<(i32, &'static str)> {
    let error = context.verify_result().err()?;
    Some((number(error.as_raw()), error.error_string()))
}

/// The number that OpenSSL has for an error of BoringSSL, whose numbers are those of old.
const fn number(error: i32) -> i32 {
    match error {
        // INVALID_CA
        24 => 79,
        // STORE_LOOKUP
        66 => 70,
        // NAME_CONSTRAINTS_WITHOUT_SANS: UNSUPPORTED_NAME_SYNTAX
        67 => 53,
        same => same,
    }
}

/// From how many bits on an RSA key has how many bits of security: OpenSSL's steps, by the formula of
/// FIPS 140-2 IG 7.5.
const RSA_STEPS: [(u32, u32); 16] = [
    (920, 80),
    (1137, 88),
    (1383, 96),
    (1657, 104),
    (1963, 112),
    (2301, 120),
    (2671, 128),
    (3076, 136),
    (3514, 144),
    (3991, 152),
    (4502, 160),
    (5054, 168),
    (5642, 176),
    (6274, 184),
    (6947, 192),
    (7681, 200),
];

/// How many bits of security a key has, of the kinds that are accepted: as many as OpenSSL says, and
/// none where that is less than anybody asks for.
#[must_use]
pub fn security_bits<T: HasPublic>(key: &PKeyRef<T>) -> u32 {
    match (key.id(), key.bits()) {
        (Id::RSA | Id::RSA_PSS, bits) => {
            let reached = RSA_STEPS.iter().rfind(|(least, _)| *least <= bits);
            reached.map_or(0, |(_, security)| *security)
        }
        (Id::EC, bits) => bits.div_ceil(2).min(256),
        (Id::ED25519, _) => 128,
        _ => 0,
    }
}

/// Whether by their names and key identifiers `issuer` issued the other one.
#[must_use]
pub fn has_issued(issuer: &X509Ref, other: &X509Ref) -> bool {
    issuer.issued(other).is_ok()
}

/// Adds an extension to a certificate that is made.
///
/// # Errors
///
/// When the library will not have it.
pub fn append(builder: &mut X509Builder, extension: &X509Extension) -> Result<(), ErrorStack> {
    builder.append_extension(extension)
}

/// The bytes of an object identifier.
#[must_use]
pub fn oid(object: &Asn1Object) -> Vec<u8> {
    raw::oid(object)
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
    raw::is_over((hash, digest), signature, scheme, key)
}
