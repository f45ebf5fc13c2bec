//! A certificate revocation list (RFC 5280 section 5), read by ourselves.

use std::fmt;
use std::sync::OnceLock;

use super::entries::{Entries, Entry};
use super::scope::Scope;
use super::signature::Signature;
use crate::certificate::chain::Link;
use crate::certificate::der::{self, NotDer, Reader, tag};
use crate::certificate::{Fingerprint, name};
use crate::clock::Timestamp;
use crate::tls::error::ErrorStack;

const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
const DELTA_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
const ISSUING_POINT: &[u8] = &[0x55, 0x1d, 28];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 35];

/// A certificate revocation list: what it says, and what it says it about. Nothing of it is
/// believed before its signature was checked for the certificate in question.
pub struct RevocationList {
    signature: Signature,
    /// Whose key signed it, once that was found.
    signer: OnceLock<Fingerprint>,
    /// The issuer's name as it is encoded, and as text.
    pub(super) issuer: Vec<u8>,
    pub(super) issuer_text: String,
    pub(super) from: Timestamp,
    /// When the next one comes; without it nobody knows how long it holds.
    pub(super) until: Option<Timestamp>,
    pub(super) number: Option<Vec<u8>>,
    /// For a delta: the number of the list that it is added to.
    pub(super) base: Option<Vec<u8>>,
    pub(super) scope: Scope,
    /// Whether it has a critical extension that we do not know, which may change the meaning of
    /// all that it says (RFC 5280 section 5.2).
    pub(super) strange: bool,
    entries: Entries,
}

/// The bytes are not the DER form of a revocation list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the revocation list cannot be read: it is not DER as in RFC 5280; fetch it again")]
pub struct UnreadableList;

impl From<NotDer> for UnreadableList {
    fn from(_: NotDer) -> Self {
        Self
    }
}

impl RevocationList {
    /// Reads the DER form of a list.
    ///
    /// # Errors
    ///
    /// [`UnreadableList`].
    pub fn read(der: &[u8]) -> Result<Self, UnreadableList> {
        let mut outer = Reader(der);
        let mut list = outer.enter(tag::SEQUENCE)?;
        outer.end()?;
        let signed = list.expect(tag::SEQUENCE)?;
        let algorithm = list.expect(tag::SEQUENCE)?.whole;
        let signature = list.expect(tag::BIT_STRING)?.content;
        list.end()?;

        let mut tbs = Reader(signed.content);
        tbs.optional(tag::INTEGER)?;
        let within = tbs.expect(tag::SEQUENCE)?.whole;
        let issuer = tbs.expect(tag::SEQUENCE)?.whole;
        let from = der::time(tbs.next()?)?;
        let until = match tbs.optional(tag::UTC_TIME)? {
            None => tbs.optional(tag::GENERALIZED_TIME)?,
            some => some,
        };
        let mut read = Self {
            signature: Signature::read(signed.whole, (algorithm, within), signature),
            signer: OnceLock::new(),
            issuer: issuer.to_vec(),
            issuer_text: name::text(issuer)?,
            from,
            until: until.map(der::time).transpose()?,
            number: None,
            base: None,
            scope: Scope::default(),
            strange: false,
            entries: Entries::default(),
        };
        if let Some(revoked) = tbs.optional(tag::SEQUENCE)? {
            read.entries = Entries::read(revoked.content)?;
            read.strange = read.entries.strange;
        }
        if let Some(extensions) = tbs.optional(tag::VERSION)? {
            read.extensions(extensions.content)?;
        }
        tbs.end()?;
        Ok(read)
    }

    fn extensions(&mut self, der: &[u8]) -> Result<(), NotDer> {
        let mut outer = Reader(der);
        let list = outer.expect(tag::SEQUENCE)?.content;
        outer.end()?;
        for extension in extensions(list)? {
            match extension.oid {
                CRL_NUMBER => {
                    self.number = Some(integer(extension.value)?);
                    // It must not be critical (section 5.2.3): who says so means something else.
                    self.strange |= extension.critical;
                }
                DELTA_INDICATOR => self.base = Some(integer(extension.value)?),
                ISSUING_POINT => self.scope = Scope::read(extension.value, &self.issuer)?,
                // It only helps to find the key, and we try them all.
                AUTHORITY_KEY => {}
                _ => self.strange |= extension.critical,
            }
        }
        Ok(())
    }

