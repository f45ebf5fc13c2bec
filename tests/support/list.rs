//! Builds revocation lists at run time, good ones and evil ones.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::allow_attributes,
    reason = "a fixture: each test uses a part of it, and a failure in it is a failed test"
)]

use keyferry::tls::hash::MessageDigest;
use keyferry::tls::sign::Signer;

use super::pki::{Issued, now, tlv};

/// ECDSA with SHA-256.
const ECDSA: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// A revocation list as it shall be. Times are in seconds from now.
pub struct List<'a> {
    issuer: &'a Issued,
    signer: &'a Issued,
    revoked: Vec<Entry>,
    from: i64,
    until: Option<i64>,
    extensions: Vec<Vec<u8>>,
}

#[derive(Clone)]
struct Entry {
    serial: Vec<u8>,
    at: i64,
    extensions: Vec<Vec<u8>>,
}

/// The list of `issuer`, current and signed by itself, with these certificates on it.
pub fn list<'a>(issuer: &'a Issued, revoked: &[&Issued]) -> List<'a> {
    let list = List {
        issuer,
        signer: issuer,
        revoked: Vec::new(),
        from: -1000,
        until: Some(1000),
        extensions: Vec::new(),
    };
    list.revoke(revoked.iter().map(|one| serial(one)))
}

impl<'a> List<'a> {
    pub fn dates(self, from: i64, until: Option<i64>) -> Self {
        Self {
            from,
            until,
            ..self
        }
    }

    pub fn signed_by(self, signer: &'a Issued) -> Self {
        Self { signer, ..self }
    }

    /// More entries, for these serial numbers.
    pub fn revoke(mut self, serials: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.revoked.extend(serials.into_iter().map(|serial| Entry {
            serial,
            at: -500,
            extensions: Vec::new(),
        }));
        self
    }

    /// When everything on it was revoked.
    pub fn at(mut self, at: i64) -> Self {
        self.revoked.iter_mut().for_each(|one| one.at = at);
        self
    }

    pub fn because(self, reason: u8) -> Self {
        self.of_each(&because(reason))
    }

    /// An extension of every entry.
    pub fn of_each(mut self, extension: &[u8]) -> Self {
        for one in &mut self.revoked {
            one.extensions.push(extension.to_vec());
        }
        self
    }

    /// One entry for every reason, all about the same certificate.
    pub fn each(mut self, client: &Issued, reasons: &[u8]) -> Self {
        self.revoked.extend(reasons.iter().map(|reason| Entry {
            serial: serial(client),
            at: -500,
            extensions: vec![because(*reason)],
        }));
        self
    }

    pub fn extension(mut self, oid: &[u8], critical: bool, value: &[u8]) -> Self {
        self.extensions.push(extension(oid, critical, value));
        self
    }

    /// A number, and of a delta that of its base.
    pub fn number(self, number: u8, base: Option<u8>) -> Self {
        let own = self.extension(&[0x55, 0x1d, 20], false, &[2, 1, number]);
        match base {
            Some(base) => own.extension(&[0x55, 0x1d, 27], true, &[2, 1, base]),
            None => own,
        }
    }

    pub fn der(&self) -> Vec<u8> {
        let name = self.issuer.x509.subject_name().to_der().unwrap();
        let entries: Vec<_> = self.revoked.iter().map(Entry::der).collect();
        let mut tbs = [&[2, 1, 1][..], ECDSA, &name, &time(self.from)].concat();
        tbs.extend(self.until.map(time).unwrap_or_default());
        if !entries.is_empty() {
            tbs.extend(tlv(0x30, &entries.concat()));
        }
        if !self.extensions.is_empty() {
            tbs.extend(tlv(0xa0, &tlv(0x30, &self.extensions.concat())));
        }
        let tbs = tlv(0x30, &tbs);
        let mut signer = Signer::new(MessageDigest::sha256(), &self.signer.key).unwrap();
        let signature = signer.sign_oneshot_to_vec(&tbs).unwrap();
        let bits = tlv(3, &[vec![0], signature].concat());
        tlv(0x30, &[tbs, ECDSA.to_vec(), bits].concat())
    }
}

impl Entry {
    fn der(&self) -> Vec<u8> {
        let mut fields = [tlv(2, &self.serial), time(self.at)].concat();
        if !self.extensions.is_empty() {
            fields.extend(tlv(0x30, &self.extensions.concat()));
        }
        tlv(0x30, &fields)
    }
}

/// One extension, of a list or of an entry.
pub fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical {
        vec![1, 1, 0xff]
    } else {
        Vec::new()
    };
    tlv(0x30, &[tlv(6, oid), critical, tlv(4, value)].concat())
}

fn because(reason: u8) -> Vec<u8> {
    extension(&[0x55, 0x1d, 21], false, &[10, 1, reason])
}

fn serial(one: &Issued) -> Vec<u8> {
    one.x509.serial_number().to_bn().unwrap().to_vec()
}

fn time(offset: i64) -> Vec<u8> {
    let moment = jiff::Timestamp::from_second(now() + offset).unwrap();
    let text = moment.strftime("%Y%m%d%H%M%SZ").to_string();
    tlv(0x18, text.as_bytes())
}
