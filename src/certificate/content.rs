//! What a certificate's own bytes say: its facts, and what it claims that it may be used for.

use sha2::{Digest, Sha256};

use super::der::{self, NotDer, Reader, tag};
use super::{Facts, alternative, name};

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const CRL_POINTS: &[u8] = &[0x55, 0x1d, 31];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// A certificate's facts and claims.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) facts: Facts,
    /// The issuer's and the subject's names as they are encoded.
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    /// The content of the serial number.
    pub(super) serial: Vec<u8>,
    /// Whether it says that it is a certificate authority (RFC 5280 section 4.2.1.9).
    pub(super) ca: bool,
    /// Key usage (section 4.2.1.3); what is absent does not limit.
    pub(super) may_sign: Option<bool>,
    pub(super) may_issue: Option<bool>,
    pub(super) may_sign_lists: Option<bool>,
    /// Whether the extended key usage (section 4.2.1.12) names clientAuth; `None` without one.
    pub(super) client_auth: Option<bool>,
    /// The forms of the names that it constrains below it (section 4.2.1.10), by their tags.
    pub(super) constrained: Vec<u8>,
    /// Where it says that its revocation is published (section 4.2.1.13); read only when there are
    /// revocation lists.
    pub(super) crl_points: Option<Vec<u8>>,
}

impl Content {
    /// Reads the DER form of a certificate. An extension that stands twice is refused, since two
    /// readers could pick different ones.
    pub(super) fn read(der: &[u8]) -> Result<Self, NotDer> {
        let mut outer = Reader(der);
        let mut certificate = outer.enter(tag::SEQUENCE)?;
        outer.end()?;
        let mut tbs = certificate.enter(tag::SEQUENCE)?;
        certificate.expect(tag::SEQUENCE)?;
        certificate.expect(tag::BIT_STRING)?;
        certificate.end()?;

        tbs.optional(tag::VERSION)?;
        let serial = tbs.expect(tag::INTEGER)?.content;
        tbs.expect(tag::SEQUENCE)?;
        let issuer = tbs.expect(tag::SEQUENCE)?.whole;
        let mut validity = tbs.enter(tag::SEQUENCE)?;
        let not_before = der::time(validity.next()?)?;
        let not_after = der::time(validity.next()?)?;
        validity.end()?;
        let subject = tbs.expect(tag::SEQUENCE)?.whole;
        let spki = tbs.expect(tag::SEQUENCE)?.whole;
        tbs.optional(tag::ISSUER_ID)?;
        tbs.optional(tag::SUBJECT_ID)?;
        let extensions = tbs.optional(tag::EXTENSIONS)?;
        tbs.end()?;

        let mut content = Self {
            facts: Facts {
                subject: name::text(subject)?,
                issuer: name::text(issuer)?,
                alternative_names: Vec::new(),
                serial: hex::encode(serial),
                spki: hex::encode(Sha256::digest(spki)),
                not_before,
                not_after,
            },
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
            serial: serial.to_vec(),
            ca: false,
            may_sign: None,
            may_issue: None,
            may_sign_lists: None,
            client_auth: None,
            constrained: Vec::new(),
            crl_points: None,
        };
        if let Some(extensions) = extensions {
            content.extensions(extensions.content)?;
        }
        Ok(content)
    }

    fn extensions(&mut self, der: &[u8]) -> Result<(), NotDer> {
        let mut outer = Reader(der);
        let mut list = outer.enter(tag::SEQUENCE)?;
        outer.end()?;
        let mut seen = Vec::new();
        while !list.is_empty() {
            let mut extension = list.enter(tag::SEQUENCE)?;
            let oid = extension.expect(tag::OID)?.content;
            extension.optional(tag::BOOLEAN)?;
            let value = extension.expect(tag::OCTET_STRING)?.content;
            extension.end()?;
            if seen.contains(&oid) {
                return Err(NotDer);
            }
            seen.push(oid);
            match oid {
                BASIC_CONSTRAINTS => self.ca = is_ca(value)?,
                ALTERNATIVE_NAMES => self.facts.alternative_names = alternative::names(value),
                NAME_CONSTRAINTS => self.constrained = constrained(value)?,
                KEY_USAGE => self.key_usage(value)?,
                CRL_POINTS => self.crl_points = Some(value.to_vec()),
                EXTENDED_KEY_USAGE => self.client_auth = Some(names_client_auth(value)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn key_usage(&mut self, value: &[u8]) -> Result<(), NotDer> {
        let mut reader = Reader(value);
        let bits = reader.expect(tag::BIT_STRING)?.content;
        reader.end()?;
        let (_unused, bits) = bits.split_first().ok_or(NotDer)?;
        let first = bits.first().copied().unwrap_or(0);
        self.may_sign = Some(first & 0x80 != 0);
        self.may_issue = Some(first & 0x04 != 0);
        self.may_sign_lists = Some(first & 0x02 != 0);
        Ok(())
    }
}

fn is_ca(value: &[u8]) -> Result<bool, NotDer> {
    let mut outer = Reader(value);
    let mut constraints = outer.enter(tag::SEQUENCE)?;
    outer.end()?;
    let ca = constraints.optional(tag::BOOLEAN)?;
    constraints.optional(tag::INTEGER)?;
    constraints.end()?;
    Ok(ca.is_some_and(|ca| ca.content != [0]))
}

fn constrained(value: &[u8]) -> Result<Vec<u8>, NotDer> {
    let mut outer = Reader(value);
    let mut parts = outer.enter(tag::SEQUENCE)?;
    outer.end()?;
    let mut forms = Vec::new();
    while !parts.is_empty() {
        let mut trees = Reader(parts.next()?.content);
        while !trees.is_empty() {
            forms.push(trees.enter(tag::SEQUENCE)?.next()?.tag);
        }
    }
    Ok(forms)
}

fn names_client_auth(value: &[u8]) -> Result<bool, NotDer> {
    let mut outer = Reader(value);
    let mut purposes = outer.enter(tag::SEQUENCE)?;
    outer.end()?;
    let mut found = false;
    while !purposes.is_empty() {
        found |= purposes.expect(tag::OID)?.content == CLIENT_AUTH;
    }
    Ok(found)
}
