//! The values at the end of a header of version 2 (section 2.2): its checksum, and what the balancer
//! tells of its client's TLS.

use super::MALFORMED;
use crate::door::failure::Failure;

/// Types of values, of those in the header and of those in [`TLS`].
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
pub(super) const CHECKSUM: u8 = 0x03;
pub(super) const TLS: u8 = 0x20;
const NAMESPACE: u8 = 0x30;
/// From the version of TLS to the signature scheme, all that is text: the common name, too.
const FIRST_TEXT: u8 = 0x21;
const LAST_TEXT: u8 = 0x27;
const CERTIFICATE: u8 = 0x28;

/// The client's connection is TLS, and it proved a certificate on this very connection. That it did
/// so once, in the session that it resumes, is another bit and not enough.
const PROVEN: u8 = 0x01 | 0x02;

/// The certificate that the client proved to the balancer, which found it good; none when there is
/// none of which all that is said. The `values` must fill the end of `header` exactly, and its
/// checksum must be right if it has one.
pub(super) fn read<'a>(mut values: &'a [u8], header: &[u8]) -> Result<Option<&'a [u8]>, Failure> {
    let (mut checked, mut tls) = (false, None);
    while !values.is_empty() {
        let (kind, value, rest) = next(values).ok_or(MALFORMED)?;
        // A second one of those that are read would only be work, or another reading.
        let is_good = match kind {
            CHECKSUM => !std::mem::replace(&mut checked, true) && is_sum(value, header, rest),
            TLS => tls.replace(value).is_none(),
            ALPN | AUTHORITY | NAMESPACE => is_text(value),
            _ => true,
        };
        if !is_good {
            return Err(MALFORMED);
        }
        values = rest;
    }
    tls.map_or(Ok(None), certificate)
}

/// The certificate by a whole value about TLS.
fn certificate(tls: &[u8]) -> Result<Option<&[u8]>, Failure> {
    let ([client, verify @ ..], mut values) = tls.split_first_chunk::<5>().ok_or(MALFORMED)?;
    let mut certificate = None;
    while !values.is_empty() {
        let (kind, value, rest) = next(values).ok_or(MALFORMED)?;
        let is_good = match kind {
            FIRST_TEXT..=LAST_TEXT => is_text(value),
            CERTIFICATE => certificate.replace(value).is_none(),
            _ => true,
        };
        if !is_good {
            return Err(MALFORMED);
        }
        values = rest;
    }
    let is_proven = client & PROVEN == PROVEN && *verify == [0; 4];
    Ok(certificate.filter(|_| is_proven))
}

/// The type of the first value, the value, and what follows it.
fn next(values: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, high, low], rest) = values.split_first_chunk::<3>()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (value, rest) = rest.split_at_checked(length)?;
    Some((*kind, value, rest))
}

/// Whether it is text in which nothing ends a line, or a text.
fn is_text(value: &[u8]) -> bool {
    str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// Whether `sum`, which stands before `rest` in `header`, is the checksum of it. For that, it counts
/// as four bytes of zero.
fn is_sum(sum: &[u8], header: &[u8], rest: &[u8]) -> bool {
    let before = header.len().saturating_sub(rest.len()).saturating_sub(4);
    let before = header.iter().take(before);
    let bytes = before.chain(&[0; 4]).chain(rest).copied();
    sum == crc32c(bytes).to_be_bytes()
}

/// The checksum of Castagnoli (RFC 9260 appendix A).
pub(super) fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let shift = |sum: u32, _| {
        let flip = if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
        (sum >> 1) ^ flip
    };
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), shift)
    })
}
