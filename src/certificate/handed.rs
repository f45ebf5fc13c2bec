//! A certificate as the operator hands it over: in a file, or by its fingerprint.

use super::content::Content;
use super::{CertificateRecord, Facts, Fingerprint, Whole};
use crate::tls::error::ErrorStack;
use crate::tls::pkey::PKey;
use crate::tls::x509::X509;

/// A certificate that was named. Nothing of it is verified: that is done when it is presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// What it says of itself; unknown when only the fingerprint was named.
    pub facts: Option<Facts>,
    /// All of it, to be recorded; [`Self::forgetting_whole`] where no backend is told of it.
    pub whole: Option<Whole>,
    /// How many other certificates stand in the same file.
    pub others: usize,
}

/// Why what was handed over is not the certificate of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHanded {
    /// There is a private key in the file.
    #[error(
        "it holds a private key, which belongs to its client alone; \
         take it out, and replace it if it came from somebody else"
    )]
    PrivateKey,
    /// Neither PEM nor DER.
    #[error(
        "it holds no certificate that can be read; \
         write it as PEM (-----BEGIN CERTIFICATE-----) or DER"
    )]
    NoCertificate,
    /// Several, none of which is below all others.
    #[error(
        "it holds {0} certificates that are no chain of one client; \
         put each client's into a file of its own"
    )]
    Several(usize),
    /// The certificate of an authority.
    #[error(
        "it is the certificate of an authority, not of a client; \
         authorities are named in the configuration, under [[ca]]"
    )]
    Authority,
    /// A digest of another kind.
    #[error(
        "that is a SHA-1 fingerprint; name the SHA-256: \
         openssl x509 -noout -fingerprint -sha256 -in FILE; where only the SHA-1 is known: \
         keyferry certificate add --client ID --sha1 HEX"
    )]
    Sha1,
}

impl Handed {
    /// Reads the contents of a file: one certificate in PEM or DER, or a chain in PEM in any order,
    /// of which it takes the leaf.
    ///
    /// # Errors
    ///
    /// [`NotHanded`].
    pub fn read(file: &[u8]) -> Result<Self, NotHanded> {
        let leaf = leaf_of(file)?;
        Ok(Self {
            fingerprint: leaf.fingerprint,
            facts: Some(leaf.content.facts),
            whole: leaf.x509.to_der().ok().map(Whole::from),
            others: leaf.others,
        })
    }

    /// A certificate of which only this is known.
    #[must_use]
    pub const fn by(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            facts: None,
            whole: None,
            others: 0,
        }
    }

    /// The same, of which no more is recorded than what it says.
    #[must_use]
    pub fn forgetting_whole(self) -> Self {
        Self {
            whole: None,
            ..self
        }
    }

    /// A fingerprint as programs print it: hex digits in either case, with or without colons, and
    /// with or without a name before an equals sign. None when `text` is something else.
    ///
    /// # Errors
    ///
    /// [`NotHanded::Sha1`].
    pub fn named(text: &str) -> Result<Option<Self>, NotHanded> {
        let digits = text.rsplit_once('=').map_or(text, |(_, digits)| digits);
        let digits = digits.trim().replace(':', "").to_ascii_lowercase();
        if digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotHanded::Sha1);
        }
        Ok(digits.parse().ok().map(Self::by))
    }
}

impl From<&CertificateRecord> for Handed {
    /// A certificate that is known already.
    fn from(record: &CertificateRecord) -> Self {
        Self {
            fingerprint: record.fingerprint,
            facts: record.facts.clone(),
            whole: record.whole.clone(),
            others: 0,
        }
    }
}

/// The certificate of a client, out of what was handed over.
pub(super) struct Leaf {
    pub(super) fingerprint: Fingerprint,
    pub(super) content: Content,
    pub(super) x509: X509,
    /// How many other certificates stand beside it.
    pub(super) others: usize,
}

/// Reads the contents of a file, as [`Handed::read`] does.
pub(super) fn leaf_of(file: &[u8]) -> Result<Leaf, NotHanded> {
    let read = read(file);
    // What the library says of files that are none must not turn up elsewhere.
    let _ = ErrorStack::get();
    read
}

