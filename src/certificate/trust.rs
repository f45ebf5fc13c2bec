//! Whom the operator trusts to issue clients' certificates.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::chain::Link;
use super::revocation::{ListFile, Revocation, RevocationList};
use super::{CaIndex, Fingerprint, name};
use crate::clock::Timestamp;
use crate::tls::error::ErrorStack;
use crate::tls::x509::{X509, X509Name};

/// How many certificate authorities there may be: a chain is tried under each of them.
const MOST_CAS: usize = 256;

/// A certificate authority as the operator wrote it down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ca {
    /// Its name in the configuration.
    pub name: String,
    /// The contents of its file: one or more certificates in PEM. Each of them is trusted. When
    /// one is an intermediate whose root is not in the file, it is a trust anchor of its own.
    pub pem: Vec<u8>,
    /// Exception: certificates without any extended key usage are accepted as a client's.
    pub allow_missing_client_auth: bool,
    /// Exception: SHA-1, MD5 and RSA keys from 1024 bits are accepted.
    pub allow_weak: bool,
    /// How many certificates there may be between a client's and the trusted one.
    pub max_depth: u32,
    /// By what it is told whether its certificates were revoked; without it, nobody asks.
    pub revocation: Option<Revocation>,
    /// Whether it was taken away. Nobody is trusted in its place then, which it keeps, so that the
    /// others keep theirs.
    pub is_gone: bool,
}

/// A file of certificate authorities cannot be used. All that is wrong with all files is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("; "))]
pub struct TrustError {
    /// One sentence for each problem; each names the certificate authority.
    pub problems: Vec<String>,
}

/// One certificate authority, ready to verify with.
pub(super) struct Authority {
    pub(super) name: String,
    /// The certificates that are trusted.
    pub(super) anchors: Vec<Link>,
    /// Whether an anchor is an intermediate whose root is not there. Only then may a chain end
    /// at a certificate that is not self-signed, and only in this authority's own store, which
    /// holds nothing but what the operator wrote down.
    pub(super) partial: bool,
    pub(super) allow_missing_client_auth: bool,
    pub(super) allow_weak: bool,
    pub(super) max_depth: u32,
    pub(super) revocation: Option<Revocation>,
}

impl Authority {
    /// An authority without exceptions that trusts this one certificate: to look for problems,
    /// never to accept.
    pub(super) fn stand_in(top: &Link) -> Self {
        Self {
            name: String::new(),
            anchors: vec![top.clone()],
            partial: true,
            allow_missing_client_auth: false,
            allow_weak: false,
            max_depth: u32::MAX,
            revocation: None,
        }
    }
}

/// All certificate authorities of one generation. It never changes; another one takes its place.
/// The system's own certificate authorities are never part of it.
pub struct Trust {
    generation: u64,
    pub(super) authorities: Vec<Authority>,
    /// Every moment at which an anchor or a list begins or ends to be valid, in order.
    pub(super) changes: Vec<Timestamp>,
    content: Fingerprint,
}

impl Trust {
    /// Reads the certificate authorities. `generation` names this set: another set must have
    /// another one. No certificate authority at all is fine, and trusts nobody.
    ///
    /// # Errors
    /// Every problem of every file: nothing in it, cut off, something that is not a certificate,
    /// a certificate that may not issue, one that stands under two names.
    pub fn new(generation: u64, cas: Vec<Ca>) -> Result<Self, TrustError> {
        let mut problems = Vec::new();
        let mut owners: HashMap<Fingerprint, usize> = HashMap::new();
        let mut authorities = Vec::with_capacity(cas.len());
        // Those that were taken away cost nothing.
        let number = cas.iter().filter(|ca| !ca.is_gone).count();
        if number > MOST_CAS {
            problems.push(format!(
                "there are {number} certificate authorities, more than the {MOST_CAS} that can be told \
                 apart at a reasonable cost; put those with the same exceptions into one file"
            ));
        }
        for (index, ca) in cas.into_iter().enumerate() {
            let authority = authority(ca, &mut problems);
            for anchor in &authority.anchors {
                match owners.entry(anchor.fingerprint) {
                    Entry::Vacant(entry) => {
                        entry.insert(index);
                    }
                    Entry::Occupied(_) => problems.push(format!(
                        "ca {:?}: the certificate of '{}' belongs to another ca already; one \
                         certificate can stand for one ca only, so remove it from one of the files",
                        authority.name, anchor.content.facts.subject
                    )),
                }
            }
            authorities.push(authority);
        }
        // What is left in the thread's error queue would be taken for an error of a connection.
        let _ = ErrorStack::get();
        if !problems.is_empty() {
            return Err(TrustError { problems });
        }
        let anchors = authorities.iter().flat_map(|authority| &authority.anchors);
        let mut changes: Vec<_> = anchors
            .map(|anchor| &anchor.content.facts)
            .flat_map(|facts| [facts.not_before, facts.not_after])
            .collect();
        let asked = authorities.iter().filter_map(|one| one.revocation.as_ref());
        changes.extend(asked.flat_map(Revocation::changes));
        changes.sort_unstable();
        changes.dedup();
        Ok(Self {
            generation,
            content: content_of(&authorities),
            authorities,
            changes,
        })
    }

