//! `X-Forwarded-Client-Cert` as Envoy makes it.

use super::Certificate;
use super::name::{self, Dialect, Form};
use super::value::{escaped, pem};
use super::words::NotAValue;
use crate::certificate::Fingerprint;

/// A `GeneralName` that is a URI, and one of the DNS (RFC 5280 section 4.2.1.6).
const URI: u8 = 0x86;
const DNS: u8 = 0x82;

/// One of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The URI in Envoy's own certificate.
    By(Box<str>),
    /// The SHA-256 of the certificate.
    Hash,
    /// All of it.
    Cert,
    /// Its subject.
    Subject,
    /// Its URIs, a part each; an empty one when there is none.
    Uri,
    /// Its names of the DNS, a part each.
    Dns,
}

/// The parts that `text` names, with `;` between, each once. Envoy has them in this order.
pub(super) fn read(text: &str) -> Result<Vec<Part>, NotAValue> {
    let mut parts = Vec::new();
    for word in text.split(';') {
        let part = match (word, word.strip_prefix("By=")) {
            ("Hash", _) => Part::Hash,
            ("Cert", _) => Part::Cert,
            ("Chain", _) => return Err(NotAValue::Chain),
            ("Subject", _) => Part::Subject,
            ("URI", _) => Part::Uri,
            ("DNS", _) => Part::Dns,
            (_, Some(uri)) if !uri.is_empty() && uri.bytes().all(is_of_a_uri) => {
                Part::By(uri.into())
            }
            _ => return Err(NotAValue::Unknown),
        };
        if parts.contains(&part) {
            return Err(NotAValue::Unknown);
        }
        parts.push(part);
    }
    Ok(parts)
}

fn is_of_a_uri(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",=".contains(&byte)
}

pub(super) fn write(parts: &[Part], certificate: &Certificate<'_>) -> Option<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for part in parts {
        match part {
            Part::By(uri) => all.push(["By=", uri].concat().into()),
            Part::Hash => all.push(format!("Hash={}", Fingerprint::of(certificate.der)).into()),
            Part::Cert => all.push(quoted("Cert", &escaped(&pem(certificate.der)))),
            Part::Subject => {
                let form = Form::Rfc2253(Dialect::BoringSsl);
                all.push(quoted("Subject", &name::write(certificate.subject, form)?));
            }
            Part::Uri => {
                let before = all.len();
                all.extend(each("URI=", certificate, URI));
                if all.len() == before {
                    all.push(b"URI=".to_vec());
                }
            }
            Part::Dns => all.extend(each("DNS=", certificate, DNS)),
        }
    }
    Some(all.join(&b';'))
}

fn quoted(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"=\"", value, b"\""].concat()
}

fn each<'a>(
    key: &'static str,
    certificate: &Certificate<'a>,
    kind: u8,
) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    let names = certificate.named(kind);
    names.map(move |name| [key.as_bytes(), name].concat())
}