fn read(file: &[u8]) -> Result<Leaf, NotHanded> {
    let text = String::from_utf8_lossy(file);
    if text.contains("PRIVATE KEY-----") || PKey::private_key_from_der(file).is_ok() {
        return Err(NotHanded::PrivateKey);
    }
    let certificates = if text.contains("-----BEGIN") {
        X509::stack_from_pem(file).map_err(|_| NotHanded::NoCertificate)?
    } else {
        vec![X509::from_der(file).map_err(|_| NotHanded::NoCertificate)?]
    };
    let (mut read, count) = (Vec::new(), certificates.len());
    for certificate in certificates {
        let der = certificate.to_der().map_err(|_| NotHanded::NoCertificate)?;
        let content = Content::read(&der).map_err(|_| NotHanded::NoCertificate)?;
        read.push(Leaf {
            fingerprint: Fingerprint::of(&der),
            content,
            x509: certificate,
            others: count.saturating_sub(1),
        });
    }
    lowest(read)
}

/// The one certificate that issued none of the others.
fn lowest(certificates: Vec<Leaf>) -> Result<Leaf, NotHanded> {
    let count = certificates.len();
    let issuers: Vec<_> = certificates
        .iter()
        .map(|one| (one.fingerprint, one.content.issuer.clone()))
        .collect();
    let issued_another = |one: &Leaf| {
        let mut others = issuers
            .iter()
            .filter(|(other, _)| *other != one.fingerprint);
        others.any(|(_, issuer)| *issuer == one.content.subject)
    };
    let mut leaves = certificates.into_iter().filter(|one| !issued_another(one));
    match (leaves.next(), leaves.next()) {
        (Some(leaf), None) if leaf.content.ca => Err(NotHanded::Authority),
        (Some(leaf), None) => Ok(leaf),
        (None, _) if count == 0 => Err(NotHanded::NoCertificate),
        _ => Err(NotHanded::Several(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki;

    #[test]
    fn a_certificate_is_read_from_pem_and_der() {
        let issued = pki::leaf("alice").self_signed();
        let der = X509::from_pem(&issued.pem()).unwrap().to_der().unwrap();
        let handed = Handed::read(&issued.pem()).unwrap();
        assert_eq!(handed.fingerprint, Fingerprint::of(&der));
        assert_eq!(Handed::read(&der), Ok(handed.clone()));
        assert_eq!(handed.facts.unwrap().subject, "CN=alice");
    }

    #[test]
    fn the_leaf_of_a_chain_is_found_in_any_order() {
        let root = pki::root("root").self_signed();
        let below = pki::intermediate("below").signed_by(&root);
        let leaf = pki::leaf("alice").signed_by(&below);
        let alone = Handed::read(&leaf.pem()).unwrap();
        let in_chain = Handed { others: 2, ..alone };
        for order in [[&leaf, &below, &root], [&root, &below, &leaf]] {
            let file = order.map(pki::Issued::pem).concat();
            assert_eq!(Handed::read(&file), Ok(in_chain.clone()));
        }
        let file = [root.pem(), below.pem()].concat();
        assert_eq!(Handed::read(&file), Err(NotHanded::Authority));
        let bob = pki::leaf("bob").signed_by(&below);
        let file = [leaf.pem(), bob.pem(), below.pem()].concat();
        assert_eq!(Handed::read(&file), Err(NotHanded::Several(3)));
    }

    #[test]
    fn a_private_key_is_refused_in_every_form() {
        let issued = pki::leaf("alice").self_signed();
        let key = PKey::private_key_from_pem(&issued.key_pem()).unwrap();
        for file in [
            issued.key_pem(),
            [issued.pem(), issued.key_pem()].concat(),
            key.private_key_to_der().unwrap(),
        ] {
            assert_eq!(Handed::read(&file), Err(NotHanded::PrivateKey));
        }
    }

    #[test]
    fn a_file_of_something_else_is_no_certificate() {
        let pem = pki::leaf("alice").self_signed().pem();
        let cut = pem.get(..pem.len() / 2).unwrap();
        for file in [&b""[..], b"hello", b"-----BEGIN PUBLIC KEY-----\n", cut] {
            let text = String::from_utf8_lossy(file);
            assert_eq!(Handed::read(file), Err(NotHanded::NoCertificate), "{text}");
        }
    }

    #[test]
    fn a_fingerprint_is_taken_as_programs_print_it() {
        let fingerprint = Fingerprint::of(b"");
        let plain = fingerprint.to_string();
        let pairs: Vec<_> = plain
            .as_bytes()
            .chunks(2)
            .map(String::from_utf8_lossy)
            .collect();
        let colons = pairs.join(":").to_uppercase();
        for text in [&plain, &colons, &format!("sha256 Fingerprint={colons}")] {
            let named = Handed::named(text).unwrap().unwrap();
            assert_eq!((named.fingerprint, named.facts), (fingerprint, None));
        }
        assert_eq!(Handed::named("client.pem"), Ok(None));
        assert_eq!(Handed::named(&"ab".repeat(20)), Err(NotHanded::Sha1));
    }
}
