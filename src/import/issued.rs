//! The certificates that there are, by what proxies tell of them.

use std::collections::HashMap;

use super::{Told, Why};
use crate::certificate::{Alias, Fingerprint, Handed};
use crate::clock::Timestamp;
use crate::masquerade::{Certificate, Value};

/// Certificates that the operator named, to look up subjects, common names and serial numbers in.
#[derive(Debug)]
pub struct Issued {
    now: Timestamp,
    /// How each proxy tells.
    values: Vec<(Told, Value)>,
    certificates: Vec<Handed>,
    by: HashMap<(Told, Vec<u8>), Vec<usize>>,
    by_sha1: HashMap<Alias, usize>,
}

impl Issued {
    /// None yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let value = |told: Told| Some((told, told.as_value().parse().ok()?));
        Self {
            now,
            values: Told::ALL.into_iter().filter_map(value).collect(),
            certificates: Vec::new(),
            by: HashMap::new(),
            by_sha1: HashMap::new(),
        }
    }

    /// Takes in a certificate.
    pub fn take(&mut self, handed: Handed) {
        let place = self.certificates.len();
        let whole = handed.whole.as_ref();
        let certificate = whole.and_then(|whole| Certificate::read(whole.as_der()).ok());
        let Some(certificate) = certificate else {
            return;
        };
        for (told, value) in &self.values {
            if let Some(text) = value.told_of(&certificate, self.now) {
                let text = match String::from_utf8(text) {
                    Ok(text) => told.normal(&text).into_bytes(),
                    Err(error) => error.into_bytes(),
                };
                self.by.entry((*told, text)).or_default().push(place);
            }
        }
        if let Some(sha1) = whole.and_then(|whole| Alias::sha1_of(whole.as_der())) {
            self.by_sha1.insert(sha1, place);
        }
        self.certificates.push(handed);
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The certificate with this SHA-1.
    pub(super) fn by_sha1(&self, sha1: &Alias) -> Option<&Handed> {
        self.certificates.get(*self.by_sha1.get(sha1)?)
    }

    /// The certificates of which this is told: those that have not ended, or else the one that ended
    /// last. Two of the same name are one client's only if one issuer says so.
    pub(super) fn find(&self, told: Told, text: &str) -> Result<Vec<&Handed>, Why> {
        if self.is_empty() {
            return Err(Why::Described(told));
        }
        let key = (told, told.normal(text).into_bytes());
        let places = self.by.get(&key).ok_or(Why::NotIssued(told))?;
        let mut found: Vec<_> = places
            .iter()
            .filter_map(|place| self.certificates.get(*place))
            .collect();
        let issuer = |handed: &Handed| handed.facts.as_ref().map(|facts| facts.issuer.clone());
        let mut issuers = found.iter().map(|handed| issuer(handed));
        let first = issuers.next();
        if issuers.any(|issuer| Some(issuer) != first) {
            return Err(Why::SeveralIssuers(told));
        }
        let ends = |handed: &Handed| handed.facts.as_ref().map(|facts| facts.not_after);
        found.sort_by_key(|handed| (ends(handed), handed.fingerprint));
        found.dedup_by_key(|handed: &mut &Handed| -> Fingerprint { handed.fingerprint });
        let ended = found
            .iter()
            .filter(|handed| ends(handed) <= Some(self.now))
            .count();
        Ok(found.split_off(ended.min(found.len().saturating_sub(1))))
    }
}