    /// The same authorities, all with these revocation lists, unless there are none. With any at
    /// all, a certificate is good only when lists that hold tell of it and of all its issuers that
    /// none was revoked.
    #[must_use]
    pub fn with_lists(self, lists: Vec<RevocationList>) -> Self {
        self.with_list_files(vec![ListFile::of(lists)])
    }

    /// The same with files that hold lists.
    #[must_use]
    pub fn with_list_files(mut self, files: Vec<ListFile>) -> Self {
        if files.iter().all(|file| file.lists().is_empty()) {
            return self;
        }
        let named = |file| (Arc::from(""), Arc::new(file));
        let revocation = Revocation {
            files: files.into_iter().map(named).collect(),
            ..Revocation::default()
        };
        self.changes.extend(revocation.changes());
        self.changes.sort_unstable();
        self.changes.dedup();
        for authority in &mut self.authorities {
            authority.revocation = Some(revocation.clone());
        }
        self
    }

    /// Which set of certificate authorities this is.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// A hash of whom it trusts and how far, without revocation lists: the same wherever the same
    /// was written.
    #[must_use]
    pub const fn content(&self) -> &Fingerprint {
        &self.content
    }

    /// The name of a certificate authority, as the operator wrote it.
    #[must_use]
    pub fn ca_name(&self, ca: CaIndex) -> &str {
        self.authorities
            .get(usize::from(ca.0))
            .map_or("", |authority| authority.name.as_str())
    }

    /// The names that a TLS server shows to clients, so that they can pick a certificate.
    pub fn subjects(&self) -> impl Iterator<Item = X509Name> {
        self.anchors()
            .filter_map(|anchor| X509Name::from_der(&anchor.content.subject).ok())
    }

    pub(super) fn anchors(&self) -> impl Iterator<Item = &Link> {
        self.authorities
            .iter()
            .flat_map(|authority| &authority.anchors)
    }

    pub(super) fn authority(&self, ca: CaIndex) -> Option<&Authority> {
        self.authorities.get(usize::from(ca.0))
    }

    /// The authority that this certificate is an anchor of.
    pub(super) fn authority_of(&self, anchor: &Fingerprint) -> Option<&Authority> {
        let is = |link: &Link| link.fingerprint == *anchor;
        self.authorities
            .iter()
            .find(|authority| authority.anchors.iter().any(is))
    }

    pub(super) fn is_anchor(&self, fingerprint: &Fingerprint) -> bool {
        self.anchors()
            .any(|anchor| anchor.fingerprint == *fingerprint)
    }

    /// The issuers behind these authorities as a reader knows them, at most five of them.
    #[must_use]
    pub fn accepted(&self, cas: &[CaIndex]) -> String {
        let authorities = cas
            .iter()
            .filter_map(|ca| self.authorities.get(usize::from(ca.0)));
        listed(authorities.flat_map(|authority| &authority.anchors))
    }

    /// All accepted issuers, likewise.
    pub(super) fn all_accepted(&self) -> String {
        listed(self.anchors())
    }
}

fn content_of(authorities: &[Authority]) -> Fingerprint {
    // Those that were taken away have no certificate, and their order means nothing.
    let mut all: Vec<_> = authorities.iter().map(content).collect();
    all.retain(|one| !one.is_empty());
    all.sort_unstable();
    Fingerprint::of(&all.concat())
}