    /// What the list says of the certificate with this serial number and issuer.
    pub(super) fn entry(&self, serial: &[u8], issuer: &[u8]) -> Option<Entry> {
        self.entries.find(serial, issuer, &self.issuer)
    }

    /// Whether the key of this certificate signed it. That is computed once of whoever did.
    pub(super) fn is_signed_by(&self, signer: &Link) -> bool {
        let known = self.signer.get();
        known == Some(&signer.fingerprint) || {
            let key = signer.x509.public_key();
            let is_by = key.is_ok_and(|key| self.signature.is_by(&key));
            let _ = ErrorStack::get();
            if is_by {
                // Another certificate with the same key may be there already.
                let _ = self.signer.set(signer.fingerprint);
            }
            is_by
        }
    }

    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        self.from <= now && self.until.is_some_and(|until| now < until)
    }

    /// Whose list it is, as text.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer_text
    }

    /// How many certificates are on it.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.entries.len()
    }

    /// From when on it holds.
    #[must_use]
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// When the next one is due; none when it does not say.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// When it begins and ends to hold: verdicts may change then.
    pub(in crate::certificate) fn changes(&self) -> impl Iterator<Item = Timestamp> {
        [Some(self.from), self.until].into_iter().flatten()
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RevocationList({}, {} entries)",
            self.issuer_text,
            self.entries.len()
        )
    }
}

pub(super) struct Extension<'a> {
    pub(super) oid: &'a [u8],
    pub(super) critical: bool,
    pub(super) value: &'a [u8],
}

/// More extensions than any list or entry has. Whoever can put a list in the place of another, which is
/// read before its signature is checked, must not make that take hours.
const MOST_EXTENSIONS: usize = 64;

/// The extensions of a list; one that stands twice is refused.
pub(super) fn extensions(der: &[u8]) -> Result<Vec<Extension<'_>>, NotDer> {
    let mut list = Reader(der);
    let mut found: Vec<Extension<'_>> = Vec::new();
    while !list.is_empty() {
        let mut fields = list.enter(tag::SEQUENCE)?;
        let oid = fields.expect(tag::OID)?.content;
        let critical = fields.optional(tag::BOOLEAN)?;
        let value = fields.expect(tag::OCTET_STRING)?.content;
        fields.end()?;
        if found.len() == MOST_EXTENSIONS || found.iter().any(|other| other.oid == oid) {
            return Err(NotDer);
        }
        found.push(Extension {
            oid,
            critical: critical.is_some_and(|critical| critical.content != [0]),
            value,
        });
    }
    Ok(found)
}

fn integer(der: &[u8]) -> Result<Vec<u8>, NotDer> {
    let mut reader = Reader(der);
    let content = reader.expect(tag::INTEGER)?.content;
    reader.end()?;
    Ok(value(content).to_vec())
}

/// An integer's content in its shortest form, so that one value has one form however it was
/// encoded.
pub(super) fn value(content: &[u8]) -> &[u8] {
    let mut rest = content;
    while let [first, second, ..] = rest {
        let same_sign = (second & 0x80 == 0) == (*first == 0);
        if !(matches!(first, 0 | 0xff) && same_sign) {
            break;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    rest
}

/// Whether one number of a list is at most another; both in their shortest form and not negative.
pub(super) fn at_most(one: &[u8], other: &[u8]) -> bool {
    let plain = |number: &[u8]| -> Vec<u8> {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number.get(zeros..).unwrap_or_default().to_vec()
    };
    let (one, other) = (plain(one), plain(other));
    (one.len(), one) <= (other.len(), other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_one_form() {
        assert_eq!(value(&[0, 0, 1]), [1]);
        assert_eq!(value(&[0, 0x80]), [0, 0x80]);
        assert_eq!(value(&[0xff, 0xff, 0x80]), [0x80]);
        assert_eq!(value(&[0xff, 0x7f]), [0xff, 0x7f]);
        assert_eq!(value(&[0]), [0]);
        assert!(at_most(&[5], &[0, 0x80]) && !at_most(&[1, 0], &[0, 0x80]));
        assert!(at_most(&[7], &[7]) && !at_most(&[8], &[7]));
    }

    #[test]
    fn what_is_no_list_is_not_read() {
        for bad in [&b""[..], b"hello", &[0x30, 0]] {
            assert_eq!(RevocationList::read(bad).err(), Some(UnreadableList));
        }
    }
}
