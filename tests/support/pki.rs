//! Builds certificates at run time, good ones and every evil one.
//!
//! Use it with `#[path = "../../tests/support/pki.rs"] mod pki;`. A certificate is described by
//! [`Spec`] and signed by [`Spec::signed_by`] or [`Spec::self_signed`]; what is not said is what
//! a careful certificate authority would do.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "a fixture: each test uses a part of it, and a failure in it is a failed test"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use keyferry::tls::ec::{EcGroup, EcKey};
use keyferry::tls::hash::{MessageDigest, hash};
use keyferry::tls::nid::Nid;
use keyferry::tls::pkey::{Id, PKey, Private};
use keyferry::tls::rsa::Rsa;
use keyferry::tls::sign::Signer;
use keyferry::tls::x509::X509;

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa(u32),
    /// An RSA public key of so many bits with so large an exponent that checking with it is slow.
    /// Its private half is that of another key: it can be certified but not used.
    RsaHugeExponent(u32),
}

/// A certificate with its key and the certificates between it and the root.
#[derive(Clone)]
pub struct Issued {
    pub x509: X509,
    pub key: PKey<Private>,
    /// Nearest issuer first; the root is not among them.
    pub intermediates: Vec<X509>,
    self_signed: bool,
}

/// How a certificate shall be.
#[derive(Clone)]
pub struct Spec {
    subject: Vec<Vec<Entry>>,
    issuer: Option<Vec<u8>>,
    kind: Kind,
    key: Option<PKey<Private>>,
    public: Option<Vec<u8>>,
    digest: MessageDigest,
    from: i64,
    until: i64,
    serial: Vec<u8>,
    ca: Option<bool>,
    ca_critical: bool,
    path_len: Option<u32>,
    key_usage: Option<Vec<&'static str>>,
    purposes: Option<Vec<&'static str>>,
    names: Vec<String>,
    skid: Option<Vec<u8>>,
    key_ids: bool,
    raw: Vec<(String, bool, Vec<u8>)>,
}

#[derive(Clone)]
struct Entry {
    oid: String,
    tag: u8,
    value: Vec<u8>,
}

/// The certificate of an authority that signs itself.
pub fn root(name: &str) -> Spec {
    Spec::new(name)
        .ca(true)
        .key_usage(&["keyCertSign", "cRLSign"])
}

/// The certificate of an authority below another one.
pub fn intermediate(name: &str) -> Spec {
    root(name)
}

/// The certificate of a client.
pub fn leaf(name: &str) -> Spec {
    Spec::new(name)
        .ca(false)
        .key_usage(&["digitalSignature"])
        .purposes(&["clientAuth"])
}

/// The certificate of a server.
pub fn server(name: &str) -> Spec {
    leaf(name).purposes(&["serverAuth"]).names(&[name])
}

/// What the system's clock says.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64
}

/// How long it took to do this.
pub fn elapsed<T>(job: impl FnOnce() -> T) -> Duration {
    let before = Instant::now();
    job();
    before.elapsed()
}

impl Spec {
    pub fn new(name: &str) -> Self {
        let mut serial = vec![0; 16];
        getrandom::fill(&mut serial).unwrap();
        serial[0] &= 0x7f;
        serial[0] |= 0x40;
        let spec = Self {
            subject: Vec::new(),
            issuer: None,
            kind: Kind::P256,
            key: None,
            public: None,
            digest: MessageDigest::sha256(),
            from: now() - 3600,
            until: now() + 86400,
            serial,
            ca: None,
            ca_critical: true,
            path_len: None,
            key_usage: None,
            purposes: None,
            names: Vec::new(),
            skid: None,
            key_ids: true,
            raw: Vec::new(),
        };
        spec.entry("2.5.4.3", 0x0c, name.as_bytes())
    }

    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Uses this key instead of a new one.
    pub fn key(mut self, key: &PKey<Private>) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Certifies this subject public key info instead of its key's own.
    pub fn public(mut self, public: &[u8]) -> Self {
        self.public = Some(public.to_vec());
        self
    }

    /// The digest it is signed with: `MessageDigest::md5()`, `sha1()` …
    pub fn digest(mut self, digest: MessageDigest) -> Self {
        self.digest = digest;
        self
    }

    /// Valid from and until, in seconds from now.
    pub fn dates(self, from: i64, until: i64) -> Self {
        let now = now();
        self.dates_unix(now + from, now + until)
    }