fn content(authority: &Authority) -> Vec<u8> {
    let mut all = Vec::new();
    if !authority.anchors.is_empty() {
        let exceptions = [authority.allow_missing_client_auth, authority.allow_weak];
        all.extend(exceptions.map(u8::from));
        all.extend(authority.max_depth.to_be_bytes());
        all.extend(authority.anchors.len().to_be_bytes());
        for anchor in &authority.anchors {
            all.extend(anchor.fingerprint.as_bytes());
        }
    }
    all
}

fn listed<'a>(anchors: impl Iterator<Item = &'a Link>) -> String {
    let mut names: Vec<_> = anchors
        .map(|anchor| format!("'{}'", name::short(&anchor.content.facts.subject)))
        .collect();
    names.dedup();
    let more = names.len().saturating_sub(5);
    names.truncate(5);
    match (names.is_empty(), more) {
        (true, _) => "nobody".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

fn authority(ca: Ca, problems: &mut Vec<String>) -> Authority {
    let mut problem = |text: &str| problems.push(format!("ca {:?}: {text}", ca.name));
    let mut anchors: Vec<Link> = Vec::new();
    match certificates(&ca.pem) {
        _ if ca.is_gone => {}
        Ok(found) => {
            for x509 in found {
                match anchor(&x509) {
                    Ok(anchor) if anchors.iter().any(|a| a.fingerprint == anchor.fingerprint) => {}
                    Ok(anchor) => anchors.push(anchor),
                    Err(text) => problem(&text),
                }
            }
        }
        Err(text) => problem(text),
    }
    let partial = anchors.iter().any(|anchor| !has_root(anchor, &anchors));
    Authority {
        name: ca.name,
        anchors,
        partial,
        allow_missing_client_auth: ca.allow_missing_client_auth,
        allow_weak: ca.allow_weak,
        max_depth: ca.max_depth,
        revocation: ca.revocation,
    }
}

/// The certificates of a PEM file; nothing may be damaged, cut off or of another kind.
fn certificates(pem: &[u8]) -> Result<Vec<X509>, &'static str> {
    let text = std::str::from_utf8(pem).map_err(
        |_| "the file is not text; it must hold certificates in PEM (convert DER with openssl x509 -inform der)",
    )?;
    let marks = |mark: &str| text.lines().filter(|line| line.starts_with(mark)).count();
    if text.contains("PRIVATE KEY-----") {
        return Err("the file holds a private key; remove it, and keep that key elsewhere");
    }
    let begins = marks("-----BEGIN ");
    if begins == 0 {
        return Err(
            "the file holds no certificate; write the authority's certificate in PEM into it",
        );
    }
    if begins != marks("-----BEGIN CERTIFICATE-----") {
        return Err(
            "the file holds something that is not a certificate; only CERTIFICATE blocks belong in it",
        );
    }
    if begins != marks("-----END CERTIFICATE-----") {
        return Err("the file is cut off or damaged; write it again as a whole");
    }
    match X509::stack_from_pem(pem) {
        Ok(found) if found.len() == begins => Ok(found),
        _ => {
            Err("a certificate in the file cannot be read; the file may be damaged, write it again")
        }
    }
}

fn anchor(x509: &X509) -> Result<Link, String> {
    let link = Link::read(x509).map_err(|unfit| unfit.detail)?;
    if !link.content.ca || link.content.may_issue == Some(false) {
        return Err(format!(
            "'{}' is not the certificate of an authority (CA:TRUE and, where there is a key usage, \
             keyCertSign); name the authority that issued it instead",
            link.content.facts.subject
        ));
    }
    Ok(link)
}

/// Whether the way from this anchor leads to a self-signed one within the same file.
fn has_root(anchor: &Link, all: &[Link]) -> bool {
    let mut at = anchor;
    for _ in 0..=all.len() {
        let signed_by = |issuer: &&Link| {
            issuer.content.subject == at.content.issuer
                && issuer
                    .x509
                    .public_key()
                    .is_ok_and(|key| at.x509.verify(&key).unwrap_or(false))
        };
        match all.iter().find(signed_by) {
            Some(issuer) if issuer.fingerprint == at.fingerprint => return true,
            Some(issuer) => at = issuer,
            None => return false,
        }
    }
    false
}
