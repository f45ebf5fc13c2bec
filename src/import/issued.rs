//! The certificates that there are, by what proxies tell of them.

use std::collections::HashMap;

use super::{Told, Why};
use crate::certificate::{Alias, CertificateRecord, Facts, Fingerprint, Handed};
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

    /// Takes in a certificate that the store knows as issued by the authority `ca`. Of one that it does
    /// not have whole, a subject counts that every proxy writes in the same way.
    pub fn take_known(&mut self, record: &CertificateRecord, ca: &str) {
        let Some(facts) = record.facts.as_ref() else {
            return;
        };
        if record.ca.as_deref() != Some(ca) {
            return;
        }
        if record.whole.is_some() {
            return self.take(Handed::from(record));
        }
        let place = self.certificates.len();
        for (told, text) in told_by(facts) {
            let text = told.normal(&text).into_bytes();
            self.by.entry((told, text)).or_default().push(place);
        }
        self.certificates.push(Handed::from(record));
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

/// What every proxy tells of a certificate with these facts.
fn told_by(facts: &Facts) -> Vec<(Told, String)> {
    let mut told = vec![(Told::Serial, facts.serial.clone())];
    let subject = &facts.subject;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b" .,=_@:-".contains(&b);
    let parts: Vec<_> = subject.split(',').collect();
    let is_pair = |part: &&str| part.matches('=').count() == 1;
    if !subject.bytes().all(is_plain) || !parts.iter().all(is_pair) {
        return told;
    }
    let in_one_line: String = parts.iter().rev().flat_map(|part| ["/", part]).collect();
    let names: Vec<_> = parts
        .iter()
        .filter_map(|part| part.strip_prefix("CN="))
        .collect();
    if let [name] = names[..] {
        told.push((Told::CommonName, name.to_owned()));
    }
    for form in [Told::Subject, Told::SubjectOfApache] {
        told.push((form, subject.clone()));
    }
    for form in [Told::SubjectInOneLine, Told::SubjectOfHaproxy] {
        told.push((form, in_one_line.clone()));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Mapping, Source};
    use crate::pki;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn pending(issued: &pki::Issued, ca: &str) -> CertificateRecord {
        let handed = Handed::read(&issued.pem()).unwrap();
        CertificateRecord {
            ca: Some(ca.to_owned()),
            facts: handed.facts,
            ..CertificateRecord::new(
                handed.fingerprint,
                Mapping::Pending,
                Source::FirstSight,
                NOW,
            )
        }
    }

    /// What is known of a certificate tells the same as the certificate itself.
    #[test]
    fn what_is_told_by_facts_is_told_by_the_certificate() {
        for spec in [
            pki::leaf("acme"),
            pki::leaf("acme")
                .entry("2.5.4.10", 12, b"Acme")
                .entry("2.5.4.6", 19, b"DE"),
            pki::leaf("acme").joined("2.5.4.10", 12, b"Acme"),
            pki::leaf("acme").entry("2.5.4.3", 12, b"acme2"),
            pki::leaf("a,c=m/e+").entry("2.5.4.10", 12, "Ä".as_bytes()),
            pki::leaf("acme").entry("1.2.840.113549.1.9.1", 22, b"a@b.c"),
            pki::leaf("acme").entry("0.9.2342.19200300.100.1.25", 22, b"example"),
        ] {
            let one = spec.self_signed();
            let (mut whole, mut known) = (Issued::new(NOW), Issued::new(NOW));
            whole.take(Handed::read(&one.pem()).unwrap());
            known.take_known(&pending(&one, "clients"), "clients");
            for told in known.by.keys() {
                assert!(
                    whole.by.contains_key(told),
                    "{told:?} {:?}",
                    whole.by.keys()
                );
            }
        }
    }

    #[test]
    fn c9_what_another_authority_issued_is_not_looked_at() {
        let one = pki::leaf("acme").self_signed();
        let mut issued = Issued::new(NOW);
        issued.take_known(&pending(&one, "others"), "clients");
        assert!(issued.is_empty());
        issued.take_known(&pending(&one, "clients"), "clients");
        let found = issued.find(Told::Subject, "CN=acme").unwrap();
        assert_eq!(found.len(), 1);
        assert!(issued.find(Told::SubjectOfHaproxy, "/CN=acme").is_ok());
        assert_eq!(
            issued.find(Told::CommonName, "b"),
            Err(Why::NotIssued(Told::CommonName))
        );
    }
}