    /// Valid from and until, in seconds since 1970.
    pub fn dates_unix(mut self, from: i64, until: i64) -> Self {
        self.from = from;
        self.until = until;
        self
    }

    pub fn serial(mut self, serial: &[u8]) -> Self {
        self.serial = serial.to_vec();
        self
    }

    /// Basic constraints: an authority or not; `root`, `intermediate` and `leaf` set them.
    pub fn ca(mut self, ca: bool) -> Self {
        self.ca = Some(ca);
        self
    }

    pub fn ca_not_critical(mut self) -> Self {
        self.ca_critical = false;
        self
    }

    pub fn no_basic_constraints(mut self) -> Self {
        self.ca = None;
        self
    }

    pub fn path_len(mut self, path_len: u32) -> Self {
        self.path_len = Some(path_len);
        self
    }

    /// Names as OpenSSL writes them: `digitalSignature`, `keyEncipherment`, `keyCertSign` …
    pub fn key_usage(mut self, usage: &[&'static str]) -> Self {
        self.key_usage = Some(usage.to_vec());
        self
    }

    pub fn no_key_usage(mut self) -> Self {
        self.key_usage = None;
        self
    }

    /// Names as OpenSSL writes them: `clientAuth`, `serverAuth`, `anyExtendedKeyUsage`, or OIDs.
    pub fn purposes(mut self, purposes: &[&'static str]) -> Self {
        self.purposes = Some(purposes.to_vec());
        self
    }

    pub fn no_purposes(mut self) -> Self {
        self.purposes = None;
        self
    }

    /// DNS names, or IP addresses where they are some.
    pub fn names(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// A subject key identifier of one's choice.
    pub fn skid(mut self, skid: &[u8]) -> Self {
        self.skid = Some(skid.to_vec());
        self
    }

    /// Neither a subject nor an authority key identifier.
    pub fn no_key_ids(mut self) -> Self {
        self.key_ids = false;
        self
    }

    /// Any other extension, by its OID, with its value in DER.
    pub fn extension(mut self, oid: &str, critical: bool, value: &[u8]) -> Self {
        self.raw.push((oid.to_owned(), critical, value.to_vec()));
        self
    }

    /// Forgets the subject, so that [`entry`](Self::entry) begins a new one.
    pub fn empty_subject(mut self) -> Self {
        self.subject.clear();
        self
    }

    /// One more part of the subject, with its ASN.1 string type and its raw bytes.
    pub fn entry(mut self, oid: &str, tag: u8, value: &[u8]) -> Self {
        self.subject.push(vec![Entry {
            oid: oid.to_owned(),
            tag,
            value: value.to_vec(),
        }]);
        self
    }

    /// Like [`entry`](Self::entry), joined with the part before it (a multi-valued RDN).
    pub fn joined(mut self, oid: &str, tag: u8, value: &[u8]) -> Self {
        self.subject.last_mut().unwrap().push(Entry {
            oid: oid.to_owned(),
            tag,
            value: value.to_vec(),
        });
        self
    }

    /// Names another issuer than the one that signs.
    pub fn issuer_of(mut self, other: &X509) -> Self {
        self.issuer = Some(other.issuer_name().to_der().unwrap());
        self
    }

    /// Signs itself.
    pub fn self_signed(self) -> Issued {
        let key = self.make_key();
        let (subject, public) = (self.subject_der(), self.public_key(&key));
        let x509 = self.build(&public, &subject, &key, &self.skid_of(&public));
        Issued {
            x509,
            key,
            intermediates: Vec::new(),
            self_signed: true,
        }
    }

    /// Signed by `issuer`.
    pub fn signed_by(self, issuer: &Issued) -> Issued {
        let key = self.make_key();
        let name = issuer.x509.subject_name().to_der().unwrap();
        let akid = match issuer.x509.subject_key_id() {
            Some(id) => id.as_slice().to_vec(),
            None => Vec::new(),
        };
        let x509 = self.build(&self.public_key(&key), &name, &issuer.key, &akid);
        let mut intermediates = Vec::new();
        if !issuer.self_signed {
            intermediates.push(issuer.x509.clone());
            intermediates.extend(issuer.intermediates.iter().cloned());
        }
        Issued {
            x509,
            key,
            intermediates,
            self_signed: false,
        }
    }

    fn make_key(&self) -> PKey<Private> {
        self.key.clone().unwrap_or_else(|| new_key(self.kind))
    }

    /// The subject public key info.
    fn public_key(&self, key: &PKey<Private>) -> Vec<u8> {
        if let Some(public) = &self.public {
            return public.clone();
        }
        let Kind::RsaHugeExponent(bits) = self.kind else {
            return key.public_key_to_der().unwrap();
        };
        let odd = |bits: u32, first: u8| {
            let mut number = vec![0; bits as usize / 8];
            getrandom::fill(&mut number).unwrap();
            number[0] |= first;
            *number.last_mut().unwrap() |= 1;
            number
        };
        let mut exponent = odd(bits, 0x40);
        exponent[0] &= 0x7f;
        let numbers = [integer(&odd(bits, 0xc0)), integer(&exponent)].concat();
        let bits = tlv(0x03, &[vec![0], tlv(0x30, &numbers)].concat());
        tlv(
            0x30,
            &[algorithm("1.2.840.113549.1.1.1", &[5, 0]), bits].concat(),
        )
    }

    fn skid_of(&self, public: &[u8]) -> Vec<u8> {
        self.skid
            .clone()
            .unwrap_or_else(|| hash(MessageDigest::sha256(), public).unwrap()[..20].to_vec())
    }

    fn subject_der(&self) -> Vec<u8> {
        let rdns = self.subject.iter().map(|rdn| {
            let mut entries: Vec<_> = rdn
                .iter()
                .map(|entry| {
                    let oid = oid_der(&entry.oid);
                    tlv(0x30, &[oid, tlv(entry.tag, &entry.value)].concat())
                })
                .collect();
            entries.sort();
            tlv(0x31, &entries.concat())
        });
        tlv(0x30, &rdns.collect::<Vec<_>>().concat())
    }

    fn build(&self, public: &[u8], issuer: &[u8], signer: &PKey<Private>, akid: &[u8]) -> X509 {
        let algorithm = signed_with(signer, self.digest);
        let dates = [time(self.from), time(self.until)].concat();
        let extensions = self.extensions(public, akid);
        let extensions: Vec<_> = extensions
            .into_iter()
            .map(|(oid, critical, value)| {
                let critical = if critical {
                    tlv(0x01, &[0xff])
                } else {
                    Vec::new()
                };
                tlv(0x30, &[oid_der(&oid), critical, tlv(0x04, &value)].concat())
            })
            .collect();
        let mut tbs = [
            tlv(0xa0, &tlv(0x02, &[2])),
            integer(&self.serial),
            algorithm.clone(),
            self.issuer.as_deref().unwrap_or(issuer).to_vec(),
            tlv(0x30, &dates),
            self.subject_der(),
            public.to_vec(),
        ]
        .concat();
        if !extensions.is_empty() {
            tbs.extend(tlv(0xa3, &tlv(0x30, &extensions.concat())));
        }
        let tbs = tlv(0x30, &tbs);
        let bits = [vec![0], sign(signer, self.digest, &tbs)].concat();
        let der = tlv(0x30, &[tbs, algorithm, tlv(0x03, &bits)].concat());
        X509::from_der(&der).unwrap()
    }

    fn extensions(&self, public: &[u8], akid: &[u8]) -> Vec<(String, bool, Vec<u8>)> {
        let mut list = Vec::new();
        if let Some(ca) = self.ca {
            let mut value = Vec::new();
            if ca {
                value.extend(tlv(0x01, &[0xff]));
            }
            if let Some(path_len) = self.path_len {
                value.extend(tlv(0x02, &[path_len as u8]));
            }
            list.push(("2.5.29.19".into(), self.ca_critical, tlv(0x30, &value)));
        }
        if let Some(usage) = &self.key_usage {
            list.push(("2.5.29.15".into(), true, key_usage_der(usage)));
        }
        if let Some(purposes) = &self.purposes {
            let oids: Vec<_> = purposes.iter().map(|name| purpose_der(name)).collect();
            list.push(("2.5.29.37".into(), false, tlv(0x30, &oids.concat())));
        }
        if !self.names.is_empty() {
            let names = self.names.iter().map(|name| match name.parse() {
                Ok(std::net::IpAddr::V4(ip)) => tlv(0x87, &ip.octets()),
                Ok(std::net::IpAddr::V6(ip)) => tlv(0x87, &ip.octets()),
                Err(_) => tlv(0x82, name.as_bytes()),
            });
            let value = tlv(0x30, &names.collect::<Vec<_>>().concat());
            list.push(("2.5.29.17".into(), false, value));
        }
        if self.key_ids {
            let skid = tlv(0x04, &self.skid_of(public));
            list.push(("2.5.29.14".into(), false, skid));
            if !akid.is_empty() {
                let value = tlv(0x30, &tlv(0x80, akid));
                list.push(("2.5.29.35".into(), false, value));
            }
        }
        list.extend(self.raw.iter().cloned());
        list
    }
}

impl Issued {
    pub fn pem(&self) -> Vec<u8> {
        self.x509.to_pem().unwrap()
    }

    /// The certificate and its intermediates, leaf first.
    pub fn chain_pem(&self) -> Vec<u8> {
        let mut pem = self.pem();
        for x509 in &self.intermediates {
            pem.extend(x509.to_pem().unwrap());
        }
        pem
    }

    pub fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    /// The same certificate with these intermediates instead.
    pub fn with(mut self, intermediates: &[&X509]) -> Self {
        self.intermediates = intermediates.iter().map(|x509| (*x509).clone()).collect();
        self
    }

    /// The same certificate with other bytes in place of those in what is signed, and signed again
    /// by `issuer`, whose key must be ECDSA: for what no builder lets pass.
    pub fn altered(mut self, issuer: &Self, from: &[u8], to: &[u8]) -> Self {
        self.x509 = X509::from_der(&self.altered_der(issuer, from, to)).unwrap();
        self
    }

    /// The same in DER, for what no library reads.
    pub fn altered_der(&self, issuer: &Self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let der = self.x509.to_der().unwrap();
        let (whole, _) = first_value(&der);
        let (tbs, rest) = first_value(whole);
        let algorithm = &rest[..rest.len() - first_value(rest).1.len()];
        let at = tbs.windows(from.len()).position(|bytes| bytes == from);
        let (before, after) = tbs.split_at(at.unwrap());
        let tbs = tlv(0x30, &[before, to, &after[from.len()..]].concat());
        let signature = sign(&issuer.key, MessageDigest::sha256(), &tbs);
        let bits = tlv(0x03, &[vec![0], signature].concat());
        tlv(0x30, &[&tbs, algorithm, &bits].concat())
    }

    /// Writes `<name>.pem` (with the intermediates) and `<name>.key` into `dir`.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (pem, key) = (
            dir.join(format!("{name}.pem")),
            dir.join(format!("{name}.key")),
        );
        std::fs::write(&pem, self.chain_pem()).unwrap();
        std::fs::write(&key, self.key_pem()).unwrap();
        (pem, key)
    }
}

/// A new key.
pub fn new_key(kind: Kind) -> PKey<Private> {
    let ec = |nid| {
        let group = EcGroup::from_curve_name(nid).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    };
    match kind {
        Kind::P256 => ec(Nid::X9_62_PRIME256V1),
        Kind::P384 => ec(Nid::SECP384R1),
        Kind::Ed25519 => {
            // The one way that all libraries have (RFC 8410 section 7).
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).unwrap();
            let seed = tlv(0x04, &tlv(0x04, &seed));
            let fields = [tlv(0x02, &[0]), algorithm("1.3.101.112", &[]), seed].concat();
            PKey::private_key_from_der(&tlv(0x30, &fields)).unwrap()
        }
        Kind::Rsa(bits) => PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap(),
        Kind::RsaHugeExponent(_) => new_key(Kind::Rsa(2048)),
    }
}

