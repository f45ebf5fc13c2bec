//! Where lists come from: files, which may hold certificates of the lists' issuers as well.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RevocationList;
use crate::certificate::chain::Link;
use crate::certificate::pem::{self, NotUsable};
use crate::clock::Timestamp;
use crate::tls::x509::X509;

/// By what it is told whether certificates of an authority were revoked.
#[derive(Clone, Debug, Default)]
pub struct Revocation {
    /// The files, each under the name that it is known by.
    pub files: Vec<(Arc<str>, Arc<ListFile>)>,
    /// What becomes of a certificate of which they cannot tell.
    pub when_unknown: WhenUnknown,
}

/// What becomes of a certificate when nobody can tell whether it was revoked, since a list is
/// missing or not current.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenUnknown {
    /// It is refused.
    #[default]
    Refuse,
    /// It is accepted, and that is counted and logged.
    Accept,
}

/// What a file holds: lists, and certificates of those who issued them. The latter are not trusted
/// for being there, but must be good themselves.
#[derive(Default)]
pub struct ListFile {
    pub(super) lists: Vec<RevocationList>,
    pub(super) issuers: Vec<Link>,
}

impl ListFile {
    /// Reads a file, in PEM or DER.
    ///
    /// # Errors
    ///
    /// [`NotUsable`], also when there is no list in it.
    pub fn read(file: &[u8]) -> Result<Self, NotUsable> {
        let mut read = Self::default();
        for block in pem::lists_and_certificates(file)? {
            let unreadable = NotUsable::Nothing(pem::LISTS, pem::CRL);
            if block.is_certificate {
                let x509 = X509::from_der(&block.der).map_err(|_| unreadable.clone())?;
                let link = Link::read(&x509).map_err(|_| unreadable)?;
                read.issuers.push(link);
            } else {
                let list = RevocationList::read(&block.der).map_err(|_| unreadable)?;
                read.lists.push(list);
            }
        }
        Ok(read)
    }

    /// Lists that were read before.
    #[must_use]
    pub fn of(lists: Vec<RevocationList>) -> Self {
        Self {
            lists,
            issuers: Vec::new(),
        }
    }

    /// The lists in it.
    #[must_use]
    pub fn lists(&self) -> &[RevocationList] {
        &self.lists
    }
}

impl fmt::Debug for ListFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.lists).finish()
    }
}

impl PartialEq for Revocation {
    /// Whether it is the same reading of the same files.
    fn eq(&self, other: &Self) -> bool {
        let mut pairs = self.files.iter().zip(&other.files);
        self.when_unknown == other.when_unknown
            && self.files.len() == other.files.len()
            && pairs.all(|(one, other)| one.0 == other.0 && Arc::ptr_eq(&one.1, &other.1))
    }
}

impl Revocation {
    pub(in crate::certificate) fn lists(&self) -> impl Iterator<Item = &RevocationList> {
        self.files.iter().flat_map(|(_, file)| &file.lists)
    }

    /// The certificates that came with the lists.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &Link> {
        self.files.iter().flat_map(|(_, file)| &file.issuers)
    }

    /// When a list begins or ends to hold: verdicts may change then.
    pub(in crate::certificate) fn changes(&self) -> impl Iterator<Item = Timestamp> {
        self.lists().flat_map(RevocationList::changes)
    }
}
