//! The parts of a certificate that proxies tell of, found in its own bytes.

use crate::certificate::der::{NotDer, Reader, Tlv, tag};

/// `subjectAltName` (RFC 5280 section 4.2.1.6).
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];

/// It is no certificate in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no certificate in DER")]
pub struct Unreadable;

impl From<NotDer> for Unreadable {
    fn from(_: NotDer) -> Self {
        Self
    }
}

/// A certificate, taken apart. Nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// All of it.
    pub(super) der: &'a [u8],
    /// The content of the serial number.
    pub(super) serial: &'a [u8],
    /// The content of each `Name`.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    pub(super) not_before: Tlv<'a>,
    pub(super) not_after: Tlv<'a>,
    /// The content of the alternative names.
    pub(super) names: Option<&'a [u8]>,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    pub fn read(der: &'a [u8]) -> Result<Self, Unreadable> {
        let mut whole = Reader(der).enter(tag::SEQUENCE)?;
        let mut tbs = whole.enter(tag::SEQUENCE)?;
        tbs.optional(tag::VERSION)?;
        let serial = tbs.expect(tag::INTEGER)?.content;
        tbs.expect(tag::SEQUENCE)?;
        let issuer = tbs.expect(tag::SEQUENCE)?.content;
        let mut validity = tbs.enter(tag::SEQUENCE)?;
        let (not_before, not_after) = (validity.next()?, validity.next()?);
        let subject = tbs.expect(tag::SEQUENCE)?.content;
        tbs.expect(tag::SEQUENCE)?;
        tbs.optional(tag::ISSUER_ID)?;
        tbs.optional(tag::SUBJECT_ID)?;
        let extensions = tbs.optional(tag::EXTENSIONS)?;
        Ok(Self {
            der,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            names: extensions
                .map(|extensions| alternative_names(extensions.content))
                .transpose()?
                .flatten(),
        })
    }

    /// The alternative names of this kind, by their tag.
    pub(super) fn named(&self, kind: u8) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut names = Reader(self.names.unwrap_or_default());
        let next = std::iter::from_fn(move || names.next().ok());
        next.filter_map(move |name| (name.tag == kind).then_some(name.content))
    }
}

fn alternative_names(extensions: &[u8]) -> Result<Option<&[u8]>, NotDer> {
    let mut list = Reader(extensions).enter(tag::SEQUENCE)?;
    while !list.is_empty() {
        let mut extension = list.enter(tag::SEQUENCE)?;
        let oid = extension.expect(tag::OID)?.content;
        extension.optional(tag::BOOLEAN)?;
        let value = extension.expect(tag::OCTET_STRING)?.content;
        if oid == ALTERNATIVE_NAMES {
            return Ok(Some(Reader(value).expect(tag::SEQUENCE)?.content));
        }
    }
    Ok(None)
}
