//! What of an issuer's certificate limits those below it, for the operator to know beforehand.

use super::Unreadable;
use super::chain::Link;
use super::rules::{Exceptions, weak_digest, weak_key};
use crate::tls::x509::X509;

/// What a certificate below this one can fail for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Its key is too weak: of how many bits it is.
    pub weak_key: Option<u32>,
    /// It was signed with this weak algorithm, by another one.
    pub weak_signature: Option<&'static str>,
    /// It says which names there may be below it.
    pub constrains_names: bool,
}

impl Limits {
    /// What `certificate` limits.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn of(certificate: &X509) -> Result<Self, Unreadable> {
        let link = Link::read(certificate).map_err(|_| Unreadable)?;
        let content = &link.content;
        // What signs itself proves nothing by that.
        let is_root = content.subject == content.issuer;
        Ok(Self {
            weak_key: weak_key(&link, Exceptions::NONE),
            weak_signature: weak_digest(&link).filter(|_| !is_root),
            constrains_names: !content.constrained.is_empty(),
        })
    }
}