fn sign(key: &PKey<Private>, digest: MessageDigest, bytes: &[u8]) -> Vec<u8> {
    let signer = if key.id() == Id::ED25519 {
        Signer::new_without_digest(key)
    } else {
        Signer::new(digest, key)
    };
    signer.unwrap().sign_oneshot_to_vec(bytes).unwrap()
}

/// The algorithm of a signature with this key (RFC 3279, 4055, 5758 and 8410).
fn signed_with(key: &PKey<Private>, digest: MessageDigest) -> Vec<u8> {
    let last = |known: &[(Nid, u8)]| known.iter().find(|one| one.0 == digest.type_()).unwrap().1;
    match key.id() {
        Id::ED25519 => algorithm("1.3.101.112", &[]),
        Id::EC if digest.type_() == Nid::SHA1 => algorithm("1.2.840.10045.4.1", &[]),
        Id::EC => {
            let known = [
                (Nid::SHA224, 1),
                (Nid::SHA256, 2),
                (Nid::SHA384, 3),
                (Nid::SHA512, 4),
            ];
            algorithm(&format!("1.2.840.10045.4.3.{}", last(&known)), &[])
        }
        _ => {
            let known = [
                (Nid::MD5, 4),
                (Nid::SHA1, 5),
                (Nid::SHA256, 11),
                (Nid::SHA384, 12),
                (Nid::SHA512, 13),
                (Nid::SHA224, 14),
            ];
            algorithm(&format!("1.2.840.113549.1.1.{}", last(&known)), &[5, 0])
        }
    }
}

