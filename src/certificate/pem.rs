//! Files that hold certificates or revocation lists, in PEM (RFC 7468) or DER.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::tls::error::ErrorStack;
use crate::tls::pkey::PKey;
use crate::tls::x509::X509;

const CERTIFICATE: &str = "CERTIFICATE";
pub(super) const CRL: &str = "X509 CRL";
pub(super) const LISTS: &str = "revocation lists";

/// Why a file cannot be used. Nothing of what a private key says is ever repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// A private key, in any form that can be told.
    #[error(
        "it holds a private key, which belongs to its client alone and is never needed here; \
         name a file with nothing but certificates"
    )]
    PrivateKey,
    /// PEM blocks of another kind.
    #[error("it holds a '{0}'; only {1} can be read here")]
    Other(String, &'static str),
    /// A block without its end, or with something that is not base64.
    #[error("it is cut off or damaged; write it again as a whole")]
    Damaged,
    /// Neither PEM nor DER.
    #[error("it holds no {0} that can be read; write it as PEM (-----BEGIN {1}-----) or DER")]
    Nothing(&'static str, &'static str),
}

/// One certificate or list of a file, in DER.
pub(super) struct Block {
    pub(super) is_certificate: bool,
    pub(super) der: Vec<u8>,
}

/// The certificates of a file, each in DER and exactly as it stands there, in their order. Whether
/// they are good is for [`super::Verifier`] to say.
///
/// # Errors
///
/// [`NotUsable`].
pub fn certificates(file: &[u8]) -> Result<Vec<Vec<u8>>, NotUsable> {
    let what = "certificates";
    let found = blocks(file, &[CERTIFICATE], what)?;
    let found = if found.is_empty() {
        vec![whole(file)?]
    } else {
        found.into_iter().map(|block| block.der).collect()
    };
    let readable = found.iter().all(|der| X509::from_der(der).is_ok());
    // What the library says of files that are none must not turn up elsewhere.
    let _ = ErrorStack::get();
    readable
        .then_some(found)
        .ok_or(NotUsable::Nothing(what, CERTIFICATE))
}

/// The revocation lists of a file, at least one, and the certificates that are there as well.
/// Whether they can be read is for whoever reads them to say.
///
/// # Errors
///
/// [`NotUsable`].
pub(super) fn lists_and_certificates(file: &[u8]) -> Result<Vec<Block>, NotUsable> {
    let found = blocks(file, &[CRL, CERTIFICATE], LISTS)?;
    if found.is_empty() {
        let der = whole(file)?;
        return Ok(vec![Block {
            is_certificate: false,
            der,
        }]);
    }
    if found.iter().all(|block| block.is_certificate) {
        return Err(NotUsable::Other(CERTIFICATE.to_owned(), LISTS));
    }
    Ok(found)
}

/// A file that is not PEM, and no private key.
fn whole(file: &[u8]) -> Result<Vec<u8>, NotUsable> {
    let key = PKey::private_key_from_der(file);
    let _ = ErrorStack::get();
    match key {
        Ok(_) => Err(NotUsable::PrivateKey),
        Err(_) => Ok(file.to_vec()),
    }
}

/// The blocks of a PEM file, all of which have one of these labels; none when it is not PEM.
fn blocks(file: &[u8], labels: &[&str], what: &'static str) -> Result<Vec<Block>, NotUsable> {
    let text = String::from_utf8_lossy(file);
    if text.contains("PRIVATE KEY-----") {
        return Err(NotUsable::PrivateKey);
    }
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(begun) = line.strip_prefix("-----BEGIN ") else {
            continue;
        };
        let begun = begun.strip_suffix("-----").ok_or(NotUsable::Damaged)?;
        if !labels.contains(&begun) {
            return Err(NotUsable::Other(harmless(begun), what));
        }
        let mut base64 = String::new();
        let end = loop {
            match lines.next() {
                Some(line) if line.starts_with("-----") => break line,
                Some(line) => base64.push_str(line),
                None => return Err(NotUsable::Damaged),
            }
        };
        let ended = end.strip_prefix("-----END ");
        if ended.and_then(|ended| ended.strip_suffix("-----")) != Some(begun) {
            return Err(NotUsable::Damaged);
        }
        found.push(Block {
            is_certificate: begun == CERTIFICATE,
            der: STANDARD.decode(base64).map_err(|_| NotUsable::Damaged)?,
        });
    }
    Ok(found)
}

/// A label as it may be shown.
fn harmless(label: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == ' ';
    label.chars().filter(plain).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki;

    #[test]
    fn certificates_are_read_from_pem_and_der_as_they_stand() {
        let root = pki::root("root").self_signed();
        let leaf = pki::leaf("alice").signed_by(&root);
        let der = leaf.x509.to_der().unwrap();
        assert_eq!(certificates(&der), Ok(vec![der.clone()]));
        let both = [leaf.pem(), b"# a note\r\n".to_vec(), root.pem()].concat();
        let expected = vec![der, root.x509.to_der().unwrap()];
        assert_eq!(certificates(&both), Ok(expected.clone()));
        let crlf = String::from_utf8(both).unwrap().replace('\n', "\r\n");
        assert_eq!(certificates(crlf.as_bytes()), Ok(expected));
    }

    #[test]
    fn a_private_key_is_refused_in_every_form_and_never_repeated() {
        let issued = pki::leaf("alice").self_signed();
        let base64: String = String::from_utf8(issued.key_pem()).unwrap();
        let inside = base64.lines().nth(1).unwrap();
        let lines = base64.lines().filter(|line| !line.starts_with('-'));
        let pkcs8 = STANDARD.decode(lines.collect::<String>()).unwrap();
        for file in [
            issued.key_pem(),
            [issued.pem(), issued.key_pem()].concat(),
            issued.key.private_key_to_der().unwrap(),
            pkcs8,
        ] {
            let refused = certificates(&file).unwrap_err();
            assert_eq!(refused, NotUsable::PrivateKey);
            assert!(!refused.to_string().contains(inside));
            let refused = lists_and_certificates(&file).err();
            assert_eq!(refused, Some(NotUsable::PrivateKey));
        }
    }

    #[test]
    fn a_file_of_something_else_is_named() {
        let pem = pki::leaf("alice").self_signed().pem();
        let request = String::from_utf8(pem.clone())
            .unwrap()
            .replace("CERTIFICATE", "CERTIFICATE REQUEST");
        let refused = certificates(request.as_bytes()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it holds a 'CERTIFICATE REQUEST'; only certificates can be read here"
        );
        assert_eq!(
            lists_and_certificates(&pem).err().unwrap().to_string(),
            "it holds a 'CERTIFICATE'; only revocation lists can be read here"
        );
        let hostile = b"-----BEGIN \x1b[31m<b>-----\n-----END X-----\n";
        let shown = certificates(hostile).unwrap_err().to_string();
        assert!(shown.starts_with("it holds a '31mb'"), "{shown}");
        let cut = pem.get(..pem.len() - 40).unwrap();
        assert_eq!(certificates(cut), Err(NotUsable::Damaged));
        for file in [&b""[..], b"hello", &[0x30, 0x03, 1, 1, 0]] {
            assert!(matches!(certificates(file), Err(NotUsable::Nothing(..))));
        }
    }
}