/// `AlgorithmIdentifier`.
fn algorithm(dotted: &str, parameters: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&oid_der(dotted), parameters].concat())
}

/// A number that is not negative, in its shortest form.
fn integer(digits: &[u8]) -> Vec<u8> {
    let digits = digits.iter().copied().skip_while(|digit| *digit == 0);
    let mut content: Vec<u8> = digits.collect();
    if content.first().is_none_or(|first| first & 0x80 != 0) {
        content.insert(0, 0);
    }
    tlv(0x02, &content)
}

/// A date, in the form that RFC 5280 section 4.1.2.5 has for its year.
fn time(unix: i64) -> Vec<u8> {
    let begin = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
    let moment = begin + jiff::SignedDuration::from_secs(unix);
    let text = moment.strftime("%Y%m%d%H%M%SZ").to_string();
    if "1950" < text.as_str() && text.as_str() < "2050" {
        tlv(0x17, text.split_at(2).1.as_bytes())
    } else {
        tlv(0x18, text.as_bytes())
    }
}

/// One DER value.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match content.len() {
        short @ 0..=0x7f => der.push(short as u8),
        mid @ 0x80..=0xff => der.extend([0x81, mid as u8]),
        long @ 0x100..=0xffff => der.extend([0x82, (long >> 8) as u8, long as u8]),
        huge @ 0x1_0000..=0xff_ffff => {
            der.extend([0x83, (huge >> 16) as u8, (huge >> 8) as u8, huge as u8]);
        }
        outsized => {
            der.push(0x84);
            der.extend((outsized as u32).to_be_bytes());
        }
    }
    der.extend(content);
    der
}

/// The content of the first value, and what follows the value.
fn first_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match usize::from(der[1]) {
        short @ 0..=0x7f => (2, short),
        long => {
            let start = 2 + (long & 0x7f);
            let octets = &der[2..start];
            (
                start,
                octets.iter().fold(0, |sum, &b| sum << 8 | usize::from(b)),
            )
        }
    };
    der[start..].split_at(length)
}

/// An object identifier in DER.
pub fn oid_der(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut content = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for &arc in &arcs[2..] {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        content.extend(groups.iter().rev());
    }
    tlv(0x06, &content)
}

fn key_usage_der(usage: &[&str]) -> Vec<u8> {
    const NAMES: [&str; 8] = [
        "digitalSignature",
        "nonRepudiation",
        "keyEncipherment",
        "dataEncipherment",
        "keyAgreement",
        "keyCertSign",
        "cRLSign",
        "encipherOnly",
    ];
    let mut bits = 0_u8;
    for name in usage {
        let bit = NAMES.iter().position(|known| known == name).unwrap();
        bits |= 0x80 >> bit;
    }
    let unused = if bits == 0 {
        0
    } else {
        bits.trailing_zeros() as u8
    };
    if bits == 0 {
        return tlv(0x03, &[0]);
    }
    tlv(0x03, &[unused, bits])
}

fn purpose_der(name: &str) -> Vec<u8> {
    oid_der(match name {
        "serverAuth" => "1.3.6.1.5.5.7.3.1",
        "clientAuth" => "1.3.6.1.5.5.7.3.2",
        "codeSigning" => "1.3.6.1.5.5.7.3.3",
        "emailProtection" => "1.3.6.1.5.5.7.3.4",
        "anyExtendedKeyUsage" => "2.5.29.37.0",
        oid => oid,
    })
}
